//! The way of a report that can be sent at once: from its commit straight to its destination, without being read back.
//!
//! Each destination has a door. Behind an open one the writer puts what it has just committed, in the order of the commits; so much at
//! most. A door that was not opened, or is full, only remembers that something came: its destination then reads the store. Nothing
//! depends on what lies behind a door; it may be forgotten at any time.
//!
//! Who opens a door and *then* reads the store misses nothing: what was committed before is read, what is committed later comes through the
//! door, and what is both is told by its number, which only grows ([`ReadyDelivery::entry`](super::DeliveryKey)).
//!
//! This file is compiled a second time by its test under shuttle, which puts a `sync` of its own in the place of [`sync`](super::sync) and runs
//! writer and destination through thousands of interleavings.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::ReadyDelivery;
use super::sync::{Mutex, MutexGuard, Notify};

/// Reports that wait behind a door at most.
const MOST: usize = 256;
/// Bytes of them.
pub(super) const MOST_BYTES: usize = 4 * 1024 * 1024;

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
