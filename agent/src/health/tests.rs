use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;
use waybill_ipc::protocol::HealthState::{Degraded, Healthy, Unhealthy, Unknown};
use waybill_ipc::protocol::{CheckResult, Connection, DestinationStatus, HealthReport, Snapshot, SourceState, SourceStatus};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
/// Longer than anything takes; only a test that fails waits for it.
pub(in crate::health) const PATIENCE: Duration = Duration::from_secs(60);

pub(in crate::health) fn snapshot(sources: Vec<SourceStatus>, destinations: Vec<DestinationStatus>) -> Snapshot {
    Snapshot { sources, destinations, ..crate::agent::tests::empty_snapshot() }
}

pub(in crate::health) fn source_status(name: &str) -> SourceStatus {
    SourceStatus {
        name: name.into(),
        folder: "/in".into(),
        converter: "auto".into(),
        state: SourceState::Watching,
        error: None,
        waiting: 0,
        queued: 0,
        errors: 0,
        reports: 0,
    }
}

pub(in crate::health) fn destination_status(name: &str) -> DestinationStatus {
    DestinationStatus {
        name: name.into(),
        kind: "wats".into(),
        address: String::new(),
        state: Connection::Idle,
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
    }
}

/// A registry whose clock stands until it is moved.
struct Rig {
    registry: Registry,
    clock: Arc<AtomicI64>,
}

impl Rig {
    fn new() -> Self {
        let clock = Arc::new(AtomicI64::new(1_000_000));
        let (wall, running) = (Arc::clone(&clock), Arc::clone(&clock));
        let steered = Clock {
            now_ms: Arc::new(move || wall.load(Ordering::SeqCst)),
            running_ms: Arc::new(move || u64::try_from(running.load(Ordering::SeqCst)).unwrap()),
        };
        let registry = Registry::new(tokio::runtime::Handle::current(), steered, CancellationToken::new());
        Self { registry, clock }
    }

    /// Time passes and the main loop is at work.
    fn pass(&self, time: Duration) {
        self.stand_still(time);
        self.registry.heartbeat().beat();
    }

    /// Time passes and nothing happens.
    fn stand_still(&self, time: Duration) {
        self.clock.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Asks everything anew and waits for all answers.
    async fn fresh(&self) -> HealthReport {
        let too_late = async {
            tokio::time::sleep(PATIENCE).await;
            panic!("not every check has answered");
        };
        self.registry.ask_until(too_late).await
    }

    async fn last(&self) -> HealthReport {
        self.registry.report(false, Duration::ZERO).await
    }

    /// Waits until a check is as described.
    async fn until(&self, name: &str, wanted: impl Fn(&CheckResult) -> bool) -> CheckResult {
        let look = async {
            loop {
                match find(&self.last().await, name) {
                    Some(check) if wanted(check) => return check.clone(),
                    _ => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{name} does not become as it should"))
    }
}

fn find<'a>(report: &'a HealthReport, name: &str) -> Option<&'a CheckResult> {
    report.checks.iter().find(|check| check.name == name)
}

fn named<'a>(report: &'a HealthReport, name: &str) -> &'a CheckResult {
    find(report, name).unwrap_or_else(|| panic!("{name} is not in {report:?}"))
}

fn broken(message: &str) -> Finding {
    Finding::unhealthy(ErrorReport::new(Code::Internal, message))
}

/// Asked only when a report wants it; counts its runs.
fn counting(name: &str) -> Check {
    let runs = Arc::new(AtomicUsize::new(0));
    let run = move || std::future::ready(Ok(Finding::healthy("fine").with("runs", runs.fetch_add(1, Ordering::SeqCst) + 1)));
    Check::new(name, run).every(HOUR)
}

/// Its finding is what `state` says at the time: 0 healthy, 1 unhealthy, 2 never answers.
fn steered(name: &str) -> (Check, Arc<AtomicU32>) {
    let state = Arc::new(AtomicU32::new(0));
    let asked = Arc::clone(&state);
    let run = move || {
        let state = asked.load(Ordering::SeqCst);
        async move {
            match state {
                0 => Ok(Finding::healthy("fine")),
                1 => Ok(broken("it broke")),
                _ => std::future::pending().await,
            }
        }
    };
    (Check::new(name, run).every(HOUR).within(HOUR), state)
}

fn runs(check: &CheckResult) -> &str {
    &check.values[0].1
}

#[tokio::test]
async fn a_check_that_hangs_delays_neither_the_others_nor_the_report() {
    let rig = Rig::new();
    let (hung, state) = steered("hung");
    state.store(2, Ordering::SeqCst);
    rig.registry.register(hung);
    rig.registry.register(counting("good"));
    rig.until("good", |check| check.state == Healthy).await;
    // The report's deadline comes when the other check has answered again.
    let end = async { drop(rig.until("good", |check| runs(check) == "2").await) };
    let report = tokio::time::timeout(PATIENCE, rig.registry.ask_until(end)).await.unwrap();
    assert_eq!((named(&report, "good").state, runs(named(&report, "good"))), (Healthy, "2"));
    let hung = named(&report, "hung");
    assert_eq!((hung.state, hung.checked_at_ms, hung.took_ms), (Unknown, None, None));
    assert!(hung.message.contains("hung has not answered since it was asked at"), "{}", hung.message);
    assert_eq!(report.state, Unknown);
    // The same by the clock on the wall, with a deadline that is over at once.
    let report = rig.registry.report(true, Duration::ZERO).await;
    assert_eq!(named(&report, "hung").state, Unknown);
}

#[tokio::test]
async fn what_is_silent_over_its_deadline_is_unhealthy_since_it_was_first_asked_until_it_answers() {
    let rig = Rig::new();
    let (check, state) = steered("disk");
    state.store(2, Ordering::SeqCst);
    rig.registry.register(check.within(Duration::from_millis(5)).code(Code::DataFolderUnavailable).critical());
    let silent = rig.until("disk", |check| check.state == Unhealthy).await;
    assert_eq!(silent.message, "disk does not answer since 1970-01-01T00:16:40Z");
    assert_eq!(silent.error.unwrap().code, Code::DataFolderUnavailable);
    rig.pass(HOUR);
    let report = rig.fresh().await;
    assert_eq!(named(&report, "disk").message, silent.message, "it hangs since the first question");
    assert_eq!(report.state, Unhealthy);
    state.store(0, Ordering::SeqCst);
    let report = rig.fresh().await;
    assert_eq!((report.state, named(&report, "disk").checked_at_ms), (Healthy, Some(1_000_000 + 3_600_000)));
}

#[tokio::test]
async fn a_blocking_call_that_hangs_is_begun_once_and_holds_up_nothing() {
    let rig = Rig::new();
    let threads = Threads::default();
    let begun = Arc::new(AtomicUsize::new(0));
    let (first, mut hanging) = tokio::sync::mpsc::channel(8);
    let (release, hangs) = crossbeam_channel::bounded::<()>(0);
    let (target, count) = (threads.of("test", "/share").unwrap(), Arc::clone(&begun));
    let run = move || {
        let (target, hangs, count, first) = (Arc::clone(&target), hangs.clone(), Arc::clone(&count), first.clone());
        let work = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let _nobody_waits_any_more = first.try_send(());
            let _released = hangs.recv();
            Finding::healthy("back")
        };
        async move { target.run(work).await }
    };
    rig.registry.register(Check::new("share", run).every(HOUR).within(Duration::from_millis(5)));
    rig.registry.register(counting("good"));
    rig.until("share", |check| check.state == Unhealthy).await;
    tokio::time::timeout(PATIENCE, hanging.recv()).await.unwrap();
    for _ in 0..3 {
        let report = rig.fresh().await;
        assert_eq!((named(&report, "share").state, named(&report, "good").state), (Unhealthy, Healthy));
    }
    assert_eq!((begun.load(Ordering::SeqCst), threads.count()), (1, 1));
    drop(release);
    let back = async { while named(&rig.fresh().await, "share").state != Healthy {} };
    tokio::time::timeout(PATIENCE, back).await.unwrap();
    assert_eq!(threads.count(), 1);
}

#[tokio::test]
async fn a_fresh_report_asks_anew_and_another_one_does_not() {
    let rig = Rig::new();
    rig.registry.register(counting("good"));
    rig.until("good", |check| check.state == Healthy).await;
    assert_eq!(runs(named(&rig.fresh().await, "good")), "2");
    assert_eq!(runs(named(&rig.last().await, "good")), "2");
    assert_eq!(runs(named(&rig.registry.report(true, HOUR).await, "good")), "3");
}

#[tokio::test]
async fn the_since_of_a_state_stays_while_the_state_stays() {
    let rig = Rig::new();
    let (check, state) = steered("store");
    rig.registry.register(check);
    rig.until("store", |check| check.state == Healthy).await;
    let at = |report: &HealthReport| (named(report, "store").since_ms, named(report, "store").checked_at_ms);
    rig.pass(HOUR);
    assert_eq!(at(&rig.fresh().await), (Some(1_000_000), Some(4_600_000)));
    state.store(1, Ordering::SeqCst);
    assert_eq!(at(&rig.fresh().await), (Some(4_600_000), Some(4_600_000)));
    rig.pass(HOUR);
    assert_eq!(at(&rig.fresh().await), (Some(4_600_000), Some(8_200_000)));
}

#[tokio::test]
async fn a_check_is_unhealthy_only_after_as_many_failures_in_a_row_as_it_may_have() {
    let rig = Rig::new();
    let (check, state) = steered("store");
    rig.registry.register(check.failures(2));
    rig.until("store", |check| check.state == Healthy).await;
    state.store(1, Ordering::SeqCst);
    let first = rig.fresh().await;
    assert_eq!(named(&first, "store").state, Degraded);
    assert_eq!(named(&first, "store").message, "it broke (failure 1 of 2)");
    state.store(0, Ordering::SeqCst);
    assert_eq!(named(&rig.fresh().await, "store").state, Healthy);
    state.store(1, Ordering::SeqCst);
    assert_eq!(named(&rig.fresh().await, "store").state, Degraded, "counted from the last good answer");
    assert_eq!(named(&rig.fresh().await, "store").state, Unhealthy);
}

#[tokio::test]
async fn a_check_that_is_taken_out_is_gone_and_nobody_waits_for_it() {
    let rig = Rig::new();
    let (hung, state) = steered("source ict");
    state.store(2, Ordering::SeqCst);
    rig.registry.register(hung);
    rig.registry.register(counting("good"));
    let take_out = async {
        tokio::task::yield_now().await;
        rig.registry.unregister("source ict")
    };
    let (report, taken_out) = tokio::join!(rig.fresh(), take_out);
    assert!(taken_out && !rig.registry.unregister("source ict"));
    assert!(find(&report, "source ict").is_none() && find(&report, "good").is_some());
    // One of the same name takes its place.
    rig.registry.register(counting("good"));
    assert_eq!(rig.fresh().await.checks.iter().filter(|check| check.name == "good").count(), 1);
}

#[tokio::test]
async fn ready_turns_true_when_set_up_store_and_a_destination_can_be_used() {
    let rig = Rig::new();
    let (setup, _) = steered("setup");
    let (store, stored) = steered("store");
    let (main, main_state) = steered("destination main");
    let (spare, spare_state) = steered("destination spare");
    rig.registry.register(setup.role(Role::Setup));
    rig.registry.register(store.role(Role::Store).critical());
    let nothing = rig.fresh().await;
    assert!(!nothing.ready && nothing.live, "there is no destination");
    main_state.store(1, Ordering::SeqCst);
    spare_state.store(1, Ordering::SeqCst);
    rig.registry.register(main.role(Role::Destination));
    rig.registry.register(spare.role(Role::Destination));
    let down = rig.fresh().await;
    assert_eq!((down.ready, down.state), (false, Degraded), "a destination that is down degrades the agent");
    spare_state.store(0, Ordering::SeqCst);
    let connected = rig.fresh().await;
    assert_eq!((connected.ready, connected.state), (true, Degraded), "{connected:?}");
    main_state.store(0, Ordering::SeqCst);
    assert_eq!(rig.fresh().await.state, Healthy);
    stored.store(1, Ordering::SeqCst);
    let broken = rig.fresh().await;
    assert_eq!((broken.ready, broken.live, broken.state), (false, true, Unhealthy));
}

#[tokio::test]
async fn something_critical_that_is_unhealthy_makes_an_otherwise_good_agent_not_ready() {
    let rig = Rig::new();
    for (name, role) in [("setup", Role::Setup), ("store", Role::Store), ("destination main", Role::Destination)] {
        rig.registry.register(counting(name).role(role));
    }
    let (tasks, state) = steered("tasks");
    rig.registry.register(tasks.critical());
    assert!(rig.fresh().await.ready);
    state.store(1, Ordering::SeqCst);
    assert!(!rig.fresh().await.ready);
}

#[tokio::test]
async fn live_is_false_exactly_while_the_main_loop_is_silent_for_too_long() {
    let rig = Rig::new();
    rig.registry.register(counting("good"));
    rig.until("good", |check| check.state == Healthy).await;
    let heartbeat = rig.registry.heartbeat();
    rig.stand_still(STALL_LIMIT - Duration::from_millis(1));
    assert!(rig.last().await.live);
    rig.stand_still(Duration::from_millis(1));
    let stalled = rig.last().await;
    assert_eq!((stalled.live, stalled.ready, stalled.state), (false, false, Unhealthy));
    assert_eq!(named(&stalled, "main loop").message, "the agent's main loop has made no progress for 30 s");
    assert_eq!(named(&stalled, "main loop").since_ms, Some(1_000_000));
    heartbeat.beat();
    assert_eq!((rig.last().await.live, rig.last().await.state), (true, Healthy));
}

#[tokio::test]
async fn a_check_that_panics_is_a_finding_and_is_asked_again() {
    let rig = Rig::new();
    let calls = AtomicUsize::new(0);
    let run = move || {
        assert!(calls.fetch_add(1, Ordering::SeqCst) > 0, "on purpose");
        std::future::ready(Ok(Finding::healthy("fine")))
    };
    rig.registry.register(Check::new("tasks", run).every(HOUR));
    let died = rig.until("tasks", |check| check.state == Unhealthy).await;
    assert!(died.message.contains("itself failed") && died.message.contains("on purpose"), "{}", died.message);
    assert_eq!(named(&rig.fresh().await, "tasks").state, Healthy);
}

#[tokio::test]
async fn a_check_is_asked_again_at_its_interval() {
    let rig = Rig::new();
    rig.registry.register(counting("good").every(Duration::from_millis(1)));
    rig.until("good", |check| check.values.first().is_some_and(|(_, runs)| runs.len() > 1)).await;
}

#[tokio::test]
async fn a_stop_ends_every_task_and_lets_go_of_what_the_checks_hold() {
    let rig = Rig::new();
    let (hung, state) = steered("hung");
    state.store(2, Ordering::SeqCst);
    rig.registry.register(hung);
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&state), 2);
    assert!(rig.registry.stop().await);
    assert_eq!(Arc::strong_count(&state), 1);
    assert_eq!(rig.fresh().await.checks.len(), 1, "only the main loop is left");
}

#[test]
fn ages_are_told_in_the_unit_that_people_use() {
    for (ms, text) in [(500, "0 s"), (119_000, "119 s"), (120_000, "2 min"), (7_200_000, "2 h"), (172_800_000, "2 days")] {
        assert_eq!(age(ms), text);
    }
}
