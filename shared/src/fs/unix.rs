//! File operations where Unix differs.

use std::fs::{File, Metadata, OpenOptions};
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

/// True if an open file is the one that has this name now.
pub(super) fn is_file_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), std::fs::metadata(path)), (Ok(own), Ok(there)) if identity(&own) == identity(&there))
}

/// Creates a file that only its owner can read (0600); fails if it exists.
///
/// # Errors
/// Any I/O error.
pub fn create_new_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

pub(super) fn create_private_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(0o700).create(path)
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

/// Gives a new file the owner, the group and the mode of another one. A group that cannot be given gets no more rights than everybody.
pub(super) fn resemble(file: &mut File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    belong_to_owner(file, old);
    let mut mode = old.mode() & 0o777;
    if file.metadata()?.gid() != old.gid() {
        mode = (mode & !0o070) | ((mode & 0o007) << 3);
    }
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// Gives a file to the owner and the group of another one; one that may not be given away stays as it is.
pub(super) fn belong_to_owner(file: &File, of: &Metadata) {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(own) = file.metadata() else { return };
    if own.uid() != of.uid() || own.gid() != of.gid() {
        // Only the administrator gives files away; a group can be given by its members.
        let _as_far_as_allowed = std::os::unix::fs::fchown(file, Some(of.uid()), Some(of.gid()))
            .or_else(|_| std::os::unix::fs::fchown(file, None, Some(of.gid())));
    }
}

/// Who may write a file or folder, in words.
///
/// # Errors
/// Any I/O error.
pub fn writers(path: &Path) -> io::Result<String> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path)?;
    let (user, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
    let may: Vec<String> = [
        (mode & 0o200, format!("its owner (user id {user})")),
        (mode & 0o020, format!("its group (group id {group})")),
        (mode & 0o002, "everybody".to_owned()),
    ]
    .into_iter()
    .filter_map(|(allowed, who)| (allowed != 0).then_some(who))
    .collect();
    let may = if may.is_empty() { "nobody".to_owned() } else { may.join(", ") };
    Ok(format!("{may} may write it (mode {:04o})", mode & 0o7777))
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

/// Bytes of a folder's disk: those that this user may still write, and all. Some file systems tell neither: both are 0 then.
///
/// # Errors
/// Any I/O error.
pub fn free_space(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    #[allow(unsafe_code, reason = "statvfs has no safe binding in std")]
    // SAFETY: `path` ends in NUL and lives over the call; `stat` is read only after the call reported success.
    let stat = unsafe {
        if libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        stat.assume_init()
    };
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ between systems")]
    let (block, free, all) = (stat.f_frsize as u64, stat.f_bavail as u64, stat.f_blocks as u64);
    Ok((free.saturating_mul(block), all.saturating_mul(block)))
}

/// Whether this user may add files to a folder; asks for the right and adds none.
///
/// # Errors
/// `PermissionDenied`, `ReadOnlyFilesystem`, or any other I/O error.
pub fn may_add_files(folder: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = std::ffi::CString::new(folder.as_os_str().as_bytes())?;
    #[allow(unsafe_code, reason = "faccessat has no safe binding in std")]
    // SAFETY: `folder` ends in NUL and lives over the call.
    let answer = unsafe { libc::faccessat(libc::AT_FDCWD, folder.as_ptr(), libc::W_OK | libc::X_OK, libc::AT_EACCESS) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
