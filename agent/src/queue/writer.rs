//! The one thread that writes. It commits whatever is waiting together, and tells each only after the commit.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::mpsc;
use waybill_ipc::protocol::{Changed, Event, Which};
use waybill_shared::fs::free_space;

use super::bind::NewRoutes;
use super::limits::Disk;
use super::purge::Old;
use super::rescue::OwnFile;
use super::transaction::{State, Transaction, failed};
use super::{
    BreakerMemory, Committed, Damage, DeliveryKey, Doors, Gate, NewConversionError, NewFile, Outcome, Places, QueueError, older,
};
use crate::supervisor::{Progress, Spec, Starts, Supervisor, Thread};

/// Commands that wait for the writer.
const WAITING: usize = 1024;
/// Commands that are committed together at most.
const BATCH: usize = 1024;
/// How old the knowledge of the room on the disk may be when something is stored.
const DISK_LOOK: Duration = Duration::from_millis(200);
/// Size of the log from which on it is folded into the database when nothing waits.
const LONG_LOG: i64 = 64 * 1024 * 1024;

/// Longest time of one transaction. It is for what would never end: other routes for ten million deliveries take less.
pub(super) const LONGEST: Duration = Duration::from_secs(600);

/// Instructions of the store's virtual machine between two looks at the clock.
const LOOK_EVERY: i32 = 10_000;

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
    /// A file that could not be converted, or not all of it, is taken again if it comes again.
    LetFileGo {
        /// Key of the conversion error.
        error: i64,
        /// Told after the commit.
        ack: Ack<()>,
    },
    /// A conversion error is an old story.
    ForgetConversionError {
        /// Its key.
        error: i64,
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
        /// Which that is.
        old: Old,
    },
    /// Forget files whose reports are gone and that are no more.
    ForgetFiles {
        /// Their keys.
        files: Vec<i64>,
    },
    /// Take deliveries up again; a thousand or two at a time.
    Retry {
        /// Which.
        which: Which,
        /// Told after the commit.
        ack: Ack<Changed>,
    },
    /// Give deliveries up; a thousand or two at a time.
    Discard {
        /// Which.
        which: Which,
        /// Why, in a person's words.
        why: String,
        /// Told after the commit.
        ack: Ack<Changed>,
    },
    /// Hold a lane, or let it go.
    HoldLane {
        /// 1 goes first, 10 last.
        priority: u8,
        /// Whether it is held.
        held: bool,
        /// Told after the commit.
        ack: Ack<()>,
    },
    /// Remember that a person holds a destination, or no more.
    HoldDestination {
        /// Its name.
        destination: String,
        /// Whether it is held.
        held: bool,
        /// Told after the commit.
        ack: Ack<()>,
    },
    /// Remember a destination's breaker.
    Breaker {
        /// Its name.
        destination: String,
        /// How it is.
        breaker: BreakerMemory,
    },
    /// Remember that a person has seen what was lost.
    LossesSeen {
        /// Told after the commit.
        ack: Ack<()>,
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
    pub(super) doors: Doors,
    pub(super) on_commit: OnCommit,
    pub(super) mark: super::mark::Mark,
    pub(super) damage: std::sync::Arc<Damage>,
    pub(super) now: super::recover::Now,
    /// Longest time of one transaction: what is not over by then is undone.
    pub(super) longest: Duration,
}

/// A handle to the writer.
#[derive(Clone)]
pub struct Writer {
    commands: mpsc::Sender<Command>,
}

/// The writer's thread; it ends after [`Command::Close`], or with its last handle.
#[derive(Debug)]
pub struct WriterThread(Thread);

impl WriterThread {
    /// From now on its end is no failure.
    pub fn may_end(&self) {
        self.0.may_end();
    }

    /// True once it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.has_ended()
    }

    /// Waits for the end.
    pub fn join(self) {
        self.0.may_end();
        self.0.join();
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

    /// Tells the writer something that is lost without harm if it has too much to do.
    pub fn try_send(&self, command: Command) {
        if let Err(error) = self.commands.try_send(command) {
            let (mpsc::error::TrySendError::Full(command) | mpsc::error::TrySendError::Closed(command)) = error;
            refuse(command, &QueueError::Closed);
        }
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
            discard(file);
            ack(Err(error.clone()));
        }
        Command::Commit { ack, file } => {
            discard(file);
            ack(Err(error.clone()));
        }
        Command::Retry { ack, .. } | Command::Discard { ack, .. } => ack(Err(error.clone())),
        Command::ConversionError { ack, .. }
        | Command::LetFileGo { ack, .. }
        | Command::ForgetConversionError { ack, .. }
        | Command::Outcome { ack, .. }
        | Command::Promote { ack, .. }
        | Command::HoldLane { ack, .. }
        | Command::HoldDestination { ack, .. }
        | Command::LossesSeen { ack }
        | Command::Configure { ack, .. }
        | Command::Probe { ack }
        | Command::Close { ack } => ack(Err(error.clone())),
        Command::Abandon { .. }
        | Command::FileDone { .. }
        | Command::Purge { .. }
        | Command::ForgetFiles { .. }
        | Command::Breaker { .. } => {}
    }
}

/// Refuses all of a batch; the acknowledgement of a close if there was one in it.
fn refuse_all(batch: &mut Vec<Command>, error: &QueueError) -> Option<Ack<()>> {
    let mut close = None;
    for command in batch.drain(..) {
        if let Command::Close { ack } = command { close = Some(ack) } else { refuse(command, error) }
    }
    close
}

/// What lies in the spool for a file that is not stored.
fn discard(file: NewFile) {
    file.entries.into_iter().for_each(|entry| entry.payload.discard());
}

/// Starts the thread.
pub(super) fn start(setup: Setup, state: State, supervisor: &Supervisor) -> std::io::Result<(Writer, WriterThread)> {
    let (commands, waiting) = mpsc::channel(WAITING);
    let spec = Spec::new("queue writer", Starts::Agent).critical();
    let thread = supervisor.thread(&spec, "queue-writer", move |progress| run(setup, state, waiting, &progress))?;
    Ok((Writer { commands }, WriterThread(thread)))
}

fn run(mut setup: Setup, mut state: State, mut waiting: mpsc::Receiver<Command>, progress: &Progress) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut looked: Option<Instant> = None;
    let mut file = OwnFile::of(&setup);
    while let Some(first) = waiting.blocking_recv() {
        let _working = progress.work();
        batch.push(first);
        while batch.len() < BATCH {
            match waiting.try_recv() {
                Ok(next) => batch.push(next),
                Err(_) => break,
            }
        }
        if looked.is_none_or(|at| at.elapsed() > DISK_LOOK) {
            looked = Some(Instant::now());
            state.disk = room(&setup.places);
            file.look(&setup);
        }
        let idle = batch.iter().all(|command| matches!(command, Command::Purge { .. }));
        let close = match &file.gone {
            None => commit(&mut setup, &mut state, &mut batch),
            Some(error) => refuse_all(&mut batch, error),
        };
        if idle && waiting.is_empty() {
            shorten_log(&setup);
        }
        if let Some(close) = close {
            waiting.close();
            while let Ok(late) = waiting.try_recv() {
                refuse(late, &QueueError::Closed);
            }
            // The mark first: a log that is gone means nothing once it says so.
            setup.mark.close(older::last_entry(&setup.connection).ok());
            close(checkpoint(&setup.connection, "TRUNCATE"));
            return;
        }
    }
}

/// Room on the disk of the store; none if the OS does not tell it, which bounds nothing.
pub(super) fn room(places: &Places) -> Disk {
    let folder = places.database.parent().unwrap_or(&places.database);
    free_space(folder).map_or(Disk::default(), |(free, total)| Disk { free, total })
}

/// A log that grew long while a reader held it, or in a great rush, is cut back when there is nothing else to do.
fn shorten_log(setup: &Setup) {
    let long =
        std::fs::metadata(setup.places.log()).is_ok_and(|log| i64::try_from(log.len()).is_ok_and(|bytes| bytes > LONG_LOG));
    // It begins anew and is cut back by what is written next; an empty one would look like one that is gone.
    if long && let Err(error) = checkpoint(&setup.connection, "RESTART") {
        tracing::debug!(%error, "the store's log stays long for now");
    }
}

/// Folds the write-ahead log into the database, so that a closed queue is one file.
fn checkpoint(connection: &Connection, how: &str) -> Result<(), QueueError> {
    connection
        .query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()))
        .map_err(|error| QueueError::Write(error.to_string()))
}

/// Told once its command is durable.
type Told = Box<dyn FnOnce(Result<(), QueueError>) + Send>;

/// Applies and commits a batch; the acknowledgement of a close if there was one in it.
fn commit(setup: &mut Setup, state: &mut State, batch: &mut Vec<Command>) -> Option<Ack<()>> {
    let mut told: Vec<Told> = Vec::with_capacity(batch.len());
    let mut close = None;
    let (begun, longest) = (Instant::now(), setup.longest);
    let bounded = setup.connection.progress_handler(LOOK_EVERY, Some(move || begun.elapsed() > longest));
    let mut transaction = match bounded.map_err(failed).and_then(|()| Transaction::begin(setup, state)) {
        Ok(transaction) => transaction,
        Err(error) => {
            notice(&setup.damage, &error);
            tracing::error!(event = "queue_write_failed", %error, "nothing can be stored; files stay where they are");
            return refuse_all(batch, &error);
        }
    };
    for command in batch.drain(..) {
        if let Some(error) = transaction.given_up() {
            if let Command::Close { ack } = command {
                close = Some(ack)
            } else {
                refuse(command, &error)
            }
            continue;
        }
        match command {
            Command::Stage { key, file, ack } => told.push(after(&setup.damage, transaction.stage(key, file), ack)),
            Command::Commit { file, ack } => told.push(after(&setup.damage, transaction.commit_file(file), ack)),
            Command::Abandon { key } => {
                if let Err(error) = transaction.abandon(key) {
                    tracing::warn!(event = "queue_abandon_failed", %error, "staged reports are dropped at the next start");
                }
            }
            Command::ConversionError { error, ack } => told.push(after(&setup.damage, transaction.conversion_error(&error), ack)),
            Command::LetFileGo { error, ack } => told.push(after(&setup.damage, transaction.let_file_go(error), ack)),
            Command::ForgetConversionError { error, ack } => {
                told.push(after(&setup.damage, transaction.forget_conversion_error(error), ack));
            }
            Command::FileDone { file, place } => {
                if let Err(error) = transaction.file_done(file, place.as_deref()) {
                    tracing::warn!(event = "queue_file_done_failed", %error, file, "the post-action is checked again at the next start");
                }
            }
            Command::Outcome { key, outcome, ack } => told.push(after(&setup.damage, transaction.outcome(&key, outcome), ack)),
            Command::Promote { destination, by, ack } => {
                told.push(after(&setup.damage, transaction.promote(&destination, by.as_millisecond()), ack));
            }
            Command::Retry { which, ack } => told.push(after(&setup.damage, transaction.retry(&which), ack)),
            Command::Discard { which, why, ack } => told.push(after(&setup.damage, transaction.discard(&which, &why), ack)),
            Command::HoldLane { priority, held, ack } => {
                told.push(after(&setup.damage, transaction.hold_lane(priority, held), ack))
            }
            Command::HoldDestination { destination, held, ack } => {
                told.push(after(&setup.damage, transaction.hold_destination(&destination, held), ack));
            }
            Command::Breaker { destination, breaker } => {
                if let Err(error) = transaction.remember_breaker(&destination, breaker) {
                    tracing::warn!(event = "breaker_not_kept", destination, %error, "after a restart it is asked at once");
                }
            }
            Command::LossesSeen { ack } => told.push(after(&setup.damage, transaction.losses_seen(), ack)),
            Command::ForgetFiles { files } => {
                if let Err(error) = transaction.forget_files(&files) {
                    tracing::warn!(event = "queue_purge_failed", %error, "old fingerprints are kept longer");
                }
            }
            Command::Configure { new, ack } => told.push(after(&setup.damage, transaction.configure(*new), ack)),
            Command::Probe { ack } => told.push(after(&setup.damage, transaction.probe(), ack)),
            Command::Purge { old } => {
                if let Err(error) = transaction.purge(old) {
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
            notice(&setup.damage, &error);
            tracing::error!(event = "queue_write_failed", %error, "a commit failed; files stay where they are and deliveries are tried again");
            for tell in told {
                tell(Err(error.clone()));
            }
        }
    }
    close
}

/// Tells of damage if an error is one.
fn notice(damage: &Damage, error: &QueueError) {
    if let QueueError::Corrupt { reason, .. } = error {
        damage.tell(reason);
    }
}

/// What to tell: the command's own error at once known, or its result if the commit succeeds.
fn after<T: Send + 'static>(damage: &Damage, result: Result<T, QueueError>, ack: Ack<T>) -> Told {
    if let Err(error) = &result {
        notice(damage, error);
    }
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
