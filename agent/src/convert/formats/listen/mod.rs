//! Listen SoundCheck, electroacoustic tests: its results as text with tabs. One unit for each serial number and time.
//!
//! - `table`: header rows and what their columns mean; `row`: one result to one step; `curve`: a curve to a chart
//!
//! Sources: FORMATS.md section 13, and the file in tests/data/listen. What those fix:
//!
//! - Columns vary: the header row names them, and another one may follow. What a column that nothing here knows holds stands in the report text of its step.
//! - `Limits` is the higher and the lower limit (`100.0/90.0`, both allowed), or words for limits that stand elsewhere (`Floating Limits`): these are kept
//!   as text. `Tolerance` says in words what kind of limit it is; of a single number it says on which side it stands (`Max`, `Min`).
//! - There is no verdict on the unit: its worst result is its verdict.
//! - American files have `7/22/2020 10:22:14 AM` and points, European ones `22-07-2020 10:22:14` and commas. So days come first where the file has decimal
//!   commas or its dates have dashes or points between them, and months where they have slashes; the argument `date_order` says otherwise.
//! - A curve is three rows: its header, X and Y. Whom it belongs to its columns say, else the rows before it.
//!
//! The file has no end mark. A last line without line end may be cut, and a last unit that has passed so far and has only the first of the results that
//! the one before it has, is not whole: both are taken as a file that is still written.

mod curve;
mod row;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::ControlFlow;

use waybill_shared::report::{Report, Status, Step, Uut};
use waybill_shared::text::printable;

use self::table::{Column, Header, Line};
use crate::convert::ground::fit::fit;
use crate::convert::ground::number::Decimal;
use crate::convert::ground::time::Moment;
use crate::convert::ground::walk::Walk;
use crate::convert::ground::{incomplete, names, steps, verdict};
use crate::convert::{About, Argument, ConvertError, Converter, Head, Input, Kind, Sink, Unit};

/// In which order days and months stand.
const DATE_ORDER: Argument = Argument {
    name: "date_order",
    help: "what comes first in a date: by the file's decimal sign and what separates dates, or as given",
    kind: Kind::OneOf(&["auto", "month first", "day first"]),
};

const ABOUT: About = About {
    name: "listen",
    version: 1,
    help: "Listen SoundCheck results as text with tabs, one unit for each serial number and time",
    patterns: &["*.txt"],
    has_end_mark: false,
    arguments: &[DATE_ORDER],
};

/// Lines in which the first header row stands.
const FIRST_LINES: usize = 40;

/// The converter `listen`.
#[derive(Debug)]
pub struct Listen;

impl Converter for Listen {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let text = head.text();
        let header = text.lines().take(FIRST_LINES).find_map(|line| Header::of(&Line::new(0, line)));
        let Some(header) = header else { return 0 };
        let has = |column| header.has(column);
        match (has(Column::Serial), has(Column::Margin), has(Column::Tolerance) || has(Column::Limits)) {
            (true, true, true) => 92,
            (false, true, true) => 65,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let decoded = input.text()?;
        let text: &str = &decoded.text;
        let lines: Vec<_> = text.lines().enumerate().map(|(index, line)| Line::new(index + 1, line)).collect();
        let is_cut = !text.is_empty() && !text.ends_with('\n');
        let whole = if is_cut { &lines[..lines.len() - 1] } else { &lines[..] };
        let mut file = File { decimal: table::decimal(whole), ..File::default() };
        file.read(whole);
        let asked = input.arguments.text(&DATE_ORDER);
        let days_first = match asked {
            Some("day first") => Some(true),
            Some("month first") => Some(false),
            _ => (file.decimal == Decimal::Comma).then_some(true),
        };
        // Whose rows are at the end of the file: there may be more of them.
        let open = file.last.filter(|&last| is_cut || file.is_begun(last));
        let is_begun = is_cut || text.is_empty() || file.header.is_some();
        if file.units.is_empty() && file.errors.is_empty() && !is_begun {
            let reason = "it has no header row of results".to_owned();
            return Err(ConvertError::Malformed { place: "the file as a whole".to_owned(), reason });
        }
        let is_empty = file.units.is_empty() && file.errors.is_empty();
        for (index, rows) in file.units.into_iter().enumerate() {
            if Some(index) == open {
                continue;
            }
            let mut unit = rows.unit(days_first, input);
            if let (Ok(unit), Some(note)) = (&mut unit, &decoded.note) {
                unit.notes.push(note.clone());
            }
            if sink(unit) == ControlFlow::Break(()) {
                return Err(ConvertError::Stopped);
            }
        }
        for error in file.errors {
            if sink(Err(error)) == ControlFlow::Break(()) {
                return Err(ConvertError::Stopped);
            }
        }
        let place = format!("line {}", lines.len().max(1));
        if is_cut || text.is_empty() {
            let reason = "its last line has no line end".to_owned();
            return Err(ConvertError::Incomplete { place, reason });
        }
        if is_empty {
            return Err(ConvertError::Incomplete { place, reason: "no result follows the header row".to_owned() });
        }
        match open {
            Some(_) => {
                let reason = "its last unit has fewer results than the one before it".to_owned();
                Err(ConvertError::Incomplete { place, reason })
            }
            None => Ok(()),
        }
    }
}

/// What was read so far.
#[derive(Debug, Default)]
struct File {
    decimal: Decimal,
    header: Option<Header>,
    units: Vec<Rows>,
    /// Place of a unit by its serial number and its time.
    by_key: HashMap<(String, String), usize>,
    last: Option<usize>,
    errors: Vec<ConvertError>,
}

/// The rows of one unit.
#[derive(Debug, Default)]
struct Rows {
    place: usize,
    serial: String,
    time: String,
    operator: String,
    lot: String,
    part: String,
    steps: Vec<Step>,
    names: Vec<String>,
    hash: blake3::Hasher,
    notes: Vec<String>,
    error: Option<ConvertError>,
}

impl File {
    fn read(&mut self, lines: &[Line<'_>]) {
        let mut rest = lines;
        while let Some((line, after)) = rest.split_first() {
            rest = after;
            if line.is_blank() {
                continue;
            }
            if let Some(header) = Header::of(line) {
                self.header = Some(header);
                continue;
            }
            let is_result = self.header.as_ref().is_some_and(|header| row::is_result(line, header, self.decimal));
            let pair = |lines: &[Line<'_>]| curve::is_pair(lines, self.decimal);
            if !is_result && pair(rest) {
                let mut rows = rest;
                while let ([x, y, after @ ..], true) = (rows, curve::is_pair(rows, self.decimal)) {
                    self.curve(line, x, y);
                    rows = after;
                }
                rest = rows;
                continue;
            }
            self.result(line);
        }
    }

    fn result(&mut self, line: &Line<'_>) {
        let Some(header) = self.header.clone() else {
            let reason = "it stands before any header row, and is no curve either".to_owned();
            self.errors.push(ConvertError::Malformed { place: format!("line {}", line.number), reason });
            return;
        };
        let decimal = self.decimal;
        let unit = self.unit_of(line, &header);
        unit.hash.update(header.text.as_bytes()).update(line.text.as_bytes()).update(b"\n");
        match row::step(line, &header, decimal, &mut unit.notes) {
            Ok(step) => {
                unit.names.push(step.name.clone().unwrap_or_default());
                unit.steps.push(step);
            }
            Err(error) => unit.error = unit.error.take().or(Some(error)),
        }
    }

    fn curve(&mut self, line: &Line<'_>, x: &Line<'_>, y: &Line<'_>) {
        let header = Header::named(line);
        let decimal = self.decimal;
        let unit = if header.has(Column::Serial) || header.has(Column::Time) {
            self.unit_of(y, &header)
        } else {
            let last = match self.last {
                Some(last) => last,
                None => self.begin(line.number, String::new(), String::new()),
            };
            let Some(unit) = self.units.get_mut(last) else { return };
            unit
        };
        for line in [line, x, y] {
            unit.hash.update(line.text.as_bytes()).update(b"\n");
        }
        match curve::step(&header, line, x, y, decimal, &mut unit.notes) {
            Ok(step) => unit.steps.push(step),
            Err(error) => unit.error = unit.error.take().or(Some(error)),
        }
    }

    /// The unit of a row, by what it says of it.
    fn unit_of(&mut self, line: &Line<'_>, header: &Header) -> &mut Rows {
        let of = |column| header.cell(line, column).to_owned();
        let time = header.time(line);
        let (serial, operator, lot, part) = (of(Column::Serial), of(Column::Operator), of(Column::Lot), of(Column::Part));
        let key = (serial.clone(), time.clone());
        let index = match self.by_key.get(&key) {
            Some(&known) => known,
            None => self.begin(line.number, serial, time),
        };
        self.last = Some(index);
        let unit = &mut self.units[index];
        for (name, known, said) in
            [("operator", &mut unit.operator, operator), ("lot", &mut unit.lot, lot), ("part", &mut unit.part, part)]
        {
            if known.is_empty() {
                *known = said;
            } else if !said.is_empty() && *known != said {
                let said = printable(&said, 60);
                unit.notes
                    .push(format!("line {}: another {name} than in its first row: {said:?}; the first counts", line.number));
            }
        }
        unit
    }

    fn begin(&mut self, place: usize, serial: String, time: String) -> usize {
        let index = self.units.len();
        self.by_key.insert((serial.clone(), time.clone()), index);
        self.units.push(Rows { place, serial, time, ..Rows::default() });
        self.last = Some(index);
        index
    }

    /// True if a unit has passed so far and has the first of the results of the one before it, and not all.
    fn is_begun(&self, unit: usize) -> bool {
        let before = unit.checked_sub(1).and_then(|before| self.units.get(before));
        let (Some(unit), Some(before)) = (self.units.get(unit), before) else { return false };
        incomplete::is_begun(&before.names, &unit.names, worst(&unit.steps))
    }
}

impl Rows {
    fn unit(self, days_first: Option<bool>, input: &Input<'_>) -> Result<Unit, ConvertError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut walk = Walk::default();
        walk.notes(self.notes);
        let status = worst(&self.steps);
        let text = |text: String| (!text.is_empty()).then_some(text);
        let mut infos = Vec::new();
        let moment = moment(&self.time, days_first);
        if moment.is_none() && !self.time.is_empty() {
            let shown = printable(&self.time, 40);
            walk.note(format!("line {}: the time {shown:?} cannot be read; the argument `date_order` may be wrong", self.place));
            steps::misc(&mut infos, "Time", &self.time);
        }
        let mut report = Report {
            kind: Some("T".to_owned()),
            sn: names::serial_number(&self.serial, &mut walk),
            pn: text(self.part),
            result: Some(status),
            uut: Some(Uut { user: text(self.operator), batch_sn: text(self.lot), ..Uut::default() }),
            misc_infos: (!infos.is_empty()).then_some(infos),
            root: Some(steps::sequence("SoundCheck", status, self.steps)),
            ..Report::default()
        };
        if let Some(moment) = moment {
            moment.start(&mut report, &input.zone(), &mut walk);
        }
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        notes.extend(verdict::contradictions(&report));
        fit(&mut report, &mut notes);
        Ok(Unit { report, own_hash: *self.hash.finalize().as_bytes(), notes })
    }
}

fn worst(steps: &[Step]) -> Status {
    let has = |status| steps.iter().any(|step| step.status == Some(status));
    let ranked = [Status::Error, Status::Terminated, Status::Failed, Status::Passed];
    ranked.into_iter().find(|&status| has(status)).unwrap_or(Status::Done)
}

/// A time; in which order its date stands its separator says, unless it is given.
fn moment(text: &str, days_first: Option<bool>) -> Option<Moment> {
    let separator = text.find(['-', '/', '.'])?;
    if separator == 4 {
        return Moment::iso(text);
    }
    let sign = text.get(separator..=separator)?;
    let days_first = days_first.unwrap_or(sign != "/");
    let date = if days_first { format!("%d{sign}%m{sign}%Y") } else { format!("%m{sign}%d{sign}%Y") };
    let times = ["%I:%M:%S %p", "%I:%M:%S%.f %p", "%I:%M %p", "%H:%M:%S", "%H:%M:%S%.f", "%H:%M"];
    let patterns: Vec<_> = times.iter().map(|time| format!("{date} {time}")).collect();
    let patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
    Moment::by(text, &patterns)
}
