//! What was kept long enough goes: a limited number at a time, so that nobody waits.

use jiff::Timestamp;
use rusqlite::params;

use super::QueueError;
use super::codes::{DISCARDED, SENT};
use super::transaction::{Transaction, failed};

/// Entries that go at once.
const AT_ONCE: u32 = 500;

/// What was kept long enough.
#[derive(Debug, Clone, Copy)]
pub struct Old {
    /// Sent before then.
    pub sent: Timestamp,
    /// Given up before then.
    pub discarded: Timestamp,
}

impl Transaction<'_> {
    /// Removes entries all of whose deliveries are over and were over before then. What had to make room stays: its file is all there is.
    pub(super) fn purge(&mut self, old: Old) -> Result<(), QueueError> {
        for (state, before) in [(SENT, old.sent), (DISCARDED, old.discarded)] {
            self.purge_state(state, before, old)?;
        }
        Ok(())
    }

    fn purge_state(&mut self, state: i64, before: Timestamp, old: Old) -> Result<(), QueueError> {
        let places = self.places;
        let removed = self.alone(|this| {
            let mut old_ones = this
                .connection
                // The state as a number of its own: an index of some states is used only if it is plain that they are meant.
                .prepare_cached(&format!(
                    "SELECT DISTINCT e.entry, e.spool FROM delivery d JOIN entry e ON e.entry = d.entry
                     WHERE d.state = {state} AND d.finished_at < ?1 AND NOT EXISTS (
                         SELECT 1 FROM delivery o WHERE o.entry = d.entry AND NOT (
                             (o.state = ?2 AND o.finished_at < ?3) OR (o.state = ?4 AND o.finished_at < ?5)))
                     LIMIT ?6"
                ))
                .map_err(failed)?;
            let (sent, discarded) = (old.sent.as_millisecond(), old.discarded.as_millisecond());
            let entries: Vec<(i64, Option<String>)> = old_ones
                .query_map(params![before.as_millisecond(), SENT, sent, DISCARDED, discarded, AT_ONCE], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .and_then(Iterator::collect)
                .map_err(failed)?;
            for (entry, _) in &entries {
                // The counters go on counting what was ever sent: purging forgets the report, not the fact.
                for sql in ["DELETE FROM delivery WHERE entry = ?1", "DELETE FROM entry WHERE entry = ?1"] {
                    this.connection.prepare_cached(sql).and_then(|mut s| s.execute([entry])).map_err(failed)?;
                }
            }
            Ok(entries)
        })?;
        self.unneeded.extend(removed.into_iter().filter_map(|(_, spool)| spool).map(|name| places.spool.join(name)));
        Ok(())
    }

    /// Forgets files that were taken long ago, whose reports are gone and whose sources are no more: their fingerprints can answer nothing.
    pub(super) fn forget_files(&mut self, files: &[i64]) -> Result<(), QueueError> {
        self.alone(|this| {
            for file in files {
                this.connection
                    .prepare_cached(
                        "DELETE FROM file WHERE file = ?1 AND state = 2 AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.file = ?1)",
                    )
                    .and_then(|mut s| s.execute([file]))
                    .map_err(failed)?;
            }
            Ok(())
        })
    }
}
