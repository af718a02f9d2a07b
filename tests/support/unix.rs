//! Processes and sockets where Unix differs; the same signatures as in `windows.rs`.

use std::io;

use tokio::net::TcpSocket;

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
