//! Processes on Linux: `/proc` tells, a pidfd names a process for good (Linux 5.3; before that the number is checked just before it is used).

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::{Identity, Process, Usage};

/// A pidfd, if there are such.
#[derive(Debug)]
pub(super) struct Handle(Option<OwnedFd>);

pub(super) fn open(pid: u32) -> io::Result<Option<(Handle, u64)>> {
    let handle = match pidfd(pid) {
        Ok(fd) => Handle(Some(fd)),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(_) => Handle(None),
    };
    let Some(stat) = Stat::of(pid)? else { return Ok(None) };
    // The descriptor came first: if its process still lives, what was read is about it.
    let ended = has_ended(&handle, Identity { pid, started: stat.started });
    Ok((!ended).then_some((handle, stat.started)))
}

pub(super) fn has_ended(handle: &Handle, identity: Identity) -> bool {
    let Some(fd) = &handle.0 else {
        // What cannot be read now is not taken for ended.
        return Stat::of(identity.pid).is_ok_and(|stat| stat.is_none_or(|stat| stat.started != identity.started));
    };
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    #[allow(unsafe_code, reason = "poll has no safe binding in std")]
    // SAFETY: one structure that lives over the call; it does not wait.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready == 1 && poll.revents & libc::POLLIN != 0
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
    let Ok(Some(stat)) = Stat::of(identity.pid) else { return Usage::default() };
    if stat.started != identity.started {
        return Usage::default();
    }
    let descriptors = fs::read_dir(format!("/proc/{}/fd", identity.pid)).ok().map(|entries| entries.count() as u64);
    // The kernel counts pages roughly; of a process that is just being born or dying it says 0.
    let pages = Some(stat.resident_pages).filter(|pages| *pages > 0);
    Usage {
        resident_bytes: setting(libc::_SC_PAGESIZE).and_then(|page| pages?.checked_mul(page)),
        cpu_ms: setting(libc::_SC_CLK_TCK).and_then(|ticks| stat.cpu_ticks.checked_mul(1000)?.checked_div(ticks)),
        threads: Some(stat.threads),
        descriptors,
    }
}

pub(super) fn descendants(of: Identity) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let all: Vec<(u32, u32)> = numbers.filter_map(|pid| Some((pid, Stat::of(pid).ok()??.parent))).collect();
    super::below(of.pid, &all).into_iter().filter_map(|pid| Process::of(pid).ok()?).collect()
}

/// A process group of its own.
pub(super) fn apart(command: &mut Command) {
    command.process_group(0);
}

fn signal(handle: &Handle, identity: Identity, signal: i32) -> io::Result<()> {
    let number = libc::pid_t::try_from(identity.pid).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    if has_ended(handle, identity) {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    #[allow(unsafe_code, reason = "signals have no safe binding in std")]
    // SAFETY: numbers only, and a null pointer that the call takes for "as kill does"; the descriptor lives over the call.
    let sent = unsafe {
        match &handle.0 {
            Some(fd) => {
                libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
            }
            None => libc::c_long::from(libc::kill(number, signal)),
        }
    };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    let number = libc::pid_t::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    #[allow(unsafe_code, reason = "pidfd_open has no safe binding in std")]
    // SAFETY: numbers only; what is given back is a new descriptor that nobody else owns (closed at exec by itself).
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, number, 0);
        match i32::try_from(fd) {
            Ok(fd @ 0..) => Ok(OwnedFd::from_raw_fd(fd)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn setting(name: i32) -> Option<u64> {
    #[allow(unsafe_code, reason = "sysconf has no safe binding in std")]
    // SAFETY: a number in, a number out.
    let value = unsafe { libc::sysconf(name) };
    u64::try_from(value).ok().filter(|value| *value > 0)
}

/// What `/proc/PID/stat` says of a process that lives; proc(5) numbers the fields from 1.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    cpu_ticks: u64,
    threads: u64,
    started: u64,
    resident_pages: u64,
}

impl Stat {
    /// None if there is no such process, or it has ended and nobody asked for how.
    fn of(pid: u32) -> io::Result<Option<Self>> {
        match fs::read(format!("/proc/{pid}/stat")) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                Self::parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat")))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The outer option is whether it could be read, the inner one whether it lives.
    #[allow(clippy::option_option, reason = "private, and each has its own meaning")]
    fn parse(text: &str) -> Option<Option<Self>> {
        // The name stands in parentheses and may hold anything, parentheses included.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        if matches!(field(3)?, "Z" | "X" | "x") {
            return Some(None);
        }
        let number = |at: usize| field(at)?.parse::<u64>().ok();
        Some(Some(Self {
            parent: u32::try_from(number(4)?).ok()?,
            cpu_ticks: number(14)?.checked_add(number(15)?)?,
            threads: number(20)?,
            started: number(22)?,
            resident_pages: number(24)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "4242 (a) (b c) S 17 4242 4242 0 -1 4194560 900 0 0 0 31 12 0 0 20 0 9 0 987654 1000000 2500 18446744073709551615 1 1 0";

    #[test]
    fn the_line_of_a_process_is_read_whatever_its_name() {
        let wanted = Stat { parent: 17, cpu_ticks: 43, threads: 9, started: 987_654, resident_pages: 2500 };
        assert_eq!(Stat::parse(LINE), Some(Some(wanted)));
        assert_eq!(Stat::parse(&LINE.replace(" S 17", " Z 17")), Some(None), "it has ended");
        assert_eq!(Stat::parse("4242 (a"), None);
    }

    #[test]
    fn a_process_is_ended_with_all_that_it_started() {
        // A shell that is replaced by nothing, with a child of its own.
        let mut shell = Command::new("sh").args(["-c", "sleep 600 & wait"]).spawn().unwrap();
        let process = Process::of(shell.id()).unwrap().unwrap();
        let children = || descendants(process.identity());
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while children().is_empty() {
            assert!(std::time::Instant::now() < end, "no child");
            std::thread::yield_now();
        }
        let child = children().pop().unwrap();
        process.kill_tree().unwrap();
        shell.wait().unwrap();
        while !child.has_ended() {
            assert!(std::time::Instant::now() < end, "the child goes on");
            std::thread::yield_now();
        }
        assert!(process.has_ended() && process.usage() == Usage::default());
        assert!(process.kill_tree().is_err(), "nobody else gets its signal");
    }
}
