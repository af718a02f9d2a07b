//! ATML test results (IEEE 1636.1) 2.02, 5.00 and 6.01, as TestStand and others write them: each `TestResults` is a unit, alone or in a collection.
//!
//! - `header`: what a `TestResults` says of its unit; `node`: its tree of steps; `result`: what a step found
//!
//! Names are local: each tool writes namespaces of its own. The unit stands behind the tree, so one `TestResults` is taken as a whole. A table of a
//! batch (`TSBatchTable`) is a list of units that stand beside it, and no unit.
//!
//! Left out: `TestProgram/Configuration` and `TS_Configuration` (the options of the report), `BlockLevel`, `Index` and `NumOfResults` (the order says the same), `ModuleTime`
//! (a part of `TotalTime`), `RawLimits` (the limits, where they are not thresholds), `flags`, `dimensions` and bounds of arrays, `UutType`.
//! A group that has results of its own has them as its first step. The verdict `Aborted` with a word that is no status of TestStand's stays
//! `Terminated`, `UserDefined` is `Done`; the word is in the report text.
//!
//! Sources: FORMATS.md sections 4 and 16, tests/data/atml. Of 5.00 and 6.01 with thresholds no file is known: if the limits differ from the raw ones,
//! they are taken as they stand, else as thresholds around the nominal value, as in 2.02.

mod header;
mod node;
mod result;
#[cfg(test)]
mod tests;

use jiff::tz::TimeZone;
use waybill_shared::report::{Report, Status, Uut};
use waybill_shared::schema::FaultKind;

use crate::convert::ground::fit::fit;
use crate::convert::ground::teststand::few;
use crate::convert::ground::verdict::contradictions;
use crate::convert::ground::walk::Walk;
use crate::convert::ground::xml::{Element, Xml};
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink, Unit};

const ABOUT: About = About {
    name: "atml",
    version: 1,
    help: "ATML test results (IEEE 1636.1) as TestStand writes them, one unit a file or several",
    patterns: &["*.xml"],
    has_end_mark: true,
    arguments: &[],
};

/// The converter `atml`.
#[derive(Debug)]
pub struct Atml;

impl Converter for Atml {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let contains = |text: &str| head.contains(text);
        let of_the_standard = contains("IEEE-1636.1:") || contains("www.ieee.org/ATML/");
        match (contains("TestResults"), of_the_standard, contains("ResultSet")) {
            (true, true, _) => 96,
            (true, false, true) => 70,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut xml = Xml::new(input.open_text()?);
        let mut found = false;
        while let Some(results) = xml.next(wanted)? {
            found = true;
            let units = units(results, &input.zone());
            let note = xml.note();
            for mut unit in units {
                if let Ok(unit) = &mut unit {
                    unit.notes.extend(note.clone());
                }
                if sink(unit).is_break() {
                    return Err(ConvertError::Stopped);
                }
            }
        }
        let place = "the file as a whole".to_owned();
        match (found, xml.has_begun()) {
            (true, _) => Ok(()),
            (false, true) => Err(ConvertError::Malformed { place, reason: "it holds no TestResults".to_owned() }),
            (false, false) => Err(ConvertError::Incomplete { place, reason: "it has no element yet".to_owned() }),
        }
    }
}

/// `TestResults` as the root or in a collection.
fn wanted(path: &[String]) -> bool {
    path.len() <= 3 && path.last().is_some_and(|name| name == "TestResults")
}

/// The standard has one `ResultSet`; several are several tests of the unit.
fn units(results: Element<'_>, zone: &TimeZone) -> Vec<Result<Unit, ConvertError>> {
    let sets: Vec<_> = results.children().filter(|child| child.name() == "ResultSet").collect();
    if sets.is_empty() {
        let reason = "it has no ResultSet: nothing was tested".to_owned();
        return vec![Err(ConvertError::Malformed { place: results.place(), reason })];
    }
    sets.into_iter().enumerate().map(|(number, set)| unit(results, set, number, zone)).collect()
}

fn unit(results: Element<'_>, set: Element<'_>, number: usize, zone: &TimeZone) -> Result<Unit, ConvertError> {
    let mut walk = Walk::default();
    let mut report = Report { kind: Some("T".to_owned()), uut: Some(Uut::default()), ..Report::default() };
    header::read(results, &mut report, &mut walk);
    let root = node::root(set, zone, &mut walk);
    report.result = match root.verdict {
        // Of the unit there is no such verdict.
        Some(Status::Skipped) => {
            walk.note("the unit was not tested: it is Terminated");
            Some(Status::Terminated)
        }
        found => found,
    };
    if report.result.is_none() {
        walk.fault(FaultKind::Missing, format!("{}: it has no Outcome that is understood", set.place()));
    }
    if let Some(uut) = &mut report.uut {
        uut.exec_time = root.time;
        (uut.error_code, uut.error_message) = (root.step.error_code, root.step.error_message.clone());
    }
    if let Some(moment) = root.start {
        moment.start(&mut report, zone, &mut walk);
    }
    report.root = Some(root.step);
    header::failure(results, &mut report);
    let mut notes = walk.finish().map_err(ConvertError::Faults)?;
    notes.extend(contradictions(&report));
    fit(&mut report, &mut notes);
    few(&mut notes);
    let mut hash = blake3::Hasher::new();
    results.hash(&mut hash);
    hash.update(&(number as u64).to_le_bytes());
    Ok(Unit { report, own_hash: *hash.finalize().as_bytes(), notes })
}

/// An element in it.
fn child<'a>(element: Element<'a>, name: &str) -> Option<Element<'a>> {
    element.children().find(|child| child.name() == name)
}

/// What an element says: its attribute `value`, or its text, unless it is blank.
fn said<'a>(element: Element<'a>) -> Option<&'a str> {
    let text = element.attribute("value").unwrap_or_else(|| element.text()).trim();
    (!text.is_empty()).then_some(text)
}
