//! The file of the queue was removed or replaced while it is used. The writer still holds all of it, under no name: it writes a copy, which
//! takes the place of the file, and the queue is opened anew.
//!
//! The copy is whole under its own name before anything else is touched. A crash after that: it is put in its place at the next start.
//!
//! If the folder is gone as a whole, with everything else that lay in it, the copy says so in the table `loss`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use waybill_shared::fs::{atomic, private};
use waybill_shared::text;

use super::mark::{Mark, Was};
use super::writer::Setup;
use super::{Places, QueueError, salvage, schema};
use crate::platform;

/// The file that the writer writes, which somebody may take away from under it.
pub(super) struct OwnFile {
    /// None if the disk did not tell.
    identity: Option<[u8; 16]>,
    /// Why nothing is stored any more.
    pub(super) gone: Option<QueueError>,
    saved: bool,
}

impl OwnFile {
    pub(super) fn of(setup: &Setup) -> Self {
        Self { identity: platform::stat_path(&setup.places.database).ok().map(|file| file.file_id), gone: None, saved: false }
    }

    /// Looks whether it is still there; if not, writes all of it once more and has the queue opened anew.
    pub(super) fn look(&mut self, setup: &Setup) {
        let Some(identity) = self.identity.filter(|_| !self.saved) else { return };
        let is_there = match platform::stat_path(&setup.places.database) {
            Ok(stat) => stat.file_id == identity,
            // A disk that does not tell is another matter.
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        };
        if is_there {
            return;
        }
        let reason = "the file of the queue was removed or replaced while it was used";
        match save(&setup.connection, &setup.places, &setup.mark, (setup.now)()) {
            Ok(()) => {
                self.saved = true;
                self.gone = Some(QueueError::Closed);
                tracing::error!(event = "queue_file_gone", path = %setup.places.database.display(), "{reason}; all of it was written there again");
                setup.damage.open_anew(reason);
            }
            Err(error) => {
                tracing::error!(event = "queue_file_gone", path = %setup.places.database.display(), %error, "{reason}, and cannot be written again; nothing is stored until it can");
                self.gone = Some(QueueError::Write(format!("{reason}, and it cannot be written again: {error}")));
            }
        }
    }
}

/// Writes a copy of what the writer holds and puts it in the place of the file.
///
/// # Errors
/// The copy cannot be written: nothing was touched.
fn save(connection: &Connection, places: &Places, mark: &Mark, now: Timestamp) -> Result<(), QueueError> {
    let copy = copy_of(places);
    let failed = |error: &dyn std::fmt::Display| QueueError::Write(format!("{}: {error}", text::path(&copy)));
    let folder = atomic::folder_of(&copy);
    private::create_folder(&folder).map_err(|error| failed(&error))?;
    schema::copy(connection, &copy).map_err(|error| failed(&error))?;
    // The mark lies beside the store for as long as that is used.
    if mark.read() == Was::Nothing
        && let Err(error) = note_lost_folder(&copy, &folder, now)
    {
        tracing::error!(event = "loss_not_noted", %error, "the folder of the queue was removed as a whole");
    }
    finish(places, mark, now)
}

fn note_lost_folder(copy: &Path, folder: &Path, now: Timestamp) -> rusqlite::Result<()> {
    let what = format!(
        "the data folder {} was removed or replaced while the agent ran; the reports that waited were written into a new one, but the history, the backups of the configuration and the secrets that lay in it are gone, and large reports with it",
        text::path(folder)
    );
    Connection::open(copy)?.execute(
        "INSERT INTO loss (at, what, reports, deliveries, kept_at) VALUES (?1, ?2, NULL, NULL, NULL)",
        params![now.as_millisecond(), what],
    )?;
    Ok(())
}

/// Puts a copy in its place that a crash left beside it.
///
/// # Errors
/// The folder cannot be written.
pub(super) fn finish(places: &Places, mark: &Mark, now: Timestamp) -> Result<(), QueueError> {
    let copy = copy_of(places);
    let unavailable =
        |error: std::io::Error| QueueError::Unavailable { path: text::path(&places.database), reason: error.to_string() };
    if !copy.try_exists().map_err(unavailable)? {
        return Ok(());
    }
    // What somebody put there is not ours to remove, and a log that lies there does not belong to the copy.
    salvage::set_aside(&places.database, now).map_err(unavailable)?;
    mark.whole().map_err(unavailable)?;
    atomic::publish(&copy, &places.database).map_err(unavailable)
}

fn copy_of(places: &Places) -> PathBuf {
    places.database.with_extension("rescued.db")
}
