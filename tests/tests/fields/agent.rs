use std::fs;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waybill_ipc::ClientError;
use waybill_ipc::client::Deadlines;
use waybill_ipc::protocol::{CheckResult, ClientKind, Event, HealthState, Reply, Request, SecretText, Update};
use waybill_shared::error::Code;
use waybill_tests::edit::set;
use waybill_tests::station::StationBuilder;
use waybill_tests::wait::bound;
use waybill_tests::{Agent, Behaviour, Ipc, Receiver, Station, ipc_client, wait_until};

fn builder(receiver: &Receiver) -> StationBuilder {
    Station::builder().source("ict", |source| source.patterns(["*.json"]).converter("wsjf")).wats(receiver).quick()
}

fn running(receiver: &Receiver) -> (Station, Agent, Ipc) {
    let station = builder(receiver).build();
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    (station, agent, ipc)
}

#[test]
fn a_request_is_given_up_when_its_time_is_over() {
    let receiver = Receiver::start();
    let (station, _agent, ipc) = running(&receiver);
    ipc.change(&[set("ipc.request_timeout_secs", 1)]).unwrap();
    receiver.set(Behaviour::Hang);
    let begun = Instant::now();
    let test = Request::TestDestination { name: "main".to_owned(), edits: Vec::new(), token: None };
    match ipc_client(&station).request(test) {
        Err(ClientError::Agent(error)) => assert_eq!(error.code, Code::PeerTimeout),
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() < bound(Duration::from_secs(8)), "the test alone would take ten seconds");
    assert!(receiver.look(|state| state.hanging) > 0 || begun.elapsed() >= Duration::from_secs(1));
    receiver.release();
}

#[test]
fn a_connection_that_is_silent_is_closed_when_its_time_is_over() {
    let receiver = Receiver::start();
    let (station, _agent, ipc) = running(&receiver);
    ipc.change(&[set("ipc.idle_timeout_secs", 10)]).unwrap();
    // The library's own client would ping.
    let mut silent = waybill_tests::raw_stream(&station);
    silent.greet(ClientKind::Window).unwrap().unwrap();
    assert!(silent.closed_within(Duration::from_secs(60)), "it is held for ever");
}

#[test]
fn no_more_than_so_many_connections_are_held() {
    let receiver = Receiver::start();
    let (station, _agent, ipc) = running(&receiver);
    ipc.change(&[set("ipc.max_connections", 8)]).unwrap();
    let more: Vec<_> = (0..20).map(|_| Ipc::connect(&station, ClientKind::Window, Deadlines::default())).collect();
    let refused = more.iter().filter(|client| client.is_err()).count();
    assert!((12..20).contains(&refused), "{refused} of 20 were refused");
}

#[test]
fn so_many_changes_may_come_at_once_and_so_many_in_a_minute() {
    let receiver = Receiver::start();
    let station = builder(&receiver).setting("ipc", "changes_per_minute", 1).setting("ipc", "changes_burst", 3).build();
    let _agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let change = |ipc: &Ipc, n: u32| ipc.change(&[set("station.location", format!("Line {n}"))]);
    for n in 0..3 {
        change(&ipc, n).unwrap();
    }
    assert_eq!(change(&ipc, 3).unwrap_err().code, Code::TooManyRequests);
    ipc_client(&station).change(&[set("ipc.changes_per_minute", 6000)]).unwrap();
    // It counts for connections from now on. One a minute would take too long.
    let (ipc, mut changed) = (ipc_client(&station), 0);
    wait_until("twelve are made", || {
        changed += u32::from(change(&ipc, changed).is_ok());
        changed == 12
    });
}

#[test]
fn without_the_pin_so_much_may_be_done_as_is_said() {
    let receiver = Receiver::start();
    let station = builder(&receiver).build();
    let _agent = Agent::start(&station);
    let engineer = ipc_client(&station);
    engineer.change(&[set("access.without_pin", "viewer")]).unwrap();
    engineer.request(Request::SetPin { old: None, new: SecretText::new("271828") }).unwrap();
    let test = || Request::TestDestination { name: "main".to_owned(), edits: Vec::new(), token: None };
    match ipc_client(&station).request(test()) {
        Err(ClientError::Agent(error)) => assert_eq!(error.code, Code::RoleMissing),
        other => panic!("{other:?}"),
    }
    engineer.request(Request::Elevate { pin: SecretText::new("271828") }).unwrap();
    engineer.change(&[set("access.without_pin", "operator")]).unwrap();
    assert!(matches!(ipc_client(&station).request(test()), Ok(Reply::DestinationTest(_))));
}

fn check(ipc: &Ipc, name: &str, fresh: bool) -> CheckResult {
    match ipc.request(Request::Health { fresh }) {
        Ok(Reply::Health(report)) => report.checks.into_iter().find(|check| check.name == name).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn health_is_looked_at_as_often_and_as_long_as_is_said() {
    let receiver = Receiver::start();
    let (_station, _agent, ipc) = running(&receiver);
    ipc.change(&[set("health.interval_secs", 1), set("health.timeout_secs", 1)]).unwrap();
    let mut looked = Vec::new();
    wait_until("it is looked at by itself", || {
        looked.extend(check(&ipc, "destination main", false).checked_at_ms.filter(|at| !looked.contains(at)));
        looked.len() > 3
    });
    assert!(looked[3] - looked[1] < 20_000, "{looked:?}");
    receiver.set(Behaviour::Hang);
    let begun = Instant::now();
    let hangs = check(&ipc, "destination main", true);
    assert!(hangs.state == HealthState::Unhealthy && hangs.message.contains("does not answer"), "{hangs:?}");
    assert!(begun.elapsed() < bound(Duration::from_secs(4)), "five seconds are the default");
    receiver.release();
}

#[test]
fn a_report_that_waits_longer_than_is_said_is_told() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::status(503));
    let station = builder(&receiver).build();
    let mut agent = Agent::start(&station);
    station.drop_reports("ict", [0]);
    agent.wait_for("it is queued", |s| s.sources[0].queued == 1);
    assert!(agent.stop().success());
    // Five minutes pass.
    let store = rusqlite::Connection::open(station.data().join("queue.db")).unwrap();
    assert_eq!(store.execute("UPDATE entry SET queued_at = queued_at - 300000", []).unwrap(), 1);
    drop(store);
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let waits_long = |ipc: &Ipc| check(ipc, "destination main", true).message.contains("waited");
    wait_until("it waits for its server", || !ipc.deliveries(None, None).is_empty());
    assert!(!waits_long(&ipc), "a quarter of an hour is the default: {:?}", check(&ipc, "destination main", true));
    ipc.change(&[set("health.oldest_pending_minutes", 4)]).unwrap();
    wait_until("it waits too long", || waits_long(&ipc));
    drop(agent);
}

#[test]
fn lines_are_written_from_the_level_on_that_is_said() {
    let receiver = Receiver::start();
    let (station, _agent, ipc) = running(&receiver);
    let log = || fs::read_to_string(station.instance().logs().join("agent.log")).unwrap();
    assert!(!log().contains("\"level\":\"DEBUG\""));
    ipc.change(&[set("log.level", "debug")]).unwrap();
    station.drop_reports("ict", [0]);
    wait_until("details are written", || log().contains("\"level\":\"DEBUG\""));
    ipc.change(&[set("log.level", "error")]).unwrap();
    let before = log().lines().count();
    station.drop_reports("ict", [1]);
    receiver.wait_for_reports(2);
    ipc.change(&[set("log.level", "info")]).unwrap();
    wait_until("it is written again", || {
        ipc.change(&[set("station.location", format!("Line {}", Timestamp::now()))]).unwrap();
        log().lines().count() > before
    });
    let of_the_second = waybill_tests::sample_id(1);
    assert!(!log().contains(&of_the_second), "nothing was written of the second report");
}

#[test]
fn log_files_are_as_large_and_as_many_as_is_said() {
    let receiver = Receiver::start();
    let station = builder(&receiver)
        .setting("log", "max_bytes", 65536)
        .setting("log", "max_files", 2)
        .setting("log", "level", "debug")
        .build();
    let agent = Agent::start(&station);
    let files = || {
        let entries = fs::read_dir(station.instance().logs()).unwrap().flatten();
        entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().len())).collect::<Vec<_>>()
    };
    let mut reports = 0;
    // More than three files would hold.
    while reports < 600 {
        station.drop_reports("ict", reports..reports + 100);
        reports += 100;
        agent.wait_for("they are sent", |s| s.destinations[0].sent == reports);
    }
    let files = files();
    assert_eq!(files.len(), 3, "one that is written and two older ones: {files:?}");
    assert!(files.iter().all(|(_, bytes)| *bytes < 65536 + 8192), "{files:?}");
}

#[test]
fn windows_are_told_how_to_look() {
    let receiver = Receiver::start();
    let (_station, agent, mut ipc) = running(&receiver);
    let identity = agent.snapshot().agent.identity;
    assert_eq!((identity.window_theme.as_str(), identity.window_zoom), ("system", 100));
    ipc.subscribe().unwrap();
    ipc.change(&[set("window.theme", "dark"), set("window.zoom_percent", 150)]).unwrap();
    loop {
        let update = ipc.next_update(Duration::from_secs(60)).expect("an event that tells it");
        if let Update::Event { event: Event::Configured(now), .. } = update {
            let identity = now.identity;
            assert_eq!((identity.window_theme.as_str(), identity.window_zoom), ("dark", 150));
            return;
        }
    }
}
