//! An entry on its way into the history.

use jiff::Timestamp;
use waybill_ipc::protocol::{HistoryOutcome, Via};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::secret::redacted;

/// Longest value before or after, bytes.
pub const VALUE_BYTES: usize = 64 * 1024;
/// Longest message, bytes.
const MESSAGE_BYTES: usize = 16 * 1024;
/// Longest name of who, what, to what, bytes.
const NAME_BYTES: usize = 4096;

/// An entry to be written. No value of a secret belongs in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    pub(super) at: Timestamp,
    pub(super) who: String,
    pub(super) via: Via,
    pub(super) action: String,
    pub(super) target: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    pub(super) outcome: HistoryOutcome,
    pub(super) message: Option<String>,
    pub(super) code: Option<Code>,
    pub(super) correlation_id: Option<String>,
}

impl NewEntry {
    /// Something that was done just now. `action` is words from the general to the special, with dots between them (`config.set`).
    #[must_use]
    pub fn new(who: impl AsRef<str>, via: Via, action: impl AsRef<str>, target: impl AsRef<str>) -> Self {
        Self {
            at: Timestamp::now(),
            who: limited(who.as_ref(), NAME_BYTES),
            via,
            action: limited(action.as_ref(), NAME_BYTES),
            target: limited(target.as_ref(), NAME_BYTES),
            before: None,
            after: None,
            outcome: HistoryOutcome::Done,
            message: None,
            code: None,
            correlation_id: None,
        }
    }

    /// With the value before; at most [`VALUE_BYTES`] of it are kept.
    #[must_use]
    pub fn before(mut self, value: impl AsRef<str>) -> Self {
        self.before = Some(limited(&redacted(value.as_ref(), &[]), VALUE_BYTES));
        self
    }

    /// With the value after, or the one that was wanted; at most [`VALUE_BYTES`] of it are kept.
    #[must_use]
    pub fn after(mut self, value: impl AsRef<str>) -> Self {
        self.after = Some(limited(&redacted(value.as_ref(), &[]), VALUE_BYTES));
        self
    }

    /// It was not allowed, and nothing changed.
    #[must_use]
    pub fn refused(self, error: &ErrorReport) -> Self {
        self.because(HistoryOutcome::Refused, error)
    }

    /// It was tried and went wrong.
    #[must_use]
    pub fn failed(self, error: &ErrorReport) -> Self {
        self.because(HistoryOutcome::Failed, error)
    }

    /// True if it tells that something was not allowed.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.outcome == HistoryOutcome::Refused
    }

    /// With words about it: why it was forced, what it came to.
    #[must_use]
    pub fn message(mut self, words: impl AsRef<str>) -> Self {
        self.message = Some(limited(&redacted(words.as_ref(), &[]), MESSAGE_BYTES));
        self
    }

    /// Belonging to this.
    #[must_use]
    pub fn correlation(mut self, id: impl ToString) -> Self {
        self.correlation_id = Some(limited(&id.to_string(), NAME_BYTES));
        self
    }

    fn because(mut self, outcome: HistoryOutcome, error: &ErrorReport) -> Self {
        let mut words = error.message.clone();
        for fault in &error.details {
            words.push_str(&format!("; {}: {}", fault.path, fault.message));
        }
        self.outcome = outcome;
        self.code = Some(error.code);
        self.correlation_id = self.correlation_id.or_else(|| error.correlation_id.map(|id| id.to_string()));
        self.message(words)
    }
}

/// The entry that tells of entries that are not there.
pub(super) fn gap(missed: u64) -> NewEntry {
    let mut entry = NewEntry::new("waybill-agent", Via::Agent, "history.gap", "history")
        .message(format!("{missed} entries before this one could not be recorded"));
    entry.outcome = HistoryOutcome::Failed;
    entry
}

/// `text`, or as much of it as fits into `max` bytes with a mark that tells how much was cut.
pub(super) fn limited(text: &str, max: usize) -> String {
    /// Room for the mark.
    const MARK: usize = 40;
    if text.len() <= max {
        return text.to_owned();
    }
    let kept = &text[..text.floor_char_boundary(max - MARK)];
    format!("{kept}… [{} bytes cut]", text.len() - kept.len())
}
