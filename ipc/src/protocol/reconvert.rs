//! Archived files that are sent again.

use serde::{Deserialize, Serialize};
use waybill_shared::error::ErrorReport;

/// Which archived files are wanted: those that fit every field that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFilter {
    /// Those of this source.
    pub source: Option<String>,
    /// Those taken from this time on, milliseconds since 1970 UTC.
    pub since_ms: Option<i64>,
    /// Those taken before this time, milliseconds since 1970 UTC.
    pub until_ms: Option<i64>,
    /// Those whose reports this converter made.
    pub converter: Option<String>,
    /// Those whose own name fits this glob, upper and lower case alike.
    pub file: Option<String>,
}

/// A part of the archive, in its order. An answer holds at most 100 files, and what 20 seconds are enough for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivePage {
    /// Behind this place, as an answer before named it; none for the beginning.
    pub after: Option<String>,
    /// Most files wanted, at most 100.
    pub limit: u32,
}

/// What came of a part of the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconverted {
    /// The files that were wanted, in their order.
    pub files: Vec<ReconvertedFile>,
    /// Where to go on; none if that was the end, or if something is in the way of the very first file.
    pub next: Option<String>,
    /// Why it went no further, if something is in the way: a full queue.
    pub stopped: Option<ErrorReport>,
}

/// What came of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconvertedFile {
    /// Its place in the archive.
    pub place: String,
    /// Its source.
    pub source: String,
    /// Where the equipment had put it.
    pub path: String,
    /// Its life.
    pub correlation_id: String,
    /// When it was taken, milliseconds since 1970 UTC.
    pub taken_at_ms: i64,
    /// What came of it.
    pub outcome: ReconvertOutcome,
    /// How many reports it gives.
    pub reports: u32,
    /// The first ones of them; empty if they were sent.
    pub first: Vec<ReconvertedReport>,
    /// What is wrong with it, or with a part of it.
    pub error: Option<ErrorReport>,
}

/// A report that would be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconvertedReport {
    /// Its id.
    pub id: String,
    /// Its serial number.
    pub serial: String,
}

/// What came of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReconvertOutcome {
    /// It would be sent: that was only asked.
    WouldBeSent,
    /// Its reports are in the queue.
    Queued,
    /// It takes longer than an answer may; what comes of it is in the list of the queue or in that of the conversion errors.
    UnderWay,
    /// Nothing of it is, or would be, sent.
    NotSent,
}

impl ReconvertOutcome {
    /// As people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WouldBeSent => "would be sent",
            Self::Queued => "queued",
            Self::UnderWay => "under way",
            Self::NotSent => "NOT SENT",
        }
    }
}
