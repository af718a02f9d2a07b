//! A station is set up by `init`, as a script does it: everything by options, nothing to ask.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test: a fault is told where it stands, and equipment writes carelessly"
)]

use std::fs;

use waybill_tests::agent::CliOutput;
use waybill_tests::{Agent, Behaviour, Receiver, Station, cli, sample_id, sample_report, wait_until};

/// A station that nobody has set up, with a folder for the equipment.
fn fresh() -> Station {
    let station = Station::builder().build();
    fs::remove_file(station.config()).unwrap();
    fs::create_dir_all(station.folder().join("ict")).unwrap();
    station
}

fn init(station: &Station, more: &[&str]) -> CliOutput {
    let mut arguments = vec!["init", "--yes"];
    arguments.extend(more);
    cli(station, &arguments)
}

/// A token in a file that only its owner may read.
fn token_file(station: &Station, token: &str) -> String {
    let path = station.folder().join("token");
    waybill_shared::fs::atomic::create_private(&path, token.as_bytes()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Everything below the station's folder, without what commands keep for themselves.
fn names(station: &Station) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(station.folder()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

const FOLDERS: [&str; 4] = ["--source-folder", "ict", "--destination-folder", "delivered"];

#[test]
fn a_station_is_set_up_and_the_next_run_delivers() {
    let station = fresh();
    let mut more = FOLDERS.to_vec();
    more.extend([
        "--station",
        "ST-9",
        "--location",
        "Line \"3\"",
        "--purpose",
        "Audit",
        "--pattern",
        "*.json",
        "--converter",
        "wsjf",
    ]);
    let done = init(&station, &more);
    assert!(done.success(), "{done}");
    assert!(done.stdout.contains("Reports can be written") && done.stdout.contains(" run"), "{done}");
    let config = waybill_shared::config::parse(&station.config_text()).unwrap();
    assert_eq!((config.station.name.as_deref(), config.station.location.as_str()), (Some("ST-9"), "Line \"3\""));
    assert_eq!((config.source[0].name.as_str(), &config.source[0].patterns[..]), ("ict", &["*.json".to_owned()][..]));
    assert!(config.source[0].folder.is_absolute(), "it does not depend on where init was called");

    let agent = Agent::start(&station);
    assert_eq!(agent.snapshot().agent.identity.station, "ST-9");
    fs::write(station.folder().join("ict/one.json"), sample_report(1).1).unwrap();
    agent.wait_for("the report is delivered", |snapshot| snapshot.destinations[0].sent == 1);
    let delivered = station.folder().join("delivered");
    let days: Vec<_> = fs::read_dir(&delivered).unwrap().map(|day| day.unwrap().path()).collect();
    let files: Vec<String> = days
        .iter()
        .flat_map(|day| fs::read_dir(day).unwrap())
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(files.len() == 1 && files[0].contains(&sample_id(1)), "{files:?}");
}

#[test]
fn all_answers_that_are_missing_are_named_and_nothing_is_written() {
    let station = fresh();
    let before = names(&station);
    let refused = init(&station, &[]);
    assert_eq!(refused.code(), Some(2), "{refused}");
    for option in ["--source-folder", "--destination-kind"] {
        assert!(refused.stderr.contains(option), "{refused}");
    }
    let refused = init(&station, &["--destination-kind", "wats"]);
    for option in ["--source-folder", "--destination-url", "--token-file"] {
        assert!(refused.stderr.contains(option), "{refused}");
    }
    // Without --yes somebody has to be asked.
    let mut unsure = vec!["init"];
    unsure.extend(FOLDERS);
    let refused = cli(&station, &unsure);
    assert!(refused.code() == Some(2) && refused.stderr.contains("--yes"), "{refused}");
    // Values that are none are faults like everywhere, before anything is tested or written.
    let mut wrong = FOLDERS.to_vec();
    wrong.extend(["--converter", "nope", "--station", " "]);
    let refused = init(&station, &wrong);
    assert_eq!(refused.code(), Some(5), "{refused}");
    assert!(refused.stderr.contains("source[0].converter") && refused.stderr.contains("station.name"), "{refused}");
    assert_eq!(names(&station), before);
    assert!(!station.config().exists());
}

#[test]
fn what_is_there_is_not_overwritten_and_can_be_added_to() {
    let station = fresh();
    assert!(init(&station, &FOLDERS).success());
    let with_comment = format!("# ours\n{}", station.config_text());
    station.write_config(&with_comment);
    let refused = init(&station, &FOLDERS);
    assert!(refused.code() == Some(2) && refused.stderr.contains("--add"), "{refused}");
    assert_eq!(station.config_text(), with_comment);

    fs::create_dir_all(station.folder().join("fct/ict")).unwrap();
    let added = init(&station, &["--add", "--source-folder", "fct/ict"]);
    assert!(added.success(), "{added}");
    let added = init(&station, &["--add", "--destination-folder", "second"]);
    assert!(added.success(), "{added}");
    let text = station.config_text();
    assert!(text.starts_with("# ours\n") && with_comment.lines().all(|line| text.contains(line)), "{text}");
    let config = waybill_shared::config::parse(&text).unwrap();
    assert_eq!(config.source.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["ict", "ict-2"]);
    assert_eq!(config.destination.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["main", "main-2"]);
}

#[test]
fn a_server_is_really_asked_and_its_token_becomes_a_secret() {
    let receiver = Receiver::start();
    let station = fresh();
    let url = receiver.url();
    let wrong = token_file(&station, "not-the-token");
    let server = ["--source-folder", "ict", "--destination-url", &url, "--token-file"];
    let mut more = server.to_vec();
    more.push(&wrong);
    let refused = init(&station, &more);
    assert!(!refused.success() && refused.stderr.contains("nothing was changed"), "{refused}");
    assert!(!station.config().exists(), "{refused}");

    fs::remove_file(&wrong).unwrap();
    let right = token_file(&station, &receiver.token());
    let mut more = server.to_vec();
    more.push(&right);
    let done = init(&station, &more);
    assert!(done.success(), "{done}");
    assert!(!station.config_text().contains(&receiver.token()) && !done.stdout.contains(&receiver.token()), "{done}");
    fs::remove_file(&right).unwrap();

    let agent = Agent::start(&station);
    fs::write(station.folder().join("ict/one.json"), sample_report(1).1).unwrap();
    agent.wait_for("the report is sent", |snapshot| snapshot.destinations[0].sent == 1);
    receiver.assert_has_exactly(&[sample_id(1)]);
}

#[test]
fn a_server_that_is_down_can_be_set_up_without_the_test() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::status(503));
    let station = fresh();
    let (url, token) = (receiver.url(), token_file(&station, &receiver.token()));
    let mut more = vec!["--source-folder", "ict", "--destination-url", &url, "--token-file", &token];
    let refused = init(&station, &more);
    assert!(!refused.success() && refused.stderr.contains("--no-test"), "{refused}");
    assert!(!station.config().exists());
    more.push("--no-test");
    let done = init(&station, &more);
    assert!(done.success(), "{done}");
    assert!(station.config().exists());
}

#[test]
fn an_agent_that_is_not_set_up_is_set_up_while_it_runs() {
    let station = Station::builder().build();
    fs::create_dir_all(station.folder().join("ict")).unwrap();
    // An agent that is told by name where its configuration is wants it to be there; an empty one sets nothing up.
    station.write_config("");
    let agent = Agent::start(&station);
    let done = init(&station, &["--add", "--source-folder", "ict", "--destination-folder", "delivered"]);
    assert!(done.success() && done.stdout.contains("in use"), "{done}");
    fs::write(station.folder().join("ict/one.json"), sample_report(1).1).unwrap();
    wait_until("the report is delivered", || {
        agent.snapshot().destinations.first().is_some_and(|destination| destination.sent == 1)
    });
}
