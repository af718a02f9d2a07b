//! `status`: what came, what waits, what went, what failed.

use clap::Args;
use waybill_ipc::protocol::{AgentState, Connection, FullBy, Reply, Request, Snapshot, SourceState, Update};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::{connect, output};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
    /// Again whenever something changes, until interrupted
    #[arg(long)]
    watch: bool,
}

pub(super) async fn main(instance: &Instance, args: StatusArgs) -> Result<Exit, ErrorReport> {
    let mut client = connect(instance).await?;
    if !args.watch {
        match client.request(Request::Status).await.map_err(|error| error.report())? {
            Reply::Status(snapshot) => show(&snapshot, args.json),
            other => return Err(unexpected(&other)),
        }
        return Ok(Exit::Ok);
    }
    let mut updates = client.subscribe().await.map_err(|error| error.report())?;
    let mut current: Option<Snapshot> = None;
    while let Some(update) = updates.recv().await {
        apply(&mut current, update);
        // What is there already belongs to the same picture.
        while let Ok(more) = updates.try_recv() {
            apply(&mut current, more);
        }
        if let Some(snapshot) = &current {
            show(snapshot, args.json);
        }
    }
    if current.is_some_and(|snapshot| snapshot.agent.state == AgentState::Stopping) {
        return Err(ErrorReport::new(Code::AgentNotRunning, "the agent has stopped"));
    }
    Err(ErrorReport::new(Code::PeerBroken, "the agent ended the connection"))
}

fn apply(current: &mut Option<Snapshot>, update: Update) {
    match update {
        Update::Snapshot { snapshot, .. } => *current = Some(*snapshot),
        Update::Event { at_ms, event, .. } => {
            if let Some(current) = current {
                current.apply(at_ms, &event);
            }
        }
    }
}

pub(super) fn unexpected(reply: &Reply) -> ErrorReport {
    let name = format!("{reply:?}");
    ErrorReport::new(Code::PeerBroken, format!("an unexpected answer: {}", waybill_shared::text::shortened(&name, 40)))
}

fn show(snapshot: &Snapshot, json: bool) {
    if json {
        output::json(snapshot);
    } else {
        show_text(snapshot);
    }
}

fn show_text(snapshot: &Snapshot) {
    let agent = &snapshot.agent;
    output::line(&format!(
        "{} · {} · {}   agent {} (process {}), {}",
        text::printable(&agent.identity.station, 100),
        text::printable(&agent.identity.location, 100),
        text::printable(&agent.identity.purpose, 100),
        agent.version,
        agent.pid,
        match agent.state {
            AgentState::Stopping => format!("Stopping (it ran since {})", output::moment(agent.started_at_ms)),
            state => format!("{state:?} since {}", output::moment(agent.started_at_ms)),
        }
    ));
    let why = match snapshot.queue.full_by {
        Some(FullBy::Entries) | None => "as many reports wait as may",
        Some(FullBy::Bytes) => "they take as many bytes as they may",
        Some(FullBy::Disk) => "the disk has no more room than must stay free",
    };
    let full =
        if snapshot.queue.full { format!("   THE QUEUE IS FULL ({why}): `waybill-agent explain WB4002`") } else { String::new() };
    output::line(&format!(
        "{} waiting, at most {} may for each destination{full}",
        snapshot.queue.waiting, snapshot.queue.max_entries
    ));
    for destination in snapshot.destinations.iter().filter(|destination| destination.evicted > 0) {
        output::line(&format!(
            "{} reports to {} HAD TO MAKE ROOM and lie in files: `waybill-agent queue retry --state evicted` takes them up again",
            destination.evicted, destination.name
        ));
    }
    if snapshot.queue.losses > 0 {
        output::line("THE QUEUE WAS DAMAGED and something may be missing: `waybill-agent queue losses`");
    }
    for lane in &snapshot.queue.held_lanes {
        output::line(&format!("LANE {lane} IS HELD: `waybill-agent queue lanes --resume {lane}` lets it go on"));
    }
    if !agent.identity.configured {
        output::line("THIS STATION IS NOT SET UP: `waybill-agent init`");
    }
    if let Some(error) = &agent.error {
        output::line(&format!("THE AGENT IS IN ERROR: {error}"));
    }
    if let Some(problem) = &agent.config_problem {
        output::line(&format!("THE CONFIGURATION FILE IS NOT IN USE, the one before is. {problem}"));
        for fault in &problem.details {
            output::line(&format!("  {fault}"));
        }
    }
    output::line("");
    let rows: Vec<Vec<String>> = snapshot
        .sources
        .iter()
        .map(|s| {
            vec![
                s.name.clone(),
                source_state(s.state).to_owned(),
                s.seen().to_string(),
                s.waiting.to_string(),
                s.queued.to_string(),
                s.errors.to_string(),
                s.reports.to_string(),
                s.error.as_ref().map_or_else(|| s.folder.clone(), |error| error.to_string()),
            ]
        })
        .collect();
    output::table(&["SOURCE", "STATE", "CAME", "WAIT", "QUEUED", "ERRORS", "REPORTS", "FOLDER"], &rows);
    output::line("");
    let rows: Vec<Vec<String>> = snapshot
        .destinations
        .iter()
        .map(|d| {
            vec![
                d.name.clone(),
                connection(d.state).to_owned(),
                d.pending.to_string(),
                d.sending.to_string(),
                d.sent.to_string(),
                d.failed.to_string(),
                d.error.as_ref().map_or_else(|| d.address.clone(), |error| error.to_string()),
            ]
        })
        .collect();
    output::table(&["DESTINATION", "STATE", "WAIT", "SENDING", "SENT", "FAILED", "ADDRESS"], &rows);
}

fn source_state(state: SourceState) -> &'static str {
    match state {
        SourceState::Starting => "starting",
        SourceState::Watching => "watching",
        SourceState::Unavailable => "UNAVAILABLE",
        SourceState::Paused => "paused",
        SourceState::Stopped => "stopped",
        SourceState::Disabled => "off",
    }
}

pub(super) fn connection(state: Connection) -> &'static str {
    match state {
        Connection::Idle => "idle",
        Connection::Online => "online",
        Connection::Degraded => "DEGRADED",
        Connection::BreakerOpen => "DOWN",
        Connection::Paused => "PAUSED",
        Connection::Removed => "removed",
        Connection::Disabled => "off",
        Connection::Held => "HELD",
    }
}
