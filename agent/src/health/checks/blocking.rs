//! Calls that may hang for ever (a dead network share) on one thread a target, made once and used again.
//!
//! A thread in such a call cannot be ended. So while it hangs it gets no further work and no second thread is started for its target, also
//! not by a check that was registered anew; when the call comes back, the thread is used again. It ends when nobody asks any more.
//! The process does not wait for it.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crossbeam_channel::Sender;
use tokio::sync::{Semaphore, oneshot};

use crate::health::NoAnswer;
use crate::supervisor;

type Job = Box<dyn FnOnce() + Send>;

/// The threads of one agent, by target.
#[derive(Clone, Default)]
pub struct Threads {
    /// Held for a look and an insertion. A thread that hangs keeps its entry alive itself.
    targets: Arc<Mutex<HashMap<String, Weak<Target>>>>,
}

/// A target and its thread.
pub struct Target {
    jobs: Sender<Job>,
    /// Held by who asks, until it is answered or leaves: sources may share a folder, and the second is not told that the first hangs.
    turn: Semaphore,
    /// The thread is in a call, whether or not anybody still waits for it.
    busy: AtomicBool,
}

impl Threads {
    /// The thread for a target, started if there is none. `kind` names it and is plain and short.
    ///
    /// # Errors
    /// The OS gives no thread.
    pub fn of(&self, kind: &'static str, target: &str) -> std::io::Result<Arc<Target>> {
        let key = format!("{kind} {target}");
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get(&key).and_then(Weak::upgrade) {
            return Ok(target);
        }
        targets.retain(|_, target| target.strong_count() > 0);
        let (jobs, waiting) = crossbeam_channel::bounded::<Job>(1);
        supervisor::spawn(&format!("health-{kind}"), move || {
            for job in waiting {
                job();
            }
        })?;
        let target = Arc::new(Target { jobs, turn: Semaphore::new(1), busy: AtomicBool::new(false) });
        targets.insert(key, Arc::downgrade(&target));
        Ok(target)
    }

    /// Targets whose threads live.
    #[cfg(test)]
    pub(in crate::health) fn count(&self) -> usize {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.values().filter(|target| target.strong_count() > 0).count()
    }
}

impl Target {
    /// Does work on the target's thread. The caller sets the deadline, and may leave; the thread stays busy until the work is done.
    ///
    /// # Errors
    /// [`NoAnswer`] if the thread is still busy with work whose asker has left.
    ///
    /// # Panics
    /// If the work does.
    pub async fn run<T: Send + 'static>(self: &Arc<Self>, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NoAnswer> {
        let _turn = self.turn.acquire().await.map_err(|_| NoAnswer)?;
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(NoAnswer);
        }
        let (told, answer) = oneshot::channel();
        let target = Arc::clone(self);
        let job: Job = Box::new(move || {
            let done = std::panic::catch_unwind(AssertUnwindSafe(work));
            target.busy.store(false, Ordering::Release);
            let _asker_left = told.send(done);
        });
        // The thread is idle and waits for exactly this; it ends only after the last target is gone.
        self.jobs.try_send(job).map_err(|_| NoAnswer)?;
        match answer.await.map_err(|_| NoAnswer)? {
            Ok(done) => Ok(done),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;
    use crate::health::tests::PATIENCE;

    #[tokio::test]
    async fn a_call_that_hangs_starts_no_second_thread_and_its_thread_is_used_again_when_it_is_back() {
        let threads = Threads::default();
        let (hang, hangs) = crossbeam_channel::bounded::<()>(0);
        let (began, begun) = oneshot::channel();
        let target = threads.of("test", "/share").unwrap();
        let mut asker = JoinSet::new();
        asker.spawn(async move {
            let work = move || {
                began.send(std::thread::current().id()).unwrap();
                let _released = hangs.recv();
            };
            target.run(work).await
        });
        let first = begun.await.unwrap();
        // Its deadline is over, and the check goes with it.
        asker.shutdown().await;
        assert_eq!(threads.count(), 1, "the thread that hangs keeps its place");
        // As a source that is removed and added again while its share hangs.
        let again = threads.of("test", "/share").unwrap();
        assert_eq!(timeout(PATIENCE, again.run(|| ())).await.unwrap(), Err(NoAnswer));
        assert_eq!(threads.of("test", "/other").unwrap().run(|| 7).await, Ok(7), "another target is not held up");

        drop(hang);
        let second = loop {
            match again.run(|| std::thread::current().id()).await {
                Ok(thread) => break thread,
                Err(NoAnswer) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(first, second);
        drop(again);
        while threads.count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn two_who_ask_of_one_target_are_answered_one_after_the_other() {
        let target = Threads::default().of("test", "/share").unwrap();
        assert_eq!(tokio::join!(target.run(|| 1), target.run(|| 2)), (Ok(1), Ok(2)));
    }

    #[tokio::test]
    async fn a_panic_of_the_work_reaches_who_asked_and_the_thread_goes_on() {
        let target = Threads::default().of("test", "/share").unwrap();
        let mut asker = JoinSet::new();
        let asked = Arc::clone(&target);
        asker.spawn(async move { asked.run(|| panic!("on purpose")).await });
        assert!(asker.join_next().await.unwrap().unwrap_err().is_panic());
        assert_eq!(target.run(|| 7).await, Ok(7));
    }
}
