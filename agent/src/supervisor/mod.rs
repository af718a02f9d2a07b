//! What runs in the agent and should go on running: every task and thread with a name, and what becomes of one that fails.
//!
//! # What it owns
//! The list of everything that runs ([`Supervisor`]): by name, whether the agent can do without it, whether it gets on ([`Progress`]), how often it was
//! started again and why. It does not own the tasks: who starts one holds its handle, and dropping that ends it. Nothing is started past it:
//! `clippy.toml` forbids the ways around.
//!
//! # What it notices
//! - An error, a panic and an end that nobody wanted: at once, where it happens. In the log with the cause; of a panic [`mod@panic`] has written the
//!   way there.
//! - A stall: something that has work to do and gives no sign of getting on. Looked for every [`Rules::check`]. A task is cancelled then. A thread
//!   cannot be: it is named, never doubled, and one that the agent cannot do without ends the agent after twice the time, with the exit
//!   code that asks to be started again.
//!
//! # What follows
//! What failed is started again after a pause, by itself or by its owner ([`Starts`]). Failing for the fourth time in five minutes it is left as it
//! is; if the agent cannot do without it, the agent as a whole is in error, which everybody sees until it is started anew. The names outlive the
//! parts: an agent that begins anew in its process remembers what has failed.
//!
//! Nothing of this survives the process. What is durable is so whatever runs.

mod ended;
pub mod fault;
pub mod panic;
mod part;
mod progress;
mod restarts;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use waybill_shared::config::Health;
use waybill_shared::error::{Code, ErrorReport};

pub use ended::Ended;
use fault::Faults;
pub use part::{Part, Task, Thread, spawn};
pub use progress::{Progress, Working};
use restarts::{FIRST_PAUSE, Restarts};
pub use status::{State, Status};

/// How long a stalled critical thread is waited for, as a multiple of [`Rules::stall`].
const PATIENCE: u32 = 2;

/// Who starts something again that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starts {
    /// It does so by itself.
    Itself,
    /// Its owner asks [`Supervisor::may_start`] and does so.
    Owner,
    /// The agent begins anew, as a whole: too much hangs on it.
    Agent,
}

/// What is to be known of a task or thread.
#[derive(Debug, Clone)]
pub struct Spec {
    name: String,
    critical: bool,
    starts: Starts,
    stall: Option<Duration>,
}

impl Spec {
    /// Something that the agent can do without for a while.
    #[must_use]
    pub fn new(name: impl Into<String>, starts: Starts) -> Self {
        Self { name: name.into(), critical: false, starts, stall: None }
    }

    /// The agent cannot do without it.
    #[must_use]
    pub fn critical(mut self) -> Self {
        self.critical = true;
        self
    }

    /// One piece of its work may take as long as this, whatever the rules say.
    #[must_use]
    pub fn may_take(mut self, stall: Duration) -> Self {
        self.stall = Some(stall);
        self
    }
}

/// What is looked for, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How often stalls are looked for.
    pub check: Duration,
    /// How long a piece of work may take without a sign of getting on.
    pub stall: Duration,
}

impl From<&Health> for Rules {
    fn from(health: &Health) -> Self {
        let (check, stall) = (Duration::from_secs(health.task_check_secs), Duration::from_secs(health.task_stall_secs));
        Self { check, stall }
    }
}

/// The list. Cloning gives another handle.
#[derive(Clone)]
pub struct Supervisor(Arc<Inner>);

struct Inner {
    /// Before something that failed is started again for the first time.
    pause: Duration,
    held: Mutex<Held>,
    rules: watch::Sender<Rules>,
    /// The agent is to begin anew: why, and when.
    anew: watch::Sender<Option<(String, Instant)>>,
    /// The agent is to end with the wish to be started again: why.
    give_up: watch::Sender<Option<String>>,
    /// What is wrong with the agent as a whole.
    error: watch::Sender<Option<ErrorReport>>,
    /// The agent ends, or begins anew: what ends now ends as it should, and nothing is started again.
    stopping: AtomicBool,
    /// What a test lets fail.
    faults: Faults,
}

#[derive(Default)]
struct Held {
    /// What runs or should.
    entries: BTreeMap<String, Entry>,
    /// What has failed before, by name.
    restarts: HashMap<String, (Restarts, Option<String>)>,
    /// Numbers the parts: the end of an old one says nothing of a new one of the same name.
    next: u64,
}

struct Entry {
    number: u64,
    spec: Spec,
    progress: Progress,
    /// Cancels a task; a thread cannot be.
    abort: Option<AbortHandle>,
    is_thread: bool,
    state: Life,
    since: Timestamp,
    /// The stall was told of.
    told: bool,
    /// It was cancelled because it had got no further for so many seconds.
    stalled: Option<u64>,
}

enum Life {
    Running,
    StartsAt(Instant),
    Failed,
}

/// A part that begins to run.
struct Begun {
    number: u64,
    progress: Progress,
}

impl Supervisor {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self::with_pause(rules, FIRST_PAUSE)
    }

    /// One whose first pause before a new start is another one.
    pub(crate) fn with_pause(rules: Rules, pause: Duration) -> Self {
        Self(Arc::new(Inner {
            pause,
            held: Mutex::default(),
            rules: watch::Sender::new(rules),
            anew: watch::Sender::new(None),
            give_up: watch::Sender::new(None),
            error: watch::Sender::new(None),
            stopping: AtomicBool::new(false),
            faults: Faults::default(),
        }))
    }

    /// For parts that nobody looks after: of tests, and of a command line that opens something for a moment.
    #[must_use]
    pub fn of_nobody() -> Self {
        Self::new(Rules { check: Duration::MAX, stall: Duration::MAX })
    }

    /// Other rules from now on.
    pub fn set_rules(&self, rules: Rules) {
        self.0.rules.send_replace(rules);
    }

    /// Everything that runs or should, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        let stall = self.0.rules.borrow().stall;
        let held = self.0.held();
        let status = |(name, entry): (&String, &Entry)| {
            let before = held.restarts.get(name);
            Status {
                name: name.clone(),
                critical: entry.spec.critical,
                thread: entry.is_thread,
                state: entry.state(stall),
                since: entry.since,
                restarts: before.map_or(0, |before| before.0.count),
                cause: before.and_then(|before| before.1.clone()),
            }
        };
        held.entries.iter().map(status).collect()
    }

    /// What is wrong with the agent as a whole; told whenever it changes.
    #[must_use]
    pub fn error(&self) -> watch::Receiver<Option<ErrorReport>> {
        self.0.error.subscribe()
    }

    /// Waits until the agent should begin anew, after the pause that belongs to it; why.
    pub async fn begin_anew(&self) -> String {
        let (why, at) = wanted(&self.0.anew).await;
        tokio::time::sleep_until(at.into()).await;
        why
    }

    /// Waits until the agent should end and be started again by whoever watches it; why.
    pub async fn give_up(&self) -> String {
        wanted(&self.0.give_up).await
    }

    /// The agent ends: from now on an end is no failure, and nothing is started again.
    pub fn stopping(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    /// Forgets what ran, as an agent ends that begins anew; what has failed stays known.
    pub fn forget_parts(&self) {
        self.0.stopping.store(false, Ordering::Release);
        self.0.held().entries.clear();
        self.0.anew.send_replace(None);
    }

    /// True if something of this name has failed and its owner may start it again now.
    #[must_use]
    pub fn may_start(&self, name: &str) -> bool {
        let held = self.0.held();
        !self.0.is_stopping()
            && held.entries.get(name).is_none_or(|entry| match entry.state {
                Life::Running => true,
                Life::StartsAt(at) => at <= Instant::now(),
                Life::Failed => false,
            })
    }

    /// Forgets something that its owner has ended for good.
    pub fn forget(&self, name: &str) {
        let mut held = self.0.held();
        held.entries.remove(name);
        held.restarts.remove(name);
        self.0.tell_error(&held);
    }

    /// The next so many times that it works, what has this name fails so.
    #[cfg(test)]
    pub(crate) fn inject(&self, name: &str, fault: fault::Fault, times: u32) {
        self.0.faults.want(name, fault, times);
    }

    /// True once nothing of this name is to fail any more: it has been struck as often as it should be.
    #[cfg(test)]
    pub(crate) fn was_struck(&self, name: &str) -> bool {
        self.0.faults.is_over(name)
    }

    /// Forgets what has failed under a name, for a test that lets it fail more often.
    #[cfg(test)]
    pub(crate) fn pardon(&self, name: &str) {
        self.0.held().restarts.remove(name);
    }

    /// False while something that the agent cannot do without has work to do and gets no further: what a service manager is told.
    #[must_use]
    pub fn gets_on(&self) -> bool {
        let stalled = |status: &Status| status.critical && matches!(status.state, State::Stalled(_));
        !self.list().iter().any(stalled)
    }

    /// Looks for stalls once: for somebody who watches the watcher.
    pub fn look(&self) {
        self.0.look_for_stalls();
    }

    /// How often stalls are looked for.
    #[must_use]
    pub fn check_every(&self) -> Duration {
        self.0.rules.borrow().check
    }

    /// Looks for stalls, for ever. To be run as a task of its own, which is in the list as everything else.
    pub async fn watch(&self, progress: &Progress) {
        let mut rules = self.0.rules.subscribe();
        loop {
            let check = rules.borrow_and_update().check;
            tokio::select! {
                () = tokio::time::sleep(check) => {}
                changed = rules.changed() => if changed.is_err() { return },
            }
            let _working = progress.work();
            self.0.look_for_stalls();
        }
    }
}

async fn wanted<T: Clone>(told: &watch::Sender<Option<T>>) -> T {
    let mut told = told.subscribe();
    loop {
        if let Some(wanted) = told.borrow_and_update().clone() {
            return wanted;
        }
        // The sender lives as long as the supervisor, which is borrowed.
        if told.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Entry {
    fn state(&self, stall: Duration) -> State {
        match self.state {
            Life::Running => {
                let stalled = self.progress.silent_for().filter(|silent| *silent > self.spec.stall.unwrap_or(stall));
                stalled.map_or(State::Running, State::Stalled)
            }
            Life::StartsAt(_) => State::Restarting,
            Life::Failed => State::Failed,
        }
    }
}

impl Inner {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something begins to run under a name.
    fn begin(&self, spec: &Spec, is_thread: bool) -> Begun {
        let mut held = self.held();
        held.next += 1;
        let number = held.next;
        let progress = Progress::of(&spec.name, is_thread, &self.faults);
        let entry = Entry {
            number,
            spec: spec.clone(),
            progress: progress.clone(),
            abort: None,
            is_thread,
            state: Life::Running,
            since: Timestamp::now(),
            told: false,
            stalled: None,
        };
        held.entries.insert(spec.name.clone(), entry);
        self.tell_error(&held);
        Begun { number, progress }
    }

    fn can_be_cancelled(&self, spec: &Spec, number: u64, abort: AbortHandle) {
        if let Some(entry) = self.held().entries.get_mut(&spec.name).filter(|entry| entry.number == number) {
            entry.abort = Some(abort);
        }
    }

    /// It has ended because its owner wanted that.
    fn ended_as_told(&self, spec: &Spec, number: u64) {
        let mut held = self.held();
        if held.entries.get(&spec.name).is_some_and(|entry| entry.number == number) {
            held.entries.remove(&spec.name);
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// It has failed: when it may be started again, if it may.
    fn failed(&self, spec: &Spec, number: u64, ended: &Ended) -> Option<Instant> {
        let mut held = self.held();
        let held = &mut *held;
        let entry = held.entries.get_mut(&spec.name).filter(|entry| entry.number == number)?;
        let stalled = entry.stalled.take().map(Ended::Stalled);
        let ended = if *ended == Ended::Dropped { stalled.as_ref().unwrap_or(ended) } else { ended };
        let (restarts, cause) = held.restarts.entry(spec.name.clone()).or_default();
        *cause = Some(ended.to_string());
        let at = restarts.failed(Instant::now(), self.pause);
        entry.state = at.map_or(Life::Failed, Life::StartsAt);
        (entry.since, entry.abort) = (Timestamp::now(), None);
        entry.progress.rest();
        let in_ms = at.map(|at| u64::try_from(at.saturating_duration_since(Instant::now()).as_millis()).unwrap_or(u64::MAX));
        let (task, how, cause, restarts, critical) = (&spec.name, ended.kind(), ended.to_string(), restarts.count, spec.critical);
        match in_ms {
            Some(in_ms) => {
                tracing::error!(
                    event = "task_failed",
                    task,
                    how,
                    cause,
                    critical,
                    restarts,
                    again_in_ms = in_ms,
                    "it is started again"
                );
            }
            None => {
                tracing::error!(
                    event = "task_failed_too_often",
                    task,
                    how,
                    cause,
                    critical,
                    restarts,
                    "it is not started again until the agent is"
                );
            }
        }
        if let (Starts::Agent, Some(at)) = (spec.starts, at) {
            self.anew.send_replace(Some((format!("{}: {ended}", spec.name), at)));
        }
        self.tell_error(held);
        at
    }

    fn look_for_stalls(&self) {
        let stall = self.rules.borrow().stall;
        let mut held = self.held();
        for (task, entry) in &mut held.entries {
            let State::Stalled(silent) = entry.state(stall) else {
                entry.told = false;
                continue;
            };
            let (secs, critical) = (silent.as_secs(), entry.spec.critical);
            if let Some(abort) = entry.abort.take() {
                // Its end is noticed where it ends.
                tracing::error!(
                    event = "task_stalls",
                    task,
                    silent_secs = secs,
                    critical,
                    "it has work to do and gets no further: it is cancelled"
                );
                entry.stalled = Some(secs);
                abort.abort();
                continue;
            }
            if !entry.told {
                entry.told = true;
                tracing::error!(
                    event = "task_stalls",
                    task,
                    silent_secs = secs,
                    critical,
                    "it has work to do and gets no further; a thread cannot be cancelled"
                );
            }
            if critical && silent > entry.spec.stall.unwrap_or(stall) * PATIENCE {
                let why = format!("{task} has got no further for {secs} s, and the agent cannot do without it");
                self.give_up.send_if_modified(|told| told.is_none() && told.replace(why).is_none());
            }
        }
    }

    /// The agent is in error as long as something has failed too often that it cannot do without.
    fn tell_error(&self, held: &Held) {
        let failed = |entry: &&Entry| entry.spec.critical && matches!(entry.state, Life::Failed);
        let names: Vec<String> = held
            .entries
            .values()
            .filter(failed)
            .map(|entry| {
                let cause = held.restarts.get(&entry.spec.name).and_then(|before| before.1.as_deref()).unwrap_or("unknown");
                format!("{} has failed too often ({cause})", entry.spec.name)
            })
            .collect();
        let error = (!names.is_empty()).then(|| ErrorReport::new(Code::TaskFailed, names.join("; ")));
        self.error.send_if_modified(|told| {
            let changed = *told != error;
            *told = error;
            changed
        });
    }
}
