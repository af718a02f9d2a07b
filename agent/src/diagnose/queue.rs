//! What is in the queue, read beside the agent or without it. Nothing is changed.
//!
//! It reads schema 2 of `queue.db`, which is frozen, by a connection that can only read; of another version it says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use waybill_shared::paths::Instance;

use crate::queue::OLDEST_PENDING;

/// The schema that is known here.
const VERSION: i64 = 2;
/// Longest wait for a writer.
const BUSY: Duration = Duration::from_secs(1);
/// Longest time for all questions.
const LIMIT: Duration = Duration::from_secs(5);
/// Steps of SQLite between two looks at the clock.
const LOOK_EVERY: i32 = 10_000;
/// `delivery.state` of what waits.
const PENDING: &str = "pending";

/// What is in the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct QueueFacts {
    /// How many deliveries there are, by destination and state.
    pub(super) deliveries: BTreeMap<String, BTreeMap<String, u64>>,
    /// When the report was queued that waits longest, by destination; milliseconds since 1970 UTC.
    pub(super) oldest_pending_ms: BTreeMap<String, i64>,
    /// Files that could not be converted and are listed.
    pub(super) conversion_errors: u64,
    /// Size of the database with its journal, bytes.
    pub(super) database_bytes: u64,
    /// Size of the large reports beside it, bytes, and how many they are.
    pub(super) spool_bytes: u64,
    pub(super) spool_files: u64,
    /// What its own check says; only for a database that is small enough to be checked now.
    pub(super) check: Option<String>,
}

impl QueueFacts {
    /// How many deliveries of a destination are in a state.
    pub(super) fn count(&self, destination: &str, state: &str) -> u64 {
        self.deliveries.get(destination).and_then(|states| states.get(state)).copied().unwrap_or(0)
    }

    /// How many wait for a destination.
    pub(super) fn pending(&self, destination: &str) -> u64 {
        self.count(destination, PENDING)
    }
}

/// Reads it; none if there is no queue yet.
pub(super) fn read(instance: &Instance) -> Result<Option<QueueFacts>, String> {
    let database = instance.queue_database();
    if !database.try_exists().map_err(|error| error.to_string())? {
        return Ok(None);
    }
    let mut facts = read_database(&database).map_err(|error| error.to_string())??;
    for suffix in ["", "-wal", "-shm"] {
        let mut path = database.clone().into_os_string();
        path.push(suffix);
        facts.database_bytes += std::fs::metadata(path).map_or(0, |file| file.len());
    }
    if let Ok(entries) = std::fs::read_dir(instance.spool()) {
        for file in entries.flatten().filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file) {
            facts.spool_bytes += file.len();
            facts.spool_files += 1;
        }
    }
    Ok(Some(facts))
}

fn read_database(path: &Path) -> rusqlite::Result<Result<QueueFacts, String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", true)?;
    let begun = Instant::now();
    connection.progress_handler(LOOK_EVERY, Some(move || begun.elapsed() > LIMIT))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != VERSION {
        return Ok(Err(format!("the queue has schema {version}, this version knows {VERSION}")));
    }
    let mut facts = QueueFacts::default();
    let mut counts = connection.prepare(
        "SELECT d.name, c.state, sum(c.count) FROM counter c JOIN destination d ON d.destination = c.destination
         GROUP BY d.name, c.state HAVING sum(c.count) > 0",
    )?;
    let mut rows = counts.query([])?;
    while let Some(row) = rows.next()? {
        let (name, state, count): (String, i64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        facts.deliveries.entry(name).or_default().insert(word(state), count);
    }
    let mut oldest = connection.prepare(OLDEST_PENDING)?;
    let names: Vec<String> = facts.deliveries.keys().cloned().collect();
    for name in names {
        if let Some(at) = oldest.query_row([&name], |row| row.get::<_, Option<i64>>(0))? {
            facts.oldest_pending_ms.insert(name, at);
        }
    }
    facts.conversion_errors = connection.query_row("SELECT count(*) FROM conversion_error", [], |row| row.get(0))?;
    // It takes long with a large one, and is then left out.
    facts.check = match connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)) {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => None,
        Err(error) => Some(error.to_string()),
        Ok(found) => Some(found),
    };
    Ok(Ok(facts))
}

/// The states of the store, which never change their meaning.
fn word(state: i64) -> String {
    match state {
        0 => "staged",
        1 => PENDING,
        3 => "sent",
        4 => "failed",
        5 => "discarded",
        6 => "evicted",
        other => return format!("state {other}"),
    }
    .to_owned()
}
