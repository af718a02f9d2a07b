//! What one very large file costs: time, and the agent's most memory, through a real process. Prints; asserts nothing.
//!
//! The mark: a file of 500 MB within 200 MB of memory. Each kind of file is made by repeating the units of a sample of the test data.
//!
//! `cargo bench -p waybill-tests --bench large`; `WAYBILL_MEGABYTES=100` makes the files another size. It takes three times the size of a file in the temporary
//! folder.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a benchmark prints, and imitates equipment, which writes files carelessly"
)]

use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use waybill_tests::sample::data_file;
use waybill_tests::wait::wait_until_within;
use waybill_tests::{Agent, Station};

/// Longest time for one file.
const PATIENCE: Duration = Duration::from_secs(900);

/// A kind of file: what it begins with, a unit, what it ends with.
struct Kind {
    converter: &'static str,
    name: &'static str,
    head: Vec<u8>,
    unit: Vec<u8>,
    units: u64,
    tail: Vec<u8>,
}

fn main() {
    let megabytes: u64 = std::env::var("WAYBILL_MEGABYTES").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    println!("one file of {megabytes} MB; mark: at most 200 MB of memory for 500 MB");
    println!("{:<10} {:>10} {:>10} {:>12} {:>12}", "format", "units", "MB/s", "idle MB", "most MB");
    for kind in [wsxf(), stdf()] {
        measure(&kind, megabytes * 1_000_000);
    }
}

fn measure(kind: &Kind, bytes: u64) {
    let station = Station::builder()
        .source("large", |source| source.patterns(["*"]).converter(kind.converter).argument("part_number", "PN"))
        .folder_destination("out")
        .setting("convert", "max_file_bytes", 1024 * 1024 * 1024)
        .build();
    let agent = Agent::start(&station);
    let idle = megabytes(agent.resident_bytes());
    // Made beside the watch folder and moved into it, as a careful writer does.
    let made = station.folder().join("staging").join(kind.name);
    let units = write(kind, &made, bytes);
    let begun = Instant::now();
    std::fs::rename(&made, station.watch("large").join(kind.name)).expect("the watch folder");
    wait_until_within(PATIENCE, "all of it is queued", || {
        let status = agent.snapshot();
        assert_eq!(status.sources[0].errors, 0, "{:?}", status.sources[0]);
        status.sources[0].queued == 1
    });
    let took = begun.elapsed().as_secs_f64();
    let most = megabytes(agent.peak_resident_bytes());
    println!("{:<10} {units:>10} {:>10.1} {idle:>12.1} {most:>12.1}", kind.converter, bytes as f64 / 1e6 / took);
}

fn megabytes(bytes: Option<u64>) -> f64 {
    bytes.unwrap_or(0) as f64 / 1e6
}

/// Writes units until the file has so many bytes; how many units it has.
fn write(kind: &Kind, path: &std::path::Path, bytes: u64) -> u64 {
    let mut file = BufWriter::new(std::fs::File::create(path).expect("the staging folder"));
    file.write_all(&kind.head).expect("room");
    let mut written = kind.head.len() as u64;
    let mut units = 0;
    while written < bytes {
        file.write_all(&kind.unit).expect("room");
        written += kind.unit.len() as u64;
        units += kind.units;
    }
    file.write_all(&kind.tail).expect("room");
    file.into_inner().expect("room").sync_all().expect("the disk");
    units
}

/// The report of the sample, again and again: equal ones are retests.
fn wsxf() -> Kind {
    let text = String::from_utf8(data_file("wsxf/uut-wsxf-export.xml")).expect("UTF-8");
    let begin = text.find("<Report ").expect("a report");
    let end = text.rfind("</Reports>").expect("an end");
    // Without its id, so that each is a report of its own.
    let unit = text[begin..end].replacen(" ID=\"", " idOfTheSample=\"", 1);
    let (head, tail) = (text[..begin].into(), text[end..].into());
    Kind { converter: "wsxf", name: "large.xml", head, unit: unit.into(), units: 1, tail }
}

/// The sixty parts of the sample, again and again.
fn stdf() -> Kind {
    let bytes = data_file("stdf/DERIVED-lot2-first60parts-no-summary.stdf");
    let mut at = 0;
    // Big endian: the length of a record, its type and subtype; the first part begins with a PIR.
    while bytes.get(at + 2..at + 4).expect("a part") != [5, 10] {
        at += 4 + usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    }
    // An MRR with nothing in it but its time.
    let tail = vec![0, 4, 1, 20, 0, 0, 0, 0];
    Kind { converter: "stdf", name: "large.stdf", head: bytes[..at].into(), unit: bytes[at..].into(), units: 60, tail }
}
