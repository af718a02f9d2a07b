//! The queue against its specification: the real store in a temporary folder.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use waybill_ipc::protocol::{DeliveryFilter, DeliveryState, Event, Page};
use waybill_shared::config::Config;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::{CorrelationId, ReportId};

use super::*;

mod acting;
mod door;
mod model;
mod salvage;
mod schema;
mod undone;

struct Store {
    folder: tempfile::TempDir,
    queue: Option<Opened>,
    events: Arc<Mutex<Vec<Event>>>,
    next: u8,
}

fn config(text: &str) -> Config {
    waybill_shared::config::parse(text).unwrap()
}

const ONE: &str = "[[destination]]\nname='main'\nkind='folder'\nfolder='x'\n";
const TWO: &str =
    "[[destination]]\nname='main'\nkind='folder'\nfolder='x'\n[[destination]]\nname='second'\nkind='folder'\nfolder='y'\n";

impl Store {
    fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), queue: None, events: Arc::default(), next: 0 }
    }

    fn new(text: &str) -> Self {
        let mut store = Self::empty();
        store.open(text);
        store
    }

    fn places(&self) -> Places {
        let at = |name: &str| self.folder.path().join(name);
        Places { database: at("queue.db"), spool: at("spool"), evicted: at("evicted") }
    }

    fn open(&mut self, text: &str) {
        let events = Arc::clone(&self.events);
        let on_commit: OnCommit = Box::new(move |mut new| events.lock().unwrap().append(&mut new));
        self.queue = Some(super::open_by(&self.places(), &config(text), on_commit, Arc::new(Timestamp::now)).unwrap());
    }

    fn queue(&self) -> &Opened {
        self.queue.as_ref().unwrap()
    }

    /// As a crash would: nothing is closed; what was committed is there.
    async fn crash_and_open(&mut self, text: &str) {
        self.close().await;
        self.open(text);
    }

    async fn close(&mut self) {
        let queue = self.queue.take().unwrap();
        queue.writer.ask(|ack| Command::Close { ack }).await.unwrap();
        drop(queue.writer);
        drop(queue.reader);
        queue.reader_threads.join();
        queue.writer_thread.join();
    }

    fn file(&mut self, path: &str, ids: &[u8]) -> NewFile {
        self.next += 1;
        let spool = self.places().spool;
        NewFile {
            fingerprint: Fingerprint {
                source: "ict".into(),
                path: path.into(),
                file_id: [1; 16],
                size: 1,
                modified_ns: i64::from(self.next),
                hash: [2; 32],
            },
            correlation_id: CorrelationId::new(),
            priority: 5,
            entries: ids.iter().map(|&id| entry(id, &spool)).collect(),
            staged: None,
            whole: true,
            again: false,
        }
    }

    async fn add(&mut self, path: &str, ids: &[u8]) -> Result<Committed, QueueError> {
        let file = self.file(path, ids);
        self.commit(file).await
    }

    async fn commit(&self, file: NewFile) -> Result<Committed, QueueError> {
        self.queue().writer.ask(|ack| Command::Commit { file, ack }).await
    }

    async fn ready(&self, destination: &str) -> Vec<ReadyDelivery> {
        self.queue().reader.ready(destination, 100, HashSet::new()).await.unwrap().deliveries
    }

    async fn outcome(&self, key: &DeliveryKey, outcome: Outcome) {
        let key = key.clone();
        self.queue().writer.ask(|ack| Command::Outcome { key, outcome, ack }).await.unwrap();
    }

    async fn send_all(&self, destination: &str) -> usize {
        let mut sent = 0;
        loop {
            let ready = self.ready(destination).await;
            if ready.is_empty() {
                return sent;
            }
            for delivery in ready {
                self.outcome(&delivery.key, Outcome::Sent { receipt: "r".into(), address: "a".into() }).await;
                sent += 1;
            }
        }
    }

    async fn states(&self) -> Vec<(String, DeliveryState, u32)> {
        let page = Page { after: None, limit: 1000 };
        let rows = self.queue().reader.deliveries(DeliveryFilter::default(), page).await.unwrap();
        rows.into_iter().map(|row| (row.destination, row.state, row.attempts)).collect()
    }

    /// Counters as a fresh start reads them.
    async fn counts(&mut self, text: &str, destination: &str) -> Counts {
        self.crash_and_open(text).await;
        self.queue().deliveries[destination]
    }
}

fn entry(id: u8, spool: &Path) -> NewEntry {
    NewEntry {
        report_id: ReportId::from_bytes([id; 16]),
        serial: format!("SN{id}"),
        part: "PN".into(),
        result: "P".into(),
        payload: Payload::new(format!("{{\"sn\":\"SN{id}\"}}").into_bytes(), spool).unwrap(),
    }
}

/// Everything that was over by then was kept long enough.
fn old(by: Timestamp) -> Old {
    Old { sent: by, discarded: by }
}

fn error() -> ErrorReport {
    ErrorReport::new(Code::ReportRefused, "no")
}

fn retry(in_secs: i64, max_retries: u32) -> Outcome {
    let due = Timestamp::now().checked_add(SignedDuration::from_secs(in_secs)).unwrap();
    Outcome::Retry { due, charge: true, max_retries, error: error() }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_byte_for_byte() {
    let mut store = Store::new(ONE);
    assert!(matches!(store.add("/a", &[1, 2]).await, Ok(Committed::Queued { reports: 2, .. })));
    store.crash_and_open(ONE).await;
    let ready = store.ready("main").await;
    let bodies: Vec<_> = ready.iter().map(|r| String::from_utf8(r.body.clone().unwrap().to_vec()).unwrap()).collect();
    assert_eq!(bodies, ["{\"sn\":\"SN1\"}", "{\"sn\":\"SN2\"}"]);
    assert_eq!(store.queue().sources["ict"], SourceCounts { queued: 1, errors: 0, reports: 2 });
}

#[tokio::test]
async fn the_very_same_file_is_taken_once_and_an_equal_one_again() {
    let mut store = Store::new(ONE);
    let first = store.file("/a", &[1]);
    let again = NewFile {
        entries: vec![entry(1, &store.places().spool)],
        fingerprint: first.fingerprint.clone(),
        ..store.file("/a", &[])
    };
    let elsewhere = store.file("/b", &[1]);
    let Ok(Committed::Queued { file, .. }) = store.commit(first).await else { panic!() };
    assert_eq!(store.commit(again).await.unwrap(), Committed::AlreadyTaken { file });
    assert!(matches!(store.commit(elsewhere).await, Ok(Committed::Queued { .. })));
    assert_eq!(store.states().await.len(), 2);
}

#[tokio::test]
async fn what_is_sent_again_passes_its_fingerprint_by_and_has_nothing_left_to_be_done() {
    let mut store = Store::new(ONE);
    let first = store.file("/a", &[1]);
    let fingerprint = first.fingerprint.clone();
    let Ok(Committed::Queued { file, .. }) = store.commit(first).await else { panic!() };
    for (key, staged) in [(7, false), (8, true)] {
        let part = NewFile { fingerprint: fingerprint.clone(), again: true, ..store.file("/a", &[1]) };
        let rest =
            NewFile { fingerprint: fingerprint.clone(), again: true, staged: staged.then_some(key), ..store.file("/a", &[1]) };
        if staged {
            store.queue().writer.ask(|ack| Command::Stage { key, file: part, ack }).await.unwrap();
        }
        let reports = 1 + u32::from(staged);
        let committed = store.commit(rest).await.unwrap();
        assert!(
            matches!(committed, Committed::Queued { file: again, reports: n } if again != file && n == reports),
            "{committed:?}"
        );
    }
    let places = store.places();
    let states = move || -> Vec<i64> {
        let connection = rusqlite::Connection::open(&places.database).unwrap();
        let mut rows = connection.prepare("SELECT state FROM file ORDER BY file").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(states(), [1, 2, 2]);
    // The file itself is still known as the one that was taken.
    let again = NewFile { fingerprint, ..store.file("/a", &[1]) };
    assert_eq!(store.commit(again).await.unwrap(), Committed::AlreadyTaken { file });
}

#[tokio::test]
async fn revisions_of_one_report_go_one_after_the_other() {
    let mut store = Store::new(ONE);
    store.add("/a", &[1]).await.unwrap();
    store.add("/b", &[1]).await.unwrap();
    store.add("/c", &[2]).await.unwrap();
    let ready = store.ready("main").await;
    assert_eq!(ready.iter().map(|r| r.key.serial.as_str()).collect::<Vec<_>>(), ["SN1", "SN2"]);
    store.outcome(&ready[0].key, Outcome::Sent { receipt: String::new(), address: String::new() }).await;
    let ready = store.ready("main").await;
    assert_eq!(ready.iter().map(|r| r.key.serial.as_str()).collect::<Vec<_>>(), ["SN1", "SN2"], "now the second revision");
}

#[tokio::test]
async fn a_retry_is_charged_only_if_the_destination_took_another_report_since() {
    let mut store = Store::new(ONE);
    store.add("/a", &[1]).await.unwrap();
    let poison = store.ready("main").await.remove(0).key;
    for _ in 0..5 {
        store.outcome(&poison, retry(0, 2)).await;
    }
    assert_eq!(store.states().await[0], ("main".into(), DeliveryState::Pending, 0), "an outage never spends the tries");
    for n in 2..5 {
        store.add("/x", &[n]).await.unwrap();
        let other = store.ready("main").await.remove(0).key;
        store.outcome(&other, Outcome::Sent { receipt: String::new(), address: String::new() }).await;
        store.outcome(&poison, retry(0, 2)).await;
    }
    assert_eq!(store.states().await[0].1, DeliveryState::Failed, "a poison report ends in failed");
    let counts = store.counts(ONE, "main").await;
    assert_eq!((counts.pending, counts.sent, counts.failed), (0, 3, 1));
}

#[tokio::test]
async fn a_delayed_delivery_waits_for_its_time_over_restarts() {
    let mut store = Store::new(ONE);
    store.add("/a", &[1]).await.unwrap();
    let key = store.ready("main").await.remove(0).key;
    store.outcome(&key, retry(600, 10)).await;
    store.crash_and_open(ONE).await;
    assert!(store.ready("main").await.is_empty());
    let due = store.queue().reader.ready("main", 100, HashSet::new()).await.unwrap().next_due.unwrap();
    let by = Timestamp::from_millisecond(due).unwrap();
    store.queue().writer.ask(|ack| Command::Promote { destination: "main".into(), by, ack }).await.unwrap();
    assert_eq!(store.ready("main").await.remove(0).tries, 1);
}

#[tokio::test]
async fn a_clock_that_was_wrong_holds_nothing_back_for_years() {
    let mut store = Store::new(ONE);
    store.add("/a", &[1]).await.unwrap();
    let key = store.ready("main").await.remove(0).key;
    store.outcome(&key, retry(10 * 365 * 86_400, 10)).await;
    store.crash_and_open(ONE).await;
    let due = store.queue().reader.ready("main", 100, HashSet::new()).await.unwrap().next_due.unwrap();
    assert!(due <= Timestamp::now().as_millisecond() + 3_600_000);
}

#[tokio::test]
async fn staged_reports_are_sent_only_once_their_file_is_whole() {
    let mut store = Store::new(ONE);
    let part = store.file("/big", &[1, 2]);
    let rest = NewFile {
        entries: vec![entry(3, &store.places().spool)],
        staged: Some(7),
        fingerprint: part.fingerprint.clone(),
        ..store.file("/big", &[])
    };
    store.queue().writer.ask(|ack| Command::Stage { key: 7, file: part, ack }).await.unwrap();
    assert!(store.ready("main").await.is_empty());
    assert!(matches!(store.commit(rest).await, Ok(Committed::Queued { reports: 3, .. })));
    assert_eq!(store.send_all("main").await, 3);
    let counts = store.counts(ONE, "main").await;
    assert_eq!((counts.pending, counts.sent), (0, 3));
}

#[tokio::test]
async fn what_was_staged_and_never_committed_is_gone_at_the_next_start() {
    let mut store = Store::new(ONE);
    let part = store.file("/big", &[1, 2]);
    store.queue().writer.ask(|ack| Command::Stage { key: 7, file: part, ack }).await.unwrap();
    store.crash_and_open(ONE).await;
    assert!(store.states().await.is_empty());
    assert_eq!(store.queue().deliveries["main"], Counts::default());
    // The file is still there and is read again, as if for the first time.
    assert!(matches!(store.add("/big", &[1, 2, 3]).await, Ok(Committed::Queued { reports: 3, .. })));
}

#[tokio::test]
async fn abandoned_reports_leave_nothing() {
    let mut store = Store::new(ONE);
    let part = store.file("/big", &[1, 2]);
    store.queue().writer.ask(|ack| Command::Stage { key: 7, file: part, ack }).await.unwrap();
    store.queue().writer.send(Command::Abandon { key: 7 }).await.unwrap();
    store.add("/a", &[9]).await.unwrap();
    assert_eq!(store.states().await.len(), 1);
    assert_eq!(store.counts(ONE, "main").await.pending, 1);
}

#[tokio::test]
async fn a_full_queue_refuses_whole_files_and_opens_again_at_nine_tenths() {
    let text = format!("{ONE}[queue]\nmax_entries = 10\n");
    let mut store = Store::new(&text);
    for n in 0..10 {
        store.add("/x", &[n]).await.unwrap();
    }
    assert!(store.queue().gate.is_closed());
    assert!(matches!(
        store.add("/x", &[20, 21]).await,
        Err(QueueError::Full { why: Full::Entries, waiting: Filled { entries: 10, .. }, .. })
    ));
    assert_eq!(store.states().await.len(), 10);
    let key = store.ready("main").await.remove(0).key;
    store.outcome(&key, Outcome::Sent { receipt: String::new(), address: String::new() }).await;
    assert!(!store.queue().gate.is_closed());
    store.add("/x", &[22]).await.unwrap();
}

#[tokio::test]
async fn oldest_first_moves_reports_to_files_and_deletes_none() {
    let text = format!("{ONE}[queue]\nmax_entries = 2\nwhen_full = 'oldest_first'\n");
    let mut store = Store::new(&text);
    for n in 1..=5 {
        store.add("/x", &[n]).await.unwrap();
    }
    let waiting: Vec<_> = store.ready("main").await.into_iter().map(|r| r.key.serial).collect();
    assert_eq!(waiting, ["SN4", "SN5"]);
    let mut evicted: Vec<_> = std::fs::read_dir(store.places().evicted.join("main"))
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    evicted.sort();
    assert_eq!(evicted, ["{\"sn\":\"SN1\"}", "{\"sn\":\"SN2\"}", "{\"sn\":\"SN3\"}"]);
    let counts = store.counts(&text, "main").await;
    assert_eq!((counts.pending, counts.evicted), (2, 3));
}

#[tokio::test]
async fn each_destination_has_its_own_delivery_and_a_new_one_leaves_old_entries_alone() {
    let mut store = Store::new(ONE);
    store.add("/a", &[1]).await.unwrap();
    store.crash_and_open(TWO).await;
    store.add("/b", &[2]).await.unwrap();
    assert_eq!(store.send_all("second").await, 1);
    assert_eq!(store.send_all("main").await, 2);
}

#[tokio::test]
async fn reports_that_were_queued_without_a_destination_wait_for_one() {
    let mut store = Store::new("");
    store.add("/a", &[1]).await.unwrap();
    assert!(store.states().await.is_empty());
    store.crash_and_open(ONE).await;
    assert_eq!(store.send_all("main").await, 1);
}

#[tokio::test]
async fn sent_reports_are_purged_after_their_time_and_the_count_stays() {
    let mut store = Store::new(TWO);
    store.add("/a", &[1]).await.unwrap();
    store.send_all("main").await;
    let later = Timestamp::now().checked_add(SignedDuration::from_hours(1)).unwrap();
    store.queue().writer.send(Command::Purge { old: old(later) }).await.unwrap();
    assert_eq!(store.send_all("second").await, 1, "the second destination has not got it yet");
    store.queue().writer.send(Command::Purge { old: old(later) }).await.unwrap();
    store.add("/b", &[2]).await.unwrap();
    assert_eq!(store.states().await.len(), 2);
    assert_eq!(store.counts(TWO, "main").await.sent, 1);
}

#[tokio::test]
async fn a_large_report_lies_in_the_spool_and_goes_with_its_entry() {
    let mut store = Store::new(ONE);
    let spool = store.places().spool;
    let mut random = fastrand::Rng::with_seed(1);
    let noise: String = (0..600_000).map(|_| random.alphanumeric()).collect();
    let mut file = store.file("/a", &[1]);
    file.entries[0].payload = Payload::new(noise.clone().into_bytes(), &spool).unwrap();
    store.commit(file).await.unwrap();
    std::fs::File::create_new(spool.join("leftover.zst")).unwrap();
    store.crash_and_open(ONE).await;
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 1, "what no entry names is removed");
    assert_eq!(store.ready("main").await.remove(0).body.unwrap(), noise);
    store.send_all("main").await;
    let later = Timestamp::now().checked_add(SignedDuration::from_hours(1)).unwrap();
    store.queue().writer.send(Command::Purge { old: old(later) }).await.unwrap();
    store.add("/b", &[2]).await.unwrap();
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0);
}

#[tokio::test]
async fn a_damaged_payload_is_noticed_before_it_is_sent() {
    let mut store = Store::new(ONE);
    store.add("/a", &[1]).await.unwrap();
    store.close().await;
    let connection = rusqlite::Connection::open(store.places().database).unwrap();
    connection.execute("UPDATE entry SET hash = zeroblob(32)", []).unwrap();
    drop(connection);
    store.open(ONE);
    assert!(matches!(store.ready("main").await.remove(0).body, Err(QueueError::Damaged(_))));
}

#[tokio::test]
async fn events_tell_what_is_durable_in_the_order_in_which_it_became_so() {
    let mut store = Store::new(ONE);
    store.add("/in/a.json", &[1]).await.unwrap();
    store.send_all("main").await;
    let events = store.events.lock().unwrap().clone();
    assert!(
        matches!(&events[0], Event::FileQueued { file, reports: 1, serial, whole: true, .. } if file == "a.json" && serial == "SN1")
    );
    assert!(matches!(&events[1], Event::Sent { serial, .. } if serial == "SN1"));
    assert_eq!(events.len(), 2);
}
