//! Teradyne Spectrum in-circuit testers: text of nested nodes in parentheses, a board a file (FORMATS.md sections 10 and 16, tests/data/teradyne-spectrum).
//!
//! `PROGRAM_NAME` begins a board: the first word of it is the part number. `SECTION_NAME` begins a section, `STEP` is a step with its `PAGE`s, and a page has
//! blocks of what it measured: `ANA`, `INTC` with results, `EXTPROG`, and others. What a board is, its test program says in nodes `USER`: names and values
//! (`ground::names`), also `Date`, `StartTime`, `EndTime` and `STATUS`, its verdict.
//!
//! - A section is a sequence, and so is a step, of one step a page. A page without a measured value is a verdict; its limits are in its text.
//! - `SCALE` is the prefix of `VAL`; the limits come with that of the value. `HILIM` alone is LE, `LOLIM` alone GE.
//! - A board without `STATUS`, or with `StartTime` and without `EndTime`, is not complete.
//! - Everything else of a page or a step is in its text, and of a board information on the unit.

mod measured;
mod nodes;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use waybill_shared::report::{MiscInfo, Report, SeqCall, Status, Step, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use self::measured::{page, status};
use self::nodes::{Next, Node, Nodes};
use crate::convert::ground::fit::fit;
use crate::convert::ground::names::Pairs;
use crate::convert::ground::steps;
use crate::convert::ground::time::{self, Moment, local};
use crate::convert::ground::verdict::{contradictions, passed_with_failures};
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::{About, Argument, ConvertError, Converter, Head, Input, Kind, Sink, Unit};

const DATE_ORDER: Argument =
    Argument { name: "date_order", help: "order of day and month in the file", kind: Kind::OneOf(&["day first", "month first"]) };

const ABOUT: About = About {
    name: "spectrum",
    version: 1,
    help: "Teradyne Spectrum result files, one unit a board",
    patterns: &["*.txt", "*.log"],
    has_end_mark: false,
    arguments: &[DATE_ORDER],
};

/// The converter `spectrum`.
#[derive(Debug)]
pub struct Spectrum;

impl Converter for Spectrum {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let contains = |text: &str| head.contains(text);
        match (contains("(PROGRAM_NAME:"), contains("(SECTION_NAME:") || contains("(STEP:")) {
            (true, true) => 95,
            (true, false) => 60,
            (false, _) => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let text = input.text()?;
        let mut nodes = Nodes::new(&text.text);
        let mut board = Board::default();
        let mut boards = 0_u64;
        loop {
            let before = nodes.at;
            let next = nodes.next()?;
            let is_next = matches!(&next, Some(Next::Node(node)) if node.key == "PROGRAM_NAME") && board.program.is_some();
            if next.is_none() || is_next {
                let done = std::mem::take(&mut board);
                if done.program.is_none() && boards == 0 {
                    let reason = "it has no PROGRAM_NAME: no board".to_owned();
                    return Err(ConvertError::Malformed { place: "the file as a whole".to_owned(), reason });
                }
                if next.is_none()
                    && let Some(reason) = done.lacks()
                {
                    return Err(ConvertError::Incomplete {
                        place: "its end".to_owned(),
                        reason: format!("the board has no {reason}"),
                    });
                }
                boards += 1;
                if sink(done.unit(input, text.note.as_ref())).is_break() {
                    return Err(ConvertError::Stopped);
                }
            }
            let Some(next) = next else { return Ok(()) };
            board.hash.update(text.text.get(before..nodes.at).unwrap_or_default().as_bytes());
            board.add(next);
        }
    }
}

/// A board.
#[derive(Default)]
struct Board<'a> {
    program: Option<String>,
    sections: Vec<(String, Vec<Node<'a>>)>,
    /// Names and values that its program wrote.
    user: Vec<(String, String)>,
    infos: Vec<(String, String)>,
    lines: Lines,
    hash: blake3::Hasher,
}

impl<'a> Board<'a> {
    fn add(&mut self, next: Next<'a>) {
        let node = match next {
            Next::Node(node) => node,
            Next::Text(text) => return self.lines.add_text(text.to_owned()),
        };
        match node.key {
            "PROGRAM_NAME" => self.program = Some(node.text.trim().to_owned()),
            "SECTION_NAME" => self.sections.push((node.text.trim().to_owned(), Vec::new())),
            "STEP" => {
                if self.sections.is_empty() {
                    self.sections.push((String::new(), Vec::new()));
                }
                if let Some((_, steps)) = self.sections.last_mut() {
                    steps.push(node);
                }
            }
            "USER" => match node.text.split_once(':') {
                Some((name, value)) => self.user.push((name.trim().to_owned(), value.trim().to_owned())),
                None => self.infos.push(("USER".to_owned(), node.text)),
            },
            key => self.infos.push((key.to_owned(), node.flat())),
        }
    }

    fn user(&self, name: &str) -> Option<&str> {
        self.user
            .iter()
            .find(|(known, value)| known.eq_ignore_ascii_case(name) && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// What is missing at its end.
    fn lacks(&self) -> Option<&'static str> {
        if self.user("STATUS").is_none() {
            Some("STATUS")
        } else if self.user("StartTime").is_some() && self.user("EndTime").is_none() {
            Some("EndTime")
        } else {
            None
        }
    }

    fn unit(self, input: &Input<'_>, note: Option<&String>) -> Result<Unit, ConvertError> {
        let mut walk = Walk::default();
        walk.notes(note.cloned());
        if let Some(reason) = self.lacks() {
            walk.fault(FaultKind::Missing, format!("the board has no {reason}, and the next one begins"));
        }
        let is_day_first = input.arguments.text(&DATE_ORDER) != Some("month first");
        let program = self.program.clone().unwrap_or_default();
        let pn = program.split(|c: char| !c.is_alphanumeric() && c != '_').find(|word| !word.is_empty()).map(str::to_owned);
        let mut report = Report { kind: Some("T".to_owned()), pn, ..Report::default() };
        let mut uut = Uut::default();
        report.result = self.user("STATUS").and_then(|text| {
            let found = text.split_whitespace().next_back().and_then(Status::parse).filter(|found| *found != Status::Skipped);
            if found.is_none() {
                let message = format!("{:?} is no verdict as BOARD PASSED", printable(text, 40));
                walk.in_key("STATUS", |walk| walk.fault(FaultKind::OutOfRange, message));
            }
            found
        });
        let clock = Clock { zone: input.zone(), is_day_first };
        self.times(&clock, &mut report, &mut uut, &mut walk);
        let sections = self.sections.iter().map(|(name, steps)| section(name, steps, &clock, &mut walk)).collect();
        let name = if program.is_empty() { "Spectrum" } else { &program };
        let mut root = steps::sequence(name, report.result.unwrap_or(Status::Error), sections);
        root.seq_call = Some(SeqCall {
            name: Some(name.to_owned()),
            version: self.user("SequenceRev").map(str::to_owned),
            ..SeqCall::default()
        });
        (root.tot_time, root.report_text) = (uut.exec_time.clone(), self.lines.into_text());
        let mut infos: Vec<MiscInfo> = Vec::new();
        self.infos.iter().for_each(|(key, text)| steps::misc(&mut infos, key, text));
        (report.uut, report.root, report.misc_infos) = (Some(uut), Some(root), Some(infos));
        let mut pairs = Pairs::default();
        self.user.iter().for_each(|(name, value)| pairs.add(name, value));
        ["date", "starttime", "endtime", "status", "sequencerev"].into_iter().for_each(|name| pairs.drop_named(name));
        pairs.fill(&mut report, &mut walk);
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        notes.extend(contradictions(&report).into_iter().chain(passed_with_failures(&report)));
        fit(&mut report, &mut notes);
        Ok(Unit { report, own_hash: *self.hash.finalize().as_bytes(), notes })
    }

    /// When it began and how long it took: as its program says, else as its first step.
    fn times(&self, clock: &Clock, report: &mut Report, uut: &mut Uut, walk: &mut Walk) {
        let first = self.sections.iter().flat_map(|(_, steps)| steps).find_map(|step| step.text_of("TIME"));
        let date = self.user("Date").or_else(|| first?.split_whitespace().next());
        let with_date = |time: &str| date.map(|date| format!("{date} {time}"));
        let Some(began) = self.user("StartTime").and_then(with_date).or_else(|| first.map(str::to_owned)) else { return };
        let Some(start) = clock.read(&began) else {
            let order = if clock.is_day_first { "day first" } else { "month first" };
            let message = format!(
                "{:?} is no date and time with the {order}; see the source's argument `date_order`",
                printable(&began, 40)
            );
            return walk.in_key("StartTime", |walk| walk.fault(FaultKind::OutOfRange, message));
        };
        Moment::Local(start).start(report, &clock.zone, walk);
        let Some(ended) = self.user("EndTime").and_then(with_date) else { return };
        let Some(mut end) = clock.read(&ended) else {
            return walk.in_key("EndTime", |walk| {
                walk.note(format!("{:?} is no time: how long it took is not known", printable(&ended, 40)))
            });
        };
        if end < start {
            // Only the time of day is told.
            end = end.checked_add(SignedDuration::from_hours(24)).unwrap_or(end);
        }
        let mut quiet = Walk::default();
        let zoned = [start, end].map(|civil| Moment::Local(civil).zoned(&clock.zone, &mut quiet));
        if let [Some(start), Some(end)] = &zoned {
            uut.exec_time = time::seconds(start, end, walk);
        }
    }
}

/// How the file tells a time.
struct Clock {
    zone: jiff::tz::TimeZone,
    is_day_first: bool,
}

impl Clock {
    /// A date and a time of day; thousandths follow a colon (FORMATS.md section 10).
    fn read(&self, text: &str) -> Option<DateTime> {
        let (date, time) = text.trim().split_once(char::is_whitespace)?;
        let parts: Vec<&str> = date.split(['/', '.', '-']).collect();
        let [first, second, third] = parts.as_slice() else { return None };
        let (year, one, other) = if first.len() == 4 { (first, second, third) } else { (third, first, second) };
        let is_iso = first.len() == 4;
        let (day, month) = if self.is_day_first && !is_iso { (one, other) } else { (other, one) };
        let mut of_time = time.trim().splitn(4, ':');
        let mut next = || of_time.next().filter(|part| !part.is_empty());
        let (hour, minute, second, thousandths) = (next()?, next()?, next()?, next());
        let fraction = thousandths.map(|text| format!(".{text:0>3}")).unwrap_or_default();
        match Moment::iso(&format!("{year}-{month:0>2}-{day:0>2}T{hour:0>2}:{minute}:{second}{fraction}"))? {
            Moment::Local(civil) => Some(civil),
            _ => None,
        }
    }
}

fn section(name: &str, nodes: &[Node<'_>], clock: &Clock, walk: &mut Walk) -> Step {
    let own: Vec<Step> = nodes.iter().map(|node| step(node, clock, walk)).collect();
    let has = |status| own.iter().any(|step| step.status == Some(status));
    let worst = [Status::Error, Status::Failed, Status::Terminated, Status::Passed].into_iter().find(|&status| has(status));
    steps::sequence(if name.is_empty() { "Steps" } else { name }, worst.unwrap_or(Status::Done), own)
}

fn step(node: &Node<'_>, clock: &Clock, walk: &mut Walk) -> Step {
    let name = node.text_of("SNAME").unwrap_or("STEP");
    let mut lines = Lines::default();
    let own = node.text_of("STAT").and_then(|text| status(text, name, walk));
    let pages: Vec<Step> =
        node.nodes.iter().filter(|inner| inner.key == "PAGE").map(|inner| page(inner, name, own, walk)).collect();
    let mut start = None;
    for inner in &node.nodes {
        match inner.key {
            "SNAME" | "STAT" | "PAGE" => {}
            "TIME" => {
                let mut quiet = Walk::default();
                let read = clock.read(&inner.text).and_then(|civil| Moment::Local(civil).zoned(&clock.zone, &mut quiet));
                match read {
                    Some(zoned) => start = Some(local(&zoned)),
                    None => lines.add(inner.key, &inner.flat()),
                }
            }
            key => lines.add(key, &inner.flat()),
        }
    }
    if !node.text.trim().is_empty() {
        lines.add_text(node.text.trim().to_owned());
    }
    let has = |status| pages.iter().any(|page| page.status == Some(status));
    let worst = [Status::Error, Status::Failed, Status::Passed].into_iter().find(|&status| has(status));
    let status = own.or(worst).unwrap_or(Status::Done);
    Step { start, report_text: lines.into_text(), ..steps::sequence(name, status, pages) }
}

#[cfg(test)]
mod tests;
