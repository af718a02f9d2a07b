//! Where everything stands. The agent keeps one by applying its own events; a window keeps the same one the same way.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use waybill_shared::error::ErrorReport;

use super::{AgentState, Configured, DestinationHead, Event, FullBy, SourceHead};

/// How many of the latest happenings a snapshot keeps.
pub const RECENT_LIMIT: usize = 50;

/// Where everything stands at one event's number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The agent itself.
    pub agent: AgentInfo,
    /// The queue as a whole.
    pub queue: QueueStatus,
    /// Each source, in the order of the configuration.
    pub sources: Vec<SourceStatus>,
    /// Each destination, in the order of the configuration; then those that are configured no more and still have reports.
    pub destinations: Vec<DestinationStatus>,
    /// The latest happenings, the newest last.
    pub recent: VecDeque<Activity>,
    /// What is configured no more and has nothing left to do: its numbers go on if it comes back.
    pub former: Former,
}

/// Sources and destinations that were configured and have nothing left to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Former {
    /// Sources.
    pub sources: Vec<SourceStatus>,
    /// Destinations.
    pub destinations: Vec<DestinationStatus>,
}

/// Who the station is, and how its window looks: what follows from the configuration alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Name of the station.
    pub station: String,
    /// Where the name comes from, in words.
    pub name_source: String,
    /// Where the station stands.
    pub location: String,
    /// What the station is for.
    pub purpose: String,
    /// Which version of the configuration is in use.
    pub revision: String,
    /// False while nobody has set this agent up.
    pub configured: bool,
    /// `system`, `light` or `dark`.
    pub window_theme: String,
    /// Size of everything in the window, percent.
    pub window_zoom: u32,
}

/// The agent itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// How it is.
    pub state: AgentState,
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Name of the instance.
    pub instance: String,
    /// When it started, milliseconds since 1970 UTC.
    pub started_at_ms: i64,
    /// Who the station is.
    pub identity: Identity,
    /// The configuration it reads.
    pub config: String,
    /// What is wrong with the configuration that lies there, if another one is in use.
    pub config_problem: Option<ErrorReport>,
    /// The folder it owns.
    pub data: String,
    /// How far its stop is, if it stops.
    pub stopping: Option<Stopping>,
    /// What is wrong with it as a whole: something that it cannot do without has failed too often.
    pub error: Option<ErrorReport>,
}

/// The phases of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopPhase {
    /// Nothing new begins; what has begun may end by itself.
    Drain,
    /// What remains is told to let go.
    Cancel,
    /// What was not sent is counted, and everything is closed.
    Verify,
}

impl StopPhase {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Cancel => "cancel",
            Self::Verify => "verify",
        }
    }
}

/// How far a stop is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// Which phase.
    pub phase: StopPhase,
    /// For how long, milliseconds.
    pub since_ms: u64,
    /// What it waits for, in words.
    pub waits_for: Vec<String>,
}

/// The queue as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Deliveries that wait or are being sent.
    pub waiting: u64,
    /// Deliveries that wait for the destination for which most do: what the limit is about.
    pub fullest: u64,
    /// Most reports that may wait for one destination.
    pub max_entries: u64,
    /// Whether files are turned away.
    pub full: bool,
    /// Which bound is reached, if one is.
    pub full_by: Option<FullBy>,
    /// Lanes from which nothing goes, because somebody holds them.
    pub held_lanes: Vec<u8>,
    /// Times at which damage was found in the store and something was lost, that nobody has said he has seen.
    pub losses: u32,
}

impl QueueStatus {
    /// Brings the numbers to what the destinations say.
    pub fn count(&mut self, destinations: &[DestinationStatus]) {
        let waiting = |d: &DestinationStatus| d.pending + d.sending;
        self.waiting = destinations.iter().map(waiting).sum();
        self.fullest = destinations.iter().map(waiting).max().unwrap_or(0);
    }
}

/// How a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Not looked at yet.
    Starting,
    /// Watched.
    Watching,
    /// The folder cannot be used; it is tried again.
    Unavailable,
    /// Not looked at while the queue is full.
    Paused,
    /// Not looked at any more, because the agent stops.
    Stopped,
    /// Switched off in the configuration.
    Disabled,
}

/// A source and its files. Per file: seen = waiting + queued + errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: String,
    /// Its converter.
    pub converter: String,
    /// How it is.
    pub state: SourceState,
    /// Why, if something is wrong.
    pub error: Option<ErrorReport>,
    /// Files that were found and are not queued yet: they are being converted, or wait in their folder while the queue is full.
    pub waiting: u64,
    /// Files whose reports are in the queue or beyond.
    pub queued: u64,
    /// Files that could not be converted.
    pub errors: u64,
    /// Reports that the files held.
    pub reports: u64,
}

/// How far a report is on its way to one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Part of a file whose other reports are still being stored.
    Staged,
    /// Waits.
    Pending,
    /// On its way.
    Sending,
    /// Arrived.
    Sent,
    /// Refused for good; waits for a person.
    Failed,
    /// Given up by a person.
    Discarded,
    /// Had to make room; lies in a file.
    Evicted,
}

/// How the way to a destination is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// Nothing was sent yet.
    Idle,
    /// The last report arrived, or the place has answered since.
    Online,
    /// The last try failed; it is tried again.
    Degraded,
    /// Failed so often that it is left alone for a while.
    BreakerOpen,
    /// Refuses us as a whole (the token, the address); everything waits.
    Paused,
    /// In the queue's books only: it is configured no more.
    Removed,
    /// Switched off in the configuration; everything waits.
    Disabled,
    /// Held by a person; everything waits.
    Held,
}

/// A destination and its deliveries. Issued = pending + sending + sent + failed + discarded + evicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DestinationStatus {
    /// Its name.
    pub name: String,
    /// `folder`, `wats`, …
    pub kind: String,
    /// Its address or folder.
    pub address: String,
    /// How the way there is.
    pub state: Connection,
    /// Why, if something is wrong.
    pub error: Option<ErrorReport>,
    /// When it is tried again, milliseconds since 1970 UTC.
    pub next_try_ms: Option<i64>,
    /// Deliveries that wait.
    pub pending: u64,
    /// Deliveries on their way.
    pub sending: u64,
    /// Deliveries that arrived, ever.
    pub sent: u64,
    /// Deliveries that wait for a person.
    pub failed: u64,
    /// Deliveries given up by a person.
    pub discarded: u64,
    /// Deliveries that had to make room.
    pub evicted: u64,
    /// When the last one arrived, milliseconds since 1970 UTC.
    pub last_sent_ms: Option<i64>,
    /// Most deliveries that ever waited at the same time.
    pub most: u64,
}

/// One of the latest happenings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// What.
    pub kind: ActivityKind,
    /// Source or destination.
    pub place: String,
    /// File, serial number.
    pub subject: String,
    /// Life of the file.
    pub correlation_id: Option<String>,
    /// What is wrong, if something is.
    pub error: Option<ErrorReport>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivityKind {
    /// A file's reports are in the queue.
    Queued,
    /// A report arrived.
    Sent,
    /// A report is tried again later.
    Retry,
    /// A report was refused.
    Failed,
    /// A report had to make room.
    Evicted,
    /// A file could not be converted.
    Broken,
    /// A source or destination is well again.
    Recovered,
    /// A source or destination is in trouble.
    Trouble,
}

fn taken<T>(from: &mut Vec<T>, wanted: impl Fn(&T) -> bool) -> Option<T> {
    from.iter().position(wanted).map(|index| from.remove(index))
}

impl DestinationStatus {
    /// A destination as it is configured, with the numbers it had if it was known; the way there is found out anew if the destination is
    /// another one, or was switched on or off.
    #[must_use]
    pub fn of(head: &DestinationHead, known: Option<Self>) -> Self {
        let state = if head.enabled { Connection::Idle } else { Connection::Disabled };
        let mut status = known.unwrap_or_else(|| Self {
            name: head.name.clone(),
            kind: head.kind.clone(),
            address: head.address.clone(),
            state,
            error: None,
            next_try_ms: None,
            pending: 0,
            sending: 0,
            sent: 0,
            failed: 0,
            discarded: 0,
            evicted: 0,
            last_sent_ms: None,
            most: 0,
        });
        let switched = (status.state == Connection::Disabled) == head.enabled || status.state == Connection::Removed;
        if switched || status.kind != head.kind || status.address != head.address {
            (status.state, status.error, status.next_try_ms) = (state, None, None);
        }
        status.name.clone_from(&head.name);
        status.kind.clone_from(&head.kind);
        status.address.clone_from(&head.address);
        status
    }

    /// Deliveries ever bound to this destination.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.pending + self.sending + self.sent + self.failed + self.discarded + self.evicted
    }
}

impl SourceStatus {
    /// A source as it is configured, with the numbers it had if it was known.
    #[must_use]
    pub fn of(head: &SourceHead, known: Option<Self>) -> Self {
        let state = if head.enabled { SourceState::Starting } else { SourceState::Disabled };
        let mut status = known.unwrap_or_else(|| Self {
            name: head.name.clone(),
            folder: head.folder.clone(),
            converter: head.converter.clone(),
            state,
            error: None,
            waiting: 0,
            queued: 0,
            errors: 0,
            reports: 0,
        });
        if !head.enabled || matches!(status.state, SourceState::Stopped | SourceState::Disabled) {
            (status.state, status.error) = (state, None);
        }
        status.folder.clone_from(&head.folder);
        status.converter.clone_from(&head.converter);
        status
    }

    /// Files ever seen.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.waiting + self.queued + self.errors
    }
}

impl Snapshot {
    /// Deliveries that were made, also to destinations that are no more.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.destinations.iter().chain(&self.former.destinations).map(|destination| destination.sent).sum()
    }

    /// Brings the snapshot to where it stands after `event`.
    pub fn apply(&mut self, at_ms: i64, event: &Event) {
        match event {
            Event::Agent { state } => self.agent.state = *state,
            Event::Source { source, state, error } => self.source_changed(at_ms, source, *state, error.as_ref()),
            Event::Stopping(stopping) => self.agent.stopping = Some(stopping.clone()),
            Event::AgentError { error } => self.agent.error.clone_from(error),
            Event::FileSeen { source, .. } => self.with_source(source, |s| s.waiting += 1),
            Event::FileForgotten { source, .. } => self.with_source(source, |s| s.waiting = s.waiting.saturating_sub(1)),
            Event::FileQueued { source, file, correlation_id, reports, serial, destinations, whole } => {
                self.with_source(source, |s| {
                    if *whole {
                        s.waiting = s.waiting.saturating_sub(1);
                        s.queued += 1;
                    }
                    s.reports += u64::from(*reports);
                });
                for destination in destinations {
                    self.with_destination(destination, |d| d.wait(u64::from(*reports)));
                }
                let subject = if *reports == 1 { format!("{file} · {serial}") } else { format!("{file} · {reports} reports") };
                self.note(at_ms, ActivityKind::Queued, source, subject, Some(correlation_id), None);
            }
            Event::FileBroken { source, file, correlation_id, error, .. } => {
                self.with_source(source, |s| {
                    s.waiting = s.waiting.saturating_sub(1);
                    s.errors += 1;
                });
                self.note(at_ms, ActivityKind::Broken, source, file.clone(), Some(correlation_id), Some(error));
            }
            Event::Sent { destination, serial, correlation_id, .. } => {
                self.with_destination(destination, |d| {
                    d.leave_waiting();
                    d.sent += 1;
                    d.last_sent_ms = Some(at_ms);
                });
                self.note(at_ms, ActivityKind::Sent, destination, serial.clone(), Some(correlation_id), None);
            }
            Event::Failed { destination, serial, correlation_id, error, .. } => {
                self.with_destination(destination, |d| {
                    d.leave_waiting();
                    d.failed += 1;
                });
                self.note(at_ms, ActivityKind::Failed, destination, serial.clone(), Some(correlation_id), Some(error));
            }
            Event::Evicted { destination, serial, .. } => {
                self.with_destination(destination, |d| {
                    d.leave_waiting();
                    d.evicted += 1;
                });
                self.note(at_ms, ActivityKind::Evicted, destination, serial.clone(), None, None);
            }
            Event::Retry { destination, serial, correlation_id, error, .. } => {
                self.note(at_ms, ActivityKind::Retry, destination, serial.clone(), Some(correlation_id), Some(error));
            }
            Event::Sending { destination, count } => self.with_destination(destination, |d| {
                let both = d.pending + d.sending;
                d.sending = u64::from(*count).min(both);
                d.pending = both - d.sending;
            }),
            Event::Destination { destination, state, error, next_try_ms } => {
                self.destination_changed(at_ms, destination, *state, error.as_ref(), *next_try_ms);
            }
            Event::QueueFull { full, by } => (self.queue.full, self.queue.full_by) = (*full, *by),
            Event::Changed { destination, from, to, count } => self.with_destination(destination, |d| {
                d.leave(*from, *count);
                d.come(*to, *count);
            }),
            Event::LaneHeld { priority, held } => {
                self.queue.held_lanes.retain(|lane| lane != priority);
                if *held {
                    self.queue.held_lanes.push(*priority);
                    self.queue.held_lanes.sort_unstable();
                }
            }
            Event::LossesSeen => self.queue.losses = 0,
            Event::Configured(configured) => self.configured(configured),
            Event::LetGo { destination, pending, failed, moved, to } => {
                self.let_go(destination, *pending, *failed, *moved, to.as_deref());
            }
            Event::ConfigProblem { error } => self.agent.config_problem.clone_from(error),
        }
        self.queue.count(&self.destinations);
    }

    /// What is new begins with its numbers of before, if it was there once; what is gone keeps them.
    fn configured(&mut self, new: &Configured) {
        self.agent.identity = new.identity.clone();
        self.queue.max_entries = new.max_entries;
        let mut known: Vec<SourceStatus> = std::mem::take(&mut self.sources);
        known.append(&mut self.former.sources);
        self.sources =
            new.sources.iter().map(|head| SourceStatus::of(head, taken(&mut known, |s| s.name == head.name))).collect();
        self.former.sources = known;
        let mut known: Vec<DestinationStatus> = std::mem::take(&mut self.destinations);
        known.append(&mut self.former.destinations);
        self.destinations = new
            .destinations
            .iter()
            .map(|head| DestinationStatus::of(head, taken(&mut known, |d| d.name.eq_ignore_ascii_case(&head.name))))
            .collect();
        for mut gone in known {
            gone.state = Connection::Removed;
            (gone.error, gone.next_try_ms) = (None, None);
            if gone.pending + gone.sending + gone.failed > 0 {
                self.destinations.push(gone);
            } else {
                self.former.destinations.push(gone);
            }
        }
    }

    fn let_go(&mut self, destination: &str, pending: u64, failed: u64, moved: u64, to: Option<&str>) {
        self.with_destination(destination, |d| {
            // It has ended: nothing is on its way any more.
            d.pending = (d.pending + d.sending).saturating_sub(pending);
            d.sending = 0;
            d.failed = d.failed.saturating_sub(failed);
            d.discarded += (pending + failed).saturating_sub(moved);
        });
        if let Some(to) = to {
            self.with_destination(to, |d| d.wait(moved));
        }
        let gone = |d: &DestinationStatus| d.state == Connection::Removed && d.pending + d.sending + d.failed == 0;
        let (former, stay) = std::mem::take(&mut self.destinations).into_iter().partition(gone);
        self.destinations = stay;
        self.former.destinations.extend::<Vec<_>>(former);
    }

    fn source_changed(&mut self, at_ms: i64, source: &str, state: SourceState, error: Option<&ErrorReport>) {
        let mut news = None;
        self.with_source(source, |s| {
            if s.error.is_some() != error.is_some() {
                news = Some(if error.is_some() { ActivityKind::Trouble } else { ActivityKind::Recovered });
            }
            s.state = state;
            s.error = error.cloned();
        });
        if let Some(kind) = news {
            self.note(at_ms, kind, source, String::new(), None, error);
        }
    }

    fn destination_changed(
        &mut self,
        at_ms: i64,
        destination: &str,
        state: Connection,
        error: Option<&ErrorReport>,
        next_try_ms: Option<i64>,
    ) {
        let mut news = None;
        self.with_destination(destination, |d| {
            let troubled = |state| matches!(state, Connection::BreakerOpen | Connection::Paused);
            if troubled(d.state) != troubled(state) {
                news = Some(if troubled(state) { ActivityKind::Trouble } else { ActivityKind::Recovered });
            }
            d.state = state;
            d.error = error.cloned();
            d.next_try_ms = next_try_ms;
        });
        if let Some(kind) = news {
            self.note(at_ms, kind, destination, String::new(), None, error);
        }
    }

    fn with_source(&mut self, name: &str, change: impl FnOnce(&mut SourceStatus)) {
        if let Some(source) = self.sources.iter_mut().find(|s| s.name == name) {
            change(source);
        }
    }

    fn with_destination(&mut self, name: &str, change: impl FnOnce(&mut DestinationStatus)) {
        if let Some(destination) = self.destinations.iter_mut().find(|d| d.name == name) {
            change(destination);
        }
    }

    fn note(
        &mut self,
        at_ms: i64,
        kind: ActivityKind,
        place: &str,
        subject: String,
        correlation_id: Option<&String>,
        error: Option<&ErrorReport>,
    ) {
        while self.recent.len() >= RECENT_LIMIT {
            self.recent.pop_front();
        }
        self.recent.push_back(Activity {
            at_ms,
            kind,
            place: place.to_owned(),
            subject,
            correlation_id: correlation_id.cloned(),
            error: error.cloned(),
        });
    }
}

impl DestinationStatus {
    /// One delivery ends: it was on its way, or it waited.
    fn leave_waiting(&mut self) {
        if self.sending > 0 { self.sending -= 1 } else { self.pending = self.pending.saturating_sub(1) }
    }

    /// So many more wait.
    fn wait(&mut self, count: u64) {
        self.pending += count;
        self.most = self.most.max(self.pending + self.sending);
    }

    fn leave(&mut self, state: DeliveryState, count: u64) {
        match state {
            DeliveryState::Staged => {}
            DeliveryState::Pending | DeliveryState::Sending => (0..count).for_each(|_| self.leave_waiting_first()),
            DeliveryState::Sent => self.sent = self.sent.saturating_sub(count),
            DeliveryState::Failed => self.failed = self.failed.saturating_sub(count),
            DeliveryState::Discarded => self.discarded = self.discarded.saturating_sub(count),
            DeliveryState::Evicted => self.evicted = self.evicted.saturating_sub(count),
        }
    }

    /// One delivery is taken from those that wait; only if there is none from those on their way.
    fn leave_waiting_first(&mut self) {
        if self.pending > 0 { self.pending -= 1 } else { self.sending = self.sending.saturating_sub(1) }
    }

    fn come(&mut self, state: DeliveryState, count: u64) {
        match state {
            DeliveryState::Staged => {}
            DeliveryState::Pending | DeliveryState::Sending => self.wait(count),
            DeliveryState::Sent => self.sent += count,
            DeliveryState::Failed => self.failed += count,
            DeliveryState::Discarded => self.discarded += count,
            DeliveryState::Evicted => self.evicted += count,
        }
    }
}
