//! Damage that is noticed while the queue is used: it is written down at once, and whoever owns the queue opens it anew, which saves what
//! can be read.

use tokio::sync::watch;

use super::mark::Mark;

/// Who is told of damage. The first word counts.
#[derive(Debug)]
pub struct Damage {
    mark: Mark,
    told: watch::Sender<Option<String>>,
}

impl Damage {
    pub(super) fn new(mark: Mark) -> Self {
        Self { mark, told: watch::channel(None).0 }
    }

    /// Notes that bytes of the store are not what was written.
    pub fn tell(&self, reason: &str) {
        if self.note(reason) {
            tracing::error!(event = "queue_damage_noticed", reason, "bytes of the queue are not what was written");
            self.mark.damaged(reason);
        }
    }

    /// Tells that the store is whole and must be opened anew.
    pub(super) fn open_anew(&self, reason: &str) {
        self.note(reason);
    }

    fn note(&self, reason: &str) -> bool {
        self.told.send_if_modified(|told| {
            let first = told.is_none();
            if first {
                *told = Some(reason.to_owned());
            }
            first
        })
    }

    /// Waits until damage is noticed; what it is.
    pub async fn noticed(&self) -> String {
        let mut told = self.told.subscribe();
        let reason = told.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            // The sender lives as long as this.
            None => std::future::pending().await,
        }
    }
}
