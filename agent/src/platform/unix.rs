//! Linux and macOS.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{FileStat, StopSignal, Writers};

pub(super) fn file_id(_file: &File, metadata: &Metadata) -> io::Result<[u8; 16]> {
    Ok(id_of(metadata))
}

pub(super) fn stat_path(path: &Path) -> io::Result<FileStat> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok(FileStat { file_id: id_of(&metadata), size: metadata.len(), modified_ns: super::modified_ns(&metadata) })
}

fn id_of(metadata: &Metadata) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&metadata.dev().to_le_bytes());
    id[8..].copy_from_slice(&metadata.ino().to_le_bytes());
    id
}

/// A read lease is granted only while nobody has the file open for writing; it is given back at once. `fcntl(2)`, F_SETLEASE.
#[cfg(target_os = "linux")]
pub(super) fn writers(path: &Path) -> Writers {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    // A writer that opens the file while we hold the lease makes the kernel send SIGIO, which by default ends the process.
    static IGNORE_SIGIO: std::sync::Once = std::sync::Once::new();
    IGNORE_SIGIO.call_once(|| {
        #[allow(unsafe_code, reason = "signal dispositions have no safe binding in std")]
        // SAFETY: SIG_IGN installs no handler; nothing else of this program uses SIGIO.
        unsafe {
            libc::signal(libc::SIGIO, libc::SIG_IGN);
        }
    });
    let Ok(file) = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path) else {
        return Writers::Unknown;
    };
    #[allow(unsafe_code, reason = "leases have no safe binding in std")]
    // SAFETY: the descriptor is open over both calls, and F_SETLEASE takes an integer.
    let granted = unsafe {
        let granted = libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) == 0;
        if granted {
            libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK);
        }
        granted
    };
    if granted {
        return Writers::None;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => Writers::Some,
        _ => Writers::Unknown,
    }
}

/// There is no way to ask; a file is finished when it has not changed for a while.
#[cfg(not(target_os = "linux"))]
pub(super) fn writers(_path: &Path) -> Writers {
    Writers::Unknown
}

/// Renames within a volume, never over an existing name.
///
/// # Errors
/// `AlreadyExists`, `CrossesDevices`, any other I/O error.
pub fn move_new(from: &Path, to: &Path) -> io::Result<()> {
    match rename_new(from, to) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::ENOTSUP)) => {
            // A file system without it: a second name first, then the old one goes.
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        result => result,
    }
}

fn c_path(path: &Path) -> io::Result<std::ffi::CString> {
    Ok(std::ffi::CString::new(path.as_os_str().as_bytes())?)
}

#[cfg(target_os = "linux")]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (c_path(from)?, c_path(to)?);
    #[allow(unsafe_code, reason = "renameat2 has no safe binding in std")]
    // SAFETY: both paths end in NUL and live over the call.
    let result = unsafe { libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), libc::RENAME_NOREPLACE) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(target_os = "macos")]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (c_path(from)?, c_path(to)?);
    #[allow(unsafe_code, reason = "renamex_np has no safe binding in std")]
    // SAFETY: both paths end in NUL and live over the call.
    let result = unsafe { libc::renamex_np(from.as_ptr(), to.as_ptr(), libc::RENAME_EXCL) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let _unused = (c_path(from)?, c_path(to)?);
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// The signals that ask a process to stop: SIGTERM, SIGINT, SIGHUP.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl StopSignals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The OS does not let us.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> StopSignal {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hang_up.recv() => "SIGHUP",
        };
        StopSignal { name, session_ends: false }
    }
}

/// It is for programs of Windows.
#[cfg(test)]
pub(super) fn is_wine() -> bool {
    false
}
