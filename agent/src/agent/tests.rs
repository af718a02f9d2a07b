//! What the tests of other modules share.

use std::collections::VecDeque;

use waybill_ipc::protocol::{AgentInfo, AgentState, Connection, DestinationStatus, QueueStatus, Snapshot};

/// A snapshot with one destination `d`.
pub(crate) fn empty_snapshot() -> Snapshot {
    Snapshot {
        agent: AgentInfo {
            state: AgentState::Running,
            version: String::new(),
            pid: 0,
            instance: String::new(),
            started_at_ms: 0,
            station: String::new(),
            location: String::new(),
            purpose: String::new(),
            config: String::new(),
            data: String::new(),
        },
        queue: QueueStatus::default(),
        sources: Vec::new(),
        destinations: vec![DestinationStatus {
            name: "d".to_owned(),
            kind: "folder".to_owned(),
            address: String::new(),
            state: Connection::Idle,
            error: None,
            next_try_ms: None,
            pending: 0,
            sending: 0,
            sent: 0,
            failed: 0,
            discarded: 0,
            evicted: 0,
            last_sent_ms: None,
        }],
        recent: VecDeque::new(),
    }
}
