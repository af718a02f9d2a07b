//! Where everything stands when the agent starts, and what a configuration means for those who look on.

use std::collections::VecDeque;
use std::path::Path;

use jiff::Timestamp;
use waybill_ipc::protocol::{
    AgentInfo, AgentState, Configured, Connection, DestinationHead, DestinationStatus, Former, Identity, QueueStatus, Snapshot,
    SourceHead, SourceStatus,
};
use waybill_shared::config::{Destination, DestinationKind};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::Active;
use crate::queue::{Counts, Full, Opened};

/// What a configuration means for those who look on.
pub(super) fn configured(active: &Active, base: &Path) -> Configured {
    let config = &active.effective.config;
    Configured {
        identity: identity(active),
        max_entries: config.queue.max_entries,
        sources: config.source.iter().map(|source| source_head(source, base)).collect(),
        destinations: config.destination.iter().map(|destination| destination_head(destination, base)).collect(),
    }
}

fn identity(active: &Active) -> Identity {
    let window = &active.effective.config.window;
    Identity {
        station: active.identity.name.clone(),
        name_source: active.identity.name_source.clone(),
        location: active.identity.location.clone(),
        purpose: active.identity.purpose.clone(),
        revision: active.revision.clone(),
        configured: active.configured,
        window_theme: window.theme.as_str().to_owned(),
        window_zoom: window.zoom_percent,
    }
}

fn source_head(source: &waybill_shared::config::Source, base: &Path) -> SourceHead {
    SourceHead {
        name: source.name.clone(),
        folder: text::path(&base.join(&source.folder)),
        converter: source.converter.clone(),
        enabled: source.enabled,
    }
}

fn destination_head(destination: &Destination, base: &Path) -> DestinationHead {
    let address = match destination.kind {
        DestinationKind::Folder => destination.folder.as_ref().map(|folder| text::path(&base.join(folder))),
        DestinationKind::Wats => destination.url.clone(),
    };
    DestinationHead {
        name: destination.name.clone(),
        kind: destination.kind.as_str().to_owned(),
        address: address.unwrap_or_default(),
        enabled: destination.enabled,
    }
}

pub(super) fn initial(instance: &Instance, active: &Active, base: &Path, queue: &Opened) -> Snapshot {
    let Configured { identity, max_entries, sources, destinations } = configured(active, base);
    let known = |name: &str| sources.iter().any(|source| source.name.eq_ignore_ascii_case(name));
    let counted = |mut status: SourceStatus| {
        let counts = queue.sources.get(&status.name).copied().unwrap_or_default();
        (status.queued, status.errors, status.reports) = (counts.queued, counts.errors, counts.reports);
        status
    };
    let former_source = |name: &String| {
        let head = SourceHead { name: name.clone(), folder: String::new(), converter: String::new(), enabled: false };
        counted(SourceStatus::of(&head, None))
    };
    let former_sources = queue.sources.keys().filter(|name| !known(name)).map(former_source).collect();
    let counts = |name: &str| {
        let of_any_case = queue.deliveries.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        of_any_case.map(|(_, counts)| *counts).unwrap_or_default()
    };
    let delivered = |head: &DestinationHead| with(DestinationStatus::of(head, None), counts(&head.name));
    let mut shown: Vec<DestinationStatus> = destinations.iter().map(delivered).collect();
    let mut former = Former { sources: former_sources, destinations: Vec::new() };
    let mut removed: Vec<_> = queue
        .deliveries
        .iter()
        .filter(|(name, counts)| {
            **counts != Counts::default() && !destinations.iter().any(|head| head.name.eq_ignore_ascii_case(name))
        })
        .collect();
    removed.sort_by_key(|(name, _)| name.as_str());
    for (name, counts) in removed {
        let head = DestinationHead { name: name.clone(), kind: String::new(), address: String::new(), enabled: true };
        let gone = DestinationStatus { state: Connection::Removed, ..with(DestinationStatus::of(&head, None), *counts) };
        let list = if counts.pending + counts.failed > 0 { &mut shown } else { &mut former.destinations };
        list.push(gone);
    }
    let mut totals = QueueStatus {
        max_entries,
        full: queue.gate.is_closed(),
        full_by: queue.found.full.map(Full::by),
        held_lanes: queue.found.held_lanes.clone(),
        losses: queue.found.losses,
        ..QueueStatus::default()
    };
    totals.count(&shown);
    Snapshot {
        agent: AgentInfo {
            error: None,
            stopping: None,
            state: AgentState::Starting,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            instance: instance.name.clone(),
            started_at_ms: Timestamp::now().as_millisecond(),
            identity,
            config: text::path(&instance.config),
            config_problem: active.problem.clone(),
            data: text::path(&instance.data),
        },
        queue: totals,
        sources: sources.iter().map(|head| counted(SourceStatus::of(head, None))).collect(),
        destinations: shown,
        recent: VecDeque::new(),
        former,
    }
}

fn with(status: DestinationStatus, counts: Counts) -> DestinationStatus {
    DestinationStatus {
        pending: counts.pending,
        sent: counts.sent,
        failed: counts.failed,
        discarded: counts.discarded,
        evicted: counts.evicted,
        most: counts.most,
        ..status
    }
}
