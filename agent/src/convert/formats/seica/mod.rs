//! Seica testers: XML, a board an element (FORMATS.md section 16; no real file was seen).
//!
//! `ST` names what is tested: `NM` is part number and revision with `_` or a blank between, `OP` the operator. Each `BI` is a board: `BCP` its serial number,
//! `SD` its start. `TEST` is a test of the board whose `BI` was begun last: `F` its group, `NM` its name, `MR` its value, `ML` and `MH` the limits, `MU` the
//! unit, `TR` 0 if it passed and 1 if it failed, `TT` its milliseconds. `ET` ends boards: `ED` is the time, `NF` the number of failures.
//!
//! - Fields are attributes; elements with a text in their place are read, too.
//! - `ET` in a `BI` is of that board; one that follows is of all boards since the one before. The verdict of one of several is that of its own tests.
//! - Tests of one group that follow each other are a sequence.
//! - What has no place in a report is information on the unit, or in the text of its step.

use waybill_shared::report::{MiscInfo, Num, Report, SeqCall, Status, Step, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use crate::convert::ground::fit::fit;
use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::names;
use crate::convert::ground::number::{self, Decimal};
use crate::convert::ground::si;
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::time::{self, Moment};
use crate::convert::ground::verdict::{contradictions, passed_with_failures};
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::xml::{Element, Node, Take, Xml};
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink, Unit};

const ABOUT: About = About {
    name: "seica",
    version: 1,
    help: "Seica XML, one unit a board",
    patterns: &["*.xml"],
    has_end_mark: true,
    arguments: &[],
};

/// Times of the format.
const TIMES: &[&str] = &["%d-%m-%Y %H:%M:%S"];

/// The converter `seica`.
#[derive(Debug)]
pub struct Seica;

impl Converter for Seica {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let contains = |text: &str| head.contains(text);
        let root = contains("<R>") || contains("<R ");
        let (header, board) = (contains("<ST ") || contains("<ST>"), contains("<BI ") || contains("<BI>"));
        match (root, header, board && contains("BCP")) {
            (true, _, true) => 90,
            (true, true, false) if contains("NMP") => 60,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut xml = Xml::new(input.open_text()?);
        let mut panel = Panel::default();
        let mut boards = 0_usize;
        loop {
            let node = xml.node(take)?;
            let is_end = node.is_none();
            match node {
                Some(Node::Begin(element)) => panel.begin(element),
                Some(Node::Whole(element)) => panel.whole(element),
                Some(Node::End) => panel.end(),
                None => panel.done.append(&mut panel.open),
            }
            for board in std::mem::take(&mut panel.done) {
                boards += 1;
                if sink(board.unit(input, xml.note())).is_break() {
                    return Err(ConvertError::Stopped);
                }
            }
            if is_end {
                break;
            }
        }
        if boards > 0 {
            return Ok(());
        }
        Err(ConvertError::Malformed {
            place: "the file as a whole".to_owned(),
            reason: "it has no board: no element BI".to_owned(),
        })
    }
}

fn take(path: &[String]) -> Take {
    match path.last().map(String::as_str) {
        Some("R" | "ST" | "BI") => Take::Enter,
        _ => Take::Whole,
    }
}

/// Names and values of an element.
type Fields = Vec<(String, String)>;

fn fields(element: Element<'_>) -> Fields {
    let own = element.attributes().map(|(key, value)| (key.to_owned(), value.trim().to_owned()));
    let inner = element.children().map(|child| (child.name().to_owned(), flat(child)));
    let text = Some((element.name().to_owned(), element.text().trim().to_owned()));
    own.chain(inner).chain(text).filter(|(_, value)| !value.is_empty()).collect()
}

/// All of an element in one line.
fn flat(element: Element<'_>) -> String {
    let own = Some(element.text().trim().to_owned()).filter(|text| !text.is_empty());
    let attributes = element.attributes().map(|(key, value)| format!("{key} {value}"));
    let inner = element.children().map(|child| format!("{} {}", child.name(), flat(child)));
    own.into_iter().chain(attributes).chain(inner).collect::<Vec<_>>().join(", ")
}

/// Takes the first value of a key.
fn pull(fields: &mut Fields, key: &str) -> Option<String> {
    let at = fields.iter().position(|(known, _)| known == key)?;
    Some(fields.remove(at).1)
}

/// Where the reading of a file stands.
#[derive(Default)]
struct Panel {
    /// Names of the elements that are open and were entered.
    inside: Vec<String>,
    /// The fields of ST, and of the root.
    header: Fields,
    /// Boards that have not ended.
    open: Vec<Board>,
    /// Boards that are whole.
    done: Vec<Board>,
}

/// A board.
#[derive(Default)]
struct Board {
    place: String,
    header: Fields,
    fields: Fields,
    tests: Vec<Fields>,
    end: Fields,
    /// It has an end, which is its own.
    is_ended: bool,
    /// Its end is that of several boards.
    is_shared: bool,
}

impl Panel {
    fn begin(&mut self, element: Element<'_>) {
        self.inside.push(element.name().to_owned());
        match element.name() {
            "BI" => {
                let board =
                    Board { place: element.place(), header: self.header.clone(), fields: fields(element), ..Board::default() };
                self.open.push(board);
            }
            "ST" => self.header = fields(element),
            _ => self.header.extend(fields(element)),
        }
    }

    fn end(&mut self) {
        let is_board = self.inside.pop().as_deref() == Some("BI");
        if is_board && self.open.last().is_some_and(|board| board.is_ended) {
            self.done.extend(self.open.pop());
        }
    }

    fn whole(&mut self, element: Element<'_>) {
        let is_in_board = self.inside.last().is_some_and(|name| name == "BI");
        match element.name() {
            "TEST" => {
                if self.open.is_empty() {
                    self.open.push(Board { place: element.place(), header: self.header.clone(), ..Board::default() });
                }
                if let Some(board) = self.open.last_mut() {
                    board.tests.push(fields(element));
                }
            }
            "ET" if is_in_board => {
                if let Some(board) = self.open.last_mut() {
                    (board.end, board.is_ended) = (fields(element), true);
                }
            }
            "ET" => {
                let is_shared = self.open.len() > 1;
                for mut board in self.open.drain(..) {
                    if !board.is_ended {
                        (board.end, board.is_ended, board.is_shared) = (fields(element), true, is_shared);
                    }
                    self.done.push(board);
                }
            }
            // Elements around those that are known.
            _ if holds_known(element) => {
                self.header.extend(element.attributes().map(|(key, value)| (key.to_owned(), value.trim().to_owned())));
                for child in element.children() {
                    match child.name() {
                        "BI" | "ST" => self.inner(child),
                        _ => self.whole(child),
                    }
                }
            }
            name => {
                let into = match self.open.last_mut() {
                    Some(board) if is_in_board => &mut board.fields,
                    _ => &mut self.header,
                };
                into.push((name.to_owned(), flat(element)));
            }
        }
    }

    /// A board, or what is tested, in an element that is not known.
    fn inner(&mut self, element: Element<'_>) {
        self.inside.push(element.name().to_owned());
        let own = element.attributes().map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect();
        match element.name() {
            "BI" => {
                self.open.push(Board { place: element.place(), header: self.header.clone(), fields: own, ..Board::default() })
            }
            _ => self.header = own,
        }
        for child in element.children() {
            match child.name() {
                "BI" | "ST" => self.inner(child),
                _ => self.whole(child),
            }
        }
        self.end();
    }
}

fn holds_known(element: Element<'_>) -> bool {
    element.children().any(|child| matches!(child.name(), "ST" | "BI" | "TEST" | "ET") || holds_known(child))
}

impl Board {
    fn unit(mut self, input: &Input<'_>, note: Option<String>) -> Result<Unit, ConvertError> {
        let own_hash = self.hash();
        let mut walk = Walk::default();
        walk.notes(note);
        let place = self.place.clone();
        walk.in_key(&place, |walk| self.read(input, walk)).and_then(|mut report| {
            let mut notes = walk.finish().map_err(ConvertError::Faults)?;
            notes.extend(contradictions(&report).into_iter().chain(passed_with_failures(&report)));
            fit(&mut report, &mut notes);
            Ok(Unit { report, own_hash, notes })
        })
    }

    fn read(&mut self, input: &Input<'_>, walk: &mut Walk) -> Result<Report, ConvertError> {
        let mut report = Report { kind: Some("T".to_owned()), ..Report::default() };
        let mut uut = Uut { user: pull(&mut self.header, "OP"), ..Uut::default() };
        let mut infos: Vec<MiscInfo> = Vec::new();
        let name = pull(&mut self.header, "NM");
        if let Some(name) = &name {
            let mut parts = name.split(['_', ' ']).filter(|part| !part.is_empty());
            (report.pn, report.rev) = (parts.next().map(str::to_owned), parts.next().map(str::to_owned));
            if parts.next().is_some() {
                walk.note(format!("{:?} is read as part number and revision, and has more parts", printable(name, 60)));
            }
        }
        report.sn = pull(&mut self.fields, "BCP").and_then(|text| names::serial_number(&text, walk));
        self.times(&mut report, &mut uut, input, walk);
        let tests = self.tests(walk);
        let has = |status| tests.iter().any(|(_, step)| step.status == Some(status));
        let by_tests = [Status::Failed, Status::Passed].into_iter().find(|&status| has(status));
        report.result = self.result(by_tests, walk);
        let title = name.as_deref().unwrap_or("Seica");
        let mut root = steps::sequence(title, report.result.unwrap_or(Status::Error), sequences(tests));
        root.seq_call = Some(SeqCall { name: Some(title.to_owned()), ..SeqCall::default() });
        root.tot_time = uut.exec_time.clone();
        for (key, text) in [&self.header, &self.fields, &self.end].into_iter().flatten() {
            steps::misc(&mut infos, key, text);
        }
        (report.uut, report.root) = (Some(uut), Some(root));
        report.misc_infos = Some(infos).filter(|infos| !infos.is_empty());
        Ok(report)
    }

    fn times(&mut self, report: &mut Report, uut: &mut Uut, input: &Input<'_>, walk: &mut Walk) {
        let began = pull(&mut self.fields, "SD").or_else(|| pull(&mut self.header, "SD"));
        let Some(began) = began else { return };
        let Some(start) = Moment::by(&began, TIMES) else {
            let message = format!("SD is {:?}, not a time as 31-12-2024 23:59:59", printable(&began, 40));
            return walk.fault(FaultKind::OutOfRange, message);
        };
        start.start(report, &input.zone(), walk);
        let Some(ended) = pull(&mut self.end, "ED") else { return };
        let mut quiet = Walk::default();
        let mut zoned = |moment: Moment| moment.zoned(&input.zone(), &mut quiet);
        match (zoned(start), Moment::by(&ended, TIMES).and_then(&mut zoned)) {
            (Some(start), Some(end)) => uut.exec_time = time::seconds(&start, &end, walk),
            _ => {
                walk.note(format!("ED is {:?}, not a time: how long it took is not known", printable(&ended, 40)));
                self.end.push(("ED".to_owned(), ended));
            }
        }
    }

    fn result(&mut self, by_tests: Option<Status>, walk: &mut Walk) -> Option<Status> {
        let said = pull(&mut self.end, "NF").map(|text| (text.parse::<u64>().ok(), text));
        let own = match &said {
            Some((None, text)) => {
                let message = format!("NF is {:?}, not the number of failures", printable(text, 20));
                walk.fault(FaultKind::OutOfRange, message);
                return None;
            }
            Some((Some(0), _)) => Some(Status::Passed),
            Some((Some(_), _)) => Some(Status::Failed),
            None => None,
        };
        if let (true, Some((_, text))) = (self.is_shared, said) {
            self.end.push(("NF".to_owned(), text));
        }
        match (own, by_tests, self.is_shared) {
            (Some(own), _, false) => Some(own),
            // All of them passed, or there are no tests of its own.
            (Some(own), None, true) => Some(own),
            (_, Some(found), _) => {
                walk.note("the file has no verdict on this board alone: that of its tests is taken");
                Some(found)
            }
            (None, None, _) => {
                walk.fault(FaultKind::Missing, "the board has no verdict and no test with one");
                None
            }
        }
    }

    /// The tests with their groups.
    fn tests(&mut self, walk: &mut Walk) -> Vec<(String, Step)> {
        let cells = self.tests.iter().flatten().filter(|(key, _)| matches!(key.as_str(), "MR" | "ML" | "MH"));
        let decimal = Decimal::by_evidence(cells.map(|(_, value)| value.as_str()));
        std::mem::take(&mut self.tests).into_iter().map(|fields| test(fields, decimal, walk)).collect()
    }

    fn hash(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new();
        let parts = [&self.header, &self.fields, &self.end].into_iter().chain(&self.tests);
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            for text in part.iter().flat_map(|(key, value)| [key, value]) {
                // With their lengths: nothing else reads the same.
                hash.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
            }
        }
        *hash.finalize().as_bytes()
    }
}

fn test(mut fields: Fields, decimal: Decimal, walk: &mut Walk) -> (String, Step) {
    let group = pull(&mut fields, "F").unwrap_or_default();
    let name = pull(&mut fields, "NM").unwrap_or_else(|| "TEST".to_owned());
    let status = match pull(&mut fields, "TR").as_deref() {
        Some("0") => Status::Passed,
        Some("1") => Status::Failed,
        None => Status::Done,
        Some(other) => {
            let message = format!("the test {:?}: TR is {:?}, neither 0 nor 1", printable(&name, 60), printable(other, 20));
            walk.fault(FaultKind::OutOfRange, message);
            Status::Error
        }
    };
    let mut lines = Lines::default();
    let [value, low, high, unit, took] = ["MR", "ML", "MH", "MU", "TT"].map(|key| pull(&mut fields, key));
    let read = |text: &Option<String>| text.as_deref().and_then(|text| number::read(text, decimal));
    let is_read = |text: &Option<String>| text.is_none() || read(text).is_some_and(|number| !number.as_f64().is_nan());
    let told = |lines: &mut Lines, key: &str, text: &Option<String>| text.iter().for_each(|text| lines.add(key, text));
    for (key, text) in [("ML", &low), ("MH", &high)] {
        if !is_read(text) {
            walk.note(format!("{}: {key} is no number", printable(&name, 60)));
            told(&mut lines, key, text);
        }
    }
    let own = match (read(&value), &value) {
        (Some(number), _) => {
            let bound = |text: &Option<String>| {
                read(text).filter(|limit| limit.as_f64().is_finite()).map(|limit| Bound { limit, inclusive: true })
            };
            let (low, high) = (bound(&low), bound(&high));
            let limits = (low.is_some() || high.is_some()).then_some(Limits::Range { low, high });
            Some(Measured::Numeric(steps::numeric(None, number, limits, unit, status)))
        }
        (None, text) => {
            for (key, text) in [("ML", &low), ("MH", &high)] {
                if is_read(text) {
                    told(&mut lines, key, text);
                }
            }
            told(&mut lines, "MU", &unit);
            match text {
                Some(text) => Some(Measured::Text(steps::string(None, text.clone(), None, status))),
                None if status == Status::Done => None,
                None => Some(Measured::Verdict(steps::verdict(None, status))),
            }
        }
    };
    let tot_time = read(&took).filter(|took| took.as_f64() >= 0.0).and_then(|took: Num| si::shift(&took, -3));
    if tot_time.is_none() {
        told(&mut lines, "TT", &took);
    }
    fields.iter().for_each(|(key, text)| lines.add(key, text));
    let step = steps::measuring(&name, status, own.into_iter().collect());
    (group, Step { tot_time, report_text: lines.into_text(), ..step })
}

/// Tests of one group that follow each other in one sequence; those of none by themselves.
fn sequences(tests: Vec<(String, Step)>) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    let mut last: Option<String> = None;
    for (group, step) in tests {
        if group.is_empty() {
            found.push(step);
        } else if let (true, Some(sequence)) = (last.as_ref() == Some(&group), found.last_mut()) {
            if step.status == Some(Status::Failed) || sequence.status == Some(Status::Done) {
                sequence.status = step.status;
            }
            sequence.steps.get_or_insert_default().push(step);
        } else {
            found.push(steps::sequence(&group, step.status.unwrap_or(Status::Done), vec![step]));
        }
        last = Some(group);
    }
    found
}

#[cfg(test)]
mod tests;
