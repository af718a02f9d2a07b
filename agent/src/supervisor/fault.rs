//! Faults that a test wants: an error, a panic, an early end or a hang, in a task or thread of its choice. The programs that are shipped hold
//! nothing of this.

#[cfg(test)]
pub use test::{Fault, inject, struck};

#[cfg(test)]
pub(super) use test::strike;

/// Nothing: only tests want faults.
#[cfg(not(test))]
#[inline(always)]
pub(super) fn strike(_name: &str) {}

#[cfg(test)]
mod test {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use tokio::sync::Notify;

    /// What happens to it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        /// It ends with an error.
        Error,
        /// It panics.
        Panic,
        /// It ends although nobody told it to.
        Return,
        /// It has work and gets no further.
        Hang,
    }

    #[derive(Default)]
    struct Wanted {
        faults: HashMap<String, (Fault, u32)>,
        told: Arc<Notify>,
    }

    static WANTED: Mutex<Option<Wanted>> = Mutex::new(None);

    fn wanted<T>(look: impl FnOnce(&mut Wanted) -> T) -> T {
        look(WANTED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
    }

    /// The next so many times that it works, what has this name fails so. Names of tests that run beside each other must differ.
    pub fn inject(name: &str, fault: Fault, times: u32) {
        let told = wanted(|wanted| {
            wanted.faults.insert(name.to_owned(), (fault, times));
            Arc::clone(&wanted.told)
        });
        told.notify_waiters();
    }

    fn take(name: &str) -> Option<Fault> {
        wanted(|wanted| {
            let (fault, times) = wanted.faults.get_mut(name).filter(|(_, times)| *times > 0)?;
            *times -= 1;
            Some(*fault)
        })
    }

    /// Waits until the task of this name is to fail.
    pub async fn struck(name: &str) -> Fault {
        let told = wanted(|wanted| Arc::clone(&wanted.told));
        loop {
            let notified = told.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(fault) = take(name) {
                return fault;
            }
            notified.await;
        }
    }

    /// Lets a thread fail that has begun to work.
    pub(in crate::supervisor) fn strike(name: &str) {
        match take(name) {
            None => {}
            Some(Fault::Error) => {
                std::panic::resume_unwind(Box::new(super::super::ended::Left(Err("as a test wants it".to_owned()))))
            }
            Some(Fault::Return) => std::panic::resume_unwind(Box::new(super::super::ended::Left(Ok(())))),
            Some(Fault::Panic) => panic!("as a test wants it"),
            Some(Fault::Hang) => std::thread::sleep(Duration::from_secs(3600)),
        }
    }
}
