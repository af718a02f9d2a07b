//! Stores of older versions, as they lie on stations, and what becomes of them.

use std::path::Path;

use rusqlite::Connection;

use super::super::schema;
use super::*;

/// A store that the program of schema 1 wrote: eight reports to two destinations, one of them served; a slow lane, a revision, one that
/// failed, one that waits for its time. It was closed; nothing of it was changed by hand but the last two.
const SCHEMA_1: &[u8] = include_bytes!("../schema/stored/schema-1.db.zst");

const STATION: &str = "[[destination]]\nname='main'\nkind='wats'\nurl='http://127.0.0.1:9'\n[[destination]]\nname='copy'\nkind='folder'\nfolder='out'\n";

fn stored(path: &Path) {
    std::fs::write(path, zstd::stream::decode_all(SCHEMA_1).unwrap()).unwrap();
}

/// The tables, their columns in order, and the indexes: what a store is made of, however its text is written.
fn shape(connection: &Connection) -> Vec<String> {
    let mut shape = Vec::new();
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for table in tables {
        let mut columns: Vec<String> = connection
            .prepare("SELECT name, type, \"notnull\", pk FROM pragma_table_info(?1)")
            .unwrap()
            .query_map([&table], |row| {
                Ok(format!(
                    "{} {} {} {}",
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, i64>(3)?
                ))
            })
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        columns.sort();
        shape.push(format!("{table}: {columns:?}"));
    }
    let mut indexes =
        connection.prepare("SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name").unwrap();
    shape.extend(indexes.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap));
    shape
}

#[test]
fn what_is_in_the_field_is_never_edited() {
    // Stores of these schemas exist on stations: a change is a new version with a new step.
    let pinned = |text: &str| blake3::hash(text.replace("\r\n", "\n").as_bytes()).to_hex()[..16].to_owned();
    assert_eq!(pinned(include_str!("../schema/schema-1.sql")), "de9bbabd25496aea");
    assert_eq!(pinned(include_str!("../schema/from-1-to-2.sql")), "e26a951065db8e24");
    assert_eq!(pinned(schema::SCHEMA), "00ccc69be6d38c2b");
    assert_eq!(schema::VERSION, 2);
}

#[test]
fn a_store_brought_up_is_made_of_the_same_as_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.db"), folder.path().join("new.db"));
    stored(&old);
    let (old, new) = (schema::open_writer(&old).unwrap(), schema::open_writer(&new).unwrap());
    assert_eq!(shape(&old), shape(&new));
    for pragma in ["user_version", "application_id"] {
        let value = |of: &Connection| of.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(value(&old), value(&new), "{pragma}");
    }
}

#[tokio::test]
async fn every_report_of_a_store_of_schema_1_is_there_after_it_was_brought_up() {
    let mut store = Store::empty();
    stored(&store.places().database);
    store.open(STATION);
    let queue = store.queue();
    assert_eq!(queue.deliveries["copy"], Counts { sent: 8, ..Counts::default() });
    assert_eq!(queue.deliveries["main"], Counts { pending: 7, failed: 1, ..Counts::default() });
    assert_eq!(queue.sources["ict"].queued, 7);
    let rows = queue.reader.deliveries(
        DeliveryFilter { destination: Some("main".into()), ..DeliveryFilter::default() },
        Page { after: None, limit: 100 },
    );
    let rows = rows.await.unwrap();
    let row = |serial: &str, file: &str| rows.iter().find(|row| row.serial == serial && row.file == file).unwrap();
    assert_eq!(row("SN-0009", "slow.json").priority, 9);
    let failed = row("SN-0001", "f1.json");
    assert_eq!(
        (failed.state, failed.last_error.as_deref()),
        (DeliveryState::Failed, Some("the server answered 400: unknown part"))
    );
    let tried = row("SN-0000", "f0.json");
    assert_eq!((tried.attempts, tried.tries), (3, 5));
    assert!(tried.due_at_ms.is_some());
    let revision = queue.reader.entry(row("SN-0001", "again.json").entry).await.unwrap();
    assert_eq!(revision.older, Some(failed.entry));
    assert!(rows.iter().all(|row| !row.report_id.is_empty()));
    let sizes = queue.reader.lanes().await.unwrap();
    assert!(sizes.iter().all(|lane| (lane.pending == 0) == (lane.pending_bytes == 0)), "{sizes:?}");
    // The six that are due go, whole; the bytes are those that were stored.
    let ready = store.ready("main").await;
    assert_eq!(ready.len(), 6);
    assert!(ready.iter().all(|ready| String::from_utf8_lossy(ready.body.as_ref().unwrap()).contains(&ready.key.serial)));
    assert!(check(&store.places(), std::time::Duration::from_secs(10)).unwrap().faults.is_empty());
    assert!(store.folder.path().join("queue.schema-1.db").exists(), "a copy of before is kept");
    // It is a store like any other from now on: the very same file is known, new ones come in.
    store.add("/new", &[77]).await.unwrap();
    store.crash_and_open(STATION).await;
    assert_eq!(store.queue().deliveries["main"].pending, 8);
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused_and_not_touched() {
    let mut store = Store::new(ONE);
    store.add("/a", &[1]).await.unwrap();
    store.close().await;
    let database = store.places().database;
    Connection::open(&database).unwrap().pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    let before = std::fs::read(&database).unwrap();
    let refused = super::super::open_by(&store.places(), &config(ONE), Box::new(|_| {}), Arc::new(Timestamp::now));
    assert!(matches!(refused, Err(QueueError::TooNew { found: 3, known: 2, .. })));
    assert_eq!(std::fs::read(&database).unwrap(), before);
}

#[test]
fn a_file_of_another_program_is_no_queue() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE contacts (name TEXT); PRAGMA user_version = 1").unwrap();
    drop(other);
    assert!(matches!(schema::open_writer(&path), Err(QueueError::Corrupt { .. })));
}
