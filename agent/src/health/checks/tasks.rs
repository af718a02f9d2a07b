//! The agent's own tasks and threads, as the supervisor has them.

use waybill_ipc::protocol::HealthState;
use waybill_shared::error::{Code, ErrorReport};

use crate::health::{Check, Finding};
use crate::supervisor::{State, Status};

/// The check `tasks`.
pub fn check(tasks: impl Fn() -> Vec<Status> + Send + Sync + 'static) -> Check {
    Check::new("tasks", move || std::future::ready(Ok(judge(&tasks())))).critical().cheap()
}

fn judge(tasks: &[Status]) -> Finding {
    if tasks.is_empty() {
        return Finding::unknown("no task is known");
    }
    let wrong: Vec<(HealthState, String)> = tasks.iter().filter_map(wrong).collect();
    let finding = if wrong.is_empty() {
        Finding::healthy("all tasks run")
    } else {
        let state = HealthState::worst_of(wrong.iter().map(|wrong| wrong.0));
        let words: Vec<&str> = wrong.iter().map(|wrong| wrong.1.as_str()).collect();
        let error = ErrorReport::new(Code::TaskFailed, words.join("; "));
        Finding { state, ..Finding::unhealthy(error) }
    };
    finding.with("tasks", tasks.len()).with("tasks_not_well", wrong.len())
}

fn wrong(task: &Status) -> Option<(HealthState, String)> {
    let (name, cause) = (&task.name, task.cause.as_deref().unwrap_or("unknown"));
    match task.state {
        State::Running => None,
        State::Stalled(silent) => {
            let words = format!("{name} has work to do and has got no further for {} s", silent.as_secs());
            Some((HealthState::Unhealthy, words))
        }
        State::Restarting => Some((HealthState::Degraded, format!("{name} failed and is started again ({cause})"))),
        State::Failed => Some((HealthState::Unhealthy, format!("{name} has failed too often ({cause})"))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use waybill_ipc::protocol::HealthState::{Degraded, Healthy, Unhealthy, Unknown};

    use super::*;

    #[test]
    fn a_task_that_failed_or_stalls_is_not_well_and_named_with_its_cause() {
        let task = |name: &str, state: State| Status {
            name: name.to_owned(),
            critical: false,
            thread: false,
            state,
            since: Timestamp::UNIX_EPOCH,
            restarts: 1,
            cause: Some("no room".to_owned()),
        };
        let good = task("uploader", State::Running);
        assert_eq!(judge(std::slice::from_ref(&good)).state, Healthy);
        assert_eq!(judge(&[]).state, Unknown, "nothing measured is not well");
        for (state, expected, words) in [
            (State::Restarting, Degraded, "purge failed and is started again (no room)"),
            (State::Failed, Unhealthy, "purge has failed too often (no room)"),
            (State::Stalled(Duration::from_secs(7)), Unhealthy, "purge has work to do and has got no further for 7 s"),
        ] {
            let finding = judge(&[good.clone(), task("purge", state)]);
            assert_eq!((finding.state, finding.message.as_str()), (expected, words));
        }
    }
}
