//! Autostart: the agent of a user is started when this user logs in. Needs no root and no elevation.
//!
//! Owns one entry where the OS looks for such: a desktop entry on Linux, a property list on macOS, a value of the registry on Windows. Nothing
//! is remembered beside it: what is said is what is there, also if somebody else put it there, moved the programs, or switched the entry off by
//! the means of the OS. An entry is written whole or not at all.
//!
//! What is started is the window's program with `--start-agent`, which ends at once, if it lies beside the agent; else, where that opens no
//! terminal, the agent itself.

#[cfg(any(all(unix, not(target_os = "macos")), test))]
mod desktop;
#[cfg(all(unix, not(target_os = "macos")))]
mod xdg;
#[cfg(all(unix, not(target_os = "macos")))]
use xdg as os;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as os;

#[cfg(any(windows, test))]
pub(super) mod run_key;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as os;

use std::path::Path;

use waybill_ipc::protocol::{AutostartState, AutostartStatus};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::{Instance, Scope};

use super::{service, start};

/// An entry as it was found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    /// What it starts; none if it names nothing that can be started.
    command: Option<Vec<String>>,
    /// Who has switched it off, as a sentence.
    switched_off: Option<String>,
}

/// Whether the agent of an instance starts by itself.
///
/// # Errors
/// `AutostartFailed`: what is there cannot be read.
pub fn status(instance: &Instance) -> Result<AutostartStatus, ErrorReport> {
    if instance.scope == Scope::Machine {
        return Ok(by_service(instance));
    }
    look(instance).map_err(|why| failed("cannot be looked at", &why))
}

/// Lets the agent of an instance start by itself, or not any more; how it is then.
///
/// # Errors
/// `AutostartFailed`: it cannot be done. `RequestInvalid`: the agent belongs to the machine.
pub fn set(instance: &Instance, enable: bool) -> Result<AutostartStatus, ErrorReport> {
    if instance.scope == Scope::Machine {
        let message = format!(
            "this agent belongs to the machine: its service manager starts it ({}), and no user's log-in",
            service::name_of(instance)
        );
        return Err(ErrorReport::new(Code::RequestInvalid, message)
            .with_fix("Use `waybill-agent service install` and `waybill-agent service uninstall`"));
    }
    let change = if enable { enabled } else { disabled };
    change(instance).map_err(|why| failed(if enable { "cannot be enabled" } else { "cannot be disabled" }, &why))
}

fn failed(what: &str, why: &str) -> ErrorReport {
    ErrorReport::new(Code::AutostartFailed, format!("autostart {what}: {why}"))
}

fn by_service(instance: &Instance) -> AutostartStatus {
    AutostartStatus {
        state: AutostartState::ByService,
        place: service::name_of(instance),
        starts: None,
        notes: vec!["The agent belongs to the machine: `waybill-agent service status` says whether it starts with it".to_owned()],
    }
}

fn look(instance: &Instance) -> Result<AutostartStatus, String> {
    let name = start::name_of("waybill", instance);
    let place = os::place(&name)?;
    let Some(entry) = os::read(&name)? else {
        return Ok(AutostartStatus { state: AutostartState::Absent, place, starts: None, notes: Vec::new() });
    };
    let starts = entry.command.as_deref().map(start::shown);
    let state = judge(&entry, &ours(instance)?);
    let mut notes: Vec<String> = entry.switched_off.into_iter().collect();
    let program = entry.command.as_ref().and_then(|command| command.first());
    notes.extend(program.filter(|program| !Path::new(program).is_file()).map(|program| format!("{program} is not there")));
    Ok(AutostartStatus { state, place, starts, notes })
}

fn enabled(instance: &Instance) -> Result<AutostartStatus, String> {
    let before = look(instance);
    if let Ok(status) = &before
        && status.state == AutostartState::Enabled
    {
        return Ok(status.clone());
    }
    let command = ours(instance)?.into_iter().next().ok_or_else(os::nothing_to_start)?;
    let told = os::write(&start::name_of("waybill", instance), &instance.name, &command)?;
    let mut after = look(instance)?;
    after.notes.extend(told);
    // What somebody put there and is gone now is said.
    if let Ok(AutostartStatus { state: AutostartState::Moved | AutostartState::Other, starts, .. }) = before {
        after.notes.push(format!("Before, it started {}", starts.as_deref().unwrap_or("nothing")));
    }
    Ok(after)
}

fn disabled(instance: &Instance) -> Result<AutostartStatus, String> {
    let before = look(instance);
    os::remove(&start::name_of("waybill", instance))?;
    let mut after = look(instance)?;
    if let Ok(AutostartStatus { state: AutostartState::Other, starts, .. }) = before {
        after.notes.push(format!("The entry that is gone started {}", starts.as_deref().unwrap_or("nothing")));
    }
    Ok(after)
}

/// The command lines that start this very agent, the one that is written first.
fn ours(instance: &Instance) -> Result<Vec<Vec<String>>, String> {
    let (agent, arguments) = (start::this_program()?, instance.arguments_as_text()?);
    let line = |program: String, last: &str| {
        std::iter::once(program).chain(arguments.iter().cloned()).chain([last.to_owned()]).collect::<Vec<_>>()
    };
    let by_window = start::window_beside(&agent).map(|window| line(window, "--start-agent"));
    let itself = os::STARTS_AGENT_ITSELF.then(|| line(agent, "run"));
    Ok(by_window.into_iter().chain(itself).collect())
}

/// What an entry is to an agent that `ours` start.
fn judge(entry: &Entry, ours: &[Vec<String>]) -> AutostartState {
    if entry.switched_off.is_some() {
        return AutostartState::SwitchedOff;
    }
    let Some([program, arguments @ ..]) = entry.command.as_deref() else { return AutostartState::Other };
    let alike = || ours.iter().filter(|line| &line[1..] == arguments).filter_map(|line| line.first());
    let name = |path: &str| Path::new(path).file_name().map(std::ffi::OsStr::to_owned);
    if alike().any(|own| same_file(own, program)) {
        AutostartState::Enabled
    } else if alike().any(|own| name(own) == name(program)) {
        AutostartState::Moved
    } else {
        AutostartState::Other
    }
}

/// True for two names of one file.
fn same_file(one: &str, other: &str) -> bool {
    let real = |path: &str| Path::new(path).canonicalize().ok();
    one == other || real(one).is_some_and(|one| real(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn an_entry_is_ours_moved_anothers_or_switched_off() {
        let ours = [
            line(&["/opt/waybill", "--scope", "user", "--start-agent"]),
            line(&["/opt/waybill-agent", "--scope", "user", "run"]),
        ];
        let entry = |words: &[&str]| Entry { command: Some(line(words)), switched_off: None };
        let off =
            Entry { switched_off: Some("by hand".to_owned()), ..entry(&["/opt/waybill", "--scope", "user", "--start-agent"]) };
        for (entry, state) in [
            (entry(&["/opt/waybill", "--scope", "user", "--start-agent"]), AutostartState::Enabled),
            (entry(&["/opt/waybill-agent", "--scope", "user", "run"]), AutostartState::Enabled),
            (entry(&["/old/waybill", "--scope", "user", "--start-agent"]), AutostartState::Moved),
            (entry(&["/old/waybill-agent", "--scope", "user", "run"]), AutostartState::Moved),
            (entry(&["/opt/waybill", "--scope", "user", "--instance", "two", "--start-agent"]), AutostartState::Other),
            (entry(&["/usr/bin/backup"]), AutostartState::Other),
            (Entry::default(), AutostartState::Other),
            (off, AutostartState::SwitchedOff),
        ] {
            assert_eq!(judge(&entry, &ours), state, "{entry:?}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn another_name_of_the_same_program_is_the_same_program() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("waybill"), folder.path().join("link"));
        waybill_shared::fs::atomic::replace(&real, b"").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let (real, link) = (real.to_str().unwrap(), link.to_str().unwrap());
        let entry = Entry { command: Some(line(&[link, "run"])), switched_off: None };
        assert_eq!(judge(&entry, &[line(&[real, "run"])]), AutostartState::Enabled);
    }
}
