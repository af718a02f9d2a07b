//! Private files: one secret each, for nobody but the agent's user.
//!
//! A crash leaves the old secret or the new one, never none and never half of one.

use std::io;
use std::path::Path;

use waybill_shared::fs::atomic::{self, TEMPORARY_PREFIX, folder_of};
use waybill_shared::fs::{private, retry_sharing, sync_folder};

/// Replaces `path` by `text`, or creates it, with its folder if that is missing. At no moment may others read it.
///
/// # Errors
/// Any I/O error; the old file is then still whole.
pub fn replace_private(path: &Path, text: &str) -> io::Result<()> {
    let folder = folder_of(path);
    private::create_folder(&folder)?;
    let temporary = folder.join(format!("{TEMPORARY_PREFIX}{}", uuid::Uuid::new_v4().simple()));
    atomic::create_private(&temporary, text.as_bytes())?;
    #[allow(
        clippy::disallowed_methods,
        reason = "the private file is durable already; atomic::replace would make one that others may read"
    )]
    let result = retry_sharing(|| std::fs::rename(&temporary, path)).and_then(|()| sync_folder(&folder));
    if result.is_err() {
        // The first error is the one to tell; a temporary file that stays is recognised by its name.
        let _already_failed = std::fs::remove_file(&temporary);
    }
    result
}

/// Removes a file durably; false if there was none.
///
/// # Errors
/// Any other I/O error.
pub fn remove(path: &Path) -> io::Result<bool> {
    match retry_sharing(|| std::fs::remove_file(path)) {
        Ok(()) => sync_folder(&folder_of(path)).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there is something at `path`, be it readable or not: a link that leads nowhere is something.
///
/// # Errors
/// It cannot be told.
pub fn is_there(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_stays_private_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets").join("x");
        replace_private(&path, "one").unwrap();
        replace_private(&path, "two").unwrap();
        assert_eq!(private::read_secret(&path).unwrap().expose(), "two");
        assert!(private::is_private(&path).unwrap());
        assert_eq!(std::fs::read_dir(folder.path().join("secrets")).unwrap().count(), 1);
    }

    #[test]
    fn a_replace_that_fails_leaves_no_copy_of_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        assert!(replace_private(&path, "hunter2").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn removing_what_is_not_there_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert!(!remove(&path).unwrap());
        replace_private(&path, "one").unwrap();
        assert!(remove(&path).unwrap() && !is_there(&path).unwrap());
    }
}
