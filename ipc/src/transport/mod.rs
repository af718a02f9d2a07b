//! The local socket or named pipe of the OS.
//!
//! A [`Stream`] knows whom its end expects at the other; [`check_peer`] asks the OS and gives the proof. A [`Listener`] looks after its
//! name: when somebody removes the socket (a cleaner of temporary files, the end of a login session), it listens anew within seconds.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use interprocess::local_socket::tokio::{Stream as OsStream, prelude::*};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use crate::endpoint::Endpoint;
use crate::peer::{Expected, Peer, Refused};

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;

pub(crate) use platform::{first_usable, places};

/// How long a process that answers under our name may take to be gone: one that was killed lets go of its lock and of its
/// socket in any order.
const LEAVING: Duration = Duration::from_secs(1);
/// Between two looks whether a listener's name is still there.
const LOOK: Duration = Duration::from_secs(2);

/// A stream of bytes between two processes of this machine.
#[derive(Debug)]
pub struct Stream {
    os: OsStream,
    expected: Expected,
    /// The other end has not taken what was written last.
    blocked: bool,
}

/// Listens at an endpoint. Dropping it frees the name.
pub struct Listener {
    endpoint: Endpoint,
    // A lock because the listener is shared by whoever accepts; held for a few instructions, and for a new bind.
    state: Mutex<State>,
}

struct State {
    bound: Arc<platform::Bound>,
    next_look: Instant,
    // What was said last of a name that is lost, so that it is said once.
    told: Option<String>,
}

impl Listener {
    /// Listens at the first of the endpoint's places that can be used. The caller holds the instance's lock, so what is left under the
    /// name belongs to nobody; should somebody answer there all the same (the data folder was deleted under a running agent), the
    /// name is not taken away. Within a runtime; waits up to a second for an agent that is just ending.
    ///
    /// # Errors
    /// Any I/O error; `AddrInUse` if somebody answers under the name; `PermissionDenied`, with what to do, for a folder of somebody else
    /// or one that others could write to.
    pub fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        let bound = Arc::new(platform::bind(endpoint, LEAVING)?);
        let state = State { bound, next_look: Instant::now() + LOOK, told: None };
        Ok(Self { endpoint: endpoint.clone(), state: Mutex::new(state) })
    }

    /// Where it listens now: a path, or the name of a pipe.
    #[must_use]
    pub fn name(&self) -> String {
        self.lock().bound.name().to_owned()
    }

    /// The next connection. Nothing is lost if this is dropped while it waits.
    ///
    /// # Errors
    /// Any I/O error; being out of descriptors is one, and the caller goes on.
    pub async fn accept(&self) -> io::Result<Stream> {
        loop {
            let (bound, next_look) = {
                let state = self.lock();
                (Arc::clone(&state.bound), state.next_look)
            };
            tokio::select! {
                accepted = bound.listener().accept() => {
                    return accepted.map(|os| Stream { os, expected: bound.clients(), blocked: false });
                }
                () = sleep_until(next_look) => self.look_after_the_name(&bound),
            }
        }
    }

    fn look_after_the_name(&self, bound: &platform::Bound) {
        let found = if bound.is_there() { None } else { Some(platform::bind(&self.endpoint, Duration::ZERO)) };
        let mut state = self.lock();
        state.next_look = Instant::now() + LOOK;
        match found {
            None => state.told = None,
            Some(Ok(again)) => {
                tracing::warn!(
                    event = "endpoint_restored",
                    lost = bound.name(),
                    endpoint = again.name(),
                    "somebody removed the socket; clients are answered again"
                );
                (state.bound, state.told) = (Arc::new(again), None);
            }
            Some(Err(error)) => {
                let why = error.to_string();
                if state.told.as_ref() != Some(&why) {
                    tracing::error!(
                        event = "endpoint_lost",
                        endpoint = bound.name(),
                        reason = why,
                        "somebody removed the socket: nobody can connect; trying on, and the work goes on"
                    );
                    state.told = Some(why);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to an endpoint: to the first of its places where somebody listens. As long as a crowd waits before the door, this waits
/// too: the caller sets the bound. Who answers is for [`check_peer`] to find out.
///
/// # Errors
/// `NotFound` or `ConnectionRefused` if nobody listens anywhere; `PermissionDenied`, in words, if the OS does not let this user in; any
/// other I/O error.
pub async fn connect(endpoint: &Endpoint) -> io::Result<Stream> {
    let (os, expected) = platform::connect(endpoint).await?;
    Ok(Stream { os, expected, blocked: false })
}

/// Who is at the other end, as the OS tells it, if it is somebody whom this end talks to.
///
/// # Errors
/// [`Refused`] if it is another user, the endpoint lies where somebody else could have put it, or the OS does not say.
pub fn check_peer(stream: &Stream) -> Result<Peer, Refused> {
    crate::peer::check(stream.os.peer_creds(), &stream.expected)
}

impl Drop for Stream {
    fn drop(&mut self) {
        platform::closes(&self.os, self.blocked);
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.os).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.os).poll_write(context, bytes);
        self.blocked = written.is_pending();
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.os).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.os).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.os).poll_write_vectored(context, slices);
        self.blocked = written.is_pending();
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.os.is_write_vectored()
    }
}
