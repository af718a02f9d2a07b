//! A whole agent in which something hangs that cannot be cancelled while it is told to stop: the stop is bounded, names it, and nothing is lost.
//! Each life is a process, as it would be.

use std::path::Path;
use std::time::Instant;

use super::running::{Running, lives, until};
use crate::shutdown::Stopped;
use crate::supervisor::fault::Fault;

/// The bound of a stop.
const TOTAL_SECS: u64 = 15;

async fn start(folder: &Path) -> Running {
    Running::start(folder, &format!("[shutdown]\ndrain_secs = 1\ncancel_secs = 1\ntotal_secs = {TOTAL_SECS}\n")).await
}

/// How an agent stops in which `name` hangs when it gets a second file.
async fn stop_while_it_hangs(folder: &Path, name: &str) -> Stopped {
    let mut running = start(folder).await;
    running.all_arrive("the start").await;
    running.supervisor.inject(name, Fault::Hang, 1);
    let file = running.drop_file();
    until(&format!("{name} hangs"), async || running.supervisor.was_struck(name)).await;
    let begun = Instant::now();
    let stopped = running.stop().await;
    assert!(begun.elapsed().as_secs() < TOTAL_SECS, "the stop is bounded: {:?}", begun.elapsed());
    assert!(!stopped.is_clean(), "{stopped:?}");
    assert!(file.exists(), "what was not done is where it was");
    assert_eq!(stopped.unsent, 0, "nothing of it is in the queue");
    stopped
}

async fn nothing_was_lost(folder: &Path) {
    let mut next = start(folder).await;
    until("the file of the life before arrives", async || next.arrived() == 2).await;
    next.dropped = 2;
    next.all_arrive("a stop while something hung").await;
    let stopped = next.stop().await;
    assert!(stopped.is_clean() && stopped.unsent == 0, "{stopped:?}");
}

#[test]
fn a_converter_that_hangs_holds_up_no_stop() {
    lives(module_path!(), "a_converter_that_hangs_holds_up_no_stop", 2, async |life, folder| match life {
        0 => assert_eq!(stop_while_it_hangs(folder, "converter 1").await.stragglers, ["converter 1"]),
        _ => nothing_was_lost(folder).await,
    });
}

#[test]
fn a_source_that_hangs_holds_up_no_stop() {
    lives(module_path!(), "a_source_that_hangs_holds_up_no_stop", 2, async |life, folder| match life {
        0 => assert_eq!(stop_while_it_hangs(folder, "source ict").await.stragglers, ["source ict"]),
        _ => nothing_was_lost(folder).await,
    });
}

#[test]
fn a_queue_that_hangs_holds_up_no_stop() {
    lives(module_path!(), "a_queue_that_hangs_holds_up_no_stop", 2, async |life, folder| match life {
        0 => {
            let stopped = stop_while_it_hangs(folder, "queue writer").await;
            assert!(stopped.stragglers.iter().any(|straggler| straggler == "the queue"), "{stopped:?}");
        }
        _ => nothing_was_lost(folder).await,
    });
}
