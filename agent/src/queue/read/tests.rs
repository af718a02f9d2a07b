//! The readers when there are too few of them: whoever asks is told in time, and afterwards all of them serve again.

use std::sync::Barrier;

use crossbeam_channel::{Receiver, Sender, bounded};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::super::Places;
use super::super::mark::Mark;
use super::*;

struct Store {
    reader: Reader,
    threads: ReaderThreads,
    _writer: Connection,
    folder: TempDir,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("queue.db");
        let writer = schema::open_writer(&database).unwrap();
        writer.execute("INSERT INTO destination (name) VALUES ('main')", []).unwrap();
        let places =
            Places { database: database.clone(), spool: folder.path().join("spool"), evicted: folder.path().join("evicted") };
        let damage = Arc::new(Damage::new(Mark::of(&places)));
        let (reader, threads) = start(&database, folder.path(), &damage, &Supervisor::of_nobody()).unwrap();
        Self { reader, threads, _writer: writer, folder }
    }

    /// Keeps all readers busy until the sender is dropped.
    async fn keep_all_busy(&self, asked: &mut JoinSet<Result<u32, QueueError>>) -> Sender<()> {
        let (release, released): (Sender<()>, Receiver<()>) = bounded(1);
        let (begun, begins) = bounded(THREADS);
        for _ in 0..THREADS {
            let (reader, begun, released) = (self.reader.clone(), begun.clone(), released.clone());
            asked.spawn(async move {
                let busy = move |_: &Connection| {
                    begun.send(()).unwrap();
                    let _released = released.recv();
                    Ok(0)
                };
                reader.read(busy).await
            });
        }
        until(|| begins.len() == THREADS).await;
        release
    }

    /// All connections answer at the same time.
    async fn all_serve(&self) {
        let barrier = Arc::new(Barrier::new(THREADS));
        let mut asked = JoinSet::new();
        for _ in 0..THREADS {
            let (reader, barrier) = (self.reader.clone(), Arc::clone(&barrier));
            asked.spawn(async move {
                let read = move |connection: &Connection| {
                    barrier.wait();
                    assert!(connection.is_autocommit(), "nothing of an earlier read is left open");
                    connection.query_row("SELECT count(*) FROM destination", [], |row| row.get::<_, u32>(0))
                };
                reader.read(read).await
            });
        }
        while let Some(answer) = asked.join_next().await {
            assert_eq!(answer.unwrap().unwrap(), 1);
        }
    }

    fn end(self) {
        drop(self.reader);
        self.threads.join();
        drop(self.folder);
    }
}

/// Lets the other tasks of the test go on until something is so.
async fn until(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
}

fn quick(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("SELECT count(*) FROM destination", [], |row| row.get(0))
}

#[tokio::test]
async fn who_asks_when_all_readers_are_busy_and_enough_wait_is_told_so_at_once_and_the_others_are_answered() {
    let store = Store::new();
    let (mut busy, mut waiting) = (JoinSet::new(), JoinSet::new());
    let release = store.keep_all_busy(&mut busy).await;
    for _ in 0..WAITING {
        let reader = store.reader.clone();
        waiting.spawn(async move { reader.read(quick).await });
    }
    until(|| store.reader.jobs.len() == WAITING).await;
    for _ in 0..3 {
        let refused = store.reader.read(quick).await.unwrap_err();
        assert!(matches!(&refused, QueueError::Read(why) if why.contains("busy") && why.contains("64")), "{refused}");
        assert!(store.reader.read_blocking(quick).is_err());
    }
    drop(release);
    while let Some(answer) = waiting.join_next().await {
        assert_eq!(answer.unwrap().unwrap(), 1);
    }
    store.all_serve().await;
    store.end();
}

#[tokio::test]
async fn who_waits_too_long_for_a_reader_is_told_and_his_question_costs_nobody_any_time() {
    let mut store = Store::new();
    let mut busy = JoinSet::new();
    let release = store.keep_all_busy(&mut busy).await;
    store.reader.patience = Duration::from_millis(50);
    let (was_read, reads) = bounded::<()>(2);
    let question = move |connection: &Connection| {
        was_read.send(()).unwrap();
        quick(connection)
    };
    let late = store.reader.read(question.clone()).await.unwrap_err();
    assert!(matches!(&late, QueueError::Read(why) if why.contains("no reader was free")), "{late}");
    assert!(store.reader.read_blocking(question).is_err());
    drop(release);
    store.reader.patience = PATIENCE;
    store.all_serve().await;
    assert!(reads.is_empty(), "nobody waited for that answer any more");
    store.end();
}

#[tokio::test]
async fn a_question_without_an_end_is_ended_and_its_connection_serves_the_next_one() {
    let store = Store::new();
    for _ in 0..THREADS {
        let endless = |connection: &Connection| {
            let moment = connection.unchecked_transaction()?;
            let sql = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n";
            let count = moment.query_row(sql, [], |row| row.get::<_, u32>(0))?;
            moment.finish()?;
            Ok(count)
        };
        let error = store.reader.read(endless).await.unwrap_err();
        assert!(matches!(&error, QueueError::Read(why) if why.contains("longer than 1 s")), "{error}");
    }
    store.all_serve().await;
    store.end();
}

#[tokio::test]
async fn a_read_that_panics_is_told_as_that_and_costs_no_connection() {
    let store = Store::new();
    for _ in 0..=THREADS {
        let panics = |connection: &Connection| -> rusqlite::Result<u32> {
            let _moment = connection.unchecked_transaction()?;
            quick(connection)?;
            panic!("a fault in a read");
        };
        let error = store.reader.read(panics).await.unwrap_err();
        assert!(matches!(&error, QueueError::Read(why) if why.contains("panic")), "{error}");
    }
    store.all_serve().await;
    store.end();
}
