//! What differs between operating systems, in one file each with equal signatures.

pub mod autostart;
mod command;
pub mod notify;
pub mod service;
pub mod session_end;
mod start;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as os;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as os;

use std::fs::File;
use std::io;
use std::path::Path;

pub use os::{StopSignals, move_new};

/// What asked the process to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSignal {
    /// Its name, for the log.
    pub name: &'static str,
    /// Whether the session ends with it: the system leaves some seconds then.
    pub session_ends: bool,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// Volume and number of the file.
    pub file_id: [u8; 16],
    /// Bytes.
    pub size: u64,
    /// Last change, nanoseconds since 1970 UTC.
    pub modified_ns: i64,
}

/// Whether somebody has a file open for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// Nobody has.
    None,
    /// Somebody has.
    Some,
    /// This system, or this file system, does not tell.
    Unknown,
}

/// The state of an open file.
///
/// # Errors
/// Any I/O error.
pub fn stat(file: &File) -> io::Result<FileStat> {
    let metadata = file.metadata()?;
    Ok(FileStat { file_id: os::file_id(file, &metadata)?, size: metadata.len(), modified_ns: modified_ns(&metadata) })
}

/// The state of the file under a name.
///
/// # Errors
/// Any I/O error.
pub fn stat_path(path: &Path) -> io::Result<FileStat> {
    os::stat_path(path)
}

/// Whether somebody has the file open for writing.
#[must_use]
pub fn writers(path: &Path) -> Writers {
    os::writers(path)
}

/// Last change of a file, nanoseconds since 1970 UTC; 0 where the file system does not tell.
#[must_use]
pub fn modified_ns(metadata: &std::fs::Metadata) -> i64 {
    let Ok(modified) = metadata.modified() else { return 0 };
    match modified.duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

/// True where a test cannot be answered, because what runs it is not Windows but Wine, which differs in this.
#[cfg(test)]
#[allow(clippy::print_stderr, reason = "who runs the tests is told what was left out")]
pub(crate) fn wine_cannot_show(what: &str) -> bool {
    let is_wine = os::is_wine();
    if is_wine {
        eprintln!("Wine cannot show this: {what}");
    }
    is_wine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_being_written_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let writing = File::create_new(&path).unwrap();
        assert_ne!(writers(&path), Writers::None);
        drop(writing);
        assert_ne!(writers(&path), Writers::Some);
    }

    #[test]
    fn moving_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        for (path, content) in [(&a, "a"), (&b, "b")] {
            waybill_shared::fs::atomic::replace(path, content.as_bytes()).unwrap();
        }
        assert_eq!(move_new(&a, &b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&b).unwrap(), b"b");
        let c = folder.path().join("c");
        move_new(&a, &c).unwrap();
        assert_eq!(std::fs::read(&c).unwrap(), b"a");
        assert!(!a.exists());
    }

    #[test]
    fn the_state_of_a_file_changes_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        waybill_shared::fs::atomic::replace(&path, b"one").unwrap();
        let first = stat(&File::open(&path).unwrap()).unwrap();
        assert_eq!(first, stat(&File::open(&path).unwrap()).unwrap());
        waybill_shared::fs::atomic::replace(&path, b"other").unwrap();
        assert_ne!(first, stat(&File::open(&path).unwrap()).unwrap());
    }
}
