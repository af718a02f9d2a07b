//! A destination: what came of the last reports, how long the oldest has waited, how many failed, and whether it answers now.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use waybill_ipc::protocol::{Connection, DestinationStatus, HealthState, Snapshot};
use waybill_shared::error::{Code, ErrorReport};

use crate::health::{Check, Clock, Finding, Role, age, moment};
use crate::queue::QueueError;

/// How long a report may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Degraded if the oldest has waited longer.
    pub degraded: Duration,
    /// Unhealthy if the oldest has waited longer.
    pub unhealthy: Duration,
    /// Unhealthy if so many have failed.
    pub failed: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { degraded: Duration::from_secs(15 * 60), unhealthy: Duration::from_secs(24 * 3600), failed: 10_000 }
    }
}

/// The check `destination NAME`. `snapshot` gives where everything stands at this moment; `oldest` when the oldest report was queued that
/// still waits for the destination (milliseconds since 1970 UTC); `probe` asks the destination itself, uncached, and says in a few words
/// what it answered.
pub fn check<O, P>(
    name: &str,
    limits: Limits,
    clock: Clock,
    snapshot: impl Fn() -> Snapshot + Send + Sync + 'static,
    oldest: impl Fn(&str) -> O + Send + Sync + 'static,
    probe: impl Fn(&str) -> P + Send + Sync + 'static,
) -> Check
where
    O: Future<Output = Result<Option<i64>, QueueError>> + Send + 'static,
    P: Future<Output = Result<String, ErrorReport>> + Send + 'static,
{
    let asked = Arc::new((name.to_owned(), snapshot, oldest, probe, clock));
    let run = move || {
        let asked = Arc::clone(&asked);
        async move {
            let (name, snapshot, oldest, probe, clock) = &*asked;
            let status = snapshot().destinations.into_iter().find(|status| status.name == *name);
            let Some(status) = status else { return Ok(Finding::unknown("the agent does not know this destination")) };
            let waits = status.pending + status.sending > 0;
            let waiting = async { if waits { Some(oldest(name).await) } else { None } };
            // One that is left alone for a while is asked again by its dispatcher, at its pace: a wrong token tried too often is locked out.
            let left_alone = matches!(status.state, Connection::Paused | Connection::BreakerOpen | Connection::Removed);
            let answering = async { if left_alone { None } else { Some(probe(name).await) } };
            let (waiting, answer) = tokio::join!(waiting, answering);
            Ok(judge(&status, waiting, answer, limits, clock.now_ms()))
        }
    };
    Check::new(format!("destination {name}"), run).role(Role::Destination).code(Code::DestinationUnreachable)
}

type Waiting = Option<Result<Option<i64>, QueueError>>;
type Answer = Option<Result<String, ErrorReport>>;

/// Something that is wrong, the worst of which decides.
struct Trouble(HealthState, String, Option<ErrorReport>);

fn judge(status: &DestinationStatus, waiting: Waiting, answer: Answer, limits: Limits, now_ms: i64) -> Finding {
    let mut troubles = Vec::new();
    connection(status, &mut troubles);
    if let Some(Err(error)) = &answer {
        troubles.push(Trouble(
            HealthState::Unhealthy,
            format!("it does not take reports: {}", error.message),
            Some(error.clone()),
        ));
    }
    if status.failed > 0 {
        let message = format!("{} {} refused for good and wait for a person", status.failed, reports(status.failed));
        let error = ErrorReport::new(Code::ReportRefused, format!("{message} (destination {})", status.name));
        let state = if status.failed >= limits.failed { HealthState::Unhealthy } else { HealthState::Degraded };
        troubles.push(Trouble(state, message, Some(error)));
    }
    if status.evicted > 0 {
        let message = format!("{} {} had to make room and lie in files", status.evicted, noun(status.evicted));
        let error = ErrorReport::new(Code::QueueFull, format!("{message} (destination {})", status.name)).with_fix(format!(
            "Take them up again once there is room: `waybill-agent queue retry --state evicted --destination {}`",
            status.name
        ));
        troubles.push(Trouble(HealthState::Degraded, message, Some(error)));
    }
    let oldest_age = match waiting {
        Some(Ok(Some(queued_at))) => Some(now_ms.saturating_sub(queued_at).max(0)),
        Some(Err(error)) => {
            let message = format!("how long reports have waited is not known: {error}");
            troubles.push(Trouble(HealthState::Unknown, message, Some(error.report())));
            None
        }
        _ => None,
    };
    if let Some(waited) = oldest_age {
        too_old(waited, limits, &mut troubles);
    }
    let usable = matches!(answer, Some(Ok(_)));
    let mut finding = conclude(status, troubles, answer.and_then(Result::ok));
    finding.usable = usable;
    finding = finding.with("waiting", status.pending + status.sending).with("failed", status.failed).with("sent", status.sent);
    if let Some(last) = status.last_sent_ms {
        finding = finding.with("last_sent_ms", last);
    }
    if let Some(age) = oldest_age {
        finding = finding.with("oldest_waiting_ms", age);
    }
    finding
}

fn connection(status: &DestinationStatus, troubles: &mut Vec<Trouble>) {
    let why = |what: &str| match &status.error {
        Some(error) => format!("{what}: {}", error.message),
        None => what.to_owned(),
    };
    let mut trouble = |state, message| troubles.push(Trouble(state, message, status.error.clone()));
    match status.state {
        Connection::Paused => trouble(HealthState::Unhealthy, why("it refuses everything, and all reports wait")),
        Connection::BreakerOpen => trouble(HealthState::Unhealthy, why("it failed so often that it is left alone for a while")),
        Connection::Degraded => trouble(HealthState::Degraded, why("the last try failed and is made again")),
        Connection::Removed => match status.pending + status.sending {
            0 => {}
            waiting => {
                let message = format!("it is configured no more and {waiting} {} wait for it", noun(waiting));
                let error =
                    ErrorReport::new(Code::ConfigInvalid, format!("destination {}: {message}", status.name)).with_fix(format!(
                        "Configure it again under this name and they are sent, or say what becomes of them: \
                         `waybill-agent config unset destination.{} --move-to DESTINATION`, or `--discard`",
                        status.name
                    ));
                troubles.push(Trouble(HealthState::Degraded, message, Some(error)));
            }
        },
        Connection::Disabled => match status.pending + status.sending {
            0 => {}
            waiting => trouble(
                HealthState::Degraded,
                format!("it is switched off in the configuration and {waiting} {} wait for it", noun(waiting)),
            ),
        },
        Connection::Held => trouble(
            HealthState::Degraded,
            format!("somebody holds it and {} {} wait for it", status.pending, noun(status.pending)),
        ),
        Connection::Idle | Connection::Online => {}
    }
}

fn too_old(waited: i64, limits: Limits, troubles: &mut Vec<Trouble>) {
    let over = |limit: Duration| i128::from(waited) > i128::try_from(limit.as_millis()).unwrap_or(i128::MAX);
    let state = match () {
        () if over(limits.unhealthy) => HealthState::Unhealthy,
        () if over(limits.degraded) => HealthState::Degraded,
        () => return,
    };
    let message = format!("the oldest report has waited for {}", age(waited));
    let error = ErrorReport::new(Code::DestinationUnreachable, &message);
    troubles.push(Trouble(state, message, Some(error)));
}

fn conclude(status: &DestinationStatus, mut troubles: Vec<Trouble>, answer: Option<String>) -> Finding {
    // The worst first; what is equally bad stays in its order.
    troubles.sort_by_key(|trouble| std::cmp::Reverse(trouble.0));
    let state = HealthState::worst_of(troubles.iter().map(|trouble| trouble.0).chain([HealthState::Healthy]));
    let message = if troubles.is_empty() {
        let last = match (status.last_sent_ms, status.sent, status.state) {
            (_, _, Connection::Disabled) => "it is switched off in the configuration".to_owned(),
            (_, _, Connection::Removed) => "it is configured no more, and nothing waits for it".to_owned(),
            (Some(last), ..) => format!("the last report arrived at {}", moment(last)),
            (None, 0, _) => "nothing was sent yet".to_owned(),
            (None, ..) => "nothing was sent since the agent started".to_owned(),
        };
        answer.into_iter().fold(last, |last, answer| format!("{last}; it answers: {answer}"))
    } else {
        troubles.iter().map(|trouble| trouble.1.as_str()).collect::<Vec<_>>().join("; ")
    };
    let error = troubles.into_iter().find_map(|trouble| trouble.2);
    Finding { state, error, ..Finding::healthy(message) }
}

fn noun(count: u64) -> &'static str {
    if count == 1 { "report" } else { "reports" }
}

fn reports(count: u64) -> String {
    format!("{} {}", noun(count), if count == 1 { "was" } else { "were" })
}

#[cfg(test)]
mod tests;
