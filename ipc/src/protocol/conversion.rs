//! Converters, conversions that are tried, and files that could not be converted.

use serde::{Deserialize, Serialize};
use waybill_shared::error::ErrorReport;

/// Largest file that a client may have tried, bytes.
pub const MOST_TRIED_BYTES: usize = 8 * 1024 * 1024;

/// Which files that could not be converted are wanted: those that fit every field that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorFilter {
    /// Those with these keys, at most 1000; none: all.
    pub keys: Vec<i64>,
    /// Those of this source.
    pub source: Option<String>,
}

/// What came of a part of the files that were to be converted again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetriedErrors {
    /// The files, the newest first.
    pub files: Vec<RetriedError>,
    /// Where to go on; none if that was the end.
    pub next: Option<i64>,
}

/// What came of one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetriedError {
    /// Its key in the list.
    pub key: i64,
    /// Its source.
    pub source: String,
    /// Where the equipment had put it.
    pub path: String,
    /// Where it lies now, to be taken again; or why it does not.
    pub came_to: Result<String, ErrorReport>,
}

/// A converter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConverterRow {
    /// Its name in the configuration.
    pub name: String,
    /// Raised when the same file gives another report than before.
    pub version: u32,
    /// What it reads, one line.
    pub help: String,
    /// Names that such files usually have.
    pub patterns: Vec<String>,
    /// True if a file that was cut is always recognised.
    pub has_end_mark: bool,
    /// What a source can give it, its own first.
    pub arguments: Vec<ArgumentRow>,
    /// What it did since the agent started.
    pub done: ConversionsDone,
}

/// What a converter did since the agent started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversionsDone {
    /// Files that it read; each try counts.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Reports that it made of them.
    pub reports: u64,
    /// Units that are no valid reports.
    pub broken_units: u64,
    /// Files that it could not read to their end.
    pub broken_files: u64,
    /// Time in all, microseconds.
    pub took_us: u64,
    /// The longest time for one file, microseconds.
    pub slowest_us: u64,
}

/// A value that a source can give its converter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArgumentRow {
    /// Key under `[source.arguments]`.
    pub name: String,
    /// What it is for, one line.
    pub help: String,
    /// What it takes.
    pub kind: ArgumentKind,
    /// What it takes, in words.
    pub takes: String,
    /// What counts if it is not given; none if then nothing does.
    pub default: Option<String>,
    /// True if every converter takes it.
    pub common: bool,
}

/// What an argument takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArgumentKind {
    /// A text.
    Text,
    /// A whole number.
    Whole,
    /// Yes or no.
    Flag,
    /// One of these.
    OneOf(Vec<String>),
    /// Name of a time zone (IANA).
    Zone,
    /// Label of an encoding (WHATWG).
    Encoding,
    /// A pattern for file names, with named groups.
    FileName,
}

/// What came of a file that was tried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversionTrial {
    /// The converter that read it; none if none was found.
    pub converter: Option<String>,
    /// How sure each converter is of the file, percent, the surest first.
    pub recognised_by: Vec<(String, u8)>,
    /// The first units.
    pub units: Vec<Result<TriedUnit, ErrorReport>>,
    /// Units after those.
    pub more: u64,
    /// What ended it before its end.
    pub error: Option<ErrorReport>,
}

/// A unit of a file that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedUnit {
    /// The report as it would be sent, JSON; none if it is too long for an answer.
    pub report: Option<String>,
    /// Serial number.
    pub serial: String,
    /// Part number.
    pub part: String,
    /// Verdict on the unit, as one letter.
    pub result: String,
    /// Steps.
    pub steps: u64,
    /// Measurements.
    pub measurements: u64,
    /// What a person should know of how it was read.
    pub notes: Vec<String>,
    /// Keys of its head that are not from the file, and from where instead.
    pub not_from_the_file: Vec<(String, String)>,
}
