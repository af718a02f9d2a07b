//! A file beside the store that says that there is one, whether it was closed, and how far it was then: a store that is gone, has lost its
//! log, or was replaced by an older copy of itself looks whole to itself.

use std::path::{Path, PathBuf};

use waybill_shared::fs::atomic::{self, Access};

use super::Places;

/// The queue is in use.
const OPEN: &str = "open";
/// The queue was closed, all of it is in its one file. Behind it stands the number of the last report, if that is known.
const CLOSED: &str = "closed";
/// Damage was noticed while the queue was used; why stands behind it.
const DAMAGED: &str = "damaged: ";

/// The file.
#[derive(Debug, Clone)]
pub(super) struct Mark(PathBuf);

/// What it said when the queue was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Was {
    /// There is none: there was no queue.
    Nothing,
    /// The agent of before did not close it.
    Open,
    /// It was closed, and had come so far.
    Closed(Option<i64>),
    /// It is damaged.
    Damaged(String),
}

impl Mark {
    pub(super) fn of(places: &Places) -> Self {
        Self(places.database.with_extension("mark"))
    }

    pub(super) fn read(&self) -> Was {
        let Some(word) = self.word() else { return Was::Nothing };
        match word.strip_prefix(DAMAGED) {
            Some(reason) => Was::Damaged(reason.to_owned()),
            None if word == OPEN => Was::Open,
            None => Was::Closed(word.strip_prefix(CLOSED).and_then(|last| last.trim().parse().ok())),
        }
    }

    fn word(&self) -> Option<String> {
        std::fs::read_to_string(&self.0).ok().map(|text| text.trim().to_owned())
    }

    /// The queue is in use from now on.
    pub(super) fn open(&self) -> std::io::Result<()> {
        self.set(OPEN)
    }

    /// All of the queue is in its one file, which is a new one.
    pub(super) fn whole(&self) -> std::io::Result<()> {
        self.set(CLOSED)
    }

    /// Its bytes are damaged: the next opening saves what can be read.
    pub(super) fn damaged(&self, reason: &str) {
        if let Err(error) = self.set(&format!("{DAMAGED}{reason}")) {
            tracing::error!(event = "mark_not_written", path = %self.0.display(), %error, "the damage is looked for again at the next start");
        }
    }

    /// The queue is closed; the number of its last report.
    pub(super) fn close(&self, last: Option<i64>) {
        if matches!(self.read(), Was::Damaged(_)) {
            return;
        }
        let word = last.map_or_else(|| CLOSED.to_owned(), |last| format!("{CLOSED} {last}"));
        if let Err(error) = self.set(&word) {
            tracing::warn!(event = "mark_not_written", path = %self.0.display(), %error, "the next start looks at the whole queue");
        }
    }

    fn set(&self, word: &str) -> std::io::Result<()> {
        // On a full disk what is there already cannot be written again.
        if self.word().as_deref() == Some(word) {
            return Ok(());
        }
        atomic::replace_by(&self.0, word.as_bytes(), Access::Private, "queue.mark")
    }
}

/// What is missing of a store that was there.
pub(super) fn missing(places: &Places, was: &Was) -> Option<&'static str> {
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let (store, log) = (bytes(&places.database), bytes(&places.log()));
    match (store, log, was) {
        (0, 1.., _) => Some("the file of the queue is empty or gone, its log is there"),
        (0, 0, Was::Nothing) => None,
        (0, 0, _) => Some("the file of the queue is empty or gone"),
        (_, 0, Was::Open) => Some("the log of the queue is gone: what was stored last may be missing"),
        _ => None,
    }
}
