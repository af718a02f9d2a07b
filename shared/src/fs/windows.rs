//! File operations where Windows differs.

use std::fs::{File, Metadata, OpenOptions};
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

/// True if there is a file of this name: nobody can remove or move one that is open and locked, nor a folder around it.
pub(super) fn is_file_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Creates a file; fails if it exists. It inherits the permissions of its folder, which is the user's own profile.
///
/// # Errors
/// Any I/O error.
pub fn create_new_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

pub(super) fn create_private_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
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

/// A new file has the rights that its folder hands down, as the old one had.
pub(super) fn resemble(_file: &mut File, _old: &Metadata) -> io::Result<()> {
    Ok(())
}

/// A new file has the rights that its folder hands down.
pub(super) fn belong_to_owner(_file: &File, _of: &Metadata) {}

/// Who may write a file or folder, in words.
///
/// # Errors
/// Any I/O error.
pub fn writers(path: &Path) -> io::Result<String> {
    let read_only = std::fs::metadata(path)?.permissions().readonly();
    let attribute = if read_only { "it has the attribute read-only; " } else { "" };
    Ok(format!("{attribute}who may write it stands in its properties under Security"))
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

/// Bytes of a folder's disk: those that this user may still write, and all (of its quota, if it has one).
///
/// # Errors
/// Any I/O error.
pub fn free_space(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::windows::ffi::OsStrExt as _;
    use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;

    let absolute = std::path::absolute(path)?;
    let wide: Vec<u16> = absolute.as_os_str().encode_wide().chain([0]).collect();
    let (mut free, mut total) = (0u64, 0u64);
    #[allow(unsafe_code, reason = "GetDiskFreeSpaceExW has no safe binding in std")]
    // SAFETY: `wide` ends in NUL; it and both numbers live over the call; the third number may be left out.
    let told = unsafe { GetDiskFreeSpaceExW(wide.as_ptr(), &mut free, &mut total, std::ptr::null_mut()) };
    if told == 0 { Err(io::Error::last_os_error()) } else { Ok((free, total)) }
}

/// Whether this user may add files to a folder; asks for the right and adds none.
///
/// # Errors
/// `PermissionDenied`, or any other I/O error.
pub fn may_add_files(folder: &Path) -> io::Result<()> {
    use std::os::windows::fs::OpenOptionsExt as _;
    use windows_sys::Win32::Storage::FileSystem::{FILE_ADD_FILE, FILE_FLAG_BACKUP_SEMANTICS};

    // Sharing stays at its default, everything: whoever uses the folder at the same time is not disturbed.
    OpenOptions::new().access_mode(FILE_ADD_FILE).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(folder).map(drop)
}
