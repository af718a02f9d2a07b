//! Whether an agent starts by itself when its user logs in.

use serde::{Deserialize, Serialize};

/// How things stand with autostart, as it was found where the OS keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutostartState {
    /// This very agent is started.
    Enabled,
    /// The same agent is started from another place: the installation was moved.
    Moved,
    /// Something else is started under our name: another program, or another instance.
    Other,
    /// There is an entry, and somebody has switched it off by the means of the OS.
    SwitchedOff,
    /// There is no entry.
    Absent,
    /// The agent belongs to the machine: the service manager starts it.
    ByService,
}

impl AutostartState {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Moved => "moved",
            Self::Other => "other",
            Self::SwitchedOff => "switched_off",
            Self::Absent => "absent",
            Self::ByService => "by_service",
        }
    }
}

/// An answer about autostart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutostartStatus {
    /// How things stand.
    pub state: AutostartState,
    /// Where the OS keeps it: a file, a value of the registry, the name of a service.
    pub place: String,
    /// What is started, as a command line; none if nothing is, or if the entry names nothing.
    pub starts: Option<String>,
    /// What else a person should know, a sentence each.
    pub notes: Vec<String>,
}
