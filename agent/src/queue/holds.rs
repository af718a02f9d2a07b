//! What a person holds back, and what a destination's breaker was like: kept, so that a restart changes nothing of it.

use rusqlite::params;
use waybill_ipc::protocol::Event;

use super::transaction::{Transaction, failed};
use super::{BreakerMemory, QueueError};

impl Transaction<'_> {
    /// Holds a lane, or lets it go again.
    pub(super) fn hold_lane(&mut self, priority: u8, held: bool) -> Result<(), QueueError> {
        let lane = usize::from(priority);
        if !(1..=10).contains(&lane) {
            return Err(QueueError::NoLane(priority));
        }
        self.alone(|this| {
            let sql = if held {
                "INSERT INTO lane (priority, held_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
            } else {
                "DELETE FROM lane WHERE priority = ?1 AND ?2 > 0"
            };
            this.connection.execute(sql, params![priority, this.now.as_millisecond()]).map_err(failed)?;
            let lanes = this.state.held_lanes;
            this.lanes_before.get_or_insert(lanes);
            this.state.held_lanes[lane] = held;
            let all: Vec<i64> = this.state.names.keys().copied().collect();
            this.stale.extend(all);
            this.events.push(Event::LaneHeld { priority, held });
            Ok(())
        })
    }

    /// Remembers that a person holds a destination, or no more.
    pub(super) fn hold_destination(&mut self, destination: &str, held: bool) -> Result<(), QueueError> {
        let key = self.key_of(destination)?;
        let at = held.then_some(self.now.as_millisecond());
        self.connection
            .execute("UPDATE destination SET held_at = CASE WHEN ?2 IS NULL THEN NULL ELSE coalesce(held_at, ?2) END WHERE destination = ?1", params![key, at])
            .map(|_| ())
            .map_err(failed)
    }

    /// Remembers a destination's breaker.
    pub(super) fn remember_breaker(&mut self, destination: &str, breaker: BreakerMemory) -> Result<(), QueueError> {
        let key = self.key_of(destination)?;
        self.connection
            .prepare_cached("UPDATE destination SET failures = ?2, cooldown_ms = ?3, open_until = ?4 WHERE destination = ?1")
            .and_then(|mut s| s.execute(params![key, breaker.failures, breaker.cooldown_ms, breaker.open_until_ms]))
            .map(|_| ())
            .map_err(failed)
    }

    /// A person has seen what was lost.
    pub(super) fn losses_seen(&mut self) -> Result<(), QueueError> {
        self.connection
            .execute("UPDATE loss SET seen_at = ?1 WHERE seen_at IS NULL", [self.now.as_millisecond()])
            .map_err(failed)?;
        self.events.push(Event::LossesSeen);
        Ok(())
    }
}
