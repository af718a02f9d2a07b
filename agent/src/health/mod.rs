//! How well the agent is: checks that ask the real thing, and a registry that answers in time whatever hangs.
//!
//! Each check ([`checks`]) is asked at its own interval on a task of its own ([`slot`]), within its own deadline. The [`registry`] owns
//! the tasks and puts the last answers together. Calls that may block (disks, shares) run on a thread of their target
//! ([`checks::blocking`]), never on the runtime's.
//!
//! # Invariants
//! - A report is there at its deadline, with what is known by then; what has not answered is named.
//! - Nothing is healthy that did not say so: what was not measured is absent, what has not answered is unknown, what stays silent over its
//!   deadline is unhealthy.
//! - One check runs at most once at a time, and one target has at most one thread, however long it hangs.
//! - *Live* depends on the main loop's beats ([`heartbeat`]) and on nothing else, so that no dependency restarts the agent.
//!
//! # What survives a crash
//! Nothing, and nothing is written down: health is asked for, not remembered.

pub mod checks;
pub mod heartbeat;
pub mod registry;
mod slot;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waybill_ipc::protocol::HealthState;
use waybill_shared::error::{Code, ErrorReport};

pub use checks::blocking::Threads;
pub use heartbeat::{Heartbeat, STALL_LIMIT};
pub use registry::Registry;

/// How often a check is asked unless it says otherwise.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// How long a check may take unless it says otherwise; less than [`ANSWER_WITHIN`], so that a report names what hung as such.
pub const TIMEOUT: Duration = Duration::from_secs(4);
/// How long a report may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// How well it is.
    pub state: HealthState,
    /// What was found, as a sentence for a person.
    pub message: String,
    /// What is wrong and what to do.
    pub error: Option<ErrorReport>,
    /// What was measured, by name; the name ends in the unit.
    pub values: Vec<(String, String)>,
    /// Whether it does its work at all, which can be so while it is not well: a destination that takes reports and refused one.
    pub usable: bool,
}

impl Finding {
    /// It is well.
    #[must_use]
    pub fn healthy(message: impl Into<String>) -> Self {
        Self { state: HealthState::Healthy, message: message.into(), error: None, values: Vec::new(), usable: true }
    }

    /// It could not be measured.
    #[must_use]
    pub fn unknown(message: impl Into<String>) -> Self {
        Self { state: HealthState::Unknown, usable: false, ..Self::healthy(message) }
    }

    /// It works, and a person should look at it.
    #[must_use]
    pub fn degraded(message: impl Into<String>) -> Self {
        Self { state: HealthState::Degraded, ..Self::healthy(message) }
    }

    /// It does not work.
    #[must_use]
    pub fn unhealthy(error: ErrorReport) -> Self {
        let message = error.message.clone();
        Self { state: HealthState::Unhealthy, usable: false, error: Some(error), ..Self::healthy(message) }
    }

    /// With what is wrong and what to do.
    #[must_use]
    pub fn because(mut self, error: ErrorReport) -> Self {
        self.error = Some(error);
        self
    }

    /// With something that was measured.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.values.push((name.to_owned(), value.to_string()));
        self
    }
}

/// What was asked is still busy with an earlier question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAnswer;

/// A check that runs. Dropping it gives it up.
pub type Running = Pin<Box<dyn Future<Output = Result<Finding, NoAnswer>> + Send>>;

/// What a check means for being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Must be usable.
    Setup,
    /// Must be usable.
    Store,
    /// One of these must be usable.
    Destination,
    /// Nothing, unless it is critical.
    Other,
}

/// Something to ask again and again.
pub struct Check {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) code: Code,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) critical: bool,
    pub(super) failures: u32,
    pub(super) cheap: bool,
    pub(super) run: Arc<dyn Fn() -> Running + Send + Sync>,
}

impl Check {
    /// A check that is not critical, asked every [`INTERVAL`] within [`TIMEOUT`], unhealthy at the first failure.
    pub fn new<R>(name: impl Into<String>, run: impl Fn() -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Result<Finding, NoAnswer>> + Send + 'static,
    {
        Self {
            name: name.into(),
            role: Role::Other,
            code: Code::Internal,
            interval: INTERVAL,
            timeout: TIMEOUT,
            critical: false,
            failures: 1,
            cheap: false,
            run: Arc::new(move || Box::pin(run())),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it means for being ready.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// The code of its silence.
    #[must_use]
    pub fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// How long after an answer it is asked again.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// It costs little and is asked for every report, unless it has just answered: no report is behind what can be seen.
    #[must_use]
    pub fn cheap(mut self) -> Self {
        self.cheap = true;
        self
    }

    /// The agent as a whole is unhealthy if this is.
    #[must_use]
    pub fn critical(mut self) -> Self {
        self.critical = true;
        self
    }

    /// It is unhealthy only after so many failures one after the other (at least one), and degraded before.
    #[must_use]
    pub fn failures(mut self, failures: u32) -> Self {
        self.failures = failures.max(1);
        self
    }
}

/// The time of day, and a clock that only goes forward. Tests steer it.
#[derive(Clone)]
pub struct Clock {
    now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    running_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Clock {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        let start = Instant::now();
        Self {
            now_ms: Arc::new(|| Timestamp::now().as_millisecond()),
            running_ms: Arc::new(move || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Milliseconds since 1970 UTC.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        (self.now_ms)()
    }

    /// Milliseconds since some moment; never less than before.
    #[must_use]
    pub fn running_ms(&self) -> u64 {
        (self.running_ms)()
    }
}

/// A moment as people read it.
pub(super) fn moment(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(at) => format!("{at:.0}"),
        Err(_) => format!("{ms} ms after 1970"),
    }
}

/// An age as people read it.
pub(super) fn age(ms: i64) -> String {
    match ms / 1000 {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
