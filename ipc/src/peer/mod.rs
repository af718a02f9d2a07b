//! Who is at the other end of a connection.
//!
//! Both sides ask the OS, and neither believes what the other says of itself. The agent lets its own user and the administrator in, and
//! members of the group `waybill` if it is the machine's. A client talks to an agent of its own user, or, at the machine's endpoint, to
//! one that the administrator has put there. What cannot be found out is refused.

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
pub(crate) use platform::{current_user, group_id, user_named};

/// The group whose members may use the machine's agent.
pub const GROUP: &str = "waybill";

/// The proof that the other end may talk to us. There is no way to make one but
/// [`check_peer`](crate::transport::check_peer) and the in-process one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Process id, where the OS tells it.
    pub pid: Option<u32>,
    /// Who it is, in words: its name, else `user 1000`.
    pub user: String,
    /// True for our own user, and for the administrator, who could become it; else it is a member of the machine agent's group.
    pub is_owner: bool,
    _proof: Checked,
}

/// Private, so that no other crate can write down a [`Peer`].
#[derive(Debug, Clone, PartialEq, Eq)]
struct Checked;

impl Peer {
    /// The peer of a connection within this process.
    #[must_use]
    pub fn in_process() -> Self {
        Self { pid: Some(std::process::id()), user: "this process".to_owned(), is_owner: true, _proof: Checked }
    }
}

/// The user of this process in words, as a [`Peer`] has it.
#[must_use]
pub fn this_user() -> String {
    platform::this_user()
}

/// Why the other end may not talk to us.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The OS does not say who it is.
    #[error("the OS does not say who is at the other end: {0}")]
    Unknown(#[from] io::Error),
    /// Another user.
    #[error("{found} is at the other end, only {expected} may be")]
    OtherUser {
        /// Who it is.
        found: String,
        /// Who may.
        expected: String,
    },
    /// Another user in the agent's place.
    #[error("{found} answers at {place}, where only an agent of {expected} may")]
    OtherAgent {
        /// Where.
        place: String,
        /// Who it is.
        found: String,
        /// Who may.
        expected: String,
    },
    /// A member of the group is expected, and whether this is one cannot be told.
    #[error("whether {found} is a member of the group {GROUP:?} cannot be found out: {error}")]
    Membership {
        /// Who it is.
        found: String,
        /// What the OS says.
        error: io::Error,
    },
    /// Somebody else could have put the endpoint where it is.
    #[error("{0}")]
    Place(String),
}

/// Whom one end expects at the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Our own user or the administrator, and members of this group if there is one.
    Client {
        /// Its number.
        group: Option<u32>,
    },
    /// Our own user.
    OwnAgent {
        /// Where the endpoint is.
        place: String,
        /// Why the endpoint's place is not to be trusted, if it is not.
        fault: Option<String>,
    },
    /// Our own user or the administrator, or whom the administrator gave the endpoint's folder.
    #[cfg_attr(windows, allow(dead_code, reason = "pipes have no folders"))]
    MachineAgent {
        /// Where the endpoint is.
        place: String,
        /// The owner of the endpoint's folder, or why it is not to be trusted.
        folder: Result<u32, String>,
    },
}

pub(crate) fn check(credentials: io::Result<PeerCreds>, expected: &Expected) -> Result<Peer, Refused> {
    let credentials = credentials?;
    let platform::Known { pid, user, is_owner } = platform::check(&credentials, expected)?;
    Ok(Peer { pid, user, is_owner, _proof: Checked })
}
