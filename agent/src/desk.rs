//! A thread for work that blocks, so that no task does: files, hashes, the keyring.
//!
//! One desk does one thing after another. What must not wait for each other has desks of its own.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use waybill_shared::error::{Code, ErrorReport};

use crate::supervisor;

/// Pieces of work that wait at one desk.
const WAITING: usize = 32;

type Job = Box<dyn FnOnce() + Send>;

/// A handle to a desk. The thread ends when the last one is gone and nothing waits.
#[derive(Clone)]
pub struct Desk {
    name: &'static str,
    jobs: crossbeam_channel::Sender<Job>,
    _thread: Arc<JoinHandle<()>>,
}

impl Desk {
    /// Opens a desk.
    ///
    /// # Errors
    /// The OS gives no thread.
    pub fn open(name: &'static str) -> Result<Self, ErrorReport> {
        let (jobs, waiting) = crossbeam_channel::bounded::<Job>(WAITING);
        let run = move || {
            for job in waiting {
                job();
            }
        };
        let thread = supervisor::spawn(name, run)
            .map_err(|error| ErrorReport::new(Code::Internal, format!("no thread {name}: {error}")))?;
        Ok(Self { name, jobs, _thread: Arc::new(thread) })
    }

    /// Has something done. Whoever waits here can give up at any time; what has begun is done all the same.
    ///
    /// # Errors
    /// Too much waits at this desk, or the work ended with a fault.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ErrorReport> {
        let (told, done) = oneshot::channel();
        let job: Job = Box::new(move || {
            // The answer's end is dropped without one if this panics, and the desk goes on.
            if let Ok(result) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
                let _asker_left = told.send(result);
            }
        });
        if self.jobs.try_send(job).is_err() {
            let message = format!("too much waits for the agent's thread {:?}: its disk may hang", self.name);
            return Err(ErrorReport::new(Code::PeerTimeout, message));
        }
        done.await.map_err(|_| ErrorReport::new(Code::Internal, format!("a fault ended the work of {:?}", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_in_order_and_a_fault_ends_only_itself() {
        let desk = Desk::open("test").unwrap();
        assert_eq!(desk.run(|| 1 + 1).await.unwrap(), 2);
        assert_eq!(desk.run(|| -> u32 { panic!("a fault, as asked") }).await.unwrap_err().code, Code::Internal);
        assert_eq!(desk.run(|| 3).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_desk_that_hangs_turns_work_away_and_blocks_nobody() {
        let desk = Desk::open("test").unwrap();
        let (let_go, hold) = crossbeam_channel::bounded::<()>(1);
        let mut waiting: Vec<_> = vec![Box::pin(desk.run({
            let hold = hold.clone();
            move || hold.recv().is_ok()
        }))];
        // Polled once, the first piece is on the desk, and hangs there.
        for _ in 0..=WAITING {
            tokio::select! { biased; _ = &mut waiting[0] => panic!("it hangs"), () = std::future::ready(()) => {} }
            let hold = hold.clone();
            let mut next = Box::pin(desk.run(move || hold.try_recv().is_ok()));
            tokio::select! {
                biased;
                refused = &mut next => {
                    assert_eq!(refused.unwrap_err().code, Code::PeerTimeout);
                    let_go.send(()).unwrap();
                    return;
                }
                () = std::future::ready(()) => {}
            }
            drop(next);
        }
        panic!("more waits than may");
    }
}
