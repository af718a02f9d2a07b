//! `health`: how well the agent is, for people, scripts and containers. It always ends within five seconds.

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, timeout, timeout_at};
use waybill_ipc::Endpoint;
use waybill_ipc::client::{Client, ClientError, Deadlines};
use waybill_ipc::protocol::{ClientKind, HealthReport, HealthState, Reply, Request};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::status::unexpected;
use super::{client_error, output};

/// Longest time for all of it; the rest of the five seconds is for the process to begin and end.
const LIMIT: Duration = Duration::from_millis(4500);
/// Longest time for checks that are made now; then the last answers have to do.
const FRESH: Duration = Duration::from_millis(3500);

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 healthy (with --live: it makes progress; with --ready: it can take, store and deliver reports),
11 not so, 3 no agent runs, 8 the agent does not answer. It ends within five seconds, whatever hangs.

As a container's check of its agent: waybill-agent health --live")]
pub(super) struct HealthArgs {
    /// Only whether the agent makes progress; nothing else can be mended by a restart
    #[arg(long, conflicts_with = "ready")]
    live: bool,
    /// Only whether reports can be taken, stored and delivered
    #[arg(long)]
    ready: bool,
    /// Make every check now, instead of showing what it found last
    #[arg(long)]
    fresh: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(instance: &Instance, args: HealthArgs) -> Result<Exit, ErrorReport> {
    let end = Instant::now() + LIMIT;
    let late = || client_error(instance, &ClientError::Timeout(LIMIT));
    let report = timeout_at(end, ask(instance, args.fresh)).await.map_err(|_| late())??;
    if args.json {
        output::json(&report);
    } else {
        show(&report, &args);
    }
    Ok(if is_well(&report, &args) { Exit::Ok } else { Exit::Unwell })
}

async fn ask(instance: &Instance, fresh: bool) -> Result<HealthReport, ErrorReport> {
    let deadlines = Deadlines { connect: LIMIT, request: LIMIT, write: LIMIT, ..Deadlines::default() };
    let connected = Client::connect(&Endpoint::of(instance), ClientKind::Cli, deadlines).await;
    let client = connected.map_err(|error| client_error(instance, &error))?;
    if fresh {
        match timeout(FRESH, client.request(Request::Health { fresh: true })).await {
            Ok(answer) => return report(answer),
            Err(_) => output::warn("not every check has answered by now; these are the last answers"),
        }
    }
    report(client.request(Request::Health { fresh: false }).await)
}

fn report(answer: Result<Reply, ClientError>) -> Result<HealthReport, ErrorReport> {
    match answer.map_err(|error| error.report())? {
        Reply::Health(report) => Ok(report),
        other => Err(unexpected(&other)),
    }
}

fn is_well(report: &HealthReport, args: &HealthArgs) -> bool {
    match () {
        () if args.live => report.live,
        () if args.ready => report.ready,
        () => report.state == HealthState::Healthy,
    }
}

fn show(report: &HealthReport, args: &HealthArgs) {
    let live = if report.live { "live" } else { "NOT LIVE" };
    let ready = if report.ready { "ready" } else { "NOT READY" };
    match () {
        () if args.live => output::line(live),
        () if args.ready => output::line(ready),
        () => output::line(&format!("{}, {live}, {ready}", report.state)),
    }
    if args.live && report.live {
        return;
    }
    let since = |since: Option<i64>| since.map_or_else(String::new, output::moment);
    let rows: Vec<Vec<String>> = report
        .checks
        .iter()
        .map(|check| {
            let found = text::printable(&check.message, 1000);
            vec![check.name.clone(), check.state.to_string(), since(check.since_ms), found]
        })
        .collect();
    output::table(&["CHECK", "STATE", "SINCE", "FOUND"], &rows);
    for (check, error) in report.checks.iter().filter_map(|check| Some((check, check.error.as_ref()?))) {
        output::line(&format!("{}: {}. ({})", check.name, error.fix.trim_end_matches('.'), error.code));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_decides_and_only_healthy_is_well() {
        let report = |state, live, ready| HealthReport { state, live, ready, checks: Vec::new(), at_ms: 0 };
        let args = |live, ready| HealthArgs { live, ready, fresh: false, json: false };
        for (state, live, ready, wanted) in [
            (HealthState::Healthy, true, true, [true, true, true]),
            (HealthState::Degraded, true, true, [false, true, true]),
            (HealthState::Unknown, true, false, [false, true, false]),
            (HealthState::Unhealthy, false, false, [false, false, false]),
        ] {
            let report = report(state, live, ready);
            let found = [args(false, false), args(true, false), args(false, true)].map(|args| is_well(&report, &args));
            assert_eq!(found, wanted, "{state}");
        }
    }
}
