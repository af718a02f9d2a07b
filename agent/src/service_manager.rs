//! Tells the service manager how the agent fares: that it serves, that it makes progress, that it stops and how long that may take.
//!
//! A sign of life is never a bare timer: each one is preceded by the question whether the agent makes progress. If it makes none, nothing
//! is said, and the manager does what it is configured to do with a service that hangs.
//!
//! A start that repairs the queue and a stop that waits for an upload take longer than a manager waits by itself. While they go on, they ask
//! for more time, up to a bound: what hangs in them is ended by the manager after that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior};
use waybill_shared::config::Shutdown;

use crate::desk::Desk;
use crate::platform::notify::Notify;
use crate::shutdown::{self, StopAsked};

/// Whether the agent makes progress.
pub type Progress = Arc<dyn Fn() -> bool + Send + Sync>;

/// How often more time is asked for.
const EVERY: Duration = Duration::from_secs(5);
/// How much of it, each time.
const MORE: Duration = Duration::from_secs(20);
/// Longest start that more time is asked for: a large queue is salvaged within it.
const LONGEST_START: Duration = Duration::from_secs(600);
/// Longest wait for the configuration to be read.
const READ: Duration = Duration::from_secs(5);

/// Runs beside an agent from before its start to its end; it never returns by itself. `longest_stop`: how long more time is asked for while
/// it stops; it may block.
pub async fn accompany(
    notify: Notify,
    ready: oneshot::Receiver<Progress>,
    mut asked: StopAsked,
    longest_stop: impl FnOnce() -> Duration + Send + 'static,
) {
    if notify.is_wanted() {
        tokio::select! {
            () = asked.times(1) => {}
            () = serves(&notify, ready) => {}
        }
        notify.stopping();
        let read = async { Desk::open("stop-limit").ok()?.run(longest_stop).await.ok() };
        let longest = tokio::time::timeout(READ, read).await.ok().flatten();
        // As shipped, if the disk hangs.
        ask_for_time(&notify, longest.unwrap_or_else(|| shutdown::longest(&Shutdown::default()))).await;
    }
    std::future::pending().await
}

/// The start, and the work until somebody asks for a stop.
async fn serves(notify: &Notify, mut ready: oneshot::Receiver<Progress>) {
    let progress = tokio::select! {
        progress = &mut ready => progress,
        () = ask_for_time(notify, LONGEST_START) => (&mut ready).await,
    };
    // It does not come if the start failed; the process ends then.
    let Ok(progress) = progress else { return std::future::pending().await };
    notify.ready();
    let Some(every) = notify.sign_of_life_every() else { return std::future::pending().await };
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hangs = false;
    loop {
        ticks.tick().await;
        let moves = progress();
        match (moves, hangs) {
            (true, false) => {}
            (true, true) => {
                tracing::info!(event = "progress_again", "the agent makes progress again; the service manager is told so");
                notify.status("at work");
            }
            (false, false) => {
                tracing::error!(
                    event = "no_progress",
                    "the agent's main loop makes no progress: the service manager gets no sign of life, and may start the agent anew"
                );
                notify.status("makes no progress");
            }
            (false, true) => {}
        }
        hangs = !moves;
        if moves {
            notify.sign_of_life();
        }
    }
}

/// Asks for more time until the bound, the first time after [`EVERY`]: what is quick needs none.
async fn ask_for_time(notify: &Notify, longest: Duration) {
    let begun = Instant::now();
    loop {
        tokio::time::sleep(EVERY).await;
        match more_after(begun.elapsed(), longest) {
            Some(more) => notify.extend(more),
            None => return,
        }
    }
}

/// How much more time is asked for when so much has gone; none at the bound.
fn more_after(gone: Duration, longest: Duration) -> Option<Duration> {
    Some(longest.saturating_sub(gone).min(MORE)).filter(|more| !more.is_zero())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::shutdown;

    /// A manager that listens, and a task beside an agent that tells it.
    struct Manager {
        heard: tokio::net::UnixDatagram,
        moves: Arc<AtomicBool>,
        stop: shutdown::StopRequests,
        _folder: tempfile::TempDir,
        _task: tokio::task::JoinSet<()>,
    }

    impl Manager {
        fn listen() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notify");
            let heard = UnixDatagram::bind(&path).unwrap();
            heard.set_nonblocking(true).unwrap();
            let heard = tokio::net::UnixDatagram::from_std(heard).unwrap();
            let (stop, asked) = shutdown::channel();
            let (serves, ready) = oneshot::channel();
            let moves = Arc::new(AtomicBool::new(true));
            let progress: Progress = {
                let moves = Arc::clone(&moves);
                Arc::new(move || moves.load(Ordering::SeqCst))
            };
            serves.send(progress).ok().unwrap();
            let mut task = tokio::task::JoinSet::new();
            task.spawn(accompany(Notify::to(&path, Duration::from_millis(200)), ready, asked, || Duration::from_secs(130)));
            Self { heard, moves, stop, _folder: folder, _task: task }
        }

        async fn next(&self) -> String {
            let mut buffer = [0; 256];
            let heard = tokio::time::timeout(Duration::from_secs(30), self.heard.recv(&mut buffer)).await;
            String::from_utf8(buffer[..heard.expect("a datagram").unwrap()].to_vec()).unwrap()
        }
    }

    #[tokio::test]
    async fn a_sign_of_life_is_given_only_while_there_is_progress() {
        let manager = Manager::listen();
        assert!(manager.next().await.starts_with("READY=1\nMAINPID="));
        assert_eq!(manager.next().await, "WATCHDOG=1");
        assert_eq!(manager.next().await, "WATCHDOG=1");
        manager.moves.store(false, Ordering::SeqCst);
        // One may have been on its way.
        let mut said = manager.next().await;
        if said == "WATCHDOG=1" {
            said = manager.next().await;
        }
        assert_eq!(said, "STATUS=makes no progress");
        let silence = tokio::time::timeout(Duration::from_secs(1), manager.next()).await;
        assert!(silence.is_err(), "{silence:?}");
        manager.moves.store(true, Ordering::SeqCst);
        assert_eq!(manager.next().await, "STATUS=at work");
        assert_eq!(manager.next().await, "WATCHDOG=1");
    }

    #[tokio::test]
    async fn a_stop_is_told_first_and_no_sign_of_life_follows_it() {
        let manager = Manager::listen();
        assert!(manager.next().await.starts_with("READY=1"));
        manager.stop.ask("a test");
        loop {
            match manager.next().await.as_str() {
                "WATCHDOG=1" => {}
                said => break assert_eq!(said, "STOPPING=1\nSTATUS=stopping"),
            }
        }
        // Five seconds later.
        assert_eq!(manager.next().await, "EXTEND_TIMEOUT_USEC=20000000");
    }

    #[test]
    fn more_time_is_asked_for_as_long_as_the_configuration_lets_a_stop_take() {
        let longest = Duration::from_secs(610);
        let asked = (1..).map(|times| EVERY * times).map_while(|gone| Some((gone, more_after(gone, longest)?)));
        let (gone, more) = asked.clone().last().unwrap();
        assert_eq!((gone.as_secs(), more.as_secs(), asked.count()), (605, 5, 121));
    }
}
