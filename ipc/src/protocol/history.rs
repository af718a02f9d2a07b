//! The history: who changed what, when, and what came of it.

use serde::{Deserialize, Serialize};
use waybill_shared::error::Code;

/// One entry of the history. Texts are as they were written: whoever shows them makes them safe first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// Its number; later entries have higher ones.
    pub key: i64,
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Who did it, or tried to.
    pub who: String,
    /// By which way.
    pub via: Via,
    /// What: words from the general to the special, with dots between them (`config.set`).
    pub action: String,
    /// What it was done to.
    pub target: String,
    /// The value before; none if there was none, or if it is a secret.
    pub before: Option<String>,
    /// The value after, or the one that was wanted.
    pub after: Option<String>,
    /// What came of it.
    pub outcome: HistoryOutcome,
    /// Why, if it was refused or failed.
    pub message: Option<String>,
    /// The code of the error, if there was one.
    pub code: Option<Code>,
    /// What it belongs to.
    pub correlation_id: Option<String>,
}

/// By which way a change came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// From a window or another program, by a message to the agent.
    Ipc,
    /// By a command line that did it itself.
    Cli,
    /// By a file that somebody edited.
    File,
    /// By a variable of the environment.
    Environment,
    /// By the agent itself.
    Agent,
}

impl Via {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ipc, Self::Cli, Self::File, Self::Environment, Self::Agent];

    /// The word for it, in the store and in `--json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipc => "ipc",
            Self::Cli => "cli",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Agent => "agent",
        }
    }
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryOutcome {
    /// It is done.
    Done,
    /// It was not allowed, and nothing changed.
    Refused,
    /// It was tried and went wrong.
    Failed,
}

impl HistoryOutcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Failed];

    /// The word for it, in the store and in `--json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Which entries are wanted: those that fit every field that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryFilter {
    /// From this time on, milliseconds since 1970 UTC.
    pub since_ms: Option<i64>,
    /// Before this time, milliseconds since 1970 UTC.
    pub until_ms: Option<i64>,
    /// Part of who did it; capital and small letters (of ASCII) are the same.
    pub who: Option<String>,
    /// How the action begins, for example `config.`.
    pub action: Option<String>,
    /// How the target begins.
    pub target: Option<String>,
    /// What came of it.
    pub outcome: Option<HistoryOutcome>,
    /// Exactly this correlation id.
    pub correlation_id: Option<String>,
}
