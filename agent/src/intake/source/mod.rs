//! The thread of one source: the only one that touches the source's files.
//!
//! A file's way: [`look`] finds out when it is finished, [`convert`] gives it to the pool and hears what came of it, [`put_away`] puts it where it
//! belongs. [`folder`] reads the folder as a whole.

mod convert;
mod folder;
mod look;
mod put_away;

use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, bounded};
use waybill_ipc::protocol::{Event, SourceState};
use waybill_shared::config::{After, WhenFull};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::lock::Lock;
use waybill_shared::text;

use super::candidate::{Candidate, Due, Phase};
use super::claim::Claims;
use super::rescan::Patterns;
use super::settle::Rules;
use super::watch::{Change, Watch};
use crate::archive::Archive;
use crate::convert::input::HEAD_BYTES;
use crate::convert::pool::{Conversion, PoolHandle, SourceContext};
use crate::platform::{self, FileStat};
use crate::queue::{Fingerprint, Gate, Reader, Writer};
use crate::supervisor::{Progress, Spec, Starts, Supervisor, Thread};

/// Most files of a source that are held in memory.
pub const CANDIDATES: usize = 2048;
/// Files of a source that are with the converters and the queue at the same time.
pub const WORKING: usize = 128;
/// Change events that wait.
const CHANGES: usize = 8192;
/// Pause before a folder that cannot be used is tried again.
const FOLDER_PAUSE: Duration = Duration::from_secs(1);
/// How often a folder is read that cannot be watched.
const UNWATCHED_PAUSE: Duration = Duration::from_secs(5);
/// Pause before a full pool, or a full queue, is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How long a file that an event named may be missing before it counts as deleted: a renaming comes as two events.
const MISSING_PAUSE: Duration = Duration::from_millis(500);

/// Pause before a folder is read in which a new folder appeared: its watch needs a moment.
const NEW_FOLDER_PAUSE: Duration = Duration::from_millis(50);

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
    /// Where copies of taken files go, if they are wanted.
    pub archive: Option<Archive>,
    /// When a file is finished.
    pub rules: Rules,
    /// When one is whose converter is chosen by its content and recognises each cut.
    pub rules_with_end_mark: Option<Rules>,
    /// Most files that are under way at once.
    pub parallel: usize,
    /// How long a file may be incomplete.
    pub incomplete_timeout: Duration,
    /// How often the folder is read as a whole.
    pub rescan: Duration,
    /// What happens when the queue is full.
    pub when_full: WhenFull,
    /// Folders that this agent has claimed.
    pub claims: Arc<Claims>,
    /// What all sources take, this one included.
    pub neighbours: Arc<ArcSwap<Vec<Neighbour>>>,
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

/// A source, as far as it matters to the others that no file has two.
#[derive(Debug)]
pub struct Neighbour {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Whether it takes files from folders inside.
    pub recursive: bool,
    /// Which names it takes.
    pub patterns: Patterns,
}

impl SourceSetup {
    /// When this file is finished.
    fn rules_of(&self, path: &Path) -> Rules {
        let Some(rules) = self.rules_with_end_mark else { return self.rules };
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let read = File::open(path).and_then(|file| file.take(HEAD_BYTES as u64).read_to_end(&mut head));
        let chosen = read.ok().and_then(|_| self.context.converter.of(&head).ok());
        if chosen.is_some_and(|converter| converter.about().has_end_mark) { rules } else { self.rules }
    }
}

impl Neighbour {
    fn takes(&self, path: &Path) -> bool {
        let inside = if self.recursive { path.starts_with(&self.folder) } else { path.parent() == Some(&self.folder) };
        inside && self.patterns.take(path)
    }
}

/// What a source is told.
#[derive(Debug, Clone, Copy)]
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
    thread: Thread,
}

impl Source {
    /// Starts the thread.
    ///
    /// # Errors
    /// The OS gives no thread.
    pub fn start(setup: SourceSetup, supervisor: &Supervisor) -> std::io::Result<Self> {
        let (control, told) = bounded(4);
        let name = setup.context.name.clone();
        let spec = Spec::new(supervised(&name), Starts::Owner);
        let thread =
            supervisor.thread(&spec, &format!("intake-{name}"), move |progress| Worker::new(setup, told).run(&progress))?;
        Ok(Self { name, control, thread })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells it to end.
    pub fn tell(&self, what: Told) {
        self.thread.may_end();
        // Full or gone: it is ending already.
        let _ending = self.control.try_send(what);
    }

    /// True once it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.has_ended()
    }

    /// Waits for the end.
    pub fn join(self) {
        self.thread.join();
    }
}

/// The name under which a source is supervised.
#[must_use]
pub fn supervised(name: &str) -> String {
    format!("source {name}")
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
    kept: HashMap<PathBuf, FileStat>,
    /// Things that are no files and were told of already.
    told_of: HashMap<PathBuf, &'static str>,
    /// Those that an earlier run told of.
    told_before: HashSet<PathBuf>,
    claim: Option<Arc<Lock>>,
    watch: Option<Watch>,
    scan_at: Instant,
    more: bool,
    draining: bool,
    state: (SourceState, Option<ErrorReport>),
    file_trouble: Option<ErrorReport>,
    /// What was last published: state and message.
    published: Option<(SourceState, Option<String>)>,
}

impl Drop for Worker {
    /// However it ends.
    fn drop(&mut self) {
        self.forget_what_is_open();
    }
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
            told_before: HashSet::new(),
            claim: None,
            watch: None,
            scan_at: Instant::now(),
            more: false,
            draining: false,
            state: (SourceState::Starting, None),
            file_trouble: None,
            published: None,
        }
    }

    fn run(mut self, progress: &Progress) {
        if self.setup.after == After::Keep {
            self.remember_kept();
        }
        if let Ok(paths) = self.setup.reader.told_as_no_file(&self.setup.context.name) {
            self.told_before = paths.into_iter().map(PathBuf::from).collect();
        }
        loop {
            let now = Instant::now();
            let working = progress.work();
            self.take_what_waits();
            if !self.draining {
                self.read_folder(now);
                self.look_at_due(now);
                self.give_to_pool();
            }
            self.publish_state();
            if self.draining && self.working == 0 {
                break;
            }
            drop(working);
            let wait = self.next_appointment(now).saturating_duration_since(Instant::now());
            crossbeam_channel::select! {
                recv(self.told) -> told => match told {
                    Ok(Told::Drain) => self.draining = true,
                    Ok(Told::Cancel) | Err(_) => break,
                },
                recv(self.done) -> done => if let Ok((path, conversion)) = done {
                    let _working = progress.work();
                    self.converted(&path, conversion);
                },
                recv(self.changes) -> change => if let Ok(change) = change {
                    let _working = progress.work();
                    self.changed(change);
                },
                default(wait) => {}
            }
        }
        (self.setup.publish)(Event::Source { source: self.name(), state: SourceState::Stopped, error: None });
    }

    /// Files that were found and are not queued are found again at the next start.
    fn forget_what_is_open(&mut self) {
        for (path, candidate) in self.candidates.drain() {
            let told_of = matches!(&candidate.phase, Phase::PostAction(taken) if taken.broken_units.is_none());
            if candidate.announced && !told_of {
                (self.setup.publish)(Event::FileForgotten {
                    source: self.setup.context.name.clone(),
                    file: file_name(&path),
                    correlation_id: candidate.correlation_id.to_string(),
                });
            }
        }
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
        if !self.ready.is_empty() && self.working < self.setup.parallel {
            next = next.min(now + if self.setup.gate.is_closed() { BUSY_PAUSE * 10 } else { BUSY_PAUSE });
        }
        if self.is_paused() {
            next = next.min(now + BUSY_PAUSE * 10);
        }
        next
    }

    /// The queue takes nothing now, and does not make room either.
    fn is_turned_away(&self) -> bool {
        self.setup.when_full != WhenFull::OldestFirst && self.setup.gate.is_closed()
    }

    fn is_paused(&self) -> bool {
        self.setup.when_full == WhenFull::Pause && self.setup.gate.is_closed()
    }

    fn publish_state(&mut self) {
        if self.file_trouble.is_some()
            && !self.candidates.values().any(|c| matches!(c.phase, Phase::Again | Phase::PostAction(_) | Phase::Aside(_)))
        {
            self.file_trouble = None;
        }
        let (mut state, mut error) = match &self.state {
            (SourceState::Unavailable, error) => (SourceState::Unavailable, error.clone()),
            (state, _) => (*state, self.file_trouble.clone()),
        };
        if self.is_turned_away() && state == SourceState::Watching {
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
                tracing::warn!(
                    event = "source_unavailable",
                    source = self.setup.context.name,
                    reason = message,
                    "tried again by itself"
                );
            }
            (self.setup.publish)(Event::Source { source: self.name(), state, error });
            self.published = Some(new);
        }
    }
}

/// True for a file that was taken, stays, and has not changed since.
fn still_kept(kept: &HashMap<PathBuf, FileStat>, path: &Path) -> bool {
    kept.get(path).is_some_and(|known| platform::stat_path(path).is_ok_and(|stat| stat == *known))
}

fn fingerprint_of(path: &Path, source: &str) -> std::io::Result<Fingerprint> {
    let file = std::fs::File::open(path)?;
    let stat = platform::stat(&file)?;
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
