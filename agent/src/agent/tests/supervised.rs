//! A whole agent in this process: each of its tasks and threads fails, by name and in each way. Every failure is in the log with its cause, what
//! failed runs again, and a file that comes afterwards arrives; at the fourth time it is left alone, and everybody sees it.

use std::collections::BTreeSet;

use waybill_ipc::protocol::{Request, TaskState};
use waybill_shared::error::Code;

use super::running::{RULES, Running, lives, until};
use crate::supervisor::State;
use crate::supervisor::fault::Fault;

/// What runs, and how it is made to have something to do.
const NAMES: [&str; 12] = [
    "check of the queue",
    "configuration",
    "connections",
    "converter 1",
    "destination out",
    "queue reader 1",
    "queue writer",
    "retention of folders",
    "retention of the queue",
    "source ict",
    "state of the agent",
    "supervisor",
];

#[test]
fn whatever_fails_is_told_runs_again_and_is_left_alone_at_the_fourth_time() {
    let test = "whatever_fails_is_told_runs_again_and_is_left_alone_at_the_fourth_time";
    lives(module_path!(), test, 1, async |_, folder| everything_fails(Running::start(folder, "").await).await);
}

async fn everything_fails(mut running: Running) {
    // All there is has a name; nothing is tested that is not there.
    let there: BTreeSet<String> = running.tasks().await.into_iter().map(|row| row.name).collect();
    for name in NAMES {
        assert!(there.contains(name), "{name} in {there:?}");
    }
    assert_eq!(there.len(), NAMES.len() + 3, "one more reader, two more chores: {there:?}");
    running.all_arrive("the start").await;
    for name in NAMES {
        let is_thread = running.supervisor.list().iter().any(|row| row.name == name && row.thread);
        for fault in [Fault::Error, Fault::Panic, Fault::Return, Fault::Hang] {
            // A thread that hangs is never doubled: see the supervisor's own tests.
            if is_thread && fault == Fault::Hang {
                continue;
            }
            running.supervisor.pardon(name);
            // An agent that began anew has set its own.
            running.supervisor.set_rules(RULES);
            running.supervisor.inject(name, fault, 1);
            // Threads fail when they work.
            running.drop_file();
            until(&format!("{name} runs again after {fault:?}"), async || {
                let _readers_work = running.ask(Request::Lanes).await;
                let rows = running.supervisor.list();
                rows.iter().any(|row| row.name == name && row.restarts == 1 && row.state == State::Running)
            })
            .await;
            running.all_arrive(&format!("{fault:?} of {name}")).await;
        }
    }
    let log = running.log();
    let is_thread = |name: &str| running.supervisor.list().iter().any(|row| row.name == name && row.thread);
    for name in NAMES {
        for how in ["error", "panic", "early return", "stall"] {
            if how == "stall" && is_thread(name) {
                continue;
            }
            let told = |line: &&str| {
                line.contains("\"task_failed\"")
                    && line.contains(&format!("\"task\":\"{name}\""))
                    && line.contains(&format!("\"how\":\"{how}\""))
            };
            let line = log.lines().find(told).unwrap_or_else(|| panic!("{name}: {how} is in the log"));
            let cause = match how {
                "early return" => "nobody had told it to",
                "stall" => "got no further",
                _ => "as a test wants it",
            };
            assert!(line.contains(cause), "{line}");
        }
    }
    // The fourth time.
    for name in ["retention of folders", "queue writer"] {
        running.supervisor.pardon(name);
        running.supervisor.inject(name, Fault::Panic, 4);
        running.drop_file();
        until(&format!("{name} is left alone"), async || {
            let _writer_works = running.ask(Request::HoldLane { priority: 10, held: false }).await;
            running.tasks().await.iter().any(|row| row.name == name && row.state == TaskState::Failed)
        })
        .await;
        let error = running.agent().await.and_then(|agent| agent.error);
        if name == "queue writer" {
            until("the agent is in error", async || {
                let error = running.agent().await.and_then(|agent| agent.error);
                error.is_some_and(|error| error.code == Code::TaskFailed && error.message.contains(name))
            })
            .await;
        } else {
            assert_eq!(error, None, "the agent can do without {name}");
        }
    }
    assert!(running.log().contains("\"task_failed_too_often\""));
    running.stop().await;
}
