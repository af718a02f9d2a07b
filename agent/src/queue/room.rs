//! Room for new reports, made inside the transaction that stores them: nothing comes in that the limits do not allow.

use rusqlite::{OptionalExtension as _, params};
use waybill_ipc::protocol::{DeliveryState, Event};
use waybill_shared::config::WhenFull;
use waybill_shared::fs::{atomic, folder};
use waybill_shared::id::ReportId;
use waybill_shared::text::file_name_component;

use super::codes::{EVICTED, FAILED, PENDING};
use super::limits::{Filled, Full};
use super::transaction::{Sum, Transaction, failed};
use super::{NewFile, QueueError, payload};

/// Part of the limit at which a destination that is not required makes room, in tenths.
const NOT_REQUIRED_TENTHS: u64 = 8;

impl Transaction<'_> {
    /// Refuses more than may wait, or makes room where the configuration says so. A file of more reports than may wait goes alone:
    /// `own` of them are staged already.
    pub(super) fn make_room(&mut self, file: &NewFile, own: u64) -> Result<(), QueueError> {
        let new = Filled { entries: file.entries.len() as u64, bytes: file.entries.iter().map(|entry| entry.payload.kept).sum() };
        for destination in self.state.filling().to_vec() {
            self.make_room_for(destination, new, own)?;
        }
        Ok(())
    }

    /// True if something may have to be written before there is room.
    pub(super) fn may_have_to_make_room(&self, file: &NewFile) -> bool {
        let evicts = self.state.limits.when_full == WhenFull::OldestFirst || !self.state.optional.is_empty();
        evicts && {
            let new = file.entries.len() as u64;
            let limit = self.state.limits.entries.saturating_mul(NOT_REQUIRED_TENTHS) / 10;
            self.state.active.iter().any(|&destination| self.waiting(destination).entries + new > limit)
        }
    }

    fn make_room_for(&mut self, destination: i64, new: Filled, own: u64) -> Result<(), QueueError> {
        let limits = self.state.limits.clone();
        let optional = self.state.optional.contains(&destination);
        loop {
            let waiting = self.waiting(destination);
            let others = waiting.entries.saturating_sub(own);
            let with = Filled { entries: waiting.entries + new.entries, bytes: waiting.bytes + new.bytes };
            let too_many = with.entries > limits.entries.saturating_mul(NOT_REQUIRED_TENTHS) / 10;
            if optional && others > 0 && too_many && self.evict_oldest(destination)? {
                continue;
            }
            let passed = limits.passed(with, self.state.disk);
            let by_disk = passed == Some(Full::Disk);
            let oldest_first = limits.when_full == WhenFull::OldestFirst;
            let closed = self.is_closed() && !oldest_first;
            // A file alone is let in whatever its size: it would never come in otherwise. Not if the disk is full.
            if !by_disk && (others == 0 || (passed.is_none() && !closed)) {
                return Ok(());
            }
            // Room is made for the count only: what was written to `evicted` takes as much of the disk.
            if oldest_first && passed == Some(Full::Entries) && self.evict_oldest(destination)? {
                continue;
            }
            let why = passed.unwrap_or(Full::Entries);
            self.refused = Some(why);
            return Err(QueueError::Full { destination: self.name_of(destination), why, waiting, limits, disk: self.state.disk });
        }
    }

    /// Writes the delivery that has waited longest into `evicted/`, durably, and lets it go; false if none waits.
    fn evict_oldest(&mut self, destination: i64) -> Result<bool, QueueError> {
        type Oldest = (i64, u8, [u8; 16], String, u64, Vec<u8>, u64, Option<String>, Option<Vec<u8>>);
        let oldest: Option<Oldest> = self
            .connection
            .prepare_cached(
                "SELECT d.entry, d.priority, e.report_id, e.serial, e.size, e.hash, e.stored, e.spool, e.payload
                 FROM delivery d JOIN entry e ON e.entry = d.entry
                 WHERE d.destination = ?1 AND d.state = 1 ORDER BY d.entry LIMIT 1",
            )
            .and_then(|mut statement| {
                statement
                    .query_row([destination], |row| {
                        Ok((
                            row.get(0)?,
                            row.get(1)?,
                            row.get(2)?,
                            row.get(3)?,
                            row.get(4)?,
                            row.get(5)?,
                            row.get(6)?,
                            row.get(7)?,
                            row.get(8)?,
                        ))
                    })
                    .optional()
            })
            .map_err(failed)?;
        let Some((entry, priority, report_id, serial, size, hash, kept, spool, inline)) = oldest else { return Ok(false) };
        let bytes = match payload::read(inline.as_deref(), spool.as_deref(), size, &hash, &self.places.spool) {
            Ok(bytes) => bytes,
            // It can neither be sent nor put aside now: it fails, for a person to see, who may take it up again. That makes room too.
            Err(error @ (QueueError::Damaged(_) | QueueError::Read(_))) => {
                let report = error.report();
                self.finish_delivery(entry, destination, FAILED, Some(report.code.as_str()), &report.message).map_err(failed)?;
                let sum = Sum::one(i64::try_from(kept).unwrap_or(i64::MAX));
                self.move_count(destination, priority, PENDING, FAILED, sum);
                self.stale.push(destination);
                self.events.push(Event::Changed {
                    destination: self.name_of(destination),
                    from: DeliveryState::Pending,
                    to: DeliveryState::Failed,
                    count: 1,
                });
                tracing::error!(event = "report_damaged", entry, destination = %self.name_of(destination), error = %report.message, "a report whose bytes are lost failed");
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        let report_id = ReportId::from_bytes(report_id);
        let name = self.name_of(destination);
        let evicted = self.places.evicted.join(&name);
        // The entry's number keeps the revisions of one report apart.
        let path = evicted.join(format!("{}_{report_id}_{entry}.json", file_name_component(&serial, 100)));
        let written =
            folder::create(&evicted).and_then(|()| atomic::replace_by(&path, &bytes, atomic::Access::Usual, &entry.to_string()));
        written.map_err(|error| QueueError::Write(format!("{}: {error}", path.display())))?;
        self.made.push(path.clone());
        self.finish_delivery(entry, destination, EVICTED, None, &path.to_string_lossy()).map_err(failed)?;
        self.move_count(destination, priority, PENDING, EVICTED, Sum::one(i64::try_from(kept).unwrap_or(i64::MAX)));
        self.drop_payload(entry, spool.as_deref()).map_err(failed)?;
        // It may lie at hand, to be sent next.
        self.stale.push(destination);
        tracing::warn!(event = "report_evicted", destination = %name, %report_id, path = %path.display(), "the queue is full: a report was put aside");
        let path = waybill_shared::text::path(&path);
        self.events.push(Event::Evicted { destination: name, report_id: report_id.to_string(), serial, path });
        Ok(true)
    }

    /// The bytes of an entry that lies in `evicted/` and that nobody else needs are not kept twice.
    fn drop_payload(&mut self, entry: i64, spool: Option<&str>) -> rusqlite::Result<()> {
        let dropped = self
            .connection
            .prepare_cached(
                "UPDATE entry SET spool = NULL, payload = NULL WHERE entry = ?1
                 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.entry = ?1 AND d.state <> ?2)",
            )?
            .execute(params![entry, EVICTED])?;
        if let (1, Some(name)) = (dropped, spool) {
            self.unneeded.push(self.places.spool.join(name));
        }
        Ok(())
    }
}
