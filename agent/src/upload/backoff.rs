//! How long to wait before a report is tried again.

use std::time::Duration;

/// Bounds of the waiting.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// After the first try.
    pub initial: Duration,
    /// At most.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after so many tries: doubled each time up to the longest, then a random part of it (full jitter), so that many stations
    /// that failed together do not come back together. `chance` is 0 to 1.
    #[must_use]
    pub fn after(&self, tries: u32, chance: f64) -> Duration {
        let doubled = self.initial.saturating_mul(1 << tries.min(20)).min(self.longest);
        doubled.mul_f64(chance.clamp(0.05, 1.0))
    }

    /// The wait that a server asked for, or our own if that is longer; never more than twice the longest.
    #[must_use]
    pub fn after_request(&self, tries: u32, chance: f64, asked: Option<Duration>) -> Duration {
        let own = self.after(tries, chance);
        asked.map_or(own, |asked| own.max(asked.min(self.longest.saturating_mul(2))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { initial: Duration::from_secs(30), longest: Duration::from_secs(3600) };

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<_> = (0..9).map(|tries| BACKOFF.after(tries, 1.0).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(BACKOFF.after(u32::MAX, 1.0).as_secs(), 3600);
    }

    #[test]
    fn jitter_spreads_them_and_never_makes_them_nothing() {
        assert_eq!(BACKOFF.after(0, 0.5).as_secs(), 15);
        assert!(BACKOFF.after(0, 0.0) >= Duration::from_secs(1));
    }

    #[test]
    fn a_server_may_ask_for_more_and_not_for_ever() {
        assert_eq!(BACKOFF.after_request(0, 1.0, Some(Duration::from_secs(100))).as_secs(), 100);
        assert_eq!(BACKOFF.after_request(0, 1.0, Some(Duration::from_secs(5))).as_secs(), 30);
        assert_eq!(BACKOFF.after_request(0, 1.0, Some(Duration::from_secs(1_000_000))).as_secs(), 7200);
    }
}
