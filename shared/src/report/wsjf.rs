//! WSJF, the JSON form of a report: reader and writer.
//!
//! The reader takes what equipment really writes: UTF-8 with or without a byte order mark, UTF-16 with one, bare `NaN` and
//! `Infinity` tokens (Python writes them), one report or an array of them. It tells *not finished* from *wrong*, because a
//! file is often seen while it is being written.

use std::borrow::Cow;

use super::json::{self, JsonError};
use super::{Report, validate};
use crate::schema::{Fault, Field as _, Reader, Value};

/// Why a document is no report.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WsjfError {
    /// The document ends before it is complete: a writer may still be at work.
    #[error("the file ends at line {line}, column {column}, in the middle of the JSON document")]
    Incomplete {
        /// 1-based.
        line: usize,
        /// 1-based, in bytes.
        column: usize,
    },
    /// The bytes are no text in a known encoding.
    #[error("byte {offset} (0x{byte:02x}) is not UTF-8; a JSON file is UTF-8, or UTF-16 with a byte order mark")]
    NotText {
        /// 0-based offset of the first bad byte.
        offset: usize,
        /// The bad byte.
        byte: u8,
    },
    /// The text is no JSON.
    #[error("not valid JSON at line {line}, column {column}: {reason}")]
    Malformed {
        /// 1-based.
        line: usize,
        /// 1-based, in bytes.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// JSON, but not a report.
    #[error("{}", summary(.0))]
    Faults(Vec<Fault>),
}

impl From<JsonError> for WsjfError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Incomplete { line, column } => Self::Incomplete { line, column },
            JsonError::NotText { offset, byte } => Self::NotText { offset, byte },
            JsonError::Malformed { line, column, reason } => Self::Malformed { line, column, reason },
        }
    }
}

fn summary(faults: &[Fault]) -> String {
    match faults {
        [] => "no fault".to_owned(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

/// One unit of a file: its report, and the bytes of the file that it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit<'a> {
    /// The report, not yet validated.
    pub report: Report,
    /// This unit's own bytes, for its derived id.
    pub bytes: Cow<'a, [u8]>,
}

/// Reads a file of one report, or of an array of reports. Each is `Err` by itself: a bad one among good ones loses none.
///
/// # Errors
/// [`WsjfError`] when the file as a whole cannot be read.
pub fn read(bytes: &[u8]) -> Result<Vec<Result<Unit<'_>, WsjfError>>, WsjfError> {
    let text = json::decode(bytes)?;
    match read_text(&text) {
        Ok(units) => Ok(own(units, &text)),
        Err(error) => match json::with_quoted_tokens(&text) {
            Some(quoted) => Ok(own(read_text(&quoted)?, &Cow::Borrowed(""))),
            None => Err(error),
        },
    }
}

/// Reads exactly one report.
///
/// # Errors
/// [`WsjfError`] with all faults of the report.
pub fn read_one(bytes: &[u8]) -> Result<Report, WsjfError> {
    let mut units = read(bytes)?;
    match units.len() {
        1 => units.remove(0).map(|unit| unit.report),
        n => Err(WsjfError::Malformed { line: 1, column: 1, reason: format!("{n} reports where one is expected") }),
    }
}

/// Writes a report: known keys in the order of the model, absent ones omitted, unknown ones verbatim.
#[must_use]
pub fn write(report: &Report) -> Vec<u8> {
    // A report holds only texts, numbers and maps with text keys: serialising it to memory cannot fail.
    serde_json::to_vec(report).unwrap_or_default()
}

fn read_text(text: &str) -> Result<Vec<Result<Unit<'_>, WsjfError>>, WsjfError> {
    if text.trim_start().starts_with('[') {
        let raws: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).map_err(|error| JsonError::of(&error, text))?;
        Ok(raws.into_iter().map(|raw| read_unit(raw.get())).collect())
    } else {
        // An error of the document is the file's; a fault of the report is the unit's.
        match read_unit(text) {
            Err(error @ WsjfError::Faults(_)) => Ok(vec![Err(error)]),
            other => Ok(vec![Ok(other?)]),
        }
    }
}

fn read_unit(text: &str) -> Result<Unit<'_>, WsjfError> {
    let report = match serde_json::from_str::<Report>(text) {
        Ok(report) => report,
        Err(error) if !error.is_data() => return Err(JsonError::of(&error, text).into()),
        // The slow way names every fault with its path.
        Err(_) => {
            let value: Value = serde_json::from_str(text).map_err(|error| JsonError::of(&error, text))?;
            let mut reader = Reader::new();
            match Report::read(value, &mut reader) {
                Some(report) => report,
                None => return Err(WsjfError::Faults(reader.into_faults())),
            }
        }
    };
    Ok(Unit { report, bytes: Cow::Borrowed(text.trim_ascii().as_bytes()) })
}

/// Unties the units from a text that does not outlive the reading.
fn own<'a>(units: Vec<Result<Unit<'_>, WsjfError>>, text: &Cow<'a, str>) -> Vec<Result<Unit<'a>, WsjfError>> {
    let base = match text {
        Cow::Borrowed(text) => text.as_bytes(),
        Cow::Owned(_) => &[],
    };
    units.into_iter().map(|unit| unit.map(|unit| Unit { report: unit.report, bytes: reborrow(&unit.bytes, base) })).collect()
}

/// `part` as a slice of `base` where it lies inside of it, else a copy.
fn reborrow<'a>(part: &[u8], base: &'a [u8]) -> Cow<'a, [u8]> {
    let start = (part.as_ptr() as usize).wrapping_sub(base.as_ptr() as usize);
    match base.get(start..start.wrapping_add(part.len())) {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(part.to_vec()),
    }
}

/// Reads exactly one report and validates it.
///
/// # Errors
/// [`WsjfError`] with all faults, of the document and of the report's rules.
pub fn read_valid(bytes: &[u8]) -> Result<Report, WsjfError> {
    let report = read_one(bytes)?;
    match validate::validate(&report) {
        faults if faults.is_empty() => Ok(report),
        faults => Err(WsjfError::Faults(faults)),
    }
}
