//! Whether the bytes of the store can be read. A disk that cannot be read, for a moment or for good, looks like damage to SQLite; only what
//! is damaged in earnest is set aside.

use std::time::{Duration, Instant};

use waybill_ipc::protocol::Fault;
use waybill_shared::error::Code;

use super::{Places, fsck};

/// How long a disk that cannot be read is waited for before it is taken for damage.
const READABLE_WITHIN: Duration = Duration::from_secs(20);
/// Pause between two tries to read it.
const READ_PAUSE: Duration = Duration::from_millis(500);
/// How long a store that was called damaged is looked through at most.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// Whether a store that was called damaged is whole: a disk that could not be read for a while looks the same.
pub(super) fn is_whole_after_all(places: &Places) -> bool {
    let is_damage = |fault: &Fault| fault.error.code == Code::QueueDamaged;
    let whole = is_readable_in_time(places)
        && fsck::check(places, CHECK_LIMIT).is_ok_and(|found| found.complete && !found.faults.iter().any(is_damage));
    if whole {
        tracing::warn!(event = "queue_whole", path = %places.database.display(), "the disk could not be read for a while; the queue is whole");
    }
    whole
}

/// Whether the bytes of the store can be read, at once or after some tries.
pub(super) fn is_readable_in_time(places: &Places) -> bool {
    let begun = Instant::now();
    loop {
        match read_through(places) {
            Ok(()) => return true,
            Err(error) if begun.elapsed() > READABLE_WITHIN => {
                tracing::error!(event = "queue_unreadable", path = %places.database.display(), %error, "parts of the disk cannot be read");
                return false;
            }
            Err(_) => std::thread::sleep(READ_PAUSE),
        }
    }
}

/// Reads the store and its log from the first byte to the last.
pub(super) fn read_through(places: &Places) -> std::io::Result<()> {
    for path in [places.database.clone(), places.log()] {
        match std::fs::File::open(path) {
            Ok(mut file) => std::io::copy(&mut file, &mut std::io::sink()).map(drop)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
