//! What may go now to one destination.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, params};
use waybill_shared::id::{CorrelationId, ReportId};

use super::{Ready, ReadyDelivery};
use crate::queue::{DeliveryKey, payload};

/// Compressed bytes that one fetch brings along.
const FETCH_BYTES: usize = 1024 * 1024;
/// Deliveries that are looked at in one fetch: those that wait for an older one of their report are passed over.
const LOOKED_AT: usize = 4096;

pub(super) fn ready(
    connection: &Connection,
    spool: &Path,
    destination: &str,
    limit: usize,
    except: &HashSet<i64>,
) -> rusqlite::Result<Ready> {
    // All of it is of one moment.
    let moment = connection.unchecked_transaction()?;
    let key: i64 = connection
        .prepare_cached("SELECT destination FROM destination WHERE name = ?1")?
        .query_row([destination], |row| row.get(0))?;
    let upto: Option<i64> = connection.prepare_cached("SELECT max(entry) FROM entry")?.query_row([], |row| row.get(0))?;
    let mut found = Ready { upto: upto.unwrap_or(0), ..Ready::default() };
    let mut lanes = Lanes::open(connection, key, except)?;
    let (mut bytes, mut looked_at) = (0, 0);
    while let Some((rank, entry)) = lanes.next()? {
        looked_at += 1;
        if found.deliveries.len() >= limit || bytes > FETCH_BYTES || looked_at > LOOKED_AT {
            found.more = true;
            break;
        }
        match one(connection, spool, destination, key, rank, entry, &mut bytes)? {
            Some(delivery) => found.deliveries.push(delivery),
            None => found.blocked = true,
        }
    }
    found.next_due = next_due(connection, key)?;
    moment.finish()?;
    Ok(found)
}

fn next_due(connection: &Connection, destination: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT min(due) FROM delivery WHERE destination = ?1 AND state = 1 AND due > 0")?
        .query_row([destination], |row| row.get(0))
}

/// The lanes of a destination that nobody holds, merged by rank.
struct Lanes<'a> {
    connection: &'a Connection,
    destination: i64,
    except: &'a HashSet<i64>,
    lanes: Vec<Lane>,
}

struct Lane {
    priority: u8,
    /// What was read of it, the next one last.
    read: Vec<(i64, i64)>,
    last: (i64, i64),
    ended: bool,
}

/// Index rows that are read of a lane at a time.
const AT_A_TIME: usize = 128;

impl<'a> Lanes<'a> {
    fn open(connection: &'a Connection, destination: i64, except: &'a HashSet<i64>) -> rusqlite::Result<Self> {
        let held: Vec<u8> =
            connection.prepare_cached("SELECT priority FROM lane")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let lanes = (1..=10)
            .filter(|priority| !held.contains(priority))
            .map(|priority| Lane { priority, read: Vec::new(), last: (i64::MIN, i64::MIN), ended: false })
            .collect();
        Ok(Self { connection, destination, except, lanes })
    }

    /// Rank and entry of the next delivery.
    fn next(&mut self) -> rusqlite::Result<Option<(i64, i64)>> {
        for lane in self.lanes.iter_mut().filter(|lane| lane.read.is_empty() && !lane.ended) {
            lane.fill(self.connection, self.destination, self.except)?;
        }
        let first = self.lanes.iter_mut().filter(|lane| !lane.read.is_empty()).min_by_key(|lane| lane.read.last().copied());
        Ok(first.and_then(|lane| lane.read.pop()))
    }
}

impl Lane {
    fn fill(&mut self, connection: &Connection, destination: i64, except: &HashSet<i64>) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "SELECT rank, entry FROM delivery WHERE destination = ?1 AND priority = ?2 AND state = 1 AND due = 0
             AND (rank, entry) > (?3, ?4) ORDER BY rank, entry",
        )?;
        let mut rows = statement.query(params![destination, self.priority, self.last.0, self.last.1])?;
        while self.read.len() < AT_A_TIME {
            let Some(row) = rows.next()? else {
                self.ended = true;
                break;
            };
            let (rank, entry): (i64, i64) = (row.get(0)?, row.get(1)?);
            self.last = (rank, entry);
            if !except.contains(&entry) {
                self.read.push((rank, entry));
            }
        }
        self.read.reverse();
        Ok(())
    }
}

/// A delivery with its bytes; none while an older one of the same report waits.
fn one(
    connection: &Connection,
    spool: &Path,
    destination: &str,
    key: i64,
    rank: i64,
    entry: i64,
    bytes: &mut usize,
) -> rusqlite::Result<Option<ReadyDelivery>> {
    let mut statement = connection.prepare_cached(
        "SELECT e.report_id, f.correlation, e.serial, e.queued_at, d.tries, e.size, e.hash, e.spool, e.payload
         FROM entry e JOIN file f ON f.file = e.file JOIN delivery d ON d.entry = e.entry AND d.destination = ?2
         WHERE e.entry = ?1 AND (e.older IS NULL OR NOT EXISTS (
             SELECT 1 FROM delivery o WHERE o.entry = e.older AND o.destination = ?2 AND o.state = 1))",
    )?;
    let mut rows = statement.query([entry, key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (size, hash): (u64, Vec<u8>) = (row.get(5)?, row.get(6)?);
    let (inline, name) = (row.get_ref(8)?.as_blob_or_null()?, row.get::<_, Option<String>>(7)?);
    *bytes += inline.map_or_else(|| usize::try_from(size).unwrap_or(usize::MAX / 2), <[u8]>::len);
    let body = payload::read(inline, name.as_deref(), size, &hash, spool).map(Bytes::from);
    Ok(Some(ReadyDelivery {
        key: DeliveryKey {
            entry,
            destination: destination.to_owned(),
            report_id: ReportId::from_bytes(row.get(0)?),
            correlation_id: CorrelationId::from_bytes(row.get(1)?),
            serial: row.get(2)?,
        },
        rank,
        queued_at_ms: row.get(3)?,
        tries: row.get(4)?,
        body,
    }))
}
