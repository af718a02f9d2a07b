//! Keysight TestExec SL: XML, a unit a file (FORMATS.md section 16; no real file was seen).
//!
//! A root (`TestResults`, `TestExecResults`, `Results`, `TestExecSL`) holds `Header` and `UUT` with what is known of the unit, `TestSequence` or `Tests` with
//! `TestGroup`s of `Test`s, and a `Summary` with the verdict. A test has `Measurement`s of `Value`, `Units`, `LowLimit` and `HighLimit`. Every field is an
//! attribute or an element, and names differ from site to site: they are told without case and punctuation ([`fields`]).
//!
//! - Whatever holds tests and has a name is a sequence; a holder without a name shows only what it holds.
//! - A value without limits has the comparator LOG; the source can ask for a verdict instead.
//! - The verdict is that of the summary, else of the unit, else that of the tests, with a note. Counters of the summary that do not agree are noted.
//! - What is not known is information on the unit, or in the text of its step.

mod fields;
mod tests_of;

use jiff::Zoned;
use waybill_shared::report::{MiscInfo, Num, Report, SeqCall, Status, Step, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use self::fields::{Fields, collect, flat, is};
use self::tests_of::{Tests, holds_tests, steps_in, worst};
use crate::convert::ground::fit::fit;
use crate::convert::ground::names::{self, Names, Pairs};
use crate::convert::ground::number;
use crate::convert::ground::steps;
use crate::convert::ground::time::{self, Moment};
use crate::convert::ground::verdict::{contradictions, passed_with_failures};
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::xml::{Element, Xml};
use crate::convert::{About, Argument, ConvertError, Converter, Head, Input, Kind, Sink, Unit};

const DATE_ORDER: Argument = Argument {
    name: "date_order",
    help: "order of day and month, where a date does not begin with its year",
    kind: Kind::OneOf(&["month first", "day first"]),
};
const WITHOUT_LIMITS: Argument = Argument {
    name: "without_limits",
    help: "what a value without limits is: a number that nobody judged, or the verdict of its test with the value in its text",
    kind: Kind::OneOf(&["number", "verdict"]),
};

const ABOUT: About = About {
    name: "testexec",
    version: 1,
    help: "Keysight TestExec SL XML, one unit a file",
    patterns: &["*.xml"],
    has_end_mark: true,
    arguments: &[DATE_ORDER, WITHOUT_LIMITS],
};

const ROOTS: &[&str] = &["TestResults", "TestExecResults", "Results", "TestExecSL"];
const PROGRAM: Names = &["programname", "testprogram", "testprogramname", "program", "testplan", "testplanname", "sequencename"];
const VERSION: Names = &["programversion", "testprogramversion", "testplanversion", "sequenceversion", "version"];
const START: Names = &["starttime", "startdatetime", "start", "datetime", "timestamp", "testdate"];
const END: Names = &["endtime", "enddatetime", "end", "stoptime"];
const LOCATION: Names = &["location", "site"];
const VERDICT: Names = &["status", "result", "outcome", "verdict", "overallstatus", "overallresult", "testresult"];
const DURATION: Names = &["duration", "totaltime", "testtime", "executiontime", "elapsedtime"];
/// Counters of a summary, and the verdict that they count; none for all tests.
const COUNTERS: [(Names, Option<Status>); 3] = [
    (&["totaltests", "total", "testcount"], None),
    (&["passedtests", "passed", "passcount"], Some(Status::Passed)),
    (&["failedtests", "failed", "failcount"], Some(Status::Failed)),
];
/// How far two statements of the time that a test took may differ, seconds.
const CLOCK_SECONDS: f64 = 2.0;

/// The converter `testexec`.
#[derive(Debug)]
pub struct TestExec;

impl Converter for TestExec {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let text = head.text();
        let root = text
            .match_indices('<')
            .map(|(at, _)| &text[at + 1..])
            .find(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
        let root = root.map_or("", |rest| {
            rest.split(|c: char| !(c.is_ascii_alphanumeric() || "_-:.".contains(c))).next().unwrap_or_default()
        });
        let has = |name: &str| text.contains(&format!("<{name}>")) || text.contains(&format!("<{name} "));
        let has_unit = has("UUT") || has("Header");
        match root {
            "TestExecResults" | "TestExecSL" => 92,
            // Also the root of IEEE 1636.1, whose names have prefixes and whose namespaces tell it.
            "TestResults" | "Results" if has_unit && has("Test") && !text.contains("1636") => 75,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut xml = Xml::new(input.open_text()?);
        let mut unit = None;
        if let Some(element) = xml.next(|path| path.len() == 1)? {
            if !ROOTS.iter().any(|known| known.eq_ignore_ascii_case(element.name())) {
                let reason = format!("the root is none of {}", ROOTS.join(", "));
                return Err(ConvertError::Malformed { place: element.place(), reason });
            }
            unit = Some(Run::of(element).unit(element, input));
        }
        // To the end of the file: what follows the root is not XML.
        xml.next(|_| false)?;
        let Some(unit) = unit else {
            return Err(ConvertError::Malformed {
                place: "the file as a whole".to_owned(),
                reason: "it has no element".to_owned(),
            });
        };
        let note = xml.note();
        let unit = unit.map(|mut unit| {
            unit.notes.extend(note);
            unit
        });
        if sink(unit).is_break() { Err(ConvertError::Stopped) } else { Ok(()) }
    }
}

/// What a file says, by its parts.
#[derive(Default)]
struct Run {
    /// Of the header and the root.
    header: Fields,
    unit: Fields,
    units: usize,
    summary: Fields,
    lines: Lines,
}

impl Run {
    fn of(root: Element<'_>) -> Self {
        let mut run = Self::default();
        for (key, value) in
            root.attributes().filter(|(key, _)| !matches!(*key, "schemaLocation" | "noNamespaceSchemaLocation" | "xmlns"))
        {
            // Of the file's form, not of the program.
            let own = if key == "version" { format!("{} version", root.name()) } else { key.to_owned() };
            run.header.add(&own, value);
        }
        for child in root.children() {
            match child.name() {
                name if is(name, &["header", "headerinfo", "testheader"]) => collect(child, &mut run.header),
                name if is(name, &["uut", "dut", "unit", "unitundertest"]) => {
                    run.units += 1;
                    collect(child, &mut run.unit);
                }
                name if is(name, &["summary", "testsummary", "resultsummary"]) => collect(child, &mut run.summary),
                _ if holds_tests(child) => {}
                _ if child.children().next().is_none() && child.attributes().next().is_none() => {
                    run.header.add(child.name(), child.text())
                }
                name => run.lines.add(name, &flat(child)),
            }
        }
        run
    }

    fn unit(mut self, root: Element<'_>, input: &Input<'_>) -> Result<Unit, ConvertError> {
        let mut walk = Walk::default();
        if self.units > 1 {
            walk.fault(
                FaultKind::OutOfRange,
                format!("it has {} elements UUT, and nothing says which tests are of which", self.units),
            );
        }
        let mut report = Report { kind: Some("T".to_owned()), ..Report::default() };
        let mut uut = Uut::default();
        let program = self.header.take(PROGRAM);
        let version = self.header.take(VERSION);
        report.location = self.header.take(LOCATION);
        let without_limits = input.arguments.text(&WITHOUT_LIMITS) == Some("verdict");
        let mut tests = Tests { without_limits, walk: &mut walk, verdicts: Vec::new() };
        let steps = steps_in(root, &mut tests);
        let verdicts = tests.verdicts;
        report.result = self.result(&steps, &mut walk);
        self.times(&mut report, &mut uut, input, &mut walk);
        let name = program.as_deref().unwrap_or("TestExec SL");
        let mut root_step = steps::sequence(name, report.result.unwrap_or(Status::Error), steps);
        root_step.seq_call = Some(SeqCall { name: Some(name.to_owned()), version, ..SeqCall::default() });
        root_step.tot_time = uut.exec_time.clone();
        self.counters(&verdicts, &mut walk);
        root_step.report_text = std::mem::take(&mut self.lines).into_text();
        report.sn = self.unit.take(names::SERIAL_NUMBER).and_then(|text| names::serial_number(&text, &mut walk));
        (report.uut, report.root) = (Some(uut), Some(root_step));
        let mut infos: Vec<MiscInfo> = Vec::new();
        self.summary.rest().for_each(|(key, text)| steps::misc(&mut infos, key, text));
        report.misc_infos = Some(infos);
        // What is said of the unit counts before what is said of the run.
        let mut pairs = Pairs::default();
        self.unit.rest().chain(self.header.rest()).for_each(|(key, text)| pairs.add(key, text));
        pairs.fill(&mut report, &mut walk);
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        notes.extend(contradictions(&report).into_iter().chain(passed_with_failures(&report)));
        fit(&mut report, &mut notes);
        let mut hash = blake3::Hasher::new();
        hash_all(root, &mut hash);
        Ok(Unit { report, own_hash: *hash.finalize().as_bytes(), notes })
    }

    fn result(&mut self, steps: &[Step], walk: &mut Walk) -> Option<Status> {
        let said = self.summary.take(VERDICT).or_else(|| self.unit.take(VERDICT)).or_else(|| self.header.take(VERDICT));
        if let Some(text) = said {
            let found = Status::parse(&text).filter(|found| *found != Status::Skipped);
            if found.is_none() {
                let message = format!("{:?} is no verdict as Passed or Failed", printable(&text, 40));
                walk.in_key("Summary", |walk| walk.fault(FaultKind::OutOfRange, message));
            }
            return found;
        }
        let found = worst(steps).filter(|found| !matches!(found, Status::Skipped | Status::Done));
        match found {
            Some(_) => walk.note("the file has no verdict on the unit: that of its tests is taken"),
            None => walk.in_key("Summary", |walk| walk.fault(FaultKind::Missing, "the unit has no verdict and no test with one")),
        }
        found
    }

    fn times(&mut self, report: &mut Report, uut: &mut Uut, input: &Input<'_>, walk: &mut Walk) {
        let is_day_first = input.arguments.text(&DATE_ORDER) == Some("day first");
        let began = self.header.take(START).or_else(|| self.unit.take(START)).or_else(|| self.summary.take(START));
        let mut start: Option<Zoned> = None;
        if let Some(began) = began {
            let Some(found) = moment(&began, is_day_first) else {
                let message =
                    format!("{:?} is no time that is known; see the source's argument `date_order`", printable(&began, 60));
                return walk.in_key("StartTime", |walk| walk.fault(FaultKind::OutOfRange, message));
            };
            found.start(report, &input.zone(), walk);
            start = found.zoned(&input.zone(), &mut Walk::default());
        }
        let ended = self.header.take(END).or_else(|| self.summary.take(END));
        let end = ended
            .as_deref()
            .and_then(|text| moment(text, is_day_first))
            .and_then(|end| end.zoned(&input.zone(), &mut Walk::default()));
        if let (Some(text), None) = (ended, &end) {
            self.lines.add("EndTime", &text);
        }
        let by_clock = start.zip(end).and_then(|(start, end)| time::seconds(&start, &end, walk));
        let told = self.summary.take(DURATION).or_else(|| self.header.take(DURATION));
        let by_file = told.as_deref().and_then(seconds);
        if let (Some(text), None) = (&told, &by_file) {
            self.lines.add("Duration", text);
        }
        uut.exec_time = match (by_file, by_clock) {
            (Some(file), Some(clock)) if (file.as_f64() - clock.as_f64()).abs() > CLOCK_SECONDS => {
                walk.note(format!("the duration {file} is not what lies between start and end, {clock} s, which is taken"));
                self.lines.add("Duration", &file.to_string());
                Some(clock)
            }
            (Some(file), _) => Some(file),
            (None, clock) => clock,
        };
    }

    /// Notes counters that are not what was counted.
    fn counters(&mut self, verdicts: &[Status], walk: &mut Walk) {
        for (names, status) in COUNTERS {
            let Some(text) = self.summary.take(names) else { continue };
            let counted = verdicts.iter().filter(|found| status.is_none_or(|status| **found == status)).count();
            let what = status.map_or_else(|| "in all".to_owned(), |status| status.to_string());
            match text.trim().parse::<usize>() {
                Ok(said) if said == counted => {}
                Ok(said) => walk.note(format!("the summary counts {said} tests {what}, and there are {counted}")),
                Err(_) => self.lines.add(names.first().unwrap_or(&"tests"), &text),
            }
        }
    }
}

/// ISO 8601, or day, month and year in the order that is given.
fn moment(text: &str, is_day_first: bool) -> Option<Moment> {
    const MONTH_FIRST: &[&str] = &["%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%m-%d-%Y %H:%M:%S", "%m/%d/%Y %H:%M"];
    const DAY_FIRST: &[&str] =
        &["%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y %H:%M:%S", "%d-%m-%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d/%m/%Y %H:%M"];
    Moment::iso(text).or_else(|| Moment::by(text, if is_day_first { DAY_FIRST } else { MONTH_FIRST }))
}

/// Seconds, perhaps as hours, minutes and seconds.
fn seconds(text: &str) -> Option<Num> {
    let text = text.trim();
    let is_time = |number: &Num| number.as_f64() >= 0.0 && number.as_f64().is_finite();
    if !text.contains(':') {
        return number::plain(text.trim_end_matches(['s', 'S']).trim_end()).filter(is_time);
    }
    let parts: Vec<&str> = text.split(':').collect();
    let [hours, minutes, rest] = parts.as_slice() else { return None };
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let whole_seconds = [(hours, 3600_u64), (minutes, 60), (&whole, 1)].into_iter().try_fold(0_u64, |sum, (part, factor)| {
        sum.checked_add(part.trim().parse::<u32>().ok().map(u64::from)?.checked_mul(factor)?)
    })?;
    let point = if fraction.is_empty() { "" } else { "." };
    number::plain(&format!("{whole_seconds}{point}{fraction}")).filter(is_time)
}

fn hash_all(element: Element<'_>, hash: &mut blake3::Hasher) {
    let mut add = |text: &str| {
        // With their lengths: nothing else reads the same.
        hash.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    };
    add(element.name());
    for (key, value) in element.attributes() {
        add(key);
        add(value);
    }
    add(element.text());
    element.children().for_each(|child| hash_all(child, hash));
}

#[cfg(test)]
mod tests;
