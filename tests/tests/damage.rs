//! Damage of the queue's file, at the level of processes: whatever lies there, the agent starts, what was not damaged is sent, and what is
//! missing is said.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a fault of a test is told where it stands; files are damaged on purpose"
)]

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use serde_json::Value;
use waybill_ipc::protocol::{HealthState, Reply, Request};
use waybill_tests::sample::large_report;
use waybill_tests::{Agent, Receiver, Station, cli, ipc_client, sample_id, wait_until};

const PAGE: u64 = 4096;

fn station(receiver: &Receiver) -> Station {
    Station::builder().source("ict", |source| source.patterns(["*.json"]).converter("wsjf")).wats(receiver).quick().build()
}

/// A station with so many reports that wait for a server that is down; its agent was stopped.
fn waiting(reports: u64) -> (Receiver, Station, Vec<String>) {
    let receiver = Receiver::start();
    receiver.stop_listening();
    let station = station(&receiver);
    let mut agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..reports);
    agent.wait_for("all wait", |s| s.destinations[0].pending == reports && s.sources[0].waiting == 0);
    agent.stop();
    (receiver, station, ids)
}

fn queue(station: &Station) -> PathBuf {
    station.data().join("queue.db")
}

fn overwrite(station: &Station, page: u64, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(queue(station)).unwrap();
    file.seek(SeekFrom::Start(page * PAGE)).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
}

/// As a kill leaves it whose log the file system lost.
fn after_a_kill(station: &Station) {
    std::fs::write(station.data().join("queue.mark"), "open").unwrap();
    std::fs::write(station.data().join("queue.db-wal"), b"").unwrap();
}

fn losses(station: &Station) -> Vec<Value> {
    cli(station, &["queue", "losses", "--json"]).json().as_array().unwrap().clone()
}

#[test]
fn pages_that_were_flipped_zeroed_or_cut_off_cost_at_most_what_was_on_them() {
    for (name, damage) in [("zeroed", 0_u8), ("flipped", 0xff), ("cut off", 1)] {
        let (receiver, station, ids) = waiting(200);
        let pages = std::fs::metadata(queue(&station)).unwrap().len() / PAGE;
        if name == "cut off" {
            std::fs::OpenOptions::new().write(true).open(queue(&station)).unwrap().set_len((pages - 3) * PAGE).unwrap();
        } else {
            overwrite(&station, pages / 2, &[damage; PAGE as usize]);
        }
        // What is damaged in the middle shows when it is read; the whole is looked at after a kill.
        after_a_kill(&station);
        let agent = Agent::start(&station);
        agent.wait_for("the damage is shown", |s| s.queue.losses == 1);
        let told = losses(&station);
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        let lost = told[0]["reports"].as_u64();
        receiver.listen_again();
        agent.wait_for("everything that is there is sent", |s| s.destinations[0].pending + s.destinations[0].sending == 0);
        let there = receiver.report_ids().len() as u64;
        let failed = agent.snapshot().destinations[0].failed;
        // Some five reports lie on a page.
        assert!(there >= 180, "{name}: {there} of 200, {failed} failed, {lost:?} lost");
        assert!(
            there + lost.expect("it can be told") >= 200,
            "{name}: {there} of 200, {failed} failed, {lost:?}: more is missing than is told"
        );
        assert!(receiver.report_ids().iter().all(|id| ids.contains(id)));
        let Ok(Reply::Health(health)) = ipc_client(&station).request(Request::Health { fresh: true }) else { panic!() };
        assert!(
            health.checks.iter().any(|check| check.name == "store" && check.state == HealthState::Degraded),
            "{name}: {health:?}"
        );
        assert!(cli(&station, &["queue", "losses", "--seen"]).success());
        agent.wait_for("somebody has seen it", |s| s.queue.losses == 0);
    }
}

#[test]
fn a_file_of_0_bytes_and_a_log_that_is_gone_are_said() {
    let (receiver, station, _) = waiting(10);
    std::fs::write(queue(&station), b"").unwrap();
    let mut agent = Agent::start(&station);
    agent.wait_for("it is said", |s| s.queue.losses == 1);
    assert_eq!(losses(&station)[0]["reports"], Value::Null, "nobody can know how many they were");
    let more = station.drop_reports("ict", 100..105);
    agent.wait_for("new ones come in", |s| s.destinations[0].pending == 5);
    agent.kill();
    // As a file system that lost it leaves it.
    std::fs::remove_file(station.data().join("queue.db-wal")).unwrap();
    let agent = Agent::start(&station);
    agent.wait_for("it is said again", |s| s.queue.losses == 2);
    drop((receiver, more, agent));
}

/// Large reports lie in files of their own, which are whole when the store is gone.
#[test]
fn large_reports_that_nothing_names_after_damage_are_set_aside_and_never_removed() {
    let (receiver, station, _) = waiting(3);
    let mut agent = Agent::start(&station);
    let (_, large) = large_report(1000, 600_000);
    station.drop_file("ict", "large.json", &large);
    agent.wait_for("it waits too", |s| s.destinations[0].pending == 4 && s.sources[0].waiting == 0);
    agent.stop();
    std::fs::remove_file(queue(&station)).unwrap();
    let agent = Agent::start(&station);
    agent.wait_for("the loss is shown", |s| s.queue.losses == 1);
    let said = losses(&station)[0]["what"].as_str().unwrap().to_owned();
    let folder = std::fs::read_dir(station.data()).unwrap().map(|file| file.unwrap().path());
    let folder = folder.into_iter().find(|path| path.extension().is_some_and(|end| end == "spool")).expect("what was set aside");
    assert!(said.contains("1 large reports") && said.contains(&*folder.to_string_lossy()), "{said}");
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    let report: Value =
        serde_json::from_slice(&zstd::stream::decode_all(std::fs::File::open(&files[0]).unwrap()).unwrap()).unwrap();
    assert_eq!((files.len(), &report["id"]), (1, &Value::from(sample_id(1000))));
    drop((receiver, agent));
}

#[test]
fn a_store_that_is_removed_by_hand_brings_nothing_back_of_one_that_was_damaged_long_ago() {
    let (receiver, station, _) = waiting(40);
    let pages = std::fs::metadata(queue(&station)).unwrap().len() / PAGE;
    overwrite(&station, pages / 2, &[0xa5; PAGE as usize]);
    after_a_kill(&station);
    let mut agent = Agent::start(&station);
    agent.wait_for("what could be read waits", |s| s.queue.losses == 1 && s.destinations[0].pending > 0);
    agent.stop();
    std::fs::remove_file(queue(&station)).unwrap();
    let agent = Agent::start(&station);
    let status = agent.wait_for("the loss is shown", |s| s.queue.losses == 1);
    assert_eq!(status.destinations[0].pending, 0, "it was sent long ago, or given up, or changed");
    drop((receiver, agent));
}

#[test]
fn damage_that_shows_while_the_agent_runs_is_put_right_while_it_runs() {
    let (receiver, station, ids) = waiting(200);
    let mut agent = Agent::start(&station);
    let pid = agent.pid();
    let pages = std::fs::metadata(queue(&station)).unwrap().len() / PAGE;
    // All pages but the first ones: whatever is read next is damaged.
    for page in (pages / 3)..(pages / 3 + 4) {
        overwrite(&station, page, &[0xa5; PAGE as usize]);
    }
    receiver.listen_again();
    cli(&station, &["fsck"]);
    let began = || station.log_tail(100_000).matches("agent_ready").count();
    // Once for each agent so far: the first, the second, and the second anew.
    wait_until("it noticed and began anew", || began() == 3);
    let after = agent.wait_for("it goes on in the same process", |s| s.queue.losses == 1 && s.destinations[0].pending == 0);
    assert_eq!((after.agent.pid, agent.is_running()), (pid, true));
    let there = receiver.report_ids().len();
    assert!(there >= 150 && receiver.report_ids().iter().all(|id| ids.contains(id)), "{there}");
}

/// Where the system lets a file go that is in use.
#[cfg(unix)]
#[test]
fn a_store_that_is_taken_away_while_it_is_used_is_written_again() {
    for with_its_log in [false, true] {
        let (receiver, station, mut ids) = waiting(20);
        let mut agent = Agent::start(&station);
        let pid = agent.pid();
        ids.extend(station.drop_reports("ict", 20..30));
        agent.wait_for("thirty wait", |s| s.destinations[0].pending == 30 && s.sources[0].waiting == 0);
        std::fs::remove_file(queue(&station)).unwrap();
        if with_its_log {
            std::fs::remove_file(station.data().join("queue.db-wal")).unwrap();
            std::fs::remove_file(station.data().join("queue.db-shm")).unwrap();
        }
        ids.extend(station.drop_reports("ict", 30..31));
        wait_until("it says so and goes on with a copy", || {
            let log = station.log_tail(100_000);
            log.contains("queue_file_gone") && log.matches("agent_ready").count() == 3
        });
        receiver.listen_again();
        let after = agent.wait_for("all are sent", |s| s.destinations[0].sent == 31 && s.sources[0].waiting == 0);
        assert_eq!((after.agent.pid, after.queue.losses, agent.is_running()), (pid, 0, true));
        receiver.assert_has_exactly(&ids);
        assert!(agent.stop().success());
        let fsck = cli(&station, &["fsck"]);
        assert!(fsck.success(), "{fsck}");
    }
}

/// The whole data folder, with the queue, the lock, the history and the backups.
#[cfg(unix)]
#[test]
fn a_data_folder_that_is_taken_away_is_made_anew_and_everybody_is_told() {
    let (receiver, station, mut ids) = waiting(20);
    let mut agent = Agent::start(&station);
    agent.wait_for("twenty wait", |s| s.destinations[0].pending == 20);
    std::fs::rename(station.data(), station.data().with_extension("moved")).unwrap();
    ids.extend(station.drop_reports("ict", 20..21));
    // What the first life still says may be in the new log as well.
    wait_until("it begins anew, with a new log", || {
        station.log_tail(1000).rsplit_once("agent_starting").is_some_and(|(_, later)| later.contains("agent_ready"))
    });
    let after = agent.wait_for("it goes on in a new folder, and says so", |s| {
        s.queue.losses == 1 && s.destinations[0].pending + s.destinations[0].sent == 21 && s.sources[0].waiting == 0
    });
    assert!(after.agent.pid == agent.pid() && after.agent.identity.configured, "{:?}", after.agent);
    let losses = cli(&station, &["queue", "losses"]);
    assert!(losses.stdout.contains("was removed or replaced while the agent ran"), "{losses}");
    // Nobody else gets in: the new folder is locked as the old one was.
    match Agent::try_start(&station, |_| ()) {
        Ok(_) => panic!("there is one already"),
        Err(failed) => assert_eq!(failed.code(), Some(4), "{failed:?}"),
    }
    receiver.listen_again();
    agent.wait_for("all are sent", |s| s.destinations[0].sent == 21);
    receiver.assert_has_exactly(&ids);
    assert!(agent.stop().success());
}

/// A backup that is put back: everybody sees what it lacks, and nothing of the time after it is removed.
#[test]
fn a_copy_of_before_in_the_place_of_the_store_is_noticed() {
    let (receiver, station, _) = waiting(10);
    let mut agent = Agent::start(&station);
    let copy = cli(&station, &["queue", "backup", "--json"]).json()["path"].as_str().unwrap().to_owned();
    station.drop_reports("ict", 10..15);
    let (_, large) = large_report(1000, 600_000);
    station.drop_file("ict", "large.json", &large);
    agent.wait_for("sixteen wait", |s| s.destinations[0].pending == 16 && s.sources[0].waiting == 0);
    agent.stop();
    std::fs::copy(copy, queue(&station)).unwrap();
    let mut agent = Agent::start(&station);
    let status = agent.wait_for("the loss is shown", |s| s.queue.losses == 1);
    assert_eq!(status.destinations[0].pending, 10);
    let told = losses(&station);
    assert_eq!(told[0]["reports"], 6, "{told:?}");
    let said = told[0]["what"].as_str().unwrap();
    assert!(said.contains("an older copy") && said.contains("1 large reports"), "{said}");
    // Numbers are never given twice, and it is said once.
    station.drop_reports("ict", [20]);
    agent.wait_for("eleven wait", |s| s.destinations[0].pending == 11 && s.sources[0].waiting == 0);
    let entries = cli(&station, &["queue", "list", "--json", "--newest"]).json();
    let rows = entries.as_array().cloned().unwrap_or_else(|| entries["rows"].as_array().unwrap().clone());
    assert!(rows[0]["entry"].as_i64().unwrap() > 16, "{}", rows[0]);
    agent.stop();
    let agent = Agent::start(&station);
    let status = agent.wait_for("eleven wait", |s| s.destinations[0].pending == 11);
    assert_eq!(status.queue.losses, 1);
    drop((receiver, agent));
}
