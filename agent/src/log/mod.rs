//! The agent's log: one JSON object a line, rotated by size; how it is written here, how it is read in [`read`] and [`follow`].
//!
//! A line carries the correlation id of the file it is about, so that one id finds the whole life of a file. Lines are written by a thread of
//! their own; if the disk hangs or is full, lines are dropped rather than holding up reports. What was dropped is counted, and the log itself
//! says how much is missing as soon as lines go again.

mod files;
pub mod follow;
mod lines;
pub mod read;

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, WorkerGuard};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt as _};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use waybill_shared::config::{Log, LogLevel};

use self::files::Files;

/// The event of a start that failed, which is told where an agent at work tells its story.
pub const AGENT_NOT_STARTED: &str = "agent_not_started";

/// Lines that wait for the disk.
const WAITING: usize = 8192;

/// Bytes of lines that are written at once.
const TOGETHER: usize = 8 * 1024;

/// How long the thread leaves what comes next alone after it has written all there was. Lines that come one after the other go to the disk
/// together then; one that comes alone is written at once.
const REST: Duration = Duration::from_millis(5);

/// Between two lines about dropped lines.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Set where the lines go to standard output as well.
static TO_STDOUT: AtomicBool = AtomicBool::new(false);

/// Lets the log of this process, which is yet to begin, go to standard output as well: containers take it from there. A reader that is slow
/// or gone holds up nothing: lines that do not fit are left out there, and are in the file.
pub fn also_to_stdout() {
    TO_STDOUT.store(true, Ordering::Relaxed);
}

/// Keeps the log running; dropping it writes what waits (for about a second at most).
#[derive(Debug)]
pub struct LogGuard {
    state: Arc<State>,
    level: reload::Handle<Targets, Registry>,
    // After the others, because its end waits for the thread.
    _worker: WorkerGuard,
    _stdout: Option<WorkerGuard>,
}

impl LogGuard {
    /// How many lines were dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.state.dropped()
    }

    /// Changes from now on which lines are written.
    pub fn set_level(&self, level: LogLevel) {
        // Fails only when nobody can log any more.
        if let Err(error) = self.level.reload(targets(level)) {
            tracing::error!(event = "log_level_unchanged", %error, "the log keeps its level");
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.state.closing.store(true, Ordering::Release);
    }
}

/// Begins to log into `<folder>/agent.log`.
///
/// # Errors
/// The folder or the file cannot be made, or a log runs in this process already.
pub fn start(folder: &Path, log: &Log) -> io::Result<LogGuard> {
    start_as(folder, files::NAME, log)
}

/// Begins to log into a file of another name in the same folder, as a process does that is not the agent.
///
/// # Errors
/// As for [`start`].
pub fn start_as(folder: &Path, name: &'static str, log: &Log) -> io::Result<LogGuard> {
    let (subscriber, guard) = build_as(folder, name, log)?;
    subscriber.try_init().map_err(io::Error::other)?;
    Ok(guard)
}

#[cfg(test)]
fn build(folder: &Path, log: &Log) -> io::Result<(impl Subscriber + Send + Sync + use<>, LogGuard)> {
    build_as(folder, files::NAME, log)
}

fn build_as(folder: &Path, name: &'static str, log: &Log) -> io::Result<(impl Subscriber + Send + Sync + use<>, LogGuard)> {
    let state = Arc::<State>::default();
    let files = Files::open_as(folder, name, log.max_bytes, log.max_files)?;
    let (writer, worker) = tracing_appender::non_blocking::NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING)
        .thread_name("log")
        .finish(Writer::new(files, Arc::clone(&state)));
    // Set once, here.
    let _first = state.waiting.set(writer.error_counter());
    let (filter, level) = reload::Layer::new(targets(log.level));
    let (writer, stdout) = if TO_STDOUT.load(Ordering::Relaxed) {
        let (stdout, guard) = tracing_appender::non_blocking::NonBlockingBuilder::default()
            .buffered_lines_limit(WAITING)
            .thread_name("log-stdout")
            .finish(io::stdout());
        (BoxMakeWriter::new(writer.and(stdout)), Some(guard))
    } else {
        (BoxMakeWriter::new(writer), None)
    };
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false).with_writer(writer);
    let guard = LogGuard { state, level, _worker: worker, _stdout: stdout };
    Ok((tracing_subscriber::registry().with(filter).with(lines), guard))
}

fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Other crates say what they have to say at warn, whatever our own level is.
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("waybill_agent", level)
        .with_target("waybill_ipc", level)
}

/// What the guard and the thread share.
#[derive(Debug, Default)]
struct State {
    /// Lines for which there was no room.
    waiting: OnceLock<ErrorCounter>,
    /// Lines that could not be written.
    failed: AtomicU64,
    closing: AtomicBool,
}

impl State {
    fn dropped(&self) -> u64 {
        let waiting = self.waiting.get().map_or(0, ErrorCounter::dropped_lines);
        self.failed.load(Ordering::Relaxed).saturating_add(waiting as u64)
    }
}

/// The thread's side. Reports no error to the thread, which could do nothing about it: what fails is counted.
struct Writer {
    files: Files,
    tally: Tally,
    state: Arc<State>,
    /// Whole lines that are not written yet, and how many.
    waiting: (Vec<u8>, u64),
}

impl Writer {
    fn new(files: Files, state: Arc<State>) -> Self {
        Self { files, tally: Tally::default(), state, waiting: (Vec::with_capacity(TOGETHER), 0) }
    }

    /// Writes what waits.
    fn put(&mut self) {
        let (lines, count) = &mut self.waiting;
        if *count == 0 {
            return;
        }
        let put = self.files.append(lines);
        if put.is_err() {
            self.state.failed.fetch_add(*count, Ordering::Relaxed);
        }
        lines.clear();
        *count = 0;
        if put.is_ok() {
            self.tell(false);
        }
    }

    fn tell(&mut self, closing: bool) {
        let dropped = self.state.dropped();
        let Some(missing) = self.tally.due(dropped, Instant::now(), closing) else { return };
        let line = serde_json::json!({
            "timestamp": format!("{:.6}", jiff::Timestamp::now()),
            "level": "WARN",
            "message": "lines of the log were dropped: the disk was too slow, or full",
            "event": "log_lines_dropped",
            "dropped": missing,
            "dropped_since_start": dropped,
        });
        if self.files.append(format!("{line}\n").as_bytes()).is_ok() {
            self.tally.told(dropped, Instant::now());
        }
    }
}

impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let (lines, count) = &mut self.waiting;
        lines.extend_from_slice(line);
        *count += 1;
        if lines.len() >= TOGETHER {
            self.put();
        }
        Ok(line.len())
    }

    /// Called by the thread when nothing waits any more.
    fn flush(&mut self) -> io::Result<()> {
        self.files.look();
        self.put();
        if self.state.closing.load(Ordering::Acquire) {
            self.tell(true);
        } else {
            std::thread::sleep(REST);
        }
        Ok(())
    }
}

/// What was told about dropped lines, and when.
#[derive(Debug, Default)]
struct Tally {
    told: u64,
    at: Option<Instant>,
}

impl Tally {
    /// How many lines to tell about now, if any: at once the first time, then once a minute, and at the end.
    fn due(&self, dropped: u64, now: Instant, closing: bool) -> Option<u64> {
        let missing = dropped.checked_sub(self.told).filter(|missing| *missing > 0)?;
        let quiet = self.at.is_none_or(|at| now.saturating_duration_since(at) >= TELL_EVERY);
        (quiet || closing).then_some(missing)
    }

    fn told(&mut self, dropped: u64, now: Instant) {
        (self.told, self.at) = (dropped, Some(now));
    }
}

#[cfg(test)]
mod tests;
