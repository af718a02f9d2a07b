//! Where everything stands when the agent starts.

use std::collections::VecDeque;

use jiff::Timestamp;
use waybill_ipc::protocol::{
    AgentInfo, AgentState, Connection, DestinationStatus, QueueStatus, Snapshot, SourceState, SourceStatus,
};
use waybill_shared::config::{Config, Destination, DestinationKind};
use waybill_shared::fs::atomic;
use waybill_shared::paths::Instance;
use waybill_shared::text;

use crate::queue::{Counts, Opened};

pub(super) fn initial(instance: &Instance, config: &Config, queue: &Opened) -> Snapshot {
    let base = atomic::folder_of(&instance.config);
    let source = |source: &waybill_shared::config::Source| {
        let counts = queue.sources.get(&source.name).copied().unwrap_or_default();
        SourceStatus {
            name: source.name.clone(),
            folder: text::path(&base.join(&source.folder)),
            converter: source.converter.clone(),
            state: SourceState::Starting,
            error: None,
            waiting: 0,
            queued: counts.queued,
            errors: counts.errors,
            reports: counts.reports,
        }
    };
    let counts = |name: &str| queue.deliveries.get(name).copied().unwrap_or_default();
    let address = |destination: &Destination| match destination.kind {
        DestinationKind::Folder => destination.folder.as_ref().map(|folder| text::path(&base.join(folder))),
        DestinationKind::Wats => destination.url.clone(),
    };
    let mut destinations: Vec<DestinationStatus> = config
        .destination
        .iter()
        .map(|d| status(&d.name, d.kind.as_str(), address(d).unwrap_or_default(), Connection::Idle, counts(&d.name)))
        .collect();
    let configured = |name: &str| config.destination.iter().any(|d| d.name.eq_ignore_ascii_case(name));
    let mut removed: Vec<_> =
        queue.deliveries.iter().filter(|(name, counts)| !configured(name) && **counts != Counts::default()).collect();
    removed.sort_by_key(|(name, _)| name.as_str());
    destinations.extend(removed.into_iter().map(|(name, counts)| status(name, "", String::new(), Connection::Removed, *counts)));
    let mut totals =
        QueueStatus { max_entries: config.queue.max_entries, full: queue.gate.is_closed(), ..QueueStatus::default() };
    totals.count(&destinations);
    Snapshot {
        agent: AgentInfo {
            state: AgentState::Starting,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            instance: instance.name.clone(),
            started_at_ms: Timestamp::now().as_millisecond(),
            station: config.station.name.clone(),
            location: config.station.location.clone(),
            purpose: config.station.purpose.clone(),
            config: text::path(&instance.config),
            data: text::path(&instance.data),
        },
        queue: totals,
        sources: config.source.iter().map(source).collect(),
        destinations,
        recent: VecDeque::new(),
    }
}

fn status(name: &str, kind: &str, address: String, state: Connection, counts: Counts) -> DestinationStatus {
    DestinationStatus {
        name: name.to_owned(),
        kind: kind.to_owned(),
        address,
        state,
        error: None,
        next_try_ms: None,
        pending: counts.pending,
        sending: 0,
        sent: counts.sent,
        failed: counts.failed,
        discarded: counts.discarded,
        evicted: counts.evicted,
        last_sent_ms: None,
    }
}
