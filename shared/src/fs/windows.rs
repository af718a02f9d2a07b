//! File operations where Windows differs.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Component, Path, Prefix};
use std::time::Duration;

/// Windows keeps names durable by itself (NTFS journals them); there is no call for a folder.
///
/// # Errors
/// None.
pub fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Creates a file; fails if it exists. It inherits the permissions of its folder, which is the user's own profile.
///
/// # Errors
/// Any I/O error.
pub fn create_new_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

pub(super) fn create_private_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Creates a folder that every user of the machine may put files into, as folders under `ProgramData` are.
///
/// # Errors
/// Any I/O error.
pub fn create_shared_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

pub(super) fn is_private(_path: &Path) -> io::Result<bool> {
    Ok(true)
}

const ERROR_ACCESS_DENIED: i32 = 5;
const ERROR_SHARING_VIOLATION: i32 = 32;
const ERROR_LOCK_VIOLATION: i32 = 33;

/// Runs an operation that another program's open handle can disturb (a virus scanner, an indexer, the window's dialog), again
/// for up to about a second.
///
/// # Errors
/// Those of the operation.
pub fn retry_sharing<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut pause = Duration::from_millis(5);
    loop {
        match operation() {
            Err(error)
                if pause < Duration::from_millis(640)
                    && matches!(
                        error.raw_os_error(),
                        Some(ERROR_ACCESS_DENIED | ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION)
                    ) =>
            {
                std::thread::sleep(pause);
                pause *= 2;
            }
            result => return result,
        }
    }
}

/// True for a folder on a network share: a UNC path, or a drive letter that is mapped to one.
///
/// # Errors
/// Any I/O error.
pub fn is_network_folder(path: &Path) -> io::Result<bool> {
    use std::os::windows::ffi::OsStrExt as _;
    use windows_sys::Win32::Storage::FileSystem::GetDriveTypeW;
    const DRIVE_REMOTE: u32 = 4;

    let absolute = std::path::absolute(path)?;
    let Some(Component::Prefix(prefix)) = absolute.components().next() else { return Ok(false) };
    match prefix.kind() {
        Prefix::UNC(..) | Prefix::VerbatimUNC(..) => Ok(true),
        Prefix::Disk(letter) | Prefix::VerbatimDisk(letter) => {
            let root = format!("{}:\\", char::from(letter));
            let wide: Vec<u16> = std::ffi::OsStr::new(&root).encode_wide().chain([0]).collect();
            #[allow(unsafe_code, reason = "GetDriveTypeW has no safe binding in std")]
            // SAFETY: `wide` ends in NUL and lives over the call.
            let kind = unsafe { GetDriveTypeW(wide.as_ptr()) };
            Ok(kind == DRIVE_REMOTE)
        }
        _ => Ok(false),
    }
}
