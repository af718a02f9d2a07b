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
