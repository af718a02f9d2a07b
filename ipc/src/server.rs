//! The agent's end of the conversation.
//!
//! Each connection has its own tasks and its own bounded queue of outgoing messages: a slow or hung client delays nobody,
//! newcomers included. Places are limited, greeted and not yet greeted ones apart; when all places for greetings are taken, the
//! connection that has been silent longest makes room, so that no crowd of hung clients can keep a newcomer out. A few places
//! are kept for command lines and the watchdog.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use waybill_shared::config::Ipc;
use waybill_shared::error::{Code, ErrorReport};

use crate::codec;
use crate::frame::{self, FrameError};
use crate::peer::Peer;
use crate::protocol::{ClientKind, Frozen, Hello, PROTOCOL, Reply, Request, ServerMessage, StatusBrief, Update};
use crate::transport::{self, Listener};

/// Places beyond the configured ones for command lines and the watchdog.
const KEPT_PLACES: usize = 4;
/// Requests of one connection that are worked on at the same time.
const REQUESTS_AT_ONCE: usize = 16;
/// Messages that wait to be written to one connection.
const OUTGOING: usize = 64;
/// Pause after an accept that failed, for example for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the agent does with what clients want.
pub trait Service: Send + Sync + 'static {
    /// News for one subscriber.
    type Updates: Updates;
    /// How the agent is. Answered at once, touching no store.
    fn brief(&self) -> StatusBrief;
    /// Answers a request; subscriptions are the server's business.
    fn request(&self, peer: &Peer, request: Request) -> impl Future<Output = Result<Reply, ErrorReport>> + Send;
    /// A new subscription; its first update is a snapshot.
    fn subscribe(&self) -> Self::Updates;
    /// Begins to stop the agent.
    fn stop(&self, peer: &Peer);
}

/// A subscriber's end of the event hub.
pub trait Updates: Send + 'static {
    /// The next update; `None` after the last.
    fn next(&mut self) -> impl Future<Output = Option<Update>> + Send;
}

/// Deadlines and places, from the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    hello: Duration,
    frame: Duration,
    write: Duration,
    request: Duration,
    idle: Duration,
    places: usize,
}

impl From<&Ipc> for Limits {
    fn from(ipc: &Ipc) -> Self {
        Self {
            hello: Duration::from_secs(ipc.hello_timeout_secs),
            frame: Duration::from_secs(ipc.frame_timeout_secs),
            write: Duration::from_secs(ipc.write_timeout_secs),
            request: Duration::from_secs(ipc.request_timeout_secs),
            idle: Duration::from_secs(ipc.idle_timeout_secs),
            places: ipc.max_connections as usize,
        }
    }
}

/// Serves until `stop` is cancelled; then every connection is closed before it returns.
pub async fn serve<S: Service>(listener: Listener, service: Arc<S>, limits: Limits, stop: CancellationToken) {
    let doors = Arc::new(Doors::default());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_ended) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => match transport::check_peer(&stream) {
                Ok(peer) => {
                    let place = doors.enter(limits.places, &stop);
                    connections.spawn(connection(stream, peer, Arc::clone(&service), limits, place));
                }
                Err(refused) => tracing::warn!(event = "ipc_refused", reason = %refused, "a connection was refused"),
            },
            Err(error) => {
                tracing::warn!(event = "ipc_accept_failed", %error, "a connection could not be accepted; trying on");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Who is in the house. Held for a few instructions at a time, never over an await.
#[derive(Default)]
struct Doors {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    next: u64,
    greeting: VecDeque<(u64, CancellationToken)>,
    greeted: usize,
}

/// A connection's place; leaving gives it back.
struct Place {
    doors: Arc<Doors>,
    id: u64,
    greeted: bool,
    places: usize,
    leave: CancellationToken,
}

impl Doors {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, places: usize, stop: &CancellationToken) -> Place {
        let leave = stop.child_token();
        let mut inside = self.lock();
        let id = inside.next;
        inside.next += 1;
        while inside.greeting.len() >= places {
            if let Some((_, oldest)) = inside.greeting.pop_front() {
                oldest.cancel();
            }
        }
        inside.greeting.push_back((id, leave.clone()));
        Place { doors: Arc::clone(self), id, greeted: false, places, leave }
    }
}

impl Place {
    /// From the hall into the house, if there is a place for this kind of client.
    fn greet(&mut self, kind: ClientKind) -> bool {
        let mut inside = self.doors.lock();
        inside.greeting.retain(|(id, _)| *id != self.id);
        let kept = if matches!(kind, ClientKind::Cli | ClientKind::Watchdog) { KEPT_PLACES } else { 0 };
        self.greeted = inside.greeted < self.places + kept;
        inside.greeted += usize::from(self.greeted);
        self.greeted
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.doors.lock();
        inside.greeting.retain(|(id, _)| *id != self.id);
        inside.greeted -= usize::from(self.greeted);
    }
}

async fn connection<T, S>(stream: T, peer: Peer, service: Arc<S>, limits: Limits, mut place: Place)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service,
{
    let leave = place.leave.clone();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let greeted = tokio::select! {
        () = leave.cancelled() => return,
        greeted = timeout(limits.hello, greet(&mut reader, &mut writer, limits, &mut place)) => greeted,
    };
    if !matches!(greeted, Ok(true)) {
        return;
    }
    let (outgoing, waiting) = mpsc::channel(OUTGOING);
    tokio::select! {
        () = leave.cancelled() => {}
        () = converse(&mut reader, &peer, &service, limits, outgoing) => {}
        error = write_all(&mut writer, waiting, limits.write) => {
            tracing::debug!(event = "ipc_write_failed", ?error, pid = peer.pid, "a connection was given up");
        }
    }
}

/// The greeting; true if both sides may go on.
async fn greet<R, W>(reader: &mut R, writer: &mut W, limits: Limits, place: &mut Place) -> bool
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Ok(frame) = frame::read(reader, codec::MAX_GREETING_BYTES, limits.hello, limits.hello).await else { return false };
    let refusal = match Frozen::decode(&frame) {
        Some(Frozen::Hello(hello)) if place.greet(hello.kind) => None,
        Some(Frozen::Hello(_)) => Some(format!("all {} places are taken", place.places)),
        _ => Some("this is a Waybill agent; a conversation begins with a greeting".to_owned()),
    };
    let answer = match &refusal {
        None => Frozen::Hello(Hello {
            protocol: PROTOCOL,
            kind: ClientKind::Agent,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        Some(why) => Frozen::Refused(why.clone()),
    };
    frame::write(writer, &[answer.encode()], limits.write).await.is_ok() && refusal.is_none()
}

/// Reads and answers until the client leaves or misbehaves. Requests run beside each other; an answer may overtake another.
async fn converse<R, S>(reader: &mut R, peer: &Peer, service: &Arc<S>, limits: Limits, outgoing: mpsc::Sender<Vec<u8>>)
where
    R: AsyncRead + Unpin,
    S: Service,
{
    let mut working = JoinSet::new();
    let mut subscription = JoinSet::new();
    loop {
        while working.len() >= REQUESTS_AT_ONCE {
            working.join_next().await;
        }
        let frame = match frame::read(reader, codec::MAX_FRAME_BYTES, limits.idle, limits.frame).await {
            Ok(frame) => frame,
            Err(FrameError::Closed) => return,
            Err(error) => {
                tracing::debug!(event = "ipc_closed", reason = %error, pid = peer.pid, "a connection was closed");
                return;
            }
        };
        while working.try_join_next().is_some() {}
        if frame.first().copied().is_some_and(Frozen::is_tag) {
            let answer = match Frozen::decode(&frame) {
                Some(Frozen::Ping(number)) => Frozen::Pong(number),
                Some(Frozen::BriefRequest) => Frozen::Brief(service.brief()),
                Some(Frozen::Stop) => {
                    tracing::info!(event = "stop_requested", pid = peer.pid, "a client asked the agent to stop");
                    service.stop(peer);
                    Frozen::Stopping
                }
                _ => return,
            };
            if outgoing.send(answer.encode()).await.is_err() {
                return;
            }
            continue;
        }
        let message = match codec::decode_client(&frame) {
            Ok(message) => message,
            Err(error) => {
                let why = format!("{error}; it may come from another version: update both programs");
                tracing::warn!(event = "ipc_bad_message", %error, pid = peer.pid, "a message could not be read");
                // The connection ends either way.
                let _closing = outgoing.send(Frozen::Refused(why).encode()).await;
                tokio::task::yield_now().await;
                return;
            }
        };
        match message.request {
            Request::Subscribe => {
                subscription.shutdown().await;
                if respond(&outgoing, message.id, Ok(Reply::Done)).await.is_err() {
                    return;
                }
                subscription.spawn(forward(service.subscribe(), outgoing.clone()));
            }
            Request::Unsubscribe => {
                subscription.shutdown().await;
                if respond(&outgoing, message.id, Ok(Reply::Done)).await.is_err() {
                    return;
                }
            }
            request => {
                let (service, peer, outgoing) = (Arc::clone(service), peer.clone(), outgoing.clone());
                working.spawn(async move {
                    let answer = timeout(limits.request, service.request(&peer, request)).await.unwrap_or_else(|_| {
                        let seconds = limits.request.as_secs();
                        Err(ErrorReport::new(Code::PeerTimeout, format!("the agent had no answer within {seconds} s")))
                    });
                    // A client that has left needs no answer.
                    let _gone = respond(&outgoing, message.id, answer).await;
                });
            }
        }
    }
}

async fn respond(outgoing: &mpsc::Sender<Vec<u8>>, id: u64, result: Result<Reply, ErrorReport>) -> Result<(), ()> {
    let bytes = codec::encode_server(&ServerMessage::Response { id, result }).or_else(|error| {
        let error = ErrorReport::new(Code::Internal, format!("the answer cannot be sent: {error}"));
        codec::encode_server(&ServerMessage::Response { id, result: Err(error) })
    });
    outgoing.send(bytes.map_err(|_| ())?).await.map_err(|_| ())
}

/// Hands news on. A client that takes none makes this wait; the hub then counts what the subscriber misses.
async fn forward<U: Updates>(mut updates: U, outgoing: mpsc::Sender<Vec<u8>>) {
    while let Some(update) = updates.next().await {
        let Ok(bytes) = codec::encode_server(&ServerMessage::Update(update)) else { continue };
        if outgoing.send(bytes).await.is_err() {
            return;
        }
    }
}

/// Writes what waits, several messages at once where several wait.
async fn write_all<W: AsyncWrite + Unpin>(
    writer: &mut W,
    mut waiting: mpsc::Receiver<Vec<u8>>,
    limit: Duration,
) -> io::Result<()> {
    let mut batch = Vec::with_capacity(OUTGOING);
    while waiting.recv_many(&mut batch, OUTGOING).await > 0 {
        frame::write(writer, &batch, limit).await?;
        batch.clear();
    }
    Ok(())
}
