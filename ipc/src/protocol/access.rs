//! Who may do what: the roles, and how things stand for a connection.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What somebody may do. Each role may do everything that a lower one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything, changes nothing.
    Viewer,
    /// Keeps the work going: retry, pause, resume.
    Operator,
    /// Changes the configuration, secrets and the PIN.
    Engineer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Engineer => "engineer",
        })
    }
}

/// How things stand for the connection that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessStatus {
    /// The role of this connection.
    pub role: Role,
    /// Whether a PIN guards the engineer role; also true if the PIN's file is there and cannot be used.
    pub pin_set: bool,
    /// Until when the PIN lifts this connection if it asks for nothing more, milliseconds since 1970 UTC; absent if it does not.
    pub elevated_until_ms: Option<i64>,
    /// The role of the agent's own user while a PIN is set and not given.
    pub without_pin: Role,
    /// Until when no PIN is accepted after too many wrong ones, milliseconds since 1970 UTC.
    pub locked_until_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_named() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Engineer);
        assert_eq!(
            [Role::Viewer, Role::Operator, Role::Engineer].map(|role| role.to_string()),
            ["viewer", "operator", "engineer"]
        );
    }
}
