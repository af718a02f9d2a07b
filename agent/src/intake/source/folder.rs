//! The folder itself: watched, read as a whole, and put right after a crash.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use waybill_ipc::protocol::SourceState;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text;

use super::put_away::copier;
use super::{CANDIDATES, FOLDER_PAUSE, UNWATCHED_PAUSE, Worker, fingerprint_of, still_kept};
use crate::intake::post_action;
use crate::intake::rescan;
use crate::intake::watch::{Change, Watch};
use crate::platform::FileStat;
use crate::queue::Fingerprint;

impl Worker {
    pub(super) fn read_folder(&mut self, now: Instant) {
        let hungry = self.more && self.candidates.len() < CANDIDATES / 4;
        if (now < self.scan_at && !hungry) || self.is_paused() {
            return;
        }
        match self.claim_and_scan(now) {
            Ok(()) => {
                // A folder that cannot be watched is read more often.
                let pause = if self.watch.is_some() { self.setup.rescan } else { self.setup.rescan.min(UNWATCHED_PAUSE) };
                self.scan_at = now + pause;
                self.state = (SourceState::Watching, None);
            }
            Err(error) => {
                self.watch = None;
                self.scan_at = now + FOLDER_PAUSE;
                self.state = (SourceState::Unavailable, Some(error));
            }
        }
    }

    fn claim_and_scan(&mut self, now: Instant) -> Result<(), ErrorReport> {
        if self.claim.is_none() {
            self.claim = Some(self.setup.claims.take(&self.setup.folder, &self.setup.context.name)?);
        }
        if self.watch.is_none() {
            // Watching first, reading second: what comes in between is seen twice, not never.
            self.watch = self.start_watch();
        }
        self.scan(now).map_err(|error| {
            let message = format!("the folder {} cannot be read: {error}", text::path(&self.setup.folder));
            ErrorReport::new(Code::FolderUnavailable, message)
        })
    }

    pub(super) fn start_watch(&self) -> Option<Watch> {
        let (changes, overflow) = (self.changes_in.clone(), Arc::clone(&self.overflow));
        let tell = move |change| {
            if matches!(change, Change::Overflow) || changes.try_send(change).is_err() {
                overflow.store(true, Ordering::Release);
            }
        };
        match Watch::new(&self.setup.folder, self.setup.recursive, tell) {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::debug!(event = "watch_failed", source = self.name(), %error, "the folder is read again and again instead");
                None
            }
        }
    }

    pub(super) fn scan(&mut self, now: Instant) -> std::io::Result<()> {
        let skip = [self.setup.done_folder.clone(), self.setup.error_folder.clone()];
        let limit = CANDIDATES.saturating_sub(self.candidates.len());
        let (patterns, candidates, kept) = (&self.setup.patterns, &self.candidates, &self.kept);
        let wanted = |path: &Path| patterns.take(path) && !candidates.contains_key(path) && !still_kept(kept, path);
        let found = rescan::read(&self.setup.folder, self.setup.recursive, &skip, limit.max(1), wanted)?;
        self.more = found.more;
        // Temporary files of an atomic write in this folder belong to whoever writes there.
        for claim in found.claims.into_iter().filter(|path| post_action::is_claim(path)) {
            self.repair_claim(&claim);
        }
        for path in found.paths {
            self.notice(path, now);
        }
        Ok(())
    }

    pub(super) fn remember_kept(&mut self) {
        match self.setup.reader.taken(&self.setup.context.name) {
            Ok(taken) => {
                for file in taken {
                    let stat = FileStat { file_id: file.file_id, size: file.size, modified_ns: file.modified_ns };
                    self.kept.entry(PathBuf::from(file.path)).or_insert(stat);
                }
            }
            Err(error) => tracing::warn!(event = "kept_unknown", %error, "kept files are compared with the queue one by one"),
        }
    }

    /// A file that a crash left under a claim name: finished if it is what was committed, else it gets its name back.
    pub(super) fn repair_claim(&mut self, claim: &Path) {
        let original = |name: Option<String>| claim.with_file_name(name.unwrap_or_else(|| "recovered".to_owned()));
        match fingerprint_of(claim, &self.setup.context.name) {
            Ok(fingerprint) => {
                match self.setup.reader.committed(&fingerprint.source, fingerprint.file_id, fingerprint.size, fingerprint.hash) {
                    Ok(Some((file, path))) => {
                        let fingerprint = Fingerprint { path: PathBuf::from(path), ..fingerprint };
                        let copy = copier(&self.setup, file, &fingerprint);
                        let copy = copy.as_ref().map(|copy| copy as post_action::Copy<'_>);
                        match post_action::finish(self.setup.after, claim, &fingerprint, &self.setup.done_folder, copy) {
                            Ok(place) => self.tell_done(file, place.as_deref()),
                            Err(error) => {
                                tracing::warn!(event = "claim_not_finished", claim = %claim.display(), %error, "tried again later")
                            }
                        }
                        return;
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(event = "claim_unknown", claim = %claim.display(), %error, "tried again later");
                        return;
                    }
                }
            }
            Err(error) => {
                tracing::warn!(event = "claim_unreadable", claim = %claim.display(), %error, "tried again later");
                return;
            }
        }
        match post_action::put_back(claim, &original(post_action::name_of_claim(claim))) {
            Ok(path) => self.notice(path, Instant::now()),
            Err(error) => tracing::warn!(event = "claim_not_put_back", claim = %claim.display(), %error, "tried again later"),
        }
    }
}
