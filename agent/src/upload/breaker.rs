//! A circuit breaker: a destination that is down is left alone, and asked by one report from time to time.
//!
//! closed → open after so many failures in a row → one probe after the cooldown → closed, or open for half as long again. After it
//! closed, reports are let through one, two, four, … at a time, so that a server that just came up is not run over. A cooldown is longer or
//! shorter by chance, up to its half: stations that lost their server together do not come back together. It grows no faster, since a
//! station that asked just before the server came back would wait alone while all others are there (the tests `fleet` judge both).

use std::time::{Duration, Instant};

/// Bounds of the breaker.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it is open at first.
    pub cooldown: Duration,
    /// How long at most.
    pub longest: Duration,
}

/// What may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// So many reports at the same time, at most.
    UpTo(u32),
    /// One, to see whether it is back.
    Probe,
    /// Nothing until then.
    NothingUntil(Instant),
}

/// The breaker of one destination.
#[derive(Debug)]
pub struct Breaker {
    limits: Limits,
    failures: u32,
    ramp: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    cooldown: Duration,
}

/// An open breaker as it is remembered over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// Failures in a row.
    pub failures: u32,
    /// How long it is open this time.
    pub cooldown: Duration,
    /// How long it stays open from now on.
    pub left: Duration,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, failures: 0, ramp: u32::MAX, open: None }
    }

    /// One that was open when the agent ended. None of its times is longer than it may be now.
    #[must_use]
    pub fn reopened(limits: Limits, was: Remembered, now: Instant) -> Self {
        let cooldown = was.cooldown.min(limits.longest);
        let until = now + was.left.min(jittered(cooldown, 1.0));
        Self { limits, failures: was.failures.max(limits.failures), ramp: u32::MAX, open: Some(Open { until, cooldown }) }
    }

    /// How it is, if it is open.
    #[must_use]
    pub fn remembered(&self, now: Instant) -> Option<Remembered> {
        let open = self.open.as_ref()?;
        let left = open.until.saturating_duration_since(now);
        Some(Remembered { failures: self.failures, cooldown: open.cooldown, left })
    }

    /// A person wants it to be asked now.
    pub fn reset(&mut self) {
        *self = Self::new(self.limits);
    }

    /// What may be sent now, with so many on their way.
    #[must_use]
    pub fn allowed(&self, now: Instant) -> Allowed {
        match &self.open {
            None => Allowed::UpTo(self.ramp),
            Some(open) if now >= open.until => Allowed::Probe,
            Some(open) => Allowed::NothingUntil(open.until),
        }
    }

    /// True while it is open, a probe included.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The destination answered as it should.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        if self.open.take().is_some() {
            self.ramp = 1;
        } else {
            self.ramp = self.ramp.saturating_mul(2);
        }
    }

    /// The destination could not be reached, or says that it is down.
    ///
    /// `chance` is 0 to 1.
    pub fn failed(&mut self, now: Instant, chance: f64) {
        self.failures = self.failures.saturating_add(1);
        match &mut self.open {
            Some(open) if now >= open.until => {
                open.cooldown = (open.cooldown * 3 / 2).min(self.limits.longest);
                open.until = now + jittered(open.cooldown, chance);
            }
            // Answers to what was on its way when it opened.
            Some(_) => {}
            None if self.failures >= self.limits.failures => {
                let cooldown = self.limits.cooldown;
                self.open = Some(Open { until: now + jittered(cooldown, chance), cooldown });
            }
            None => {}
        }
    }
}

/// Between half of a time and one and a half of it.
fn jittered(time: Duration, chance: f64) -> Duration {
    time.mul_f64(0.5 + chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
