//! Signs of life of the agent's main loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Clock;

/// Silence of the main loop after which the agent counts as stalled.
pub const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Given to the main loop, which says with it that it makes progress. Made when the loop is about to start: that counts as the first beat.
#[derive(Clone)]
pub struct Heartbeat {
    clock: Clock,
    /// Milliseconds of the clock that only goes forward.
    last: Arc<AtomicU64>,
}

impl Heartbeat {
    /// A heart that beats for the first time.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let heartbeat = Self { clock, last: Arc::default() };
        heartbeat.beat();
        heartbeat
    }

    /// The loop makes progress. Cheap: one store.
    pub fn beat(&self) {
        self.last.store(self.clock.running_ms(), Ordering::Release);
    }

    /// For how long there was no beat.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        Duration::from_millis(self.clock.running_ms().saturating_sub(self.last.load(Ordering::Acquire)))
    }
}
