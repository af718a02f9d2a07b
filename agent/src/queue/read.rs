//! Reading beside the writer: owned threads with connections of their own, and a deadline on every read.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;
use waybill_ipc::protocol::{ConversionErrorRow, DeliveryRow, DeliveryState, Page};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::{CorrelationId, ReportId};

use super::{DeliveryKey, QueueError, codes, payload, schema};

/// Threads that read.
const THREADS: usize = 2;
/// Reads that wait for a thread.
const WAITING: usize = 64;
/// Longest time of one read.
const LIMIT: Duration = Duration::from_secs(1);
/// Instructions of the store's virtual machine between two looks at the clock.
const LOOK_EVERY: i32 = 10_000;
/// Compressed bytes that one fetch of ready deliveries brings along.
const FETCH_BYTES: usize = 1024 * 1024;

/// A row's key in a list is its entry times this plus its destination: more destinations no station ever had.
const DESTINATIONS: i64 = 4096;

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
}

/// The readers' threads; they end when every handle is gone.
#[derive(Debug)]
pub struct ReaderThreads(Vec<JoinHandle<()>>);

impl ReaderThreads {
    /// Waits for the end.
    pub fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!(event = "queue_reader_died", "a reader of the queue ended with a panic");
            }
        }
    }
}

/// A delivery that may go now, with the bytes to send.
#[derive(Debug)]
pub struct ReadyDelivery {
    /// Which.
    pub key: DeliveryKey,
    /// When the unit's test began, as far as the destination needs it: milliseconds since 1970 UTC, when it was queued.
    pub queued_at_ms: i64,
    /// Tries so far.
    pub tries: u32,
    /// The WSJF, or why it cannot be had.
    pub body: Result<Vec<u8>, QueueError>,
}

/// Which deliveries a list shows.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only those to this destination.
    pub destination: Option<String>,
    /// Only those in this state.
    pub state: Option<DeliveryState>,
}

pub(super) fn start(database: &Path, spool: &Path) -> Result<(Reader, ReaderThreads), QueueError> {
    let unavailable = |reason: String| QueueError::Unavailable { path: waybill_shared::text::path(database), reason };
    let (jobs, waiting) = crossbeam_channel::bounded::<Job>(WAITING);
    let mut threads = Vec::with_capacity(THREADS);
    for number in 1..=THREADS {
        let mut connection = schema::open_reader(database).map_err(|error| unavailable(error.to_string()))?;
        let waiting = waiting.clone();
        let thread = std::thread::Builder::new()
            .name(format!("queue-reader-{number}"))
            .spawn(move || {
                for job in waiting {
                    job(&mut connection);
                }
            })
            .map_err(|error| unavailable(error.to_string()))?;
        threads.push(thread);
    }
    Ok((Reader { jobs, spool: spool.to_owned() }, ReaderThreads(threads)))
}

impl Reader {
    async fn read<T, F>(&self, read: F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.begin(read)?.await.map_err(|_| QueueError::Closed)?
    }

    /// The same for a thread that may wait.
    fn read_blocking<T, F>(&self, read: F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.begin(read)?.blocking_recv().map_err(|_| QueueError::Closed)?
    }

    fn begin<T, F>(&self, read: F) -> Result<oneshot::Receiver<Result<T, QueueError>>, QueueError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (told, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let begun = Instant::now();
            let result = connection
                .progress_handler(LOOK_EVERY, Some(move || begun.elapsed() > LIMIT))
                .and_then(|()| read(connection))
                .map_err(|error| QueueError::Read(error.to_string()));
            let _asker_left = told.send(result);
        });
        self.jobs.try_send(job).map_err(|error| match error {
            crossbeam_channel::TrySendError::Full(_) => QueueError::Read("too many reads wait".to_owned()),
            crossbeam_channel::TrySendError::Disconnected(_) => QueueError::Closed,
        })?;
        Ok(answer)
    }

    /// Deliveries of a destination that may go now, in the order they go, without those named in `except`; at most `limit`, fewer if
    /// they are large. A delivery waits while an older one of the same report waits.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub async fn ready(&self, destination: &str, limit: usize, except: Vec<i64>) -> Result<Vec<ReadyDelivery>, QueueError> {
        let (name, spool) = (destination.to_owned(), self.spool.clone());
        self.read(move |connection| ready(connection, &spool, &name, limit, &except)).await
    }

    /// When the next delivery to a destination is due, milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub async fn next_due(&self, destination: &str) -> Result<Option<i64>, QueueError> {
        let name = destination.to_owned();
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT min(due) FROM delivery WHERE state = 1 AND due > 0
                     AND destination = (SELECT destination FROM destination WHERE name = ?1)",
                )?
                .query_row([name], |row| row.get(0))
        })
        .await
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

    /// A page of deliveries, the oldest first.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub async fn deliveries(&self, filter: ListFilter, page: Page) -> Result<Vec<DeliveryRow>, QueueError> {
        self.read(move |connection| deliveries(connection, &filter, page)).await
    }

    /// A page of files that could not be converted, the newest first.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub async fn conversion_errors(&self, page: Page) -> Result<Vec<ConversionErrorRow>, QueueError> {
        self.read(move |connection| conversion_errors(connection, page)).await
    }

    /// The address that last accepted a report for a destination.
    ///
    /// # Errors
    /// [`QueueError::Read`].
    pub async fn accepted_by(&self, destination: &str) -> Result<Option<String>, QueueError> {
        let name = destination.to_owned();
        self.read(move |connection| {
            connection.query_row("SELECT accepted_by FROM destination WHERE name = ?1", [name], |row| row.get(0))
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
            use rusqlite::OptionalExtension as _;
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

fn ready(
    connection: &Connection,
    spool: &Path,
    destination: &str,
    limit: usize,
    except: &[i64],
) -> rusqlite::Result<Vec<ReadyDelivery>> {
    let mut statement = connection.prepare_cached(
        "SELECT d.entry, d.report_id, f.correlation, e.serial, e.queued_at, d.tries, e.size, e.hash, e.spool, e.payload
         FROM delivery d JOIN entry e ON e.entry = d.entry JOIN file f ON f.file = e.file
         WHERE d.state = 1 AND d.due = 0 AND d.destination = (SELECT destination FROM destination WHERE name = ?1)
         AND NOT EXISTS (SELECT 1 FROM delivery o WHERE o.report_id = d.report_id AND o.destination = d.destination
                         AND o.state = 1 AND o.entry < d.entry)
         ORDER BY d.rank, d.entry LIMIT ?2",
    )?;
    let mut rows = statement.query(params![destination, limit + except.len()])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let entry: i64 = row.get(0)?;
        if except.contains(&entry) {
            continue;
        }
        let (size, hash): (u64, [u8; 32]) = (row.get(6)?, row.get(7)?);
        let body = match (row.get_ref(9)?.as_blob_or_null()?, row.get::<_, Option<String>>(8)?) {
            (Some(inline), _) => {
                bytes += inline.len();
                payload::restore(inline, size, &hash)
            }
            (None, Some(name)) => {
                let file = spool.join(name);
                std::fs::read(&file).map_err(|error| QueueError::Damaged(format!("{}: {error}", file.display()))).and_then(
                    |stored| {
                        bytes += stored.len();
                        payload::restore(&stored, size, &hash)
                    },
                )
            }
            (None, None) => Err(QueueError::Damaged("its bytes are gone".to_owned())),
        };
        found.push(ReadyDelivery {
            key: DeliveryKey {
                entry,
                destination: destination.to_owned(),
                report_id: ReportId::from_bytes(row.get(1)?),
                correlation_id: CorrelationId::from_bytes(row.get(2)?),
                serial: row.get(3)?,
            },
            queued_at_ms: row.get(4)?,
            tries: row.get(5)?,
            body,
        });
        if found.len() >= limit || bytes > FETCH_BYTES {
            break;
        }
    }
    Ok(found)
}

fn deliveries(connection: &Connection, filter: &ListFilter, page: Page) -> rusqlite::Result<Vec<DeliveryRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT d.entry, t.name, d.state, e.report_id, f.correlation, f.source, f.path, e.serial, e.part, e.result, d.priority,
                d.attempts, e.queued_at, d.due, d.finished_at, d.note, d.destination
         FROM delivery d JOIN entry e ON e.entry = d.entry JOIN file f ON f.file = e.file
         JOIN destination t ON t.destination = d.destination
         WHERE (d.entry, d.destination) > (?1, ?5) AND (?2 IS NULL OR t.name = ?2 COLLATE NOCASE) AND (?3 IS NULL OR d.state = ?3)
         ORDER BY d.entry, d.destination LIMIT ?4",
    )?;
    let (state, after) = (filter.state.map(codes::code), page.after.unwrap_or(0));
    let rows = statement.query_map(
        params![after / DESTINATIONS, filter.destination, state, page.limit.clamp(1, 1000), after % DESTINATIONS],
        |row| {
            let entry: i64 = row.get(0)?;
            let state = codes::state(row.get(2)?).unwrap_or(DeliveryState::Staged);
            let path: String = row.get(6)?;
            let note: Option<String> = row.get(15)?;
            Ok(DeliveryRow {
                key: entry * DESTINATIONS + row.get::<_, i64>(16)?,
                entry,
                destination: row.get(1)?,
                state,
                report_id: ReportId::from_bytes(row.get(3)?).to_string(),
                correlation_id: CorrelationId::from_bytes(row.get(4)?).to_string(),
                source: row.get(5)?,
                file: waybill_shared::text::printable(path.rsplit(['/', '\\']).next().unwrap_or(&path), 255),
                serial: row.get(7)?,
                part: row.get(8)?,
                result: row.get(9)?,
                priority: row.get(10)?,
                attempts: row.get(11)?,
                queued_at_ms: row.get(12)?,
                due_at_ms: Some(row.get(13)?).filter(|due| *due > 0),
                finished_at_ms: row.get(14)?,
                last_error: note.filter(|_| matches!(state, DeliveryState::Pending | DeliveryState::Failed)),
            })
        },
    )?;
    rows.collect()
}

fn conversion_errors(connection: &Connection, page: Page) -> rusqlite::Result<Vec<ConversionErrorRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT error, source, path, moved_to, at, report FROM conversion_error WHERE error < ?1 ORDER BY error DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![page.after.unwrap_or(i64::MAX), page.limit.clamp(1, 1000)], |row| {
        let report: String = row.get(5)?;
        Ok(ConversionErrorRow {
            key: row.get(0)?,
            source: row.get(1)?,
            path: row.get(2)?,
            moved_to: row.get(3)?,
            at_ms: row.get(4)?,
            error: serde_json::from_str(&report)
                .unwrap_or_else(|error| ErrorReport::new(Code::Internal, format!("the stored report cannot be read: {error}"))),
        })
    })?;
    rows.collect()
}
