//! A lock that dies with its process: held by the kernel, not by the existence of a file.
//!
//! Who holds it stands in a second file beside it, because on Windows a locked file cannot be read by others.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A held lock; dropping it, or the end of the process however it ends, releases it.
#[derive(Debug)]
pub struct Lock {
    // Never unlocked by hand: closing is what releases it on every system.
    _file: File,
    owner: PathBuf,
}

/// Why a lock was not got.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{path} is held by {holder}")]
    Held {
        /// The lock file.
        path: String,
        /// Who holds it, as far as it said.
        holder: String,
    },
    /// The lock file cannot be opened or locked.
    #[error("cannot lock {path}: {source}")]
    Io {
        /// The lock file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock, or says who has it. `owner` is what the next one reads of us.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn acquire(path: &Path, owner: &str) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: crate::text::path(path), source };
        let file = open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = std::fs::read_to_string(owner_file(path)).unwrap_or_default();
                let holder = match crate::text::printable(holder.trim(), 200) {
                    empty if empty.is_empty() => "another process".to_owned(),
                    named => named,
                };
                return Err(LockError::Held { path: crate::text::path(path), holder });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let owner_file = owner_file(path);
        match super::atomic::replace(&owner_file, owner.as_bytes()) {
            // In a folder that several users share, the file may be another user's: the lock is what counts.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(io(error)),
            _ => {}
        }
        Ok(Self { _file: file, owner: owner_file })
    }
}

/// Who holds a lock at this moment, if anybody does.
#[must_use]
pub fn holder(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let owner = std::fs::read_to_string(owner_file(path)).unwrap_or_default();
            Some(crate::text::printable(owner.trim(), 200))
                .filter(|owner| !owner.is_empty())
                .or(Some("another process".to_owned()))
        }
        _ => None,
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only information; the lock itself is released by the close that follows.
        let _informational = std::fs::remove_file(&self.owner);
    }
}

/// The lock file, made if it is not there. One that another user made can still be locked through a handle that only reads.
fn open(path: &Path) -> io::Result<File> {
    match File::options().create(true).truncate(false).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path),
        result => result,
    }
}

fn owner_file(lock: &Path) -> PathBuf {
    let mut name = lock.as_os_str().to_owned();
    name.push(".owner");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.lock");
        let first = Lock::acquire(&path, "process 42").unwrap();
        match Lock::acquire(&path, "process 43") {
            Err(LockError::Held { holder, .. }) => assert_eq!(holder, "process 42"),
            other => panic!("{other:?}"),
        }
        drop(first);
        Lock::acquire(&path, "process 43").unwrap();
    }
}
