//! Starting by itself: autostart and services, by the command line and over IPC, with folders and service managers of the test's own.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a fault of a test is told where it stands"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use waybill_ipc::ClientError;
use waybill_ipc::protocol::{AutostartState, ClientKind, HistoryFilter, Page, Reply, Request};
use waybill_shared::error::Code;
use waybill_tests::agent::binary;
use waybill_tests::{Agent, Ipc, Station, cli, ipc_client, wait_until};

/// An installation of its own for a station: programs, and the folder in which the desktop looks.
struct Installed {
    station: Station,
    programs: PathBuf,
}

impl Installed {
    /// The agent in a folder with a space, a quote and a dollar in its name.
    fn new() -> Self {
        let station = Station::builder().source("ict", |source| source.patterns(["*.json"]).converter("wsjf")).build();
        let programs = station.folder().join("my \"$tools\"");
        std::fs::create_dir(&programs).unwrap();
        place(&programs);
        Self { station, programs }
    }

    fn agent(&self) -> PathBuf {
        self.programs.join("waybill-agent")
    }

    /// Runs the installed agent with the options and the environment of the station.
    fn run(&self, arguments: &[&str]) -> Output {
        self.run_from(&self.agent(), &[], arguments)
    }

    fn run_from(&self, program: &Path, before: &[&str], arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        self.environment(&mut command);
        command
            .args(before)
            .arg("--data-dir")
            .arg(self.station.data())
            .arg("--config")
            .arg(self.station.config())
            .args(arguments);
        command.output().unwrap()
    }

    fn environment(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WAYBILL_")) {
            command.env_remove(name);
        }
        command.envs(self.station.environment()).stdin(Stdio::null());
    }

    /// What `autostart … --json` says, and the exit code.
    fn autostart(&self, what: &str) -> (Value, i32) {
        let output = self.run(&["autostart", what, "--json"]);
        let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (json, output.status.code().unwrap())
    }

    fn folder(&self) -> PathBuf {
        self.station.folder().join("xdg/autostart")
    }

    /// The one entry that is there.
    fn entry(&self) -> PathBuf {
        let entries: Vec<PathBuf> = std::fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries[0].clone()
    }

    fn edit_entry(&self, edit: impl Fn(&str) -> String) {
        let text = std::fs::read_to_string(self.entry()).unwrap();
        std::fs::write(self.entry(), edit(&text)).unwrap();
    }

    /// Starts what the entry names, as a desktop does. The rules of quoting within `Exec` are those of a shell, once the escapes of the file
    /// are taken off and `%%` is `%`.
    fn start_entry(&self) -> std::process::Child {
        let text = std::fs::read_to_string(self.entry()).unwrap();
        let exec = text.lines().find_map(|line| line.strip_prefix("Exec=")).unwrap().replace("\\\\", "\\").replace("%%", "%");
        let mut command = Command::new("sh");
        self.environment(&mut command);
        command.arg("-c").arg(format!("exec {exec}")).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        command.spawn().unwrap()
    }
}

impl Drop for Installed {
    /// What was started outlives the test's process otherwise, if the test fails.
    fn drop(&mut self) {
        if Ipc::connect(&self.station, ClientKind::Cli, Default::default()).is_ok() {
            let _as_far_as_it_goes = cli(&self.station, &["stop", "--timeout", "20"]);
        }
    }
}

/// Puts the agent into a folder.
fn place(folder: &Path) {
    let there = folder.join("waybill-agent");
    std::fs::hard_link(binary(), &there).or_else(|_| std::fs::copy(binary(), &there).map(drop)).unwrap();
}

fn script(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn an_enabled_entry_starts_an_agent_that_answers() {
    let installed = Installed::new();
    let (nothing, code) = installed.autostart("status");
    assert_eq!((nothing["state"].as_str(), code), (Some("absent"), 0), "{nothing}");
    let (enabled, code) = installed.autostart("enable");
    assert_eq!((enabled["state"].as_str(), code), (Some("enabled"), 0), "{enabled}");
    assert_eq!(enabled["place"], installed.entry().display().to_string());
    let before = std::fs::read(installed.entry()).unwrap();
    assert_eq!(installed.autostart("enable").0["state"], "enabled", "once more is the same");
    assert_eq!(std::fs::read(installed.entry()).unwrap(), before);

    let mut child = installed.start_entry();
    wait_until("the agent answers", || Ipc::connect(&installed.station, ClientKind::Cli, Default::default()).is_ok());
    assert_eq!(ipc_client(&installed.station).status().agent.pid, child.id());
    // The running agent says the same of itself.
    assert_eq!(installed.autostart("status").0["state"], "enabled");
    assert!(cli(&installed.station, &["stop"]).success());
    assert!(child.wait().unwrap().success());

    let (disabled, code) = installed.autostart("disable");
    assert_eq!((disabled["state"].as_str(), code), (Some("absent"), 0));
    assert!(std::fs::read_dir(installed.folder()).unwrap().next().is_none());
    assert_eq!(installed.autostart("disable").1, 0, "what is not there is no error");
}

#[test]
fn the_window_beside_the_agent_is_what_starts_with_the_options_of_the_instance() {
    let installed = Installed::new();
    let noted = installed.station.folder().join("noted");
    script(&installed.programs.join("waybill"), &format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > '{}'\n", noted.display()));
    assert_eq!(installed.autostart("enable").0["state"], "enabled");
    assert!(installed.start_entry().wait().unwrap().success());
    let arguments = std::fs::read_to_string(&noted).unwrap();
    let (data, config) = (installed.station.data().display().to_string(), installed.station.config().display().to_string());
    assert_eq!(
        arguments.lines().collect::<Vec<_>>(),
        ["--scope", "user", "--config", &config, "--data-dir", &data, "--start-agent"]
    );
}

/// With the real window's program, where the whole workspace was built.
#[test]
fn the_window_starts_the_agent_at_log_in_and_ends() {
    let window = binary().with_file_name("waybill");
    if !window.is_file() {
        println!("skipped: {} is not built", window.display());
        return;
    }
    let installed = Installed::new();
    let there = installed.programs.join("waybill");
    std::fs::hard_link(&window, &there).or_else(|_| std::fs::copy(&window, &there).map(drop)).unwrap();
    assert_eq!(installed.autostart("enable").0["state"], "enabled");
    assert!(installed.start_entry().wait().unwrap().success(), "it has nothing more to do");
    wait_until("the agent answers", || Ipc::connect(&installed.station, ClientKind::Cli, Default::default()).is_ok());
    assert!(installed.start_entry().wait().unwrap().success(), "one that runs is as good");
    assert_eq!(installed.autostart("status").0["state"], "enabled");
    assert!(cli(&installed.station, &["stop"]).success());
}

#[test]
fn what_somebody_else_did_to_the_entry_is_told_and_enabling_puts_it_right() {
    let installed = Installed::new();
    installed.autostart("enable");
    let off = |line: &str| installed.edit_entry(|text| format!("{text}{line}\n").replace("X-GNOME-Autostart-enabled=true\n", ""));
    for line in ["Hidden=true", "X-GNOME-Autostart-enabled=false"] {
        off(line);
        let (found, code) = installed.autostart("status");
        assert_eq!((found["state"].as_str(), code), (Some("switched_off"), 11), "{line}: {found}");
        assert!(found["notes"][0].as_str().unwrap().contains(line), "{found}");
        assert_eq!(installed.autostart("enable").0["state"], "enabled");
    }

    installed.edit_entry(|text| text.replace("Exec=", "Exec=/usr/bin/backup #"));
    let (other, code) = installed.autostart("status");
    assert_eq!((other["state"].as_str(), code), (Some("other"), 11), "{other}");
    assert!(other["starts"].as_str().unwrap().starts_with("/usr/bin/backup"), "{other}");
    let righted = installed.autostart("enable").0;
    assert!(righted["notes"].to_string().contains("Before, it started /usr/bin/backup"), "{righted}");

    // The programs are moved to another folder.
    let elsewhere = installed.station.folder().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    place(&elsewhere);
    let moved = installed.run_from(&elsewhere.join("waybill-agent"), &[], &["autostart", "status"]);
    let said = String::from_utf8_lossy(&moved.stdout).into_owned();
    assert!(moved.status.code() == Some(11) && said.contains("the programs were moved"), "{said}");
    assert!(installed.run_from(&elsewhere.join("waybill-agent"), &[], &["autostart", "enable"]).status.success());
    assert_eq!(installed.autostart("status").0["state"], "moved", "seen from the old place");
}

#[test]
fn two_agents_side_by_side_have_entries_and_services_of_their_own() {
    let (one, two) = (Installed::new(), Installed::new());
    let folder = one.station.folder().join("xdg").display().to_string();
    two.station.set_environment("XDG_CONFIG_HOME", &folder);
    assert_eq!(one.autostart("enable").0["state"], "enabled");
    assert_eq!(two.autostart("status").0["state"], "absent", "the other one's entry is none of it");
    assert_eq!(two.autostart("enable").0["state"], "enabled");
    let named = two.run_from(&two.agent(), &["--instance", "second"], &["autostart", "enable"]);
    assert!(named.status.success(), "{named:?}");
    let mut names: Vec<String> =
        std::fs::read_dir(one.folder()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("waybill-second-")), "{names:?}");
    assert_eq!(one.autostart("disable").0["state"], "absent");
    assert_eq!(two.autostart("status").0["state"], "enabled");
}

#[test]
fn an_entry_that_cannot_be_written_is_an_error_that_names_the_place() {
    let installed = Installed::new();
    let folder = installed.folder();
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    std::fs::write(&folder, "a file in the place of the folder").unwrap();
    let refused = installed.run(&["autostart", "enable"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(7), "{said}");
    assert!(said.contains("WB7011") && said.contains(&folder.display().to_string()), "{said}");
}

#[test]
fn a_running_agent_shows_and_sets_its_autostart_over_ipc() {
    let installed = Installed::new();
    let mut agent = Agent::start(&installed.station);
    let ipc = ipc_client(&installed.station);
    let state = |enable| match ipc.request(Request::Autostart { enable }) {
        Ok(Reply::Autostart(status)) => status.state,
        other => panic!("{other:?}"),
    };
    // The binary under test may have the window beside it or not: it starts this very agent in either case.
    assert_eq!(state(None), AutostartState::Absent);
    assert_eq!(state(Some(true)), AutostartState::Enabled);
    assert!(installed.entry().is_file());
    let filter = HistoryFilter { action: Some("autostart.".to_owned()), ..HistoryFilter::default() };
    let noted = || match ipc.request(Request::History { filter: filter.clone(), page: Page { after: None, limit: 10 } }) {
        Ok(Reply::History(rows)) => rows.into_iter().map(|row| row.action).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    wait_until("the change is in the history", || noted() == ["autostart.enable"]);
    std::fs::remove_dir_all(installed.folder()).unwrap();
    std::fs::write(installed.folder(), "").unwrap();
    match ipc.request(Request::Autostart { enable: Some(true) }) {
        Err(ClientError::Agent(error)) => assert_eq!(error.code, Code::AutostartFailed),
        other => panic!("{other:?}"),
    }
    assert!(agent.stop().success());
}

#[test]
fn an_agent_of_the_machine_is_started_by_its_service_manager_and_by_no_log_in() {
    let installed = Installed::new();
    let machine = |what: &str| installed.run_from(&installed.agent(), &["--scope", "machine"], &["autostart", what, "--json"]);
    let status = machine("status");
    let json: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((json["state"].as_str(), status.status.code()), (Some("by_service"), Some(0)));
    let refused = machine("enable");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("service install"), "{said}");
    assert!(!installed.folder().exists());
}

/// A `systemctl` that notes its calls and knows a unit once it was reloaded.
const SYSTEMCTL: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/calls"
[ "$1" = --user ] || exit 99
shift
case $1 in
show)
    if [ "$2" = --property=Version ]; then echo Version=252; exit 0; fi
    if [ -e "$here/known" ]; then echo LoadState=loaded; else echo LoadState=not-found; fi
    if [ -e "$here/failed" ]; then echo ActiveState=failed; echo Result=exit-code; echo ExecMainStatus=5
    elif [ -e "$here/active" ]; then echo ActiveState=active; else echo ActiveState=inactive; fi
    if [ -e "$here/enabled" ]; then echo UnitFileState=enabled; else echo UnitFileState=disabled; fi ;;
daemon-reload) if ls "$XDG_CONFIG_HOME"/systemd/user/*.service > /dev/null 2>&1; then touch "$here/known"; else rm -f "$here/known"; fi ;;
enable) touch "$here/enabled" ;;
disable) rm -f "$here/enabled" ;;
start) if [ -e "$here/broken" ]; then touch "$here/failed"; echo "Job failed" >&2; exit 1; fi; rm -f "$here/failed"; touch "$here/active" ;;
stop) rm -f "$here/active" ;;
reset-failed) rm -f "$here/failed" ;;
esac
"#;

#[test]
fn a_service_is_installed_started_failed_stopped_and_taken_away_by_the_command_line() {
    let installed = Installed::new();
    let fake = installed.station.folder().join("fake");
    std::fs::create_dir(&fake).unwrap();
    script(&fake.join("systemctl"), SYSTEMCTL);
    installed.station.set_environment("PATH", &format!("{}:{}", fake.display(), std::env::var("PATH").unwrap()));
    let service = |what: &str| {
        let output = installed.run(&["service", what, "--json"]);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (json, output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let outcomes = |done: &Value| {
        done["steps"].as_array().unwrap().iter().map(|s| s["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let orders = || {
        let text = std::fs::read_to_string(fake.join("calls")).unwrap();
        std::fs::write(fake.join("calls"), "").unwrap();
        let verb = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
        text.lines().map(verb).filter(|verb| verb != "show").collect::<Vec<_>>()
    };
    let state = || {
        let (status, code, _) = service("status");
        (status["state"].as_str().unwrap().to_owned(), code)
    };
    assert_eq!(state(), ("not_installed".to_owned(), 3));
    // It does not come up: what was done stays and is told.
    std::fs::write(fake.join("broken"), "").unwrap();
    let (done, code, said) = service("install");
    assert_eq!((outcomes(&done), code), (["done", "done", "done", "failed"].map(str::to_owned).to_vec(), 9), "{done}");
    assert!(said.contains("WB7012") && said.contains("Job failed") && said.contains("journalctl --user"), "{said}");
    assert_eq!(orders(), ["daemon-reload", "enable", "start"]);
    assert_eq!(state(), ("failed".to_owned(), 11));
    let units = installed.station.folder().join("xdg/systemd/user");
    let unit = || {
        let file = std::fs::read_dir(&units).unwrap().next().unwrap().unwrap().path();
        std::fs::read_to_string(file).unwrap()
    };
    assert!(unit().contains("\nTimeoutStopSec=130\n") && unit().contains("\nStartLimitIntervalSec=0\n"), "{}", unit());
    std::fs::remove_file(fake.join("broken")).unwrap();
    let (done, code, _) = service("install");
    assert_eq!((outcomes(&done), code), (["unchanged", "done", "unchanged", "done"].map(str::to_owned).to_vec(), 0), "{done}");
    assert_eq!(state(), ("running".to_owned(), 0));
    assert_eq!(service("stop").1, 0);
    assert_eq!(state(), ("stopped".to_owned(), 3));
    assert_eq!(service("start").1, 0);
    // A stop that may take longer is told to the service manager by the next installation.
    let text = format!("{}\n[shutdown]\ntotal_secs = 600\n", installed.station.config_text());
    assert!(!installed.station.config_text().contains("[shutdown]"));
    installed.station.write_config(&text);
    let (done, code, _) = service("install");
    assert_eq!((outcomes(&done), code), (["done", "done", "unchanged", "unchanged"].map(str::to_owned).to_vec(), 0), "{done}");
    assert!(unit().contains("\nTimeoutStopSec=610\n"), "{}", unit());
    orders();
    let (gone, code, _) = service("uninstall");
    assert_eq!((gone["error"].clone(), code), (Value::Null, 0));
    assert_eq!(orders(), ["stop", "disable", "daemon-reload", "reset-failed"]);
    assert!(std::fs::read_dir(&units).unwrap().next().is_none());
    assert_eq!(service("uninstall").1, 0);
    assert!(orders().is_empty());
}

#[test]
fn without_a_service_manager_the_error_says_what_else_there_is() {
    let installed = Installed::new();
    installed.station.set_environment("PATH", "/nowhere");
    for what in ["install", "uninstall", "start", "stop", "status"] {
        let output = installed.run(&["service", what]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(9), "{said}");
        assert!(said.contains("WB7013") && said.contains("autostart enable") && said.contains("run --headless"), "{said}");
    }
    let by_hand = installed.run(&["service", "run"]);
    assert_eq!(by_hand.status.code(), Some(9), "{by_hand:?}");
}
