//! `watchdog.json` in the data folder: what the watchdog knows, for those who ask while the agent is away, and for the next watchdog.
//!
//! The watchdog is its only writer and replaces it whole, so that a reader sees one moment or another. It survives the watchdog: an agent
//! that goes on without one is recognised by its number and start and looked after again.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waybill_ipc::protocol::LogFilter;
use waybill_shared::fs::atomic::{self, Access};
use waybill_shared::fs::lock;
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::process::{Identity, Usage};
use crate::log;

/// Raised when a reader of before could misunderstand what is written.
pub(super) const FORMAT: u32 = 1;
/// More than any record has, bytes.
const MOST: u64 = 1024 * 1024;
/// So many of the newest lines of the agent's log, and bytes of it, tell whether it ran since.
const LINES: usize = 1000;
const LOOKED_AT: u64 = 1024 * 1024;
/// The mark of its temporary file.
const MARK: &str = "watchdog";

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The agent was started and has not answered yet.
    Starting,
    /// It answers.
    Running,
    /// It did not answer when it was asked last.
    Silent,
    /// It hangs and is made to end.
    Ending,
    /// It ended and is started again soon.
    Waiting,
    /// The watchdog was told to stop and stops the agent.
    Stopping,
    /// The watchdog has ended, as it should.
    Ended,
    /// It ended too often, or would end again: nobody starts it any more.
    GaveUp,
}

/// What stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The form of this file.
    pub format: u32,
    /// How things stand.
    pub state: State,
    /// Since when, milliseconds since 1970 UTC.
    pub since_ms: i64,
    /// What a person reads about it.
    pub message: String,
    /// When this was written, milliseconds since 1970 UTC.
    pub written_at_ms: i64,
    /// The watchdog.
    pub watchdog: Watchdog,
    /// The agent that it looks after, if there is one now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Watched>,
    /// Questions in a row that were not answered.
    pub unanswered: u32,
    /// The last restarts, the newest last.
    pub restarts: Vec<Restart>,
    /// The last measurements, the newest last.
    pub samples: Vec<Sample>,
}

/// The watchdog that wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watchdog {
    /// Process id.
    pub pid: u32,
    /// Its program's version.
    pub version: String,
    /// Milliseconds since 1970 UTC.
    pub started_at_ms: i64,
}

/// The agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Which process it is.
    pub process: Identity,
    /// True if it ran already.
    pub taken_over: bool,
}

/// A restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// When it was decided, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// What had happened.
    pub why: String,
}

/// A measurement of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// What it used.
    pub usage: Usage,
}

/// Writes it, whole.
///
/// # Errors
/// Any I/O error; what was there before is then still whole.
pub fn write(path: &Path, record: &Record) -> io::Result<()> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
    bytes.push(b'\n');
    atomic::replace_by(path, &bytes, Access::Private, MARK)
}

/// Reads it; none if there is none, or it is of a form that this version does not know.
#[must_use]
pub fn read(path: &Path) -> Option<Record> {
    let length = std::fs::metadata(path).ok()?.len();
    let bytes = if length <= MOST { std::fs::read(path).ok()? } else { return None };
    serde_json::from_slice::<Record>(&bytes).ok().filter(|record| record.format == FORMAT)
}

/// What is wrong by the watchdog of an instance, as a sentence; none if there is none, or nothing is wrong as far as it knows.
#[must_use]
pub fn trouble(instance: &Instance) -> Option<String> {
    let record = read(&instance.watchdog_record())?;
    let since = since(&record);
    let message = text::printable(&record.message, 2000);
    match (record.state, watches(instance)) {
        (State::GaveUp, holder) if !ran_since(instance, record.since_ms) && holder.as_ref().is_none_or(|h| is_of(&record, h)) => {
            Some(format!("its watchdog gave up ({since}): {message}"))
        }
        (State::Starting | State::Silent | State::Ending | State::Waiting | State::Stopping, Some(holder))
            if is_of(&record, &holder) =>
        {
            Some(format!("its watchdog looks after it (since {since}): {message}"))
        }
        _ => None,
    }
}

/// What the watchdog of an instance says of an agent that does not answer, as a sentence; none only if there is no watchdog, and none that
/// gave up.
#[must_use]
pub fn said(instance: &Instance) -> Option<String> {
    trouble(instance).or_else(|| {
        let holder = watches(instance)?;
        // What it wrote last may be a moment old, or older if the disk is full.
        let last = read(&instance.watchdog_record()).filter(|record| is_of(record, &holder) && record.state == State::Running);
        let last = last.map_or_else(String::new, |record| {
            format!("; since {} the agent has answered, as far as it has written down", since(&record))
        });
        Some(format!("its watchdog runs and looks after it ({holder}){last}"))
    })
}

fn since(record: &Record) -> String {
    Timestamp::from_millisecond(record.since_ms).map_or_else(|_| "some time ago".to_owned(), |at| format!("{at:.0}"))
}

/// The watchdog that is at work, as it names itself.
fn watches(instance: &Instance) -> Option<String> {
    lock::holder(&instance.watchdog_lock())
}

/// True unless the one at work is known to be another one than the one that wrote the record.
fn is_of(record: &Record, holder: &str) -> bool {
    !holder.starts_with("watchdog process ") || holder.starts_with(&format!("watchdog process {} ", record.watchdog.pid))
}

/// True if an agent wrote into its log after that: what the watchdog said is then an old story. Starts that failed do not count.
fn ran_since(instance: &Instance, since_ms: i64) -> bool {
    let later = LogFilter { since_ms: Some(since_ms.saturating_add(1)), ..LogFilter::default() };
    let found = log::read::page(&instance.logs(), &later, None, LINES, LOOKED_AT);
    found.is_ok_and(|found| found.lines.iter().any(|line| line.event.as_deref() != Some(log::AGENT_NOT_STARTED)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use waybill_shared::paths::InstanceOptions;

    pub(in super::super) fn record(state: State) -> Record {
        Record {
            format: FORMAT,
            state,
            since_ms: 1_795_258_800_000,
            message: "the agent ended with exit code 1".to_owned(),
            written_at_ms: 1_795_258_801_000,
            watchdog: Watchdog { pid: 1, version: "0.1.0".to_owned(), started_at_ms: 1_795_258_700_000 },
            agent: Some(Watched { process: Identity { pid: 17, started: 4711 }, taken_over: true }),
            unanswered: 2,
            restarts: vec![Restart { at_ms: 5, why: "x".to_owned() }],
            samples: vec![Sample { at_ms: 6, usage: Usage { threads: Some(3), ..Usage::default() } }],
        }
    }

    #[test]
    fn it_is_read_as_it_was_written_and_what_was_not_measured_is_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watchdog.json");
        assert_eq!(read(&path), None);
        write(&path, &record(State::Silent)).unwrap();
        assert_eq!(read(&path), Some(record(State::Silent)));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"threads\": 3") && !text.contains("resident_bytes") && !text.contains("null"), "{text}");
        atomic::replace(&path, text.replace("\"format\": 1", "\"format\": 2").as_bytes()).unwrap();
        assert_eq!(read(&path), None);
        atomic::replace(&path, &text.as_bytes()[..text.len() / 2]).unwrap();
        assert_eq!(read(&path), None);
    }

    #[test]
    fn who_asks_is_told_that_it_gave_up_and_only_a_living_watchdog_is_at_work() {
        let folder = tempfile::tempdir().unwrap();
        let options = InstanceOptions { data_dir: Some(folder.path().to_owned()), ..InstanceOptions::default() };
        let instance = Instance::locate(&options).unwrap();
        assert_eq!(said(&instance), None);
        write(&instance.watchdog_record(), &record(State::GaveUp)).unwrap();
        let sentence = said(&instance).unwrap();
        assert!(sentence.contains("gave up") && sentence.contains("exit code 1"), "{sentence}");
        write(&instance.watchdog_record(), &record(State::Waiting)).unwrap();
        assert_eq!(said(&instance), None, "nobody is there");
        let lock = lock::Lock::acquire(&instance.watchdog_lock(), "a watchdog").unwrap();
        assert!(said(&instance).unwrap().contains("looks after it"));
        assert!(trouble(&instance).unwrap().contains("looks after it"));
        write(&instance.watchdog_record(), &record(State::Running)).unwrap();
        assert_eq!(trouble(&instance), None);
        assert!(said(&instance).unwrap().contains("its watchdog runs"), "it is there, whatever it wrote last");
        drop(lock);
        // What another one wrote is an old story.
        write(&instance.watchdog_record(), &record(State::GaveUp)).unwrap();
        let lock = lock::Lock::acquire(&instance.watchdog_lock(), "watchdog process 4711 (x)").unwrap();
        assert_eq!(trouble(&instance), None);
        let sentence = said(&instance).unwrap();
        assert!(sentence.contains("its watchdog runs") && sentence.contains("4711"), "{sentence}");
        drop(lock);
        assert!(trouble(&instance).unwrap().contains("gave up"));
        // Only an agent that ran later makes it an old story: not one that ran before, nor one that could not start.
        std::fs::create_dir(instance.logs()).unwrap();
        let mut log = String::new();
        for (at, event, old) in [
            ("2026-11-21T10:59:59.999Z", "agent_stopped", false),
            ("2026-11-21T11:00:00.001Z", "agent_not_started", false),
            ("2026-11-21T11:00:01Z", "agent_starting", true),
            ("2026-11-21T11:00:02Z", "agent_not_started", true),
        ] {
            log += &format!("{{\"timestamp\":\"{at}\",\"level\":\"INFO\",\"message\":\"x\",\"event\":\"{event}\"}}\n");
            atomic::replace(&instance.logs().join("agent.log"), log.as_bytes()).unwrap();
            assert_eq!(said(&instance).is_none(), old, "{event} at {at}");
        }
    }
}
