//! Many stations that lost the same server in the same second: the waiting rules of the dispatcher with a told clock and told chances. What
//! is asked of them: they do not come back together.
//!
//! 50 stations come back over minutes, less than one a second: what one second of one outage holds is chance. So the rule is judged by what
//! a second holds on average over many outages, against the mean of one: 50 over the time in which all of them come back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use waybill_shared::config::{self, Upload};

use super::backoff::{self, Backoff};
use super::breaker::{Allowed, Breaker, Limits};

const STATIONS: u64 = 50;
const OUTAGES: u64 = 500;

/// Seconds from the end of an outage to when a station comes back.
type Rule<'a> = &'a dyn Fn(&mut Rng) -> f64;

struct Fleet {
    /// What the fullest second holds on average, as a multiple of the mean.
    fullest: f64,
    /// The most that ever came in one second of one outage.
    together: u64,
}

/// The same outage many times.
fn outages(rule: Rule<'_>) -> Fleet {
    let mut random = Rng::with_seed(50);
    let (mut all, mut length, mut together) = (HashMap::<u64, u64>::new(), 0.0, 0);
    for _ in 0..OUTAGES {
        let times: Vec<f64> = (0..STATIONS).map(|_| rule(&mut random)).collect();
        let (first, last) = times.iter().fold((f64::MAX, 0.0_f64), |(first, last), &time| (first.min(time), last.max(time)));
        length += (last - first).floor() + 1.0;
        let mut seconds = HashMap::<u64, u64>::new();
        times.iter().for_each(|&time| *seconds.entry(second(time)).or_default() += 1);
        together = together.max(seconds.values().copied().max().unwrap_or(0));
        seconds.into_iter().for_each(|(second, count)| *all.entry(second).or_default() += count);
    }
    let most = all.values().copied().max().unwrap_or(0) as f64 / OUTAGES as f64;
    let mean = STATIONS as f64 / (length / OUTAGES as f64);
    Fleet { fullest: most / mean, together }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
fn second(time: f64) -> u64 {
    time as u64
}

fn upload() -> Upload {
    config::parse("").expect("the defaults").upload
}

fn limits() -> Limits {
    let upload = upload();
    Limits {
        failures: upload.breaker_failures,
        cooldown: Duration::from_secs(upload.breaker_cooldown_secs),
        longest: Duration::from_secs(upload.breaker_max_cooldown_secs),
    }
}

fn backoff() -> Backoff {
    let upload = upload();
    Backoff { initial: Duration::from_secs(upload.backoff_initial_secs), longest: Duration::from_secs(upload.backoff_max_secs) }
}

/// Loses its server within the first second; then only its breaker decides when it asks again.
fn after_an_outage(outage: Duration, limits: Limits, random: &mut Rng, chance: impl Fn(&mut Rng) -> f64) -> f64 {
    let lost = Instant::now();
    let mut breaker = Breaker::new(limits);
    let mut now = lost + Duration::from_secs(1).mul_f64(random.f64());
    loop {
        match breaker.allowed(now) {
            Allowed::NothingUntil(until) => now = until,
            Allowed::Probe if now >= lost + outage => return (now - lost - outage).as_secs_f64(),
            Allowed::Probe | Allowed::UpTo(_) => breaker.failed(now, chance(random)),
        }
    }
}

#[test]
fn fifty_stations_that_lost_their_server_together_do_not_come_back_together() {
    // At many moments of the first six minutes, and long after.
    for secs in (20..360).step_by(20).chain([600, 1800, 3600]) {
        let outage = Duration::from_secs(secs);
        let bounds = limits();
        let fleet = outages(&|random| after_an_outage(outage, bounds, random, Rng::f64));
        println!("outage of {secs} s: fullest second {:.2} x the mean; together at most {}", fleet.fullest, fleet.together);
        assert!(fleet.fullest <= 3.0, "outage of {secs} s: {:.2} x the mean", fleet.fullest);
        assert!(fleet.together <= STATIONS / 5, "outage of {secs} s: {} in one second", fleet.together);
    }
}

#[test]
fn without_chance_they_would_come_back_together() {
    let bounds = limits();
    let fleet = outages(&|random| after_an_outage(Duration::from_secs(300), bounds, random, |_| 0.5));
    assert!(fleet.together >= STATIONS / 2, "this measure tells nothing: {}", fleet.together);
}

#[test]
fn reports_that_were_put_off_together_are_not_tried_again_together() {
    let backoff = backoff();
    for tries in 0..8 {
        let fleet = outages(&|random| random.f64() + backoff.after(tries, random.f64()).as_secs_f64());
        println!("after {tries} tries: fullest second {:.2} x the mean", fleet.fullest);
        assert!(fleet.fullest <= 3.0, "after {tries} tries: {:.2} x the mean", fleet.fullest);
    }
}

#[test]
fn stations_that_a_server_asked_for_the_same_wait_do_not_come_back_together() {
    let backoff = backoff();
    for asked in [1, 10, 60, 120, 600].map(Duration::from_secs) {
        let report = outages(&|random| random.f64() + backoff.after_request(0, random.f64(), Some(asked)).as_secs_f64());
        let station = outages(&|random| random.f64() + backoff.silence(asked, random.f64()).as_secs_f64());
        println!("asked for {asked:?}: fullest second {:.2} and {:.2} x the mean", report.fullest, station.fullest);
        assert!(
            report.fullest <= 3.0 && station.fullest <= 3.0,
            "{asked:?}: {:.2}, {:.2} x the mean",
            report.fullest,
            station.fullest
        );
    }
}

#[test]
fn stations_that_were_refused_together_do_not_ask_again_together() {
    let pause = Duration::from_secs(upload().paused_probe_secs);
    let fleet = outages(&|random| random.f64() + backoff::shortened(pause, random.f64()).as_secs_f64());
    assert!(fleet.fullest <= 3.0, "{:.2} x the mean", fleet.fullest);
}
