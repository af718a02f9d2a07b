//! One task a destination: takes what may go, in rank order, and writes down what came of it.
//!
//! What is on its way is known here and nowhere else: *sending* for HTTP and the like, *settling* until the outcome is committed. Neither is
//! taken again, and after a crash both are simply pending.
//!
//! What may go comes by two ways: what was committed a moment ago through the destination's [`Door`], and what waits longer is read from the
//! store. As long as everything that may go is at hand the store is not read at all.

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
use waybill_shared::error::{Code, ErrorReport};

use super::backoff::{self, Backoff};
use super::breaker::{self, Allowed, Breaker, Limits};
use super::destination::{Delivered, Destination, Parcel};
use super::verdict::Verdict;
use crate::queue::{BreakerMemory, Command, DeliveryKey, Door, Outcome, QueueError, Reader, ReadyDelivery, Remembered, Writer};
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
    let was_open = was_open(remembered.breaker).filter(|_| setup.goes_on);
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

/// What the store remembers of a breaker that was open.
fn was_open(memory: BreakerMemory) -> Option<breaker::Remembered> {
    let millis = |time: i64| Duration::from_millis(u64::try_from(time).unwrap_or(0));
    let (cooldown, until) = (memory.cooldown_ms?, memory.open_until_ms?);
    let left = until.saturating_sub(Timestamp::now().as_millisecond());
    Some(breaker::Remembered { failures: memory.failures, cooldown: millis(cooldown), left: millis(left) })
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

    /// Takes what came through the door to what is at hand; nothing of it is lost if it is forgotten.
    fn look_behind_the_door(&mut self) {
        let came = self.setup.door.take();
        for delivery in came.deliveries.into_iter().filter(|delivery| delivery.key.entry > self.upto) {
            let at = self.fetched.partition_point(|known| known.rank <= delivery.rank);
            self.fetched.insert(at, delivery);
        }
        if came.stale {
            self.fetched.clear();
        }
        self.hungry |= came.missed;
        if self.fetched.len() >= AT_HAND {
            // It comes faster than it goes: the rest waits in the store, not in memory.
            self.setup.door.close();
            self.hungry = true;
        }
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

    /// As long as no report goes there, the heartbeat says how it is.
    fn heard(&mut self, answer: Result<(), ErrorReport>) {
        let quiet = self.sending.is_empty() && self.paused.is_none() && !self.breaker.is_open() && self.breaker.failures() == 0;
        match answer {
            _ if self.held || !quiet => {}
            Ok(()) => self.show(Connection::Online, None, None),
            Err(error) => self.show(Connection::Degraded, Some(&error), None),
        }
    }

    /// What is known from before this start.
    fn show_how_it_begins(&mut self) {
        let now = Instant::now();
        if self.held {
            self.show(Connection::Held, None, None);
        } else if let Allowed::NothingUntil(until) = self.breaker.allowed(now) {
            let message = "it could not be reached before the agent was started anew";
            let error = ErrorReport::new(Code::DestinationUnreachable, message);
            self.show(Connection::BreakerOpen, Some(&error), Some(until));
        }
    }

    /// Has the store remember the breaker, if it is another one than it remembers.
    fn remember_breaker(&mut self, now: Instant) {
        let is = self.breaker.remembered(now);
        let same = |a: &breaker::Remembered, b: &breaker::Remembered| a.cooldown == b.cooldown && a.failures == b.failures;
        let known = match (&is, &self.remembered) {
            (None, None) => true,
            (Some(is), Some(was)) => same(is, was),
            _ => false,
        };
        if known {
            return;
        }
        self.remembered = is;
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let breaker = is.map_or_else(BreakerMemory::default, |open| BreakerMemory {
            failures: open.failures,
            cooldown_ms: Some(millis(open.cooldown)),
            open_until_ms: Some(Timestamp::now().as_millisecond().saturating_add(millis(open.left))),
        });
        let destination = self.setup.name.clone();
        // Not waited for: a full queue must hold up no answer. What is not remembered is asked at once after a restart.
        self.setup.writer.try_send(Command::Breaker { destination, breaker });
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

    /// The next delivery, fetched if there is none at hand.
    async fn next(&mut self) -> Option<ReadyDelivery> {
        if self.next_due.is_some_and(|due| due <= Instant::now()) {
            self.read_the_store_next();
        }
        if self.fetched.is_empty() && self.hungry {
            self.fetch().await;
        }
        self.fetched.pop_front()
    }

    /// Something waits in the store: nothing more comes to what is at hand, so that the store's turn comes however much is committed.
    fn read_the_store_next(&mut self) {
        self.hungry = true;
        self.setup.door.close();
    }

    async fn fetch(&mut self) {
        self.promote_due().await;
        let except: HashSet<i64> = self.on_the_way.values().map(|key| key.entry).chain(self.settling.iter().copied()).collect();
        // First the door, then the store: what comes in between comes both ways, and is told by its number.
        self.setup.door.open();
        match self.setup.reader.ready(&self.setup.name, FETCH, except).await {
            Ok(ready) => {
                self.hungry = ready.more;
                (self.blocked, self.upto) = (ready.blocked, ready.upto);
                // What is known already may be of an outcome that is not committed yet.
                self.next_due = self.next_due.into_iter().chain(ready.next_due.map(from_now)).min();
                self.fetched.extend(ready.deliveries);
                if ready.more {
                    self.setup.door.close();
                }
            }
            Err(QueueError::Closed) => self.hungry = false,
            Err(error) => {
                tracing::warn!(event = "queue_read_failed", destination = self.setup.name, %error, "tried again");
                self.setup.door.close();
                self.not_before = Instant::now() + STORE_PAUSE;
            }
        }
    }

    /// Lets deliveries go whose time has come.
    async fn promote_due(&mut self) {
        if self.next_due.is_some_and(|due| due <= Instant::now()) {
            self.promote(Timestamp::now()).await;
        }
    }

    async fn promote(&mut self, by: Timestamp) {
        self.next_due = None;
        let destination = self.setup.name.clone();
        let promoted = self.setup.writer.ask(|ack| Command::Promote { destination, by, ack }).await;
        if let Err(error) = promoted {
            tracing::warn!(event = "promote_failed", destination = self.setup.name, %error, "tried again");
            self.not_before = Instant::now() + STORE_PAUSE;
        }
        self.read_the_store_next();
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

    async fn ended(&mut self, ended: Result<(tokio::task::Id, (DeliveryKey, u32, Delivered)), tokio::task::JoinError>) {
        match ended {
            Ok((id, (key, tries, delivered))) => {
                self.on_the_way.remove(&id);
                self.judge(key, tries, delivered).await;
            }
            Err(error) => {
                let Some(key) = self.on_the_way.remove(&error.id()) else { return };
                tracing::error!(event = "delivery_died", destination = self.setup.name, correlation_id = %key.correlation_id, %error, "tried again");
                let error = ErrorReport::new(Code::Internal, "sending it failed unexpectedly (panic)");
                self.retry(key, 0, None, true, error).await;
            }
        }
    }

    async fn judge(&mut self, key: DeliveryKey, tries: u32, delivered: Delivered) {
        let now = Instant::now();
        match delivered {
            Ok(receipt) => {
                self.well().await;
                tracing::info!(event = "report_sent", correlation_id = %key.correlation_id, report_id = %key.report_id,
                    destination = self.setup.name, receipt, "delivered");
                let address = self.setup.destination.address();
                self.write_down(key, Outcome::Sent { receipt, address }).await;
            }
            Err(Verdict::Sent) => {}
            Err(Verdict::RetryReport { after, down, charge, error }) => {
                if down {
                    self.down(now, &error);
                    if let Some(after) = after {
                        self.not_before = self.not_before.max(now + self.backoff.silence(after, fastrand::f64()));
                    }
                } else {
                    self.show(Connection::Degraded, Some(&error), None);
                }
                self.retry(key, if charge { tries } else { 0 }, after, charge, error).await;
            }
            Err(Verdict::DestinationDown { error }) => {
                self.down(now, &error);
                self.waits(&key, error);
            }
            Err(Verdict::FailReport { error }) => {
                // What was not even sent says nothing of the destination.
                if error.code != Code::ReportDoesNotFit {
                    self.well().await;
                }
                let error = error.with_correlation(key.correlation_id);
                tracing::warn!(event = "report_failed", correlation_id = %key.correlation_id, report_id = %key.report_id,
                    destination = self.setup.name, code = %error.code, reason = error.message, "refused for good; waits for a person");
                self.write_down(key, Outcome::Failed { error }).await;
            }
            Err(Verdict::PauseDestination { error }) => {
                let pause = match error.code {
                    Code::SecretMissing => SECRET_PAUSE.min(Duration::from_secs(self.setup.upload.paused_probe_secs)),
                    // Whatever stands before the server refuses many stations in the same second.
                    _ => backoff::shortened(Duration::from_secs(self.setup.upload.paused_probe_secs), fastrand::f64()),
                };
                self.show(Connection::Paused, Some(&error), Some(now + pause));
                self.paused = Some((error.clone(), now + pause));
                self.waits(&key, error);
            }
        }
    }

    /// The destination answers as it should.
    async fn well(&mut self) {
        let was_open = self.breaker.is_open();
        self.breaker.succeeded();
        self.paused = None;
        if was_open {
            let now = Instant::now();
            self.remember_breaker(now);
            // Everything is due at once; stations that waited for the same server begin one after the other.
            self.not_before = now + COMING_BACK.mul_f64(fastrand::f64());
            self.promote(Timestamp::MAX).await;
        }
        self.show(Connection::Online, None, None);
    }

    /// The destination cannot be reached.
    fn down(&mut self, now: Instant, error: &ErrorReport) {
        self.breaker.failed(now, fastrand::f64());
        self.remember_breaker(now);
        match self.breaker.allowed(now) {
            Allowed::NothingUntil(until) => self.show(Connection::BreakerOpen, Some(error), Some(until)),
            _ => {
                let pause = FAILURE_PAUSE * (1 << self.breaker.failures().min(6));
                self.not_before = now + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
                self.show(Connection::Degraded, Some(error), Some(self.not_before));
            }
        }
    }

    /// A delivery goes back to the queue as it was: it is still pending there.
    fn waits(&mut self, key: &DeliveryKey, error: ErrorReport) {
        self.hungry = true;
        // In rank order again, with what was fetched after it.
        self.fetched.clear();
        tracing::debug!(event = "report_waits", correlation_id = %key.correlation_id, destination = self.setup.name, reason = error.message, "for its destination");
        (self.setup.publish)(Event::Retry {
            destination: self.setup.name.clone(),
            report_id: key.report_id.to_string(),
            correlation_id: key.correlation_id.to_string(),
            serial: key.serial.clone(),
            error,
            due_at_ms: None,
        });
    }

    async fn retry(&mut self, key: DeliveryKey, tries: u32, after: Option<Duration>, charge: bool, error: ErrorReport) {
        let wait = self.backoff.after_request(tries, fastrand::f64(), after);
        let due = Timestamp::now().saturating_add(wait).unwrap_or(Timestamp::MAX);
        tracing::warn!(event = "report_retry", correlation_id = %key.correlation_id, report_id = %key.report_id, destination = self.setup.name,
            code = %error.code, reason = error.message, wait_secs = wait.as_secs(), "tried again later");
        let error = error.with_correlation(key.correlation_id);
        let max_retries = self.setup.upload.max_retries;
        self.write_down(key, Outcome::Retry { due, charge, max_retries, error }).await;
    }

    /// Has an outcome committed; until then the delivery is not taken again.
    async fn write_down(&mut self, key: DeliveryKey, outcome: Outcome) {
        let entry = key.entry;
        self.settling.insert(entry);
        let settled = self.settled_in.clone();
        let due_ms = match &outcome {
            Outcome::Retry { due, .. } => Some(due.as_millisecond()),
            _ => None,
        };
        let ack = Box::new(move |result| {
            // There is room for everything that settles; a dispatcher that has ended needs no answer.
            let _ended = settled.try_send(Settled { entry, due_ms, result });
        });
        // A closed queue tells the acknowledgement as well.
        let _told_by_ack = self.setup.writer.send(Command::Outcome { key, outcome, ack }).await;
    }

    fn settled(&mut self, settled: Settled) {
        self.settling.remove(&settled.entry);
        match settled.result {
            Ok(()) => {
                // Not sooner: until now it was left out of what was read, whenever it was due.
                self.next_due = self.next_due.into_iter().chain(settled.due_ms.map(from_now)).min();
                // A newer revision of the same report may have waited for this one.
                if self.blocked {
                    self.read_the_store_next();
                }
            }
            Err(error) => {
                tracing::warn!(event = "outcome_not_stored", destination = self.setup.name, %error, "the report is sent again; the server keeps one");
                self.read_the_store_next();
                self.not_before = Instant::now() + STORE_PAUSE;
            }
        }
    }

    fn tell_how_many(&mut self) {
        let count = u32::try_from(self.sending.len()).unwrap_or(u32::MAX);
        let now = Instant::now();
        let (told, at) = self.told;
        if count != told && (count == 0 || now.duration_since(at) >= TELL_EVERY) {
            self.told = (count, now);
            (self.setup.publish)(Event::Sending { destination: self.setup.name.clone(), count });
        }
    }

    fn show(&mut self, state: Connection, error: Option<&ErrorReport>, next_try: Option<Instant>) {
        let message = error.map(|error| error.message.clone());
        // Answers to what was on its way when a person began to hold it.
        if self.held && state != Connection::Held || self.state == (state, message.clone()) && next_try.is_none() {
            return;
        }
        if self.state.0 != state {
            let (destination, reason, code) = (&self.setup.name, &message, error.map(|error| error.code.as_str()));
            if matches!(state, Connection::BreakerOpen | Connection::Paused) {
                tracing::warn!(
                    event = "destination_state",
                    destination,
                    ?state,
                    reason,
                    code,
                    "nothing gets there; everything waits"
                );
            } else {
                tracing::info!(event = "destination_state", destination, ?state, reason, code, "the way there changed");
            }
        }
        self.state = (state, message);
        (self.setup.publish)(Event::Destination {
            destination: self.setup.name.clone(),
            state,
            error: error.cloned(),
            next_try_ms: next_try.map(to_ms),
        });
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

#[cfg(test)]
mod tests;
