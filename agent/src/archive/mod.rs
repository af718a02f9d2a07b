//! The archive: a compressed copy of each file that was taken, so that it can be sent again when a mapping changed.
//!
//! # What it owns
//! The files `<folder>/<day of taking, UTC>/<source>/<time>_<correlation id>_<file name>.zst`, nothing else in that folder. Each is a zstd
//! file with a skippable frame in front that says what it is a copy of ([`mod@file`]): `zstd -d` gives the original.
//!
//! # Invariants
//! - A copy is made after the file's reports are durable and before its source is given up. While it cannot be made, the source stays
//!   where it is, and it is tried again like any other post-action.
//! - What is archived is what was committed: the bytes have the hash of the fingerprint, or there is no copy.
//! - The name follows from what the queue remembers of the file, so that doing it twice gives one copy.
//! - Broken files are not archived: they lie in the error folder.
//! - Only files with such a name are ever removed ([`retention`]).
//! - What is sent again ([`reconvert`]) gets the ids that it had: source, converter and time of the file come from the copy, all else from
//!   the present configuration. It touches no source folder.
//!
//! # What survives a crash
//! Every copy that has its name is whole: it is written beside it, made durable, and then renamed. What a crash left half-written is
//! overwritten when the same file is put away again, and goes with its day.

pub mod file;
pub mod reconvert;
pub mod retention;
mod walk;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use waybill_shared::config::Config;
use waybill_shared::fs::{atomic, sync_folder};
use waybill_shared::id::CorrelationId;
use waybill_shared::paths::Instance;
use waybill_shared::text::file_name_component;

use crate::convert::input::HEAD_BYTES;
use crate::convert::registry::Choice;
use crate::queue::Fingerprint;
use file::Label;

/// Ending of every copy.
const ENDING: &str = ".zst";
/// Longest part of a copy's name that comes from the file's name, bytes: with the rest it fits into the 255 of a file name.
const LONGEST_NAME: usize = 190;

/// Where copies go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    folder: PathBuf,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file is not what was committed any more.
    #[error("the file changed after it was read")]
    Changed,
    /// The OS did not let us.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The folder of copies by a configuration, whether they are wanted or not; `base` is where relative paths begin.
#[must_use]
pub fn folder(config: &Config, instance: &Instance, base: &Path) -> PathBuf {
    config.archive.folder.as_ref().map_or_else(|| instance.archive(), |folder| base.join(folder))
}

impl Archive {
    /// The archive in a folder, which need not exist.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a copy of what lies at `from` and was committed as `fingerprint`; where it is. A copy that is there already is left as it is.
    ///
    /// # Errors
    /// The file is another one by now, or the OS does not let us read or write; nothing half is left.
    pub fn keep(
        &self,
        from: &Path,
        fingerprint: &Fingerprint,
        converter: &Choice,
        correlation_id: CorrelationId,
        taken_at: Timestamp,
    ) -> Result<PathBuf, ArchiveError> {
        let place = self.place(fingerprint, correlation_id, taken_at);
        if let Ok(there) = Label::read(&place)
            && there.hash() == Some(fingerprint.hash)
        {
            return Ok(place);
        }
        let file = File::open(from)?;
        if file.metadata()?.len() != fingerprint.size {
            return Err(ArchiveError::Changed);
        }
        let mut content = BufReader::with_capacity(HEAD_BYTES, file);
        // A file has its first bytes in one block.
        let converter = converter.of(content.fill_buf()?).ok().map(|converter| converter.name().to_owned());
        let label = Label::of(fingerprint, converter, correlation_id, taken_at);
        self.make_folders(&atomic::folder_of(&place))?;
        file::write(&place, &label, &mut content).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => ArchiveError::Changed,
            _ => ArchiveError::Io(error),
        })?;
        Ok(place)
    }

    fn place(&self, fingerprint: &Fingerprint, correlation_id: CorrelationId, taken_at: Timestamp) -> PathBuf {
        let taken = taken_at.to_zoned(TimeZone::UTC);
        let original = fingerprint.path.file_name().unwrap_or_default().to_string_lossy();
        let original = file_name_component(&original, LONGEST_NAME);
        let original = &original[..original.floor_char_boundary(LONGEST_NAME)];
        let name = format!("{}_{correlation_id}_{original}{ENDING}", taken.strftime("%H%M%S%.3f"));
        self.folder.join(taken.date().to_string()).join(source_folder(&fingerprint.source)).join(name)
    }

    /// The folders that are missing, each durable in the one above it.
    fn make_folders(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let above = atomic::folder_of(folder);
        if above != folder {
            self.make_folders(&above)?;
        }
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => return Err(error),
            _ => {}
        }
        sync_folder(&above)
    }
}

/// The folder of a source inside a day's.
fn source_folder(source: &str) -> String {
    file_name_component(source, 64)
}

/// True for the names that copies get: time, correlation id, name of the file.
fn is_copy(name: &str) -> bool {
    let Some((time, rest)) = name.strip_suffix(ENDING).and_then(|name| name.split_once('_')) else { return false };
    let is_time = time.len() == 10 && time.chars().enumerate().all(|(at, c)| if at == 6 { c == '.' } else { c.is_ascii_digit() });
    is_time && rest.split_once('_').is_some_and(|(id, name)| !name.is_empty() && id.parse::<CorrelationId>().is_ok())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test's own files")]
pub(crate) mod tests {
    use super::*;
    use crate::convert::registry::Registry;

    /// A file as it was committed, and its archive.
    pub(crate) fn committed(folder: &Path, name: &str, content: &[u8]) -> (Archive, Fingerprint) {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        let fingerprint = Fingerprint {
            source: "ict".into(),
            path,
            file_id: [7; 16],
            size: content.len() as u64,
            modified_ns: 1_700_000_000_123_456_789,
            hash: *blake3::hash(content).as_bytes(),
        };
        (Archive::new(folder.join("archive")), fingerprint)
    }

    pub(crate) fn keep(archive: &Archive, fingerprint: &Fingerprint, taken_at: &str) -> Result<PathBuf, ArchiveError> {
        let choice = Registry::built_in().choose("wsjf").unwrap();
        let id = CorrelationId::from_bytes([9; 16]);
        archive.keep(&fingerprint.path, fingerprint, &choice, id, taken_at.parse().unwrap())
    }

    #[test]
    fn a_copy_lies_under_its_day_and_source_and_gives_back_what_was_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (archive, fingerprint) = committed(folder.path(), "a ß.json", b"{} and more");
        let place = keep(&archive, &fingerprint, "2026-01-31T23:59:58.007Z").unwrap();
        let id = CorrelationId::from_bytes([9; 16]);
        let name = format!("2026-01-31/ict/235958.007_{id}_a_ß.json.zst");
        assert_eq!(place, archive.folder().join(name));
        assert!(is_copy(place.file_name().unwrap().to_str().unwrap()));
        let (label, bytes) = file::tests::read(&place, 100).unwrap();
        assert_eq!(bytes, b"{} and more");
        assert_eq!(label.fingerprint(), Some(fingerprint));
        assert_eq!((label.converter.as_deref(), label.correlation_id), (Some("wsjf"), id));
        assert_eq!(label.taken_at.to_string(), "2026-01-31T23:59:58.007Z");
    }

    #[test]
    fn the_longest_name_that_a_file_can_have_fits() {
        let folder = tempfile::tempdir().unwrap();
        let (archive, fingerprint) = committed(folder.path(), &"ß".repeat(127), b"{}");
        let place = keep(&archive, &fingerprint, "2026-01-31T23:59:58Z").unwrap();
        assert!(is_copy(place.file_name().unwrap().to_str().unwrap()));
        assert_eq!(file::tests::read(&place, 100).unwrap().0.fingerprint(), Some(fingerprint));
    }

    #[test]
    fn doing_it_twice_gives_one_copy_and_what_a_crash_left_is_no_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (archive, fingerprint) = committed(folder.path(), "a.json", b"{}");
        let taken = "2026-01-31T12:00:00Z";
        let place = keep(&archive, &fingerprint, taken).unwrap();
        std::fs::write(&place, b"cut off").unwrap();
        std::fs::write(
            file::temporary(&place, &Label::of(&fingerprint, None, CorrelationId::from_bytes([9; 16]), Timestamp::now())),
            b"half",
        )
        .unwrap();
        assert_eq!(keep(&archive, &fingerprint, taken).unwrap(), place);
        assert_eq!(keep(&archive, &fingerprint, taken).unwrap(), place);
        let there: Vec<_> = std::fs::read_dir(place.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(there, std::slice::from_ref(&place));
        assert_eq!(file::tests::read(&place, 100).unwrap().1, b"{}");
    }

    #[test]
    fn what_is_not_what_was_committed_is_not_archived() {
        let folder = tempfile::tempdir().unwrap();
        let (archive, fingerprint) = committed(folder.path(), "a.json", b"{}");
        std::fs::write(&fingerprint.path, b"{ }").unwrap();
        assert!(matches!(keep(&archive, &fingerprint, "2026-01-31T12:00:00Z"), Err(ArchiveError::Changed)));
        assert!(!archive.folder().exists());
    }

    #[test]
    fn names_of_others_are_no_copies() {
        let id = CorrelationId::from_bytes([9; 16]);
        assert!(is_copy(&format!("120000.000_{id}_a_b.json.zst")));
        for other in [
            "a.zst".to_owned(),
            format!("120000.000_{id}_a.json"),
            format!("120000_{id}_a.zst"),
            format!("120000.000_{id}_.zst"),
            "120000.000_no id_a.zst".to_owned(),
            format!("12000a.000_{id}_a.zst"),
        ] {
            assert!(!is_copy(&other), "{other}");
        }
    }
}
