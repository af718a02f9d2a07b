//! The dispatcher with the real store and its real door, and a destination that answers what a test tells it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use tempfile::TempDir;
use waybill_shared::error::Code;
use waybill_shared::id::{CorrelationId, ReportId};

use super::*;
use crate::queue::{self, Ack, Command, Committed, Fingerprint, NewEntry, NewFile, Opened, Payload, Places};
use crate::upload::destination::{Delivery, Depth, Testing};
use crate::upload::verdict::Verdict;

mod many;
mod one_probe;
mod turns;

/// Nothing here takes as long, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(300);
const CONFIG: &str = "[[destination]]\nname='main'\nkind='folder'\nfolder='x'\n[queue]\nmin_free_bytes=0\nmin_free_percent=0\n";
/// When the store's clock begins, milliseconds.
const EPOCH_MS: i64 = 1_800_000_000_000;

type Answer = Pin<Box<dyn Future<Output = Delivered> + Send>>;

/// A destination that answers as it is told.
struct Counterpart(Box<dyn Fn(Parcel) -> Answer + Send + Sync>);

impl Destination for Counterpart {
    fn address(&self) -> String {
        "here".to_owned()
    }

    fn accepted_before(&self) {}

    fn deliver(&self, parcel: Parcel) -> Delivery<'_> {
        (self.0)(parcel)
    }

    fn test(&self, _depth: Depth) -> Testing<'_> {
        Box::pin(async { Err(error()) })
    }
}

fn error() -> ErrorReport {
    ErrorReport::new(Code::DestinationUnreachable, "a test wants it so")
}

fn well() -> Delivered {
    Ok("there".to_owned())
}

/// Tried again later; says nothing of the destination.
fn later(after: Option<Duration>) -> Delivered {
    Err(Verdict::RetryReport { after, down: false, charge: false, error: error() })
}

/// A queue with a clock that is told, and what came of its commits.
struct Station {
    folder: TempDir,
    queue: Opened,
    clock: Arc<AtomicI64>,
    events: Arc<Mutex<Vec<Event>>>,
    committed: Arc<tokio::sync::Notify>,
}

/// To put files into a queue.
#[derive(Clone)]
struct Feeder {
    writer: Writer,
    spool: std::path::PathBuf,
    number: Arc<AtomicU32>,
}

impl Feeder {
    /// A file of so many reports: their serial numbers begin with a name.
    fn file(&self, name: &str, priority: u8, reports: usize, bytes: usize) -> NewFile {
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        let entries = (0..reports).map(|at| {
            let body = format!("{{\"n\":\"{}\"}}", "x".repeat(bytes)).into_bytes();
            let payload = Payload::new(body, &self.spool).unwrap();
            let report_id = ReportId::from_bytes(*uuid::Uuid::now_v7().as_bytes());
            NewEntry { report_id, serial: format!("{name}-{at}"), part: "PN".into(), result: "P".into(), payload }
        });
        let fingerprint = Fingerprint {
            source: "ict".into(),
            path: format!("/in/{number}").into(),
            file_id: [1; 16],
            size: 1,
            modified_ns: i64::from(number),
            hash: [2; 32],
        };
        let (correlation_id, entries) = (CorrelationId::new(), entries.collect());
        NewFile { fingerprint, correlation_id, priority, entries, staged: None, whole: true, again: false }
    }

    async fn put(&self, name: &str, priority: u8, reports: usize) {
        let file = self.file(name, priority, reports, 10);
        self.commit(file).await;
    }

    async fn commit(&self, file: NewFile) {
        let committed = self.writer.ask(|ack: Ack<Committed>| Command::Commit { file, ack }).await;
        assert!(matches!(committed, Ok(Committed::Queued { .. })), "{committed:?}");
    }
}

impl Station {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, events, committed) = (Arc::new(AtomicI64::new(EPOCH_MS)), Arc::default(), Arc::default());
        let queue = Self::open(&folder, &clock, &events, &committed);
        Self { folder, queue, clock, events, committed }
    }

    fn open(
        folder: &TempDir,
        clock: &Arc<AtomicI64>,
        events: &Arc<Mutex<Vec<Event>>>,
        committed: &Arc<tokio::sync::Notify>,
    ) -> Opened {
        let config = waybill_shared::config::parse(CONFIG).unwrap();
        let (events, committed, clock) = (Arc::clone(events), Arc::clone(committed), Arc::clone(clock));
        let on_commit = Box::new(move |mut new: Vec<Event>| {
            events.lock().unwrap().append(&mut new);
            committed.notify_one();
        });
        let now = Arc::new(move || Timestamp::from_millisecond(clock.load(Ordering::SeqCst)).unwrap());
        queue::open_by(&Self::places(folder), &config, on_commit, now).unwrap()
    }

    fn places(folder: &TempDir) -> Places {
        let at = |name: &str| folder.path().join(name);
        Places { database: at("queue.db"), spool: at("spool"), evicted: at("evicted") }
    }

    fn feeder(&self) -> Feeder {
        let spool = Self::places(&self.folder).spool;
        Feeder { writer: self.queue.writer.clone(), spool, number: Arc::default() }
    }

    /// What a dispatcher for `main` needs; whoever holds the sender may give it orders.
    fn setup(&self, upload: Upload, answer: impl Fn(Parcel) -> Answer + Send + Sync + 'static) -> (Setup, mpsc::Sender<Order>) {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let setup = Setup {
            name: "main".to_owned(),
            destination: Arc::new(Counterpart(Box::new(answer))),
            reader: self.queue.reader.clone(),
            writer: self.queue.writer.clone(),
            upload,
            door: self.queue.doors.hang("main"),
            goes_on: false,
            orders: ordered,
            publish: Arc::new(|_| {}),
            drain: CancellationToken::new(),
            cancel: CancellationToken::new(),
        };
        (setup, orders)
    }

    /// Waits until the commits so far say so.
    async fn until(&self, is_so: impl Fn(&[Event]) -> bool) {
        let wait = async {
            while !is_so(&self.events.lock().unwrap()) {
                self.committed.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it comes to that");
    }

    /// Closes the queue, compares it with itself, and says what a new start finds in it.
    async fn end(self) -> queue::Counts {
        let Self { folder, queue, clock, events, committed } = self;
        close(queue).await;
        let checked = queue::check(&Self::places(&folder), PATIENCE).unwrap();
        assert!(checked.complete && checked.faults.is_empty(), "{:?}", checked.faults);
        let queue = Self::open(&folder, &clock, &events, &committed);
        let counts = queue.deliveries["main"];
        close(queue).await;
        counts
    }
}

async fn close(queue: Opened) {
    queue.writer.ask(|ack| Command::Close { ack }).await.unwrap();
    let Opened { writer, reader, reader_threads, writer_thread, .. } = queue;
    drop((writer, reader));
    reader_threads.join();
    writer_thread.join();
}

/// Has a dispatcher end, and waits for it.
async fn drain(drain: CancellationToken, mut running: JoinSet<()>) {
    drain.cancel();
    tokio::time::timeout(PATIENCE, running.join_next()).await.unwrap().unwrap().unwrap();
}
