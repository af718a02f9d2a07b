//! Closing everything in order; see [`crate::shutdown`].

use std::time::Duration;

use waybill_ipc::protocol::{AgentState, Event};
use waybill_shared::config::Shutdown;

use super::works::Works;
use super::{Agent, Kept};
use crate::queue::{Command, QueueError};
use crate::shutdown::{self, StopAsked, Stopped};

/// Longest time for the store to fold its log and close.
const CLOSE: Duration = Duration::from_secs(20);
/// Longest time for the history to be written.
const CLOSE_HISTORY: Duration = Duration::from_secs(5);

impl Agent {
    pub(super) async fn close(self, asked: StopAsked) -> Stopped {
        let limits = self.live.load().effective.config.shutdown.clone();
        self.end(asked, limits).await.0
    }

    /// As [`Agent::close`], with no time for what is under way: something hangs already.
    pub(super) async fn close_at_once(self, asked: StopAsked) -> Stopped {
        self.end(asked, Shutdown { drain_secs: 0, cancel_secs: 2 }).await.0
    }

    /// Closes everything but the log, so that the agent can be opened anew in this process. What is under way is done again then.
    pub(super) async fn renew(self, asked: StopAsked) -> Kept {
        let limits = Shutdown { drain_secs: 2, cancel_secs: 5 };
        let (ended, kept) = self.end(asked, limits).await;
        tracing::warn!(event = "agent_begins_anew", stragglers = ?ended.stragglers, "to save what can be read of the queue");
        kept
    }

    async fn end(mut self, asked: StopAsked, limits: Shutdown) -> (Stopped, Kept) {
        self.hub.publish(Event::Agent { state: AgentState::Stopping });
        for chore in std::mem::take(&mut self.chores) {
            chore.end().await;
        }
        // A change of the configuration that has begun is brought to its end: it has deadlines of its own.
        let stragglers = match self.keeper.end().await {
            Some(works) => end(works, &limits, asked).await,
            None => vec!["the keeper of the configuration".to_owned()],
        };
        for straggler in &stragglers {
            tracing::warn!(event = "straggler", straggler, "did not end in time; nothing is lost");
        }
        let unsent = self.hub.with_snapshot(|snapshot| snapshot.queue.waiting);
        tracing::info!(event = "agent_stopped", unsent, "stopped");
        self.connections.close().await;
        self.health.stop().await;
        if let Err(error) = self.history.close(CLOSE_HISTORY).await {
            tracing::warn!(event = "history_close_failed", reason = error.message, "its last entries may be missing");
        }
        (Stopped { stragglers, unsent, gave_up: None }, Kept { log: self.log, lock: self.lock })
    }
}

/// The three phases; who did not end in time.
async fn end(mut works: Works, limits: &Shutdown, asked: StopAsked) -> Vec<String> {
    // 1 drain
    works.drain();
    let drained = shutdown::until(Duration::from_secs(limits.drain_secs), Some(asked), || works.is_quiet()).await;

    // 2 cancel
    if !drained {
        tracing::warn!(event = "stop_cancels", "what is still under way is cancelled; it is done at the next start");
        works.cancel();
        shutdown::until(Duration::from_secs(limits.cancel_secs), None, || works.is_quiet()).await;
    }
    let mut stragglers = works.give_up();

    // 3 verify
    if let Err(error) = close_queue(&works).await {
        tracing::error!(event = "queue_close_failed", %error, "the queue is put right at the next start");
        stragglers.push("the queue".to_owned());
    }
    stragglers
}

async fn close_queue(works: &Works) -> Result<(), QueueError> {
    let closing = works.queue.writer.ask(|ack| Command::Close { ack });
    tokio::time::timeout(CLOSE, closing).await.unwrap_or(Err(QueueError::Write("closing took too long".to_owned())))
}
