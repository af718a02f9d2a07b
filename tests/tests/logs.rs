//! Reading the log, and having an error code explained: what one does when something is wrong, with the agent running or not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault of this test is told where it stands")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver as Channel, sync_channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use waybill_shared::error::Code;
use waybill_tests::agent::{CliOutput, binary};
use waybill_tests::wait::{USUAL, bound, holds_within};
use waybill_tests::{Agent, Receiver, Station, cli, wait_until};

fn lines(output: &CliOutput) -> Vec<Value> {
    assert!(output.success(), "{output}");
    output.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn events(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["event"].as_str()).collect()
}

#[test]
fn one_correlation_id_shows_the_whole_life_of_a_file_also_after_the_agent_has_ended() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut agent = Agent::start(&station);
    station.drop_reports("ict", 0..3);
    agent.wait_for("three are sent", |s| s.destinations[0].sent == 3);
    assert!(agent.stop().success());
    let all = lines(&cli(&station, &["logs", "--json"]));
    let sent = all.iter().find(|line| line["event"] == "report_sent").expect("a line about a delivery");
    let id = sent["correlation_id"].as_str().unwrap();
    let life = lines(&cli(&station, &["logs", "--json", "--correlation", id]));
    let life_events = events(&life);
    let at = |event| life_events.iter().position(|own| *own == event).unwrap_or_else(|| panic!("no {event} in {life_events:?}"));
    assert!(at("file_seen") < at("file_queued") && at("file_queued") < at("report_sent"), "{life_events:?}");
    assert!(life.iter().all(|line| line["correlation_id"] == id), "{life:#?}");
    assert_eq!(events(&all).iter().filter(|event| **event == "report_sent").count(), 3, "the others are not of this life");
    let shown = cli(&station, &["logs", "--correlation", id]);
    assert_eq!(shown.stdout.lines().count(), life.len(), "{shown}");
    assert!(shown.stdout.contains(&format!("[{id}]")) && !shown.stdout.contains('\u{1b}'), "{shown}");
}

#[test]
fn only_what_was_asked_for_is_shown_and_the_newest_of_it() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    station.drop_file("ict", "broken.json", b"{ \"type\": \"T\" }");
    station.drop_reports("ict", 0..3);
    agent.wait_for("three are sent and one is broken", |s| s.destinations[0].sent == 3 && s.sources[0].errors == 1);
    let logs = |arguments: &[&str]| lines(&cli(&station, &[&["logs", "--json"], arguments].concat()));
    wait_until("it is logged", || events(&logs(&["--level", "warn"])).contains(&"file_broken"));
    let warnings = logs(&["--level", "warn"]);
    assert!(warnings.iter().all(|line| ["warn", "error"].contains(&line["level"].as_str().unwrap())), "{warnings:#?}");
    assert!(logs(&["--level", "info"]).len() > warnings.len());
    let quoted = logs(&["--text", "BROKEN.json"]);
    assert!(!quoted.is_empty() && quoted.iter().all(|line| line.to_string().contains("broken.json")), "{quoted:#?}");
    let all = logs(&[]);
    assert_eq!(logs(&["--lines", "2"]), all[all.len() - 2..], "the newest, in order");
}

#[test]
fn a_log_that_is_not_there_is_told_with_what_to_do() {
    let station = Station::builder().build();
    for arguments in [&["logs"][..], &["logs", "--follow"]] {
        let output = cli(&station, arguments);
        assert_eq!(output.code(), Some(7), "{output}");
        assert!(output.stderr.contains("there is no log") && output.stderr.contains("--data-dir"), "{output}");
    }
}

/// `logs --follow`, line by line. Dropping it ends it.
struct Following {
    child: Child,
    lines: Channel<String>,
}

impl Following {
    fn start(station: &Station, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.arg("--data-dir").arg(station.data()).args(["logs", "--follow", "--json"]).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = sync_channel(100_000);
        let read = move || output.lines().map_while(Result::ok).try_for_each(|line| told.send(line)).is_ok();
        std::thread::Builder::new().name("follow".to_owned()).spawn(read).unwrap();
        Self { child, lines }
    }

    /// What comes until a line is the wanted one.
    fn until(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let (end, mut got) = (Instant::now() + bound(USUAL), Vec::new());
        while !got.last().is_some_and(|line: &String| wanted(line)) {
            let left = end.saturating_duration_since(Instant::now());
            got.push(self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("it never comes; last were {:?}", got.last())));
        }
        got
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

#[test]
fn following_goes_on_over_rotations_and_gives_each_line_once() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |s| s.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .quick()
        .setting("log", "max_bytes", 64 * 1024)
        .setting("log", "max_files", 100)
        .setting("log", "level", "debug")
        .build();
    let mut agent = Agent::start(&station);
    let following = Following::start(&station, &["--lines", "100000"]);
    let rotated = || std::fs::read_dir(station.instance().logs()).unwrap().count();
    let mut reports = 0;
    while rotated() < 4 {
        station.drop_reports("ict", reports..reports + 50);
        reports += 50;
        agent.wait_for("they are sent", |s| s.destinations[0].sent == reports);
        assert!(reports < 5000, "no rotation");
    }
    assert!(agent.stop().success());
    let all = cli(&station, &["logs", "--json", "--lines", "100000"]);
    let last = all.stdout.lines().last().unwrap();
    let followed = following.until(|line| line == last);
    assert!(followed.iter().eq(all.stdout.lines()), "{} lines were followed of {}", followed.len(), all.stdout.lines().count());
    // The next agent writes to the same log.
    let agent = Agent::start(&station);
    following.until(|line| line.contains("agent_ready"));
    drop(agent);
}

#[test]
fn following_ends_when_nobody_reads_any_more() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    let mut command = Command::new(binary());
    command.arg("--data-dir").arg(station.data()).args(["logs", "--follow"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    drop(output);
    // It is noticed at the next line.
    station.drop_reports("ict", 0..1);
    agent.wait_for("it is sent", |s| s.destinations[0].sent == 1);
    let mut status = None;
    let ended = holds_within(Duration::from_secs(20), || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    if !ended {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

#[test]
fn every_code_is_explained_with_its_page() {
    let station = Station::builder().build();
    let list = cli(&station, &["explain"]);
    assert!(list.success(), "{list}");
    for code in Code::ALL {
        let number = &code.as_str()[2..];
        let output = cli(&station, &["explain", number]);
        assert!(output.success(), "{output}");
        assert_eq!(output.stdout.lines().next(), Some(format!("{code}: {}", code.meaning()).as_str()));
        assert!(
            output.stdout.contains("Is anything lost?") && output.stdout.contains(&code.http_status().to_string()),
            "{output}"
        );
        assert!(list.stdout.contains(code.as_str()) && list.stdout.contains(code.meaning()), "{list}");
    }
    let entry = cli(&station, &["explain", "wb5002", "--json"]).json();
    assert_eq!((&entry["code"], &entry["exit_code"]), (&Value::from("WB5002"), &Value::from(9)));
    assert!(entry["page"].as_str().unwrap().starts_with("# WB5002: "), "{entry:#}");
    assert_eq!(cli(&station, &["explain", "--json"]).json().as_array().unwrap().len(), Code::ALL.len());
}

#[test]
fn an_unknown_code_is_refused_with_the_nearest_ones() {
    let station = Station::builder().build();
    let output = cli(&station, &["explain", "WB5099"]);
    assert_eq!(output.code(), Some(2), "{output}");
    assert!(output.stdout.is_empty() && output.stderr.contains("Nearest: WB500") && output.stderr.contains("WB9001"), "{output}");
}
