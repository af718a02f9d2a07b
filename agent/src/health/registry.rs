//! All checks together: who is asked, and the report that is there in time.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use waybill_ipc::protocol::{CheckResult, HealthReport, HealthState};
use waybill_shared::error::{Code, ErrorReport};

use super::slot::{Row, Slot};
use super::{Check, Clock, Heartbeat, Role, STALL_LIMIT, age};

/// How long the tasks may take to end at a stop. They only wait, so they end at once.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// How long a report waits for checks that cost little; then their last answers have to do.
const AT_ONCE: Duration = Duration::from_secs(1);
/// An answer that is not older is not asked for again, milliseconds.
const JUST: i64 = 1000;

/// The registered checks and their tasks. Dropping it ends them.
pub struct Registry {
    runtime: Handle,
    clock: Clock,
    heartbeat: Heartbeat,
    stop: CancellationToken,
    /// Sources and destinations come and go while reports are made; held for a look or a change, never while anything is awaited.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    slots: Vec<Arc<Slot>>,
    tasks: JoinSet<()>,
}

impl Registry {
    /// A registry whose tasks run on `runtime` until `stop`.
    #[must_use]
    pub fn new(runtime: Handle, clock: Clock, stop: CancellationToken) -> Self {
        Self { runtime, heartbeat: Heartbeat::new(clock.clone()), clock, stop, held: Mutex::default() }
    }

    /// What the main loop says with that it makes progress.
    #[must_use]
    pub fn heartbeat(&self) -> Heartbeat {
        self.heartbeat.clone()
    }

    /// Adds a check, which is asked at once; one of the same name is replaced.
    pub fn register(&self, check: Check) {
        self.unregister(check.name());
        let slot = Arc::new(Slot::new(check, self.clock.clone(), self.stop.child_token()));
        let mut held = self.held();
        while held.tasks.try_join_next().is_some() {}
        held.tasks.spawn_on(Arc::clone(&slot).run(), &self.runtime);
        held.slots.push(slot);
    }

    /// Removes a check; whether there was one of this name. A report that waits for it waits no longer.
    pub fn unregister(&self, name: &str) -> bool {
        let mut held = self.held();
        let before = held.slots.len();
        held.slots.retain(|slot| {
            let stays = slot.check.name != name;
            if !stays {
                slot.gone.cancel();
            }
            stays
        });
        held.slots.len() < before
    }

    /// How well everything is. With `fresh`, every check is asked anew, all at the same time, and the report is there at the latest after
    /// `within` with what is known by then; without, soon with the last answers and what can be seen at once.
    pub async fn report(&self, fresh: bool, within: Duration) -> HealthReport {
        if fresh {
            return self.ask_until(tokio::time::sleep(within)).await;
        }
        let now = self.clock.now_ms();
        let cheap = self.ask(|slot| slot.check.cheap && !slot.answered_since(now - JUST));
        let _by_then = tokio::time::timeout(AT_ONCE, answers(&cheap)).await;
        self.last()
    }

    /// Asks everything anew and waits for the answers, or for `end`.
    pub(super) async fn ask_until(&self, end: impl Future<Output = ()>) -> HealthReport {
        let questions = self.ask(|_| true);
        tokio::select! {
            () = answers(&questions) => {}
            () = end => {}
        }
        self.assess(questions.iter().filter_map(|(slot, number)| slot.row(*number)).collect())
    }

    fn ask(&self, which: impl Fn(&Slot) -> bool) -> Vec<Question> {
        let held = self.held();
        held.slots.iter().filter(|slot| which(slot)).map(|slot| (Arc::clone(slot), slot.ask())).collect()
    }

    fn last(&self) -> HealthReport {
        let slots = self.held().slots.clone();
        self.assess(slots.iter().filter_map(|slot| slot.row(0)).collect())
    }

    fn assess(&self, rows: Vec<Row>) -> HealthReport {
        assess(self.clock.now_ms(), self.heartbeat.silent_for(), rows)
    }

    /// Ends the tasks; false if one did not end in time (its check blocks) and was left to the runtime.
    pub async fn stop(&self) -> bool {
        self.stop.cancel();
        let mut tasks = {
            let mut held = self.held();
            held.slots.clear();
            std::mem::take(&mut held.tasks)
        };
        tokio::time::timeout(STOP_WITHIN, async { while tasks.join_next().await.is_some() {} }).await.is_ok()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A check that was asked, and the number of the question.
type Question = (Arc<Slot>, u64);

async fn answers(questions: &[Question]) {
    for (slot, number) in questions {
        slot.answered(*number).await;
    }
}

/// What follows from all answers and the main loop's silence.
pub(super) fn assess(at_ms: i64, silent: Duration, rows: Vec<Row>) -> HealthReport {
    let live = silent < STALL_LIMIT;
    let usable = |role| rows.iter().any(|row| row.role == role && row.usable);
    let critical = |row: &Row| row.result.critical && row.result.state == HealthState::Unhealthy;
    let ready = live && usable(Role::Setup) && usable(Role::Store) && usable(Role::Destination) && !rows.iter().any(critical);
    let state = match HealthState::worst_of(rows.iter().map(|row| row.result.weight())) {
        _ if !live => HealthState::Unhealthy,
        state => state,
    };
    let mut checks = Vec::with_capacity(rows.len() + 1);
    checks.push(main_loop(at_ms, silent));
    checks.extend(rows.into_iter().map(|row| row.result));
    HealthReport { state, live, ready, checks, at_ms }
}

fn main_loop(at_ms: i64, silent: Duration) -> CheckResult {
    let silent_ms = i64::try_from(silent.as_millis()).unwrap_or(i64::MAX);
    let stalled = silent >= STALL_LIMIT;
    let message = match stalled {
        false => "the agent's main loop makes progress".to_owned(),
        true => format!("the agent's main loop has made no progress for {}", age(silent_ms)),
    };
    let fix = "Nothing is lost. Stop the agent and start it again; report it with the log's last lines";
    CheckResult {
        name: "main loop".to_owned(),
        state: if stalled { HealthState::Unhealthy } else { HealthState::Healthy },
        error: stalled.then(|| ErrorReport::new(Code::Internal, &message).with_fix(fix)),
        message,
        critical: true,
        checked_at_ms: Some(at_ms),
        took_ms: None,
        // When it was well the last time is known; since when it is well is not.
        since_ms: stalled.then(|| at_ms.saturating_sub(silent_ms)),
        values: vec![("silent_ms".to_owned(), silent_ms.to_string())],
    }
}
