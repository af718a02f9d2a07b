//! Windows.

use std::fs::{File, Metadata};
use std::io;
use std::os::windows::ffi::OsStrExt as _;
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::AsRawHandle as _;
use std::path::Path;

use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, GetFileInformationByHandle, MOVEFILE_WRITE_THROUGH, MoveFileExW,
};

use super::{FileStat, StopSignal, Writers};

const FILE_SHARE_READ: u32 = 1;
const FILE_SHARE_DELETE: u32 = 4;
const ERROR_SHARING_VIOLATION: i32 = 32;

pub(super) fn file_id(file: &File, _metadata: &Metadata) -> io::Result<[u8; 16]> {
    let mut information = std::mem::MaybeUninit::<BY_HANDLE_FILE_INFORMATION>::uninit();
    #[allow(unsafe_code, reason = "the file index has no stable binding in std")]
    // SAFETY: the handle is open over the call; the structure is read only after the call reported success.
    let information = unsafe {
        if GetFileInformationByHandle(file.as_raw_handle().cast(), information.as_mut_ptr()) == 0 {
            return Err(io::Error::last_os_error());
        }
        information.assume_init()
    };
    let mut id = [0; 16];
    id[..4].copy_from_slice(&information.dwVolumeSerialNumber.to_le_bytes());
    id[8..12].copy_from_slice(&information.nFileIndexLow.to_le_bytes());
    id[12..].copy_from_slice(&information.nFileIndexHigh.to_le_bytes());
    Ok(id)
}

/// Only an open file tells its number.
pub(super) fn stat_path(path: &Path) -> io::Result<FileStat> {
    super::stat(&File::open(path)?)
}

/// Opening without letting others write fails while somebody writes.
pub(super) fn writers(path: &Path) -> Writers {
    match File::options().read(true).share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE).open(path) {
        Ok(_) => Writers::None,
        Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Writers::Some,
        Err(_) => Writers::Unknown,
    }
}

/// Renames within a volume, never over an existing name.
///
/// # Errors
/// `AlreadyExists`, `CrossesDevices`, any other I/O error.
pub fn move_new(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (wide(from)?, wide(to)?);
    waybill_shared::fs::retry_sharing(|| {
        #[allow(unsafe_code, reason = "std's rename overwrites")]
        // SAFETY: both paths end in NUL and live over the call.
        let result = unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), MOVEFILE_WRITE_THROUGH) };
        if result != 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    })
}

/// The path in the form without a length limit.
fn wide(path: &Path) -> io::Result<Vec<u16>> {
    let absolute = std::path::absolute(path)?;
    let mut text: Vec<u16> = absolute.as_os_str().encode_wide().collect();
    if text.contains(&0) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let drive = text.get(1) == Some(&u16::from(b':'));
    if drive {
        text = r"\\?\".encode_utf16().chain(text).collect();
    }
    text.push(0);
    Ok(text)
}

/// The console events that ask a process to stop.
#[derive(Debug)]
pub struct StopSignals {
    c: CtrlC,
    pause: CtrlBreak,
    close: CtrlClose,
    log_off: CtrlLogoff,
    shutdown: CtrlShutdown,
}

impl StopSignals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The OS does not let us.
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::windows;
        Ok(Self {
            c: windows::ctrl_c()?,
            pause: windows::ctrl_break()?,
            close: windows::ctrl_close()?,
            log_off: windows::ctrl_logoff()?,
            shutdown: windows::ctrl_shutdown()?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> StopSignal {
        let (name, session_ends) = tokio::select! {
            _ = self.c.recv() => ("Ctrl-C", false),
            _ = self.pause.recv() => ("Ctrl-Break", false),
            // Windows ends the process five seconds after these.
            _ = self.close.recv() => ("console closed", true),
            _ = self.log_off.recv() => ("log-off", true),
            _ = self.shutdown.recv() => ("system shutdown", true),
        };
        StopSignal { name, session_ends }
    }
}

/// Wine's own library tells its version, that of Windows has no such function. Source: Wine's developer FAQ.
#[cfg(test)]
#[allow(unsafe_code, reason = "modules have no binding in std")]
pub(super) fn is_wine() -> bool {
    use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};
    // SAFETY: both names end in NUL, and the library is part of every process.
    unsafe { GetProcAddress(GetModuleHandleA(c"ntdll.dll".as_ptr().cast()), c"wine_get_version".as_ptr().cast()) }.is_some()
}
