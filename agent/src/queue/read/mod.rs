//! Reading beside the writer: owned threads with connections of their own, and a deadline on every read and on the wait for one.
//!
//! A read that takes too long or ends with a panic costs its asker the answer, and nobody else a connection.
//!
//! [`ready`] is what dispatchers ask for, [`lists`] what people look at.

mod lists;
mod ready;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::oneshot;
use waybill_ipc::protocol::{ConversionErrorRow, DeliveryFilter, DeliveryRow, EntryDetails, LaneRow, LossRow, Page, ReportPart};
use waybill_shared::error::Code;
use waybill_shared::id::CorrelationId;

use super::{BreakerMemory, Damage, DeliveryKey, QueueError, schema};
use crate::supervisor::{Progress, Spec, Starts, Supervisor, Thread};

/// Threads that read.
const THREADS: usize = 2;
/// Reads that wait for a thread.
const WAITING: usize = 64;
/// Longest time of one read.
const LIMIT: Duration = Duration::from_secs(1);
/// Longest time that who asks waits for an answer, for a free thread included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Instructions of the store's virtual machine between two looks at the clock.
const LOOK_EVERY: i32 = 10_000;
type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// When the oldest was queued that waits for the destination of a name: see [`Reader::oldest_pending`].
pub(crate) const OLDEST_PENDING: &str = "WITH wanted AS (SELECT destination FROM destination WHERE name = ?1)
     SELECT min(e.queued_at) FROM entry e WHERE e.entry IN (
         SELECT entry FROM (SELECT entry FROM delivery WHERE state = 1 AND due = 0
             AND destination = (SELECT destination FROM wanted) ORDER BY rank, entry LIMIT 50)
         UNION ALL
         SELECT entry FROM (SELECT entry FROM delivery WHERE state = 1 AND due > 0
             AND destination = (SELECT destination FROM wanted) ORDER BY due LIMIT 50))";

/// A handle to the readers.
#[derive(Clone)]
pub struct Reader {
    jobs: crossbeam_channel::Sender<Job>,
    spool: PathBuf,
    damage: Arc<Damage>,
    patience: Duration,
}

/// The readers' threads; they end when every handle is gone.
#[derive(Debug)]
pub struct ReaderThreads(Vec<Thread>);

impl ReaderThreads {
    /// From now on their end is no failure.
    pub fn may_end(&self) {
        self.0.iter().for_each(Thread::may_end);
    }

    /// Waits for the end.
    pub fn join(self) {
        self.may_end();
        self.0.into_iter().for_each(Thread::join);
    }
}

/// A delivery that may go now, with the bytes to send.
#[derive(Debug)]
pub struct ReadyDelivery {
    /// Which.
    pub key: DeliveryKey,
    /// Lower goes first.
    pub rank: i64,
    /// When it was queued, milliseconds since 1970 UTC.
    pub queued_at_ms: i64,
    /// Tries so far.
    pub tries: u32,
    /// The WSJF, or why it cannot be had.
    pub body: Result<Bytes, QueueError>,
}

/// What may go now.
#[derive(Debug, Default)]
pub struct Ready {
    /// In the order in which they go.
    pub deliveries: Vec<ReadyDelivery>,
    /// Whether there are more.
    pub more: bool,
    /// Whether some wait only for an older revision of the same report to arrive.
    pub blocked: bool,
    /// When the next one is due that waits for its time, milliseconds since 1970 UTC.
    pub next_due: Option<i64>,
    /// The newest entry that was there when it was read: what comes through a door with a number up to this was read.
    pub upto: i64,
}

/// What is remembered of a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The address that last accepted a report.
    pub accepted_by: Option<String>,
    /// How its breaker was.
    pub breaker: BreakerMemory,
    /// Whether a person holds it.
    pub held: bool,
}

pub(super) fn start(
    database: &Path,
    spool: &Path,
    damage: &Arc<Damage>,
    supervisor: &Supervisor,
) -> Result<(Reader, ReaderThreads), QueueError> {
    let unavailable = |reason: String| QueueError::Unavailable { path: waybill_shared::text::path(database), reason };
    let (jobs, waiting) = crossbeam_channel::bounded::<Job>(WAITING);
    let mut threads = Vec::with_capacity(THREADS);
    for number in 1..=THREADS {
        let mut connection = schema::open_reader(database).map_err(|error| unavailable(error.to_string()))?;
        let waiting = waiting.clone();
        let spec = Spec::new(format!("queue reader {number}"), Starts::Agent).critical();
        let read = move |progress: Progress| {
            for job in waiting {
                let _working = progress.work();
                job(&mut connection);
            }
        };
        let thread = supervisor.thread(&spec, &format!("queue-reader-{number}"), read);
        let thread = thread.map_err(|error| unavailable(error.to_string()))?;
        threads.push(thread);
    }
    Ok((Reader { jobs, spool: spool.to_owned(), damage: Arc::clone(damage), patience: PATIENCE }, ReaderThreads(threads)))
}

impl Reader {
    async fn read<T, F>(&self, read: F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (told, answer) = oneshot::channel();
        self.begin(read, move |result| {
            let _asker_left = told.send(result);
        })?;
        match tokio::time::timeout(self.patience, answer).await {
            Ok(answer) => answer.map_err(|_| QueueError::Closed)?,
            Err(_) => Err(too_late(self.patience)),
        }
    }

    /// The same for a thread that may wait.
    fn read_blocking<T, F>(&self, read: F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (told, answer) = crossbeam_channel::bounded(1);
        self.begin(read, move |result| {
            let _asker_left = told.send(result);
        })?;
        match answer.recv_timeout(self.patience) {
            Ok(result) => result,
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => Err(too_late(self.patience)),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => Err(QueueError::Closed),
        }
    }

    fn begin<T, F>(&self, read: F, tell: impl FnOnce(Result<T, QueueError>) + Send + 'static) -> Result<(), QueueError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (damage, patience, asked) = (Arc::clone(&self.damage), self.patience, Instant::now());
        let job: Job = Box::new(move |connection| {
            // Who asked waits no more: the thread is for those who do.
            if asked.elapsed() > patience {
                return tell(Err(too_late(patience)));
            }
            tell(answer(connection, read, &damage));
        });
        self.jobs.try_send(job).map_err(|error| match error {
            crossbeam_channel::TrySendError::Full(_) => QueueError::Read(format!(
                "its {THREADS} readers are busy and {WAITING} questions wait already; ask again in a moment"
            )),
            crossbeam_channel::TrySendError::Disconnected(_) => QueueError::Closed,
        })
    }

    /// Deliveries of a destination that may go now, in the order they go, without those named in `except`; at most `limit`, fewer if
    /// they are large. A delivery waits while an older one of the same report waits, and while its lane is held.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub async fn ready(&self, destination: &str, limit: usize, except: HashSet<i64>) -> Result<Ready, QueueError> {
        let (name, spool) = (destination.to_owned(), self.spool.clone());
        self.read(move |connection| ready::ready(connection, &spool, &name, limit, &except)).await
    }

    /// When the report was queued that has waited longest for a destination, milliseconds since 1970 UTC: among those that go next, and
    /// those that are due next, which are the oldest but for their priority.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub async fn oldest_pending(&self, destination: &str) -> Result<Option<i64>, QueueError> {
        let name = destination.to_owned();
        self.read(move |connection| connection.prepare_cached(OLDEST_PENDING)?.query_row([name], |row| row.get(0))).await
    }

    /// A page of deliveries.
    ///
    /// # Errors
    /// [`QueueError::Read`], [`QueueError::NoDestination`].
    pub async fn deliveries(&self, filter: DeliveryFilter, page: Page) -> Result<Vec<DeliveryRow>, QueueError> {
        if let Some(name) = filter.destination.clone() {
            let known = self.read(lists::destinations).await?;
            if !known.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
                return Err(QueueError::NoDestination { name, known });
            }
        }
        self.read(move |connection| lists::deliveries(connection, &filter, page)).await
    }

    /// All of one report.
    ///
    /// # Errors
    /// [`QueueError::Read`], [`QueueError::NoEntry`].
    pub async fn entry(&self, entry: i64) -> Result<EntryDetails, QueueError> {
        self.read(move |connection| lists::entry(connection, entry)).await?.ok_or(QueueError::NoEntry(entry))
    }

    /// Part of a report's bytes, from `offset` on.
    ///
    /// # Errors
    /// [`QueueError::Read`], [`QueueError::NoEntry`], [`QueueError::Damaged`].
    pub async fn report(&self, entry: i64, offset: u64) -> Result<ReportPart, QueueError> {
        let spool = self.spool.clone();
        self.read(move |connection| lists::report(connection, &spool, entry, offset)).await?.ok_or(QueueError::NoEntry(entry))?
    }

    /// The lanes of all destinations in which something is or was.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub async fn lanes(&self) -> Result<Vec<LaneRow>, QueueError> {
        self.read(lists::lanes).await
    }

    /// What was lost by damage, the newest first.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub async fn losses(&self) -> Result<Vec<LossRow>, QueueError> {
        self.read(lists::losses).await
    }

    /// A page of files that could not be converted, the newest first.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub async fn conversion_errors(&self, page: Page) -> Result<Vec<ConversionErrorRow>, QueueError> {
        self.read(move |connection| lists::conversion_errors(connection, page)).await
    }

    /// What is remembered of a destination.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub async fn remembered(&self, destination: &str) -> Result<Remembered, QueueError> {
        let name = destination.to_owned();
        self.read(move |connection| {
            connection.query_row(
                "SELECT accepted_by, failures, cooldown_ms, open_until, held_at IS NOT NULL FROM destination WHERE name = ?1",
                [name],
                |row| {
                    let breaker = BreakerMemory { failures: row.get(1)?, cooldown_ms: row.get(2)?, open_until_ms: row.get(3)? };
                    Ok(Remembered { accepted_by: row.get(0)?, breaker, held: row.get(4)? })
                },
            )
        })
        .await
    }

    /// Files that were taken before then, whose post-action is done and of which no report is left, from a key on: key and path.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub async fn old_files(&self, before_ms: i64, after: i64, limit: u32) -> Result<Vec<(i64, String)>, QueueError> {
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT file, coalesce(place, path) FROM file WHERE file > ?1 AND taken_at < ?2 AND state = 2
                     AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.file = file.file) ORDER BY file LIMIT ?3",
                )?
                .query_map(params![after, before_ms, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .await
    }

    /// Files of a source that were put away and may still lie in their folder, the latest first. For threads.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub fn taken(&self, source: &str) -> Result<Vec<TakenFile>, QueueError> {
        let source = source.to_owned();
        self.read_blocking(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT path, file_id, size, modified_ns, file FROM file WHERE source = ?1 AND state = 2 ORDER BY file DESC LIMIT 200000",
            )?;
            let rows = statement.query_map([source], |row| {
                Ok(TakenFile { path: row.get(0)?, file_id: row.get(1)?, size: row.get(2)?, modified_ns: row.get(3)?, file: row.get(4)? })
            })?;
            rows.collect()
        })
    }

    /// The life of a file and when its reports were queued. For threads.
    ///
    /// # Errors
    /// [`QueueError::Read`]; also if there is no such file.
    pub fn taken_as(&self, file: i64) -> Result<(CorrelationId, Timestamp), QueueError> {
        let (correlation, at) = self.read_blocking(move |connection| {
            let mut statement = connection.prepare_cached("SELECT correlation, taken_at FROM file WHERE file = ?1")?;
            statement.query_row([file], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get(1)?)))
        })?;
        let at = Timestamp::from_millisecond(at).map_err(|error| QueueError::Read(error.to_string()))?;
        Ok((CorrelationId::from_bytes(correlation), at))
    }

    /// Things of a source that were told of as no files and stayed where they are. For threads.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub fn told_as_no_file(&self, source: &str) -> Result<Vec<String>, QueueError> {
        let source = source.to_owned();
        self.read_blocking(move |connection| {
            let code = format!("%\"{}\"%", Code::NotAFile);
            connection
                .prepare("SELECT DISTINCT path FROM conversion_error WHERE source = ?1 AND moved_to IS NULL AND report LIKE ?2 LIMIT 10000")?
                .query_map([source, code], |row| row.get(0))?
                .collect()
        })
    }

    /// The committed file of a source that has this id, size and hash, with its path: what a file under a claim name is. For threads.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub fn committed(
        &self,
        source: &str,
        file_id: [u8; 16],
        size: u64,
        hash: [u8; 32],
    ) -> Result<Option<(i64, String)>, QueueError> {
        let source = source.to_owned();
        self.read_blocking(move |connection| {
            connection
                .query_row(
                    "SELECT file, path FROM file WHERE state = 1 AND source = ?1 AND file_id = ?2 AND size = ?3 AND hash = ?4
                     ORDER BY file DESC",
                    params![source, file_id, size, hash],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()
        })
    }
}

/// Reads, in the time that one read may take. Whatever comes of it, the connection serves the next one.
fn answer<T>(
    connection: &mut Connection,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    damage: &Damage,
) -> Result<T, QueueError> {
    let begun = Instant::now();
    let read = || connection.progress_handler(LOOK_EVERY, Some(move || begun.elapsed() > LIMIT)).and_then(|()| read(connection));
    let Ok(result) = catch_unwind(AssertUnwindSafe(read)) else {
        // What it had begun was undone while it unwound.
        tracing::error!(event = "queue_read_panicked", "a read of the queue ended with a panic; the reader goes on");
        return Err(QueueError::Read("the read ended unexpectedly (panic); the log of the agent says where".to_owned()));
    };
    result.map_err(|error| {
        if schema::is_damage(&error) {
            damage.tell(&error.to_string());
        }
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => {
                QueueError::Read(format!("it took longer than {} s and was ended; ask for less of it", LIMIT.as_secs()))
            }
            _ => QueueError::Read(error.to_string()),
        }
    })
}

fn too_late(patience: Duration) -> QueueError {
    QueueError::Read(format!("no reader was free or came to an end within {} s; ask again in a moment", patience.as_secs()))
}

/// A file that was taken, as the store remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenFile {
    /// Where the equipment put it.
    pub path: String,
    /// Volume and number of the file.
    pub file_id: [u8; 16],
    /// Bytes.
    pub size: u64,
    /// Last change, nanoseconds since 1970 UTC.
    pub modified_ns: i64,
    /// Key of the file.
    pub file: i64,
}
