//! Making folders so that they are still there after a power cut.

use std::io;
use std::path::Path;

use super::{atomic, sync_folder};

/// Makes a folder with its parents, durably; one that is there is left as it is.
///
/// # Errors
/// Any I/O error.
pub fn create(path: &Path) -> io::Result<()> {
    create_by(path, |path| std::fs::create_dir(path))
}

/// Makes each folder of a path that is not there, the highest first, and makes its name durable before anything is put into it.
pub(super) fn create_by(path: &Path, make: fn(&Path) -> io::Result<()>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = atomic::folder_of(path);
    create_by(&parent, make)?;
    match make(path) {
        // Somebody else may just have made it, and may not have come further than that.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => Err(error),
        _ => sync_folder(&parent),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_folder_is_made_with_its_parents_and_a_file_in_its_place_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        super::create(&path).unwrap();
        super::create(&path).unwrap();
        assert!(path.is_dir());
        super::super::atomic::replace(&path.join("file"), b"").unwrap();
        assert!(super::create(&path.join("file")).is_err());
    }
}
