//! Snapshots for tests.

use waybill_ipc::protocol::{
    AgentInfo, AgentState, Connection, DestinationStatus, Former, Identity, QueueStatus, Snapshot, SourceState, SourceStatus,
};
use waybill_shared::error::{Code, ErrorReport};

/// A station with one source and two destinations, one of them paused.
pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        agent: AgentInfo {
            state: AgentState::Running,
            version: "0.1.0".to_owned(),
            pid: 4711,
            instance: "default".to_owned(),
            started_at_ms: 1_760_000_000_000,
            identity: Identity {
                station: "ST-07".to_owned(),
                name_source: "station.name".to_owned(),
                location: "Line 1".to_owned(),
                purpose: "Production".to_owned(),
                revision: "r1".to_owned(),
                configured: true,
                window_theme: "system".to_owned(),
                window_zoom: 100,
            },
            config: "/etc/waybill/config.toml".to_owned(),
            config_problem: None,
            error: None,
            stopping: None,
            data: "/var/lib/waybill/default".to_owned(),
        },
        queue: QueueStatus { waiting: 12, fullest: 12, max_entries: 10_000, full: false, ..QueueStatus::default() },
        sources: vec![SourceStatus {
            name: "ict".to_owned(),
            folder: "/data/ict".to_owned(),
            converter: "wsjf".to_owned(),
            state: SourceState::Watching,
            error: None,
            waiting: 1,
            queued: 40,
            errors: 2,
            reports: 44,
        }],
        destinations: vec![destination("archive", 44), paused("main")],
        recent: std::collections::VecDeque::new(),
        former: Former::default(),
    }
}

/// A destination that is online and has delivered `sent`.
pub(crate) fn destination(name: &str, sent: u64) -> DestinationStatus {
    DestinationStatus {
        name: name.to_owned(),
        kind: "folder".to_owned(),
        address: "/srv/archive".to_owned(),
        state: Connection::Online,
        error: None,
        next_try_ms: None,
        pending: 0,
        sending: 0,
        sent,
        failed: 0,
        discarded: 0,
        evicted: 0,
        last_sent_ms: None,
        most: 0,
    }
}

/// A destination that refused the token.
pub(crate) fn paused(name: &str) -> DestinationStatus {
    DestinationStatus {
        kind: "wats".to_owned(),
        address: "https://example.wats.com".to_owned(),
        state: Connection::Paused,
        error: Some(ErrorReport::new(Code::DestinationUnauthorised, "the server refused the token (401)")),
        next_try_ms: Some(1_760_000_300_000),
        pending: 12,
        failed: 3,
        ..destination(name, 32)
    }
}
