//! One table of changes, by every way that leads into the configuration: a file, the command line without and with an agent, IPC, and the
//! environment at the start. What is wrong is wrong everywhere, at the same place and for the same reason.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test: a fault is told where it stands, and equipment writes carelessly"
)]

use std::collections::HashSet;

use waybill_ipc::ClientError;
use waybill_ipc::protocol::{ConfigChange, Reply, Request, Unsent};
use waybill_shared::config::Edit;
use waybill_shared::schema::FaultKind::{self, Conflict, Missing, OutOfRange, UnknownKey, WrongType};
use waybill_tests::agent::CliOutput;
use waybill_tests::{Agent, Station, cli, ipc_client};

/// Field, value as it is written in the file, and the fault: where (lists by number) and of what kind.
type Case = (&'static str, &'static str, Option<(&'static str, FaultKind)>);

const CASES: &[Case] = &[
    ("queue.max_entires", "5", Some(("queue.max_entires", UnknownKey))),
    ("uplaod.concurrency", "1", Some(("uplaod", UnknownKey))),
    ("source.ict.prioritty", "1", Some(("source[0].prioritty", UnknownKey))),
    ("upload.timeout_secs", "\"soon\"", Some(("upload.timeout_secs", WrongType))),
    ("source.ict.enabled", "3", Some(("source[0].enabled", WrongType))),
    ("source.ict.patterns", "5", Some(("source[0].patterns", WrongType))),
    ("queue.max_entries", "0", Some(("queue.max_entries", OutOfRange))),
    ("queue.when_full", "\"never\"", Some(("queue.when_full", OutOfRange))),
    ("source.ict.priority", "11", Some(("source[0].priority", OutOfRange))),
    ("source.ict.converter", "\"nope\"", Some(("source[0].converter", OutOfRange))),
    ("proxy.url", "\"ftp://x\"", Some(("proxy.url", OutOfRange))),
    ("proxy.mode", "\"manual\"", Some(("proxy.url", Missing))),
    ("upload.backoff_max_secs", "1", Some(("upload.backoff_max_secs", Conflict))),
    ("station.active", "\"nobody\"", Some(("station.active", Conflict))),
    ("destination.out.url", "\"http://x\"", Some(("destination[0].url", Conflict))),
    ("queue.max_entries", "5", None),
    ("source.ict.priority", "1", None),
    ("destination.out.enabled", "false", None),
    ("log.level", "\"debug\"", None),
    ("source.ict.patterns", "[\"*.json\", \"*.txt\"]", None),
];

type Found = HashSet<(String, FaultKind)>;

/// The same configuration for all; what is below a place is put where it belongs.
fn text_with(place: &str, value: &str) -> String {
    let (section, key) = place.rsplit_once('.').unwrap();
    let within = |wanted: &str| if section == wanted { format!("{key} = {value}\n") } else { String::new() };
    let mut text = format!("[station]\nname = \"ST-1\"\n{}", within("station"));
    text.push_str(&format!("[[source]]\nname = \"ict\"\nfolder = \"watch/ict\"\n{}", within("source.ict")));
    text.push_str(&format!(
        "[[destination]]\nname = \"out\"\nkind = \"folder\"\nfolder = \"out\"\n{}",
        within("destination.out")
    ));
    if !section.contains('.') && section != "station" {
        text.push_str(&format!("[{section}]\n{key} = {value}\n"));
    }
    text
}

fn station() -> Station {
    let station = Station::builder().build();
    station.write_config(&text_with("log.max_files", "5"));
    station
}

/// Faults as a command writes them: one a line, two spaces in front.
fn told(stderr: &str) -> Found {
    let kinds = [UnknownKey, WrongType, OutOfRange, Missing, Conflict];
    let fault = |line: &str| {
        let (path, rest) = line.strip_prefix("  ")?.split_once(": ")?;
        let kind = kinds.into_iter().find(|kind| rest.starts_with(&format!("{}: ", kind.text())))?;
        Some((path.to_owned(), kind))
    };
    stderr.lines().filter_map(fault).collect()
}

/// What is asked for by name is named like that, and an unknown section by what was asked for in it; the place is the same.
fn by_number(found: Found) -> Found {
    let number = |path: String| {
        path.replace("source.ict", "source[0]")
            .replace("destination.out", "destination[0]")
            .replace("uplaod.concurrency", "uplaod")
    };
    found.into_iter().map(|(path, kind)| (number(path), kind)).collect()
}

fn wanted(case: &Case) -> Found {
    case.2.iter().map(|(path, kind)| ((*path).to_owned(), *kind)).collect()
}

fn of_command(output: &CliOutput) -> Found {
    assert_eq!(output.code(), Some(if told(&output.stderr).is_empty() { 0 } else { 5 }), "{output}");
    by_number(told(&output.stderr))
}

#[test]
fn by_a_file() {
    let station = station();
    let file = station.folder().join("other.toml");
    for case in CASES {
        std::fs::write(&file, text_with(case.0, case.1)).unwrap();
        let found = of_command(&cli(&station, &["config", "validate", file.to_str().unwrap()]));
        assert_eq!(found, wanted(case), "{case:?}");
    }
}

#[test]
fn by_the_command_line_without_and_with_an_agent() {
    let station = station();
    let before = station.config_text();
    let all = || {
        for case in CASES {
            let assignment = format!("{}={}", case.0, case.1);
            let mut arguments = vec!["config", "set", &assignment];
            if case.2.is_none() {
                arguments.push("--dry-run");
            }
            let found = of_command(&cli(&station, &arguments));
            assert_eq!(found, wanted(case), "{case:?}");
            assert_eq!(station.config_text(), before, "{case:?}");
        }
    };
    all();
    let mut agent = Agent::start(&station);
    all();
    assert!(agent.stop().success());
}

#[test]
fn by_ipc() {
    let station = station();
    let before = station.config_text();
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    for case in CASES {
        let edits = vec![Edit::Set { place: case.0.to_owned(), value: case.1.to_owned() }];
        let change = ConfigChange { base: None, edits, unsent: Unsent::Refuse, dry_run: case.2.is_none() };
        let found: Found = match ipc.request(Request::ConfigChange(change)) {
            Ok(Reply::ConfigChanged(_)) => Found::new(),
            Err(ClientError::Agent(error)) => error.details.into_iter().map(|fault| (fault.path, fault.kind)).collect(),
            other => panic!("{case:?}: {other:?}"),
        };
        assert_eq!(by_number(found), wanted(case), "{case:?}");
    }
    assert_eq!(station.config_text(), before);
    drop(agent);
}

#[test]
fn by_the_environment_at_the_start() {
    let station = station();
    for case in CASES {
        let variable = format!("WAYBILL_CONFIG_{}", case.0.to_uppercase().replace('.', "_"));
        station.set_environment(&variable, case.1);
        match (Agent::try_start(&station, |_| {}), case.2) {
            (Ok(mut agent), None) => assert!(agent.stop().success()),
            (Err(failure), Some((path, kind))) => {
                assert_eq!(failure.code(), Some(5), "{case:?}: {failure}");
                // A variable that names nothing is known by its own name.
                let path = if kind == UnknownKey { variable.clone() } else { path.to_owned() };
                assert_eq!(told(&failure.stderr), Found::from([(path, kind)]), "{case:?}: {failure}");
                assert!(failure.stderr.contains(&variable) || kind == Missing, "{case:?}: {failure}");
            }
            (Ok(_), Some(_)) => panic!("{case:?} was accepted"),
            (Err(failure), None) => panic!("{case:?}: {failure}"),
        }
        station.unset_environment(&variable);
    }
}
