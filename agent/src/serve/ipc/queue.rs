//! Requests about the queue: looking into it, and what people do with what lies in it.

use std::time::Duration;

use jiff::Timestamp;
use waybill_ipc::protocol::{Changed, FsckReport, Reply, Which};
use waybill_shared::error::{Code, ErrorReport};

use super::{Service, Session};
use crate::history::NewEntry;
use crate::queue::{self, Ack, Command, Places, QueueError};
use crate::upload::dispatcher::Order;
use crate::{access, serve::answers};

/// Longest time for the store to do what a person wants.
const STORE: Duration = Duration::from_secs(20);
/// Longest time for a check of the store.
const FSCK: Duration = Duration::from_secs(45);
/// Characters of a reason that are kept.
const REASON: usize = 500;

impl Service {
    /// Has the writer do something, within a time.
    pub(super) async fn write<T: Send + 'static>(&self, command: impl FnOnce(Ack<T>) -> Command) -> Result<T, ErrorReport> {
        match tokio::time::timeout(STORE, self.parts.writer.ask(command)).await {
            Ok(done) => done.map_err(|error| error.report()),
            Err(_) => Err(QueueError::Write("it took too long; it may still be done".to_owned()).report()),
        }
    }

    pub(super) async fn retry(&self, session: &Session, which: Which) -> Result<Reply, ErrorReport> {
        let target = access::which(&which);
        let result = self.write(|ack| Command::Retry { which, ack }).await;
        self.note_changed(session, "queue.retry", &target, &result, String::new());
        result.map(Reply::Changed)
    }

    pub(super) async fn discard(&self, session: &Session, which: Which, why: &str) -> Result<Reply, ErrorReport> {
        let target = access::which(&which);
        let why = waybill_shared::text::shortened(&waybill_shared::text::printable(why.trim(), REASON), REASON);
        if why.is_empty() {
            let error = ErrorReport::new(Code::RequestInvalid, "reports are given up only for a reason: say which")
                .with_fix("Give a reason, which stands in the history and with the reports");
            self.note(session, "queue.discard", &target, Err(&error));
            return Err(error);
        }
        let note = format!("given up by {}: {why}", session.who);
        let result = self.write(|ack| Command::Discard { which, why: note, ack }).await;
        self.note_changed(session, "queue.discard", &target, &result, why);
        result.map(Reply::Changed)
    }

    /// What a person did with reports stands in the history, with how many they were.
    fn note_changed(&self, session: &Session, action: &str, target: &str, result: &Result<Changed, ErrorReport>, why: String) {
        let entry = NewEntry::new(&session.who, waybill_ipc::protocol::Via::Ipc, action, target);
        let entry = match result {
            Ok(changed) => {
                let noun = if changed.count == 1 { "report" } else { "reports" };
                let skipped = match changed.skipped {
                    0 => String::new(),
                    skipped => format!(", {skipped} left because a newer revision went there"),
                };
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                entry.message(format!("{} {noun}{skipped}{why}", changed.count))
            }
            Err(_) => entry,
        };
        self.parts.history.note(access::came_to(entry, result.as_ref().map(|_| ())));
    }

    pub(super) async fn hold_lane(&self, session: &Session, priority: u8, held: bool) -> Result<Reply, ErrorReport> {
        let result = self.write(|ack| Command::HoldLane { priority, held, ack }).await;
        let action = if held { "lane.pause" } else { "lane.resume" };
        self.note(session, action, &format!("lane {priority}"), result.as_ref().map(|_| ()));
        result.map(|()| Reply::Done)
    }

    pub(super) async fn hold_destination(&self, session: &Session, name: &str, held: bool) -> Result<Reply, ErrorReport> {
        let result = self.try_hold(name, held).await;
        let action = if held { "destination.pause" } else { "destination.resume" };
        self.note(session, action, name, result.as_ref().map(|_| ()));
        result.map(|()| Reply::Done)
    }

    async fn try_hold(&self, name: &str, held: bool) -> Result<(), ErrorReport> {
        let destination = answers::destination(&self.parts.live.load().effective.config, name)?.name.clone();
        self.write(|ack| Command::HoldDestination { destination: destination.clone(), held, ack }).await?;
        // One that is switched off has no task; it is told when it starts.
        self.order(&destination, if held { Order::Hold } else { Order::Resume }).await.map(drop)
    }

    /// Tells a destination's task something; false if none runs.
    async fn order(&self, name: &str, order: Order) -> Result<bool, ErrorReport> {
        let orders = self.parts.orders.load().get(&name.to_ascii_lowercase()).cloned();
        let Some(orders) = orders else { return Ok(false) };
        match tokio::time::timeout(STORE, orders.send(order)).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(_)) => Ok(false),
            Err(_) => Err(ErrorReport::new(Code::PeerTimeout, format!("the task of the destination {name:?} does not answer"))),
        }
    }

    pub(super) async fn reset_breaker(&self, session: &Session, name: &str) -> Result<Reply, ErrorReport> {
        let known = answers::destination(&self.parts.live.load().effective.config, name).map(|d| d.name.clone());
        let result = match known {
            Ok(name) => self.order(&name, Order::Reset).await.and_then(|told| {
                let off = || ErrorReport::new(Code::RequestInvalid, format!("the destination {name:?} is switched off"));
                if told { Ok(()) } else { Err(off().with_fix("Switch it on in the configuration")) }
            }),
            Err(error) => Err(error),
        };
        self.note(session, "destination.reset_breaker", name, result.as_ref().map(|_| ()));
        result.map(|()| Reply::Done)
    }

    pub(super) async fn losses_seen(&self, session: &Session) -> Result<Reply, ErrorReport> {
        let result = self.write(|ack| Command::LossesSeen { ack }).await;
        self.note(session, "queue.losses_seen", "", result.as_ref().map(|_| ()));
        result.map(|()| Reply::Done)
    }

    pub(super) async fn fsck(&self, session: &Session) -> Result<FsckReport, ErrorReport> {
        let places = Places::of(&self.parts.instance);
        let checked = self.store_desk.run(move || queue::check(&places, FSCK)).await;
        let checked = checked.and_then(|checked| checked.map_err(|error| error.report()));
        self.note(session, "fsck", "", checked.as_ref().map(|_| ()));
        checked
    }

    pub(super) async fn backup_queue(&self, session: &Session) -> Result<Reply, ErrorReport> {
        let (places, folder) = (Places::of(&self.parts.instance), self.parts.instance.backups());
        let made = self
            .store_desk
            .run(move || queue::backup(&places.database, &folder, Timestamp::now()))
            .await
            .and_then(|made| made.map_err(|error| error.report()));
        let place = made.as_ref().map_or_else(|_| String::new(), |path| waybill_shared::text::path(path));
        self.note(session, "queue.backup", &place, made.as_ref().map(|_| ()));
        made.map(|_| Reply::BackupQueue(place))
    }
}
