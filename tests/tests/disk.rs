//! The disk is full, fails, or becomes read-only (Linux): nothing is lost, everybody can see why nothing goes on, and it goes on by itself
//! once the disk works again.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a fault of a test is told where it stands; disks are filled on purpose"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use waybill_ipc::protocol::{HealthState, Reply, Request};
use waybill_tests::disk::{Disk, Mounted};
use waybill_tests::sample::large_report;
use waybill_tests::{Agent, Receiver, Station, cli, ipc_client, sample_report, wait_until};

const NO_SPACE: i32 = 28;
const INPUT_OUTPUT: i32 = 5;
const READ_ONLY: i32 = 30;

/// A station whose agent runs on a disk that can fail, with three reports that went before.
struct Trial {
    receiver: Receiver,
    station: Station,
    disk: Disk,
    agent: Agent,
    ids: Vec<String>,
}

impl Trial {
    fn new() -> Self {
        let receiver = Receiver::start();
        let station = Station::simple(&receiver);
        let disk = Disk::of(&station);
        let agent = Agent::try_start(&station, |command| disk.under(command)).unwrap_or_else(|failure| panic!("{failure}"));
        let mut trial = Self { receiver, station, disk, agent, ids: Vec::new() };
        trial.drop_reports(3);
        trial.receiver.wait_for_reports(3);
        trial.agent.wait_for("they are in done", |s| s.sources[0].waiting == 0 && s.destinations[0].sent == 3);
        trial
    }

    fn drop_reports(&mut self, count: usize) {
        for n in self.ids.len()..self.ids.len() + count {
            let (id, bytes) = sample_report(n as u64);
            self.station.drop_file("ict", &format!("{n}.json"), &bytes);
            self.ids.push(id);
        }
    }

    /// The state of a check, and what it says.
    fn health(&self, check: &str) -> (HealthState, String) {
        let Ok(Reply::Health(health)) = ipc_client(&self.station).request(Request::Health { fresh: true }) else {
            panic!("no health")
        };
        let found = health.checks.into_iter().find(|found| found.name == check).expect("the check");
        (found.state, found.message)
    }

    #[track_caller]
    fn wait_for_store(&self, what: &str, state: HealthState) -> String {
        wait_until(what, || self.health("store").0 == state);
        self.health("store").1
    }

    /// Everything must arrive, once, and the books must say so.
    #[track_caller]
    fn ends_well(mut self) {
        let all = self.ids.len() as u64;
        self.agent.wait_for("everything is sent", |s| s.destinations[0].sent == all && s.sources[0].waiting == 0);
        self.receiver.assert_has_exactly(&self.ids);
        wait_until("all sources are in done", || self.station.done_files("ict").len() as u64 == all);
        let counts = self.agent.counts();
        counts.assert_issued(all);
        assert_eq!((counts.source("ict").errors, counts.destination("main").failed), (0, 0), "{counts}");
        self.wait_for_store("the store is well", HealthState::Healthy);
        assert_eq!(self.agent.snapshot().queue.losses, 0, "no damage was made of a disk that failed");
        assert!(self.agent.stop().success());
    }

    /// Sources that were not queued lie where they were, under their name or the claim's.
    #[track_caller]
    fn assert_in_their_folder(&self, files: usize) {
        assert_eq!(self.station.watched_files("ict").len(), files, "{:?}", self.station.watched_files("ict"));
        assert!(self.station.error_files("ict").is_empty(), "{:?}", self.station.error_files("ict"));
    }
}

#[test]
fn a_full_disk_takes_nothing_says_so_and_goes_on_when_there_is_room() {
    let mut trial = Trial::new();
    trial.disk.fail(&[(NO_SPACE, "cwt", "/data/queue.db")]);
    trial.drop_reports(10);
    let said = trial.wait_for_store("the full disk shows", HealthState::Unhealthy);
    assert!(said.contains("full"), "{said}");
    trial.agent.wait_for("they wait in their folder", |s| s.sources[0].waiting == 10);
    trial.assert_in_their_folder(10);
    let status = cli(&trial.station, &["status"]);
    assert!(status.stdout.contains("WB4004") || status.stdout.contains("full"), "{status}");
    trial.disk.heal();
    trial.ends_well();
}

#[test]
fn a_spool_without_room_holds_back_large_reports_only() {
    let mut trial = Trial::new();
    trial.disk.fail(&[(NO_SPACE, "cw", "/data/spool/")]);
    let (id, bytes) = large_report(1000, 600_000);
    trial.station.drop_file("ict", "large.json", &bytes);
    trial.drop_reports(5);
    trial.receiver.wait_for_reports(8);
    trial.agent.wait_for("the large one waits", |s| s.sources[0].waiting == 1 && s.destinations[0].sent == 8);
    trial.assert_in_their_folder(1);
    trial.ids.push(id);
    trial.disk.heal();
    trial.ends_well();
}

#[test]
fn a_sync_that_fails_acknowledges_nothing() {
    let mut trial = Trial::new();
    trial.disk.fail(&[(INPUT_OUTPUT, "s", "/data/queue.db")]);
    trial.drop_reports(10);
    trial.wait_for_store("the failing disk shows", HealthState::Unhealthy);
    trial.agent.wait_for("they wait in their folder", |s| s.sources[0].waiting == 10);
    trial.assert_in_their_folder(10);
    assert_eq!(trial.receiver.report_ids().len(), 3, "nothing is sent that is not durable");
    trial.disk.heal();
    trial.ends_well();
}

/// A commit that was written and could not be synced is found in the log after a crash: what it names must be there.
#[test]
fn a_sync_that_fails_and_a_kill_leave_nothing_that_is_named_and_not_there() {
    let receiver = Receiver::start();
    receiver.stop_listening();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .queue("max_entries", 4)
        .queue("when_full", "oldest_first")
        .quick()
        .build();
    let disk = Disk::of(&station);
    let start = || Agent::try_start(&station, |command| disk.under(command)).unwrap_or_else(|failure| panic!("{failure}"));
    let mut ids = Vec::new();
    let mut agent = start();
    for round in 0..3_u64 {
        for n in 4 * round..4 * round + 4 {
            let (id, bytes) = if n % 2 == 0 { sample_report(n) } else { large_report(n, 400_000) };
            station.drop_file("ict", &format!("{n}.json"), &bytes);
            ids.push(id);
        }
        if round > 0 {
            wait_until("commits are tried", || {
                station.log_tail(100_000).matches("queue_write_failed").count() as u64 >= 3 * round
            });
            agent.kill();
            disk.heal();
            agent = start();
        }
        agent.wait_for("all were taken", |s| {
            s.sources[0].waiting == 0 && s.destinations[0].pending + s.destinations[0].evicted == ids.len() as u64
        });
        let fsck = cli(&station, &["fsck"]);
        assert!(fsck.success(), "{fsck}");
        disk.fail(&[(INPUT_OUTPUT, "s", "/data/queue.db-wal")]);
    }
    disk.heal();
    receiver.listen_again();
    agent.wait_for("the last four go", |s| s.destinations[0].sent == 4);
    let evicted = std::fs::read_dir(station.instance().evicted().join("main")).unwrap();
    let read = |path: PathBuf| serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).unwrap()).unwrap();
    let mut there: BTreeSet<String> = evicted.map(|file| read(file.unwrap().path())["id"].as_str().unwrap().to_owned()).collect();
    there.extend(receiver.report_ids());
    assert_eq!(there, ids.into_iter().collect());
}

/// What cannot be read now is not damaged: nothing is set aside.
#[test]
fn a_disk_that_cannot_be_read_for_a_while_is_not_taken_for_damage() {
    let mut trial = Trial::new();
    trial.receiver.stop_listening();
    trial.drop_reports(10);
    trial.agent.wait_for("they wait", |s| s.destinations[0].pending == 10);
    trial.disk.fail(&[(INPUT_OUTPUT, "r", "/data/queue.db")]);
    trial.drop_reports(10);
    let refused = cli(&trial.station, &["queue", "list", "--newest"]);
    assert!(!refused.success() && refused.stderr.contains("WB400"), "{refused}");
    let log = || trial.station.log_tail(100_000);
    wait_until("it looks again from the beginning", || log().contains("agent_begins_anew"));
    trial.disk.heal();
    wait_until("it finds all as it was", || log().contains("\"queue_whole\"") && log().matches("agent_ready").count() == 2);
    trial.receiver.listen_again();
    trial.ends_well();
}

/// Nor is a large report failed whose file cannot be read now.
#[test]
fn a_spool_that_cannot_be_read_for_a_while_fails_nothing() {
    let mut trial = Trial::new();
    trial.receiver.stop_listening();
    let (id, bytes) = large_report(1000, 600_000);
    trial.station.drop_file("ict", "large.json", &bytes);
    trial.ids.push(id);
    trial.agent.wait_for("it waits", |s| s.destinations[0].pending == 1 && s.sources[0].waiting == 0);
    trial.disk.fail(&[(INPUT_OUTPUT, "r", "/data/spool/")]);
    // Its file is read before the server is asked: this is not an answer of the server's.
    wait_until("it is tried", || trial.station.log_tail(100_000).contains("report_retry"));
    assert_eq!(trial.agent.snapshot().destinations[0].failed, 0);
    trial.receiver.listen_again();
    trial.disk.heal();
    trial.ends_well();
}

#[test]
fn a_disk_that_became_read_only_is_said_and_what_came_meanwhile_is_taken_later() {
    let mut trial = Trial::new();
    trial.disk.fail(&[(READ_ONLY, "owctmnus", "/data/")]);
    trial.drop_reports(10);
    trial.wait_for_store("it shows", HealthState::Unhealthy);
    trial.agent.wait_for("they wait in their folder", |s| s.sources[0].waiting == 10);
    trial.assert_in_their_folder(10);
    // It neither starts on such a disk nor harms what is there.
    trial.agent.kill();
    let refused = Agent::try_start(&trial.station, |command| trial.disk.under(command)).err().expect("it cannot start");
    assert!(refused.code().is_some_and(|code| code != 0), "{refused}");
    assert!(refused.stderr.contains("/data"), "it says where: {refused}");
    trial.disk.heal();
    trial.agent =
        Agent::try_start(&trial.station, |command| trial.disk.under(command)).unwrap_or_else(|failure| panic!("{failure}"));
    trial.ends_well();
}

#[test]
fn a_watch_folder_that_became_read_only_gives_its_files_later_and_none_twice() {
    let mut trial = Trial::new();
    trial.disk.fail(&[(READ_ONLY, "owctmnu", "/watch/")]);
    trial.drop_reports(5);
    trial.agent.wait_for("they are seen", |s| s.sources[0].waiting == 5 || s.destinations[0].sent == 8);
    trial.assert_in_their_folder(5);
    trial.disk.heal();
    trial.ends_well();
}

/// The real thing: a file system of 6 MB for the data folder, filled to the last block. Only where this user may mount one.
#[test]
fn a_small_disk_that_is_filled_to_the_last_block_loses_nothing() {
    let receiver = Receiver::start();
    receiver.stop_listening();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .queue("min_free_bytes", 0)
        .queue("min_free_percent", 0)
        .quick()
        .build();
    let Some(mounted) = Mounted::small(station.data()) else {
        eprintln!("this user may not mount a file system: the other tests of this file stand for it");
        return;
    };
    let agent = Agent::start(&station);
    let mut ids = Vec::new();
    let mut drop_large = |count: u64| {
        for n in ids.len() as u64..ids.len() as u64 + count {
            let (id, bytes) = large_report(n, if n % 2 == 0 { 100_000 } else { 500_000 });
            station.drop_file("ict", &format!("{n}.json"), &bytes);
            ids.push(id);
        }
    };
    drop_large(40);
    let full = agent.wait_for("nothing more fits", |s| {
        s.sources[0].waiting > 0 && s.destinations[0].pending > 3 && s.sources[0].waiting + s.sources[0].queued == 40
    });
    assert_eq!(full.sources[0].errors, 0);
    wait_until("the full disk shows", || {
        let Ok(Reply::Health(health)) = ipc_client(&station).request(Request::Health { fresh: true }) else {
            panic!("no health")
        };
        health.state == HealthState::Unhealthy
    });
    // It is killed there. Started there again it says what is wrong, or works.
    drop(agent);
    match Agent::try_start(&station, |_| {}) {
        Ok(agent) => {
            drop(agent.wait_for("what was taken is there", |s| s.destinations[0].pending >= full.destinations[0].pending))
        }
        Err(refused) => assert!(["No space left", "disk is full"].iter().any(|said| refused.stderr.contains(said)), "{refused}"),
    }
    // Somebody makes room.
    mounted.make_larger();
    let agent = Agent::start(&station);
    agent.wait_for("what was taken is there", |s| s.destinations[0].pending >= full.destinations[0].pending);
    receiver.listen_again();
    agent.wait_for("everything is sent", |s| s.destinations[0].sent == 40 && s.sources[0].waiting == 0);
    receiver.assert_has_exactly(&ids);
}
