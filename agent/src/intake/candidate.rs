//! A file that a source knows of and is not done with.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use waybill_shared::error::ErrorReport;
use waybill_shared::id::CorrelationId;

use super::settle::Seen;
use crate::queue::Fingerprint;

/// First pause before something that failed is tried again; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A file and how far it is.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Its life.
    pub(super) correlation_id: CorrelationId,
    /// Whether it was counted as seen.
    pub(super) announced: bool,
    /// What was last seen under its name.
    pub(super) seen: Option<Seen>,
    /// When it last changed, as far as it was noticed.
    pub(super) changed: Instant,
    /// Since when it is known to be incomplete.
    pub(super) incomplete_since: Option<Instant>,
    /// How far it is.
    pub(super) phase: Phase,
    /// Pause before the next try.
    pub(super) pause: Duration,
}

/// How far a file is.
#[derive(Debug)]
pub(super) enum Phase {
    /// It may still be written; looked at again at its time or when it changes.
    Settling,
    /// It is finished and waits for a converter. `true`: for the last time.
    Ready(bool),
    /// It is being converted, or its commit is awaited.
    Working,
    /// It was read and is not complete.
    Incomplete,
    /// Something that passes was in the way.
    Again,
    /// Its reports are durable, its post-action failed and is tried again.
    PostAction(Box<Taken>),
    /// It cannot be converted, and could not be set aside; tried again.
    Aside(Box<Aside>),
    /// It was named by an event and is not there: renamed, or deleted.
    Missing,
}

/// A file whose reports are durable.
#[derive(Debug)]
pub(super) struct Taken {
    /// Key of the file in the queue.
    pub(super) file: i64,
    /// The file as it was read.
    pub(super) fingerprint: Fingerprint,
    /// Units of it that could not be converted.
    pub(super) broken_units: Option<ErrorReport>,
}

/// A file that cannot be converted.
#[derive(Debug)]
pub(super) struct Aside {
    /// Why.
    pub(super) error: ErrorReport,
    /// The file as it was read, if it was.
    pub(super) fingerprint: Option<Fingerprint>,
    /// Whether the file itself goes to the error folder.
    pub(super) move_it: bool,
}

impl Candidate {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            correlation_id: CorrelationId::new(),
            announced: false,
            seen: None,
            changed: now,
            incomplete_since: None,
            phase: Phase::Settling,
            pause: FIRST_PAUSE,
        }
    }

    /// The next pause, longer each time.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

/// A candidate's appointment. The heap may hold outdated ones; they are looked at in vain and do no harm.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due(pub(super) std::cmp::Reverse<Instant>, pub(super) PathBuf);
