//! Every field of the configuration, once.

use std::path::PathBuf;

use crate::schema::{Map, Rule, Value};
use crate::{choice, section};

section! {
    /// The whole of `config.toml`.
    pub struct Config {
        /// What this station is
        station: Station = Station::default();
        /// Where result files come from
        source: Vec<Source> = Vec::new();
        /// Where reports go to
        destination: Vec<Destination> = Vec::new();
        /// How files become reports
        convert: Convert = Convert::default();
        /// Reports that wait
        queue: Queue = Queue::default();
        /// How reports are sent
        upload: Upload = Upload::default();
        /// The conversation with windows and command lines
        ipc: Ipc = Ipc::default();
        /// The agent's log
        log: Log = Log::default();
        /// How the agent stops
        shutdown: Shutdown = Shutdown::default();
    }
}

section! {
    /// What this station is. Applied to reports whose file does not say it: the file wins over the station.
    pub struct Station {
        /// Name of the station; without it the host's name
        name: String = host_name(), rule short_text(100);
        /// Where the station stands
        location: String = "Unspecified".to_owned(), rule short_text(100);
        /// What the station is for
        purpose: String = "Production".to_owned(), rule short_text(100);
    }
}

section! {
    /// A watch folder, what is taken from it, how it is read, and what becomes of the files.
    pub struct Source {
        /// Name of the source: letters, digits, `-` and `_`
        name: String, rule plain_name();
        /// Folder that the equipment writes to; a relative path starts at the configuration's folder
        folder: PathBuf, rule some_path();
        /// Which files, by glob on the file name, upper and lower case alike
        patterns: Vec<String> = vec!["*".to_owned()], rule globs();
        /// Converter by name, or `auto` to choose by content
        converter: String = "auto".to_owned(), rule plain_name();
        /// Values for the converter, for what the files do not say
        arguments: Map<String, Value> = Map::new();
        /// What happens to a file whose reports are safe in the queue
        after: After = After::Move;
        /// Where taken files go; without it `done` inside the folder
        done_folder: Option<PathBuf> = None;
        /// Where broken files go; without it `error` inside the folder
        error_folder: Option<PathBuf> = None;
        /// Whether folders inside the folder are watched as well
        recursive: bool = false;
        /// 1 is sent first, 10 last
        priority: u8 = 5, rule range(1, 10);
        /// How long a file must be unchanged that cannot be proved to be finished; without it 500, or 5000 on a network folder
        settle_ms: Option<u64> = None, rule optional_range(50, 600_000), unit "ms";
        /// How long an empty or unfinished file may stay so before it counts as broken
        incomplete_timeout_secs: u64 = 60, rule range(1, 86_400), unit "s";
        /// How often the folder is read as a whole, besides the change events; without it 60, or 5 on a network folder
        rescan_secs: Option<u64> = None, rule optional_range(1, 86_400), unit "s";
    }
}

choice! {
    /// What happens to a file whose reports are safe in the queue.
    pub enum After {
        /// Moved to the done folder, by date.
        Move = "move",
        /// Deleted.
        Delete = "delete",
        /// Packed into a zip of its own in the done folder, by date.
        Zip = "zip",
        /// Left where it is.
        Keep = "keep",
    }
}

section! {
    /// A place that reports are delivered to.
    pub struct Destination {
        /// Name of the destination: letters, digits, `-` and `_`
        name: String, rule plain_name();
        /// What it is
        kind: DestinationKind;
        /// kind `wats`: address of the server, http or https
        url: Option<String> = None, rule http_url();
        /// kind `wats`: private file that holds the token; without it the environment variable or the agent's secrets folder
        token_file: Option<PathBuf> = None;
        /// kind `folder`: folder that receives the reports
        folder: Option<PathBuf> = None;
    }
}

choice! {
    /// What a destination is.
    pub enum DestinationKind {
        /// A folder on this machine.
        Folder = "folder",
        /// A WATS-compatible server.
        Wats = "wats",
    }
}

section! {
    /// How files become reports.
    pub struct Convert {
        /// Files read at the same time
        workers: u32 = default_workers(), rule range(1, 10), unit "threads";
        /// Largest file that is read
        max_file_bytes: u64 = 64 * 1024 * 1024, rule range(1024, 1024 * 1024 * 1024), unit "bytes";
    }
}

section! {
    /// Reports that wait.
    pub struct Queue {
        /// Most reports that may wait for one destination at the same time
        max_entries: u64 = 10_000, rule range(1, 10_000_000), unit "reports";
        /// What happens when as many wait
        when_full: WhenFull = WhenFull::Reject;
        /// How long a sent report is kept for looking at
        keep_sent_days: u64 = 7, rule range(0, 3650), unit "days";
    }
}

choice! {
    /// What happens when the queue is full. Nothing is ever deleted.
    pub enum WhenFull {
        /// Files stay in their folder and are tried again when nine tenths are left.
        Reject = "reject",
        /// Sources stop looking at their folders until nine tenths are left.
        Pause = "pause",
        /// The oldest waiting reports are written to the folder `evicted` to make room.
        OldestFirst = "oldest_first",
    }
}

section! {
    /// How reports are sent.
    pub struct Upload {
        /// Reports sent to one destination at the same time
        concurrency: u32 = 5, rule range(1, 100), unit "reports";
        /// Longest time to connect
        connect_timeout_secs: u64 = 10, rule range(1, 600), unit "s";
        /// Longest time for one report, from connecting to the whole answer
        timeout_secs: u64 = 60, rule range(1, 3600), unit "s";
        /// Tries of one report before it is set aside, counted only while the destination takes others
        max_retries: u32 = 10, rule range(0, 100), unit "tries";
        /// Pause before the second try; doubled for each further one
        backoff_initial_secs: u64 = 30, rule range(1, 3600), unit "s";
        /// Longest pause between two tries
        backoff_max_secs: u64 = 3600, rule range(1, 86_400), unit "s";
        /// Failures one after the other before a destination is left alone for a while
        breaker_failures: u32 = 3, rule range(1, 100), unit "failures";
        /// How long it is left alone at first; doubled while it stays down
        breaker_cooldown_secs: u64 = 30, rule range(1, 3600), unit "s";
        /// Longest time it is left alone
        breaker_max_cooldown_secs: u64 = 300, rule range(1, 86_400), unit "s";
        /// How often a paused destination is asked again
        paused_probe_secs: u64 = 300, rule range(1, 86_400), unit "s";
    }
}

section! {
    /// The conversation with windows and command lines.
    pub struct Ipc {
        /// Longest time to connect and greet
        hello_timeout_secs: u64 = 30, rule range(1, 600), unit "s";
        /// Longest time for the rest of a message once it has begun
        frame_timeout_secs: u64 = 30, rule range(1, 600), unit "s";
        /// Longest time the other side may take to accept a message
        write_timeout_secs: u64 = 10, rule range(1, 600), unit "s";
        /// Longest time for an answer
        request_timeout_secs: u64 = 60, rule range(1, 3600), unit "s";
        /// Silence after which a connection is closed
        idle_timeout_secs: u64 = 300, rule range(10, 86_400), unit "s";
        /// Connections that have greeted, at the same time; as many more may be about to
        max_connections: u32 = 64, rule range(8, 1024), unit "connections";
    }
}

section! {
    /// The agent's log.
    pub struct Log {
        /// Least important lines that are written
        level: LogLevel = LogLevel::Info;
        /// Size at which a new log file is begun
        max_bytes: u64 = 10 * 1024 * 1024, rule range(64 * 1024, 1024 * 1024 * 1024), unit "bytes";
        /// Older log files that are kept
        max_files: u32 = 5, rule range(1, 100), unit "files";
    }
}

choice! {
    /// How important a log line is.
    pub enum LogLevel {
        /// Data was lost or something needs a person now.
        Error = "error",
        /// Something an administrator should know.
        Warn = "warn",
        /// What happened to each file.
        Info = "info",
        /// For looking for a fault.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

section! {
    /// How the agent stops: drain, then cancel, then verify; within two minutes in all.
    pub struct Shutdown {
        /// Longest time for work that has begun to end by itself
        drain_secs: u64 = 60, rule range(0, 100), unit "s";
        /// Longest time for cancelled work to let go
        cancel_secs: u64 = 10, rule range(1, 50), unit "s";
    }
}

macro_rules! all_default {
    ($($section:ident),*) => {$(
        impl Default for $section {
            fn default() -> Self {
                let mut reader = crate::schema::Reader::new();
                let read = <Self as crate::schema::Field>::read(Value::Object(Map::new()), &mut reader);
                #[allow(clippy::expect_used, reason = "each field of these sections has a default that passes its own rule; a test reads them all")]
                read.expect("a section whose fields all have defaults")
            }
        }
    )*};
}
all_default!(Config, Station, Convert, Queue, Upload, Ipc, Log, Shutdown);

fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    if name.is_empty() { "station".to_owned() } else { crate::text::shortened(&name, 99) }
}

fn default_workers() -> u32 {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    u32::try_from(cores).unwrap_or(10).clamp(2, 10)
}

fn rule<T>(text: impl Into<String>, holds: impl Fn(&T) -> bool + 'static) -> Rule<T> {
    Rule { text: text.into(), holds: Box::new(holds) }
}

fn range<T: PartialOrd + std::fmt::Display + Copy + 'static>(low: T, high: T) -> Rule<T> {
    rule(format!("{low} to {high}"), move |value| (low..=high).contains(value))
}

fn optional_range<T: PartialOrd + std::fmt::Display + Copy + 'static>(low: T, high: T) -> Rule<Option<T>> {
    rule(format!("{low} to {high}"), move |value: &Option<T>| value.is_none_or(|value| (low..=high).contains(&value)))
}

fn short_text(max: usize) -> Rule<String> {
    rule(format!("1 to {max} characters"), move |text: &String| !text.trim().is_empty() && text.chars().count() <= max)
}

fn plain_name() -> Rule<String> {
    rule("1 to 64 letters, digits, `-` or `_`, beginning with a letter or digit", |name: &String| {
        name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    })
}

fn some_path() -> Rule<PathBuf> {
    rule("a path that is not empty", |path: &PathBuf| !path.as_os_str().is_empty())
}

fn globs() -> Rule<Vec<String>> {
    rule("at least one glob, each valid and without `/`", |patterns: &Vec<String>| {
        !patterns.is_empty() && patterns.iter().all(|p| !p.is_empty() && !p.contains('/') && globset::Glob::new(p).is_ok())
    })
}

fn http_url() -> Rule<Option<String>> {
    rule("an address that begins with http:// or https://, has a host and no user or password", |url: &Option<String>| {
        url.as_deref().is_none_or(|url| {
            url::Url::parse(url).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.port() != Some(0)
            })
        })
    })
}
