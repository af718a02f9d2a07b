//! Linux: a desktop entry in the user's `autostart` folder, which every desktop reads.

use std::io;
use std::path::PathBuf;

use waybill_shared::fs::{atomic, folder};
use waybill_shared::{paths, text};

use super::{Entry, desktop};

/// A program that is started by the desktop has no terminal.
pub(super) const STARTS_AGENT_ITSELF: bool = true;

/// An entry larger than this is none.
const LARGEST: u64 = 64 * 1024;

/// Never: the agent can be started itself.
pub(super) fn nothing_to_start() -> String {
    "there is nothing to start".to_owned()
}

pub(super) fn place(name: &str) -> Result<String, String> {
    file(name).map(|file| text::path(&file))
}

pub(super) fn read(name: &str) -> Result<Option<Entry>, String> {
    let file = file(name)?;
    let told = |error: io::Error| format!("{}: {error}", text::path(&file));
    match std::fs::metadata(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(error)),
        Ok(found) if found.len() > LARGEST => return Err(told(io::Error::other("this is no desktop entry: it is too large"))),
        Ok(_) => {}
    }
    let bytes = std::fs::read(&file).map_err(told)?;
    Ok(Some(desktop::parse(&String::from_utf8_lossy(&bytes))))
}

pub(super) fn write(name: &str, instance: &str, command: &[String]) -> Result<Vec<String>, String> {
    let file = file(name)?;
    let entry = desktop::render(instance, command)?;
    folder::create(&atomic::folder_of(&file))
        .and_then(|()| atomic::replace(&file, entry.as_bytes()))
        .map_err(|error| format!("{}: {error}", text::path(&file)))?;
    Ok(Vec::new())
}

pub(super) fn remove(name: &str) -> Result<(), String> {
    let file = file(name)?;
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("{}: {error}", text::path(&file))),
        _ => Ok(()),
    }
}

fn file(name: &str) -> Result<PathBuf, String> {
    Ok(paths::user_config_folder()?.join("autostart").join(format!("{name}.desktop")))
}
