//! A copy of the store that somebody put in its place: what came after the copy was made is not in it.
//!
//! The number of the last report stands in `queue.mark` when the queue is closed, and numbers are never given twice: a store that has come less
//! far is an older one. What it does not know is written into the table `loss`; large reports that it does not name are set aside, not
//! removed; and its numbers go on behind those that were given.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use waybill_shared::text;

use super::{Places, salvage};

/// The number of the last report that was ever queued.
pub(super) fn last_entry(connection: &Connection) -> rusqlite::Result<i64> {
    let last = connection.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'entry'", [], |row| row.get(0)).optional()?;
    Ok(last.unwrap_or(0))
}

/// Looks whether the store had come further when it was closed; if so notes what is missing. True if it is an older one.
pub(super) fn note(connection: &Connection, places: &Places, closed_at: Option<i64>, now: Timestamp) -> rusqlite::Result<bool> {
    let known = last_entry(connection)?;
    let Some(last) = closed_at.filter(|last| *last > known) else { return Ok(false) };
    let what = format!(
        "the queue was closed with report {last} as its last; the file that lies there now ends with report {known}: an older copy was put in its place, and what came after it is missing"
    );
    tracing::error!(event = "queue_is_older", path = %places.database.display(), last, known, "{what}");
    connection.execute(
        "INSERT INTO loss (at, what, reports, deliveries, kept_at) VALUES (?1, ?2, ?3, NULL, NULL)",
        params![now.as_millisecond(), what, last - known],
    )?;
    if connection.execute("UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'entry'", [last])? == 0 {
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('entry', ?1)", [last])?;
    }
    match salvage::keep_spool(connection, places, now) {
        Ok(Some((count, folder))) => {
            tracing::error!(
                event = "spool_set_aside",
                count,
                folder = text::path(&folder),
                "large reports that the older queue does not name"
            );
        }
        Ok(None) => {}
        Err(error) => return Err(rusqlite::Error::ToSqlConversionFailure(Box::new(error))),
    }
    Ok(true)
}
