//! The history as a person reads it: every change, refusal and forced action, by whom and what; nothing of it gets lost.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault of this test is told where it stands")]

use std::collections::BTreeSet;
use std::time::Duration;

use waybill_ipc::protocol::{HistoryOutcome, HistoryRow, Request, SecretText, Via};
use waybill_shared::error::Code;
use waybill_tests::edit::set;
use waybill_tests::station::StationBuilder;
use waybill_tests::{Agent, Receiver, Station, cli, cli_with, ipc_client, wait_until};

const TOKEN: &str = "destination.main.token";

fn builder(receiver: &Receiver) -> StationBuilder {
    Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats_at("main", &receiver.url(), None)
        .quick()
        .setting("ipc", "changes_per_minute", 10_000)
        .setting("ipc", "changes_burst", 10_000)
}

fn list(station: &Station, arguments: &[&str]) -> Vec<HistoryRow> {
    let output = cli(station, &[&["history", "list", "--json"], arguments].concat());
    assert!(output.success(), "{output}");
    serde_json::from_str(&output.stdout).unwrap()
}

#[test]
fn each_change_and_refusal_is_there_with_who_what_and_why() {
    let receiver = Receiver::start();
    let station = builder(&receiver).build();
    let mut agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    ipc.change(&[set("station.location", "Line 2")]).unwrap();
    ipc.change(&[set("station.nonsense", "1")]).unwrap_err();
    ipc.request(Request::SetSecret { name: TOKEN.to_owned(), value: SecretText::new(receiver.token()) }).unwrap();
    ipc.request(Request::SetSecret { name: "destination.other.token".to_owned(), value: SecretText::new("abcdefgh") })
        .unwrap_err();
    ipc.request(Request::ClearSecret { name: TOKEN.to_owned() }).unwrap();
    ipc.request(Request::SetPin { old: None, new: SecretText::new("271828") }).unwrap();
    let stranger = ipc_client(&station);
    stranger.request(Request::Elevate { pin: SecretText::new("000000") }).unwrap_err();
    stranger.change(&[set("station.location", "Line 3")]).unwrap_err();
    ipc.request(Request::Diagnose).unwrap();
    // A change of the file by hand.
    let edited = station.config_text().replace("Line 2", "Line 4");
    station.write_config(&edited);
    wait_until("it is in use", || list(&station, &["--action", "config.set"]).iter().any(|row| row.via == Via::File));
    let me = std::process::id().to_string();
    let wanted = [
        ("config.set", "station.location", HistoryOutcome::Done, None),
        ("config.set", "station.nonsense", HistoryOutcome::Refused, Some(Code::ConfigInvalid)),
        ("secret.set", TOKEN, HistoryOutcome::Done, None),
        ("secret.set", "destination.other.token", HistoryOutcome::Refused, Some(Code::NotFound)),
        ("secret.clear", TOKEN, HistoryOutcome::Done, None),
        ("access.set_pin", "", HistoryOutcome::Done, None),
        ("access.elevate", "", HistoryOutcome::Refused, Some(Code::PinWrong)),
        ("config.set", "station.location", HistoryOutcome::Refused, Some(Code::RoleMissing)),
        ("diagnose", "", HistoryOutcome::Done, None),
    ];
    let mut rows = list(&station, &["--who", &me]);
    rows.reverse();
    let mut left = rows.iter();
    for (action, target, outcome, code) in wanted {
        let row = left
            .find(|row| row.action == action && row.target.starts_with(target) && row.outcome == outcome && row.code == code)
            .unwrap_or_else(|| panic!("{action} {target} {outcome:?} is not there, or not in this order: {rows:#?}"));
        assert_eq!(row.via, Via::Ipc, "{row:?}");
        assert!(row.who.contains("command line"), "{row:?}");
        assert_eq!(row.message.is_some(), code.is_some(), "{row:?}");
    }
    let changed = &list(&station, &["--target", "station.location", "--outcome", "done"]);
    let values: Vec<_> = changed.iter().rev().map(|row| (row.before.as_deref(), row.after.as_deref())).collect();
    let line = |n: u8| Some(format!("\"Line {n}\""));
    let wanted = [(line(1), line(2)), (line(2), line(4))];
    assert_eq!(values, wanted.each_ref().map(|(before, after)| (before.as_deref(), after.as_deref())));
    assert!(agent.stop().success());
    assert!(list(&station, &["--action", "agent.stop"])[0].who.contains("command line"));
}

#[test]
fn what_was_answered_survives_a_kill_and_is_read_without_an_agent() {
    let receiver = Receiver::start();
    let station = builder(&receiver).build();
    let mut agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    for number in 0..30 {
        ipc.change(&[set("station.location", format!("Line {number}"))]).unwrap();
    }
    let page = waybill_ipc::protocol::Page { after: None, limit: 100 };
    // An answer to a question behind them means that they are written.
    ipc.request(Request::History { filter: Default::default(), page }).unwrap();
    agent.kill();
    let rows = list(&station, &["--target", "station.location", "--outcome", "done"]);
    let after: Vec<_> = rows.iter().rev().filter_map(|row| row.after.clone()).collect();
    let wanted: Vec<_> = (0..30).filter(|number| *number != 1).map(|number| format!("\"Line {number}\"")).collect();
    let there = after.iter().filter(|value| value.as_str() != "\"Line 1\"").cloned().collect::<Vec<_>>();
    assert_eq!(there, wanted);
    let keys: Vec<_> = rows.iter().map(|row| row.key).collect();
    assert!(keys.windows(2).all(|pair| pair[0] > pair[1]), "the newest first: {keys:?}");
    let _again = Agent::start(&station);
    assert!(list(&station, &[]).len() >= rows.len(), "a start loses nothing");
}

#[test]
fn two_processes_that_write_at_the_same_time_lose_no_entry() {
    let receiver = Receiver::start();
    let station = builder(&receiver).build();
    // Without an agent each command line writes into the file itself.
    let commands = 8;
    std::thread::scope(|scope| {
        for number in 0..commands {
            let station = &station;
            scope.spawn(move || {
                let name = format!("destination.absent{number}.token");
                let output =
                    cli_with(station, &["secret", "set", &name, "--file", "-"], Some(b"abcdefgh"), Duration::from_secs(60));
                assert_eq!(output.code(), Some(2), "{output}");
            });
        }
    });
    let refused = list(&station, &["--action", "secret.set", "--outcome", "refused"]);
    let targets: BTreeSet<_> = refused.iter().map(|row| row.target.clone()).collect();
    assert_eq!(targets.len(), commands, "{refused:#?}");
    assert!(refused.iter().all(|row| row.via == Via::Cli && row.code == Some(Code::NotFound)), "{refused:#?}");
    // An agent and command lines that find none: the agent starts while they write.
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for number in 0..10 {
                let name = format!("destination.late{number}.token");
                let output =
                    cli_with(&station, &["secret", "set", &name, "--file", "-"], Some(b"abcdefgh"), Duration::from_secs(60));
                assert_eq!(output.code(), Some(2), "{output}");
            }
        });
        let mut agent = Agent::start(&station);
        let ipc = ipc_client(&station);
        for number in 0..10 {
            ipc.change(&[set("station.location", format!("Line {}", number + 10))]).unwrap();
        }
        writing.join().unwrap();
        assert!(agent.stop().success());
    });
    let late = list(&station, &["--target", "destination.late"]);
    assert_eq!(late.len(), 10, "{late:#?}");
    assert_eq!(list(&station, &["--target", "station.location", "--outcome", "done"]).len(), 10);
    assert!(list(&station, &["--action", "history."]).is_empty(), "no gap, no damage");
}

#[test]
fn filters_limits_and_formats_agree_with_each_other() {
    let receiver = Receiver::start();
    let station = builder(&receiver).build();
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    for number in 0..600 {
        ipc.change(&[set("station.location", format!("=Line, \"{number}\""))]).unwrap();
    }
    let all = list(&station, &["--target", "station.location"]);
    assert_eq!(all.len(), 600, "more than one page");
    assert_eq!(list(&station, &["--target", "station.location", "--limit", "7"]), all[..7], "the newest");
    let one = &all[300];
    let id = one.correlation_id.clone().unwrap();
    assert_eq!(list(&station, &["--correlation", &id]), std::slice::from_ref(one));
    let at = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap().to_string();
    let between = list(&station, &["--since", &at(one.at_ms), "--until", &at(one.at_ms + 1)]);
    assert!(between.contains(one) && between.iter().all(|row| row.at_ms == one.at_ms), "{between:#?}");
    assert!(list(&station, &["--until", "2001-01-01"]).is_empty());
    assert_eq!(list(&station, &["--since", "1d", "--target", "station."]), all);
    assert!(list(&station, &["--outcome", "failed"]).is_empty());
    let csv = cli(&station, &["history", "list", "--csv", "--target", "station.location"]);
    let lines: Vec<&str> = csv.stdout.split("\r\n").collect();
    assert_eq!((lines.len(), lines[0].starts_with("key,at,who,")), (602, true), "a header, 600 rows, and the end: {}", lines[1]);
    assert!(!csv.stdout.contains(",=Line"), "nothing is a formula");
    let table = cli(&station, &["history", "list"]);
    assert!(table.stdout.lines().count() == 101 && table.stderr.contains("--limit"), "{table}");
    let wrong = cli(&station, &["history", "list", "--since", "some day"]);
    assert!(wrong.code() == Some(2) && wrong.stderr.contains("2026-01-31"), "{wrong}");
    drop(agent);
}
