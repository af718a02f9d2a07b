//! A copy of the store while it is used: one whole file, as everything was at one moment.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use waybill_shared::fs::private;
use waybill_shared::text;

use super::{QueueError, schema};

/// Copies that are kept; the oldest goes when another one is made.
const KEPT: usize = 3;
/// What their names begin with.
const PREFIX: &str = "queue-";

/// Copies the store into a folder; where the copy lies. Takes as long as the store is large: for a thread.
///
/// # Errors
/// The copy cannot be written; nothing is left of it, and older ones stay.
pub fn backup(database: &Path, folder: &Path, now: Timestamp) -> Result<PathBuf, QueueError> {
    let failed = |error: &dyn std::fmt::Display| QueueError::Write(format!("the copy in {}: {error}", text::path(folder)));
    private::create_folder(folder).map_err(|error| failed(&error))?;
    let mut path = folder.join(format!("{PREFIX}{}.db", now.strftime("%Y%m%dT%H%M%S.%3fZ")));
    let mut number = 1;
    while path.try_exists().map_err(|error| failed(&error))? {
        number += 1;
        path = folder.join(format!("{PREFIX}{}-{number}.db", now.strftime("%Y%m%dT%H%M%S.%3fZ")));
    }
    let connection = schema::open_reader(database).map_err(|error| failed(&error))?;
    schema::copy(&connection, &path).map_err(|error| failed(&error))?;
    drop_old(folder).map_err(|error| failed(&error))?;
    Ok(path)
}

fn drop_old(folder: &Path) -> std::io::Result<()> {
    let mut copies: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(".db") {
            copies.push((file.metadata()?.modified()?, file.path()));
        }
    }
    copies.sort();
    let surplus = copies.len().saturating_sub(KEPT);
    copies.into_iter().take(surplus).try_for_each(|(_, path)| std::fs::remove_file(path))
}
