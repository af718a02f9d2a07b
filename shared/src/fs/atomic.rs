//! Replacing a file so that a reader, or the next start after a power cut, sees the old bytes or the new ones, never a mix.

use std::fs::{File, Metadata};
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
    replace_by(path, bytes, Access::Usual, &uuid::Uuid::new_v4().simple().to_string())
}

/// Replaces `path` by `bytes` as [`replace`] does. What a crash leaves on the way is removed by the next one who says the same `mark`; nobody
/// else may say it in this folder at the same time.
///
/// # Errors
/// Any I/O error; the old file is then still whole.
pub fn replace_by(path: &Path, bytes: &[u8], access: Access, mark: &str) -> io::Result<()> {
    let temporary = folder_of(path).join(format!("{TEMPORARY_PREFIX}{mark}"));
    let mut staged = Staged::create(path, &temporary, access)?;
    staged.write(bytes)?;
    staged.sync()?;
    staged.rename()?;
    platform::sync_folder(&folder_of(path))
}

/// Who may use a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever new files are for where it lies.
    Usual,
    /// Its owner alone.
    Private,
}

/// The new content of a file step by step, for those who look at it before it counts: create, [`write`](Self::write),
/// [`sync`](Self::sync), [`rename`](Self::rename), then [`sync_folder`](super::sync_folder). Dropped before the rename it leaves nothing
/// behind; what a process that died in between left is removed by the next one that uses the same temporary name.
#[derive(Debug)]
pub struct Staged {
    target: PathBuf,
    temporary: PathBuf,
    // Open until it is synced: Windows renames no open file.
    file: Option<File>,
    placed: bool,
}

impl Staged {
    /// An empty file `temporary`, which lies in the same folder as `target`. A leftover of that name is removed: nobody else may use the
    /// name at the same time.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn create(target: &Path, temporary: &Path, access: Access) -> io::Result<Self> {
        if target.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} names no file", target.display())));
        }
        match platform::retry_sharing(|| std::fs::remove_file(temporary)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = match access {
            Access::Usual => File::create_new(temporary)?,
            Access::Private => platform::create_new_private(temporary)?,
        };
        Ok(Self { target: target.to_owned(), temporary: temporary.to_owned(), file: Some(file), placed: false })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// Any I/O error; also after [`Staged::sync`].
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.open()?.write_all(bytes)
    }

    /// Gives it the owner and the permissions of `old`, as far as the OS keeps them with the file and lets this user give them.
    ///
    /// # Errors
    /// Any I/O error; also after [`Staged::sync`].
    pub fn resemble(&mut self, old: &Metadata) -> io::Result<()> {
        platform::resemble(self.open()?, old)
    }

    /// Gives it to whom `of` belongs, if this user may give files away.
    pub fn belong_to_owner(&self, of: &Metadata) {
        if let Some(file) = &self.file {
            platform::belong_to_owner(file, of);
        }
    }

    /// What the OS gives back of what was written.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        std::fs::read(&self.temporary)
    }

    /// Makes the content durable and closes the file.
    ///
    /// # Errors
    /// Any I/O error; also if it was called before.
    pub fn sync(&mut self) -> io::Result<()> {
        self.open()?.sync_all()?;
        self.file = None;
        Ok(())
    }

    /// Puts it in the place of the target. The name is durable after [`sync_folder`](super::sync_folder).
    ///
    /// # Errors
    /// Any I/O error; the old file is then still whole.
    pub fn rename(mut self) -> io::Result<()> {
        self.file = None;
        #[allow(clippy::disallowed_methods, reason = "this is the one place that replaces files")]
        platform::retry_sharing(|| std::fs::rename(&self.temporary, &self.target))?;
        self.placed = true;
        Ok(())
    }

    fn open(&mut self) -> io::Result<&mut File> {
        self.file.as_mut().ok_or_else(|| io::Error::other("the file is closed already"))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.placed {
            self.file = None;
            // Why it was given up is told by whoever did; a file that stays is recognised by its name.
            let _given_up = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Makes a file that was written beside its place durable and puts it there, over what may be there.
///
/// # Errors
/// Any I/O error; `part` then lies where it was, or in its place.
pub fn publish(part: &Path, to: &Path) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(part)?.sync_all()?;
    #[allow(clippy::disallowed_methods, reason = "this is the one module that replaces files")]
    platform::retry_sharing(|| std::fs::rename(part, to))?;
    platform::sync_folder(&folder_of(to))
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
    fn what_is_staged_counts_after_the_rename_and_leaves_nothing_if_it_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        replace(&path, b"old").unwrap();
        // What a dead writer left.
        replace(&folder.path().join(".new"), b"half").unwrap();
        let mut staged = Staged::create(&path, &folder.path().join(".new"), Access::Usual).unwrap();
        staged.write(b"new").unwrap();
        assert_eq!((staged.read().unwrap(), std::fs::read(&path).unwrap()), (b"new".to_vec(), b"old".to_vec()));
        drop(staged);
        assert_eq!((std::fs::read(&path).unwrap(), std::fs::read_dir(folder.path()).unwrap().count()), (b"old".to_vec(), 1));
        let mut staged = Staged::create(&path, &folder.path().join(".new"), Access::Private).unwrap();
        staged.write(b"new").unwrap();
        staged.sync().unwrap();
        assert!(staged.write(b"more").is_err());
        staged.rename().unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), std::fs::read_dir(folder.path()).unwrap().count()), (b"new".to_vec(), 1));
        assert!(super::super::private::is_private(&path).unwrap());
    }

    #[test]
    fn permissions_are_kept_if_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        create_private(&path, b"old").unwrap();
        let mut staged = Staged::create(&path, &folder.path().join(".new"), Access::Usual).unwrap();
        staged.resemble(&std::fs::metadata(&path).unwrap()).unwrap();
        staged.sync().unwrap();
        staged.rename().unwrap();
        assert!(super::super::private::is_private(&path).unwrap());
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
