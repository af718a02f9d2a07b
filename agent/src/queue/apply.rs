//! What each command does to the tables. Each runs in a savepoint of its own: one that fails takes no other with it.

use std::collections::HashMap;
use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use waybill_ipc::protocol::Event;
use waybill_shared::config::WhenFull;
use waybill_shared::fs::atomic;
use waybill_shared::id::ReportId;
use waybill_shared::text::file_name_component;

use super::codes::{EVICTED, FAILED, FILE_COMMITTED, FILE_DONE, FILE_STAGED, PENDING, SENT, STAGED};
use super::payload::{self, Stored};
use super::writer::{Setup, Staged, Staging};
use super::{Committed, DeliveryKey, Fingerprint, NewConversionError, NewEntry, NewFile, Outcome, QueueError, rank, sql_path};

/// What the writer knows without asking the tables. It follows the commits, never runs ahead of them.
pub(super) struct State {
    /// Deliveries by destination key, state and priority.
    pub(super) counters: HashMap<(i64, i64, u8), i64>,
    /// Names of all destinations ever seen, by key.
    pub(super) names: HashMap<i64, String>,
    /// Keys of the destinations that new reports go to, in the order of the configuration.
    pub(super) active: Vec<i64>,
    /// Keys of all configured destinations, the disabled ones included.
    pub(super) configured: Vec<i64>,
    /// Most reports that may wait for one destination.
    pub(super) max_entries: u64,
    /// What happens when as many wait.
    pub(super) when_full: WhenFull,
    /// Files that are being staged.
    pub(super) staging: Staging,
}

/// The part of the state that a configuration decides.
type KeptRoutes = (Vec<i64>, Vec<i64>, HashMap<i64, String>, u64, WhenFull);

impl State {
    /// Deliveries of a destination in one state.
    pub(super) fn count(&self, destination: i64, state: i64) -> i64 {
        (1..=10).filter_map(|priority| self.counters.get(&(destination, state, priority))).sum()
    }

    /// Most deliveries that wait for any one destination.
    pub(super) fn waiting(&self) -> (i64, u64) {
        let most = self.active.iter().map(|&key| (self.count(key, PENDING), key)).max();
        most.map_or((0, 0), |(count, key)| (key, u64::try_from(count).unwrap_or(0)))
    }
}

/// A batch that is being applied.
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
    setup_places: &'a super::Places,
    gate: &'a super::Gate,
    pub(super) state: &'a mut State,
    pub(super) now: Timestamp,
    pub(super) deltas: HashMap<(i64, i64, u8), i64>,
    pub(super) events: Vec<Event>,
    /// The routes as they were before this batch, if it changed them.
    routes_before: Option<KeptRoutes>,
    /// What removed destinations let go of, told after the new routes.
    pub(super) let_go: Vec<Event>,
    staged: Vec<(u64, Option<Staged>)>,
    /// Something did not fit.
    refused: bool,
    /// Spool files that no entry names once this is committed.
    unneeded: Vec<PathBuf>,
}

pub(super) fn failed(error: rusqlite::Error) -> QueueError {
    QueueError::Write(error.to_string())
}

impl<'a> Transaction<'a> {
    pub(super) fn begin(setup: &'a Setup, state: &'a mut State) -> Result<Self, QueueError> {
        setup.connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        Ok(Self {
            connection: &setup.connection,
            setup_places: &setup.places,
            gate: &setup.gate,
            state,
            now: Timestamp::now(),
            deltas: HashMap::new(),
            events: Vec::new(),
            routes_before: None,
            let_go: Vec::new(),
            staged: Vec::new(),
            refused: false,
            unneeded: Vec::new(),
        })
    }

    /// Commits with fsync. On an error nothing of the batch was stored.
    pub(super) fn finish(mut self) -> Result<Vec<Event>, QueueError> {
        let committed = self.write_counters().and_then(|()| self.connection.execute_batch("COMMIT")).map_err(failed);
        if let Err(error) = committed {
            if let Err(error) = self.connection.execute_batch("ROLLBACK") {
                tracing::debug!(%error, "the store had rolled back by itself");
            }
            self.put_routes_back();
            return Err(error);
        }
        for (key, delta) in self.deltas.drain() {
            *self.state.counters.entry(key).or_default() += delta;
        }
        for (key, file) in self.staged.drain(..) {
            match file {
                Some(file) => self.state.staging.insert(key, file),
                None => self.state.staging.remove(&key),
            };
        }
        for path in self.unneeded.drain(..) {
            // What stays is removed at the next start.
            let _swept_later = std::fs::remove_file(path);
        }
        // At the first refusal the gate closes, so that files are not converted in vain until there is room.
        let max_entries = self.state.max_entries;
        let waiting = if self.refused { max_entries } else { self.state.waiting().1 };
        if let Some(full) = self.gate.set(waiting, max_entries) {
            self.events.push(Event::QueueFull { full });
        }
        Ok(self.events)
    }

    /// Remembers the routes as they were when the batch began.
    pub(super) fn keep_routes(&mut self) {
        let state = &*self.state;
        self.routes_before.get_or_insert_with(|| {
            (state.active.clone(), state.configured.clone(), state.names.clone(), state.max_entries, state.when_full)
        });
    }

    /// The routes as they were when the batch began: nothing of it was stored.
    pub(super) fn put_routes_back(&mut self) {
        if let Some((active, configured, names, max_entries, when_full)) = self.routes_before.take() {
            let state = &mut *self.state;
            (state.active, state.configured, state.names) = (active, configured, names);
            (state.max_entries, state.when_full) = (max_entries, when_full);
        }
    }

    fn write_counters(&self) -> rusqlite::Result<()> {
        let mut upsert = self.connection.prepare_cached(
            "INSERT INTO counter (destination, state, priority, count) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        for (&(destination, state, priority), &delta) in self.deltas.iter().filter(|(_, delta)| **delta != 0) {
            upsert.execute(params![destination, state, priority, delta])?;
        }
        Ok(())
    }

    /// Runs one command so that a failure undoes it alone: its rows, its counts and its events.
    pub(super) fn alone<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, QueueError>) -> Result<T, QueueError> {
        self.connection.prepare_cached("SAVEPOINT command").and_then(|mut s| s.execute([])).map_err(failed)?;
        let (deltas, events, staged) = (self.deltas.clone(), self.events.len(), self.staged.len());
        let result = work(self);
        let end = if result.is_ok() {
            "RELEASE command"
        } else {
            self.deltas = deltas;
            self.events.truncate(events);
            self.staged.truncate(staged);
            "ROLLBACK TO command"
        };
        self.connection.prepare_cached(end).and_then(|mut s| s.execute([])).map_err(failed)?;
        result
    }

    pub(super) fn move_count(&mut self, destination: i64, priority: u8, from: i64, to: i64) {
        *self.deltas.entry((destination, from, priority)).or_default() -= 1;
        *self.deltas.entry((destination, to, priority)).or_default() += 1;
    }

    /// Deliveries of a destination in one state, with what this batch did so far.
    pub(super) fn count(&self, destination: i64, state: i64) -> i64 {
        let delta: i64 = (1..=10).filter_map(|priority| self.deltas.get(&(destination, state, priority))).sum();
        self.state.count(destination, state) + delta
    }

    /// Writes something that changes nothing, so that the commit reaches the disk.
    pub(super) fn probe(&mut self) -> Result<(), QueueError> {
        let known: i64 = self.connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
        self.connection.pragma_update(None, "application_id", known).map_err(failed)
    }

    pub(super) fn stage(&mut self, key: u64, file: NewFile) -> Result<(), QueueError> {
        self.alone(|this| {
            let known = this.staged_file(key);
            let own = known.map_or(0, |staged| staged.reports);
            this.make_room(file.entries.len() as u64, own)?;
            let row = match known {
                Some(staged) => staged.row,
                None => this.insert_file(&file, FILE_STAGED).map_err(failed)?,
            };
            for entry in &file.entries {
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
            let spooled = drop_staged(this.connection, row).map_err(failed)?;
            for (destination, priority, count) in spooled.counts {
                *this.deltas.entry((destination, STAGED, priority)).or_default() -= count;
            }
            Ok(())
        })
    }

    pub(super) fn commit_file(&mut self, file: NewFile) -> Result<Committed, QueueError> {
        let staged = file.staged;
        let result = self.commit_whole(file);
        if let (Err(_) | Ok(Committed::AlreadyTaken { .. }), Some(key)) = (&result, staged) {
            self.abandon(key)?;
        }
        result
    }

    fn commit_whole(&mut self, file: NewFile) -> Result<Committed, QueueError> {
        self.alone(|this| {
            if !file.reconverted
                && let Some(known) = this.find(&file.fingerprint).map_err(failed)?
            {
                return Ok(Committed::AlreadyTaken { file: known });
            }
            let staged = file.staged.and_then(|key| this.staged_file(key));
            this.make_room(file.entries.len() as u64, staged.map_or(0, |staged| staged.reports))?;
            let row = match staged {
                Some(staged) => staged.row,
                None => this.insert_file(&file, taken_state(&file)).map_err(failed)?,
            };
            for entry in &file.entries {
                this.insert_entry(row, file.priority, entry, PENDING).map_err(failed)?;
            }
            let (first, reports) = this.release(row, &file, staged.is_some()).map_err(failed)?;
            if let Some(key) = file.staged {
                this.staged.push((key, None));
            }
            let destinations = this.state.active.iter().filter_map(|key| this.state.names.get(key).cloned()).collect();
            this.events.push(Event::FileQueued {
                source: file.fingerprint.source.clone(),
                file: file_name(&file.fingerprint),
                correlation_id: file.correlation_id.to_string(),
                reports,
                serial: first,
                destinations,
                whole: file.whole,
            });
            Ok(Committed::Queued { file: row, reports })
        })
    }

    /// Lets a file's reports go and counts it; its first serial number and how many reports it has.
    fn release(&mut self, row: i64, file: &NewFile, was_staged: bool) -> rusqlite::Result<(String, u32)> {
        let mut reports = u32::try_from(file.entries.len()).unwrap_or(u32::MAX);
        let mut first = file.entries.first().map_or_else(String::new, |entry| entry.serial.clone());
        if was_staged {
            (first, reports) = self.connection.query_row(
                "SELECT (SELECT serial FROM entry WHERE file = ?1 ORDER BY entry LIMIT 1), (SELECT count(*) FROM entry WHERE file = ?1)",
                [row],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let mut staged = self.connection.prepare_cached(
                "UPDATE delivery SET state = ?2 WHERE entry IN (SELECT entry FROM entry WHERE file = ?1) AND state = ?3 RETURNING destination",
            )?;
            let destinations: Vec<i64> =
                staged.query_map(params![row, PENDING, STAGED], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for destination in destinations {
                self.move_count(destination, file.priority, STAGED, PENDING);
            }
            self.bind_staged(row)?;
            self.connection
                .execute("UPDATE file SET state = ?2, reports = ?3 WHERE file = ?1", params![row, taken_state(file), reports])?;
        }
        self.connection
            .prepare_cached(
                "INSERT INTO source (name, queued, reports) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET queued = queued + excluded.queued, reports = reports + excluded.reports",
            )?
            .execute(params![file.fingerprint.source, u32::from(file.whole), reports])?;
        Ok((first, reports))
    }

    /// The file with this very fingerprint, if it was taken.
    fn find(&self, fingerprint: &Fingerprint) -> rusqlite::Result<Option<i64>> {
        self.connection
            .prepare_cached(
                "SELECT file FROM file WHERE path = ?1 AND source = ?2 AND file_id = ?3 AND size = ?4 AND modified_ns = ?5
                 AND hash = ?6 AND state > 0 ORDER BY file LIMIT 1",
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
        self.connection
            .prepare_cached(
                "INSERT INTO file (source, path, file_id, size, modified_ns, hash, correlation, taken_at, reports, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .insert(params![
                fingerprint.source,
                sql_path(&fingerprint.path),
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

    fn insert_entry(&mut self, file: i64, priority: u8, entry: &NewEntry, state: i64) -> rusqlite::Result<()> {
        let queued_at = self.now.as_millisecond();
        let (spool, payload) = match &entry.payload.stored {
            Stored::Inline(bytes) => (None, Some(bytes)),
            Stored::Spool(name) => (Some(name), None),
        };
        let key = self
            .connection
            .prepare_cached(
                "INSERT INTO entry (file, report_id, serial, part, result, priority, queued_at, hash, size, spool, payload)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .insert(params![
                file,
                entry.report_id.as_bytes(),
                entry.serial,
                entry.part,
                entry.result,
                priority,
                queued_at,
                entry.payload.hash,
                entry.payload.size,
                spool,
                payload
            ])?;
        let rank = rank::rank(queued_at, priority);
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO delivery (entry, destination, state, report_id, priority, rank) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for &destination in &self.state.active {
            insert.execute(params![key, destination, state, entry.report_id.as_bytes(), priority, rank])?;
            *self.deltas.entry((destination, state, priority)).or_default() += 1;
        }
        Ok(())
    }

    /// Refuses more than may wait, or makes room where the configuration says so. A file of more reports than may wait goes alone:
    /// `own` of them are staged already.
    fn make_room(&mut self, reports: u64, own: u64) -> Result<(), QueueError> {
        for destination in self.state.active.clone() {
            loop {
                let staged = self.count(destination, STAGED);
                let waiting = u64::try_from(self.count(destination, PENDING) + staged).unwrap_or(0).saturating_sub(own);
                let closed = self.gate.is_closed() && self.state.when_full != WhenFull::OldestFirst;
                if waiting == 0 || (!closed && waiting.saturating_add(own).saturating_add(reports) <= self.state.max_entries) {
                    break;
                }
                if self.state.when_full != WhenFull::OldestFirst || !self.evict_oldest(destination)? {
                    self.refused = true;
                    let name = self.state.names.get(&destination).cloned().unwrap_or_default();
                    return Err(QueueError::Full { destination: name, waiting, limit: self.state.max_entries });
                }
            }
        }
        Ok(())
    }

    /// Writes the delivery that would go next into `evicted/`, durably, and lets it go; false if none waits.
    fn evict_oldest(&mut self, destination: i64) -> Result<bool, QueueError> {
        let oldest = self
            .connection
            .prepare_cached(
                "SELECT d.entry, d.priority, e.report_id, e.serial, e.size, e.hash, e.spool, e.payload
                 FROM delivery d JOIN entry e ON e.entry = d.entry
                 WHERE d.destination = ?1 AND d.state = 1 ORDER BY d.entry LIMIT 1",
            )
            .and_then(|mut statement| {
                statement
                    .query_row([destination], |row| {
                        Ok((
                            row.get::<_, i64>(0)?,
                            row.get::<_, u8>(1)?,
                            row.get::<_, [u8; 16]>(2)?,
                            row.get::<_, String>(3)?,
                            row.get::<_, u64>(4)?,
                            row.get::<_, Vec<u8>>(5)?,
                            row.get::<_, Option<String>>(6)?,
                            row.get::<_, Option<Vec<u8>>>(7)?,
                        ))
                    })
                    .optional()
            })
            .map_err(failed)?;
        let Some((entry, priority, report_id, serial, size, hash, spool, inline)) = oldest else { return Ok(false) };
        let compressed = match (inline, spool) {
            (Some(bytes), _) => bytes,
            (None, Some(name)) => {
                std::fs::read(self.setup_places.spool.join(name)).map_err(|e| QueueError::Damaged(e.to_string()))?
            }
            (None, None) => return Err(QueueError::Damaged("its bytes are gone".to_owned())),
        };
        let bytes = payload::restore(&compressed, size, &hash)?;
        let report_id = ReportId::from_bytes(report_id);
        let name = self.state.names.get(&destination).cloned().unwrap_or_default();
        let folder = self.setup_places.evicted.join(&name);
        // The entry's number keeps the revisions of one report apart.
        let path = folder.join(format!("{}_{report_id}_{entry}.json", file_name_component(&serial, 100)));
        let written = std::fs::create_dir_all(&folder).and_then(|()| atomic::replace(&path, &bytes));
        written.map_err(|error| QueueError::Write(format!("{}: {error}", path.display())))?;
        self.finish_delivery(entry, destination, EVICTED, &path.to_string_lossy()).map_err(failed)?;
        self.move_count(destination, priority, PENDING, EVICTED);
        tracing::warn!(event = "report_evicted", destination = %name, %report_id, path = %path.display(), "the queue is full: a report was put aside");
        let path = waybill_shared::text::path(&path);
        self.events.push(Event::Evicted { destination: name, report_id: report_id.to_string(), serial, path });
        Ok(true)
    }

    /// Ends a delivery that waits; false if it waits no more.
    fn finish_delivery(&self, entry: i64, destination: i64, state: i64, note: &str) -> rusqlite::Result<bool> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE delivery SET state = ?3, finished_at = ?4, note = ?5, due = 0 WHERE entry = ?1 AND destination = ?2 AND state = 1",
            )?
            .execute(params![entry, destination, state, self.now.as_millisecond(), note])?;
        Ok(changed == 1)
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

    pub(super) fn file_done(&mut self, file: i64, place: Option<&str>) -> Result<(), QueueError> {
        self.connection
            .prepare_cached("UPDATE file SET state = ?2, place = ?3 WHERE file = ?1 AND state > 0")
            .and_then(|mut statement| statement.execute(params![file, FILE_DONE, place]))
            .map(|_| ())
            .map_err(failed)
    }

    pub(super) fn outcome(&mut self, key: &DeliveryKey, outcome: Outcome) -> Result<(), QueueError> {
        self.alone(|this| {
            let destination = this.key_of(&key.destination)?;
            let waits = this
                .connection
                .prepare_cached("SELECT priority, attempts, mark FROM delivery WHERE entry = ?1 AND destination = ?2 AND state = 1")
                .and_then(|mut statement| {
                    statement
                        .query_row(params![key.entry, destination], |row| {
                            Ok((row.get::<_, u8>(0)?, row.get::<_, u32>(1)?, row.get::<_, i64>(2)?))
                        })
                        .optional()
                })
                .map_err(failed)?;
            // Evicted or discarded while it was on its way: what became of it is told already.
            let Some((priority, attempts, mark)) = waits else { return Ok(()) };
            match outcome {
                Outcome::Sent { receipt, address } => this.sent(key, destination, priority, receipt, &address),
                Outcome::Failed { error } => this.failed(key, destination, priority, error),
                Outcome::Retry { due, charge, max_retries, error } => {
                    let accepted = this.count(destination, SENT);
                    // The first try sets the mark; a later one counts if the destination accepted another report since.
                    let attempts = attempts + u32::from(charge && mark >= 0 && accepted > mark);
                    if charge && attempts > max_retries {
                        return this.failed(key, destination, priority, error);
                    }
                    this.connection
                        .prepare_cached(
                            "UPDATE delivery SET due = ?3, attempts = ?4, mark = ?5, note = ?6, tries = tries + 1 WHERE entry = ?1 AND destination = ?2",
                        )
                        .and_then(|mut statement| {
                            let due = due.as_millisecond().max(1);
                            let mark = if charge { accepted } else { mark };
                            statement.execute(params![key.entry, destination, due, attempts, mark, error.message])
                        })
                        .map_err(failed)?;
                    this.events.push(Event::Retry {
                        destination: key.destination.clone(),
                        report_id: key.report_id.to_string(),
                        correlation_id: key.correlation_id.to_string(),
                        serial: key.serial.clone(),
                        error,
                        due_at_ms: Some(due.as_millisecond()),
                    });
                    Ok(())
                }
            }
        })
    }

    fn sent(
        &mut self,
        key: &DeliveryKey,
        destination: i64,
        priority: u8,
        receipt: String,
        address: &str,
    ) -> Result<(), QueueError> {
        self.finish_delivery(key.entry, destination, SENT, &receipt).map_err(failed)?;
        self.move_count(destination, priority, PENDING, SENT);
        self.connection
            .prepare_cached("UPDATE destination SET accepted_by = ?2 WHERE destination = ?1 AND accepted_by IS NOT ?2")
            .and_then(|mut statement| statement.execute(params![destination, address]))
            .map_err(failed)?;
        self.events.push(Event::Sent {
            destination: key.destination.clone(),
            report_id: key.report_id.to_string(),
            correlation_id: key.correlation_id.to_string(),
            serial: key.serial.clone(),
            receipt,
        });
        Ok(())
    }

    fn failed(
        &mut self,
        key: &DeliveryKey,
        destination: i64,
        priority: u8,
        error: waybill_shared::error::ErrorReport,
    ) -> Result<(), QueueError> {
        self.finish_delivery(key.entry, destination, FAILED, &error.message).map_err(failed)?;
        self.move_count(destination, priority, PENDING, FAILED);
        self.events.push(Event::Failed {
            destination: key.destination.clone(),
            report_id: key.report_id.to_string(),
            correlation_id: key.correlation_id.to_string(),
            serial: key.serial.clone(),
            error,
        });
        Ok(())
    }

    pub(super) fn promote(&mut self, destination: &str, by: Timestamp) -> Result<(), QueueError> {
        let destination = self.key_of(destination)?;
        self.connection
            .prepare_cached("UPDATE delivery SET due = 0 WHERE destination = ?1 AND state = 1 AND due > 0 AND due <= ?2")
            .and_then(|mut statement| statement.execute(params![destination, by.as_millisecond()]))
            .map(|_| ())
            .map_err(failed)
    }

    /// Removes entries all of whose deliveries are over and were over before then; a limited number, so that nobody waits.
    pub(super) fn purge(&mut self, before: Timestamp) -> Result<(), QueueError> {
        const AT_ONCE: u32 = 500;
        let places = self.setup_places;
        let removed = self.alone(|this| {
            let mut old = this
                .connection
                .prepare_cached(
                    "SELECT DISTINCT e.entry, e.spool FROM delivery d JOIN entry e ON e.entry = d.entry
                     WHERE d.state = 3 AND d.finished_at < ?1
                     AND NOT EXISTS (SELECT 1 FROM delivery o WHERE o.entry = d.entry AND (o.state NOT IN (3, 5, 6) OR o.finished_at >= ?1))
                     LIMIT ?2",
                )
                .map_err(failed)?;
            let entries: Vec<(i64, Option<String>)> = old
                .query_map(params![before.as_millisecond(), AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))
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

    fn key_of(&self, destination: &str) -> Result<i64, QueueError> {
        let found = self.state.names.iter().find(|(_, name)| name.eq_ignore_ascii_case(destination));
        found.map(|(key, _)| *key).ok_or_else(|| QueueError::Write(format!("no destination {destination:?}")))
    }
}

/// What was removed with a staged file.
pub(super) struct Dropped {
    /// Deliveries by destination and priority.
    pub(super) counts: Vec<(i64, u8, i64)>,
}

/// Removes a file that was staged and never committed, with its entries and deliveries.
pub(super) fn drop_staged(connection: &Connection, file: i64) -> rusqlite::Result<Dropped> {
    let mut counted = connection.prepare_cached(
        "SELECT destination, priority, count(*) FROM delivery WHERE entry IN (SELECT entry FROM entry WHERE file = ?1)
         GROUP BY destination, priority",
    )?;
    let counts = counted.query_map([file], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_, _>>()?;
    connection.execute("DELETE FROM delivery WHERE entry IN (SELECT entry FROM entry WHERE file = ?1)", [file])?;
    connection.execute("DELETE FROM entry WHERE file = ?1", [file])?;
    connection.execute("DELETE FROM file WHERE file = ?1 AND state = 0", [file])?;
    Ok(Dropped { counts })
}

/// How far a file is once its reports are durable.
fn taken_state(file: &NewFile) -> i64 {
    if file.reconverted { FILE_DONE } else { FILE_COMMITTED }
}

fn file_name(fingerprint: &Fingerprint) -> String {
    let name = fingerprint.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    waybill_shared::text::printable(&name, 255)
}
