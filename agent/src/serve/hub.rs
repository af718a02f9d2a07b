//! The event hub: one snapshot that follows the events, and a bounded buffer for each subscriber.
//!
//! Publishing never waits. A subscriber that is too slow loses the events, not the state: it is told how many it missed and gets a fresh
//! snapshot. Subscribing is atomic with publishing: the first update is the snapshot at one event's number, and every later event
//! follows. The lock is held for the change of the snapshot and a push to each subscriber, never over anything that waits.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;
use waybill_ipc::protocol::{Event, Snapshot, Update};
use waybill_ipc::server::Updates;

/// Events that wait for one subscriber.
const BUFFER: usize = 256;

/// The hub. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    seq: u64,
    snapshot: Snapshot,
    next_subscriber: u64,
    subscribers: HashMap<u64, Buffer>,
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
        Self { shared: Arc::new(Mutex::new(Shared { seq: 0, snapshot, next_subscriber: 0, subscribers: HashMap::new() })) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
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
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let news = Arc::new(Notify::new());
        news.notify_one();
        let mut shared = self.lock();
        let id = shared.next_subscriber;
        shared.next_subscriber += 1;
        shared.subscribers.insert(id, Buffer { waiting: VecDeque::new(), resync: Some(0), news: Arc::clone(&news) });
        drop(shared);
        Subscription { hub: self.clone(), id, news }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::empty_snapshot;

    fn event(n: u32) -> Event {
        Event::Sending { destination: "d".into(), count: n }
    }

    async fn seqs(subscription: &mut Subscription, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        for _ in 0..count {
            seqs.push(subscription.next().await.unwrap().seq());
        }
        seqs
    }

    #[tokio::test]
    async fn the_snapshot_comes_first_and_every_later_event_after_it() {
        let hub = Hub::new(empty_snapshot());
        hub.publish(event(1));
        let mut subscription = hub.subscribe();
        hub.publish(event(2)); // before the snapshot is taken: it is in it
        assert_eq!(seqs(&mut subscription, 1).await, [2]);
        hub.publish_all([event(3), event(4)]);
        assert_eq!(seqs(&mut subscription, 2).await, [3, 4]);
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_how_much_it_missed_and_where_things_stand() {
        let hub = Hub::new(empty_snapshot());
        let mut slow = hub.subscribe();
        slow.next().await.unwrap();
        let total = BUFFER as u64 + 50;
        (0..total).for_each(|n| hub.publish(event(u32::try_from(n).unwrap())));
        match slow.next().await.unwrap() {
            Update::Snapshot { seq, missed, .. } => assert_eq!((seq, missed), (total, total)),
            other => panic!("{other:?}"),
        }
        hub.publish(event(0));
        assert_eq!(slow.next().await.unwrap().seq(), total + 1);
    }

    #[tokio::test]
    async fn five_hundred_subscribers_see_everything_in_order_and_leave_nothing() {
        let hub = Hub::new(empty_snapshot());
        let mut subscribers: Vec<_> = (0..500).map(|_| hub.subscribe()).collect();
        for subscriber in &mut subscribers {
            subscriber.next().await.unwrap();
        }
        (0..100).for_each(|n| hub.publish(event(n)));
        for subscriber in &mut subscribers {
            assert_eq!(seqs(subscriber, 100).await, (1..=100).collect::<Vec<u64>>());
        }
        drop(subscribers);
        assert_eq!(hub.subscribers(), 0);
    }
}
