//! The agent's end of the conversation.
//!
//! Each connection has its own tasks and its own bounded queue of outgoing messages: a slow or hung client delays nobody,
//! newcomers included. Places are limited, greeted and not yet greeted ones apart; when all places for greetings are taken, the
//! connection that has been silent longest makes room, so that no crowd of hung clients can keep a newcomer out. A few places
//! are kept for command lines and the watchdog.

mod doors;

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use waybill_shared::config::Ipc;
use waybill_shared::error::{Code, ErrorReport};

use self::doors::{Doors, Place};
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
    let doors = Doors::new(limits.places);
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
    let client = Client { peer, hello, place };
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
struct Client {
    peer: Peer,
    hello: Hello,
    place: Place,
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
async fn converse<R, S>(reader: &mut R, client: &Client, service: &Arc<S>, limits: Limits, outgoing: mpsc::Sender<Vec<u8>>)
where
    R: AsyncRead + Unpin,
    S: Service,
{
    let Client { peer, hello, place } = client;
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
                let under_way = place.working();
                working.spawn(async move {
                    let answer = answer(&*service, &peer, request, limits.request).await;
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

/// Exactly one answer, whatever the service does: also if it takes too long, or panics.
async fn answer<S: Service>(service: &S, peer: &Peer, request: Request, limit: Duration) -> Result<Reply, ErrorReport> {
    let mut work = pin!(service.request(peer, request));
    let caught = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(polled) => polled.map(Some),
        Err(_panic) => Poll::Ready(None),
    });
    match timeout(limit, caught).await {
        Ok(Some(answer)) => answer,
        Ok(None) => {
            tracing::error!(event = "ipc_request_panicked", pid = peer.pid, "a fault ended a request; the agent goes on");
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
