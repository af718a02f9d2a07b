//! Processes on Windows: an open handle keeps the number from being used again.

use std::io;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::os::windows::process::CommandExt as _;
use std::process::Command;

use windows_sys::Win32::Foundation::{FILETIME, HANDLE, INVALID_HANDLE_VALUE, WAIT_OBJECT_0};
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::{
    GetExitCodeProcess, GetProcessHandleCount, GetProcessTimes, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION,
    PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, TerminateProcess, WaitForSingleObject,
};

use super::{Identity, Process, Usage};

const ERROR_INVALID_PARAMETER: i32 = 87;
/// As documented for `CreateProcess`.
const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
/// Exit code of a process that was ended from outside; that of a task manager.
const ENDED: u32 = 1;
/// Most processes that are looked at.
const MOST: usize = 65_536;

/// Open as long as the process is known.
#[derive(Debug)]
pub(super) struct Handle(OwnedHandle);

impl Handle {
    fn raw(&self) -> HANDLE {
        self.0.as_raw_handle().cast()
    }
}

pub(super) fn open(pid: u32) -> io::Result<Option<(Handle, u64)>> {
    #[allow(unsafe_code, reason = "OpenProcess has no safe binding in std")]
    // SAFETY: numbers only; the handle that is given back is ours alone.
    let opened = unsafe {
        let raw = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE | PROCESS_TERMINATE, 0, pid);
        if raw.is_null() { Err(io::Error::last_os_error()) } else { Ok(Handle(OwnedHandle::from_raw_handle(raw.cast()))) }
    };
    let handle = match opened {
        Ok(handle) => handle,
        Err(error) if error.raw_os_error() == Some(ERROR_INVALID_PARAMETER) => return Ok(None),
        Err(error) => return Err(error),
    };
    if ended(&handle) {
        return Ok(None);
    }
    let (started, _) = times(&handle)?;
    Ok(Some((handle, started)))
}

pub(super) fn has_ended(handle: &Handle, _identity: Identity) -> bool {
    ended(handle)
}

fn ended(handle: &Handle) -> bool {
    #[allow(unsafe_code, reason = "WaitForSingleObject has no safe binding in std")]
    // SAFETY: the handle is open over the call, which does not wait.
    let state = unsafe { WaitForSingleObject(handle.raw(), 0) };
    state == WAIT_OBJECT_0
}

pub(super) fn exit_code(handle: &Handle) -> Option<i32> {
    if !ended(handle) {
        return None;
    }
    let mut code = 0;
    #[allow(unsafe_code, reason = "GetExitCodeProcess has no safe binding in std")]
    // SAFETY: the handle is open and the number lives over the call.
    let told = unsafe { GetExitCodeProcess(handle.raw(), &raw mut code) };
    (told != 0).then_some(code.cast_signed())
}

/// Ctrl-Break goes to the process group that the process began, if it shares our console.
pub(super) fn ask_to_stop(_handle: &Handle, identity: Identity) -> io::Result<()> {
    #[allow(unsafe_code, reason = "console events have no safe binding in std")]
    // SAFETY: numbers only.
    let sent = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, identity.pid) };
    if sent != 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(super) fn kill(handle: &Handle, _identity: Identity) -> io::Result<()> {
    #[allow(unsafe_code, reason = "TerminateProcess has no safe binding in std for a process that is no child")]
    // SAFETY: the handle is open over the call.
    let killed = unsafe { TerminateProcess(handle.raw(), ENDED) };
    if killed != 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(super) fn usage(handle: &Handle, identity: Identity) -> Usage {
    let mut memory = PROCESS_MEMORY_COUNTERS::default();
    let size = u32::try_from(size_of::<PROCESS_MEMORY_COUNTERS>()).unwrap_or(0);
    let mut handles = 0;
    #[allow(unsafe_code, reason = "what a process uses has no safe binding in std")]
    // SAFETY: the handle is open, and the structure of this size and the number live over the calls.
    let (memory_told, handles_told) = unsafe {
        (K32GetProcessMemoryInfo(handle.raw(), &raw mut memory, size), GetProcessHandleCount(handle.raw(), &raw mut handles))
    };
    Usage {
        resident_bytes: (memory_told != 0).then_some(memory.WorkingSetSize as u64),
        cpu_ms: times(handle).ok().map(|(_, used)| used / 10_000),
        threads: all().into_iter().find(|entry| entry.th32ProcessID == identity.pid).map(|entry| u64::from(entry.cntThreads)),
        descriptors: (handles_told != 0).then_some(u64::from(handles)),
    }
}

/// A parent's number may belong to a process that is younger than the child: such a one is none of its parents.
pub(super) fn descendants(of: Identity) -> Vec<Process> {
    let pairs: Vec<(u32, u32)> = all().into_iter().map(|entry| (entry.th32ProcessID, entry.th32ParentProcessID)).collect();
    let found = super::below(of.pid, &pairs).into_iter().filter_map(|pid| Process::of(pid).ok()?);
    found.filter(|process| process.identity.started >= of.started).collect()
}

/// A process group of its own: Ctrl-C at our console passes it by, and Ctrl-Break reaches it alone.
pub(super) fn apart(command: &mut Command) {
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
}

/// When it started, 100 ns since 1601, and the processor time that it has used, in 100 ns.
fn times(handle: &Handle) -> io::Result<(u64, u64)> {
    let zero = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    let (mut created, mut ended, mut kernel, mut user) = (zero, zero, zero, zero);
    #[allow(unsafe_code, reason = "GetProcessTimes has no safe binding in std")]
    // SAFETY: the handle is open and the four structures live over the call.
    let told = unsafe { GetProcessTimes(handle.raw(), &raw mut created, &raw mut ended, &raw mut kernel, &raw mut user) };
    if told == 0 {
        return Err(io::Error::last_os_error());
    }
    let number = |time: FILETIME| (u64::from(time.dwHighDateTime) << 32) | u64::from(time.dwLowDateTime);
    Ok((number(created), number(kernel).saturating_add(number(user))))
}

/// All processes of this machine, at most [`MOST`].
fn all() -> Vec<PROCESSENTRY32W> {
    let mut found = Vec::new();
    let mut entry = PROCESSENTRY32W { dwSize: u32::try_from(size_of::<PROCESSENTRY32W>()).unwrap_or(0), ..Default::default() };
    #[allow(unsafe_code, reason = "lists of processes have no safe binding in std")]
    // SAFETY: the snapshot is ours alone and closed by its owner; the structure names its own size and lives over the calls.
    unsafe {
        let raw = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
        if raw == INVALID_HANDLE_VALUE {
            return found;
        }
        let snapshot = OwnedHandle::from_raw_handle(raw.cast());
        let mut more = Process32FirstW(snapshot.as_raw_handle().cast(), &raw mut entry) != 0;
        while more && found.len() < MOST {
            found.push(entry);
            more = Process32NextW(snapshot.as_raw_handle().cast(), &raw mut entry) != 0;
        }
    }
    found
}
