//! The agent's log: one JSON object a line, rotated by size.
//!
//! A line carries the correlation id of the file it is about, so that one id finds the whole life of a file. Lines are written by a thread of
//! their own; if the disk hangs, lines are dropped rather than holding up reports.

use std::path::Path;

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use waybill_shared::config::{Log, LogLevel};

/// Lines that wait for the disk.
const WAITING: usize = 8192;

/// Keeps the log running; dropping it writes what waits.
#[derive(Debug)]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// Begins to log into `<folder>/agent.log`.
///
/// # Errors
/// The folder cannot be made, or a log runs in this process already.
pub fn start(folder: &Path, log: &Log) -> std::io::Result<LogGuard> {
    std::fs::create_dir_all(folder)?;
    let limit = ContentLimit::BytesSurpassed(usize::try_from(log.max_bytes).unwrap_or(usize::MAX));
    let files =
        FileRotate::new(folder.join("agent.log"), AppendCount::new(log.max_files as usize), limit, Compression::None, None);
    let (writer, worker) = tracing_appender::non_blocking::NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING)
        .thread_name("log")
        .finish(files);
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Other crates say what they have to say at warn, whatever our own level is.
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("waybill_agent", level)
        .with_target("waybill_ipc", level);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false).with_writer(writer);
    tracing_subscriber::registry().with(targets).with(lines).try_init().map_err(std::io::Error::other)?;
    Ok(LogGuard { _worker: worker })
}
