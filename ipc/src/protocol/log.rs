//! Lines of the agent's log, as the window and the command line read them.

use serde::{Deserialize, Serialize};

/// How important a line is. The most important is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevelName {
    /// Everything.
    Trace,
    /// For looking for a fault.
    Debug,
    /// What happened to each file.
    Info,
    /// Something an administrator should know.
    Warn,
    /// Data was lost or something needs a person now.
    Error,
}

impl LogLevelName {
    /// The word as the log writes it, in capitals.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }

    /// The level of a word, in capitals or not.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error]
            .into_iter()
            .find(|level| level.word().eq_ignore_ascii_case(word))
    }
}

/// One line of the log.
///
/// A line that is no JSON (the end of a file at a power cut) is shown as it is: it has no time and no level, and all of it is the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, milliseconds since 1970 UTC.
    pub at_ms: Option<i64>,
    /// How important.
    pub level: Option<LogLevelName>,
    /// What happened, in one word for scripts.
    pub event: Option<String>,
    /// What happened, for people.
    pub message: String,
    /// The source it is about.
    pub source: Option<String>,
    /// The destination it is about.
    pub destination: Option<String>,
    /// The life of the file that it belongs to.
    pub correlation_id: Option<String>,
    /// Everything else, in the order of the line.
    pub fields: Vec<(String, String)>,
    /// Place of the line, for asking for what is before it. It stays the same when files are rotated; its number means nothing else.
    pub key: u64,
}

/// Which lines are wanted; the default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFilter {
    /// Only of this file's life.
    pub correlation_id: Option<String>,
    /// Only as important as this, or more. Lines without a level are then left out.
    pub level: Option<LogLevelName>,
    /// Only lines with this text anywhere in them, in capitals or not.
    pub text: Option<String>,
    /// Only from this moment on, milliseconds since 1970 UTC. Lines without a time are then left out.
    pub since_ms: Option<i64>,
}
