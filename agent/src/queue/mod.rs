//! The durable queue: what was accepted survives, whatever happens.
//!
//! # What it owns
//! `queue.db` (SQLite, WAL, `synchronous=FULL`), `queue.mark` beside it, the folder `spool/` with payloads over 256 KiB, the folder `evicted/` with reports
//! that had to make room. One thread writes ([`writer`]); it group-commits whatever is waiting and never waits to fill a
//! batch. Readers ([`read`]) have their own connections.
//!
//! # Schema (`user_version` 2; [`schema`] has the SQL and the steps from older versions, which tests pin)
//! - `file`: the fingerprint of every taken file (source, path, file id, size, mtime, hash), its correlation id, and how far its
//!   post-action is: 0 staged, 1 committed (the source may still lie in the watch folder), 2 done.
//! - `entry`: one report of a file: id, serial, part, verdict, priority, and its payload: zstd-compressed WSJF with the blake3
//!   and the length of the uncompressed bytes, inline or as the name of a spool file. `older` is the entry of the revision before.
//! - `delivery`: one entry on its way to one destination; the state lives here. `due` is 0 for *now*, else milliseconds. `mark` is how
//!   many reports the destination had accepted at the last try: a try counts only if it accepted another one since. `attempts` are those
//!   that counted, `tries` all.
//! - `destination`: names, the address that last accepted a report, its breaker, whether a person holds it, the most that ever waited.
//! - `lane`: the priorities from which nothing goes, because a person holds them.
//! - `counter`: deliveries and their bytes by destination, state and priority, kept in the same transaction as what they count. What was
//!   sent stays counted after it is purged.
//! - `source`: files queued, files in error and reports, by source, for ever.
//! - `conversion_error`: files that could not be converted, with their error report as JSON.
//! - `loss`: what damage of the file took away, for people to see.
//!
//! # States of a delivery
//! ```text
//! staged ─▶ pending ──2xx confirmed──▶ sent ──(retention)──▶ purged
//!            ▲ ▲  │
//!            │ └──┤ retry: attempts + 1, due later; or due at once when the destination is back
//!            │    ├──▶ failed      refused for good, or attempts spent; waits for a person
//!            │    ├──▶ discarded   given up by a person; kept for a while
//!            │    └──▶ evicted     had to make room (opt-in); a file in `evicted/`
//!            └──────── a person takes it up again
//! ```
//! *Sending* is not stored: a dispatcher knows in memory what it has on its way. After a crash such a delivery simply is pending
//! again, at once, which is exactly what must happen, and saves one commit a report.
//!
//! # Order
//! By rank: the time it was queued plus a delay by priority, fixed when it is queued ([`rank`]). Two deliveries of one report to one
//! destination go in the order in which they were queued. What was just committed goes to its destination through a [`door`], without
//! being read back, if nothing waits before it.
//!
//! # Invariants
//! - A delivery leaves `pending` only by what a destination answered, by eviction, or by a person.
//! - issued = pending (with sending) + sent + failed + discarded + evicted, for each destination, at every commit.
//! - A file's reports become pending in the transaction that stores its fingerprint; a file is touched only after that commit.
//! - A file whose fingerprint is there is never queued again; whether its post-action still has to be done is `file.state`. Only what is
//!   sent again from the archive passes the fingerprint by: it gets a row of its own, whose state is 2 at once.
//! - Nothing comes in that the [`limits`] do not allow: they are looked at inside the transaction that stores it.
//!
//! # What survives a crash
//! Everything that was acknowledged. Not acknowledged: staged rows (dropped at the next start), spool files without an entry
//! (removed at the next start). Nothing else is ever undone.
//!
//! # What survives damage
//! Whatever can be read: see [`salvage`].
//!
//! A store that is taken away while it is used is written again from what the writer holds ([`rescue`]). One that is older than it was when it was
//! closed is used, and what it lacks is said ([`older`]); `queue.mark` ([`mark`]) tells that.

mod backup;
mod bind;
mod codes;
mod damage;
mod deliveries;
mod door;
mod files;
mod find;
mod fsck;
mod holds;
mod limits;
mod mark;
mod older;
mod payload;
mod purge;
mod rank;
mod read;
mod readable;
mod recover;
mod rescue;
mod room;
mod salvage;
mod schema;
mod sync;
mod transaction;
mod writer;

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "files of the tests' own, as faults leave them")]
mod tests;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use waybill_ipc::protocol::DeliveryState;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::{CorrelationId, ReportId};
use waybill_shared::paths::Instance;

pub use backup::backup;
pub use bind::{LettingGo, NewRoutes, Release, Route, Routes, unsent};
pub use damage::Damage;
pub use door::{Came, Door, Doors};
pub use fsck::{check, quick_check};
pub use limits::{Backlog, Disk, Filled, Full, Gate, Limits};
pub use payload::Payload;
pub use purge::Old;
pub(crate) use read::OLDEST_PENDING;
pub use read::{Reader, Ready, ReadyDelivery, Remembered};
pub use recover::{Found, Now, Opened, open, open_by};
pub use salvage::Salvaged;
pub use writer::{Ack, Command, OnCommit, Writer, WriterThread};

/// Where the queue lies.
#[derive(Debug, Clone)]
pub struct Places {
    /// The database.
    pub database: PathBuf,
    /// Large payloads.
    pub spool: PathBuf,
    /// Reports that had to make room.
    pub evicted: PathBuf,
}

impl Places {
    /// Those of an instance.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self { database: instance.queue_database(), spool: instance.spool(), evicted: instance.evicted() }
    }

    /// The log beside the store: what is not in its file yet.
    pub(in crate::queue) fn log(&self) -> PathBuf {
        let mut log = self.database.clone().into_os_string();
        log.push("-wal");
        log.into()
    }
}

/// A file as it was when it was read: the answer to "have I taken this very file?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Name of the source.
    pub source: String,
    /// Where the equipment put it.
    pub path: PathBuf,
    /// Volume and number of the file, as the OS tells it.
    pub file_id: [u8; 16],
    /// Bytes.
    pub size: u64,
    /// Last change, nanoseconds since 1970 UTC.
    pub modified_ns: i64,
    /// blake3 of the whole file.
    pub hash: [u8; 32],
}

/// A report to be queued.
#[derive(Debug)]
pub struct NewEntry {
    /// Its identity.
    pub report_id: ReportId,
    /// Its serial number.
    pub serial: String,
    /// Its part number.
    pub part: String,
    /// Its verdict, one letter.
    pub result: String,
    /// Its bytes.
    pub payload: Payload,
}

/// A file whose reports are to be queued.
#[derive(Debug)]
pub struct NewFile {
    /// Which file.
    pub fingerprint: Fingerprint,
    /// Its life.
    pub correlation_id: CorrelationId,
    /// 1 goes first, 10 last.
    pub priority: u8,
    /// Its reports; the earlier ones of a large file were staged before.
    pub entries: Vec<NewEntry>,
    /// The key under which earlier ones were staged.
    pub staged: Option<u64>,
    /// False if other units of the file could not be converted; the file then counts as one in error.
    pub whole: bool,
    /// True if it is taken once more, from the archive: its fingerprint is passed by, and nothing is to be put away.
    pub again: bool,
}

/// What became of a [`NewFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Its reports are durable.
    Queued {
        /// Key of the file.
        file: i64,
        /// How many reports it held.
        reports: u32,
    },
    /// It was taken before, and its post-action is still to be done, or done again.
    AlreadyTaken {
        /// Key of the file.
        file: i64,
    },
}

/// A file that could not be converted, to be remembered.
#[derive(Debug, Clone)]
pub struct NewConversionError {
    /// Its source.
    pub source: String,
    /// Where the equipment put it.
    pub path: PathBuf,
    /// Where it is now.
    pub moved_to: Option<PathBuf>,
    /// Its life.
    pub correlation_id: CorrelationId,
    /// What is wrong with it.
    pub error: ErrorReport,
}

/// A delivery, as those who work on it name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryKey {
    /// Key of the entry.
    pub entry: i64,
    /// Name of the destination.
    pub destination: String,
    /// The report, for events and the log.
    pub report_id: ReportId,
    /// Life of its file.
    pub correlation_id: CorrelationId,
    /// Its serial number.
    pub serial: String,
}

/// What a try to deliver came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The destination has it.
    Sent {
        /// Where exactly.
        receipt: String,
        /// The address that accepted it.
        address: String,
    },
    /// Later again.
    Retry {
        /// When.
        due: Timestamp,
        /// Whether this try may count against the report.
        charge: bool,
        /// Most tries that may count before the report is set aside.
        max_retries: u32,
        /// What went wrong.
        error: ErrorReport,
    },
    /// Never again by itself.
    Failed {
        /// Why.
        error: ErrorReport,
    },
}

/// Why the queue did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// The store cannot be opened.
    #[error("the queue {path} cannot be opened: {reason}")]
    Unavailable {
        /// The database.
        path: String,
        /// Why.
        reason: String,
    },
    /// The store was written by a newer program.
    #[error("the queue {path} has schema {found}, this version knows up to {known}")]
    TooNew {
        /// The database.
        path: String,
        /// Its schema.
        found: i64,
        /// The newest one known.
        known: i64,
    },
    /// A commit failed; nothing of it was stored.
    #[error("the queue could not store it: {0}")]
    Write(String),
    /// A read failed or took too long.
    #[error("the queue could not be read: {0}")]
    Read(String),
    /// There is no more room.
    #[error("{}", full(.destination, *.why, *.waiting, .limits, *.disk))]
    Full {
        /// Where to.
        destination: String,
        /// Which bound is reached.
        why: Full,
        /// What waits.
        waiting: Filled,
        /// What may.
        limits: Limits,
        /// Room on the disk.
        disk: Disk,
    },
    /// No destination has this name.
    #[error("there is no destination {name:?}; {}", those(.known))]
    NoDestination {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// There is no such report.
    #[error("there is no report with the entry {0} in the queue; it may have been sent and kept long enough")]
    NoEntry(i64),
    /// There is no such lane.
    #[error("there is no lane {0}: they go from 1, which goes first, to 10")]
    NoLane(u8),
    /// The file is damaged.
    #[error("the queue {path} is damaged: {reason}")]
    Corrupt {
        /// The database.
        path: String,
        /// How that shows.
        reason: String,
    },
    /// A destination that is to be removed has reports that were not sent.
    #[error("{waiting} reports for {destination} were not sent")]
    Unsent {
        /// The destination.
        destination: String,
        /// How many wait or have failed.
        waiting: u64,
    },
    /// Stored bytes are not what was stored.
    #[error("a stored report is damaged: {0}")]
    Damaged(String),
    /// The queue is closed: the agent stops.
    #[error("the queue is closed")]
    Closed,
}

impl QueueError {
    /// As a person reads it.
    #[must_use]
    pub fn report(&self) -> ErrorReport {
        let code = match self {
            Self::Unavailable { .. } | Self::Read(_) | Self::Closed => Code::QueueUnavailable,
            Self::TooNew { .. } => Code::QueueTooNew,
            Self::Write(_) => Code::QueueWriteFailed,
            Self::Full { .. } => Code::QueueFull,
            Self::Unsent { .. } => Code::DestinationHasUnsent,
            Self::Damaged(_) => Code::PayloadDamaged,
            Self::Corrupt { .. } => Code::QueueDamaged,
            Self::NoDestination { .. } | Self::NoEntry(_) => Code::NotFound,
            Self::NoLane(_) => Code::RequestInvalid,
        };
        ErrorReport::new(code, self.to_string())
    }
}

fn those(names: &[String]) -> String {
    if names.is_empty() { "none was ever configured".to_owned() } else { format!("there are: {}", names.join(", ")) }
}

/// Why there is no more room, for a person.
fn full(destination: &str, why: Full, waiting: Filled, limits: &Limits, disk: Disk) -> String {
    match why {
        Full::Entries => format!("{} reports wait for {destination}, at most {} may", waiting.entries, limits.entries),
        Full::Bytes => {
            format!("reports of {} bytes wait for {destination}, at most {} bytes may", waiting.bytes, limits.bytes)
        }
        Full::Disk => format!("the disk has {} bytes left, {} must stay free", disk.free, limits.floor(disk)),
    }
}

/// How a breaker was when it last changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BreakerMemory {
    /// Failures in a row.
    pub failures: u32,
    /// How long it stays open, milliseconds; none if it is closed.
    pub cooldown_ms: Option<i64>,
    /// Until when, milliseconds since 1970 UTC.
    pub open_until_ms: Option<i64>,
}

/// Deliveries of one destination, by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Wait, or are on their way.
    pub pending: u64,
    /// Arrived.
    pub sent: u64,
    /// Wait for a person.
    pub failed: u64,
    /// Given up by a person.
    pub discarded: u64,
    /// Had to make room.
    pub evicted: u64,
    /// Most that ever waited.
    pub most: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, state: DeliveryState, count: u64) {
        match state {
            DeliveryState::Staged => {}
            DeliveryState::Pending | DeliveryState::Sending => self.pending += count,
            DeliveryState::Sent => self.sent += count,
            DeliveryState::Failed => self.failed += count,
            DeliveryState::Discarded => self.discarded += count,
            DeliveryState::Evicted => self.evicted += count,
        }
    }
}

/// Files of one source, for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Files whose reports were queued.
    pub queued: u64,
    /// Files that could not be converted.
    pub errors: u64,
    /// Reports that were queued.
    pub reports: u64,
}

fn sql_path(path: &Path) -> String {
    // Paths are compared, shown, and searched by prefix; the few that are no Unicode keep their bytes in escaped form.
    match path.to_str() {
        Some(text) => text.to_owned(),
        None => path.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
    }
}
