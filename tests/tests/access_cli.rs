//! Roles and the PIN by the command line, with an agent and without one. (The table of all requests and roles is in `roles`.)

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "tests: told where they stand; a PIN's file as somebody's hand leaves it"
)]

use std::path::PathBuf;

use waybill_ipc::ClientError;
use waybill_ipc::protocol::{AccessStatus, ConfigChanged, Reply, Request, Role, SecretText};
use waybill_shared::error::Code;
use waybill_shared::fs::atomic;
use waybill_tests::agent::CliOutput;
use waybill_tests::edit::set;
use waybill_tests::ipc::Ipc;
use waybill_tests::{Agent, Receiver, Station, cli, ipc_client, wait_until};

const PIN: &str = "271828";
const REFUSED: Option<i32> = Some(9);

fn file(station: &Station, name: &str, content: &str) -> PathBuf {
    let path = station.folder().join(name);
    if !path.exists() {
        atomic::create_private(&path, content.as_bytes()).unwrap();
    }
    path
}

fn with_pin(station: &Station, pin: &str, arguments: &[&str]) -> CliOutput {
    let file = file(station, &format!("pin-{pin}.txt"), pin);
    cli(station, &[&["--pin-file", file.to_str().unwrap()], arguments].concat())
}

fn set_pin(station: &Station) {
    let new = file(station, "new.txt", PIN);
    let output = cli(station, &["access", "set-pin", "--new-pin-file", new.to_str().unwrap()]);
    assert!(output.success() && !output.to_string().contains(PIN), "{output}");
}

fn status(station: &Station) -> AccessStatus {
    serde_json::from_str(&cli(station, &["access", "status", "--json"]).stdout).unwrap()
}

fn set_location(station: &Station, value: &str, pin: Option<&str>) -> CliOutput {
    let assignment = format!("station.location={value}");
    let arguments = ["config", "set", &assignment];
    match pin {
        None => cli(station, &arguments),
        Some(pin) => with_pin(station, pin, &arguments),
    }
}

/// What holds with an agent, and without one alike.
fn the_pin_guards_the_configuration(station: &Station) {
    assert_eq!((status(station).role, status(station).pin_set), (Role::Engineer, false));
    assert!(set_location(station, "Line 2", None).success());
    set_pin(station);
    assert_eq!((status(station).role, status(station).pin_set), (Role::Operator, true));
    let refused = set_location(station, "Line 3", None);
    assert!(refused.code() == REFUSED && refused.stderr.contains(Code::RoleMissing.as_str()), "{refused}");
    assert!(refused.stderr.contains("--pin-file"), "it says how to give it: {refused}");
    let wrong = set_location(station, "Line 3", Some("000000"));
    assert!(wrong.code() == REFUSED && wrong.stderr.contains(Code::PinWrong.as_str()), "{wrong}");
    assert!(station.config_text().contains("Line 2"), "nothing was changed");
    let right = set_location(station, "Line 3", Some(PIN));
    assert!(right.success() && station.config_text().contains("Line 3"), "{right}");
    station.set_environment("WAYBILL_PIN", PIN);
    assert!(set_location(station, "Line 4", None).success());
    station.unset_environment("WAYBILL_PIN");
    // Another PIN needs the present one.
    let new = file(station, "newer.txt", "314159");
    let arguments = ["access", "set-pin", "--new-pin-file", new.to_str().unwrap()];
    assert!(!cli(station, &arguments).success());
    let changed = with_pin(station, PIN, &arguments);
    assert!(changed.success(), "{changed}");
    assert!(!with_pin(station, PIN, &["access", "clear-pin"]).success(), "the old one counts no more");
    assert!(!cli(station, &["access", "clear-pin"]).success());
    assert!(with_pin(station, "314159", &["access", "clear-pin"]).success());
    assert_eq!((status(station).role, status(station).pin_set), (Role::Engineer, false));
    assert!(set_location(station, "Line 5", None).success());
    let history = cli(station, &["history", "list", "--csv"]).stdout;
    for text in ["access.set_pin", "access.clear_pin", "WB6010", "WB6011"] {
        assert!(history.contains(text), "{text}: {history}");
    }
    assert!(!history.contains(PIN) && !history.contains("314159") && !history.contains("000000"), "{history}");
}

fn station(receiver: &Receiver) -> Station {
    Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(receiver)
        .quick()
        .setting("ipc", "changes_per_minute", 10_000)
        .setting("ipc", "changes_burst", 10_000)
        .build()
}

#[test]
fn the_pin_guards_the_configuration_while_an_agent_runs() {
    let receiver = Receiver::start();
    let station = station(&receiver);
    let _agent = Agent::start(&station);
    the_pin_guards_the_configuration(&station);
}

#[test]
fn the_pin_guards_the_configuration_while_none_runs() {
    let receiver = Receiver::start();
    the_pin_guards_the_configuration(&station(&receiver));
}

#[test]
fn a_pin_is_never_an_argument_and_bad_ones_are_refused() {
    let receiver = Receiver::start();
    let station = station(&receiver);
    let nobody = cli(&station, &["access", "set-pin"]);
    assert!(!nobody.success() && nobody.stderr.contains("--new-pin-file"), "{nobody}");
    assert_eq!(cli(&station, &["access", "set-pin", PIN]).code(), Some(2));
    for (name, bad) in [("short.txt", "123"), ("long.txt", &"1".repeat(65))] {
        let new = file(&station, name, bad);
        let output = cli(&station, &["access", "set-pin", "--new-pin-file", new.to_str().unwrap()]);
        assert!(output.code() == Some(2) && output.stderr.contains(Code::PinInvalid.as_str()), "{output}");
    }
    assert!(!status(&station).pin_set);
    assert!(cli(&station, &["access", "clear-pin"]).stdout.contains("no PIN is set"));
}

fn elevate(ipc: &Ipc, pin: &str) -> Result<Reply, Code> {
    coded(ipc.request(Request::Elevate { pin: SecretText::new(pin) }))
}

fn coded(answer: Result<Reply, ClientError>) -> Result<Reply, Code> {
    answer.map_err(|error| error.report().code)
}

fn change(ipc: &Ipc, value: &str) -> Result<ConfigChanged, Code> {
    ipc.change(&[set("station.location", value)]).map_err(|error| error.code)
}

#[test]
fn after_five_wrong_pins_not_even_the_right_one_counts_for_anybody() {
    let receiver = Receiver::start();
    let station = station(&receiver);
    let _agent = Agent::start(&station);
    set_pin(&station);
    for number in 0..5 {
        let wrong = set_location(&station, "Line 9", Some(&format!("{number}{number}{number}{number}")));
        assert!(wrong.code() == REFUSED && wrong.stderr.contains(Code::PinWrong.as_str()), "{wrong}");
    }
    let locked = set_location(&station, "Line 9", Some(PIN));
    assert!(locked.code() == REFUSED && locked.stderr.contains(Code::PinLocked.as_str()), "{locked}");
    assert_eq!(elevate(&ipc_client(&station), PIN).unwrap_err(), Code::PinLocked, "another connection is no way around it");
    assert!(status(&station).locked_until_ms.is_some());
    let shown = cli(&station, &["access", "status"]);
    assert!(shown.stdout.contains("Locked  no PIN is accepted until"), "{shown}");
    assert!(!station.config_text().contains("Line 9"));
}

#[test]
fn whoever_is_lifted_loses_it_when_the_pin_is_changed_by_a_command() {
    let receiver = Receiver::start();
    let station = station(&receiver);
    let _agent = Agent::start(&station);
    let before = ipc_client(&station);
    change(&before, "Line 2").unwrap();
    set_pin(&station);
    assert_eq!(change(&before, "Line 3").unwrap_err(), Code::RoleMissing, "engineer without a PIN is one no more");
    elevate(&before, PIN).unwrap();
    change(&before, "Line 3").unwrap();
    let new = file(&station, "newer.txt", "314159");
    assert!(with_pin(&station, PIN, &["access", "set-pin", "--new-pin-file", new.to_str().unwrap()]).success());
    assert_eq!(change(&before, "Line 4").unwrap_err(), Code::RoleMissing);
    elevate(&before, "314159").unwrap();
    change(&before, "Line 4").unwrap();
    assert!(with_pin(&station, "314159", &["access", "clear-pin"]).success());
    change(&before, "Line 5").unwrap();
    wait_until("it is in the file", || station.config_text().contains("Line 5"));
}

#[test]
fn a_pin_file_that_cannot_be_used_locks_and_never_opens() {
    let receiver = Receiver::start();
    let station = station(&receiver);
    let _agent = Agent::start(&station);
    set_pin(&station);
    let path = station.instance().pin();
    let good = std::fs::read(&path).unwrap();
    let ipc = ipc_client(&station);
    for broken in [&b""[..], b"not a hash", b"$argon2id$v=19$m=19456", &good[..good.len() / 2], b"\xff\xfe\x00"] {
        std::fs::write(&path, broken).unwrap();
        assert_eq!(change(&ipc, "Line 9").unwrap_err(), Code::AccessStoreFailed, "{}", String::from_utf8_lossy(broken));
        assert_eq!(elevate(&ipc, PIN).unwrap_err(), Code::AccessStoreFailed);
        let output = set_location(&station, "Line 9", Some(PIN));
        assert!(!output.success() && output.stderr.contains(Code::AccessStoreFailed.as_str()), "{output}");
        let new = file(&station, "newer.txt", "314159");
        assert!(!cli(&station, &["access", "set-pin", "--new-pin-file", new.to_str().unwrap()]).success());
        assert!(!cli(&station, &["access", "clear-pin"]).success());
        assert!(status(&station).pin_set && status(&station).role < Role::Engineer);
    }
    std::fs::write(&path, &good).unwrap();
    elevate(&ipc, PIN).unwrap();
    change(&ipc, "Line 2").unwrap();
    // Whoever owns the account may take the file away; that is told as "no PIN".
    std::fs::remove_file(&path).unwrap();
    assert!(!status(&station).pin_set);
}

#[test]
fn with_the_pin_an_agent_is_stopped_by_whom_it_would_not_stop_for() {
    let receiver = Receiver::start();
    let station = station(&receiver);
    let mut agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    ipc.change(&[set("access.without_pin", "viewer")]).unwrap();
    ipc.request(Request::SetPin { old: None, new: SecretText::new(PIN) }).unwrap();
    assert_eq!(cli(&station, &["stop"]).code(), REFUSED);
    assert_eq!(with_pin(&station, "314159", &["stop"]).code(), REFUSED);
    assert!(agent.is_running());
    let stopped = with_pin(&station, PIN, &["stop"]);
    assert!(stopped.success(), "{stopped}");
    assert!(agent.exit_within(std::time::Duration::from_secs(60)).expect("it ends").success());
}
