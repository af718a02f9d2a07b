//! The controller against a real server on a real local socket, without a window.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute and not the helpers of a test file")]

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use waybill::command::Command;
use waybill::controller::{Controller, Screen};
use waybill::launch::{Exited, Launcher};
use waybill::model::{Link, Model};
use waybill_ipc::Endpoint;
use waybill_ipc::peer::Peer;
use waybill_ipc::protocol::{
    AgentInfo, AgentState, AutostartState, AutostartStatus, Connection, DestinationStatus, Event, Former, Hello, Identity,
    QueueStatus, Reply, Request, Snapshot, StatusBrief, Update,
};
use waybill_ipc::server::{Limits, Service, Updates, serve};
use waybill_ipc::transport::Listener;
use waybill_shared::config::Ipc;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::{Instance, InstanceOptions};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn the_snapshot_and_the_events_after_it_are_shown() {
    let station = Station::new();
    let agent = station.agent();
    let (screen, _controller) = station.window(NoAgent);
    let model = screen.wait("connected", |model| model.stale_since_ms().is_none() && model.snapshot().is_some());
    assert!(matches!(&model.link, Link::Connected { .. }));
    assert_eq!(model.snapshot().unwrap().agent.identity.station, "ST-07");
    for _ in 0..3 {
        agent.publish(sent());
    }
    screen.wait("three deliveries", |model| delivered(model) == 3);
}

#[test]
fn a_lost_agent_leaves_stale_values_and_its_return_ends_that() {
    let station = Station::new();
    let agent = station.agent();
    let (screen, controller) = station.window(NoAgent);
    screen.wait("a snapshot", |model| model.snapshot().is_some());
    agent.publish(sent());
    screen.wait("a delivery", |model| delivered(model) == 1);

    drop(agent);
    let model = screen.wait("absence", |model| model.link == Link::Absent);
    assert!(model.stale_since_ms().is_some());
    assert_eq!(delivered(&model), 1, "the last known values stay");

    let again = station.agent();
    // A person need not wait for the pause to end.
    controller.ask(Command::Reconnect).unwrap();
    let model = screen.wait("the new agent", |model| model.snapshot().is_some() && model.stale_since_ms().is_none());
    assert_eq!(delivered(&model), 0, "the new agent's own numbers");
    again.publish(sent());
    screen.wait("its delivery", |model| delivered(model) == 1);
}

#[test]
fn the_window_finds_an_agent_that_starts_later_by_itself() {
    let station = Station::new();
    let (screen, _controller) = station.window(NoAgent);
    screen.wait("absence", |model| model.link == Link::Absent);
    let _agent = station.agent();
    screen.wait("the agent", |model| model.snapshot().is_some());
}

#[test]
fn start_agent_is_pending_until_the_agent_answers() {
    let station = Station::new();
    let agent = Arc::new(Mutex::new(None));
    let launcher = StartsAgent { instance: station.instance.clone(), agent: Arc::clone(&agent), exit: None };
    let (screen, controller) = station.window(launcher);
    screen.wait("absence", |model| model.link == Link::Absent);
    controller.ask(Command::StartAgent).unwrap();
    controller.ask(Command::StartAgent).unwrap();
    let model = screen.wait("the started agent", |model| model.snapshot().is_some());
    assert!(!model.is_pending(&Command::StartAgent));
    assert!(model.notices.is_empty());
    assert!(agent.lock().unwrap().is_some());
}

#[test]
fn an_agent_that_cannot_be_started_is_a_notice_until_it_is_dismissed() {
    let station = Station::new();
    let (screen, controller) = station.window(NoAgent);
    controller.ask(Command::StartAgent).unwrap();
    let model = screen.wait("a notice", |model| !model.notices.is_empty());
    assert_eq!(model.notices[0].error.code, Code::AgentNotRunning);
    assert!(!model.is_pending(&Command::StartAgent));
    controller.ask(Command::DismissNotice(model.notices[0].id)).unwrap();
    screen.wait("no notice", |model| model.notices.is_empty());
}

#[test]
fn an_agent_that_ends_at_once_is_a_notice() {
    let station = Station::new();
    let (screen, controller) = station.window(EndsAtOnce);
    controller.ask(Command::StartAgent).unwrap();
    let model = screen.wait("a notice", |model| !model.notices.is_empty());
    assert_eq!(model.notices[0].error.code, Code::ConfigInvalid);
    assert!(!model.is_pending(&Command::StartAgent));
}

#[test]
fn autostart_is_known_once_connected_and_what_is_wished_is_done_or_told() {
    let station = Station::new();
    let (screen, controller) = station.window(NoAgent);
    controller.ask(Command::SetAutostart(true)).unwrap();
    let model = screen.wait("a refusal", |model| model.autostart.error.is_some());
    assert_eq!(model.autostart.error.as_ref().unwrap().code, Code::AgentNotRunning);
    let agent = station.agent();
    controller.ask(Command::Reconnect).unwrap();
    let is = |model: &Model, state| model.autostart.status.as_ref().is_some_and(|status| status.state == state);
    let model = screen.wait("how it is", |model| is(model, AutostartState::Absent));
    assert_eq!(model.autostart.error, None, "an answer ends what was wrong");
    controller.ask(Command::SetAutostart(true)).unwrap();
    screen.wait("the wish", |model| is(model, AutostartState::Enabled));
    controller.ask(Command::SetAutostart(false)).unwrap();
    let model = screen.wait("a failure", |model| model.autostart.error.is_some());
    assert_eq!(model.autostart.error.as_ref().unwrap().code, Code::AutostartFailed);
    assert!(is(&model, AutostartState::Enabled) && model.pending.is_empty() && model.notices.is_empty());
    drop(agent);
    screen.wait("absence", |model| model.link == Link::Absent && model.pending.is_empty());
}

#[test]
fn a_flood_of_events_arrives_complete_and_is_shown_a_few_times_a_second() {
    const EVENTS: u64 = 3000;
    let station = Station::new();
    let agent = station.agent();
    let (screen, _controller) = station.window(NoAgent);
    screen.wait("a snapshot", |model| model.snapshot().is_some());
    let (started, before) = (Instant::now(), screen.shown());
    for _ in 0..EVENTS {
        agent.publish(sent());
    }
    screen.wait("all of them", |model| delivered(model) == EVENTS);
    let most = 3 + started.elapsed().as_millis() / 200;
    let shown = u128::from(screen.shown() - before);
    assert!(shown <= most, "shown {shown} times in {:?}", started.elapsed());
}

#[test]
fn a_hundred_windows_leave_no_thread_behind() {
    let station = Station::new();
    let agent = station.agent();
    for _ in 0..100 {
        let (screen, controller) = station.window(NoAgent);
        screen.wait("a snapshot", |model| model.snapshot().is_some());
        drop(controller);
        assert_eq!(Arc::strong_count(&screen.0), 1, "the thread has dropped its end");
    }
    agent.wait_until_all_have_left();
}

fn sent() -> Event {
    Event::Sent {
        destination: "main".to_owned(),
        report_id: "r".to_owned(),
        correlation_id: "c".to_owned(),
        serial: "SN1".to_owned(),
        receipt: String::new(),
    }
}

fn delivered(model: &Model) -> u64 {
    model.snapshot().map_or(0, |snapshot| snapshot.destinations[0].sent)
}

/// A folder, and the instance that it names.
struct Station {
    _folder: tempfile::TempDir,
    instance: Instance,
}

impl Station {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = InstanceOptions { data_dir: Some(folder.path().to_owned()), ..InstanceOptions::default() };
        Self { instance: Instance::locate(&options).unwrap(), _folder: folder }
    }

    fn agent(&self) -> FakeAgent {
        FakeAgent::start(&self.instance)
    }

    fn window(&self, launcher: impl Launcher) -> (Recorder, Controller) {
        let screen = Recorder::default();
        let controller = Controller::start(self.instance.clone(), launcher, screen.clone()).unwrap();
        (screen, controller)
    }
}

/// Remembers what was shown last, and how often something was shown.
#[derive(Clone, Default)]
struct Recorder(Arc<(Mutex<Shown>, Condvar)>);

#[derive(Default)]
struct Shown {
    last: Option<Arc<Model>>,
    times: u64,
}

impl Screen for Recorder {
    fn show(&mut self, model: Arc<Model>) {
        let mut shown = self.0.0.lock().unwrap();
        shown.last = Some(model);
        shown.times += 1;
        self.0.1.notify_all();
    }
}

impl Recorder {
    fn wait(&self, what: &str, until: impl Fn(&Model) -> bool) -> Arc<Model> {
        let not_yet = |shown: &mut Shown| !shown.last.as_deref().is_some_and(&until);
        let (shown, timeout) = self.0.1.wait_timeout_while(self.0.0.lock().unwrap(), PATIENCE, not_yet).unwrap();
        assert!(!timeout.timed_out(), "waited in vain for {what}: {:?}", shown.last);
        Arc::clone(shown.last.as_ref().unwrap())
    }

    fn shown(&self) -> u64 {
        self.0.0.lock().unwrap().times
    }
}

/// There is no agent to start.
struct NoAgent;

impl Launcher for NoAgent {
    fn launch(&mut self) -> Result<Exited, ErrorReport> {
        Err(ErrorReport::new(Code::AgentNotRunning, "there is none"))
    }
    fn ended(&self, _: Option<i32>) -> ErrorReport {
        unreachable!("nothing was started")
    }
    fn silent(&self, _: Duration) -> ErrorReport {
        unreachable!("nothing was started")
    }
}

/// The agent finds faults in its configuration.
struct EndsAtOnce;

impl Launcher for EndsAtOnce {
    fn launch(&mut self) -> Result<Exited, ErrorReport> {
        let (exited_in, exited) = oneshot::channel();
        exited_in.send(Some(5)).unwrap();
        Ok(exited)
    }
    fn ended(&self, code: Option<i32>) -> ErrorReport {
        assert_eq!(code, Some(5));
        ErrorReport::new(Code::ConfigInvalid, "faults")
    }
    fn silent(&self, _: Duration) -> ErrorReport {
        unreachable!("it ended before")
    }
}

/// Starts a fake agent, once.
struct StartsAgent {
    instance: Instance,
    agent: Arc<Mutex<Option<FakeAgent>>>,
    exit: Option<oneshot::Sender<Option<i32>>>,
}

impl Launcher for StartsAgent {
    fn launch(&mut self) -> Result<Exited, ErrorReport> {
        let mut agent = self.agent.lock().unwrap();
        assert!(agent.is_none(), "started twice");
        *agent = Some(FakeAgent::start(&self.instance));
        let (exit, exited) = oneshot::channel();
        self.exit = Some(exit);
        Ok(exited)
    }
    fn ended(&self, code: Option<i32>) -> ErrorReport {
        panic!("it has not ended: {code:?}")
    }
    fn silent(&self, _: Duration) -> ErrorReport {
        panic!("it is not silent")
    }
}

/// The real server of `waybill-ipc` with a hub in place of an agent.
struct FakeAgent {
    hub: Arc<Hub>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

struct Hub {
    state: Arc<(Mutex<State>, Condvar)>,
}

struct State {
    seq: u64,
    snapshot: Snapshot,
    subscribers: Vec<mpsc::Sender<Update>>,
}

impl FakeAgent {
    fn start(instance: &Instance) -> Self {
        let hub = Arc::new(Hub {
            state: Arc::new((Mutex::new(State { seq: 7, snapshot: snapshot(), subscribers: Vec::new() }), Condvar::new())),
        });
        let stop = CancellationToken::new();
        let (bound_in, bound) = std::sync::mpsc::sync_channel(1);
        let (service, stopped, endpoint) = (Arc::clone(&hub), stop.clone(), Endpoint::of(instance));
        let serving = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = Listener::bind(&endpoint).unwrap();
                bound_in.send(()).unwrap();
                serve(listener, service, watch::Sender::new(Limits::from(&Ipc::default())).subscribe(), stopped).await;
            });
        };
        let thread = std::thread::Builder::new().name("fake-agent".to_owned()).spawn(serving).unwrap();
        bound.recv_timeout(PATIENCE).unwrap();
        Self { hub, stop, thread: Some(thread) }
    }

    fn publish(&self, event: Event) {
        let mut state = self.hub.state.0.lock().unwrap();
        state.seq += 1;
        state.snapshot.apply(1, &event);
        let update = Update::Event { seq: state.seq, at_ms: 1, event };
        state.subscribers.retain(|subscriber| subscriber.try_send(update.clone()).is_ok());
    }

    fn wait_until_all_have_left(&self) {
        let (state, left) = &*self.hub.state;
        let there = |state: &mut State| {
            state.subscribers.retain(|subscriber| !subscriber.is_closed());
            !state.subscribers.is_empty()
        };
        let (state, timeout) = left.wait_timeout_while(state.lock().unwrap(), PATIENCE, there).unwrap();
        assert!(!timeout.timed_out(), "{} subscribers are left", state.subscribers.len());
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

impl Service for Hub {
    type Updates = Subscription;
    type Session = ();

    fn session(&self, _: &Peer, _: &Hello) {}
    fn refused(&self, (): &(), _: &Request, _: &ErrorReport) {}
    fn brief(&self) -> StatusBrief {
        StatusBrief { state: AgentState::Running, waiting: 0, sent: 0, failed: 0 }
    }
    async fn request(&self, (): &(), request: Request) -> Result<Reply, ErrorReport> {
        let state = match request {
            Request::Autostart { enable: Some(true) } => AutostartState::Enabled,
            Request::Autostart { enable: None } => AutostartState::Absent,
            Request::Autostart { enable: Some(false) } => {
                return Err(ErrorReport::new(Code::AutostartFailed, "it cannot be taken away"));
            }
            _ => return Ok(Reply::Done),
        };
        Ok(Reply::Autostart(AutostartStatus { state, place: "x".to_owned(), starts: None, notes: Vec::new() }))
    }
    fn subscribe(&self) -> Result<Subscription, ErrorReport> {
        let (updates_in, updates) = mpsc::channel(4096);
        let mut state = self.state.0.lock().unwrap();
        let first = Update::Snapshot { seq: state.seq, missed: 0, snapshot: Box::new(state.snapshot.clone()) };
        updates_in.try_send(first).unwrap();
        state.subscribers.push(updates_in);
        Ok(Subscription { updates, state: Arc::clone(&self.state) })
    }
    fn stop(&self, (): &()) -> Result<(), ErrorReport> {
        Ok(())
    }
}

struct Subscription {
    updates: mpsc::Receiver<Update>,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Updates for Subscription {
    async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let _held = self.state.0.lock().unwrap();
        self.updates.close();
        self.state.1.notify_all();
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        agent: AgentInfo {
            error: None,
            stopping: None,
            state: AgentState::Running,
            version: "0.1.0".to_owned(),
            pid: 1,
            instance: "default".to_owned(),
            started_at_ms: 0,
            identity: Identity {
                station: "ST-07".to_owned(),
                name_source: "station.name".to_owned(),
                location: "Line 1".to_owned(),
                purpose: "Production".to_owned(),
                revision: "r1".to_owned(),
                configured: true,
                window_theme: "system".to_owned(),
                window_zoom: 100,
            },
            config: String::new(),
            config_problem: None,
            data: String::new(),
        },
        queue: QueueStatus { waiting: 0, fullest: 0, max_entries: 100, full: false, ..QueueStatus::default() },
        sources: Vec::new(),
        destinations: vec![DestinationStatus {
            name: "main".to_owned(),
            kind: "folder".to_owned(),
            address: "/x".to_owned(),
            state: Connection::Online,
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
        }],
        recent: VecDeque::new(),
        former: Former::default(),
    }
}
