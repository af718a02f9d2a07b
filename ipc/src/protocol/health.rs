//! How well the agent is: what each check found, and what follows from all of them. What was not measured is absent.

use serde::{Deserialize, Serialize};
use waybill_shared::error::ErrorReport;

/// How well something is, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// It was asked and is well.
    Healthy,
    /// It was not measured, or has not answered yet. Nobody may take it for well; anything that is known to be wrong says more.
    Unknown,
    /// It works, with something that a person should look at.
    Degraded,
    /// It does not work.
    Unhealthy,
}

impl HealthState {
    /// The worst of all: unhealthy before degraded before unknown before healthy. Of nothing, unknown.
    #[must_use]
    pub fn worst_of(states: impl IntoIterator<Item = Self>) -> Self {
        states.into_iter().max().unwrap_or(Self::Unknown)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl std::fmt::Display for HealthState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a task or thread of the agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It runs.
    Running,
    /// It has work to do and gets no further.
    Stalled,
    /// It failed and is started again.
    Restarting,
    /// It failed too often and is left as it is.
    Failed,
}

impl TaskState {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stalled => "STALLED",
            Self::Restarting => "restarting",
            Self::Failed => "FAILED",
        }
    }
}

/// A task or thread that should run as long as the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    /// Its name.
    pub name: String,
    /// Whether it is a thread, which cannot be cancelled.
    pub thread: bool,
    /// Whether the agent cannot do without it.
    pub critical: bool,
    /// How it is.
    pub state: TaskState,
    /// Since when it runs, or is as it is, milliseconds since 1970 UTC.
    pub since_ms: i64,
    /// How often it was started again.
    pub restarts: u32,
    /// Why it failed last, if it ever did.
    pub cause: Option<String>,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// What is checked: `store`, `disk`, `source ict`, `destination main`, `tasks`, `setup`, `main loop`.
    pub name: String,
    /// How well it is.
    pub state: HealthState,
    /// What was found, as a sentence for a person.
    pub message: String,
    /// What is wrong and what to do, if something is.
    pub error: Option<ErrorReport>,
    /// Whether the agent as a whole is unhealthy if this is.
    pub critical: bool,
    /// When it last answered, milliseconds since 1970 UTC; none if it never did.
    pub checked_at_ms: Option<i64>,
    /// How long the answer took; none if there was none.
    pub took_ms: Option<u64>,
    /// Since when it is in this state, milliseconds since 1970 UTC, as far as that is known.
    pub since_ms: Option<i64>,
    /// What was measured, by name; the name ends in the unit.
    pub values: Vec<(String, String)>,
}

impl CheckResult {
    /// What the check adds to the state of the whole: what is not critical makes it degraded at most.
    #[must_use]
    pub fn weight(&self) -> HealthState {
        if self.critical { self.state } else { self.state.min(HealthState::Degraded) }
    }
}

/// How well the agent is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthReport {
    /// The worst of what the checks add ([`CheckResult::weight`]).
    pub state: HealthState,
    /// False only if the agent's main loop makes no progress.
    pub live: bool,
    /// True if reports can be taken, stored and delivered: it is set up and live, the store can be written, at least one destination
    /// can be used, and nothing critical is unhealthy.
    pub ready: bool,
    /// Each check, in the order in which they were registered; the main loop first.
    pub checks: Vec<CheckResult>,
    /// When the report was made, milliseconds since 1970 UTC.
    pub at_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::HealthState::{Degraded, Healthy, Unhealthy, Unknown};
    use super::*;

    #[test]
    fn the_worst_counts_and_nothing_measured_is_not_well() {
        assert_eq!(HealthState::worst_of([]), Unknown);
        assert_eq!(HealthState::worst_of([Healthy, Healthy]), Healthy);
        assert_eq!(HealthState::worst_of([Healthy, Unknown]), Unknown);
        assert_eq!(HealthState::worst_of([Unknown, Degraded, Healthy]), Degraded);
        assert_eq!(HealthState::worst_of([Unhealthy, Degraded, Unknown]), Unhealthy);
    }
}
