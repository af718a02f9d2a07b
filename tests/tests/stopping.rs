//! A stop in the middle of everything: bounded, nothing lost, what was not sent is counted right, and the exit code says whether something was
//! cut off.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a fault of this test is told where it stands")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use waybill_ipc::protocol::{AgentState, ClientKind, ConfigChange, Event, Reply, Request, StopPhase, Stopping, Unsent, Update};
use waybill_tests::edit::set;
use waybill_tests::sample::{large_report, several_reports};
use waybill_tests::wait::{USUAL, bound};
use waybill_tests::{Agent, Behaviour, Ipc, Receiver, Station, cli, ipc_client, raw_stream, wait_until};

/// A station whose stop has a second for each phase.
fn hurried(receiver: &Receiver) -> Station {
    Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(receiver)
        .quick()
        .setting("shutdown", "drain_secs", 1)
        .setting("shutdown", "cancel_secs", 1)
        .setting("convert", "max_file_bytes", 200_000_000)
        .build()
}

/// Stops it, and says how long that took; it must be over in ten seconds.
fn stop(agent: &mut Agent, what: &str) -> Option<i32> {
    let begun = Instant::now();
    let status = agent.stop();
    eprintln!("stopped during {what}: {:?}", begun.elapsed());
    assert!(begun.elapsed() < bound(Duration::from_secs(10)), "{what}: {:?}", begun.elapsed());
    status.code()
}

fn next_stopping(client: &mut Ipc) -> Stopping {
    loop {
        if let Update::Event { event: Event::Stopping(stopping), .. } = client.next_update(USUAL).expect("news") {
            return stopping;
        }
    }
}

#[test]
fn a_large_upload_that_ends_in_time_is_waited_for_and_one_that_does_not_is_cut_off_and_sent_later() {
    for ends_in_time in [true, false] {
        let receiver = Receiver::start();
        let station = hurried(&receiver);
        if ends_in_time {
            receiver.set(Behaviour::Script(vec![Behaviour::Delay(Duration::from_millis(300))]));
            // The time that a slow machine needs for so much is not what is tested.
            ipc_of_a_moment(&station, |ipc| drop(ipc.change(&[set("shutdown.drain_secs", 60)]).unwrap()));
        } else {
            receiver.set(Behaviour::Hang);
        }
        let mut agent = Agent::start(&station);
        let (id, bytes) = large_report(1, 50_000_000);
        station.drop_file("ict", "large.json", &bytes);
        agent.wait_for("it is on its way", |s| s.destinations[0].sending == 1 || s.destinations[0].sent == 1);
        if ends_in_time {
            let status = agent.stop();
            assert_eq!(status.code(), Some(0), "it had the time: {}", agent.stderr());
        } else {
            assert_eq!(stop(&mut agent, "an upload of 50 MB that hangs"), Some(10));
            let said = agent.stderr();
            assert!(said.contains("cut off: destination main") && said.contains("WB7003"), "{said}");
            receiver.set(Behaviour::Accept);
        }
        let agent = Agent::start(&station);
        agent.wait_for("it is sent", |s| s.destinations[0].sent == 1 && s.destinations[0].pending == 0);
        receiver.assert_has_exactly(&[id]);
        agent.counts().assert_issued(1);
    }
}

/// Has something asked of an agent that runs only for that.
fn ipc_of_a_moment(station: &Station, ask: impl FnOnce(&Ipc)) {
    let mut agent = Agent::start(station);
    ask(&ipc_client(station));
    assert!(agent.stop().success());
}

#[test]
fn a_conversion_of_a_long_file_is_given_up_as_a_whole_and_done_as_a_whole_later() {
    let receiver = Receiver::start();
    let station = hurried(&receiver);
    ipc_of_a_moment(&station, |ipc| drop(ipc.change(&[set("queue.max_entries", 1_000_000)]).unwrap()));
    let mut agent = Agent::start(&station);
    let (ids, bytes) = several_reports(0..6000);
    station.drop_file("ict", "long.json", &bytes);
    agent.wait_for("it is being converted", |s| s.sources[0].waiting == 1);
    let code = stop(&mut agent, "a long conversion");
    assert!(matches!(code, Some(0 | 10)), "{code:?}");
    let taken = agent_counts_after(&station);
    assert!(taken == 0 || taken == 6000, "a file is taken as a whole: {taken}");
    let agent = Agent::start(&station);
    agent.wait_for("all are sent", |s| s.destinations[0].sent == 6000);
    receiver.assert_has_exactly(&ids);
    agent.counts().assert_issued(6000);
}

/// Reports in the queue of a station whose agent has ended.
fn agent_counts_after(station: &Station) -> u64 {
    let store = rusqlite::Connection::open(station.data().join("queue.db")).unwrap();
    store
        .query_row("SELECT count(*) FROM entry e JOIN file f ON f.file = e.file WHERE f.state > 0", [], |row| row.get(0))
        .unwrap()
}

/// Whoever was told that a change is made finds it in the file.
#[test]
fn a_configuration_that_is_being_saved_is_saved_as_a_whole_or_not_at_all() {
    let receiver = Receiver::start();
    let station = hurried(&receiver);
    for round in 0..5_u64 {
        let mut agent = Agent::start(&station);
        let made = Arc::new(AtomicU64::new(0));
        let changing = {
            let (station, made) = (station.clone(), Arc::clone(&made));
            std::thread::Builder::new()
                .name("changes".into())
                .spawn(move || {
                    let ipc = ipc_client(&station);
                    for n in 1..=15_u64 {
                        let value = i64::try_from(100 + round * 20 + n).unwrap();
                        let edits = vec![set("queue.max_failed", value)];
                        let change = ConfigChange { base: None, edits, unsent: Unsent::Refuse, dry_run: false };
                        let Ok(Reply::ConfigChanged(_)) = ipc.request(Request::ConfigChange(change)) else { return };
                        made.store(u64::try_from(value).unwrap(), Ordering::Release);
                    }
                })
                .unwrap()
        };
        wait_until("changes are made", || made.load(Ordering::Acquire) > 0);
        assert_eq!(stop(&mut agent, "changes of the configuration"), Some(0));
        changing.join().unwrap();
        let there = cli(&station, &["config", "get", "queue.max_failed", "--json"]).json()["queue.max_failed"].as_u64().unwrap();
        let told = made.load(Ordering::Acquire);
        assert!(there == told || there == told + 1, "{told} was the last that was told, {there} is in the file");
    }
}

#[test]
fn a_client_that_hangs_holds_up_no_stop() {
    let receiver = Receiver::start();
    let station = hurried(&receiver);
    let mut agent = Agent::start(&station);
    let mut hangs = raw_stream(&station);
    hangs.greet(ClientKind::Window).unwrap();
    // Half a frame, and nothing more.
    hangs.send(&[100, 0, 0, 0, 1]).unwrap();
    let mut silent = raw_stream(&station);
    silent.greet(ClientKind::Window).unwrap();
    assert_eq!(stop(&mut agent, "clients that hang"), Some(0));
    assert!(hangs.closed_within(USUAL) && silent.closed_within(USUAL));
}

/// The first phase begins no send, whatever waits.
#[test]
fn from_the_moment_of_the_stop_no_further_report_is_begun_to_be_sent() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    receiver.set(Behaviour::Hang);
    let mut agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..30);
    receiver.wait(|state| state.hanging == 5);
    agent.wait_for("all are queued", |s| s.sources[0].queued == 30);
    let client = ipc_client(&station);
    client.stop().unwrap();
    agent.wait_for("it is stopping", |s| s.agent.state == AgentState::Stopping && s.agent.stopping.is_some());
    receiver.set(Behaviour::Accept);
    receiver.release();
    assert_eq!(agent.wait_exit(USUAL).code(), Some(0), "what was on its way had the time");
    assert_eq!(receiver.posts().len(), 5, "the server's log");
    let agent = Agent::start(&station);
    agent.wait_for("all are sent", |s| s.destinations[0].sent == 30);
    receiver.assert_has_exactly(&ids);
}

#[test]
fn how_far_a_stop_is_is_told_to_whoever_looks_on() {
    let receiver = Receiver::start();
    let station = hurried(&receiver);
    receiver.set(Behaviour::Hang);
    let mut agent = Agent::start(&station);
    station.drop_reports("ict", 0..3);
    receiver.wait(|state| state.hanging == 3);
    ipc_client(&station).change(&[set("shutdown.drain_secs", 3)]).unwrap();
    let mut client = ipc_client(&station);
    client.subscribe().unwrap();
    let said = cli(&station, &["stop"]);
    assert!(said.stderr.contains("waiting for destination main") && said.stderr.contains("cut off: destination main"), "{said}");
    assert_eq!(said.code(), Some(10), "as the agent itself");
    let mut phases = vec![next_stopping(&mut client)];
    while phases.last().is_none_or(|last| last.phase != StopPhase::Verify) {
        phases.push(next_stopping(&mut client));
    }
    let waited = |phase: StopPhase| {
        phases.iter().any(|stopping| stopping.phase == phase && stopping.waits_for.contains(&"destination main".to_owned()))
    };
    assert!(waited(StopPhase::Drain) && waited(StopPhase::Cancel), "{phases:?}");
    assert_eq!(agent.wait_exit(USUAL).code(), Some(10));
    assert!(station.log_tail(100).contains("\"cut_off\":\"[\\\"destination main\\\"]\""), "{}", station.log_tail(20));
}

#[test]
fn whoever_wants_to_stop_an_agent_that_hangs_is_told_in_time_how_to_end_it() {
    let station = Station::builder().build();
    let mut agent = Agent::start(&station);
    if agent.suspend().is_err() {
        return; // This OS freezes no process.
    }
    let begun = Instant::now();
    let said = cli(&station, &["stop", "--timeout", "2"]);
    assert!(begun.elapsed() < Duration::from_secs(12), "the asking is within the time: {:?}", begun.elapsed());
    assert_eq!(said.code(), Some(8), "{said}");
    let pid = agent.pid().to_string();
    assert!(
        said.stderr.contains("was not told") && said.stderr.contains(&pid) && said.stderr.contains("End its process"),
        "{said}"
    );
    agent.kill();
}

/// Two phases that may take minutes, and all of it a few seconds.
#[test]
fn all_phases_together_take_no_longer_than_is_said() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .quick()
        .setting("shutdown", "total_secs", 5)
        .build();
    receiver.set(Behaviour::Hang);
    let mut agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..5);
    receiver.wait(|state| state.hanging == 5);
    assert_eq!(stop(&mut agent, "a server that never answers, five seconds in all"), Some(10));
    receiver.set(Behaviour::Accept);
    let agent = Agent::start(&station);
    agent.wait_for("all are sent", |s| s.destinations[0].sent == 5);
    receiver.assert_has_exactly(&ids);
}

/// Each life of an agent is as large as the one before.
#[cfg(target_os = "linux")]
#[test]
fn fifty_lives_need_no_more_than_the_first() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut first = None;
    let lives = if std::env::var_os("WAYBILL_LONG").is_some() { 50 } else { 15 };
    for life in 0..lives {
        let mut agent = Agent::start(&station);
        station.drop_reports("ict", [life]);
        agent.wait_for("it is sent", |s| s.destinations[0].sent == life + 1 && s.sources[0].waiting == 0);
        let threads = std::fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap().count();
        let now = (threads, agent.open_descriptors().unwrap(), agent.resident_bytes().unwrap());
        let before = *first.get_or_insert(now);
        assert!(now.0 <= before.0 + 1 && now.1 <= before.1 + 3, "life {life}: {now:?}, the first {before:?}");
        assert!(now.2 < before.2 + before.2 / 4, "life {life}: {now:?}, the first {before:?}");
        assert!(agent.stop().success());
    }
}
