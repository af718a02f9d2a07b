//! The agent as a service of the OS: systemd, launchd, the service manager of Windows.
//!
//! Owns one entry with the service manager for an instance, made from a template in `assets/service`. What is asked for is done step by step,
//! and each step is told with what came of it. After one that failed nothing more is tried, and nothing is taken back: what is there is
//! what [`status`] says, and doing the same again goes on from there. Every question to a service manager has a deadline.

#[cfg(all(unix, not(target_os = "macos")))]
mod systemd;
#[cfg(all(unix, not(target_os = "macos")))]
mod unit;
#[cfg(all(unix, not(target_os = "macos")))]
use systemd as os;

#[cfg(target_os = "macos")]
pub(super) mod launchd;
#[cfg(all(test, not(target_os = "macos")))]
#[path = "launchd/plist.rs"]
mod plist;
#[cfg(target_os = "macos")]
use launchd as os;

#[cfg(windows)]
mod scm;
#[cfg(windows)]
use scm as os;

use std::time::Duration;

use serde::Serialize;
use waybill_ipc::protocol::AutostartState;
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::lock;
use waybill_shared::paths::Instance;

use super::{autostart, start};
use crate::shutdown::{StopAsked, StopRequests};

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done now.
    Done,
    /// It was so already.
    Unchanged,
    /// It was tried in vain.
    Failed,
    /// It was not tried, because one before it failed.
    NotTried,
}

impl Outcome {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::NotTried => "not tried",
        }
    }
}

/// One step of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it does.
    pub step: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// Where, or why not.
    pub detail: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// Name of the service.
    pub service: String,
    /// In the order in which they were tried.
    pub steps: Vec<Step>,
    /// What else a person should know, a sentence each.
    pub notes: Vec<String>,
    /// What went wrong, and what to do.
    pub error: Option<ErrorReport>,
}

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// It runs.
    Running,
    /// It is being started.
    Starting,
    /// It is being stopped.
    Stopping,
    /// It does not run, and nothing is wrong with that.
    Stopped,
    /// It ended with an error, or could not be started.
    Failed,
    /// The service manager does not know it.
    NotInstalled,
}

impl ServiceState {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::NotInstalled => "not installed",
        }
    }
}

/// What the service manager says of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceStatus {
    /// Its name there.
    pub service: String,
    /// Which service manager.
    pub manager: &'static str,
    /// How it is.
    pub state: ServiceState,
    /// Since when, milliseconds since 1970 UTC; absent if that is not told.
    pub since_ms: Option<i64>,
    /// Its process, if it has one.
    pub pid: Option<u32>,
    /// Whether it starts with the machine, or with the log-in of its user; absent if that is not told.
    pub starts_by_itself: Option<bool>,
    /// Where it is described.
    pub place: Option<String>,
    /// What else a person should know, a sentence each.
    pub notes: Vec<String>,
}

/// The name of an instance's service.
#[must_use]
pub fn name_of(instance: &Instance) -> String {
    os::service_name(&start::name_of("waybill-agent", instance))
}

/// How much longer the service manager is waited for than it waits for the agent.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// Makes an instance a service: described, known to the service manager, started by itself and, unless `start` is false, now. `longest_stop`:
/// how long its agent may take to stop; the service manager is told so.
///
/// # Errors
/// `ServiceManagerMissing`. What goes wrong later stands in [`Done::error`].
pub fn install(instance: &Instance, start: bool, longest_stop: Duration) -> Result<Done, ErrorReport> {
    let mut done = os::install(instance, start, longest_stop)?;
    if autostart::status(instance).is_ok_and(|status| status.state == AutostartState::Enabled) {
        done.notes.push("It also starts when you log in (`waybill-agent autostart status`): one of the two is enough".to_owned());
    }
    Ok(done)
}

/// Stops the service and takes it away. What is not there is no error. `longest_stop`: how long its agent may take to stop.
///
/// # Errors
/// `ServiceManagerMissing`. What goes wrong later stands in [`Done::error`].
pub fn uninstall(instance: &Instance, longest_stop: Duration) -> Result<Done, ErrorReport> {
    os::uninstall(instance, longest_stop + STOP_MARGIN)
}

/// Starts the service and waits until it serves.
///
/// # Errors
/// `ServiceManagerMissing`. What goes wrong later stands in [`Done::error`].
pub fn start(instance: &Instance) -> Result<Done, ErrorReport> {
    os::start(instance)
}

/// Stops the service and waits until it has. `longest_stop`: how long its agent may take.
///
/// # Errors
/// `ServiceManagerMissing`. What goes wrong later stands in [`Done::error`].
pub fn stop(instance: &Instance, longest_stop: Duration) -> Result<Done, ErrorReport> {
    os::stop(instance, longest_stop + STOP_MARGIN)
}

/// Asks the service manager.
///
/// # Errors
/// `ServiceManagerMissing`, `ServiceFailed`.
pub fn status(instance: &Instance) -> Result<ServiceStatus, ErrorReport> {
    os::status(instance)
}

/// What a service manager that talks to its services by calls has for one of them.
pub struct Session {
    /// Where its wish to stop goes.
    pub stop: StopRequests,
    /// Tells of it.
    pub asked: StopAsked,
    /// To be called once, when the agent serves.
    pub ready: Box<dyn FnOnce() + Send>,
}

/// Runs as the service that a service manager has started; returns when it has ended.
///
/// # Errors
/// `ServiceManagerMissing`: no service manager has started this process, or this one runs plain programs.
pub fn run(instance: &Instance, body: impl FnOnce(Session) -> Exit + Send + 'static) -> Result<Exit, ErrorReport> {
    os::run(instance, Box::new(body))
}

/// Steps on their way.
struct Steps(Done);

/// What a step says of itself.
type Stepped = Result<(Outcome, String), ErrorReport>;

impl Steps {
    fn of(service: String) -> Self {
        Self(Done { service, steps: Vec::new(), notes: Vec::new(), error: None })
    }

    /// One step; only noted if one before it failed.
    fn step(&mut self, step: &'static str, work: impl FnOnce() -> Stepped) -> &mut Self {
        let (outcome, detail) = if self.0.error.is_some() {
            (Outcome::NotTried, String::new())
        } else {
            work().unwrap_or_else(|error| {
                let why = error.message.clone();
                self.0.error = Some(error);
                (Outcome::Failed, why)
            })
        };
        self.0.steps.push(Step { step, outcome, detail });
        self
    }

    fn note(&mut self, note: impl Into<String>) {
        self.0.notes.push(note.into());
    }

    fn is_well(&self) -> bool {
        self.0.error.is_none()
    }

    fn done(self) -> Done {
        self.0
    }
}

fn failed(message: impl AsRef<str>) -> ErrorReport {
    ErrorReport::new(Code::ServiceFailed, message)
}

fn not_installed(service: &str) -> ErrorReport {
    failed(format!("the service {service} is not installed")).with_fix("Install it: `waybill-agent service install`")
}

/// Refuses to start a service whose agent would find its place taken.
fn nobody_else_runs(instance: &Instance) -> Result<(), ErrorReport> {
    match lock::holder(&instance.lock()) {
        None => Ok(()),
        Some(holder) => Err(failed(format!("an agent of this instance runs already, and not as the service: {holder}"))
            .with_fix("Stop it with `waybill-agent stop`, then `waybill-agent service start`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_step_that_failed_nothing_more_is_tried_and_all_is_told() {
        let mut steps = Steps::of("x".to_owned());
        steps.step("one", || Ok((Outcome::Done, "here".to_owned())));
        steps.step("two", || Err(failed("no")));
        steps.step("three", || panic!("it is not tried"));
        let done = steps.done();
        let outcomes: Vec<Outcome> = done.steps.iter().map(|step| step.outcome).collect();
        assert_eq!(outcomes, [Outcome::Done, Outcome::Failed, Outcome::NotTried]);
        assert_eq!((done.steps[1].detail.as_str(), done.error.unwrap().code), ("no", Code::ServiceFailed));
    }
}
