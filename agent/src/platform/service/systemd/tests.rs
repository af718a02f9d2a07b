//! Against a `systemctl` that writes down how it is called and does what a unit manager does, with files.

use super::*;
use std::os::unix::fs::PermissionsExt as _;
use waybill_shared::paths::InstanceOptions;

const STOP: Duration = Duration::from_secs(610);

/// A service manager in a folder.
struct Fake {
    folder: tempfile::TempDir,
    systemd: Systemd,
    instance: Instance,
}

const SYSTEMCTL: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/calls"
shift
if [ -e "$here/fail-$1" ]; then cat "$here/fail-$1" >&2; exit 1; fi
known() { [ -e "$here/loaded/$1" ]; }
case $1 in
show)
    if [ "$2" = --property=Version ]; then echo Version=252; exit 0; fi
    if known "$2"; then echo LoadState=loaded; echo "FragmentPath=$here/units/$2"; else echo LoadState=not-found; fi
    if [ -e "$here/active" ]; then echo ActiveState=active; echo MainPID=4711; else echo ActiveState=inactive; echo MainPID=0; fi
    if [ -e "$here/enabled" ]; then echo UnitFileState=enabled; elif known "$2"; then echo UnitFileState=disabled; else echo UnitFileState=; fi
    echo Result=success; echo "StateChangeTimestamp=Sun 2026-11-22 00:18:04 UTC"; echo NeedDaemonReload=no; echo ExecMainStatus=0 ;;
daemon-reload) rm -rf "$here/loaded"; cp -r "$here/units" "$here/loaded" ;;
enable) known "$2" || exit 1; touch "$here/enabled" ;;
disable) rm -f "$here/enabled" ;;
start) known "$2" || exit 5; touch "$here/active" ;;
stop) rm -f "$here/active" ;;
reset-failed) ;;
*) echo "unknown verb $1" >&2; exit 1 ;;
esac
"#;

impl Fake {
    fn new(scope: Scope) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let systemctl = folder.path().join("systemctl");
        atomic::replace(&systemctl, SYSTEMCTL.as_bytes()).unwrap();
        std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
        let data_dir = Some(folder.path().join("data"));
        let instance = Instance::locate(&InstanceOptions { data_dir, scope: Some(scope), ..InstanceOptions::default() }).unwrap();
        let systemd = Systemd { systemctl: systemctl.into(), folder: folder.path().join("units"), scope };
        Self { folder, systemd, instance }
    }

    /// The verbs it was called with since the last look, without questions.
    fn orders(&self) -> Vec<String> {
        let calls = self.folder.path().join("calls");
        let text = std::fs::read_to_string(&calls).unwrap_or_default();
        atomic::replace(&calls, b"").unwrap();
        let order = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
        text.lines().filter_map(order).filter(|verb| verb != "show").collect()
    }

    fn break_verb(&self, verb: &str, words: &str) {
        atomic::replace(&self.folder.path().join(format!("fail-{verb}")), words.as_bytes()).unwrap();
    }

    fn mend(&self, verb: &str) {
        std::fs::remove_file(self.folder.path().join(format!("fail-{verb}"))).unwrap();
    }

    fn status(&self) -> ServiceStatus {
        self.systemd.status(&self.instance).unwrap()
    }
}

fn outcomes(done: &Done) -> Vec<Outcome> {
    done.steps.iter().map(|step| step.outcome).collect()
}

#[test]
fn a_service_is_installed_in_order_and_doing_it_again_changes_nothing() {
    for (scope, whose) in [(Scope::User, "--user "), (Scope::Machine, "--no-ask-password ")] {
        let fake = Fake::new(scope);
        assert_eq!(fake.status().state, ServiceState::NotInstalled);
        let done = fake.systemd.install(&fake.instance, true, STOP).unwrap();
        assert_eq!(done.error, None, "{done:?}");
        assert_eq!(outcomes(&done), [Outcome::Done; 4], "{done:?}");
        let calls = std::fs::read_to_string(fake.folder.path().join("calls")).unwrap();
        assert!(calls.lines().all(|line| line.starts_with(whose)), "{calls}");
        assert_eq!(fake.orders(), ["daemon-reload", "enable", "start"]);
        let status = fake.status();
        assert_eq!((status.state, status.pid, status.starts_by_itself), (ServiceState::Running, Some(4711), Some(true)));
        assert_eq!(status.since_ms, Some("2026-11-22T00:18:04Z".parse::<jiff::Timestamp>().unwrap().as_millisecond()));
        assert!(status.notes.is_empty(), "{status:?}");
        let again = fake.systemd.install(&fake.instance, true, STOP).unwrap();
        assert_eq!(outcomes(&again), [Outcome::Unchanged, Outcome::Done, Outcome::Unchanged, Outcome::Unchanged], "{again:?}");
        assert_eq!(fake.orders(), ["daemon-reload"]);
    }
}

#[test]
fn each_call_that_fails_is_said_and_leaves_what_the_status_tells() {
    for (verb, failing, state, enabled) in [
        ("daemon-reload", 1, ServiceState::NotInstalled, None),
        ("enable", 2, ServiceState::Stopped, Some(false)),
        ("start", 3, ServiceState::Stopped, Some(true)),
    ] {
        let fake = Fake::new(Scope::User);
        fake.break_verb(verb, "it went wrong\n");
        let done = fake.systemd.install(&fake.instance, true, STOP).unwrap();
        let error = done.error.clone().unwrap();
        assert_eq!(error.code, Code::ServiceFailed);
        assert!(error.message.contains("it went wrong") && error.message.contains(verb), "{error}");
        for (i, outcome) in outcomes(&done).into_iter().enumerate() {
            let wanted = match i.cmp(&failing) {
                std::cmp::Ordering::Less => Outcome::Done,
                std::cmp::Ordering::Equal => Outcome::Failed,
                std::cmp::Ordering::Greater => Outcome::NotTried,
            };
            assert_eq!(outcome, wanted, "{verb}: {done:?}");
        }
        let status = fake.status();
        assert_eq!((status.state, status.starts_by_itself), (state, enabled), "{verb}: {status:?}");
        assert!(status.place.is_some(), "the file is there: {status:?}");
        if verb == "daemon-reload" {
            assert!(status.notes.iter().any(|note| note.contains("has not read the unit file")), "{status:?}");
        }
        // What was in the way is gone: the same again goes on.
        fake.mend(verb);
        assert_eq!(fake.systemd.install(&fake.instance, true, STOP).unwrap().error, None);
        assert_eq!(fake.status().state, ServiceState::Running);
    }
}

#[test]
fn a_service_is_taken_away_and_one_that_is_not_there_is_no_error() {
    let fake = Fake::new(Scope::User);
    let nothing = fake.systemd.uninstall(&fake.instance, STOP).unwrap();
    assert!(nothing.steps.is_empty() && nothing.error.is_none() && nothing.notes[0].contains("is not installed"), "{nothing:?}");
    fake.systemd.install(&fake.instance, true, STOP).unwrap();
    fake.orders();
    fake.break_verb("stop", "it does not want to\n");
    let failed = fake.systemd.uninstall(&fake.instance, STOP).unwrap();
    assert_eq!(outcomes(&failed)[0], Outcome::Failed);
    assert_eq!(fake.status().state, ServiceState::Running, "nothing was taken from under a service that runs");
    fake.mend("stop");
    fake.orders();
    let done = fake.systemd.uninstall(&fake.instance, STOP).unwrap();
    assert_eq!(done.error, None);
    assert_eq!(fake.orders(), ["stop", "disable", "daemon-reload", "reset-failed"]);
    assert_eq!(fake.status().state, ServiceState::NotInstalled);
    assert!(fake.status().place.is_none());
}

#[test]
fn starting_and_stopping_say_what_was_so_already_and_what_is_not_there() {
    let fake = Fake::new(Scope::User);
    for done in [fake.systemd.start(&fake.instance).unwrap(), fake.systemd.stop(&fake.instance, STOP).unwrap()] {
        assert!(done.error.unwrap().message.contains("is not installed"));
    }
    fake.systemd.install(&fake.instance, false, STOP).unwrap();
    assert_eq!(outcomes(&fake.systemd.stop(&fake.instance, STOP).unwrap()), [Outcome::Unchanged]);
    assert_eq!(outcomes(&fake.systemd.start(&fake.instance).unwrap()), [Outcome::Done]);
    assert_eq!(outcomes(&fake.systemd.start(&fake.instance).unwrap()), [Outcome::Unchanged]);
    assert_eq!(outcomes(&fake.systemd.stop(&fake.instance, STOP).unwrap()), [Outcome::Done]);
    assert_eq!(fake.status().state, ServiceState::Stopped);
}

#[test]
fn an_agent_that_runs_beside_the_service_is_named_and_not_disturbed() {
    let fake = Fake::new(Scope::User);
    folder::create(&fake.instance.data).unwrap();
    let _runs = waybill_shared::fs::lock::Lock::acquire(&fake.instance.lock(), "process 1 (a test)").unwrap();
    let error = fake.systemd.install(&fake.instance, true, STOP).unwrap().error.unwrap();
    assert!(error.message.contains("process 1 (a test)") && error.fix.contains("waybill-agent stop"), "{error} {}", error.fix);
    assert!(!fake.orders().contains(&"start".to_owned()));
}

#[test]
fn what_needs_root_says_so() {
    let fake = Fake::new(Scope::Machine);
    fake.break_verb("enable", "Failed to enable unit: Access denied\n");
    let error = fake.systemd.install(&fake.instance, true, STOP).unwrap().error.unwrap();
    assert!(error.fix.contains("sudo"), "{}", error.fix);
}

#[test]
fn without_a_service_manager_the_alternatives_are_named() {
    let fake = Fake::new(Scope::User);
    fake.break_verb("show", "Failed to connect to bus: No medium found\n");
    let nowhere = Systemd { systemctl: "/nowhere/systemctl".into(), folder: fake.systemd.folder.clone(), scope: Scope::User };
    for (systemd, why) in [(&fake.systemd, "No medium found"), (&nowhere, "not installed")] {
        for error in [
            systemd.install(&fake.instance, true, STOP).unwrap_err(),
            systemd.start(&fake.instance).unwrap_err(),
            systemd.stop(&fake.instance, STOP).unwrap_err(),
            systemd.uninstall(&fake.instance, STOP).unwrap_err(),
            systemd.status(&fake.instance).unwrap_err(),
        ] {
            assert_eq!(error.code, Code::ServiceManagerMissing);
            assert!(error.message.contains(why), "{error}");
            assert!(error.fix.contains("autostart enable") && error.fix.contains("run --headless"), "{}", error.fix);
        }
    }
    assert!(!fake.systemd.folder.exists(), "nothing was begun");
}

#[test]
fn a_unit_of_another_installation_is_told() {
    let fake = Fake::new(Scope::User);
    fake.systemd.install(&fake.instance, true, STOP).unwrap();
    let file = fake.systemd.folder.join(crate::platform::service::name_of(&fake.instance));
    let unit = std::fs::read_to_string(&file).unwrap().replace("ExecStart=", "ExecStart=/old");
    atomic::replace(&file, unit.as_bytes()).unwrap();
    assert!(
        fake.status().notes.iter().any(|note| note.contains("another command") && note.contains("/old")),
        "{:?}",
        fake.status()
    );
    let done = fake.systemd.install(&fake.instance, true, STOP).unwrap();
    assert_eq!(outcomes(&done)[0], Outcome::Done);
    assert!(done.notes.iter().any(|note| note.contains("of before")), "the running one is the old one: {done:?}");
    assert!(fake.status().notes.is_empty());
}

#[test]
fn a_moment_of_systemd_is_read() {
    assert_eq!(moment("Thu 1970-01-01 00:00:01 UTC"), Some(1000));
    for none in ["", "n/a", "Thu 1970-01-01 00:00:01 CET"] {
        assert_eq!(moment(none), None, "{none}");
    }
}
