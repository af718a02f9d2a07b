//! The way of a report that can be sent at once: from its commit straight to its destination, without being read back.
//!
//! Each destination has a door. Behind an open one the writer puts what it has just committed, in the order of the commits; so much at
//! most. A door that was not opened, or is full, only remembers that something came: its destination then reads the store. Nothing
//! depends on what lies behind a door; it may be forgotten at any time.
//!
//! Who opens a door and *then* reads the store misses nothing: what was committed before is read, what is committed later comes through the
//! door, and what is both is told by its number, which only grows ([`ReadyDelivery::entry`](super::DeliveryKey)).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;

use super::ReadyDelivery;

/// Reports that wait behind a door at most.
const MOST: usize = 256;
/// Bytes of them.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The door of one destination.
#[derive(Debug, Default)]
pub struct Door {
    behind: Mutex<Behind>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Behind {
    open: bool,
    missed: bool,
    stale: bool,
    bytes: usize,
    waiting: Vec<ReadyDelivery>,
}

/// What came through a door.
#[derive(Debug, Default)]
pub struct Came {
    /// Deliveries, in the order of their commits.
    pub deliveries: Vec<ReadyDelivery>,
    /// True if there is more in the store.
    pub missed: bool,
    /// True if what was read before may not be sent any more, or not in this order.
    pub stale: bool,
}

impl Door {
    /// Opens it: what lay behind it is forgotten, the store is read next.
    pub fn open(&self) {
        *self.behind() = Behind { open: true, ..Behind::default() };
    }

    /// Closes it: from now on it only remembers that something came. What lay behind it is read from the store.
    pub fn close(&self) {
        let mut behind = self.behind();
        *behind = Behind { missed: true, stale: behind.stale, ..Behind::default() };
    }

    /// Takes what came. If something was missed the door is closed by that.
    #[must_use]
    pub fn take(&self) -> Came {
        let mut behind = self.behind();
        let came = Came { deliveries: std::mem::take(&mut behind.waiting), missed: behind.missed, stale: behind.stale };
        // What was missed is read from the store; until then nothing else comes through.
        *behind = Behind { open: behind.open && !behind.missed, ..Behind::default() };
        came
    }

    /// Waits until something came, or has come since the last time.
    pub async fn came(&self) {
        self.notify.notified().await;
    }

    /// Puts deliveries behind it, or remembers that they came.
    pub(super) fn put(&self, deliveries: impl IntoIterator<Item = ReadyDelivery>) {
        let mut behind = self.behind();
        for delivery in deliveries {
            let bytes = delivery.body.as_ref().map_or(0, bytes::Bytes::len);
            if !behind.open || behind.missed || behind.waiting.len() >= MOST || behind.bytes + bytes > MOST_BYTES {
                // In order, or not at all: what comes later must not overtake what was missed.
                behind.missed = true;
            } else {
                behind.bytes += bytes;
                behind.waiting.push(delivery);
            }
        }
        drop(behind);
        self.notify.notify_one();
    }

    /// Tells that there is something in the store.
    pub(super) fn miss(&self) {
        self.behind().missed = true;
        self.notify.notify_one();
    }

    /// Tells that what was read before may not be sent any more.
    pub(super) fn stale(&self) {
        let mut behind = self.behind();
        (behind.missed, behind.stale) = (true, true);
        behind.waiting.clear();
        drop(behind);
        self.notify.notify_one();
    }

    fn behind(&self) -> MutexGuard<'_, Behind> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The doors of all destinations, by their names in small letters.
#[derive(Debug, Clone, Default)]
pub struct Doors(Arc<RwLock<HashMap<String, Arc<Door>>>>);

impl Doors {
    /// A new door for a destination, in place of the one it had.
    #[must_use]
    pub fn hang(&self, destination: &str) -> Arc<Door> {
        let door: Arc<Door> = Arc::default();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(destination.to_ascii_lowercase(), Arc::clone(&door));
        door
    }

    /// Takes a destination's door away, if it is this one.
    pub fn remove(&self, destination: &str, door: &Arc<Door>) {
        let mut doors = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let name = destination.to_ascii_lowercase();
        if doors.get(&name).is_some_and(|hangs| Arc::ptr_eq(hangs, door)) {
            doors.remove(&name);
        }
    }

    /// True if the destination has an open door with room behind it.
    pub(super) fn is_open(&self, destination: &str) -> bool {
        self.of(destination).is_some_and(|door| {
            let behind = door.behind();
            behind.open && !behind.missed && behind.waiting.len() < MOST
        })
    }

    pub(super) fn of(&self, destination: &str) -> Option<Arc<Door>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&destination.to_ascii_lowercase()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use waybill_shared::id::{CorrelationId, ReportId};

    use super::super::DeliveryKey;
    use super::*;

    fn delivery(entry: i64, bytes: usize) -> ReadyDelivery {
        let key = DeliveryKey {
            entry,
            destination: "main".into(),
            report_id: ReportId::from_bytes([1; 16]),
            correlation_id: CorrelationId::new(),
            serial: "SN".into(),
        };
        ReadyDelivery { key, rank: entry, queued_at_ms: 0, tries: 0, body: Ok(Bytes::from(vec![0; bytes])) }
    }

    fn entries(came: &Came) -> Vec<i64> {
        came.deliveries.iter().map(|delivery| delivery.key.entry).collect()
    }

    #[test]
    fn a_closed_door_only_remembers() {
        let door = Door::default();
        door.put([delivery(1, 1)]);
        let came = door.take();
        assert!(came.missed && came.deliveries.is_empty());
        assert!(!door.take().missed);
    }

    #[test]
    fn what_is_missed_is_overtaken_by_nothing() {
        let door = Door::default();
        door.open();
        door.put((0..300).map(|n| delivery(n, 1)));
        let came = door.take();
        assert_eq!(entries(&came), (0..256).collect::<Vec<_>>());
        assert!(came.missed);
        door.put([delivery(400, 1)]);
        assert_eq!(door.take().deliveries.len(), 0, "it is closed until the store was read");
        door.open();
        door.put([delivery(1, MOST_BYTES), delivery(2, 1), delivery(3, 0)]);
        let came = door.take();
        assert_eq!((entries(&came), came.missed), (vec![1], true), "the small one behind a large one waits as well");
    }

    #[test]
    fn closing_it_forgets_nothing_but_what_is_in_the_store() {
        let door = Door::default();
        door.open();
        door.put([delivery(1, 1)]);
        door.stale();
        door.close();
        let came = door.take();
        assert!(came.deliveries.is_empty() && came.missed && came.stale);
        door.put([delivery(2, 1)]);
        assert!(door.take().deliveries.is_empty(), "it stays closed");
    }

    #[tokio::test]
    async fn who_comes_late_is_still_woken() {
        let doors = Doors::default();
        let door = doors.hang("Main");
        doors.of("main").unwrap().miss();
        tokio::time::timeout(std::time::Duration::from_secs(10), door.came()).await.unwrap();
        let newer = doors.hang("MAIN");
        doors.remove("main", &door);
        assert!(doors.of("main").is_some_and(|hangs| Arc::ptr_eq(&hangs, &newer)));
    }
}
