//! Transactions that cannot be: somebody else holds the store, they do not end, the store undoes them in the middle. Who asked is told,
//! nothing of them is stored, and the next one is.

use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::super::recover::open_within;
use super::*;
use crate::supervisor::Supervisor;

/// Nobody waits longer than this, however slow the machine is.
const BOUND: Duration = Duration::from_secs(60);

impl Store {
    /// With another longest time of a transaction.
    fn new_within(text: &str, longest: Duration) -> Self {
        let mut store = Self::empty();
        let events = Arc::clone(&store.events);
        let on_commit: OnCommit = Box::new(move |mut new| events.lock().unwrap().append(&mut new));
        let opened =
            open_within(&store.places(), &config(text), on_commit, Arc::new(Timestamp::now), longest, &Supervisor::of_nobody());
        store.queue = Some(opened.unwrap());
        store
    }

    /// Somebody else with the file open.
    fn other(&self) -> Connection {
        let connection = Connection::open(self.places().database).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        connection
    }

    /// Asks without waiting for the answer.
    async fn begin(&mut self, path: &str, ids: &[u8]) -> oneshot::Receiver<Result<Committed, QueueError>> {
        let (told, answer) = oneshot::channel();
        let file = self.file(path, ids);
        let ack: Ack<Committed> = Box::new(move |result| told.send(result).unwrap());
        self.queue().writer.send(Command::Commit { file, ack }).await.unwrap();
        answer
    }

    /// Has files committed in one transaction: what each is told.
    async fn in_one_batch(&mut self, files: &[(&str, &[u8])]) -> Vec<Result<Committed, QueueError>> {
        // The writer stands still where it tells of this one, and takes what comes meanwhile together afterwards.
        let (inside, stands) = oneshot::channel();
        let (go, going) = std::sync::mpsc::channel::<()>();
        let ack: Ack<()> = Box::new(move |_| {
            inside.send(()).unwrap();
            let _gone = going.recv();
        });
        self.queue().writer.send(Command::Probe { ack }).await.unwrap();
        in_time(stands).await;
        let mut answers = Vec::new();
        for (path, ids) in files {
            answers.push(self.begin(path, ids).await);
        }
        drop(go);
        let mut told = Vec::new();
        for answer in answers {
            told.push(in_time(answer).await);
        }
        told
    }

    /// Whether the books are right, and what they say of `main`.
    async fn books(&mut self, text: &str) -> Counts {
        let checked = check(&self.places(), BOUND).unwrap();
        assert!(checked.complete && checked.faults.is_empty(), "{:?}", checked.faults);
        self.counts(text, "main").await
    }
}

async fn in_time<T>(answer: oneshot::Receiver<T>) -> T {
    tokio::time::timeout(BOUND, answer).await.expect("nobody waits for ever").expect("everybody is told")
}

#[tokio::test]
async fn a_store_that_somebody_else_holds_refuses_in_time_and_takes_the_next_report_once_it_is_free() {
    let mut store = Store::new(ONE);
    store.add("/before", &[1]).await.unwrap();
    let sent = store.ready("main").await.remove(0).key;
    let other = store.other();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let file = store.begin("/held", &[2, 3]).await;
    let (told, outcome) = oneshot::channel();
    let ack: Ack<()> = Box::new(move |result| told.send(result).unwrap());
    let gone = Outcome::Sent { receipt: "r".into(), address: "a".into() };
    store.queue().writer.send(Command::Outcome { key: sent.clone(), outcome: gone, ack }).await.unwrap();
    let refused = in_time(file).await.unwrap_err();
    assert!(matches!(&refused, QueueError::Write(why) if why.contains("another program")), "{refused}");
    assert!(matches!(in_time(outcome).await, Err(QueueError::Write(_))));
    // Reading went on, and what was refused is not there.
    assert_eq!(store.ready("main").await.len(), 1);
    other.execute_batch("COMMIT").unwrap();
    // The very next ones, the same file included.
    assert!(matches!(store.add("/held", &[2, 3]).await, Ok(Committed::Queued { reports: 2, .. })));
    store.outcome(&sent, Outcome::Sent { receipt: "r".into(), address: "a".into() }).await;
    let counts = store.books(ONE).await;
    assert_eq!((counts.pending, counts.sent), (2, 1));
}

#[tokio::test]
async fn a_transaction_that_does_not_end_is_ended_and_nothing_of_it_is_stored() {
    let mut store = Store::new_within(ONE, Duration::from_millis(500));
    store
        .other()
        .execute_batch(
            "CREATE VIEW endless AS WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) AS n FROM n;
             CREATE TRIGGER hang BEFORE INSERT ON entry WHEN NEW.serial = 'SN9' BEGIN SELECT n FROM endless; END;",
        )
        .unwrap();
    let told = store.in_one_batch(&[("/a", &[1]), ("/b", &[8, 9]), ("/c", &[2])]).await;
    assert!(told.iter().any(|told| matches!(told, Err(QueueError::Write(why)) if why.contains("too long"))), "{told:?}");
    assert!(told[1].is_err() && told[2].is_err(), "what comes after it is not stored by itself: {told:?}");
    store.other().execute_batch("DROP TRIGGER hang; DROP VIEW endless").unwrap();
    let stored = u64::from(told[0].is_ok());
    assert_eq!(store.books(ONE).await.pending, stored);
    for (path, id) in [("/b", 9), ("/c", 2)] {
        assert!(matches!(store.add(path, &[id]).await, Ok(Committed::Queued { reports: 1, .. })));
    }
    assert_eq!(store.books(ONE).await.pending, stored + 2);
}

/// A full disk does the same; a trigger does it when it is wanted.
#[tokio::test]
async fn nothing_is_stored_by_itself_after_the_store_undid_a_transaction_in_the_middle() {
    let mut store = Store::new(ONE);
    let part = store.file("/staged", &[20]);
    let fingerprint = part.fingerprint.clone();
    store.queue().writer.ask(|ack| Command::Stage { key: 7, file: part, ack }).await.unwrap();
    store
        .other()
        .execute_batch(
            "CREATE TRIGGER undo AFTER INSERT ON entry WHEN NEW.serial = 'SN9' BEGIN SELECT RAISE(ROLLBACK, 'undone'); END",
        )
        .unwrap();
    let told = store.in_one_batch(&[("/a", &[1]), ("/b", &[8, 9]), ("/c", &[2]), ("/d", &[3, 4])]).await;
    assert!(told[1..].iter().all(Result::is_err), "{told:?}");
    let stored = u64::from(told[0].is_ok());
    let entries: u64 = store.other().query_row("SELECT count(*) FROM entry", [], |row| row.get(0)).unwrap();
    assert_eq!(entries, stored + 1, "only what was staged before is there");
    // A staged file that cannot be finished is forgotten, or not, but not in part.
    let rest = NewFile { staged: Some(7), fingerprint, ..store.file("/staged", &[9]) };
    assert!(store.commit(rest).await.is_err());
    store.other().execute_batch("DROP TRIGGER undo").unwrap();
    let checked = check(&store.places(), BOUND).unwrap();
    assert!(checked.faults.is_empty(), "{:?}", checked.faults);
    // Each file is as if it had never been seen.
    for (path, ids) in [("/b", &[8, 9][..]), ("/c", &[2]), ("/d", &[3, 4])] {
        assert!(matches!(store.add(path, ids).await, Ok(Committed::Queued { .. })), "{path}");
    }
    assert_eq!(store.books(ONE).await.pending, stored + 5);
}
