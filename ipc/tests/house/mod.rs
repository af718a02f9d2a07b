//! A real server on a real socket with a small service behind it, and clients that speak in bytes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use waybill_ipc::client::Deadlines;
use waybill_ipc::codec;
use waybill_ipc::peer::Peer;
use waybill_ipc::protocol::{
    AgentState, ClientKind, ClientMessage, DeliveryFilter, DeliveryRow, Event, Frozen, Hello, PROTOCOL, Page, Reply, Request,
    ServerMessage, StatusBrief, Update,
};
use waybill_ipc::server::{Limits, Service, Updates, serve};
use waybill_ipc::transport::{self, Listener, Stream};
use waybill_ipc::{Client, ClientError, Endpoint};
use waybill_shared::config::Ipc;
use waybill_shared::error::ErrorReport;
use waybill_shared::paths::{Instance, InstanceOptions};

use crate::samples;

/// How long a test waits for something that should happen at once.
pub const SOON: Duration = Duration::from_secs(20);

/// A server that runs, and the service behind it. Dropping it stops it hard.
pub struct House {
    pub endpoint: Endpoint,
    pub service: Arc<Fake>,
    pub stop: CancellationToken,
    /// What counts for connections that come from now on.
    pub limits: watch::Sender<Limits>,
    server: JoinSet<()>,
    folder: TempDir,
}

impl House {
    /// With the default limits, as changed by `limits`.
    pub fn open(limits: impl FnOnce(&mut Ipc)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = endpoint_of(&folder);
        let mut ipc = Ipc::default();
        limits(&mut ipc);
        let service = Arc::new(Fake::default());
        let stop = CancellationToken::new();
        let listener = Listener::bind(&endpoint).unwrap();
        let mut server = JoinSet::new();
        let limits = watch::Sender::new(Limits::from(&ipc));
        server.spawn(serve(listener, Arc::clone(&service), limits.subscribe(), stop.clone()));
        Self { endpoint, service, stop, limits, server, folder }
    }

    /// Stops it and waits until it has.
    pub async fn close(&mut self) {
        self.stop.cancel();
        timeout(SOON, self.server.join_next()).await.expect("the server stops").unwrap().unwrap();
    }

    pub async fn client(&self, kind: ClientKind) -> Result<Client, ClientError> {
        Client::connect(&self.endpoint, kind, Deadlines { connect: SOON, request: SOON, ..Deadlines::default() }).await
    }

    /// Connects and says nothing.
    pub async fn raw(&self) -> Raw {
        Raw(timeout(SOON, transport::connect(&self.endpoint)).await.unwrap().unwrap())
    }

    /// Connects and greets.
    pub async fn greeted(&self, kind: ClientKind) -> Raw {
        let mut raw = self.raw().await;
        match raw.greet(kind).await {
            Some(Frozen::Hello(_)) => raw,
            other => panic!("no greeting but {other:?}"),
        }
    }
}

/// An endpoint of its own for each folder.
pub fn endpoint_of(folder: &TempDir) -> Endpoint {
    let options = InstanceOptions { data_dir: Some(folder.path().to_owned()), ..InstanceOptions::default() };
    Endpoint::of(&Instance::locate(&options).unwrap())
}

/// Does with a request for deliveries what the name of the destination says: `at once`, `after 300` (ms), `never`, `panic`, `huge`,
/// `crowd` (answered when all of a crowd of 8 were asked, the last one first).
#[derive(Default)]
pub struct Fake {
    pub stopped: Notify,
    /// Whether nobody may stop it.
    pub no_stop: AtomicBool,
    /// Whether nobody gets news.
    pub no_news: AtomicBool,
    /// Every request that reached it.
    pub asked: Mutex<Vec<Request>>,
    /// What the server refused by itself.
    pub refused: Mutex<Vec<(Request, ErrorReport)>>,
    /// Requests that are being worked on.
    pub working: Arc<AtomicUsize>,
    /// Subscriptions that live.
    pub subscribers: Arc<AtomicUsize>,
    pub hub: Hub,
    crowd: Mutex<Vec<tokio::sync::oneshot::Sender<()>>>,
}

/// Numbers events and hands them to subscribers.
pub struct Hub(Mutex<(u64, broadcast::Sender<Update>)>);

impl Default for Hub {
    fn default() -> Self {
        Self(Mutex::new((0, broadcast::channel(64).0)))
    }
}

impl Hub {
    pub fn publish(&self, event: Event) {
        let mut hub = self.0.lock().unwrap();
        hub.0 += 1;
        let _nobody = hub.1.send(Update::Event { seq: hub.0, at_ms: 0, event });
    }
}

impl Service for Fake {
    type Updates = News;
    type Session = ();

    fn session(&self, _peer: &Peer, _hello: &Hello) {}

    fn refused(&self, (): &(), request: &Request, error: &ErrorReport) {
        self.refused.lock().unwrap().push((request.clone(), error.clone()));
    }

    fn brief(&self) -> StatusBrief {
        StatusBrief { state: AgentState::Running, waiting: 1, sent: 2, failed: 3 }
    }

    async fn request(&self, (): &(), request: Request) -> Result<Reply, ErrorReport> {
        let _working = Counted::new(&self.working);
        self.asked.lock().unwrap().push(request.clone());
        let Request::Deliveries { filter: DeliveryFilter { destination: Some(script), .. }, .. } = request else {
            return Ok(Reply::Status(Box::new(samples::snapshot())));
        };
        match script.split_once(' ').unwrap_or((&script, "")) {
            ("after", ms) => sleep(Duration::from_millis(ms.parse().unwrap())).await,
            ("never", _) => std::future::pending().await,
            ("panic", _) => panic!("a fault, as asked"),
            ("huge", _) => return Ok(rows(&"x".repeat(codec::MAX_FRAME_BYTES))),
            ("big", _) => return Ok(rows(&"x".repeat(256 * 1024))),
            ("error", _) => return Err(samples::error()),
            ("crowd", _) => {
                let (turn, my_turn) = tokio::sync::oneshot::channel();
                let next = {
                    let mut crowd = self.crowd.lock().unwrap();
                    crowd.push(turn);
                    if crowd.len() == 8 { crowd.pop() } else { None }
                };
                next.map(|next| next.send(()));
                my_turn.await.unwrap();
                // The one before comes after.
                let next = self.crowd.lock().unwrap().pop();
                sleep(Duration::from_millis(10)).await;
                next.map(|next| next.send(()));
            }
            _ => {}
        }
        Ok(rows(&script))
    }

    fn subscribe(&self) -> Result<News, ErrorReport> {
        if self.no_news.load(Ordering::SeqCst) {
            return Err(samples::error());
        }
        let hub = self.hub.0.lock().unwrap();
        let (seq, events) = (hub.0, hub.1.subscribe());
        Ok(News { first: Some(seq), events, seq, _alive: Counted::new(&self.subscribers) })
    }

    fn stop(&self, (): &()) -> Result<(), ErrorReport> {
        if self.no_stop.load(Ordering::SeqCst) {
            return Err(samples::error());
        }
        self.stopped.notify_one();
        Ok(())
    }
}

/// One subscription.
pub struct News {
    first: Option<u64>,
    events: broadcast::Receiver<Update>,
    seq: u64,
    _alive: Counted,
}

impl Updates for News {
    async fn next(&mut self) -> Option<Update> {
        if let Some(seq) = self.first.take() {
            return Some(Update::Snapshot { seq, missed: 0, snapshot: Box::new(samples::snapshot()) });
        }
        match self.events.recv().await {
            Ok(update) => {
                self.seq = update.seq();
                Some(update)
            }
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                self.seq += missed;
                Some(Update::Snapshot { seq: self.seq, missed, snapshot: Box::new(samples::snapshot()) })
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One row that says what was asked.
fn rows(script: &str) -> Reply {
    Reply::Deliveries(vec![DeliveryRow { serial: script.to_owned(), ..samples::row() }])
}

/// The request that makes [`Fake`] do so.
pub fn script(script: &str) -> Request {
    let filter = DeliveryFilter { destination: Some(script.to_owned()), ..DeliveryFilter::default() };
    Request::Deliveries { filter, page: Page { after: None, limit: 1 } }
}

/// What [`Fake`] was asked, from its answer.
pub fn told(reply: Reply) -> String {
    match reply {
        Reply::Deliveries(mut rows) if rows.len() == 1 => rows.remove(0).serial,
        other => panic!("{other:?}"),
    }
}

/// A connection on which only bytes go.
pub struct Raw(pub Stream);

impl Raw {
    pub async fn send(&mut self, bytes: &[u8]) {
        timeout(SOON, self.0.write_all(bytes)).await.expect("the server takes bytes").unwrap();
    }

    pub async fn send_frame(&mut self, body: &[u8]) {
        self.send(&frame(body)).await;
    }

    pub async fn ask(&mut self, id: u64, request: Request) {
        self.send_frame(&codec::encode_client(&ClientMessage { id, request }).unwrap()).await;
    }

    /// Greets as this version does, and gives the answer.
    pub async fn greet(&mut self, kind: ClientKind) -> Option<Frozen> {
        self.greet_as(PROTOCOL, kind).await
    }

    pub async fn greet_as(&mut self, protocol: u16, kind: ClientKind) -> Option<Frozen> {
        let hello = Hello { protocol, kind, pid: 1, version: "9.9.9".into() };
        self.send_frame(&Frozen::Hello(hello).encode()).await;
        Frozen::decode(&self.frame().await?)
    }

    /// The next frame; `None` if the server closed instead.
    pub async fn frame(&mut self) -> Option<Vec<u8>> {
        let read = async {
            let mut length = [0; 4];
            self.0.read_exact(&mut length).await.ok()?;
            let mut body = vec![0; u32::from_le_bytes(length) as usize];
            self.0.read_exact(&mut body).await.ok()?;
            Some(body)
        };
        timeout(SOON, read).await.expect("the server answers or closes")
    }

    /// The next frame as a message; `None` if the server closed instead.
    pub async fn message(&mut self) -> Option<ServerMessage> {
        Some(codec::decode_server(&self.frame().await?).unwrap())
    }

    /// How long the server takes to close the connection.
    pub async fn until_closed(&mut self) -> Duration {
        let start = std::time::Instant::now();
        let mut buffer = vec![0; 65_536];
        let to_the_end = async { while !matches!(self.0.read(&mut buffer).await, Ok(0) | Err(_)) {} };
        timeout(SOON, to_the_end).await.expect("the server closes");
        start.elapsed()
    }

    /// True if the server has not closed, and answers a ping.
    pub async fn lives(&mut self) -> bool {
        if self.0.write_all(&frame(&Frozen::Ping(9).encode())).await.is_err() {
            return false;
        }
        self.frame().await.is_some_and(|body| Frozen::decode(&body) == Some(Frozen::Pong(9)))
    }
}

pub fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
}

/// Waits until `condition` holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}
