//! Opening the queue: what a crash left half done is put right before anything else happens.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use waybill_shared::config::{Config, Destination};
use waybill_shared::fs::private;

use super::bind::bind_unbound;
use super::codes::{self, PENDING};
use super::files::drop_staged;
use super::mark::{Mark, Was, missing};
use super::read::ReaderThreads;
use super::readable::{is_readable_in_time, is_whole_after_all, read_through};
use super::salvage::{self, Salvaged};
use super::transaction::{State, Sum};
use super::writer::{self, OnCommit, Setup};
use super::{
    Backlog, Counts, Damage, Doors, Full, Gate, Limits, Places, QueueError, Reader, SourceCounts, Writer, WriterThread, older,
    rank, rescue, schema,
};
use crate::supervisor::Supervisor;

/// What tells the time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

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
    /// Where destinations get what was just committed.
    pub doors: Doors,
    /// Who is told when bytes of it are not what was written.
    pub damage: Arc<Damage>,
    /// Deliveries by destination, for all that ever were.
    pub deliveries: HashMap<String, Counts>,
    /// Files by source.
    pub sources: HashMap<String, SourceCounts>,
    /// What the opening found and nobody has seen yet.
    pub found: Found,
}

/// What the opening found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Damage, put right at this opening.
    pub salvaged: Option<Salvaged>,
    /// Losses that nobody has said he has seen, those of before included.
    pub losses: u32,
    /// Lanes that are held.
    pub held_lanes: Vec<u8>,
    /// Which bound of the queue is reached.
    pub full: Option<Full>,
    /// False if the agent of before did not close the queue: its pages should be looked at.
    pub clean: bool,
}

/// Opens the queue, puts right what a crash left or damage took, and starts its threads.
///
/// # Errors
/// [`QueueError`]: nothing was changed that matters; the agent must not start.
pub fn open(places: &Places, config: &Config, on_commit: OnCommit, supervisor: &Supervisor) -> Result<Opened, QueueError> {
    open_within(places, config, on_commit, Arc::new(Timestamp::now), writer::LONGEST, supervisor)
}

/// As [`open`], by a clock of one's own, and with threads that nobody looks after.
///
/// # Errors
/// As [`open`].
pub fn open_by(places: &Places, config: &Config, on_commit: OnCommit, now: Now) -> Result<Opened, QueueError> {
    open_within(places, config, on_commit, now, writer::LONGEST, &Supervisor::of_nobody())
}

/// As [`open_by`], with another longest time of a transaction.
pub(super) fn open_within(
    places: &Places,
    config: &Config,
    on_commit: OnCommit,
    now: Now,
    longest: Duration,
    supervisor: &Supervisor,
) -> Result<Opened, QueueError> {
    let unavailable = |error: &dyn std::fmt::Display| QueueError::Unavailable {
        path: waybill_shared::text::path(&places.database),
        reason: error.to_string(),
    };
    for folder in [places.database.parent().unwrap_or(Path::new(".")), &places.spool] {
        private::create_folder(folder).map_err(|error| unavailable(&format!("{}: {error}", folder.display())))?;
    }
    let mark = Mark::of(places);
    let (connection, state, salvaged, clean) = open_store(places, config, &mark, now())?;
    let sources = source_counts(&connection).map_err(|error| unavailable(&error))?;
    let losses = connection
        .query_row("SELECT count(*) FROM loss WHERE seen_at IS NULL", [], |row| row.get(0))
        .map_err(|error| unavailable(&error))?;
    mark.open().map_err(|error| unavailable(&error))?;
    if let Err(error) = salvage::settle(&places.database) {
        tracing::warn!(event = "salvage_not_settled", path = %places.database.display(), %error, "tried again at the next start");
    }
    let held_lanes = (1..=10).filter(|&lane| state.held_lanes[usize::from(lane)]).collect();
    let found = Found { salvaged, losses, held_lanes, full: state.limits.full(state.filled(), state.disk, None, false), clean };
    let deliveries = delivery_counts(&state);
    let (gate, doors) = (Arc::new(Gate::default()), Doors::default());
    gate.set(found.full);
    gate.count_nowhere(state.sum(codes::NOWHERE, PENDING).count);
    let damage = Arc::new(Damage::new(mark.clone()));
    let (reader, reader_threads) = super::read::start(&places.database, &places.spool, &damage, supervisor)?;
    let setup = Setup {
        connection,
        places: places.clone(),
        gate: Arc::clone(&gate),
        doors: doors.clone(),
        on_commit,
        mark,
        damage: Arc::clone(&damage),
        now,
        longest,
    };
    let (writer, writer_thread) = writer::start(setup, state, supervisor).map_err(|error| unavailable(&error))?;
    let backlog = Arc::default();
    Ok(Opened { writer, writer_thread, reader, reader_threads, gate, backlog, doors, damage, deliveries, sources, found })
}

/// The store and what the writer knows of it, salvaged if it is damaged.
fn open_store(
    places: &Places,
    config: &Config,
    mark: &Mark,
    now: Timestamp,
) -> Result<(Connection, State, Option<Salvaged>, bool), QueueError> {
    rescue::finish(places, mark, now)?;
    let was = mark.read();
    let clean = was != Was::Open;
    let damaged = |reason: String| {
        tracing::error!(event = "queue_damaged", path = %places.database.display(), reason, "the queue is set aside and what can be read is saved");
        reason
    };
    let noticed = match &was {
        Was::Damaged(reason) if !is_whole_after_all(places) => Some(reason.as_str()),
        _ => None,
    };
    let closed_at = if let Was::Closed(last) = was { last } else { None };
    let opened = match noticed.or_else(|| missing(places, &was)) {
        Some(reason) => Err(damaged(reason.to_owned())),
        None => match open_when_readable(places, config, closed_at, now) {
            Ok(opened) => Ok(opened),
            Err(QueueError::Corrupt { reason, .. }) => Err(damaged(reason)),
            Err(other) => return Err(other),
        },
    };
    let reason = match opened {
        Ok((connection, state)) => return Ok((connection, state, None, clean)),
        Err(reason) => reason,
    };
    let salvaged = salvage::salvage(places, &reason, mark, now, |connection, unsure| {
        let mut state = load(connection, config)?;
        drop_all_staged(connection, &mut state)?;
        bind_all(connection, &mut state)?;
        rebind(connection, &mut state, unsure)
    })?;
    tracing::error!(
        event = "queue_salvaged",
        saved = salvaged.saved,
        lost_reports = salvaged.reports,
        lost_deliveries = salvaged.deliveries,
        kept_at = salvaged.kept_at.as_deref().map(waybill_shared::text::path),
        large_reports = salvaged.spooled.as_ref().map(|(count, _)| count),
        large_reports_at = salvaged.spooled.as_ref().map(|(_, folder)| waybill_shared::text::path(folder)),
        "what can be read of the queue was saved"
    );
    let (connection, state) = open_whole(places, config, None, now)?;
    Ok((connection, state, Some(salvaged), clean))
}

fn open_whole(
    places: &Places,
    config: &Config,
    closed_at: Option<i64>,
    now: Timestamp,
) -> Result<(Connection, State), QueueError> {
    let mut connection = schema::open_writer(&places.database)?;
    let state =
        put_right(&mut connection, places, config, closed_at, now).map_err(|error| schema::from_sql(&places.database, &error))?;
    Ok((connection, state))
}

/// As [`open_whole`]; SQLite takes a disk that cannot be read for damage, so that is waited for.
fn open_when_readable(
    places: &Places,
    config: &Config,
    closed_at: Option<i64>,
    now: Timestamp,
) -> Result<(Connection, State), QueueError> {
    match open_whole(places, config, closed_at, now) {
        Err(QueueError::Corrupt { .. }) if read_through(places).is_err() && is_readable_in_time(places) => {
            open_whole(places, config, closed_at, now)
        }
        result => result,
    }
}

fn put_right(
    connection: &mut Connection,
    places: &Places,
    config: &Config,
    closed_at: Option<i64>,
    now: Timestamp,
) -> rusqlite::Result<State> {
    let transaction = connection.transaction()?;
    let mut state = load(&transaction, config)?;
    state.disk = writer::room(places);
    drop_all_staged(&transaction, &mut state)?;
    bind_all(&transaction, &mut state)?;
    count_unbound(&transaction, &mut state)?;
    clamp_due(&transaction, config, now)?;
    let is_older = older::note(&transaction, places, closed_at, now)?;
    // Something is written in any case: from now on there is a log, which the mark speaks of.
    transaction.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
    transaction.commit()?;
    if !is_older {
        sweep_spool(connection, &places.spool)?;
    }
    Ok(state)
}

/// Reports that go nowhere go to all destinations of the configuration.
fn bind_all(connection: &Connection, state: &mut State) -> rusqlite::Result<()> {
    let active = state.active.clone();
    bind_unbound(connection, &active, |destination, priority, sum| {
        count(connection, state, (destination, PENDING, priority), sum)
    })
}

/// What still goes nowhere is bounded as what waits for a destination is.
fn count_unbound(connection: &Connection, state: &mut State) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT e.priority, count(*), sum(e.stored) FROM entry e JOIN file f ON f.file = e.file
         WHERE e.unbound = 1 AND f.state > 0 GROUP BY e.priority",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        state.counters.insert((codes::NOWHERE, PENDING, row.get(0)?), Sum { count: row.get(1)?, bytes: row.get(2)? });
    }
    Ok(())
}

/// Reports some of whose deliveries may be lost go to every destination that has none of them: rather twice than not at all.
fn rebind(connection: &mut Connection, state: &mut State, ranges: &[(i64, i64)]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for &(first, last) in ranges {
        for destination in state.active.clone() {
            let missing: Vec<(i64, u8, i64, i64)> = transaction
                .prepare(
                    "SELECT e.entry, e.priority, e.queued_at, e.stored FROM entry e WHERE e.entry BETWEEN ?1 AND ?2
                     AND (e.payload IS NOT NULL OR e.spool IS NOT NULL)
                     AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.entry = e.entry AND d.destination = ?3)",
                )?
                .query_map([first, last, destination], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
                .collect::<Result<_, _>>()?;
            for (entry, priority, queued_at, stored) in missing {
                transaction.execute(
                    "INSERT INTO delivery (entry, destination, state, priority, rank) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![entry, destination, PENDING, priority, rank::rank(queued_at, priority)],
                )?;
                count(&transaction, state, (destination, PENDING, priority), Sum::one(stored))?;
            }
        }
    }
    transaction.commit()
}

fn load(connection: &Connection, config: &Config) -> rusqlite::Result<State> {
    for destination in &config.destination {
        connection.execute("INSERT INTO destination (name) VALUES (?1) ON CONFLICT DO NOTHING", [&destination.name])?;
    }
    let (mut names, mut most, mut accepted_by) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut statement = connection.prepare("SELECT destination, name, most, accepted_by FROM destination")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        names.insert(key, row.get::<_, String>(1)?);
        most.insert(key, row.get(2)?);
        if let Some(address) = row.get(3)? {
            accepted_by.insert(key, address);
        }
    }
    let key = |name: &str| names.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(key, _)| *key);
    let keys = |wanted: fn(&Destination) -> bool| -> Vec<i64> {
        config.destination.iter().filter(|d| wanted(d)).filter_map(|destination| key(&destination.name)).collect()
    };
    let (active, configured) = (keys(|destination| destination.enabled), keys(|_| true));
    let optional = keys(|destination| !destination.required);
    let counters = connection
        .prepare("SELECT destination, state, priority, count, bytes FROM counter")?
        .query_map([], |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), Sum { count: row.get(3)?, bytes: row.get(4)? })))?
        .collect::<Result<_, _>>()?;
    let mut held_lanes = [false; 11];
    let held: Vec<u8> =
        connection.prepare("SELECT priority FROM lane")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    held.into_iter().filter_map(|lane| held_lanes.get_mut(usize::from(lane)).map(|held| *held = true)).for_each(drop);
    Ok(State {
        counters,
        names,
        active,
        configured,
        optional,
        limits: Limits::of(&config.queue),
        disk: super::Disk::default(),
        staging: HashMap::new(),
        held_lanes,
        accepted_by,
        most,
    })
}

fn count(connection: &Connection, state: &mut State, key: (i64, i64, u8), delta: Sum) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO counter (destination, state, priority, count, bytes) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes",
        params![key.0, key.1, key.2, delta.count, delta.bytes],
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
fn clamp_due(connection: &Connection, config: &Config, now: Timestamp) -> rusqlite::Result<()> {
    let longest = SignedDuration::from_secs(i64::try_from(config.upload.backoff_max_secs).unwrap_or(i64::MAX));
    let latest = now.saturating_add(longest).map_or(i64::MAX, Timestamp::as_millisecond);
    // One after the other: that is how they are indexed.
    let destinations: Vec<i64> =
        connection.prepare("SELECT destination FROM destination")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for destination in destinations {
        connection
            .prepare_cached("UPDATE delivery SET due = ?1 WHERE destination = ?2 AND state = 1 AND due > 0 AND due > ?1")?
            .execute([latest, destination])?;
    }
    Ok(())
}

/// Payloads that no entry names: their commit never came, or their entry is gone.
fn sweep_spool(connection: &Connection, spool: &Path) -> rusqlite::Result<()> {
    let named = schema::spooled(connection)?;
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
    for (&(destination, code, _), sum) in &state.counters {
        if let (Some(name), Some(kind), Ok(count)) = (state.names.get(&destination), codes::state(code), u64::try_from(sum.count))
        {
            all.entry(name.clone()).or_default().add(kind, count);
        }
    }
    for (key, most) in &state.most {
        if let (Some(name), Ok(most)) = (state.names.get(key), u64::try_from(*most)) {
            all.entry(name.clone()).or_default().most = most;
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
