//! Closing everything in order; see [`crate::shutdown`].

use std::time::{Duration, Instant};

use waybill_ipc::protocol::{AgentState, Event, StopPhase, Stopping};
use waybill_shared::config::Shutdown;
use waybill_shared::fs::lock::Lock;

use super::works::Works;
use super::{Agent, Kept};
use crate::queue::Command;
use crate::serve::hub::Hub;
use crate::shutdown::{self, Deadlines, StopAsked, Stopped};

/// Longest time for a converter to end whose source has let go of it.
const LET_GO: Duration = Duration::from_secs(1);
/// Longest time for the store to fold its log and close.
const CLOSE: Duration = Duration::from_secs(20);
/// What is kept for what comes after it.
const AFTER_THE_QUEUE: Duration = Duration::from_secs(1);
/// Longest time for the history to be written.
const CLOSE_HISTORY: Duration = Duration::from_secs(5);
/// Longest time for a change of the configuration that has begun, beyond the first phase: it is brought to its end or taken back.
const LAST_CHANGE: Duration = Duration::from_secs(30);

impl Agent {
    pub(super) async fn close(self, asked: StopAsked) -> Stopped {
        let limits = self.live.load().effective.config.shutdown.clone();
        let deadlines = Deadlines::of(&limits, asked.session_ends(), Instant::now());
        if let Err(error) = shutdown::guard(deadlines, waybill_shared::error::Exit::Forced as u8) {
            tracing::warn!(event = "stop_unguarded", %error, "the stop is bounded by its phases only");
        }
        self.end(asked, deadlines).await.0
    }

    /// As [`Agent::close`], with no time for what is under way: something hangs already.
    pub(super) async fn close_at_once(self, asked: StopAsked) -> Stopped {
        let limits = Shutdown { drain_secs: 0, cancel_secs: 2, total_secs: 10 };
        let deadlines = Deadlines::of(&limits, false, Instant::now());
        if let Err(error) = shutdown::guard(deadlines, waybill_shared::error::Exit::RestartWanted as u8) {
            tracing::warn!(event = "stop_unguarded", %error, "the stop is bounded by its phases only");
        }
        let (stopped, kept) = self.end(asked, deadlines).await;
        // It goes with the process: a watchdog sees by it that this was no end that somebody wanted.
        std::mem::forget(kept.lock);
        stopped
    }

    /// Closes everything but the log, so that the agent can be opened anew in this process. What is under way is done again then.
    pub(super) async fn renew(self, asked: StopAsked) -> Kept {
        let limits = Shutdown { drain_secs: 2, cancel_secs: 5, total_secs: 40 };
        let (ended, kept) = self.end(asked, Deadlines::of(&limits, false, Instant::now())).await;
        tracing::warn!(event = "agent_begins_anew", stragglers = ?ended.stragglers, "everything is opened once more in this process");
        kept
    }

    async fn end(mut self, asked: StopAsked, deadlines: Deadlines) -> (Stopped, Kept) {
        let begun = Instant::now();
        self.supervisor.stopping();
        self.hub.publish(Event::Agent { state: AgentState::Stopping });
        tell(&self.hub, StopPhase::Drain, Duration::ZERO, Vec::new());
        // From this moment on no report is begun to be sent, whatever else is being ended.
        self.sending.cancel();
        for chore in std::mem::take(&mut self.chores) {
            chore.end().await;
        }
        // A change of the configuration that has begun is brought to its end.
        let change = deadlines.drain.max(begun + LAST_CHANGE).min(deadlines.cancel(begun));
        let (cut_off, stragglers) = match self.keeper.end(change.saturating_duration_since(Instant::now())).await {
            Some(works) => end(works, deadlines, asked, &self.hub).await,
            None => (vec!["a change of the configuration".to_owned()], vec!["the keeper of the configuration".to_owned()]),
        };
        for straggler in &stragglers {
            tracing::warn!(event = "straggler", straggler, "did not end in time; nothing is lost");
        }
        let unsent = self.hub.with_snapshot(|snapshot| snapshot.queue.waiting);
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(event = "agent_stopped", unsent, cut_off = ?cut_off, took_ms, "stopped");
        self.health.stop().await;
        if let Err(error) = self.history.close(deadlines.left(CLOSE_HISTORY, Instant::now())).await {
            tracing::warn!(event = "history_close_failed", reason = error.message, "its last entries may be missing");
        }
        self.connections.close().await;
        let lock = Some(self.lock).filter(Lock::is_in_place);
        (Stopped { cut_off, stragglers, unsent, gave_up: None }, Kept { log: self.log, lock, active: self.live.load_full() })
    }
}

/// The three phases: what was cut off, and who did not even let go.
async fn end(mut works: Works, deadlines: Deadlines, asked: StopAsked, hub: &Hub) -> (Vec<String>, Vec<String>) {
    // 1 drain
    works.drain();
    let mut drained = wait(&mut works, deadlines.drain, Some(asked), hub, StopPhase::Drain).await;

    // 2 cancel
    let mut cut_off = Vec::new();
    if !drained {
        cut_off = works.under_way();
        tracing::warn!(event = "stop_cancels", cut_off = ?cut_off, "what is still under way is cancelled; it is done at the next start");
        works.cancel();
        tell(hub, StopPhase::Cancel, Duration::ZERO, cut_off.clone());
        drained = wait(&mut works, deadlines.cancel(Instant::now()), None, hub, StopPhase::Cancel).await;
    }
    let mut stragglers = works.give_up(deadlines.left(LET_GO, Instant::now())).await;
    debug_assert!(drained || !stragglers.is_empty());

    // 3 verify
    tell(hub, StopPhase::Verify, Duration::ZERO, Vec::new());
    let limit = deadlines.left(CLOSE, Instant::now() + AFTER_THE_QUEUE);
    let closing = works.queue.writer.ask(|ack| Command::Close { ack });
    match tokio::time::timeout(limit, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(event = "queue_close_failed", %error, "the queue is put right at the next start");
            cut_off.push(format!("the closing of the queue ({error})"));
        }
        Err(_) => {
            tracing::error!(
                event = "queue_close_failed",
                secs = limit.as_secs(),
                "it took too long; the queue is put right at the next start"
            );
            stragglers.push("the queue".to_owned());
        }
    }
    (cut_off, stragglers)
}

async fn wait(works: &mut Works, end: Instant, skip: Option<StopAsked>, hub: &Hub, phase: StopPhase) -> bool {
    let look = |gone: Option<Duration>| {
        if let Some(gone) = gone {
            tell(hub, phase, gone, works.under_way());
        }
        works.is_quiet()
    };
    shutdown::until_told(end, skip, look).await
}

fn tell(hub: &Hub, phase: StopPhase, gone: Duration, waits_for: Vec<String>) {
    if !waits_for.is_empty() {
        tracing::info!(event = "stop_waits", phase = phase.as_str(), secs = gone.as_secs(), waits_for = ?waits_for, "waiting for what is under way");
    }
    let since_ms = u64::try_from(gone.as_millis()).unwrap_or(u64::MAX);
    hub.publish(Event::Stopping(Stopping { phase, since_ms, waits_for }));
}
