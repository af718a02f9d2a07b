//! Stopping in three phases, whoever asks.
//!
//! 1. *Drain*: nothing new begins; what has begun may end by itself.
//! 2. *Cancel*: what remains is told to let go; what does not is named.
//! 3. *Verify*: what was not sent is counted, the queue is closed, IPC last.
//!
//! Asking again while the first phase runs skips to the second. A session that ends leaves no time for the first. The queue is crash-safe: cutting a
//! phase short loses nothing. All of it has one bound, also if the third phase hangs: [`guard`] ends the process then.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use waybill_shared::config::Shutdown;

use crate::supervisor;

/// What the third phase needs at most; the second one ends so much before the end of all.
const VERIFY: Duration = Duration::from_secs(10);
/// What an operating system leaves a program when its session ends, with something to spare: Windows ends it after five seconds.
const SESSION_END: Duration = Duration::from_secs(4);
/// How much later than the bound the process is ended by force.
const GUARD: Duration = Duration::from_secs(5);
/// What a stop may take besides its bound: until the process is ended by force, and some for it to go.
const MARGIN: Duration = GUARD.saturating_add(Duration::from_secs(5));

/// What was asked for so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Asked {
    times: u32,
    session_ends: bool,
}

/// Asks for a stop; cloning gives another asker.
#[derive(Debug, Clone)]
pub struct StopRequests(watch::Sender<Asked>);

/// Waits for a stop to be asked for.
#[derive(Debug, Clone)]
pub struct StopAsked(watch::Receiver<Asked>);

/// How long a stop takes at most, for those who wait for the process to be gone.
#[must_use]
pub fn longest(config: &Shutdown) -> Duration {
    Duration::from_secs(config.total_secs) + MARGIN
}

/// An asker and a waiter.
#[must_use]
pub fn channel() -> (StopRequests, StopAsked) {
    let (ask, asked) = watch::channel(Asked::default());
    (StopRequests(ask), StopAsked(asked))
}

impl StopRequests {
    /// Asks; `by` is who, for the log.
    pub fn ask(&self, by: &str) {
        self.0.send_modify(|asked| asked.times += 1);
        tracing::info!(event = "stop", by, times = self.0.borrow().times, "stopping");
    }

    /// Asks because the session or the machine ends: within four seconds.
    pub fn session_ends(&self, by: &str) {
        self.0.send_modify(|asked| *asked = Asked { times: asked.times + 1, session_ends: true });
        tracing::info!(event = "stop", by, "the session ends: stopping at once");
    }
}

impl StopAsked {
    /// Returns once a stop was asked for that often, or the session ends.
    pub async fn times(&mut self, times: u32) {
        // The sender lives as long as the agent.
        let _always_there = self.0.wait_for(|asked| asked.times >= times || asked.session_ends).await;
    }

    /// Whether the session ends.
    #[must_use]
    pub fn session_ends(&self) -> bool {
        self.0.borrow().session_ends
    }
}

/// How a stop went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// What was cut off, because it did not end by itself in time.
    pub cut_off: Vec<String>,
    /// What did not even let go; it ends with the process.
    pub stragglers: Vec<String>,
    /// Deliveries that wait for the next start.
    pub unsent: u64,
    /// Why the agent wants to be started again, if nobody had asked it to stop.
    pub gave_up: Option<String>,
}

impl Stopped {
    /// True if everything ended by itself.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.cut_off.is_empty() && self.stragglers.is_empty() && self.gave_up.is_none()
    }
}

/// When each phase ends at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// What has begun may end by itself until then.
    pub drain: Instant,
    cancel: Duration,
    /// Everything is over.
    pub all: Instant,
}

impl Deadlines {
    /// Those of a configuration, from now on.
    #[must_use]
    pub fn of(limits: &Shutdown, session_ends: bool, now: Instant) -> Self {
        let seconds = Duration::from_secs;
        if session_ends {
            return Self { drain: now, cancel: SESSION_END / 4, all: now + SESSION_END };
        }
        let all = now + seconds(limits.total_secs);
        let drain = (now + seconds(limits.drain_secs)).min(all - reserve(seconds(limits.total_secs)));
        Self { drain, cancel: seconds(limits.cancel_secs), all }
    }

    /// Until when what is cancelled now may let go.
    #[must_use]
    pub fn cancel(&self, now: Instant) -> Instant {
        let left = self.all.saturating_duration_since(now);
        (now + self.cancel).min(self.all - reserve(left)).max(now)
    }

    /// How long something of the third phase may take that may take `limit` by itself.
    #[must_use]
    pub fn left(&self, limit: Duration, now: Instant) -> Duration {
        limit.min(self.all.saturating_duration_since(now))
    }
}

/// What is kept of a time for the third phase.
fn reserve(of: Duration) -> Duration {
    VERIFY.min(of / 2)
}

/// Ends the process by force if a stop takes longer than it may, whatever hangs: its runtime, a destructor, the disk.
///
/// # Errors
/// The OS gives no thread.
pub fn guard(deadlines: Deadlines, exit: u8) -> std::io::Result<()> {
    // The process of a unit test is not the agent's to end.
    if cfg!(test) {
        return Ok(());
    }
    let end = deadlines.all + GUARD;
    let thread = supervisor::spawn("stop-guard", move || {
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        tracing::error!(
            event = "stop_forced",
            "the stop took longer than it may: the process ends; what was not finished is done at the next start"
        );
        std::process::exit(i32::from(exit));
    });
    // Nobody waits for it: the process ends before it, or by it.
    thread.map(drop)
}

/// Waits until `done` or the limit; whether it was done. Looks often at first: an idle stop takes a fraction of a second.
pub async fn until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    until_told(Instant::now() + limit, None, |_| done()).await
}

/// Waits until `look` says that it is done, or the deadline; whether it was done. Once a second `look` is given the time that has gone, to be told.
///
/// With `skip`, asking a second time ends the waiting.
pub async fn until_told(end: Instant, mut skip: Option<StopAsked>, mut look: impl FnMut(Option<Duration>) -> bool) -> bool {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(2);
    let mut told = 0;
    loop {
        let now = Instant::now();
        let gone = now.duration_since(begun);
        let tell = gone.as_secs() > told;
        told = gone.as_secs();
        if look(tell.then_some(gone)) {
            return true;
        }
        if now >= end {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(pause.min(end.saturating_duration_since(now))) => {}
            () = asked_again(&mut skip) => return look(None),
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

async fn asked_again(skip: &mut Option<StopAsked>) {
    match skip {
        Some(asked) => asked.times(2).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn limits(drain_secs: u64, cancel_secs: u64, total_secs: u64) -> Shutdown {
        Shutdown { drain_secs, cancel_secs, total_secs }
    }

    fn after(from: Instant, to: Instant) -> u64 {
        u64::try_from(to.duration_since(from).as_millis()).unwrap()
    }

    #[test]
    fn all_phases_together_take_no_longer_than_they_may() {
        let now = Instant::now();
        let as_shipped = Deadlines::of(&Shutdown::default(), false, now);
        assert_eq!((after(now, as_shipped.drain), after(now, as_shipped.all)), (60_000, 120_000));
        let full = as_shipped.drain;
        assert_eq!(after(now, as_shipped.cancel(full)), 110_000, "ten seconds are left for the third");
        assert_eq!(after(now, as_shipped.cancel(now)), 60_000);
        for (drain, cancel, total) in [(100, 300, 10), (0, 1, 5), (300, 1, 300), (1, 1, 600)] {
            let deadlines = Deadlines::of(&limits(drain, cancel, total), false, now);
            let cancelled = deadlines.cancel(deadlines.drain);
            assert!(deadlines.drain <= cancelled && cancelled < deadlines.all, "{drain} {cancel} {total}");
            assert_eq!(after(now, deadlines.all), total * 1000);
            let late = deadlines.all + Duration::from_secs(1);
            assert_eq!((deadlines.cancel(late), deadlines.left(VERIFY, late)), (late, Duration::ZERO));
        }
    }

    #[test]
    fn a_session_that_ends_leaves_no_time_to_drain() {
        let now = Instant::now();
        let deadlines = Deadlines::of(&Shutdown::default(), true, now);
        assert_eq!((deadlines.drain, after(now, deadlines.all)), (now, 4000));
        assert_eq!(after(now, deadlines.cancel(now)), 1000);
    }

    #[tokio::test]
    async fn asking_twice_or_a_session_that_ends_skips_the_waiting() {
        for urgent in [false, true] {
            let (ask, asked) = channel();
            ask.ask("a test");
            let mut waiting = Box::pin(until_told(Instant::now() + Duration::from_secs(60), Some(asked.clone()), |_| false));
            tokio::select! { biased; _ = &mut waiting => panic!("once is not enough"), () = tokio::task::yield_now() => {} }
            if urgent {
                ask.session_ends("a test")
            } else {
                ask.ask("a test")
            }
            assert!(!waiting.await);
            assert_eq!(asked.session_ends(), urgent);
        }
    }
}
