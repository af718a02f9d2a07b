//! What is on screen, and nothing else: built from the agent's snapshots and events, and from how the connection does.
//!
//! The controller owns the model and changes it through these methods; the window gets finished copies. Each method that may
//! leave everything as it was says whether anything changed, so that nothing is painted for nothing.
//!
//! Invariants: what the agent said last stays on screen when it is gone, marked with since when it is stale; a value that was
//! not measured is absent.

use std::collections::VecDeque;

use waybill_ipc::ClientError;
use waybill_ipc::protocol::{AutostartStatus, Hello, Snapshot, Update};
use waybill_shared::error::ErrorReport;

use crate::command::Command;

#[cfg(test)]
pub(crate) mod sample;
mod throughput;

pub use throughput::{Stretch, Throughput, WINDOW_SECS};

/// Notices on screen; the oldest make room.
const MAX_NOTICES: usize = 4;

/// The connection to the agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Link {
    /// The first try, or one that a person asked for.
    Connecting,
    /// The agent talks to us.
    Connected {
        /// Version of the agent.
        version: String,
    },
    /// Nobody answers: no agent runs.
    Absent,
    /// Somebody answers and does not let us in, or may not be trusted, or speaks another version.
    Refused(ErrorReport),
    /// The connection ended or an answer did not come; it is tried again.
    Lost(ErrorReport),
}

/// What the agent said last.
#[derive(Debug, Clone, PartialEq)]
pub struct LastKnown {
    /// Where everything stood.
    pub snapshot: Snapshot,
    /// Since when it may be out of date, milliseconds since 1970 UTC; none while it is kept up.
    pub stale_since_ms: Option<i64>,
    seq: u64,
}

/// What the agent said about its autostart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Autostart {
    /// How it was when it was asked last; none if it never was.
    pub status: Option<AutostartStatus>,
    /// Why the last question or wish came to nothing.
    pub error: Option<ErrorReport>,
}

/// A command that is being carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// What was asked for.
    pub command: Command,
    /// When, milliseconds since 1970 UTC.
    pub since_ms: i64,
}

/// The outcome of a command, for as long as a person has not put it away.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Names it in [`Command::DismissNotice`].
    pub id: u64,
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// What was asked for.
    pub about: Command,
    /// What is wrong.
    pub error: ErrorReport,
}

/// What is on screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The connection.
    pub link: Link,
    /// Since when it is so, milliseconds since 1970 UTC.
    pub link_since_ms: i64,
    /// What the agent said last; none if it never did.
    pub known: Option<LastKnown>,
    /// Deliveries of the last two minutes.
    pub throughput: Throughput,
    /// Whether the agent starts by itself.
    pub autostart: Autostart,
    /// Commands under way.
    pub pending: Vec<Pending>,
    /// Outcomes that a person should see, the newest last.
    pub notices: VecDeque<Notice>,
    next_notice: u64,
}

impl Model {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self {
            link: Link::Connecting,
            link_since_ms: now_ms,
            known: None,
            throughput: Throughput::default(),
            autostart: Autostart::default(),
            pending: Vec::new(),
            notices: VecDeque::new(),
            next_notice: 1,
        }
    }

    /// What the agent said last.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.known.as_ref().map(|known| &known.snapshot)
    }

    /// Since when what is shown may be out of date.
    #[must_use]
    pub fn stale_since_ms(&self) -> Option<i64> {
        self.known.as_ref().and_then(|known| known.stale_since_ms)
    }

    /// True while this very command is being carried out.
    #[must_use]
    pub fn is_pending(&self, command: &Command) -> bool {
        self.pending.iter().any(|pending| pending.command == *command)
    }

    /// A person asked to try the connection now.
    pub fn connecting(&mut self, now_ms: i64) -> bool {
        self.set_link(Link::Connecting, now_ms)
    }

    /// The agent let us in.
    pub fn connected(&mut self, agent: &Hello, now_ms: i64) -> bool {
        self.set_link(Link::Connected { version: agent.version.clone() }, now_ms)
    }

    /// There is no connection, or no longer one.
    pub fn disconnected(&mut self, why: &ClientError, now_ms: i64) -> bool {
        if let Some(known) = &mut self.known {
            known.stale_since_ms.get_or_insert(now_ms);
        }
        self.throughput.interrupt();
        let link = match why {
            ClientError::NotRunning(_) => Link::Absent,
            ClientError::Untrusted { .. } | ClientError::Refused(_) | ClientError::Version { .. } => Link::Refused(why.report()),
            ClientError::Timeout(_) | ClientError::Broken(_) | ClientError::Agent(_) => Link::Lost(why.report()),
        };
        self.set_link(link, now_ms)
    }

    /// News of the agent.
    pub fn updated(&mut self, update: Update) -> bool {
        match update {
            Update::Snapshot { seq, snapshot, .. } => {
                self.known = Some(LastKnown { snapshot: *snapshot, stale_since_ms: None, seq });
                true
            }
            Update::Event { seq, at_ms, event } => match &mut self.known {
                Some(known) if known.stale_since_ms.is_none() && seq > known.seq => {
                    known.seq = seq;
                    known.snapshot.apply(at_ms, &event);
                    true
                }
                // Before the snapshot that it belongs to, or part of it.
                _ => false,
            },
        }
    }

    /// Second number `second` since the window was opened is over.
    pub fn second(&mut self, second: u64) -> bool {
        let fresh = self.known.as_ref().filter(|known| known.stale_since_ms.is_none());
        self.throughput.observe(second, fresh.map(|known| &known.snapshot))
    }

    /// A command is being carried out. What went wrong with the last one of its kind is no news any more.
    pub fn begun(&mut self, command: &Command, now_ms: i64) {
        self.notices.retain(|notice| notice.about != *command);
        if !self.is_pending(command) {
            self.pending.push(Pending { command: command.clone(), since_ms: now_ms });
        }
    }

    /// A command was carried out.
    pub fn done(&mut self, command: &Command) -> bool {
        let before = (self.pending.len(), self.notices.len());
        self.pending.retain(|pending| pending.command != *command);
        self.notices.retain(|notice| notice.about != *command);
        before != (self.pending.len(), self.notices.len())
    }

    /// A command could not be carried out: a person sees why.
    pub fn failed(&mut self, command: &Command, error: ErrorReport, now_ms: i64) {
        self.done(command);
        while self.notices.len() >= MAX_NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(Notice { id: self.next_notice, at_ms: now_ms, about: command.clone(), error });
        self.next_notice += 1;
    }

    /// What the agent answered to a command about autostart. An error is shown where it was asked, and what was known stays.
    pub fn autostart_told(&mut self, command: &Command, told: Result<AutostartStatus, ErrorReport>) -> bool {
        let before = self.autostart.clone();
        match told {
            Ok(status) => self.autostart = Autostart { status: Some(status), error: None },
            Err(error) => self.autostart.error = Some(error),
        }
        self.done(command) || before != self.autostart
    }

    /// A person has seen a notice.
    pub fn dismissed(&mut self, id: u64) -> bool {
        let before = self.notices.len();
        self.notices.retain(|notice| notice.id != id);
        before != self.notices.len()
    }

    fn set_link(&mut self, link: Link, now_ms: i64) -> bool {
        if self.link == link {
            return false;
        }
        self.link = link;
        self.link_since_ms = now_ms;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_ipc::protocol::{ClientKind, Connection, Event};
    use waybill_shared::error::Code;

    fn hello() -> Hello {
        Hello { protocol: 1, kind: ClientKind::Agent, pid: 1, version: "0.1.0".to_owned() }
    }

    fn snapshot(seq: u64) -> Update {
        Update::Snapshot { seq, missed: 0, snapshot: Box::new(sample::snapshot()) }
    }

    fn online(seq: u64) -> Update {
        let event =
            Event::Destination { destination: "main".to_owned(), state: Connection::Online, error: None, next_try_ms: None };
        Update::Event { seq, at_ms: 5, event }
    }

    fn absent() -> ClientError {
        ClientError::NotRunning("x".to_owned())
    }

    fn main_is_online(model: &Model) -> bool {
        model.snapshot().unwrap().destinations[1].state == Connection::Online
    }

    #[test]
    fn last_known_values_stay_and_are_marked_stale_since_the_first_moment() {
        let mut model = Model::new(0);
        model.connected(&hello(), 1);
        model.updated(snapshot(10));
        assert_eq!(model.stale_since_ms(), None);
        assert!(model.disconnected(&ClientError::Broken("x".to_owned()), 100));
        assert!(matches!(model.link, Link::Lost(_)));
        assert!(model.disconnected(&absent(), 200));
        assert_eq!(model.link, Link::Absent);
        assert!(!model.disconnected(&absent(), 300), "the same again is no change");
        assert_eq!((model.stale_since_ms(), model.link_since_ms), (Some(100), 200));
        assert_eq!(model.snapshot().unwrap().agent.identity.station, "ST-07");
    }

    #[test]
    fn a_new_snapshot_ends_staleness_and_not_the_connection_alone() {
        let mut model = Model::new(0);
        model.updated(snapshot(10));
        model.disconnected(&absent(), 100);
        model.connected(&hello(), 200);
        assert_eq!(model.stale_since_ms(), Some(100));
        assert!(!model.updated(online(11)), "an event without its snapshot says nothing");
        model.updated(snapshot(3));
        assert_eq!(model.stale_since_ms(), None);
        assert!(model.updated(online(4)), "a restarted agent counts from the beginning");
    }

    #[test]
    fn an_event_that_the_snapshot_contains_is_not_applied_twice() {
        let mut model = Model::new(0);
        assert!(!model.updated(online(1)), "before the first snapshot");
        model.updated(snapshot(10));
        assert!(!model.updated(online(10)));
        assert!(!main_is_online(&model));
        assert!(model.updated(online(12)), "numbers may have gaps");
        assert!(main_is_online(&model));
    }

    #[test]
    fn a_connection_lost_and_back_within_a_second_is_still_a_gap() {
        let mut model = Model::new(0);
        model.updated(snapshot(1));
        model.second(1);
        model.disconnected(&absent(), 100);
        model.updated(snapshot(2));
        model.second(2);
        assert!(model.throughput.total().is_empty(), "what was delivered unseen belongs to no second");
        model.second(3);
        assert_eq!(model.throughput.total(), [[[0.0, 0.0]]]);
    }

    #[test]
    fn each_reason_for_no_connection_has_its_state() {
        let version = ClientError::Version { agent: "9.0.0".to_owned(), theirs: 9, older: "this program" };
        let cases = [
            (version, Code::ProtocolMismatch, true),
            (ClientError::Refused("full".to_owned()), Code::PeerCrowded, true),
            (ClientError::Timeout(std::time::Duration::from_secs(1)), Code::PeerTimeout, false),
            (ClientError::Broken("x".to_owned()), Code::PeerBroken, false),
        ];
        for (error, code, refused) in cases {
            let mut model = Model::new(0);
            model.disconnected(&error, 1);
            match &model.link {
                Link::Refused(report) => assert!(refused && report.code == code, "{error}"),
                Link::Lost(report) => assert!(!refused && report.code == code, "{error}"),
                other => panic!("{error}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_command_is_pending_until_its_outcome_and_a_failure_is_seen_until_dismissed() {
        let mut model = Model::new(0);
        model.begun(&Command::StartAgent, 1);
        model.begun(&Command::StartAgent, 2);
        assert_eq!(model.pending, [Pending { command: Command::StartAgent, since_ms: 1 }]);
        model.failed(&Command::StartAgent, ErrorReport::new(Code::AgentNotRunning, "x"), 3);
        assert!(!model.is_pending(&Command::StartAgent));
        let id = model.notices[0].id;
        assert!(model.dismissed(id));
        assert!(!model.dismissed(id));
    }

    #[test]
    fn a_wish_about_autostart_that_failed_is_told_beside_what_was_known_until_the_next_answer() {
        use waybill_ipc::protocol::{AutostartState, AutostartStatus};
        let status = |state| AutostartStatus { state, place: "x".to_owned(), starts: None, notes: Vec::new() };
        let mut model = Model::new(0);
        let wish = Command::SetAutostart(true);
        assert!(model.autostart_told(&Command::LookAtAutostart, Ok(status(AutostartState::Absent))));
        assert!(
            !model.autostart_told(&Command::LookAtAutostart, Ok(status(AutostartState::Absent))),
            "the same again is no change"
        );
        model.begun(&wish, 1);
        assert!(model.autostart_told(&wish, Err(ErrorReport::new(Code::AutostartFailed, "no"))));
        assert!(!model.is_pending(&wish) && model.notices.is_empty());
        assert_eq!(model.autostart.status.as_ref().unwrap().state, AutostartState::Absent);
        assert!(model.autostart_told(&wish, Ok(status(AutostartState::Enabled))));
        assert_eq!(model.autostart.error, None);
    }

    #[test]
    fn trying_again_takes_the_old_failure_away_and_notices_are_bounded() {
        let mut model = Model::new(0);
        for at in 0..10 {
            model.failed(&Command::Reconnect, ErrorReport::new(Code::Internal, "x"), at);
        }
        assert_eq!(model.notices.len(), 1, "the newest of a kind is enough");
        model.begun(&Command::Reconnect, 20);
        assert!(model.notices.is_empty());
        assert!(model.done(&Command::Reconnect));
        assert!(!model.done(&Command::Reconnect));
        for id in 0..10 {
            model.failed(&Command::DismissNotice(id), ErrorReport::new(Code::Internal, "x"), 0);
        }
        assert_eq!(model.notices.len(), MAX_NOTICES);
    }
}
