//! Child processes whose output is always drained and whose end is always waited for with a bound.

use std::io::Read;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::wait::{bound, holds_within};

/// Output beyond this is drained and dropped.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// What a process has written to one of its outputs so far.
#[derive(Clone)]
pub(crate) struct Drain(Arc<(Mutex<Drained>, Condvar)>);

#[derive(Default)]
struct Drained {
    bytes: Vec<u8>,
    closed: bool,
}

impl Drain {
    /// Reads to the end on a thread of this name. The thread ends with the pipe.
    pub(crate) fn spawn(name: &str, mut pipe: impl Read + Send + 'static) -> Self {
        let drain = Self(Arc::new((Mutex::new(Drained::default()), Condvar::new())));
        let filled = drain.clone();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                    filled.change(|drained| {
                        let room = KEPT_BYTES.saturating_sub(drained.bytes.len());
                        drained.bytes.extend_from_slice(&buffer[..read.min(room)]);
                    });
                }
                filled.change(|drained| drained.closed = true);
            })
            .expect("a thread");
        drain
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// Waits until a whole line is `line`; false if the output ends or `limit` passes before.
    pub(crate) fn wait_for_line(&self, line: &str, limit: Duration) -> bool {
        let has_line = |drained: &Drained| {
            let text = String::from_utf8_lossy(&drained.bytes);
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            whole.lines().any(|there| there.trim_end() == line)
        };
        has_line(&self.wait(limit, |drained| drained.closed || has_line(drained)))
    }

    /// Waits until the output ends, at most `limit`: a grandchild may hold the pipe open.
    pub(crate) fn wait_closed(&self, limit: Duration) {
        drop(self.wait(limit, |drained| drained.closed));
    }

    fn wait(&self, limit: Duration, condition: impl Fn(&Drained) -> bool) -> MutexGuard<'_, Drained> {
        let end = Instant::now() + bound(limit);
        let mut drained = self.lock();
        while !condition(&drained) {
            let Some(left) = end.checked_duration_since(Instant::now()) else { break };
            drained = self.0.1.wait_timeout(drained, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drained
    }

    fn change(&self, change: impl FnOnce(&mut Drained)) {
        change(&mut self.lock());
        self.0.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Drained> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the process ended, if it does within `limit`.
pub(crate) fn exit_within(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let mut status = None;
    holds_within(limit, || {
        status = child.try_wait().expect("the state of a child");
        status.is_some()
    });
    status
}

/// Ends a process at once and reaps it.
pub(crate) fn kill(child: &mut Child) -> ExitStatus {
    // Fails only if it has ended already.
    let _ended = child.kill();
    child.wait().expect("the end of a killed child")
}
