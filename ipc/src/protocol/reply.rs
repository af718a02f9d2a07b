//! What the agent answers.

use serde::{Deserialize, Serialize};
use waybill_shared::config::compare::Difference;
use waybill_shared::error::ErrorReport;

use super::{
    AccessStatus, AutostartStatus, BackupRow, Changed, ConfigChanged, ConfigState, ConversionTrial, ConverterRow, DeliveryState,
    DestinationTest, DestinationTrial, EntryDetails, FsckReport, HealthReport, HistoryRow, LaneRow, LogLine, LossRow, ProcessRow,
    Reconverted, ReportPart, RetriedErrors, SecretRow, Snapshot, TaskRow,
};

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// To a request that changes something and has nothing to tell.
    Done,
    /// To `Status`.
    Status(Box<Snapshot>),
    /// To `Deliveries`.
    Deliveries(Vec<DeliveryRow>),
    /// To `Delivery`.
    Delivery(Box<EntryDetails>),
    /// To `ReportText`.
    ReportText(ReportPart),
    /// To `Lanes`.
    Lanes(Vec<LaneRow>),
    /// To `Losses`.
    Losses(Vec<LossRow>),
    /// To `RetryDeliveries` and `DiscardDeliveries`.
    Changed(Changed),
    /// To `Fsck`.
    Fsck(FsckReport),
    /// To `BackupQueue`: where the copy lies.
    BackupQueue(String),
    /// To `ConversionErrors`.
    ConversionErrors(Vec<ConversionErrorRow>),
    /// To `Health`.
    Health(HealthReport),
    /// To `Tasks`, by name.
    Tasks(Vec<TaskRow>),
    /// To `History`.
    History(Vec<HistoryRow>),
    /// To `Logs`.
    Logs(Vec<LogLine>),
    /// To `Config`.
    Config(Box<ConfigState>),
    /// To `ConfigBackups`.
    ConfigBackups(Vec<BackupRow>),
    /// To `ConfigText`.
    ConfigText(String),
    /// To `ConfigDiff`.
    ConfigDiff(Vec<Difference>),
    /// To `ConfigChange` and `ConfigRestore`.
    ConfigChanged(ConfigChanged),
    /// To `Secrets`; to `SetSecret`, `ClearSecret` and `RegisterDestination` with the one that was meant.
    Secrets(Vec<SecretRow>),
    /// To `TestDestination`.
    DestinationTest(DestinationTest),
    /// To `TestDestinations`, in the order of the names or of the configuration.
    DestinationTrials(Vec<DestinationTrial>),
    /// To `Processes`, in the order of the server.
    Processes(Vec<ProcessRow>),
    /// To `Access`, `Elevate`, `DropRole`, `SetPin` and `ClearPin`.
    Access(AccessStatus),
    /// To `Diagnose`.
    Diagnosis(Diagnosis),
    /// To `Reconvert`.
    Reconverted(Reconverted),
    /// To `Autostart`: how it is, after the change if one was asked for.
    Autostart(AutostartStatus),
    /// To `RetryConversions`.
    RetriedErrors(RetriedErrors),
    /// To `Converters`, in the order in which they are listed.
    Converters(Vec<ConverterRow>),
    /// To `TryConversion`.
    ConversionTrial(Box<ConversionTrial>),
}

/// A bundle for whoever looks for a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The file, on the agent's machine.
    pub bundle: String,
    /// What looks wrong, in words; empty if nothing does.
    pub findings: Vec<String>,
}

/// One report on its way to one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRow {
    /// Key for the next page.
    pub key: i64,
    /// Entry of the queue; the same for all destinations of a report.
    pub entry: i64,
    /// Identity of the report, as text.
    pub report_id: String,
    /// Life of the file.
    pub correlation_id: String,
    /// Where it goes.
    pub destination: String,
    /// How far it is.
    pub state: DeliveryState,
    /// Source that it came from.
    pub source: String,
    /// Name of the file that it came from.
    pub file: String,
    /// Serial number.
    pub serial: String,
    /// Part number.
    pub part: String,
    /// Verdict on the unit, as one letter.
    pub result: String,
    /// 1 goes first, 10 last.
    pub priority: u8,
    /// Tries that counted.
    pub attempts: u32,
    /// Tries in all.
    pub tries: u32,
    /// When it was queued, milliseconds since 1970 UTC.
    pub queued_at_ms: i64,
    /// When it is tried next, if not at once.
    pub due_at_ms: Option<i64>,
    /// When it came to where it is, if it was sent or refused.
    pub finished_at_ms: Option<i64>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Code of what went wrong last.
    pub error_code: Option<String>,
    /// Where it arrived or lies, in words: what the destination answered, a path; why it was given up.
    pub receipt: Option<String>,
}

/// A file that could not be converted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConversionErrorRow {
    /// Key for the next page.
    pub key: i64,
    /// Source of the file.
    pub source: String,
    /// Where the equipment put it.
    pub path: String,
    /// Where it is now.
    pub moved_to: Option<String>,
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// What is wrong with it.
    pub error: ErrorReport,
}
