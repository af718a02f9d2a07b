//! Processes and sockets where Unix differs; the same signatures as in `windows.rs`.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpSocket;

use crate::stranger::Met;

/// There is no Wine here.
pub(crate) fn is_wine() -> bool {
    false
}

/// Lets a port be bound again at once after its last owner closed it, in spite of connections that still die.
pub(crate) fn allow_rebind(socket: &TcpSocket) -> io::Result<()> {
    socket.set_reuseaddr(true)
}

/// Asks a process to stop, as a service manager does.
pub(crate) fn terminate(pid: u32) -> io::Result<()> {
    signal(pid, libc::SIGTERM)
}

/// Asks a process to stop, as a person at its terminal does.
pub(crate) fn interrupt(pid: u32) -> io::Result<()> {
    signal(pid, libc::SIGINT)
}

/// Freezes a process where it stands.
pub(crate) fn suspend(pid: u32) -> io::Result<()> {
    signal(pid, libc::SIGSTOP)
}

/// Lets a frozen process go on.
pub(crate) fn resume(pid: u32) -> io::Result<()> {
    signal(pid, libc::SIGCONT)
}

/// Memory of a process that is in RAM: now, and at most so far. Only where `/proc` tells.
pub(crate) fn resident_bytes(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |key: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    Some((kib("VmRSS:")? * 1024, kib("VmHWM:")? * 1024))
}

/// Open descriptors of a process. Only where `/proc` tells.
pub(crate) fn open_descriptors(pid: u32) -> Option<usize> {
    Some(std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// Processor time of a process so far, of all its threads. Only where `/proc` tells.
pub(crate) fn cpu_time(pid: u32) -> Option<std::time::Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything; fields 14 and 15 are user and system time in ticks.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    // Linux shows user space 100 ticks a second on every architecture.
    Some(std::time::Duration::from_millis(ticks * 10))
}

fn signal(pid: u32, signal: i32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    #[allow(unsafe_code, reason = "kill has no safe binding in std")]
    // SAFETY: kill takes two numbers and touches no memory of this process. The caller owns the child and has not reaped
    // it, so the number still names it.
    let result = unsafe { libc::kill(pid, signal) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Connects as another user, from a process that does nothing else. `None` unless this process is root.
#[allow(unsafe_code, reason = "what happens between fork and exec has no safe binding in std")]
pub(crate) fn knock(user: u32, socket: &Path, said: &[u8]) -> Option<Met> {
    let (address, said) = (address(socket), said.to_vec());
    let mut command = somebody_else("true", user)?;
    // Between fork and exec only system calls, on what was made before; the process ends there.
    let visit = move || -> io::Result<()> {
        // SAFETY: all pointers are to live values of this closure, with their own lengths; `_exit` does not return.
        unsafe {
            let fd = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
            let patience = libc::timeval { tv_sec: 30, tv_usec: 0 };
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const patience).cast(), length_of(&patience));
            if libc::connect(fd, (&raw const address).cast(), length_of(&address)) != 0 {
                libc::_exit(10);
            }
            libc::send(fd, said.as_ptr().cast(), said.len(), libc::MSG_NOSIGNAL);
            let mut answer = [0_u8; 64];
            let heard = libc::recv(fd, answer.as_mut_ptr().cast(), answer.len(), 0);
            libc::_exit(match heard {
                0 => 11,
                1.. => 12,
                _ if io::Error::last_os_error().raw_os_error() == Some(libc::ECONNRESET) => 11,
                _ => 13,
            })
        }
    };
    // SAFETY: the closure keeps to what may be done between fork and exec.
    unsafe { command.pre_exec(visit) };
    let mut child = command.spawn().expect("a process of another user");
    let status = crate::process::exit_within(&mut child, Duration::from_secs(40)).expect("it ends");
    Some(match status.code() {
        Some(10) => Met::NoWay,
        Some(11) => Met::Closed,
        Some(12) => Met::Answered,
        Some(13) => Met::Silence,
        other => panic!("the stranger ended with {other:?}"),
    })
}

/// A process of another user that listens at a path until it is killed. `None` unless this process is root.
#[allow(unsafe_code, reason = "what happens between fork and exec has no safe binding in std")]
pub(crate) fn squat(user: u32, socket: &Path) -> Option<Child> {
    let address = address(socket);
    let mut command = somebody_else("cat", user)?;
    command.stdin(Stdio::piped());
    let listen = move || -> io::Result<()> {
        // SAFETY: all pointers are to live values of this closure, with their own lengths. The socket stays open after exec.
        let listens = unsafe {
            let fd = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
            libc::bind(fd, (&raw const address).cast(), length_of(&address)) == 0 && libc::listen(fd, 16) == 0
        };
        if listens { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: the closure makes three system calls, which may be done between fork and exec.
    unsafe { command.pre_exec(listen) };
    // It listens when `spawn` returns: that waits for the exec.
    Some(command.spawn().expect("a process of another user that listens"))
}

/// A command that runs as somebody else.
fn somebody_else(program: &str, user: u32) -> Option<Command> {
    #[allow(unsafe_code, reason = "geteuid has no safe binding in std")]
    // SAFETY: geteuid takes nothing, always succeeds and touches no memory of ours.
    let own = unsafe { libc::geteuid() };
    if own != 0 {
        return None;
    }
    let mut command = Command::new(program);
    command.uid(user).gid(user).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Some(command)
}

fn address(socket: &Path) -> libc::sockaddr_un {
    #[allow(unsafe_code, reason = "libc's structures have no safe constructor")]
    // SAFETY: all of it is numbers, for which zeros are valid.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).expect("a small number");
    let path = socket.as_os_str().as_bytes();
    assert!(path.len() < address.sun_path.len(), "{} is too long for a socket", socket.display());
    for (there, byte) in address.sun_path.iter_mut().zip(path) {
        *there = libc::c_char::from_ne_bytes([*byte]);
    }
    address
}

fn length_of<T>(value: &T) -> libc::socklen_t {
    libc::socklen_t::try_from(size_of_val(value)).expect("a small number")
}
