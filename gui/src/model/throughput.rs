//! How many reports were delivered in each of the last two minutes' seconds.
//!
//! The rates are differences of the agent's own counters, taken on a grid of one second. A second for which there is no
//! difference (no connection, a counter that was not there before or that went back) is absent: a gap, never a zero.

use std::collections::{BTreeMap, VecDeque};

use waybill_ipc::protocol::Snapshot;

/// Seconds that are kept.
pub const WINDOW_SECS: usize = 120;

/// A difference over more seconds than this says too little about each of them and is left out.
const LONGEST_STEP_SECS: u64 = 5;

/// Deliveries per second, one entry a second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Throughput {
    /// The newest last; its last entry stands for `newest`.
    rates: VecDeque<Option<Rates>>,
    newest: u64,
    baseline: Option<Counters>,
}

/// What one second delivered.
#[derive(Debug, Clone, PartialEq)]
struct Rates {
    total: f64,
    by_destination: BTreeMap<String, f64>,
}

/// `sent` of each destination.
type Counters = BTreeMap<String, u64>;

/// A stretch of seconds without a gap: seconds before now (0 or negative), deliveries per second.
pub type Stretch = Vec<[f64; 2]>;

impl Throughput {
    /// Takes the counters at the end of second number `second`; `None` while they are unknown. True if the picture changed.
    pub fn observe(&mut self, second: u64, snapshot: Option<&Snapshot>) -> bool {
        let step = second.saturating_sub(self.newest);
        if step == 0 {
            return false;
        }
        let showed = self.is_moving();
        let counters = snapshot.map(counters);
        let rates = match (&self.baseline, &counters) {
            (Some(before), Some(after)) if step <= LONGEST_STEP_SECS => rates(before, after, step),
            _ => None,
        };
        for _ in 0..step.min(WINDOW_SECS as u64) {
            if self.rates.len() == WINDOW_SECS {
                self.rates.pop_front();
            }
            self.rates.push_back(rates.clone());
        }
        self.newest = second;
        self.baseline = counters;
        showed || self.is_moving()
    }

    /// The counters are unknown from now on; what is counted next starts a new stretch.
    pub fn interrupt(&mut self) {
        self.baseline = None;
    }

    /// True while there is a delivery in sight, so that the picture changes with time alone.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.rates.iter().flatten().any(|rates| rates.total > 0.0)
    }

    /// Deliveries in the seconds that were measured, and how many seconds that are.
    #[must_use]
    pub fn measured(&self) -> (f64, usize) {
        self.rates.iter().flatten().fold((0.0, 0), |(sum, seconds), rates| (sum + rates.total, seconds + 1))
    }

    /// Destinations that delivered anything in sight.
    #[must_use]
    pub fn destinations(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, rate) in self.rates.iter().flatten().flat_map(|rates| &rates.by_destination) {
            if *rate > 0.0 && !names.contains(name) {
                names.push(name.clone());
            }
        }
        names.sort();
        names
    }

    /// All destinations together.
    #[must_use]
    pub fn total(&self) -> Vec<Stretch> {
        self.stretches(|rates| Some(rates.total))
    }

    /// One destination.
    #[must_use]
    pub fn of(&self, destination: &str) -> Vec<Stretch> {
        self.stretches(|rates| rates.by_destination.get(destination).copied())
    }

    fn stretches(&self, rate: impl Fn(&Rates) -> Option<f64>) -> Vec<Stretch> {
        let mut stretches = vec![Stretch::new()];
        #[allow(clippy::cast_precision_loss, reason = "at most 120")]
        let oldest = 1.0 - self.rates.len() as f64;
        let mut at = oldest;
        for rates in &self.rates {
            match rates.as_ref().and_then(&rate) {
                Some(value) => {
                    if let Some(stretch) = stretches.last_mut() {
                        stretch.push([at, value]);
                    }
                }
                None => stretches.push(Stretch::new()),
            }
            at += 1.0;
        }
        stretches.retain(|stretch| !stretch.is_empty());
        stretches
    }
}

fn counters(snapshot: &Snapshot) -> Counters {
    snapshot.destinations.iter().map(|d| (d.name.clone(), d.sent)).collect()
}

/// The mean over `step` seconds; `None` if no destination can be compared.
fn rates(before: &Counters, after: &Counters, step: u64) -> Option<Rates> {
    #[allow(clippy::cast_precision_loss, reason = "a rate is far below 2^52")]
    let by_destination: BTreeMap<String, f64> = after
        .iter()
        .filter_map(|(name, now)| {
            let delivered = now.checked_sub(*before.get(name)?)?;
            Some((name.clone(), delivered as f64 / step as f64))
        })
        .collect();
    if by_destination.is_empty() {
        return None;
    }
    Some(Rates { total: by_destination.values().sum(), by_destination })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample;

    fn with_sent(sent: &[(&str, u64)]) -> Snapshot {
        let destinations = sent.iter().map(|(name, sent)| sample::destination(name, *sent)).collect();
        Snapshot { destinations, ..sample::snapshot() }
    }

    #[test]
    fn deliveries_are_counted_per_second_and_destination() {
        let mut throughput = Throughput::default();
        throughput.observe(1, Some(&with_sent(&[("a", 10), ("b", 5)])));
        throughput.observe(2, Some(&with_sent(&[("a", 13), ("b", 5)])));
        assert!(throughput.observe(3, Some(&with_sent(&[("a", 13), ("b", 9)]))));
        assert_eq!(throughput.total(), vec![vec![[-1.0, 3.0], [0.0, 4.0]]]);
        assert_eq!(throughput.of("a"), vec![vec![[-1.0, 3.0], [0.0, 0.0]]]);
        assert_eq!(throughput.destinations(), ["a", "b"]);
        assert_eq!(throughput.measured(), (7.0, 2));
    }

    #[test]
    fn a_lost_connection_is_a_gap_and_not_a_zero() {
        let mut throughput = Throughput::default();
        throughput.observe(1, Some(&with_sent(&[("a", 1)])));
        throughput.observe(2, Some(&with_sent(&[("a", 2)])));
        throughput.interrupt();
        throughput.observe(3, None);
        // What was delivered meanwhile belongs to no particular second.
        throughput.observe(4, Some(&with_sent(&[("a", 900)])));
        throughput.observe(5, Some(&with_sent(&[("a", 901)])));
        assert_eq!(throughput.total(), vec![vec![[-3.0, 1.0]], vec![[0.0, 1.0]]]);
    }

    #[test]
    fn a_counter_that_went_back_or_is_new_gives_no_rate() {
        let mut throughput = Throughput::default();
        throughput.observe(1, Some(&with_sent(&[("a", 100)])));
        throughput.observe(2, Some(&with_sent(&[("a", 3), ("b", 7)])));
        assert!(throughput.total().is_empty());
        assert!(!throughput.is_moving());
    }

    #[test]
    fn a_late_tick_spreads_over_its_seconds_and_a_very_late_one_is_a_gap() {
        let mut throughput = Throughput::default();
        throughput.observe(1, Some(&with_sent(&[("a", 0)])));
        throughput.observe(3, Some(&with_sent(&[("a", 4)])));
        assert_eq!(throughput.total(), vec![vec![[-1.0, 2.0], [0.0, 2.0]]]);
        throughput.observe(60, Some(&with_sent(&[("a", 5)])));
        assert_eq!(throughput.total(), vec![vec![[-58.0, 2.0], [-57.0, 2.0]]]);
        assert!(!throughput.observe(60, None), "a second is counted once");
    }

    #[test]
    fn two_minutes_are_kept_and_then_the_picture_rests() {
        let mut throughput = Throughput::default();
        for second in 1..=200 {
            throughput.observe(second, Some(&with_sent(&[("a", second)])));
        }
        assert_eq!(throughput.total()[0].len(), WINDOW_SECS);
        assert!(throughput.observe(320, Some(&with_sent(&[("a", 200)]))), "the old seconds leave the picture");
        assert!(!throughput.observe(321, Some(&with_sent(&[("a", 200)]))), "nothing to paint any more");
    }
}
