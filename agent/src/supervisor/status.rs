//! One line of the list of everything that runs.

use std::time::Duration;

use jiff::Timestamp;
use waybill_ipc::protocol::{TaskRow, TaskState};

/// How something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It runs and has got no further for so long.
    Stalled(Duration),
    /// It failed and is started again.
    Restarting,
    /// It failed too often.
    Failed,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Whether the agent cannot do without it.
    pub critical: bool,
    /// Whether it is a thread.
    pub thread: bool,
    /// How it is.
    pub state: State,
    /// Since when it is so.
    pub since: Timestamp,
    /// How often it was started again.
    pub restarts: u32,
    /// Why it failed last.
    pub cause: Option<String>,
}

impl From<Status> for TaskRow {
    fn from(status: Status) -> Self {
        let state = match status.state {
            State::Running => TaskState::Running,
            State::Stalled(_) => TaskState::Stalled,
            State::Restarting => TaskState::Restarting,
            State::Failed => TaskState::Failed,
        };
        Self {
            name: status.name,
            thread: status.thread,
            critical: status.critical,
            state,
            since_ms: status.since.as_millisecond(),
            restarts: status.restarts,
            cause: status.cause,
        }
    }
}
