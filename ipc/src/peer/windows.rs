//! On Windows the pipe's access list lets only the owner and the system in: whoever got a connection was checked by the OS.

use interprocess::local_socket::PeerCreds;

use super::Refused;

pub(super) fn check(credentials: &PeerCreds) -> Result<Option<u32>, Refused> {
    Ok(credentials.pid())
}
