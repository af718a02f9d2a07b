//! What happens, as it happens.

use serde::{Deserialize, Serialize};
use waybill_shared::error::ErrorReport;

use super::{AgentState, Connection, DeliveryState, FullBy, Identity, Snapshot, SourceState, Stopping};

/// One thing that happened. Events speak of what is durable: a report is `Queued` only once it survives a power cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The agent as a whole.
    Agent {
        /// How it is now.
        state: AgentState,
    },
    /// A source can be used, or cannot.
    Source {
        /// Its name.
        source: String,
        /// How it is now.
        state: SourceState,
        /// Why, if something is wrong.
        error: Option<ErrorReport>,
    },
    /// A finished file was found; it is being converted, or waits in its folder while the queue is full.
    FileSeen {
        /// Its source.
        source: String,
        /// Its name.
        file: String,
        /// Its life.
        correlation_id: String,
    },
    /// A file that had been seen needs nothing more: it was known already, or is gone again.
    FileForgotten {
        /// Its source.
        source: String,
        /// Its name.
        file: String,
        /// Its life.
        correlation_id: String,
    },
    /// All reports of a file are in the queue, and survive a power cut.
    FileQueued {
        /// Its source.
        source: String,
        /// Its name.
        file: String,
        /// Its life.
        correlation_id: String,
        /// How many reports it held.
        reports: u32,
        /// Serial number of the first.
        serial: String,
        /// To which destinations.
        destinations: Vec<String>,
        /// False if other units of the file could not be converted: a `FileBroken` follows and counts the file.
        whole: bool,
    },
    /// A file could not be converted and was set aside.
    FileBroken {
        /// Its source.
        source: String,
        /// Its name.
        file: String,
        /// Its life.
        correlation_id: String,
        /// What is wrong with it.
        error: ErrorReport,
        /// Where it is now.
        moved_to: Option<String>,
    },
    /// A report arrived.
    Sent {
        /// Where.
        destination: String,
        /// Which.
        report_id: String,
        /// Life of its file.
        correlation_id: String,
        /// Its serial number.
        serial: String,
        /// Where exactly, in the destination's words: a path, an address.
        receipt: String,
    },
    /// A report did not arrive and is tried again.
    Retry {
        /// Where to.
        destination: String,
        /// Which.
        report_id: String,
        /// Life of its file.
        correlation_id: String,
        /// Its serial number.
        serial: String,
        /// What went wrong.
        error: ErrorReport,
        /// When it is tried again, milliseconds since 1970 UTC; none: when the destination is back.
        due_at_ms: Option<i64>,
    },
    /// A report was refused for good, or its tries are spent; it waits for a person.
    Failed {
        /// Where to.
        destination: String,
        /// Which.
        report_id: String,
        /// Life of its file.
        correlation_id: String,
        /// Its serial number.
        serial: String,
        /// Why.
        error: ErrorReport,
    },
    /// A report had to make room and lies in a file now.
    Evicted {
        /// Where it was to go.
        destination: String,
        /// Which.
        report_id: String,
        /// Its serial number.
        serial: String,
        /// The file that it lies in.
        path: String,
    },
    /// How many reports are on their way to a destination at this moment.
    Sending {
        /// The destination.
        destination: String,
        /// How many.
        count: u32,
    },
    /// A destination can be reached, or cannot.
    Destination {
        /// Its name.
        destination: String,
        /// How it is now.
        state: Connection,
        /// Why, if something is wrong.
        error: Option<ErrorReport>,
        /// When it is tried again, milliseconds since 1970 UTC.
        next_try_ms: Option<i64>,
    },
    /// The configuration in use is another one.
    Configured(Box<Configured>),
    /// A destination was removed with reports that were not sent.
    LetGo {
        /// The destination.
        destination: String,
        /// How many waited.
        pending: u64,
        /// How many had failed.
        failed: u64,
        /// How many of both wait for another destination now; the rest is discarded.
        moved: u64,
        /// Which other destination.
        to: Option<String>,
    },
    /// Something is wrong with the configuration file that lies there, or is not any more; the one in use stays.
    ConfigProblem {
        /// What.
        error: Option<ErrorReport>,
    },
    /// The agent stops: how far it is. Told every second as long as it waits for something.
    Stopping(Stopping),
    /// The agent as a whole is in error, or is not any more.
    AgentError {
        /// What is wrong.
        error: Option<ErrorReport>,
    },
    /// The queue is full, or has room again.
    QueueFull {
        /// Whether it is full.
        full: bool,
        /// Which bound is reached.
        by: Option<FullBy>,
    },
    /// A person took deliveries up again, or gave them up.
    Changed {
        /// Where they go.
        destination: String,
        /// What they were.
        from: DeliveryState,
        /// What they are now.
        to: DeliveryState,
        /// How many.
        count: u64,
    },
    /// A person holds a lane, or lets it go again.
    LaneHeld {
        /// 1 goes first, 10 last.
        priority: u8,
        /// Whether it is held.
        held: bool,
    },
    /// A person has seen what was lost.
    LossesSeen,
}

/// What a new configuration means for those who look on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configured {
    /// Who the station is, and how the window looks.
    pub identity: Identity,
    /// Most reports that may wait for one destination.
    pub max_entries: u64,
    /// All sources, in the order of the configuration.
    pub sources: Vec<SourceHead>,
    /// All destinations, in the order of the configuration.
    pub destinations: Vec<DestinationHead>,
}

/// A source as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceHead {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: String,
    /// Its converter.
    pub converter: String,
    /// Whether files are taken.
    pub enabled: bool,
}

/// A destination as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationHead {
    /// Its name.
    pub name: String,
    /// `folder`, `wats`, …
    pub kind: String,
    /// Its address or folder.
    pub address: String,
    /// Whether reports go there.
    pub enabled: bool,
}

/// News for a subscriber. `seq` grows by at least one from update to update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Update {
    /// Where everything stands: at first, and after the subscriber was too slow.
    Snapshot {
        /// The state after this event's number.
        seq: u64,
        /// Events that the subscriber missed since its last update.
        missed: u64,
        /// Where everything stands.
        snapshot: Box<Snapshot>,
    },
    /// One thing that happened.
    Event {
        /// Its number.
        seq: u64,
        /// When, milliseconds since 1970 UTC.
        at_ms: i64,
        /// What.
        event: Event,
    },
}

impl Update {
    /// The number of this update.
    #[must_use]
    pub fn seq(&self) -> u64 {
        match self {
            Self::Snapshot { seq, .. } | Self::Event { seq, .. } => *seq,
        }
    }
}
