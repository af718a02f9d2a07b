//! What tests of formats share: real files converted as the agent does it, their reports as a text for snapshots, and files that are cut or spoilt.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use waybill_shared::config::Identity;
use waybill_shared::report::{Report, Status, Step, wsjf};
use waybill_shared::schema::{Map, Value};

use super::ground::incomplete;
use super::registry::Registry;
use super::unit::{Finished, Finisher};
use super::{Arguments, Content, ConvertError, Converter, Input, about};

/// Lines of a snapshot that are kept whole at its beginning and its end; what is between goes by its hash.
const HEAD: usize = 200;
const TAIL: usize = 40;
/// Longest line of a snapshot, characters; beyond, it goes by its hash.
const LINE: usize = 600;
/// Bytes that a property test reads in all, and how often at least.
const BYTES: usize = 4_000_000;
const LEAST: usize = 16;

/// What came of a file.
#[derive(Debug)]
pub(in crate::convert) struct Converted {
    /// The reports as they would be sent.
    pub(in crate::convert) reports: Vec<Report>,
    /// The notes of each report.
    pub(in crate::convert) notes: Vec<Vec<String>>,
    /// Units that are no reports.
    pub(in crate::convert) errors: Vec<ConvertError>,
    /// How the file as a whole ended.
    pub(in crate::convert) end: Result<(), ConvertError>,
}

impl Converted {
    /// The only report of a file without faults.
    #[track_caller]
    pub(in crate::convert) fn only(mut self) -> Report {
        assert_eq!((self.reports.len(), &self.errors, &self.end), (1, &Vec::new(), &Ok(())), "{:?}", self.notes);
        self.reports.remove(0)
    }

    /// All reports of a file without faults.
    #[track_caller]
    pub(in crate::convert) fn all(self) -> Vec<Report> {
        assert_eq!((&self.errors, &self.end), (&Vec::new(), &Ok(())), "{:?}", self.notes);
        self.reports
    }
}

/// A file of `tests/data`.
#[track_caller]
#[allow(clippy::disallowed_methods, reason = "test data")]
pub(in crate::convert) fn data(path: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Converts bytes as the agent does, with part number `PN` and the time zone Europe/Berlin unless `arguments` say otherwise.
#[track_caller]
pub(in crate::convert) fn convert(converter: &dyn Converter, file_name: &str, bytes: &[u8], arguments: &Value) -> Converted {
    let mut given: Map<String, Value> = Map::new();
    given.insert("part_number".to_owned(), json!("PN"));
    given.insert("time_zone".to_owned(), json!("Europe/Berlin"));
    given.extend(arguments.as_object().cloned().unwrap_or_default());
    assert_eq!(about::faults(&given, &[converter.about().arguments], "arguments"), []);
    let station = Identity { name: "ST".into(), location: "L".into(), purpose: "P".into(), name_source: "a test".into() };
    let modified: Timestamp = "2026-01-30T12:00:00Z".parse().unwrap();
    let input = Input { content: Content::Bytes(bytes), file_name, modified, arguments: Arguments::new(&given) };
    let mut finisher = Finisher::new(converter.name(), "a test", &station, input).of(converter);
    let (mut reports, mut all_notes, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let end = converter.convert(&input, &mut |unit| {
        match unit.and_then(|unit| finisher.finish(unit)) {
            Ok(Finished { report, notes, .. }) => {
                assert_eq!(wsjf::read_valid(&wsjf::write(&report)).as_ref(), Ok(&report), "it reads back as it is");
                reports.push(report);
                all_notes.push(notes);
            }
            Err(error) => errors.push(error),
        }
        ControlFlow::Continue(())
    });
    Converted { reports, notes: all_notes, errors, end }
}

/// A sample of `tests/data`: `auto` knows it for what it is, and it converts as it did before (`formats/snapshots`; `INSTA_UPDATE=always`
/// writes them anew).
#[track_caller]
pub(in crate::convert) fn golden(converter: &dyn Converter, path: &str, arguments: &Value) -> Converted {
    let bytes = data(path);
    let head = Content::Bytes(&bytes).head().unwrap();
    let chosen = Registry::built_in().choose("auto").unwrap().of(&head).map(|chosen| chosen.name().to_owned());
    assert_eq!(chosen.as_deref(), Ok(converter.name()), "by its content");
    let name = path.rsplit('/').next().unwrap_or(path);
    let converted = convert(converter, name, &bytes, arguments);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/src/convert/formats/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(waybill_shared::text::file_name_component(path, 120), text(&converted)));
    converted
}

/// A conversion as a text, complete: one line a step.
fn text(converted: &Converted) -> String {
    let mut lines =
        vec![format!("{} reports, {} errors, end: {:?}", converted.reports.len(), converted.errors.len(), converted.end)];
    lines.extend(converted.errors.iter().map(|error| format!("error: {error}")));
    for (report, notes) in converted.reports.iter().zip(&converted.notes) {
        lines.push(String::new());
        let header = Report { root: None, ..report.clone() };
        lines.push(serde_json::to_string(&header).unwrap());
        lines.extend(notes.iter().map(|note| format!("note: {note}")));
        if let Some(root) = &report.root {
            steps(root, 0, &mut lines);
        }
    }
    let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex()[..16].to_owned();
    for line in &mut lines {
        if let Some((cut, _)) = line.char_indices().nth(LINE) {
            *line = format!("{}… {} bytes, {}", &line[..cut], line.len(), hash(line));
        }
    }
    if lines.len() > HEAD + TAIL {
        let between = lines.splice(HEAD..lines.len() - TAIL, [String::new()]).collect::<Vec<_>>().join("\n");
        lines[HEAD] = format!("… {} lines, {}", between.lines().count(), hash(&between));
    }
    lines.join("\n")
}

fn steps(step: &Step, depth: usize, lines: &mut Vec<String>) {
    let mut line = "  ".repeat(depth);
    let _to_a_string = write!(line, "{}", serde_json::to_string(&Step { steps: None, ..step.clone() }).unwrap());
    lines.push(line);
    for child in step.steps.iter().flatten() {
        steps(child, depth + 1, lines);
    }
}

/// Cuts a file anywhere: what then still comes is what came of the whole, or says that it is not whole, or has not passed. With an end mark, a file
/// that was cut before it is never taken for whole.
#[track_caller]
pub(in crate::convert) fn cut_anywhere(converter: &dyn Converter, file_name: &str, bytes: &[u8], arguments: &Value) {
    let whole = convert(converter, file_name, bytes, arguments);
    for cut in places(bytes.len()) {
        let part = convert(converter, file_name, &bytes[..cut], arguments);
        for report in &part.reports {
            let is_flagged = incomplete::is_marked(report);
            let is_clean = report.result == Some(Status::Passed) && !is_flagged;
            assert!(!is_clean || whole.reports.contains(report), "cut at byte {cut} of {}: {report:?}", bytes.len());
        }
        let ends = bytes[cut..].iter().any(|byte| !byte.is_ascii_whitespace() && *byte != 0);
        if converter.about().has_end_mark && ends && part.end.is_ok() && part.errors.is_empty() {
            assert_eq!(part.reports, whole.reports, "cut at byte {cut} of {} it is taken for whole", bytes.len());
        }
    }
}

/// Changes single bits: whatever comes of it, it comes soon and without a panic.
#[track_caller]
pub(in crate::convert) fn flip_anywhere(converter: &dyn Converter, file_name: &str, bytes: &[u8], arguments: &Value) {
    for place in places(bytes.len()) {
        let mut spoilt = bytes.to_vec();
        spoilt[place] ^= 1 << (place % 8);
        let begun = Instant::now();
        let _whatever = convert(converter, file_name, &spoilt, arguments);
        assert!(begun.elapsed() < Duration::from_secs(10), "byte {place}, bit {}", place % 8);
    }
}

/// All places of a small file; of a large one so many, spread by a prime step, with its first and last ones.
fn places(length: usize) -> Vec<usize> {
    let many = (BYTES / length.max(1)).max(LEAST);
    if many >= length {
        return (0..length).collect();
    }
    let spread = (0..many).map(|n| n * 7919 % length);
    let mut places: Vec<_> = spread.chain(0..8).chain(length - 8..length).collect();
    places.sort_unstable();
    places.dedup();
    places
}
