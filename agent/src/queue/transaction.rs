//! A batch of commands that is being applied: one transaction, its counts, its events, and what follows its commit.
//!
//! What each command does stands in [`files`](super::files), [`deliveries`](super::deliveries), [`room`](super::room),
//! [`holds`](super::holds), [`bind`](super::bind) and [`purge`](super::purge). Each runs in a savepoint of its own: one that fails takes no other with it.
//!
//! A transaction has a longest time. When that is over, or the disk is full, or a page cannot be read, the store undoes it as a whole in the
//! middle: nothing more is applied then, since each statement would be stored by itself, and everybody is told.

use std::collections::HashMap;
use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Connection, params};
use waybill_ipc::protocol::Event;

use super::codes::{NOWHERE, PENDING, STAGED};
use super::limits::{Disk, Filled, Full};
use super::writer::{Setup, Staged, Staging};
use super::{Limits, Places, QueueError, ReadyDelivery};

/// Deliveries by destination, state and priority.
pub(super) type CounterKey = (i64, i64, u8);

/// How many, and how many bytes they take in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) count: i64,
    pub(super) bytes: i64,
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

impl std::ops::Neg for Sum {
    type Output = Self;
    fn neg(self) -> Self {
        Self { count: -self.count, bytes: -self.bytes }
    }
}

impl Sum {
    /// One delivery of so many bytes.
    pub(super) fn one(bytes: i64) -> Self {
        Self { count: 1, bytes }
    }
}

/// What the writer knows without asking the tables. It follows the commits, never runs ahead of them.
pub(super) struct State {
    pub(super) counters: HashMap<CounterKey, Sum>,
    /// Names of all destinations ever seen, by key.
    pub(super) names: HashMap<i64, String>,
    /// Keys of the destinations that new reports go to, in the order of the configuration.
    pub(super) active: Vec<i64>,
    /// Keys of all configured destinations, the disabled ones included.
    pub(super) configured: Vec<i64>,
    /// Keys of those that make room before the queue is full: their reports are not required to arrive.
    pub(super) optional: Vec<i64>,
    /// What bounds the queue.
    pub(super) limits: Limits,
    /// Room on the disk, as it was when it was last looked at.
    pub(super) disk: Disk,
    /// Files that are being staged.
    pub(super) staging: Staging,
    /// Lanes from which nothing goes, by priority.
    pub(super) held_lanes: [bool; 11],
    /// The address that last accepted a report for a destination.
    pub(super) accepted_by: HashMap<i64, String>,
    /// Most that ever waited for a destination.
    pub(super) most: HashMap<i64, i64>,
}

/// The part of the state that a configuration decides.
type KeptRoutes = (Vec<i64>, Vec<i64>, Vec<i64>, HashMap<i64, String>, Limits);

impl State {
    /// Deliveries of a destination in one state.
    pub(super) fn sum(&self, destination: i64, state: i64) -> Sum {
        let mut sum = Sum::default();
        (1..=10).filter_map(|priority| self.counters.get(&(destination, state, priority))).for_each(|part| sum += *part);
        sum
    }

    /// Where new reports wait: for each destination in use, or nowhere.
    pub(super) fn filling(&self) -> &[i64] {
        if self.active.is_empty() { &[NOWHERE] } else { &self.active }
    }

    /// How full the queue is: for the one destination of those in use that is nearest to a limit, or for none if there is none.
    pub(super) fn filled(&self) -> Filled {
        let of = |&key: &i64| {
            let sum = self.sum(key, PENDING);
            (sum.count, sum.bytes)
        };
        let most = self.filling().iter().map(of).fold((0, 0), |most, of| (most.0.max(of.0), most.1.max(of.1)));
        Filled { entries: u64::try_from(most.0).unwrap_or(0), bytes: u64::try_from(most.1).unwrap_or(0) }
    }
}

/// How far a command came that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It was decided against before anything was written.
    Nothing,
    /// Something of it was written.
    InPart,
}

/// An error before anything was written.
pub(super) fn decided(error: QueueError) -> (Written, QueueError) {
    (Written::Nothing, error)
}

/// An error while something was written.
pub(super) fn in_part(error: rusqlite::Error) -> (Written, QueueError) {
    (Written::InPart, failed(error))
}

/// A batch that is being applied.
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
    pub(super) places: &'a Places,
    gate: &'a super::Gate,
    pub(super) doors: &'a super::Doors,
    pub(super) state: &'a mut State,
    pub(super) now: Timestamp,
    pub(super) deltas: HashMap<CounterKey, Sum>,
    /// Files queued and their reports, by source.
    pub(super) queued: HashMap<String, (u64, u64)>,
    /// Something was written in part: all of it is taken back, and everybody is told.
    broken: Option<QueueError>,
    pub(super) events: Vec<Event>,
    /// The routes as they were before this batch, if it changed them.
    routes_before: Option<KeptRoutes>,
    /// Lanes as they were before this batch, if it changed them.
    pub(super) lanes_before: Option<[bool; 11]>,
    /// What removed destinations let go of, told after the new routes.
    pub(super) let_go: Vec<Event>,
    pub(super) staged: Vec<(u64, Option<Staged>)>,
    /// What did not fit, and why.
    pub(super) refused: Option<Full>,
    /// Files that nothing names once this is committed.
    pub(super) unneeded: Vec<PathBuf>,
    /// Files that something names only once this is committed.
    pub(super) made: Vec<PathBuf>,
    /// What can be sent as soon as this is committed, by destination.
    pub(super) ready: Vec<(i64, ReadyDelivery)>,
    /// Destinations for which there is something in the store that was not there, or not to be sent.
    pub(super) missed: Vec<i64>,
    /// Destinations of which something may not be sent any more, or goes in another order.
    pub(super) stale: Vec<i64>,
}

pub(super) fn failed(error: rusqlite::Error) -> QueueError {
    if super::schema::is_damage(&error) {
        QueueError::Corrupt { path: "queue.db".to_owned(), reason: error.to_string() }
    } else {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => QueueError::Write("it took too long and was ended".to_owned()),
            Some(rusqlite::ErrorCode::DatabaseBusy) => {
                QueueError::Write("another program holds the file of the queue".to_owned())
            }
            _ => QueueError::Write(error.to_string()),
        }
    }
}

/// Whether a commit that failed may be found whole in the log after a crash: it was written, and could not be synced. The files that it names
/// must stay then.
fn may_be_there(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() != Some(rusqlite::ErrorCode::DiskFull)
}

/// Files whose reports are in the store after all; what stays is no harm.
pub(super) fn remove_made(made: impl Iterator<Item = PathBuf>) {
    for path in made {
        let _left = std::fs::remove_file(path);
    }
}

impl<'a> Transaction<'a> {
    pub(super) fn begin(setup: &'a Setup, state: &'a mut State) -> Result<Self, QueueError> {
        setup.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_err(failed)?;
        Ok(Self {
            connection: &setup.connection,
            places: &setup.places,
            gate: &setup.gate,
            doors: &setup.doors,
            state,
            now: (setup.now)(),
            deltas: HashMap::new(),
            queued: HashMap::new(),
            broken: None,
            events: Vec::new(),
            routes_before: None,
            lanes_before: None,
            let_go: Vec::new(),
            staged: Vec::new(),
            refused: None,
            unneeded: Vec::new(),
            made: Vec::new(),
            ready: Vec::new(),
            missed: Vec::new(),
            stale: Vec::new(),
        })
    }

    /// Why nothing more may be applied, if the store has undone the transaction by itself.
    pub(super) fn given_up(&self) -> Option<QueueError> {
        let undone = || QueueError::Write("the store undid what was to be stored with it".to_owned());
        self.connection.is_autocommit().then(|| self.broken.clone().unwrap_or_else(undone))
    }

    /// Commits with fsync. On an error nothing of the batch was stored.
    pub(super) fn finish(mut self) -> Result<Vec<Event>, QueueError> {
        let committed = match self.given_up().or_else(|| self.broken.take()) {
            Some(error) => Err((false, error)),
            None => self.write_counters().map_err(|error| (false, failed(error))).and_then(|()| {
                let commit = self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
                commit.map(drop).map_err(|error| (may_be_there(&error), failed(error)))
            }),
        };
        if let Err((may_be_there, error)) = committed {
            if !self.connection.is_autocommit()
                && let Err(error) = self.connection.execute_batch("ROLLBACK")
            {
                tracing::debug!(%error, "the store had rolled back by itself");
            }
            self.put_routes_back();
            self.state.accepted_by.clear();
            if let Some(lanes) = self.lanes_before {
                self.state.held_lanes = lanes;
            }
            if !may_be_there {
                remove_made(self.made.drain(..));
            }
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
        let full = self.state.limits.full(self.state.filled(), self.state.disk, self.refused, self.gate.is_closed());
        self.gate.count_nowhere(self.state.sum(NOWHERE, PENDING).count);
        if self.gate.set(full) {
            self.events.push(Event::QueueFull { full: full.is_some(), by: full.map(|full| full.by()) });
        }
        self.open_doors();
        Ok(self.events)
    }

    fn open_doors(&mut self) {
        for list in [&mut self.missed, &mut self.stale] {
            list.sort_unstable();
            list.dedup();
        }
        let mut ready: HashMap<i64, Vec<ReadyDelivery>> = HashMap::new();
        for (destination, delivery) in self.ready.drain(..) {
            ready.entry(destination).or_default().push(delivery);
        }
        let door = |state: &State, key: &i64| self.doors.of(state.names.get(key)?);
        for (destination, deliveries) in ready {
            if let Some(door) = door(self.state, &destination) {
                door.put(deliveries);
            }
        }
        for destination in self.missed.drain(..) {
            if let Some(door) = door(self.state, &destination) {
                door.miss();
            }
        }
        for destination in self.stale.drain(..) {
            if let Some(door) = door(self.state, &destination) {
                door.stale();
            }
        }
    }

    /// Remembers the routes as they were when the batch began.
    pub(super) fn keep_routes(&mut self) {
        let state = &*self.state;
        self.routes_before.get_or_insert_with(|| {
            (state.active.clone(), state.configured.clone(), state.optional.clone(), state.names.clone(), state.limits.clone())
        });
    }

    /// The routes as they were when the batch began: nothing of it was stored.
    pub(super) fn put_routes_back(&mut self) {
        if let Some((active, configured, optional, names, limits)) = self.routes_before.take() {
            let state = &mut *self.state;
            (state.active, state.configured, state.optional) = (active, configured, optional);
            (state.names, state.limits) = (names, limits);
        }
    }

    fn write_counters(&mut self) -> rusqlite::Result<()> {
        let mut upsert = self.connection.prepare_cached(
            "INSERT INTO counter (destination, state, priority, count, bytes) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes",
        )?;
        let stored = |(key, delta): &(&CounterKey, &Sum)| key.0 != NOWHERE && **delta != Sum::default();
        for (&(destination, state, priority), &delta) in self.deltas.iter().filter(stored) {
            upsert.execute(params![destination, state, priority, delta.count, delta.bytes])?;
        }
        drop(upsert);
        let mut upsert = self.connection.prepare_cached(
            "INSERT INTO source (name, queued, reports) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET queued = queued + excluded.queued, reports = reports + excluded.reports",
        )?;
        for (source, (files, reports)) in self.queued.drain() {
            upsert.execute(params![source, files, reports])?;
        }
        drop(upsert);
        self.write_most()
    }

    /// Writes the most that ever waited for each destination.
    fn write_most(&mut self) -> rusqlite::Result<()> {
        let rose = |key: &CounterKey, delta: &Sum| key.0 != NOWHERE && key.1 == PENDING && delta.count > 0;
        let mut destinations: Vec<i64> =
            self.deltas.iter().filter(|(key, delta)| rose(key, delta)).map(|(key, _)| key.0).collect();
        destinations.sort_unstable();
        destinations.dedup();
        for destination in destinations {
            let waiting = self.sum(destination, PENDING).count;
            if waiting > self.state.most.get(&destination).copied().unwrap_or(0) {
                self.connection
                    .prepare_cached("UPDATE destination SET most = ?2, most_at = ?3 WHERE destination = ?1")?
                    .execute(params![destination, waiting, self.now.as_millisecond()])?;
                // If the commit fails it was that much all the same, for a moment.
                self.state.most.insert(destination, waiting);
            }
        }
        Ok(())
    }

    /// Runs one command that writes only once everything about it is decided. If its writing fails in the middle, the disk is full or
    /// broken for all: the whole batch is taken back, which is much cheaper than being able to undo each command.
    pub(super) fn at_once<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, (Written, QueueError)>,
    ) -> Result<T, QueueError> {
        work(self).map_err(|(written, error)| {
            if written == Written::InPart {
                self.broken.get_or_insert_with(|| error.clone());
            }
            error
        })
    }

    /// Runs one command so that a failure undoes it alone: its rows, its counts and its events.
    pub(super) fn alone<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, QueueError>) -> Result<T, QueueError> {
        if let Some(error) = self.given_up() {
            return Err(error);
        }
        self.connection.prepare_cached("SAVEPOINT command").and_then(|mut s| s.execute([])).map_err(failed)?;
        let deltas = self.deltas.clone();
        let lengths = (self.events.len(), self.staged.len(), self.ready.len(), self.missed.len(), self.unneeded.len());
        let made = self.made.len();
        let queued = self.queued.clone();
        let result = work(self);
        let end = if result.is_ok() {
            "RELEASE command"
        } else {
            (self.deltas, self.queued) = (deltas, queued);
            self.events.truncate(lengths.0);
            self.staged.truncate(lengths.1);
            self.ready.truncate(lengths.2);
            self.missed.truncate(lengths.3);
            self.unneeded.truncate(lengths.4);
            remove_made(self.made.drain(made..));
            "ROLLBACK TO command"
        };
        if self.connection.is_autocommit() {
            // Its savepoint went with everything else.
            if let Err(error) = &result {
                self.broken.get_or_insert_with(|| error.clone());
            }
            return result;
        }
        self.connection.prepare_cached(end).and_then(|mut s| s.execute([])).map_err(failed)?;
        result
    }

    /// Counts deliveries that came into a state, or with a negative sum left it.
    pub(super) fn add(&mut self, destination: i64, state: i64, priority: u8, sum: Sum) {
        *self.deltas.entry((destination, state, priority)).or_default() += sum;
    }

    pub(super) fn move_count(&mut self, destination: i64, priority: u8, from: i64, to: i64, sum: Sum) {
        self.add(destination, from, priority, -sum);
        self.add(destination, to, priority, sum);
    }

    /// Deliveries of a destination in one state, with what this batch did so far.
    pub(super) fn sum(&self, destination: i64, state: i64) -> Sum {
        let mut sum = self.state.sum(destination, state);
        (1..=10).filter_map(|priority| self.deltas.get(&(destination, state, priority))).for_each(|delta| sum += *delta);
        sum
    }

    /// As [`Transaction::sum`], in one lane.
    pub(super) fn sum_of_lane(&self, destination: i64, state: i64, priority: u8) -> Sum {
        let key = (destination, state, priority);
        let mut sum = self.state.counters.get(&key).copied().unwrap_or_default();
        sum += self.deltas.get(&key).copied().unwrap_or_default();
        sum
    }

    /// What waits for a destination, what is being staged included.
    pub(super) fn waiting(&self, destination: i64) -> Filled {
        let mut sum = self.sum(destination, PENDING);
        sum += self.sum(destination, STAGED);
        Filled { entries: u64::try_from(sum.count).unwrap_or(0), bytes: u64::try_from(sum.bytes).unwrap_or(0) }
    }

    /// Writes something that changes nothing, so that the commit reaches the disk.
    pub(super) fn probe(&mut self) -> Result<(), QueueError> {
        let known: i64 = self.connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
        self.connection.pragma_update(None, "application_id", known).map_err(failed)
    }

    pub(super) fn key_of(&self, destination: &str) -> Result<i64, QueueError> {
        let found = self.state.names.iter().find(|(_, name)| name.eq_ignore_ascii_case(destination));
        found.map(|(key, _)| *key).ok_or_else(|| {
            let mut known: Vec<String> = self.state.names.values().cloned().collect();
            known.sort();
            QueueError::NoDestination { name: destination.to_owned(), known }
        })
    }

    pub(super) fn name_of(&self, destination: i64) -> String {
        if destination == NOWHERE {
            return "a destination, of which there is none".to_owned();
        }
        self.state.names.get(&destination).cloned().unwrap_or_default()
    }

    /// True while the gate is closed: what it keeps out is not let in by another way.
    pub(super) fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }
}
