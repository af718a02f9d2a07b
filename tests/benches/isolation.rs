//! What a destination that hangs and one that refuses cost the third, files a second on this machine. Prints; asserts nothing.
//!
//! - *alone*: only the third is configured
//! - *held*: the other two are there and held by a person: each report has three deliveries, and nothing fails
//! - *failing*: one takes connections and never answers, one refuses them; both are given up and asked again every second, where the defaults
//!   are 30 s and more
//!
//! From *held* to *failing* is what the failing costs (mark: below 5 %); from *alone* to *held* what two more deliveries a report cost.
//!
//! `cargo bench -p waybill-tests --bench isolation`; `WAYBILL_ROUNDS=12` makes it steadier.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::Duration;

use waybill_tests::measure::{Took, load, median, order};
use waybill_tests::{Agent, Behaviour, Receiver, Station, cli};

const WARM_UP: u64 = 500;
const FILES: u64 = 10_000;
/// After the load: what the failing costs while nothing else is done.
const QUIET: Duration = Duration::from_secs(10);
/// Until the load's own tidying up is over.
const CALM: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, PartialEq)]
enum Others {
    Absent,
    Held,
    Failing,
}

const VARIANTS: [(&str, Others); 3] = [("alone", Others::Absent), ("held", Others::Held), ("failing", Others::Failing)];

fn main() {
    let rounds: usize = std::env::var("WAYBILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let mut took: Vec<Vec<Took>> = vec![Vec::new(); VARIANTS.len()];
    let mut quiet: Vec<Vec<f64>> = vec![Vec::new(); VARIANTS.len()];
    println!(
        "{FILES} files a round; files/s, agent CPU a report, and agent CPU in a quiet second afterwards, when all reports wait that can"
    );
    for round in 0..rounds {
        for variant in order(round, VARIANTS.len()) {
            let (name, others) = VARIANTS[variant];
            let (this, still) = measure(others);
            println!(
                "round {round}, {name}: {:.0} files/s, {:.0} µs; {still:.1} ms a quiet second",
                this.files_per_second, this.cpu_micros
            );
            took[variant].push(this);
            quiet[variant].push(still);
        }
    }
    for (variant, (name, _)) in VARIANTS.iter().enumerate() {
        let (rate, cpu) = (|took: &Took| took.files_per_second, |took: &Took| took.cpu_micros);
        println!(
            "{name}: median {:.0} files/s, {:.0} µs; {:.1} ms a quiet second",
            median(took[variant].iter().map(rate)),
            median(took[variant].iter().map(cpu)),
            median(quiet[variant].iter().copied())
        );
    }
    let cost = |from: usize, to: usize| {
        let pairs = || took[from].iter().zip(&took[to]);
        let slower = median(pairs().map(|(from, to)| 100.0 * (1.0 - to.files_per_second / from.files_per_second)));
        let work = median(pairs().map(|(from, to)| 100.0 * (to.cpu_micros / from.cpu_micros - 1.0)));
        format!("{slower:.1} % of the files/s, {work:+.1} % CPU")
    };
    println!("two more deliveries a report cost {} (alone to held; medians of the rounds)", cost(0, 1));
    println!("that they fail costs {} (held to failing; medians of the rounds; mark 5 % of the files/s)", cost(1, 2));
}

/// The load, and processor time of the agent in a quiet second after it, ms.
fn measure(others: Others) -> (Took, f64) {
    let (hangs, refuses, well) = (Receiver::start(), Receiver::start(), Receiver::start());
    hangs.set(Behaviour::Hang);
    refuses.stop_listening();
    well.keep_bodies(false);
    let mut station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf").after("delete"))
        .queue("max_entries", 1_000_000)
        .upload("read_timeout_secs", 1)
        .upload("breaker_cooldown_secs", 1)
        .upload("breaker_max_cooldown_secs", 1)
        .wats_named("well", &well);
    if others != Others::Absent {
        station = station.wats_named("hangs", &hangs).wats_named("refuses", &refuses);
    }
    let station = station.build();
    let mut agent = Agent::start(&station);
    if others == Others::Held {
        for destination in ["hangs", "refuses"] {
            let held = cli(&station, &["destinations", "pause", destination]);
            assert!(held.success(), "{held}");
        }
    }
    load(&station, &agent, &well, 0..WARM_UP);
    let took = load(&station, &agent, &well, WARM_UP..WARM_UP + FILES);
    std::thread::sleep(CALM);
    let before = agent.cpu_time();
    std::thread::sleep(QUIET);
    let quiet = before.zip(agent.cpu_time()).map_or(Duration::ZERO, |(before, after)| after - before);
    agent.kill();
    (took, quiet.as_secs_f64() * 1e3 / QUIET.as_secs_f64())
}
