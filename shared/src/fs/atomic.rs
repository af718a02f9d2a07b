//! Replacing a file so that a reader, or the next start after a power cut, sees the old bytes or the new ones, never a mix.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::platform;

/// Prefix of the temporary files that [`replace`] writes; leftovers of a crash are told by it.
pub const TEMPORARY_PREFIX: &str = ".waybill-tmp-";

/// Replaces `path` by `bytes`: temporary file in the same folder, fsync, rename over, fsync of the folder.
///
/// # Errors
/// Any I/O error; the old file is then still whole, and the temporary file is removed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (folder, temporary) = beside(path)?;
    let result = (|| {
        let mut file = File::create_new(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        #[allow(clippy::disallowed_methods, reason = "this is the one place that replaces files")]
        platform::retry_sharing(|| std::fs::rename(&temporary, path))?;
        platform::sync_folder(&folder)
    })();
    if result.is_err() {
        // The first error is the one to tell; a temporary file that stays is recognised by its name.
        let _already_failed = std::fs::remove_file(&temporary);
    }
    result
}

/// Writes a new file durably; fails if `path` exists. The file is only for its owner.
///
/// # Errors
/// Any I/O error; nothing is left behind.
pub fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let result = (|| {
        let mut file = platform::create_new_private(path)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        drop(file);
        if let Err(error) = written {
            let _already_failed = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(())
    })();
    result.and_then(|()| platform::sync_folder(&folder_of(path)))
}

/// The folder of a path; `.` for a bare name.
#[must_use]
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn beside(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    if path.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} names no file", path.display())));
    }
    let folder = folder_of(path);
    let temporary = folder.join(format!("{TEMPORARY_PREFIX}{}", uuid::Uuid::new_v4().simple()));
    Ok((folder, temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_replace_leaves_the_old_file_and_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        replace(&path.join("inside"), b"x").unwrap();
        assert!(replace(&path, b"two").is_err());
        assert_eq!(std::fs::read(path.join("inside")).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_private_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        create_private(&path, b"one").unwrap();
        assert_eq!(create_private(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert!(super::super::private::is_private(&path).unwrap());
    }
}
