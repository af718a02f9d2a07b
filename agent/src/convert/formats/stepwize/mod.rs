//! StepWize XSPC: XML of flat rows, one unit for each `ConfigandResultsData`.
//!
//! - `rows`: rows to steps
//!
//! What the format fixes (FORMATS.md section 13, tests/data/stepwize):
//!
//! - The rows of a step stand together: `Overall Outcome` and `iteration`, which say of the step what every row says, and one row for each
//!   measurement. A step without one is a pass/fail step.
//! - `sequencePF` is the verdict on the unit, `stepOutcome` on a step, `measurementOutcome` on a measurement. `Performed- Record Only` is none: done.
//! - `limitMode` says which limits count (`LL <= Value <= UL`, `Value <= UL`); one that does not count is in the file all the same, and stands in the report
//!   text, as does every field of a row that a report has no field for: once for the step if its rows agree. A field that is empty says nothing.
//! - `SI_Prefix` scales nothing: value, limits and unit stand as they are. One that is not `unity` is noted.
//! - Rows of a loop differ in `iteration`: each iteration is a step with its number.
//! - Start is the earliest `startDateTime`, duration the time from there to the latest `endDateTime`.

mod rows;
#[cfg(test)]
mod tests;

use waybill_shared::report::{Report, SeqCall, Status, Step, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use self::rows::Rows;
use crate::convert::ground::fit::fit;
use crate::convert::ground::names::serial_number;
use crate::convert::ground::verdict::contradictions;
use crate::convert::ground::walk::Walk;
use crate::convert::ground::xml::{Element, Node, Take, Xml};
use crate::convert::ground::{steps, time};
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink, Unit};

const ABOUT: About = About {
    name: "stepwize",
    version: 1,
    help: "StepWize result files (XSPC)",
    patterns: &["*.XSPC", "*.xspc"],
    has_end_mark: true,
    arguments: &[],
};

/// The converter `stepwize`.
#[derive(Debug)]
pub struct StepWize;

impl Converter for StepWize {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        match (head.contains("<ConfigAndResultsDataFile"), head.count(&["<Config_and_Data_Result", "<ConfigandResultsData"])) {
            (true, 1..) => 98,
            (true, 0) => 80,
            (false, 1..) => 80,
            (false, _) => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut xml = Xml::new(input.open_text()?);
        let (mut of_file, mut open, mut units) = (Vec::new(), None::<Open>, 0_u64);
        while let Some(node) = xml.node(take)? {
            match (node, &mut open) {
                (Node::Begin(_), _) => open = Some(Open::default()),
                (Node::Whole(element), Some(open)) => open.element(element),
                (Node::Whole(element), None) => of_file.push((element.name().to_owned(), element.text().trim().to_owned())),
                (Node::End, _) => {
                    let Some(open) = open.take() else { continue };
                    units += 1;
                    let mut unit = open.unit(&of_file, input);
                    if let Ok(unit) = &mut unit {
                        unit.notes.extend(xml.note());
                    }
                    if sink(unit).is_break() {
                        return Err(ConvertError::Stopped);
                    }
                }
            }
        }
        if units == 0 {
            let place = "the file as a whole".to_owned();
            return Err(ConvertError::Malformed { place, reason: "it has no ConfigandResultsData".to_owned() });
        }
        Ok(())
    }
}

const UNIT: &str = "ConfigandResultsData";
const ROWS: &str = "Config_and_Result_Data";

fn take(path: &[String]) -> Take {
    let Some((name, outer)) = path.split_last() else { return Take::Pass };
    match (outer.iter().position(|name| name == UNIT), name.as_str()) {
        (None, UNIT) => Take::Enter,
        (Some(_), ROWS) => Take::Pass,
        (Some(_), _) => Take::Whole,
        (None, _) if outer.is_empty() => Take::Pass,
        (None, _) => Take::Whole,
    }
}

/// A unit that is read.
#[derive(Default)]
struct Open {
    header: Vec<(String, String)>,
    rows: Rows,
    hash: blake3::Hasher,
    walk: Walk,
}

impl Open {
    fn element(&mut self, element: Element<'_>) {
        element.hash(&mut self.hash);
        if element.name() == "Config_and_Data_Result" {
            self.rows.row(element, &mut self.walk);
        } else {
            self.field(element.name(), element);
        }
    }

    fn field(&mut self, name: &str, element: Element<'_>) {
        let text = element.text().trim();
        if !text.is_empty() {
            self.header.push((name.to_owned(), text.to_owned()));
        }
        for child in element.children() {
            self.field(&format!("{name}.{}", child.name()), child);
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.header.iter().position(|(key, _)| key == name)?;
        Some(self.header.remove(at).1)
    }

    fn unit(mut self, of_file: &[(String, String)], input: &Input<'_>) -> Result<Unit, ConvertError> {
        let zone = input.zone();
        let rows = std::mem::take(&mut self.rows);
        let found = rows.finish(&zone, &mut self.walk);
        let result = match self.take("sequencePF") {
            Some(text) => {
                let status = Status::parse(&text);
                if status.is_none() {
                    let text = printable(&text, 40);
                    self.walk.fault(FaultKind::OutOfRange, format!("sequencePF: {text:?} is no verdict that is known"));
                }
                status
            }
            None => {
                self.walk.note("it has no sequencePF: it has the worst of its steps");
                found.worst
            }
        };
        let serial = self.take("serialNumber");
        let mut report = Report {
            kind: Some("T".to_owned()),
            sn: serial.and_then(|text| serial_number(&text, &mut self.walk)),
            pn: self.take("partNumber"),
            rev: self.take("partRev"),
            result,
            ..Report::default()
        };
        let revision = self.take("revision");
        if let (None, Some(revision)) = (&report.rev, &revision) {
            self.walk.note("it has no partRev: revision is taken");
            report.rev = Some(revision.clone());
        }
        let source = self.take("sourceFile");
        let name = source.clone().or_else(|| self.take("label")).unwrap_or_else(|| "StepWize".to_owned());
        let call = SeqCall { name: Some(name.clone()), version: revision, path: source, ..SeqCall::default() };
        let root = steps::sequence(&name, result.unwrap_or(Status::Done), found.steps);
        report.root = Some(Step { seq_call: Some(call), tot_time: found.time.clone(), ..root });
        report.uut = Some(Uut { user: found.operator, exec_time: found.time, ..Uut::default() });
        let mut misc = Vec::new();
        for (key, text) in self.header.iter().chain(of_file) {
            steps::misc(&mut misc, key, text);
        }
        report.misc_infos = Some(misc).filter(|misc| !misc.is_empty());
        if let Some(start) = found.start {
            report.start = Some(time::local(&start));
            report.start_utc = Some(start.timestamp().to_string());
        }
        let mut notes = self.walk.finish().map_err(ConvertError::Faults)?;
        notes.extend(contradictions(&report));
        fit(&mut report, &mut notes);
        Ok(Unit { report, own_hash: *self.hash.finalize().as_bytes(), notes })
    }
}
