//! The watchdog: a small process of its own that starts the agent, asks it again and again how it is, and starts it anew when it hangs or crashes.
//!
//! [`machine`] decides, this module does, [`process`] knows the OS, [`record`] is what is left for others to read.
//!
//! What it owns: `watchdog.lock`, `watchdog.json`, `logs/watchdog.log`, and the agent's process for as long as that runs. It opens no store
//! and never holds the agent's lock.
//!
//! # Invariants
//! - An agent is well if it *answers* a request that touches no store, over the same door that everybody uses. A process that is there, or a
//!   file that names it, says nothing.
//! - A signal goes only to a process whose number *and* start are those of the agent, by a handle where the OS has such.
//! - Whatever runs already is taken over; two agents are never started for one instance.
//! - Nothing that it does for the agent waits without a bound, and a disk that hangs does not hold it up: files are written by threads.
//! - What was not measured is absent.
//! - A full disk is no end: an agent that cannot use its store is tried again for as long as it takes.
//!
//! # What survives a crash
//! If the watchdog is killed, the agent goes on. The next watchdog takes it over, also if it hangs: `watchdog.json` says which process it is.

mod agent;
pub mod machine;
pub mod process;
pub mod record;
mod telling;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waybill_ipc::protocol::AgentState;
use waybill_shared::config::Log;
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::lock::{self, Lock, LockError};
use waybill_shared::fs::private;
use waybill_shared::paths::Instance;
use waybill_shared::text;

use self::agent::{Agent, Answer, NotStarted, Started};
use self::machine::{Ended, Limits, Machine, Phase, Probed, Step};
use self::record::{FORMAT, Record, Restart, Sample, State};
use crate::agent::longest_stop;
use crate::desk::Desk;
use crate::log::LogGuard;
use crate::platform::StopSignals;
use crate::platform::notify::Notify;

/// Name of the log file.
pub const LOG: &str = "watchdog.log";
/// How soon the end of the agent's process is noticed.
const LOOK: Duration = Duration::from_millis(250);
/// Measurements that are kept.
const SAMPLES: usize = 20;
/// Restarts that are kept.
const RESTARTS: usize = 10;
/// Longest wait for a record to be written; then the disk hangs, and the next one is written when it can.
const WRITE: Duration = Duration::from_secs(5);
/// Longest wait for something else that lies on a disk: the configuration, how much room there is.
const READ: Duration = Duration::from_secs(2);
/// An agent that has not answered by then is told of as one that is waited for.
const SOON: Duration = Duration::from_secs(1);
/// How much more time a service manager is asked for while the agent stops, and how often.
const MORE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(5));

/// What is watched, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// How patient it is.
    pub limits: Limits,
    /// How long an agent may take to stop, if somebody has said so; else it is what its configuration says at that moment, in the place of
    /// [`Limits::stopping`].
    pub stopping: Option<Duration>,
    /// Longest time for an answer.
    pub timeout: Duration,
    /// How often measurements are written down while nothing happens.
    pub write_every: Duration,
    /// The agent's program.
    pub program: PathBuf,
    /// What the agent is told to do: `run`.
    pub arguments: Vec<OsString>,
    /// Says something to whoever sits at the terminal.
    pub tell: fn(&str),
}

/// Watches until the agent was told to stop, the watchdog itself was, or there is nothing to be done any more.
///
/// # Errors
/// A watchdog of this instance runs already; the data folder cannot be used; it gave up; the agent ended in a way that a restart does not mend.
pub async fn run(instance: &Instance, options: Options) -> Result<Exit, ErrorReport> {
    let Limits { pause, longest_pause, .. } = options.limits;
    let mut pause = pause;
    let (_lock, _log) = loop {
        match take_place(instance) {
            Ok(taken) => break taken,
            // Nobody looks after the station else, and it may have room again in a minute.
            Err((error, true)) => {
                (options.tell)(&format!("{}; the watchdog waits until there is room", error.message));
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(longest_pause);
            }
            Err((error, false)) => return Err(error),
        }
    };
    let signals =
        StopSignals::listen().map_err(|error| ErrorReport::new(Code::Internal, format!("signals cannot be heard: {error}")))?;
    let watching = Watching::new(instance, options)?;
    watching.run(signals).await
}

/// The lock and the log; or why there is none, and whether that is for want of room on the disk.
fn take_place(instance: &Instance) -> Result<(Lock, LogGuard), (ErrorReport, bool)> {
    let unusable = |path: &std::path::Path, error: &std::io::Error| {
        let full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        (ErrorReport::new(Code::DataFolderUnavailable, format!("{}: {error}", text::path(path))), full)
    };
    private::create_folder(&instance.data).map_err(|error| unusable(&instance.data, &error))?;
    let owner = format!("watchdog process {} (instance {}, since {})", std::process::id(), instance.name, Timestamp::now());
    let lock = Lock::acquire(&instance.watchdog_lock(), &owner).map_err(|error| match error {
        LockError::Held { holder, .. } => {
            let message = format!("a watchdog for the data folder {} runs already: {holder}", text::path(&instance.data));
            (ErrorReport::new(Code::WatchdogRunning, message), false)
        }
        LockError::Io { source, .. } => unusable(&instance.watchdog_lock(), &source),
    })?;
    let log = crate::log::start_as(&instance.logs(), LOG, &Log::default()).map_err(|error| unusable(&instance.logs(), &error))?;
    Ok((lock, log))
}

/// One watchdog at work.
struct Watching<'a> {
    instance: &'a Instance,
    options: Options,
    machine: Machine,
    agent: Agent<'a>,
    started: Instant,
    /// What happened last, for whoever reads the record.
    story: String,
    record: Record,
    /// When the record was written last, and what was in it that decides.
    written: Option<(Instant, Face)>,
    /// True if it could not be.
    unwritten: bool,
    /// Starts after the end of an agent before.
    restarts: usize,
    /// Why the next start is such a one.
    again: Option<String>,
    /// Since when the disk or the store cannot be used, and how many starts were in vain.
    no_store: Option<(Timestamp, u32)>,
    /// What the terminal was told last.
    told: String,
    samples: VecDeque<Sample>,
    sampled: Option<Instant>,
    desk: Desk,
    manager: Notify,
    /// The last sign of life, and when more time was asked for or none was needed.
    manager_told: Instant,
    manager_asked: Instant,
}

/// What of a record is written down at once when it changes.
type Face = (State, u32, Option<record::Watched>, usize);

impl<'a> Watching<'a> {
    fn new(instance: &'a Instance, options: Options) -> Result<Self, ErrorReport> {
        let before = record::read(&instance.watchdog_record());
        let now = Timestamp::now().as_millisecond();
        let remembered = before.and_then(|record| record.agent).map(|agent| agent.process);
        let record = Record {
            format: FORMAT,
            state: State::Starting,
            since_ms: now,
            message: String::new(),
            written_at_ms: now,
            watchdog: record::Watchdog {
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started_at_ms: now,
            },
            agent: None,
            unanswered: 0,
            restarts: Vec::new(),
            samples: Vec::new(),
        };
        tracing::info!(
            event = "watchdog_starting",
            version = env!("CARGO_PKG_VERSION"),
            instance = instance.name,
            data = %instance.data.display(),
            program = %options.program.display(),
            interval_secs = options.limits.interval.as_secs(),
            timeout_secs = options.timeout.as_secs(),
            failures = options.limits.failures,
            "the agent is watched"
        );
        Ok(Self {
            agent: Agent::new(instance, options.clone(), remembered),
            instance,
            machine: Machine::new(options.limits, Duration::ZERO),
            options,
            started: Instant::now(),
            story: "the agent is being started".to_owned(),
            record,
            written: None,
            unwritten: false,
            restarts: 0,
            again: None,
            no_store: None,
            told: String::new(),
            samples: VecDeque::with_capacity(SAMPLES),
            sampled: None,
            desk: Desk::open("watchdog-record")?,
            manager: Notify::from_environment().unwrap_or_else(|trouble| {
                tracing::warn!(event = "service_manager_unreachable", reason = trouble, "the service manager is told nothing");
                Notify::default()
            }),
            manager_told: Instant::now(),
            manager_asked: Instant::now(),
        })
    }

    async fn run(mut self, mut signals: StopSignals) -> Result<Exit, ErrorReport> {
        loop {
            if let Some((ended, how)) = self.agent.ended() {
                self.has_ended(ended, how).await;
            }
            let step = self.machine.step(self.now());
            tokio::select! {
                () = self.take(step) => {}
                // A question or a wait that is cut short is asked or waited for anew.
                signal = signals.next() => self.told_to_stop(signal.name),
            }
            self.look().await;
            if let Step::Done(verdict) = step {
                return self.done(verdict);
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn told_to_stop(&mut self, by: &'static str) {
        if matches!(self.machine.phase(), Phase::Done(_)) {
            return;
        }
        let again = self.machine.phase() == Phase::Stopping;
        tracing::info!(event = "watchdog_stops", by, again, "the agent is stopped, then the watchdog ends");
        self.story = format!("the watchdog was told to stop ({by})");
        if again {
            self.story.push_str(", and once more: the agent cancels what it still waits for");
        }
        self.manager.stopping();
        self.machine.stop_asked(self.now());
        // A start that was cut short has started nobody.
        if !self.agent.runs() {
            self.machine.ended(self.now(), Ended::InOrder);
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Start => self.start().await,
            Step::Probe => self.probe().await,
            Step::AskToStop | Step::Hurry => {
                self.look_how_long_a_stop_takes().await;
                self.agent.ask_to_stop(step == Step::Hurry).await;
                self.machine.asked(self.now());
            }
            Step::Kill => self.agent.kill(),
            Step::Wait(longest) => tokio::time::sleep(longest.min(LOOK)).await,
            Step::Done(_) => {}
        }
    }

    async fn start(&mut self) {
        let (holder, timeout, tell) = (lock::holder(&self.instance.lock()), self.options.timeout, self.options.tell);
        if let Some(holder) = &holder {
            self.story = format!("an agent of this instance runs already ({holder}) and is asked whether it answers");
            self.look().await;
        }
        let started = {
            let mut starting = std::pin::pin!(self.agent.start());
            tokio::select! {
                started = &mut starting => started,
                () = tokio::time::sleep(SOON) => {
                    let who = holder.unwrap_or_else(|| "nobody says who".to_owned());
                    let longest = timeout.as_secs();
                    tell(&format!("an agent of this instance runs already ({who}) and has not answered yet; its answer is waited for, at most {longest} s"));
                    starting.await
                }
            }
        };
        match started {
            Ok(Started { story, anew }) => {
                self.count_restart(anew);
                // Until it answers, why it did not before is what counts.
                self.story = if self.no_store.is_some() { format!("{story}. Before: {}", self.told) } else { story };
            }
            Err(NotStarted { why, ended }) => {
                if ended != Ended::NotStarted {
                    self.count_restart(true);
                }
                self.has_ended(ended, why).await;
            }
        }
    }

    /// An agent runs, `anew` or taken over. After the end of one before, a new one is a restart.
    fn count_restart(&mut self, anew: bool) {
        if let Some(why) = self.again.take().filter(|_| anew) {
            self.restarts += 1;
            self.record.restarts.push(Restart { at_ms: Timestamp::now().as_millisecond(), why });
            let old = self.record.restarts.len().saturating_sub(RESTARTS);
            self.record.restarts.drain(..old);
        }
    }

    /// An agent may be configured anew at any time. What cannot be read leaves it as it was.
    async fn look_how_long_a_stop_takes(&mut self) {
        if self.options.stopping.is_none() {
            let instance = self.instance.clone();
            let read = tokio::time::timeout(READ, self.desk.run(move || longest_stop(&instance))).await;
            if let Ok(Ok(longest)) = read {
                self.options.limits.stopping = longest;
                self.machine.set_stopping(longest);
            }
        }
    }

    async fn probe(&mut self) {
        let answer = self.agent.ask().await;
        let before = self.machine.phase();
        let (probed, why) = match answer {
            Answer::Alive { state, .. } => (Probed::Answered(state), None),
            Answer::NoDoor(why) => (Probed::NoDoor, Some(why)),
            Answer::Silent(why) => (Probed::Silent, Some(why)),
        };
        self.machine.probed(self.now(), probed);
        let limits = self.options.limits;
        match (before, self.machine.phase(), why) {
            (Phase::Running, Phase::Running, _) => {}
            (_, Phase::Running, _) => {
                let stops = probed == Probed::Answered(AgentState::Stopping);
                tracing::info!(event = "agent_answers", stops, "the agent answers");
                self.story = if stops { "the agent stops" } else { "the agent answers" }.to_owned();
                if let Some((since, tries)) = self.no_store.take() {
                    tracing::info!(event = "store_usable_again", %since, tries, "the agent can use its disk and its store again");
                    self.tell("the agent can use its disk and its store again");
                }
                self.manager.ready();
            }
            (_, Phase::Silent(failures), Some(why)) => {
                tracing::warn!(event = "agent_silent", failures, of = limits.failures, reason = why, "the agent does not answer");
                self.story = format!("the agent does not answer ({failures} of {} times): {why}", limits.failures);
            }
            (_, Phase::Ending, Some(why)) => {
                let longest_secs = limits.stopping.as_secs();
                tracing::error!(
                    event = "agent_hangs",
                    reason = why,
                    longest_secs,
                    "the agent hangs: it is stopped, or killed, and started again"
                );
                self.story = format!("the agent hangs and is made to end: {why}");
            }
            _ => {}
        }
    }

    /// It has ended, or could not be started.
    async fn has_ended(&mut self, ended: Ended, how: String) {
        let hung = self.machine.phase() == Phase::Ending;
        self.machine.ended(self.now(), ended);
        self.agent.forget();
        let why = if hung { format!("the agent hung; {how}") } else { how };
        match self.machine.phase() {
            Phase::Waiting => {
                if ended != Ended::NotStarted {
                    self.again = Some(why.clone());
                }
                tracing::error!(event = "agent_ended", how = why, restarts = self.restarts, "it is started again");
                self.tell(&format!("{why}; it is tried again"));
                self.story = why;
            }
            Phase::WaitingForStore => self.has_no_store(&why).await,
            _ => {
                tracing::info!(event = "agent_ended", how = why, "it is not started again");
                self.story = why;
            }
        }
    }
}
