//! The history's file: how it is opened, what happens if it is damaged, what is written and read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, named_params, params};
use waybill_ipc::protocol::{HistoryFilter, HistoryOutcome, HistoryRow, Page, Via};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::{fs, text};

use super::lock::{self, with_suffix};
use super::{KEEP, NewEntry};
use crate::platform;

/// Marks the file as ours: "WYBH".
const APPLICATION_ID: i64 = 0x5759_4248;
/// The schema that this version writes.
const VERSION: i64 = 1;
/// Longest wait for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// Longest wait for another process that opens the file, or holds a damaged one.
const LOCK: Duration = Duration::from_secs(5);
/// Up to this size the whole file is checked when it is opened; a larger one is noticed when the damage is met.
const CHECKED_BYTES: u64 = 16 * 1024 * 1024;
/// Entries in excess are removed at every so many entries,
const PURGE_EVERY: i64 = 64;
/// and at most so many at a time.
const PURGE_MOST: i64 = 512;
/// A page of a list ends when its texts come to so many bytes: it has to fit into a message.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Schema 1. Frozen once released: a change is a new version with a migration. The long texts come last, so that a search reads past
/// them. What the triggers refuse, they refuse every program; only what the retention ([`KEEP`]) no longer covers can be removed.
pub(super) const SCHEMA_1: &str = "
CREATE TABLE entry (
    key          INTEGER PRIMARY KEY AUTOINCREMENT,
    at           INTEGER NOT NULL,
    who          TEXT NOT NULL,
    via          TEXT NOT NULL,
    action       TEXT NOT NULL,
    target       TEXT NOT NULL,
    outcome      TEXT NOT NULL,
    code         TEXT,
    correlation  TEXT,
    message      TEXT,
    value_before TEXT,
    value_after  TEXT
) STRICT;
CREATE TRIGGER entry_never_changes BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER entry_never_replaced BEFORE INSERT ON entry WHEN EXISTS (SELECT 1 FROM entry WHERE key = NEW.key)
BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER entry_kept BEFORE DELETE ON entry WHEN OLD.key > (SELECT max(key) FROM entry) - 100000
BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
";

const INSERT: &str = "
INSERT INTO entry (at, who, via, action, target, outcome, code, correlation, message, value_before, value_after)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

// Prefixes are compared as bytes: no character of a filter has a meaning of its own.
const SELECT: &str = "
SELECT key, at, who, via, action, target, outcome, code, correlation, message, value_before, value_after FROM entry
WHERE key < :after
  AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until)
  AND (:who IS NULL OR instr(lower(who), lower(:who)) > 0)
  AND (:action IS NULL OR substr(CAST(action AS BLOB), 1, length(CAST(:action AS BLOB))) = CAST(:action AS BLOB))
  AND (:target IS NULL OR substr(CAST(target AS BLOB), 1, length(CAST(:target AS BLOB))) = CAST(:target AS BLOB))
  AND (:outcome IS NULL OR outcome = :outcome)
  AND (:correlation IS NULL OR correlation = :correlation)
ORDER BY key DESC LIMIT :limit";

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// What is in the file is not what was written.
    #[error("it is damaged ({0})")]
    Damaged(String),
    /// A newer program wrote it.
    #[error("it has schema {0}, this version knows up to {VERSION}")]
    TooNew(i64),
    /// Another program has it.
    #[error("{0}")]
    Held(String),
    /// Anything else that the disk or the OS says.
    #[error("{0}")]
    Unavailable(String),
}

impl StoreError {
    /// As a person reads it.
    pub(super) fn report(&self, path: &Path) -> ErrorReport {
        let report =
            ErrorReport::new(Code::DataFolderUnavailable, format!("the history {} cannot be used: {self}", text::path(path)));
        match self {
            Self::TooNew(_) => report.with_fix("Install the version that wrote it, or a newer one"),
            Self::Held(_) => report.with_fix("End other commands and agents of this instance, then try again"),
            Self::Damaged(_) => report.with_fix("Check the disk; the next start sets the file aside and begins a new one"),
            Self::Unavailable(_) => {
                report.with_fix("Check space and permissions of the data folder and its disk, then try again")
            }
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let words = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(words),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Held(format!("another program is writing ({words})"))
            }
            _ => match error {
                // A text that is none, a word that nobody wrote.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..) => Self::Damaged(words),
                _ => Self::Unavailable(words),
            },
        }
    }
}

/// What the OS says of a file or folder.
pub(super) fn unavailable(what: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", text::path(what)))
}

/// The open file.
pub(super) struct Store {
    // Closed before the lock is released.
    connection: Connection,
    /// Which file it is, whatever its name is now.
    file_id: [u8; 16],
    _present: File,
}

impl Store {
    /// Opens the file, makes it if it is not there, sets it aside if it is damaged.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_or_renew(path, None, Instant::now() + LOCK)
    }

    /// Sets the file aside that this store has found damaged, unless another process has done so already, and opens the new one.
    pub(super) fn renew(self, path: &Path, reason: &str) -> Result<Self, StoreError> {
        let damaged = self.file_id;
        keep_journal(&self.connection, true)?;
        drop(self);
        Self::open_or_renew(path, Some((damaged, reason)), Instant::now() + LOCK)
    }

    /// Waits until then for others who hold a damaged file, or open it.
    pub(super) fn open_or_renew(path: &Path, known: Option<([u8; 16], &str)>, until: Instant) -> Result<Self, StoreError> {
        let folder = fs::atomic::folder_of(path);
        fs::private::create_folder(&folder).map_err(|error| unavailable(&folder, &error))?;
        loop {
            let (held, alone) = lock::take(path, until)?;
            let is_known = |(damaged, _): &([u8; 16], &str)| platform::stat_path(path).is_ok_and(|now| now.file_id == *damaged);
            let opened = match known.filter(is_known) {
                Some((_, reason)) => Err(StoreError::Damaged(reason.to_owned())),
                None => connect(path, None),
            };
            let connection = match opened {
                Err(StoreError::Damaged(reason)) if alone => {
                    set_aside(path, &reason)?;
                    connect(path, Some(&reason))?
                }
                Err(StoreError::Damaged(reason)) => {
                    drop(held);
                    if Instant::now() >= until {
                        return Err(StoreError::Held(format!("it is damaged ({reason}), and another program has it open")));
                    }
                    std::thread::sleep(lock::PAUSE);
                    continue;
                }
                result => result?,
            };
            let file_id = platform::stat_path(path).map_err(|error| unavailable(path, &error))?.file_id;
            let present = if alone { lock::share(path, held, until)? } else { held };
            return Ok(Self { connection, file_id, _present: present });
        }
    }

    /// Appends entries together, in this order. The key of the last one.
    pub(super) fn append(&mut self, entries: &[&NewEntry]) -> Result<i64, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut key = 0;
        for entry in entries {
            key = insert(&transaction, entry)?;
            if key % PURGE_EVERY == 0 {
                transaction
                    .prepare_cached(
                        "DELETE FROM entry WHERE key IN (SELECT key FROM entry WHERE key <= ?1 ORDER BY key LIMIT ?2)",
                    )?
                    .execute([key - KEEP, PURGE_MOST])?;
            }
        }
        transaction.commit()?;
        Ok(key)
    }

    /// A page of entries, the newest first.
    pub(super) fn list(&self, filter: &HistoryFilter, page: Page) -> Result<Vec<HistoryRow>, StoreError> {
        let mut statement = self.connection.prepare_cached(SELECT)?;
        let mut found = statement.query(named_params! {
            ":after": page.after.unwrap_or(i64::MAX),
            ":since": filter.since_ms,
            ":until": filter.until_ms,
            ":who": filter.who,
            ":action": filter.action,
            ":target": filter.target,
            ":outcome": filter.outcome.map(HistoryOutcome::as_str),
            ":correlation": filter.correlation_id,
            ":limit": page.limit.clamp(1, 1000),
        })?;
        let mut rows = Vec::new();
        let mut bytes = 0;
        while let Some(row) = found.next()? {
            let row = read(row)?;
            let long = [&row.message, &row.before, &row.after];
            bytes += row.target.len() + long.into_iter().flatten().map(String::len).sum::<usize>();
            rows.push(row);
            if bytes > PAGE_BYTES {
                break;
            }
        }
        Ok(rows)
    }
}

fn insert(connection: &Connection, entry: &NewEntry) -> Result<i64, StoreError> {
    connection.prepare_cached(INSERT)?.execute(params![
        entry.at.as_millisecond(),
        entry.who,
        entry.via.as_str(),
        entry.action,
        entry.target,
        entry.outcome.as_str(),
        entry.code.map(Code::as_str),
        entry.correlation_id,
        entry.message,
        entry.before,
        entry.after,
    ])?;
    Ok(connection.last_insert_rowid())
}

fn read(row: &rusqlite::Row<'_>) -> Result<HistoryRow, StoreError> {
    let word = |column: &str, known: Option<usize>, text: &str| {
        known.ok_or_else(|| StoreError::Damaged(format!("{column} {:?} means nothing", text::printable(text, 40))))
    };
    let via: String = row.get(3)?;
    let outcome: String = row.get(6)?;
    Ok(HistoryRow {
        key: row.get(0)?,
        at_ms: row.get(1)?,
        who: row.get(2)?,
        via: Via::ALL[word("via", Via::ALL.iter().position(|known| known.as_str() == via), &via)?],
        action: row.get(4)?,
        target: row.get(5)?,
        outcome: HistoryOutcome::ALL
            [word("outcome", HistoryOutcome::ALL.iter().position(|known| known.as_str() == outcome), &outcome)?],
        // A code that this version does not know reads as the general one, as in messages.
        code: row.get::<_, Option<String>>(7)?.map(|code| code.parse().unwrap_or(Code::Internal)),
        correlation_id: row.get(8)?,
        message: row.get(9)?,
        before: row.get(10)?,
        after: row.get(11)?,
    })
}

fn connect(path: &Path, damage: Option<&str>) -> Result<Connection, StoreError> {
    // Private from its first byte; the journal beside it takes over its permissions.
    match fs::create_new_private(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(unavailable(path, &error)),
        _ => {}
    }
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    keep_journal(&connection, true)?;
    // First of all: nothing of a newer version's file is changed, its journal's kind neither.
    let exists = is_ours(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    if exists {
        check(&connection, path)?;
    } else {
        create(&mut connection, path, damage)?;
    }
    keep_journal(&connection, false)?;
    Ok(connection)
}

/// Whether the journal stays when this connection is closed: what is set aside is all that was found, and nothing is folded into a
/// damaged file.
fn keep_journal(connection: &Connection, keep: bool) -> Result<(), StoreError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)?;
    Ok(())
}

/// Whether the file is a history (or holds nothing yet).
fn is_ours(connection: &Connection) -> Result<bool, StoreError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version) {
        (APPLICATION_ID, VERSION) => Ok(true),
        (APPLICATION_ID, newer) if newer > VERSION => Err(StoreError::TooNew(newer)),
        (0, 0) if tables == 0 => Ok(false),
        _ => Err(StoreError::Damaged("it is no history of Waybill".to_owned())),
    }
}

fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let no_table = |error: rusqlite::Error| match error.sqlite_error_code() {
        // The statements are ours: if one makes no sense, the tables are not those that we made.
        Some(ErrorCode::Unknown) => StoreError::Damaged(error.to_string()),
        _ => StoreError::from(error),
    };
    connection.prepare_cached(INSERT).map_err(no_table)?;
    connection.prepare_cached(SELECT).map_err(no_table)?;
    connection.query_row("SELECT max(key), min(key) FROM entry", [], |_| Ok(()))?;
    if std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_BYTES) {
        let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(StoreError::Damaged(found));
        }
    }
    Ok(())
}

/// Makes the tables. If an earlier history was set aside, the first entry says so, in the same transaction.
fn create(connection: &mut Connection, path: &Path, damage: Option<&str>) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_ours(&transaction)? {
        return Ok(());
    }
    transaction.execute_batch(SCHEMA_1)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    if let Some(aside) = latest_set_aside(path) {
        let damage = damage.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let aside = text::path(&aside);
        let message = format!("the history before this was damaged{damage} and was set aside as {aside}");
        let entry = NewEntry::new("waybill-agent", Via::Agent, "history.begin", text::path(path))
            .failed(&ErrorReport::new(Code::DataFolderUnavailable, message));
        insert(&transaction, &entry)?;
    }
    Ok(transaction.commit()?)
}

/// Moves a damaged file away, with what SQLite keeps beside it.
fn set_aside(path: &Path, reason: &str) -> Result<(), StoreError> {
    let aside = path.with_file_name(format!("{}{}", aside_prefix(path), Timestamp::now().strftime("%Y%m%dT%H%M%S.%3fZ")));
    // The database goes last: if it is still there after a crash, it is found damaged again, and not made anew beside an old journal.
    for suffix in ["-wal", "-shm", ""] {
        let from = with_suffix(path, suffix);
        match platform::move_new(&from, &with_suffix(&aside, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unavailable(&from, &error)),
            _ => {}
        }
    }
    let folder = fs::atomic::folder_of(path);
    fs::sync_folder(&folder).map_err(|error| unavailable(&folder, &error))?;
    tracing::error!(event = "history_set_aside", path = %path.display(), aside = %aside.display(), reason, "the history was damaged; a new one begins");
    Ok(())
}

/// `history.corrupt-` for `history.db`.
fn aside_prefix(path: &Path) -> String {
    format!("{}.corrupt-", path.file_stem().unwrap_or_default().to_string_lossy())
}

fn latest_set_aside(path: &Path) -> Option<PathBuf> {
    let prefix = aside_prefix(path);
    let is_one = |name: &str| name.starts_with(&prefix) && !name.ends_with("-wal") && !name.ends_with("-shm");
    let names =
        std::fs::read_dir(fs::atomic::folder_of(path)).ok()?.flatten().filter_map(|file| file.file_name().into_string().ok());
    names.filter(|name| is_one(name)).max().map(|name| path.with_file_name(name))
}
