//! On Windows the pipe's access list lets only the owner and the system in: whoever got a connection was checked by the OS.

use interprocess::local_socket::PeerCreds;

use super::{Expected, Refused};

/// What the OS says of a peer that may talk to us.
pub(super) struct Known {
    pub(super) pid: Option<u32>,
    pub(super) user: String,
    pub(super) is_owner: bool,
}

pub(super) fn check(credentials: &PeerCreds, expected: &Expected) -> Result<Known, Refused> {
    let user = match expected {
        Expected::Client { .. } => "the agent's user",
        Expected::OwnAgent { .. } | Expected::MachineAgent { .. } => "the agent",
    };
    Ok(Known { pid: credentials.pid(), user: user.to_owned(), is_owner: true })
}

/// The user of this process, in words.
pub(super) fn this_user() -> String {
    let name = std::env::var("USERNAME").unwrap_or_default();
    if name.is_empty() { "the agent's user".to_owned() } else { waybill_shared::text::printable(&name, 64) }
}
