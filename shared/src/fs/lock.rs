//! A lock that dies with its process: held by the kernel, not by the existence of a file.
//!
//! Who holds it stands in a second file beside it, because on Windows a locked file cannot be read by others.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::atomic::{Access, Staged};

/// How often a lock that another holds is tried again: the OS has no wait for it that ends.
const PAUSE: Duration = Duration::from_millis(2);

/// A held lock; dropping it, or the end of the process however it ends, releases it.
#[derive(Debug)]
pub struct Lock {
    // Never unlocked by hand: closing is what releases it on every system.
    file: File,
    path: PathBuf,
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
            Err(TryLockError::WouldBlock) => return Err(held(path)),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let owner_file = owner_file(path);
        match say_who(&owner_file, owner) {
            // In a folder that several users share, the file may be another user's, and the disk may be full: the lock is what counts.
            Err(error) if is_about_the_name_only(&error) => {}
            Err(error) => return Err(io(error)),
            Ok(()) => {}
        }
        Ok(Self { file, path: path.to_owned(), owner: owner_file })
    }

    /// False if the locked file is not the one under its name any more, because it or its folder was removed or moved: it keeps nobody away.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        super::is_file_at(&self.file, &self.path)
    }

    /// The same, and waits for whoever holds it, at most so long. Of those who come this way one waits at the lock and the others behind it:
    /// whoever takes the lock over and over keeps nobody away for ever. A second file beside it, `.next`, is the place of the one.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn acquire_within(path: &Path, owner: &str, longest: Duration) -> Result<Self, LockError> {
        let deadline = Instant::now() + longest;
        let next = beside(path, ".next");
        let io = |source| LockError::Io { path: crate::text::path(&next), source };
        let turn = open(&next).map_err(io)?;
        loop {
            match turn.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(held(path)),
                Err(TryLockError::Error(source)) => return Err(io(source)),
            }
        }
        loop {
            match Self::acquire(path, owner) {
                Err(LockError::Held { .. }) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                result => return result,
            }
        }
    }
}

fn held(path: &Path) -> LockError {
    let holder = std::fs::read_to_string(owner_file(path)).unwrap_or_default();
    let holder = match crate::text::printable(holder.trim(), 200) {
        empty if empty.is_empty() => "another process".to_owned(),
        named => named,
    };
    LockError::Held { path: crate::text::path(path), holder }
}

/// Writes who holds the lock. The holder is the only writer, so one temporary name is enough and a dead one's leftover goes; it need not
/// be durable, because no lock outlives a power cut.
fn say_who(file: &Path, owner: &str) -> io::Result<()> {
    let mut staged = Staged::create(file, &beside(file, ".new"), Access::Usual)?;
    staged.write(owner.as_bytes())?;
    staged.rename()
}

fn is_about_the_name_only(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, StorageFull};
    matches!(error.kind(), PermissionDenied | StorageFull | QuotaExceeded)
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

/// Who holds a lock, or, if nobody does, who held it last and did not let it go by itself: one that was killed, or crashed. None once its
/// holder has let it go.
#[must_use]
pub fn not_let_go_by(path: &Path) -> Option<String> {
    let owner = std::fs::read_to_string(owner_file(path)).ok()?;
    Some(crate::text::printable(owner.trim(), 200)).filter(|owner| !owner.is_empty())
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only information, and another's by now if the folder was replaced; the lock itself is released by the close that follows.
        if self.is_in_place() {
            let _informational = std::fs::remove_file(&self.owner);
        }
    }
}

/// The lock file, made if it is not there. One that another user made can still be locked through a handle that only reads.
fn open(path: &Path) -> io::Result<File> {
    match File::options().create(true).truncate(false).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path).map_err(|_| error),
        result => result,
    }
}

fn owner_file(lock: &Path) -> PathBuf {
    beside(lock, ".owner")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
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
        assert_eq!(not_let_go_by(&path), None);
        drop(Lock::acquire(&path, "process 43").unwrap());
        // What a process that was killed leaves behind.
        say_who(&owner_file(&path), "process 44").unwrap();
        assert_eq!((not_let_go_by(&path).as_deref(), holder(&path)), (Some("process 44"), None));
    }

    #[test]
    fn who_waits_gets_the_lock_when_it_is_free_and_is_told_the_holder_if_it_is_not_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.lock");
        let first = Lock::acquire(&path, "process 42").unwrap();
        match Lock::acquire_within(&path, "process 43", Duration::from_millis(30)) {
            Err(LockError::Held { holder, .. }) => assert_eq!(holder, "process 42"),
            other => panic!("{other:?}"),
        }
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Lock::acquire_within(&path, "process 43", Duration::from_secs(60)).unwrap());
            drop(first);
            let second = waiting.join().unwrap();
            assert_eq!(holder(&path).as_deref(), Some("process 43"));
            drop(second);
        });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "only the lock file and its turn stay");
    }
}
