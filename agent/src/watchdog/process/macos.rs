//! Processes on macOS: `proc_pidinfo` tells. There is nothing that names a process for good, so the number is checked just before it is used.
//!
//! Processor time is counted in a unit that differs between machines, and open descriptors are told as an upper bound only: both are absent.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::{Identity, Process, Usage};

/// `pbi_status` of a process that has ended and whose parent has not asked for how (`sys/proc.h`).
const ZOMBIE: u32 = 5;

/// Nothing to hold.
#[derive(Debug)]
pub(super) struct Handle;

pub(super) fn open(pid: u32) -> io::Result<Option<(Handle, u64)>> {
    Ok(started(pid)?.map(|started| (Handle, started)))
}

pub(super) fn has_ended(_handle: &Handle, identity: Identity) -> bool {
    // What cannot be read now is not taken for ended.
    started(identity.pid).is_ok_and(|started| started != Some(identity.started))
}

/// Only its parent is told.
pub(super) fn exit_code(_handle: &Handle) -> Option<i32> {
    None
}

pub(super) fn ask_to_stop(handle: &Handle, identity: Identity) -> io::Result<()> {
    signal(handle, identity, libc::SIGTERM)
}

pub(super) fn kill(handle: &Handle, identity: Identity) -> io::Result<()> {
    signal(handle, identity, libc::SIGKILL)
}

pub(super) fn usage(_handle: &Handle, identity: Identity) -> Usage {
    #[allow(unsafe_code, reason = "libc's structures have no safe constructor")]
    // SAFETY: all of it is numbers, for which zeros are valid.
    let mut task: libc::proc_taskinfo = unsafe { std::mem::zeroed() };
    match information(identity.pid, libc::PROC_PIDTASKINFO, &mut task) {
        Ok(true) => Usage {
            resident_bytes: Some(task.pti_resident_size),
            threads: u64::try_from(task.pti_threadnum).ok(),
            ..Usage::default()
        },
        _ => Usage::default(),
    }
}

pub(super) fn descendants(of: Identity) -> Vec<Process> {
    let mut numbers = vec![0 as libc::pid_t; 16_384];
    let room = libc::c_int::try_from(size_of_val(numbers.as_slice())).unwrap_or(libc::c_int::MAX);
    #[allow(unsafe_code, reason = "proc_listallpids has no safe binding in std")]
    // SAFETY: the buffer has this length and lives over the call.
    let count = unsafe { libc::proc_listallpids(numbers.as_mut_ptr().cast(), room) };
    numbers.truncate(usize::try_from(count).unwrap_or(0));
    let numbers = numbers.into_iter().filter_map(|pid| u32::try_from(pid).ok());
    let all: Vec<(u32, u32)> = numbers.filter_map(|pid| Some((pid, bsd(pid).ok()??.pbi_ppid))).collect();
    super::below(of.pid, &all).into_iter().filter_map(|pid| Process::of(pid).ok()?).collect()
}

/// A process group of its own.
pub(super) fn apart(command: &mut Command) {
    command.process_group(0);
}

fn started(pid: u32) -> io::Result<Option<u64>> {
    let Some(bsd) = bsd(pid)? else { return Ok(None) };
    Ok(Some(bsd.pbi_start_tvsec.wrapping_mul(1_000_000).wrapping_add(bsd.pbi_start_tvusec)))
}

fn bsd(pid: u32) -> io::Result<Option<libc::proc_bsdinfo>> {
    #[allow(unsafe_code, reason = "libc's structures have no safe constructor")]
    // SAFETY: all of it is numbers, for which zeros are valid.
    let mut bsd: libc::proc_bsdinfo = unsafe { std::mem::zeroed() };
    let there = information(pid, libc::PROC_PIDTBSDINFO, &mut bsd)?;
    Ok((there && bsd.pbi_status != ZOMBIE).then_some(bsd))
}

/// Fills a structure of numbers; false if there is no such process.
fn information<T>(pid: u32, kind: libc::c_int, into: &mut T) -> io::Result<bool> {
    let number = libc::c_int::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let size = libc::c_int::try_from(size_of::<T>()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    #[allow(unsafe_code, reason = "proc_pidinfo has no safe binding in std")]
    // SAFETY: the structure has this size and lives over the call; it is one of those that the OS fills with numbers.
    let filled = unsafe { libc::proc_pidinfo(number, kind, 0, std::ptr::from_mut(into).cast(), size) };
    if filled == size {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(false) } else { Err(error) }
}

fn signal(handle: &Handle, identity: Identity, signal: i32) -> io::Result<()> {
    let number = libc::pid_t::try_from(identity.pid).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    if has_ended(handle, identity) {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    #[allow(unsafe_code, reason = "signals have no safe binding in std")]
    // SAFETY: numbers only.
    let sent = unsafe { libc::kill(number, signal) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
