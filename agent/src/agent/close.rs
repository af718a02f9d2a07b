//! Closing everything in order; see [`crate::shutdown`].

use std::time::Duration;

use waybill_ipc::protocol::{AgentState, Event};

use super::Agent;
use crate::intake::{Source, Told};
use crate::queue::{Command, QueueError};
use crate::shutdown::{self, StopAsked, Stopped};

/// Longest time for the store to fold its log and close.
const CLOSE: Duration = Duration::from_secs(20);
/// Longest time for clients to be let go.
const CLOSE_IPC: Duration = Duration::from_secs(2);

impl Agent {
    pub(super) async fn close(mut self, asked: StopAsked) -> Stopped {
        self.hub.publish(Event::Agent { state: AgentState::Stopping });

        // 1 drain
        self.drain.cancel();
        self.chores.shutdown().await;
        if let Some(pool) = &self.pool {
            pool.stop_accepting();
        }
        self.sources.iter().for_each(|source| source.tell(Told::Drain));
        let drain = Duration::from_secs(self.config.shutdown.drain_secs);
        let (sources, dispatchers) = (&self.sources, &mut self.dispatchers);
        let drained = shutdown::until(drain, Some(asked), || {
            while dispatchers.try_join_next().is_some() {}
            dispatchers.is_empty() && sources.iter().all(Source::is_finished)
        })
        .await;

        // 2 cancel
        let mut stragglers = Vec::new();
        if !drained {
            tracing::warn!(event = "stop_cancels", "what is still under way is cancelled; it is done at the next start");
            self.cancel.cancel();
            self.sources.iter().for_each(|source| source.tell(Told::Cancel));
            let cancel = Duration::from_secs(self.config.shutdown.cancel_secs);
            let (sources, dispatchers) = (&self.sources, &mut self.dispatchers);
            shutdown::until(cancel, None, || {
                while dispatchers.try_join_next().is_some() {}
                dispatchers.is_empty() && sources.iter().all(Source::is_finished)
            })
            .await;
            stragglers.extend(self.sources.iter().filter(|s| !s.is_finished()).map(|s| format!("source {}", s.name())));
            if !self.dispatchers.is_empty() {
                stragglers.push("a destination".to_owned());
                self.dispatchers.abort_all();
            }
        }
        for source in self.sources.drain(..) {
            if source.is_finished() {
                source.join();
            }
        }
        if let Some(pool) = self.pool.take() {
            if pool.active_count() == 0 && stragglers.is_empty() {
                pool.join();
            } else if pool.active_count() > 0 {
                stragglers.push(format!("conversions still running: {}", pool.active_count()));
            }
        }

        // 3 verify
        let unsent = self.hub.with_snapshot(|snapshot| snapshot.queue.waiting);
        if let Err(error) = self.close_queue().await {
            tracing::error!(event = "queue_close_failed", %error, "the queue is put right at the next start");
            stragglers.push("the queue".to_owned());
        }
        for straggler in &stragglers {
            tracing::warn!(event = "straggler", straggler, "did not end in time; nothing is lost");
        }
        tracing::info!(event = "agent_stopped", unsent, "stopped");
        self.close_ipc.cancel();
        let _closed_by_exit = tokio::time::timeout(CLOSE_IPC, async { while self.servers.join_next().await.is_some() {} }).await;
        Stopped { stragglers, unsent }
    }

    async fn close_queue(&self) -> Result<(), QueueError> {
        let closing = self.queue.writer.ask(|ack| Command::Close { ack });
        tokio::time::timeout(CLOSE, closing).await.unwrap_or(Err(QueueError::Write("closing took too long".to_owned())))
    }
}
