//! What is known of each file, and when it is finished.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::time::Instant;

use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text;

use super::{CANDIDATES, MISSING_PAUSE, NEW_FOLDER_PAUSE, Worker, still_kept};
use crate::intake::candidate::{Candidate, Due, Phase};
use crate::intake::settle::{self, Seen, Verdict};
use crate::intake::watch::Change;

impl Worker {
    pub(super) fn changed(&mut self, change: Change) {
        let now = Instant::now();
        match change {
            Change::RenamedAway(path) | Change::Deleted(path) if path == self.setup.folder => {
                // The watch holds on to a folder that is not there any more, or has another name.
                self.watch = None;
                self.scan_at = now;
            }
            Change::Touched(path) if self.setup.recursive && path.is_dir() => {
                // What was put into a new folder before it was watched is found by reading.
                self.scan_at = self.scan_at.min(now + NEW_FOLDER_PAUSE);
            }
            Change::Touched(path) => {
                if self.is_mine(&path) && !still_kept(&self.kept, &path) {
                    self.notice(path, now);
                }
            }
            Change::RenamedAway(path) => {
                if self.candidates.get(&path).is_some_and(|c| !c.announced) {
                    self.candidates.remove(&path);
                }
                self.told_of.remove(&path);
            }
            Change::Deleted(path) => {
                self.told_of.remove(&path);
                if let Some(candidate) = self.candidates.get_mut(&path)
                    && matches!(candidate.phase, Phase::Settling | Phase::Missing | Phase::Incomplete | Phase::Again)
                {
                    candidate.phase = Phase::Missing;
                    candidate.changed = now.checked_sub(MISSING_PAUSE).unwrap_or(now);
                    self.due.push(Due(Reverse(now), path));
                }
            }
            Change::Overflow => self.scan_at = now,
        }
    }

    pub(super) fn is_mine(&self, path: &Path) -> bool {
        let inside = |folder: &Path| path.starts_with(folder);
        self.setup.patterns.take(path)
            && (self.setup.recursive || path.parent() == Some(&*self.setup.folder))
            && !inside(&self.setup.done_folder)
            && !inside(&self.setup.error_folder)
    }

    /// A file is there, or changed.
    pub(super) fn notice(&mut self, path: PathBuf, now: Instant) {
        if !self.candidates.contains_key(&path) && self.candidates.len() >= CANDIDATES {
            self.more = true;
            return;
        }
        let candidate = self.candidates.entry(path.clone()).or_insert_with(|| Candidate::new(now));
        match candidate.phase {
            // Read again after it was read: the post-action, or the reader itself, notices that it changed.
            Phase::Working | Phase::Ready(_) | Phase::PostAction(_) | Phase::Aside(_) => {}
            Phase::Settling | Phase::Incomplete | Phase::Again | Phase::Missing => self.look(&path, now),
        }
    }

    pub(super) fn look_at_due(&mut self, now: Instant) {
        while let Some(Due(at, _)) = self.due.peek() {
            if at.0 > now {
                break;
            }
            let Some(Due(_, path)) = self.due.pop() else { break };
            match self.candidates.get(&path).map(|candidate| &candidate.phase) {
                None | Some(Phase::Working | Phase::Ready(_)) => {}
                Some(Phase::PostAction(_)) => self.do_post_action(&path),
                Some(Phase::Aside(_)) => self.do_set_aside(&path),
                Some(Phase::Settling | Phase::Incomplete | Phase::Again | Phase::Missing) => self.look(&path, now),
            }
        }
    }

    /// Looks at a file that is not under way.
    pub(super) fn look(&mut self, path: &Path, now: Instant) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        let seen = match settle::look(path) {
            Ok(Seen::Other(what)) => return self.not_a_file(path, what),
            Ok(seen) => seen,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return self.missing(path, now),
            Err(error) => {
                let message = format!("{} cannot be read: {error}", text::path(path));
                return self.again(path, ErrorReport::new(Code::FileUnreadable, message));
            }
        };
        let fresh = candidate.seen != Some(seen);
        if fresh {
            if candidate.seen.is_some() {
                candidate.changed = now;
            }
            candidate.seen = Some(seen);
            candidate.incomplete_since = None;
        }
        if matches!(candidate.phase, Phase::Incomplete) && !fresh {
            let since = *candidate.incomplete_since.get_or_insert(now);
            let until = since + self.setup.incomplete_timeout;
            if now >= until {
                candidate.phase = Phase::Ready(true);
                self.ready.push_back(path.to_owned());
            } else {
                self.due.push(Due(Reverse(until), path.to_owned()));
            }
            return;
        }
        match self.setup.rules_of(path).judge(path, candidate.changed, now) {
            Verdict::Finished => {
                candidate.phase = Phase::Ready(false);
                self.ready.push_back(path.to_owned());
            }
            Verdict::LookAgain(at) => {
                candidate.phase = Phase::Settling;
                self.due.push(Due(Reverse(at), path.to_owned()));
            }
        }
    }

    /// Named by an event or found before, and not there: forgotten if it was renamed, an error if it was deleted.
    pub(super) fn missing(&mut self, path: &Path, now: Instant) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        if !matches!(candidate.phase, Phase::Missing) {
            candidate.phase = Phase::Missing;
            candidate.changed = now;
        }
        let until = candidate.changed + MISSING_PAUSE;
        if now < until {
            self.due.push(Due(Reverse(until), path.to_owned()));
            return;
        }
        self.vanished(path);
    }

    pub(super) fn vanished(&mut self, path: &Path) {
        let message = format!("{} was deleted before it could be read", text::path(path));
        self.set_aside(path, ErrorReport::new(Code::FileVanished, message), None, false);
    }

    pub(super) fn not_a_file(&mut self, path: &Path, what: &'static str) {
        let expected = self.setup.patterns.expect_file(path) || what != "a folder";
        if !expected || self.told_of.insert(path.to_owned(), what) == Some(what) || self.told_before.remove(path) {
            self.candidates.remove(path);
            return;
        }
        let message = format!("{} is {what}, not a file", text::path(path));
        self.set_aside(path, ErrorReport::new(Code::NotAFile, message), None, false);
    }

    pub(super) fn again(&mut self, path: &Path, error: ErrorReport) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        candidate.phase = Phase::Again;
        let at = Instant::now() + candidate.next_pause();
        self.due.push(Due(Reverse(at), path.to_owned()));
        self.trouble(error);
    }

    pub(super) fn trouble(&mut self, error: ErrorReport) {
        if self.file_trouble.as_ref().map(|known| (&known.code, &known.message)) != Some((&error.code, &error.message)) {
            tracing::warn!(event = "source_trouble", source = self.setup.context.name, code = %error.code, reason = error.message, "tried again by itself");
        }
        self.file_trouble = Some(error);
    }
}
