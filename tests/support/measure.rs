//! A load and what it costs, for the benchmarks.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::{Agent, Receiver, Station, sample_report};

/// Longest time for one load.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a load took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// Files, from the first drop to the server's having the last one.
    pub files_per_second: f64,
    /// Processor time of the agent for one file, µs. 0 where the OS does not tell.
    pub cpu_micros: f64,
}

/// Drops the reports of these numbers into the source `ict`, a file each, as fast as it can, and waits until the receiver has accepted as
/// many more as these. Panics after 10 min.
#[track_caller]
pub fn load(station: &Station, agent: &Agent, receiver: &Receiver, numbers: Range<u64>) -> Took {
    let files = numbers.end - numbers.start;
    let before = receiver.look(|state| state.accepted_ids);
    let cpu = agent.cpu_time();
    let begun = Instant::now();
    for n in numbers {
        let (id, bytes) = sample_report(n);
        station.drop_file("ict", &format!("{id}.json"), &bytes);
    }
    receiver.wait_for(|state| (state.accepted_ids - before) as u64 == files, PATIENCE);
    let elapsed = begun.elapsed();
    let used = cpu.zip(agent.cpu_time()).map_or(Duration::ZERO, |(before, after)| after - before);
    Took { files_per_second: files as f64 / elapsed.as_secs_f64(), cpu_micros: used.as_secs_f64() * 1e6 / files as f64 }
}

/// In which order a round measures so many variants: each is first, second, … in turn, and every other round goes backwards. A machine that
/// grows slower or faster favours none of them.
#[must_use]
pub fn order(round: usize, variants: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..variants).map(|n| (n + round / 2) % variants).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// The middle one; of an even number the mean of the two in the middle. Panics without any.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
}
