//! Which deliveries are meant: by destination, state, lane, or a search; page by page, always by an index.

use rusqlite::{Connection, OptionalExtension as _, ToSql, params};
use waybill_ipc::protocol::{DeliveryFilter, Search, SearchBy};
use waybill_shared::id::{CorrelationId, ReportId};

/// A row's key in a list is its entry times this plus its destination: more destinations no station ever had.
const DESTINATIONS: i64 = 4096;

/// The key of a delivery in lists.
pub(super) fn key(entry: i64, destination: i64) -> i64 {
    entry * DESTINATIONS + destination
}

fn split(key: i64) -> (i64, i64) {
    (key.div_euclid(DESTINATIONS), key.rem_euclid(DESTINATIONS))
}

/// Entry and destination of the deliveries that are meant, after that key, in these states.
pub(super) fn keys(
    connection: &Connection,
    filter: &DeliveryFilter,
    states: &[i64],
    after: Option<i64>,
    limit: u32,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let destinations = destinations(connection, filter.destination.as_deref())?;
    match &filter.search {
        None => listed(connection, filter, &destinations, states, after, limit),
        Some(search) => searched(connection, filter, search, &destinations, states, after, limit),
    }
}

fn destinations(connection: &Connection, only: Option<&str>) -> rusqlite::Result<Vec<i64>> {
    connection
        .prepare_cached("SELECT destination FROM destination WHERE ?1 IS NULL OR name = ?1")?
        .query_map([only], |row| row.get(0))?
        .collect()
}

/// Each combination has its place in the index, in the order of the entries: the first of each are merged.
fn listed(
    connection: &Connection,
    filter: &DeliveryFilter,
    destinations: &[i64],
    states: &[i64],
    after: Option<i64>,
    limit: u32,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let sql = if filter.newest_first {
        "SELECT entry FROM delivery WHERE destination = ?1 AND state = ?2 AND priority = ?3 AND entry <= ?4 ORDER BY entry DESC LIMIT ?5"
    } else {
        "SELECT entry FROM delivery WHERE destination = ?1 AND state = ?2 AND priority = ?3 AND entry >= ?4 ORDER BY entry LIMIT ?5"
    };
    let mut statement = connection.prepare_cached(sql)?;
    let (from, before) = match (after, filter.newest_first) {
        (Some(key), _) => (split(key), key),
        (None, false) => ((0, 0), i64::MIN),
        (None, true) => ((i64::MAX, 0), i64::MAX),
    };
    let beyond = |entry: i64, destination: i64| {
        let key = key_or_end(entry, destination);
        if filter.newest_first { key < before } else { key > before }
    };
    let lanes = match filter.priority {
        Some(priority) => priority..=priority,
        None => 1..=10,
    };
    let mut found: Vec<(i64, i64)> = Vec::new();
    for &destination in destinations {
        for &state in states {
            for priority in lanes.clone() {
                // One more: the first may be the one that the page before ended with.
                let mut rows = statement.query(params![destination, state, priority, from.0, limit.saturating_add(1)])?;
                while let Some(row) = rows.next()? {
                    let entry: i64 = row.get(0)?;
                    if beyond(entry, destination) {
                        found.push((entry, destination));
                    }
                }
            }
        }
    }
    found.sort_unstable();
    if filter.newest_first {
        found.reverse();
    }
    found.truncate(limit as usize);
    Ok(found)
}

fn key_or_end(entry: i64, destination: i64) -> i64 {
    entry.checked_mul(DESTINATIONS).map_or(i64::MAX, |key| key + destination)
}

/// In the order of what is searched by.
fn searched(
    connection: &Connection,
    filter: &DeliveryFilter,
    search: &Search,
    destinations: &[i64],
    states: &[i64],
    after: Option<i64>,
    limit: u32,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let (column, exact) = match search.by {
        SearchBy::Serial => ("e.serial", false),
        SearchBy::Part => ("e.part", false),
        SearchBy::File => ("f.name", false),
        SearchBy::Report => ("substr(e.report_id, 13, 4)", true),
        SearchBy::Correlation => ("f.correlation", true),
    };
    let of_file = matches!(search.by, SearchBy::File | SearchBy::Correlation);
    let (from, order) = if of_file {
        ("file f JOIN entry e ON e.file = f.file", format!("{column}, f.file, e.entry"))
    } else {
        ("entry e JOIN file f ON f.file = e.file", format!("{column}, e.entry"))
    };
    // Reports are indexed by both ends of their ids: by these they are found, and the whole is compared.
    let (mut whole, mut other_end) = (None, "");
    let (low, high): (Box<dyn ToSql>, Box<dyn ToSql>) = if exact {
        let Some(id) = id(search) else { return Ok(Vec::new()) };
        let mut indexed = id.to_vec();
        if search.by == SearchBy::Report {
            (whole, other_end) = (Some(id), "substr(e.report_id, 1, 4) = substr(?4, 1, 4) AND");
            indexed.drain(..12);
        }
        (Box::new(indexed.clone()), Box::new(indexed))
    } else {
        (Box::new(search.text.clone()), Box::new(format!("{}{}", search.text, char::MAX)))
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT e.entry, d.destination, d.state, d.priority FROM {from} CROSS JOIN delivery d ON d.entry = e.entry
         WHERE {other_end} {column} >= ?1 AND {column} <= ?2 AND {column} >= coalesce(?3, {column})
         AND (?4 IS NULL OR e.report_id = ?4) ORDER BY {order}, d.destination"
    ))?;
    // The page goes on at the value of the row that the one before ended with, and passes the rows up to it.
    let start: Option<rusqlite::types::Value> = match after {
        None => None,
        Some(key) => connection
            .prepare_cached(&format!("SELECT {column} FROM entry e JOIN file f ON f.file = e.file WHERE e.entry = ?1"))?
            .query_row([split(key).0], |row| row.get(0))
            .optional()?,
    };
    // The row that the page before ended with was purged meanwhile: where to go on is unknown.
    if after.is_some() && start.is_none() {
        return Ok(Vec::new());
    }
    let mut passing = after;
    let mut rows = statement.query(params![low, high, start, whole])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (entry, destination, state, priority): (i64, i64, i64, u8) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        if let Some(last) = passing {
            if last == key(entry, destination) {
                passing = None;
            }
            continue;
        }
        let wanted =
            destinations.contains(&destination) && states.contains(&state) && filter.priority.is_none_or(|only| only == priority);
        if wanted {
            found.push((entry, destination));
            if found.len() >= limit as usize {
                break;
            }
        }
    }
    Ok(found)
}

fn id(search: &Search) -> Option<[u8; 16]> {
    match search.by {
        SearchBy::Report => search.text.trim().parse::<ReportId>().ok().map(|id| *id.as_bytes()),
        _ => search.text.trim().parse::<CorrelationId>().ok().map(|id| *id.as_bytes()),
    }
}
