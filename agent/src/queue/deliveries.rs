//! What commands on deliveries do: what a try came to, what is due, what a person takes up again or gives up.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, params};
use waybill_ipc::protocol::{Changed, Event, Which};
use waybill_shared::error::ErrorReport;

use super::codes::{self, DISCARDED, EVICTED, FAILED, PENDING, SENT};
use super::transaction::{Sum, Transaction, decided, failed, in_part};
use super::{DeliveryKey, Outcome, QueueError, find, payload};

/// Deliveries that one command changes at most, so that nobody waits long behind it; who asked for more asks again.
pub(super) const AT_ONCE: u32 = 2000;

/// A delivery that a person acts on.
struct Chosen {
    entry: i64,
    destination: i64,
    state: i64,
    priority: u8,
    stored: i64,
}

/// How many went from one state to another, by destination and the state they were in.
type Tally = BTreeMap<(i64, i64), u64>;

impl Chosen {
    fn sum(&self) -> Sum {
        Sum::one(self.stored)
    }
}

impl Transaction<'_> {
    /// Ends a delivery that waits; false if it waits no more.
    pub(super) fn finish_delivery(
        &self,
        entry: i64,
        destination: i64,
        state: i64,
        code: Option<&str>,
        note: &str,
    ) -> rusqlite::Result<bool> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE delivery SET state = ?3, finished_at = ?4, code = ?5, note = ?6, due = 0
                 WHERE entry = ?1 AND destination = ?2 AND state = 1",
            )?
            .execute(params![entry, destination, state, self.now.as_millisecond(), code, note])?;
        Ok(changed == 1)
    }

    pub(super) fn outcome(&mut self, key: &DeliveryKey, outcome: Outcome) -> Result<(), QueueError> {
        self.at_once(|this| {
            let destination = this.key_of(&key.destination).map_err(decided)?;
            let waits = this
                .connection
                .prepare_cached(
                    "SELECT d.priority, d.attempts, d.mark, e.stored FROM delivery d JOIN entry e ON e.entry = d.entry
                     WHERE d.entry = ?1 AND d.destination = ?2 AND d.state = 1",
                )
                .and_then(|mut statement| {
                    statement
                        .query_row(params![key.entry, destination], |row| {
                            Ok((row.get::<_, u8>(0)?, row.get::<_, u32>(1)?, row.get::<_, i64>(2)?, Sum::one(row.get(3)?)))
                        })
                        .optional()
                })
                .map_err(failed)
                .map_err(decided)?;
            // Evicted or discarded while it was on its way: what became of it is told already.
            let Some((priority, attempts, mark, sum)) = waits else { return Ok(()) };
            match outcome {
                Outcome::Sent { receipt, address } => {
                    this.sent(key, destination, priority, sum, receipt, &address).map_err(in_part)
                }
                Outcome::Failed { error } => this.failed(key, destination, priority, sum, error).map_err(in_part),
                Outcome::Retry { due, charge, max_retries, error } => {
                    let accepted = this.sum(destination, SENT).count;
                    // The first try sets the mark; a later one counts if the destination accepted another report since.
                    let attempts = attempts + u32::from(charge && mark >= 0 && accepted > mark);
                    if charge && attempts > max_retries {
                        return this.failed(key, destination, priority, sum, error).map_err(in_part);
                    }
                    this.connection
                        .prepare_cached(
                            "UPDATE delivery SET due = ?3, attempts = ?4, mark = ?5, code = ?6, note = ?7, tries = tries + 1
                             WHERE entry = ?1 AND destination = ?2",
                        )
                        .and_then(|mut statement| {
                            let due = due.as_millisecond().max(1);
                            let mark = if charge { accepted } else { mark };
                            statement.execute(params![
                                key.entry,
                                destination,
                                due,
                                attempts,
                                mark,
                                error.code.as_str(),
                                error.message
                            ])
                        })
                        .map_err(in_part)?;
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
        sum: Sum,
        receipt: String,
        address: &str,
    ) -> rusqlite::Result<()> {
        self.finish_delivery(key.entry, destination, SENT, None, &receipt)?;
        self.move_count(destination, priority, PENDING, SENT, sum);
        if self.state.accepted_by.get(&destination).is_none_or(|known| known != address) {
            self.connection
                .execute("UPDATE destination SET accepted_by = ?2 WHERE destination = ?1", params![destination, address])?;
            self.state.accepted_by.insert(destination, address.to_owned());
        }
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
        sum: Sum,
        error: ErrorReport,
    ) -> rusqlite::Result<()> {
        self.finish_delivery(key.entry, destination, FAILED, Some(error.code.as_str()), &error.message)?;
        self.move_count(destination, priority, PENDING, FAILED, sum);
        self.events.push(Event::Failed {
            destination: key.destination.clone(),
            report_id: key.report_id.to_string(),
            correlation_id: key.correlation_id.to_string(),
            serial: key.serial.clone(),
            error,
        });
        Ok(())
    }

    /// Lets deliveries go that are due by then.
    pub(super) fn promote(&mut self, destination: &str, by_ms: i64) -> Result<(), QueueError> {
        let destination = self.key_of(destination)?;
        self.connection
            .prepare_cached("UPDATE delivery SET due = 0 WHERE destination = ?1 AND state = 1 AND due > 0 AND due <= ?2")
            .and_then(|mut statement| statement.execute(params![destination, by_ms]))
            .map(|_| ())
            .map_err(failed)
    }

    /// Takes deliveries up again that failed, were discarded or evicted; those that wait for their time go now. A report of which a newer
    /// revision went the same way is left: it would overwrite the newer one.
    pub(super) fn retry(&mut self, which: &Which) -> Result<Changed, QueueError> {
        self.alone(|this| {
            let (chosen, more) = this.choose(which, &[FAILED, DISCARDED, EVICTED, PENDING])?;
            let mut changed = Changed { more, ..Changed::default() };
            let mut tally = Tally::new();
            for one in chosen {
                changed.last = Some(find::key(one.entry, one.destination));
                if !this.state.configured.contains(&one.destination) {
                    this.only_one(which, || this.no_destination(one.destination))?;
                    changed.removed += 1;
                    continue;
                }
                if one.state == PENDING {
                    changed.count += u64::from(this.due_now(&one).map_err(failed)?);
                } else if this.is_superseded(&one).map_err(failed)? {
                    changed.skipped += 1;
                } else if let Err(error) = this.take_up(&one) {
                    let QueueError::Damaged(reason) = &error else { return Err(error) };
                    tracing::warn!(event = "report_not_taken_up", entry = one.entry, destination = %this.name_of(one.destination), reason, "it stays where it is");
                    this.only_one(which, || error.clone())?;
                    changed.damaged += 1;
                } else {
                    changed.count += 1;
                    *tally.entry((one.destination, one.state)).or_default() += 1;
                }
                this.missed.push(one.destination);
            }
            this.tell_changed(tally, PENDING);
            Ok(changed)
        })
    }

    /// Of one report a person is told why it does not go; of many, how many do not.
    fn only_one(&self, which: &Which, why: impl FnOnce() -> QueueError) -> Result<(), QueueError> {
        match which {
            Which::Report { .. } => Err(why()),
            Which::All { .. } => Ok(()),
        }
    }

    fn no_destination(&self, destination: i64) -> QueueError {
        let mut known: Vec<String> = self.state.configured.iter().map(|key| self.name_of(*key)).collect();
        known.sort();
        QueueError::NoDestination { name: self.name_of(destination), known }
    }

    fn due_now(&self, one: &Chosen) -> rusqlite::Result<bool> {
        let changed = self
            .connection
            .prepare_cached("UPDATE delivery SET due = 0 WHERE entry = ?1 AND destination = ?2 AND state = 1 AND due > 0")?
            .execute([one.entry, one.destination])?;
        Ok(changed == 1)
    }

    fn is_superseded(&self, one: &Chosen) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM entry n JOIN delivery d ON d.entry = n.entry AND d.destination = ?2
                 WHERE substr(n.report_id, 1, 4) = (SELECT substr(report_id, 1, 4) FROM entry WHERE entry = ?1)
                 AND substr(n.report_id, 13, 4) = (SELECT substr(report_id, 13, 4) FROM entry WHERE entry = ?1)
                 AND n.report_id = (SELECT report_id FROM entry WHERE entry = ?1) AND n.entry > ?1 AND d.state NOT IN (?3, ?4))",
            )?
            .query_row(params![one.entry, one.destination, DISCARDED, EVICTED], |row| row.get(0))
    }

    fn take_up(&mut self, one: &Chosen) -> Result<(), QueueError> {
        if one.state == EVICTED {
            self.bring_back(one)?;
        }
        self.connection
            .prepare_cached(
                "UPDATE delivery SET state = 1, due = 0, attempts = 0, mark = -1, finished_at = NULL, code = NULL, note = NULL
                 WHERE entry = ?1 AND destination = ?2",
            )
            .and_then(|mut statement| statement.execute([one.entry, one.destination]))
            .map_err(failed)?;
        self.move_count(one.destination, one.priority, one.state, PENDING, one.sum());
        Ok(())
    }

    fn tell_changed(&mut self, tally: Tally, to: i64) {
        for ((destination, from), count) in tally {
            let (Some(from), Some(to)) = (codes::state(from), codes::state(to)) else { continue };
            self.events.push(Event::Changed { destination: self.name_of(destination), from, to, count });
            // What was read of it may not be what goes now.
            self.stale.push(destination);
        }
    }

    /// The bytes of a delivery that had to make room, from its file, which goes once they are in the store again.
    fn bring_back(&mut self, one: &Chosen) -> Result<(), QueueError> {
        let (note, size, hash, is_there): (Option<String>, u64, Vec<u8>, bool) = self
            .connection
            .query_row(
                "SELECT d.note, e.size, e.hash, e.payload IS NOT NULL OR e.spool IS NOT NULL
                 FROM delivery d JOIN entry e ON e.entry = d.entry WHERE d.entry = ?1 AND d.destination = ?2",
                [one.entry, one.destination],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )
            .map_err(failed)?;
        let path = std::path::PathBuf::from(note.unwrap_or_default());
        if !is_there {
            let bytes = std::fs::read(&path).map_err(|error| QueueError::Damaged(format!("{}: {error}", path.display())))?;
            if bytes.len() as u64 != size || blake3::hash(&bytes).as_bytes()[..] != hash {
                return Err(QueueError::Damaged(format!("{} was changed since it was put aside", path.display())));
            }
            let payload =
                payload::Payload::new(bytes, &self.places.spool).map_err(|error| QueueError::Write(error.to_string()))?;
            self.made.extend(payload.spooled().map(Into::into));
            let (spool, inline) = match &payload.stored {
                payload::Stored::Inline(bytes) => (None, Some(bytes)),
                payload::Stored::Spool(path) => (path.file_name().and_then(|name| name.to_str()), None),
            };
            self.connection
                .execute("UPDATE entry SET spool = ?2, payload = ?3 WHERE entry = ?1", params![one.entry, spool, inline])
                .map_err(failed)?;
        }
        self.unneeded.push(path);
        Ok(())
    }

    /// Gives deliveries up. They stay in the store, to be looked at, exported or taken up again, until they were kept long enough.
    pub(super) fn discard(&mut self, which: &Which, why: &str) -> Result<Changed, QueueError> {
        self.alone(|this| {
            let (chosen, more) = this.choose(which, &[PENDING, FAILED])?;
            let mut changed = Changed { more, ..Changed::default() };
            let mut tally = Tally::new();
            for one in chosen {
                changed.last = Some(find::key(one.entry, one.destination));
                changed.count += 1;
                this.connection
                    .prepare_cached(
                        "UPDATE delivery SET state = ?3, finished_at = ?4, note = ?5, due = 0 WHERE entry = ?1 AND destination = ?2",
                    )
                    .and_then(|mut statement| {
                        statement.execute(params![one.entry, one.destination, DISCARDED, this.now.as_millisecond(), why])
                    })
                    .map_err(failed)?;
                this.move_count(one.destination, one.priority, one.state, DISCARDED, one.sum());
                *tally.entry((one.destination, one.state)).or_default() += 1;
            }
            // What waited behind them may go now.
            this.tell_changed(tally, DISCARDED);
            Ok(changed)
        })
    }

    /// The deliveries that are meant, if they are in one of these states; a limited number, and whether there may be more.
    fn choose(&self, which: &Which, states: &[i64]) -> Result<(Vec<Chosen>, bool), QueueError> {
        let keys = match which {
            Which::Report { entry, destination } => {
                let only = destination.as_deref().map(|name| self.key_of(name)).transpose()?;
                let all: Vec<i64> = self
                    .connection
                    .prepare_cached("SELECT destination FROM delivery WHERE entry = ?1")
                    .and_then(|mut s| s.query_map([entry], |row| row.get(0))?.collect())
                    .map_err(failed)?;
                if all.is_empty() {
                    return Err(QueueError::NoEntry(*entry));
                }
                all.into_iter().filter(|key| only.is_none_or(|only| only == *key)).map(|key| (*entry, key)).collect()
            }
            Which::All { filter, after } => {
                if let Some(name) = &filter.destination {
                    self.key_of(name)?;
                }
                let wanted: Vec<i64> = match filter.state {
                    Some(state) => vec![codes::code(state)],
                    // Without a state it means what failed: nobody takes up by accident what he gave up.
                    None => vec![FAILED],
                };
                find::keys(self.connection, filter, &wanted, *after, AT_ONCE).map_err(failed)?
            }
        };
        let more = keys.len() >= AT_ONCE as usize && matches!(which, Which::All { .. });
        let mut chosen = Vec::with_capacity(keys.len());
        for (entry, destination) in keys {
            let one = self
                .connection
                .prepare_cached(
                    "SELECT d.state, d.priority, e.stored FROM delivery d JOIN entry e ON e.entry = d.entry WHERE d.entry = ?1 AND d.destination = ?2",
                )
                .and_then(|mut statement| {
                    statement
                        .query_row([entry, destination], |row| {
                            Ok(Chosen { entry, destination, state: row.get(0)?, priority: row.get(1)?, stored: row.get(2)? })
                        })
                        .optional()
                })
                .map_err(failed)?;
            chosen.extend(one.filter(|one| states.contains(&one.state)));
        }
        Ok((chosen, more))
    }
}
