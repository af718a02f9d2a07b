//! Finished files go to the converters, and what came of them comes back.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use waybill_ipc::protocol::Event;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::CorrelationId;
use waybill_shared::text;

use super::{Worker, file_name};
use crate::convert::pool::{Conversion, Job, Teller};
use crate::intake::candidate::{Due, Phase, Taken};
use crate::queue::{Committed, Fingerprint, QueueError};

impl Worker {
    pub(super) fn give_to_pool(&mut self) {
        if self.is_turned_away() {
            // They wait in their folder, which everybody should see.
            let ready = std::mem::take(&mut self.ready);
            ready.iter().for_each(|path| self.announce(path));
            self.ready = ready;
        }
        while self.working < self.setup.parallel && !self.is_turned_away() {
            let Some(path) = self.ready.pop_front() else { break };
            let Some(candidate) = self.candidates.get(&path) else { continue };
            let Phase::Ready(last_try) = candidate.phase else { continue };
            let correlation_id = candidate.correlation_id;
            self.announce(&path);
            if let Some(other) = self.also_taken_by(&path) {
                let message = format!(
                    "{} is matched by two sources, {:?} and {other:?}; neither takes it",
                    text::path(&path),
                    self.setup.context.name
                );
                self.set_aside(&path, ErrorReport::new(Code::SourcesOverlap, message), None, true);
                continue;
            }
            if let Err(path) = self.send_job(path, correlation_id, last_try) {
                self.ready.push_front(path);
                break;
            }
        }
    }

    /// Tells of a finished file, once.
    fn announce(&mut self, path: &Path) {
        let Some(candidate) = self.candidates.get_mut(path).filter(|candidate| !candidate.announced) else { return };
        candidate.announced = true;
        let (source, file, correlation_id) = (self.setup.context.name.clone(), file_name(path), candidate.correlation_id);
        tracing::info!(event = "file_seen", %correlation_id, source, file, "a finished file was found");
        (self.setup.publish)(Event::FileSeen { source, file, correlation_id: correlation_id.to_string() });
    }

    pub(super) fn send_job(&mut self, path: PathBuf, correlation_id: CorrelationId, last_try: bool) -> Result<(), PathBuf> {
        let (done, for_tell) = (self.done_in.clone(), path.clone());
        let job = Job {
            path: path.clone(),
            archived: false,
            correlation_id,
            source: Arc::clone(&self.setup.context),
            last_try,
            tell: Teller::new(move |conversion| {
                // There is room for every file under way; a source that has ended needs no answer.
                let _ended = done.try_send((for_tell, conversion));
            }),
        };
        match self.setup.pool.try_send(job) {
            Ok(()) => {
                if let Some(candidate) = self.candidates.get_mut(&path) {
                    candidate.phase = Phase::Working;
                }
                self.working += 1;
                Ok(())
            }
            Err(job) => Err(job.take_back()),
        }
    }

    pub(super) fn also_taken_by(&self, path: &Path) -> Option<String> {
        let own = &self.setup.context.name;
        self.setup.neighbours.load().iter().find(|other| other.name != *own && other.takes(path)).map(|other| other.name.clone())
    }

    pub(super) fn converted(&mut self, path: &Path, conversion: Conversion) {
        self.working -= 1;
        let now = Instant::now();
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        match conversion {
            Conversion::Stored { committed, fingerprint, broken_units } => {
                self.stored(path, committed, fingerprint, broken_units)
            }
            Conversion::Broken { error, fingerprint } => self.set_aside(path, error, fingerprint, true),
            Conversion::Incomplete { error } => {
                tracing::debug!(event = "file_incomplete", correlation_id = %candidate.correlation_id, reason = error.message, "waiting for the rest");
                candidate.phase = Phase::Incomplete;
                let since = *candidate.incomplete_since.get_or_insert(now);
                self.due.push(Due(Reverse(since + self.setup.incomplete_timeout), path.to_owned()));
                // It may have grown since it was read.
                self.look(path, now);
            }
            Conversion::Changed => {
                candidate.phase = Phase::Settling;
                candidate.changed = now;
                candidate.seen = None;
                self.look(path, now);
            }
            Conversion::Vanished => self.vanished(path),
            Conversion::Unreadable { error } => self.again(path, error),
            Conversion::NotQueued { error: QueueError::Full { .. } } => {
                candidate.phase = Phase::Ready(false);
                self.ready.push_back(path.to_owned());
            }
            Conversion::NotQueued { error } => self.again(path, error.report()),
            Conversion::Stopped => {
                candidate.phase = Phase::Ready(false);
                self.ready.push_back(path.to_owned());
            }
        }
    }

    pub(super) fn stored(
        &mut self,
        path: &Path,
        committed: Committed,
        fingerprint: Fingerprint,
        broken_units: Option<ErrorReport>,
    ) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        let file = match committed {
            Committed::Queued { file, reports } => {
                tracing::info!(event = "file_queued", correlation_id = %candidate.correlation_id, source = self.setup.context.name,
                    file = file_name(path), reports, "its reports are durable");
                file
            }
            Committed::AlreadyTaken { file } => {
                tracing::info!(event = "file_known", correlation_id = %candidate.correlation_id, source = self.setup.context.name,
                    file = file_name(path), "it was taken before");
                // A file with broken units is told of when it is set aside.
                if broken_units.is_none() {
                    (self.setup.publish)(Event::FileForgotten {
                        source: self.setup.context.name.clone(),
                        file: file_name(path),
                        correlation_id: candidate.correlation_id.to_string(),
                    });
                }
                file
            }
        };
        self.file_trouble = None;
        candidate.phase = Phase::PostAction(Box::new(Taken { file, fingerprint, broken_units }));
        self.do_post_action(path);
    }
}
