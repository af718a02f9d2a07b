//! The bounded pool of threads that read files, convert them and hand the reports to the queue.
//!
//! A worker takes its next file as soon as it has handed over; the commit's acknowledgement goes to the file's source, which
//! alone touches files. A converter's panic is a failed conversion of one file, and nothing more; a worker that a fault ends all the same gives
//! its file back to the source and is started again ([`Pool::revive`]).

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use waybill_shared::config::Identity;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::CorrelationId;
use waybill_shared::schema::{Map, Value};
use waybill_shared::text;

use super::limits::{Budget, is_chunk};
use super::read::{FileRead, each_unit, read_archived, read_file};
use super::registry::Choice;
use super::statistics::{Row, Statistics};
use super::unit::{self, Finished, Finisher};
use super::{ConvertError, Unit};
use crate::queue::{Backlog, Command, Committed, Fingerprint, NewEntry, NewFile, QueueError, Writer};
use crate::supervisor::{Spec, Starts, Supervisor, Thread};

/// Longest wait for room between converter and commit; the file is tried again after it.
const ROOM_WAIT: Duration = Duration::from_secs(30);

/// What the workers need to know of a source.
pub struct SourceContext {
    /// Its name.
    pub name: String,
    /// Its converter.
    pub converter: Choice,
    /// Its values for the converter.
    pub arguments: Map<String, Value>,
    /// 1 goes first, 10 last.
    pub priority: u8,
    /// What the station adds to a report.
    pub station: Identity,
    /// Largest file that is read.
    pub max_file_bytes: u64,
}

/// A file to convert.
pub struct Job {
    /// Where it is.
    pub path: PathBuf,
    /// True if that is a copy in the archive, which is sent again.
    pub archived: bool,
    /// Its life.
    pub correlation_id: CorrelationId,
    /// Its source.
    pub source: Arc<SourceContext>,
    /// True if it has waited long enough to be finished: an incomplete file is a broken one now.
    pub last_try: bool,
    /// Told exactly once.
    pub tell: Teller,
}

impl Job {
    /// The file of a job that nobody took: nothing came of it.
    pub fn take_back(self) -> PathBuf {
        let Self { path, mut tell, .. } = self;
        tell.0 = None;
        path
    }
}

/// Tells what came of a file; also if what was to do it is gone.
pub struct Teller(Option<Box<dyn FnOnce(Conversion) + Send>>);

impl Teller {
    /// One that calls this.
    #[must_use]
    pub fn new(tell: impl FnOnce(Conversion) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    fn tell(mut self, conversion: Conversion) {
        if let Some(tell) = self.0.take() {
            tell(conversion);
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            let error = QueueError::Write("what was to convert it has ended by a fault".to_owned());
            tell(Conversion::NotQueued { error });
        }
    }
}

/// What came of a file.
#[derive(Debug)]
pub enum Conversion {
    /// Its reports are durable, or were taken before.
    Stored {
        /// What the queue says.
        committed: Committed,
        /// The file as it was read.
        fingerprint: Fingerprint,
        /// Units of the file that could not be converted.
        broken_units: Option<ErrorReport>,
    },
    /// It cannot be converted, now or later.
    Broken {
        /// Why.
        error: ErrorReport,
        /// The file as it was read, if it was.
        fingerprint: Option<Fingerprint>,
    },
    /// It ends before it is complete; tried again when it changes or its time is up.
    Incomplete {
        /// Why.
        error: ErrorReport,
    },
    /// It changed while it was read.
    Changed,
    /// It is gone.
    Vanished,
    /// It cannot be read at the moment; tried again.
    Unreadable {
        /// Why.
        error: ErrorReport,
    },
    /// The queue did not take it; tried again.
    NotQueued {
        /// Why.
        error: QueueError,
    },
    /// The agent stops.
    Stopped,
}

/// The pool.
pub struct Pool {
    jobs: crossbeam_channel::Sender<Job>,
    waiting: crossbeam_channel::Receiver<Job>,
    threads: Vec<Thread>,
    shared: Arc<PoolShared>,
    supervisor: Supervisor,
}

/// A handle to give files to the pool.
#[derive(Clone)]
pub struct PoolHandle {
    jobs: crossbeam_channel::Sender<Job>,
    statistics: Statistics,
}

struct PoolShared {
    writer: Writer,
    backlog: Arc<Backlog>,
    spool: PathBuf,
    stop: AtomicBool,
    next_key: AtomicU64,
    statistics: Statistics,
}

impl PoolHandle {
    /// Gives a file to the pool; back if all workers are busy and enough files wait.
    ///
    /// # Errors
    /// The job, if there is no room for it.
    pub fn try_send(&self, job: Job) -> Result<(), Box<Job>> {
        self.jobs.try_send(job).map_err(|error| Box::new(error.into_inner()))
    }

    /// What converters did.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }
}

impl Pool {
    /// Starts the workers.
    ///
    /// # Errors
    /// The OS gives no thread.
    pub fn start(
        workers: u32,
        writer: Writer,
        backlog: Arc<Backlog>,
        spool: PathBuf,
        supervisor: &Supervisor,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = crossbeam_channel::bounded::<Job>(workers as usize * 2);
        let shared = Arc::new(PoolShared {
            writer,
            backlog,
            spool,
            stop: AtomicBool::new(false),
            next_key: AtomicU64::new(1),
            statistics: Statistics::default(),
        });
        let mut pool = Self { jobs, waiting, threads: Vec::new(), shared, supervisor: supervisor.clone() };
        for number in 1..=workers as usize {
            let thread = pool.start_worker(number)?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    fn start_worker(&self, number: usize) -> std::io::Result<Thread> {
        let (waiting, shared) = (self.waiting.clone(), Arc::clone(&self.shared));
        let longest = Duration::from_secs(Budget::longest_secs()) + 2 * ROOM_WAIT;
        let spec = Spec::new(worker(number), Starts::Owner).critical().may_take(longest);
        self.supervisor.thread(&spec, &format!("converter-{number}"), move |progress| {
            for job in waiting {
                let _working = progress.work();
                work(job, &shared);
            }
        })
    }

    /// Starts workers again that a fault has ended, as far as they may be.
    pub fn revive(&mut self) {
        for at in 0..self.threads.len() {
            if !self.threads[at].has_ended() || !self.supervisor.may_start(&worker(at + 1)) {
                continue;
            }
            match self.start_worker(at + 1) {
                Ok(thread) => self.threads[at] = thread,
                Err(error) => tracing::error!(event = "converter_not_started", number = at + 1, %error, "tried again"),
            }
        }
    }

    /// A handle for a source.
    #[must_use]
    pub fn handle(&self) -> PoolHandle {
        PoolHandle { jobs: self.jobs.clone(), statistics: self.shared.statistics.clone() }
    }

    /// Conversions that run at this moment; not those that wait.
    #[must_use]
    pub fn active_count(&self) -> usize {
        self.threads.iter().filter(|thread| thread.is_at_work()).count()
    }

    /// From now on files are handed back unread; what runs may finish.
    pub fn stop_accepting(&self) {
        self.shared.stop.store(true, Ordering::Release);
    }

    /// From now on the end of its workers is no failure.
    pub fn may_end(&self) {
        self.threads.iter().for_each(Thread::may_end);
    }

    /// Workers that are at a file, by name.
    #[must_use]
    pub fn at_work(&self) -> Vec<String> {
        let numbered = self.threads.iter().enumerate();
        numbered.filter(|(_, thread)| thread.is_at_work()).map(|(at, _)| worker(at + 1)).collect()
    }
}

/// The name under which a worker is supervised.
fn worker(number: usize) -> String {
    format!("converter {number}")
}

fn work(job: Job, shared: &PoolShared) {
    if shared.stop.load(Ordering::Acquire) {
        job.tell.tell(Conversion::Stopped);
        return;
    }
    let Job { path, archived, correlation_id, source, last_try, tell } = job;
    let read = || if archived { read_archived(&path, &source) } else { read_file(&path, &source, last_try) };
    let read = std::panic::catch_unwind(AssertUnwindSafe(read));
    let read = read.unwrap_or_else(|_| {
        let message = format!("{}: reading it failed unexpectedly", text::path(&path));
        Err(Conversion::Broken { error: ErrorReport::new(Code::Internal, message), fingerprint: None })
    });
    match read {
        Ok(read) => convert(read, correlation_id, &source, last_try, shared, tell),
        Err(conversion) => tell.tell(conversion),
    }
}

/// A file's reports on their way from its converter to the queue.
struct Handover<'a> {
    shared: &'a PoolShared,
    read: &'a FileRead,
    correlation_id: CorrelationId,
    priority: u8,
    entries: Vec<NewEntry>,
    bytes: usize,
    reports: usize,
    staged: Option<u64>,
    broken: Vec<(usize, ConvertError)>,
    units: usize,
    trouble: Option<QueueError>,
}

fn convert(
    read: FileRead,
    correlation_id: CorrelationId,
    source: &SourceContext,
    last_try: bool,
    shared: &PoolShared,
    tell: Teller,
) {
    let mut handover = Handover {
        shared,
        read: &read,
        correlation_id,
        priority: source.priority,
        entries: Vec::new(),
        bytes: 0,
        reports: 0,
        staged: None,
        broken: Vec::new(),
        units: 0,
        trouble: None,
    };
    let budget = Budget::begin();
    let shown = text::path(&read.fingerprint.path);
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| run_converter(&read, source, &budget, &mut handover)))
        .unwrap_or_else(|_| {
            Err(ConvertError::Malformed { place: shown.clone(), reason: "the converter failed (panic)".to_owned() })
        });

    if let Some(error) = handover.trouble.take() {
        handover.abandon();
        return tell.tell(Conversion::NotQueued { error });
    }
    let file_error = match result {
        Ok(()) if handover.units == 0 => {
            Some(ConvertError::Malformed { place: "the file as a whole".to_owned(), reason: "it holds no unit".to_owned() })
        }
        Ok(()) => None,
        Err(ConvertError::Stopped) if budget.is_spent() => {
            let reason = format!("the conversion took longer than {} s", Budget::longest_secs());
            Some(ConvertError::Malformed { place: "the file as a whole".to_owned(), reason })
        }
        Err(ConvertError::Stopped) => {
            handover.abandon();
            return tell.tell(Conversion::Stopped);
        }
        Err(error @ ConvertError::Incomplete { .. }) if !last_try => {
            handover.abandon();
            return tell.tell(Conversion::Incomplete { error: error.report(&shown).with_correlation(correlation_id) });
        }
        Err(ConvertError::Changed) => {
            handover.abandon();
            return tell.tell(Conversion::Changed);
        }
        Err(error @ ConvertError::Unreadable { .. }) => {
            handover.abandon();
            return tell.tell(Conversion::Unreadable { error: error.report(&shown).with_correlation(correlation_id) });
        }
        Err(error) => Some(error),
    };
    let broken = handover.describe_broken(&shown, file_error);
    if handover.reports == 0 {
        handover.abandon();
        let error = broken.unwrap_or_else(|| ErrorReport::new(Code::Internal, format!("{shown}: nothing was converted")));
        return tell.tell(Conversion::Broken { error, fingerprint: Some(read.fingerprint) });
    }
    handover.commit(broken, tell);
}

fn run_converter(
    read: &FileRead,
    source: &SourceContext,
    budget: &Budget,
    handover: &mut Handover<'_>,
) -> Result<(), ConvertError> {
    let (converter, begun) = (read.choose(source)?, Instant::now());
    let (mut reports, mut broken) = (0, 0);
    let result = each_unit(read, converter.as_ref(), source, |unit, finisher| {
        if budget.is_spent() || handover.shared.stop.load(Ordering::Acquire) && handover.staged.is_some() {
            return ControlFlow::Break(());
        }
        let flow = handover.take(unit, finisher);
        (reports, broken) = (handover.reports, handover.broken.len());
        flow
    });
    let took = begun.elapsed();
    let file = Row {
        files: 1,
        bytes: read.fingerprint.size,
        reports: reports as u64,
        broken_units: broken as u64,
        broken_files: u64::from(!matches!(result, Ok(()) | Err(ConvertError::Stopped | ConvertError::Changed))),
        took,
        slowest: took,
    };
    handover.shared.statistics.add(converter.name(), file);
    result
}

impl Handover<'_> {
    fn take(&mut self, unit: Result<Unit, ConvertError>, finisher: &mut Finisher<'_>) -> ControlFlow<()> {
        let number = self.units;
        self.units += 1;
        match unit.and_then(|unit| finisher.finish(unit)) {
            Ok(Finished { id, report, notes, .. }) => match unit::entry(id, &report, &self.shared.spool) {
                Ok(entry) => {
                    for note in &notes {
                        tracing::info!(event = "conversion_note", correlation_id = %self.correlation_id, unit = number, note = %note, "noticed while converting");
                    }
                    self.bytes += entry.payload.waiting_bytes();
                    self.reports += 1;
                    self.entries.push(entry);
                }
                Err(error) => {
                    self.trouble = Some(QueueError::Write(format!("the spool: {error}")));
                    return ControlFlow::Break(());
                }
            },
            Err(error) => self.broken.push((number, error)),
        }
        if is_chunk(self.entries.len(), self.bytes) { self.stage() } else { ControlFlow::Continue(()) }
    }

    fn new_file(&mut self, whole: bool) -> NewFile {
        self.bytes = 0;
        NewFile {
            fingerprint: self.read.fingerprint.clone(),
            correlation_id: self.correlation_id,
            priority: self.priority,
            entries: std::mem::take(&mut self.entries),
            staged: self.staged,
            whole,
            again: self.read.again.is_some(),
        }
    }

    /// Stores what there is so far, and waits for it: a file of a million units never lies in memory as a whole.
    fn stage(&mut self) -> ControlFlow<()> {
        let key = *self.staged.get_or_insert_with(|| self.shared.next_key.fetch_add(1, Ordering::Relaxed));
        let file = self.new_file(true);
        let (told, answer) = std::sync::mpsc::sync_channel(1);
        let ack = Box::new(move |result| {
            let _worker_left = told.send(result);
        });
        let stored = self
            .shared
            .writer
            .send_blocking(Command::Stage { key, file, ack })
            .and_then(|()| answer.recv_timeout(ROOM_WAIT).unwrap_or(Err(QueueError::Write("it took too long".to_owned()))));
        match stored {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.trouble = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn abandon(&mut self) {
        for entry in self.entries.drain(..) {
            entry.payload.discard();
        }
        if let Some(key) = self.staged.take() {
            // If the queue is closed already, the next start drops what was staged.
            let _dropped_later = self.shared.writer.send_blocking(Command::Abandon { key });
        }
    }

    /// One error for all that is wrong in the file: its broken units, and what ended its reading.
    fn describe_broken(&self, shown: &str, file_error: Option<ConvertError>) -> Option<ErrorReport> {
        if self.broken.is_empty() {
            let error = file_error?.report(shown).with_correlation(self.correlation_id);
            return Some(self.with_good_ones(error));
        }
        if let ([(_, only)], None, 1) = (self.broken.as_slice(), &file_error, self.units) {
            return Some(only.report(shown).with_correlation(self.correlation_id));
        }
        let mut faults = Vec::new();
        for (number, error) in &self.broken {
            let path = format!("unit[{number}]");
            match error {
                ConvertError::Faults(inner) => faults.extend(
                    inner
                        .iter()
                        .map(|fault| waybill_shared::schema::Fault { path: format!("{path}.{}", fault.path), ..fault.clone() }),
                ),
                other => faults.push(waybill_shared::schema::Fault {
                    path,
                    kind: waybill_shared::schema::FaultKind::OutOfRange,
                    message: other.to_string(),
                }),
            }
        }
        let ending = file_error.map_or_else(String::new, |error| format!("; then {error}"));
        let message = format!("{shown}: {} of {} units are no valid reports{ending}", self.broken.len(), self.units);
        let error = ErrorReport::new(Code::ReportInvalid, message).with_details(faults).with_correlation(self.correlation_id);
        Some(self.with_good_ones(error))
    }

    fn with_good_ones(&self, mut error: ErrorReport) -> ErrorReport {
        if self.reports > 0 {
            error.message.push_str(&format!(" ({} good ones were queued)", self.reports));
        }
        error
    }

    fn commit(mut self, broken_units: Option<ErrorReport>, tell: Teller) {
        let (reports, bytes) = (self.entries.len(), self.bytes);
        let backlog = Arc::clone(&self.shared.backlog);
        if !backlog.take(reports, bytes, ROOM_WAIT) {
            self.abandon();
            return tell.tell(Conversion::NotQueued { error: QueueError::Write("the disk is too slow".to_owned()) });
        }
        let file = self.new_file(broken_units.is_none());
        let fingerprint = self.read.fingerprint.clone();
        let ack = Box::new(move |result: Result<Committed, QueueError>| {
            backlog.give(reports, bytes);
            tell.tell(match result {
                Ok(committed) => Conversion::Stored { committed, fingerprint, broken_units },
                Err(error) => Conversion::NotQueued { error },
            });
        });
        // A closed queue tells the acknowledgement as well.
        let _told_by_ack = self.shared.writer.send_blocking(Command::Commit { file, ack });
    }
}
