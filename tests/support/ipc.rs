//! Conversations with an agent from tests that have no runtime: a greeted client, and raw bytes for abuse.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use waybill_ipc::client::Deadlines;
use waybill_ipc::protocol::{
    ClientKind, ConfigChange, ConfigChanged, DeliveryFilter, DeliveryRow, DeliveryState, Frozen, Hello, PROTOCOL, Page, Reply,
    Request, Snapshot, StatusBrief, Unsent, Update,
};
use waybill_ipc::{Client, ClientError, transport};
use waybill_shared::config::Edit;
use waybill_shared::error::ErrorReport;

use crate::station::Station;
use crate::wait::{USUAL, bound};

/// A conversation with an agent. Dropping it ends it.
pub struct Ipc {
    client: Client,
    updates: Option<mpsc::Receiver<Update>>,
}

/// Connects to the agent of a station as a command line does; panics if that fails.
#[must_use]
#[track_caller]
pub fn ipc_client(station: &Station) -> Ipc {
    Ipc::connect(station, ClientKind::Cli, Deadlines::default())
        .unwrap_or_else(|error| panic!("no conversation with the agent: {error}"))
}

/// Connects to the agent of a station without greeting; panics if that fails.
#[must_use]
#[track_caller]
pub fn raw_stream(station: &Station) -> RawStream {
    RawStream::connect(station).unwrap_or_else(|error| panic!("no connection to the agent: {error}"))
}

impl Ipc {
    /// Connects and greets.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn connect(station: &Station, kind: ClientKind, deadlines: Deadlines) -> Result<Self, ClientError> {
        let client = runtime().block_on(Client::connect(&station.endpoint(), kind, deadlines))?;
        Ok(Self { client, updates: None })
    }

    /// How the agent greeted.
    #[must_use]
    pub fn agent(&self) -> &Hello {
        self.client.agent()
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn request(&self, request: Request) -> Result<Reply, ClientError> {
        runtime().block_on(self.client.request(request))
    }

    /// The status.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> Snapshot {
        match self.request(Request::Status) {
            Ok(Reply::Status(snapshot)) => *snapshot,
            other => panic!("the status: {other:?}"),
        }
    }

    /// Changes the configuration; nobody's unsent reports may be touched by it.
    ///
    /// # Errors
    /// The agent's own; anything else is a failed test.
    #[track_caller]
    pub fn change(&self, edits: &[Edit]) -> Result<ConfigChanged, ErrorReport> {
        self.change_with(edits, Unsent::Refuse)
    }

    /// Changes the configuration, and says what becomes of unsent reports.
    ///
    /// # Errors
    /// As for [`change`](Self::change).
    #[track_caller]
    pub fn change_with(&self, edits: &[Edit], unsent: Unsent) -> Result<ConfigChanged, ErrorReport> {
        let change = ConfigChange { base: None, edits: edits.to_vec(), unsent, dry_run: false };
        match self.request(Request::ConfigChange(change)) {
            Ok(Reply::ConfigChanged(changed)) => Ok(changed),
            Err(ClientError::Agent(error)) => Err(error),
            other => panic!("a change: {other:?}"),
        }
    }

    /// All deliveries, page by page; of one destination and state if given.
    #[must_use]
    #[track_caller]
    pub fn deliveries(&self, destination: Option<&str>, state: Option<DeliveryState>) -> Vec<DeliveryRow> {
        let mut rows: Vec<DeliveryRow> = Vec::new();
        loop {
            let page = Page { after: rows.last().map(|row| row.key), limit: 1000 };
            match self.request(Request::Deliveries {
                filter: DeliveryFilter { destination: destination.map(str::to_owned), state, ..DeliveryFilter::default() },
                page,
            }) {
                Ok(Reply::Deliveries(more)) if more.is_empty() => return rows,
                Ok(Reply::Deliveries(more)) => rows.extend(more),
                other => panic!("the deliveries: {other:?}"),
            }
        }
    }

    /// Asks briefly how the agent is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn brief(&self) -> Result<StatusBrief, ClientError> {
        runtime().block_on(self.client.brief())
    }

    /// Tells the agent to stop.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn stop(&self) -> Result<(), ClientError> {
        runtime().block_on(self.client.stop())
    }

    /// Subscribes. Only once a conversation.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn subscribe(&mut self) -> Result<(), ClientError> {
        self.updates = Some(runtime().block_on(self.client.subscribe())?);
        Ok(())
    }

    /// The next update; `None` if the conversation ended, or none came within `limit`.
    pub fn next_update(&mut self, limit: Duration) -> Option<Update> {
        let updates = self.updates.as_mut().expect("a subscription before its updates");
        runtime().block_on(async { timeout(bound(limit), updates.recv()).await.ok().flatten() })
    }

    /// True if the agent ends the conversation within `limit`.
    #[must_use]
    pub fn closed_within(&self, limit: Duration) -> bool {
        runtime().block_on(async { timeout(bound(limit), self.client.closed()).await.is_ok() })
    }
}

/// A connection to an agent on which nothing was said.
pub struct RawStream(transport::Stream);

impl RawStream {
    /// Connects and says nothing.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn connect(station: &Station) -> io::Result<Self> {
        let endpoint = station.endpoint();
        runtime().block_on(within(USUAL, transport::connect(&endpoint))).map(Self)
    }

    /// Sends bytes as they are, at most for 60 s.
    ///
    /// # Errors
    /// Any I/O error; `TimedOut` if the agent does not take them.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        runtime().block_on(within(USUAL, async {
            self.0.write_all(bytes).await?;
            self.0.flush().await
        }))
    }

    /// Sends a frame: the length of `body` and `body`.
    ///
    /// # Errors
    /// As of [`RawStream::send`].
    pub fn send_frame(&mut self, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len()).expect("a frame's length");
        self.send(&[&length.to_le_bytes(), body].concat())
    }

    /// The body of the next frame; `None` if the agent closed instead.
    ///
    /// # Errors
    /// Any I/O error; `TimedOut` if there is none within `limit`.
    pub fn read_frame(&mut self, limit: Duration) -> io::Result<Option<Vec<u8>>> {
        runtime().block_on(within(limit, async {
            let mut length = [0; 4];
            match self.0.read_exact(&mut length).await {
                Err(error) if is_end(&error) => return Ok(None),
                other => other?,
            };
            let mut body = vec![0; u32::from_le_bytes(length) as usize];
            self.0.read_exact(&mut body).await?;
            Ok(Some(body))
        }))
    }

    /// Greets as this version does and gives what the agent says to it.
    ///
    /// # Errors
    /// As of [`RawStream::send`] and [`RawStream::read_frame`].
    pub fn greet(&mut self, kind: ClientKind) -> io::Result<Option<Frozen>> {
        let hello = Hello { protocol: PROTOCOL, kind, pid: std::process::id(), version: env!("CARGO_PKG_VERSION").to_owned() };
        self.send_frame(&Frozen::Hello(hello).encode())?;
        Ok(self.read_frame(USUAL)?.and_then(|body| Frozen::decode(&body)))
    }

    /// True if the agent closes the connection within `limit`, whatever it says before.
    pub fn closed_within(&mut self, limit: Duration) -> bool {
        let to_the_end = async {
            let mut buffer = [0; 4096];
            while !matches!(self.0.read(&mut buffer).await, Ok(0) | Err(_)) {}
        };
        runtime().block_on(async { timeout(bound(limit), to_the_end).await.is_ok() })
    }
}

/// A pipe of Windows ends with an error where a socket just ends.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | BrokenPipe | ConnectionReset)
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(bound(limit), work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// One runtime for all conversations of a test process: a test of a thousand clients does not start a thousand threads.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("ipc-client")
            .enable_all()
            .build()
            .expect("a runtime")
    })
}
