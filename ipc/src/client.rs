//! A client's end of the conversation: the window, the command line, the watchdog.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use waybill_shared::error::{Code, ErrorReport};

use crate::codec;
use crate::endpoint::Endpoint;
use crate::frame::{self, FrameError};
use crate::protocol::{ClientKind, ClientMessage, Frozen, Hello, PROTOCOL, Reply, Request, ServerMessage, StatusBrief, Update};
use crate::transport;

/// Updates that wait for their subscriber; beyond that the agent counts them as missed.
const UPDATES: usize = 256;

/// How long a client waits.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// To connect and greet.
    pub connect: Duration,
    /// For an answer.
    pub request: Duration,
    /// For the agent to take a message.
    pub write: Duration,
    /// Between two signs of life on a connection that says nothing else.
    pub ping: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            request: Duration::from_secs(65),
            write: Duration::from_secs(10),
            ping: Duration::from_secs(60),
        }
    }
}

/// Why there is no conversation.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no agent answers at {0}")]
    NotRunning(String),
    /// Somebody listens who may not be trusted.
    #[error("the process at {endpoint} is not ours: {reason}")]
    Untrusted {
        /// Where.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// The agent does not let us in.
    #[error("the agent refuses the connection: {0}")]
    Refused(String),
    /// The two programs speak different versions.
    #[error("the agent is version {agent} (protocol {theirs}), this program speaks protocol {PROTOCOL}: update {older}")]
    Version {
        /// The agent's version.
        agent: String,
        /// The agent's protocol.
        theirs: u16,
        /// Which side to update.
        older: &'static str,
    },
    /// No answer in time.
    #[error("the agent did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The connection ended.
    #[error("the connection to the agent ended: {0}")]
    Broken(String),
    /// The agent's own error.
    #[error("{0}")]
    Agent(ErrorReport),
}

impl ClientError {
    /// As a person reads it.
    #[must_use]
    pub fn report(&self) -> ErrorReport {
        let code = match self {
            Self::NotRunning(_) => Code::AgentNotRunning,
            Self::Untrusted { .. } => Code::PeerRefused,
            Self::Refused(_) => Code::PeerCrowded,
            Self::Version { .. } => Code::ProtocolMismatch,
            Self::Timeout(_) => Code::PeerTimeout,
            Self::Broken(_) => Code::PeerBroken,
            Self::Agent(report) => return report.clone(),
        };
        ErrorReport::new(code, self.to_string())
    }
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Reply, ErrorReport>>>>>;

/// A conversation with an agent. Dropping it ends it.
pub struct Client {
    outgoing: mpsc::Sender<Vec<u8>>,
    frozen: tokio::sync::Mutex<mpsc::Receiver<Frozen>>,
    updates: Option<mpsc::Receiver<Update>>,
    waiting: Waiting,
    next: std::sync::atomic::AtomicU64,
    deadlines: Deadlines,
    agent: Hello,
    agent_pid: Option<u32>,
    // What the agent said when it ended the conversation.
    last_words: Arc<OnceLock<String>>,
    // Owns the connection's task: it ends with the client.
    _tasks: JoinSet<()>,
}

impl Client {
    /// Connects and greets. Another protocol is an error here; [`Client::connect_any`] also talks to other versions.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn connect(endpoint: &Endpoint, kind: ClientKind, deadlines: Deadlines) -> Result<Self, ClientError> {
        let client = Self::connect_any(endpoint, kind, deadlines).await?;
        if client.agent.protocol != PROTOCOL {
            return Err(ClientError::Version {
                agent: client.agent.version.clone(),
                theirs: client.agent.protocol,
                older: if client.agent.protocol < PROTOCOL { "the agent" } else { "this program" },
            });
        }
        Ok(client)
    }

    /// Connects to an agent of any version: enough to ping, to ask briefly how it is, and to stop it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn connect_any(endpoint: &Endpoint, kind: ClientKind, deadlines: Deadlines) -> Result<Self, ClientError> {
        let connecting = async {
            let stream = transport::connect(endpoint).await.map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning(endpoint.name().to_owned()),
                _ => ClientError::Broken(error.to_string()),
            })?;
            // The agent's owner is checked as well: a stranger may sit at its name.
            let peer = transport::check_peer(&stream).map_err(|refused| ClientError::Untrusted {
                endpoint: endpoint.name().to_owned(),
                reason: refused.to_string(),
            })?;
            Ok(Self { agent_pid: peer.pid, ..Self::over(stream, kind, deadlines).await? })
        };
        timeout(deadlines.connect, connecting).await.map_err(|_| ClientError::Timeout(deadlines.connect))?
    }

    /// Greets over a stream that is already there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn over<T>(stream: T, kind: ClientKind, deadlines: Deadlines) -> Result<Self, ClientError>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let hello = Frozen::Hello(Hello {
            protocol: PROTOCOL,
            kind,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        frame::write(&mut writer, &[hello.encode()], deadlines.write).await.map_err(broken)?;
        let answer =
            frame::read(&mut reader, codec::MAX_GREETING_BYTES, deadlines.connect, deadlines.connect).await.map_err(|error| {
                match error {
                    FrameError::Silent(_) | FrameError::Stalled(_) => ClientError::Timeout(deadlines.connect),
                    other => broken(other),
                }
            })?;
        let agent = match Frozen::decode(&answer) {
            Some(Frozen::Hello(agent)) => agent,
            Some(Frozen::Refused(why)) => return Err(ClientError::Refused(why)),
            _ => return Err(ClientError::Broken("what answers is no Waybill agent".to_owned())),
        };

        let (outgoing, to_write) = mpsc::channel(16);
        let (frozen_in, frozen) = mpsc::channel(4);
        let (updates_in, updates) = mpsc::channel(UPDATES);
        let waiting = Waiting::default();
        let mut tasks = JoinSet::new();
        let last_words = Arc::new(OnceLock::new());
        let heard =
            Heard { waiting: Arc::clone(&waiting), frozen: frozen_in, updates: updates_in, last_words: Arc::clone(&last_words) };
        let reading = read_loop(reader, heard, deadlines);
        let left = Arc::clone(&waiting);
        tasks.spawn(async move {
            // Either end of the stream ends the conversation; nobody waits for an answer after that.
            tokio::select! {
                () = write_loop(writer, to_write, deadlines) => {}
                () = reading => {}
            }
            left.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        Ok(Self {
            outgoing,
            frozen: tokio::sync::Mutex::new(frozen),
            updates: Some(updates),
            waiting,
            next: std::sync::atomic::AtomicU64::new(1),
            deadlines,
            agent,
            agent_pid: None,
            last_words,
            _tasks: tasks,
        })
    }

    /// How the agent greeted.
    #[must_use]
    pub fn agent(&self) -> &Hello {
        &self.agent
    }

    /// The agent's process id as the OS tells it, where it does. It is the one to act on: what an agent in a container says of itself is a
    /// number of its container.
    #[must_use]
    pub fn agent_pid(&self) -> Option<u32> {
        self.agent_pid
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// [`ClientError`]; the agent's own errors are [`ClientError::Agent`].
    pub async fn request(&self, request: Request) -> Result<Reply, ClientError> {
        let id = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (answer_in, answer) = oneshot::channel();
        self.lock().insert(id, answer_in);
        let asked = async {
            let bytes = codec::encode_client(&ClientMessage { id, request }).map_err(broken)?;
            self.outgoing.send(bytes).await.map_err(|_| self.gone())?;
            answer.await.map_err(|_| self.gone())?.map_err(ClientError::Agent)
        };
        let result = timeout(self.deadlines.request, asked).await;
        self.lock().remove(&id);
        result.map_err(|_| ClientError::Timeout(self.deadlines.request))?
    }

    /// Subscribes and gives the updates; the first is a snapshot. They end when the connection does. Only once a client.
    ///
    /// Take them, or drop the receiver: while more than 256 wait, this client hears nothing else either, and an agent that cannot
    /// write for its write deadline closes the connection.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn subscribe(&mut self) -> Result<mpsc::Receiver<Update>, ClientError> {
        let updates = self.updates.take().ok_or_else(|| ClientError::Broken("subscribed already".to_owned()))?;
        self.request(Request::Subscribe).await?;
        Ok(updates)
    }

    /// Asks briefly how the agent is; works with every version.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn brief(&self) -> Result<StatusBrief, ClientError> {
        match self.frozen_request(Frozen::BriefRequest).await? {
            Frozen::Brief(brief) => Ok(brief),
            other => Err(ClientError::Broken(format!("an unexpected answer: {other:?}"))),
        }
    }

    /// Tells the agent to stop; works with every version. The answer means that it has begun to.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stop(&self) -> Result<(), ClientError> {
        match self.frozen_request(Frozen::Stop).await? {
            Frozen::Stopping => Ok(()),
            // A code that only a newer agent knows says less than its words.
            Frozen::StopRefused { code, why } => {
                Err(ClientError::Agent(ErrorReport::new(code.parse().unwrap_or(Code::RoleMissing), why)))
            }
            other => Err(ClientError::Broken(format!("an unexpected answer: {other:?}"))),
        }
    }

    /// Waits until the agent has closed the connection, as it does last when it stops.
    pub async fn closed(&self) {
        self.outgoing.closed().await;
    }

    async fn frozen_request(&self, message: Frozen) -> Result<Frozen, ClientError> {
        // One at a time: these carry no ids.
        let asked = async {
            let mut answers = self.frozen.lock().await;
            while answers.try_recv().is_ok() {}
            self.outgoing.send(message.encode()).await.map_err(|_| self.gone())?;
            loop {
                match answers.recv().await {
                    Some(Frozen::Pong(_)) => {}
                    Some(Frozen::Refused(why)) => return Err(ClientError::Refused(why)),
                    Some(answer) => return Ok(answer),
                    None => return Err(self.gone()),
                }
            }
        };
        timeout(self.deadlines.request, asked).await.map_err(|_| ClientError::Timeout(self.deadlines.request))?
    }

    fn gone(&self) -> ClientError {
        ClientError::Broken(self.last_words.get().map_or("the agent closed it", String::as_str).to_owned())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<Reply, ErrorReport>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken(error: impl std::fmt::Display) -> ClientError {
    ClientError::Broken(error.to_string())
}

/// Writes requests, and a ping whenever there was nothing to write for a while.
async fn write_loop<W: AsyncWrite + Unpin>(mut writer: W, mut to_write: mpsc::Receiver<Vec<u8>>, deadlines: Deadlines) {
    let mut pings = 0;
    loop {
        let body = match timeout(deadlines.ping, to_write.recv()).await {
            Ok(Some(body)) => body,
            Ok(None) => return,
            Err(_) => {
                pings += 1;
                Frozen::Ping(pings).encode()
            }
        };
        if frame::write(&mut writer, &[body], deadlines.write).await.is_err() {
            return;
        }
    }
}

/// Where what the agent says goes.
struct Heard {
    waiting: Waiting,
    frozen: mpsc::Sender<Frozen>,
    updates: mpsc::Sender<Update>,
    last_words: Arc<OnceLock<String>>,
}

/// Hands answers to those who wait for them, until the agent closes or says nothing, not even to a ping.
async fn read_loop<R: AsyncRead + Unpin>(mut reader: R, heard: Heard, deadlines: Deadlines) {
    let silence = deadlines.ping * 2;
    while let Ok(body) = frame::read(&mut reader, codec::MAX_FRAME_BYTES, silence, deadlines.request).await {
        if body.first().copied().is_some_and(Frozen::is_tag) {
            let Some(message) = Frozen::decode(&body) else { break };
            if let Frozen::Refused(why) = &message {
                heard.last_words.get_or_init(|| why.clone());
            }
            // Nobody waits for more of these than fit.
            let _unasked = heard.frozen.try_send(message);
            continue;
        }
        match codec::decode_server(&body) {
            Ok(ServerMessage::Response { id, result }) => {
                let waiter = heard.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                if let Some(waiter) = waiter {
                    let _gave_up = waiter.send(result);
                }
            }
            Ok(ServerMessage::Update(update)) => {
                // A subscriber that is gone for good is not a reason to end the conversation.
                let _unsubscribed = heard.updates.send(update).await;
            }
            Err(error) => {
                heard.last_words.get_or_init(|| format!("{error}; it may come from another version: update both programs"));
                break;
            }
        }
    }
}
