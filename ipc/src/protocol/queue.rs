//! The queue: what is in it, and what a person does with it.

use serde::{Deserialize, Serialize};
use waybill_shared::error::ErrorReport;

use super::{DeliveryRow, DeliveryState};

/// Bytes of a report that one answer carries at most.
pub const REPORT_PART_BYTES: u64 = 1024 * 1024;

/// Which deliveries are meant. What is left out means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryFilter {
    /// Only those to this destination.
    pub destination: Option<String>,
    /// Only those in this state.
    pub state: Option<DeliveryState>,
    /// Only those of this lane: 1 goes first, 10 last.
    pub priority: Option<u8>,
    /// Only those of a report that is found so; the list is then in the order of what is searched by.
    pub search: Option<Search>,
    /// The newest first; not with a search.
    pub newest_first: bool,
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// By what.
    pub by: SearchBy,
    /// The beginning of it, in capital or small letters; of an id the whole.
    pub text: String,
}

/// What can be searched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SearchBy {
    /// The unit's serial number.
    Serial,
    /// The unit's part number.
    Part,
    /// The name of the file.
    File,
    /// The id of the report.
    Report,
    /// The life of the file.
    Correlation,
}

/// On which deliveries somebody acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// One report, to one destination or to all.
    Report {
        /// The report's entry.
        entry: i64,
        /// Only this destination.
        destination: Option<String>,
    },
    /// All that are found so, a thousand or two at a time; without a state in the filter those that failed.
    All {
        /// Which.
        filter: DeliveryFilter,
        /// Where the answer before said to go on ([`Changed::last`]).
        after: Option<i64>,
    },
}

/// What became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// So many are in another state now.
    pub count: u64,
    /// So many were left, because a newer revision of the same report went the same way.
    pub skipped: u64,
    /// So many were left, because the file that they were put into to make room is gone or was changed.
    pub damaged: u64,
    /// So many were left, because their destination is not configured any more.
    pub removed: u64,
    /// Whether there may be more: ask again, with `last`.
    pub more: bool,
    /// Key of the last one that was looked at.
    pub last: Option<i64>,
}

/// All of one report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryDetails {
    /// One row a destination.
    pub deliveries: Vec<DeliveryRow>,
    /// Where the equipment put the file.
    pub path: String,
    /// Where the file is now, as far as it is known.
    pub place: Option<String>,
    /// When the file was taken, milliseconds since 1970 UTC.
    pub taken_at_ms: i64,
    /// Reports that the file held.
    pub reports_of_file: u32,
    /// Bytes of the report.
    pub size: u64,
    /// Bytes that it takes in the store.
    pub stored: u64,
    /// blake3 of the report, as hexadecimal digits.
    pub hash: String,
    /// Entry of the next older revision of the same report.
    pub older: Option<i64>,
}

/// Part of a report's WSJF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportPart {
    /// Bytes of the whole.
    pub total: u64,
    /// The bytes from where they were asked for, at most [`REPORT_PART_BYTES`].
    pub bytes: Vec<u8>,
}

/// One lane of a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneRow {
    /// The destination.
    pub destination: String,
    /// 1 goes first, 10 last.
    pub priority: u8,
    /// Whether nothing goes from this lane, because somebody holds it.
    pub held: bool,
    /// Deliveries that wait, or are on their way.
    pub pending: u64,
    /// Bytes that these take in the store.
    pub pending_bytes: u64,
    /// Deliveries that failed.
    pub failed: u64,
    /// Deliveries that arrived, ever.
    pub sent: u64,
}

/// Which bound of the queue is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FullBy {
    /// As many reports wait as may.
    Entries,
    /// They take as many bytes as they may.
    Bytes,
    /// The disk has no more room than must stay free.
    Disk,
}

/// Something that was in the store and is not any more, because its bytes were damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossRow {
    /// Key.
    pub key: i64,
    /// When it was noticed, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// What happened, in words.
    pub what: String,
    /// Reports that are lost, if that can be told.
    pub reports: Option<u64>,
    /// Deliveries that had not been made and are lost, if that can be told.
    pub deliveries: Option<u64>,
    /// Where the damaged file lies.
    pub kept_at: Option<String>,
    /// When somebody said that he has seen it.
    pub seen_at_ms: Option<i64>,
}

/// What a check of the store found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FsckReport {
    /// What is wrong; empty if nothing is.
    pub faults: Vec<Fault>,
    /// Files that were looked at.
    pub files: u64,
    /// Reports that were looked at.
    pub entries: u64,
    /// Deliveries that were looked at.
    pub deliveries: u64,
    /// Reports whose bytes were read and compared with their checksum.
    pub payloads: u64,
    /// Whether all of it was looked at; false if the time did not suffice.
    pub complete: bool,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

/// Something that is wrong with the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Where: a table, a report, a file.
    pub place: String,
    /// What, and what to do.
    pub error: ErrorReport,
}
