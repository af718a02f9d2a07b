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
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { failures: 3, cooldown: Duration::from_secs(30), longest: Duration::from_secs(100) };

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(LIMITS);
        (0..3).for_each(|_| breaker.failed(now, 0.5));
        breaker
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_a_success_between_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::new(LIMITS);
        breaker.failed(now, 0.5);
        breaker.failed(now, 0.5);
        breaker.succeeded();
        breaker.failed(now, 0.5);
        breaker.failed(now, 0.5);
        assert!(!breaker.is_open());
        breaker.failed(now, 0.5);
        assert_eq!(breaker.allowed(now), Allowed::NothingUntil(now + LIMITS.cooldown));
    }

    #[test]
    fn late_answers_do_not_lengthen_the_cooldown() {
        let now = Instant::now();
        let mut breaker = open(now);
        breaker.failed(now + Duration::from_secs(1), 0.5);
        assert_eq!(breaker.allowed(now + Duration::from_secs(30)), Allowed::Probe);
    }

    #[test]
    fn a_failed_probe_makes_the_cooldown_longer_by_half_up_to_the_longest() {
        let mut now = Instant::now();
        let mut breaker = open(now);
        let mut waits = Vec::new();
        for _ in 0..4 {
            let Allowed::NothingUntil(until) = breaker.allowed(now) else { panic!("it is open") };
            waits.push((until - now).as_secs());
            now = until;
            assert_eq!(breaker.allowed(now), Allowed::Probe);
            breaker.failed(now, 0.5);
        }
        assert_eq!(waits, [30, 45, 67, 100]);
    }

    #[test]
    fn chance_makes_a_cooldown_longer_or_shorter_by_half() {
        let now = Instant::now();
        let wait = |chance| {
            let mut breaker = Breaker::new(LIMITS);
            (0..3).for_each(|_| breaker.failed(now, chance));
            let Allowed::NothingUntil(until) = breaker.allowed(now) else { panic!("it is open") };
            (until - now).as_secs()
        };
        assert_eq!([wait(0.0), wait(0.5), wait(1.0)], [15, 30, 45]);
    }

    #[test]
    fn a_restart_changes_nothing_of_an_open_one() {
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        let was = open(now).remembered(later).unwrap();
        assert_eq!((was.failures, was.left), (3, Duration::from_secs(20)));
        let mut again = Breaker::reopened(LIMITS, was, later);
        assert_eq!(again.allowed(later), Allowed::NothingUntil(later + Duration::from_secs(20)));
        again.failed(later + Duration::from_secs(20), 0.5);
        let probe = later + Duration::from_secs(65);
        assert_eq!(again.allowed(later + Duration::from_secs(20)), Allowed::NothingUntil(probe), "the cooldown goes on growing");
        again.reset();
        assert_eq!(again.allowed(later), Allowed::UpTo(u32::MAX));
        let impossible = Remembered { failures: 0, cooldown: Duration::MAX, left: Duration::MAX };
        let Allowed::NothingUntil(until) = Breaker::reopened(LIMITS, impossible, now).allowed(now) else { panic!("it is open") };
        assert!(until - now <= Duration::from_secs(150), "a clock that was wrong holds nothing up for ever");
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
