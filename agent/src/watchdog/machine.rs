//! What the watchdog does next: a machine that knows no process, no socket and no clock. It is told the time and what happened.
//!
//! ```text
//! Waiting ─▶ Up ─▶ Ending ─▶ Killing ─▶ (it ended) ─▶ Waiting …
//!                                                  └▶ Done
//! ```
//!
//! # Invariants
//! - At most one agent is started at a time: a start comes only after the end of the one before was told.
//! - At most `restarts` restarts within `window`; the next end after that is the end of it.
//! - An agent that cannot use its disk or its store ([`Exit::Store`]) is tried again for ever: that is no crash loop, and mends itself once the
//!   disk has room again. It does not count towards `restarts`.
//! - Whatever hangs is left at a time that is known from the start: nothing waits for an answer.

use std::time::Duration;

use waybill_ipc::protocol::AgentState;
use waybill_shared::error::Exit;

/// How long the end of a process that was killed may take; more than that only a disk or a driver that hangs.
const KILLING: Duration = Duration::from_secs(10);
/// Between two looks at an agent that has not answered yet since its start.
const STARTING_LOOK: Duration = Duration::from_millis(250);

/// How patient the watchdog is.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From one question to the next.
    pub interval: Duration,
    /// So many questions without an answer, one after the other, and it hangs.
    pub failures: u32,
    /// How long an agent may be without a door: after its start, or while it opens its queue anew.
    pub starting: Duration,
    /// How long it may take to stop.
    pub stopping: Duration,
    /// So many restarts are allowed within `window`.
    pub restarts: usize,
    /// The time that they are counted over.
    pub window: Duration,
    /// Pause before the first restart; each further one within the window waits twice as long.
    pub pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
}

/// What a question came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// It answers.
    Answered(AgentState),
    /// Its process is there, and nobody listens for it.
    NoDoor,
    /// Somebody listens and no answer came.
    Silent,
}

/// How an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Code(i32),
    /// By itself, in order; how is not known. So it is for one that was taken over, where the OS tells the parent only.
    InOrder,
    /// Otherwise: by a signal, by a crash.
    Crashed,
    /// It could not be started at all.
    NotStarted,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Start an agent, or take over the one that runs.
    Start,
    /// Ask it how it is.
    Probe,
    /// Ask it to stop, unless it stops already.
    AskToStop,
    /// Ask it once more, so that it cancels what it still waits for.
    Hurry,
    /// End it.
    Kill,
    /// Nothing for so long, unless something happens.
    Wait(Duration),
    /// End.
    Done(Verdict),
}

/// How it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The agent was told to stop, and did.
    Stopped,
    /// It was told to stop, and not everything ended in time.
    Forced,
    /// It ended with this exit code, and would do so again.
    NotRestarted(i32),
    /// It ended once more than it is started again.
    TooOften,
    /// It was killed and did not end.
    CannotEnd,
}

/// Where it stands, for those who look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Until the next start.
    Waiting,
    /// Likewise, because the agent cannot use its disk or its store.
    WaitingForStore,
    /// The agent has not answered yet.
    Starting,
    /// It answers.
    Running,
    /// So many questions in a row without an answer.
    Silent(u32),
    /// It hangs, and is made to end.
    Ending,
    /// The watchdog was told to stop, and the agent is stopping.
    Stopping,
    /// It is over.
    Done(Verdict),
}

#[derive(Debug)]
enum State {
    Waiting { until: Duration, for_store: bool },
    Up { since: Duration, heard: bool, heard_at: Duration, failures: u32, next: Duration },
    Ending { told: bool, ask: Option<Step>, until: Duration },
    Killing { told: bool, until: Duration },
    Done(Verdict),
}

/// The machine. All times are those of one clock that only goes forward.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    state: State,
    restarts: Vec<Duration>,
    /// Starts in a row that came to nothing because of the disk or the store.
    in_vain: u32,
    /// What it said last was that it stops: somebody told it to.
    stops: bool,
}

impl Machine {
    /// One that starts at once.
    #[must_use]
    pub fn new(limits: Limits, now: Duration) -> Self {
        Self { limits, state: State::Waiting { until: now, for_store: false }, restarts: Vec::new(), in_vain: 0, stops: false }
    }

    /// What to do now. Each step is given once.
    pub fn step(&mut self, now: Duration) -> Step {
        let limits = self.limits;
        match &mut self.state {
            State::Waiting { until, .. } if now < *until => Step::Wait(*until - now),
            State::Waiting { .. } => {
                self.state = State::Up { since: now, heard: false, heard_at: now, failures: 0, next: now };
                self.stops = false;
                Step::Start
            }
            State::Up { next, .. } if now < *next => Step::Wait(*next - now),
            State::Up { heard, next, .. } => {
                *next = now + if *heard { limits.interval } else { limits.interval.min(STARTING_LOOK) };
                Step::Probe
            }
            State::Ending { ask: ask @ Some(_), .. } => ask.take().unwrap_or(Step::AskToStop),
            State::Ending { until, .. } if now < *until => Step::Wait(*until - now),
            State::Ending { told, .. } => {
                self.state = State::Killing { told: *told, until: now + KILLING };
                Step::Kill
            }
            State::Killing { until, .. } if now < *until => Step::Wait(*until - now),
            State::Killing { .. } => {
                self.state = State::Done(Verdict::CannotEnd);
                Step::Done(Verdict::CannotEnd)
            }
            State::Done(verdict) => Step::Done(*verdict),
        }
    }

    /// A question came to this.
    pub fn probed(&mut self, now: Duration, probed: Probed) {
        let limits = self.limits;
        let State::Up { heard, heard_at, failures, next, .. } = &mut self.state else { return };
        let hangs = match probed {
            Probed::Answered(state) => {
                if !*heard {
                    *next = now + limits.interval;
                }
                (*heard, *heard_at, *failures) = (true, now, 0);
                self.stops = state == AgentState::Stopping;
                false
            }
            Probed::NoDoor => now.saturating_sub(*heard_at) >= limits.starting,
            Probed::Silent => {
                *failures += 1;
                *failures >= limits.failures
            }
        };
        if hangs {
            self.state = State::Ending { told: false, ask: Some(Step::AskToStop), until: now + limits.stopping };
        }
    }

    /// How long the agent may take to stop, from the next time it is asked on.
    pub fn set_stopping(&mut self, stopping: Duration) {
        self.limits.stopping = stopping;
    }

    /// The agent was asked to stop, or could not be: what the asking took is not taken from its time.
    pub fn asked(&mut self, now: Duration) {
        if let State::Ending { until, .. } = &mut self.state {
            *until = (*until).max(now + self.limits.stopping);
        }
    }

    /// The agent has ended.
    pub fn ended(&mut self, now: Duration, ended: Ended) {
        let code = |exit: Exit| Ended::Code(i32::from(exit as u8));
        let (told, killed) = match self.state {
            State::Up { .. } => (false, false),
            State::Ending { told, .. } => (told, false),
            State::Killing { told, .. } => (told, true),
            State::Waiting { .. } | State::Done(_) => return,
        };
        let hung = !matches!(self.state, State::Up { .. }) && !told;
        let in_order = ended == Ended::InOrder || ended == code(Exit::Ok);
        let served =
            matches!(self.state, State::Up { since, heard: true, .. } if now.saturating_sub(since) >= self.limits.window);
        let store = ended == code(Exit::Store);
        if served || !store {
            self.in_vain = 0;
        }
        let verdict = match ended {
            _ if told || self.stops => Some(if in_order && !killed { Verdict::Stopped } else { Verdict::Forced }),
            // That it could be stopped in order does not mean that anybody wanted it to end.
            _ if hung => None,
            _ if in_order => Some(Verdict::Stopped),
            _ if ended == code(Exit::Forced) => Some(Verdict::Forced),
            Ended::Code(number) if ended == code(Exit::Configuration) || ended == code(Exit::Usage) => {
                Some(Verdict::NotRestarted(number))
            }
            _ => None,
        };
        self.state = match verdict {
            Some(verdict) => State::Done(verdict),
            None if store && !hung => self.patiently(now),
            None => self.again(now),
        };
    }

    /// The watchdog itself is told to stop; again, if whoever does so has no patience.
    pub fn stop_asked(&mut self, now: Duration) {
        self.state = match self.state {
            State::Waiting { .. } => State::Done(Verdict::Stopped),
            State::Up { .. } => State::Ending { told: true, ask: Some(Step::AskToStop), until: now + self.limits.stopping },
            State::Ending { told: false, until, .. } => State::Ending { told: true, ask: Some(Step::AskToStop), until },
            State::Ending { until, .. } => State::Ending { told: true, ask: Some(Step::Hurry), until },
            State::Killing { until, .. } => State::Killing { told: true, until },
            State::Done(verdict) => State::Done(verdict),
        };
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Waiting { for_store: true, .. } => Phase::WaitingForStore,
            State::Waiting { .. } => Phase::Waiting,
            State::Up { failures: failures @ 1.., .. } => Phase::Silent(failures),
            State::Up { heard: true, .. } => Phase::Running,
            State::Up { .. } => Phase::Starting,
            State::Ending { told: false, .. } | State::Killing { told: false, .. } => Phase::Ending,
            State::Ending { .. } | State::Killing { .. } => Phase::Stopping,
            State::Done(verdict) => Phase::Done(verdict),
        }
    }

    fn again(&mut self, now: Duration) -> State {
        let window = self.limits.window;
        self.restarts.retain(|&at| now.saturating_sub(at) < window);
        if self.restarts.len() >= self.limits.restarts {
            return State::Done(Verdict::TooOften);
        }
        let doublings = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        self.restarts.push(now);
        State::Waiting { until: now + self.pause(doublings), for_store: false }
    }

    /// The disk has room again some time, or somebody mends the store.
    fn patiently(&mut self, now: Duration) -> State {
        let pause = self.pause(self.in_vain);
        self.in_vain = self.in_vain.saturating_add(1);
        State::Waiting { until: now + pause, for_store: true }
    }

    fn pause(&self, doublings: u32) -> Duration {
        self.limits.pause.saturating_mul(1 << doublings.min(31)).min(self.limits.longest_pause)
    }
}

#[cfg(test)]
mod tests;
