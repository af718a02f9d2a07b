//! The lock beside the history's file, for all processes that open it.
//!
//! Each holds `<name>.lock` shared as long as it has the file open; who makes the file or sets a damaged one aside holds the lock
//! alone, so that nobody writes on into a file that is set aside. It dies with its process.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::store::{StoreError, unavailable};

/// Between two tries to get the lock: the OS has no wait for it that ends.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// The lock, alone if nobody else has the history open, else shared.
pub(super) fn take(path: &Path, until: Instant) -> Result<(File, bool), StoreError> {
    let path = with_suffix(path, ".lock");
    let file = open(&path)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok((file, true)),
            Err(TryLockError::Error(error)) => return Err(unavailable(&path, &error)),
            Err(TryLockError::WouldBlock) => {}
        }
        if try_share(&file, &path, until)? {
            return Ok((file, false));
        }
    }
}

/// The lock that was held alone, shared from now on. In between another process may hold it alone; it finds a sound file.
pub(super) fn share(path: &Path, lock: File, until: Instant) -> Result<File, StoreError> {
    let path = with_suffix(path, ".lock");
    // Not unlocked but closed: that lets go everywhere.
    drop(lock);
    let lock = open(&path)?;
    while !try_share(&lock, &path, until)? {}
    Ok(lock)
}

fn open(path: &Path) -> Result<File, StoreError> {
    File::options().create(true).truncate(false).write(true).open(path).map_err(|error| unavailable(path, &error))
}

/// One try; after one in vain it pauses.
fn try_share(file: &File, path: &Path, until: Instant) -> Result<bool, StoreError> {
    match file.try_lock_shared() {
        Ok(()) => Ok(true),
        Err(TryLockError::Error(error)) => Err(unavailable(path, &error)),
        Err(TryLockError::WouldBlock) if Instant::now() >= until => {
            Err(StoreError::Held("another program is opening it and does not finish".to_owned()))
        }
        Err(TryLockError::WouldBlock) => {
            std::thread::sleep(PAUSE);
            Ok(false)
        }
    }
}

/// The path with more at its end.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
