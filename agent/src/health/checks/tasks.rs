//! The agent's own tasks and threads: alive, and making progress.

use std::time::Duration;

use waybill_shared::error::{Code, ErrorReport};

use crate::health::{Check, Clock, Finding, moment};

/// A task or thread that should run as long as the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// Whether it still runs.
    pub alive: bool,
    /// When it last made progress, milliseconds since 1970 UTC; none if it does not tell, or has nothing to do.
    pub last_progress_ms: Option<i64>,
}

/// The check `tasks`. A task that tells of its progress may be silent for `stall`.
pub fn check(stall: Duration, clock: Clock, tasks: impl Fn() -> Vec<TaskStatus> + Send + Sync + 'static) -> Check {
    let run = move || std::future::ready(Ok(judge(&tasks(), stall, clock.now_ms())));
    Check::new("tasks", run).critical().cheap()
}

fn judge(tasks: &[TaskStatus], stall: Duration, now_ms: i64) -> Finding {
    if tasks.is_empty() {
        return Finding::unknown("no task is known");
    }
    let limit = i64::try_from(stall.as_millis()).unwrap_or(i64::MAX);
    let wrong = |task: &TaskStatus| match task.last_progress_ms {
        _ if !task.alive => Some(format!("{} has ended", task.name)),
        Some(last) if now_ms.saturating_sub(last) > limit => {
            Some(format!("{} has made no progress since {}", task.name, moment(last)))
        }
        _ => None,
    };
    let wrong: Vec<String> = tasks.iter().filter_map(wrong).collect();
    let finding = if wrong.is_empty() {
        Finding::healthy("all tasks run")
    } else {
        let error = ErrorReport::new(Code::Internal, wrong.join("; "));
        Finding::unhealthy(
            error.with_fix("Nothing is lost. Stop the agent and start it again; report it with the log's last lines"),
        )
    };
    finding.with("tasks", tasks.len()).with("tasks_not_well", wrong.len())
}

#[cfg(test)]
mod tests {
    use waybill_ipc::protocol::HealthState::{Healthy, Unhealthy, Unknown};

    use super::*;

    #[test]
    fn a_task_that_ended_or_stalls_is_unhealthy_and_named() {
        let task = |name: &str, alive, last_progress_ms| TaskStatus { name: name.to_owned(), alive, last_progress_ms };
        let judge = |tasks: &[TaskStatus]| judge(tasks, Duration::from_secs(30), 100_000);
        let good = [task("uploader", true, Some(99_000)), task("purge", true, None)];
        assert_eq!(judge(&good).state, Healthy);
        let ended = judge(&[good[0].clone(), task("purge", false, None)]);
        assert_eq!((ended.state, ended.message.as_str()), (Unhealthy, "purge has ended"));
        let stalled = judge(&[task("uploader", true, Some(69_999)), good[1].clone()]);
        assert_eq!(stalled.state, Unhealthy);
        assert!(stalled.message.starts_with("uploader has made no progress since"), "{}", stalled.message);
        assert_eq!(judge(&[]).state, Unknown, "nothing measured is not well");
    }
}
