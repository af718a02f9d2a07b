//! One registered check: its task, and what is known of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use waybill_ipc::protocol::{CheckResult, HealthState};
use waybill_shared::error::ErrorReport;

use super::{Check, Clock, Finding, NoAnswer, Role, moment};

/// How long a run that was given up may take to let go before it counts as one that hangs.
const LET_GO: Duration = Duration::from_millis(100);
/// How long after an answer that says nothing it is asked again.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Slot {
    pub(super) check: Check,
    /// Unregistered, or the registry stops.
    pub(super) gone: CancellationToken,
    clock: Clock,
    /// Number of the last question.
    asked: watch::Sender<u64>,
    /// Number of the last question that has its answer, or its silence over the deadline.
    answered: watch::Sender<u64>,
    /// Written by the task, read by reports; held for a look or a change, never while anything is awaited.
    known: Mutex<Known>,
}

struct Known {
    result: CheckResult,
    usable: bool,
    /// When the run that goes on began.
    running_since: Option<i64>,
    /// When the first run began that got no answer.
    silent_since: Option<i64>,
    /// Failures one after the other.
    failed: u32,
}

/// What a report takes from a slot.
pub(super) struct Row {
    pub(super) result: CheckResult,
    pub(super) role: Role,
    pub(super) usable: bool,
}

impl Slot {
    pub(super) fn new(check: Check, clock: Clock, gone: CancellationToken) -> Self {
        let result = CheckResult {
            name: check.name.clone(),
            state: HealthState::Unknown,
            message: "it has not answered yet".to_owned(),
            error: None,
            critical: check.critical,
            checked_at_ms: None,
            took_ms: None,
            since_ms: Some(clock.now_ms()),
            values: Vec::new(),
        };
        let known = Mutex::new(Known { result, usable: false, running_since: None, silent_since: None, failed: 0 });
        Self { check, gone, clock, asked: watch::Sender::new(1), answered: watch::Sender::new(0), known }
    }

    /// Asks anew; the number to wait for. A run that goes on already does not count: it began before the question.
    pub(super) fn ask(&self) -> u64 {
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        number
    }

    /// True if its last answer is not from before that, milliseconds since 1970 UTC.
    pub(super) fn answered_since(&self, at_ms: i64) -> bool {
        self.known().result.checked_at_ms.is_some_and(|checked| checked >= at_ms)
    }

    /// Waits for the answer to a question, or the end of the check.
    pub(super) async fn answered(&self, number: u64) {
        let mut answered = self.answered.subscribe();
        tokio::select! {
            // The sender lives in this slot.
            _never_fails = answered.wait_for(|answered| *answered >= number) => {}
            () = self.gone.cancelled() => {}
        }
    }

    /// Asks again and again until the check is gone.
    pub(super) async fn run(self: Arc<Self>) {
        let mut asked = self.asked.subscribe();
        let mut runs = JoinSet::new();
        loop {
            let number = *asked.borrow_and_update();
            let answer = tokio::select! {
                answer = self.ask_once(&mut runs) => answer,
                () = self.gone.cancelled() => return,
            };
            self.note(answer);
            self.answered.send_replace(number);
            tokio::select! {
                () = tokio::time::sleep(self.pause()) => {}
                changed = asked.changed() => if changed.is_err() { return },
                () = self.gone.cancelled() => return,
            }
        }
    }

    /// How long until it is asked by itself. What is not known yet, such as a folder that nobody has looked at, is soon.
    fn pause(&self) -> Duration {
        match self.known().result.state {
            HealthState::Unknown => self.check.interval.min(UNKNOWN_PAUSE),
            _ => self.check.interval,
        }
    }

    /// One run on a task of its own, so that its panic is a finding and its blocking holds up nobody.
    async fn ask_once(&self, runs: &mut JoinSet<Result<Finding, NoAnswer>>) -> Result<(Finding, u64), NoAnswer> {
        while runs.try_join_next().is_some() {}
        if !runs.is_empty() {
            return Err(NoAnswer);
        }
        self.known().running_since = Some(self.clock.now_ms());
        let began = self.clock.running_ms();
        let run = Arc::clone(&self.check.run);
        runs.spawn(async move { run().await });
        match timeout(self.check.timeout, runs.join_next()).await {
            Ok(Some(Ok(answer))) => answer.map(|finding| (finding, self.clock.running_ms().saturating_sub(began))),
            Ok(Some(Err(died))) => {
                let message = format!("the check of {} itself failed: {died}", self.check.name);
                let error = ErrorReport::new(waybill_shared::error::Code::Internal, message);
                Ok((Finding::unhealthy(error), self.clock.running_ms().saturating_sub(began)))
            }
            Ok(None) => Err(NoAnswer),
            Err(_) => {
                runs.abort_all();
                let _still_hangs = timeout(LET_GO, runs.join_next()).await;
                Err(NoAnswer)
            }
        }
    }

    fn note(&self, answer: Result<(Finding, u64), NoAnswer>) {
        let now = self.clock.now_ms();
        let mut known = self.known();
        let known = &mut *known;
        let (finding, checked_at_ms, took_ms) = match answer {
            Ok((finding, took)) => {
                known.silent_since = None;
                (finding, Some(now), Some(took))
            }
            Err(NoAnswer) => {
                let since = *known.silent_since.get_or_insert(known.running_since.unwrap_or(now));
                let message = format!("{} does not answer since {}", self.check.name, moment(since));
                (Finding::unhealthy(ErrorReport::new(self.check.code, message)), known.result.checked_at_ms, None)
            }
        };
        known.running_since = None;
        let Finding { mut state, mut message, error, values, mut usable } = finding;
        known.failed = if state == HealthState::Unhealthy { known.failed.saturating_add(1) } else { 0 };
        if state == HealthState::Unhealthy && known.failed < self.check.failures {
            state = HealthState::Degraded;
            message = format!("{message} (failure {} of {})", known.failed, self.check.failures);
            usable = known.usable;
        }
        let since_ms = if known.result.state == state { known.result.since_ms } else { Some(now) };
        if known.result.state != state {
            tracing::info!(event = "health_changed", check = self.check.name, from = %known.result.state, to = %state, message, "health");
        }
        known.usable = usable;
        known.result = CheckResult {
            name: self.check.name.clone(),
            state,
            message,
            error,
            critical: self.check.critical,
            checked_at_ms,
            took_ms,
            since_ms,
            values,
        };
    }

    /// What is known, if the check is still registered. With the number of a question whose answer must be there, and is not: that.
    pub(super) fn row(&self, number: u64) -> Option<Row> {
        if self.gone.is_cancelled() {
            return None;
        }
        let answered = *self.answered.borrow() >= number;
        let known = self.known();
        let (mut result, mut usable) = (known.result.clone(), known.usable);
        if !answered && known.silent_since.is_none() {
            usable = false;
            result.message = match known.running_since {
                Some(since) => format!("{} has not answered since it was asked at {}", result.name, moment(since)),
                None => format!("{} could not be asked yet", result.name),
            };
            if result.checked_at_ms.is_some() {
                result.message.push_str(&format!("; {} before that", result.state));
            }
            result.error = Some(ErrorReport::new(self.check.code, &result.message));
            result.state = HealthState::Unknown;
            result.since_ms = known.running_since;
            result.took_ms = None;
            result.values.clear();
        }
        Some(Row { result, role: self.check.role, usable })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
