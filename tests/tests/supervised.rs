//! What runs in an agent, seen from outside; and a thread that hangs in the middle of its work.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a fault of a test is told where it stands; the fault is made on purpose"
)]

use serde_json::Value;
use waybill_tests::{Agent, Receiver, Station, cli};

fn tasks(station: &Station) -> Vec<Value> {
    cli(station, &["tasks", "--json"]).json().as_array().unwrap().clone()
}

#[test]
fn everything_that_runs_is_listed_for_people_and_for_scripts() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    let rows = tasks(&station);
    for name in [
        "configuration",
        "connections",
        "converter 1",
        "destination main",
        "queue reader 1",
        "queue writer",
        "source ict",
        "supervisor",
    ] {
        let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name} in {rows:?}"));
        assert_eq!((&row["state"], &row["restarts"], &row["cause"]), (&"running".into(), &0.into(), &Value::Null), "{row}");
    }
    let shown = cli(&station, &["tasks"]);
    assert!(shown.success() && shown.stdout.contains("queue writer") && shown.stdout.contains("thread"), "{shown}");
    drop(agent);
    assert_eq!(cli(&station, &["tasks"]).code(), Some(3));
}

/// A report's file in the spool that cannot be read to its end: a pipe that nobody writes into, as a dead disk would be.
#[cfg(unix)]
#[test]
fn a_thread_that_hangs_is_named_and_ends_the_agent_so_that_it_is_started_again() {
    use std::time::Duration;

    use waybill_tests::edit::set;
    use waybill_tests::sample::large_report;
    use waybill_tests::{ipc_client, wait_until};

    let receiver = Receiver::start();
    receiver.stop_listening();
    let station =
        Station::builder().source("ict", |source| source.patterns(["*.json"]).converter("wsjf")).wats(&receiver).quick().build();
    let agent = Agent::start(&station);
    let (id, bytes) = large_report(1, 600_000);
    station.drop_file("ict", "large.json", &bytes);
    agent.wait_for("it waits", |s| s.destinations[0].pending == 1 && s.sources[0].waiting == 0);
    drop(agent);
    let spooled = std::fs::read_dir(station.data().join("spool")).unwrap().next().unwrap().unwrap().path();
    let kept = station.folder().join("kept");
    std::fs::rename(&spooled, &kept).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&spooled).status().unwrap().success());
    receiver.listen_again();

    let mut agent = Agent::start(&station);
    // Two minutes are the default, and half a minute between two looks.
    ipc_client(&station).change(&[set("health.task_check_secs", 1), set("health.task_stall_secs", 5)]).unwrap();
    wait_until("it is named", || {
        tasks(&station).iter().any(|row| row["state"] == "stalled" && row["name"].as_str().unwrap().starts_with("queue reader"))
    });
    let health = cli(&station, &["health"]);
    assert!(!health.success() && health.stdout.contains("has work to do and has got no further"), "{health}");
    let status = agent.wait_exit(Duration::from_secs(60));
    assert_eq!(status.code(), Some(12), "{}", agent.stderr());
    assert!(agent.stderr().contains("queue reader") && agent.stderr().contains("WB7005"), "{}", agent.stderr());
    assert!(station.log_tail(200_000).contains("task_stalls"));

    std::fs::remove_file(&spooled).unwrap();
    std::fs::rename(&kept, &spooled).unwrap();
    let agent = Agent::start(&station);
    agent.wait_for("it is sent", |s| s.destinations[0].sent == 1);
    receiver.assert_has_exactly(&[id]);
}
