//! Folders and files that only their owner may read.

use std::io;
use std::path::Path;

use super::platform;
use crate::secret::Secret;

/// Creates a folder for its owner alone, with its parents, durably; an existing one is left as it is.
///
/// # Errors
/// Any I/O error.
pub fn create_folder(path: &Path) -> io::Result<()> {
    super::folder::create_by(path, platform::create_private_folder)
}

/// True if nobody but the owner may read `path`.
///
/// # Errors
/// Any I/O error.
pub fn is_private(path: &Path) -> io::Result<bool> {
    platform::is_private(path)
}

/// Reads a secret from a file that must be private.
///
/// # Errors
/// `PermissionDenied` with a sentence if others may read the file; any other I/O error.
pub fn read_secret(path: &Path) -> io::Result<Secret> {
    if !is_private(path)? {
        let path = crate::text::path(path);
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{path} can be read by other users; make it private (chmod 600) and change the token"),
        ));
    }
    std::fs::read_to_string(path).map(|text| Secret::new(&text))
}
