//! What bounds the queue: reports between converter and commit, reports that wait, bytes that they take, room on the disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use waybill_ipc::protocol::FullBy;
use waybill_shared::config::{self, WhenFull};

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

/// What bounds the reports that wait for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most reports.
    pub entries: u64,
    /// Most bytes that they take in the store.
    pub bytes: u64,
    /// Bytes that must stay free on the disk of the store.
    pub free_bytes: u64,
    /// Percent of that disk that must stay free; what is more counts.
    pub free_percent: u8,
    /// What happens when there is no more room.
    pub when_full: WhenFull,
}

/// What waits for a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filled {
    /// Reports.
    pub entries: u64,
    /// Bytes that they take in the store.
    pub bytes: u64,
}

/// Room on the disk of the store; all of it is 0 if the OS does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disk {
    /// Free for this program, bytes.
    pub free: u64,
    /// Its size, bytes.
    pub total: u64,
}

/// Which bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// As many reports wait as may.
    Entries,
    /// They take as many bytes as they may.
    Bytes,
    /// The disk has no more room than must stay free.
    Disk,
}

impl Full {
    /// As clients are told.
    #[must_use]
    pub fn by(self) -> FullBy {
        match self {
            Self::Entries => FullBy::Entries,
            Self::Bytes => FullBy::Bytes,
            Self::Disk => FullBy::Disk,
        }
    }
}

impl Limits {
    /// Those of a configuration.
    #[must_use]
    pub fn of(queue: &config::Queue) -> Self {
        Self {
            entries: queue.max_entries,
            bytes: queue.max_bytes,
            free_bytes: queue.min_free_bytes,
            free_percent: queue.min_free_percent,
            when_full: queue.when_full,
        }
    }

    /// Bytes that must stay free on a disk.
    #[must_use]
    pub fn floor(&self, disk: Disk) -> u64 {
        self.free_bytes.max(disk.total / 100 * u64::from(self.free_percent))
    }

    /// Which bound would be passed with so much.
    #[must_use]
    pub fn passed(&self, filled: Filled, disk: Disk) -> Option<Full> {
        if disk.total > 0 && disk.free < self.floor(disk) {
            Some(Full::Disk)
        } else if filled.entries > self.entries {
            Some(Full::Entries)
        } else if filled.bytes > self.bytes {
            Some(Full::Bytes)
        } else {
            None
        }
    }

    /// Whether the queue is full: a bound is reached, or was and nine tenths are not yet left.
    #[must_use]
    pub fn full(&self, filled: Filled, disk: Disk, refused: Option<Full>, was_full: bool) -> Option<Full> {
        let tenth = |limit: u64| limit - limit.div_ceil(10);
        let (entries, bytes) =
            if was_full { (tenth(self.entries) + 1, tenth(self.bytes) + 1) } else { (self.entries, self.bytes) };
        let floor = self.floor(disk);
        let floor = if was_full { floor + floor / 9 } else { floor };
        if disk.total > 0 && disk.free < floor {
            Some(Full::Disk)
        } else if filled.entries >= entries {
            Some(Full::Entries)
        } else if filled.bytes >= bytes {
            Some(Full::Bytes)
        } else {
            refused
        }
    }
}

/// Whether the queue takes more.
#[derive(Debug, Default)]
pub struct Gate {
    closed: AtomicBool,
    nowhere: AtomicU64,
}

impl Gate {
    /// True while the queue turns reports away.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Reports that wait for a destination, of which there is none.
    #[must_use]
    pub fn nowhere(&self) -> u64 {
        self.nowhere.load(Ordering::Relaxed)
    }

    pub(super) fn count_nowhere(&self, count: i64) {
        self.nowhere.store(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
    }

    /// Sets the gate; true if it changed.
    pub(super) fn set(&self, full: Option<Full>) -> bool {
        self.closed.swap(full.is_some(), Ordering::AcqRel) != full.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Disk = Disk { free: 500, total: 1000 };

    fn limits(entries: u64, bytes: u64) -> Limits {
        Limits { entries, bytes, free_bytes: 90, free_percent: 2, when_full: WhenFull::Reject }
    }

    fn waiting(entries: u64) -> Filled {
        Filled { entries, bytes: 0 }
    }

    #[test]
    fn it_is_full_at_the_limit_until_nine_tenths_are_left() {
        let limits = limits(100, 1000);
        let full = |entries, was| limits.full(waiting(entries), ROOM, None, was);
        assert_eq!((full(99, false), full(100, false)), (None, Some(Full::Entries)));
        assert_eq!((full(91, true), full(90, true)), (Some(Full::Entries), None));
        let bytes = |bytes, was| limits.full(Filled { entries: 0, bytes }, ROOM, None, was);
        assert_eq!((bytes(999, false), bytes(1000, false)), (None, Some(Full::Bytes)));
        assert_eq!((bytes(901, true), bytes(900, true)), (Some(Full::Bytes), None));
    }

    #[test]
    fn a_limit_of_one_opens_again() {
        let limits = limits(1, 1000);
        assert_eq!(limits.full(waiting(1), ROOM, None, false), Some(Full::Entries));
        assert_eq!(limits.full(waiting(0), ROOM, None, true), None);
    }

    #[test]
    fn the_disk_counts_by_bytes_or_percent_whichever_is_more() {
        let limits = limits(100, 1000);
        let full = |free, total, was| limits.full(waiting(0), Disk { free, total }, None, was);
        assert_eq!((full(89, 1000, false), full(90, 1000, false)), (Some(Full::Disk), None));
        assert_eq!((full(99, 1000, true), full(100, 1000, true)), (Some(Full::Disk), None), "a ninth more before it opens");
        assert_eq!((full(199, 10_000, false), full(200, 10_000, false)), (Some(Full::Disk), None));
        assert_eq!(full(0, 0, false), None, "a disk that does not tell its size bounds nothing");
    }

    #[test]
    fn what_did_not_fit_closes_it_as_well() {
        assert_eq!(limits(100, 1000).full(waiting(5), ROOM, Some(Full::Bytes), false), Some(Full::Bytes));
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
