//! Processes and sockets where Windows differs; the same signatures as in `unix.rs`.

use std::io;

use tokio::net::TcpSocket;

/// True under Wine, which brings a program that Windows does not have.
pub(crate) fn is_wine() -> bool {
    std::path::Path::new(r"C:\windows\system32\winecfg.exe").exists()
}

/// Windows lets a port be bound again at once; its `SO_REUSEADDR` would let two programs share it.
pub(crate) fn allow_rebind(_socket: &TcpSocket) -> io::Result<()> {
    Ok(())
}

/// Windows has no such signal for a process without a console of its own.
pub(crate) fn terminate(_pid: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Windows has no such signal for a process without a console of its own.
pub(crate) fn interrupt(_pid: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Windows freezes threads, not processes.
pub(crate) fn suspend(_pid: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Windows freezes threads, not processes.
pub(crate) fn resume(_pid: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not measured here.
pub(crate) fn resident_bytes(_pid: u32) -> Option<(u64, u64)> {
    None
}

/// Not measured here.
pub(crate) fn open_descriptors(_pid: u32) -> Option<usize> {
    None
}

/// Not measured here.
pub(crate) fn cpu_time(_pid: u32) -> Option<std::time::Duration> {
    None
}

/// Nobody can be somebody else without a password here.
pub(crate) fn knock(_user: u32, _socket: &std::path::Path, _said: &[u8]) -> Option<crate::stranger::Met> {
    None
}

/// Nobody can be somebody else without a password here.
pub(crate) fn squat(_user: u32, _socket: &std::path::Path) -> Option<std::process::Child> {
    None
}
