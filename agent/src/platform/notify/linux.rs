//! systemd's socket: a path, or an abstract name that is written with a leading `@`.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// A socket of ours, and the address of theirs. It is named at each datagram, so that a manager that begins anew is reached as well.
pub(super) struct Socket {
    own: UnixDatagram,
    to: SocketAddr,
}

pub(super) fn open(name: &OsStr) -> io::Result<Socket> {
    let to = match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "it is neither a path nor an abstract name")),
    };
    let own = UnixDatagram::unbound()?;
    // A manager that reads nothing holds nobody up.
    own.set_nonblocking(true)?;
    Ok(Socket { own, to })
}

pub(super) fn send(socket: &Socket, datagram: &[u8]) -> io::Result<()> {
    let sent = socket.own.send_to_addr(datagram, &socket.to)?;
    if sent == datagram.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
