//! Compares the store with itself: its pages, its counts, the checksum of each report, the files beside it. Nothing is changed.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use waybill_ipc::protocol::{Fault, FsckReport};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::ReportId;
use waybill_shared::text;

use super::codes::{self, EVICTED, SENT};
use super::{Places, QueueError, payload, schema};

/// Faults that are told one by one; what is more is counted.
const MOST_FAULTS: usize = 100;
/// Steps of the store's virtual machine between two looks at the clock.
const LOOK_EVERY: i32 = 10_000;

/// Checks the store in at most that time, beside whoever writes it. Takes long: for a thread.
///
/// # Errors
/// It cannot be opened.
pub fn check(places: &Places, limit: Duration) -> Result<FsckReport, QueueError> {
    let begun = Instant::now();
    let database = text::path(&places.database);
    let mut connection = schema::open_reader(&places.database).map_err(|error| schema::from_sql(&places.database, &error))?;
    connection
        .progress_handler(LOOK_EVERY, Some(move || begun.elapsed() > limit))
        .map_err(|error| QueueError::Read(error.to_string()))?;
    let mut check = Check { faults: Vec::new(), more: 0, report: FsckReport { complete: true, ..FsckReport::default() } };
    let looked = check.all(&mut connection, places);
    if let Err(error) = looked {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) {
            check.report.complete = false;
        } else {
            check.fault(database, ErrorReport::new(Code::QueueDamaged, error.to_string()));
        }
    }
    Ok(check.end(begun))
}

/// What SQLite's own quick check finds wrong, if it does. Reads the whole file: for a thread that may wait.
///
/// # Errors
/// It cannot be opened.
pub fn quick_check(places: &Places) -> Result<Option<String>, QueueError> {
    let connection = schema::open_reader(&places.database).map_err(|error| schema::from_sql(&places.database, &error))?;
    match connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)) {
        Ok(says) if says == "ok" => Ok(None),
        Ok(says) => Ok(Some(says)),
        Err(error) if schema::is_damage(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(QueueError::Read(error.to_string())),
    }
}

struct Check {
    faults: Vec<Fault>,
    more: u64,
    report: FsckReport,
}

impl Check {
    fn fault(&mut self, place: impl Into<String>, error: ErrorReport) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(Fault { place: place.into(), error });
        } else {
            self.more += 1;
        }
    }

    fn end(mut self, begun: Instant) -> FsckReport {
        if self.more > 0 {
            let error = ErrorReport::new(Code::QueueDamaged, format!("{} more faults", self.more));
            self.faults.push(Fault { place: "…".to_owned(), error });
        }
        self.report.faults = self.faults;
        self.report.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.report
    }

    fn all(&mut self, connection: &mut Connection, places: &Places) -> rusqlite::Result<()> {
        // All of it is of one moment, however much is written meanwhile.
        let moment = connection.transaction()?;
        self.pages(&moment)?;
        self.counts(&moment)?;
        self.relations(&moment)?;
        self.payloads(&moment, places)?;
        self.evicted(&moment)?;
        moment.finish()
    }

    fn pages(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let says: String = row.get(0)?;
            if says != "ok" {
                self.fault("queue.db", ErrorReport::new(Code::QueueDamaged, says));
            }
        }
        Ok(())
    }

    /// issued = pending + sent + failed + discarded + evicted: what the counters say against what is there. What was sent and purged
    /// stays counted, so there may be fewer of these.
    fn counts(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        type Counted = HashMap<(String, i64, u8), (i64, i64)>;
        let read = |sql: &str| -> rusqlite::Result<Counted> {
            connection
                .prepare(sql)?
                .query_map([], |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), (row.get(3)?, row.get(4)?))))?
                .collect()
        };
        let counters = read(
            "SELECT t.name, c.state, c.priority, c.count, c.bytes FROM counter c JOIN destination t ON t.destination = c.destination",
        )?;
        let there = read(
            "SELECT t.name, d.state, d.priority, count(*), sum(e.stored) FROM delivery d JOIN destination t ON t.destination = d.destination
             JOIN entry e ON e.entry = d.entry GROUP BY t.name, d.state, d.priority",
        )?;
        let keys: HashSet<_> = counters.keys().chain(there.keys()).collect();
        for key in keys {
            let (counted, there) = (counters.get(key).copied().unwrap_or_default(), there.get(key).copied().unwrap_or_default());
            let purged = matches!(key.1, SENT | codes::DISCARDED);
            let fits = if purged { counted.0 >= there.0 && counted.1 >= there.1 } else { counted == there };
            if !fits {
                let state = codes::state(key.1).map_or_else(|| key.1.to_string(), |state| format!("{state:?}").to_lowercase());
                let message = format!(
                    "{} {state} in lane {}: {} are counted with {} bytes, {} are there with {}",
                    key.0, key.2, counted.0, counted.1, there.0, there.1
                );
                self.fault("counter", ErrorReport::new(Code::QueueDamaged, message));
            }
        }
        Ok(())
    }

    fn relations(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
        self.report.files = count("SELECT count(*) FROM file")?;
        self.report.entries = count("SELECT count(*) FROM entry")?;
        self.report.deliveries = count("SELECT count(*) FROM delivery")?;
        for (what, sql) in [
            (
                "deliveries of no report",
                "SELECT count(*) FROM delivery d WHERE NOT EXISTS (SELECT 1 FROM entry e WHERE e.entry = d.entry)",
            ),
            ("reports of no file", "SELECT count(*) FROM entry e WHERE NOT EXISTS (SELECT 1 FROM file f WHERE f.file = e.file)"),
            (
                "deliveries to no destination",
                "SELECT count(*) FROM delivery d WHERE NOT EXISTS (SELECT 1 FROM destination t WHERE t.destination = d.destination)",
            ),
        ] {
            let found = count(sql)?;
            if found > 0 {
                self.fault("queue.db", ErrorReport::new(Code::QueueDamaged, format!("{found} {what}")));
            }
        }
        Ok(())
    }

    /// Every report is read and compared with its checksum, and every file of the spool belongs to one.
    fn payloads(&mut self, connection: &Connection, places: &Places) -> rusqlite::Result<()> {
        let mut statement = connection
            .prepare("SELECT e.entry, e.report_id, e.serial, e.size, e.hash, e.spool, e.payload FROM entry e ORDER BY e.entry")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (size, hash, name): (u64, Vec<u8>, Option<String>) = (row.get(3)?, row.get(4)?, row.get(5)?);
            let inline = row.get_ref(6)?.as_blob_or_null()?;
            let entry: i64 = row.get(0)?;
            if inline.is_none() && name.is_none() && all_evicted(connection, entry)? {
                continue;
            }
            self.report.payloads += 1;
            if let Err(error) = payload::read(inline, name.as_deref(), size, &hash, &places.spool) {
                let place = format!("report {} ({})", ReportId::from_bytes(row.get(1)?), row.get::<_, String>(2)?);
                self.fault(place, error.report());
            }
        }
        Ok(())
    }

    fn evicted(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement =
            connection.prepare("SELECT d.note, e.serial FROM delivery d JOIN entry e ON e.entry = d.entry WHERE d.state = ?1")?;
        let mut rows = statement.query([EVICTED])?;
        while let Some(row) = rows.next()? {
            let path: Option<String> = row.get(0)?;
            let path = path.unwrap_or_default();
            if !Path::new(&path).is_file() {
                let message =
                    format!("{path} is gone: the report of {} that had to make room lay there", row.get::<_, String>(1)?);
                self.fault("evicted", ErrorReport::new(Code::PayloadDamaged, message));
            }
        }
        Ok(())
    }
}

fn all_evicted(connection: &Connection, entry: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM delivery WHERE entry = ?1) AND NOT EXISTS (SELECT 1 FROM delivery WHERE entry = ?1 AND state <> ?2)",
        )?
        .query_row(params![entry, EVICTED], |row| row.get(0))
}
