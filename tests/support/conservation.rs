//! The books of a status: per destination issued = pending + sending + sent + failed + discarded + evicted, per source
//! seen = waiting + queued + errors.
//!
//! The sums hold by definition; a test compares them with what *it* issued, and with what the server received.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// The books of a status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By name.
    pub destinations: BTreeMap<String, DestinationCounts>,
    /// By name.
    pub sources: BTreeMap<String, SourceCounts>,
}

/// Deliveries to one destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the states of a delivery, as DESIGN section 3 names them")]
pub struct DestinationCounts {
    pub pending: u64,
    pub sending: u64,
    pub sent: u64,
    pub failed: u64,
    pub discarded: u64,
    pub evicted: u64,
}

/// Files of one source, and the reports that they held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the counters of a source, as the status names them")]
pub struct SourceCounts {
    pub waiting: u64,
    pub queued: u64,
    pub errors: u64,
    pub reports: u64,
}

impl DestinationCounts {
    /// Deliveries ever bound to the destination.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.unsent() + self.sent + self.failed + self.discarded + self.evicted
    }

    /// Deliveries that wait or are on their way.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.pending + self.sending
    }
}

impl SourceCounts {
    /// Files ever seen.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.waiting + self.queued + self.errors
    }
}

impl Counts {
    /// The books of one destination.
    #[must_use]
    #[track_caller]
    pub fn destination(&self, name: &str) -> DestinationCounts {
        *self.destinations.get(name).unwrap_or_else(|| panic!("the status has no destination {name:?}\n{self}"))
    }

    /// The books of one source.
    #[must_use]
    #[track_caller]
    pub fn source(&self, name: &str) -> SourceCounts {
        *self.sources.get(name).unwrap_or_else(|| panic!("the status has no source {name:?}\n{self}"))
    }

    /// Panics unless each destination accounts for exactly `reports` deliveries.
    #[track_caller]
    pub fn assert_issued(&self, reports: u64) {
        let wrong: Vec<_> =
            self.destinations.iter().filter(|(_, counts)| counts.issued() != reports).map(|(name, _)| name).collect();
        assert!(wrong.is_empty(), "{reports} reports were issued; these destinations say otherwise: {wrong:?}\n{self}");
    }
}

/// Reads the books from what `status --json` says. Panics on a counter that is missing or no number.
#[must_use]
#[track_caller]
pub fn conservation(status: &Value) -> Counts {
    let destination = |item: &Value| DestinationCounts {
        pending: counter(item, "pending"),
        sending: counter(item, "sending"),
        sent: counter(item, "sent"),
        failed: counter(item, "failed"),
        discarded: counter(item, "discarded"),
        evicted: counter(item, "evicted"),
    };
    let source = |item: &Value| SourceCounts {
        waiting: counter(item, "waiting"),
        queued: counter(item, "queued"),
        errors: counter(item, "errors"),
        reports: counter(item, "reports"),
    };
    Counts {
        destinations: list(status, "destinations").iter().map(|item| (name(item), destination(item))).collect(),
        sources: list(status, "sources").iter().map(|item| (name(item), source(item))).collect(),
    }
}

#[track_caller]
fn list<'a>(status: &'a Value, key: &str) -> &'a [Value] {
    status[key].as_array().unwrap_or_else(|| panic!("the status has no list {key:?}: {status:#}"))
}

#[track_caller]
fn name(item: &Value) -> String {
    item["name"].as_str().unwrap_or_else(|| panic!("no name in {item:#}")).to_owned()
}

#[track_caller]
fn counter(item: &Value, key: &str) -> u64 {
    item[key].as_u64().unwrap_or_else(|| panic!("no counter {key:?} in {item:#}"))
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, counts) in &self.sources {
            writeln!(f, "source {name}: {counts:?}")?;
        }
        for (name, counts) in &self.destinations {
            writeln!(f, "destination {name}: issued {}, {counts:?}", counts.issued())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_ipc::protocol::{Connection, DestinationStatus, Snapshot, SourceState, SourceStatus};

    #[test]
    fn the_books_of_a_real_snapshot() {
        let snapshot = Snapshot {
            sources: vec![SourceStatus {
                name: "ict".into(),
                folder: String::new(),
                converter: String::new(),
                state: SourceState::Watching,
                error: None,
                waiting: 1,
                queued: 20,
                errors: 300,
                reports: 4,
            }],
            destinations: vec![DestinationStatus {
                name: "main".into(),
                kind: String::new(),
                address: String::new(),
                state: Connection::Online,
                error: None,
                next_try_ms: None,
                pending: 1,
                sending: 20,
                sent: 300,
                failed: 4000,
                discarded: 50_000,
                evicted: 600_000,
                last_sent_ms: None,
                most: 0,
            }],
            ..Snapshot::default()
        };
        let counts = conservation(&serde_json::to_value(&snapshot).unwrap());
        assert_eq!(counts.destination("main").issued(), snapshot.destinations[0].issued());
        assert_eq!(counts.destination("main").unsent(), 21);
        assert_eq!(counts.source("ict").seen(), snapshot.sources[0].seen());
        assert_eq!(counts.source("ict").reports, 4);
        counts.assert_issued(654_321);
    }

    #[test]
    #[should_panic(expected = "no counter \"sent\"")]
    fn a_missing_counter_is_told() {
        let _books =
            conservation(&serde_json::json!({"sources": [], "destinations": [{"name": "a", "pending": 0, "sending": 0}]}));
    }
}
