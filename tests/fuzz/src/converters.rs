//! A file of any bytes, from the choice of its converter to the reports as they would be queued.

use std::ops::ControlFlow;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use waybill_agent::convert::registry::{Choice, Registry};
use waybill_agent::convert::unit::{Finished, Finisher};
use waybill_agent::convert::{Arguments, Content, ConvertError, Converter, Input};
use waybill_shared::config::Identity;
use waybill_shared::report::{Status, wsjf};
use waybill_shared::schema::Fault;

/// What came of a file.
#[derive(PartialEq)]
struct Outcome {
    /// Which converter was chosen.
    converter: Option<String>,
    /// Whether one that was cut is always recognised.
    has_end_mark: bool,
    /// The reports as they would be sent, in their order.
    reports: Vec<Vec<u8>>,
    /// Whether there were units that are no reports.
    broken: bool,
    /// How the file as a whole ended.
    end: Result<(), ConvertError>,
}

/// Converts and checks: the same bytes give the same reports, each is valid and reads back as it is, every fault says where it is,
/// and of a file that was cut no report passes with less in it.
pub fn convert(converter: &str, bytes: &[u8]) {
    let Some(choice) = Registry::built_in().choose(converter) else { return };
    let whole = read(&choice, bytes);
    assert!(whole == read(&choice, bytes), "a second reading gives something else");
    for report in &whole.reports {
        let read = wsjf::read_valid(report).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(report)));
        assert_eq!(&wsjf::write(&read), report, "{}", String::from_utf8_lossy(report));
    }
    // What follows is promised of valid files: one that is wrong at its end may be right before it.
    if whole.end.is_err() || whole.broken {
        return;
    }
    for cut in cuts(bytes) {
        let part = read(&choice, &bytes[..cut]);
        // Of another format, as far as it goes, it is another file.
        if part.converter != whole.converter {
            continue;
        }
        for report in part.reports.iter().filter(|report| !whole.reports.contains(report)) {
            let shown = String::from_utf8_lossy(report);
            let report = wsjf::read_valid(report).unwrap_or_else(|error| panic!("{error}: {shown}"));
            let is_marked = report.misc_infos.iter().flatten().any(|info| info.description.as_deref() == Some("Incomplete file"));
            assert!(is_marked || report.result != Some(Status::Passed), "cut at byte {cut} of {}: {shown}", bytes.len());
        }
        let ends = bytes[cut..].iter().any(|byte| !matches!(byte, 0 | b' ' | b'\t' | b'\r' | b'\n'));
        if whole.has_end_mark && ends && part.end.is_ok() && !part.broken {
            assert!(part.reports == whole.reports, "cut at byte {cut} of {}, it is taken for whole", bytes.len());
        }
    }
}

fn read(choice: &Choice, bytes: &[u8]) -> Outcome {
    let (mut reports, mut broken) = (Vec::new(), false);
    let content = Content::Bytes(bytes);
    let chosen = choice.of(&content.head().expect("it is in memory"));
    let end = chosen.clone().and_then(|converter| read_with(converter.as_ref(), bytes, &mut reports, &mut broken));
    if let Err(error) = &end {
        is_told(error);
    }
    let chosen = chosen.ok();
    let has_end_mark = chosen.as_ref().is_some_and(|converter| converter.about().has_end_mark);
    Outcome { converter: chosen.map(|converter| converter.name().to_owned()), has_end_mark, reports, broken, end }
}

fn read_with(converter: &dyn Converter, bytes: &[u8], reports: &mut Vec<Vec<u8>>, broken: &mut bool) -> Result<(), ConvertError> {
    let station = Identity { name: "ST".into(), location: "L".into(), purpose: "P".into(), name_source: "the fuzzer".into() };
    let arguments = json!({ "part_number": "A", "time_zone": "Europe/Berlin", "no_serial_number": "generate" });
    let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
    let (content, arguments) = (Content::Bytes(bytes), Arguments::new(&arguments));
    let input = Input { content, file_name: "file.json", modified: Timestamp::UNIX_EPOCH, arguments };
    let mut finisher = Finisher::new(converter.name(), "fuzz", &station, input).of(converter);
    converter.convert(&input, &mut |unit| {
        match unit.and_then(|unit| finisher.finish(unit)) {
            Ok(Finished { id, report, .. }) => {
                assert_eq!(report.id.as_deref(), Some(id.to_string().as_str()));
                reports.push(wsjf::write(&report));
            }
            Err(error) => {
                is_told(&error);
                *broken = true;
            }
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
        ConvertError::Changed => panic!("it is in memory"),
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
