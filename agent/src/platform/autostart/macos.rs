//! macOS: a property list in the user's `LaunchAgents`, which launchd reads at log-in.
//!
//! launchd is not told to start or end anything: what is asked for is what happens at the next log-in, as on the other systems, and ending the
//! job could end the agent that was asked. It is only told to forget that somebody has switched the job off.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use waybill_shared::fs::{atomic, folder};
use waybill_shared::{paths, text};

use super::Entry;
use crate::platform::service::launchd::{self, Job};

/// How long launchd waits for what it has started, if that is the agent itself: as much as any agent may be told to take.
const LONGEST_STOP: Duration = Duration::from_secs(610);

/// A program that is started by launchd has no terminal.
pub(super) const STARTS_AGENT_ITSELF: bool = true;

/// Never: the agent can be started itself.
pub(super) fn nothing_to_start() -> String {
    "there is nothing to start".to_owned()
}

pub(super) fn place(name: &str) -> Result<String, String> {
    file(name).map(|file| text::path(&file))
}

pub(super) fn read(name: &str) -> Result<Option<Entry>, String> {
    let file = file(name)?;
    let bytes = match std::fs::read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| format!("{}: {error}", text::path(&file)))?,
    };
    let list = String::from_utf8_lossy(&bytes);
    let command = Some(launchd::plist::arguments(&list)).filter(|command| !command.is_empty());
    let by_hand = launchd::plist::is_disabled(&list).then(|| "The entry is switched off (Disabled)".to_owned());
    let in_settings = || {
        launchd::is_switched_off(&label(name))
            .then(|| "Somebody has switched the entry off (System Settings, Login Items)".to_owned())
    };
    Ok(Some(Entry { command, switched_off: by_hand.or_else(in_settings) }))
}

pub(super) fn write(name: &str, _instance: &str, command: &[String]) -> Result<Vec<String>, String> {
    let file = file(name)?;
    let list = launchd::plist::render(&Job { label: &label(name), command, kept_alive: false, longest_stop: LONGEST_STOP });
    folder::create(&atomic::folder_of(&file))
        .and_then(|()| atomic::replace(&file, list.as_bytes()))
        .map_err(|error| format!("{}: {error}", text::path(&file)))?;
    Ok(launchd::switch_on(&label(name))
        .err()
        .map(|why| format!("Only the file was written: launchctl says {why}"))
        .into_iter()
        .collect())
}

pub(super) fn remove(name: &str) -> Result<(), String> {
    let file = file(name)?;
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("{}: {error}", text::path(&file))),
        _ => Ok(()),
    }
}

fn label(name: &str) -> String {
    format!("{name}.autostart")
}

fn file(name: &str) -> Result<PathBuf, String> {
    Ok(paths::home_folder()?.join("Library/LaunchAgents").join(format!("{}.plist", label(name))))
}
