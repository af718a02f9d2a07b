//! File operations where Unix differs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Makes the names in a folder durable: what was created, renamed or removed in it survives a power cut.
///
/// # Errors
/// Any I/O error.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Creates a file that only its owner can read (0600); fails if it exists.
///
/// # Errors
/// Any I/O error.
pub fn create_new_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

pub(super) fn create_private_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a folder that every user of the machine may put files into and nobody may remove another's from (1777).
///
/// # Errors
/// Any I/O error.
pub fn create_shared_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    match std::fs::DirBuilder::new().create(path) {
        Ok(()) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o1777)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn is_private(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(std::fs::metadata(path)?.mode() & 0o077 == 0)
}

/// Runs an operation that another program's open handle can disturb; on Unix none can.
///
/// # Errors
/// Those of the operation.
pub fn retry_sharing<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    operation()
}

/// True for a folder on a network file system, where change events of other machines do not arrive and locks are not to be trusted.
///
/// # Errors
/// Any I/O error.
#[cfg(target_os = "linux")]
pub fn is_network_folder(path: &Path) -> io::Result<bool> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statfs>::uninit();
    #[allow(unsafe_code, reason = "statfs has no safe binding in std")]
    // SAFETY: `path` ends in NUL and lives over the call; `stat` is read only after the call reported success.
    let kind = unsafe {
        if libc::statfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        stat.assume_init().f_type
    };
    // linux/magic.h: NFS, SMB, SMB2, CIFS, AFS, 9P, FUSE (sshfs and the like), CODA, CEPH
    const NETWORK: [i64; 9] =
        [0x6969, 0x517b, 0xfe53_4d42, 0xff53_4d42, 0x5346_414f, 0x0102_1997, 0x6573_5546, 0x7375_7245, 0x00c3_6400];
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the field's type differs between architectures")]
    let kind = (kind as i64) & 0xffff_ffff;
    Ok(NETWORK.contains(&kind))
}

/// True for a folder on a network file system.
///
/// # Errors
/// Any I/O error.
#[cfg(not(target_os = "linux"))]
pub fn is_network_folder(path: &Path) -> io::Result<bool> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statfs>::uninit();
    #[allow(unsafe_code, reason = "statfs has no safe binding in std")]
    // SAFETY: `path` ends in NUL and lives over the call; `stat` is read only after the call reported success.
    let flags = unsafe {
        if libc::statfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        stat.assume_init().f_flags
    };
    Ok(flags & (libc::MNT_LOCAL as u32) == 0)
}
