//! One sample of every message, and of every value of every enumeration inside of one.

mod queue;
mod station;

use std::collections::VecDeque;

use waybill_ipc::codec;
use waybill_ipc::protocol::{
    Activity, ActivityKind, AgentInfo, AgentState, ClientMessage, Configured, Connection, ConversionErrorRow, DeliveryFilter,
    DeliveryRow, DeliveryState, DestinationHead, DestinationStatus, Event, Former, FullBy, Identity, Page, QueueStatus, Reply,
    Request, ServerMessage, Snapshot, SourceHead, SourceState, SourceStatus, StopPhase, Stopping, Update,
};
use waybill_shared::error::{Category, Code, ErrorReport};
use waybill_shared::schema::{Fault, FaultKind};

/// A message of either side.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    Client(ClientMessage),
    Server(ServerMessage),
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Client(message) => codec::encode_client(message).unwrap(),
            Self::Server(message) => codec::encode_server(message).unwrap(),
        }
    }

    /// Reads bytes as a message of the same side.
    pub fn decode_as(&self, bytes: &[u8]) -> Result<Self, codec::CodecError> {
        match self {
            Self::Client(_) => codec::decode_client(bytes).map(Self::Client),
            Self::Server(_) => codec::decode_server(bytes).map(Self::Server),
        }
    }
}

/// Samples that differ in one enumeration only: each of its values once, in the order of their declaration.
pub struct Family {
    pub name: &'static str,
    pub samples: Vec<(String, Message)>,
}

/// All of them.
pub fn families() -> Vec<Family> {
    let mut families = conversation();
    families.extend(queue::families());
    families.extend(station::families());
    families
}

/// What is about files, reports and their ways.
fn conversation() -> Vec<Family> {
    vec![
        family("request", requests(), ask),
        family("request.deliveries.state", DELIVERY_STATES, |state| {
            let page = Page { after: None, limit: 1000 };
            ask(Request::Deliveries { filter: DeliveryFilter { state: Some(state), ..DeliveryFilter::default() }, page })
        }),
        family("stop.phase", [StopPhase::Drain, StopPhase::Cancel, StopPhase::Verify], |phase| {
            Message::Server(news(Event::Stopping(Stopping { phase, ..stopping() })))
        }),
        family("result", [Ok(Reply::Done), Err(error())], response),
        family("reply", replies(), |reply| response(Ok(reply))),
        family("error.category", CATEGORIES, |category| response(Err(ErrorReport { category, ..error() }))),
        family("error.details.kind", FAULT_KINDS, |kind| {
            let fault = Fault { path: "root.steps[2]".into(), kind, message: "m".into() };
            response(Err(ErrorReport { details: vec![fault], ..error() }))
        }),
        family("delivery.state", DELIVERY_STATES, |state| response(Ok(Reply::Deliveries(vec![DeliveryRow { state, ..row() }])))),
        family(
            "server",
            [ServerMessage::Response { id: 1, result: Ok(Reply::Done) }, news(Event::QueueFull { full: true, by: None })],
            Message::Server,
        ),
        family(
            "update",
            [
                Update::Snapshot { seq: 70_000, missed: 300, snapshot: Box::new(snapshot()) },
                Update::Event { seq: 70_000, at_ms: -1, event: Event::QueueFull { full: false, by: None } },
            ],
            |update| Message::Server(ServerMessage::Update(update)),
        ),
        family("event", events(), |event| Message::Server(news(event))),
        family("event.agent.state", AGENT_STATES, |state| Message::Server(news(Event::Agent { state }))),
        family("event.source.state", SOURCE_STATES, |state| {
            Message::Server(news(Event::Source { source: "ict".into(), state, error: None }))
        }),
        family("event.destination.state", CONNECTIONS, |state| {
            let event = Event::Destination { destination: "main".into(), state, error: None, next_try_ms: None };
            Message::Server(news(event))
        }),
        family("snapshot.agent.state", AGENT_STATES, |state| {
            let snapshot = snapshot();
            status(Snapshot { agent: AgentInfo { state, ..snapshot.agent.clone() }, ..snapshot })
        }),
        family("snapshot.source.state", SOURCE_STATES, |state| {
            let sources = snapshot().sources.into_iter().map(|source| SourceStatus { state, ..source }).collect();
            status(Snapshot { sources, ..snapshot() })
        }),
        family("snapshot.destination.state", CONNECTIONS, |state| {
            let destinations = snapshot().destinations.into_iter().map(|there| DestinationStatus { state, ..there }).collect();
            status(Snapshot { destinations, ..snapshot() })
        }),
        family("snapshot.recent.kind", ACTIVITY_KINDS, |kind| {
            let recent = snapshot().recent.into_iter().map(|activity| Activity { kind, ..activity }).collect();
            status(Snapshot { recent, ..snapshot() })
        }),
    ]
}

/// All samples with their names.
pub fn all() -> Vec<(String, Message)> {
    families()
        .into_iter()
        .flat_map(|family| family.samples.into_iter().map(move |(name, message)| (format!("{}/{name}", family.name), message)))
        .collect()
}

fn family<T: std::fmt::Debug>(name: &'static str, values: impl IntoIterator<Item = T>, message: impl Fn(T) -> Message) -> Family {
    let named = |value: T| {
        let debug = format!("{value:?}");
        let end = debug.find(|c: char| !c.is_alphanumeric()).unwrap_or(debug.len());
        (debug[..end].to_owned(), message(value))
    };
    Family { name, samples: values.into_iter().map(named).collect() }
}

const AGENT_STATES: [AgentState; 3] = [AgentState::Starting, AgentState::Running, AgentState::Stopping];
const SOURCE_STATES: [SourceState; 6] = [
    SourceState::Starting,
    SourceState::Watching,
    SourceState::Unavailable,
    SourceState::Paused,
    SourceState::Stopped,
    SourceState::Disabled,
];
const CONNECTIONS: [Connection; 8] = [
    Connection::Idle,
    Connection::Online,
    Connection::Degraded,
    Connection::BreakerOpen,
    Connection::Paused,
    Connection::Removed,
    Connection::Disabled,
    Connection::Held,
];
const DELIVERY_STATES: [DeliveryState; 7] = [
    DeliveryState::Staged,
    DeliveryState::Pending,
    DeliveryState::Sending,
    DeliveryState::Sent,
    DeliveryState::Failed,
    DeliveryState::Discarded,
    DeliveryState::Evicted,
];
const ACTIVITY_KINDS: [ActivityKind; 8] = [
    ActivityKind::Queued,
    ActivityKind::Sent,
    ActivityKind::Retry,
    ActivityKind::Failed,
    ActivityKind::Evicted,
    ActivityKind::Broken,
    ActivityKind::Recovered,
    ActivityKind::Trouble,
];
const CATEGORIES: [Category; 6] = [
    Category::Configuration,
    Category::Input,
    Category::Station,
    Category::Destination,
    Category::Communication,
    Category::Internal,
];
const FAULT_KINDS: [FaultKind; 5] =
    [FaultKind::UnknownKey, FaultKind::WrongType, FaultKind::OutOfRange, FaultKind::Missing, FaultKind::Conflict];

fn ask(request: Request) -> Message {
    Message::Client(ClientMessage { id: 1, request })
}

fn response(result: Result<Reply, ErrorReport>) -> Message {
    Message::Server(ServerMessage::Response { id: 1, result })
}

fn status(snapshot: Snapshot) -> Message {
    response(Ok(Reply::Status(Box::new(snapshot))))
}

fn news(event: Event) -> ServerMessage {
    ServerMessage::Update(Update::Event { seq: 1, at_ms: 0, event })
}

fn requests() -> Vec<Request> {
    let mut requests =
        vec![Request::Status, Request::Deliveries { filter: queue::filter(), page: Page { after: Some(-1), limit: 1000 } }];
    requests.extend(queue::requests());
    requests.extend([
        Request::ConversionErrors { page: Page { after: None, limit: 50 } },
        Request::Subscribe,
        Request::Unsubscribe,
    ]);
    requests.extend(station::requests());
    requests
}

fn replies() -> Vec<Reply> {
    let mut replies = vec![Reply::Done, Reply::Status(Box::new(snapshot())), Reply::Deliveries(vec![row()])];
    replies.extend(queue::replies());
    replies.push(Reply::ConversionErrors(vec![ConversionErrorRow {
        key: 3,
        source: "ict".into(),
        path: "/in/a.json".into(),
        moved_to: Some("/in/error/a.json".into()),
        at_ms: 1_700_000_000_000,
        error: error(),
    }]));
    replies.extend(station::replies());
    replies
}

fn events() -> Vec<Event> {
    let (source, file, life): (String, String, String) = ("ict".into(), "Prüfling.json".into(), CORRELATION.into());
    let (destination, report_id, serial): (String, String, String) = ("main".into(), REPORT.into(), "SN1".into());
    let mut events = vec![
        Event::Agent { state: AgentState::Running },
        Event::Source { source: source.clone(), state: SourceState::Unavailable, error: Some(error()) },
        Event::FileSeen { source: source.clone(), file: file.clone(), correlation_id: life.clone() },
        Event::FileForgotten { source: source.clone(), file: file.clone(), correlation_id: life.clone() },
        Event::FileQueued {
            source: source.clone(),
            file: file.clone(),
            correlation_id: life.clone(),
            reports: 300,
            serial: serial.clone(),
            destinations: vec!["main".into(), "archive".into()],
            whole: true,
        },
        Event::FileBroken { source, file, correlation_id: life.clone(), error: error(), moved_to: None },
        Event::Sent {
            destination: destination.clone(),
            report_id: report_id.clone(),
            correlation_id: life.clone(),
            serial: serial.clone(),
            receipt: "https://server/report/1".into(),
        },
        Event::Retry {
            destination: destination.clone(),
            report_id: report_id.clone(),
            correlation_id: life.clone(),
            serial: serial.clone(),
            error: error(),
            due_at_ms: Some(1_700_000_000_000),
        },
        Event::Failed {
            destination: destination.clone(),
            report_id: report_id.clone(),
            correlation_id: life,
            serial: serial.clone(),
            error: error(),
        },
        Event::Evicted { destination: destination.clone(), report_id, serial, path: "/data/evicted/1.json".into() },
        Event::Sending { destination: destination.clone(), count: 4 },
        Event::Destination { destination, state: Connection::BreakerOpen, error: Some(error()), next_try_ms: Some(5) },
        Event::Configured(Box::new(configured())),
        Event::LetGo { destination: "old".into(), pending: 300, failed: 2, moved: 251, to: Some("main".into()) },
        Event::ConfigProblem { error: Some(error()) },
        Event::Stopping(stopping()),
        Event::AgentError { error: Some(error()) },
    ];
    events.extend(queue::events());
    events
}

/// Who the station is.
fn identity() -> Identity {
    Identity {
        station: "ST-07".into(),
        name_source: "the configuration".into(),
        location: "Line 1".into(),
        purpose: "Production".into(),
        revision: "5f7d9606".into(),
        configured: true,
        window_theme: "dark".into(),
        window_zoom: 125,
    }
}

/// A configuration with one of everything.
fn stopping() -> Stopping {
    Stopping { phase: StopPhase::Cancel, since_ms: 1500, waits_for: vec!["destination main".into()] }
}

fn configured() -> Configured {
    Configured {
        identity: identity(),
        max_entries: 100_000,
        sources: vec![SourceHead { name: "ict".into(), folder: "/in".into(), converter: "wsjf".into(), enabled: true }],
        destinations: vec![DestinationHead {
            name: "main".into(),
            kind: "wats".into(),
            address: "https://server".into(),
            enabled: false,
        }],
    }
}

const CORRELATION: &str = "0195f3a0-0000-7000-8000-000000000001";
const REPORT: &str = "40e5d3a6-4c2b-5f7d-9606-3be0d779ecc0";

/// An error with everything an error can have.
pub fn error() -> ErrorReport {
    // Written out, not made by `new`: better sentences of the catalogue are not another protocol.
    ErrorReport {
        code: Code::ReportInvalid,
        category: Category::Input,
        message: "what, where, why".into(),
        details: vec![Fault { path: "root.steps[2]".into(), kind: FaultKind::Missing, message: "is not there".into() }],
        fix: "what to do".into(),
        correlation_id: Some(CORRELATION.parse().unwrap()),
    }
}

/// A delivery.
pub fn row() -> DeliveryRow {
    DeliveryRow {
        key: 1,
        entry: 2,
        report_id: REPORT.into(),
        correlation_id: CORRELATION.into(),
        destination: "main".into(),
        state: DeliveryState::Pending,
        source: "ict".into(),
        file: "a.json".into(),
        serial: "SN1".into(),
        part: "PN1".into(),
        result: "P".into(),
        priority: 5,
        attempts: 251,
        tries: 300,
        queued_at_ms: 1_700_000_000_000,
        due_at_ms: None,
        finished_at_ms: Some(65_536),
        last_error: Some("no route".into()),
        error_code: Some("WB5001".into()),
        receipt: None,
    }
}

/// A state with one of everything.
pub fn snapshot() -> Snapshot {
    Snapshot {
        agent: AgentInfo {
            error: Some(error()),
            stopping: Some(stopping()),
            state: AgentState::Running,
            version: "0.1.0".into(),
            pid: 4711,
            instance: "default".into(),
            started_at_ms: 1_700_000_000_000,
            identity: identity(),
            config: "/etc/waybill/config.toml".into(),
            config_problem: Some(error()),
            data: "/var/lib/waybill".into(),
        },
        queue: QueueStatus {
            waiting: 3,
            fullest: 2,
            max_entries: 100_000,
            full: false,
            full_by: Some(FullBy::Bytes),
            held_lanes: vec![9],
            losses: 1,
        },
        sources: vec![source("ict")],
        destinations: vec![destination("main")],
        recent: VecDeque::from([Activity {
            at_ms: 7,
            kind: ActivityKind::Queued,
            place: "ict".into(),
            subject: "a.json · SN1".into(),
            correlation_id: Some(CORRELATION.into()),
            error: None,
        }]),
        former: Former { sources: vec![source("aoi")], destinations: vec![destination("old")] },
    }
}

fn source(name: &str) -> SourceStatus {
    SourceStatus {
        name: name.into(),
        folder: "/in".into(),
        converter: "wsjf".into(),
        state: SourceState::Watching,
        error: Some(error()),
        waiting: 1,
        queued: 250,
        errors: 251,
        reports: 70_000,
    }
}

fn destination(name: &str) -> DestinationStatus {
    DestinationStatus {
        name: name.into(),
        kind: "wats".into(),
        address: "https://server".into(),
        state: Connection::Online,
        error: None,
        next_try_ms: Some(1),
        pending: 2,
        sending: 1,
        sent: 5_000_000_000,
        failed: 4,
        discarded: 5,
        evicted: 6,
        last_sent_ms: Some(1_700_000_000_000),
        most: 300,
    }
}
