//! The local socket or named pipe of the OS.

use std::io;

use interprocess::local_socket::tokio::{Listener as OsListener, Stream as OsStream, prelude::*};

use crate::endpoint::Endpoint;
use crate::peer::{Peer, Refused};

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;

pub(crate) use platform::endpoint_name;

/// A stream of bytes between two processes of this machine.
pub type Stream = OsStream;

/// Listens under an endpoint's name. Dropping it frees the name.
pub struct Listener(OsListener);

impl Listener {
    /// Listens. The caller holds the instance's lock, so what is left under the name belongs to nobody; should somebody answer
    /// there all the same (the data folder was deleted under a running agent), the name is not taken away.
    ///
    /// # Errors
    /// Any I/O error; `AddrInUse` if somebody answers under the name; `PermissionDenied` for a folder that others could write to.
    pub fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        platform::bind(endpoint.name()).map(Self)
    }

    /// The next connection.
    ///
    /// # Errors
    /// Any I/O error; being out of descriptors is one, and the caller goes on.
    pub async fn accept(&self) -> io::Result<Stream> {
        self.0.accept().await
    }
}

/// Connects to an endpoint. As long as a crowd waits before the door, this waits too: the caller sets the bound.
///
/// # Errors
/// `NotFound` or `ConnectionRefused` if nobody listens; any other I/O error.
pub async fn connect(endpoint: &Endpoint) -> io::Result<Stream> {
    platform::connect(endpoint.name()).await
}

/// Who is at the other end, as the OS tells it.
///
/// # Errors
/// [`Refused`] if it is another user, or the OS does not say.
pub fn check_peer(stream: &Stream) -> Result<Peer, Refused> {
    crate::peer::check(stream.peer_creds())
}
