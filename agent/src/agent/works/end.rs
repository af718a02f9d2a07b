//! Ending: parts that a change concerns, and the whole, phase by phase.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::plan::{DestinationPlan, SourcePlan};
use super::{Dispatcher, Works};
use crate::convert::pool::Pool;
use crate::intake::{self, Source, Told};
use crate::shutdown;

/// Longest time for a part that is changed to end what it has begun; then it is cut off, which loses nothing.
const DRAIN: Duration = Duration::from_secs(5);
/// Longest time for a part that was cut off to let go.
const CANCEL: Duration = Duration::from_secs(5);

impl Works {
    pub(super) async fn stop_sources(&mut self, which: impl Fn(&SourcePlan) -> bool) {
        let (ending, staying) = std::mem::take(&mut self.sources).into_iter().partition(|(plan, _)| which(plan));
        self.sources = staying;
        let ending: Vec<(SourcePlan, Source)> = ending;
        for (limit, told) in [(DRAIN, Told::Drain), (CANCEL, Told::Cancel)] {
            ending.iter().for_each(|(_, source)| source.tell(told));
            if shutdown::until(limit, || ending.iter().all(|(_, source)| source.is_finished())).await {
                break;
            }
        }
        for (plan, source) in ending {
            if source.is_finished() {
                source.join();
                self.supervisor.forget(&intake::supervised(&plan.source.name));
            } else {
                tracing::error!(
                    event = "source_hangs",
                    source = plan.source.name,
                    "it was told to end and does not; its files wait for the next start"
                );
            }
        }
    }

    pub(super) async fn stop_dispatchers(&mut self, which: impl Fn(&DestinationPlan) -> bool) {
        let (ending, staying) = std::mem::take(&mut self.dispatchers).into_iter().partition(|running| which(&running.plan));
        self.dispatchers = staying;
        let mut ending: Vec<Dispatcher> = ending;
        ending.iter().for_each(Dispatcher::drain);
        let ended = |ending: &[Dispatcher]| ending.iter().all(Dispatcher::has_ended);
        if !shutdown::until(DRAIN, || ended(&ending)).await {
            ending.iter().for_each(Dispatcher::cancel);
            if !shutdown::until(CANCEL, || ended(&ending)).await {
                ending.iter_mut().for_each(|running| running.task.cut_off());
            }
        }
        for running in &ending {
            // What it did wrong is of no interest any more: what comes under its name is another one.
            self.supervisor.forget(&running.supervised());
            self.queue.doors.remove(&running.plan.destination.name, &running.door);
        }
    }

    /// Nothing new begins.
    pub(in crate::agent) fn drain(&self) {
        self.dispatchers.iter().for_each(Dispatcher::drain);
        if let Some(pool) = &self.pool {
            pool.may_end();
            pool.stop_accepting();
        }
        self.pool_slot.store(None);
        self.sources.iter().for_each(|(_, source)| source.tell(Told::Drain));
    }

    /// What has begun is told to let go.
    pub(in crate::agent) fn cancel(&self) {
        self.dispatchers.iter().for_each(Dispatcher::cancel);
        self.sources.iter().for_each(|(_, source)| source.tell(Told::Cancel));
    }

    /// True once everything has ended.
    pub(in crate::agent) fn is_quiet(&self) -> bool {
        self.dispatchers.iter().all(Dispatcher::has_ended) && self.sources.iter().all(|(_, source)| source.is_finished())
    }

    /// What has begun and is not over, in words.
    pub(in crate::agent) fn under_way(&self) -> Vec<String> {
        let dispatchers = self.dispatchers.iter().filter(|running| !running.has_ended()).map(Dispatcher::supervised);
        let sources = self.sources.iter().filter(|(_, source)| !source.is_finished());
        let sources = sources.map(|(plan, _)| intake::supervised(&plan.source.name));
        let conversions = self.pool.as_ref().map_or(0, Pool::active_count);
        let conversions = (conversions > 0).then(|| match conversions {
            1 => "1 conversion".to_owned(),
            many => format!("{many} conversions"),
        });
        dispatchers.chain(sources).chain(conversions).collect()
    }

    /// What every dispatcher stops at: no report is begun to be sent any more.
    pub(in crate::agent) fn sending(&self) -> CancellationToken {
        self.sending.clone()
    }

    /// Gives up what did not end, by name, and lets go of everything; within the limit.
    pub(in crate::agent) async fn give_up(&mut self, limit: Duration) -> Vec<String> {
        let mut stragglers = Vec::new();
        for (plan, source) in self.sources.drain(..) {
            if source.is_finished() {
                source.join();
            } else {
                stragglers.push(format!("source {}", plan.source.name));
            }
        }
        for mut running in self.dispatchers.drain(..) {
            if !running.has_ended() {
                stragglers.push(format!("destination {}", running.plan.destination.name));
                running.task.cut_off();
            }
        }
        self.queue.writer_thread.may_end();
        self.queue.reader_threads.may_end();
        if let Some(pool) = self.pool.take() {
            shutdown::until(limit, || pool.at_work().is_empty()).await;
            stragglers.extend(pool.at_work());
        }
        stragglers
    }
}
