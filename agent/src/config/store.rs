//! The one way by which a configuration file is written.
//!
//! Owned, beside the real file (links are followed) `NAME`: the kernel lock `.NAME.lock` (with `.NAME.lock.next`, see [`Lock`]), which every writer of this file holds whatever
//! instance or program it is, and the temporary file `.NAME.new`, which only the holder of the lock touches.
//!
//! Invariants of [`Locked::save`]:
//! - a change that is based on another version than the one that is there is refused with what differs;
//! - nothing gets into the file that `check` does not agree with, before it is written and as the OS gives it back;
//! - what is there is among the backups before it is replaced; a file too large to be kept is not replaced;
//! - owner and permissions of the file stay; a file that is write-protected stays as it is, whatever its folder allows;
//! - what was written is read again. If that fails, the old content is put back, and the error says so.
//!
//! A crash at any instant leaves the old file or the new one, byte for byte. A temporary file that it leaves is replaced by the next save.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use waybill_shared::config::{Edit, compare, edit, tree};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::atomic::{Access, Staged, folder_of};
use waybill_shared::fs::lock::{Lock, LockError};
use waybill_shared::fs::{self, private};
use waybill_shared::paths::{Instance, Scope};
use waybill_shared::schema::{Fault, FaultKind};
use waybill_shared::text;

use super::backups::Backups;
use crate::failpoint;

/// Largest configuration, bytes.
pub const MOST_BYTES: u64 = 1024 * 1024;
/// Longest wait for another writer.
const LOCK: Duration = Duration::from_secs(10);
/// Most links that lead to the file.
const LINKS: usize = 16;
const BOM: char = '\u{feff}';

/// What decides whether a text may become the configuration.
pub type Check<'a> = &'a dyn Fn(&str) -> Result<(), ErrorReport>;

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What stands in it, with a byte order mark and line ends as they are.
    pub text: String,
    /// Which version it is.
    pub revision: String,
}

/// What a save did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Which version is there now.
    pub revision: String,
    /// Which one was there before; the same if nothing was to be changed.
    pub before: String,
}

/// The version of a configuration with these bytes. A file that is not there has the version of an empty one.
#[must_use]
pub fn revision(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

/// How this process names itself as the holder of a lock.
pub(super) fn this_process() -> String {
    format!("process {}", std::process::id())
}

/// The configuration file of one instance.
#[derive(Debug, Clone)]
pub struct Store {
    config: PathBuf,
    scope: Scope,
    backups: Backups,
    // Longest wait for another writer.
    patience: Duration,
    // How a written file is read again; a test has one that finds something else.
    read_back: fn(&Path) -> io::Result<Option<Vec<u8>>>,
}

impl Store {
    /// That of an instance. Nothing is created or looked at by naming it.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        let backups = Backups::of(instance);
        let (config, scope) = (instance.config.clone(), instance.scope);
        Self { config, scope, backups, patience: LOCK, read_back: read_bytes }
    }

    /// The configurations of the past.
    #[must_use]
    pub fn backups(&self) -> &Backups {
        &self.backups
    }

    /// The file as it is, without waiting for a writer: it is the old one or the new one. None if there is none.
    ///
    /// # Errors
    /// `ConfigUnreadable`.
    pub fn read(&self) -> Result<Option<Document>, ErrorReport> {
        document(&self.config)
    }

    /// Keeps every other writer away, for as long as the answer lives. Makes the folder of the file if there is none.
    ///
    /// # Errors
    /// `ConfigNotSaved`: another one did not finish in 10 s, or this process may not write there.
    pub fn lock(&self) -> Result<Locked<'_>, ErrorReport> {
        let real = followed(&self.config).map_err(|error| self.failed(&error))?;
        let folder = folder_of(&real);
        if !folder.is_dir() {
            let made = match self.scope {
                Scope::User => private::create_folder(&folder),
                Scope::Machine => std::fs::create_dir_all(&folder),
            };
            made.map_err(|error| self.failed(&format!("its folder {} cannot be made: {error}", text::path(&folder))))?;
        }
        fs::may_add_files(&folder).map_err(|error| self.refused("its folder", &folder, &error))?;
        let lock = Lock::acquire_within(&hidden(&real, "lock"), &this_process(), self.patience).map_err(|error| match error {
            LockError::Held { holder, .. } => self
                .failed(&format!("{holder} has been writing it for {} s", self.patience.as_secs()))
                .with_fix("End that process, then save again"),
            other @ LockError::Io { .. } => self.failed(&other),
        })?;
        Ok(Locked { store: self, real, _lock: lock })
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> ErrorReport {
        let path = text::path(&self.config);
        ErrorReport::new(Code::ConfigNotSaved, format!("{path} was not saved: {why}; it is as it was"))
    }

    fn refused(&self, what: &str, path: &Path, error: &io::Error) -> ErrorReport {
        let who = fs::writers(path).map_or_else(|_| String::new(), |who| format!(": {who}"));
        self.failed(&format!("{what} {} is write-protected ({error}){who}", text::path(path)))
            .with_fix("Save as a user who may write there, or let the administrator allow it")
    }
}

/// The right to write the file: there is one at a time.
#[derive(Debug)]
pub struct Locked<'a> {
    store: &'a Store,
    real: PathBuf,
    _lock: Lock,
}

impl Locked<'_> {
    /// The file as it is and stays as long as this lives.
    ///
    /// # Errors
    /// `ConfigUnreadable`.
    pub fn read(&self) -> Result<Option<Document>, ErrorReport> {
        document(&self.real)
    }

    /// Replaces the file by `new`. `base` is the revision that it was made from; without one, whatever is there is replaced.
    ///
    /// # Errors
    /// `ConfigStale`, what `check` says, or `ConfigNotSaved`; the file is then as it was, unless the error says otherwise.
    pub fn save(&self, base: Option<&str>, new: &str, check: Check<'_>) -> Result<Saved, ErrorReport> {
        let old = read_bytes(&self.real)
            .map_err(|error| self.store.failed(&format!("what is there cannot be kept as a backup: {error}")))?;
        let there = old.as_deref().unwrap_or_default();
        let saved = Saved { revision: revision(new.as_bytes()), before: revision(there) };
        if let Some(base) = base.filter(|base| *base != saved.before) {
            return Err(self.stale(base, there, &saved.before));
        }
        if new.len() as u64 > MOST_BYTES {
            return Err(self.store.failed(&format!("it would be larger than {MOST_BYTES} bytes")));
        }
        check(new)?;
        if old.as_deref() == Some(new.as_bytes()) {
            return Ok(saved);
        }
        self.may_be_replaced()?;
        failpoint::hit("save.checked");
        if let Some(old) = &old {
            self.store
                .backups
                .keep(old, Timestamp::now())
                .map_err(|error| self.store.failed(&error.message).with_fix(error.fix))?;
        }
        failpoint::hit("save.backed-up");
        self.write(new, check)?;
        self.verify(new.as_bytes()).map_err(|why| self.put_back(old.as_deref(), &why))?;
        failpoint::hit("save.verified");
        Ok(saved)
    }

    /// Changes single values of what is there. Its byte order mark, its line ends and its comments stay.
    ///
    /// # Errors
    /// Those of [`Locked::save`]; what is there is no TOML, or all places that are unknown.
    pub fn edit(&self, base: Option<&str>, edits: &[Edit], check: Check<'_>) -> Result<Saved, ErrorReport> {
        let there = self.read()?.map(|document| document.text).unwrap_or_default();
        if let Some(base) = base.filter(|base| *base != revision(there.as_bytes())) {
            return Err(self.stale(base, there.as_bytes(), &revision(there.as_bytes())));
        }
        self.save(base, &edited(&there, edits).map_err(|error| error.report(&text::path(&self.store.config)))?, check)
    }

    /// Puts a backup in the place of what is there.
    ///
    /// # Errors
    /// There is no such backup or it is damaged; those of [`Locked::save`].
    pub fn restore(&self, base: Option<&str>, id: &str, check: Check<'_>) -> Result<Saved, ErrorReport> {
        self.save(base, &self.store.backups.load(id)?, check)
    }

    /// Everything up to the moment at which the new file counts; an error leaves the old one.
    fn write(&self, new: &str, check: Check<'_>) -> Result<(), ErrorReport> {
        let io = |error: io::Error| self.store.failed(&error);
        let mut staged = self.stage().map_err(io)?;
        failpoint::hit("save.created");
        staged.write(new.as_bytes()).map_err(io)?;
        failpoint::hit("save.written");
        if let Ok(old) = std::fs::metadata(&self.real) {
            staged.resemble(&old).map_err(io)?;
        }
        failpoint::hit("save.permitted");
        match String::from_utf8(staged.read().map_err(io)?) {
            Ok(again) if again == new => check(&again)?,
            _ => return Err(self.store.failed(&"the disk gave back something else than was written")),
        }
        failpoint::hit("save.rechecked");
        staged.sync().map_err(io)?;
        failpoint::hit("save.synced");
        staged.rename().map_err(io)?;
        failpoint::hit("save.renamed");
        Ok(())
    }

    fn stage(&self) -> io::Result<Staged> {
        Staged::create(&self.real, &hidden(&self.real, "new"), Access::Usual)
    }

    fn verify(&self, new: &[u8]) -> Result<(), String> {
        fs::sync_folder(&folder_of(&self.real)).map_err(|error| format!("its name could not be made durable: {error}"))?;
        failpoint::hit("save.folder-synced");
        match (self.store.read_back)(&self.real) {
            Ok(Some(bytes)) if bytes == new => Ok(()),
            Ok(_) => Err("what was read back is not what had been written".to_owned()),
            Err(error) => Err(format!("it could not be read back: {error}")),
        }
    }

    /// After a write that did not hold.
    fn put_back(&self, old: Option<&[u8]>, why: &str) -> ErrorReport {
        let put_back = match old {
            None => std::fs::remove_file(&self.real),
            Some(old) => (|| {
                let mut staged = self.stage()?;
                staged.write(old)?;
                if let Ok(written) = std::fs::metadata(&self.real) {
                    staged.resemble(&written)?;
                }
                staged.sync()?;
                staged.rename()
            })(),
        };
        let path = text::path(&self.store.config);
        match put_back.and_then(|()| fs::sync_folder(&folder_of(&self.real))) {
            Ok(()) => {
                ErrorReport::new(Code::ConfigNotSaved, format!("{path} was written, and {why}; the old content was put back"))
                    .with_fix("Check the disk, then save again")
            }
            Err(error) => ErrorReport::new(
                Code::ConfigNotSaved,
                format!("{path} was written, and {why}; the old content could not be put back: {error}"),
            )
            .with_fix("Check the disk; the old content is the newest backup: restore it"),
        }
    }

    fn may_be_replaced(&self) -> Result<(), ErrorReport> {
        let protected = match std::fs::metadata(&self.real) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.store.failed(&error)),
            Ok(metadata) if metadata.permissions().readonly() => io::Error::from(io::ErrorKind::PermissionDenied),
            Ok(_) => match fs::retry_sharing(|| std::fs::File::options().write(true).open(&self.real)) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            },
        };
        Err(self.store.refused("the file", &self.real, &protected))
    }

    fn stale(&self, base: &str, there: &[u8], now: &str) -> ErrorReport {
        let path = text::path(&self.store.config);
        let base = text::printable(base, 40);
        let before = if base == revision(b"") { Some(String::new()) } else { self.store.backups.of_revision(&base) };
        let trees = before
            .ok_or("what the change is based on is not among the backups")
            .and_then(|before| tree::parse(&before).map_err(|_| "what the change is based on is no TOML"))
            .and_then(|before| {
                let there = std::str::from_utf8(there).ok().and_then(|there| tree::parse(there).ok());
                there.map(|there| (before, there)).ok_or("what is there now is no TOML")
            });
        let (words, details) = match trees {
            Err(why) => (format!("what differs cannot be told: {why}"), Vec::new()),
            Ok((before, there)) => match compare::differences(&before, &there) {
                none if none.is_empty() => ("only comments or the order differ".to_owned(), Vec::new()),
                some => (format!("{} value(s) differ", some.len()), some.iter().map(as_fault).collect()),
            },
        };
        ErrorReport::new(
            Code::ConfigStale,
            format!("{path} was changed in the meantime: the change is based on {base}, there is {now} now; {words}"),
        )
        .with_details(details)
    }
}

fn as_fault(difference: &compare::Difference) -> Fault {
    let shown =
        |value: &Option<String>| value.as_deref().map_or_else(|| "(not set)".to_owned(), |text| text::printable(text, 200));
    let message = format!("it was {} and is {} now", shown(&difference.before), shown(&difference.after));
    Fault { path: difference.place.clone(), kind: FaultKind::Conflict, message }
}

/// A text with single values changed, its byte order mark and its line ends as they were.
///
/// # Errors
/// The text is no TOML, or all places that are unknown.
pub fn edited(text: &str, edits: &[Edit]) -> Result<String, waybill_shared::config::ConfigError> {
    let plain = text.strip_prefix(BOM).unwrap_or(text);
    let changed = edit::apply(plain, edits)?;
    // What separates sections separates nothing in front of the first one.
    let changed = if plain.is_empty() { changed.trim_start_matches('\n').to_owned() } else { changed };
    if edits.iter().any(|edit| matches!(edit, Edit::Replace { .. })) {
        // A whole document is taken as it is given.
        return Ok(changed);
    }
    let crlf = plain.matches("\r\n").count();
    let changed = if crlf > 0 && crlf == plain.matches('\n').count() {
        changed.replace("\r\n", "\n").replace('\n', "\r\n")
    } else {
        changed
    };
    Ok(if text.starts_with(BOM) { format!("{BOM}{changed}") } else { changed })
}

/// The bytes of a file of at most [`MOST_BYTES`]; none if there is none. A link that leads nowhere is something.
pub(super) fn read_bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && std::fs::symlink_metadata(path).is_err() => return Ok(None),
        Err(error) => return Err(error),
        // Reading a pipe or a device could last for ever.
        Ok(metadata) if !metadata.is_file() => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    fs::retry_sharing(|| std::fs::File::open(path))?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {MOST_BYTES} bytes")));
    }
    Ok(Some(bytes))
}

fn document(path: &Path) -> Result<Option<Document>, ErrorReport> {
    match read_text(path) {
        Ok(found) => Ok(found.map(|text| Document { revision: revision(text.as_bytes()), text })),
        Err(why) => Err(ErrorReport::new(Code::ConfigUnreadable, format!("{} cannot be read: {why}", text::path(path)))),
    }
}

/// The text of a file of at most [`MOST_BYTES`]; none if there is none.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, String> {
    let Some(bytes) = read_bytes(path).map_err(|error| error.to_string())? else { return Ok(None) };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => Err(format!("it is no UTF-8 text: byte {} is wrong", error.utf8_error().valid_up_to() + 1)),
    }
}

/// Where the links of a path lead in the end; the file need not exist.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut real = path.to_owned();
    for _ in 0..LINKS {
        match std::fs::symlink_metadata(&real) {
            Ok(metadata) if metadata.is_symlink() => real = folder_of(&real).join(std::fs::read_link(&real)?),
            Ok(_) => return Ok(real),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(real),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("more than {LINKS} links lead to it")))
}

/// A file that belongs to `path`: `.NAME.suffix` beside it.
fn hidden(path: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{suffix}"));
    path.with_file_name(name)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
