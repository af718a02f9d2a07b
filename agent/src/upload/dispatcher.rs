//! One task a destination: takes what may go, in rank order, and writes down what came of it.
//!
//! What is on its way is known here and nowhere else: *sending* for HTTP and the like, *settling* until the outcome is committed. Neither is
//! taken again, and after a crash both are simply pending.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use waybill_ipc::protocol::{Connection, Event};
use waybill_shared::config::Upload;
use waybill_shared::error::{Code, ErrorReport};

use super::backoff::Backoff;
use super::breaker::{Allowed, Breaker, Limits};
use super::destination::{Delivered, Destination, Parcel};
use super::verdict::Verdict;
use crate::queue::{Command, DeliveryKey, Outcome, QueueError, Reader, ReadyDelivery, Writer};

/// Deliveries fetched at once.
const FETCH: usize = 64;
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
    /// Woken when something new waits.
    pub wake: Arc<Notify>,
    /// Where events go.
    pub publish: Arc<dyn Fn(Event) + Send + Sync>,
    /// Take nothing new; end when what is on its way is over.
    pub drain: CancellationToken,
    /// End now.
    pub cancel: CancellationToken,
}

struct Dispatcher {
    setup: Setup,
    backoff: Backoff,
    breaker: Breaker,
    /// The destination refuses us as a whole: why, and when it is asked again.
    paused: Option<(ErrorReport, Instant)>,
    /// Nothing is sent before then.
    not_before: Instant,
    fetched: VecDeque<ReadyDelivery>,
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
    result: Result<(), QueueError>,
}

/// Runs until it is drained or cancelled.
pub async fn run(setup: Setup) {
    let upload = &setup.upload;
    let backoff = Backoff {
        initial: Duration::from_secs(upload.backoff_initial_secs),
        longest: Duration::from_secs(upload.backoff_max_secs),
    };
    let breaker = Breaker::new(Limits {
        failures: upload.breaker_failures,
        cooldown: Duration::from_secs(upload.breaker_cooldown_secs),
        longest: Duration::from_secs(upload.breaker_max_cooldown_secs),
    });
    match setup.reader.accepted_by(&setup.name).await {
        Ok(Some(address)) if address == setup.destination.address() => setup.destination.accepted_before(),
        Ok(_) => {}
        Err(error) => tracing::warn!(event = "destination_history_unknown", destination = setup.name, %error, "treated as new"),
    }
    let (settled_in, settled) = mpsc::channel(SETTLING + 64);
    let dispatcher = Dispatcher {
        backoff,
        breaker,
        paused: None,
        not_before: Instant::now(),
        fetched: VecDeque::new(),
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
    };
    dispatcher.run().await;
}

impl Dispatcher {
    async fn run(mut self) {
        let (drain, cancel, wake) = (self.setup.drain.clone(), self.setup.cancel.clone(), Arc::clone(&self.setup.wake));
        loop {
            // Asked once: a drain that begins during the sending is noticed below.
            let draining = drain.is_cancelled();
            if !draining {
                self.send_what_may_go().await;
            } else if self.sending.is_empty() && self.settling.is_empty() {
                break;
            }
            self.tell_how_many();
            let appointment = self.appointment();
            tokio::select! {
                () = cancel.cancelled() => break,
                () = drain.cancelled(), if !draining => {}
                () = wake.notified() => self.hungry = true,
                Some(ended) = self.sending.join_next_with_id() => self.ended(ended).await,
                Some(settled) = self.settled.recv() => self.settled(settled),
                () = tokio::time::sleep_until(appointment.into()) => self.hungry = true,
            }
        }
        // Dropping the set closes the connections of what is still on its way; it is pending again at the next start.
        self.sending.shutdown().await;
        (self.setup.publish)(Event::Sending { destination: self.setup.name.clone(), count: 0 });
    }

    /// How many reports may be on their way now.
    fn allowance(&self, now: Instant) -> u32 {
        if now < self.not_before || self.settling.len() >= SETTLING {
            return 0;
        }
        if let Some((_, until)) = &self.paused {
            return u32::from(now >= *until);
        }
        match self.breaker.allowed(now) {
            Allowed::UpTo(most) => most.min(self.setup.upload.concurrency),
            Allowed::Probe => 1,
            Allowed::NothingUntil(_) => 0,
        }
    }

    fn appointment(&self) -> Instant {
        let now = Instant::now();
        let mut next = now + Duration::from_secs(60);
        if let Some(due) = self.next_due {
            next = next.min(due);
        }
        if now < self.not_before {
            next = next.min(self.not_before);
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
                Err(error) => {
                    tracing::error!(event = "payload_damaged", correlation_id = %ready.key.correlation_id, report_id = %ready.key.report_id, %error, "a stored report is damaged");
                    self.write_down(ready.key, Outcome::Failed { error: error.report() }).await;
                }
            }
        }
    }

    /// The next delivery, fetched if there is none at hand.
    async fn next(&mut self) -> Option<ReadyDelivery> {
        if self.fetched.is_empty() && self.hungry {
            self.fetch().await;
        }
        self.fetched.pop_front()
    }

    async fn fetch(&mut self) {
        self.promote_due().await;
        let except: Vec<i64> = self.on_the_way.values().map(|key| key.entry).chain(self.settling.iter().copied()).collect();
        match self.setup.reader.ready(&self.setup.name, FETCH, except).await {
            Ok(fetched) => {
                self.hungry = !fetched.is_empty();
                self.fetched.extend(fetched);
            }
            Err(QueueError::Closed) => self.hungry = false,
            Err(error) => {
                tracing::warn!(event = "queue_read_failed", destination = self.setup.name, %error, "tried again");
                self.not_before = Instant::now() + STORE_PAUSE;
            }
        }
        if self.fetched.is_empty() {
            self.next_due = self.setup.reader.next_due(&self.setup.name).await.ok().flatten().map(from_now);
        }
    }

    /// Lets deliveries go whose time has come.
    async fn promote_due(&mut self) {
        if self.next_due.is_some_and(|due| due <= Instant::now()) {
            self.next_due = None;
            let destination = self.setup.name.clone();
            let promoted = self.setup.writer.ask(|ack| Command::Promote { destination, by: Timestamp::now(), ack }).await;
            if let Err(error) = promoted {
                tracing::warn!(event = "promote_failed", destination = self.setup.name, %error, "tried again");
                self.not_before = Instant::now() + STORE_PAUSE;
            }
        }
    }

    fn send(&mut self, key: DeliveryKey, tries: u32, queued_at_ms: i64, body: Vec<u8>) {
        let destination = Arc::clone(&self.setup.destination);
        let parcel = Parcel {
            report_id: key.report_id,
            correlation_id: key.correlation_id,
            serial: key.serial.clone(),
            queued_at_ms,
            body: body.into(),
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
                self.well();
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
                        self.not_before = self.not_before.max(now + after.min(self.backoff.longest));
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
                    self.well();
                }
                let error = error.with_correlation(key.correlation_id);
                tracing::warn!(event = "report_failed", correlation_id = %key.correlation_id, report_id = %key.report_id,
                    destination = self.setup.name, code = %error.code, reason = error.message, "refused for good; waits for a person");
                self.write_down(key, Outcome::Failed { error }).await;
            }
            Err(Verdict::PauseDestination { error }) => {
                let pause = match error.code {
                    Code::SecretMissing => SECRET_PAUSE.min(Duration::from_secs(self.setup.upload.paused_probe_secs)),
                    _ => Duration::from_secs(self.setup.upload.paused_probe_secs),
                };
                self.show(Connection::Paused, Some(&error), Some(now + pause));
                self.paused = Some((error.clone(), now + pause));
                self.waits(&key, error);
            }
        }
    }

    /// The destination answers as it should.
    fn well(&mut self) {
        self.breaker.succeeded();
        self.paused = None;
        self.show(Connection::Online, None, None);
    }

    /// The destination cannot be reached.
    fn down(&mut self, now: Instant, error: &ErrorReport) {
        self.breaker.failed(now);
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
        let at = Instant::now() + wait;
        self.next_due = Some(self.next_due.map_or(at, |due| due.min(at)));
        self.write_down(key, Outcome::Retry { due, charge, max_retries, error }).await;
    }

    /// Has an outcome committed; until then the delivery is not taken again.
    async fn write_down(&mut self, key: DeliveryKey, outcome: Outcome) {
        let entry = key.entry;
        self.settling.insert(entry);
        let settled = self.settled_in.clone();
        let ack = Box::new(move |result| {
            // There is room for everything that settles; a dispatcher that has ended needs no answer.
            let _ended = settled.try_send(Settled { entry, result });
        });
        // A closed queue tells the acknowledgement as well.
        let _told_by_ack = self.setup.writer.send(Command::Outcome { key, outcome, ack }).await;
    }

    fn settled(&mut self, settled: Settled) {
        self.settling.remove(&settled.entry);
        match settled.result {
            Ok(()) => {
                // A newer revision of the same report may have waited for this one.
                self.hungry = true;
            }
            Err(error) => {
                tracing::warn!(event = "outcome_not_stored", destination = self.setup.name, %error, "the report is sent again; the server keeps one");
                self.hungry = true;
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
        if self.state == (state, message.clone()) && next_try.is_none() {
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
