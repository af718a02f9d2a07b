//! Faults that a test wants: an error, a panic, an early end or a hang, in a task or thread of its choice. They belong to one supervisor: other
//! agents of the process are not concerned. The programs that are shipped hold nothing of this.

#[cfg(test)]
pub use test::{Fault, Faults};

/// Nothing: only tests want faults.
#[cfg(not(test))]
#[derive(Debug, Clone, Default)]
pub struct Faults(());

#[cfg(not(test))]
impl Faults {
    #[inline(always)]
    pub(super) fn strike(&self, _name: &str) {}
}

#[cfg(test)]
mod test {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use tokio::sync::Notify;

    use crate::supervisor::ended::Left;

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

    /// The faults that are wanted, by name, and how often.
    #[derive(Debug, Clone, Default)]
    pub struct Faults(Arc<Wanted>);

    #[derive(Debug, Default)]
    struct Wanted {
        by_name: Mutex<HashMap<String, (Fault, u32)>>,
        told: Notify,
    }

    impl Faults {
        pub(in crate::supervisor) fn want(&self, name: &str, fault: Fault, times: u32) {
            self.0.by_name.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), (fault, times));
            self.0.told.notify_waiters();
        }

        pub(in crate::supervisor) fn is_over(&self, name: &str) -> bool {
            let wanted = self.0.by_name.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.get(name).is_none_or(|(_, times)| *times == 0)
        }

        fn take(&self, name: &str) -> Option<Fault> {
            let mut wanted = self.0.by_name.lock().unwrap_or_else(PoisonError::into_inner);
            let (fault, times) = wanted.get_mut(name).filter(|(_, times)| *times > 0)?;
            *times -= 1;
            Some(*fault)
        }

        /// Waits until the task of this name is to fail.
        pub(in crate::supervisor) async fn struck(&self, name: &str) -> Fault {
            loop {
                let told = self.0.told.notified();
                tokio::pin!(told);
                told.as_mut().enable();
                if let Some(fault) = self.take(name) {
                    return fault;
                }
                told.await;
            }
        }

        /// Lets a thread fail that has begun to work.
        pub(in crate::supervisor) fn strike(&self, name: &str) {
            let leave = |result| std::panic::resume_unwind(Box::new(Left(result)));
            match self.take(name) {
                None => {}
                Some(Fault::Error) => leave(Err("as a test wants it".to_owned())),
                Some(Fault::Return) => leave(Ok(())),
                Some(Fault::Panic) => panic!("as a test wants it"),
                Some(Fault::Hang) => std::thread::sleep(Duration::from_secs(3600)),
            }
        }
    }
}
