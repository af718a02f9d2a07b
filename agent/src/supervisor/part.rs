//! The three ways in which something runs: a task that starts again by itself, a task that its owner starts again, a thread.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;

use tokio::task::{AbortHandle, JoinSet};

use super::{Begun, Ended, Inner, Progress, Spec, Supervisor};

/// A task that is started again by itself. Dropping it ends it.
pub struct Task {
    running: JoinSet<()>,
}

/// A task that its owner starts again if it fails. Dropping it ends it.
pub struct Part<T: 'static = ()> {
    running: JoinSet<Option<T>>,
    handle: AbortHandle,
    as_told: Arc<AtomicBool>,
}

/// A thread of the agent. It ends by what its owner tells it, never by being dropped.
#[derive(Debug)]
pub struct Thread {
    handle: JoinHandle<()>,
    progress: Progress,
    as_told: Arc<AtomicBool>,
}

/// How something ended, to be told once; also if it is dropped in the middle.
struct Watched {
    inner: Arc<Inner>,
    spec: Spec,
    begun: Begun,
    as_told: Arc<AtomicBool>,
    over: bool,
}

impl Watched {
    fn new(inner: &Arc<Inner>, spec: &Spec, is_thread: bool, as_told: &Arc<AtomicBool>) -> Self {
        let begun = inner.begin(spec, is_thread);
        Self { inner: Arc::clone(inner), spec: spec.clone(), begun, as_told: Arc::clone(as_told), over: false }
    }

    /// When it may be started again, if it failed and may be.
    fn ended(&mut self, ended: &Ended) -> Option<std::time::Instant> {
        self.over = true;
        let as_told = self.as_told.load(Ordering::Acquire) || self.inner.is_stopping();
        if as_told && matches!(ended, Ended::Early | Ended::Dropped) {
            self.inner.ended_as_told(&self.spec, self.begun.number);
            return None;
        }
        self.inner.failed(&self.spec, self.begun.number, ended)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.over {
            self.ended(&Ended::Dropped);
        }
    }
}

impl Supervisor {
    /// Runs a task that never ends by itself, and starts it again if it fails.
    #[must_use]
    pub fn task<F, W>(&self, spec: Spec, mut make: F) -> Task
    where
        F: FnMut(Progress) -> W + Send + 'static,
        W: Future<Output = Result<(), String>> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        // Only dropping it ends it, which is no failure.
        let as_told = Arc::new(AtomicBool::new(true));
        let mut watched = Watched::new(&inner, &spec, false, &as_told);
        let mut running = JoinSet::new();
        running.spawn(async move {
            loop {
                let progress = watched.begun.progress.clone();
                let ended = match catch_unwind(AssertUnwindSafe(|| make(progress.clone()))) {
                    Ok(work) => {
                        // Each life is a task of its own, which can be cancelled.
                        let mut life = JoinSet::new();
                        let abort = life.spawn(guarded(spec.name.clone(), progress, work));
                        inner.can_be_cancelled(&spec, watched.begun.number, abort);
                        match life.join_next().await {
                            Some(Ok(result)) => Ended::of(result),
                            // It was cancelled.
                            _ => Ended::Dropped,
                        }
                    }
                    Err(payload) => Ended::of(Err(payload)),
                };
                as_told.store(false, Ordering::Release);
                let at = watched.ended(&ended);
                as_told.store(true, Ordering::Release);
                match at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
                watched = Watched::new(&inner, &spec, false, &as_told);
            }
        });
        Task { running }
    }

    /// Runs a task that its owner starts again if it fails.
    #[must_use]
    pub fn part<T, W>(&self, spec: &Spec, make: impl FnOnce(Progress) -> W + Send + 'static) -> Part<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, String>> + Send + 'static,
    {
        let as_told = Arc::new(AtomicBool::new(false));
        let mut watched = Watched::new(&self.0, spec, false, &as_told);
        let (name, number, progress) = (spec.name.clone(), watched.begun.number, watched.begun.progress.clone());
        let mut running = JoinSet::new();
        let abort = running.spawn(async move {
            let work = async { make(progress.clone()).await };
            match guarded(name, progress.clone(), work).await {
                Ok(Ok(value)) => {
                    watched.ended(&Ended::Early);
                    Some(value)
                }
                Ok(Err(error)) => {
                    watched.ended(&Ended::Error(error));
                    None
                }
                Err(payload) => {
                    watched.ended(&Ended::of(Err(payload)));
                    None
                }
            }
        });
        self.0.can_be_cancelled(spec, number, abort.clone());
        Part { running, handle: abort, as_told }
    }

    /// Runs a thread.
    ///
    /// # Errors
    /// The OS gives none.
    pub fn thread(&self, spec: &Spec, name: &str, work: impl FnOnce(Progress) + Send + 'static) -> std::io::Result<Thread> {
        let as_told = Arc::new(AtomicBool::new(false));
        let mut watched = Watched::new(&self.0, spec, true, &as_told);
        let progress = watched.begun.progress.clone();
        let handle = spawn(name, move || {
            let progress = watched.begun.progress.clone();
            let result = catch_unwind(AssertUnwindSafe(|| work(progress)));
            watched.ended(&Ended::of(result.map(Ok)));
        })?;
        Ok(Thread { handle, progress, as_told })
    }
}

/// The one place of the agent where a thread begins. What it runs looks after itself; what should run as long as the agent is supervised.
///
/// # Errors
/// The OS gives none.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

type Caught<T> = Result<Result<T, String>, Box<dyn std::any::Any + Send>>;

/// What a task comes to, panics included; and what a test wants it to come to.
async fn guarded<T>(name: String, progress: Progress, work: impl Future<Output = Result<T, String>>) -> Caught<T> {
    let mut work = pin!(work);
    let caught = std::future::poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
        Err(payload) => Poll::Ready(Err(payload)),
    });
    with_faults(name, progress, caught).await
}

#[cfg(not(test))]
async fn with_faults<T>(_name: String, _progress: Progress, work: impl Future<Output = Caught<T>>) -> Caught<T> {
    work.await
}

#[cfg(test)]
async fn with_faults<T>(name: String, progress: Progress, work: impl Future<Output = Caught<T>>) -> Caught<T> {
    use super::fault::Fault;
    let fault = tokio::select! {
        caught = work => return caught,
        fault = progress.faults.struck(&name) => fault,
    };
    match fault {
        Fault::Error => Ok(Err("as a test wants it".to_owned())),
        Fault::Panic => Err(catch_unwind(|| panic!("as a test wants it")).expect_err("it panics")),
        Fault::Return => Err(Box::new(super::ended::Left(Ok(())))),
        Fault::Hang => {
            progress.hang();
            std::future::pending().await
        }
    }
}

impl Task {
    /// Ends it now.
    pub async fn end(mut self) {
        self.running.shutdown().await;
    }
}

impl<T: Send + 'static> Part<T> {
    /// From now on its end is no failure.
    pub fn may_end(&self) {
        self.as_told.store(true, Ordering::Release);
    }

    /// True once it has ended, however it did.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits for its end; what it came to, if it ended well.
    pub async fn ended(&mut self) -> Option<T> {
        self.running.join_next().await?.ok().flatten()
    }

    /// Ends it now, and does not wait.
    pub fn cut_off(&mut self) {
        self.may_end();
        self.running.abort_all();
    }
}

impl Thread {
    /// From now on its end is no failure.
    pub fn may_end(&self) {
        self.as_told.store(true, Ordering::Release);
    }

    /// True once it has ended, however it did.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.handle.is_finished()
    }

    /// True while it is at something.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        !self.has_ended() && self.progress.silent_for().is_some()
    }

    /// Waits for its end.
    pub fn join(self) {
        // How it ended was told where it ended.
        let _told = self.handle.join();
    }
}
