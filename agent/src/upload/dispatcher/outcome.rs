//! What came of a delivery: judged by its destination's answer, and written down before it counts.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use waybill_ipc::protocol::{Connection, Event};
use waybill_shared::error::{Code, ErrorReport};

use super::{COMING_BACK, Delivered, Dispatcher, FAILURE_PAUSE, SECRET_PAUSE, STORE_PAUSE, Settled, from_now};
use crate::queue::{Command, DeliveryKey, Outcome};
use crate::upload::backoff;
use crate::upload::breaker::Allowed;
use crate::upload::verdict::Verdict;

impl Dispatcher {
    pub(super) async fn ended(
        &mut self,
        ended: Result<(tokio::task::Id, (DeliveryKey, u32, Delivered)), tokio::task::JoinError>,
    ) {
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

    pub(super) async fn retry(
        &mut self,
        key: DeliveryKey,
        tries: u32,
        after: Option<Duration>,
        charge: bool,
        error: ErrorReport,
    ) {
        let wait = self.backoff.after_request(tries, fastrand::f64(), after);
        let due = Timestamp::now().saturating_add(wait).unwrap_or(Timestamp::MAX);
        tracing::warn!(event = "report_retry", correlation_id = %key.correlation_id, report_id = %key.report_id, destination = self.setup.name,
            code = %error.code, reason = error.message, wait_secs = wait.as_secs(), "tried again later");
        let error = error.with_correlation(key.correlation_id);
        let max_retries = self.setup.upload.max_retries;
        self.write_down(key, Outcome::Retry { due, charge, max_retries, error }).await;
    }

    /// Has an outcome committed; until then the delivery is not taken again.
    pub(super) async fn write_down(&mut self, key: DeliveryKey, outcome: Outcome) {
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

    pub(super) fn settled(&mut self, settled: Settled) {
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
}
