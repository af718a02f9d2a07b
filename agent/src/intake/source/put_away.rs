//! Source files are put where they belong, once their reports are durable or it is clear that there are none.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::time::Instant;

use waybill_ipc::protocol::Event;
use waybill_shared::config::After;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::CorrelationId;
use waybill_shared::text;

use super::{SourceSetup, Worker, file_name, still_kept};
use crate::archive::ArchiveError;
use crate::intake::candidate::{Aside, Due, Phase};
use crate::intake::post_action::{self, PostActionError};
use crate::intake::sidecar;
use crate::platform::FileStat;
use crate::queue::{Command, Fingerprint, NewConversionError, QueueError};

/// Makes the archive's copy of a file that the queue knows by this key, if there is an archive.
pub(super) fn copier<'a>(
    setup: &'a SourceSetup,
    file: i64,
    fingerprint: &'a Fingerprint,
) -> Option<impl Fn(&Path) -> Result<(), ArchiveError> + 'a> {
    let archive = setup.archive.as_ref()?;
    Some(move |from: &Path| {
        // What the queue remembers, so that the copy has the same name after a crash.
        let (correlation_id, taken_at) = setup.reader.taken_as(file).map_err(std::io::Error::other)?;
        let place = archive.keep(from, fingerprint, &setup.context.converter, correlation_id, taken_at)?;
        tracing::debug!(event = "file_archived", %correlation_id, place = text::path(&place), "a copy is in the archive");
        Ok(())
    })
}

impl Worker {
    pub(super) fn do_post_action(&mut self, path: &Path) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        let Phase::PostAction(taken) = &candidate.phase else { return };
        let (file, correlation_id, fingerprint) = (taken.file, candidate.correlation_id, taken.fingerprint.clone());
        let result = if taken.broken_units.is_none() {
            let copy = copier(&self.setup, file, &fingerprint);
            let copy = copy.as_ref().map(|copy| copy as post_action::Copy<'_>);
            post_action::run(self.setup.after, &fingerprint, &self.setup.done_folder, copy)
        } else {
            post_action::run(After::Move, &fingerprint, &self.setup.error_folder, None)
        };
        match result {
            Ok(place) => {
                tracing::debug!(event = "file_done", %correlation_id, place = place.as_deref().map(text::path), "the source file is where it belongs");
                if let Some(error) = taken.broken_units.clone() {
                    let moved = place.clone().unwrap_or_else(|| path.to_owned());
                    self.note_broken(path, moved, place.clone(), error, correlation_id);
                }
                self.remember(&fingerprint);
                self.tell_done(file, place.as_deref());
                self.candidates.remove(path);
                if self.setup.after == After::Keep && path.exists() && !still_kept(&self.kept, path) {
                    // It changed while it was being taken; the event came too early.
                    self.notice(path.to_owned(), Instant::now());
                }
            }
            Err(PostActionError::Gone) => {
                tracing::warn!(event = "file_taken_away", %correlation_id, file = file_name(path), "its reports are queued; somebody else moved it");
                self.tell_done(file, None);
                self.candidates.remove(path);
            }
            Err(PostActionError::Changed) => {
                tracing::info!(event = "file_replaced", %correlation_id, file = file_name(path), "it changed after it was read and is taken again");
                self.tell_done(file, None);
                self.candidates.remove(path);
                self.notice(path.to_owned(), Instant::now());
            }
            Err(error @ PostActionError::Io { .. }) => {
                let message = format!("{} is queued and cannot be put away: {error}", text::path(path));
                let at = Instant::now() + candidate.next_pause();
                self.due.push(Due(Reverse(at), path.to_owned()));
                self.trouble(ErrorReport::new(Code::PostActionFailed, message));
            }
        }
    }

    /// A file that stays is known by what was read of it, not by what it may have become since.
    pub(super) fn remember(&mut self, fingerprint: &Fingerprint) {
        if self.setup.after == After::Keep {
            let Fingerprint { file_id, size, modified_ns, .. } = *fingerprint;
            self.kept.insert(fingerprint.path.clone(), FileStat { file_id, size, modified_ns });
        }
    }

    /// A file that was counted as seen needs nothing more.
    pub(super) fn forget(&mut self, path: &Path) {
        if let Some(candidate) = self.candidates.remove(path)
            && candidate.announced
        {
            (self.setup.publish)(Event::FileForgotten {
                source: self.name(),
                file: file_name(path),
                correlation_id: candidate.correlation_id.to_string(),
            });
        }
    }

    pub(super) fn tell_done(&self, file: i64, place: Option<&Path>) {
        let place = place.map(|place| place.to_string_lossy().into_owned());
        // If the queue is closed, the next start sees the file gone and has nothing to do.
        let _checked_at_start = self.setup.writer.send_blocking(Command::FileDone { file, place });
    }

    pub(super) fn set_aside(&mut self, path: &Path, error: ErrorReport, fingerprint: Option<Fingerprint>, move_it: bool) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        let error = error.with_correlation(candidate.correlation_id);
        if !candidate.announced {
            candidate.announced = true;
            (self.setup.publish)(Event::FileSeen {
                source: self.setup.context.name.clone(),
                file: file_name(path),
                correlation_id: candidate.correlation_id.to_string(),
            });
        }
        candidate.phase = Phase::Aside(Box::new(Aside { error, fingerprint, move_it }));
        self.do_set_aside(path);
    }

    pub(super) fn do_set_aside(&mut self, path: &Path) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        let Phase::Aside(aside) = &candidate.phase else { return };
        let folder = &self.setup.error_folder;
        let moved = match (&aside.fingerprint, aside.move_it) {
            // Only what was read goes: a file that was mended meanwhile is taken as a new one.
            (Some(fingerprint), true) => post_action::run(After::Move, fingerprint, folder, None),
            (None, true) => post_action::move_into(path, folder, path).map(Some),
            (_, false) => Ok(None),
        };
        let error = aside.error.clone();
        let correlation_id = candidate.correlation_id;
        let place = match moved {
            Ok(place) => place,
            Err(PostActionError::Changed) => {
                candidate.phase = Phase::Settling;
                candidate.seen = None;
                candidate.changed = Instant::now();
                return self.look(path, Instant::now());
            }
            // The other source was faster, and has told of it.
            Err(PostActionError::Gone) if error.code == Code::SourcesOverlap => {
                self.forget(path);
                return;
            }
            Err(PostActionError::Gone) => None,
            Err(failure @ PostActionError::Io { .. }) => return self.aside_failed(path, &error, &failure.to_string()),
        };
        let beside = match &place {
            Some(place) => Ok(place.clone()),
            None => post_action::dated(folder).map(|folder| folder.join(path.file_name().unwrap_or_default())),
        };
        match beside {
            Ok(beside) => {
                self.note_broken(path, beside, place, error, correlation_id);
                self.candidates.remove(path);
            }
            Err(failure) => self.aside_failed(path, &error, &failure.to_string()),
        }
    }

    pub(super) fn aside_failed(&mut self, path: &Path, error: &ErrorReport, why: &str) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        let at = Instant::now() + candidate.next_pause();
        self.due.push(Due(Reverse(at), path.to_owned()));
        let message = format!("{}; and it cannot be set aside: {why}", error.message);
        self.trouble(ErrorReport::new(error.code, message));
    }

    /// The sidecar, the log and the list of conversion errors.
    pub(super) fn note_broken(
        &mut self,
        path: &Path,
        beside: PathBuf,
        moved_to: Option<PathBuf>,
        error: ErrorReport,
        correlation_id: CorrelationId,
    ) {
        let source = self.setup.context.name.clone();
        if let Err(failure) = sidecar::write(&beside, path, &source, &error) {
            let message = format!("the note beside {} cannot be written: {failure}", text::path(&beside));
            self.trouble(ErrorReport::new(Code::PostActionFailed, message));
        }
        tracing::warn!(event = "file_broken", %correlation_id, source, file = file_name(path), code = %error.code, reason = error.message,
            moved_to = moved_to.as_deref().map(text::path), "it could not be converted");
        let error = Box::new(NewConversionError { source, path: path.to_owned(), moved_to, correlation_id, error });
        let ack = Box::new(|result: Result<(), QueueError>| {
            if let Err(error) = result {
                tracing::error!(event = "conversion_error_not_kept", %error, "the sidecar beside the file says what is wrong with it");
            }
        });
        // A closed queue tells the acknowledgement as well.
        let _told_by_ack = self.setup.writer.send_blocking(Command::ConversionError { error, ack });
    }
}
