//! Starting the agent: it lies beside this program and outlives it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use waybill_ipc::client::Deadlines;
use waybill_ipc::protocol::ClientKind;
use waybill_ipc::{Client, ClientError, Endpoint};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::Instance;

use crate::text;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;

/// How long [`start_if_absent`] waits for the agent that it has started.
const UP: Duration = Duration::from_secs(20);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long [`start_if_absent`] waits for an agent that may be there.
const PROBE: Duration = Duration::from_secs(3);

/// Resolves with the exit code when the started process ends; `None` if a signal ended it.
pub type Exited = oneshot::Receiver<Option<i32>>;

/// Starts the agent. A trait, so that the controller is tested without processes.
pub trait Launcher: Send + 'static {
    /// Starts it and returns at once.
    ///
    /// # Errors
    /// What a person is told if there is nothing to start.
    fn launch(&mut self) -> Result<Exited, ErrorReport>;

    /// What a person is told when it ended right after the start.
    fn ended(&self, code: Option<i32>) -> ErrorReport;

    /// What a person is told when it runs and does not answer.
    fn silent(&self, waited: Duration) -> ErrorReport;
}

/// The program `waybill-agent` with the options of one instance.
#[derive(Debug, Clone)]
pub struct AgentProgram {
    arguments: Vec<OsString>,
    logs: PathBuf,
}

impl AgentProgram {
    /// The agent of an instance.
    #[must_use]
    pub fn new(instance: &Instance) -> Self {
        let mut arguments = instance.arguments();
        arguments.push("run".into());
        Self { arguments, logs: instance.logs() }
    }

    /// Starts it and waits until it `answers`, ends, or takes long.
    fn start(&self, answers: impl Fn() -> bool) -> Result<(), ErrorReport> {
        let mut child = self.spawn()?;
        let end = Instant::now() + UP;
        while Instant::now() < end && !answers() {
            match child.try_wait() {
                // Another one came first, which is as good.
                Ok(Some(status)) if status.code() == Some(i32::from(Exit::AlreadyRunning as u8)) => return Ok(()),
                Ok(Some(status)) => return Err(self.ended(status.code())),
                _ => std::thread::sleep(LOOK),
            }
        }
        Ok(())
    }

    fn spawn(&self) -> Result<Child, ErrorReport> {
        let here = std::env::current_exe().map_err(|error| {
            ErrorReport::new(Code::AgentNotRunning, text::start_no_own_path(&error)).with_fix(text::REINSTALL)
        })?;
        let program = beside(&here);
        if !program.is_file() {
            return Err(ErrorReport::new(Code::AgentNotRunning, text::start_missing(&program)).with_fix(text::REINSTALL));
        }
        let mut command = Command::new(&program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        platform::spawn_detached(&mut command).map_err(|error| {
            ErrorReport::new(Code::AgentNotRunning, text::start_refused(&program, &error)).with_fix(text::START_REFUSED_FIX)
        })
    }
}

impl Launcher for AgentProgram {
    fn launch(&mut self) -> Result<Exited, ErrorReport> {
        let mut child = self.spawn()?;
        let (exited_in, exited) = oneshot::channel();
        // Waits as long as the agent lives, at most as long as the window does: it collects the exit code, and a child that
        // nobody waits for would stay in the process table as a zombie.
        let waiting = std::thread::Builder::new().name("agent-exit".to_owned()).spawn(move || {
            let code = child.wait().ok().and_then(|status| status.code());
            // The window may have closed meanwhile.
            let _nobody = exited_in.send(code);
        });
        if let Err(error) = waiting {
            // The agent runs; only its exit goes unnoticed, and the deadline for its answer covers that.
            tracing::warn!(event = "agent_unwatched", %error, "the agent's exit cannot be watched");
        }
        Ok(exited)
    }

    fn ended(&self, code: Option<i32>) -> ErrorReport {
        let is = |exit: Exit| code == Some(i32::from(exit as u8));
        if is(Exit::Configuration) {
            return ErrorReport::new(Code::ConfigInvalid, text::START_ENDED_CONFIGURATION)
                .with_fix(text::run_in_terminal(&self.arguments));
        }
        if is(Exit::AlreadyRunning) {
            return ErrorReport::new(Code::AlreadyRunning, text::START_ENDED_RUNNING).with_fix(text::START_ENDED_RUNNING_FIX);
        }
        ErrorReport::new(Code::AgentNotRunning, text::start_ended(code)).with_fix(text::look_at_log(&self.logs))
    }

    fn silent(&self, waited: Duration) -> ErrorReport {
        ErrorReport::new(Code::PeerTimeout, text::start_silent(waited)).with_fix(text::look_at_log(&self.logs))
    }
}

/// Starts the agent unless one answers: what autostart does. Waits until it answers, ends, or takes long, which is no fault.
///
/// # Errors
/// What a person is told: there is nothing to start, it has ended at once, or somebody answers who may not be asked.
pub fn start_if_absent(instance: &Instance) -> Result<(), ErrorReport> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ErrorReport::new(Code::Internal, error.to_string()))?;
    let deadlines = Deadlines { connect: PROBE, ..Deadlines::default() };
    let probe = || runtime.block_on(Client::connect_any(&Endpoint::of(instance), ClientKind::Window, deadlines)).map(drop);
    let result = match probe() {
        Ok(()) => Ok(()),
        Err(ClientError::NotRunning(_)) => AgentProgram::new(instance).start(|| probe().is_ok()),
        Err(other) => Err(other.report()),
    };
    // A probe that hangs in the OS may not delay the log-in.
    runtime.shutdown_background();
    result
}

/// The agent's program in the folder of `program`.
fn beside(program: &Path) -> PathBuf {
    program.with_file_name(format!("waybill-agent{}", std::env::consts::EXE_SUFFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> AgentProgram {
        AgentProgram { arguments: vec!["--instance".into(), "two".into(), "run".into()], logs: PathBuf::from("/data/logs") }
    }

    #[test]
    fn the_agent_is_looked_for_beside_the_window() {
        let found = beside(Path::new("/opt/waybill/waybill"));
        assert_eq!(found.parent(), Some(Path::new("/opt/waybill")));
        assert!(found.to_string_lossy().contains("waybill-agent"));
    }

    #[test]
    fn a_missing_agent_is_an_error_that_says_what_to_do() {
        // The test program lies in `deps/`, where no agent is.
        let error = program().launch().unwrap_err();
        assert_eq!(error.code, Code::AgentNotRunning);
        assert!(error.message.contains("waybill-agent"));
        assert_eq!(error.fix, text::REINSTALL);
    }

    #[test]
    fn an_early_end_is_told_by_its_cause() {
        let configuration = program().ended(Some(5));
        assert_eq!(configuration.code, Code::ConfigInvalid);
        assert!(configuration.fix.contains("`waybill-agent --instance two run`"));
        assert_eq!(program().ended(Some(4)).code, Code::AlreadyRunning);
        let crashed = program().ended(None);
        assert_eq!(crashed.code, Code::AgentNotRunning);
        assert!(crashed.fix.contains("/data/logs"));
    }
}
