//! One task a destination: takes what may go, in rank order, and writes down what came of it.
//!
//! What is on its way is known here and nowhere else: *sending* for HTTP and the like, *settling* until the outcome is committed. Neither is
//! taken again, and after a crash both are simply pending.
//!
//! What may go comes by two ways: what was committed a moment ago through the destination's [`Door`], and what waits longer is read from the
//! store ([`at_hand`]). As long as everything that may go is at hand the store is not read at all. What came of it is judged and written down in
//! [`outcome`]; [`memory`] is what is remembered of the breaker over restarts, [`show`] what everybody sees.

mod at_hand;
mod memory;
mod outcome;
mod show;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use waybill_ipc::protocol::{Connection, Event};
use waybill_shared::config::Upload;
use waybill_shared::error::ErrorReport;

use super::backoff::Backoff;
use super::breaker::{self, Allowed, Breaker, Limits};
use super::destination::{Delivered, Destination, Parcel};
use crate::queue::{DeliveryKey, Door, Outcome, QueueError, Reader, ReadyDelivery, Remembered, Writer};
use crate::supervisor::Progress;

/// Deliveries fetched at once.
const FETCH: usize = 128;
/// Deliveries that are at hand at most, but for what one look behind the door brings.
const AT_HAND: usize = 256;
/// Longest time by which the first report waits by chance after a breaker closed.
const COMING_BACK: Duration = Duration::from_secs(1);
/// Orders of people that wait for a dispatcher.
pub const ORDERS: usize = 16;
/// Outcomes that wait for their commit, at most; more are not sent before.
const SETTLING: usize = 512;
/// How often the number on the way is told while it changes all the time.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Pause after a read or a write of the queue failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// First pause after a failure before the breaker opens; doubled for each further one.
const FAILURE_PAUSE: Duration = Duration::from_millis(200);
/// How often a destination without a usable secret is looked at again.
const SECRET_PAUSE: Duration = Duration::from_secs(60);

/// Everything a dispatcher needs.
pub struct Setup {
    /// Name of the destination.
    pub name: String,
    /// The destination.
    pub destination: Arc<dyn Destination>,
    /// To read the queue.
    pub reader: Reader,
    /// To write to the queue.
    pub writer: Writer,
    /// Limits of sending.
    pub upload: Upload,
    /// Through which it gets what was just committed.
    pub door: Arc<Door>,
    /// Whether its breaker goes on as the store remembers it: after a start of the agent. One that is configured anew begins anew.
    pub goes_on: bool,
    /// What people want of it.
    pub orders: mpsc::Receiver<Order>,
    /// Where events go.
    pub publish: Arc<dyn Fn(Event) + Send + Sync>,
    /// Take nothing new; end when what is on its way is over.
    pub drain: CancellationToken,
    /// End now.
    pub cancel: CancellationToken,
}

/// What a person wants of a destination.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// Nothing goes there any more.
    Hold,
    /// It goes on.
    Resume,
    /// Whatever happened, ask it now.
    Reset,
    /// What it answered when it was asked without a report, from time to time: the heartbeat. It counts for no breaker.
    Heard(Result<(), ErrorReport>),
}

struct Dispatcher {
    setup: Setup,
    backoff: Backoff,
    breaker: Breaker,
    /// The destination refuses us as a whole: why, and when it is asked again.
    paused: Option<(ErrorReport, Instant)>,
    /// A person holds it.
    held: bool,
    /// Nothing is sent before then.
    not_before: Instant,
    /// The next report may go then, if so many a second may.
    next_of_rate: Instant,
    /// In the order in which they go.
    fetched: VecDeque<ReadyDelivery>,
    /// The newest entry that was in the store when it was last read.
    upto: i64,
    /// Something waits for an older revision of its report.
    blocked: bool,
    /// The breaker as the store remembers it.
    remembered: Option<breaker::Remembered>,
    sending: JoinSet<(DeliveryKey, u32, Delivered)>,
    on_the_way: HashMap<tokio::task::Id, DeliveryKey>,
    settling: HashSet<i64>,
    settled_in: mpsc::Sender<Settled>,
    settled: mpsc::Receiver<Settled>,
    /// True if the queue may have something that was not fetched.
    hungry: bool,
    next_due: Option<Instant>,
    told: (u32, Instant),
    state: (Connection, Option<String>),
}

struct Settled {
    entry: i64,
    /// When it goes again, milliseconds since 1970 UTC, if it does.
    due_ms: Option<i64>,
    result: Result<(), QueueError>,
}

/// The name under which the dispatcher of a destination is supervised.
#[must_use]
pub fn supervised(name: &str) -> String {
    format!("destination {name}")
}

/// Runs until it is drained or cancelled.
pub async fn run(setup: Setup, progress: Progress) {
    begin(setup).await.run(&progress).await;
}

/// What wakes a dispatcher.
enum Woken {
    Cancelled,
    Looks,
    Ordered(Order),
    Ended(Result<(tokio::task::Id, (DeliveryKey, u32, Delivered)), tokio::task::JoinError>),
    Settled(Settled),
    Due,
}

/// A dispatcher with what is remembered of its destination.
async fn begin(setup: Setup) -> Dispatcher {
    let upload = &setup.upload;
    let backoff = Backoff {
        initial: Duration::from_secs(upload.backoff_initial_secs),
        longest: Duration::from_secs(upload.backoff_max_secs),
    };
    let limits = Limits {
        failures: upload.breaker_failures,
        cooldown: Duration::from_secs(upload.breaker_cooldown_secs),
        longest: Duration::from_secs(upload.breaker_max_cooldown_secs),
    };
    let remembered = match setup.reader.remembered(&setup.name).await {
        Ok(remembered) => remembered,
        Err(error) => {
            tracing::warn!(event = "destination_history_unknown", destination = setup.name, %error, "treated as new");
            Remembered::default()
        }
    };
    if remembered.accepted_by.is_some_and(|address| address == setup.destination.address()) {
        setup.destination.accepted_before();
    }
    let was_open = memory::was_open(remembered.breaker).filter(|_| setup.goes_on);
    let breaker = was_open.map_or_else(|| Breaker::new(limits), |was| Breaker::reopened(limits, was, Instant::now()));
    let (settled_in, settled) = mpsc::channel(SETTLING + 64);
    Dispatcher {
        backoff,
        breaker,
        paused: None,
        held: remembered.held,
        not_before: Instant::now(),
        next_of_rate: Instant::now(),
        fetched: VecDeque::new(),
        upto: 0,
        blocked: false,
        remembered: was_open,
        sending: JoinSet::new(),
        on_the_way: HashMap::new(),
        settling: HashSet::new(),
        settled_in,
        settled,
        hungry: true,
        next_due: None,
        told: (0, Instant::now()),
        state: (Connection::Idle, None),
        setup,
    }
}

impl Dispatcher {
    async fn run(mut self, progress: &Progress) {
        let (drain, cancel, door) = (self.setup.drain.clone(), self.setup.cancel.clone(), Arc::clone(&self.setup.door));
        self.show_how_it_begins();
        let mut woken = Woken::Looks;
        loop {
            let working = progress.work();
            match woken {
                Woken::Cancelled => break,
                Woken::Looks => {}
                Woken::Ordered(order) => self.obey(order).await,
                Woken::Ended(ended) => self.ended(ended).await,
                Woken::Settled(settled) => self.settled(settled),
                Woken::Due => self.hungry = true,
            }
            self.look_behind_the_door();
            // Asked once: a drain that begins during the sending is noticed below.
            let draining = drain.is_cancelled();
            if !draining {
                self.send_what_may_go().await;
            } else if self.sending.is_empty() && self.settling.is_empty() {
                break;
            }
            self.tell_how_many();
            let appointment = self.appointment();
            drop(working);
            woken = tokio::select! {
                () = cancel.cancelled() => Woken::Cancelled,
                () = drain.cancelled(), if !draining => Woken::Looks,
                () = door.came() => Woken::Looks,
                Some(order) = self.setup.orders.recv() => Woken::Ordered(order),
                Some(ended) = self.sending.join_next_with_id() => Woken::Ended(ended),
                Some(settled) = self.settled.recv() => Woken::Settled(settled),
                () = tokio::time::sleep_until(appointment.into()) => Woken::Due,
            };
        }
        door.close();
        // Dropping the set closes the connections of what is still on its way; it is pending again at the next start.
        self.sending.shutdown().await;
        (self.setup.publish)(Event::Sending { destination: self.setup.name.clone(), count: 0 });
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Heard(answer) => return self.heard(answer),
            Order::Hold => self.held = true,
            Order::Resume => self.held = false,
            Order::Reset => {
                self.breaker.reset();
                self.remember_breaker(Instant::now());
                self.paused = None;
                self.not_before = Instant::now();
                self.promote(Timestamp::MAX).await;
            }
        }
        tracing::info!(event = "destination_order", destination = self.setup.name, ?order, "a person wants it so");
        self.hungry = true;
        let state = if self.held { Connection::Held } else { Connection::Idle };
        self.show(state, None, None);
    }

    /// How many reports may be on their way now.
    fn allowance(&self, now: Instant) -> u32 {
        if self.held || now < self.not_before || now < self.next_of_rate || self.settling.len() >= SETTLING {
            return 0;
        }
        let most = match self.breaker.allowed(now) {
            Allowed::UpTo(most) => most.min(self.setup.upload.concurrency),
            Allowed::Probe => 1,
            Allowed::NothingUntil(_) => 0,
        };
        // One that refused us and then went down is left alone for both reasons.
        self.paused.as_ref().map_or(most, |(_, until)| most.min(u32::from(now >= *until)))
    }

    fn appointment(&self) -> Instant {
        let now = Instant::now();
        let mut next = now + Duration::from_secs(60);
        // What is due while nothing may go waits for what keeps it back.
        if let Some(due) = self.next_due
            && (now < due || self.sending.len() < self.allowance(now) as usize)
        {
            next = next.min(due);
        }
        for later in [self.not_before, self.next_of_rate] {
            if now < later {
                next = next.min(later);
            }
        }
        if let Some((_, until)) = &self.paused
            && *until > now
        {
            next = next.min(*until);
        }
        if let Allowed::NothingUntil(until) = self.breaker.allowed(now) {
            next = next.min(until);
        }
        if self.told.0 as usize != self.sending.len() {
            next = next.min(self.told.1 + TELL_EVERY);
        }
        next.max(now + Duration::from_millis(1))
    }

    async fn send_what_may_go(&mut self) {
        loop {
            let allowance = self.allowance(Instant::now()) as usize;
            if self.sending.len() >= allowance {
                return;
            }
            let Some(ready) = self.next().await else { return };
            match ready.body {
                Ok(body) => self.send(ready.key, ready.tries, ready.queued_at_ms, body),
                // Its disk does not give it now: as with a server that does not take it.
                Err(error @ QueueError::Read(_)) => self.retry(ready.key, ready.tries, None, true, error.report()).await,
                Err(error) => {
                    tracing::error!(event = "payload_damaged", correlation_id = %ready.key.correlation_id, report_id = %ready.key.report_id, %error, "a stored report is damaged");
                    self.write_down(ready.key, Outcome::Failed { error: error.report() }).await;
                }
            }
        }
    }

    fn send(&mut self, key: DeliveryKey, tries: u32, queued_at_ms: i64, body: Bytes) {
        if let Some(rate) = self.setup.upload.max_per_second {
            let now = Instant::now();
            self.next_of_rate = self.next_of_rate.max(now) + Duration::from_secs(1) / rate.max(1);
        }
        let destination = Arc::clone(&self.setup.destination);
        let parcel = Parcel {
            report_id: key.report_id,
            correlation_id: key.correlation_id,
            serial: key.serial.clone(),
            queued_at_ms,
            body,
        };
        let named = key.clone();
        let handle = self.sending.spawn(async move {
            let delivered = destination.deliver(parcel).await;
            (key, tries, delivered)
        });
        self.on_the_way.insert(handle.id(), named);
    }
}

/// A time of the store as an instant of this process.
fn from_now(due_ms: i64) -> Instant {
    let wait = due_ms.saturating_sub(Timestamp::now().as_millisecond());
    Instant::now() + Duration::from_millis(u64::try_from(wait).unwrap_or(0))
}

fn to_ms(at: Instant) -> i64 {
    let wait = at.saturating_duration_since(Instant::now());
    Timestamp::now().as_millisecond().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}
