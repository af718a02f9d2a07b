//! A service of Windows from its installation to its end, with the real service control manager.
//!
//! Only under Wine, where a prefix is a machine of its own: a test installs nothing on a real one.
#![cfg(windows)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a fault of a test is told where it stands")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn is_wine() -> bool {
    let is = std::env::var_os("WINEPREFIX").is_some();
    if !is {
        println!("skipped: this is a real Windows, and a test installs no service there");
    }
    is
}

fn agent(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waybill-agent"));
    command.args(["--scope", "machine", "--data-dir"]).arg(data).args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Takes the service away, however the test ends.
struct Installed<'a>(&'a Path);

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        agent(self.0, &["service", "uninstall"]);
    }
}

#[test]
fn a_service_of_windows_is_installed_runs_stops_and_is_taken_away() {
    if !is_wine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data of a service");
    let state = |wanted: &str, code: i32| {
        let output = agent(&data, &["service", "status", "--json"]);
        let status = json(&output);
        assert_eq!((status["state"].as_str(), output.status.code()), (Some(wanted), Some(code)), "{status}");
        status
    };
    state("not_installed", 3);
    let taken = Installed(&data);
    let installed = agent(&data, &["service", "install", "--json"]);
    let done = json(&installed);
    assert!(installed.status.success(), "{done}");
    let status = state("running", 0);
    assert!(status["pid"].as_u64().unwrap() > 0 && status["starts_by_itself"] == true, "{status}");
    assert!(status["place"].as_str().unwrap().ends_with(" service run"), "{status}");
    // It is the agent, and it answers.
    let answer = json(&agent(&data, &["status", "--json"]));
    assert_eq!(answer["agent"]["pid"], status["pid"]);
    let again = json(&agent(&data, &["service", "install", "--json"]));
    assert_eq!(
        (&again["steps"][0]["outcome"], &again["steps"][2]["outcome"]),
        (&"unchanged".into(), &"unchanged".into()),
        "{again}"
    );

    // One beside it has names of its own.
    let other = folder.path().join("another");
    let other_taken = Installed(&other);
    assert!(agent(&other, &["service", "install", "--no-start"]).status.success());
    drop(other_taken);

    let stopped = agent(&data, &["service", "stop"]);
    assert!(stopped.status.success(), "{stopped:?}");
    state("stopped", 3);
    let log = std::fs::read_to_string(data.join("logs/agent.log")).unwrap();
    assert!(log.contains("service stop"), "{log}");
    assert!(agent(&data, &["service", "start"]).status.success());
    state("running", 0);
    drop(taken);
    state("not_installed", 3);
    let nothing = json(&agent(&data, &["service", "uninstall", "--json"]));
    assert!(nothing["steps"].as_array().unwrap().is_empty(), "{nothing}");
}

#[test]
fn a_service_of_a_user_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_waybill-agent"));
    let output =
        command.args(["--scope", "user", "--data-dir"]).arg(folder.path()).args(["service", "install"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(9) && said.contains("autostart enable") && said.contains("--scope machine"), "{said}");
}

#[test]
fn service_run_by_hand_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = agent(folder.path(), &["service", "run"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(9) && said.contains("service start"), "{said}");
}
