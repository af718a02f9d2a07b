//! What a client can ask for.

use serde::{Deserialize, Serialize};

use super::DeliveryState;

/// A request. Each gets exactly one [`Reply`](super::Reply) or one error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Everything that a status shows.
    Status,
    /// Deliveries, the newest last.
    Deliveries {
        /// Only those to this destination.
        destination: Option<String>,
        /// Only those in this state.
        state: Option<DeliveryState>,
        /// Which part of the list.
        page: Page,
    },
    /// Files that could not be converted, the newest first.
    ConversionErrors {
        /// Which part of the list.
        page: Page,
    },
    /// News from now on: a snapshot first, then every event after it.
    Subscribe,
    /// No more news.
    Unsubscribe,
}

/// A part of a list, by key and not by number, so that a list that changes is neither skipped nor repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The last key of the page before; none for the first page.
    pub after: Option<i64>,
    /// Most rows wanted, at most 1000.
    pub limit: u32,
}
