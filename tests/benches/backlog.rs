//! What a long queue costs those who pass it by: files a second, CPU and memory with nothing waiting and with a million reports waiting,
//! through real processes. Prints; asserts nothing.
//!
//! - *empty*: nothing waits
//! - *elsewhere*: they wait for another destination, which is held
//! - *held lane*: they wait for the same destination, in a lane that is held
//!
//! In all of them the other destination is there and held: each report has two deliveries. Marks: throughput within 15 % of *empty*, memory
//! within 10 MB.
//!
//! `cargo bench -p waybill-tests --bench backlog`; `WAYBILL_WAITING=100000` makes the backlog another size. A million takes about 1.5 GB of
//! the temporary folder for each of the two stations that have them.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::{Duration, Instant};

use waybill_tests::measure::{Took, load, median, order};
use waybill_tests::sample::several_reports;
use waybill_tests::wait::wait_until_within;
use waybill_tests::{Agent, Receiver, Station, cli, ipc_client};

const WARM_UP: u64 = 500;
const FILES: u64 = 10_000;
const ROUNDS: u64 = 6;
/// Reports in a file of the backlog.
const TOGETHER: u64 = 400;
/// Files of the backlog that lie in the folder at most.
const AHEAD: usize = 100;
/// For everything that fills the queue.
const PATIENCE: Duration = Duration::from_secs(3600);
/// After a start and after a load, until memory is looked at.
const CALM: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, PartialEq)]
enum Backlog {
    None,
    Elsewhere,
    HeldLane,
}

const VARIANTS: [(&str, Backlog); 3] =
    [("empty", Backlog::None), ("elsewhere", Backlog::Elsewhere), ("held lane", Backlog::HeldLane)];

struct Round {
    took: Took,
    /// Memory after the start, after the load, and the most, MB. 0 where the OS does not tell.
    memory: [f64; 3],
}

fn main() {
    let waiting: u64 = std::env::var("WAYBILL_WAITING").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let (receiver, other) = (Receiver::start(), Receiver::start());
    receiver.keep_bodies(false);
    let stations: Vec<Option<Station>> = VARIANTS
        .iter()
        .map(|&(name, backlog)| {
            // An empty one is made anew for each round.
            (backlog != Backlog::None).then(|| {
                let begun = Instant::now();
                let station = filled(&receiver, &other, backlog, waiting);
                let seconds = begun.elapsed().as_secs_f64();
                println!("{name}: {waiting} reports queued in {seconds:.0} s, {:.0} reports/s", waiting as f64 / seconds);
                station
            })
        })
        .collect();
    let mut rounds: Vec<Vec<Round>> = VARIANTS.iter().map(|_| Vec::new()).collect();
    println!("{FILES} files a round; memory after the start, after the load, and the most");
    for number in 0..ROUNDS {
        for variant in order(number as usize, VARIANTS.len()) {
            let station = stations[variant].clone().unwrap_or_else(|| station(&receiver, &other, Backlog::None));
            let round = measure(&station, &receiver, number);
            tell(&format!("round {number}, {}", VARIANTS[variant].0), &round);
            rounds[variant].push(round);
        }
    }
    for (&(name, _), of) in VARIANTS.iter().zip(&rounds) {
        let middle = |value: &dyn Fn(&Round) -> f64| median(of.iter().map(value));
        let took = Took { files_per_second: middle(&|r| r.took.files_per_second), cpu_micros: middle(&|r| r.took.cpu_micros) };
        tell(&format!("{name}, medians"), &Round { took, memory: [0, 1, 2].map(|at| middle(&|r| r.memory[at])) });
    }
    for (&(name, _), of) in VARIANTS.iter().zip(&rounds).skip(1) {
        let against =
            |value: &dyn Fn(&Round, &Round) -> f64| median(rounds[0].iter().zip(of).map(|(empty, this)| value(empty, this)));
        let slower = against(&|empty, this| 100.0 * (1.0 - this.took.files_per_second / empty.took.files_per_second));
        let [idle, after, most] = [0, 1, 2].map(|at| against(&|empty, this| this.memory[at] - empty.memory[at]));
        println!(
            "{name} against empty (medians of the rounds): {slower:.1} % slower (mark 15 %); memory {idle:+.1}, {after:+.1}, {most:+.1} MB (mark 10 MB)"
        );
    }
}

fn tell(what: &str, round: &Round) {
    let [idle, after, most] = round.memory;
    let Took { files_per_second, cpu_micros } = round.took;
    println!("{what}: {files_per_second:.0} files/s, {cpu_micros:.0} µs a report; {idle:.1}, {after:.1}, {most:.1} MB");
}

fn station(receiver: &Receiver, other: &Receiver, backlog: Backlog) -> Station {
    // What is filled in is bound to one of the two only.
    let bound = |to: Backlog| backlog == Backlog::None || backlog == to;
    Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf").after("delete"))
        .source("backlog", |source| source.patterns(["*.json"]).converter("wsjf").after("delete").priority(9))
        .wats(receiver)
        .destination_setting("enabled", bound(Backlog::HeldLane))
        .wats_named("other", other)
        .destination_setting("enabled", bound(Backlog::Elsewhere))
        .queue("max_entries", 10_000_000)
        .queue("max_bytes", 1_u64 << 40)
        .build()
}

/// A station whose queue holds so many reports that go nowhere.
fn filled(receiver: &Receiver, other: &Receiver, backlog: Backlog, waiting: u64) -> Station {
    let station = station(receiver, other, backlog);
    let mut agent = Agent::start(&station);
    hold(&station);
    for first in (0..waiting).step_by(TOGETHER as usize) {
        let (_, bytes) = several_reports(first..waiting.min(first + TOGETHER));
        station.drop_file("backlog", &format!("{first}.json"), &bytes);
        if first % (TOGETHER * 20) == 0 {
            wait_until_within(PATIENCE, "some are taken", || station.watched_files("backlog").len() < AHEAD);
        }
    }
    let client = ipc_client(&station);
    wait_until_within(PATIENCE, "all wait", || client.status().queue.waiting == waiting);
    agent.stop();
    station.write_config(&station.config_text().replace("enabled = false", "enabled = true"));
    station
}

fn hold(station: &Station) {
    for command in [["destinations", "pause", "other"].as_slice(), &["queue", "lanes", "--pause", "9"]] {
        let held = cli(station, command);
        assert!(held.success(), "{held}");
    }
}

fn measure(station: &Station, receiver: &Receiver, number: u64) -> Round {
    receiver.forget();
    let mut agent = Agent::start(station);
    hold(station);
    let memory = |bytes: Option<u64>| bytes.unwrap_or(0) as f64 / 1e6;
    std::thread::sleep(CALM);
    let idle = memory(agent.resident_bytes());
    let first = 100_000_000 + number * (WARM_UP + FILES);
    load(station, &agent, receiver, first..first + WARM_UP);
    let took = load(station, &agent, receiver, first + WARM_UP..first + WARM_UP + FILES);
    std::thread::sleep(CALM);
    let (after, most) = (memory(agent.resident_bytes()), memory(agent.peak_resident_bytes()));
    agent.stop();
    Round { took, memory: [idle, after, most] }
}
