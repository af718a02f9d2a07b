//! In which order deliveries go: by a rank that is fixed when they are queued.

/// What one step of priority is worth: so much earlier an entry of the next lower priority must have been queued to go first.
/// This is the ageing: a low lane is never starved, it is late by at most nine steps.
const STEP_MS: i64 = 10 * 60 * 1000;

/// The rank of a delivery: the time it was queued plus a delay by priority (1 none, 10 the longest). Lower goes first.
pub(super) fn rank(queued_at_ms: i64, priority: u8) -> i64 {
    queued_at_ms.saturating_add(STEP_MS * (i64::from(priority.clamp(1, 10)) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_high_priority_goes_first_and_a_low_one_is_not_starved() {
        assert!(rank(1000, 1) < rank(0, 2));
        assert!(rank(0, 10) < rank(10 * STEP_MS, 1), "after a while the low one goes before newcomers of the highest");
        assert!(rank(0, 5) < rank(1, 5), "within a lane the older goes first");
    }
}
