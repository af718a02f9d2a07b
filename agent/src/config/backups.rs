//! Configurations of the past, so that one can go back to any of them.
//!
//! Owned: the folder `backups` in the data folder, for the agent's user alone. A backup is a file
//! `config-<UTC time to the millisecond>-<number>-<first 16 hex digits of its BLAKE3>.toml`; time and number are its id.
//!
//! Invariants:
//! - a backup is exactly the bytes of a file, and never changes; one whose bytes do not fit its name any more is listed as damaged and
//!   never used;
//! - the number rises with each backup and decides which is newer: two in one millisecond and a clock that is set back confuse nothing;
//! - the newest is the current configuration once it is accepted; besides it the [`KEEP`] newest are kept. Damaged ones do not count;
//! - an id is compared with what is in the folder, and never made into a path.
//!
//! One process at a time writes here, under a kernel lock of the folder's own: the agent may keep backups where it may not write the
//! configuration. A crash leaves a whole backup more or none; a temporary file is replaced by the next backup.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::atomic::{Access, Staged};
use waybill_shared::fs::lock::Lock;
use waybill_shared::fs::{private, sync_folder};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::store::{self, revision};
use crate::failpoint;

/// How many are kept besides the current one.
pub const KEEP: usize = 10;

/// Longest wait for another process that writes backups.
const LOCK: Duration = Duration::from_secs(10);
/// The one temporary file of the folder.
const TEMPORARY: &str = ".backup.new";

/// A configuration of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its name for people and programs: time and number.
    pub id: String,
    /// When it was kept, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Which version of the configuration it is.
    pub revision: String,
    /// Its size, bytes.
    pub bytes: u64,
    /// False if its bytes are not those that were written.
    pub intact: bool,
}

impl Backup {
    /// When it was kept, in words.
    #[must_use]
    pub fn at(&self) -> String {
        Timestamp::from_millisecond(self.at_ms)
            .map_or_else(|_| "an unknown time".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
    }
}

/// The newest configuration that can still be used.
#[derive(Debug)]
pub struct LastGood {
    /// It and its text, if there is one.
    pub good: Option<(Backup, String)>,
    /// Newer ones that were passed over, each with the reason.
    pub skipped: Vec<String>,
}

/// The backups of one instance.
#[derive(Debug, Clone)]
pub struct Backups {
    folder: PathBuf,
}

/// What a file's name says.
struct Entry {
    id: String,
    at_ms: i64,
    number: u64,
    revision: String,
    path: PathBuf,
}

impl Backups {
    /// Those of an instance. Nothing is created by naming them.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self { folder: instance.backups() }
    }

    /// All there are, the newest first.
    ///
    /// # Errors
    /// The folder cannot be read; none at all is no error.
    pub fn list(&self) -> Result<Vec<Backup>, ErrorReport> {
        Ok(self.entries()?.iter().map(looked_at).collect())
    }

    /// The text of one.
    ///
    /// # Errors
    /// There is none of this id, or it is damaged.
    pub fn load(&self, id: &str) -> Result<String, ErrorReport> {
        let Some(entry) = self.entries()?.into_iter().find(|entry| entry.id == id) else {
            return Err(ErrorReport::new(Code::ConfigMissing, format!("there is no backup {:?}", text::printable(id, 100)))
                .with_fix("Use an id from the list of backups"));
        };
        read(&entry).map_err(|why| {
            ErrorReport::new(Code::ConfigUnreadable, format!("the backup {id} cannot be used: {why}"))
                .with_fix("Use another backup, and check the disk")
        })
    }

    /// Records a configuration that was accepted, unless it is the newest one already.
    ///
    /// # Errors
    /// It could not be written; nothing of it is left.
    pub fn accept(&self, text: &str) -> Result<Backup, ErrorReport> {
        self.keep(text.as_bytes(), Timestamp::now())
    }

    /// The newest intact one that `valid` agrees with.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn last_good(&self, valid: impl Fn(&str) -> bool) -> Result<LastGood, ErrorReport> {
        let mut skipped = Vec::new();
        for entry in self.entries()? {
            match read(&entry) {
                Ok(text) if valid(&text) => return Ok(LastGood { good: Some((looked_at(&entry), text)), skipped }),
                Ok(_) => skipped.push(format!("the backup {} is no valid configuration (any more)", entry.id)),
                Err(why) => skipped.push(format!("the backup {} cannot be used: {why}", entry.id)),
            }
        }
        Ok(LastGood { good: None, skipped })
    }

    /// True if the newest intact one is more than white space.
    pub(super) fn newest_says_something(&self) -> bool {
        let newest = self.entries().ok().and_then(|entries| entries.iter().find_map(|entry| read(entry).ok()));
        newest.is_some_and(|text| !text.trim().is_empty())
    }

    /// The newest intact one of a revision, as text.
    pub(super) fn of_revision(&self, wanted: &str) -> Option<String> {
        self.entries().ok()?.iter().filter(|entry| entry.revision == wanted).find_map(|entry| read(entry).ok())
    }

    /// Keeps the bytes of a file, whatever they are, unless they are the newest backup already.
    pub(super) fn keep(&self, bytes: &[u8], now: Timestamp) -> Result<Backup, ErrorReport> {
        let failed = |what: &str, why: &dyn std::fmt::Display| {
            let folder = text::path(&self.folder);
            ErrorReport::new(Code::DataFolderUnavailable, format!("no backup could be kept in {folder}: {what}: {why}"))
                .with_fix("Check that the agent's user may write the folder, and that its disk has space")
        };
        private::create_folder(&self.folder).map_err(|error| failed("the folder cannot be made", &error))?;
        let _writer = Lock::acquire_within(&self.folder.join(".lock"), &store::this_process(), LOCK)
            .map_err(|error| failed("another process writes there", &error))?;
        failpoint::hit("backup.locked");
        let entries = self.entries()?;
        let revision = revision(bytes);
        if let Some(newest) = entries.first().filter(|newest| newest.revision == revision).map(looked_at)
            && newest.intact
        {
            return Ok(newest);
        }
        let number = entries.iter().map(|entry| entry.number).max().unwrap_or(0).saturating_add(1);
        let id = format!("{}-{number:08}", time_text(now));
        let path = self.folder.join(format!("config-{id}-{revision}.toml"));
        self.write(&path, bytes).map_err(|error| failed("it cannot be written", &error))?;
        self.prune();
        failpoint::hit("backup.pruned");
        Ok(Backup { id, at_ms: now.as_millisecond(), revision, bytes: bytes.len() as u64, intact: true })
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let mut staged = Staged::create(path, &self.folder.join(TEMPORARY), Access::Private)?;
        failpoint::hit("backup.created");
        // An administrator's command must not leave what the agent cannot read.
        staged.belong_to_owner(&std::fs::metadata(&self.folder)?);
        staged.write(bytes)?;
        failpoint::hit("backup.written");
        staged.sync()?;
        failpoint::hit("backup.synced");
        staged.rename()?;
        failpoint::hit("backup.renamed");
        sync_folder(&self.folder)?;
        failpoint::hit("backup.folder-synced");
        Ok(())
    }

    /// Removes what is older than those that are kept. One that cannot be removed now is so after a later change.
    fn prune(&self) {
        let mut intact = 0;
        for entry in self.entries().unwrap_or_default() {
            if intact > KEEP {
                if let Err(error) = std::fs::remove_file(&entry.path) {
                    tracing::warn!(backup = entry.id, %error, "an old backup could not be removed");
                }
                failpoint::hit("backup.removed");
            } else {
                intact += usize::from(read_bytes(&entry).is_ok());
            }
        }
    }

    fn entries(&self) -> Result<Vec<Entry>, ErrorReport> {
        let failed = |error: std::io::Error| {
            let folder = text::path(&self.folder);
            ErrorReport::new(Code::DataFolderUnavailable, format!("the backups in {folder} cannot be listed: {error}"))
        };
        let mut entries = Vec::new();
        match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(folder) => {
                for item in folder {
                    entries.extend(entry(&item.map_err(failed)?.path()));
                }
            }
        }
        entries.sort_by(|a, b| (b.number, &b.id).cmp(&(a.number, &a.id)));
        Ok(entries)
    }
}

fn looked_at(entry: &Entry) -> Backup {
    let bytes = std::fs::metadata(&entry.path).map_or(0, |metadata| metadata.len());
    let (id, revision) = (entry.id.clone(), entry.revision.clone());
    Backup { id, at_ms: entry.at_ms, revision, bytes, intact: read_bytes(entry).is_ok() }
}

/// The text of a backup whose bytes are those that were written.
fn read(entry: &Entry) -> Result<String, String> {
    String::from_utf8(read_bytes(entry)?).map_err(|_| "it is no text".to_owned())
}

fn read_bytes(entry: &Entry) -> Result<Vec<u8>, String> {
    let bytes = store::read_bytes(&entry.path).map_err(|error| error.to_string())?.ok_or("it is not there any more")?;
    if revision(&bytes) != entry.revision {
        return Err("it is damaged: its bytes are not those that were written".to_owned());
    }
    Ok(bytes)
}

fn time_text(at: Timestamp) -> String {
    format!("{}{:03}Z", at.strftime("%Y%m%dT%H%M%S"), at.as_millisecond().rem_euclid(1000))
}

/// What a name says, if it is that of a backup.
fn entry(path: &Path) -> Option<Entry> {
    let name = path.file_name()?.to_str()?;
    let mut parts = name.strip_prefix("config-")?.strip_suffix(".toml")?.split('-');
    let (time, number, revision) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let well_formed = parts.next().is_none()
        && number.len() >= 8
        && number.chars().all(|c| c.is_ascii_digit())
        && revision.len() == 16
        && revision.chars().all(hex);
    let at_ms = time_of(time)?;
    let number = number.parse().ok().filter(|_| well_formed)?;
    let id = format!("{time}-{number:08}");
    Some(Entry { id, at_ms, number, revision: revision.to_owned(), path: path.to_owned() })
}

fn time_of(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || time.len() != 9 || !text.is_ascii() {
        return None;
    }
    let part = |of: &str, range: std::ops::Range<usize>| of.get(range)?.parse::<i16>().ok();
    let small = |of: &str, range| i8::try_from(part(of, range)?).ok();
    let at = DateTime::new(
        part(date, 0..4)?,
        small(date, 4..6)?,
        small(date, 6..8)?,
        small(time, 0..2)?,
        small(time, 2..4)?,
        small(time, 4..6)?,
        i32::from(part(time, 6..9)?) * 1_000_000,
    )
    .ok()?;
    TimeZone::UTC.to_timestamp(at).ok().map(|at| at.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> (tempfile::TempDir, Backups) {
        let folder = tempfile::tempdir().unwrap();
        let backups = Backups { folder: folder.path().join("backups") };
        (folder, backups)
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn file_of(backups: &Backups, id: &str) -> PathBuf {
        backups.entries().unwrap().into_iter().find(|entry| entry.id == id).unwrap().path
    }

    #[test]
    fn two_in_one_millisecond_are_two_and_a_clock_that_is_set_back_does_not_make_old_ones_new() {
        let (_folder, backups) = empty();
        assert!(backups.list().unwrap().is_empty());
        let first = backups.keep(b"a = 1", at(1_700_000_000_123)).unwrap();
        let second = backups.keep(b"a = 2", at(1_700_000_000_123)).unwrap();
        let third = backups.keep(b"a = 3", at(1_600_000_000_000)).unwrap();
        assert_eq!(first.id, "20231114T221320123Z-00000001");
        assert_eq!(second.id, "20231114T221320123Z-00000002");
        assert_eq!(backups.list().unwrap(), [third, second, first.clone()]);
        assert_eq!(backups.load(&first.id).unwrap(), "a = 1");
        assert_eq!(first.at(), "2023-11-14 22:13:20 UTC");
        assert!(private::is_private(&backups.folder).unwrap() && private::is_private(&file_of(&backups, &first.id)).unwrap());
    }

    #[test]
    fn what_is_the_newest_already_is_not_kept_twice() {
        let (_folder, backups) = empty();
        let ids: Vec<String> = ["a", "a", "b", "a", "a"].iter().map(|text| backups.accept(text).unwrap().id).collect();
        assert_eq!(ids[0], ids[1]);
        assert_eq!(ids[3], ids[4]);
        let revisions: Vec<String> = backups.list().unwrap().into_iter().map(|backup| backup.revision).collect();
        assert_eq!(revisions, [revision(b"a"), revision(b"b"), revision(b"a")]);
    }

    #[test]
    fn ten_are_kept_besides_the_current_one() {
        let (folder, backups) = empty();
        for number in 0..25 {
            backups.accept(&format!("a = {number}")).unwrap();
        }
        let texts: Vec<String> = backups.list().unwrap().iter().map(|backup| backups.load(&backup.id).unwrap()).collect();
        assert_eq!(texts, (14..25).rev().map(|number| format!("a = {number}")).collect::<Vec<_>>());
        let files = std::fs::read_dir(folder.path().join("backups")).unwrap().count();
        assert_eq!(files, KEEP + 1 + 2, "the backups, the lock and its turn, nothing else");
    }

    #[test]
    fn a_damaged_one_is_named_passed_over_and_does_not_count() {
        let (_folder, backups) = empty();
        for number in 0..=KEEP {
            backups.accept(&format!("a = {number}")).unwrap();
        }
        let newest = backups.list().unwrap()[0].clone();
        waybill_shared::fs::atomic::replace(&file_of(&backups, &newest.id), b"a = 1x").unwrap();
        let listed = backups.list().unwrap();
        assert_eq!(listed.iter().filter(|backup| !backup.intact).map(|backup| &backup.id).collect::<Vec<_>>(), [&newest.id]);
        assert!(backups.load(&newest.id).unwrap_err().message.contains("damaged"));

        let found = backups.last_good(|text| text != "a = 9").unwrap();
        assert_eq!(found.good.unwrap().1, "a = 8");
        assert!(found.skipped.len() == 2 && found.skipped[0].contains(&newest.id), "{:?}", found.skipped);
        assert!(backups.last_good(|_| false).unwrap().good.is_none());

        backups.accept("a = 10").unwrap();
        let intact: Vec<String> =
            backups.list().unwrap().iter().filter(|b| b.intact).map(|b| backups.load(&b.id).unwrap()).collect();
        assert_eq!(intact, (0..=10).rev().map(|number| format!("a = {number}")).collect::<Vec<_>>());
    }

    #[test]
    fn an_id_is_never_a_path() {
        let (folder, backups) = empty();
        waybill_shared::fs::atomic::replace(&folder.path().join("secret"), b"hunter2").unwrap();
        let id = backups.accept("a = 1").unwrap().id;
        for bad in ["", ".", "../secret", "/etc/passwd", ".lock", &format!("{id}/../../secret"), &id[..id.len() - 1]] {
            let error = backups.load(bad).unwrap_err();
            assert_eq!(error.code, Code::ConfigMissing, "{bad}");
        }
    }

    #[test]
    fn files_that_only_look_alike_are_left_alone() {
        let (_folder, backups) = empty();
        let id = backups.accept("a = 1").unwrap().id;
        let hash = revision(b"a = 1");
        for stray in [
            format!("config-{id}-{hash}.toml.old"),
            format!("config-20231340T221320123Z-00000009-{hash}.toml"),
            format!("config-20231114T221320123Z-9-{hash}.toml"),
            format!("config-20231114T221320123Z-00000009-{}.toml", &hash[1..]),
            format!("config-20231114T22132012Ä-00000009-{hash}.toml"),
        ] {
            waybill_shared::fs::atomic::replace(&backups.folder.join(stray), b"a = 1").unwrap();
        }
        assert_eq!(backups.list().unwrap().len(), 1);
    }
}
