//! A store whose bytes are damaged: it is set aside, and what can be read of it goes into a new one.
//!
//! 1. `queue.db`, its `-wal` and its `-shm` are renamed together to `queue.corrupt-<time>.db…`; they are never changed again, and never
//!    removed by this program.
//! 2. Each table is read row by row ([`scan`]). Where a page is damaged, the rows behind it are found again by their keys; what the tree does
//!    not lead to any more is read from the pages themselves ([`pages`]). What lies on a damaged page is lost.
//! 3. What was read goes into a new store, in one transaction, under the same keys: an entry whose deliveries are lost goes to all
//!    destinations again; an entry whose file is lost gets a file without a name; one whose bytes are lost fails, for a person to see.
//! 4. Large reports in the spool that nothing names any more are set aside too, as `queue.corrupt-<time>.spool`.
//! 5. What is missing is counted, and written into the table `loss`. All that is done before the new store gets its name.
//!
//! A crash in between: the file is set aside and there is no new one, or an incomplete one under another name. Both are noticed at the next
//! start by `queue.mark`, and the newest file that was set aside is read once more. A file `queue.corrupt-<time>.saved` says that this is over.

mod pages;
mod scan;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, params};
use waybill_shared::error::Code;
use waybill_shared::fs::{atomic, private};
use waybill_shared::id::CorrelationId;
use waybill_shared::text;

use scan::{Read, TABLES};

use super::codes::{EVICTED, FAILED, PENDING, STAGED};
use super::mark::Mark;
use super::{Places, QueueError, schema};

/// Part of the name of files that were set aside.
const CORRUPT: &str = ".corrupt-";

/// Beside a file that was set aside: what can be read of it is in the store. Of itself an empty file.
const SAVED: &str = "saved";

/// What was saved, and what was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// What was wrong.
    pub what: String,
    /// Reports that were saved.
    pub saved: u64,
    /// Reports that are lost, as far as that can be told.
    pub reports: Option<u64>,
    /// Deliveries that were not made and are lost, as far as that can be told.
    pub deliveries: Option<u64>,
    /// Where the damaged file lies.
    pub kept_at: Option<PathBuf>,
    /// Large reports that nothing names any more, and the folder that they were put into.
    pub spooled: Option<(u64, PathBuf)>,
}

/// Sets the store aside and makes a new one of what can be read. `finish` gets it before it counts, and the entries whose deliveries may be
/// lost in part, by their first and last number.
///
/// # Errors
/// The folder cannot be written: nothing is lost by that, and it can be tried again.
pub(super) fn salvage(
    places: &Places,
    reason: &str,
    mark: &Mark,
    now: Timestamp,
    finish: impl FnOnce(&mut Connection, &[(i64, i64)]) -> rusqlite::Result<()>,
) -> Result<Salvaged, QueueError> {
    let unavailable =
        |error: &dyn std::fmt::Display| QueueError::Unavailable { path: text::path(&places.database), reason: error.to_string() };
    let aside = set_aside(&places.database, now).map_err(|error| unavailable(&error))?;
    let made = places.database.with_extension("new.db");
    remove(&made).map_err(|error| unavailable(&error))?;
    // Private from its first byte, as any store is.
    waybill_shared::fs::create_new_private(&made).map_err(|error| unavailable(&error))?;
    let mut salvaged = rebuild(aside.as_deref(), &made, reason, now, finish).map_err(|error| unavailable(&error))?;
    let connection = Connection::open(&made).map_err(|error| unavailable(&error))?;
    salvaged.spooled = keep_spool(&connection, places, now)?;
    connection.close().map_err(|(_, error)| unavailable(&error))?;
    // From now on a store without a log is whole; until the new one is in its place, that there is none says enough.
    mark.whole().map_err(|error| unavailable(&error))?;
    atomic::publish(&made, &places.database).map_err(|error| unavailable(&error))?;
    Ok(salvaged)
}

/// Large reports lie in files of their own. Those that a store does not name which has lost something are whole all the same: they are set
/// aside, and its table `loss` says where. How many, and the folder.
pub(super) fn keep_spool(connection: &Connection, places: &Places, now: Timestamp) -> Result<Option<(u64, PathBuf)>, QueueError> {
    let unavailable =
        |error: &dyn std::fmt::Display| QueueError::Unavailable { path: text::path(&places.spool), reason: error.to_string() };
    let named = schema::spooled(connection).map_err(|error| unavailable(&error))?;
    let mut unnamed = Vec::new();
    for file in std::fs::read_dir(&places.spool).map_err(|error| unavailable(&error))? {
        let file = file.map_err(|error| unavailable(&error))?;
        if !named.contains(file.file_name().to_string_lossy().as_ref()) {
            unnamed.push(file);
        }
    }
    if unnamed.is_empty() {
        return Ok(None);
    }
    let stem = places.database.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = places.database.with_file_name(format!("{stem}{CORRUPT}{}.spool", now.strftime("%Y%m%dT%H%M%SZ")));
    private::create_folder(&folder).map_err(|error| unavailable(&error))?;
    for file in &unnamed {
        rename(&file.path(), &folder.join(file.file_name())).map_err(|error| unavailable(&error))?;
    }
    let synced = waybill_shared::fs::sync_folder(&folder).and_then(|()| waybill_shared::fs::sync_folder(&places.spool));
    synced.map_err(|error| unavailable(&error))?;
    let said = format!("; {} large reports that nothing names lie in {} (zstd)", unnamed.len(), text::path(&folder));
    connection
        .execute("UPDATE loss SET what = what || ?1 WHERE loss = (SELECT max(loss) FROM loss)", [&said])
        .map_err(|error| unavailable(&error))?;
    Ok(Some((unnamed.len() as u64, folder)))
}

/// Renames the store and what belongs to it; its new name, or that of one set aside before if there is none now.
pub(super) fn set_aside(database: &Path, now: Timestamp) -> std::io::Result<Option<PathBuf>> {
    let there = std::fs::metadata(database).is_ok_and(|file| file.len() > 0);
    let log = beside(database, "-wal");
    let log_there = std::fs::metadata(&log).is_ok_and(|file| file.len() > 0);
    if !there && !log_there {
        remove(database)?;
        return newest_aside(database);
    }
    // A crash came after the store itself was renamed: its log belongs to it, and holds what was committed last.
    if let (false, Some(aside)) = (there, newest_aside(database)?)
        && !beside(&aside, "-wal").try_exists()?
    {
        rename_all(database, &aside, &["-wal", "-shm"])?;
        return Ok(Some(aside));
    }
    let stem = database.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = |number: u32| {
        let number = if number == 0 { String::new() } else { format!("-{number}") };
        database.with_file_name(format!("{stem}{CORRUPT}{}{number}.db", now.strftime("%Y%m%dT%H%M%SZ")))
    };
    let mut number = 0;
    while name(number).try_exists()? {
        number += 1;
    }
    let aside = name(number);
    rename_all(database, &aside, &["", "-wal", "-shm"])?;
    Ok(Some(aside))
}

/// The store before its log: what is left alone by a crash is a log without a store, which is noticed.
fn rename_all(database: &Path, aside: &Path, suffixes: &[&str]) -> std::io::Result<()> {
    for suffix in suffixes {
        match rename(&beside(database, suffix), &beside(aside, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    waybill_shared::fs::sync_folder(&atomic::folder_of(database))
}

#[allow(clippy::disallowed_methods, reason = "damaged files are set aside under new names, nothing is replaced")]
fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    waybill_shared::fs::retry_sharing(|| std::fs::rename(from, to))
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn remove(database: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        match std::fs::remove_file(beside(database, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Notes of the files that were set aside that all that can be read of them is in the store: should somebody remove the store some day,
/// none of it comes back over what was sent since.
pub(super) fn settle(database: &Path) -> std::io::Result<()> {
    while let Some(aside) = newest_aside(database)? {
        std::fs::File::create_new(aside.with_extension(SAVED))?.sync_all()?;
        waybill_shared::fs::sync_folder(&atomic::folder_of(database))?;
    }
    Ok(())
}

/// The file that was set aside last and is not in the store: a crash may have come between that and the new one.
fn newest_aside(database: &Path) -> std::io::Result<Option<PathBuf>> {
    let stem = format!("{}{CORRUPT}", database.file_stem().unwrap_or_default().to_string_lossy());
    let mut found: Vec<PathBuf> = Vec::new();
    for file in std::fs::read_dir(atomic::folder_of(database))? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(&stem) && name.ends_with(".db") && !path.with_extension(SAVED).try_exists()? {
            found.push(path);
        }
    }
    Ok(found.into_iter().max())
}

fn rebuild(
    aside: Option<&Path>,
    made: &Path,
    reason: &str,
    now: Timestamp,
    finish: impl FnOnce(&mut Connection, &[(i64, i64)]) -> rusqlite::Result<()>,
) -> rusqlite::Result<Salvaged> {
    let mut new = Connection::open(made)?;
    // It has no name yet that anybody looks for: after a crash it is made anew. It is synced as a whole before it gets one.
    new.pragma_update(None, "synchronous", "OFF")?;
    new.pragma_update(None, "journal_mode", "MEMORY")?;
    // Rows come in whatever order; what belongs to nothing is looked for in the end.
    new.pragma_update(None, "foreign_keys", false)?;
    let transaction = new.transaction()?;
    transaction.execute_batch(schema::SCHEMA)?;
    let mut read = Read::default();
    if let Some(aside) = aside {
        // The damaged file must not be changed by looking at it: no log is folded into it.
        match Connection::open_with_flags(aside, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX) {
            Ok(old) => TABLES.iter().for_each(|table| read.by_tree(&old, &transaction, table)),
            Err(error) => {
                tracing::error!(event = "queue_unreadable", path = %aside.display(), %error, "only its pages can be looked at");
                TABLES.iter().for_each(|table| read.unreadable(table));
            }
        }
        read.by_pages(aside, &transaction);
    }
    let waited: Option<u64> = (read.rows("counter") > 0)
        .then(|| {
            transaction.query_row(
                "SELECT coalesce(sum(count), 0) FROM counter WHERE state IN (?1, ?2)",
                [PENDING, FAILED],
                |row| row.get(0),
            )
        })
        .transpose()?;
    // Deliveries that are there name the reports that are not.
    let named: u64 = transaction.query_row(
        "SELECT count(DISTINCT entry) FROM delivery d WHERE NOT EXISTS (SELECT 1 FROM entry e WHERE e.entry = d.entry)",
        [],
        |row| row.get(0),
    )?;
    let without_bytes = repair(&transaction, now)?;
    let saved: u64 = transaction.query_row("SELECT count(*) FROM entry", [], |row| row.get(0))?;
    let waits: u64 =
        transaction.query_row("SELECT count(*) FROM delivery WHERE state IN (?1, ?2)", [PENDING, FAILED], |row| row.get(0))?;
    let known = read.rows("delivery") > 0;
    let reports = known.then_some(named + without_bytes);
    let deliveries = waited.map(|waited| waited.saturating_sub(waits) + without_bytes);
    // Without the names of the destinations nobody knows what was to go where.
    let nameless = !read.gaps("destination").is_empty();
    let unsure = if nameless { vec![(i64::MIN, i64::MAX)] } else { read.gaps("delivery").to_vec() };
    let what = format!("{reason}; {saved} reports were saved");
    transaction.execute(
        "INSERT INTO loss (at, what, reports, deliveries, kept_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![now.as_millisecond(), what, reports, deliveries, aside.map(text::path)],
    )?;
    transaction.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", schema::VERSION)?;
    transaction.commit()?;
    finish(&mut new, &unsure)?;
    new.close().map_err(|(_, error)| error)?;
    Ok(Salvaged { what, saved, reports, deliveries, kept_at: aside.map(Path::to_owned), spooled: None })
}

/// Makes a whole of what was saved; how many reports wait whose bytes are gone.
fn repair(new: &Connection, now: Timestamp) -> rusqlite::Result<u64> {
    // Deliveries whose report is gone cannot be made.
    new.execute("DELETE FROM delivery WHERE NOT EXISTS (SELECT 1 FROM entry e WHERE e.entry = delivery.entry)", [])?;
    // A report whose file is unknown still has to go: it gets one without a name.
    new.execute(
        "INSERT INTO file (file, source, path, name, file_id, size, modified_ns, hash, correlation, taken_at, reports, state)
         SELECT e.file, '', '', '', zeroblob(16), 0, 0, zeroblob(32), ?1, max(e.queued_at), count(*), 2 FROM entry e
         WHERE NOT EXISTS (SELECT 1 FROM file f WHERE f.file = e.file) GROUP BY e.file",
        [CorrelationId::new().as_bytes()],
    )?;
    // A destination whose name is gone is nowhere: what was to go there goes to all, as if it had never been bound.
    new.execute(
        "DELETE FROM delivery WHERE state IN (?1, ?2, ?3)
         AND NOT EXISTS (SELECT 1 FROM destination t WHERE t.destination = delivery.destination)",
        [STAGED, PENDING, FAILED],
    )?;
    new.execute(
        "INSERT INTO destination (destination, name) SELECT DISTINCT destination, 'lost-' || destination FROM delivery
         WHERE NOT EXISTS (SELECT 1 FROM destination t WHERE t.destination = delivery.destination)",
        [],
    )?;
    let without_bytes = new.execute(
        "UPDATE delivery SET state = ?1, finished_at = ?2, code = ?3, note = 'its bytes were lost with a part of the queue that was damaged'
         WHERE state = ?4 AND EXISTS (SELECT 1 FROM entry e WHERE e.entry = delivery.entry AND e.payload IS NULL AND e.spool IS NULL)",
        params![FAILED, now.as_millisecond(), Code::PayloadDamaged.as_str(), PENDING],
    )?;
    // What goes nowhere goes where reports go now.
    new.execute(
        "UPDATE entry SET unbound = CASE WHEN EXISTS (SELECT 1 FROM delivery d WHERE d.entry = entry.entry) THEN NULL ELSE 1 END",
        [],
    )?;
    // Of what was ever sent or given up the counters know more than the rows; of everything else the rows are the truth.
    new.execute("DELETE FROM counter WHERE state IN (?1, ?2, ?3, ?4)", [STAGED, PENDING, FAILED, EVICTED])?;
    new.execute(
        "INSERT INTO counter (destination, state, priority, count, bytes)
         SELECT d.destination, d.state, d.priority, count(*), sum(e.stored) FROM delivery d JOIN entry e ON e.entry = d.entry
         WHERE true GROUP BY d.destination, d.state, d.priority
         ON CONFLICT DO UPDATE SET count = max(count, excluded.count), bytes = max(bytes, excluded.bytes)",
        [],
    )?;
    new.execute(
        "INSERT INTO source (name, queued, reports) SELECT source, count(*), sum(reports) FROM file WHERE source <> '' GROUP BY source
         ON CONFLICT DO UPDATE SET queued = max(queued, excluded.queued), reports = max(reports, excluded.reports)",
        [],
    )?;
    Ok(without_bytes as u64)
}
