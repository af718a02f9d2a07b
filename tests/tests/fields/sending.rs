use std::net::TcpListener;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waybill_ipc::protocol::{Connection, DeliveryState, Snapshot};
use waybill_shared::fs::atomic;
use waybill_tests::edit::{set, unset};
use waybill_tests::station::StationBuilder;
use waybill_tests::wait::bound;
use waybill_tests::{Agent, Behaviour, Receiver, Station, ipc_client, wait_until};

fn builder() -> StationBuilder {
    Station::builder().source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
}

/// Seconds from now until the destination is tried again.
fn next_try(snapshot: &Snapshot) -> Option<i64> {
    seconds_until(snapshot.destinations[0].next_try_ms?)
}

fn seconds_until(at_ms: i64) -> Option<i64> {
    at_ms.checked_sub(Timestamp::now().as_millisecond()).map(|ms| ms / 1000)
}

#[test]
fn a_destination_that_is_switched_off_gets_nothing_and_keeps_what_waits() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::status(503));
    let station = builder().wats(&receiver).folder_destination("archive").quick().build();
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let mut ids = station.drop_reports("ict", 0..2);
    receiver.wait(|state| state.posts.len() > 2);
    ipc.change(&[set("destination.main.enabled", false)]).unwrap();
    let status =
        agent.wait_for("it is off", |s| s.destinations[0].state == Connection::Disabled && s.destinations[0].sending == 0);
    assert_eq!(status.destinations[0].pending, 2);
    receiver.set(Behaviour::Accept);
    station.drop_reports("ict", [2]);
    agent.wait_for("the third goes to the other destination only", |s| s.destinations[1].sent == 3);
    assert!(receiver.reports().is_empty());
    ipc.change(&[set("destination.main.enabled", true)]).unwrap();
    ids.extend(station.drop_reports("ict", [3]));
    receiver.wait_for_reports(3);
    receiver.assert_has_exactly(&ids);
}

#[test]
fn a_token_is_read_from_the_file_that_is_named() {
    let receiver = Receiver::start();
    let station = builder().wats_at("main", &receiver.url(), None).quick().build();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", [0]);
    agent.wait_for("it lacks the token", |s| s.destinations[0].state == Connection::Paused);
    let file = station.folder().join("token.txt");
    atomic::create_private(&file, receiver.token().as_bytes()).unwrap();
    ipc_client(&station).change(&[set("destination.main.token_file", file.display())]).unwrap();
    receiver.wait_for_reports(1);
    receiver.assert_has_exactly(&ids);
}

#[test]
fn a_server_that_does_not_greet_is_given_up_in_time() {
    // It takes the connection, and never says who it is.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let station = builder().wats_at("main", &url, Some("dG9rZW46MQ==")).upload("connect_timeout_secs", 1).build();
    let agent = Agent::start(&station);
    station.drop_reports("ict", [0]);
    let status = agent.wait_for("it is given up", |s| s.destinations[0].error.is_some());
    let error = status.destinations[0].error.clone().unwrap();
    assert!(error.message.contains("upload.connect_timeout_secs"), "{error}");
}

#[test]
fn a_report_waits_as_long_as_is_said_before_it_is_tried_again() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::status(500));
    let station = builder()
        .wats(&receiver)
        .upload("backoff_initial_secs", 3000)
        .upload("backoff_max_secs", 3600)
        .upload("breaker_failures", 100)
        .build();
    let _agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    station.drop_reports("ict", [0]);
    let due = || {
        let rows = ipc.deliveries(None, Some(DeliveryState::Pending));
        rows.first().and_then(|row| seconds_until(row.due_at_ms?))
    };
    wait_until("it waits for long", || due().is_some_and(|seconds| (100..=3600).contains(&seconds)));
    // What waits already goes on waiting. Without a longest time, the pause before the tenth try would be of minutes.
    ipc.change(&[set("upload.backoff_initial_secs", 1), set("upload.backoff_max_secs", 1)]).unwrap();
    let begun = Instant::now();
    let before = receiver.posts().len();
    station.drop_reports("ict", [1]);
    receiver.wait(|state| state.posts.len() >= before + 10);
    assert!(begun.elapsed() < bound(Duration::from_secs(40)), "{:?}", begun.elapsed());
}

#[test]
fn a_destination_that_is_down_is_left_alone_as_long_as_is_said() {
    let receiver = Receiver::start();
    receiver.stop_listening();
    let station = builder()
        .wats(&receiver)
        .upload("backoff_initial_secs", 1)
        .upload("backoff_max_secs", 1)
        .upload("breaker_failures", 2)
        .upload("breaker_cooldown_secs", 1000)
        .upload("breaker_max_cooldown_secs", 2000)
        .build();
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    station.drop_reports("ict", [0]);
    let open = |s: &Snapshot| s.destinations[0].state == Connection::BreakerOpen;
    let waits = next_try(&agent.wait_for("it is left alone", open)).unwrap();
    assert!((400..=1500).contains(&waits), "{waits} s: longer or shorter by chance, up to its half");
    // The longest counts for the first time as well. A destination that is changed begins anew.
    ipc.change(&[set("upload.breaker_cooldown_secs", 60), set("upload.breaker_max_cooldown_secs", 60)]).unwrap();
    let shorter = |s: &Snapshot| open(s) && next_try(s).is_some_and(|seconds| seconds <= 90);
    agent.wait_for("it is left alone for a shorter time", shorter);
    ipc.change(&[set("upload.breaker_failures", 100)]).unwrap();
    agent.wait_for("it is tried again and again", |s| s.destinations[0].error.is_some() && !open(s));
}

#[test]
fn a_paused_destination_is_asked_again_as_often_as_is_said() {
    let receiver = Receiver::start();
    receiver.set_token("another one");
    let station = builder().wats_at("main", &receiver.url(), Some("dG9rZW46MQ==")).upload("paused_probe_secs", 500).build();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", [0]);
    let paused = |s: &Snapshot| s.destinations[0].state == Connection::Paused;
    let waits = next_try(&agent.wait_for("it is paused", paused)).unwrap();
    assert!((350..=500).contains(&waits), "{waits} s");
    ipc_client(&station).change(&[set("upload.paused_probe_secs", 1)]).unwrap();
    agent.wait_for("it is paused again", |s| paused(s) && next_try(s).is_none_or(|seconds| seconds <= 1));
    receiver.set_token("dG9rZW46MQ==");
    receiver.wait_for_reports(1);
    receiver.assert_has_exactly(&ids);
}

#[test]
fn sent_reports_are_kept_as_long_as_is_said() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).setting("retention", "sent_days", 7).build();
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    station.drop_reports("ict", 0..3);
    agent.wait_for("all are sent", |s| s.destinations[0].sent == 3);
    assert_eq!(ipc.deliveries(None, Some(DeliveryState::Sent)).len(), 3);
    ipc.change(&[set("retention.sent_days", 0)]).unwrap();
    wait_until("they are gone", || ipc.deliveries(None, None).is_empty());
    assert_eq!(agent.snapshot().destinations[0].sent, 3, "they were sent all the same");
    ipc.change(&[unset("retention.sent_days")]).unwrap();
}
