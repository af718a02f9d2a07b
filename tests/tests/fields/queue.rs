//! What bounds the queue, and how long things stay in it.

use std::sync::Arc;

use base64::Engine as _;
use serde_json::json;
use waybill_ipc::protocol::{Connection, DeliveryFilter, DeliveryState, FullBy, HealthState, Page, Reply, Request, Which};
use waybill_tests::edit::set;
use waybill_tests::station::StationBuilder;
use waybill_tests::{Agent, Behaviour, Receiver, Station, ipc_client, sample_report, wait_until};

fn builder() -> StationBuilder {
    Station::builder().source("ict", |source| source.patterns(["*.json"]).converter("wsjf")).quick()
}

/// A report that takes about as many bytes in the store as it has: its attachment is noise.
fn drop_noise(station: &Station, number: u64, bytes: usize) -> String {
    let (id, report) = sample_report(number);
    let mut report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let mut random = fastrand::Rng::with_seed(number);
    let noise: Vec<u8> = (0..bytes).map(|_| random.u8(..)).collect();
    let data = base64::engine::general_purpose::STANDARD.encode(noise);
    report["root"]["attachment"] = json!({ "name": "noise.bin", "contentType": "application/octet-stream", "data": data });
    station.drop_file("ict", &format!("{id}.json"), report.to_string().as_bytes());
    id
}

fn filter(state: DeliveryState) -> DeliveryFilter {
    DeliveryFilter { state: Some(state), ..DeliveryFilter::default() }
}

fn waiting_station(receiver: &Receiver) -> Station {
    receiver.stop_listening();
    builder().wats(receiver).build()
}

#[test]
fn reports_may_take_so_many_bytes_and_no_more() {
    let receiver = Receiver::start();
    receiver.stop_listening();
    let station = builder().wats(&receiver).queue("max_bytes", 1024 * 1024).build();
    let agent = Agent::start(&station);
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(drop_noise(&station, n, 200_000));
    }
    let full = agent.wait_for("it is full", |s| s.queue.full);
    assert_eq!(full.queue.full_by, Some(FullBy::Bytes));
    let there = full.destinations[0].pending;
    assert!((2..12).contains(&there), "{there}");
    ipc_client(&station).change(&[set("queue.max_bytes", 64 * 1024 * 1024)]).unwrap();
    agent.wait_for("all are in", |s| s.destinations[0].pending == 12 && !s.queue.full);
    receiver.listen_again();
    receiver.wait_for_reports(12);
    receiver.assert_has_exactly(&ids);
}

#[test]
fn so_much_of_the_disk_stays_free_as_is_said() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).queue("min_free_bytes", 1_u64 << 50).build();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..3);
    let full = agent.wait_for("it is full", |s| s.queue.full);
    assert_eq!(full.queue.full_by, Some(FullBy::Disk));
    assert_eq!(full.destinations[0].issued(), 0);
    let ipc = ipc_client(&station);
    ipc.change(&[set("queue.min_free_bytes", 0), set("queue.min_free_percent", 0)]).unwrap();
    receiver.wait_for_reports(3);
    receiver.assert_has_exactly(&ids);
    // No disk is empty by half and more of what a test machine has; the larger of both counts.
    ipc.change(&[set("queue.min_free_percent", 50), set("queue.min_free_bytes", 0)]).unwrap();
    let free = waybill_shared::fs::free_space(&station.data()).unwrap();
    let is_full = free.0 < free.1 / 100 * 50;
    agent.wait_for("it is as full as the disk", |s| s.queue.full == is_full);
}

#[test]
fn many_failed_reports_make_a_destination_unhealthy() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::PerReport(Arc::new(|_| Behaviour::status(400))));
    let station = builder().wats(&receiver).queue("max_failed", 2).build();
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let health = |state: HealthState| {
        wait_until(&format!("it is {state:?}"), || match ipc.request(Request::Health { fresh: true }) {
            Ok(Reply::Health(report)) => {
                report.checks.iter().any(|check| check.name == "destination main" && check.state == state)
            }
            other => panic!("{other:?}"),
        });
    };
    station.drop_reports("ict", 0..1);
    agent.wait_for("one failed", |s| s.destinations[0].failed == 1);
    health(HealthState::Degraded);
    station.drop_reports("ict", 1..2);
    agent.wait_for("two failed", |s| s.destinations[0].failed == 2);
    health(HealthState::Unhealthy);
}

#[test]
fn what_was_given_up_is_kept_as_long_as_is_said() {
    let receiver = Receiver::start();
    let station = waiting_station(&receiver);
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..2);
    agent.wait_for("both wait", |s| s.destinations[0].pending == 2);
    let ipc = ipc_client(&station);
    let which = Which::All { filter: filter(DeliveryState::Pending), after: None };
    let Ok(Reply::Changed(changed)) = ipc.request(Request::DiscardDeliveries { which, why: "a test".into() }) else { panic!() };
    assert_eq!(changed.count, 2);
    let there = || match ipc
        .request(Request::Deliveries { filter: filter(DeliveryState::Discarded), page: Page { after: None, limit: 10 } })
    {
        Ok(Reply::Deliveries(rows)) => rows.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(there(), 2);
    ipc.change(&[set("retention.discarded_days", 0)]).unwrap();
    wait_until("they are gone", || there() == 0);
    assert_eq!(agent.snapshot().destinations[0].discarded, 2, "the count stays");
}

#[test]
fn so_many_reports_a_second_are_sent_as_is_said() {
    let receiver = Receiver::start();
    receiver.stop_listening();
    let station = builder().wats(&receiver).upload("max_per_second", 5).build();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..15);
    agent.wait_for("all wait", |s| s.destinations[0].pending == 15 && s.destinations[0].state == Connection::BreakerOpen);
    receiver.listen_again();
    let ipc = ipc_client(&station);
    ipc.request(Request::ResetBreaker { name: "main".into() }).unwrap();
    receiver.wait_for_reports(15);
    receiver.assert_has_exactly(&ids);
    let posts = receiver.posts();
    let (first, last) = (posts.first().unwrap().at, posts.last().unwrap().at);
    // Fourteen pauses of a fifth of a second.
    assert!((last - first).as_secs_f64() > 2.5, "{:?}", last - first);
}

#[test]
fn reports_that_need_not_arrive_make_room_before_the_queue_is_full() {
    let receiver = Receiver::start();
    let (off, station) = {
        let off = Receiver::start();
        off.stop_listening();
        let station = builder().wats(&receiver).wats_at("extra", &off.url(), Some(&off.token())).queue("max_entries", 10).build();
        (off, station)
    };
    let agent = Agent::start(&station);
    ipc_client(&station).change(&[set("destination.extra.required", false)]).unwrap();
    let ids = station.drop_reports("ict", 0..12);
    receiver.wait_for_reports(12);
    receiver.assert_has_exactly(&ids);
    let full = agent.wait_for("room was made", |s| s.destinations.iter().any(|d| d.name == "extra" && d.evicted == 4));
    assert_eq!(full.destinations.iter().find(|d| d.name == "extra").unwrap().pending, 8);
    assert!(!full.queue.full);
    drop(off);
}
