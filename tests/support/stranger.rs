//! Another user of the OS: before the agent's door, and in the agent's place. Only root can be somebody else, and only on Unix.

use std::path::Path;
use std::process::Child;

use crate::platform;

/// The user whom nothing belongs to.
pub const STRANGER: u32 = 65_534;

/// What a stranger who knocked met with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// The OS let no connection through.
    NoWay,
    /// Somebody took the connection, and closed it without a word.
    Closed,
    /// Somebody answered.
    Answered,
    /// Nothing within 30 s.
    Silence,
}

/// Connects as another user and says something. `None` where this process cannot be somebody else.
///
/// # Panics
/// If there is no process for it.
#[must_use]
pub fn knock(socket: &Path, said: &[u8]) -> Option<Met> {
    platform::knock(STRANGER, socket, said)
}

/// A process of another user that listens where an agent should. It ends with this.
#[derive(Debug)]
pub struct Squatter(Child);

impl Squatter {
    /// Listens; the folder must let the stranger in. `None` where this process cannot be somebody else.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn at(socket: &Path) -> Option<Self> {
        platform::squat(STRANGER, socket).map(Self)
    }
}

impl Drop for Squatter {
    fn drop(&mut self) {
        crate::process::kill(&mut self.0);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    #[test]
    fn a_stranger_tells_an_open_door_from_a_silent_and_from_a_closed_one() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("door");
        let door = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let open = |mode| {
            for path in [folder.path(), &socket] {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
        };
        open(0o700);
        let Some(met) = knock(&socket, b"hello") else {
            println!("not root: nobody else can knock");
            return;
        };
        assert_eq!(met, Met::NoWay);
        open(0o777);
        for (answer, expected) in [(b"".as_slice(), Met::Closed), (b"come in", Met::Answered)] {
            let met = std::thread::scope(|scope| {
                scope.spawn(|| door.accept().unwrap().0.write_all(answer).unwrap());
                knock(&socket, b"hello")
            });
            assert_eq!(met, Some(expected));
        }
        let squatted = folder.path().join("squatted");
        let _squatter = Squatter::at(&squatted).unwrap();
        assert_eq!(std::fs::metadata(&squatted).unwrap().uid(), STRANGER);
        assert!(std::os::unix::net::UnixStream::connect(&squatted).is_ok());
    }
}
