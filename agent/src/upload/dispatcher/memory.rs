//! The breaker as the store remembers it over restarts.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Dispatcher;
use crate::queue::{BreakerMemory, Command};
use crate::upload::breaker;

/// What the store remembers of a breaker that was open.
pub(super) fn was_open(memory: BreakerMemory) -> Option<breaker::Remembered> {
    let millis = |time: i64| Duration::from_millis(u64::try_from(time).unwrap_or(0));
    let (cooldown, until) = (memory.cooldown_ms?, memory.open_until_ms?);
    let left = until.saturating_sub(Timestamp::now().as_millisecond());
    Some(breaker::Remembered { failures: memory.failures, cooldown: millis(cooldown), left: millis(left) })
}

impl Dispatcher {
    /// Has the store remember the breaker, if it is another one than it remembers.
    pub(super) fn remember_breaker(&mut self, now: Instant) {
        let is = self.breaker.remembered(now);
        let same = |a: &breaker::Remembered, b: &breaker::Remembered| a.cooldown == b.cooldown && a.failures == b.failures;
        let known = match (&is, &self.remembered) {
            (None, None) => true,
            (Some(is), Some(was)) => same(is, was),
            _ => false,
        };
        if known {
            return;
        }
        self.remembered = is;
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let breaker = is.map_or_else(BreakerMemory::default, |open| BreakerMemory {
            failures: open.failures,
            cooldown_ms: Some(millis(open.cooldown)),
            open_until_ms: Some(Timestamp::now().as_millisecond().saturating_add(millis(open.left))),
        });
        let destination = self.setup.name.clone();
        // Not waited for: a full queue must hold up no answer. What is not remembered is asked at once after a restart.
        self.setup.writer.try_send(Command::Breaker { destination, breaker });
    }
}
