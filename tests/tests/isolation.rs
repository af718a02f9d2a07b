//! Several destinations: what happens to one is nothing to the others.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault of a test is told where it stands")]

use std::time::Duration;

use waybill_ipc::protocol::{Connection, Snapshot};
use waybill_tests::{Agent, Behaviour, Receiver, Station, cli};

fn state(snapshot: &Snapshot, name: &str) -> Connection {
    snapshot.destinations.iter().find(|d| d.name == name).unwrap().state
}

#[test]
fn one_that_is_down_and_one_that_hangs_are_nothing_to_the_third() {
    let (down, hangs, well) = (Receiver::start(), Receiver::start(), Receiver::start());
    down.stop_listening();
    hangs.set(Behaviour::Hang);
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats_named("down", &down)
        .wats_named("hangs", &hangs)
        .wats_named("well", &well)
        .upload("breaker_cooldown_secs", 1)
        .upload("breaker_max_cooldown_secs", 1)
        .upload("concurrency", 4)
        .build();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..100);
    well.wait_for_reports(100);
    well.assert_has_exactly(&ids);
    // Answered while the hung ones still hang and the other is still down.
    let meanwhile = agent.wait_for("the breaker is open", |s| state(s, "down") == Connection::BreakerOpen);
    assert_eq!(state(&meanwhile, "well"), Connection::Online);
    assert_eq!(hangs.look(|state| (state.posts.len(), state.accepted_ids)), (4, 0), "as many hang as may be on their way");
    let counts = |name: &str| meanwhile.destinations.iter().find(|d| d.name == name).unwrap().clone();
    assert_eq!((counts("down").pending + counts("down").sending, counts("hangs").pending + counts("hangs").sending), (100, 100));
    // An open one fails fast: nothing goes there but by its turn, and a person's question is answered at once.
    assert!(cli(&station, &["status"]).success());
    down.listen_again();
    hangs.set(Behaviour::Accept);
    hangs.release();
    down.wait_for_reports(100);
    hangs.wait_for_reports(100);
    down.assert_has_exactly(&ids);
    hangs.assert_has_exactly(&ids);
}

#[test]
fn what_is_overdue_and_may_not_go_keeps_nobody_busy() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::status(500));
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .upload("backoff_initial_secs", 1)
        .upload("backoff_max_secs", 1)
        .build();
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..3);
    receiver.wait(|state| state.posts.len() >= 3);
    assert!(cli(&station, &["destinations", "pause", "main"]).success());
    agent.wait_for("nothing is on its way", |s| state(s, "main") == Connection::Held && s.destinations[0].pending == 3);
    // All three are due by then, and held.
    assert!(!receiver.happens_within(Duration::from_secs(2), |state| state.in_flight > 0));
    let Some(before) = agent.cpu_time() else { return };
    assert!(!receiver.happens_within(Duration::from_secs(4), |state| state.in_flight > 0));
    let used = agent.cpu_time().unwrap() - before;
    // Processor time, which a busy machine does not lengthen: it looked a thousand times a second whether it may.
    assert!(used < Duration::from_millis(80), "{used:?} in 4 s of waiting");
}

#[test]
fn half_open_lets_exactly_one_probe_through() {
    let receiver = Receiver::start();
    receiver.stop_listening();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .upload("breaker_cooldown_secs", 1)
        .upload("breaker_max_cooldown_secs", 1)
        .upload("concurrency", 8)
        .build();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..40);
    agent.wait_for("the breaker is open", |s| state(s, "main") == Connection::BreakerOpen && s.destinations[0].pending == 40);
    receiver.set(Behaviour::Hang);
    receiver.listen_again();
    receiver.wait(|state| state.in_flight == 1);
    // While the probe hangs no other report goes, however many wait and may be on their way.
    assert!(!receiver.happens_within(Duration::from_secs(3), |state| state.posts.len() > 1), "{:?}", receiver.posts().len());
    receiver.set(Behaviour::Accept);
    receiver.release();
    receiver.wait_for_reports(40);
    receiver.assert_has_exactly(&ids);
    agent.wait_for("it is closed", |s| state(s, "main") == Connection::Online && s.destinations[0].sent == 40);
}
