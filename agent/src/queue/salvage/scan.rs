//! Reading a damaged store, table by table: by its tree as far as that leads, then by its pages.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};
use waybill_shared::id::CorrelationId;

use super::pages::{Pages, Row};
use crate::queue::codes::{FAILED, PENDING, STAGED};
use crate::queue::schema;

/// A table that is copied.
pub(super) struct Table {
    name: &'static str,
    /// By which its rows are found again behind a damaged page; none for a small one with a name for a key.
    key: Option<&'static str>,
    /// Its columns, in the order in which a row of schema 2 holds them.
    columns: &'static [&'static str],
}

/// All that is copied.
pub(super) static TABLES: [Table; 9] = [
    Table {
        name: "file",
        key: Some("file"),
        columns: &[
            "file",
            "source",
            "path",
            "name",
            "file_id",
            "size",
            "modified_ns",
            "hash",
            "correlation",
            "taken_at",
            "reports",
            "state",
            "place",
        ],
    },
    Table {
        name: "entry",
        key: Some("entry"),
        columns: &[
            "entry",
            "file",
            "report_id",
            "serial",
            "part",
            "result",
            "priority",
            "queued_at",
            "older",
            "hash",
            "size",
            "stored",
            "unbound",
            "spool",
            "payload",
        ],
    },
    Table {
        name: "destination",
        key: Some("destination"),
        columns: &["destination", "name", "accepted_by", "failures", "cooldown_ms", "open_until", "held_at", "most", "most_at"],
    },
    Table {
        name: "delivery",
        key: Some("entry"),
        columns: &[
            "entry",
            "destination",
            "state",
            "priority",
            "rank",
            "due",
            "attempts",
            "tries",
            "mark",
            "finished_at",
            "code",
            "note",
        ],
    },
    Table { name: "counter", key: Some("destination"), columns: &["destination", "state", "priority", "count", "bytes"] },
    Table { name: "lane", key: Some("priority"), columns: &["priority", "held_at"] },
    Table { name: "source", key: None, columns: &["name", "queued", "errors", "reports"] },
    Table {
        name: "conversion_error",
        key: Some("error"),
        columns: &["error", "source", "path", "moved_to", "at", "correlation", "report"],
    },
    Table { name: "loss", key: Some("loss"), columns: &["loss", "at", "what", "reports", "deliveries", "kept_at", "seen_at"] },
];

/// What was read of a damaged store.
#[derive(Default)]
pub(super) struct Read {
    copied: HashMap<&'static str, u64>,
    /// From the last key before to the first behind what the tree does not lead to, by table.
    gaps: HashMap<&'static str, Vec<(i64, i64)>>,
}

impl Read {
    /// Rows of a table that were read.
    pub(super) fn rows(&self, table: &str) -> u64 {
        self.copied.get(table).copied().unwrap_or(0)
    }

    /// What the tree did not lead to, of a table; its ends are keys that were read, or that there are none.
    pub(super) fn gaps(&self, table: &str) -> &[(i64, i64)] {
        self.gaps.get(table).map_or(&[], Vec::as_slice)
    }

    /// Copies a table as far as the tree leads.
    pub(super) fn by_tree(&mut self, old: &Connection, new: &Connection, table: &'static Table) {
        let columns = match present(old, table) {
            Ok(columns) if columns.is_empty() => return self.missing(old, table),
            Ok(columns) => columns,
            Err(_) => return self.unreadable(table),
        };
        let mut scan = Scan { old, new, table, columns, copied: 0, gaps: Vec::new() };
        let readable = match table.key {
            Some(key) => scan.by_key(key),
            None => scan.plain(),
        };
        *self.copied.entry(table.name).or_default() += scan.copied;
        self.gaps.entry(table.name).or_default().append(&mut scan.gaps);
        if !readable {
            self.unreadable(table);
        }
    }

    /// A table that is not there: that is as it should be only in a store of an older version.
    fn missing(&mut self, old: &Connection, table: &'static Table) {
        let version: i64 = old.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap_or(0);
        if !(1..schema::VERSION).contains(&version) {
            self.unreadable(table);
        }
    }

    /// Nothing of a table can be read by its tree.
    pub(super) fn unreadable(&mut self, table: &'static Table) {
        self.gaps.entry(table.name).or_default().push((i64::MIN, i64::MAX));
    }

    /// Fills the gaps from the pages themselves.
    pub(super) fn by_pages(&mut self, path: &Path, new: &Connection) {
        if self.gaps.values().all(Vec::is_empty) {
            return;
        }
        let Ok(mut pages) = Pages::open(path) else { return };
        // Of two rows of one delivery, of which one is old, the one that is not over counts: rather twice than not at all.
        for unsent in [true, false] {
            pages.rows(|row| {
                let Some((table, row)) = shape(row) else { return };
                let is_delivery = table.name == "delivery";
                let waits = matches!(row.get(2), Some(Value::Integer(PENDING | FAILED)));
                if (!is_delivery || waits) == unsent && self.is_wanted(table, &row) {
                    let added = insert(new, table, table.columns.to_vec(), row);
                    *self.copied.entry(table.name).or_default() += u64::from(added);
                }
            });
        }
    }

    fn is_wanted(&self, table: &Table, row: &[Value]) -> bool {
        let gaps = self.gaps(table.name);
        match (table.key, row.first()) {
            // The keys at the ends are in the gap as well: several rows may have the same.
            (Some(_), Some(Value::Integer(key))) => gaps.iter().any(|(from, to)| (from..=to).contains(&key)),
            (None, _) => !gaps.is_empty(),
            _ => false,
        }
    }
}

/// Which table a row of a page belongs to, by how it looks; rows of indexes belong to none.
fn shape(row: Row) -> Option<(&'static Table, Vec<Value>)> {
    use Value::{Blob, Integer as Int, Null, Text};
    let Row { number, mut values } = row;
    if let (Some(number), Some(first)) = (number, values.first_mut()) {
        // The column that is the number of a row is not stored with it.
        if *first == Null {
            *first = Int(number);
        }
    }
    // A store that was brought up from schema 1 has this column at the end.
    if number.is_some() && values.len() == 13 && matches!(values.get(3), Some(Blob(_))) {
        let name = values.pop()?;
        values.insert(3, name);
    }
    let name = match (number, values.as_slice()) {
        (Some(_), [Int(_), Text(_), Text(_), Text(_), Blob(_), Int(_), Int(_), Blob(_), Blob(_), Int(_), Int(_), Int(_), _]) => {
            "file"
        }
        (Some(_), [Int(_), Int(_), Blob(_), Text(_), Text(_), Text(_), Int(_), Int(_), _, Blob(_), Int(_), Int(_), _, _, _]) => {
            "entry"
        }
        (Some(_), [Int(_), Text(_), _, Int(_), _, _, _, Int(_), _]) => "destination",
        (Some(_), [Int(_), Text(_), Text(_), _, Int(_), Blob(_), Text(_)]) => "conversion_error",
        (Some(_), [Int(_), Int(_), Text(_), _, _, _, _]) => "loss",
        (None, [Int(_), Int(_), Int(_), Int(_), Int(_), Int(_), Int(_), Int(_), Int(_), _, _, _]) => "delivery",
        (None, [Int(_), Int(_), Int(_), Int(_), Int(_)]) => "counter",
        (None, [Text(_), Int(_), Int(_), Int(_)]) => "source",
        _ => return None,
    };
    Some((TABLES.iter().find(|table| table.name == name)?, values))
}

/// The columns of a table that its version has.
fn present(old: &Connection, table: &Table) -> rusqlite::Result<Vec<&'static str>> {
    let names: HashSet<String> = old
        .prepare("SELECT name FROM pragma_table_info(?1)")?
        .query_map([table.name], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(table.columns.iter().copied().filter(|column| names.contains(*column)).collect())
}

/// Puts a row into the new store; false if it was there already, or means nothing.
fn insert(new: &Connection, table: &Table, mut columns: Vec<&'static str>, mut row: Vec<Value>) -> bool {
    if !mend(table.name, &columns, &mut row) {
        return false;
    }
    for (column, value) in made_anew(table.name, &columns, &row) {
        if !columns.contains(&column) {
            columns.push(column);
            row.push(value);
        }
    }
    let marks = vec!["?"; columns.len()].join(", ");
    let sql = format!("INSERT OR IGNORE INTO {} ({}) VALUES ({marks})", table.name, columns.join(", "));
    new.prepare_cached(&sql).and_then(|mut insert| insert.execute(params_from_iter(row))).is_ok_and(|added| added == 1)
}

/// Columns that older versions do not have.
fn made_anew(table: &str, columns: &[&str], row: &[Value]) -> Vec<(&'static str, Value)> {
    let value = |column: &str| columns.iter().position(|name| *name == column).and_then(|at| row.get(at));
    match table {
        "file" => match value("path") {
            Some(Value::Text(path)) => vec![("name", Value::Text(schema::file_name(path).to_owned()))],
            _ => vec![("name", Value::Text(String::new()))],
        },
        "entry" => {
            let stored = match (value("payload"), value("size")) {
                (Some(Value::Blob(bytes)), _) => i64::try_from(bytes.len()).unwrap_or(0),
                (_, Some(Value::Integer(size))) => *size,
                _ => 0,
            };
            vec![("stored", Value::Integer(stored))]
        }
        "counter" => vec![("bytes", Value::Integer(0))],
        _ => Vec::new(),
    }
}

struct Scan<'a> {
    old: &'a Connection,
    new: &'a Connection,
    table: &'a Table,
    columns: Vec<&'static str>,
    copied: u64,
    gaps: Vec<(i64, i64)>,
}

impl Scan<'_> {
    fn select(&self, clause: &str) -> String {
        format!("SELECT {} FROM {} {clause}", self.columns.join(", "), self.table.name)
    }

    fn take(&mut self, row: Vec<Value>) {
        self.copied += u64::from(insert(self.new, self.table, self.columns.clone(), row));
    }

    /// A small table without a number for a key: as far as it can be read; false if not to its end.
    fn plain(&mut self) -> bool {
        let Ok(mut statement) = self.old.prepare(&self.select("")) else { return false };
        let Ok(mut rows) = statement.query([]) else { return false };
        let mut read = Vec::new();
        let ended = loop {
            match rows.next() {
                Ok(Some(row)) => read.extend(values(row, self.columns.len())),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        drop(rows);
        drop(statement);
        read.into_iter().for_each(|row| self.take(row));
        ended
    }

    /// By ascending keys; behind a damaged page the next key that can be read is looked for. False if nothing can be read.
    fn by_key(&mut self, key: &str) -> bool {
        let mut from = i64::MIN;
        let mut readable = false;
        loop {
            let last = match self.run(key, from) {
                Run::Ended => return true,
                Run::Broken { last } => last,
            };
            readable |= last.is_some();
            let start = last.unwrap_or(from);
            match self.next_readable(key, start) {
                Some(next) => {
                    readable = true;
                    self.gaps.push((start, next));
                    from = next;
                }
                None => {
                    self.gaps.push((start, i64::MAX));
                    return readable;
                }
            }
        }
    }

    /// Copies rows from a key on until the end, or until one that cannot be read.
    fn run(&mut self, key: &str, from: i64) -> Run {
        let clause = format!("WHERE {key} >= ?1 ORDER BY {key}");
        let Ok(mut statement) = self.old.prepare(&self.select(&clause)) else { return Run::Broken { last: None } };
        let Ok(mut rows) = statement.query([from]) else { return Run::Broken { last: None } };
        let at = self.columns.iter().position(|column| *column == key).unwrap_or(0);
        let (mut last, mut copied) = (None, 0);
        let end = loop {
            match rows.next() {
                Ok(Some(row)) => {
                    last = row.get(at).ok().or(last);
                    if let Some(row) = values(row, self.columns.len()) {
                        copied += u64::from(insert(self.new, self.table, self.columns.clone(), row));
                    }
                }
                Ok(None) => break Run::Ended,
                Err(_) => break Run::Broken { last },
            }
        };
        self.copied += copied;
        end
    }

    /// The smallest key after that from which on rows can be read again.
    fn next_readable(&self, key: &str, after: i64) -> Option<i64> {
        let sql = self.select(&format!("WHERE {key} >= ?1 ORDER BY {key} LIMIT 1"));
        let at = self.columns.iter().position(|column| *column == key).unwrap_or(0);
        let read = |from: i64| -> Result<Option<i64>, ()> {
            let mut statement = self.old.prepare_cached(&sql).map_err(drop)?;
            let mut rows = statement.query([from]).map_err(drop)?;
            match rows.next().map_err(drop)? {
                Some(row) => row.get(at).map(Some).map_err(drop),
                None => Ok(None),
            }
        };
        // Away in steps that double, then back to the nearest.
        let start = after.max(0).saturating_add(1);
        let mut step: i64 = 1;
        let (mut bad, mut good) = (start - 1, None);
        while good.is_none() && step < 1 << 50 {
            let from = start.saturating_add(step - 1);
            match read(from) {
                Ok(Some(found)) => good = Some((from, found)),
                Ok(None) => break,
                Err(()) => bad = from,
            }
            step *= 2;
        }
        // Nothing readable ahead that way: the end may still be.
        let (mut from, mut found) = match good {
            Some(good) => good,
            None => {
                let largest = self.largest(key)?;
                if largest <= after {
                    return None;
                }
                (largest, read(largest).ok().flatten()?)
            }
        };
        while from - bad > 1 {
            let middle = bad + (from - bad) / 2;
            match read(middle) {
                Ok(Some(nearer)) => (from, found) = (middle, nearer),
                _ => bad = middle,
            }
        }
        Some(found).filter(|found| *found > after)
    }

    fn largest(&self, key: &str) -> Option<i64> {
        let sql = format!("SELECT max({key}) FROM {}", self.table.name);
        self.old.query_row(&sql, [], |row| row.get::<_, Option<i64>>(0)).ok().flatten()
    }
}

enum Run {
    Ended,
    Broken { last: Option<i64> },
}

fn values(row: &rusqlite::Row<'_>, columns: usize) -> Option<Vec<Value>> {
    (0..columns)
        .map(|at| {
            Some(match row.get_ref(at).ok()? {
                // A changed letter is no reason to lose a report.
                ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Real(number) => Value::Real(number),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            })
        })
        .collect()
}

/// Brings values that no row of this program has to some that can be read; false if the row means nothing without them.
fn mend(table: &str, columns: &[&str], row: &mut [Value]) -> bool {
    let is_blob = |value: &Value, length: usize| matches!(value, Value::Blob(bytes) if bytes.len() == length);
    for (column, value) in columns.iter().zip(row.iter_mut()) {
        match (table, *column) {
            ("entry", "report_id") if !is_blob(value, 16) => return false,
            // It fails as damaged when it is to be sent, for a person to see.
            ("entry" | "file", "hash") if !is_blob(value, 32) => *value = Value::Blob(vec![0; 32]),
            ("file", "file_id") if !is_blob(value, 16) => *value = Value::Blob(vec![0; 16]),
            ("file" | "conversion_error", "correlation") if !is_blob(value, 16) => {
                *value = Value::Blob(CorrelationId::new().as_bytes().to_vec());
            }
            ("entry" | "delivery", "priority") if !matches!(value, Value::Integer(1..=10)) => *value = Value::Integer(5),
            ("delivery", "state") if !matches!(value, Value::Integer(STAGED | PENDING | 3..=6)) => {
                *value = Value::Integer(PENDING)
            }
            ("file", "state") if !matches!(value, Value::Integer(0..=3)) => *value = Value::Integer(2),
            ("counter", "priority") if !matches!(value, Value::Integer(1..=10)) => return false,
            _ => {}
        }
    }
    true
}
