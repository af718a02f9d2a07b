//! How many changes one connection may ask for: a bucket of tokens that fills again with time.

use std::time::{Duration, Instant};

/// A connection's bucket.
#[derive(Debug)]
pub(super) struct Rate {
    per_minute: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Rate {
    pub(super) fn new(per_minute: u32, burst: u32, now: Instant) -> Self {
        Self { per_minute: f64::from(per_minute), burst: f64::from(burst), tokens: f64::from(burst), filled: now }
    }

    /// Takes a token; else how long until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let minutes = now.saturating_duration_since(self.filled).as_secs_f64() / 60.0;
        self.filled = now;
        self.tokens = (self.tokens + minutes * self.per_minute).min(self.burst);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.per_minute * 60.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_so_many_a_minute() {
        let start = Instant::now();
        let mut rate = Rate::new(100, 20, start);
        assert!((0..20).all(|_| rate.take(start).is_ok()));
        let wait = rate.take(start).unwrap_err();
        assert!((0.5..0.7).contains(&wait.as_secs_f64()), "{wait:?}");
        assert!(rate.take(start + wait).is_ok() && rate.take(start + wait).is_err());
        // A minute later: not more than a burst, whatever was saved up.
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..200).filter(|_| rate.take(later).is_ok()).count(), 20);
        // And no more than so many in any minute after the burst.
        let taken = (0..60_000).filter(|ms| rate.take(later + Duration::from_millis(*ms)).is_ok()).count();
        assert!((98..=101).contains(&taken), "{taken}");
    }
}
