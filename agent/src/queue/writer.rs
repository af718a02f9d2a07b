//! The one thread that writes. It commits whatever is waiting together, and tells each only after the commit.

use std::collections::HashMap;
use std::thread::JoinHandle;

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::mpsc;
use waybill_ipc::protocol::Event;

use super::apply::Transaction;
use super::bind::NewRoutes;
use super::{Committed, DeliveryKey, Gate, NewConversionError, NewFile, Outcome, Places, QueueError};

/// Commands that wait for the writer.
const WAITING: usize = 1024;
/// Commands that are committed together at most.
const BATCH: usize = 256;

/// Called once, after the commit (or with why there was none).
pub type Ack<T> = Box<dyn FnOnce(Result<T, QueueError>) + Send>;
/// Called after each commit with what it made durable, in order, before anyone is acknowledged.
pub type OnCommit = Box<dyn FnMut(Vec<Event>) + Send>;

/// What the writer can be asked to do.
pub enum Command {
    /// Store some of a file's reports, not yet to be sent.
    Stage {
        /// Chosen by the caller, for this file.
        key: u64,
        /// The reports.
        file: NewFile,
        /// Told after the commit.
        ack: Ack<()>,
    },
    /// Store the rest of a file's reports, its fingerprint, and let them go.
    Commit {
        /// The file.
        file: NewFile,
        /// Told after the commit.
        ack: Ack<Committed>,
    },
    /// Forget what was staged.
    Abandon {
        /// The file's key.
        key: u64,
    },
    /// Remember a file that could not be converted.
    ConversionError {
        /// The file.
        error: Box<NewConversionError>,
        /// Told after the commit.
        ack: Ack<()>,
    },
    /// A file's post-action is done.
    FileDone {
        /// Key of the file.
        file: i64,
        /// Where the source is now.
        place: Option<String>,
    },
    /// What a try to deliver came to.
    Outcome {
        /// Which delivery.
        key: DeliveryKey,
        /// What it came to.
        outcome: Outcome,
        /// Told after the commit.
        ack: Ack<()>,
    },
    /// Let deliveries go whose time has come.
    Promote {
        /// To this destination.
        destination: String,
        /// Those due by then.
        by: Timestamp,
        /// Told after the commit.
        ack: Ack<()>,
    },
    /// Remove what was kept long enough.
    Purge {
        /// Sent before then.
        before: Timestamp,
    },
    /// Take other destinations and limits. What was sent before this command is settled when it is acknowledged.
    Configure {
        /// Which.
        new: Box<NewRoutes>,
        /// Told after the commit.
        ack: Ack<()>,
    },
    /// Show that something can be stored: an empty commit, with fsync.
    Probe {
        /// Told after the commit.
        ack: Ack<()>,
    },
    /// Finish what waits, fold the log into the database, end.
    Close {
        /// Told at the end.
        ack: Ack<()>,
    },
}

/// How the writer is set up.
pub(super) struct Setup {
    pub(super) connection: Connection,
    pub(super) places: Places,
    pub(super) gate: std::sync::Arc<Gate>,
    pub(super) on_commit: OnCommit,
}

/// A handle to the writer.
#[derive(Clone)]
pub struct Writer {
    commands: mpsc::Sender<Command>,
}

/// The writer's thread; it ends after [`Command::Close`].
#[derive(Debug)]
pub struct WriterThread(JoinHandle<()>);

impl WriterThread {
    /// Waits for the end.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!(event = "queue_writer_died", "the queue's writer ended with a panic");
        }
    }
}

impl Writer {
    /// Asks the writer, waiting for room; for threads.
    ///
    /// # Errors
    /// [`QueueError::Closed`], and the command's acknowledgement is told the same.
    pub fn send_blocking(&self, command: Command) -> Result<(), QueueError> {
        self.commands.blocking_send(command).map_err(|rejected| reject(rejected.0))
    }

    /// Asks the writer, waiting for room; for tasks.
    ///
    /// # Errors
    /// [`QueueError::Closed`], and the command's acknowledgement is told the same.
    pub async fn send(&self, command: Command) -> Result<(), QueueError> {
        self.commands.send(command).await.map_err(|rejected| reject(rejected.0))
    }

    /// Asks the writer and waits for the commit; for tasks.
    ///
    /// # Errors
    /// What the command's acknowledgement says.
    pub async fn ask<T: Send + 'static>(&self, command: impl FnOnce(Ack<T>) -> Command) -> Result<T, QueueError> {
        let (told, answer) = tokio::sync::oneshot::channel();
        let ack: Ack<T> = Box::new(move |result| {
            let _asker_left = told.send(result);
        });
        self.send(command(ack)).await?;
        answer.await.map_err(|_| QueueError::Closed)?
    }
}

fn reject(command: Command) -> QueueError {
    refuse(command, &QueueError::Closed);
    QueueError::Closed
}

fn refuse(command: Command, error: &QueueError) {
    match command {
        Command::Stage { ack, file, .. } => {
            drop(file);
            ack(Err(error.clone()));
        }
        Command::Commit { ack, .. } => ack(Err(error.clone())),
        Command::ConversionError { ack, .. }
        | Command::Outcome { ack, .. }
        | Command::Promote { ack, .. }
        | Command::Configure { ack, .. }
        | Command::Probe { ack }
        | Command::Close { ack } => ack(Err(error.clone())),
        Command::Abandon { .. } | Command::FileDone { .. } | Command::Purge { .. } => {}
    }
}

/// Starts the thread.
pub(super) fn start(setup: Setup, state: super::apply::State) -> std::io::Result<(Writer, WriterThread)> {
    let (commands, waiting) = mpsc::channel(WAITING);
    let thread = std::thread::Builder::new().name("queue-writer".to_owned()).spawn(move || run(setup, state, waiting))?;
    Ok((Writer { commands }, WriterThread(thread)))
}

fn run(mut setup: Setup, mut state: super::apply::State, mut waiting: mpsc::Receiver<Command>) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = waiting.blocking_recv() {
        batch.push(first);
        while batch.len() < BATCH {
            match waiting.try_recv() {
                Ok(next) => batch.push(next),
                Err(_) => break,
            }
        }
        if let Some(close) = commit(&mut setup, &mut state, &mut batch) {
            waiting.close();
            while let Ok(late) = waiting.try_recv() {
                refuse(late, &QueueError::Closed);
            }
            close(checkpoint(&setup.connection));
            return;
        }
    }
}

/// Folds the write-ahead log into the database, so that a closed queue is one file.
fn checkpoint(connection: &Connection) -> Result<(), QueueError> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(|error| QueueError::Write(error.to_string()))
}

/// Told once its command is durable.
type Told = Box<dyn FnOnce(Result<(), QueueError>) + Send>;

/// Applies and commits a batch; the acknowledgement of a close if there was one in it.
fn commit(setup: &mut Setup, state: &mut super::apply::State, batch: &mut Vec<Command>) -> Option<Ack<()>> {
    let mut told: Vec<Told> = Vec::with_capacity(batch.len());
    let mut close = None;
    let mut transaction = match Transaction::begin(setup, state) {
        Ok(transaction) => transaction,
        Err(error) => {
            tracing::error!(event = "queue_write_failed", %error, "nothing can be stored; files stay where they are");
            for command in batch.drain(..) {
                if let Command::Close { ack } = command { close = Some(ack) } else { refuse(command, &error) }
            }
            return close;
        }
    };
    for command in batch.drain(..) {
        match command {
            Command::Stage { key, file, ack } => told.push(after(transaction.stage(key, file), ack)),
            Command::Commit { file, ack } => told.push(after(transaction.commit_file(file), ack)),
            Command::Abandon { key } => {
                if let Err(error) = transaction.abandon(key) {
                    tracing::warn!(event = "queue_abandon_failed", %error, "staged reports are dropped at the next start");
                }
            }
            Command::ConversionError { error, ack } => told.push(after(transaction.conversion_error(&error), ack)),
            Command::FileDone { file, place } => {
                if let Err(error) = transaction.file_done(file, place.as_deref()) {
                    tracing::warn!(event = "queue_file_done_failed", %error, file, "the post-action is checked again at the next start");
                }
            }
            Command::Outcome { key, outcome, ack } => told.push(after(transaction.outcome(&key, outcome), ack)),
            Command::Promote { destination, by, ack } => told.push(after(transaction.promote(&destination, by), ack)),
            Command::Configure { new, ack } => told.push(after(transaction.configure(*new), ack)),
            Command::Probe { ack } => told.push(after(transaction.probe(), ack)),
            Command::Purge { before } => {
                if let Err(error) = transaction.purge(before) {
                    tracing::warn!(event = "queue_purge_failed", %error, "what was sent is kept longer");
                }
            }
            Command::Close { ack } => {
                close = Some(ack);
                break;
            }
        }
    }
    for late in batch.drain(..) {
        refuse(late, &QueueError::Closed);
    }
    match transaction.finish() {
        Ok(events) => {
            (setup.on_commit)(events);
            for tell in told {
                tell(Ok(()));
            }
        }
        Err(error) => {
            tracing::error!(event = "queue_write_failed", %error, "a commit failed; files stay where they are and deliveries are tried again");
            for tell in told {
                tell(Err(error.clone()));
            }
        }
    }
    close
}

/// What to tell: the command's own error at once known, or its result if the commit succeeds.
fn after<T: Send + 'static>(result: Result<T, QueueError>, ack: Ack<T>) -> Told {
    Box::new(move |committed| ack(committed.and(result)))
}

/// A file that is being staged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Staged {
    /// Key of the file.
    pub(super) row: i64,
    /// Reports of it that are stored.
    pub(super) reports: u64,
}

/// Files that are being staged.
pub(super) type Staging = HashMap<u64, Staged>;
