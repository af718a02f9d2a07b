use std::sync::atomic::{AtomicU32, Ordering};

use waybill_ipc::protocol::HealthState::{self, Degraded, Healthy, Unhealthy, Unknown};

use super::*;
use crate::health::tests::{destination_status, snapshot};

const NOW: i64 = 1_800_000_000_000;

fn minutes_ago(minutes: i64) -> Waiting {
    Some(Ok(Some(NOW - minutes * 60_000)))
}

fn answers() -> Answer {
    Some(Ok("version 7".into()))
}

fn error() -> ErrorReport {
    ErrorReport::new(Code::DestinationUnauthorised, "401 Unauthorized")
}

fn with(change: impl FnOnce(&mut DestinationStatus)) -> DestinationStatus {
    let mut status = destination_status("main");
    change(&mut status);
    status
}

#[test]
fn each_trouble_has_its_state_and_says_what_it_is() {
    let paused = |state| {
        with(|d| {
            d.state = state;
            d.error = Some(error());
        })
    };
    let removed = |pending| {
        with(|d| {
            d.state = Connection::Removed;
            d.pending = pending;
        })
    };
    let waiting = || with(|d| d.pending = 4);
    let refused = || Some(Err(ErrorReport::new(Code::DestinationUnreachable, "no route")));
    let unreadable = || Some(Err(QueueError::Read("busy".into())));
    #[rustfmt::skip]
    let cases: Vec<(DestinationStatus, Waiting, Answer, HealthState, bool, &str)> = vec![
        (with(|_| ()), None, answers(), Healthy, true, "nothing was sent yet; it answers: version 7"),
        (with(|d| d.sent = 9), None, answers(), Healthy, true, "nothing was sent since the agent started"),
        (with(|d| d.last_sent_ms = Some(NOW)), None, answers(), Healthy, true, "the last report arrived at"),
        (with(|_| ()), None, refused(), Unhealthy, false, "it does not take reports: no route"),
        (paused(Connection::Paused), None, None, Unhealthy, false, "refuses everything, and all reports wait: 401 Unauthorized"),
        (paused(Connection::BreakerOpen), None, None, Unhealthy, false, "left alone for a while: 401 Unauthorized"),
        (paused(Connection::Degraded), None, answers(), Degraded, true, "the last try failed"),
        (with(|d| d.failed = 3), None, answers(), Degraded, true, "3 reports were refused"),
        (with(|d| d.failed = 1), None, answers(), Degraded, true, "1 report was refused"),
        (with(|d| d.evicted = 70), None, answers(), Degraded, true, "70 reports had to make room and lie in files"),
        (waiting(), minutes_ago(15), answers(), Healthy, true, "nothing was sent yet"),
        (waiting(), minutes_ago(16), answers(), Degraded, true, "the oldest report has waited for 16 min"),
        (waiting(), minutes_ago(24 * 60 + 1), answers(), Unhealthy, true, "the oldest report has waited for 24 h"),
        (waiting(), unreadable(), answers(), Unknown, true, "is not known"),
        (removed(5), minutes_ago(1), None, Degraded, false, "configured no more and 5 reports wait"),
        (removed(0), None, None, Healthy, false, "configured no more, and nothing waits"),
    ];
    for (status, waiting, answer, state, usable, words) in cases {
        let finding = judge(&status, waiting, answer, Limits::default(), NOW);
        assert_eq!((finding.state, finding.usable), (state, usable), "{words}: {}", finding.message);
        assert!(finding.message.contains(words), "{words}: {}", finding.message);
        assert_eq!(finding.error.is_some(), state != Healthy, "{words}");
    }
}

#[test]
fn the_worst_comes_first_and_nothing_else_is_left_out() {
    let status = with(|d| {
        d.failed = 2;
        d.pending = 1;
    });
    let finding = judge(&status, minutes_ago(20), Some(Err(error())), Limits::default(), NOW);
    assert_eq!(finding.state, Unhealthy);
    assert!(finding.message.starts_with("it does not take reports: 401"), "{}", finding.message);
    assert!(finding.message.contains("2 reports were refused") && finding.message.contains("20 min"), "{}", finding.message);
    assert_eq!(finding.error.unwrap().code, Code::DestinationUnauthorised);
}

#[test]
fn what_was_not_measured_is_absent() {
    let names = |finding: Finding| finding.values.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let nothing = judge(&with(|_| ()), None, answers(), Limits::default(), NOW);
    assert_eq!(names(nothing), ["waiting", "failed", "sent"]);
    let all = with(|d| {
        d.pending = 1;
        d.last_sent_ms = Some(1);
    });
    let all = judge(&all, minutes_ago(1), answers(), Limits::default(), NOW);
    assert_eq!(names(all), ["waiting", "failed", "sent", "last_sent_ms", "oldest_waiting_ms"]);
}

#[tokio::test]
async fn each_run_asks_the_destination_anew_unless_it_is_left_alone() {
    static PROBES: AtomicU32 = AtomicU32::new(0);
    let ask = async |state| {
        let status = move || snapshot(Vec::new(), vec![with(|d| d.state = state)]);
        let probe = |_: &str| async { Ok(format!("answer {}", PROBES.fetch_add(1, Ordering::Relaxed))) };
        let check = check("main", Limits::default(), Clock::system(), status, |_| async { Ok(None) }, probe);
        ((check.run)().await.unwrap(), (check.run)().await.unwrap())
    };
    let (first, second) = ask(Connection::Online).await;
    assert!(first.message.contains("answer 0") && second.message.contains("answer 1"), "{} {}", first.message, second.message);
    assert_eq!(ask(Connection::Paused).await.1.state, Unhealthy);
    assert_eq!(PROBES.load(Ordering::Relaxed), 2);
}
