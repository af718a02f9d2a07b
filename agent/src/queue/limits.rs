//! What bounds the queue: reports between converter and commit, and reports that wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Most reports that are converted and not committed.
const BACKLOG_REPORTS: usize = 1024;
/// Most bytes that are converted and not committed.
const BACKLOG_BYTES: usize = 64 * 1024 * 1024;

/// Backpressure from the writer to the converters: a converter waits here while too much is converted and not committed.
///
/// The lock is held for additions only.
#[derive(Debug, Default)]
pub struct Backlog {
    held: Mutex<(usize, usize)>,
    freed: Condvar,
}

impl Backlog {
    /// Takes room for a file's reports, waiting up to `limit`; false if there was none. A single file larger than all the room
    /// is let in alone.
    pub fn take(&self, reports: usize, bytes: usize, limit: Duration) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let full =
            |held: &mut (usize, usize)| *held != (0, 0) && (held.0 + reports > BACKLOG_REPORTS || held.1 + bytes > BACKLOG_BYTES);
        let (mut held, waited) = self.freed.wait_timeout_while(held, limit, full).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return false;
        }
        held.0 += reports;
        held.1 += bytes;
        true
    }

    /// Gives room back after the commit.
    pub fn give(&self, reports: usize, bytes: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.0 -= reports;
        held.1 -= bytes;
        drop(held);
        self.freed.notify_all();
    }
}

/// Whether the queue takes more. Closes when as many wait as may, opens when nine tenths are left.
#[derive(Debug, Default)]
pub struct Gate {
    closed: AtomicBool,
}

impl Gate {
    /// True while the queue turns reports away.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Sets the gate by how many wait; the new state if it changed.
    pub(super) fn set(&self, waiting: u64, limit: u64) -> Option<bool> {
        let closed = if self.is_closed() { waiting > limit - limit.div_ceil(10) } else { waiting >= limit };
        (self.closed.swap(closed, Ordering::AcqRel) != closed).then_some(closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_closes_at_the_limit_and_opens_at_nine_tenths() {
        let gate = Gate::default();
        assert_eq!(gate.set(9, 10), None);
        assert_eq!(gate.set(10, 10), Some(true));
        assert_eq!(gate.set(10, 10), None);
        assert_eq!(gate.set(9, 10), Some(false));
        let gate = Gate::default();
        assert_eq!(gate.set(100, 100), Some(true));
        assert_eq!(gate.set(91, 100), None);
        assert_eq!(gate.set(90, 100), Some(false));
        let one = Gate::default();
        assert_eq!(one.set(1, 1), Some(true));
        assert_eq!(one.set(0, 1), Some(false), "a limit of one opens again");
    }

    #[test]
    fn room_is_given_back_and_a_huge_file_goes_alone() {
        let backlog = Backlog::default();
        assert!(backlog.take(1, BACKLOG_BYTES * 2, Duration::ZERO));
        assert!(!backlog.take(1, 1, Duration::from_millis(1)));
        backlog.give(1, BACKLOG_BYTES * 2);
        assert!(backlog.take(BACKLOG_REPORTS, 1, Duration::ZERO));
        assert!(!backlog.take(1, 1, Duration::from_millis(1)));
    }
}
