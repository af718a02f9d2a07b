//! Verdicts, on a unit, a step or a measurement.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::schema::{FaultKind, Field, Reader, Value};

/// A verdict. Written as one letter; the words and aliases that equipment writes are accepted on input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// P: within its limits.
    Passed,
    /// F: outside of its limits.
    Failed,
    /// S: not run; steps and measurements only.
    Skipped,
    /// D: ran, has no verdict.
    Done,
    /// E: could not be judged because something went wrong.
    Error,
    /// T: stopped by a person or the sequence.
    Terminated,
}

impl Status {
    /// The letter on the wire.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::Passed => "P",
            Self::Failed => "F",
            Self::Skipped => "S",
            Self::Done => "D",
            Self::Error => "E",
            Self::Terminated => "T",
        }
    }

    /// From a letter, word or alias, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_lowercase().as_str() {
            "p" | "pass" | "passed" | "ok" => Self::Passed,
            "f" | "fail" | "failed" | "ng" => Self::Failed,
            "s" | "skip" | "skipped" => Self::Skipped,
            "d" | "done" => Self::Done,
            "e" | "error" | "err" => Self::Error,
            "t" | "terminated" | "abort" | "aborted" => Self::Terminated,
            _ => return None,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "Passed",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
            Self::Done => "Done",
            Self::Error => "Error",
            Self::Terminated => "Terminated",
        })
    }
}

const ALLOWED: &str = "P (Passed), F (Failed), S (Skipped), D (Done), E (Error), T (Terminated)";

impl Field for Status {
    fn type_name() -> String {
        "status".to_owned()
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let text = String::read(value, reader)?;
        let status = Self::parse(&text);
        if status.is_none() {
            let text = crate::text::printable(&text, 40);
            reader.fault(FaultKind::OutOfRange, format!("\"{text}\" is no status; allowed are {ALLOWED}"));
        }
        status
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.letter())
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format_args!("no status; allowed are {ALLOWED}")))
    }
}
