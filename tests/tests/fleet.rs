//! Many stations and one server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a fault of a test is told where it stands, with how they were spread"
)]

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use waybill_ipc::protocol::Connection;
use waybill_tests::wait::bound;
use waybill_tests::{Agent, Receiver, Station, wait_until};

/// Agents, each a process.
const AGENTS: u64 = 50;
/// Reports that each has waiting when the server comes back.
const REPORTS: u64 = 10;
/// From the server's going away: every breaker has opened and is at its longest cooldown, and no two are in step.
const OUTAGE: Duration = Duration::from_secs(10);

/// What came in each second from the first of them to the last.
fn by_second(mut times: Vec<Instant>) -> Vec<usize> {
    times.sort();
    let (first, last) = (times[0], times[times.len() - 1]);
    let second = |at: Instant| usize::try_from((at - first).as_secs()).unwrap();
    let mut seconds = vec![0; second(last) + 1];
    times.iter().for_each(|&at| seconds[second(at)] += 1);
    seconds
}

fn assert_spread(what: &str, seconds: &[usize]) {
    let mean = seconds.iter().sum::<usize>() as f64 / seconds.len() as f64;
    println!("{what}: {seconds:?}, mean {mean:.1} a second");
    assert!(seconds.len() > 2, "{what}: all in {} s", seconds.len());
    assert!(
        seconds.iter().all(|&count| count as f64 <= 3.0 * mean),
        "{what}: a second holds more than 3 x the mean: {seconds:?}"
    );
}

#[test]
fn fifty_agents_whose_server_comes_back_do_not_come_all_at_once() {
    let receiver = Receiver::start();
    let stations: Vec<_> = (0..AGENTS)
        .map(|_| {
            Station::builder()
                .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
                .wats(&receiver)
                .upload("breaker_cooldown_secs", 2)
                .upload("breaker_max_cooldown_secs", 4)
                .build()
        })
        .collect();
    let agents: Vec<_> = stations.iter().map(Agent::start).collect();
    // Each has a connection when the server goes away.
    let numbers = |agent: u64| agent * 100..agent * 100 + REPORTS;
    for (n, station) in (0..).zip(&stations) {
        station.drop_reports("ict", [n * 100 + 99]);
    }
    receiver.wait_for_reports(stations.len());
    receiver.stop_listening();
    let away = Instant::now();
    let mut ids = HashMap::new();
    for (n, station) in (0..).zip(&stations) {
        ids.extend(station.drop_reports("ict", numbers(n)).into_iter().map(|id| (id, n)));
    }
    for agent in &agents {
        agent.wait_for("its breaker is open", |s| {
            s.destinations[0].state == Connection::BreakerOpen && s.queue.waiting == REPORTS
        });
    }
    wait_until("the outage has lasted", || away.elapsed() >= bound(OUTAGE));
    receiver.forget();
    receiver.listen_again();
    receiver.wait_for_reports(ids.len());
    let mut first = BTreeMap::new();
    for post in receiver.posts() {
        first.entry(ids[&post.id]).or_insert(post.at);
    }
    assert_eq!(first.len(), agents.len());
    assert_spread("first report of each agent", &by_second(first.into_values().collect()));
    assert_spread("all reports", &by_second(receiver.posts().iter().map(|post| post.at).collect()));
    receiver.assert_has_exactly(ids.keys());
    assert_eq!(receiver.posts().len(), ids.len(), "none is sent twice");
}
