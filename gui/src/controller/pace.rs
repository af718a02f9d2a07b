//! How often the window is shown something new: at once after a quiet time, five times a second while it is busy. More
//! would not be read, and costs stations that draw without a graphics processor dearly.

use std::time::Duration;

use tokio::time::Instant;

/// Shortest time between two pictures.
const SHORTEST: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Pace {
    /// Something changed: when to show it.
    pub(super) fn changed(&mut self, now: Instant) {
        let soonest = self.last.map_or(now, |last| (last + SHORTEST).max(now));
        self.due.get_or_insert(soonest);
    }

    /// When the next picture is due; none if nothing changed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// It was shown.
    pub(super) fn shown(&mut self, now: Instant) {
        self.last = Some(now);
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_after_a_quiet_time_is_shown_at_once_and_a_flood_five_times_a_second() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.due(), None);
        pace.changed(start);
        assert_eq!(pace.due(), Some(start));
        pace.shown(start);
        let mut pictures = 0;
        for millisecond in 0..1000 {
            let now = start + Duration::from_millis(millisecond);
            pace.changed(now);
            if pace.due().is_some_and(|due| due <= now) {
                pictures += 1;
                pace.shown(now);
            }
        }
        assert_eq!(pictures, 4);
        assert!(pace.due().is_some(), "the last change is not forgotten");
        let later = start + Duration::from_secs(60);
        pace.shown(later - Duration::from_secs(10));
        pace.changed(later);
        assert_eq!(pace.due(), Some(later));
    }
}
