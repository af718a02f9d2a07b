//! The queue from the command line: looking into it, and what people do with what lies in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a fault of a test is told where it stands"
)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use waybill_ipc::protocol::{Connection, HistoryFilter, Page, Reply, Request};
use waybill_tests::edit::set;
use waybill_tests::sample::sample_serial;
use waybill_tests::station::StationBuilder;
use waybill_tests::{Agent, Behaviour, Receiver, Station, cli, cli_with, ipc_client, sample_id, sample_value, wait_until};

fn builder() -> StationBuilder {
    Station::builder().source("ict", |source| source.patterns(["*.json"]).converter("wsjf")).quick()
}

/// Refuses every report for good.
fn refuses() -> Behaviour {
    Behaviour::PerReport(Arc::new(|_| Behaviour::status(422)))
}

fn rows(station: &Station, arguments: &[&str]) -> Vec<Value> {
    cli(station, &[&["queue", "list", "--json"], arguments].concat()).json().as_array().expect("a list").clone()
}

fn ok(station: &Station, arguments: &[&str]) -> String {
    let output = cli(station, arguments);
    assert!(output.success(), "{arguments:?}: {output}");
    output.stdout
}

#[test]
fn what_failed_is_shown_with_its_reason_and_goes_again_once_it_is_mended() {
    let receiver = Receiver::start();
    receiver.set(refuses());
    let station = builder().wats(&receiver).folder_destination("copy").build();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..3);
    agent.wait_for("all are refused", |s| s.destinations[0].failed == 3 && s.destinations[1].sent == 3);
    let shown = ok(&station, &["queue", "show", &sample_id(1)]);
    for text in ["WB5003", "told to answer 422", &sample_serial(1), "to copy: sent", "to main: failed", "correlation id"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let entry = rows(&station, &["--serial", &sample_serial(1), "--destination", "main"])[0]["entry"].to_string();
    let report: Value = serde_json::from_str(&ok(&station, &["queue", "show", &entry, "--report"])).unwrap();
    assert_eq!(report["root"], sample_value(1)["root"]);
    let details = cli(&station, &["queue", "show", &entry, "--json"]).json();
    assert_eq!(details["deliveries"].as_array().unwrap().len(), 2);
    assert!(details["path"].as_str().unwrap().ends_with(&format!("{}.json", sample_serial(1))), "{details:#}");
    receiver.set(Behaviour::Accept);
    assert!(ok(&station, &["queue", "retry", &entry]).contains("1 delivery go"));
    receiver.wait_for_reports(1);
    assert!(ok(&station, &["queue", "retry", "--all"]).contains("2 deliveries"));
    receiver.wait_for_reports(3);
    receiver.assert_has_exactly(&ids);
    agent.wait_for("nothing is failed any more", |s| s.destinations[0].failed == 0 && s.destinations[0].sent == 3);
    let wrong = cli(&station, &["queue", "show", "999999"]);
    assert!(!wrong.success() && wrong.stderr.contains("there is no report"), "{wrong}");
    let nothing = cli(&station, &["queue", "retry"]);
    assert!(!nothing.success() && nothing.stderr.contains("it is not said which reports"), "{nothing}");
}

#[test]
fn giving_reports_up_asks_keeps_them_and_stands_in_the_history() {
    let receiver = Receiver::start();
    receiver.set(refuses());
    let station = builder().wats(&receiver).build();
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..2);
    agent.wait_for("both are refused", |s| s.destinations[0].failed == 2);
    let asked = cli(&station, &["queue", "discard", "--all", "--because", "a retest"]);
    assert!(!asked.success() && asked.stderr.contains("2 deliveries would be"), "{asked}");
    let without = cli(&station, &["queue", "discard", "--all", "--yes"]);
    assert!(!without.success() && without.stderr.contains("a reason is missing"), "{without}");
    assert_eq!(agent.snapshot().destinations[0].failed, 2, "nothing was given up");
    let done = cli(&station, &["queue", "discard", "--all", "--because", "a retest", "--yes", "--json"]).json();
    assert_eq!((&done["count"], &done["skipped"]), (&Value::from(2), &Value::from(0)));
    agent.wait_for("both are given up", |s| s.destinations[0].discarded == 2 && s.destinations[0].failed == 0);
    let given_up = rows(&station, &["--state", "discarded"]);
    assert!(given_up[0]["receipt"].as_str().unwrap().contains("a retest"), "{given_up:?}");
    let Ok(Reply::History(history)) = ipc_client(&station).request(Request::History {
        filter: HistoryFilter { action: Some("queue.discard".into()), ..HistoryFilter::default() },
        page: Page { after: None, limit: 10 },
    }) else {
        panic!()
    };
    assert!(
        history.iter().any(|entry| entry.message.as_deref().is_some_and(|m| m.contains("2 reports: a retest"))),
        "{history:?}"
    );
    // It can be taken back.
    receiver.set(Behaviour::Accept);
    ok(&station, &["queue", "retry", "--state", "discarded"]);
    receiver.wait_for_reports(2);
}

#[test]
fn reports_are_exported_as_they_are_sent_and_nothing_is_replaced() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).folder_destination("copy").build();
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..3);
    agent.wait_for("all are there", |s| s.destinations.iter().all(|d| d.sent == 3));
    let folder = station.folder().join("exported");
    let to = folder.to_str().unwrap();
    let first = cli(&station, &["queue", "export", "--to", to, "--json"]).json();
    assert_eq!(
        (&first["written"], &first["already_there"]),
        (&Value::from(3), &Value::from(0)),
        "one file a report, not a delivery"
    );
    let second = cli(&station, &["queue", "export", "--to", to, "--json"]).json();
    assert_eq!((&second["written"], &second["already_there"]), (&Value::from(0), &Value::from(3)));
    let sent = receiver.reports();
    for file in std::fs::read_dir(&folder).unwrap() {
        let report: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        assert_eq!(report, sent[report["id"].as_str().unwrap()]);
    }
}

#[test]
fn a_held_lane_and_a_held_destination_keep_what_they_have_over_a_restart() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("fast", |source| source.patterns(["*.json"]).converter("wsjf").priority(1))
        .source("slow", |source| source.patterns(["*.json"]).converter("wsjf").priority(9))
        .wats(&receiver)
        .quick()
        .build();
    let mut agent = Agent::start(&station);
    ok(&station, &["queue", "lanes", "--pause", "9"]);
    let slow = station.drop_reports("slow", 0..2);
    let fast = station.drop_reports("fast", 2..4);
    receiver.wait_for_reports(2);
    receiver.assert_has_exactly(&fast);
    ok(&station, &["destinations", "pause", "main"]);
    agent.wait_for("it is held", |s| s.destinations[0].state == Connection::Held);
    agent.kill();
    let agent = Agent::start(&station);
    let held = agent.wait_for("it is held still", |s| s.destinations[0].state == Connection::Held);
    assert_eq!((held.queue.held_lanes.clone(), held.destinations[0].pending), (vec![9], 2));
    ok(&station, &["destinations", "resume", "main"]);
    let lanes = cli(&station, &["queue", "lanes", "--json"]).json();
    let lane = |priority: u64| lanes.as_array().unwrap().iter().find(|row| row["priority"] == priority).unwrap().clone();
    assert_eq!((&lane(9)["held"], &lane(9)["pending"], &lane(1)["sent"]), (&Value::from(true), &Value::from(2), &Value::from(2)));
    ok(&station, &["queue", "lanes", "--resume", "9"]);
    receiver.wait_for_reports(4);
    receiver.assert_has_exactly(slow.iter().chain(&fast));
    // With nothing to send it shows at once as well.
    agent.wait_for("all went", |s| s.destinations[0].sent == 4);
    ok(&station, &["destinations", "pause", "main"]);
    agent.wait_for("it is held", |s| s.destinations[0].state == Connection::Held);
    let begun = std::time::Instant::now();
    ok(&station, &["destinations", "resume", "main"]);
    agent.wait_for("it is held no more", |s| s.destinations[0].state != Connection::Held);
    assert!(begun.elapsed() < Duration::from_secs(10), "not only when its heartbeat came");
}

#[test]
fn a_destination_that_is_left_alone_is_tried_at_once_if_a_person_wants_it() {
    let receiver = Receiver::start();
    receiver.stop_listening();
    let station = builder()
        .wats(&receiver)
        .upload("breaker_failures", 1)
        .upload("breaker_cooldown_secs", 3000)
        .upload("breaker_max_cooldown_secs", 3000)
        .build();
    let mut agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..5);
    agent.wait_for("it is left alone", |s| s.destinations[0].state == Connection::BreakerOpen && s.destinations[0].pending == 5);
    agent.stop();
    let agent = Agent::start(&station);
    let open = agent.wait_for("a restart changes nothing of it", |s| s.destinations[0].state == Connection::BreakerOpen);
    assert!(open.destinations[0].next_try_ms.is_some());
    receiver.listen_again();
    assert!(receiver.posts().is_empty());
    ok(&station, &["destinations", "reset-breaker", "main"]);
    receiver.wait_for_reports(5);
    receiver.assert_has_exactly(&ids);
}

#[test]
fn the_queue_is_compared_with_itself_and_copied_while_it_is_used() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).build();
    let none = cli(&station, &["fsck"]);
    assert!(!none.success() && none.stderr.contains("there is no queue yet"), "{none}");
    let mut agent = Agent::start(&station);
    station.drop_reports("ict", 0..20);
    receiver.wait_for_reports(20);
    agent.wait_for("all is written down", |s| s.destinations[0].sent == 20);
    let checked = cli(&station, &["fsck", "--json"]).json();
    assert_eq!(
        (&checked["entries"], &checked["payloads"], &checked["complete"]),
        (&Value::from(20), &Value::from(20), &Value::from(true))
    );
    assert!(checked["faults"].as_array().unwrap().is_empty(), "{checked:#}");
    let copy = cli(&station, &["queue", "backup", "--json"]).json()["path"].as_str().unwrap().to_owned();
    let count = |path: &std::path::Path| -> u64 {
        rusqlite::Connection::open(path).unwrap().query_row("SELECT count(*) FROM entry", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(std::path::Path::new(&copy)), 20);
    agent.stop();
    let stopped = cli_with(&station, &["fsck"], None, Duration::from_secs(60));
    assert!(stopped.success() && stopped.stdout.contains("nothing is wrong"), "{stopped}");
    // A count that does not fit and a report that was changed are found, and told by name.
    let queue = rusqlite::Connection::open(station.data().join("queue.db")).unwrap();
    queue.execute("UPDATE counter SET count = count - 1 WHERE state = 3", []).unwrap();
    queue.execute("UPDATE entry SET hash = zeroblob(32) WHERE serial = ?1", [sample_serial(7)]).unwrap();
    drop(queue);
    let broken = cli(&station, &["fsck"]);
    assert!(!broken.success(), "{broken}");
    assert!(broken.stdout.contains(&sample_serial(7)) && broken.stdout.contains("20 are there"), "{broken}");
}

/// No destination: reports wait for one, bounded and counted as for any.
#[test]
fn what_waits_for_no_destination_is_counted_and_bounded_and_goes_when_there_is_one() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .queue("max_entries", 5)
        .quick()
        .build();
    let mut agent = Agent::start(&station);
    ipc_client(&station).change(&[set("destination.main.enabled", false)]).unwrap();
    let ids = station.drop_reports("ict", 0..8);
    agent.wait_for("five are queued, three wait in their folder", |s| {
        s.sources[0].queued == 5 && s.sources[0].waiting == 3 && s.queue.full
    });
    let say_so = || cli(&station, &["health"]).stdout.contains("5 reports wait until there is one");
    wait_until("health says so", say_so);
    agent.kill();
    let agent = Agent::start(&station);
    agent.wait_for("it is full after a restart", |s| s.queue.full && s.sources[0].waiting == 3);
    wait_until("health says so", say_so);
    ipc_client(&station).change(&[set("destination.main.enabled", true)]).unwrap();
    agent.wait_for("all are sent", |s| s.destinations[0].sent == 8);
    receiver.assert_has_exactly(&ids);
    agent.counts().assert_issued(8);
    assert!(cli(&station, &["fsck"]).success());
}

#[test]
fn a_lane_that_is_held_shows_before_anything_is_in_it_and_an_order_for_no_destination_is_an_error() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    let held = cli(&station, &["queue", "lanes", "--pause", "3"]);
    assert!(held.success() && held.stdout.contains("HELD"), "{held}");
    let shown = cli(&station, &["queue", "lanes"]);
    assert!(shown.stdout.lines().any(|line| line.contains('3') && line.contains("HELD")), "{shown}");
    let nowhere = cli(&station, &["queue", "retry", "--destination", "nosuch"]);
    assert!(!nowhere.success() && nowhere.stderr.contains("nosuch") && nowhere.stderr.contains("main"), "{nowhere}");
    drop(agent);
}
