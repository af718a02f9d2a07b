//! One agent a folder: a claim, held by a kernel lock that dies with its process.
//!
//! The locks lie in a folder of the machine, named by the watch folder's real path, so that agents of different users and instances see
//! each other. On a network share two *machines* do not: there the server's share of work is a matter of configuration.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::create_shared_folder;
use waybill_shared::fs::lock::{Lock, LockError};
use waybill_shared::paths::claims_folder;
use waybill_shared::text;

/// The claims of one agent: several of its sources may share a folder.
#[derive(Debug, Default)]
pub struct Claims {
    /// Held for a look and an insertion.
    held: Mutex<HashMap<PathBuf, Weak<Lock>>>,
}

impl Claims {
    /// Claims a folder that exists.
    ///
    /// # Errors
    /// Who holds it, or why the claim cannot be made.
    pub fn take(&self, folder: &Path, source: &str) -> Result<Arc<Lock>, ErrorReport> {
        let real = real_name(folder).map_err(|error| unavailable(folder, &error))?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = held.get(&real).and_then(Weak::upgrade) {
            return Ok(lock);
        }
        let lock = Arc::new(acquire(folder, &real, source)?);
        held.insert(real, Arc::downgrade(&lock));
        Ok(lock)
    }
}

/// The one name of a folder that may be reached by several. A disk whose driver does not tell it (some RAM disks on Windows) is no reason not to
/// take files from there: its folder then goes by the name that it was given.
fn real_name(folder: &Path) -> std::io::Result<PathBuf> {
    match folder.canonicalize() {
        Err(_) if folder.is_dir() => std::path::absolute(folder),
        result => result,
    }
}

fn unavailable(folder: &Path, error: &dyn std::fmt::Display) -> ErrorReport {
    ErrorReport::new(Code::FolderUnavailable, format!("the folder {} cannot be used: {error}", text::path(folder)))
}

fn acquire(folder: &Path, real: &Path, source: &str) -> Result<Lock, ErrorReport> {
    let claims = claims_folder();
    create_shared_folder(&claims).map_err(|error| unavailable(folder, &format!("{}: {error}", claims.display())))?;
    let name = blake3::hash(real.as_os_str().as_encoded_bytes()).to_hex();
    let owner = format!("source {source:?} of the agent with process id {}", std::process::id());
    Lock::acquire(&claims.join(format!("{}.lock", &name[..32])), &owner).map_err(|error| match error {
        LockError::Held { holder, .. } => {
            ErrorReport::new(Code::FolderClaimed, format!("the folder {} is already watched by {holder}", text::path(folder)))
        }
        LockError::Io { .. } => unavailable(folder, &error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_of_the_first_and_two_sources_of_one_agent_share() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Claims::default(), Claims::default());
        let first = one.take(folder.path(), "ict").unwrap();
        let shared = one.take(folder.path(), "fct").unwrap();
        let second = other.take(&folder.path().join("."), "other").unwrap_err();
        assert_eq!(second.code, Code::FolderClaimed);
        assert!(second.message.contains("\"ict\""), "{}", second.message);
        drop((first, shared));
        other.take(folder.path(), "other").unwrap();
    }
}
