//! Conditions with a bound, for what gives no event (a folder's content, a process).

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a test waits for something that should happen soon.
pub const USUAL: Duration = Duration::from_secs(60);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `condition` holds; panics after [`USUAL`], naming `what` was waited for.
#[track_caller]
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_until_within(USUAL, what, condition);
}

/// Waits until `condition` holds; panics after `limit`, naming `what` was waited for.
#[track_caller]
pub fn wait_until_within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, &mut condition), "waited {:?} in vain until {what}", bound(limit));
}

/// True as soon as `condition` holds, false if it does not within `limit`.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + bound(limit);
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// A bound as this machine needs it: `limit` times `WAYBILL_TEST_PATIENCE` (1 to 100).
#[must_use]
pub fn bound(limit: Duration) -> Duration {
    static PATIENCE: OnceLock<u32> = OnceLock::new();
    let patience = PATIENCE.get_or_init(|| {
        std::env::var("WAYBILL_TEST_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(1).clamp(1, 100)
    });
    limit * *patience
}
