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
        // Never nothing, and no wait likelier than another: whatever is cut off at an end would come back together.
        doubled.mul_f64(0.05 + 0.95 * chance.clamp(0.0, 1.0))
    }

    /// The wait that a server asked for and our own after it: a server may ask many stations for the same in one second. One that asks
    /// for more than twice the longest is not obeyed beyond that.
    #[must_use]
    pub fn after_request(&self, tries: u32, chance: f64, asked: Option<Duration>) -> Duration {
        let own = self.after(tries, chance);
        own + asked.map_or(Duration::ZERO, |asked| asked.min(self.longest.saturating_mul(2)))
    }

    /// How long nothing at all goes to a server that asked for a wait: as long, and longer by chance up to its half; never more than one
    /// and a half times the longest. `chance` is 0 to 1.
    #[must_use]
    pub fn silence(&self, asked: Duration, chance: f64) -> Duration {
        asked.min(self.longest).mul_f64(1.0 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

/// A pause that many stations may have begun in the same second: shorter by chance up to a quarter. `chance` is 0 to 1.
#[must_use]
pub fn shortened(pause: Duration, chance: f64) -> Duration {
    pause.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 4.0)
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
    fn a_pause_is_shorter_by_a_quarter_at_most() {
        let pause = |chance| shortened(Duration::from_secs(300), chance).as_secs();
        assert_eq!([pause(0.0), pause(0.5), pause(1.0)], [300, 262, 225]);
    }

    #[test]
    fn a_server_may_ask_for_more_and_not_for_ever() {
        let secs = Duration::from_secs;
        let wait = |chance, asked| BACKOFF.after_request(0, chance, Some(secs(asked))).as_secs();
        assert_eq!([wait(0.0, 100), wait(1.0, 100)], [101, 130], "never less than it asked for, and not all the same");
        assert_eq!([wait(0.0, 1_000_000), wait(1.0, 1_000_000)], [7201, 7230]);
        let silence = |chance, asked| BACKOFF.silence(secs(asked), chance).as_secs();
        assert_eq!([silence(0.0, 100), silence(1.0, 100), silence(1.0, 1_000_000)], [100, 150, 5400]);
    }
}
