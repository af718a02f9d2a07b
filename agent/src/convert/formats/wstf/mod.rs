//! WSTF, the WATS Standard Text Format: tab-separated lines between markers, one unit or several a file.
//!
//! - `header`: keys of the header and of the footer to the fields of a report
//! - `rows`: the rows of steps to steps
//!
//! What the format fixes (FORMATS.md section 6; no file of a real machine is public, so the tests are written for Waybill):
//!
//! - `--Header-Start--`, lines of key and value, `--Step-Data-Start--`, rows, `--Step-Data-End--`, a footer of more keys that override those of the
//!   header, `--UUT-End--`. Dashes, blanks and case of a marker do not matter (`-- UUT-End--`). A unit without rows has no step markers.
//! - A key that is not known is information on the unit. `Subunit` has type, part number, serial number and revision.
//! - The columns of the rows are those of [`rows`], unless the first row names them (`StepType` first).
//! - A decimal comma is read as a point.
//! - A status that is given is used; one that is not is computed from the limits, and that is noted.
//!
//! A file is whole when its last unit is ended; nothing says how many units there are, so a file that is cut between two looks whole.

mod header;
mod rows;
#[cfg(test)]
mod tests;

use std::io::BufRead as _;

use waybill_shared::text::printable;

use self::header::Header;
use self::rows::Rows;
use crate::convert::ground::fit::fit;
use crate::convert::ground::verdict::contradictions;
use crate::convert::ground::walk::Walk;
use crate::convert::ground::{names, own_hash};
use crate::convert::input::unreadable;
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink, Unit};

const ABOUT: About = About {
    name: "wstf",
    version: 1,
    help: "WATS Standard Text Format (WSTF), one unit or several a file",
    patterns: &["*.txt", "*.wstf"],
    has_end_mark: false,
    arguments: &[],
};

/// The converter `wstf`.
#[derive(Debug)]
pub struct Wstf;

impl Converter for Wstf {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        match (head.contains("Header-Start--"), head.count(&["Step-Data-Start--", "UUT-End--", "SerialNumber\t"])) {
            (true, 1..) => 97,
            (true, 0) => 70,
            (false, 2..) => 60,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut stream = input.open_text()?;
        let mut line = String::new();
        let mut reading = Reading::default();
        loop {
            line.clear();
            if stream.read_line(&mut line).map_err(unreadable)? == 0 {
                break;
            }
            let text = line.trim_end_matches(['\r', '\n']);
            if let Some(unit) = reading.line(text, input)
                && sink(unit).is_break()
            {
                return Err(ConvertError::Stopped);
            }
        }
        if let Some(note) = stream.note() {
            reading.stray.push(note);
        }
        reading.end()
    }
}

/// Where the reading stands.
#[derive(Default)]
struct Reading {
    number: u64,
    units: u64,
    open: Option<Open>,
    /// Lines that belong to no unit, and other notes for the next one.
    stray: Vec<String>,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Part {
    Header,
    Rows,
    Footer,
}

/// A unit that has begun.
struct Open {
    part: Part,
    began: u64,
    header: Header,
    rows: Rows,
    hash: blake3::Hasher,
    walk: Walk,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Marker {
    HeaderStart,
    HeaderEnd,
    StepsStart,
    StepsEnd,
    UnitEnd,
}

impl Reading {
    /// Takes a line; a unit, if it ended there.
    fn line(&mut self, text: &str, input: &Input<'_>) -> Option<Result<Unit, ConvertError>> {
        self.number += 1;
        let marker = marker(text);
        if marker == Some(Marker::HeaderStart) {
            let before = self.open.take().map(|open| self.not_ended(open, input));
            let mut walk = Walk::default();
            walk.notes(std::mem::take(&mut self.stray));
            self.open = Some(Open {
                part: Part::Header,
                began: self.number,
                header: Header::default(),
                rows: Rows::default(),
                hash: blake3::Hasher::new(),
                walk,
            });
            return before;
        }
        let Some(open) = &mut self.open else {
            if !text.trim().is_empty() {
                self.stray.push(format!("line {} belongs to no unit: {:?}", self.number, printable(text, 100)));
                self.stray.truncate(20);
            }
            return None;
        };
        if marker != Some(Marker::UnitEnd) {
            own_hash::add(&mut open.hash, text);
        }
        let number = self.number;
        match (marker, open.part) {
            (Some(Marker::StepsStart), _) => open.part = Part::Rows,
            (Some(Marker::StepsEnd), _) => open.part = Part::Footer,
            (Some(Marker::UnitEnd), _) => {
                self.units += 1;
                return self.open.take().map(|open| open.unit(input));
            }
            (Some(Marker::HeaderEnd | Marker::HeaderStart), _) => {}
            _ if text.trim().is_empty() => {}
            (None, Part::Rows) => open.walk.in_key(&format!("line {number}"), |walk| open.rows.row(text, walk)),
            (None, _) => open.walk.in_key(&format!("line {number}"), |walk| open.header.line(text, walk)),
        }
        None
    }

    /// The next unit begins and this one was not ended: it is whole if its steps are.
    fn not_ended(&mut self, mut open: Open, input: &Input<'_>) -> Result<Unit, ConvertError> {
        self.units += 1;
        let place = format!("line {}", self.number);
        if open.part == Part::Footer {
            open.walk.note(format!("{place}: the next unit begins without the --UUT-End-- of this one"));
            return open.unit(input);
        }
        let reason = format!("the unit that begins in line {} is not ended before the next one begins", open.began);
        Err(ConvertError::Malformed { place, reason })
    }

    fn end(self) -> Result<(), ConvertError> {
        let place = format!("line {}", self.number);
        match self.open {
            Some(open) => {
                let reason = format!("the unit that begins in line {} has no --UUT-End--", open.began);
                Err(ConvertError::Incomplete { place, reason })
            }
            None if self.units == 0 && self.stray.is_empty() => {
                Err(ConvertError::Incomplete { place, reason: "there is no unit in it".to_owned() })
            }
            None if self.units == 0 => {
                Err(ConvertError::Malformed { place, reason: "there is no --Header-Start-- in it".to_owned() })
            }
            None => Ok(()),
        }
    }
}

impl Open {
    fn unit(self, input: &Input<'_>) -> Result<Unit, ConvertError> {
        let Self { header, rows, hash, mut walk, .. } = self;
        let (steps, by_steps) = rows.finish(&mut walk);
        let mut report = header.report(&input.zone(), by_steps, &mut walk);
        if let Some(root) = &mut report.root {
            root.steps = Some(steps);
        }
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        notes.extend(contradictions(&report));
        fit(&mut report, &mut notes);
        Ok(Unit { report, own_hash: *hash.finalize().as_bytes(), notes })
    }
}

fn marker(text: &str) -> Option<Marker> {
    if !text.trim_start().starts_with("--") {
        return None;
    }
    match names::normalised(text).as_str() {
        "headerstart" => Some(Marker::HeaderStart),
        "headerend" => Some(Marker::HeaderEnd),
        "stepdatastart" => Some(Marker::StepsStart),
        "stepdataend" => Some(Marker::StepsEnd),
        "uutend" => Some(Marker::UnitEnd),
        _ => None,
    }
}
