//! The watchdog with real agents that hang, crash, are frozen and are stopped.
//!
//! It looks every second here; where nothing hangs, it has patience, so that a busy machine is not taken for a hang.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a fault of this test is told where it stands; what it writes need not be durable"
)]

use std::process::{Child, ExitStatus, Stdio};
#[cfg(unix)]
use std::time::Duration;

use serde_json::Value;
use waybill_tests::agent::command;
use waybill_tests::wait::{USUAL, holds_within};
#[cfg(unix)]
use waybill_tests::wait_until;
use waybill_tests::{Agent, Receiver, Station, cli};

/// Nothing hangs in these tests.
const PATIENT: &[&str] = &["--interval", "1", "--timeout", "30", "--failures", "10", "--pause-ms", "100", "--write-every", "1"];
/// Something hangs in these.
#[cfg(unix)]
const QUICK: &[&str] =
    &["--interval", "1", "--timeout", "2", "--failures", "3", "--stop-within", "2", "--pause-ms", "100", "--write-every", "1"];

#[cfg(unix)]
const GAVE_UP: Option<i32> = Some(13);

/// A watchdog's process. Dropping it ends it and its agent.
struct Watchdog {
    station: Station,
    child: Child,
}

impl Watchdog {
    #[track_caller]
    fn start(station: &Station, options: &[&str], agent: &[&str]) -> Self {
        let mut command = command(station);
        let said = std::fs::File::options().create(true).append(true).open(station.folder().join("watchdog.said")).unwrap();
        command.arg("watchdog").args(options).arg("--").args(agent).stdin(Stdio::null());
        // Files, because the agent holds them open as well.
        let child = command.stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap();
        Self { station: station.clone(), child }
    }

    /// What it and its agents wrote to their terminal.
    fn said(&self) -> String {
        std::fs::read_to_string(self.station.folder().join("watchdog.said")).unwrap_or_default()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.station.data().join("logs/watchdog.log")).unwrap_or_default()
    }

    fn record(&self) -> Value {
        record(&self.station)
    }

    /// The process that it looks after, once it answers.
    #[track_caller]
    fn agent(&self) -> u32 {
        self.agent_other_than(None)
    }

    #[track_caller]
    fn agent_other_than(&self, old: Option<u32>) -> u32 {
        let own = u64::from(self.child.id());
        let mut found = None;
        let holds = holds_within(USUAL, || {
            let record = self.record();
            found = record["agent"]["process"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
            record["watchdog"]["pid"] == own && record["state"] == "running" && found.is_some() && found != old
        });
        assert!(holds, "no agent: {:#}\n{}\n{}", self.record(), self.log(), self.said());
        found.unwrap()
    }

    #[track_caller]
    fn exit(&mut self) -> ExitStatus {
        let mut status = None;
        holds_within(USUAL, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("the watchdog runs on: {:#}\n{}\n{}", self.record(), self.log(), self.said()))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- watchdog\n{}\n--- said\n{}", self.log(), self.said());
        }
        let _ended_already = self.child.kill().and_then(|()| self.child.wait());
        // Its agent is stopped as anybody would; what does not stop is ended if it is the one that was started here.
        if !cli(&self.station, &["health", "--live"]).success() {
            #[cfg(unix)]
            unix::end_what_belongs_to(&self.station);
            return;
        }
        let _ended = cli(&self.station, &["stop"]);
    }
}

fn record(station: &Station) -> Value {
    let text = std::fs::read_to_string(station.data().join("watchdog.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

#[test]
fn an_agent_that_is_stopped_ends_the_watchdog_with_0_and_only_one_watches() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut watchdog = Watchdog::start(&station, PATIENT, &[]);
    watchdog.agent();
    let mut second = Watchdog::start(&station, PATIENT, &[]);
    assert_eq!(second.exit().code(), Some(4));
    assert!(second.said().contains("WB7007") && second.said().contains(&watchdog.child.id().to_string()), "{}", second.said());
    let ids = station.drop_reports("ict", 0..3);
    receiver.wait_for_reports(3);
    #[cfg(target_os = "linux")]
    {
        let mut usage = Value::Null;
        let names = ["resident_bytes", "cpu_ms", "threads", "descriptors"];
        wait_until("the agent is measured", || {
            usage =
                watchdog.record()["samples"].as_array().and_then(|all| Some(all.last()?["usage"].clone())).unwrap_or_default();
            names.iter().all(|name| usage[*name].is_u64())
        });
        let [all, own] = ["VmRSS:", "RssAnon:"].map(|key| unix::kib(watchdog.child.id(), key));
        println!("the watchdog takes {all} KiB in RAM, {own} of them its own; its agent {} bytes", usage["resident_bytes"]);
    }
    assert!(cli(&station, &["stop"]).success());
    assert_eq!(watchdog.exit().code(), Some(0));
    assert_eq!(watchdog.record()["state"], "ended");
    assert_eq!(cli(&station, &["status"]).code(), Some(3));
    receiver.assert_has_exactly(&ids);
}

#[test]
fn an_agent_that_runs_is_taken_over_started_again_when_it_is_killed_and_left_when_it_is_stopped() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut agent = Agent::start(&station);
    let mut watchdog = Watchdog::start(&station, PATIENT, &[]);
    assert_eq!(watchdog.agent(), agent.pid());
    assert_eq!(watchdog.record()["agent"]["taken_over"], true);
    agent.kill();
    let ids = station.drop_reports("ict", 0..3);
    let next = watchdog.agent_other_than(Some(agent.pid()));
    assert_eq!(watchdog.record()["agent"]["taken_over"], false);
    assert_eq!(watchdog.record()["restarts"].as_array().unwrap().len(), 1, "{}", watchdog.record());
    receiver.wait_for_reports(3);
    // A watchdog that is killed leaves its agent, and the next one finds it.
    watchdog.child.kill().unwrap();
    watchdog.child.wait().unwrap();
    let mut third = Watchdog::start(&station, PATIENT, &[]);
    assert_eq!(third.agent(), next);
    assert!(cli(&station, &["stop"]).success());
    assert_eq!(third.exit().code(), Some(0));
    receiver.assert_has_exactly(&ids);
}

#[test]
fn an_agent_whose_configuration_has_faults_is_not_started_again() {
    let station = Station::builder().build();
    station.write_config("[station]\nnam = \"x\"\n");
    let mut watchdog = Watchdog::start(&station, PATIENT, &[]);
    assert_eq!(watchdog.exit().code(), Some(5));
    let said = watchdog.said();
    assert!(said.contains("station.nam") && said.contains("not started again"), "{said}");
    assert_eq!(watchdog.record()["restarts"], Value::Array(Vec::new()), "{}", watchdog.record());
}

#[test]
fn nothing_but_run_is_started_and_no_agent_of_another_instance() {
    let station = Station::builder().build();
    let other = station.folder().join("other");
    let other = other.to_str().unwrap();
    let of_another = format!("--data-dir={other}");
    for agent in [
        &["run", "--data-dir", other][..],
        &["run", &of_another],
        &[&of_another, "run"],
        &["run", "--instance", "x"],
        &["run", "--config=x"],
        &["run", "--nonsense"],
        &["status"],
        &["stop"],
        &["watchdog"],
        &["--version"],
        &["--nonsense"],
    ] {
        let output = cli(&station, &[&["watchdog", "--"], agent].concat());
        assert_eq!(output.code(), Some(2), "{agent:?}: {output}");
        assert!(output.stderr.contains("the watchdog cannot start an agent with"), "{agent:?}: {output}");
        assert!(output.stdout.is_empty(), "{agent:?}: {output}");
    }
    assert!(!station.data().join("watchdog.json").exists() && !station.folder().join("other").exists());
    let help = cli(&station, &["watchdog", "--help"]).stdout;
    assert!(["10 so it was", "7 the watchdog"].iter().all(|words| help.contains(words)), "{help}");
}

#[cfg(unix)]
#[path = "watchdog/patience.rs"]
mod patience;

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use waybill_tests::Behaviour;

    use super::*;

    /// Sends a signal by its name.
    pub(super) fn signal(name: &str, pid: u32) {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().unwrap();
        assert!(sent.success(), "no process {pid}");
    }

    /// What `/proc` or, where there is none, `ps` says of a process; empty if there is none.
    fn described(pid: u32, file: &str, column: &str) -> String {
        if Path::new("/proc/self").exists() {
            return String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default()).into_owned();
        }
        let output = Command::new("ps").args(["-o", column, "-p", &pid.to_string()]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(super) fn lives(pid: u32) -> bool {
        let state = described(pid, "stat", "stat=");
        let state = state.rsplit_once(')').map_or(state.as_str(), |(_, state)| state).trim();
        !state.is_empty() && !state.starts_with('Z')
    }

    #[cfg(target_os = "linux")]
    pub(super) fn kib(pid: u32, key: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").to_owned()
    }

    /// Ends the process that the record names, if its command line names this station's folder.
    pub(super) fn end_what_belongs_to(station: &Station) {
        let Some(pid) = record(station)["agent"]["process"]["pid"].as_u64() else { return };
        let pid = u32::try_from(pid).unwrap();
        if described(pid, "cmdline", "args=").contains(station.folder().to_str().unwrap()) {
            signal("KILL", pid);
        }
    }

    /// A program that stands in for the agent.
    pub(super) fn script(station: &Station, text: &str) -> PathBuf {
        let path = station.folder().join("fake-agent");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub(super) fn text(path: &Path) -> &str {
        path.to_str().unwrap()
    }

    #[test]
    fn a_crash_loop_is_given_up_after_five_restarts_and_everybody_is_told() {
        let receiver = Receiver::start();
        let station = Station::simple(&receiver);
        let program = script(&station, "echo a fault of a test >&2; exit 3");
        let mut watchdog = Watchdog::start(&station, &["--pause-ms", "10", "--program", text(&program)], &[]);
        assert_eq!(watchdog.exit().code(), GAVE_UP);
        assert!(watchdog.said().contains("WB7006") && watchdog.said().contains("exit code 3"), "{}", watchdog.said());
        assert_eq!(
            watchdog.said().matches("a fault of a test").count(),
            6,
            "started once, and five times again: {}",
            watchdog.said()
        );
        let record = watchdog.record();
        assert_eq!((&record["state"], record["restarts"].as_array().unwrap().len()), (&Value::from("gave_up"), 5), "{record}");
        let error = |line: &str| line.contains("\"ERROR\"") && line.contains("watchdog_gave_up");
        assert!(watchdog.log().lines().any(error), "{}", watchdog.log());
        for arguments in [&["status"][..], &["health"], &["health", "--live"]] {
            let output = cli(&station, arguments);
            assert_eq!(output.code(), Some(3), "{output}");
            assert!(output.stderr.contains("watchdog gave up") && output.stderr.contains("exit code 3"), "{output}");
        }
        assert!(cli(&station, &["explain", "watchdog"]).stdout.contains("exit code 13"));
        // Somebody helps: what the watchdog said is an old story.
        assert!(Agent::start(&station).stop().success());
        let output = cli(&station, &["status"]);
        assert!(output.code() == Some(3) && !output.stderr.contains("gave up"), "{output}");
    }

    #[test]
    fn a_frozen_agent_is_killed_and_started_again_and_what_came_meanwhile_is_delivered() {
        let receiver = Receiver::start();
        let station = Station::simple(&receiver);
        // Ten silences, so that there is time to ask meanwhile.
        let options = QUICK.iter().map(|&option| if option == "3" { "10" } else { option }).collect::<Vec<_>>();
        let mut watchdog = Watchdog::start(&station, &options, &[]);
        let frozen = watchdog.agent();
        let mut ids = station.drop_reports("ict", 0..3);
        receiver.wait_for_reports(3);
        signal("STOP", frozen);
        let last = |record: &Value| record["samples"].as_array().and_then(|samples| samples.last()?["at_ms"].as_i64());
        wait_until("it notices", || watchdog.record()["state"] == "silent");
        ids.extend(station.drop_reports("ict", 3..6));
        let before = last(&watchdog.record()).unwrap();
        let mut states = Vec::new();
        wait_until("it goes on measuring while the agent hangs", || {
            let record = watchdog.record();
            states.push(record["state"].clone());
            record["agent"]["process"]["pid"] == frozen && last(&record).is_some_and(|at| at > before)
        });
        // Whoever asks meanwhile is told by the watchdog.
        let output = cli(&station, &["health"]);
        assert!(output.code() == Some(8) && output.stderr.contains("its watchdog looks after it"), "{output}");
        watchdog.agent_other_than(Some(frozen));
        assert!(!lives(frozen), "{states:?}");
        receiver.wait_for_reports(6);
        receiver.assert_has_exactly(&ids);
        let log = watchdog.log();
        for event in ["agent_silent", "agent_hangs", "agent_asked_to_stop", "agent_killed", "agent_ended", "agent_answers"] {
            assert!(log.contains(event), "no {event} in {log}");
        }
        let why = watchdog.record()["restarts"][0]["why"].as_str().unwrap().to_owned();
        assert!(why.contains("hung"), "{why}");
        // Told to stop, it stops the agent in order.
        signal("TERM", watchdog.child.id());
        assert_eq!(watchdog.exit().code(), Some(0), "{}", watchdog.said());
        assert_eq!(cli(&station, &["status"]).code(), Some(3));
    }

    #[test]
    fn an_agent_that_never_answers_is_ended_with_all_that_it_started_and_the_next_one_works() {
        let receiver = Receiver::start();
        let station = Station::simple(&receiver);
        let program = script(
            &station,
            &format!(
                "if [ -e child ]; then exec '{}' \"$@\"; fi\ntrap '' TERM\nsleep 1000 & echo $! > child.new; mv child.new child\nwhile :; do wait; done",
                waybill_tests::agent::binary().display()
            ),
        );
        let options = [QUICK, &["--start-within", "3", "--program", text(&program)]].concat();
        let ids = station.drop_reports("ict", 0..3);
        let mut watchdog = Watchdog::start(&station, &options, &[]);
        let noted = station.folder().join("child");
        wait_until("it has a child", || noted.exists());
        let child: u32 = std::fs::read_to_string(&noted).unwrap().trim().parse().unwrap();
        assert!(lives(child));
        receiver.wait_for_reports(3);
        receiver.assert_has_exactly(&ids);
        wait_until("the child is ended as well", || !lives(child));
        assert!(watchdog.log().contains("agent_killed"), "{}", watchdog.log());
        watchdog.agent();
        assert!(cli(&station, &["stop"]).success());
        assert_eq!(watchdog.exit().code(), Some(0));
    }

    #[test]
    fn an_agent_that_hung_before_the_watchdog_came_is_known_from_the_one_before() {
        let receiver = Receiver::start();
        let station = Station::simple(&receiver);
        let mut first = Watchdog::start(&station, PATIENT, &[]);
        let agent = first.agent();
        first.child.kill().unwrap();
        first.child.wait().unwrap();
        signal("STOP", agent);
        let ids = station.drop_reports("ict", 0..3);
        let watchdog = Watchdog::start(&station, QUICK, &[]);
        watchdog.agent_other_than(Some(agent));
        assert!(!lives(agent));
        receiver.wait_for_reports(3);
        receiver.assert_has_exactly(&ids);
    }

    #[test]
    fn a_number_that_belongs_to_another_process_by_now_is_never_touched() {
        let receiver = Receiver::start();
        let station = Station::simple(&receiver);
        let mut first = Watchdog::start(&station, PATIENT, &[]);
        first.agent();
        assert!(cli(&station, &["stop"]).success());
        assert!(first.exit().success());
        // Somebody else has the number that the record of an agent names; the agent itself hangs and is not known.
        let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut record = record(&station);
        record["agent"] = serde_json::json!({ "process": { "pid": stranger.id(), "started": 4711 }, "taken_over": false });
        std::fs::write(station.data().join("watchdog.json"), record.to_string()).unwrap();
        let mut agent = Agent::start(&station);
        agent.suspend().unwrap();
        let mut watchdog = Watchdog::start(&station, QUICK, &[]);
        assert_eq!(watchdog.exit().code(), GAVE_UP);
        let said = watchdog.said();
        assert!(said.contains("end it by hand") && said.contains("started again 0 times"), "{said}");
        assert_eq!(watchdog.record()["restarts"], Value::Array(Vec::new()), "none was started: {}", watchdog.record());
        assert!(stranger.try_wait().unwrap().is_none(), "it was ended");
        agent.resume().unwrap();
        wait_until("it answers", || cli(&station, &["health", "--live"]).success());
        // With an agent that is away, one is started, and the stranger still lives.
        agent.kill();
        std::fs::write(station.data().join("watchdog.json"), record.to_string()).unwrap();
        let watchdog = Watchdog::start(&station, PATIENT, &[]);
        assert_ne!(watchdog.agent(), stranger.id());
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_watchdog_that_is_stopped_in_the_middle_of_work_loses_nothing() {
        let receiver = Receiver::start();
        let station = Station::simple(&receiver);
        receiver.set(Behaviour::Delay(Duration::from_millis(50)));
        let mut watchdog = Watchdog::start(&station, PATIENT, &["run", "--headless"]);
        let agent = watchdog.agent();
        let ids = station.drop_reports("ict", 0..200);
        receiver.wait_for_reports(5);
        signal("INT", watchdog.child.id());
        assert_eq!(watchdog.exit().code(), Some(0), "{}", watchdog.said());
        assert!(!lives(agent));
        receiver.set(Behaviour::Accept);
        let next = Agent::start(&station);
        next.wait_for("all are sent", |s| s.destinations[0].sent == 200);
        receiver.assert_has_exactly(&ids);
        next.counts().assert_issued(200);
    }

    #[test]
    fn a_program_that_is_not_there_is_told_with_its_name() {
        let station = Station::builder().build();
        let mut watchdog = Watchdog::start(&station, &["--pause-ms", "10", "--program", "/not/there"], &[]);
        assert_eq!(watchdog.exit().code(), GAVE_UP);
        assert!(watchdog.said().contains("/not/there"), "{}", watchdog.said());
    }
}
