//! What looks wrong, in words for a person: where, what, and what to do.
//!
//! If the agent gave its health, that says how sources, destinations, disk and setup are; else it follows from the files.

use waybill_ipc::protocol::{AgentState, Connection, HealthReport, HealthState, HistoryOutcome, Snapshot};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text;

use super::Known;
use super::facts::{Facts, LogErrors};
use super::queue::QueueFacts;
use crate::agent::Active;
use crate::health::age;
use crate::health::checks::disk;
use crate::watchdog;

/// Kinds of errors of the log that are named.
const NAMED: usize = 5;
/// Entries of the history that say that it is not complete.
const GAPS: [&str; 2] = ["history.gap", "history.begin"];

/// Everything that looks wrong; empty if nothing does. `why`: for which reason the agent was not asked.
pub(super) fn of(facts: &Facts, known: &Known, why: Option<&ErrorReport>, now_ms: i64) -> Vec<String> {
    let mut found = Vec::new();
    // A running agent is the better witness of itself.
    let watchdog =
        facts.watchdog.as_ref().ok().and_then(|watchdog| watchdog.trouble.as_deref()).filter(|_| known.health.is_none());
    found.extend(why.map(|why| unreachable(why, watchdog)));
    found.extend(watchdog.filter(|said| !why.is_some_and(|why| why.message.contains(said))).map(of_watchdog));
    if let Some(snapshot) = &known.snapshot {
        of_snapshot(snapshot, known.health.is_some(), &mut found);
    }
    match &known.health {
        Some(health) => of_health(health, &mut found),
        None => of_files(facts, now_ms, &mut found),
    }
    of_config(facts, known, &mut found);
    of_secrets(facts, &mut found);
    of_queue(facts, &mut found);
    of_log(facts, now_ms, &mut found);
    of_history(facts, now_ms, &mut found);
    of_folders(facts, &mut found);
    for (part, reason) in unread(facts) {
        found.push(format!("{part} could not be read: {reason}"));
    }
    found
}

fn with_fix(what: &str, fix: &str) -> String {
    format!("{}. {}.", what.trim_end_matches('.'), fix.trim_end_matches('.'))
}

fn reported(error: &ErrorReport) -> String {
    format!("{} ({})", with_fix(&error.message, &error.fix), error.code)
}

fn unreachable(why: &ErrorReport, watchdog: Option<&str>) -> String {
    match why.code {
        // What to do is told of the watchdog.
        Code::AgentNotRunning if watchdog.is_some() => format!("{} ({})", why.message, why.code),
        Code::AgentNotRunning => reported(why),
        _ => reported(&ErrorReport { message: format!("the agent cannot be asked: {}", why.message), ..why.clone() }),
    }
}

fn of_watchdog(said: &str) -> String {
    let fix = format!("Look at the last lines of {} and of agent.log, and see `waybill-agent explain watchdog`", watchdog::LOG);
    let fix = if said.starts_with("its watchdog gave up") {
        format!("{fix}. Mend the cause, then start the watchdog again: nobody else starts the agent")
    } else {
        fix
    };
    with_fix(said, &fix)
}

fn of_snapshot(snapshot: &Snapshot, health: bool, found: &mut Vec<String>) {
    match snapshot.agent.state {
        AgentState::Running => {}
        AgentState::Starting => found.push("the agent is still starting".to_owned()),
        AgentState::Stopping => found.push("the agent is stopping".to_owned()),
    }
    if snapshot.queue.full {
        found.push(with_fix("the queue is full: files stay in their folders", Code::QueueFull.fix()));
    }
    for destination in snapshot.destinations.iter().filter(|_| !health) {
        let troubled = matches!(destination.state, Connection::Paused | Connection::BreakerOpen | Connection::Degraded);
        if let Some(error) = destination.error.as_ref().filter(|_| troubled) {
            found.push(format!("destination {}: {}", destination.name, reported(error)));
        }
    }
}

fn of_health(health: &HealthReport, found: &mut Vec<String>) {
    for check in &health.checks {
        let fix = check.error.as_ref().map(|error| format!(" {}. ({})", error.fix.trim_end_matches('.'), error.code));
        match check.state {
            HealthState::Healthy => {}
            state => found.push(format!(
                "{} is {state}: {}.{}",
                check.name,
                check.message.trim_end_matches('.'),
                fix.unwrap_or_default()
            )),
        }
        // A destination that is well may still have told that one of the two clocks is wrong.
        if check.state == HealthState::Healthy
            && let Some(at) = check.message.find("The server's clock is")
        {
            found.push(format!("{}: {}", check.name, &check.message[at..]));
        }
    }
}

/// What health would say, as far as files tell it.
fn of_files(facts: &Facts, now_ms: i64, found: &mut Vec<String>) {
    for (name, state) in &facts.sources {
        if let Err(reason) = state {
            let what = format!("the folder of source {name} cannot be read: {reason}");
            found.push(with_fix(&what, Code::FolderUnavailable.fix()));
        }
    }
    let Ok(active) = &facts.config else { return };
    let config = &active.effective.config;
    match &facts.disk {
        Ok((free, total)) if *total > 0 && *free < disk::Limits::of(config).degraded.of(*total) => {
            let what = format!("the data folder's disk has {} MiB left of {} MiB", free >> 20, total >> 20);
            found.push(with_fix(&what, "Free space on it; while it is full, files stay in their folders"));
        }
        _ => {}
    }
    if let Ok(Some(queue)) = &facts.queue {
        of_destinations(active, queue, now_ms, found);
    }
}

fn of_destinations(active: &Active, queue: &QueueFacts, now_ms: i64, found: &mut Vec<String>) {
    let config = &active.effective.config;
    let longest_ms = i64::try_from(config.health.oldest_pending_minutes).unwrap_or(i64::MAX).saturating_mul(60_000);
    for name in queue.deliveries.keys() {
        let failed = queue.count(name, "failed");
        if failed > 0 {
            let what = format!("destination {name}: {failed} {} refused for good", reports(failed));
            found.push(with_fix(&what, Code::ReportRefused.fix()));
        }
        let pending = queue.pending(name);
        let waited = queue.oldest_pending_ms.get(name).map(|at| now_ms.saturating_sub(*at));
        if let Some(waited) = waited.filter(|waited| *waited > longest_ms) {
            found.push(format!("destination {name}: {pending} {} waiting, the oldest for {}", reports(pending), age(waited)));
        }
        if pending >= config.queue.max_entries {
            let what = format!("the queue is full: {pending} {} waiting for destination {name}", reports(pending));
            found.push(with_fix(&what, Code::QueueFull.fix()));
        }
        if pending > 0 && !config.destination.iter().any(|destination| destination.name.eq_ignore_ascii_case(name)) {
            let what = format!("{pending} {} waiting for destination {name}, which is configured no more", reports(pending));
            found.push(with_fix(&what, "Configure it again under this name"));
        }
    }
}

fn reports(count: u64) -> &'static str {
    if count == 1 { "report is" } else { "reports are" }
}

fn of_config(facts: &Facts, known: &Known, found: &mut Vec<String>) {
    let active = match &facts.config {
        Ok(active) => active,
        Err(reason) => {
            return found.push(with_fix(&format!("the configuration cannot be used: {reason}"), Code::ConfigInvalid.fix()));
        }
    };
    if !active.configured {
        return found.push("this station is not set up. `waybill-agent init` does it.".to_owned());
    }
    if known.health.is_some() {
        return;
    }
    found.extend(active.problem.as_ref().map(reported));
    let config = &active.effective.config;
    if config.source.iter().all(|source| !source.enabled) {
        found.push("no source is configured: no file is taken. Add a [[source]] with the folder of the equipment.".to_owned());
    }
    if config.destination.iter().all(|destination| !destination.enabled) {
        found.push("no destination is configured: reports are stored and wait. Add a [[destination]].".to_owned());
    }
}

fn of_secrets(facts: &Facts, found: &mut Vec<String>) {
    for secret in facts.secrets.iter().flatten() {
        match &secret.problem {
            Some(problem) => found.push(format!("the secret {} cannot be used: {problem}", secret.name)),
            None if !secret.set => {
                let what = format!("the secret {} is not set", secret.name);
                found.push(with_fix(&what, &format!("Set it: `waybill-agent secret set {}`", secret.name)));
            }
            None => {}
        }
    }
}

fn of_queue(facts: &Facts, found: &mut Vec<String>) {
    let Ok(Some(queue)) = &facts.queue else { return };
    if let Some(damage) = queue.check.as_ref().filter(|found| *found != "ok") {
        let what = format!("the queue's database is damaged: {}", text::shortened(damage, 200));
        found.push(with_fix(&what, "Check the disk, and keep a copy of the data folder before anything else is tried"));
    }
}

fn of_log(facts: &Facts, now_ms: i64, found: &mut Vec<String>) {
    let Ok(errors) = &facts.log_errors else { return };
    for LogErrors { event, count, last_ms, last_message } in errors.iter().take(NAMED) {
        let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
        let ago = age(now_ms.saturating_sub(*last_ms).max(0));
        found.push(format!("the log of the last day has the error {event} {times}, last {ago} ago: {last_message}"));
    }
    if let Some(more) = errors.len().checked_sub(NAMED).filter(|more| *more > 0) {
        found.push(format!("the log of the last day has {more} more kinds of errors"));
    }
}

fn of_history(facts: &Facts, now_ms: i64, found: &mut Vec<String>) {
    let Ok(rows) = &facts.history else { return };
    for row in rows.iter().filter(|row| GAPS.contains(&row.action.as_str()) && row.outcome == HistoryOutcome::Failed) {
        let ago = age(now_ms.saturating_sub(row.at_ms).max(0));
        found.push(format!("the history is not complete, {ago} ago: {}", row.message.as_deref().unwrap_or_default()));
    }
}

fn of_folders(facts: &Facts, found: &mut Vec<String>) {
    let Ok(folders) = &facts.folders else { return };
    for path in &folders.open_to_others {
        let what = format!("other users of this machine may read the data folder {path}");
        found.push(with_fix(&what, "Let only the agent's user read it"));
    }
}

/// Parts that could not be read, and that nothing else says something of.
fn unread(facts: &Facts) -> Vec<(&'static str, &String)> {
    let mut all = Vec::new();
    all.extend(facts.queue.as_ref().err().map(|reason| ("the queue", reason)));
    all.extend(facts.history.as_ref().err().map(|reason| ("the history", reason)));
    all.extend(facts.backups.as_ref().err().map(|reason| ("the configuration's backups", reason)));
    all.extend(facts.folders.as_ref().err().map(|reason| ("the data folder", reason)));
    all.extend(facts.disk.as_ref().err().map(|reason| ("the free space of the data folder's disk", reason)));
    all.extend(facts.watchdog.as_ref().err().map(|reason| ("what the watchdog wrote down", reason)));
    all.extend(facts.log_errors.as_ref().err().map(|reason| ("the log", reason)));
    // Without a configuration it is not known which secrets are needed; that is told of the configuration.
    if facts.config.is_ok() {
        all.extend(facts.secrets.as_ref().err().map(|reason| ("the state of the secrets", reason)));
    }
    all
}
