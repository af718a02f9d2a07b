//! From a file's bytes to reports.
//!
//! - [`Converter`]: what a format implements; [`formats`]: one file each; [`registry`]: by name or by content
//! - `ground`: what formats have in common
//! - [`read`]: files as they are read, new ones and archived ones
//! - [`pool`]: the bounded pool of threads that read, convert and hand over to the queue
//! - [`limits`]: what a conversion may cost
//!
//! A converter sees bytes and gives units; it touches no file, no clock and no network. Invariants: it never invents a value
//! and never drops one silently; a bad unit does not lose the good ones beside it; the same bytes give the same units.

pub mod formats;
mod ground;
pub mod limits;
pub mod pool;
pub(crate) mod read;
pub mod registry;
pub mod unit;

use std::ops::ControlFlow;

use jiff::Timestamp;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::report::Report;
use waybill_shared::schema::{Fault, Map, Value};

/// What a converter is given.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    /// Its name, without folders.
    pub file_name: &'a str,
    /// When it was last written: the time of a unit whose file names none.
    pub modified: Timestamp,
    /// The source's values for what the file does not say, checked against [`Converter::arguments`].
    pub arguments: &'a Map<String, Value>,
}

/// One unit of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// Its report: without station values and perhaps without an id; not yet validated.
    pub report: Report,
    /// blake3 of this unit's own bytes: what its id is derived from if the file names none.
    pub own_hash: [u8; 32],
    /// What a person should know of how it was read (a cut text, a verdict that contradicts its limits).
    pub notes: Vec<String>,
}

/// Why a file, or one unit of it, is no report.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConvertError {
    /// The file ends before it is complete. A writer may still be at work: it is tried again when the file changes.
    #[error("the file ends before it is complete, at {place}: {reason}")]
    Incomplete {
        /// Line and column, byte, or path.
        place: String,
        /// What is missing.
        reason: String,
    },
    /// The bytes are not of this format.
    #[error("{place}: {reason}")]
    Malformed {
        /// Line and column, byte, or path.
        place: String,
        /// What is wrong there.
        reason: String,
    },
    /// The format is right and what it says is not a valid report.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<Fault>),
    /// Whoever takes the units wants no more: the agent stops, or the queue cannot take them.
    #[error("the conversion was stopped")]
    Stopped,
}

impl ConvertError {
    /// As a person reads it; `file` is its name.
    #[must_use]
    pub fn report(&self, file: &str) -> ErrorReport {
        match self {
            Self::Incomplete { .. } => ErrorReport::new(Code::FileIncomplete, format!("{file}: {self}")),
            Self::Malformed { .. } => ErrorReport::new(Code::FileMalformed, format!("{file}: {self}")),
            Self::Faults(faults) => {
                let first = faults.first().map_or_else(String::new, ToString::to_string);
                let message = match faults.len() {
                    0 | 1 => format!("{file}: {first}"),
                    n => format!("{file}: {n} faults, the first: {first}"),
                };
                ErrorReport::new(Code::ReportInvalid, message).with_details(faults.clone())
            }
            Self::Stopped => ErrorReport::new(Code::ConverterFailed, format!("{file}: {self}")),
        }
    }
}

/// A value that a source can give its converter.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Key under `[source.arguments]`.
    pub name: &'static str,
    /// What it is for, one line.
    pub help: &'static str,
    /// Whether it is a whole number; else it is a text.
    pub number: bool,
}

/// Takes units as they come; `Break` asks the converter to stop with [`ConvertError::Stopped`].
pub type Sink<'a> = dyn FnMut(Result<Unit, ConvertError>) -> ControlFlow<()> + 'a;

/// A format.
pub trait Converter: Send + Sync {
    /// Its name in the configuration. Part of every derived id: it never changes.
    fn name(&self) -> &'static str;
    /// What it reads, one line.
    fn help(&self) -> &'static str;
    /// True if a file that was cut anywhere is recognised as [`ConvertError::Incomplete`]; such a file may be read early.
    fn has_end_mark(&self) -> bool;
    /// What a source can give it.
    fn arguments(&self) -> &'static [Argument];
    /// How sure it is, 0 to 100, that a file that begins with these bytes (up to 64 KiB) is its own.
    fn sniff(&self, head: &[u8]) -> u8;
    /// Reads a file, handing each unit to `sink` as soon as it is known, a bad one as an error.
    ///
    /// # Errors
    /// [`ConvertError`] for the file as a whole.
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError>;
}
