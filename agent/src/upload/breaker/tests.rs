//! Single rules of the breaker, and random lives of one against a story that is told without its states.

use proptest::prelude::*;

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

/// What happens to a destination and its breaker.
#[derive(Debug, Clone)]
enum Step {
    /// As much is sent as may be.
    Send,
    /// One of those on their way is answered; the chance in quarters, so that all times are exact.
    Answer { which: usize, well: bool, quarters: u8 },
    /// Quarters of a second.
    Pass { quarters: u32 },
    /// Up to the moment at which it may be asked again, or one quarter of a second before.
    PassUntil { short: bool },
    /// The agent ends and starts: nothing is on its way any more.
    Restart,
    /// A person wants it to be asked now.
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Send),
        12 => (any::<usize>(), prop::bool::weighted(0.3), 0_u8..=4)
            .prop_map(|(which, well, quarters)| Step::Answer { which, well, quarters }),
        2 => (0_u32..300).prop_map(|quarters| Step::Pass { quarters }),
        4 => prop::bool::weighted(0.3).prop_map(|short| Step::PassUntil { short }),
        1 => Just(Step::Restart),
        1 => Just(Step::Reset),
    ]
}

/// What was on its way when it opened, and what was sent to see whether it is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    WhileClosed,
    AsProbe,
}

/// The story of a breaker, its times since the beginning: how often it failed since it last went well, and how often it opened since then.
#[derive(Debug)]
struct Story {
    limits: Limits,
    now: Duration,
    row: u32,
    /// When each time of being open ends; the cooldown of the nth follows from n.
    openings: Vec<Duration>,
    /// How often it went well since it closed; none if it was never open since the agent's start or a person's reset.
    well_since: Option<u32>,
}

impl Story {
    fn nominal(&self) -> Duration {
        (1..self.openings.len()).fold(self.limits.cooldown, |cooldown, _| (cooldown * 3 / 2).min(self.limits.longest))
    }

    fn until(&self) -> Option<Duration> {
        self.openings.last().copied()
    }

    fn failed(&mut self, quarters: u8) {
        self.row += 1;
        let opens = match self.until() {
            Some(until) => self.now >= until,
            None => self.row >= self.limits.failures,
        };
        if opens {
            self.openings.push(Duration::ZERO);
            // Half of it and so many quarters.
            let wait = self.nominal().mul_f64((2.0 + f64::from(quarters)) / 4.0);
            *self.openings.last_mut().unwrap() = self.now + wait;
        }
    }

    fn succeeded(&mut self) {
        self.row = 0;
        let was_open = !std::mem::take(&mut self.openings).is_empty();
        self.well_since = if was_open { Some(0) } else { self.well_since.map(|well| well + 1) };
    }

    /// How many may be on their way, and whether that is a probe.
    fn may(&self) -> (u32, bool) {
        match self.until() {
            Some(until) if self.now < until => (0, false),
            Some(_) => (1, true),
            None => (self.well_since.map_or(u32::MAX, |well| 1_u32.checked_shl(well).unwrap_or(u32::MAX)), false),
        }
    }
}

/// A dispatcher sends so many at the same time, whatever the breaker allows.
const CONCURRENCY: u32 = 8;

fn lives(limits: Limits, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let start = Instant::now();
    const QUARTER: Duration = Duration::from_millis(250);
    let at = |since: Duration| start + since;
    let mut story = Story { limits, now: Duration::ZERO, row: 0, openings: Vec::new(), well_since: None };
    let mut breaker = Breaker::new(limits);
    let mut on_the_way: Vec<Sent> = Vec::new();
    for step in steps {
        let now = at(story.now);
        match step {
            Step::Send => {
                let (may, probe) = story.may();
                let most = match breaker.allowed(now) {
                    Allowed::UpTo(most) => most.min(CONCURRENCY) as usize,
                    Allowed::Probe => 1,
                    Allowed::NothingUntil(_) => 0,
                };
                prop_assert_eq!(most, may.min(CONCURRENCY) as usize);
                while on_the_way.len() < most {
                    on_the_way.push(if probe { Sent::AsProbe } else { Sent::WhileClosed });
                }
            }
            Step::Answer { which, well, quarters } => {
                if on_the_way.is_empty() {
                    continue;
                }
                let answered = on_the_way.swap_remove(which % on_the_way.len());
                let before = breaker.remembered(now);
                if well {
                    breaker.succeeded();
                    story.succeeded();
                } else {
                    breaker.failed(now, f64::from(quarters) / 4.0);
                    story.failed(quarters);
                }
                check_cooldown(&limits, before, breaker.remembered(now), answered)?;
            }
            Step::Pass { quarters } => story.now += QUARTER * quarters,
            Step::PassUntil { short } => {
                let until = story
                    .until()
                    .map_or(Duration::ZERO, |until| until.saturating_sub(if short { QUARTER } else { Duration::ZERO }));
                story.now = story.now.max(until);
            }
            Step::Restart => {
                on_the_way.clear();
                let was = breaker.remembered(now);
                breaker = was.map_or_else(|| Breaker::new(limits), |was| Breaker::reopened(limits, was, now));
                if was.is_none() {
                    (story.row, story.well_since) = (0, None);
                }
                // Neither longer nor shorter, and what is over stays over.
                prop_assert_eq!(breaker.remembered(now), was);
            }
            Step::Reset => {
                breaker.reset();
                story = Story { limits, now: story.now, row: 0, openings: Vec::new(), well_since: None };
            }
        }
        let (may, probe) = story.may();
        let expected = match (story.until(), may) {
            (_, 1..) if probe => Allowed::Probe,
            (Some(until), _) => Allowed::NothingUntil(at(until)),
            (None, may) => Allowed::UpTo(may),
        };
        prop_assert_eq!(breaker.allowed(at(story.now)), expected);
        prop_assert_eq!((breaker.is_open(), breaker.failures()), (story.until().is_some(), story.row));
        let probes = on_the_way.iter().filter(|sent| **sent == Sent::AsProbe).count();
        prop_assert!(probes <= 1, "{probes} probes at the same time");
    }
    Ok(())
}

/// What must hold of any two cooldowns that follow each other, whatever the story says.
fn check_cooldown(
    limits: &Limits,
    before: Option<Remembered>,
    after: Option<Remembered>,
    answered: Sent,
) -> Result<(), TestCaseError> {
    let Some(after) = after else { return Ok(()) };
    prop_assert!(after.cooldown <= limits.longest && after.left <= limits.longest.mul_f64(1.5));
    match before {
        None => {
            prop_assert_eq!((after.failures, after.cooldown), (limits.failures, limits.cooldown));
            prop_assert!(after.left >= limits.cooldown / 2, "a cooldown is shortened by its half at most");
        }
        Some(before) if before.left > Duration::ZERO => {
            prop_assert_eq!(
                (after.cooldown, after.left),
                (before.cooldown, before.left),
                "{:?} came late and changed it",
                answered
            );
        }
        Some(before) => {
            prop_assert!(before.cooldown <= after.cooldown && after.cooldown <= before.cooldown * 3 / 2);
            prop_assert!(after.left >= after.cooldown / 2);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_opens_probes_and_closes_as_its_story_says(
        failures in 1_u32..6,
        cooldown in 1_u64..60,
        more in 0_u64..400,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        // Whole quarters of a second stay exact.
        let limits = Limits { failures, cooldown: Duration::from_secs(4 * cooldown), longest: Duration::from_secs(4 * (cooldown + more)) };
        lives(limits, steps)?;
    }
}
