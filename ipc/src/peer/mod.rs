//! Who is at the other end of a connection.

use std::io;

use interprocess::local_socket::PeerCreds;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;

#[cfg(unix)]
pub(crate) use platform::current_user;

/// The proof that the other end may talk to us. There is no way to make one but
/// [`check_peer`](crate::transport::check_peer) and the in-process one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Process id, where the OS tells it.
    pub pid: Option<u32>,
    _proof: Checked,
}

/// Private, so that no other crate can write down a [`Peer`].
#[derive(Debug, Clone, PartialEq, Eq)]
struct Checked;

impl Peer {
    /// The peer of a connection within this process.
    #[must_use]
    pub fn in_process() -> Self {
        Self { pid: Some(std::process::id()), _proof: Checked }
    }
}

/// Why the other end may not talk to us.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The OS does not say who it is.
    #[error("the OS does not say who is at the other end: {0}")]
    Unknown(#[from] io::Error),
    /// Another user.
    #[error("user {found} is at the other end, only user {expected} may be")]
    OtherUser {
        /// Who it is.
        found: String,
        /// Who may.
        expected: String,
    },
}

pub(crate) fn check(credentials: io::Result<PeerCreds>) -> Result<Peer, Refused> {
    let credentials = credentials?;
    let pid = platform::check(&credentials)?;
    Ok(Peer { pid, _proof: Checked })
}
