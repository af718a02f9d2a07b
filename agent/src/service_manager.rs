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

use crate::platform::notify::Notify;
use crate::shutdown::StopAsked;

/// Whether the agent makes progress.
pub type Progress = Arc<dyn Fn() -> bool + Send + Sync>;

/// How often more time is asked for.
const EVERY: Duration = Duration::from_secs(5);
/// How much of it, each time.
const MORE: Duration = Duration::from_secs(20);
/// Longest start that more time is asked for: a large queue is salvaged within it.
const LONGEST_START: Duration = Duration::from_secs(600);
/// Longest stop that more time is asked for: the 120 s that a stop has, and what is left to close.
const LONGEST_STOP: Duration = Duration::from_secs(130);

/// Runs beside an agent from before its start to its end; it never returns by itself.
pub async fn accompany(notify: Notify, ready: oneshot::Receiver<Progress>, mut asked: StopAsked) {
    if notify.is_wanted() {
        tokio::select! {
            () = asked.times(1) => {}
            () = serves(&notify, ready) => {}
        }
        notify.stopping();
        ask_for_time(&notify, LONGEST_STOP).await;
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
        let left = longest.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return;
        }
        notify.extend(MORE.min(left));
    }
}
