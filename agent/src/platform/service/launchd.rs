//! macOS: a job of the user's launchd or of the machine's, by `launchctl`.

pub(in crate::platform) mod plist;

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::{atomic, folder};
use waybill_shared::paths::{self, Instance, Scope};
use waybill_shared::text;

pub(in crate::platform) use plist::Job;

use super::{Done, Outcome, ServiceState, ServiceStatus, Session, Stepped, Steps, failed, not_installed};
use crate::platform::command::{self, Said};
use crate::platform::start as this;

/// Longest time for an answer.
const ANSWER: Duration = Duration::from_secs(30);

pub(super) fn service_name(name: &str) -> String {
    name.to_owned()
}

pub(super) fn install(instance: &Instance, start: bool, longest_stop: Duration) -> Result<Done, ErrorReport> {
    answers()?;
    let target = Target::of(instance)?;
    let mut steps = Steps::of(target.label.clone());
    let mut changed = false;
    steps.step("write the property list", || {
        let command = command_of(instance).map_err(failed)?;
        let wanted = plist::render(&Job { label: &target.label, command: &command, kept_alive: true, longest_stop });
        changed = std::fs::read(&target.file).ok().as_deref() != Some(wanted.as_bytes());
        if changed {
            let written =
                folder::create(&atomic::folder_of(&target.file)).and_then(|()| atomic::replace(&target.file, wanted.as_bytes()));
            written.map_err(|error| target.told(&format!("{} cannot be written: {error}", text::path(&target.file)), &error))?;
        }
        Ok((if changed { Outcome::Done } else { Outcome::Unchanged }, text::path(&target.file)))
    });
    steps.step("enable the job", || target.tell(&["enable", &target.service()], ANSWER));
    if start {
        target.start_step(&mut steps, instance);
        if changed && steps.is_well() {
            steps.note(
                "If it ran before, it has the property list of before until `waybill-agent service stop` and `service start`",
            );
        }
    }
    Ok(steps.done())
}

pub(super) fn uninstall(instance: &Instance, within: Duration) -> Result<Done, ErrorReport> {
    answers()?;
    let target = Target::of(instance)?;
    let mut steps = Steps::of(target.label.clone());
    let loaded = target.print().is_some();
    if !loaded && target.file.symlink_metadata().is_err() {
        steps.note(format!("There was nothing to do: {} is not installed", target.label));
        return Ok(steps.done());
    }
    if loaded {
        steps.step("stop the job", || target.tell(&["bootout", &target.service()], within));
    }
    steps.step("remove the property list", || match std::fs::remove_file(&target.file) {
        Ok(()) => Ok((Outcome::Done, text::path(&target.file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((Outcome::Unchanged, text::path(&target.file))),
        Err(error) => Err(target.told(&format!("{} cannot be removed: {error}", text::path(&target.file)), &error)),
    });
    Ok(steps.done())
}

pub(super) fn start(instance: &Instance) -> Result<Done, ErrorReport> {
    answers()?;
    let target = Target::of(instance)?;
    let mut steps = Steps::of(target.label.clone());
    target.start_step(&mut steps, instance);
    Ok(steps.done())
}

pub(super) fn stop(instance: &Instance, within: Duration) -> Result<Done, ErrorReport> {
    answers()?;
    let target = Target::of(instance)?;
    let mut steps = Steps::of(target.label.clone());
    steps.step("stop the job", || match target.print() {
        Some(_) => target.tell(&["bootout", &target.service()], within),
        None if target.file.is_file() => Ok((Outcome::Unchanged, "it does not run".to_owned())),
        None => Err(not_installed(&target.label)),
    });
    Ok(steps.done())
}

pub(super) fn status(instance: &Instance) -> Result<ServiceStatus, ErrorReport> {
    answers()?;
    let target = Target::of(instance)?;
    let there = std::fs::read_to_string(&target.file).ok();
    let printed = target.print();
    let value = |key: &str| {
        let printed = printed.as_ref()?;
        printed.lines().find_map(|line| line.trim().strip_prefix(key)?.trim().strip_prefix("= ")).map(str::to_owned)
    };
    let exit = value("last exit code");
    let state = match (value("state").as_deref(), exit.as_deref(), &there) {
        (Some("running"), ..) => ServiceState::Running,
        (_, Some(code), _) if !matches!(code, "0" | "(never exited)") => ServiceState::Failed,
        (None, _, None) => ServiceState::NotInstalled,
        _ => ServiceState::Stopped,
    };
    let mut notes = Vec::new();
    if let (Some(list), Ok(command)) = (&there, command_of(instance))
        && plist::arguments(list) != command
    {
        let runs = plist::arguments(list).join(" ");
        notes.push(format!("It runs another command than this program would install: {}", text::printable(&runs, 1000)));
    }
    notes.extend(exit.filter(|_| state == ServiceState::Failed).map(|code| format!("It ended with exit code {code}")));
    let on = there.is_some() && !switched_off(&target.domain, &target.label);
    Ok(ServiceStatus {
        service: target.label.clone(),
        manager: "launchd",
        state,
        since_ms: None,
        pid: value("pid").and_then(|pid| pid.parse().ok()),
        starts_by_itself: Some(on),
        place: there.map(|_| text::path(&target.file)),
        notes,
    })
}

pub(super) fn run(_instance: &Instance, _body: Box<dyn FnOnce(Session) -> Exit + Send>) -> Result<Exit, ErrorReport> {
    Err(ErrorReport::new(Code::ServiceManagerMissing, "launchd runs `waybill-agent run`; `service run` is for Windows")
        .with_fix("Use `waybill-agent run`"))
}

/// Whether somebody has switched off a job of the user.
pub(in crate::platform) fn is_switched_off(label: &str) -> bool {
    switched_off(&user_domain(), label)
}

/// Forgets that somebody has switched off a job of the user.
///
/// # Errors
/// What launchctl says.
pub(in crate::platform) fn switch_on(label: &str) -> Result<(), String> {
    let said = ask(&["enable", &format!("{}/{label}", user_domain())], ANSWER).map_err(|error| error.to_string())?;
    if said.status.success() { Ok(()) } else { Err(said.why()) }
}

fn switched_off(domain: &str, label: &str) -> bool {
    let Ok(said) = ask(&["print-disabled", domain], ANSWER) else { return false };
    let quoted = format!("\"{label}\" => ");
    let state = said.stdout.lines().find_map(|line| line.trim().strip_prefix(&quoted));
    matches!(state, Some("disabled" | "true"))
}

/// Where a job lies and how launchd calls it.
struct Target {
    label: String,
    domain: String,
    file: PathBuf,
    scope: Scope,
}

impl Target {
    fn of(instance: &Instance) -> Result<Self, ErrorReport> {
        let label = super::name_of(instance);
        let (domain, folder) = match instance.scope {
            Scope::Machine => ("system".to_owned(), PathBuf::from("/Library/LaunchDaemons")),
            Scope::User => (user_domain(), paths::home_folder().map_err(failed)?.join("Library/LaunchAgents")),
        };
        Ok(Self { file: folder.join(format!("{label}.plist")), label, domain, scope: instance.scope })
    }

    fn service(&self) -> String {
        format!("{}/{}", self.domain, self.label)
    }

    fn start_step(&self, steps: &mut Steps, instance: &Instance) {
        steps.step("start the job", || match self.print() {
            Some(printed) if printed.contains("state = running") => Ok((Outcome::Unchanged, "it runs already".to_owned())),
            Some(_) => {
                super::nobody_else_runs(instance)?;
                self.tell(&["kickstart", &self.service()], ANSWER)
            }
            None if self.file.is_file() => {
                super::nobody_else_runs(instance)?;
                self.tell(&["bootstrap", &self.domain, &text::path(&self.file)], ANSWER)
            }
            None => Err(not_installed(&self.label)),
        });
    }

    /// What launchd says of the job; none if it does not know it.
    fn print(&self) -> Option<String> {
        ask(&["print", &self.service()], ANSWER).ok().filter(|said| said.status.success()).map(|said| said.stdout)
    }

    fn tell(&self, arguments: &[&str], limit: Duration) -> Stepped {
        let asked = || format!("launchctl {}", arguments.join(" "));
        match ask(arguments, limit) {
            Ok(said) if said.status.success() => Ok((Outcome::Done, String::new())),
            Ok(said) => {
                let error = failed(format!("`{}` failed: {}", asked(), said.why()));
                let refused = said.why().contains("Operation not permitted") || said.why().contains("privilege");
                Err(if refused { self.needs_root(error) } else { error })
            }
            Err(error) => Err(self.told(&format!("`{}`: {error}", asked()), &error)),
        }
    }

    fn told(&self, message: &str, error: &io::Error) -> ErrorReport {
        if error.kind() == io::ErrorKind::PermissionDenied { self.needs_root(failed(message)) } else { failed(message) }
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

fn command_of(instance: &Instance) -> Result<Vec<String>, String> {
    let program = this::this_program()?;
    Ok(std::iter::once(program).chain(instance.arguments_as_text()?).chain(["run".to_owned()]).collect())
}

fn answers() -> Result<(), ErrorReport> {
    match ask(&["version"], ANSWER) {
        Ok(_) => Ok(()),
        Err(error) => Err(ErrorReport::new(Code::ServiceManagerMissing, format!("launchctl: {error}"))),
    }
}

fn ask(arguments: &[&str], limit: Duration) -> io::Result<Said> {
    command::run(OsStr::new("launchctl"), arguments, limit)
}

fn user_domain() -> String {
    #[allow(unsafe_code, reason = "getuid has no safe binding in std")]
    // SAFETY: getuid takes nothing, always succeeds and touches no memory of ours.
    let user = unsafe { libc::getuid() };
    format!("gui/{user}")
}
