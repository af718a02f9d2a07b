//! Whether something that has work to do gets on with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::fault::Faults;

/// Told by a task or thread: it works, it gets on, it rests. Cheap: one store each.
#[derive(Debug, Clone)]
pub struct Progress {
    name: Arc<str>,
    is_thread: bool,
    pub(super) faults: Faults,
    /// Milliseconds of the process at the last sign while it works; 0 while it rests.
    sign: Arc<AtomicU64>,
}

/// Work that goes on until this is dropped.
#[derive(Debug)]
pub struct Working<'a>(&'a Progress);

impl Progress {
    pub(super) fn of(name: &str, is_thread: bool, faults: &Faults) -> Self {
        Self { name: name.into(), is_thread, faults: faults.clone(), sign: Arc::default() }
    }

    /// For what nobody supervises.
    #[must_use]
    pub fn of_nobody() -> Self {
        Self::of("", false, &Faults::default())
    }

    /// Something is to be done now. While it rests, nobody minds how long that takes.
    pub fn work(&self) -> Working<'_> {
        self.beat();
        if self.is_thread {
            self.faults.strike(&self.name);
        }
        Working(self)
    }

    /// Work that goes on has got further.
    pub fn beat(&self) {
        self.sign.store(running_ms(), Ordering::Release);
    }

    /// As if it had worked without a sign for longer than anything may, for a test.
    #[cfg(test)]
    pub(super) fn hang(&self) {
        self.sign.store(1, Ordering::Release);
    }

    pub(super) fn rest(&self) {
        self.sign.store(0, Ordering::Release);
    }

    /// For how long there was no sign of it, if it works.
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        match self.sign.load(Ordering::Acquire) {
            0 => None,
            sign => Some(Duration::from_millis(running_ms().saturating_sub(sign))),
        }
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.rest();
    }
}

/// Milliseconds that only go forward. They begin late, so that there is a long time before.
fn running_ms() -> u64 {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    10_000_000_000 + u64::try_from(BEGUN.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_that_gets_no_further_is_silent() {
        let progress = Progress::of_nobody();
        assert_eq!(progress.silent_for(), None);
        let working = progress.work();
        std::thread::sleep(Duration::from_millis(20));
        assert!(progress.silent_for().unwrap() >= Duration::from_millis(15));
        progress.beat();
        assert!(progress.silent_for().unwrap() < Duration::from_millis(15));
        drop(working);
        assert_eq!(progress.silent_for(), None);
    }
}
