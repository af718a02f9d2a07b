//! The messages. Raise [`PROTOCOL`] whenever their bytes change; a golden test fails otherwise.

mod access;
mod autostart;
mod config;
mod conversion;
mod destination;
mod event;
mod health;
mod hello;
mod history;
mod log;
mod queue;
mod reconvert;
mod reply;
mod request;
mod secret;
mod snapshot;

pub use access::{AccessStatus, Role};
pub use autostart::{AutostartState, AutostartStatus};
pub use config::{BackupRow, ConfigChange, ConfigChanged, ConfigState, ConfigValue, ConfigVersion, MOST_EDITS, Unsent};
pub use conversion::{
    ArgumentKind, ArgumentRow, ConversionTrial, ConversionsDone, ConverterRow, ErrorFilter, MOST_TRIED_BYTES, RetriedError,
    RetriedErrors, TriedUnit,
};
pub use destination::{CertificateInfo, DestinationTest, DestinationTrial, ProcessRow};
pub use event::{Configured, DestinationHead, Event, SourceHead, Update};
pub use health::{CheckResult, HealthReport, HealthState, TaskRow, TaskState};
pub use hello::{AgentState, ClientKind, Frozen, Hello, StatusBrief};
pub use history::{HistoryFilter, HistoryOutcome, HistoryRow, Via};
pub use log::{LogFilter, LogLevelName, LogLine};
pub use queue::{
    Changed, DeliveryFilter, EntryDetails, Fault, FsckReport, FullBy, LaneRow, LossRow, REPORT_PART_BYTES, ReportPart, Search,
    SearchBy, Which,
};
pub use reconvert::{ArchiveFilter, ArchivePage, ReconvertOutcome, Reconverted, ReconvertedFile, ReconvertedReport};
pub use reply::{ConversionErrorRow, DeliveryRow, Diagnosis, Reply};
pub use request::{Page, Request};
pub use secret::{SecretRow, SecretText};
pub use snapshot::{
    Activity, ActivityKind, AgentInfo, Connection, DeliveryState, DestinationStatus, Former, Identity, QueueStatus, RECENT_LIMIT,
    Snapshot, SourceState, SourceStatus, StopPhase, Stopping,
};

use serde::{Deserialize, Serialize};
use waybill_shared::error::ErrorReport;

/// Version of everything but the frozen messages.
pub const PROTOCOL: u16 = 1;

/// What a client says after the greeting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientMessage {
    /// Chosen by the client; the answer carries it.
    pub id: u64,
    /// What it wants.
    pub request: Request,
}

/// What a server says after the greeting. Exactly one answer a request, in any order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ServerMessage {
    /// The answer to the request of this id.
    Response {
        /// The request's id.
        id: u64,
        /// What came of it.
        result: Result<Reply, ErrorReport>,
    },
    /// News for a subscriber.
    Update(Update),
}
