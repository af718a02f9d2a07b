//! A file of any bytes, from the choice of its converter to the reports as they would be queued.

use std::ops::ControlFlow;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use waybill_agent::convert::registry::Registry;
use waybill_agent::convert::unit::{Finished, Finisher};
use waybill_agent::convert::{Arguments, Content, ConvertError, Converter, Input};
use waybill_shared::config::Identity;
use waybill_shared::report::wsjf;
use waybill_shared::schema::Fault;

/// What came of a file.
#[derive(PartialEq)]
struct Outcome {
    /// Which converter was chosen.
    converter: Option<String>,
    /// The reports as they would be sent, in their order.
    reports: Vec<Vec<u8>>,
    /// How the file as a whole ended.
    end: Result<(), ConvertError>,
}

/// Converts and checks: the same bytes give the same reports, each is valid and reads back as it is, every fault says where it is,
/// and of a file that was cut no report is there with less in it.
pub fn convert(converter: &str, bytes: &[u8]) {
    let whole = read(converter, bytes);
    assert!(whole == read(converter, bytes), "a second reading gives something else");
    for report in &whole.reports {
        let read = wsjf::read_valid(report).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(report)));
        assert_eq!(&wsjf::write(&read), report, "{}", String::from_utf8_lossy(report));
    }
    // What follows is promised of valid files: one that is wrong at its end may be right before it.
    if whole.end.is_err() {
        return;
    }
    for cut in cuts(bytes) {
        let part = read(converter, &bytes[..cut]);
        // Of another format, as far as it goes, it is another file.
        if part.converter != whole.converter {
            continue;
        }
        assert!(whole.reports.starts_with(&part.reports), "cut at byte {cut} of {}, it has other reports", bytes.len());
        // One document: it is there as a whole, or not at all.
        let ends = bytes[cut..].iter().any(|byte| !matches!(byte, 0 | b' ' | b'\t' | b'\r' | b'\n'));
        if matches!(whole.converter.as_deref(), Some("wsjf" | "wsxf" | "junit")) && ends && !whole.reports.is_empty() {
            assert!(part.reports.is_empty() && part.end.is_err(), "cut at byte {cut} of {}, it is whole", bytes.len());
        }
    }
}

fn read(converter: &str, bytes: &[u8]) -> Outcome {
    let choice = Registry::built_in().choose(converter).expect("a built-in converter");
    let mut reports = Vec::new();
    let content = Content::Bytes(bytes);
    let chosen = choice.of(&content.head().expect("it is in memory"));
    let end = chosen.clone().and_then(|converter| read_with(converter.as_ref(), bytes, &mut reports));
    if let Err(error) = &end {
        is_told(error);
    }
    Outcome { converter: chosen.ok().map(|converter| converter.name().to_owned()), reports, end }
}

fn read_with(converter: &dyn Converter, bytes: &[u8], reports: &mut Vec<Vec<u8>>) -> Result<(), ConvertError> {
    let station = Identity { name: "ST".into(), location: "L".into(), purpose: "P".into(), name_source: "the fuzzer".into() };
    let arguments = json!({ "part_number": "A", "time_zone": "Europe/Berlin", "no_serial_number": "generate" });
    let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
    let (content, arguments) = (Content::Bytes(bytes), Arguments::new(&arguments));
    let input = Input { content, file_name: "file.json", modified: Timestamp::UNIX_EPOCH, arguments };
    let mut finisher = Finisher::new(converter.name(), "fuzz", &station, input);
    converter.convert(&input, &mut |unit| {
        match unit.and_then(|unit| finisher.finish(unit)) {
            Ok(Finished { id, report, .. }) => {
                assert_eq!(report.id.as_deref(), Some(id.to_string().as_str()));
                reports.push(wsjf::write(&report));
            }
            Err(error) => is_told(&error),
        }
        ControlFlow::Continue(())
    })
}

fn is_told(error: &ConvertError) {
    match error {
        ConvertError::Incomplete { place, reason } | ConvertError::Malformed { place, reason } => {
            assert!(!place.is_empty() && !reason.is_empty(), "{error:?}");
        }
        ConvertError::Faults(faults) => {
            let is_told = |fault: &Fault| !fault.path.is_empty() && !fault.message.is_empty();
            assert!(!faults.is_empty() && faults.iter().all(is_told), "{error:?}");
        }
        ConvertError::Unreadable { reason } => panic!("it is in memory: {reason}"),
        ConvertError::Stopped => panic!("nobody asked it to stop"),
    }
    let report = error.report("file.json");
    assert!(report.message.starts_with("file.json") && !report.fix.is_empty(), "{report:?}");
}

/// Two places to cut at, chosen by the bytes.
fn cuts(bytes: &[u8]) -> Vec<usize> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let mixed =
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |mixed, byte| (mixed ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let length = bytes.len() as u64;
    [mixed % length, (mixed >> 32) % length].into_iter().filter_map(|cut| usize::try_from(cut).ok()).collect()
}
