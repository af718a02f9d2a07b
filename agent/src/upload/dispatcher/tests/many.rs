//! Eight that bring and eight that take, at the same time and of one priority: nothing is lost and nothing goes twice.

use std::collections::BTreeMap;

use tokio::sync::Barrier;
use waybill_ipc::protocol::{Changed, DeliveryFilter, DeliveryState, Which};

use super::*;

const PRODUCERS: usize = 8;
const CONSUMERS: usize = 8;
/// Files of each producer.
const FILES: usize = 40;
/// Reports that several producers bring in revisions of their own: the same ids.
const SHARED: u8 = 5;

/// The other side: what came, what is coming at this moment, and how often each was answered how.
#[derive(Default)]
struct Desk {
    coming: HashSet<String>,
    /// Came while they were coming already.
    doubled: Vec<String>,
    most_at_once: usize,
    tries: HashMap<String, u32>,
    /// Serial numbers that were accepted, by report id, in the order in which that was.
    accepted: HashMap<ReportId, Vec<String>>,
}

fn shared(id: u8) -> ReportId {
    ReportId::from_bytes([id; 16])
}

async fn deliver(desk: Arc<Mutex<Desk>>, all_eight: Arc<Barrier>, number: u32, parcel: Parcel) -> Delivered {
    let first_try = {
        let mut desk = desk.lock().unwrap();
        if !desk.coming.insert(parcel.serial.clone()) {
            desk.doubled.push(parcel.serial.clone());
        }
        desk.most_at_once = desk.most_at_once.max(desk.coming.len());
        let tries = desk.tries.entry(parcel.serial.clone()).or_default();
        *tries += 1;
        *tries == 1
    };
    // The first eight are there together; afterwards each takes as long as it likes.
    if number < CONSUMERS as u32 {
        tokio::time::timeout(PATIENCE, all_eight.wait()).await.expect("eight go at the same time");
    }
    for _ in 0..fastrand::u32(0..20) {
        tokio::task::yield_now().await;
    }
    let mut desk = desk.lock().unwrap();
    desk.coming.remove(&parcel.serial);
    let is_shared = (0..SHARED).any(|id| shared(id) == parcel.report_id);
    match fastrand::u32(0..10) {
        0 if first_try => later(None),
        // A revision that was refused stays behind its newer ones for good.
        1 if first_try && !is_shared => Err(Verdict::FailReport { error: error() }),
        _ => {
            desk.accepted.entry(parcel.report_id).or_default().push(parcel.serial);
            well()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn eight_producers_and_eight_consumers_lose_nothing_and_double_nothing() {
    let station = Station::new();
    let (desk, all_eight): (Arc<Mutex<Desk>>, _) = (Arc::default(), Arc::new(Barrier::new(CONSUMERS)));
    let upload = Upload { concurrency: CONSUMERS as u32, backoff_initial_secs: 0, ..Upload::default() };
    let (other_side, numbers) = (Arc::clone(&desk), AtomicU32::new(0));
    let (setup, _orders) = station.setup(upload, move |parcel| {
        let number = numbers.fetch_add(1, Ordering::SeqCst);
        Box::pin(deliver(Arc::clone(&other_side), Arc::clone(&all_eight), number, parcel))
    });
    let drained = setup.drain.clone();
    let mut running = JoinSet::new();
    running.spawn(run(setup, Progress::of_nobody()));

    // Threads, as converters are.
    let feeder = station.feeder();
    let begin = Arc::new(std::sync::Barrier::new(PRODUCERS));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let (feeder, begin) = (feeder.clone(), Arc::clone(&begin));
            std::thread::Builder::new().spawn(move || produce(producer, &feeder, &begin)).unwrap()
        })
        .collect();
    let issued: Vec<String> =
        tokio::task::block_in_place(|| producers.into_iter().flat_map(|producer| producer.join().unwrap()).collect());

    let is_over = |event: &&Event| matches!(event, Event::Sent { .. } | Event::Failed { .. });
    station.until(|events| events.iter().filter(is_over).count() >= issued.len()).await;
    // A person takes up again what was refused.
    let failed = DeliveryFilter { state: Some(DeliveryState::Failed), ..DeliveryFilter::default() };
    let which = Which::All { filter: failed, after: None };
    let again: Changed = station.queue.writer.ask(|ack| Command::Retry { which, ack }).await.unwrap();
    assert!(again.count > 0 && again.skipped == 0 && !again.more, "{again:?}");
    let sent = |events: &[Event]| events.iter().filter(|event| matches!(event, Event::Sent { .. })).count();
    station.until(|events| sent(events) >= issued.len()).await;
    drain(drained, running).await;

    assert_eq!(desk.lock().unwrap().doubled, Vec::<String>::new());
    // The books: each was written down as sent once.
    let mut in_the_books: BTreeMap<String, u32> = BTreeMap::new();
    for event in station.events.lock().unwrap().iter() {
        if let Event::Sent { serial, .. } = event {
            *in_the_books.entry(serial.clone()).or_default() += 1;
        }
    }
    let once: BTreeMap<String, u32> = issued.iter().map(|serial| (serial.clone(), 1)).collect();
    assert_eq!(in_the_books, once);
    // The other side: each came once.
    let mut came: Vec<String> = desk.lock().unwrap().accepted.values().flatten().cloned().collect();
    let mut expected = issued.clone();
    came.sort();
    expected.sort();
    assert_eq!(came, expected);
    assert_eq!(desk.lock().unwrap().most_at_once, CONSUMERS);
    revisions_in_order(&station, &desk.lock().unwrap());
    let counts = station.end().await;
    assert_eq!((counts.pending, counts.sent, counts.failed), (0, issued.len() as u64, 0));
}

/// Commits files of one to three reports, some of them too large to go through the door, some revisions of what others bring; their
/// serial numbers.
fn produce(producer: usize, feeder: &Feeder, begin: &std::sync::Barrier) -> Vec<String> {
    begin.wait();
    let mut serials = Vec::new();
    let (told, answers) = crossbeam_channel::bounded(FILES);
    for number in 0..FILES {
        let bytes = if fastrand::u32(0..20) == 0 { 100_000 } else { 100 };
        let mut file = feeder.file(&format!("p{producer}-{number}"), 5, fastrand::usize(1..=3), bytes);
        if fastrand::u32(0..8) == 0 {
            file.entries[0].report_id = shared(fastrand::u8(0..SHARED));
        }
        serials.extend(file.entries.iter().map(|entry| entry.serial.clone()));
        let told = told.clone();
        let ack: Ack<Committed> = Box::new(move |result| told.send(result).unwrap());
        feeder.writer.send_blocking(Command::Commit { file, ack }).unwrap();
    }
    for _ in 0..FILES {
        let committed = answers.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(committed, Ok(Committed::Queued { .. })), "{committed:?}");
    }
    serials
}

/// Revisions of one report arrived in the order in which they were queued.
fn revisions_in_order(station: &Station, desk: &Desk) {
    let connection = rusqlite::Connection::open(Station::places(&station.folder).database).unwrap();
    let mut queued = connection.prepare("SELECT serial FROM entry WHERE report_id = ?1 ORDER BY entry").unwrap();
    let mut chains = 0;
    for id in 0..SHARED {
        let Some(accepted) = desk.accepted.get(&shared(id)) else { continue };
        let serials: Vec<String> = queued.query_map([[id; 16]], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(accepted, &serials);
        chains += usize::from(serials.len() > 1);
    }
    assert!(chains > 0, "some came in several revisions");
}
