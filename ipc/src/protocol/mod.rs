//! The messages. Raise [`PROTOCOL`] whenever their bytes change; a golden test fails otherwise.

mod event;
mod hello;
mod reply;
mod request;
mod snapshot;

pub use event::{Event, Update};
pub use hello::{AgentState, ClientKind, Frozen, Hello, StatusBrief};
pub use reply::{ConversionErrorRow, DeliveryRow, Reply};
pub use request::{Page, Request};
pub use snapshot::{
    Activity, ActivityKind, AgentInfo, Connection, DeliveryState, DestinationStatus, QueueStatus, RECENT_LIMIT, Snapshot,
    SourceState, SourceStatus,
};

use serde::{Deserialize, Serialize};
use waybill_shared::error::ErrorReport;

/// Version of everything but the frozen messages.
pub const PROTOCOL: u16 = 1;

/// What a client says after the greeting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientMessage {
    /// Chosen by the client; the answer carries it.
    pub id: u64,
    /// What it wants.
    pub request: Request,
}

/// What a server says after the greeting. Exactly one answer a request, in any order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ServerMessage {
    /// The answer to the request of this id.
    Response {
        /// The request's id.
        id: u64,
        /// What came of it.
        result: Result<Reply, ErrorReport>,
    },
    /// News for a subscriber.
    Update(Update),
}
