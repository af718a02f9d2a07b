//! A destination's door under shuttle: the file `agent/src/queue/door.rs` itself, compiled here with shuttle's lock and a wake-up made of it,
//! between a writer that commits and a destination that takes as the dispatcher does, through thousands of interleavings at random and by
//! priorities (PCT). A destination that is not woken is a deadlock, and shuttle says so. The rest of what producers and consumers share is
//! channels and the store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    reason = "a fault of a test is told where it stands; a door has more than is tested here"
)]

#[path = "../src/queue/door.rs"]
mod door;
mod sync;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use door::{Door, Doors};
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};
use sync::Mutex;
use waybill_agent::queue::{DeliveryKey, ReadyDelivery};
use waybill_shared::id::{CorrelationId, ReportId};

/// Interleavings of each kind; `WAYBILL_INTERLEAVINGS` asks for another number.
const INTERLEAVINGS: usize = 1000;
/// Changes of priority in one run by PCT.
const DEPTH: usize = 4;
/// Deliveries that are read from the store at once.
const FETCH: usize = 2;
/// Deliveries that are at hand at most, but for what one look behind the door brings.
const AT_HAND: usize = 2;
/// What is committed together. A door has room for the bytes of one report at a time, so that the second of two is missed.
const BATCHES: [&[i64]; 5] = [&[1], &[2, 3], &[4], &[5, 6], &[7]];
const ALL: usize = 7;

/// What is committed: `true` waits, `false` was sent. Its index is the number of the entry less one.
type Store = Arc<Mutex<Vec<bool>>>;

fn check(test: fn()) {
    let count = std::env::var("WAYBILL_INTERLEAVINGS").ok().and_then(|text| text.parse().ok()).unwrap_or(INTERLEAVINGS);
    assert_eq!(Runner::new(RandomScheduler::new(count), Config::new()).run(test), count);
    assert_eq!(Runner::new(PctScheduler::new(DEPTH, count), Config::new()).run(test), count);
}

fn delivery(entry: i64) -> ReadyDelivery {
    static BODY: OnceLock<Bytes> = OnceLock::new();
    let body = BODY.get_or_init(|| Bytes::from(vec![0; door::MOST_BYTES])).clone();
    let report_id = ReportId::from_bytes([1; 16]);
    let key =
        DeliveryKey { entry, destination: "main".into(), report_id, correlation_id: CorrelationId::new(), serial: "SN".into() };
    ReadyDelivery { key, rank: entry, queued_at_ms: 0, tries: 0, body: Ok(body) }
}

/// Commits as the writer does: whether the door is open is asked before the commit, and what came is told after it.
fn write(doors: &Doors, store: &Store, stale_after: Option<usize>) {
    for (number, batch) in BATCHES.iter().enumerate() {
        let is_open = doors.is_open("main");
        store.lock().unwrap().extend(batch.iter().map(|_| true));
        let door = doors.of("main").unwrap();
        if is_open {
            door.put(batch.iter().map(|&entry| delivery(entry)));
        } else {
            door.miss();
        }
        if stale_after == Some(number) {
            door.stale();
        }
    }
}

/// Takes as the dispatcher does; the order in which everything went.
async fn take_all(door: &Door, store: &Store) -> Vec<i64> {
    let (mut fetched, mut sent): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
    let (mut hungry, mut upto) = (true, 0);
    loop {
        let came = door.take();
        fetched.extend(came.deliveries.iter().map(|delivery| delivery.key.entry).filter(|entry| *entry > upto));
        if came.stale {
            fetched.clear();
        }
        hungry |= came.missed;
        if fetched.len() >= AT_HAND {
            door.close();
            hungry = true;
        }
        if fetched.is_empty() && hungry {
            door.open();
            let store = store.lock().unwrap();
            upto = i64::try_from(store.len()).unwrap();
            fetched = (1..=upto).filter(|entry| store[usize::try_from(entry - 1).unwrap()]).collect();
            hungry = fetched.len() > FETCH;
            fetched.truncate(FETCH);
            if hungry {
                door.close();
            }
        }
        // One at a time: what comes meanwhile is looked at before the next one goes.
        if fetched.is_empty() {
            if sent.len() == ALL {
                return sent;
            }
            door.came().await;
        } else {
            let entry = fetched.remove(0);
            let was_waiting = std::mem::replace(&mut store.lock().unwrap()[usize::try_from(entry - 1).unwrap()], false);
            assert!(was_waiting, "{entry} goes twice");
            sent.push(entry);
        }
    }
}

fn life(stale_after: Option<usize>) {
    let (doors, store) = (Doors::default(), Store::default());
    let door = doors.hang("main");
    let writer = {
        let (doors, store) = (doors.clone(), Arc::clone(&store));
        thread::spawn(move || write(&doors, &store, stale_after))
    };
    let sent = block_on(take_all(&door, &store));
    writer.join().unwrap();
    assert_eq!(sent, [1, 2, 3, 4, 5, 6, 7], "nothing is lost, goes twice or overtakes");
}

#[test]
fn what_is_committed_while_a_destination_takes_goes_once_and_in_its_order() {
    check(|| life(None));
}

#[test]
fn what_was_read_and_is_forgotten_goes_all_the_same() {
    check(|| life(Some(2)));
}
