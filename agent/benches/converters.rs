//! How fast converters are, on one core: real files of `tests/data`, each read from memory as often as it takes. Prints; asserts nothing.
//!
//! `cargo bench -p waybill-agent --bench converters`; a part of a path behind `--` runs those that contain it. For XML, the bare tokeniser runs over the
//! same bytes: what a converter adds to it is its own.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark: it prints, and ends at the first surprise"
)]

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;
use waybill_agent::convert::registry::Registry;
use waybill_agent::convert::{Arguments, Content, Input};
use waybill_shared::schema::{Map, Value};

/// Files of `tests/data`, and how often each is read.
const FILES: &[(&str, u32)] = &[
    ("stdf/lot2.stdf.gz", 5),
    ("stdf/DERIVED-lot2-first60parts-no-summary.stdf", 100),
    ("junit/jest-junit.xml", 2000),
    ("wsxf/uut-wsxf-export.xml", 200),
    ("wsjf/uut-wsjf-export.json", 200),
    ("lvm/long_single_header_multi_ch.lvm", 20),
];

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!("{:<55} {:>9} {:>9} {:>12} {:>12}", "file", "MB/s", "files/s", "units/s", "results/s");
    for &(path, repeats) in FILES {
        if wanted.as_deref().is_none_or(|part| path.contains(part)) {
            run(path, repeats);
        }
    }
}

fn run(path: &str, repeats: u32) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(path);
    let bytes = std::fs::read(&full).expect("a file of tests/data");
    let registry = Registry::built_in();
    let choice = registry.choose("auto").expect("a choice by content");
    let converter = choice.of(&Content::Bytes(&bytes).head().expect("its head")).expect("a converter");
    let mut given: Map<String, Value> = Map::new();
    given.insert("time_zone".to_owned(), Value::from("Europe/Berlin"));
    let input = Input {
        content: Content::Bytes(&bytes),
        file_name: path,
        modified: Timestamp::UNIX_EPOCH,
        arguments: Arguments::new(&given),
    };
    let (mut units, mut results) = (0_u64, 0_u64);
    let begun = Instant::now();
    for _ in 0..repeats {
        // A file that is cut ends in an error after its units.
        let _end = converter.convert(&input, &mut |unit| {
            let unit = unit.expect("a unit");
            units += 1;
            results += unit.report.measurement_count() as u64;
            ControlFlow::Continue(())
        });
    }
    let seconds = begun.elapsed().as_secs_f64();
    let files = f64::from(repeats) / seconds;
    let megabytes = |seconds: f64| bytes.len() as f64 * f64::from(repeats) / 1e6 / seconds;
    let (units, results) = (units as f64 / seconds, results as f64 / seconds);
    println!("{path:<55} {:>9.1} {files:>9.1} {units:>12.0} {results:>12.0}", megabytes(seconds));
    if bytes.starts_with(b"<") || bytes.starts_with(b"\xef\xbb\xbf<") {
        let begun = Instant::now();
        for _ in 0..repeats {
            tokenise(&bytes);
        }
        println!("{:<55} {:>9.1}", "  the bare tokeniser", megabytes(begun.elapsed().as_secs_f64()));
    }
}

fn tokenise(bytes: &[u8]) {
    let mut reader = quick_xml::Reader::from_reader(bytes);
    let mut buffer = Vec::new();
    while !matches!(reader.read_event_into(&mut buffer).expect("well-formed XML"), quick_xml::events::Event::Eof) {
        buffer.clear();
    }
}
