//! A circuit breaker: a destination that is down is left alone, and asked by one report from time to time.
//!
//! closed → open after so many failures in a row → one probe after the cooldown → closed, or open for twice as long. After it
//! closed, reports are let through one, two, four, … at a time, so that a server that just came up is not run over.

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

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, failures: 0, ramp: u32::MAX, open: None }
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
    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        match &mut self.open {
            Some(open) if now >= open.until => {
                open.cooldown = (open.cooldown * 2).min(self.limits.longest);
                open.until = now + open.cooldown;
            }
            // Answers to what was on its way when it opened.
            Some(_) => {}
            None if self.failures >= self.limits.failures => {
                self.open = Some(Open { until: now + self.limits.cooldown, cooldown: self.limits.cooldown });
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { failures: 3, cooldown: Duration::from_secs(30), longest: Duration::from_secs(100) };

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(LIMITS);
        (0..3).for_each(|_| breaker.failed(now));
        breaker
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_a_success_between_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::new(LIMITS);
        breaker.failed(now);
        breaker.failed(now);
        breaker.succeeded();
        breaker.failed(now);
        breaker.failed(now);
        assert!(!breaker.is_open());
        breaker.failed(now);
        assert_eq!(breaker.allowed(now), Allowed::NothingUntil(now + LIMITS.cooldown));
    }

    #[test]
    fn late_answers_do_not_lengthen_the_cooldown() {
        let now = Instant::now();
        let mut breaker = open(now);
        breaker.failed(now + Duration::from_secs(1));
        assert_eq!(breaker.allowed(now + Duration::from_secs(30)), Allowed::Probe);
    }

    #[test]
    fn a_failed_probe_doubles_the_cooldown_up_to_the_longest() {
        let mut now = Instant::now();
        let mut breaker = open(now);
        let mut waits = Vec::new();
        for _ in 0..4 {
            let Allowed::NothingUntil(until) = breaker.allowed(now) else { panic!("it is open") };
            waits.push((until - now).as_secs());
            now = until;
            assert_eq!(breaker.allowed(now), Allowed::Probe);
            breaker.failed(now);
        }
        assert_eq!(waits, [30, 60, 100, 100]);
    }

    #[test]
    fn after_it_closed_reports_go_one_two_four_at_a_time() {
        let now = Instant::now();
        let mut breaker = open(now);
        breaker.succeeded();
        assert_eq!(breaker.allowed(now), Allowed::UpTo(1));
        breaker.succeeded();
        assert_eq!(breaker.allowed(now), Allowed::UpTo(2));
        breaker.succeeded();
        assert_eq!(breaker.allowed(now), Allowed::UpTo(4));
    }
}
