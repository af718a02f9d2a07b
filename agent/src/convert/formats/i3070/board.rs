//! From the records of one board to its report.

use waybill_shared::report::{MiscInfo, Num, Report, SeqCall, Status, Step, Uut};
use waybill_shared::text::printable;

use super::codes::{self, Shape};
use super::record::Record;
use crate::convert::ground::fit::fit;
use crate::convert::ground::number;
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::time::{self, Moment};
use crate::convert::ground::verdict::contradictions;
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::{incomplete, names};
use crate::convert::{ConvertError, Input, Unit};

/// Fields of `@BATCH` that no key of a report takes, with their places.
const BATCH_INFOS: [(usize, &str); 5] =
    [(3, "Testhead number"), (4, "Testhead type"), (11, "Panel type"), (12, "Panel revision"), (13, "Version label")];
/// Fields of `@BATCH`.
const BATCH_FIELDS: usize = 14;
/// Fields of `@BTEST` that no key of a report takes, with their places.
const BTEST_INFOS: [(usize, &str); 8] = [
    (4, "Multiple test"),
    (5, "Log level"),
    (6, "Log set"),
    (7, "Learning"),
    (8, "Known good"),
    (9, "End"),
    (10, "Status qualifier"),
    (12, "Panel id"),
];
/// Fields of `@BTEST`.
const BTEST_FIELDS: usize = 13;

/// A board that was tested.
#[derive(Debug)]
pub(super) struct Board {
    /// The batch that it is of: its head alone.
    pub(super) batch: Record,
    /// Its `@BTEST` with what is in it.
    pub(super) test: Record,
    /// What stands beside its `@BTEST`: before the first, or behind it.
    pub(super) beside: Vec<Record>,
}

impl Board {
    /// Its report.
    pub(super) fn unit(&self, input: &Input<'_>) -> Result<Unit, ConvertError> {
        let Self { batch, test, beside } = self;
        let mut walk = Walk::default();
        let mut run = Run { number: test.field(11), walk: &mut walk, lines: Lines::default(), steps: Vec::new() };
        beside.iter().filter(|record| record.line < test.line && !record.name.is_empty()).for_each(|record| run.record(record));
        test.lines.iter().for_each(|line| run.lines.add_text(line.clone()));
        test.children.iter().for_each(|record| run.record(record));
        beside.iter().filter(|record| record.line > test.line || record.name.is_empty()).for_each(|record| run.record(record));
        let Run { lines, steps, .. } = run;
        let (result, code, words) = verdict(test.field(1), &steps, &mut walk);
        let not_passed = steps.iter().filter(|step| step.status != Some(Status::Passed)).count();
        if result == Status::Passed && not_passed > 0 {
            walk.note(format!("the board has passed although {not_passed} of its blocks have not: a block may be repeated"));
        }
        let first = |a: usize, b: usize| [batch.field(a), batch.field(b)].into_iter().find(|text| !text.is_empty());
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let plan = text(batch.field(9)).unwrap_or_else(|| "i3070".to_owned());
        let mut root = steps::sequence(&plan, result, steps);
        root.seq_call = Some(SeqCall { name: Some(plan), version: text(batch.field(10)), ..SeqCall::default() });
        root.report_text = lines.into_text();
        let mut report = Report {
            kind: Some("T".to_owned()),
            sn: names::serial_number(test.field(0), &mut walk),
            pn: first(0, 11).map(str::to_owned),
            rev: first(1, 12).map(str::to_owned),
            result: Some(result),
            machine_name: text(batch.field(8)),
            process_code: batch.field(5).parse().ok().filter(|code| *code >= 0),
            uut: Some(Uut {
                user: text(batch.field(7)),
                batch_sn: text(batch.field(6)),
                fixture_id: text(batch.field(2)),
                test_socket_index: test.field(11).parse().ok(),
                error_code: code.filter(|code| *code != 0),
                error_message: (result != Status::Passed).then(|| words.to_owned()).filter(|words| !words.is_empty()),
                ..Uut::default()
            }),
            root: Some(root),
            misc_infos: Some(self.infos()),
            ..Report::default()
        };
        self.times(&mut report, input, &mut walk);
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        notes.extend(contradictions(&report));
        fit(&mut report, &mut notes);
        if !test.closed {
            incomplete::mark(&mut report, "the log ends, or another board begins, before the record of this one is closed");
        }
        let mut hash = blake3::Hasher::new();
        [batch, test].into_iter().chain(beside).for_each(|record| record.hash(&mut hash));
        Ok(Unit { report, own_hash: *hash.finalize().as_bytes(), notes })
    }

    fn infos(&self) -> Vec<MiscInfo> {
        let Self { batch, test, .. } = self;
        let mut infos = Vec::new();
        if batch.field(5).parse::<i64>().is_err() {
            steps::misc(&mut infos, "Process step", batch.field(5));
        }
        BATCH_INFOS.iter().for_each(|&(at, name)| steps::misc(&mut infos, name, batch.field(at)));
        BTEST_INFOS.iter().for_each(|&(at, name)| steps::misc(&mut infos, name, test.field(at)));
        if test.field(11).parse::<i64>().is_err() {
            steps::misc(&mut infos, "Board number", test.field(11));
        }
        steps::misc(&mut infos, "More of @BATCH", &batch.rest(BATCH_FIELDS));
        steps::misc(&mut infos, "More of @BTEST", &test.rest(BTEST_FIELDS));
        infos
    }

    /// Start and duration; the clock has a year of two digits and no zone.
    fn times(&self, report: &mut Report, input: &Input<'_>, walk: &mut Walk) {
        let zone = input.zone();
        let start = moment(self.test.field(2));
        match start {
            Some(start) => start.start(report, &zone, walk),
            None if self.test.field(2).is_empty() => {}
            None => {
                walk.note(format!("its start {:?} is no time", printable(self.test.field(2), 40)));
                steps::misc(report.misc_infos.get_or_insert_default(), "Start", self.test.field(2));
            }
        }
        let text = self.test.field(3);
        let seconds = text.parse::<u32>().ok().map(|whole| Num::from(i64::from(whole)));
        let seconds =
            seconds.or_else(|| number::plain(text).filter(|number| number.as_f64() >= 0.0 && number.as_f64().is_finite()));
        if seconds.is_none() && !text.is_empty() {
            walk.note(format!("its duration {:?} is no number of seconds", printable(text, 40)));
            steps::misc(report.misc_infos.get_or_insert_default(), "Duration", text);
        }
        let between = |walk: &mut Walk| {
            let (start, end) = (start?.zoned(&zone, walk)?, moment(self.test.field(9))?.zoned(&zone, walk)?);
            time::seconds(&start, &end, walk)
        };
        let seconds = seconds.or_else(|| between(walk));
        report.uut.get_or_insert_default().exec_time = seconds;
    }
}

fn moment(text: &str) -> Option<Moment> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match text.len() {
        12 => Moment::by(text, &["%y%m%d%H%M%S"]),
        14 => Moment::by(text, &["%Y%m%d%H%M%S"]),
        _ => None,
    }
}

/// The verdict on the board: its own, else that of its steps.
fn verdict(text: &str, steps: &[Step], walk: &mut Walk) -> (Status, Option<i64>, &'static str) {
    if let Some((status, code, words)) = codes::status(text) {
        return (status, Some(code), words);
    }
    if text.is_empty() {
        walk.note("the board has no status of its own: the worst one of its blocks stands for it");
        return (worst(steps.iter().filter_map(|step| step.status)), None, "");
    }
    walk.note(format!("the status {:?} of the board is not known", printable(text, 40)));
    (Status::Error, None, "the status of the board is not known")
}

/// The worst of what happened; done if nothing did.
fn worst(of: impl Iterator<Item = Status>) -> Status {
    let rank = |status: &Status| match status {
        Status::Error => 5,
        Status::Terminated => 4,
        Status::Failed => 3,
        Status::Passed => 2,
        Status::Done | Status::Skipped => 1,
    };
    of.max_by_key(rank).unwrap_or(Status::Done)
}

/// What was read of a board so far.
struct Run<'a> {
    /// Number of the board in its panel.
    number: &'a str,
    walk: &'a mut Walk,
    lines: Lines,
    steps: Vec<Step>,
}

/// What a step holds.
#[derive(Default)]
struct Content {
    measured: Vec<(Measured, Status)>,
    lines: Lines,
}

impl Run<'_> {
    fn record(&mut self, record: &Record) {
        let mut content = Content::default();
        let step = match record.name.as_str() {
            // The file ends within its head: half a name is another name.
            "BLOCK" if record.cut => return self.lines.add("not closed", &record.text()),
            "BLOCK" => {
                record.children.iter().for_each(|child| content.record(child, record.field(1), record.field(0), self.walk));
                record.lines.iter().for_each(|line| content.lines.add_text(line.clone()));
                let more = record.rest(2);
                if !more.is_empty() {
                    content.lines.add("more of @BLOCK", &more);
                }
                self.step(record.field(0), "block", Some(record.field(1)), content)
            }
            name => {
                let shape = codes::shape(name).map(|shape| place(record, shape));
                let analog = name.starts_with("A-");
                let (called, kind) = match &shape {
                    Some(shape) => (record.field(shape.designator), shape.kind),
                    None => (record.field(2), "analog"),
                };
                content.record(record, "", called, self.walk);
                if shape.is_none() && !analog || content.measured.is_empty() {
                    if let Some(text) = content.lines.into_text() {
                        self.lines.add_text(text);
                    }
                    return;
                }
                self.step(called, kind, None, content)
            }
        };
        self.steps.push(step);
    }

    /// A step under its designator; its status is its own, or that of what it holds.
    fn step(&mut self, designator: &str, kind: &str, own: Option<&str>, content: Content) -> Step {
        let Content { mut measured, mut lines } = content;
        let (name, board) = codes::designator(designator);
        if let Some(board) = board.filter(|board| board.parse::<i64>().ok() != self.number.parse::<i64>().ok()) {
            lines.add("board number", board);
        }
        let name = if name.is_empty() { kind } else { name };
        let known = own.and_then(codes::status);
        if let Some(own) = own.filter(|own| known.is_none() && !own.is_empty()) {
            self.walk.note(format!("{}: the status {:?} is not known", printable(name, 60), printable(own, 40)));
            lines.add("status", own);
        }
        let of_content = worst(measured.iter().map(|(_, status)| *status));
        let unknown = own.is_some_and(|own| known.is_none() && !own.is_empty());
        let status = known.map_or(if unknown { Status::Error } else { of_content }, |(status, ..)| status);
        if measured.is_empty() {
            measured.push((Measured::Verdict(steps::verdict(None, status)), status));
        }
        let step = steps::measuring(name, status, measured.into_iter().map(|(measured, _)| measured).collect());
        let failure = known.filter(|(status, ..)| *status != Status::Passed);
        Step {
            error_code: failure.map(|(_, code, _)| code),
            error_message: failure.map(|(.., words)| words.to_owned()),
            report_text: lines.into_text(),
            ..step
        }
    }
}

/// The places of a record's designator and status: two forms are seen of those that begin with them.
fn place(record: &Record, shape: Shape) -> Shape {
    let swapped = (shape.designator, shape.status) == (0, 1)
        && codes::test_status(record.field(1)).is_none()
        && codes::test_status(record.field(0)).is_some();
    if swapped { Shape { designator: 1, status: 0, ..shape } } else { shape }
}

impl Content {
    /// One record in a step; `outer` is the status and `name` the designator of what holds it.
    fn record(&mut self, record: &Record, outer: &str, name: &str, walk: &mut Walk) {
        match (record.name.as_str(), codes::shape(&record.name)) {
            ("RPT", _) => {
                self.lines.add_text(record.rest(0));
                self.inner(record, |_| true);
            }
            ("", _) => self.inner(record, |_| true),
            (known, shape) if shape.is_some() || known.starts_with("A-") => {
                // Without a brace of its own its last field may be cut, and a cut number is a wrong one.
                if !record.closed {
                    walk.note(format!("line {}: @{known} is not closed: what it says is kept as a text alone", record.line));
                    self.lines.add("not closed", &record.text());
                    return;
                }
                match shape {
                    Some(shape) => self.verdict(record, &place(record, shape), outer, name),
                    None => self.analog(record, outer, walk),
                }
            }
            _ => self.lines.add_text(record.text()),
        }
    }

    /// What is in a record and has no place of its own.
    fn inner(&mut self, record: &Record, wanted: impl Fn(&Record) -> bool) {
        record.children.iter().filter(|child| wanted(child)).for_each(|child| self.lines.add_text(child.text()));
        record.lines.iter().for_each(|line| self.lines.add_text(line.clone()));
    }

    fn verdict(&mut self, record: &Record, shape: &Shape, outer: &str, of: &str) {
        let (status, words) = status(record.field(shape.status), outer);
        let (name, _) = codes::designator(record.field(shape.designator));
        let own = (!name.is_empty() && name != codes::designator(of).0).then(|| name.to_owned());
        let mut parts = vec![words];
        parts.extend(
            shape
                .others
                .iter()
                .map(|&(at, what)| (what, record.field(at)))
                .filter(|(_, text)| !text.is_empty())
                .map(|(what, text)| format!("{what} {text}")),
        );
        let known = [shape.designator, shape.status].into_iter().chain(shape.others.iter().map(|(at, _)| *at)).max();
        let more = record.rest(known.map_or(0, |last| last + 1));
        parts.extend((!more.is_empty()).then_some(more));
        self.lines.add(&titled(&record.name, own.as_deref()), &parts.join(", "));
        self.inner(record, |_| true);
        self.measured.push((Measured::Verdict(steps::verdict(own, status)), status));
    }

    fn analog(&mut self, record: &Record, outer: &str, walk: &mut Walk) {
        let (status, words) = status(record.field(0), outer);
        let (value, subtest) = (record.field(1), record.field(2));
        let unit = codes::unit(&record.name);
        let mut parts = vec![words];
        let name = (!subtest.is_empty()).then(|| subtest.to_owned());
        let is_limit = |child: &Record| matches!(child.name.as_str(), "LIM2" | "LIM3");
        let mut limits = None;
        for child in record.children.iter().filter(|child| is_limit(child)) {
            let from = usize::from(child.name == "LIM3");
            let (high, low) = (codes::limit(child.field(from)), codes::limit(child.field(from + 1)));
            match (high, low) {
                (Ok(high), Ok(low)) if child.closed && limits.is_none() && child.fields.len() >= from + 2 => {
                    if from == 1 {
                        parts.push(format!("nominal {}", child.field(0)));
                    }
                    limits = codes::limits(high, low);
                    let more = child.rest(from + 2);
                    parts.extend((!more.is_empty()).then_some(more));
                }
                _ => {
                    walk.note(format!("line {}: its limits cannot be read and are kept as a text", child.line));
                    parts.push(child.text());
                }
            }
        }
        let measured = match codes::limit(value) {
            Ok(Some(number)) => {
                if record.name == "A-MEA" {
                    parts.push("the log names no unit, V is the customary one".to_owned());
                }
                Measured::Numeric(steps::numeric(name.clone(), number, limits, unit.map(str::to_owned), status))
            }
            // There is no value: the limits alone are told.
            Ok(None) => {
                parts.extend((!value.is_empty()).then(|| format!("value {value}")));
                parts.extend(record.children.iter().filter(|child| is_limit(child)).map(Record::text));
                Measured::Verdict(steps::verdict(name.clone(), status))
            }
            Err(()) => {
                parts.extend(record.children.iter().filter(|child| is_limit(child)).map(Record::text));
                let text = Record::of_text(value.to_owned()).text();
                Measured::Text(steps::string(name.clone(), text, None, status))
            }
        };
        let more = record.rest(3);
        parts.extend((!more.is_empty()).then_some(more));
        self.lines.add(&titled(&record.name, name.as_deref()), &parts.join(", "));
        self.inner(record, |child| !is_limit(child));
        self.measured.push((measured, status));
    }
}

/// The status of one test: its own, else that of what holds it.
fn status(own: &str, outer: &str) -> (Status, String) {
    if let Some((status, code, words)) = codes::test_status(own) {
        return (status, if code > 1 { format!("{words} (status {code})") } else { words.to_owned() });
    }
    if own.is_empty() {
        let status = codes::status(outer).map_or(Status::Done, |(status, ..)| status);
        return (status, "no status".to_owned());
    }
    (Status::Error, format!("the status {own} is not known"))
}

fn titled(record: &str, name: Option<&str>) -> String {
    name.map_or_else(|| record.to_owned(), |name| format!("{record} {name}"))
}
