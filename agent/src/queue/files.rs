//! What commands on files do: their reports are staged, committed, forgotten; a file that could not be converted is remembered.

use std::path::PathBuf;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};
use waybill_ipc::protocol::Event;

use super::codes::{FILE_COMMITTED, FILE_DONE, FILE_LET_GO, FILE_STAGED, NOWHERE, PENDING, STAGED};
use super::payload::Stored;
use super::transaction::{Sum, Transaction, Written, decided, failed, in_part, remove_made};
use super::writer::Staged;
use super::{
    Committed, DeliveryKey, Fingerprint, NewConversionError, NewEntry, NewFile, QueueError, ReadyDelivery, rank, schema, sql_path,
};

/// Files in the spool that belong to the reports of a file.
fn spooled(file: &NewFile) -> Vec<PathBuf> {
    file.entries.iter().filter_map(|entry| entry.payload.spooled()).map(Into::into).collect()
}

impl Transaction<'_> {
    pub(super) fn stage(&mut self, key: u64, file: NewFile) -> Result<(), QueueError> {
        let spooled = spooled(&file);
        let result = self.stage_whole(key, file);
        self.settle(spooled, result.is_ok());
        result
    }

    /// What lies in the spool goes again if nothing names it: with the transaction, or at once.
    fn settle(&mut self, spooled: Vec<PathBuf>, is_stored: bool) {
        if is_stored {
            self.made.extend(spooled);
        } else {
            remove_made(spooled.into_iter());
        }
    }

    fn stage_whole(&mut self, key: u64, mut file: NewFile) -> Result<(), QueueError> {
        self.alone(|this| {
            let known = this.staged_file(key);
            let own = known.map_or(0, |staged| staged.reports);
            this.make_room(&file, own)?;
            let row = match known {
                Some(staged) => staged.row,
                None => this.insert_file(&file, FILE_STAGED).map_err(failed)?,
            };
            for entry in &mut file.entries {
                this.insert_entry(row, file.priority, entry, STAGED).map_err(failed)?;
            }
            this.staged.push((key, Some(Staged { row, reports: own + file.entries.len() as u64 })));
            Ok(())
        })
    }

    fn staged_file(&self, key: u64) -> Option<Staged> {
        let pending = self.staged.iter().rev().find(|(staged, _)| *staged == key);
        pending.map_or_else(|| self.state.staging.get(&key).copied(), |(_, row)| *row)
    }

    pub(super) fn abandon(&mut self, key: u64) -> Result<(), QueueError> {
        let Some(Staged { row, .. }) = self.staged_file(key) else { return Ok(()) };
        self.alone(|this| {
            this.staged.push((key, None));
            let unbound = unbound_of_file(this.connection, row).map_err(failed)?;
            let dropped = drop_staged(this.connection, row).map_err(failed)?;
            for (destination, priority, sum) in dropped.counts.into_iter().chain(unbound) {
                this.add(destination, STAGED, priority, -sum);
            }
            let spooled = dropped.spooled.into_iter().map(|name| this.places.spool.join(name));
            this.unneeded.extend(spooled);
            Ok(())
        })
    }

    pub(super) fn commit_file(&mut self, file: NewFile) -> Result<Committed, QueueError> {
        let (staged, spooled) = (file.staged, spooled(&file));
        let result = self.commit_whole(file);
        self.settle(spooled, matches!(result, Ok(Committed::Queued { .. })));
        if let (Err(_) | Ok(Committed::AlreadyTaken { .. }), Some(key)) = (&result, staged) {
            self.abandon(key)?;
        }
        result
    }

    fn commit_whole(&mut self, file: NewFile) -> Result<Committed, QueueError> {
        // Room may have to be made, or what was staged to be let go: that is undone alone if the rest of it fails.
        if file.staged.is_some() || self.may_have_to_make_room(&file) {
            return self.alone(|this| this.commit_now(file).map_err(|(_, error)| error));
        }
        self.at_once(|this| this.commit_now(file))
    }

    fn commit_now(&mut self, mut file: NewFile) -> Result<Committed, (Written, QueueError)> {
        if !file.again
            && let Some(known) = self.find(&file.fingerprint).map_err(failed).map_err(decided)?
        {
            return Ok(Committed::AlreadyTaken { file: known });
        }
        let staged = file.staged.and_then(|key| self.staged_file(key));
        self.make_room(&file, staged.map_or(0, |staged| staged.reports)).map_err(decided)?;
        // What is taken again from the archive has no source file to be put away.
        let state = if file.again { FILE_DONE } else { FILE_COMMITTED };
        let row = match staged {
            Some(staged) => staged.row,
            None => self.insert_file(&file, state).map_err(in_part)?,
        };
        for at in 0..file.entries.len() {
            let (key, older) = self.insert_entry(row, file.priority, &file.entries[at], PENDING).map_err(in_part)?;
            let at_hand = file.entries[at].payload.at_hand.take();
            self.offer(&file, at, key, older, at_hand, staged.is_some());
        }
        let (first, reports) = self.release(row, &file, staged.is_some(), state).map_err(in_part)?;
        if let Some(key) = file.staged {
            self.staged.push((key, None));
        }
        let destinations = self.state.active.iter().filter_map(|key| self.state.names.get(key).cloned()).collect();
        self.events.push(Event::FileQueued {
            source: file.fingerprint.source.clone(),
            file: shown_name(&file.fingerprint),
            correlation_id: file.correlation_id.to_string(),
            reports,
            serial: first,
            destinations,
            whole: file.whole,
        });
        Ok(Committed::Queued { file: row, reports })
    }

    /// Hands a new entry to the doors of its destinations, to be sent as soon as it is durable.
    fn offer(&mut self, file: &NewFile, at: usize, entry: i64, older: Option<i64>, at_hand: Option<Bytes>, was_staged: bool) {
        let new = &file.entries[at];
        let held = self.state.held_lanes[usize::from(file.priority.clamp(1, 10))];
        let active = &self.state.active;
        // An older one of the same report may have to go first: the store knows.
        let (Some(body), None, false, false) = (at_hand, older, held, was_staged) else {
            self.missed.extend(active);
            return;
        };
        let queued_at_ms = self.now.as_millisecond();
        for &destination in active {
            // Nothing is made ready for a door that is closed.
            if !self.state.names.get(&destination).is_some_and(|name| self.doors.is_open(name)) {
                self.missed.push(destination);
                continue;
            }
            let key = DeliveryKey {
                entry,
                destination: self.state.names.get(&destination).cloned().unwrap_or_default(),
                report_id: new.report_id,
                correlation_id: file.correlation_id,
                serial: new.serial.clone(),
            };
            let rank = rank::rank(queued_at_ms, file.priority);
            let delivery = ReadyDelivery { key, rank, queued_at_ms, tries: 0, body: Ok(body.clone()) };
            self.ready.push((destination, delivery));
        }
    }

    /// Lets a file's reports go and counts it; its first serial number and how many reports it has.
    fn release(&mut self, row: i64, file: &NewFile, was_staged: bool, state: i64) -> rusqlite::Result<(String, u32)> {
        let mut reports = u32::try_from(file.entries.len()).unwrap_or(u32::MAX);
        let mut first = file.entries.first().map_or_else(String::new, |entry| entry.serial.clone());
        if was_staged {
            (first, reports) = self.connection.query_row(
                "SELECT (SELECT serial FROM entry WHERE file = ?1 ORDER BY entry LIMIT 1), (SELECT count(*) FROM entry WHERE file = ?1)",
                [row],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let mut staged = sums_of_file(self.connection, row, STAGED)?;
            staged.extend(unbound_of_file(self.connection, row)?);
            self.connection
                .prepare_cached(
                    "UPDATE delivery SET state = ?2 WHERE entry IN (SELECT entry FROM entry WHERE file = ?1) AND state = ?3",
                )?
                .execute(params![row, PENDING, STAGED])?;
            for (destination, priority, sum) in staged {
                self.move_count(destination, priority, STAGED, PENDING, sum);
                if destination != NOWHERE {
                    self.missed.push(destination);
                }
            }
            self.bind_staged(row)?;
            self.connection.execute("UPDATE file SET state = ?2, reports = ?3 WHERE file = ?1", params![row, state, reports])?;
        }
        let queued = self.queued.entry(file.fingerprint.source.clone()).or_default();
        queued.0 += u64::from(file.whole);
        queued.1 += u64::from(reports);
        Ok((first, reports))
    }

    /// The file with this very fingerprint, if it was taken.
    fn find(&self, fingerprint: &Fingerprint) -> rusqlite::Result<Option<i64>> {
        self.connection
            .prepare_cached(
                "SELECT file FROM file WHERE modified_ns = ?5 AND hash = ?6 AND path = ?1 AND source = ?2 AND file_id = ?3 AND size = ?4
                 AND state IN (1, 2) ORDER BY file LIMIT 1",
            )?
            .query_row(
                params![
                    sql_path(&fingerprint.path),
                    fingerprint.source,
                    fingerprint.file_id,
                    fingerprint.size,
                    fingerprint.modified_ns,
                    fingerprint.hash
                ],
                |row| row.get(0),
            )
            .optional()
    }

    fn insert_file(&self, file: &NewFile, state: i64) -> rusqlite::Result<i64> {
        let fingerprint = &file.fingerprint;
        let path = sql_path(&fingerprint.path);
        self.connection
            .prepare_cached(
                "INSERT INTO file (source, path, name, file_id, size, modified_ns, hash, correlation, taken_at, reports, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .insert(params![
                fingerprint.source,
                path,
                schema::file_name(&path),
                fingerprint.file_id,
                fingerprint.size,
                fingerprint.modified_ns,
                fingerprint.hash,
                file.correlation_id.as_bytes(),
                self.now.as_millisecond(),
                file.entries.len(),
                state
            ])
    }

    /// The entry's number, and that of the newest older one of the same report.
    fn insert_entry(&mut self, file: i64, priority: u8, entry: &NewEntry, state: i64) -> rusqlite::Result<(i64, Option<i64>)> {
        let queued_at = self.now.as_millisecond();
        let (spool, payload) = match &entry.payload.stored {
            Stored::Inline(bytes) => (None, Some(bytes)),
            Stored::Spool(path) => (path.file_name().and_then(|name| name.to_str()), None),
        };
        let older: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT entry FROM entry INDEXED BY entry_report WHERE substr(report_id, 1, 4) = substr(?1, 1, 4)
                 AND substr(report_id, 13, 4) = substr(?1, 13, 4) AND report_id = ?1 ORDER BY entry DESC LIMIT 1",
            )?
            .query_row([entry.report_id.as_bytes()], |row| row.get(0))
            .optional()?;
        let key = self
            .connection
            .prepare_cached(
                "INSERT INTO entry (file, report_id, serial, part, result, priority, queued_at, older, hash, size, stored, spool, payload,
                 unbound) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .insert(params![
                file,
                entry.report_id.as_bytes(),
                entry.serial,
                entry.part,
                entry.result,
                priority,
                queued_at,
                older,
                entry.payload.hash,
                entry.payload.size,
                entry.payload.kept,
                spool,
                payload,
                self.state.active.is_empty().then_some(1)
            ])?;
        if self.state.active.is_empty() {
            self.add(NOWHERE, state, priority, Sum::one(i64::try_from(entry.payload.kept).unwrap_or(i64::MAX)));
        }
        for destination in self.state.active.clone() {
            self.insert_delivery(key, destination, state, priority, queued_at, entry.payload.kept)?;
        }
        Ok((key, older))
    }

    /// Binds an entry to a destination.
    pub(super) fn insert_delivery(
        &mut self,
        entry: i64,
        destination: i64,
        state: i64,
        priority: u8,
        queued_at: i64,
        bytes: u64,
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT INTO delivery (entry, destination, state, priority, rank) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![entry, destination, state, priority, rank::rank(queued_at, priority)])?;
        self.add(destination, state, priority, Sum::one(i64::try_from(bytes).unwrap_or(i64::MAX)));
        Ok(())
    }

    pub(super) fn conversion_error(&mut self, error: &NewConversionError) -> Result<(), QueueError> {
        self.alone(|this| {
            let report = serde_json::to_string(&error.error).map_err(|error| QueueError::Write(error.to_string()))?;
            let insert = |this: &Self| -> rusqlite::Result<()> {
                this.connection
                    .prepare_cached(
                        "INSERT INTO conversion_error (source, path, moved_to, at, correlation, report) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute(params![
                        error.source,
                        sql_path(&error.path),
                        error.moved_to.as_deref().map(sql_path),
                        this.now.as_millisecond(),
                        error.correlation_id.as_bytes(),
                        report
                    ])?;
                this.connection
                    .prepare_cached("INSERT INTO source (name, errors) VALUES (?1, 1) ON CONFLICT DO UPDATE SET errors = errors + 1")?
                    .execute([&error.source])?;
                Ok(())
            };
            insert(this).map_err(failed)?;
            this.events.push(Event::FileBroken {
                source: error.source.clone(),
                file: error.path.file_name().map_or_else(String::new, |name| waybill_shared::text::printable(&name.to_string_lossy(), 255)),
                correlation_id: error.correlation_id.to_string(),
                error: error.error.clone(),
                moved_to: error.moved_to.as_deref().map(waybill_shared::text::path),
            });
            Ok(())
        })
    }

    /// The file of a conversion error is taken again if it comes again, also those of its units that were queued.
    pub(super) fn let_file_go(&mut self, error: i64) -> Result<(), QueueError> {
        self.connection
            .prepare_cached(
                "UPDATE file SET state = ?2 WHERE correlation = (SELECT correlation FROM conversion_error WHERE error = ?1) AND state IN (1, 2)",
            )
            .and_then(|mut statement| statement.execute(params![error, FILE_LET_GO]))
            .map(|_| ())
            .map_err(failed)
    }

    /// It is in no list any more; the counts of its source stay.
    pub(super) fn forget_conversion_error(&mut self, error: i64) -> Result<(), QueueError> {
        self.connection
            .prepare_cached("DELETE FROM conversion_error WHERE error = ?1")
            .and_then(|mut statement| statement.execute([error]))
            .map(|_| ())
            .map_err(failed)
    }

    pub(super) fn file_done(&mut self, file: i64, place: Option<&str>) -> Result<(), QueueError> {
        self.connection
            .prepare_cached("UPDATE file SET state = ?2, place = ?3 WHERE file = ?1 AND state IN (1, 2)")
            .and_then(|mut statement| statement.execute(params![file, FILE_DONE, place]))
            .map(|_| ())
            .map_err(failed)
    }
}

/// What was removed with a staged file.
pub(super) struct Dropped {
    /// Deliveries by destination and priority.
    pub(super) counts: Vec<(i64, u8, Sum)>,
    /// Names of spool files that nothing names any more.
    pub(super) spooled: Vec<String>,
}

fn sums_of_file(connection: &Connection, file: i64, state: i64) -> rusqlite::Result<Vec<(i64, u8, Sum)>> {
    connection
        .prepare_cached(
            "SELECT d.destination, d.priority, count(*), sum(e.stored) FROM entry e JOIN delivery d ON d.entry = e.entry
             WHERE e.file = ?1 AND d.state = ?2 GROUP BY d.destination, d.priority",
        )?
        .query_map([file, state], |row| Ok((row.get(0)?, row.get(1)?, Sum { count: row.get(2)?, bytes: row.get(3)? })))?
        .collect()
}

/// Reports of a file that go nowhere, in the shape of [`sums_of_file`].
pub(super) fn unbound_of_file(connection: &Connection, file: i64) -> rusqlite::Result<Vec<(i64, u8, Sum)>> {
    connection
        .prepare_cached("SELECT priority, count(*), sum(stored) FROM entry WHERE file = ?1 AND unbound = 1 GROUP BY priority")?
        .query_map([file], |row| Ok((NOWHERE, row.get(0)?, Sum { count: row.get(1)?, bytes: row.get(2)? })))?
        .collect()
}

/// Removes a file that was staged and never committed, with its entries and deliveries.
pub(super) fn drop_staged(connection: &Connection, file: i64) -> rusqlite::Result<Dropped> {
    let counts = sums_of_file(connection, file, STAGED)?;
    let spooled = connection
        .prepare_cached("SELECT spool FROM entry WHERE file = ?1 AND spool IS NOT NULL")?
        .query_map([file], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    connection.execute("DELETE FROM delivery WHERE entry IN (SELECT entry FROM entry WHERE file = ?1)", [file])?;
    connection.execute("DELETE FROM entry WHERE file = ?1", [file])?;
    connection.execute("DELETE FROM file WHERE file = ?1 AND state = 0", [file])?;
    Ok(Dropped { counts, spooled })
}

fn shown_name(fingerprint: &Fingerprint) -> String {
    let name = fingerprint.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    waybill_shared::text::printable(&name, 255)
}
