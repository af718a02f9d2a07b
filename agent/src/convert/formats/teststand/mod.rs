//! TestStand's own XML reports: `Reports/Report`, and `TSReport` as the WATS client writes it.
//!
//! - [`header`]: what a report says of its unit; [`result`]: from a result to a step
//!
//! Everything is a `Prop` with a name. A report is read as a stream: only one result at a time is held, besides the steps that came of those before it,
//! so a report of a hundred megabytes costs what its steps cost. Results stand in `TS.SequenceCall.ResultList`; those of a loop in `TS.LoopResults`,
//! which follow the totals of the loop as in a report; those that a step's post action calls in the step's own list.
//!
//! Left out: `ReportOptions` (how the report is written), prototypes, comments and attributes of properties, `Index` and `BlockLevel` (the order says
//! the same), `ModuleTime` (a part of `TotalTime`), `StartTime` of a step (seconds since the engine was started), `ThreadId`,
//! `InteractiveExeNum`, `RawLimits`, `StepCount`, `Title`, texts of dates (they are localised; their numeric parts count), reports of a batch (their
//! units have reports of their own).
//!
//! Sources: FORMATS.md section 5, tests/data/teststand. Loops, several measurements and thresholds are by that section; no file with them is known.

mod header;
mod result;
#[cfg(test)]
mod tests;

use waybill_shared::report::Step;

use self::header::Header;
use self::result::Found;
use crate::convert::ground::number::Decimal;
use crate::convert::ground::teststand::prop::Prop;
use crate::convert::ground::walk::Walk;
use crate::convert::ground::xml::{Element, Node, Take, Xml};
use crate::convert::{About, Argument, ConvertError, Converter, Head, Input, Kind, Sink, Unit};

const FLOW_STEPS: Argument =
    Argument { name: "flow_steps", help: "keeps the steps that steer a sequence (If, For, End, ...)", kind: Kind::Flag(true) };

const ABOUT: About = About {
    name: "teststand",
    version: 1,
    help: "XML reports of NI TestStand, its own and those of the WATS client, one unit a file or several",
    patterns: &["*.xml"],
    has_end_mark: true,
    arguments: &[FLOW_STEPS],
};

/// The converter `teststand`.
#[derive(Debug)]
pub struct TestStand;

impl Converter for TestStand {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let contains = |text: &str| head.contains(text);
        let is_report = contains("<TSReport") || contains("<Report ");
        match (is_report, contains("<Prop "), contains("UUTResult") || contains("<ReportInfo") || contains("TEResult")) {
            (true, true, true) => 95,
            (true, true, false) => 60,
            (true, false, true) => 50,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut xml = Xml::new(input.open_text()?);
        let mut reading = Reading { open: Vec::new(), keeps_flow: input.arguments.flag(&FLOW_STEPS), found: false };
        loop {
            let open = reading.open.last();
            let done = match xml.node_by(|path, start| what(open, path, start).0)? {
                None => break,
                Some(Node::Begin(start)) => {
                    reading.begin(start);
                    None
                }
                Some(Node::Whole(element)) => {
                    reading.whole(element);
                    None
                }
                Some(Node::End) => reading.end(),
            };
            let Some(report) = done else { continue };
            let mut unit = report.unit(&input.zone());
            if let Ok(unit) = &mut unit {
                unit.notes.extend(xml.note());
            }
            if sink(unit).is_break() {
                return Err(ConvertError::Stopped);
            }
        }
        let place = "the file as a whole".to_owned();
        match (reading.found, xml.has_begun()) {
            (true, _) => Ok(()),
            (false, true) => Err(ConvertError::Malformed { place, reason: "it holds no report of a unit".to_owned() }),
            (false, false) => Err(ConvertError::Incomplete { place, reason: "it has no element yet".to_owned() }),
        }
    }
}

/// What is open.
enum Frame {
    Report(Box<Report>),
    Result(Box<Found>),
    /// `TS` of a result.
    Ts,
    /// `TS.SequenceCall`.
    Call,
    /// A list of results.
    List(List),
    /// A place of a list.
    Item,
}

/// What kind of results a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    /// Of the steps of a sequence.
    Steps,
    /// Of a loop.
    Loop,
}

/// A frame that an element opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opens {
    Nothing,
    Report,
    Result,
    Ts,
    Call,
    List(List),
    Item,
}

/// How an element is taken in what is open, and what it opens.
fn what(open: Option<&Frame>, path: &[String], start: Element<'_>) -> (Take, Opens) {
    let enter = |opens: Opens| (Take::Enter, opens);
    let whole = (Take::Whole, Opens::Nothing);
    let is_prop = start.name() == "Prop";
    let name = start.attribute("Name").unwrap_or_default();
    let is_result = is_prop && start.attribute("Type") == Some("TEResult");
    match open {
        None => match start.name() {
            "TSReport" if path.len() <= 2 => enter(Opens::Report),
            "Report" if path.len() <= 2 && start.attribute("Type").is_none_or(|kind| kind == "UUT") => enter(Opens::Report),
            _ => (Take::Pass, Opens::Nothing),
        },
        Some(Frame::Report(_)) if is_result => enter(Opens::Result),
        Some(Frame::Result(_)) if is_prop && name == "TS" => enter(Opens::Ts),
        Some(Frame::Ts) if is_prop && name == "SequenceCall" => enter(Opens::Call),
        Some(Frame::Ts) if is_prop && name == "LoopResults" => enter(Opens::List(List::Loop)),
        Some(Frame::Ts | Frame::Call) if is_prop && (name == "ResultList" || name == "PostActionResults") => {
            enter(Opens::List(List::Steps))
        }
        // A container of the list that holds the results.
        Some(Frame::List(list)) if is_prop && name == "ResultList" => enter(Opens::List(*list)),
        Some(Frame::List(_)) if start.name() == "Value" => enter(Opens::Item),
        Some(Frame::List(_)) if is_result => enter(Opens::Result),
        Some(Frame::Item) if is_prop => enter(Opens::Result),
        Some(_) => whole,
    }
}

/// A report as far as it was read.
#[derive(Default)]
struct Report {
    header: Header,
    roots: Vec<Step>,
    hash: blake3::Hasher,
    decimal: Option<Decimal>,
    walk: Walk,
}

struct Reading {
    open: Vec<Frame>,
    keeps_flow: bool,
    found: bool,
}

impl Reading {
    fn begin(&mut self, start: Element<'_>) {
        let opens = what(self.open.last(), &[], start).1;
        if let Some(report) = self.report() {
            start.hash(&mut report.hash);
        }
        let frame = match opens {
            Opens::Report | Opens::Nothing => {
                self.found = true;
                let mut report = Report::default();
                start.hash(&mut report.hash);
                report.header.begin(start);
                Frame::Report(Box::new(report))
            }
            Opens::Result => Frame::Result(Box::new(Found::new(start.attribute("Name").unwrap_or_default()))),
            Opens::Ts => Frame::Ts,
            Opens::Call => Frame::Call,
            Opens::List(list) => Frame::List(list),
            Opens::Item => Frame::Item,
        };
        self.open.push(frame);
    }

    fn whole(&mut self, element: Element<'_>) {
        if let Some(report) = self.report() {
            element.hash(&mut report.hash);
        }
        let in_ts = match self.open.last_mut() {
            Some(Frame::Report(report)) => {
                let localised = report.header.element(element);
                if localised {
                    report.decimal = Some(Decimal::Comma);
                }
                return;
            }
            Some(Frame::Result(_)) => Within::Result,
            // Beside the results of a list stands what is said of it.
            Some(Frame::Ts | Frame::List(_)) => Within::Ts,
            Some(Frame::Call) => Within::Call,
            Some(Frame::Item) | None => return,
        };
        if element.name() != "Prop" {
            return;
        }
        let result =
            self.open.iter_mut().rev().find_map(|frame| if let Frame::Result(found) = frame { Some(found) } else { None });
        if let Some(result) = result {
            result.add(Prop::of(element), in_ts);
        }
    }

    fn end(&mut self) -> Option<Report> {
        match self.open.pop()? {
            Frame::Report(report) => return Some(*report),
            Frame::Result(found) => {
                let keeps_flow = self.keeps_flow;
                let steps = self.report().map_or_else(Vec::new, |report| {
                    found.steps(report.decimal.unwrap_or(Decimal::Point), keeps_flow, &mut report.walk)
                });
                // Of a loop or not: the nearest list says it.
                let list =
                    self.open.iter().rev().find_map(|frame| if let Frame::List(list) = frame { Some(*list) } else { None });
                let outer = self.open.iter_mut().rev().find(|frame| matches!(frame, Frame::Result(_) | Frame::Report(_)));
                match outer {
                    Some(Frame::Result(outer)) => match list {
                        Some(List::Loop) => outer.iterations.extend(steps),
                        _ => outer.inner.extend(steps),
                    },
                    Some(Frame::Report(report)) => report.roots.extend(steps),
                    _ => {}
                }
            }
            Frame::Ts | Frame::Call | Frame::List(_) | Frame::Item => {}
        }
        None
    }

    fn report(&mut self) -> Option<&mut Report> {
        match self.open.first_mut() {
            Some(Frame::Report(report)) => Some(report),
            _ => None,
        }
    }
}

/// Where in a result a property stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Result,
    Ts,
    Call,
}

impl Report {
    fn unit(self, zone: &jiff::tz::TimeZone) -> Result<Unit, ConvertError> {
        let Self { header, roots, hash, walk, .. } = self;
        header.unit(roots, zone, *hash.finalize().as_bytes(), walk)
    }
}
