//! The agent as the watchdog sees it: started or taken over, asked, stopped, killed, measured.

use std::process::{Child, Command, ExitStatus, Stdio};

use waybill_ipc::Endpoint;
use waybill_ipc::client::{Client, ClientError, Deadlines};
use waybill_ipc::protocol::{AgentState, ClientKind};
use waybill_shared::fs::lock;
use waybill_shared::paths::Instance;

use super::Options;
use super::machine::Ended;
use super::process::{self, Identity, Process, Usage};
use super::record::Watched;
use crate::agent::is_agent;
use crate::platform::notify;

/// What a question came to.
pub(super) enum Answer {
    /// It answers.
    Alive {
        /// Its number: as the OS tells it, else as it says itself.
        pid: u32,
        /// How it is.
        state: AgentState,
    },
    /// Nobody listens, or nobody who may be asked.
    NoDoor(String),
    /// Somebody listens and does not answer.
    Silent(String),
}

/// What a start came to.
pub(super) struct Started {
    /// In words.
    pub(super) story: String,
    /// False if one that ran already was taken over.
    pub(super) anew: bool,
}

/// Why a start came to nothing.
pub(super) struct NotStarted {
    /// In words.
    pub(super) why: String,
    /// How it ended, if one was started and ended before it could be looked at.
    pub(super) ended: Ended,
}

impl From<String> for NotStarted {
    fn from(why: String) -> Self {
        Self { why, ended: Ended::NotStarted }
    }
}

/// The agent, or the lack of one.
pub(super) struct Agent<'a> {
    instance: &'a Instance,
    options: Options,
    /// Whom a watchdog before looked after.
    remembered: Option<Identity>,
    running: Option<Running>,
}

struct Running {
    process: Process,
    /// None if it was taken over.
    child: Option<Child>,
}

impl<'a> Agent<'a> {
    pub(super) fn new(instance: &'a Instance, options: Options, remembered: Option<Identity>) -> Self {
        Self { instance, options, remembered, running: None }
    }

    /// Takes over the one that runs, else starts one; in words what was done.
    ///
    /// # Errors
    /// In words why there is none.
    pub(super) async fn start(&mut self) -> Result<Started, NotStarted> {
        let held_by = || lock::holder(&self.instance.lock());
        match self.ask().await {
            Answer::Alive { pid, .. } => match Process::of(pid) {
                Ok(Some(process)) => return Ok(self.take_over(process)),
                found => {
                    let why = found.err().map_or_else(String::new, |error| format!(": {error}"));
                    return Err(format!(
                        "an agent of this instance answers, but its process {pid} is not to be found here{why}; it may run in a container"
                    ).into());
                }
            },
            // It hangs, or is on its way up: it is known from the watchdog before.
            Answer::NoDoor(_) | Answer::Silent(_) if held_by().is_some() && self.known().is_some() => {
                if let Some(process) = self.known() {
                    return Ok(self.take_over(process));
                }
            }
            Answer::Silent(why) => {
                let who = held_by().unwrap_or_else(|| "somebody".to_owned());
                return Err(format!(
                    "an agent of this instance runs and does not answer ({why}); this watchdog has never seen it answer, so it ends no process for it: end it by hand ({who})"
                ).into());
            }
            Answer::NoDoor(_) => {}
        }
        self.spawn()
    }

    fn known(&self) -> Option<Process> {
        Process::known(self.remembered?).ok()?
    }

    fn take_over(&mut self, process: Process) -> Started {
        let pid = process.identity().pid;
        tracing::info!(event = "agent_taken_over", pid, "an agent of this instance runs already: it is looked after");
        self.running = Some(Running { process, child: None });
        Started { story: format!("the agent (process {pid}) ran already and was taken over"), anew: false }
    }

    fn spawn(&mut self) -> Result<Started, NotStarted> {
        let program = &self.options.program;
        let mut command = Command::new(program);
        // It belongs to the same instance as we do.
        command.args(self.instance.arguments()).args(&self.options.arguments).stdin(Stdio::null());
        // Who looks after the watchdog looks after the watchdog alone.
        for name in notify::VARIABLES {
            command.env_remove(name);
        }
        process::apart(&mut command);
        let mut child = command.spawn().map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        let pid = child.id();
        match Process::of(pid) {
            Ok(Some(process)) => {
                tracing::info!(event = "agent_started", pid, program = %program.display(), "the agent was started");
                self.running = Some(Running { process, child: Some(child) });
                Ok(Started { story: format!("the agent was started (process {pid})"), anew: true })
            }
            // It was over before it could be looked at: it ended as any other.
            Ok(None) => {
                let status = child.wait().map_err(|error| format!("the agent cannot be waited for: {error}"))?;
                Err(NotStarted { why: how(status), ended: status.code().map_or(Ended::Crashed, Ended::Code) })
            }
            // What cannot be looked at is not left alone.
            Err(error) => {
                let _ended_already = child.kill();
                let status = child.wait().map_or_else(|error| error.to_string(), how);
                Err(format!("the agent (process {pid}) cannot be looked at, and was ended: {status} ({error})").into())
            }
        }
    }

    /// Asks how it is, within the time for an answer. No store is touched on the way.
    pub(super) async fn ask(&self) -> Answer {
        let limit = self.options.timeout;
        let asked = async {
            let client = self.connect().await?;
            let pid = client.agent_pid().unwrap_or(client.agent().pid);
            Ok::<_, ClientError>((pid, client.brief().await?.state))
        };
        let answer = tokio::time::timeout(limit, asked).await.unwrap_or(Err(ClientError::Timeout(limit)));
        match answer {
            Ok((pid, state)) => match &self.running {
                Some(running) if running.process.identity().pid != pid => {
                    Answer::NoDoor(format!("another process ({pid}) answers in the agent's place"))
                }
                _ => Answer::Alive { pid, state },
            },
            Err(error @ (ClientError::NotRunning(_) | ClientError::Untrusted { .. })) => Answer::NoDoor(error.to_string()),
            Err(error) => match (&error, &self.running) {
                // To be turned away is an answer.
                (ClientError::Refused(_), Some(running)) => {
                    Answer::Alive { pid: running.process.identity().pid, state: AgentState::Running }
                }
                _ => Answer::Silent(error.to_string()),
            },
        }
    }

    async fn connect(&self) -> Result<Client, ClientError> {
        let limit = self.options.timeout;
        let deadlines = Deadlines { connect: limit, request: limit, write: limit, ..Deadlines::default() };
        Client::connect_any(&Endpoint::of(self.instance), ClientKind::Watchdog, deadlines).await
    }

    /// Asks it to stop: by its door, or, if that does not help, by the OS. `hurry`: it has been asked before, and is to cancel what it still
    /// waits for; else one that stops already is left alone.
    pub(super) async fn ask_to_stop(&self, hurry: bool) {
        let Some(running) = &self.running else { return };
        let pid = running.process.identity().pid;
        let limit = self.options.timeout;
        let asked = async {
            let client = self.connect().await?;
            if client.agent_pid().unwrap_or(client.agent().pid) != pid {
                return Err(ClientError::Broken("another process answers".to_owned()));
            }
            let stops = client.brief().await?.state == AgentState::Stopping;
            if !stops {
                client.stop().await?;
            }
            // Asked a second time, it hurries. The first time may have been cut short on its way.
            if hurry { client.stop().await } else { Ok(()) }
        };
        let asked = tokio::time::timeout(limit, asked).await.unwrap_or(Err(ClientError::Timeout(limit)));
        let Err(error) = asked else {
            tracing::info!(event = "agent_asked_to_stop", pid, hurry, way = "door", "the agent was asked to stop");
            return;
        };
        match running.process.ask_to_stop() {
            Ok(()) => {
                tracing::info!(event = "agent_asked_to_stop", pid, hurry, way = "signal", reason = %error, "the agent was asked to stop")
            }
            Err(refused) => {
                tracing::warn!(event = "agent_not_asked_to_stop", pid, reason = %error, signal = %refused, "the agent cannot be asked to stop");
            }
        }
    }

    /// Ends it, and all that it started.
    pub(super) fn kill(&self) {
        let Some(running) = &self.running else { return };
        let pid = running.process.identity().pid;
        match running.process.kill_tree() {
            Ok(()) => tracing::error!(event = "agent_killed", pid, "the agent did not stop in time and was killed"),
            Err(error) => tracing::error!(event = "agent_not_killed", pid, %error, "the agent could not be killed"),
        }
    }

    /// How it ended, if it has: for the machine, and in words.
    pub(super) fn ended(&mut self) -> Option<(Ended, String)> {
        let running = self.running.as_mut()?;
        if let Some(child) = &mut running.child {
            return match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some((status.code().map_or(Ended::Crashed, Ended::Code), how(status))),
                Err(error) => Some((Ended::Crashed, format!("the agent cannot be waited for: {error}"))),
            };
        }
        if !running.process.has_ended() {
            return None;
        }
        let code = running.process.exit_code();
        Some(match code {
            Some(code) => (Ended::Code(code), format!("the agent ended with exit code {code}")),
            // One that ends in order lets its lock go; whoever waits for that (`stop`) may hold it for a moment.
            None if lock::not_let_go_by(&self.instance.lock()).is_some_and(|owner| is_agent(&owner)) => {
                (Ended::Crashed, "the agent was killed, or crashed".to_owned())
            }
            None => (Ended::InOrder, "the agent ended in order".to_owned()),
        })
    }

    /// False while there is none.
    pub(super) fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// It is none of ours any more.
    pub(super) fn forget(&mut self) {
        self.running = None;
        self.remembered = None;
    }

    /// What it uses now, if it runs and the OS tells anything.
    pub(super) fn usage(&self) -> Option<Usage> {
        let usage = self.running.as_ref()?.process.usage();
        (usage != Usage::default()).then_some(usage)
    }

    pub(super) fn watched(&self) -> Option<Watched> {
        let running = self.running.as_ref()?;
        Some(Watched { process: running.process.identity(), taken_over: running.child.is_none() })
    }
}

/// How a process ended, in words.
fn how(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("the agent ended with exit code {code}"),
        None => format!("the agent was ended: {status}"),
    }
}
