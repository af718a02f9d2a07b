//! Secrets on their way into the agent. None ever comes out of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret in a request; it does not show itself in `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that stores or compares it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// A secret that the configuration needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRow {
    /// Its name: `destination.main.token`.
    pub name: String,
    /// Whether there is one.
    pub set: bool,
    /// Where it is, or where it was looked for.
    pub place: String,
    /// False if it comes from the environment or a file of its own: it cannot be changed here then.
    pub changeable: bool,
}
