//! Unix credentials of the socket.

use interprocess::local_socket::PeerCreds;

use super::Refused;

/// The effective user id of this process.
pub(crate) fn current_user() -> u32 {
    #[allow(unsafe_code, reason = "geteuid has no safe binding in std")]
    // SAFETY: geteuid takes nothing, always succeeds and touches no memory of ours.
    unsafe {
        libc::geteuid()
    }
}

/// The same user, or root, who could become that user anyway.
pub(super) fn check(credentials: &PeerCreds) -> Result<Option<u32>, Refused> {
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
    let expected = current_user();
    match credentials.euid() {
        Some(found) if found == expected || found == 0 => Ok(pid),
        found => Err(Refused::OtherUser {
            found: found.map_or_else(|| "unknown".to_owned(), |uid| uid.to_string()),
            expected: expected.to_string(),
        }),
    }
}
