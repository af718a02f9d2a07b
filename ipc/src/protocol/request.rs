//! What a client can ask for.

use serde::{Deserialize, Serialize};
use waybill_shared::config::Edit;

use super::{
    ArchiveFilter, ArchivePage, ConfigChange, ConfigVersion, DeliveryFilter, ErrorFilter, HistoryFilter, LogFilter, SecretText,
    Which,
};

/// A request. Each gets exactly one [`Reply`](super::Reply) or one error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Everything that a status shows.
    Status,
    /// Deliveries, the newest last.
    Deliveries {
        /// Which.
        filter: DeliveryFilter,
        /// Which part of the list.
        page: Page,
    },
    /// All of one report.
    Delivery {
        /// Its entry.
        entry: i64,
    },
    /// Part of a report as it is, or will be, sent.
    ReportText {
        /// Its entry.
        entry: i64,
        /// From which byte on.
        offset: u64,
    },
    /// The lanes of all destinations in which something is or was.
    Lanes,
    /// What was lost by damage of the store, the newest first.
    Losses,
    /// Take deliveries up again that failed, were discarded or had to make room; those that wait for their time go now.
    RetryDeliveries {
        /// Which.
        which: Which,
    },
    /// Give deliveries up that wait or failed. They are kept for a while and can be taken up again.
    DiscardDeliveries {
        /// Which.
        which: Which,
        /// Why, in the person's words.
        why: String,
    },
    /// Hold a lane, or let it go again.
    HoldLane {
        /// 1 goes first, 10 last.
        priority: u8,
        /// Whether it is held from now on.
        held: bool,
    },
    /// Hold a destination, or let it go again.
    HoldDestination {
        /// Its name.
        name: String,
        /// Whether it is held from now on.
        held: bool,
    },
    /// Ask a destination now that is left alone or asked from time to time.
    ResetBreaker {
        /// Its name.
        name: String,
    },
    /// Say that the losses were seen.
    LossesSeen,
    /// Compare the store with itself: counts, checksums, files.
    Fsck,
    /// Copy the whole store, as it is at one moment, into the agent's backups.
    BackupQueue,
    /// Files that could not be converted, the newest first.
    ConversionErrors {
        /// Which part of the list.
        page: Page,
    },
    /// News from now on: a snapshot first, then every event after it.
    Subscribe,
    /// No more news.
    Unsubscribe,
    /// How well the agent is.
    Health {
        /// Whether every check runs now; else what the checks found last.
        fresh: bool,
    },
    /// What runs in the agent.
    Tasks,
    /// What was changed, refused or forced, the newest first.
    History {
        /// Which entries.
        filter: HistoryFilter,
        /// Which part of the list.
        page: Page,
    },
    /// The newest lines of the agent's log, the newest last.
    Logs {
        /// Which lines.
        filter: LogFilter,
        /// Most lines wanted, at most 1000.
        limit: u32,
    },
    /// The configuration as it stands.
    Config,
    /// Accepted configurations of the past, the newest first.
    ConfigBackups,
    /// The text of one of them.
    ConfigText {
        /// Which.
        version: ConfigVersion,
    },
    /// What differs between two configurations.
    ConfigDiff {
        /// The older one.
        from: ConfigVersion,
        /// The newer one.
        to: ConfigVersion,
    },
    /// Change the configuration.
    ConfigChange(ConfigChange),
    /// Make a configuration of the past the present one.
    ConfigRestore {
        /// Name of the backup.
        id: String,
        /// The revision that is to be replaced.
        base: Option<String>,
    },
    /// Which secrets the configuration needs, and whether they are there.
    Secrets,
    /// Set a secret.
    SetSecret {
        /// Its name.
        name: String,
        /// The secret.
        value: SecretText,
    },
    /// Forget a secret.
    ClearSecret {
        /// Its name.
        name: String,
    },
    /// Ask a destination whether it would take reports, by a real call; no report is sent.
    TestDestination {
        /// Its name.
        name: String,
        /// Changes of the configuration that are only tried, not stored; at most [`MOST_EDITS`](super::MOST_EDITS).
        #[serde(deserialize_with = "super::config::few_edits")]
        edits: Vec<Edit>,
        /// A token that is only tried, not stored.
        token: Option<SecretText>,
    },
    /// Ask several destinations at once, as they are configured, in the same way.
    TestDestinations {
        /// Their names, at most 256; none: all that are switched on.
        names: Vec<String>,
    },
    /// Make this station known to a destination. The token that comes of it is kept as the destination's, and told to nobody.
    RegisterDestination {
        /// Its name.
        name: String,
        /// A token that is only good for registering.
        token: SecretText,
    },
    /// The operations that a destination knows, as it says now.
    Processes {
        /// Its name.
        destination: String,
    },
    /// What this connection may do.
    Access,
    /// Open the engineer's role with the PIN.
    Elevate {
        /// The PIN.
        pin: SecretText,
    },
    /// Give the engineer's role up.
    DropRole,
    /// Set or change the PIN.
    SetPin {
        /// The PIN so far, if there is one.
        old: Option<SecretText>,
        /// The PIN from now on.
        new: SecretText,
    },
    /// Remove the PIN.
    ClearPin {
        /// The PIN so far.
        old: SecretText,
    },
    /// Write a bundle for whoever looks for a fault.
    Diagnose,
    /// Send archived files again, or say what would be sent.
    Reconvert {
        /// Which files.
        filter: ArchiveFilter,
        /// Whether that is only asked: then nothing is sent.
        dry_run: bool,
        /// Which part of them.
        page: ArchivePage,
    },
    /// Whether the agent starts by itself when its user logs in; or that it shall, or shall not.
    Autostart {
        /// What is wanted; none: only how it is.
        enable: Option<bool>,
    },
    /// Have files that could not be converted taken again, after what was wrong was mended; a part of them at a time.
    RetryConversions {
        /// Which files.
        filter: ErrorFilter,
        /// Only those with a smaller key than this, as an answer before named it.
        before: Option<i64>,
    },
    /// The converters there are.
    Converters,
    /// Convert a file without sending anything.
    TryConversion {
        /// Name of the converter, or `auto`.
        converter: String,
        /// Name of the file, without folders.
        file_name: String,
        /// The file, at most [`MOST_TRIED_BYTES`](super::MOST_TRIED_BYTES).
        bytes: Vec<u8>,
        /// Values for the converter as JSON, by name; as under `[source.arguments]`.
        arguments: Vec<(String, String)>,
    },
}

/// A part of a list, by key and not by number, so that a list that changes is neither skipped nor repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The last key of the page before; none for the first page.
    pub after: Option<i64>,
    /// Most rows wanted, at most 1000.
    pub limit: u32,
}

impl Request {
    /// True if it changes something, or costs the agent more than a look: these are counted against the connection's rate.
    #[must_use]
    pub fn is_change(&self) -> bool {
        match self {
            Self::Status
            | Self::Deliveries { .. }
            | Self::Delivery { .. }
            | Self::ReportText { .. }
            | Self::Lanes
            | Self::Losses
            | Self::ConversionErrors { .. }
            | Self::Subscribe
            | Self::Unsubscribe
            | Self::Health { .. }
            | Self::Tasks
            | Self::History { .. }
            | Self::Logs { .. }
            | Self::Config
            | Self::ConfigBackups
            | Self::ConfigText { .. }
            | Self::ConfigDiff { .. }
            | Self::Secrets
            | Self::Access
            | Self::Autostart { enable: None }
            | Self::Converters => false,
            Self::RetryDeliveries { .. }
            | Self::DiscardDeliveries { .. }
            | Self::HoldLane { .. }
            | Self::HoldDestination { .. }
            | Self::ResetBreaker { .. }
            | Self::LossesSeen
            | Self::Fsck
            | Self::BackupQueue
            | Self::ConfigChange(_)
            | Self::ConfigRestore { .. }
            | Self::SetSecret { .. }
            | Self::ClearSecret { .. }
            | Self::TestDestination { .. }
            | Self::TestDestinations { .. }
            | Self::RegisterDestination { .. }
            | Self::Processes { .. }
            | Self::Elevate { .. }
            | Self::DropRole
            | Self::SetPin { .. }
            | Self::ClearPin { .. }
            | Self::Diagnose
            | Self::Reconvert { .. }
            | Self::Autostart { enable: Some(_) }
            | Self::RetryConversions { .. }
            | Self::TryConversion { .. } => true,
        }
    }
}
