//! What may go next: what came through the door, and what waits longer and is read from the store.

use std::collections::HashSet;
use std::time::Instant;

use jiff::Timestamp;

use super::{AT_HAND, Dispatcher, FETCH, STORE_PAUSE, from_now};
use crate::queue::{Command, QueueError, ReadyDelivery};

impl Dispatcher {
    /// Takes what came through the door to what is at hand; nothing of it is lost if it is forgotten.
    pub(super) fn look_behind_the_door(&mut self) {
        let came = self.setup.door.take();
        for delivery in came.deliveries.into_iter().filter(|delivery| delivery.key.entry > self.upto) {
            let at = self.fetched.partition_point(|known| known.rank <= delivery.rank);
            self.fetched.insert(at, delivery);
        }
        if came.stale {
            self.fetched.clear();
        }
        self.hungry |= came.missed;
        if self.fetched.len() >= AT_HAND {
            // It comes faster than it goes: the rest waits in the store, not in memory.
            self.setup.door.close();
            self.hungry = true;
        }
    }

    /// The next delivery, fetched if there is none at hand.
    pub(super) async fn next(&mut self) -> Option<ReadyDelivery> {
        if self.next_due.is_some_and(|due| due <= Instant::now()) {
            self.read_the_store_next();
        }
        if self.fetched.is_empty() && self.hungry {
            self.fetch().await;
        }
        self.fetched.pop_front()
    }

    /// Something waits in the store: nothing more comes to what is at hand, so that the store's turn comes however much is committed.
    pub(super) fn read_the_store_next(&mut self) {
        self.hungry = true;
        self.setup.door.close();
    }

    async fn fetch(&mut self) {
        self.promote_due().await;
        let except: HashSet<i64> = self.on_the_way.values().map(|key| key.entry).chain(self.settling.iter().copied()).collect();
        // First the door, then the store: what comes in between comes both ways, and is told by its number.
        self.setup.door.open();
        match self.setup.reader.ready(&self.setup.name, FETCH, except).await {
            Ok(ready) => {
                self.hungry = ready.more;
                (self.blocked, self.upto) = (ready.blocked, ready.upto);
                // What is known already may be of an outcome that is not committed yet.
                self.next_due = self.next_due.into_iter().chain(ready.next_due.map(from_now)).min();
                self.fetched.extend(ready.deliveries);
                if ready.more {
                    self.setup.door.close();
                }
            }
            Err(QueueError::Closed) => self.hungry = false,
            Err(error) => {
                tracing::warn!(event = "queue_read_failed", destination = self.setup.name, %error, "tried again");
                self.setup.door.close();
                self.not_before = Instant::now() + STORE_PAUSE;
            }
        }
    }

    /// Lets deliveries go whose time has come.
    async fn promote_due(&mut self) {
        if self.next_due.is_some_and(|due| due <= Instant::now()) {
            self.promote(Timestamp::now()).await;
        }
    }

    pub(super) async fn promote(&mut self, by: Timestamp) {
        self.next_due = None;
        let destination = self.setup.name.clone();
        let promoted = self.setup.writer.ask(|ack| Command::Promote { destination, by, ack }).await;
        if let Err(error) = promoted {
            tracing::warn!(event = "promote_failed", destination = self.setup.name, %error, "tried again");
            self.not_before = Instant::now() + STORE_PAUSE;
        }
        self.read_the_store_next();
    }
}
