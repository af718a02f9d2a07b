//! Linux: a unit of the user's systemd or of the machine's, by `systemctl`.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::{atomic, folder};
use waybill_shared::paths::{self, Instance, Scope};
use waybill_shared::text;

use super::{Done, Outcome, ServiceState, ServiceStatus, Session, Steps, failed, not_installed, unit};
use crate::platform::command::{self, Said};
use crate::platform::start;

/// Longest time for an answer; the manager answers in milliseconds.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest time for a start: the unit's own limit, and some for the manager.
const START: Duration = Duration::from_secs(310);

const ALTERNATIVE: &str = "Use `waybill-agent autostart enable` in a desktop session, or let another supervisor (a container, runit, cron's @reboot) \
                           run `waybill-agent run --headless`";

pub(super) fn service_name(name: &str) -> String {
    unit::unit_name(name)
}

pub(super) fn install(instance: &Instance, start: bool, longest_stop: Duration) -> Result<Done, ErrorReport> {
    Systemd::of(instance)?.install(instance, start, longest_stop)
}

pub(super) fn uninstall(instance: &Instance, within: Duration) -> Result<Done, ErrorReport> {
    Systemd::of(instance)?.uninstall(instance, within)
}

pub(super) fn start(instance: &Instance) -> Result<Done, ErrorReport> {
    Systemd::of(instance)?.start(instance)
}

pub(super) fn stop(instance: &Instance, within: Duration) -> Result<Done, ErrorReport> {
    Systemd::of(instance)?.stop(instance, within)
}

pub(super) fn status(instance: &Instance) -> Result<ServiceStatus, ErrorReport> {
    Systemd::of(instance)?.status(instance)
}

pub(super) fn run(_instance: &Instance, _body: Box<dyn FnOnce(Session) -> Exit + Send>) -> Result<Exit, ErrorReport> {
    Err(ErrorReport::new(Code::ServiceManagerMissing, "systemd runs `waybill-agent run`; `service run` is for Windows")
        .with_fix("Use `waybill-agent run`"))
}

/// A service manager, and where its units of an administrator or of the user lie.
pub(super) struct Systemd {
    systemctl: OsString,
    folder: PathBuf,
    scope: Scope,
}

/// What `systemctl show` says of a unit.
struct Shown(Vec<(String, String)>);

impl Shown {
    fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(known, _)| known == key).map_or("", |(_, value)| value)
    }

    fn is_known(&self) -> bool {
        self.get("LoadState") != "not-found"
    }

    fn is_up(&self) -> bool {
        matches!(self.get("ActiveState"), "active" | "activating" | "reloading" | "deactivating")
    }
}

impl Systemd {
    fn of(instance: &Instance) -> Result<Self, ErrorReport> {
        let folder = match instance.scope {
            Scope::Machine => PathBuf::from("/etc/systemd/system"),
            Scope::User => paths::user_config_folder().map_err(failed)?.join("systemd/user"),
        };
        Ok(Self { systemctl: "systemctl".into(), folder, scope: instance.scope })
    }

    fn install(&self, instance: &Instance, start: bool, longest_stop: Duration) -> Result<Done, ErrorReport> {
        self.answers()?;
        let unit = super::name_of(instance);
        let file = self.folder.join(&unit);
        let mut steps = Steps::of(unit.clone());
        let mut changed = false;
        steps.step("write the unit file", || {
            let program = start::this_program().map_err(failed)?;
            let wanted = unit::render(&program, instance, longest_stop).map_err(failed)?;
            changed = std::fs::read(&file).ok().as_deref() != Some(wanted.as_bytes());
            if changed {
                let written = folder::create(&self.folder).and_then(|()| atomic::replace(&file, wanted.as_bytes()));
                written.map_err(|error| self.told(&format!("{} cannot be written: {error}", text::path(&file)), &error))?;
            }
            Ok((if changed { Outcome::Done } else { Outcome::Unchanged }, text::path(&file)))
        });
        steps.step("reload systemd", || self.tell(&["daemon-reload"], ANSWER).map(|_| (Outcome::Done, String::new())));
        steps.step("enable the unit", || {
            let before = self.show(&unit)?;
            if before.get("UnitFileState") == "enabled" {
                return Ok((Outcome::Unchanged, self.when().to_owned()));
            }
            self.tell(&["enable", &unit], ANSWER).map(|_| (Outcome::Done, self.when().to_owned()))
        });
        if start {
            self.start_step(&mut steps, instance, &unit, changed);
        }
        if steps.is_well() && self.scope == Scope::User {
            steps.note("It starts when you log in and stops when you log out; `loginctl enable-linger` lets it run from the start of the machine");
        }
        Ok(steps.done())
    }

    fn uninstall(&self, instance: &Instance, within: Duration) -> Result<Done, ErrorReport> {
        let unit = super::name_of(instance);
        let file = self.folder.join(&unit);
        let there = file.symlink_metadata().is_ok();
        let manager = self.answers();
        if let (Err(missing), false) = (&manager, there) {
            return Err(missing.clone());
        }
        let mut steps = Steps::of(unit.clone());
        let known = manager.is_ok() && self.show(&unit)?.is_known();
        if !there && !known {
            steps.note(format!("There was nothing to do: {unit} is not installed"));
            return Ok(steps.done());
        }
        if known {
            steps.step("stop the service", || {
                if !self.show(&unit)?.is_up() {
                    return Ok((Outcome::Unchanged, "it does not run".to_owned()));
                }
                self.tell(&["stop", &unit], within).map(|_| (Outcome::Done, String::new()))
            });
            steps.step("disable the unit", || self.tell(&["disable", &unit], ANSWER).map(|_| (Outcome::Done, String::new())));
        }
        steps.step("remove the unit file", || match std::fs::remove_file(&file) {
            Ok(()) => Ok((Outcome::Done, text::path(&file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((Outcome::Unchanged, text::path(&file))),
            Err(error) => Err(self.told(&format!("{} cannot be removed: {error}", text::path(&file)), &error)),
        });
        match manager {
            Ok(()) => {
                steps.step("reload systemd", || self.tell(&["daemon-reload"], ANSWER).map(|_| (Outcome::Done, String::new())));
                if steps.is_well() {
                    // Forgets that it failed once; refused for a unit that never did.
                    let _nothing_to_forget = self.ask(&["reset-failed", &unit], ANSWER);
                }
            }
            Err(missing) => steps.note(format!("systemd was not told: {}", missing.message)),
        }
        Ok(steps.done())
    }

    fn start(&self, instance: &Instance) -> Result<Done, ErrorReport> {
        self.answers()?;
        let unit = super::name_of(instance);
        let mut steps = Steps::of(unit.clone());
        self.start_step(&mut steps, instance, &unit, false);
        Ok(steps.done())
    }

    fn start_step(&self, steps: &mut Steps, instance: &Instance, unit: &str, changed: bool) {
        let mut runs = false;
        steps.step("start the service", || {
            let before = self.show(unit)?;
            if !before.is_known() {
                return Err(not_installed(unit));
            }
            runs = before.get("ActiveState") == "active";
            if runs {
                return Ok((Outcome::Unchanged, "it runs already".to_owned()));
            }
            super::nobody_else_runs(instance)?;
            self.tell(&["start", unit], START).map_err(|error| {
                let log = match self.scope {
                    Scope::Machine => format!("journalctl -u {unit}"),
                    Scope::User => format!("journalctl --user -u {unit}"),
                };
                let fix = format!(
                    "Look at `waybill-agent logs`, and at `{log}` for what was said before there was a log. {}",
                    error.fix
                );
                error.with_fix(fix)
            })?;
            Ok((Outcome::Done, String::new()))
        });
        if runs && changed {
            steps.note(
                "The running one was started with the unit file of before: `waybill-agent service stop`, then `service start`",
            );
        }
    }

    fn stop(&self, instance: &Instance, within: Duration) -> Result<Done, ErrorReport> {
        self.answers()?;
        let unit = super::name_of(instance);
        let mut steps = Steps::of(unit.clone());
        steps.step("stop the service", || {
            let before = self.show(&unit)?;
            match (before.is_known(), before.is_up()) {
                (false, _) => Err(not_installed(&unit)),
                (true, false) => Ok((Outcome::Unchanged, "it does not run".to_owned())),
                (true, true) => self.tell(&["stop", &unit], within).map(|_| (Outcome::Done, String::new())),
            }
        });
        Ok(steps.done())
    }

    fn status(&self, instance: &Instance) -> Result<ServiceStatus, ErrorReport> {
        self.answers()?;
        let unit = super::name_of(instance);
        let shown = self.show(&unit)?;
        let file = self.folder.join(&unit);
        let mut notes = Vec::new();
        let there = std::fs::read_to_string(&file).ok();
        if let (Some(there), Ok(program)) = (&there, start::this_program()) {
            let wanted = unit::render(&program, instance, Duration::ZERO).unwrap_or_default();
            if unit::command(there) != unit::command(&wanted) {
                notes.push(format!(
                    "It runs another command than this program would install: {}",
                    unit::command(there).unwrap_or("none")
                ));
            }
        }
        if shown.get("NeedDaemonReload") == "yes" || (!shown.is_known() && there.is_some()) {
            notes.push("systemd has not read the unit file as it is now: `waybill-agent service install` tells it to".to_owned());
        }
        if shown.get("UnitFileState").starts_with("masked") {
            notes.push("Somebody has masked the unit: it cannot be started".to_owned());
        }
        if shown.get("Result") != "success" && !shown.get("Result").is_empty() {
            notes.push(format!("It ended with {} (exit status {})", shown.get("Result"), shown.get("ExecMainStatus")));
        }
        let fragment = Some(shown.get("FragmentPath")).filter(|path| !path.is_empty()).map(|path| text::printable(path, 4096));
        Ok(ServiceStatus {
            service: unit,
            manager: "systemd",
            state: state(&shown),
            since_ms: moment(shown.get("StateChangeTimestamp")),
            pid: shown.get("MainPID").parse().ok().filter(|pid| *pid != 0),
            starts_by_itself: match shown.get("UnitFileState") {
                "enabled" | "enabled-runtime" => Some(true),
                "" => None,
                _ => Some(false),
            },
            place: fragment.or_else(|| there.map(|_| text::path(&file))),
            notes,
        })
    }

    fn when(&self) -> &'static str {
        match self.scope {
            Scope::Machine => "it starts with the machine",
            Scope::User => "it starts with your log-in",
        }
    }

    /// Whether there is a service manager that answers.
    fn answers(&self) -> Result<(), ErrorReport> {
        let other = match self.scope {
            Scope::Machine => "",
            Scope::User => "A service of the machine, which root installs, needs `--scope machine`. ",
        };
        let missing = |why: &str| {
            ErrorReport::new(Code::ServiceManagerMissing, format!("there is no systemd that could run a service: {why}"))
                .with_fix(format!("{other}{ALTERNATIVE}"))
        };
        match self.ask(&["show", "--property=Version"], ANSWER) {
            Ok(said) if said.status.success() => Ok(()),
            Ok(said) => Err(missing(&said.why())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing("the program systemctl is not installed")),
            Err(error) => Err(missing(&format!("systemctl: {error}"))),
        }
    }

    fn show(&self, unit: &str) -> Result<Shown, ErrorReport> {
        const PROPERTIES: &str = "--property=LoadState,ActiveState,Result,MainPID,StateChangeTimestamp,UnitFileState,FragmentPath,\
                                  NeedDaemonReload,ExecMainStatus";
        let said = self.tell(&["show", unit, PROPERTIES], ANSWER)?;
        let pair = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.trim().to_owned()));
        Ok(Shown(said.stdout.lines().filter_map(pair).collect()))
    }

    fn ask(&self, arguments: &[&str], limit: Duration) -> io::Result<Said> {
        let whose: &[&str] = match self.scope {
            Scope::Machine => &["--no-ask-password"],
            Scope::User => &["--user"],
        };
        command::run(&self.systemctl, &[whose, arguments].concat(), limit)
    }

    /// Asks, and takes a refusal for an error.
    fn tell(&self, arguments: &[&str], limit: Duration) -> Result<Said, ErrorReport> {
        let asked =
            || format!("systemctl {}", arguments.iter().filter(|a| !a.starts_with("--")).copied().collect::<Vec<_>>().join(" "));
        match self.ask(arguments, limit) {
            Ok(said) if said.status.success() => Ok(said),
            Ok(said) => Err(self.not_allowed(failed(format!("`{}` failed: {}", asked(), said.why())), &said.why())),
            Err(error) => Err(self.told(&format!("`{}`: {error}", asked()), &error)),
        }
    }

    fn told(&self, message: &str, error: &io::Error) -> ErrorReport {
        if error.kind() == io::ErrorKind::PermissionDenied { self.needs_root(failed(message)) } else { failed(message) }
    }

    fn not_allowed(&self, error: ErrorReport, why: &str) -> ErrorReport {
        let refused = ["Access denied", "Permission denied", "authentication required", "Operation not permitted"];
        if refused.iter().any(|word| why.contains(word)) { self.needs_root(error) } else { error }
    }

    fn needs_root(&self, error: ErrorReport) -> ErrorReport {
        match self.scope {
            Scope::Machine => error.with_fix(
                "A service of the machine is an administrator's: run the same with `sudo`, or make it a service of yours with `--scope user`",
            ),
            Scope::User => error,
        }
    }
}

fn state(shown: &Shown) -> ServiceState {
    if !shown.is_known() {
        return ServiceState::NotInstalled;
    }
    match shown.get("ActiveState") {
        "active" | "reloading" => ServiceState::Running,
        "activating" => ServiceState::Starting,
        "deactivating" => ServiceState::Stopping,
        "failed" => ServiceState::Failed,
        _ => ServiceState::Stopped,
    }
}

/// A moment as systemd writes it with `TZ=UTC`: `Sun 2026-11-22 00:18:04 UTC`.
fn moment(text: &str) -> Option<i64> {
    let text = text.strip_suffix(" UTC")?.split_once(' ')?.1;
    let at = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests;
