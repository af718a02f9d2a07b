//! Takaya flying probe: one report a group (a board of the panel), in three dialects that share their meaning.
//!
//! - [`atd`]: the export of the APT-1400, 9411 and 9600 (`.ATD`), rows of cells between tabs; and that of the APT-94xx, rows of quoted cells
//! - [`atdx`]: `.atdx`, rows of cells between semicolons; a file grows by one block an attempt
//! - [`row`]: a row becomes a step; [`group`]: a group becomes a report
//!
//! What real files fix (FORMATS.md section 10, tests/data/takaya):
//! - Limits are the reference plus and minus so many per cent of it, exactly, in the unit of the value: reference and value may have
//!   different prefixes, and `M` is mega. In `.atdx` a reference without tolerances is a limit by its function: `OP` and `GE` from below, `SH` and
//!   `LE` from above (in the sample all that passed keep it, but for one that is beyond the range). In `.ATD` every row has tolerances, whatever its
//!   function. That a verdict contradicts such limits is noted and never changed.
//! - A second value replaces the first one, which stays in the step's text. `........` is none; 409.5 ohms is all that the instrument can show.
//! - `......` was not judged: skipped, or done if there is a value. What is judged and neither passed nor left out has failed, under its own word.
//! - An impedance (`18.280[KO]|-7.8`) is two values, `Z` and `phase`; the limits are those of `Z`.
//! - The start is that of the block. Dates are day, month, year. All attempts of a board have the same one: they are numbered.
//! - Units are spelt in one way (`KO` becomes `kOhm`); values keep their digits, and the step's text has all cells as they are written.
//! - There is no part number: the name of the model stands for it, with a note, unless the source gives one.
//!
//! Left out: cells that are blank, `*`, or nothing but points or dashes; and the `(Fig)` columns, which repeat the value beside them without its prefix.
//!
//! A group of an `.ATD` ends with `@` or the next group, and one without is incomplete. An `.atdx` has no mark of its end: a file that is cut between two
//! rows looks whole, so such files are left alone until they are settled.

mod atd;
mod atdx;
mod group;
mod row;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::BufRead;

use self::group::Group;
use crate::convert::ground::steps;
use crate::convert::ground::text::Decoded;
use crate::convert::input::unreadable;
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink};

const ABOUT: About = About {
    name: "takaya",
    version: 1,
    help: "Takaya flying probe (ATD of the APT-1400, 9600 and 94xx, ATDX), one unit a group",
    patterns: &["*.atd", "*.ATD", "*.atdx"],
    has_end_mark: false,
    arguments: &[],
};

/// The converter `takaya`.
#[derive(Debug)]
pub struct Takaya;

impl Converter for Takaya {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let text = head.text();
        let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
        let Some(first) = lines.next() else { return 0 };
        if atdx::is_main_header(first) {
            return 95;
        }
        let has = |text: &str| lines.clone().any(|line| line.starts_with(text));
        match (first == "@", has("* GROUP No."), has("D.T:") || has("Model:")) {
            (true, true, true) => 95,
            (true, ..) if has("D.T:") && has("Model:") => 80,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut lines = Lines { stream: input.open_text()?, line: String::new(), number: 0 };
        let mut units = Units { input, sink, attempts: HashMap::new(), count: 0 };
        loop {
            let Some(line) = lines.next()? else {
                let reason = "it is empty".to_owned();
                return Err(ConvertError::Incomplete { place: "line 1".to_owned(), reason });
            };
            if line.text.trim().is_empty() {
                continue;
            }
            let (first, number) = (line.text.trim(), line.number);
            if atdx::is_main_header(first) {
                return atdx::read(first, &mut lines, &mut units);
            }
            if first == "@" {
                return atd::read(&mut lines, &mut units);
            }
            let reason = "it begins neither with @ nor with a main header".to_owned();
            return Err(ConvertError::Malformed { place: format!("line {number}"), reason });
        }
    }
}

/// The lines of a file.
struct Lines<R> {
    stream: Decoded<R>,
    line: String,
    number: u64,
}

/// One of them.
struct Line {
    /// Without its end.
    text: String,
    number: u64,
    /// It has an end; else it may be cut.
    ends: bool,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<Line>, ConvertError> {
        self.line.clear();
        if self.stream.read_line(&mut self.line).map_err(unreadable)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let ends = self.line.ends_with('\n');
        Ok(Some(Line { text: self.line.trim_end_matches(['\r', '\n']).to_owned(), number: self.number, ends }))
    }

    /// What a person should know of the encoding, as far as it was read.
    fn note(&self) -> Option<String> {
        self.stream.note()
    }

    fn incomplete(&self, reason: &str) -> ConvertError {
        ConvertError::Incomplete { place: format!("line {}", self.number), reason: reason.to_owned() }
    }
}

/// Where the units go.
struct Units<'a, 'i, 's> {
    input: &'a Input<'i>,
    sink: &'a mut Sink<'s>,
    /// How often a group of a serial number and a start came.
    attempts: HashMap<(Option<String>, String, String), u64>,
    count: u64,
}

impl Units<'_, '_, '_> {
    /// Hands a group over; `number_attempts` where the format repeats a block an attempt.
    fn hand_over(&mut self, group: Group, number_attempts: bool, note: Option<String>) -> Result<(), ConvertError> {
        self.count += 1;
        let attempt = number_attempts.then(|| {
            let attempt = self.attempts.entry(group.identity()).or_default();
            *attempt += 1;
            *attempt
        });
        let mut unit = group.unit(self.input);
        if let Ok(unit) = &mut unit {
            unit.notes.extend(note);
            if let Some(attempt) = attempt {
                steps::misc(unit.report.misc_infos.get_or_insert_default(), "Attempt", &attempt.to_string());
            }
        }
        if (self.sink)(unit).is_break() { Err(ConvertError::Stopped) } else { Ok(()) }
    }
}
