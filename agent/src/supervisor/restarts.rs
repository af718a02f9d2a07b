//! How often something may be started again, and how soon.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Starts that are allowed within [`WINDOW`].
pub(super) const MOST: usize = 3;
/// The time in which they count.
pub(super) const WINDOW: Duration = Duration::from_secs(300);
/// The pause before the first start, in an agent; four times as long before each further one.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// When something was started again.
#[derive(Debug, Clone, Default)]
pub(super) struct Restarts {
    at: VecDeque<Instant>,
    /// How often in all.
    pub(super) count: u32,
}

impl Restarts {
    /// It failed: when it may be started again. None if it has failed too often; nothing but a new start of the agent helps then.
    pub(super) fn failed(&mut self, now: Instant, first_pause: Duration) -> Option<Instant> {
        while self.at.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.at.pop_front();
        }
        if self.at.len() >= MOST {
            return None;
        }
        let pause = first_pause * 4_u32.pow(u32::try_from(self.at.len()).unwrap_or(0));
        self.at.push_back(now);
        self.count += 1;
        Some(now + pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_starts_in_five_minutes_are_allowed_and_the_fourth_is_not() {
        let begun = Instant::now();
        let mut restarts = Restarts::default();
        let pauses: Vec<u64> = (0..3)
            .map(|n| {
                let now = begun + Duration::from_secs(n * 10);
                u64::try_from((restarts.failed(now, FIRST_PAUSE).unwrap() - now).as_millis()).unwrap()
            })
            .collect();
        assert_eq!(pauses, [500, 2000, 8000]);
        assert_eq!(restarts.failed(begun + Duration::from_secs(60), FIRST_PAUSE), None);
        assert_eq!(restarts.count, 3);
    }

    #[test]
    fn what_failed_long_ago_does_not_count() {
        let begun = Instant::now();
        let mut restarts = Restarts::default();
        for n in 0..20 {
            assert!(restarts.failed(begun + Duration::from_secs(n * 101), FIRST_PAUSE).is_some(), "the {n}th");
        }
    }
}
