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
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        interval: s(30),
        failures: 3,
        starting: s(600),
        stopping: s(130),
        restarts: 5,
        window: s(300),
        pause: s(1),
        longest_pause: s(60),
    };

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A machine whose agent has answered at the time 0.
    fn running() -> Machine {
        let mut machine = Machine::new(LIMITS, s(0));
        assert_eq!((machine.step(s(0)), machine.step(s(0))), (Step::Start, Step::Probe));
        machine.probed(s(0), Probed::Answered(AgentState::Running));
        machine
    }

    /// Lets the time pass until the machine wants something, and gives that and when.
    fn next(machine: &mut Machine, mut now: Duration) -> (Step, Duration) {
        loop {
            match machine.step(now) {
                Step::Wait(longer) => now += longer,
                step => return (step, now),
            }
        }
    }

    #[test]
    fn it_asks_every_thirty_seconds_and_three_silences_in_a_row_are_a_hang() {
        let mut machine = running();
        for at in [30, 60, 90] {
            assert_eq!(next(&mut machine, s(at - 29)), (Step::Probe, s(at)));
            machine.probed(s(at + 5), Probed::Silent);
        }
        assert_eq!(machine.phase(), Phase::Ending);
        assert_eq!(machine.step(s(95)), Step::AskToStop);
        machine.asked(s(100));
        assert_eq!(next(&mut machine, s(100)), (Step::Kill, s(100 + 130)));
        machine.ended(s(231), Ended::Crashed);
        assert_eq!(next(&mut machine, s(231)), (Step::Start, s(232)));
    }

    #[test]
    fn one_answer_makes_two_silences_good() {
        let mut machine = running();
        for probed in [Probed::Silent, Probed::Silent, Probed::Answered(AgentState::Running), Probed::Silent, Probed::Silent] {
            machine.probed(s(1), probed);
        }
        assert_eq!(machine.phase(), Phase::Silent(2));
    }

    #[test]
    fn an_agent_may_take_long_to_open_its_door_but_not_for_ever() {
        let mut machine = Machine::new(LIMITS, s(0));
        machine.step(s(0));
        let mut now = s(0);
        while now < s(599) {
            let step = next(&mut machine, now);
            assert_eq!(step.0, Step::Probe);
            now = step.1;
            machine.probed(now, Probed::NoDoor);
        }
        assert_eq!(machine.phase(), Phase::Starting);
        machine.probed(s(600), Probed::NoDoor);
        assert_eq!(machine.step(s(600)), Step::AskToStop);
        // The same for one that opens its queue anew.
        let mut machine = running();
        machine.probed(s(599), Probed::NoDoor);
        assert_eq!(machine.phase(), Phase::Running);
        machine.probed(s(600), Probed::NoDoor);
        assert_eq!(machine.phase(), Phase::Ending);
    }

    #[test]
    fn how_it_ended_decides_what_follows() {
        for (ended, wanted) in [
            (Ended::Code(0), Step::Done(Verdict::Stopped)),
            (Ended::InOrder, Step::Done(Verdict::Stopped)),
            (Ended::Code(10), Step::Done(Verdict::Forced)),
            (Ended::Code(5), Step::Done(Verdict::NotRestarted(5))),
            (Ended::Code(2), Step::Done(Verdict::NotRestarted(2))),
            (Ended::Code(1), Step::Start),
            (Ended::Code(4), Step::Start),
            (Ended::Code(7), Step::Start),
            (Ended::Code(12), Step::Start),
            (Ended::Code(101), Step::Start),
            (Ended::Crashed, Step::Start),
            (Ended::NotStarted, Step::Start),
        ] {
            let mut machine = running();
            machine.ended(s(1), ended);
            assert_eq!(next(&mut machine, s(1)).0, wanted, "{ended:?}");
        }
    }

    #[test]
    fn one_that_hung_is_started_again_even_if_it_stopped_in_order() {
        let mut machine = running();
        (0..3).for_each(|_| machine.probed(s(1), Probed::Silent));
        machine.step(s(1));
        machine.ended(s(2), Ended::Code(0));
        assert_eq!(next(&mut machine, s(2)).0, Step::Start);
    }

    #[test]
    fn one_that_hangs_while_it_stops_for_somebody_is_not_started_again() {
        let mut machine = running();
        machine.probed(s(30), Probed::Answered(AgentState::Stopping));
        (0..3).for_each(|_| machine.probed(s(60), Probed::Silent));
        assert_eq!(machine.step(s(60)), Step::AskToStop);
        assert_eq!(next(&mut machine, s(60)).0, Step::Kill);
        machine.ended(s(200), Ended::Crashed);
        assert_eq!(machine.step(s(200)), Step::Done(Verdict::Forced));
    }

    #[test]
    fn a_crash_loop_waits_twice_as_long_each_time_and_ends_after_five_restarts() {
        let mut machine = running();
        let mut now = s(10);
        for pause in [1, 2, 4, 8, 16] {
            machine.ended(now, Ended::Code(1));
            assert_eq!(next(&mut machine, now), (Step::Start, now + s(pause)));
            now += s(pause);
        }
        machine.ended(now, Ended::Code(1));
        assert_eq!(machine.step(now), Step::Done(Verdict::TooOften));
        assert_eq!(machine.phase(), Phase::Done(Verdict::TooOften));
    }

    #[test]
    fn restarts_are_forgotten_and_the_pause_is_bounded() {
        let mut machine = running();
        let mut now = s(0);
        for _ in 0..50 {
            machine.ended(now, Ended::Crashed);
            assert_eq!(next(&mut machine, now), (Step::Start, now + s(1)));
            now += s(301);
        }
        let mut machine = Machine::new(Limits { restarts: 1000, window: s(1_000_000), ..LIMITS }, s(0));
        let mut now = s(0);
        for _ in 0..100 {
            machine.step(now);
            machine.ended(now, Ended::Crashed);
            let started = next(&mut machine, now).1;
            assert!(started - now <= s(60));
            now = started;
            machine = Machine { state: State::Waiting { until: now, for_store: false }, ..machine };
        }
    }

    #[test]
    fn a_disk_that_is_full_is_waited_for_for_ever_and_is_no_crash_loop() {
        let mut machine = Machine::new(LIMITS, s(0));
        machine.step(s(0));
        let mut now = s(0);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().chain([60; 100]) {
            machine.ended(now, Ended::Code(7));
            assert_eq!(machine.phase(), Phase::WaitingForStore);
            assert_eq!(next(&mut machine, now), (Step::Start, now + s(pause)));
            now += s(pause);
        }
        // It comes up, serves for a while, and the disk is full once more: the first pause is short again.
        machine.probed(now, Probed::Answered(AgentState::Running));
        machine.ended(now + s(300), Ended::Code(7));
        assert_eq!(next(&mut machine, now + s(300)), (Step::Start, now + s(301)));
        // One that comes up only to end at once is not started every second.
        machine.probed(now + s(301), Probed::Answered(AgentState::Running));
        machine.ended(now + s(302), Ended::Code(7));
        assert_eq!(next(&mut machine, now + s(302)), (Step::Start, now + s(304)));
        // None of it counts as a restart: a crash has its five.
        let mut now = now + s(304);
        for pause in [1, 2, 4, 8, 16] {
            machine.ended(now, Ended::Crashed);
            assert_eq!((machine.phase(), next(&mut machine, now)), (Phase::Waiting, (Step::Start, now + s(pause))));
            now += s(pause);
        }
        machine.ended(now, Ended::Crashed);
        assert_eq!(machine.step(now), Step::Done(Verdict::TooOften));
        // Who waits for a disk can be told to stop.
        let mut machine = running();
        machine.ended(s(1), Ended::Code(7));
        machine.stop_asked(s(1));
        assert_eq!(machine.step(s(1)), Step::Done(Verdict::Stopped));
    }

    #[test]
    fn the_time_for_a_stop_is_the_one_that_is_set_last() {
        let mut machine = running();
        machine.set_stopping(s(610));
        machine.stop_asked(s(1));
        assert_eq!(machine.step(s(1)), Step::AskToStop);
        machine.asked(s(1));
        assert_eq!(next(&mut machine, s(1)), (Step::Kill, s(611)));
    }

    #[test]
    fn told_to_stop_it_stops_the_agent_and_ends() {
        let mut machine = running();
        machine.stop_asked(s(1));
        assert_eq!((machine.step(s(1)), machine.phase()), (Step::AskToStop, Phase::Stopping));
        assert!(matches!(machine.step(s(1)), Step::Wait(_)));
        // Somebody has no patience: the agent skips to its second phase.
        machine.stop_asked(s(2));
        assert_eq!(machine.step(s(2)), Step::Hurry);
        assert!(matches!(machine.step(s(2)), Step::Wait(_)), "told once");
        machine.ended(s(3), Ended::Code(0));
        assert_eq!(machine.step(s(3)), Step::Done(Verdict::Stopped));

        let mut machine = running();
        machine.stop_asked(s(1));
        machine.step(s(1));
        assert_eq!(next(&mut machine, s(1)), (Step::Kill, s(131)));
        machine.ended(s(132), Ended::Crashed);
        assert_eq!(machine.step(s(132)), Step::Done(Verdict::Forced));

        // While nothing runs there is nothing to stop.
        let mut machine = running();
        machine.ended(s(1), Ended::Crashed);
        machine.stop_asked(s(1));
        assert_eq!(machine.step(s(1)), Step::Done(Verdict::Stopped));
    }

    #[test]
    fn what_cannot_be_killed_is_not_doubled() {
        let mut machine = running();
        (0..3).for_each(|_| machine.probed(s(1), Probed::Silent));
        machine.step(s(1));
        let (step, at) = next(&mut machine, s(1));
        assert_eq!(step, Step::Kill);
        assert_eq!(next(&mut machine, at), (Step::Done(Verdict::CannotEnd), at + KILLING));
    }
}
