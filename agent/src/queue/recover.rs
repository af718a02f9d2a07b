//! Opening the queue: what a crash left half done is put right before anything else happens.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use waybill_shared::config::{Config, Destination};
use waybill_shared::fs::private;

use super::apply::{State, drop_staged};
use super::bind::bind_unbound;
use super::codes::{self, PENDING};
use super::read::ReaderThreads;
use super::writer::{self, OnCommit, Setup};
use super::{Backlog, Counts, Gate, Places, QueueError, Reader, SourceCounts, Writer, WriterThread, schema};

/// An open queue.
pub struct Opened {
    /// To write.
    pub writer: Writer,
    /// The thread that writes.
    pub writer_thread: WriterThread,
    /// To read.
    pub reader: Reader,
    /// The threads that read.
    pub reader_threads: ReaderThreads,
    /// Whether the queue takes more.
    pub gate: Arc<Gate>,
    /// What is converted and not committed.
    pub backlog: Arc<Backlog>,
    /// Deliveries by destination, for all that ever were.
    pub deliveries: HashMap<String, Counts>,
    /// Files by source.
    pub sources: HashMap<String, SourceCounts>,
}

/// Opens the queue, puts right what a crash left, and starts its threads.
///
/// # Errors
/// [`QueueError`]: nothing was changed that matters; the agent must not start.
pub fn open(places: &Places, config: &Config, on_commit: OnCommit) -> Result<Opened, QueueError> {
    let unavailable = |error: &dyn std::fmt::Display| QueueError::Unavailable {
        path: waybill_shared::text::path(&places.database),
        reason: error.to_string(),
    };
    for folder in [places.database.parent().unwrap_or(Path::new(".")), &places.spool] {
        private::create_folder(folder).map_err(|error| unavailable(&format!("{}: {error}", folder.display())))?;
    }
    let mut connection = schema::open_writer(&places.database)?;
    let state = put_right(&mut connection, places, config).map_err(|error| unavailable(&error))?;
    let sources = source_counts(&connection).map_err(|error| unavailable(&error))?;
    let deliveries = delivery_counts(&state);
    let gate = Arc::new(Gate::default());
    let _initial = gate.set(state.waiting().1, state.max_entries);
    let setup = Setup { connection, places: places.clone(), gate: Arc::clone(&gate), on_commit };
    let (reader, reader_threads) = super::read::start(&places.database, &places.spool)?;
    let (writer, writer_thread) = writer::start(setup, state).map_err(|error| unavailable(&error))?;
    Ok(Opened { writer, writer_thread, reader, reader_threads, gate, backlog: Arc::default(), deliveries, sources })
}

fn put_right(connection: &mut Connection, places: &Places, config: &Config) -> rusqlite::Result<State> {
    let transaction = connection.transaction()?;
    let mut state = load(&transaction, config)?;
    drop_all_staged(&transaction, &mut state)?;
    let active = state.active.clone();
    bind_unbound(&transaction, &active, |destination, priority| {
        count(&transaction, &mut state, (destination, PENDING, priority), 1)
    })?;
    clamp_due(&transaction, config)?;
    transaction.commit()?;
    sweep_spool(connection, &places.spool)?;
    Ok(state)
}

fn load(connection: &Connection, config: &Config) -> rusqlite::Result<State> {
    for destination in &config.destination {
        connection.execute("INSERT INTO destination (name) VALUES (?1) ON CONFLICT DO NOTHING", [&destination.name])?;
    }
    let names: HashMap<i64, String> = connection
        .prepare("SELECT destination, name FROM destination")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let key = |name: &str| names.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(key, _)| *key);
    let keys = |wanted: fn(&Destination) -> bool| -> Vec<i64> {
        config.destination.iter().filter(|d| wanted(d)).filter_map(|destination| key(&destination.name)).collect()
    };
    let (active, configured) = (keys(|destination| destination.enabled), keys(|_| true));
    let counters = connection
        .prepare("SELECT destination, state, priority, count FROM counter")?
        .query_map([], |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let (max_entries, when_full) = (config.queue.max_entries, config.queue.when_full);
    Ok(State { counters, names, active, configured, max_entries, when_full, staging: HashMap::new() })
}

fn count(connection: &Connection, state: &mut State, key: (i64, i64, u8), delta: i64) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO counter (destination, state, priority, count) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET count = count + excluded.count",
        params![key.0, key.1, key.2, delta],
    )?;
    *state.counters.entry(key).or_default() += delta;
    Ok(())
}

/// Reports of files that were not whole when the agent ended: their files are still there and are read again.
fn drop_all_staged(connection: &Connection, state: &mut State) -> rusqlite::Result<()> {
    let files: Vec<i64> = connection
        .prepare("SELECT file FROM file WHERE state = 0")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for file in files {
        for (destination, priority, dropped) in drop_staged(connection, file)?.counts {
            count(connection, state, (destination, codes::STAGED, priority), -dropped)?;
        }
    }
    Ok(())
}

/// A clock that was wrong may have put deliveries years into the future: none waits longer than the longest backoff.
fn clamp_due(connection: &Connection, config: &Config) -> rusqlite::Result<()> {
    let longest = SignedDuration::from_secs(i64::try_from(config.upload.backoff_max_secs).unwrap_or(i64::MAX));
    let latest = Timestamp::now().saturating_add(longest).map_or(i64::MAX, Timestamp::as_millisecond);
    connection.execute("UPDATE delivery SET due = ?1 WHERE state = 1 AND due > ?1", [latest])?;
    Ok(())
}

/// Payloads that no entry names: their commit never came, or their entry is gone.
fn sweep_spool(connection: &Connection, spool: &Path) -> rusqlite::Result<()> {
    let named: HashSet<String> = connection
        .prepare("SELECT spool FROM entry WHERE spool IS NOT NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let Ok(files) = std::fs::read_dir(spool) else { return Ok(()) };
    for file in files.flatten() {
        if named.contains(file.file_name().to_string_lossy().as_ref()) {
            continue;
        }
        if let Err(error) = std::fs::remove_file(file.path()) {
            tracing::warn!(event = "spool_sweep_failed", path = %file.path().display(), %error, "a leftover stays in the spool");
        }
    }
    Ok(())
}

fn delivery_counts(state: &State) -> HashMap<String, Counts> {
    let mut all: HashMap<String, Counts> = state.names.values().map(|name| (name.clone(), Counts::default())).collect();
    for (&(destination, code, _), &count) in &state.counters {
        if let (Some(name), Some(kind), Ok(count)) = (state.names.get(&destination), codes::state(code), u64::try_from(count)) {
            all.entry(name.clone()).or_default().add(kind, count);
        }
    }
    all
}

fn source_counts(connection: &Connection) -> rusqlite::Result<HashMap<String, SourceCounts>> {
    connection
        .prepare("SELECT name, queued, errors, reports FROM source")?
        .query_map([], |row| Ok((row.get(0)?, SourceCounts { queued: row.get(1)?, errors: row.get(2)?, reports: row.get(3)? })))?
        .collect()
}
