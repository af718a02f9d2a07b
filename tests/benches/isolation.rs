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

use waybill_tests::measure::{Took, load, median, order};
use waybill_tests::{Agent, Behaviour, Receiver, Station, cli};

const WARM_UP: u64 = 500;
const FILES: u64 = 10_000;

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
    println!("{FILES} files a round; files/s and agent CPU a report");
    for round in 0..rounds {
        for variant in order(round, VARIANTS.len()) {
            let (name, others) = VARIANTS[variant];
            let this = measure(others);
            println!("round {round}, {name}: {:.0} files/s, {:.0} µs", this.files_per_second, this.cpu_micros);
            took[variant].push(this);
        }
    }
    for (variant, (name, _)) in VARIANTS.iter().enumerate() {
        let (rate, cpu) = (|took: &Took| took.files_per_second, |took: &Took| took.cpu_micros);
        println!(
            "{name}: median {:.0} files/s, {:.0} µs",
            median(took[variant].iter().map(rate)),
            median(took[variant].iter().map(cpu))
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

fn measure(others: Others) -> Took {
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
    agent.kill();
    took
}
