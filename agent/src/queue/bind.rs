//! Which destinations there are, while the queue is open: new ones get what comes from now on, removed ones let go of what they hold.

use std::path::Path;

use rusqlite::{Connection, params};
use waybill_ipc::protocol::{Configured, Event};
use waybill_shared::config::Config;

use super::codes::{DISCARDED, FAILED, NOWHERE, PENDING, STAGED};
use super::files::unbound_of_file;
use super::transaction::{Sum, Transaction, failed};
use super::{Limits, QueueError, rank, schema};

/// What the queue needs to know of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// All destinations, in the order of the configuration.
    pub destinations: Vec<Route>,
    /// What bounds the reports that wait for one of them.
    pub limits: Limits,
}

/// The way to one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Whether reports go there.
    pub enabled: bool,
    /// Whether they must arrive.
    pub required: bool,
}

impl Routes {
    /// Those of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            destinations: config
                .destination
                .iter()
                .map(|d| Route { name: d.name.clone(), enabled: d.enabled, required: d.required })
                .collect(),
            limits: Limits::of(&config.queue),
        }
    }
}

/// What becomes of the reports of a destination that is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// The removal is refused if there are any.
    Refuse,
    /// They are discarded.
    Discard,
    /// They go to this destination.
    MoveTo(String),
}

/// What becomes of reports that lose their destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LettingGo {
    /// For all destinations that are removed.
    pub release: Release,
    /// Destinations that were removed earlier, with reports that still wait: those as well.
    pub earlier: Vec<String>,
}

impl LettingGo {
    /// Nothing is let go of.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self { release: Release::Refuse, earlier: Vec::new() }
    }
}

/// Other routes.
#[derive(Debug)]
pub struct NewRoutes {
    /// The routes.
    pub routes: Routes,
    /// What is let go of.
    pub letting_go: LettingGo,
    /// Told to all who look on, in its place among the commits.
    pub told: Box<Configured>,
}

/// Destinations with reports that wait or were refused, and how many; read from the file, for whoever has no agent to ask.
///
/// # Errors
/// The file cannot be read.
pub fn unsent(database: &Path) -> Result<Vec<(String, u64)>, QueueError> {
    let read = || -> rusqlite::Result<Vec<(String, u64)>> {
        schema::open_reader(database)?
            .prepare(
                "SELECT d.name, sum(c.count) FROM counter c JOIN destination d ON d.destination = c.destination
                 WHERE c.state IN (?1, ?2) GROUP BY d.destination HAVING sum(c.count) > 0 ORDER BY d.name",
            )?
            .query_map(params![PENDING, FAILED], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    };
    read().map_err(|error| QueueError::Unavailable { path: waybill_shared::text::path(database), reason: error.to_string() })
}

/// A report that is to be bound: its entry, lane, when it was queued, bytes.
type Unbound = (i64, u8, i64, i64);

/// Binds reports that were queued while there was no destination to those there are now.
pub(super) fn bind_unbound(
    connection: &Connection,
    active: &[i64],
    mut count: impl FnMut(i64, u8, Sum) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    if active.is_empty() {
        return Ok(());
    }
    let unbound: Vec<Unbound> = connection
        .prepare(
            "SELECT e.entry, e.priority, e.queued_at, e.stored FROM entry e JOIN file f ON f.file = e.file
             WHERE e.unbound = 1 AND f.state > 0 ORDER BY e.entry",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    for (entry, priority, queued_at, stored) in unbound {
        for &destination in active {
            connection.execute(
                "INSERT INTO delivery (entry, destination, state, priority, rank) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![entry, destination, PENDING, priority, rank::rank(queued_at, priority)],
            )?;
            count(destination, priority, Sum::one(stored))?;
        }
        connection.execute("UPDATE entry SET unbound = NULL WHERE entry = ?1", [entry])?;
    }
    Ok(())
}

impl Transaction<'_> {
    /// Takes other routes, or refuses as a whole.
    pub(super) fn configure(&mut self, new: NewRoutes) -> Result<(), QueueError> {
        self.keep_routes();
        self.alone(|this| this.reroute(&new)).inspect_err(|_| self.put_routes_back())?;
        self.events.push(Event::Configured(new.told));
        let freed = std::mem::take(&mut self.let_go);
        self.events.extend(freed);
        Ok(())
    }

    fn reroute(&mut self, new: &NewRoutes) -> Result<(), QueueError> {
        let (mut active, mut configured, mut optional) = (Vec::new(), Vec::new(), Vec::new());
        for route in &new.routes.destinations {
            let key = self.new_key_of(&route.name)?;
            configured.push(key);
            if route.enabled {
                active.push(key);
            }
            if !route.required {
                optional.push(key);
            }
        }
        let was_empty = self.state.active.is_empty();
        let closed: Vec<i64> = self.state.active.iter().copied().filter(|key| !active.contains(key)).collect();
        let is_earlier = |name: &String| new.letting_go.earlier.iter().any(|earlier| earlier.eq_ignore_ascii_case(name));
        let earlier = self.state.names.iter().filter(|(_, name)| is_earlier(name)).map(|(key, _)| *key);
        let mut removed: Vec<i64> = self.state.configured.iter().copied().chain(earlier).collect();
        removed.retain(|key| !configured.contains(key));
        removed.sort_unstable();
        removed.dedup();
        self.state.active.clone_from(&active);
        (self.state.configured, self.state.optional) = (configured, optional);
        self.state.limits = new.routes.limits.clone();
        for key in closed {
            self.drop_staged_of(key).map_err(failed)?;
        }
        for key in removed {
            self.let_go_of(key, &new.letting_go.release)?;
        }
        if was_empty {
            let deltas = &mut self.deltas;
            bind_unbound(self.connection, &active, |destination, priority, sum| {
                *deltas.entry((destination, PENDING, priority)).or_default() += sum;
                Ok(())
            })
            .map_err(failed)?;
            if !active.is_empty() {
                for priority in 1..=10 {
                    let waiting = self.sum_of_lane(NOWHERE, PENDING, priority);
                    self.add(NOWHERE, PENDING, priority, -waiting);
                }
            }
            self.missed.extend(&active);
        }
        Ok(())
    }

    fn new_key_of(&mut self, name: &str) -> Result<i64, QueueError> {
        if let Some((key, _)) = self.state.names.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)) {
            return Ok(*key);
        }
        let key: i64 = self
            .connection
            .query_row("INSERT INTO destination (name) VALUES (?1) RETURNING destination", [name], |row| row.get(0))
            .map_err(failed)?;
        self.state.names.insert(key, name.to_owned());
        Ok(key)
    }

    /// Reports of files that are not whole yet do not go where nothing goes any more.
    fn drop_staged_of(&mut self, destination: i64) -> rusqlite::Result<()> {
        for (priority, _, sum) in self.sums_of(destination, &[STAGED])? {
            self.add(destination, STAGED, priority, -sum);
        }
        self.connection.execute("DELETE FROM delivery WHERE destination = ?1 AND state = ?2", [destination, STAGED])?;
        Ok(())
    }

    /// Deliveries of a destination in some states, by lane and state, as they are in the tables.
    fn sums_of(&self, destination: i64, states: &[i64]) -> rusqlite::Result<Vec<(u8, i64, Sum)>> {
        let mut all = Vec::new();
        for &state in states {
            let mut statement = self.connection.prepare_cached(
                "SELECT d.priority, count(*), sum(e.stored) FROM delivery d JOIN entry e ON e.entry = d.entry
                 WHERE d.destination = ?1 AND d.state = ?2 GROUP BY d.priority",
            )?;
            let mut rows = statement.query([destination, state])?;
            while let Some(row) = rows.next()? {
                all.push((row.get(0)?, state, Sum { count: row.get(1)?, bytes: row.get(2)? }));
            }
        }
        Ok(all)
    }

    fn let_go_of(&mut self, destination: i64, release: &Release) -> Result<(), QueueError> {
        let name = self.state.names.get(&destination).cloned().unwrap_or_default();
        let (pending, failed_count) = (self.sum(destination, PENDING).count, self.sum(destination, FAILED).count);
        if pending + failed_count == 0 {
            return Ok(());
        }
        let to = match release {
            Release::Refuse => {
                let waiting = u64::try_from(pending + failed_count).unwrap_or(0);
                return Err(QueueError::Unsent { destination: name, waiting });
            }
            Release::Discard => None,
            Release::MoveTo(to) => {
                let key = self.state.active.iter().copied().find(|key| {
                    self.state.names.get(key).is_some_and(|known| known.eq_ignore_ascii_case(to)) && *key != destination
                });
                Some(key.ok_or_else(|| QueueError::Write(format!("there is no enabled destination {to:?} to move reports to")))?)
            }
        };
        let moved = match to {
            Some(to) => self.move_all(destination, to).map_err(failed)?,
            None => 0,
        };
        let discarded = self.discard_all(destination).map_err(failed)?;
        tracing::warn!(
            event = "destination_let_go",
            destination = name,
            moved,
            discarded,
            "a destination was removed with reports that were not sent"
        );
        self.let_go.push(Event::LetGo {
            destination: name,
            pending: u64::try_from(pending).unwrap_or(0),
            failed: u64::try_from(failed_count).unwrap_or(0),
            moved,
            to: to.and_then(|to| self.state.names.get(&to).cloned()),
        });
        Ok(())
    }

    /// Moves what the other destination does not have already; as new there, due at once.
    fn move_all(&mut self, from: i64, to: i64) -> rusqlite::Result<u64> {
        let mut moved = 0;
        for state in [PENDING, FAILED] {
            let sums: Vec<(u8, Sum)> = self
                .connection
                .prepare(
                    "SELECT d.priority, count(*), sum(e.stored) FROM delivery d JOIN entry e ON e.entry = d.entry
                     WHERE d.destination = ?1 AND d.state = ?3
                     AND NOT EXISTS (SELECT 1 FROM delivery o WHERE o.entry = d.entry AND o.destination = ?2) GROUP BY d.priority",
                )?
                .query_map(params![from, to, state], |row| Ok((row.get(0)?, Sum { count: row.get(1)?, bytes: row.get(2)? })))?
                .collect::<Result<_, _>>()?;
            self.connection.execute(
                "UPDATE delivery SET destination = ?2, state = ?4, due = 0, attempts = 0, tries = 0, mark = -1, finished_at = NULL,
                 code = NULL, note = NULL WHERE destination = ?1 AND state = ?3
                 AND NOT EXISTS (SELECT 1 FROM delivery o WHERE o.entry = delivery.entry AND o.destination = ?2)",
                params![from, to, state, PENDING],
            )?;
            for (priority, sum) in sums {
                self.add(from, state, priority, -sum);
                self.add(to, PENDING, priority, sum);
                moved += u64::try_from(sum.count).unwrap_or(0);
            }
        }
        self.missed.push(to);
        Ok(moved)
    }

    fn discard_all(&mut self, destination: i64) -> rusqlite::Result<u64> {
        let sums = self.sums_of(destination, &[PENDING, FAILED])?;
        self.connection.execute(
            "UPDATE delivery SET state = ?4, finished_at = ?5, note = 'its destination was removed', due = 0
             WHERE destination = ?1 AND state IN (?2, ?3)",
            params![destination, PENDING, FAILED, DISCARDED, self.now.as_millisecond()],
        )?;
        let mut discarded = 0;
        for (priority, state, sum) in sums {
            self.move_count(destination, priority, state, DISCARDED, sum);
            discarded += u64::try_from(sum.count).unwrap_or(0);
        }
        Ok(discarded)
    }

    /// Binds reports of a file that was staged to destinations that came meanwhile.
    pub(super) fn bind_staged(&mut self, file: i64) -> rusqlite::Result<()> {
        if !self.state.active.is_empty() {
            for (_, priority, sum) in unbound_of_file(self.connection, file)? {
                self.add(NOWHERE, PENDING, priority, -sum);
            }
            self.connection.execute("UPDATE entry SET unbound = NULL WHERE file = ?1 AND unbound = 1", [file])?;
        }
        for destination in self.state.active.clone() {
            let missing: Vec<Unbound> = self
                .connection
                .prepare_cached(
                    "SELECT e.entry, e.priority, e.queued_at, e.stored FROM entry e WHERE e.file = ?1
                     AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.entry = e.entry AND d.destination = ?2)",
                )?
                .query_map(params![file, destination], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
                .collect::<Result<_, _>>()?;
            for (entry, priority, queued_at, stored) in missing {
                let bytes = u64::try_from(stored).unwrap_or(0);
                self.insert_delivery(entry, destination, PENDING, priority, queued_at, bytes)?;
            }
        }
        Ok(())
    }
}
