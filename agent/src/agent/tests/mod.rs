//! What the tests of other modules share.

mod again;
mod supervised;

use waybill_ipc::protocol::{DestinationHead, DestinationStatus, Snapshot};

/// A snapshot with one destination `d`.
pub(crate) fn empty_snapshot() -> Snapshot {
    let head = DestinationHead { name: "d".to_owned(), kind: "folder".to_owned(), address: String::new(), enabled: true };
    Snapshot { destinations: vec![DestinationStatus::of(&head, None)], ..Snapshot::default() }
}
