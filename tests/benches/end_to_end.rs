//! End to end on this machine: generator, agent (release) and receiver together, fsync on. Prints; asserts nothing.
//!
//! `cargo bench -p waybill-tests --bench end_to_end`
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::{Duration, Instant};

use waybill_tests::{Agent, Receiver, Station, sample_report};

const FILES: u64 = 10_000;
const SINGLES: u64 = 200;
const IDLE: Duration = Duration::from_secs(30);
const STARTS: usize = 10;

fn main() {
    start_to_ready();
    let receiver = Receiver::start();
    receiver.keep_bodies(false);
    let station = Station::builder()
        .source("ict", |s| s.patterns(["*.json"]).converter("wsjf").after("move"))
        .wats(&receiver)
        .queue("max_entries", 100_000)
        .build();
    let mut agent = Agent::start(&station);
    single_files(&station, &receiver);
    throughput(&station, &receiver, &agent);
    idle(&agent);
    agent.stop();
}

fn start_to_ready() {
    let receiver = Receiver::start();
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let station = Station::simple(&receiver);
        let begun = Instant::now();
        let mut agent = Agent::start(&station);
        times.push(begun.elapsed());
        agent.stop();
    }
    print("start to ready", &mut times);
}

/// One file at a time, from its rename into the folder to the server's having it.
fn single_files(station: &Station, receiver: &Receiver) {
    let mut times = Vec::new();
    for n in 0..SINGLES {
        let (id, bytes) = sample_report(n);
        let begun = Instant::now();
        station.drop_file("ict", &format!("{id}.json"), &bytes);
        receiver.wait(|state| state.has(&id));
        times.push(begun.elapsed());
    }
    print("single file, dropped to received", &mut times);
}

/// Many files dropped as fast as the generator can.
fn throughput(station: &Station, receiver: &Receiver, agent: &Agent) {
    let already = SINGLES;
    let cpu = agent.cpu_time();
    let begun = Instant::now();
    let mut bytes = 0;
    for n in already..already + FILES {
        let (id, content) = sample_report(n);
        bytes += content.len();
        station.drop_file("ict", &format!("{id}.json"), &content);
    }
    let dropped = begun.elapsed();
    receiver.wait_for(|state| state.accepted_ids as u64 == already + FILES, Duration::from_secs(300));
    let elapsed = begun.elapsed();
    println!(
        "{FILES} files of {} bytes: {:.0} files/s end to end ({:.2} s; dropping alone {:.2} s)",
        bytes / usize::try_from(FILES).unwrap_or(1),
        FILES as f64 / elapsed.as_secs_f64(),
        elapsed.as_secs_f64(),
        dropped.as_secs_f64()
    );
    if let (Some(before), Some(after)) = (cpu, agent.cpu_time()) {
        let used = after - before;
        println!("agent CPU a report: {:.0} µs", used.as_secs_f64() * 1e6 / FILES as f64);
    }
    if let Some(resident) = agent.peak_resident_bytes() {
        println!("agent peak resident: {:.1} MB", resident as f64 / 1e6);
    }
}

fn idle(agent: &Agent) {
    std::thread::sleep(Duration::from_secs(2));
    let before = agent.cpu_time();
    std::thread::sleep(IDLE);
    if let (Some(before), Some(after)) = (before, agent.cpu_time()) {
        println!("idle CPU over {} s: {:.0} ms", IDLE.as_secs(), (after - before).as_secs_f64() * 1e3);
    }
    if let Some(resident) = agent.resident_bytes() {
        println!("idle resident: {:.1} MB", resident as f64 / 1e6);
    }
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("{what}: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, {} times", at(0.5), at(0.95), at(0.99), times.len());
}
