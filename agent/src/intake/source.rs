//! The thread of one source: the only one that touches the source's files.

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use waybill_ipc::protocol::{Event, SourceState};
use waybill_shared::config::{After, WhenFull};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::CorrelationId;
use waybill_shared::text;

use super::candidate::{Aside, Candidate, Due, Phase, Taken};
use super::post_action::{self, PostActionError};
use super::rescan::{self, Patterns};
use super::settle::{self, Rules, Seen, Verdict};
use super::sidecar;
use super::watch::{Change, Watch};
use crate::convert::pool::{Conversion, Job, PoolHandle, SourceContext};
use crate::queue::{Command, Committed, Fingerprint, Gate, NewConversionError, QueueError, Reader, Writer};

/// Most files of a source that are held in memory.
pub const CANDIDATES: usize = 2048;
/// Files of a source that are with the converters and the queue at the same time.
const WORKING: usize = 128;
/// Change events that wait.
const CHANGES: usize = 8192;
/// Pause before a folder that cannot be used is tried again.
const FOLDER_PAUSE: Duration = Duration::from_secs(1);
/// Pause before a full pool, or a full queue, is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How long a file that an event named may be missing before it counts as deleted: a renaming comes as two events.
const MISSING_PAUSE: Duration = Duration::from_millis(500);

/// Everything a source needs.
pub struct SourceSetup {
    /// What the converters need to know of it.
    pub context: Arc<SourceContext>,
    /// Its folder.
    pub folder: PathBuf,
    /// Which names it takes.
    pub patterns: Patterns,
    /// Whether folders inside are read as well.
    pub recursive: bool,
    /// What happens to taken files.
    pub after: After,
    /// Where they go.
    pub done_folder: PathBuf,
    /// Where broken ones go.
    pub error_folder: PathBuf,
    /// When a file is finished.
    pub rules: Rules,
    /// How long a file may be incomplete.
    pub incomplete_timeout: Duration,
    /// How often the folder is read as a whole.
    pub rescan: Duration,
    /// What happens when the queue is full.
    pub when_full: WhenFull,
    /// Folders and patterns of the other sources, by name.
    pub others: Vec<(String, PathBuf, bool, Patterns)>,
    /// The converters.
    pub pool: PoolHandle,
    /// To write to the queue.
    pub writer: Writer,
    /// To read the queue.
    pub reader: Reader,
    /// Whether the queue takes more.
    pub gate: Arc<Gate>,
    /// Where events go.
    pub publish: Arc<dyn Fn(Event) + Send + Sync>,
}

/// What a source is told.
#[derive(Debug)]
pub enum Told {
    /// Take nothing new; end when what is under way is done.
    Drain,
    /// End now.
    Cancel,
}

/// A running source.
#[derive(Debug)]
pub struct Source {
    name: String,
    control: Sender<Told>,
    thread: JoinHandle<()>,
}

impl Source {
    /// Starts the thread.
    ///
    /// # Errors
    /// The OS gives no thread.
    pub fn start(setup: SourceSetup) -> std::io::Result<Self> {
        let (control, told) = bounded(4);
        let name = setup.context.name.clone();
        let thread = std::thread::Builder::new().name(format!("intake-{name}")).spawn(move || Worker::new(setup, told).run())?;
        Ok(Self { name, control, thread })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells it to end.
    pub fn tell(&self, what: Told) {
        // Full or gone: it is ending already.
        let _ending = self.control.try_send(what);
    }

    /// True once it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!(event = "source_died", source = self.name, "a source ended with a panic");
        }
    }
}

struct Worker {
    setup: SourceSetup,
    told: Receiver<Told>,
    changes_in: Sender<Change>,
    changes: Receiver<Change>,
    overflow: Arc<AtomicBool>,
    done_in: Sender<(PathBuf, Conversion)>,
    done: Receiver<(PathBuf, Conversion)>,
    candidates: HashMap<PathBuf, Candidate>,
    due: BinaryHeap<Due>,
    ready: VecDeque<PathBuf>,
    working: usize,
    /// With `keep`: files that were taken and stay, as they were.
    kept: HashMap<PathBuf, (u64, i64)>,
    /// Things that are no files and were told of already.
    told_of: HashMap<PathBuf, &'static str>,
    watch: Option<Watch>,
    scan_at: Instant,
    more: bool,
    draining: bool,
    state: (SourceState, Option<ErrorReport>),
    file_trouble: Option<ErrorReport>,
    /// What was last published: state and message.
    published: Option<(SourceState, Option<String>)>,
}

impl Worker {
    fn new(setup: SourceSetup, told: Receiver<Told>) -> Self {
        let (changes_in, changes) = bounded(CHANGES);
        // Room for every file that can be under way: whoever tells a result never waits.
        let (done_in, done) = bounded(WORKING + 1);
        Self {
            setup,
            told,
            changes_in,
            changes,
            overflow: Arc::default(),
            done_in,
            done,
            candidates: HashMap::new(),
            due: BinaryHeap::new(),
            ready: VecDeque::new(),
            working: 0,
            kept: HashMap::new(),
            told_of: HashMap::new(),
            watch: None,
            scan_at: Instant::now(),
            more: false,
            draining: false,
            state: (SourceState::Starting, None),
            file_trouble: None,
            published: None,
        }
    }

    fn run(mut self) {
        if self.setup.after == After::Keep {
            self.remember_kept();
        }
        loop {
            let now = Instant::now();
            if !self.draining {
                self.read_folder(now);
                self.look_at_due(now);
                self.give_to_pool();
            }
            self.publish_state();
            if self.draining && self.working == 0 {
                break;
            }
            let wait = self.next_appointment(now).saturating_duration_since(Instant::now());
            crossbeam_channel::select! {
                recv(self.told) -> told => match told {
                    Ok(Told::Drain) => self.draining = true,
                    Ok(Told::Cancel) | Err(_) => break,
                },
                recv(self.done) -> done => if let Ok((path, conversion)) = done {
                    self.converted(&path, conversion);
                },
                recv(self.changes) -> change => if let Ok(change) = change {
                    self.changed(change);
                },
                default(wait) => {}
            }
            self.take_what_waits();
        }
        (self.setup.publish)(Event::Source { source: self.name(), state: SourceState::Stopped, error: None });
    }

    /// More results and events, as long as there are some, before the next look at the whole.
    fn take_what_waits(&mut self) {
        for _ in 0..WORKING {
            if let Ok((path, conversion)) = self.done.try_recv() {
                self.converted(&path, conversion);
            } else if let Ok(change) = self.changes.try_recv() {
                self.changed(change);
            } else {
                break;
            }
        }
        if self.overflow.swap(false, Ordering::AcqRel) {
            self.scan_at = Instant::now();
        }
    }

    fn name(&self) -> String {
        self.setup.context.name.clone()
    }

    fn next_appointment(&self, now: Instant) -> Instant {
        let mut next = if self.draining { now + Duration::from_secs(1) } else { self.scan_at };
        if let Some(Due(at, _)) = self.due.peek() {
            next = next.min(at.0);
        }
        if !self.ready.is_empty() && self.working < WORKING {
            next = next.min(now + if self.setup.gate.is_closed() { BUSY_PAUSE * 10 } else { BUSY_PAUSE });
        }
        if self.is_paused() {
            next = next.min(now + BUSY_PAUSE * 10);
        }
        next
    }

    fn is_paused(&self) -> bool {
        self.setup.when_full == WhenFull::Pause && self.setup.gate.is_closed()
    }

    // ---- the folder

    fn read_folder(&mut self, now: Instant) {
        let hungry = self.more && self.candidates.len() < CANDIDATES / 4;
        if (now < self.scan_at && !hungry) || self.is_paused() {
            return;
        }
        if self.watch.is_none() {
            // Watching first, reading second: what comes in between is seen twice, not never.
            self.watch = self.start_watch();
        }
        match self.scan(now) {
            Ok(()) => {
                self.scan_at = now + self.setup.rescan;
                self.state = (SourceState::Watching, None);
            }
            Err(error) => {
                self.watch = None;
                self.scan_at = now + FOLDER_PAUSE;
                let message = format!("the folder {} cannot be read: {error}", text::path(&self.setup.folder));
                self.state = (SourceState::Unavailable, Some(ErrorReport::new(Code::FolderUnavailable, message)));
            }
        }
    }

    fn start_watch(&self) -> Option<Watch> {
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

    fn scan(&mut self, now: Instant) -> std::io::Result<()> {
        let skip = [self.setup.done_folder.clone(), self.setup.error_folder.clone()];
        let limit = CANDIDATES.saturating_sub(self.candidates.len());
        let (patterns, candidates, kept) = (&self.setup.patterns, &self.candidates, &self.kept);
        let wanted = |path: &Path| patterns.take(path) && !candidates.contains_key(path) && !still_kept(kept, path);
        let found = rescan::read(&self.setup.folder, self.setup.recursive, &skip, limit.max(1), wanted)?;
        self.more = found.more;
        for claim in found.claims {
            self.repair_claim(&claim);
        }
        for path in found.paths {
            self.notice(path, now);
        }
        Ok(())
    }

    fn remember_kept(&mut self) {
        match self.setup.reader.taken(&self.setup.context.name) {
            Ok(taken) => {
                for file in taken {
                    self.kept.entry(PathBuf::from(file.path)).or_insert((file.size, file.modified_ns));
                }
            }
            Err(error) => tracing::warn!(event = "kept_unknown", %error, "kept files are compared with the queue one by one"),
        }
    }

    /// A file that a crash left under a claim name: finished if it is what was committed, else it gets its name back.
    fn repair_claim(&mut self, claim: &Path) {
        if !post_action::is_claim(claim) {
            // A temporary file of a crashed atomic write: nobody reads it.
            let _swept = std::fs::remove_file(claim);
            return;
        }
        let original = |name: Option<String>| claim.with_file_name(name.unwrap_or_else(|| "recovered".to_owned()));
        match fingerprint_of(claim, &self.setup.context.name) {
            Ok(fingerprint) => {
                match self.setup.reader.committed(&fingerprint.source, fingerprint.file_id, fingerprint.size, fingerprint.hash) {
                    Ok(Some((file, path))) => {
                        let fingerprint = Fingerprint { path: PathBuf::from(path), ..fingerprint };
                        match post_action::finish(self.setup.after, claim, &fingerprint, &self.setup.done_folder) {
                            Ok(place) => self.tell_done(file, place.as_deref()),
                            Err(error) => tracing::warn!(event = "claim_not_finished", claim = %claim.display(), %error, "tried again later"),
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

    // ---- events

    fn changed(&mut self, change: Change) {
        let now = Instant::now();
        match change {
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
                    self.due.push(Due(std::cmp::Reverse(now), path));
                }
            }
            Change::Overflow => self.scan_at = now,
        }
    }

    fn is_mine(&self, path: &Path) -> bool {
        let inside = |folder: &Path| path.starts_with(folder);
        self.setup.patterns.take(path)
            && (self.setup.recursive || path.parent() == Some(&*self.setup.folder))
            && !inside(&self.setup.done_folder)
            && !inside(&self.setup.error_folder)
    }

    /// A file is there, or changed.
    fn notice(&mut self, path: PathBuf, now: Instant) {
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

    // ---- what becomes of a candidate

    fn look_at_due(&mut self, now: Instant) {
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
    fn look(&mut self, path: &Path, now: Instant) {
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
                self.due.push(Due(std::cmp::Reverse(until), path.to_owned()));
            }
            return;
        }
        match self.setup.rules.judge(path, candidate.changed, now) {
            Verdict::Finished => {
                candidate.phase = Phase::Ready(false);
                self.ready.push_back(path.to_owned());
            }
            Verdict::LookAgain(at) => {
                candidate.phase = Phase::Settling;
                self.due.push(Due(std::cmp::Reverse(at), path.to_owned()));
            }
        }
    }

    /// Named by an event or found before, and not there: forgotten if it was renamed, an error if it was deleted.
    fn missing(&mut self, path: &Path, now: Instant) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        if !matches!(candidate.phase, Phase::Missing) {
            candidate.phase = Phase::Missing;
            candidate.changed = now;
        }
        let until = candidate.changed + MISSING_PAUSE;
        if now < until {
            self.due.push(Due(std::cmp::Reverse(until), path.to_owned()));
            return;
        }
        self.vanished(path);
    }

    fn vanished(&mut self, path: &Path) {
        let message = format!("{} was deleted before it could be read", text::path(path));
        self.set_aside(path, ErrorReport::new(Code::FileVanished, message), None, false);
    }

    fn not_a_file(&mut self, path: &Path, what: &'static str) {
        let expected = self.setup.patterns.expect_file(path) || what != "a folder";
        if !expected || self.told_of.insert(path.to_owned(), what) == Some(what) {
            self.candidates.remove(path);
            return;
        }
        let message = format!("{} is {what}, not a file", text::path(path));
        self.set_aside(path, ErrorReport::new(Code::NotAFile, message), None, false);
    }

    fn again(&mut self, path: &Path, error: ErrorReport) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        candidate.phase = Phase::Again;
        let at = Instant::now() + candidate.next_pause();
        self.due.push(Due(std::cmp::Reverse(at), path.to_owned()));
        self.trouble(error);
    }

    fn trouble(&mut self, error: ErrorReport) {
        if self.file_trouble.as_ref().map(|known| (&known.code, &known.message)) != Some((&error.code, &error.message)) {
            tracing::warn!(event = "source_trouble", source = self.setup.context.name, code = %error.code, reason = error.message, "tried again by itself");
        }
        self.file_trouble = Some(error);
    }

    fn give_to_pool(&mut self) {
        while self.working < WORKING && !self.setup.gate.is_closed() {
            let Some(path) = self.ready.pop_front() else { break };
            let Some(candidate) = self.candidates.get_mut(&path) else { continue };
            let Phase::Ready(last_try) = candidate.phase else { continue };
            let correlation_id = candidate.correlation_id;
            if !candidate.announced {
                candidate.announced = true;
                let file = file_name(&path);
                tracing::info!(event = "file_seen", %correlation_id, source = self.setup.context.name, file, "a finished file was found");
                (self.setup.publish)(Event::FileSeen {
                    source: self.setup.context.name.clone(),
                    file,
                    correlation_id: correlation_id.to_string(),
                });
            }
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

    fn send_job(&mut self, path: PathBuf, correlation_id: CorrelationId, last_try: bool) -> Result<(), PathBuf> {
        let (done, for_tell) = (self.done_in.clone(), path.clone());
        let job = Job {
            path: path.clone(),
            correlation_id,
            source: Arc::clone(&self.setup.context),
            last_try,
            tell: Box::new(move |conversion| {
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
            Err(job) => Err(job.path),
        }
    }

    fn also_taken_by(&self, path: &Path) -> Option<&str> {
        let taken = |(_, folder, recursive, patterns): &&(String, PathBuf, bool, Patterns)| {
            let inside = if *recursive { path.starts_with(folder) } else { path.parent() == Some(folder) };
            inside && patterns.take(path)
        };
        self.setup.others.iter().find(taken).map(|(name, ..)| name.as_str())
    }

    // ---- results

    fn converted(&mut self, path: &Path, conversion: Conversion) {
        self.working -= 1;
        let now = Instant::now();
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        match conversion {
            Conversion::Stored { committed, fingerprint, broken_units } => self.stored(path, committed, fingerprint, broken_units),
            Conversion::Broken { error, fingerprint } => self.set_aside(path, error, fingerprint, true),
            Conversion::Incomplete { error } => {
                tracing::debug!(event = "file_incomplete", correlation_id = %candidate.correlation_id, reason = error.message, "waiting for the rest");
                candidate.phase = Phase::Incomplete;
                let since = *candidate.incomplete_since.get_or_insert(now);
                self.due.push(Due(std::cmp::Reverse(since + self.setup.incomplete_timeout), path.to_owned()));
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

    fn stored(&mut self, path: &Path, committed: Committed, fingerprint: Fingerprint, broken_units: Option<ErrorReport>) {
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
                (self.setup.publish)(Event::FileForgotten {
                    source: self.setup.context.name.clone(),
                    file: file_name(path),
                    correlation_id: candidate.correlation_id.to_string(),
                });
                file
            }
        };
        self.file_trouble = None;
        candidate.phase = Phase::PostAction(Box::new(Taken { file, fingerprint, broken_units }));
        self.do_post_action(path);
    }

    fn do_post_action(&mut self, path: &Path) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        let Phase::PostAction(taken) = &candidate.phase else { return };
        let result = match &taken.broken_units {
            None => post_action::run(self.setup.after, &taken.fingerprint, &self.setup.done_folder),
            Some(_) => post_action::run(After::Move, &taken.fingerprint, &self.setup.error_folder),
        };
        let (file, correlation_id) = (taken.file, candidate.correlation_id);
        match result {
            Ok(place) => {
                tracing::debug!(event = "file_done", %correlation_id, place = place.as_deref().map(text::path), "the source file is where it belongs");
                if let Some(error) = taken.broken_units.clone() {
                    let moved = place.clone().unwrap_or_else(|| path.to_owned());
                    self.note_broken(path, moved, place.clone(), error, correlation_id);
                }
                self.remember(path);
                self.tell_done(file, place.as_deref());
                self.candidates.remove(path);
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
                self.due.push(Due(std::cmp::Reverse(at), path.to_owned()));
                self.trouble(ErrorReport::new(Code::PostActionFailed, message));
            }
        }
    }

    fn remember(&mut self, path: &Path) {
        if self.setup.after == After::Keep
            && let Ok(Seen::File { size, modified_ns }) = settle::look(path)
        {
            self.kept.insert(path.to_owned(), (size, modified_ns));
        }
    }

    fn tell_done(&self, file: i64, place: Option<&Path>) {
        let place = place.map(|place| place.to_string_lossy().into_owned());
        // If the queue is closed, the next start sees the file gone and has nothing to do.
        let _checked_at_start = self.setup.writer.send_blocking(Command::FileDone { file, place });
    }

    fn set_aside(&mut self, path: &Path, error: ErrorReport, fingerprint: Option<Fingerprint>, move_it: bool) {
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

    fn do_set_aside(&mut self, path: &Path) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        let Phase::Aside(aside) = &candidate.phase else { return };
        let folder = &self.setup.error_folder;
        let moved = match (&aside.fingerprint, aside.move_it) {
            // Only what was read goes: a file that was mended meanwhile is taken as a new one.
            (Some(fingerprint), true) => post_action::run(After::Move, fingerprint, folder),
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

    fn aside_failed(&mut self, path: &Path, error: &ErrorReport, why: &str) {
        let Some(candidate) = self.candidates.get_mut(path) else { return };
        let at = Instant::now() + candidate.next_pause();
        self.due.push(Due(std::cmp::Reverse(at), path.to_owned()));
        let message = format!("{}; and it cannot be set aside: {why}", error.message);
        self.trouble(ErrorReport::new(error.code, message));
    }

    /// The sidecar, the log and the list of conversion errors.
    fn note_broken(
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

    // ---- how the source is

    fn publish_state(&mut self) {
        if self.file_trouble.is_some() && !self.candidates.values().any(|c| matches!(c.phase, Phase::Again | Phase::PostAction(_) | Phase::Aside(_))) {
            self.file_trouble = None;
        }
        let (mut state, mut error) = match &self.state {
            (SourceState::Unavailable, error) => (SourceState::Unavailable, error.clone()),
            (state, _) => (*state, self.file_trouble.clone()),
        };
        if self.setup.gate.is_closed() && state == SourceState::Watching && self.setup.when_full != WhenFull::OldestFirst {
            if self.is_paused() {
                state = SourceState::Paused;
            }
            error = error.or_else(|| {
                Some(ErrorReport::new(Code::QueueFull, "the queue is full; files stay in their folder until there is room"))
            });
        }
        self.publish_if_new(state, error);
    }

    fn publish_if_new(&mut self, state: SourceState, error: Option<ErrorReport>) {
        let new = (state, error.as_ref().map(|error| error.message.clone()));
        if self.published.as_ref() != Some(&new) {
            if let (SourceState::Unavailable, Some(message)) = (state, &new.1) {
                tracing::warn!(event = "source_unavailable", source = self.setup.context.name, reason = message, "tried again by itself");
            }
            (self.setup.publish)(Event::Source { source: self.name(), state, error });
            self.published = Some(new);
        }
    }
}

/// True for a file that was taken, stays, and has not changed since.
fn still_kept(kept: &HashMap<PathBuf, (u64, i64)>, path: &Path) -> bool {
    kept.get(path).is_some_and(|&(size, modified_ns)| {
        settle::look(path).is_ok_and(|seen| seen == Seen::File { size, modified_ns })
    })
}

fn fingerprint_of(path: &Path, source: &str) -> std::io::Result<Fingerprint> {
    let file = std::fs::File::open(path)?;
    let stat = crate::platform::stat(&file)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(Fingerprint {
        source: source.to_owned(),
        path: path.to_owned(),
        file_id: stat.file_id,
        size: stat.size,
        modified_ns: stat.modified_ns,
        hash: *hasher.finalize().as_bytes(),
    })
}

fn file_name(path: &Path) -> String {
    text::printable(&path.file_name().unwrap_or_default().to_string_lossy(), 255)
}
