//! The store's tables: how they are made, brought up from older versions, and how a connection is set up.
//!
//! The text of each version is frozen, and so is each step from one to the next: a change is a new version with a new step. Before a
//! step a whole copy of the store is put beside it. A store of a newer program is refused and not touched.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags};
use waybill_shared::text;

use super::QueueError;

/// Marks the file as ours: "WYBQ".
pub(super) const APPLICATION_ID: i64 = 0x5759_4251;
/// The schema that this version writes.
pub(super) const VERSION: i64 = 2;

/// The tables as this version makes them.
pub(super) const SCHEMA: &str = include_str!("schema-2.sql");
/// From each version to the next; the first brings version 1 to 2.
const STEPS: [&str; 1] = [include_str!("from-1-to-2.sql")];

/// Pause of a copy while somebody else holds the store.
const COPY_PAUSE: Duration = Duration::from_millis(50);
/// Pauses until a copy is given up.
const COPY_TRIES: u32 = 100;

/// Opens the database for the one writer, creating it if it is not there and bringing it up if it is older.
pub(super) fn open_writer(path: &Path) -> Result<Connection, QueueError> {
    // Private from its first byte; the journal beside it takes over its permissions.
    match waybill_shared::fs::create_new_private(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(unavailable(path, &error)),
        _ => {}
    }
    let mut connection = Connection::open(path).map_err(|error| from_sql(path, &error))?;
    // First of all: nothing of a newer version's file is changed, its journal's kind neither.
    let found: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|error| from_sql(path, &error))?;
    if found > VERSION {
        return Err(QueueError::TooNew { path: text::path(path), found, known: VERSION });
    }
    prepare(&connection).map_err(|error| from_sql(path, &error))?;
    if found == 0 && is_empty(&connection).map_err(|error| from_sql(path, &error))? {
        create(&mut connection).map_err(|error| from_sql(path, &error))?;
    } else if !(1..=VERSION).contains(&found) || !is_ours(&connection).map_err(|error| from_sql(path, &error))? {
        return Err(QueueError::Corrupt { path: text::path(path), reason: "it is not a queue of this program".to_owned() });
    } else if found < VERSION {
        let kept = path.with_extension(format!("schema-{found}.db"));
        copy(&connection, &kept).map_err(|error| unavailable(&kept, &error))?;
        migrate(&mut connection, found).map_err(|error| from_sql(path, &error))?;
        tracing::info!(event = "queue_migrated", from = found, to = VERSION, kept = %kept.display(), "the queue was brought up to this version; its copy of before is kept");
    }
    probe(&connection).map_err(|error| from_sql(path, &error))?;
    Ok(connection)
}

/// What an error of the store means when it is opened: damage is put right elsewhere, anything else keeps the agent from starting.
pub(super) fn from_sql(path: &Path, error: &rusqlite::Error) -> QueueError {
    if is_damage(error) {
        QueueError::Corrupt { path: text::path(path), reason: error.to_string() }
    } else {
        unavailable(path, error)
    }
}

/// Names of the files in the spool that belong to reports of the store.
pub(super) fn spooled(connection: &Connection) -> rusqlite::Result<HashSet<String>> {
    connection.prepare("SELECT spool FROM entry WHERE spool IS NOT NULL")?.query_map([], |row| row.get(0))?.collect()
}

/// True if the bytes of the store are not what was written.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            // A missing table or column is damage too: this version's tables are frozen.
            matches!(failure.code, DatabaseCorrupt | NotADatabase)
                || message.as_deref().is_some_and(|m| m.starts_with("no such table") || m.starts_with("no such column"))
        }
        rusqlite::Error::SqlInputError { msg, .. } => msg.starts_with("no such table") || msg.starts_with("no such column"),
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => true,
        _ => false,
    }
}

fn unavailable(path: &Path, error: &dyn std::fmt::Display) -> QueueError {
    QueueError::Unavailable { path: text::path(path), reason: error.to_string() }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    // Checkpoints write 4 MB at a time; the file is cut back when it grew past 64 MiB.
    connection.pragma_update(None, "wal_autocheckpoint", 8000)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    keep_plans(connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// A statement's plan stays what it is. Otherwise SQLite makes a new one at each use of a statement that compares a column with a parameter,
/// if its table has partial indexes: it might be that they fit this time.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    connection.pragma_query_value(None, "application_id", |row| Ok(row.get::<_, i64>(0)? == APPLICATION_ID))
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// All steps in one transaction: the store is of the old version or of this one.
fn migrate(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("file_name", 1, flags, |context| Ok(file_name(&context.get::<String>(0)?).to_owned()))?;
    let transaction = connection.transaction()?;
    for step in STEPS.iter().skip(usize::try_from(from - 1).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    connection.remove_function("file_name", 1)
}

/// The last part of a path of any system.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Touches every table, so that what cannot be used is noticed now, and takes the right to write.
fn probe(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let looked = ["file", "entry", "destination", "delivery", "counter", "lane", "source", "conversion_error", "loss"]
        .iter()
        .try_for_each(|table| {
            let mut first = connection.prepare(&format!("SELECT * FROM {table} LIMIT 1"))?;
            first.query([])?.next().map(drop)
        });
    connection.execute_batch("ROLLBACK")?;
    looked
}

/// Copies the whole store into a new file, as it is at one moment, while others go on writing.
///
/// # Errors
/// The copy cannot be written; nothing is left of it.
pub(super) fn copy(from: &Connection, to: &Path) -> rusqlite::Result<()> {
    let part = PathBuf::from(format!("{}.part", to.display()));
    let written = (|| {
        match waybill_shared::fs::create_new_private(&part) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(rusqlite::Error::ToSqlConversionFailure(Box::new(error)));
            }
            _ => {}
        }
        let mut copy = Connection::open(&part)?;
        // In one step, which is one moment of the store: it would begin anew whenever somebody wrote between two of them.
        let backup = Backup::new(from, &mut copy)?;
        let mut tries = 0..COPY_TRIES;
        while backup.step(-1)? != StepResult::Done {
            if tries.next().is_none() {
                return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None));
            }
            std::thread::sleep(COPY_PAUSE);
        }
        drop(backup);
        copy.pragma_update(None, "journal_mode", "DELETE")?;
        copy.close().map_err(|(_, error)| error)?;
        waybill_shared::fs::atomic::publish(&part, to).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    })();
    if written.is_err() {
        // Nobody takes it for a copy: its name says that it is a part.
        let _left = std::fs::remove_file(&part);
    }
    written
}

/// Opens the database for reading beside the writer.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    keep_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}
