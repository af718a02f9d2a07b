//! XJTAG, boundary scan: `.xjlog`, a zip of test runs, and the plain XML of one run. Each run is one unit.
//!
//! - `archive`: the zip, read with bounds; `run`: one `testrun` to one report
//!
//! Sources: FORMATS.md sections 13 and 16, and the files in tests/data/xjtag. What those fix:
//!
//! - The zip holds `Info.xml`, `Run 1.xml`, `Run 2.xml` … in any order, each with a `Run N.checksum`, and raw data of the connection test under names that
//!   are numbers. Names are only looked up, nothing is written anywhere. A run that `Info.xml` announces and that is not there is an error of its own beside
//!   the units that are.
//! - `testrun@datetime` is UTC with seven digits. `testruninfo` stands at the end; `time-taken` (milliseconds) and `xjtag-version` are missing in
//!   older ones, where a function has its time only in the summary of XJTAG's viewer (`snippets`), with the decimal sign of the machine. A name of the XJLink is
//!   that of the station.
//! - A `testgroup` is a sequence, a `testfunction` a step of pass or fail. Its text is `plain-text` where there is one, else what its `text-output` and the
//!   inline `html-output` between them show.
//!
//! Left out: `html-output` with `lines`, the rest of `snippets`, and `summary` tables (the same once more, as pages of XJTAG's viewer), the file `Run N.checksum` (how it
//! is made is not public), and the raw data files (no measurement in them that a report takes); CRCs of the zip are checked.

mod archive;
mod run;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use waybill_shared::text::printable;

use self::archive::{Archive, BOUNDS, Bounds, Info};
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink, Unit};

const ABOUT: About = About {
    name: "xjtag",
    version: 1,
    help: "XJTAG test runs: .xjlog, or the XML of one run",
    patterns: &["*.xjlog", "*.xml"],
    has_end_mark: true,
    arguments: &[],
};

/// The converter `xjtag`.
#[derive(Debug)]
pub struct Xjtag;

impl Converter for Xjtag {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        if archive::is_zip(head.raw()) {
            return archive::sniff(head.raw());
        }
        let contains = |text: &str| head.contains(text);
        match (contains("<testrun ") || contains("<testrun>"), contains("<testfunction") || contains("<testruninfo")) {
            (true, true) => 95,
            (true, false) if contains("<testgroup") => 70,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        convert(input, BOUNDS, sink)
    }
}

fn convert(input: &Input<'_>, bounds: Bounds, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
    let bytes = input.bytes()?;
    if !archive::is_zip(&bytes) {
        let unit = run::unit(&bytes, &Info::default(), input)?;
        return hand_over(sink, unit);
    }
    let mut archive = Archive::open(&bytes, bounds)?;
    let mut notes = Vec::new();
    let info = archive.info().unwrap_or_else(|error| {
        notes.push(format!("its Info.xml cannot be read: {error}"));
        Info::default()
    });
    let runs = archive.runs();
    if runs.is_empty() {
        return Err(malformed("the archive", "it holds no `Run N.xml`"));
    }
    if let Some(announced) = info.runs.filter(|&announced| announced < runs.len() as u64) {
        notes.push(format!("Info.xml announces {announced} runs, and {} are there", runs.len()));
    }
    for (index, name) in &runs {
        let unit = archive.read(*index).and_then(|bytes| run::unit(&bytes, &info, input)?);
        let unit = unit.map_err(|error| in_run(name, error)).map(|mut unit| {
            unit.notes.extend(notes.iter().cloned());
            unit
        });
        hand_over(sink, unit)?;
    }
    match info.runs {
        Some(announced) if announced > runs.len() as u64 => {
            let reason = format!("it announces {announced} runs, and {} are there", runs.len());
            hand_over(sink, Err(malformed("Info.xml", &reason)))
        }
        _ => Ok(()),
    }
}

fn hand_over(sink: &mut Sink<'_>, unit: Result<Unit, ConvertError>) -> Result<(), ConvertError> {
    if sink(unit) == ControlFlow::Break(()) { Err(ConvertError::Stopped) } else { Ok(()) }
}

fn malformed(place: &str, reason: &str) -> ConvertError {
    ConvertError::Malformed { place: place.to_owned(), reason: reason.to_owned() }
}

/// A fault of one run. One that ends too early does so for good: the zip around it is whole.
fn in_run(name: &str, error: ConvertError) -> ConvertError {
    let name = printable(name, 60);
    match error {
        ConvertError::Incomplete { place, reason } | ConvertError::Malformed { place, reason } => {
            ConvertError::Malformed { place: format!("{name}, {place}"), reason }
        }
        other => other,
    }
}
