//! The history: every change and every refused or forced action, with who, what, when, and what came of it.
//!
//! # What it owns
//! `history.db` (SQLite, WAL, `synchronous=FULL`; [`store`] has the SQL) with `history.db.lock`, and the thread `history`, the only one of
//! this process that touches them: a disk that hangs holds up nobody else. It is apart from the queue, so that trouble with one is
//! none of the other. A command line may have the same file open at the same time, and append.
//!
//! # What always holds
//! - Append-only: the store itself refuses to change an entry, and to remove one of the newest [`KEEP`]. It protects against mistakes; the
//!   owner of the account can do what he wants with his files.
//! - Keys rise in the order in which entries were stored, whichever process stored them; pages go by them.
//! - No entry is lost in silence: who waits for one is told if it was not written. A note that was not written is counted (in memory), and
//!   the next entry that is written is preceded by one that tells how many were not. So is an entry whose asker was told that it
//!   came too late; it is not written later.
//! - **Secrets never get here.** The caller leaves out the value of a secret (before and after): the history does not know which texts are
//!   secret.
//! - Texts are stored as they are, cut to a length; whoever shows them makes them safe (`waybill_shared::text::printable`; [`csv`] does).
//!
//! # What survives a crash
//! Every entry that was acknowledged. A damaged file is set aside as `history.corrupt-<time>`, and the first entry of the new one
//! says so. One of a newer version is refused. After any other trouble the file is opened anew at the next entry.

pub mod csv;
mod entry;
mod lock;
mod store;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use waybill_ipc::protocol::{HistoryFilter, HistoryRow, Page};
use waybill_shared::error::{Code, ErrorReport};

use crate::supervisor;

use entry::gap;
pub use entry::{NewEntry, VALUE_BYTES};
use store::{Store, StoreError};

/// So many entries are kept at least; older ones are removed as new ones come.
pub const KEEP: i64 = 100_000;
/// Entries and questions that wait for the thread.
const WAITING: usize = 256;
/// Longest wait for an entry or a page.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest wait for the file to open: twice another process, and the disk.
const OPEN_DEADLINE: Duration = Duration::from_secs(20);

/// A handle to the history. The thread ends after the last one is gone, when what waits is written.
#[derive(Debug, Clone)]
pub struct History {
    commands: mpsc::Sender<Command>,
    missed: Arc<AtomicU64>,
}

/// Told once.
type Ack<T> = Box<dyn FnOnce(Result<T, ErrorReport>) + Send>;

enum Command {
    Append { entry: Box<NewEntry>, until: Instant, ack: Ack<i64> },
    Note { entry: Box<NewEntry> },
    List { filter: Box<HistoryFilter>, page: Page, until: Instant, ack: Ack<Vec<HistoryRow>> },
    Close { ack: Ack<()> },
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Append { .. } => "Append",
            Self::Note { .. } => "Note",
            Self::List { .. } => "List",
            Self::Close { .. } => "Close",
        })
    }
}

/// Why there is no answer.
enum NoAnswer {
    Closed,
    Late,
}

impl NoAnswer {
    fn report(&self) -> ErrorReport {
        match self {
            Self::Closed => ErrorReport::new(Code::DataFolderUnavailable, "the history is closed: the program ends")
                .with_fix("Start the agent, then try again"),
            Self::Late => late(),
        }
    }
}

fn late() -> ErrorReport {
    let words =
        "the history did not answer in time: its disk hangs or is very busy. An entry that was to be written may not be there";
    ErrorReport::new(Code::DataFolderUnavailable, words).with_fix("Check the data folder's disk, then try again")
}

impl History {
    /// Opens the history (and makes it, or sets a damaged one aside) and starts its thread. Takes 20 s at most.
    ///
    /// # Errors
    /// `DataFolderUnavailable` in words: the folder or file cannot be used, a newer version wrote it, another program holds a
    /// damaged one.
    pub fn open(path: &Path) -> Result<Self, ErrorReport> {
        let (commands, waiting) = mpsc::channel(WAITING);
        let missed = Arc::<AtomicU64>::default();
        let (told, opened) = std::sync::mpsc::sync_channel(1);
        let mut keeper = Keeper { path: path.to_owned(), store: None, missed: Arc::clone(&missed) };
        let run = move || {
            let result = keeper.open_store().map(|_| ());
            let succeeded = result.is_ok();
            // Nobody listens any more if it took too long: then no handle is there either, and the thread ends.
            if told.send(result).is_ok() && succeeded {
                keeper.run(waiting);
            }
        };
        let started = supervisor::spawn("history", run);
        started.map_err(|error| StoreError::Unavailable(format!("its thread cannot be started: {error}")).report(path))?;
        opened.recv_timeout(OPEN_DEADLINE).unwrap_or_else(|_| Err(late()))?;
        Ok(Self { commands, missed })
    }

    /// Writes an entry and waits until it is durable, 10 s at most; for tasks. Its key.
    ///
    /// # Errors
    /// `DataFolderUnavailable`: it is not written. Only if the disk hangs while it is being written, that is not known; the words say so.
    pub async fn append(&self, entry: NewEntry) -> Result<i64, ErrorReport> {
        let (entry, until) = (Box::new(entry), Instant::now() + DEADLINE);
        self.ask(until, |ack| Command::Append { entry, until, ack }).await.unwrap_or_else(|none| Err(none.report()))
    }

    /// Like [`Self::append`], for threads and the command line.
    ///
    /// # Errors
    /// As there.
    pub fn append_blocking(&self, entry: NewEntry) -> Result<i64, ErrorReport> {
        let (entry, until) = (Box::new(entry), Instant::now() + DEADLINE);
        self.ask_blocking(until, |ack| Command::Append { entry, until, ack }).unwrap_or_else(|none| Err(none.report()))
    }

    /// Has an entry written and never waits: for what was refused, which nobody may use to hold the agent up. If there is no room, it is
    /// counted, and the next entry that is written is preceded by one that tells how many were not.
    pub fn note(&self, entry: NewEntry) {
        match self.commands.try_send(Command::Note { entry: Box::new(entry) }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.missed.fetch_add(1, Ordering::Relaxed);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                tracing::warn!(event = "history_closed", "the program ends, and an entry came too late for the history");
            }
        }
    }

    /// A page of entries that fit the filter, the newest first; for tasks. `page.after` is the key of the last row of the page before,
    /// `page.limit` is 1 to 1000. A page of long texts ends earlier; the end of the list is an empty page. Takes 10 s at most.
    ///
    /// # Errors
    /// `DataFolderUnavailable` in words.
    pub async fn list(&self, filter: &HistoryFilter, page: Page) -> Result<Vec<HistoryRow>, ErrorReport> {
        let (filter, until) = (Box::new(filter.clone()), Instant::now() + DEADLINE);
        self.ask(until, |ack| Command::List { filter, page, until, ack }).await.unwrap_or_else(|none| Err(none.report()))
    }

    /// Like [`Self::list`], for threads and the command line.
    ///
    /// # Errors
    /// As there.
    pub fn list_blocking(&self, filter: &HistoryFilter, page: Page) -> Result<Vec<HistoryRow>, ErrorReport> {
        let (filter, until) = (Box::new(filter.clone()), Instant::now() + DEADLINE);
        self.ask_blocking(until, |ack| Command::List { filter, page, until, ack }).unwrap_or_else(|none| Err(none.report()))
    }

    /// Writes what waits, closes the file and ends the thread, for all handles; for tasks. A closed one stays closed.
    ///
    /// # Errors
    /// `DataFolderUnavailable` if it did not happen within `deadline`, or the last entries could not be written.
    pub async fn close(&self, deadline: Duration) -> Result<(), ErrorReport> {
        closed(self.ask(Instant::now() + deadline, |ack| Command::Close { ack }).await)
    }

    /// Like [`Self::close`], for threads and the command line.
    ///
    /// # Errors
    /// As there.
    pub fn close_blocking(&self, deadline: Duration) -> Result<(), ErrorReport> {
        closed(self.ask_blocking(Instant::now() + deadline, |ack| Command::Close { ack }))
    }

    async fn ask<T: Send + 'static>(
        &self,
        until: Instant,
        command: impl FnOnce(Ack<T>) -> Command,
    ) -> Result<Result<T, ErrorReport>, NoAnswer> {
        let (told, answer) = oneshot::channel();
        let ack: Ack<T> = Box::new(move |result| {
            let _asker_left = told.send(result);
        });
        let asked = async {
            self.commands.send(command(ack)).await.map_err(|_| NoAnswer::Closed)?;
            answer.await.map_err(|_| NoAnswer::Closed)
        };
        tokio::time::timeout_at(until.into(), asked).await.unwrap_or(Err(NoAnswer::Late))
    }

    fn ask_blocking<T: Send + 'static>(
        &self,
        until: Instant,
        command: impl FnOnce(Ack<T>) -> Command,
    ) -> Result<Result<T, ErrorReport>, NoAnswer> {
        let (told, answer) = std::sync::mpsc::sync_channel(1);
        let mut command = command(Box::new(move |result| {
            let _asker_left = told.send(result);
        }));
        // The channel's own blocking send has no deadline.
        loop {
            command = match self.commands.try_send(command) {
                Ok(()) => break,
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(NoAnswer::Closed),
                Err(mpsc::error::TrySendError::Full(_)) if Instant::now() >= until => return Err(NoAnswer::Late),
                Err(mpsc::error::TrySendError::Full(command)) => command,
            };
            std::thread::sleep(Duration::from_millis(5));
        }
        answer.recv_timeout(until.saturating_duration_since(Instant::now())).map_err(|error| match error {
            std::sync::mpsc::RecvTimeoutError::Timeout => NoAnswer::Late,
            std::sync::mpsc::RecvTimeoutError::Disconnected => NoAnswer::Closed,
        })
    }
}

fn closed(answer: Result<Result<(), ErrorReport>, NoAnswer>) -> Result<(), ErrorReport> {
    match answer {
        Ok(result) => result,
        Err(NoAnswer::Closed) => Ok(()),
        Err(NoAnswer::Late) => Err(late()),
    }
}

/// What the thread owns.
struct Keeper {
    path: PathBuf,
    /// None after trouble: it is opened again when it is needed.
    store: Option<Store>,
    /// Entries that were not written and not told of yet.
    missed: Arc<AtomicU64>,
}

impl Keeper {
    fn run(mut self, mut waiting: mpsc::Receiver<Command>) {
        let mut closers = Vec::new();
        while let Some(command) = waiting.blocking_recv() {
            match command {
                Command::Append { entry, until, ack } => ack(if Instant::now() < until {
                    self.append(&entry)
                } else {
                    self.missed.fetch_add(1, Ordering::Relaxed);
                    Err(late())
                }),
                Command::Note { entry } => {
                    if let Err(error) = self.append(&entry) {
                        self.missed.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(event = "history_write_failed", %error, action = entry.action, "an entry is not in the history");
                    }
                }
                Command::List { filter, page, until, ack } => {
                    ack(if Instant::now() < until { self.list(&filter, page) } else { Err(late()) });
                }
                Command::Close { ack } => {
                    // What waits behind it is still done.
                    waiting.close();
                    closers.push(ack);
                }
            }
        }
        let told = self.tell_missed();
        drop(self.store);
        for close in closers {
            close(told.clone());
        }
    }

    fn append(&mut self, entry: &NewEntry) -> Result<i64, ErrorReport> {
        let missed = self.missed.load(Ordering::Relaxed);
        let key = if missed == 0 {
            self.with_store(|store| store.append(&[entry]))?
        } else {
            let gap = gap(missed);
            self.with_store(|store| store.append(&[&gap, entry]))?
        };
        self.missed.fetch_sub(missed, Ordering::Relaxed);
        Ok(key)
    }

    /// No entry follows any more before which it could be told.
    fn tell_missed(&mut self) -> Result<(), ErrorReport> {
        match self.missed.swap(0, Ordering::Relaxed) {
            0 => Ok(()),
            missed => {
                let gap = gap(missed);
                let told = self.with_store(|store| store.append(&[&gap])).map(|_| ());
                if let Err(error) = &told {
                    tracing::error!(event = "history_write_failed", %error, missed, "entries are not in the history");
                }
                told
            }
        }
    }

    fn list(&mut self, filter: &HistoryFilter, page: Page) -> Result<Vec<HistoryRow>, ErrorReport> {
        self.with_store(|store| store.list(filter, page))
    }

    /// Does it; in a new file if the old one proves damaged.
    fn with_store<T>(&mut self, work: impl Fn(&mut Store) -> Result<T, StoreError>) -> Result<T, ErrorReport> {
        let mut result = work(self.open_store()?);
        if let Err(StoreError::Damaged(reason)) = &result
            && let Some(store) = self.store.take()
        {
            let renewed = store.renew(&self.path, reason).map_err(|error| error.report(&self.path))?;
            result = work(self.store.insert(renewed));
        }
        result.map_err(|error| {
            if !matches!(error, StoreError::Held(_)) {
                self.store = None;
            }
            error.report(&self.path)
        })
    }

    fn open_store(&mut self) -> Result<&mut Store, ErrorReport> {
        let store = match self.store.take() {
            Some(store) => store,
            None => Store::open(&self.path).map_err(|error| error.report(&self.path))?,
        };
        Ok(self.store.insert(store))
    }
}
