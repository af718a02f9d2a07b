//! What `agent/src/serve/sync.rs` gives the hub and `agent/src/queue/sync.rs` a door, by shuttle: its lock, and a wake-up that behaves as tokio's `Notify` does for one waiter.

use std::future::poll_fn;
use std::task::{Poll, Waker};

pub use shuttle::sync::{Mutex, MutexGuard};

/// One wake-up is remembered if nobody waits; a second one before it was taken changes nothing.
#[derive(Debug, Default)]
pub struct Notify {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told: bool,
    waiting: Option<Waker>,
}

impl Notify {
    #[allow(dead_code, reason = "a door makes its own by default")]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn notify_one(&self) {
        let waiting = {
            let mut state = self.state.lock().unwrap();
            state.told = true;
            state.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    pub async fn notified(&self) {
        poll_fn(|context| {
            let mut state = self.state.lock().unwrap();
            if std::mem::take(&mut state.told) {
                return Poll::Ready(());
            }
            state.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
