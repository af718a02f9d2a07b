//! The configuration as clients see it and change it.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use waybill_shared::config::compare::Difference;
use waybill_shared::config::{Edit, Origin};
use waybill_shared::error::ErrorReport;

/// Most changes in one request. They are read before it is known what the client may do.
pub const MOST_EDITS: usize = 10_000;

/// Reads changes, and stops at the one too many.
pub(super) fn few_edits<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Edit>, D::Error> {
    struct Few;
    impl<'de> Visitor<'de> for Few {
        type Value = Vec<Edit>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MOST_EDITS} changes at once")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut edits = Vec::new();
            while let Some(edit) = from.next_element()? {
                if edits.len() == MOST_EDITS {
                    return Err(de::Error::custom(format_args!("more than {MOST_EDITS} changes at once")));
                }
                edits.push(edit);
            }
            Ok(edits)
        }
    }
    from.deserialize_seq(Few)
}

/// The configuration as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigState {
    /// Which version of the file this is; a change names the one it is based on.
    pub revision: String,
    /// Where the file is.
    pub path: String,
    /// What stands in the file that is in use.
    pub text: String,
    /// Every value that is set in whatever layer, by place.
    pub values: Vec<ConfigValue>,
    /// What is wrong with the file that lies there, if another one is in use.
    pub problem: Option<ErrorReport>,
    /// Fields that were changed and wait for the next start, by place.
    pub waits_for_restart: Vec<String>,
    /// False while nobody has set this agent up.
    pub configured: bool,
}

/// A value that is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigValue {
    /// Which: `source.ict.folder`.
    pub place: String,
    /// Its value, as written in the file.
    pub value: String,
    /// Who sets it, if not the file; it cannot be changed here then.
    pub origin: Option<Origin>,
}

/// Changes, all or none of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// The revision that the changes are based on; without one they are made to whatever is there.
    pub base: Option<String>,
    /// What to change, in this order; at most [`MOST_EDITS`].
    #[serde(deserialize_with = "few_edits")]
    pub edits: Vec<Edit>,
    /// What becomes of reports that wait for destinations which are removed.
    pub unsent: Unsent,
    /// Only say what would change, and what is wrong with it.
    pub dry_run: bool,
}

/// What becomes of reports that wait for a destination which is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unsent {
    /// The removal is refused while there are any.
    #[default]
    Refuse,
    /// They are given up; the history names how many.
    Discard,
    /// They go to this destination instead.
    MoveTo(String),
}

/// What came of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChanged {
    /// The revision now.
    pub revision: String,
    /// What is different, by place.
    pub differences: Vec<Difference>,
    /// What of it waits for the next start, by place.
    pub waits_for_restart: Vec<String>,
}

/// An accepted configuration of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRow {
    /// Its name.
    pub id: String,
    /// When it was accepted, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Which version it is.
    pub revision: String,
    /// Its size, bytes.
    pub bytes: u64,
    /// False if the disk has changed it.
    pub intact: bool,
    /// True if it is the one in use.
    pub current: bool,
}

/// A configuration that can be compared with another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigVersion {
    /// The one in use.
    Current,
    /// That of a backup.
    Backup(String),
    /// This text.
    Text(String),
}
