//! The store's tables, and how a connection is set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::QueueError;

/// Marks the file as ours: "WYBQ".
const APPLICATION_ID: i64 = 0x5759_4251;
/// The schema that this version writes.
pub(super) const VERSION: i64 = 1;

/// Schema 1. Frozen once released: a change is a new version with a migration.
pub(super) const SCHEMA_1: &str = "
CREATE TABLE file (
    file        INTEGER PRIMARY KEY,
    source      TEXT NOT NULL,
    path        TEXT NOT NULL,
    file_id     BLOB NOT NULL,
    size        INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    hash        BLOB NOT NULL,
    correlation BLOB NOT NULL,
    taken_at    INTEGER NOT NULL,
    reports     INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    place       TEXT
);
CREATE INDEX file_path ON file (path, source);
CREATE INDEX file_open ON file (state) WHERE state < 2;
CREATE TABLE entry (
    entry     INTEGER PRIMARY KEY AUTOINCREMENT,
    file      INTEGER NOT NULL REFERENCES file (file),
    report_id BLOB NOT NULL,
    serial    TEXT NOT NULL,
    part      TEXT NOT NULL,
    result    TEXT NOT NULL,
    priority  INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    hash      BLOB NOT NULL,
    size      INTEGER NOT NULL,
    spool     TEXT,
    payload   BLOB
);
CREATE INDEX entry_file ON entry (file);
CREATE INDEX entry_serial ON entry (serial);
CREATE TABLE destination (
    destination INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE COLLATE NOCASE,
    accepted_by TEXT
);
CREATE TABLE delivery (
    entry       INTEGER NOT NULL REFERENCES entry (entry),
    destination INTEGER NOT NULL REFERENCES destination (destination),
    state       INTEGER NOT NULL,
    report_id   BLOB NOT NULL,
    priority    INTEGER NOT NULL,
    rank        INTEGER NOT NULL,
    due         INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    tries       INTEGER NOT NULL DEFAULT 0,
    mark        INTEGER NOT NULL DEFAULT -1,
    finished_at INTEGER,
    note        TEXT,
    PRIMARY KEY (entry, destination)
) WITHOUT ROWID;
CREATE INDEX delivery_ready ON delivery (destination, rank, entry) WHERE state = 1 AND due = 0;
CREATE INDEX delivery_delayed ON delivery (destination, due) WHERE state = 1 AND due > 0;
CREATE INDEX delivery_revision ON delivery (report_id, destination, entry) WHERE state = 1;
CREATE INDEX delivery_kept ON delivery (state, finished_at) WHERE state > 1;
CREATE TABLE counter (
    destination INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (destination, state, priority)
) WITHOUT ROWID;
CREATE TABLE source (
    name    TEXT PRIMARY KEY COLLATE NOCASE,
    queued  INTEGER NOT NULL DEFAULT 0,
    errors  INTEGER NOT NULL DEFAULT 0,
    reports INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE conversion_error (
    error       INTEGER PRIMARY KEY AUTOINCREMENT,
    source      TEXT NOT NULL,
    path        TEXT NOT NULL,
    moved_to    TEXT,
    at          INTEGER NOT NULL,
    correlation BLOB NOT NULL,
    report      TEXT NOT NULL
);
";

/// Opens the database for the one writer, creating it if it is not there.
pub(super) fn open_writer(path: &Path) -> Result<Connection, QueueError> {
    let unavailable = |reason: String| QueueError::Unavailable { path: waybill_shared::text::path(path), reason };
    // Private from its first byte; the journal beside it takes over its permissions.
    match waybill_shared::fs::create_new_private(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(unavailable(error.to_string())),
        _ => {}
    }
    let mut connection = Connection::open(path).map_err(|error| unavailable(error.to_string()))?;
    // First of all: nothing of a newer version's file is changed, its journal's kind neither.
    let found: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|error| unavailable(error.to_string()))?;
    if found > VERSION {
        return Err(QueueError::TooNew { path: waybill_shared::text::path(path), found, known: VERSION });
    }
    prepare(&mut connection).map_err(|error| unavailable(error.to_string()))?;
    if found == 0 {
        create(&mut connection).map_err(|error| unavailable(error.to_string()))?;
    }
    Ok(connection)
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    // Checkpoints write 4 MB at a time; the file is cut back when it grew past 64 MiB.
    connection.pragma_update(None, "wal_autocheckpoint", 1000)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    connection.set_prepared_statement_cache_capacity(48);
    Ok(())
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA_1)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Opens the database for reading beside the writer.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    connection.set_prepared_statement_cache_capacity(24);
    Ok(connection)
}
