//! Stopping in three phases, whoever asks.
//!
//! 1. *Drain*: nothing new begins; what has begun may end by itself.
//! 2. *Cancel*: what remains is told to let go; what does not is named.
//! 3. *Verify*: what was not sent is counted, the queue is closed, IPC last.
//!
//! Asking again while the first phase runs skips to the second. The queue is crash-safe: cutting a phase short loses nothing.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Asks for a stop; cloning gives another asker.
#[derive(Debug, Clone)]
pub struct StopRequests(watch::Sender<u32>);

/// Waits for a stop to be asked for.
#[derive(Debug, Clone)]
pub struct StopAsked(watch::Receiver<u32>);

/// An asker and a waiter.
#[must_use]
pub fn channel() -> (StopRequests, StopAsked) {
    let (ask, asked) = watch::channel(0);
    (StopRequests(ask), StopAsked(asked))
}

impl StopRequests {
    /// Asks; `by` is who, for the log.
    pub fn ask(&self, by: &str) {
        self.0.send_modify(|times| *times += 1);
        tracing::info!(event = "stop", by, times = *self.0.borrow(), "stopping");
    }
}

impl StopAsked {
    /// Returns once a stop was asked for that often.
    pub async fn times(&mut self, times: u32) {
        // The sender lives as long as the agent.
        let _always_there = self.0.wait_for(|asked| *asked >= times).await;
    }
}

/// How a stop went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// What did not end by itself in time.
    pub stragglers: Vec<String>,
    /// Deliveries that wait for the next start.
    pub unsent: u64,
    /// Why the agent wants to be started again, if nobody had asked it to stop.
    pub gave_up: Option<String>,
}

/// Waits until `done` or the limit; whether it was done. Looks often at first: an idle stop takes a fraction of a second.
///
/// With `skip`, asking a second time ends the waiting.
pub async fn until(limit: Duration, mut skip: Option<StopAsked>, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(pause.min(end.saturating_duration_since(Instant::now()))) => {}
            () = asked_again(&mut skip) => return done(),
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
