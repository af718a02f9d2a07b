//! What is read for a bundle: each part on a thread of its own, so that one that hangs costs nothing but itself.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde::Serialize;
use waybill_ipc::protocol::{HistoryFilter, HistoryRow, LogFilter, LogLevelName, Page};
use waybill_shared::fs::{atomic, free_space, private, writers};
use waybill_shared::paths::Instance;
use waybill_shared::secret::Secret;
use waybill_shared::text;

use super::queue::{self, QueueFacts};
use crate::agent::{self, Active};
use crate::config::{Backup, Backups};
use crate::history::History;
use crate::log;
use crate::secrets;
use crate::serve::answers::wanted;
use crate::supervisor;
use crate::watchdog;

/// Bytes of the log that go in, the newest.
pub(super) const LOG_BYTES: u64 = 5 * 1024 * 1024;
/// Bytes of what the watchdog wrote down; it is far smaller.
const WATCHDOG_RECORD: u64 = 1024 * 1024;
/// Entries of the history that go in, the newest.
pub(super) const HISTORY_ROWS: u32 = 500;
/// How far back errors of the log count for what looks wrong.
const ERRORS_OF: Duration = Duration::from_secs(24 * 3600);
/// Files of one folder that are listed by name; how deep folders are looked into.
const LISTED: usize = 200;
const DEEP: usize = 3;

/// A part, or why it is not there.
pub(super) type Part<T> = Result<T, String>;

/// Something that is being read.
pub(super) struct Job<T>(Receiver<Part<T>>);

impl<T: Send + 'static> Job<T> {
    pub(super) fn start(name: &str, work: impl FnOnce() -> Part<T> + Send + 'static) -> Self {
        let (told, answer) = sync_channel(1);
        let refused = told.clone();
        let run = move || {
            // Nobody listens any more if it took too long.
            let _late = told.send(work());
        };
        // It ends with its work; one that hangs ends with the process, and holds nothing that others need.
        if let Err(error) = supervisor::spawn(name, run) {
            let _first = refused.try_send(Err(format!("there is no thread for it: {error}")));
        }
        Self(answer)
    }

    pub(super) fn by(self, until: Instant) -> Part<T> {
        match self.0.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(part) => part,
            Err(RecvTimeoutError::Timeout) => Err("it did not answer in time: its disk may hang".to_owned()),
            Err(RecvTimeoutError::Disconnected) => Err("a fault ended the reading of it".to_owned()),
        }
    }
}

/// Everything that was read.
pub(super) struct Facts {
    pub(super) config: Part<Active>,
    /// The file as it lies there, which need not be what is in use.
    pub(super) config_file: Part<Option<String>>,
    pub(super) backups: Part<Vec<BackupFact>>,
    pub(super) queue: Part<Option<QueueFacts>>,
    pub(super) history: Part<Vec<HistoryRow>>,
    pub(super) log: Part<String>,
    pub(super) log_errors: Part<Vec<LogErrors>>,
    pub(super) watchdog: Part<WatchdogFacts>,
    pub(super) secrets: Part<Vec<SecretFact>>,
    pub(super) folders: Part<Folders>,
    /// Free bytes and all bytes of the data folder's disk.
    pub(super) disk: Part<(u64, u64)>,
    /// Watch folders that are in use, and what is wrong with them; only if nobody else looks at them.
    pub(super) sources: Vec<(String, Part<()>)>,
    /// Values that were found where secrets are.
    pub(super) values: Vec<Secret>,
}

/// What there is of a watchdog; nothing of it if none ever ran here.
#[derive(Debug, Clone, Default)]
pub(super) struct WatchdogFacts {
    /// What it wrote down, as it lies there.
    pub(super) record: Option<String>,
    /// The newest bytes of its log.
    pub(super) log: Option<String>,
    /// What is wrong by it, as a sentence.
    pub(super) trouble: Option<String>,
}

/// A backup, as it goes in.
#[derive(Debug, Clone, Serialize)]
pub(super) struct BackupFact {
    pub(super) id: String,
    pub(super) at_ms: i64,
    pub(super) revision: String,
    pub(super) bytes: u64,
    pub(super) intact: bool,
}

/// A secret, as it goes in: everything but what it is.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SecretFact {
    pub(super) name: String,
    pub(super) set: bool,
    pub(super) place: String,
    pub(super) changeable: bool,
    /// Why it cannot be used, if there is one.
    pub(super) problem: Option<String>,
}

/// Errors of one kind in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogErrors {
    pub(super) event: String,
    pub(super) count: usize,
    pub(super) last_ms: i64,
    pub(super) last_message: String,
}

/// The data folder's files.
#[derive(Debug, Clone, Default)]
pub(super) struct Folders {
    pub(super) listing: String,
    /// What other users may read.
    pub(super) open_to_others: Vec<String>,
}

impl Facts {
    /// Reads everything that is there by then. `sources`: look at the watch folders as well.
    pub(super) fn gather(instance: &Instance, sources: bool, until: Instant) -> Self {
        let with = |name: &str| (name.to_owned(), instance.clone());
        macro_rules! job {
            ($name:literal, $work:expr) => {{
                let (name, instance) = with($name);
                Job::start(&name, move || $work(&instance))
            }};
        }
        let config = job!("diagnose-config", read_config);
        let config_file = job!("diagnose-file", read_config_file);
        let backups = job!("diagnose-backups", read_backups);
        let queue = job!("diagnose-queue", queue::read);
        let history = job!("diagnose-history", read_history);
        let log = job!("diagnose-log", read_log);
        let log_errors = job!("diagnose-errors", count_errors);
        let folders = job!("diagnose-folders", list_folders);
        let watchdog = job!("diagnose-watchdog", read_watchdog);
        let values = job!("diagnose-values", |instance: &Instance| Ok(stored_values(instance)));
        let data = instance.data.clone();
        let disk = Job::start("diagnose-disk", move || free_space(&data).map_err(|error| error.to_string()));
        let config = config.by(until);
        let secrets = job_of_secrets(instance, config.as_ref().ok());
        let sources = if sources { look_at_sources(instance, config.as_ref().ok(), until) } else { Vec::new() };
        let mut values = values.by(until).unwrap_or_default();
        let secrets = secrets.by(until).map(|(rows, more)| {
            values.extend(more);
            rows
        });
        Self {
            config,
            config_file: config_file.by(until),
            backups: backups.by(until),
            queue: queue.by(until),
            history: history.by(until),
            log: log.by(until),
            log_errors: log_errors.by(until),
            secrets,
            watchdog: watchdog.by(until),
            folders: folders.by(until),
            disk: disk.by(until),
            sources,
            values,
        }
    }

    /// What must not be in the bundle.
    pub(super) fn known_secrets(&self) -> Vec<Secret> {
        self.values.clone()
    }
}

fn read_config(instance: &Instance) -> Part<Active> {
    agent::look_at_config(instance).map_err(|error| {
        let faults = waybill_shared::schema::list(&error.details);
        let colon = if faults.is_empty() { "" } else { ": " };
        format!("{}{colon}{faults}", error.message)
    })
}

fn read_config_file(instance: &Instance) -> Part<Option<String>> {
    let read = crate::config::Store::of(instance).read().map_err(|error| error.message)?;
    Ok(read.map(|document| document.text))
}

fn read_backups(instance: &Instance) -> Part<Vec<BackupFact>> {
    let fact = |Backup { id, at_ms, revision, bytes, intact }| BackupFact { id, at_ms, revision, bytes, intact };
    Ok(Backups::of(instance).list().map_err(|error| error.message)?.into_iter().map(fact).collect())
}

/// The newest entries, the newest first.
fn read_history(instance: &Instance) -> Part<Vec<HistoryRow>> {
    let path = instance.history_database();
    if !path.try_exists().map_err(|error| error.to_string())? {
        return Ok(Vec::new());
    }
    let history = History::open(&path).map_err(|error| error.message)?;
    let mut rows: Vec<HistoryRow> = Vec::new();
    while rows.len() < HISTORY_ROWS as usize {
        let page = Page { after: rows.last().map(|row| row.key), limit: HISTORY_ROWS - rows.len() as u32 };
        let more = history.list_blocking(&HistoryFilter::default(), page).map_err(|error| error.message)?;
        if more.is_empty() {
            break;
        }
        rows.extend(more);
    }
    history.close_blocking(Duration::from_secs(5)).map_err(|error| error.message)?;
    Ok(rows)
}

fn read_watchdog(instance: &Instance) -> Part<WatchdogFacts> {
    let path = instance.watchdog_record();
    let record = match tail(&path, WATCHDOG_RECORD) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(format!("{}: {error}", text::path(&path))),
    };
    let there = instance.logs().join(watchdog::LOG).try_exists().map_err(|error| error.to_string())?;
    let log = if there { Some(read_log_of(instance, watchdog::LOG)?) } else { None };
    Ok(WatchdogFacts { record, log, trouble: watchdog::record::trouble(instance) })
}

fn read_log(instance: &Instance) -> Part<String> {
    read_log_of(instance, "agent.log")
}

/// The newest bytes of a log, in order, from the beginning of a line on.
fn read_log_of(instance: &Instance, log: &str) -> Part<String> {
    let mut files: Vec<(u32, PathBuf)> = Vec::new();
    let entries = std::fs::read_dir(instance.logs()).map_err(|error| error.to_string())?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = match name.strip_prefix(log) {
            Some("") => Some(0),
            Some(rest) => rest.strip_prefix('.').and_then(|number| number.parse().ok()),
            None => None,
        };
        files.extend(number.map(|number| (number, entry.path())));
    }
    files.sort();
    let (mut left, mut parts) = (LOG_BYTES, Vec::new());
    for (_, path) in files {
        if left == 0 {
            break;
        }
        let bytes = tail(&path, left).map_err(|error| format!("{}: {error}", text::path(&path)))?;
        left -= bytes.len() as u64;
        parts.push(bytes);
    }
    parts.reverse();
    let all = parts.concat();
    let whole = if left == 0 { all.iter().position(|b| *b == b'\n').map_or(0, |end| end + 1) } else { 0 };
    Ok(String::from_utf8_lossy(&all[whole..]).into_owned())
}

fn tail(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Errors of the last day in what goes in of the log, the most frequent kind first.
fn count_errors(instance: &Instance) -> Part<Vec<LogErrors>> {
    let since = jiff::Timestamp::now().as_millisecond() - i64::try_from(ERRORS_OF.as_millis()).unwrap_or(i64::MAX);
    let filter = LogFilter { level: Some(LogLevelName::Error), since_ms: Some(since), ..LogFilter::default() };
    let found = match log::read::page(&instance.logs(), &filter, None, usize::MAX, LOG_BYTES) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found.map_err(|error| error.to_string())?,
    };
    let mut by_event: BTreeMap<String, LogErrors> = BTreeMap::new();
    for line in found.lines {
        let event = line.event.unwrap_or_else(|| "without a name".to_owned());
        let reason = line.fields.into_iter().find(|(name, _)| name == "reason").map(|(_, reason)| reason);
        let errors = by_event.entry(event.clone()).or_insert_with(|| LogErrors {
            event,
            count: 0,
            last_ms: 0,
            last_message: String::new(),
        });
        errors.count += 1;
        errors.last_ms = line.at_ms.unwrap_or(errors.last_ms);
        errors.last_message = text::shortened(&reason.unwrap_or(line.message), 300);
    }
    let mut all: Vec<LogErrors> = by_event.into_values().collect();
    all.sort_by_key(|errors| std::cmp::Reverse(errors.count));
    Ok(all)
}

type Secrets = (Vec<SecretFact>, Vec<Secret>);

/// What the configuration needs; and the values, which leave the thread only to be looked for.
fn job_of_secrets(instance: &Instance, active: Option<&Active>) -> Job<Secrets> {
    let (instance, config) = (instance.clone(), active.map(|active| active.effective.config.clone()));
    Job::start("diagnose-secrets", move || {
        let config = config.ok_or("what is needed is not known: the configuration cannot be read")?;
        let place = secrets::Place::of(&instance, false);
        let store = secrets::Store::open(&instance, place).map_err(|error| error.message)?;
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        for (name, file) in wanted(&config, &atomic::folder_of(&instance.config)) {
            let row =
                |set, place, changeable, problem| SecretFact { name: name.as_str().to_owned(), set, place, changeable, problem };
            rows.push(match store.status(&name, file.as_deref()) {
                Ok(status) => row(status.set, status.place, status.changeable, None),
                Err(error) => row(false, String::new(), false, Some(error.message)),
            });
            values.extend(store.source(name, file).load().ok());
        }
        Ok((rows, values))
    })
}

/// Everything that lies where secrets are, whether it is needed or not.
fn stored_values(instance: &Instance) -> Vec<Secret> {
    let is_secret = |name: &str| name.starts_with("WAYBILL_SECRET_") || name == "WAYBILL_PIN";
    let mut values: Vec<Secret> = std::env::vars_os()
        .filter(|(name, _)| is_secret(&name.to_string_lossy()))
        .map(|(_, value)| Secret::new(&value.to_string_lossy()))
        .collect();
    if let Ok(entries) = std::fs::read_dir(instance.secrets()) {
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).take(LISTED) {
            values.extend(tail(&path, 64 * 1024).ok().map(|bytes| Secret::new(&String::from_utf8_lossy(&bytes))));
        }
    }
    values
}

fn look_at_sources(instance: &Instance, active: Option<&Active>, until: Instant) -> Vec<(String, Part<()>)> {
    let base = atomic::folder_of(&instance.config);
    let enabled = active.into_iter().flat_map(|active| &active.effective.config.source).filter(|source| source.enabled);
    let jobs: Vec<(String, Job<()>)> = enabled
        .map(|source| {
            let folder = base.join(&source.folder);
            let look = move || match std::fs::read_dir(&folder) {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{}: {error}", text::path(&folder))),
            };
            (source.name.clone(), Job::start("diagnose-source", look))
        })
        .collect();
    jobs.into_iter().map(|(name, job)| (name, job.by(until))).collect()
}

/// Names, sizes and permissions; never content.
fn list_folders(instance: &Instance) -> Part<Folders> {
    let mut folders = Folders::default();
    list(&instance.data, &instance.data, 0, &mut folders).map_err(|error| format!("{}: {error}", text::path(&instance.data)))?;
    Ok(folders)
}

fn list(root: &Path, folder: &Path, depth: usize, into: &mut Folders) -> std::io::Result<()> {
    describe(root, folder, depth, into);
    if depth >= DEEP {
        return Ok(());
    }
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let more = paths.len().saturating_sub(LISTED);
    for path in paths.iter().take(LISTED) {
        let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
        if !is_folder {
            describe(root, path, depth + 1, into);
        } else if let Err(error) = list(root, path, depth + 1, into) {
            into.listing.push_str(&format!("{}  cannot be listed: {error}\n", text::path(path)));
        }
    }
    if more > 0 {
        into.listing.push_str(&format!("… and {more} more in {}\n", text::path(folder)));
    }
    Ok(())
}

fn describe(root: &Path, path: &Path, depth: usize, into: &mut Folders) {
    let name = match path.strip_prefix(root) {
        Ok(inside) if !inside.as_os_str().is_empty() => text::path(inside),
        _ => text::path(path),
    };
    let size = path.symlink_metadata().map_or_else(
        |error| error.to_string(),
        |found| {
            if found.is_dir() { "folder".to_owned() } else { format!("{} bytes", found.len()) }
        },
    );
    let may = writers(path).unwrap_or_else(|error| error.to_string());
    let private = private::is_private(path);
    let readers = match &private {
        Ok(true) => "private".to_owned(),
        Ok(false) => "other users may read it".to_owned(),
        Err(error) => error.to_string(),
    };
    // What is inside of a private folder is private too.
    if matches!(private, Ok(false)) && depth == 0 {
        into.open_to_others.push(text::path(path));
    }
    into.listing.push_str(&format!("{}{name}  {size}  {readers}  {may}\n", "  ".repeat(depth)));
}
