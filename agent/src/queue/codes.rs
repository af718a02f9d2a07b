//! The numbers of the states in the store. They never change their meaning.

use waybill_ipc::protocol::DeliveryState;

/// `file.state`: its reports are being staged.
pub(super) const FILE_STAGED: i64 = 0;
/// `file.state`: its reports are durable, the source may still lie in the watch folder.
pub(super) const FILE_COMMITTED: i64 = 1;
/// `file.state`: its post-action is done.
pub(super) const FILE_DONE: i64 = 2;
/// A file that is taken again if it comes again: somebody wants what could not be converted to be tried once more.
pub(super) const FILE_LET_GO: i64 = 3;

/// In the place of a destination's key: reports that go nowhere, as long as there is no destination. They are counted, not stored, so.
pub(super) const NOWHERE: i64 = 0;

pub(super) const STAGED: i64 = 0;
pub(super) const PENDING: i64 = 1;
pub(super) const SENT: i64 = 3;
pub(super) const FAILED: i64 = 4;
pub(super) const DISCARDED: i64 = 5;
pub(super) const EVICTED: i64 = 6;

pub(super) fn state(code: i64) -> Option<DeliveryState> {
    Some(match code {
        STAGED => DeliveryState::Staged,
        PENDING => DeliveryState::Pending,
        SENT => DeliveryState::Sent,
        FAILED => DeliveryState::Failed,
        DISCARDED => DeliveryState::Discarded,
        EVICTED => DeliveryState::Evicted,
        _ => return None,
    })
}

pub(super) fn code(state: DeliveryState) -> i64 {
    match state {
        DeliveryState::Staged => STAGED,
        DeliveryState::Pending | DeliveryState::Sending => PENDING,
        DeliveryState::Sent => SENT,
        DeliveryState::Failed => FAILED,
        DeliveryState::Discarded => DISCARDED,
        DeliveryState::Evicted => EVICTED,
    }
}
