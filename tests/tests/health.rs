//! Health as people, scripts and containers see it: what is broken is named, and the command answers in time, whatever hangs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault of this test is told where it stands")]

use std::time::Duration;

use serde_json::Value;
use waybill_tests::agent::CliOutput;
use waybill_tests::station::StationBuilder;
use waybill_tests::{Agent, Receiver, Station, cli, cli_with, wait_until, wine_cannot_show};

/// `health` answers within so long, always.
const PROMISED: Duration = Duration::from_secs(5);

/// Well, not well, no agent, no answer.
const WELL: Option<i32> = Some(0);
const UNWELL: Option<i32> = Some(11);
const NO_AGENT: Option<i32> = Some(3);
const NO_ANSWER: Option<i32> = Some(8);

fn builder() -> StationBuilder {
    Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .quick()
        .setting("health", "interval_secs", 1)
        .setting("health", "disk_warn_bytes", 0)
}

fn health(station: &Station, arguments: &[&str]) -> CliOutput {
    cli_with(station, &[&["health"], arguments].concat(), None, PROMISED)
}

fn check(station: &Station, name: &str) -> Value {
    let report = health(station, &["--json", "--fresh"]).json();
    let checks = report["checks"].as_array().unwrap().clone();
    checks.iter().find(|check| check["name"] == name).cloned().unwrap_or_else(|| panic!("no check {name:?}: {report}"))
}

#[test]
fn a_station_where_everything_is_well_says_so_for_each_question() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).build();
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..2);
    agent.wait_for("they are sent", |s| s.destinations[0].sent == 2);
    wait_until("it is ready", || health(&station, &["--ready", "--fresh"]).code() == WELL);
    assert_eq!(health(&station, &["--live"]).code(), WELL);
    for name in ["main loop", "setup", "store", "tasks", "source ict", "destination main"] {
        assert_eq!(check(&station, name)["state"], "healthy", "{name}: {}", check(&station, name));
    }
    let shown = health(&station, &[]);
    for text in ["live", "ready", "destination main", "source ict", "store"] {
        assert!(shown.stdout.contains(text), "{text}: {shown}");
    }
}

#[test]
fn an_agent_that_is_not_there_or_hangs_is_told_within_five_seconds() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).build();
    let questions: [&[&str]; 4] = [&[], &["--live"], &["--ready"], &["--fresh", "--json"]];
    for arguments in questions {
        let output = health(&station, arguments);
        assert_eq!(output.code(), NO_AGENT, "{arguments:?}: {output}");
    }
    let mut agent = Agent::start(&station);
    assert_eq!(health(&station, &["--live"]).code(), WELL);
    if agent.suspend().is_err() {
        return; // This OS freezes no process.
    }
    for arguments in questions {
        let output = health(&station, arguments);
        assert_eq!(output.code(), NO_ANSWER, "{arguments:?}: {output}");
        assert!(output.stderr.contains("did not answer"), "{output}");
    }
    agent.resume().unwrap();
    wait_until("it answers again", || health(&station, &["--live"]).code() == WELL);
    agent.kill();
    assert_eq!(health(&station, &["--live"]).code(), NO_AGENT);
}

#[test]
fn ready_turns_true_when_the_destination_comes_up_and_false_when_it_goes() {
    let receiver = Receiver::start();
    receiver.stop_listening();
    let station = builder().wats(&receiver).build();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..2);
    agent.wait_for("they cannot be sent", |s| s.destinations[0].pending == 2 && s.destinations[0].error.is_some());
    let down = check(&station, "destination main");
    assert_eq!(down["state"], "unhealthy", "{down}");
    assert!(down["error"]["code"].as_str().unwrap().starts_with("WB5"), "{down}");
    assert!(down["values"].to_string().contains("waiting"), "{down}");
    assert_eq!(health(&station, &["--ready"]).code(), UNWELL);
    assert_eq!(health(&station, &[]).code(), UNWELL);
    assert_eq!(health(&station, &["--live"]).code(), WELL, "a restart would not help");
    receiver.listen_again();
    wait_until("it is ready", || health(&station, &["--ready"]).code() == WELL);
    agent.wait_for("they are sent", |s| s.destinations[0].sent == 2);
    receiver.assert_has_exactly(&ids);
    receiver.stop_listening();
    wait_until("it is not ready", || health(&station, &["--ready"]).code() == UNWELL);
}

#[test]
fn a_destination_that_refuses_the_token_or_lacks_it_is_named_with_the_reason() {
    let receiver = Receiver::start();
    for (token, code) in [(Some("wrong-token-1"), "WB5002"), (None, "WB1004")] {
        let station = builder().wats_at("main", &receiver.url(), token).build();
        let agent = Agent::start(&station);
        station.drop_reports("ict", 0..1);
        agent.wait_for("it is paused", |s| s.destinations[0].pending == 1 && s.destinations[0].error.is_some());
        let found = check(&station, "destination main");
        assert_eq!((&found["state"], &found["error"]["code"]), (&Value::from("unhealthy"), &Value::from(code)), "{found}");
        assert_eq!(health(&station, &["--ready"]).code(), UNWELL);
        let shown = health(&station, &[]);
        assert!(shown.stdout.contains(code) && !shown.stdout.contains("wrong-token-1"), "{shown}");
    }
}

#[test]
fn a_watch_folder_that_goes_away_is_named_and_well_again_when_it_is_back() {
    if wine_cannot_show("a folder that is watched goes when it is removed") {
        return;
    }
    let station = builder().folder_destination("archive").build();
    let agent = Agent::start(&station);
    wait_until("all is well", || health(&station, &["--fresh", "--ready"]).code() == WELL);
    assert_eq!(check(&station, "source ict")["state"], "healthy");
    std::fs::remove_dir_all(station.watch("ict")).unwrap();
    wait_until("its folder is missed", || check(&station, "source ict")["state"] == "unhealthy");
    let gone = check(&station, "source ict");
    assert_eq!(gone["error"]["code"], "WB2001", "{gone}");
    assert_eq!(health(&station, &["--ready"]).code(), WELL, "what is in the queue can still be delivered");
    std::fs::create_dir(station.watch("ict")).unwrap();
    wait_until("it is well again", || check(&station, "source ict")["state"] == "healthy");
    drop(agent);
}

#[test]
fn a_destination_folder_that_cannot_be_written_is_unhealthy() {
    let station = builder().folder_destination("archive").build();
    let folder = station.output("archive");
    std::fs::remove_dir_all(&folder).ok();
    // A file in the place of the folder.
    std::fs::File::create_new(&folder).unwrap();
    let _agent = Agent::start(&station);
    wait_until("it is found out", || check(&station, "destination archive")["state"] == "unhealthy");
    let found = check(&station, "destination archive");
    assert_eq!(found["error"]["code"], "WB5005", "{found}");
    assert_eq!(health(&station, &["--ready"]).code(), UNWELL);
}

#[test]
fn a_station_that_is_not_set_up_is_live_and_not_ready() {
    let station = Station::builder().setting("health", "interval_secs", 1).build();
    let _agent = Agent::start(&station);
    wait_until("the check has run", || check(&station, "setup")["state"] == "unhealthy");
    assert_eq!(health(&station, &["--live"]).code(), WELL);
    assert_eq!(health(&station, &["--ready"]).code(), UNWELL);
    let shown = health(&station, &[]);
    assert!(shown.stdout.contains("no destination") && shown.stdout.contains("no source"), "{shown}");
}

#[test]
fn a_configuration_that_lies_there_and_is_not_used_is_told() {
    let station = builder().folder_destination("archive").build();
    let agent = Agent::start(&station);
    let good = station.config_text();
    station.write_config(&format!("{good}\nnonsense = 1\n"));
    agent.wait_for("it is refused", |s| s.agent.config_problem.is_some());
    wait_until("health says it", || check(&station, "setup")["state"] == "degraded");
    assert_eq!(health(&station, &["--ready"]).code(), WELL, "the last good one works");
    station.write_config(&good);
    wait_until("it is well again", || check(&station, "setup")["state"] == "healthy");
}

#[test]
fn little_room_on_the_disk_is_told_before_it_is_none() {
    let station = builder().setting("health", "disk_warn_bytes", 1_u64 << 50).folder_destination("archive").build();
    let _agent = Agent::start(&station);
    wait_until("the disk is looked at", || !check(&station, "disk")["checked_at_ms"].is_null());
    let disk = check(&station, "disk");
    assert!(["degraded", "unhealthy"].contains(&disk["state"].as_str().unwrap()), "{disk}");
    assert!(disk["values"].to_string().contains("free_bytes"), "{disk}");
    assert_eq!(health(&station, &[]).code(), UNWELL);

    // As a part of the disk; half of it is the most that may be asked for.
    let builder = builder().setting("health", "disk_warn_percent", 50).queue("min_free_bytes", 0).queue("min_free_percent", 0);
    let station = builder.folder_destination("archive").build();
    let _agent = Agent::start(&station);
    wait_until("the disk is looked at", || !check(&station, "disk")["checked_at_ms"].is_null());
    let disk = check(&station, "disk");
    let values = disk["values"].as_array().unwrap();
    let value = |name| values.iter().find(|pair| pair[0] == name).unwrap()[1].as_str().unwrap().parse::<u64>().unwrap();
    let is_low = value("free_bytes") < value("total_bytes") / 2;
    assert_eq!(disk["state"], if is_low { "degraded" } else { "healthy" }, "{disk}");
}

#[test]
fn the_help_tells_the_exit_codes() {
    let station = Station::builder().build();
    let help = cli(&station, &["health", "--help"]);
    for text in ["0 healthy", "11 not so", "3 no agent", "8 the agent does not answer", "health --live"] {
        assert!(help.stdout.contains(text), "{text}: {help}");
    }
}
