//! What people look at: pages of deliveries, one report, lanes, losses, files that could not be converted.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use waybill_ipc::protocol::{
    ConversionErrorRow, DeliveryFilter, DeliveryRow, DeliveryState, EntryDetails, LaneRow, LossRow, Page, REPORT_PART_BYTES,
    ReportPart,
};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::{CorrelationId, ReportId};
use waybill_shared::text::printable;

use crate::queue::codes::{self, DISCARDED, EVICTED, FAILED, PENDING, SENT};
use crate::queue::{QueueError, find, payload};

/// Rows of a page at most.
const PAGE: u32 = 1000;
/// All that a person looks at; what is being staged is not there yet.
const STATES: [i64; 5] = [PENDING, SENT, FAILED, DISCARDED, EVICTED];

/// One delivery with all that a row shows.
const ROW: &str =
    "SELECT d.entry, t.name, d.state, e.report_id, f.correlation, f.source, f.name, e.serial, e.part, e.result, d.priority,
        d.attempts, d.tries, e.queued_at, d.due, d.finished_at, d.code, d.note, d.destination
     FROM delivery d JOIN entry e ON e.entry = d.entry JOIN file f ON f.file = e.file
     JOIN destination t ON t.destination = d.destination";

/// All destinations that ever were.
pub(super) fn destinations(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection.prepare_cached("SELECT name FROM destination ORDER BY name")?.query_map([], |row| row.get(0))?.collect()
}

pub(super) fn deliveries(connection: &Connection, filter: &DeliveryFilter, page: Page) -> rusqlite::Result<Vec<DeliveryRow>> {
    let moment = connection.unchecked_transaction()?;
    let states = filter.state.map_or_else(|| STATES.to_vec(), |state| vec![codes::code(state)]);
    let keys = find::keys(connection, filter, &states, page.after, page.limit.clamp(1, PAGE))?;
    let mut statement = connection.prepare_cached(&format!("{ROW} WHERE d.entry = ?1 AND d.destination = ?2"))?;
    let rows = keys.into_iter().map(|(entry, destination)| statement.query_row([entry, destination], row)).collect();
    moment.finish()?;
    rows
}

fn row(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    let entry: i64 = row.get(0)?;
    let state = codes::state(row.get(2)?).unwrap_or(DeliveryState::Staged);
    let note: Option<String> = row.get(17)?;
    // What stands there is what went wrong while it waits or has failed, and where it went or why otherwise.
    let wrong = matches!(state, DeliveryState::Pending | DeliveryState::Failed);
    let due: i64 = row.get(14)?;
    Ok(DeliveryRow {
        key: find::key(entry, row.get(18)?),
        entry,
        destination: row.get(1)?,
        state,
        report_id: ReportId::from_bytes(row.get(3)?).to_string(),
        correlation_id: CorrelationId::from_bytes(row.get(4)?).to_string(),
        source: row.get(5)?,
        file: printable(&row.get::<_, String>(6)?, 255),
        serial: row.get(7)?,
        part: row.get(8)?,
        result: row.get(9)?,
        priority: row.get(10)?,
        attempts: row.get(11)?,
        tries: row.get(12)?,
        queued_at_ms: row.get(13)?,
        due_at_ms: (due > 0).then_some(due),
        finished_at_ms: row.get(15)?,
        error_code: row.get(16)?,
        last_error: note.clone().filter(|_| wrong),
        receipt: note.filter(|_| !wrong),
    })
}

pub(super) fn entry(connection: &Connection, entry: i64) -> rusqlite::Result<Option<EntryDetails>> {
    let moment = connection.unchecked_transaction()?;
    let deliveries: Vec<DeliveryRow> = connection
        .prepare_cached(&format!("{ROW} WHERE d.entry = ?1 ORDER BY d.destination"))?
        .query_map([entry], row)?
        .collect::<Result<_, _>>()?;
    let details = connection
        .prepare_cached(
            "SELECT f.path, f.place, f.taken_at, f.reports, e.size, e.stored, e.hash, e.older
             FROM entry e JOIN file f ON f.file = e.file WHERE e.entry = ?1",
        )?
        .query_row([entry], |row| {
            let hash: Vec<u8> = row.get(6)?;
            Ok(EntryDetails {
                deliveries,
                path: row.get(0)?,
                place: row.get(1)?,
                taken_at_ms: row.get(2)?,
                reports_of_file: row.get(3)?,
                size: row.get(4)?,
                stored: row.get(5)?,
                hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
                older: row.get(7)?,
            })
        })
        .optional();
    moment.finish()?;
    details
}

pub(super) fn report(
    connection: &Connection,
    spool: &Path,
    entry: i64,
    offset: u64,
) -> rusqlite::Result<Option<Result<ReportPart, QueueError>>> {
    let mut statement = connection.prepare_cached("SELECT size, hash, spool, payload FROM entry WHERE entry = ?1")?;
    let mut rows = statement.query([entry])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (size, hash, name): (u64, Vec<u8>, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let inline = row.get_ref(3)?.as_blob_or_null()?;
    let bytes = if inline.is_none() && name.is_none() {
        // It had to make room: its bytes lie in its file.
        let path: Option<String> = connection
            .query_row("SELECT note FROM delivery WHERE entry = ?1 AND state = ?2 LIMIT 1", [entry, EVICTED], |row| row.get(0))
            .optional()?
            .flatten();
        match path.map(std::fs::read) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(error)) => Err(QueueError::Damaged(format!("the file that it was put into cannot be read: {error}"))),
            None => Err(QueueError::Damaged("its bytes are gone".to_owned())),
        }
    } else {
        payload::read(inline, name.as_deref(), size, &hash, spool)
    };
    Ok(Some(bytes.map(|bytes| {
        let total = bytes.len() as u64;
        let from = usize::try_from(offset.min(total)).unwrap_or(bytes.len());
        let to = usize::try_from(offset.saturating_add(REPORT_PART_BYTES).min(total)).unwrap_or(bytes.len());
        ReportPart { total, bytes: bytes.get(from..to).unwrap_or_default().to_vec() }
    })))
}

pub(super) fn lanes(connection: &Connection) -> rusqlite::Result<Vec<LaneRow>> {
    connection
        .prepare_cached(
            "SELECT t.name, c.priority, EXISTS (SELECT 1 FROM lane l WHERE l.priority = c.priority),
                 coalesce(sum(c.count) FILTER (WHERE c.state = ?1), 0), coalesce(sum(c.bytes) FILTER (WHERE c.state = ?1), 0),
                 coalesce(sum(c.count) FILTER (WHERE c.state = ?2), 0), coalesce(sum(c.count) FILTER (WHERE c.state = ?3), 0)
             FROM counter c JOIN destination t ON t.destination = c.destination
             GROUP BY t.name, c.priority HAVING max(c.count) > 0
             UNION ALL
             SELECT '', l.priority, 1, 0, 0, 0, 0 FROM lane l
                 WHERE NOT EXISTS (SELECT 1 FROM counter c WHERE c.priority = l.priority AND c.count > 0)
             ORDER BY 1, 2",
        )?
        .query_map(params![PENDING, FAILED, SENT], |row| {
            Ok(LaneRow {
                destination: row.get(0)?,
                priority: row.get(1)?,
                held: row.get(2)?,
                pending: row.get(3)?,
                pending_bytes: row.get(4)?,
                failed: row.get(5)?,
                sent: row.get(6)?,
            })
        })?
        .collect()
}

pub(super) fn losses(connection: &Connection) -> rusqlite::Result<Vec<LossRow>> {
    connection
        .prepare_cached("SELECT loss, at, what, reports, deliveries, kept_at, seen_at FROM loss ORDER BY loss DESC LIMIT 1000")?
        .query_map([], |row| {
            Ok(LossRow {
                key: row.get(0)?,
                at_ms: row.get(1)?,
                what: row.get(2)?,
                reports: row.get(3)?,
                deliveries: row.get(4)?,
                kept_at: row.get(5)?,
                seen_at_ms: row.get(6)?,
            })
        })?
        .collect()
}

pub(super) fn conversion_errors(connection: &Connection, page: Page) -> rusqlite::Result<Vec<ConversionErrorRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT error, source, path, moved_to, at, report FROM conversion_error WHERE error < ?1 ORDER BY error DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![page.after.unwrap_or(i64::MAX), page.limit.clamp(1, 1000)], |row| {
        let report: String = row.get(5)?;
        Ok(ConversionErrorRow {
            key: row.get(0)?,
            source: row.get(1)?,
            path: row.get(2)?,
            moved_to: row.get(3)?,
            at_ms: row.get(4)?,
            error: serde_json::from_str(&report)
                .unwrap_or_else(|error| ErrorReport::new(Code::Internal, format!("the stored report cannot be read: {error}"))),
        })
    })?;
    rows.collect()
}
