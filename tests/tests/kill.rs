//! The agent is killed at random moments, again and again: nothing is lost, nothing is there twice with different content, and
//! the books are right at every look.
//!
//! The moments come from a seed that is printed; `TEST_SEED=<n>` repeats it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a fault of this test is told where it stands")]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use waybill_tests::agent::binary;
use waybill_tests::sample::{sample_serial, several_reports};
use waybill_tests::{
    Agent, Behaviour, Counts, Receiver, Station, conservation, sample_id, sample_report, sample_value, wait_until,
};

const ROUNDS: u64 = 25;
const FILES_A_ROUND: u64 = 12;

#[test]
fn killed_at_random_moments_it_loses_nothing() {
    let receiver = Receiver::start();
    let mut trial = Trial::new("small files", &receiver, 1);
    for round in 0..ROUNDS {
        trial.round(|trial| trial.drop_small_files(round), 60);
    }
    trial.end(ROUNDS * FILES_A_ROUND);
}

#[test]
fn killed_at_random_moments_it_loses_nothing_to_a_server_whose_answers_get_lost() {
    let receiver = Receiver::start();
    let mut trial = Trial::new("a bad server", &receiver, 1);
    let random = Mutex::new(trial.random.fork());
    receiver.set(Behaviour::per_report(move |_| {
        let mut random = random.lock().unwrap();
        match random.u32(..10) {
            0 => Behaviour::StoreThenDrop,
            1 => Behaviour::CutAnswer(random.usize(..150)),
            2 => Behaviour::DropConnection,
            3 => Behaviour::status(503),
            4 | 5 => Behaviour::Delay(Duration::from_millis(random.u64(..40))),
            _ => Behaviour::Accept,
        }
    }));
    for round in 0..ROUNDS {
        trial.round(|trial| trial.drop_small_files(round), 60);
    }
    receiver.set(Behaviour::Accept);
    trial.end(ROUNDS * FILES_A_ROUND);
}

/// 400 reports are staged in chunks before the file as a whole is committed.
#[test]
fn killed_in_the_middle_of_a_large_file_it_takes_the_file_as_a_whole() {
    const REPORTS: u64 = 400;
    const FILES: u64 = 6;
    let receiver = Receiver::start();
    let mut trial = Trial::new("large files", &receiver, REPORTS);
    for round in 0..FILES {
        trial.round(
            |trial| {
                let (ids, bytes) = several_reports(round * REPORTS..(round + 1) * REPORTS);
                trial.dropped(&format!("panel-{round}.json"), ids, |station, name| station.drop_file("ict", name, &bytes));
            },
            400,
        );
        // Again without a new file: the crash may hit what the restart repairs.
        trial.round(|_| {}, 400);
    }
    trial.end(FILES);
}

/// A station whose agent is killed, and what was dropped there.
struct Trial<'a> {
    receiver: &'a Receiver,
    station: Station,
    random: Rng,
    reports_a_file: u64,
    names: BTreeSet<String>,
    ids: Vec<String>,
    looks: u32,
}

impl<'a> Trial<'a> {
    fn new(what: &str, receiver: &'a Receiver, reports_a_file: u64) -> Self {
        let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
        eprintln!("{what}: TEST_SEED={seed}");
        let station = Station::simple(receiver);
        Self {
            receiver,
            station,
            random: Rng::with_seed(seed),
            reports_a_file,
            names: BTreeSet::new(),
            ids: Vec::new(),
            looks: 0,
        }
    }

    fn dropped(&mut self, name: &str, ids: Vec<String>, write: impl FnOnce(&Station, &str) -> std::path::PathBuf) {
        // Counted before it is there: the agent may be faster than this test.
        self.names.insert(name.to_owned());
        self.ids.extend(ids);
        write(&self.station, name);
    }

    fn drop_small_files(&mut self, round: u64) {
        for n in round * FILES_A_ROUND..(round + 1) * FILES_A_ROUND {
            let (id, bytes) = sample_report(n);
            let renamed = self.random.bool();
            self.dropped(&format!("{}.json", sample_serial(n)), vec![id], |station, name| {
                if renamed { station.drop_file("ict", name, &bytes) } else { station.write_in_place("ict", name, &bytes) }
            });
        }
    }

    /// Starts the agent, looks, drops files, kills it after a random time of at most so many milliseconds.
    fn round(&mut self, drop_files: impl FnOnce(&mut Self), longest_ms: u64) {
        if self.random.u32(..4) == 0 {
            self.kill_while_it_starts();
        }
        let files_first = self.random.bool();
        let mut drop_files = Some(drop_files);
        if files_first {
            drop_files.take().expect("not dropped yet")(self);
        }
        let mut agent = Agent::start(&self.station);
        self.look(&agent);
        if let Some(drop_files) = drop_files {
            drop_files(self);
        }
        std::thread::sleep(Duration::from_millis(self.random.u64(..=longest_ms)));
        if self.random.bool() {
            self.look(&agent);
        }
        agent.kill();
    }

    fn kill_while_it_starts(&mut self) {
        let mut child = Command::new(binary())
            .arg("--data-dir")
            .arg(self.station.data())
            .arg("--config")
            .arg(self.station.config())
            .arg("run")
            .envs(self.station.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the agent");
        std::thread::sleep(Duration::from_millis(self.random.u64(..100)));
        child.kill().expect("killing the agent");
        child.wait().expect("the end of the agent");
    }

    /// Whatever happened: each file is in its folder or in the books, each report of the books is one of a whole file, and what
    /// the books call sent is at the server.
    #[track_caller]
    fn look(&mut self, agent: &Agent) -> Counts {
        self.looks += 1;
        let watched = self.station.watched_files("ict").len() as u64;
        let counts = conservation(&serde_json::to_value(agent.snapshot()).unwrap());
        let at_the_server = self.receiver.look(|state| state.accepted_ids as u64);
        let (source, main) = (counts.source("ict"), counts.destination("main"));
        let said = format!(
            "look {}: {} files dropped, {watched} in the folder, {at_the_server} reports at the server\n{counts}",
            self.looks,
            self.names.len()
        );
        assert_eq!(main.issued(), source.reports, "{said}");
        assert_eq!(source.reports, source.queued * self.reports_a_file, "{said}");
        assert_eq!(main.issued(), main.sent + main.failed + main.unsent(), "{said}");
        assert_eq!((main.failed, main.evicted, main.discarded, source.errors), (0, 0, 0, 0), "{said}");
        assert!(source.queued + watched >= self.names.len() as u64, "a file is neither in its folder nor queued\n{said}");
        assert!(source.queued <= self.names.len() as u64, "a file was taken twice\n{said}");
        assert!(main.sent <= at_the_server, "something is called sent that is not there\n{said}");
        counts
    }

    /// Lets the agent finish: everything must be there.
    #[track_caller]
    fn end(mut self, files: u64) {
        assert_eq!(self.names.len() as u64, files);
        let reports = self.ids.len() as u64;
        let mut agent = Agent::start(&self.station);
        self.look(&agent);
        agent.wait_for("everything is sent", |s| s.destinations[0].sent == reports);
        self.receiver.assert_has_exactly(&self.ids);
        let received = self.receiver.reports();
        for n in 0..reports {
            assert!(without_nulls(&received[&sample_id(n)]) == sample_value(n), "report {n} is not what was written");
        }
        wait_until("all sources are in done", || self.station.done_files("ict").len() as u64 >= files);
        let done: Vec<_> =
            self.station.done_files("ict").iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(done.len() as u64, files, "a source is in done more than once: {done:?}");
        assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), self.names);
        assert!(self.station.error_files("ict").is_empty());
        assert_eq!(self.station.watched_files("ict"), Vec::<std::path::PathBuf>::new());
        let counts = self.look(&agent);
        assert_eq!((counts.destination("main").issued(), counts.destination("main").unsent()), (reports, 0));
        assert_eq!(counts.source("ict").waiting, 0);
        assert!(agent.stop().success());
        let spooled = std::fs::read_dir(self.station.instance().spool()).map_or(0, Iterator::count);
        assert_eq!(spooled, 0, "leftovers in the spool");
        eprintln!("{} looks, {} posts for {reports} reports", self.looks, self.receiver.look(|state| state.posts.len()));
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            object.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
