//! From a file's bytes to reports.
//!
//! - [`Converter`]: what a format implements; [`formats`]: one file each; [`registry`]: by name or by content
//! - [`about`]: what a converter says of itself, and the values that a source can give it; [`common`]: those that all take
//! - [`input`]: the file as a converter sees it
//! - `ground`: what formats have in common
//! - [`read`]: files as they are read, new ones and archived ones
//! - [`mapping`]: layouts that a file of declarations describes
//! - [`pool`]: the bounded pool of threads that read, convert and hand over to the queue
//! - [`dry_run`]: a conversion without consequences
//! - [`limits`]: what a conversion may cost; [`statistics`]: what conversions did
//!
//! A converter sees bytes and gives units; it touches no file, no clock and no network. Invariants: it never invents a value
//! and never drops one silently; a bad unit does not lose the good ones beside it; the same bytes give the same units.

pub mod about;
pub mod common;
pub mod dry_run;
pub mod formats;
mod ground;
pub mod input;
pub mod limits;
pub mod mapping;
pub mod pool;
pub(crate) mod read;
pub mod registry;
pub mod statistics;
#[cfg(test)]
mod testing;
pub mod unit;

use std::ops::ControlFlow;

use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::report::Report;
use waybill_shared::schema::Fault;

pub use self::about::{About, Argument, Arguments, Kind};
pub use self::input::{Content, Head, Input, Streams};

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
    /// The file could be opened and not be read to its end; it is tried again.
    #[error("it cannot be read: {reason}")]
    Unreadable {
        /// What the system says.
        reason: String,
    },
    /// The file was written to while it was read; it is tried again.
    #[error("it changed while it was read")]
    Changed,
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
            Self::Unreadable { .. } | Self::Changed => ErrorReport::new(Code::FileUnreadable, format!("{file}: {self}")),
            Self::Stopped => ErrorReport::new(Code::ConverterFailed, format!("{file}: {self}")),
        }
    }
}

/// Takes units as they come; `Break` asks the converter to stop with [`ConvertError::Stopped`].
pub type Sink<'a> = dyn FnMut(Result<Unit, ConvertError>) -> ControlFlow<()> + 'a;

/// A format.
pub trait Converter: Send + Sync {
    /// What it says of itself.
    fn about(&self) -> &About;
    /// Its name in the configuration. Part of every derived id.
    fn name(&self) -> &str {
        self.about().name
    }
    /// True if its files are reports already: what one lacks is its fault, and nothing customary stands for it.
    fn is_of_reports(&self) -> bool {
        false
    }
    /// How sure it is, 0 to 100, that a file that begins with these bytes (up to 64 KiB) is its own.
    fn sniff(&self, head: &Head) -> u8;
    /// Reads a file, handing each unit to `sink` as soon as it is known, a bad one as an error.
    ///
    /// # Errors
    /// [`ConvertError`] for the file as a whole.
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError>;
}
