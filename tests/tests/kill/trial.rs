//! A station whose agent is killed again and again, and the looks at its books.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use waybill_tests::agent::binary;
use waybill_tests::sample::{sample_serial, without_nulls};
use waybill_tests::{Agent, Counts, Receiver, Station, conservation, sample_report, wait_until};

pub const FILES_A_ROUND: u64 = 12;

/// A station whose agent is killed, and what was dropped there.
pub struct Trial<'a> {
    receiver: &'a Receiver,
    pub station: Station,
    pub random: Rng,
    reports_a_file: u64,
    names: BTreeSet<String>,
    reports: BTreeMap<String, Value>,
    looks: u32,
}

impl<'a> Trial<'a> {
    pub fn new(what: &str, receiver: &'a Receiver, reports_a_file: u64) -> Self {
        let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
        eprintln!("{what}: TEST_SEED={seed}");
        let station = Station::simple(receiver);
        Self {
            receiver,
            station,
            random: Rng::with_seed(seed),
            reports_a_file,
            names: BTreeSet::new(),
            reports: BTreeMap::new(),
            looks: 0,
        }
    }

    /// Drops a file with one report or an array of them.
    pub fn drop_file(&mut self, name: &str, content: &[u8]) {
        // Counted before it is there: the agent may be faster than this test.
        self.names.insert(name.to_owned());
        let reports = match serde_json::from_slice(content).unwrap() {
            Value::Array(reports) => reports,
            report => vec![report],
        };
        self.reports.extend(reports.into_iter().map(|report| (report["id"].as_str().unwrap().to_owned(), report)));
        if self.random.bool() {
            self.station.drop_file("ict", name, content);
        } else {
            self.station.write_in_place("ict", name, content);
        }
    }

    pub fn drop_small_files(&mut self, round: u64) {
        for n in round * FILES_A_ROUND..(round + 1) * FILES_A_ROUND {
            self.drop_file(&format!("{}.json", sample_serial(n)), &sample_report(n).1);
        }
    }

    /// Starts the agent, looks, drops files, kills it after a random time of at most so many milliseconds.
    pub fn round(&mut self, drop_files: impl FnOnce(&mut Self), longest_ms: u64) {
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
    pub fn look(&mut self, agent: &Agent) -> Counts {
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

    /// True once the server has all, and nothing is left in the folder.
    #[cfg(target_os = "linux")]
    pub fn is_done(&self) -> bool {
        self.receiver.look(|state| state.accepted_ids) == self.reports.len() && self.station.watched_files("ict").is_empty()
    }

    /// Files dropped so far.
    #[cfg(target_os = "linux")]
    pub fn files(&self) -> u64 {
        self.names.len() as u64
    }

    /// Lets the agent finish: everything must be there.
    #[track_caller]
    pub fn end(mut self, files: u64) {
        assert_eq!(self.names.len() as u64, files);
        let reports = self.reports.len() as u64;
        let mut agent = Agent::start(&self.station);
        self.look(&agent);
        agent.wait_for("everything is sent", |s| s.destinations[0].sent == reports);
        self.receiver.assert_has_exactly(&self.reports.keys().cloned().collect::<Vec<_>>());
        let received = self.receiver.reports();
        for (id, report) in &self.reports {
            assert!(without_nulls(&received[id]) == *report, "report {id} is not what was written");
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
        let large = self.reports.values().filter(|report| report.get("binaryData").is_some()).count();
        assert_eq!(spooled, large, "what was sent is kept for a while, and nothing else is in the spool");
        eprintln!("{} looks, {} posts for {reports} reports", self.looks, self.receiver.look(|state| state.posts.len()));
    }
}
