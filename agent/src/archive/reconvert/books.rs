//! What comes of files that are sent again is written down, whether somebody still waits for it or not.
//!
//! Results come from the converters and from the queue's writer, which must not wait for anything: they only drop them here. One thread does
//! the rest. It ends when nobody can send anything any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use waybill_ipc::protocol::{Event, ReconvertOutcome, ReconvertedReport};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::CorrelationId;
use waybill_shared::text;

use crate::archive::file::Label;
use crate::convert::pool::{Conversion, Teller};
use crate::queue::{Command, Committed, NewConversionError, QueueError, Writer};
use crate::supervisor;

/// Results that wait: one file is under way at a time, and those that took too long for an answer.
const WAITING: usize = 256;

/// What came of a file.
pub(super) struct Came {
    pub(super) outcome: ReconvertOutcome,
    pub(super) reports: u32,
    pub(super) first: Vec<ReconvertedReport>,
    pub(super) error: Option<ErrorReport>,
}

/// The answer for whoever waits; an error says why nothing more is sent.
type Answer = Result<Came, ErrorReport>;

/// A file that is under way.
pub(super) struct Ticket {
    source: String,
    path: PathBuf,
    copy: PathBuf,
    correlation_id: CorrelationId,
    answer: Sender<Answer>,
}

impl Ticket {
    pub(super) fn new(label: &Label, source: &str, copy: &Path) -> (Self, Receiver<Answer>) {
        let (answer, told) = bounded(1);
        let ticket = Self {
            source: source.to_owned(),
            path: PathBuf::from(&label.path),
            copy: copy.to_owned(),
            correlation_id: label.correlation_id,
            answer,
        };
        (ticket, told)
    }

    /// What is told when it begins, and when nothing comes of it.
    pub(super) fn seen_and_forgotten(&self) -> (Event, Event) {
        let (source, file, correlation_id) = (self.source.clone(), self.file_name(), self.correlation_id.to_string());
        (
            Event::FileSeen { source: source.clone(), file: file.clone(), correlation_id: correlation_id.clone() },
            Event::FileForgotten { source, file, correlation_id },
        )
    }

    fn file_name(&self) -> String {
        text::printable(&self.path.file_name().unwrap_or_default().to_string_lossy(), 255)
    }
}

pub(super) struct Books {
    results: Sender<(Ticket, Conversion)>,
    _thread: JoinHandle<()>,
}

impl Books {
    pub(super) fn open(writer: Writer, publish: Arc<dyn Fn(Event) + Send + Sync>) -> Result<Self, ErrorReport> {
        let (results, told) = bounded(WAITING);
        let run = move || {
            for (ticket, conversion) in told {
                let came = write_down(&ticket, conversion, &writer, &publish);
                // It may have taken too long for whoever asked.
                let _asker_left = ticket.answer.send(came);
            }
        };
        let thread = supervisor::spawn("reconvert-books", run)
            .map_err(|error| ErrorReport::new(Code::Internal, format!("no thread for archived files: {error}")))?;
        Ok(Self { results, _thread: thread })
    }

    /// Who is told what came of a file; never waits.
    pub(super) fn teller(&self, ticket: Ticket) -> Teller {
        let results = self.results.clone();
        Teller::new(move |conversion| {
            if let Err(lost) = results.try_send((ticket, conversion)) {
                let (ticket, conversion) = lost.into_inner();
                tracing::error!(event = "reconvert_not_told", correlation_id = %ticket.correlation_id, file = ticket.file_name(),
                    came = text::shortened(&format!("{conversion:?}"), 500), "what came of an archived file is written down only here");
            }
        })
    }
}

fn write_down(ticket: &Ticket, conversion: Conversion, writer: &Writer, publish: &Arc<dyn Fn(Event) + Send + Sync>) -> Answer {
    let Ticket { source, correlation_id, .. } = ticket;
    let not_sent =
        |error: ErrorReport| Came { outcome: ReconvertOutcome::NotSent, reports: 0, first: Vec::new(), error: Some(error) };
    let removed = || ErrorReport::new(Code::NotFound, format!("the copy {} was removed meanwhile", text::path(&ticket.copy)));
    let answer = match conversion {
        Conversion::Stored { committed, broken_units, .. } => {
            let reports = match committed {
                Committed::Queued { reports, .. } => reports,
                Committed::AlreadyTaken { .. } => 0,
            };
            tracing::info!(event = "file_reconverted", %correlation_id, source, file = ticket.file_name(), reports, "an archived file is sent again");
            if let Some(error) = &broken_units {
                note_broken(ticket, error.clone(), writer);
            }
            return Ok(Came { outcome: ReconvertOutcome::Queued, reports, first: Vec::new(), error: broken_units });
        }
        Conversion::Broken { error, .. } | Conversion::Incomplete { error } => {
            note_broken(ticket, error.clone(), writer);
            return Ok(not_sent(error));
        }
        Conversion::Unreadable { error } => {
            tracing::warn!(event = "archive_unreadable", %correlation_id, source, code = %error.code, reason = error.message, "an archived file is not sent");
            Ok(not_sent(error))
        }
        Conversion::Vanished | Conversion::Changed => Ok(not_sent(removed())),
        Conversion::NotQueued { error: QueueError::Full { .. } } => Err(super::full()),
        Conversion::NotQueued { error } => Err(error.report()),
        Conversion::Stopped => Err(super::stopping()),
    };
    // It is neither queued nor in error: its copy is where it was.
    publish(ticket.seen_and_forgotten().1);
    answer
}

/// The log and the list of conversion errors.
fn note_broken(ticket: &Ticket, error: ErrorReport, writer: &Writer) {
    let Ticket { source, path, copy, correlation_id, .. } = ticket;
    tracing::warn!(event = "file_broken", %correlation_id, source, file = ticket.file_name(), code = %error.code, reason = error.message,
        archived = text::path(copy), "an archived file could not be converted");
    let error = Box::new(NewConversionError {
        source: source.clone(),
        path: path.clone(),
        moved_to: Some(copy.clone()),
        correlation_id: *correlation_id,
        error: error.with_correlation(*correlation_id),
    });
    let ack = Box::new(|result: Result<(), QueueError>| {
        if let Err(error) = result {
            tracing::error!(event = "conversion_error_not_kept", %error, "the log says what is wrong with the file");
        }
    });
    // A closed queue tells the acknowledgement as well.
    let _told_by_ack = writer.send_blocking(Command::ConversionError { error, ack });
}
