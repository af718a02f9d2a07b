//! The event hub: one snapshot that follows the events, and a bounded buffer for each subscriber.
//!
//! Publishing never waits. A subscriber that is too slow loses the events, not the state: it is told how many it missed and gets a fresh
//! snapshot. Subscribing is atomic with publishing: the first update is the snapshot at one event's number, and every later event
//! follows. The lock is held for the change of the snapshot and a push to each subscriber, never over anything that waits.
//!
//! What it locks and wakes with comes from `sync` beside it: `agent/tests/hub_interleavings.rs` compiles this very file once more with
//! shuttle's in its place, and runs it through thousands of interleavings.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use waybill_ipc::protocol::{Event, Snapshot, Update};
use waybill_ipc::server::Updates;
use waybill_shared::error::{Code, ErrorReport};

use super::sync::{Mutex, MutexGuard, Notify};

/// Events that wait for one subscriber.
pub const BUFFER: usize = 256;
/// Most subscribers.
pub const SUBSCRIBERS: usize = 500;

/// The hub. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    seq: u64,
    snapshot: Snapshot,
    next_subscriber: u64,
    /// In the order in which they came, and are told.
    subscribers: BTreeMap<u64, Buffer>,
}

struct Buffer {
    waiting: VecDeque<Update>,
    /// The subscriber gets a snapshot next, having missed so many events.
    resync: Option<u64>,
    news: Arc<Notify>,
}

impl Hub {
    /// A hub that begins with this state.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { seq: 0, snapshot, next_subscriber: 0, subscribers: BTreeMap::new() })) }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes one event.
    pub fn publish(&self, event: Event) {
        self.publish_all([event]);
    }

    /// Publishes events in order, with nothing between them.
    pub fn publish_all(&self, events: impl IntoIterator<Item = Event>) {
        let at_ms = Timestamp::now().as_millisecond();
        let mut shared = self.lock();
        let shared = &mut *shared;
        for event in events {
            shared.seq += 1;
            shared.snapshot.apply(at_ms, &event);
            let seq = shared.seq;
            for buffer in shared.subscribers.values_mut() {
                buffer.push(Update::Event { seq, at_ms, event: event.clone() });
            }
        }
        for buffer in shared.subscribers.values() {
            buffer.news.notify_one();
        }
    }

    /// The state at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.lock().snapshot.clone()
    }

    /// Looks at the state without copying it.
    pub fn with_snapshot<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.lock().snapshot)
    }

    /// A new subscription; its first update is the snapshot.
    ///
    /// # Errors
    /// There are as many as the hub carries.
    pub fn subscribe(&self) -> Result<Subscription, ErrorReport> {
        let news = Arc::new(Notify::new());
        news.notify_one();
        let mut shared = self.lock();
        if shared.subscribers.len() >= SUBSCRIBERS {
            return Err(ErrorReport::new(Code::PeerCrowded, format!("{SUBSCRIBERS} others follow the agent's events already")));
        }
        let id = shared.next_subscriber;
        shared.next_subscriber += 1;
        shared.subscribers.insert(id, Buffer { waiting: VecDeque::new(), resync: Some(0), news: Arc::clone(&news) });
        drop(shared);
        Ok(Subscription { hub: self.clone(), id, news })
    }

    /// How many subscribers there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.lock().subscribers.len()
    }
}

impl Buffer {
    fn push(&mut self, update: Update) {
        match &mut self.resync {
            // The first snapshot is still to be taken: it will hold this event.
            Some(0) => {}
            Some(missed) => *missed += 1,
            None if self.waiting.len() >= BUFFER => {
                self.resync = Some(self.waiting.len() as u64 + 1);
                self.waiting = VecDeque::new();
            }
            None => self.waiting.push_back(update),
        }
    }
}

/// One subscriber's end. Dropping it ends the subscription.
pub struct Subscription {
    hub: Hub,
    id: u64,
    news: Arc<Notify>,
}

impl Subscription {
    fn take(&self) -> Option<Update> {
        let mut shared = self.hub.lock();
        let shared = &mut *shared;
        let buffer = shared.subscribers.get_mut(&self.id)?;
        match buffer.resync.take() {
            Some(missed) => Some(Update::Snapshot { seq: shared.seq, missed, snapshot: Box::new(shared.snapshot.clone()) }),
            None => buffer.waiting.pop_front(),
        }
    }
}

impl Updates for Subscription {
    async fn next(&mut self) -> Option<Update> {
        loop {
            if let Some(update) = self.take() {
                return Some(update);
            }
            self.news.notified().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.lock().subscribers.remove(&self.id);
    }
}
