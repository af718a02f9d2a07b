//! The agent's end of the conversation.
//!
//! Each connection has its own tasks and its own bounded queue of outgoing messages: a slow or hung client delays nobody,
//! newcomers included. Places are limited, greeted and not yet greeted ones apart; when all places for greetings are taken, the
//! connection that has been silent longest makes room, so that no crowd of hung clients can keep a newcomer out. A few places
//! are kept for command lines and the watchdog.

mod doors;
mod rate;

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use waybill_shared::config::Ipc;
use waybill_shared::error::{Code, ErrorReport};

use self::doors::{Doors, Place};
use self::rate::Rate;
use crate::codec;
use crate::frame::{self, FrameError};
use crate::peer::Peer;
use crate::protocol::{ClientKind, ClientMessage, Frozen, Hello, PROTOCOL, Reply, Request, ServerMessage, StatusBrief, Update};
use crate::transport::{self, Listener};

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
    /// One connection, as the one who decides what it may do knows it.
    type Session: Send + Sync + 'static;
    /// A connection has greeted.
    fn session(&self, peer: &Peer, hello: &Hello) -> Self::Session;
    /// How the agent is. Answered at once, touching no store.
    fn brief(&self) -> StatusBrief;
    /// Answers a request; subscriptions are the server's business.
    fn request(&self, session: &Self::Session, request: Request) -> impl Future<Output = Result<Reply, ErrorReport>> + Send;
    /// A request was refused by the server itself, before the service saw it.
    fn refused(&self, session: &Self::Session, request: &Request, error: &ErrorReport);
    /// A new subscription; its first update is a snapshot.
    ///
    /// # Errors
    /// There are too many.
    fn subscribe(&self) -> Result<Self::Updates, ErrorReport>;
    /// Begins to stop the agent.
    ///
    /// # Errors
    /// The session may not.
    fn stop(&self, session: &Self::Session) -> Result<(), ErrorReport>;
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
    changes_per_minute: u32,
    changes_burst: u32,
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
            changes_per_minute: ipc.changes_per_minute,
            changes_burst: ipc.changes_burst,
        }
    }
}

/// Serves until `stop` is cancelled; then every connection is closed before it returns. Other limits count for connections that come
/// after they were set.
pub async fn serve<S: Service>(listener: Listener, service: Arc<S>, limits: watch::Receiver<Limits>, stop: CancellationToken) {
    let doors = Doors::new(limits.borrow().places);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(event = "ipc_panicked", %error, "a fault ended a connection; the others go on");
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => match transport::check_peer(&stream) {
                Ok(peer) => {
                    let limits = *limits.borrow();
                    doors.set_places(limits.places);
                    let place = doors.enter(&stop);
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

async fn connection<T, S>(stream: T, peer: Peer, service: Arc<S>, limits: Limits, place: Place)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service,
{
    let leave = place.leave.clone();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let greeted = tokio::select! {
        () = leave.cancelled() => return,
        greeted = timeout(limits.hello, greet(&mut reader, &mut writer, limits, &place)) => greeted,
    };
    let Ok(Some(hello)) = greeted else { return };
    let session = Arc::new(service.session(&peer, &hello));
    let client = Client { peer, hello, place, session };
    let (outgoing, waiting) = mpsc::channel(OUTGOING);
    let conversation = async {
        let mut writing = pin!(write_all(&mut writer, waiting, limits.write));
        let written = tokio::select! {
            // What was said last is still written: it may be why the conversation ends.
            () = converse(&mut reader, &client, &service, limits, outgoing) => {
                timeout(limits.write, writing).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
            written = &mut writing => written,
        };
        if let Err(error) = written {
            tracing::debug!(event = "ipc_write_failed", %error, pid = client.peer.pid, "a connection was given up");
        }
    };
    tokio::select! {
        () = leave.cancelled() => {}
        () = conversation => {}
    }
}

/// Who is at the other end.
struct Client<N> {
    peer: Peer,
    hello: Hello,
    place: Place,
    session: Arc<N>,
}

/// The greeting; the client's, if both sides may go on.
async fn greet<R, W>(reader: &mut R, writer: &mut W, limits: Limits, place: &Place) -> Option<Hello>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let frame = frame::read(reader, codec::MAX_GREETING_BYTES, limits.hello, limits.hello).await.ok()?;
    let greeted = match Frozen::decode(&frame) {
        Some(Frozen::Hello(hello)) if place.greet(hello.kind) => Ok(hello),
        Some(Frozen::Hello(_)) => Err(format!("all {} places are taken", place.places())),
        _ => Err("this is a Waybill agent; a conversation begins with a greeting".to_owned()),
    };
    let answer = match &greeted {
        Ok(_) => Frozen::Hello(Hello {
            protocol: PROTOCOL,
            kind: ClientKind::Agent,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        Err(why) => Frozen::Refused(why.clone()),
    };
    frame::write(writer, &[answer.encode()], limits.write).await.ok()?;
    greeted.ok()
}

/// Reads and answers until the client leaves or misbehaves. Requests run beside each other; an answer may overtake another.
async fn converse<R, S>(
    reader: &mut R,
    client: &Client<S::Session>,
    service: &Arc<S>,
    limits: Limits,
    outgoing: mpsc::Sender<Vec<u8>>,
) where
    R: AsyncRead + Unpin,
    S: Service,
{
    let Client { peer, hello, place, session } = client;
    let mut rate = Rate::new(limits.changes_per_minute, limits.changes_burst, Instant::now());
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
        place.heard();
        while working.try_join_next().is_some() {}
        if frame.first().copied().is_some_and(Frozen::is_tag) {
            let answer = match Frozen::decode(&frame) {
                Some(Frozen::Ping(number)) => Frozen::Pong(number),
                Some(Frozen::BriefRequest) => Frozen::Brief(service.brief()),
                Some(Frozen::Stop) => {
                    tracing::info!(event = "stop_requested", pid = peer.pid, "a client asked the agent to stop");
                    match service.stop(session) {
                        Ok(()) => Frozen::Stopping,
                        Err(error) => Frozen::StopRefused { code: error.code.to_string(), why: error.message },
                    }
                }
                _ => return,
            };
            if outgoing.send(answer.encode()).await.is_err() {
                return;
            }
            continue;
        }
        let message = match understand(&frame, hello) {
            Ok(message) => message,
            Err(why) => {
                tracing::warn!(event = "ipc_bad_message", reason = why, pid = peer.pid, "a message could not be read");
                // The connection ends either way.
                let _closing = outgoing.send(Frozen::Refused(why).encode()).await;
                return;
            }
        };
        match message.request {
            Request::Subscribe => {
                subscription.shutdown().await;
                let (answer, updates) = match service.subscribe() {
                    Ok(updates) => (Ok(Reply::Done), Some(updates)),
                    Err(error) => (Err(error), None),
                };
                if respond(&outgoing, message.id, answer).await.is_err() {
                    return;
                }
                if let Some(updates) = updates {
                    subscription.spawn(forward(updates, outgoing.clone()));
                }
            }
            Request::Unsubscribe => {
                subscription.shutdown().await;
                if respond(&outgoing, message.id, Ok(Reply::Done)).await.is_err() {
                    return;
                }
            }
            request => {
                if request.is_change()
                    && let Err(wait) = rate.take(Instant::now())
                {
                    let error = too_many(limits, wait);
                    service.refused(session, &request, &error);
                    if respond(&outgoing, message.id, Err(error)).await.is_err() {
                        return;
                    }
                    continue;
                }
                let (service, session, outgoing) = (Arc::clone(service), Arc::clone(session), outgoing.clone());
                let (under_way, pid) = (place.working(), peer.pid);
                working.spawn(async move {
                    let answer = answer(&*service, &session, pid, request, limits.request).await;
                    // A client that has left needs no answer.
                    let _gone = respond(&outgoing, message.id, answer).await;
                    drop(under_way);
                });
            }
        }
    }
}

/// The message in a frame, or a sentence for the client. What another protocol says is not even read: the same bytes may mean
/// something else there.
fn understand(frame: &[u8], hello: &Hello) -> Result<ClientMessage, String> {
    if hello.protocol != PROTOCOL {
        let older = if hello.protocol < PROTOCOL { "the client" } else { "the agent" };
        return Err(format!(
            "the agent is version {} (protocol {PROTOCOL}), the client is version {} (protocol {}): update {older}",
            env!("CARGO_PKG_VERSION"),
            waybill_shared::text::printable(&hello.version, 40),
            hello.protocol
        ));
    }
    codec::decode_client(frame).map_err(|error| format!("{error}; it may come from another version: update both programs"))
}

fn too_many(limits: Limits, wait: Duration) -> ErrorReport {
    let message = format!(
        "a connection may ask for {} changes a minute, {} of them at once; the next one in {:.1} s",
        limits.changes_per_minute,
        limits.changes_burst,
        wait.as_secs_f64()
    );
    ErrorReport::new(Code::TooManyRequests, message)
}

/// Exactly one answer, whatever the service does: also if it takes too long, or panics.
async fn answer<S: Service>(
    service: &S,
    session: &S::Session,
    pid: Option<u32>,
    request: Request,
    limit: Duration,
) -> Result<Reply, ErrorReport> {
    let mut work = pin!(service.request(session, request));
    let caught = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(polled) => polled.map(Some),
        Err(_panic) => Poll::Ready(None),
    });
    match timeout(limit, caught).await {
        Ok(Some(answer)) => answer,
        Ok(None) => {
            tracing::error!(event = "ipc_request_panicked", pid, "a fault ended a request; the agent goes on");
            Err(ErrorReport::new(Code::Internal, "a fault of the agent ended the request"))
        }
        Err(_) => Err(ErrorReport::new(Code::PeerTimeout, format!("the agent had no answer within {} s", limit.as_secs()))),
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
