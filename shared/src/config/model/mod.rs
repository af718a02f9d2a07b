//! Every field of the configuration, once.
//!
//! [`rules`] holds what a value must fulfil; what holds between fields is in [`validate`](super::validate). Fields are in the order of the
//! reference page.

mod rules;

use std::path::PathBuf;

use crate::schema::{Map, Value};
use crate::{choice, section};
use rules::{
    env_name, globs, hosts, http_url, optional_path, optional_range, optional_text, plain_name, range, short_text, some_days,
    some_path,
};

section! {
    /// The whole of `config.toml`.
    pub struct Config on Settings {
        /// Who this station is
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
        /// The way to servers
        proxy: Proxy = Proxy::default();
        /// How servers prove who they are
        tls: Tls = Tls::default();
        /// How long things are kept
        retention: Retention = Retention::default();
        /// Copies of the files that were taken
        archive: Archive = Archive::default();
        /// The conversation with windows and command lines
        ipc: Ipc = Ipc::default();
        /// Who may do what
        access: Access = Access::default();
        /// How the agent watches itself
        health: Health = Health::default();
        /// The agent's log
        log: Log = Log::default();
        /// How the agent stops
        shutdown: Shutdown = Shutdown::default();
        /// The operator's window
        window: Window = Window::default();
    }
}

section! {
    /// Who this station is. Applied to reports whose file does not say it: the file wins over the converter's arguments, these over the station.
    pub struct Station on Station {
        /// Name of the station; without it the host's name
        name: Option<String> = None, rule optional_text(100);
        /// Where the name comes from: `setting` is `name`, `host` the host's name, `variable` an environment variable of the agent
        name_from: NameFrom = NameFrom::Setting;
        /// Environment variable that holds the name, for `name_from = "variable"`
        name_variable: Option<String> = None, rule env_name();
        /// Where the station stands
        location: String = "Unspecified".to_owned(), rule short_text(100);
        /// What the station is for
        purpose: String = "Production".to_owned(), rule short_text(100);
        /// Preset whose values stand in for those above; without it none
        active: Option<String> = None;
        /// Ways in which this station is used in turn, each with a name; one may be active
        preset: Vec<Preset> = Vec::new();
    }
}

choice! {
    /// Where a station's name comes from.
    pub enum NameFrom {
        /// From `station.name`.
        Setting = "setting",
        /// The host's name.
        Host = "host",
        /// From an environment variable.
        Variable = "variable",
    }
}

section! {
    /// A way in which a station is used; what it does not name stays as it is.
    pub struct Preset on Station {
        /// Name of the preset: letters, digits, `-` and `_`
        name: String, rule plain_name();
        /// Name of the station while it is active
        station: Option<String> = None, rule optional_text(100);
        /// Where the station stands while it is active
        location: Option<String> = None, rule optional_text(100);
        /// What the station is for while it is active
        purpose: Option<String> = None, rule optional_text(100);
    }
}

section! {
    /// A watch folder, what is taken from it, how it is read, and what becomes of the files.
    pub struct Source on Converters {
        /// Name of the source: letters, digits, `-` and `_`
        name: String, rule plain_name();
        /// Whether files are taken
        enabled: bool = true;
        /// Folder that the equipment writes to; a relative path starts at the configuration's folder
        folder: PathBuf, rule some_path();
        /// Which files, by glob on the file name, upper and lower case alike
        patterns: Vec<String> = vec!["*".to_owned()], rule globs();
        /// Converter by name, or `auto` to choose by content
        converter: String = "auto".to_owned(), rule plain_name();
        /// Values for the converter, for what the files do not say; `waybill-agent converters show NAME` lists them
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
        /// Most files of this source that are under way at once, from reading them to their reports being safe; without it as many as there is room for. With 1 they are taken one after the other, the oldest first
        parallel: Option<u32> = None, rule optional_range(1, 128), unit "files";
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
    pub struct Destination on Destinations {
        /// Name of the destination: letters, digits, `-` and `_`
        name: String, rule plain_name();
        /// Whether reports go there; new reports are not bound to it while they do not, and what waits for it waits on
        enabled: bool = true;
        /// What it is
        kind: DestinationKind;
        /// Whether its reports must arrive; those of one that need not make room at eight tenths of `queue.max_entries`, in the folder `evicted`
        required: bool = true;
        /// kind `wats`: address of the server, http or https
        url: Option<String> = None, rule http_url();
        /// kind `wats`: private file that holds the token; without it the environment variable or the agent's secret store
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
    pub struct Convert on Converters {
        /// Files read at the same time; without it as many as the machine has processors, at least 2 and at most 10
        workers: Option<u32> = None, rule optional_range(1, 10), unit "threads", restart "the threads are made once";
        /// Largest file that is read
        max_file_bytes: u64 = 64 * 1024 * 1024, rule range(1024, 1024 * 1024 * 1024), unit "bytes";
    }
}

section! {
    /// Reports that wait.
    pub struct Queue on Settings {
        /// Most reports that may wait for one destination at the same time
        max_entries: u64 = 10_000, rule range(1, 10_000_000), unit "reports";
        /// Most bytes that the reports may take in the queue that wait for one destination
        max_bytes: u64 = 4 * 1024 * 1024 * 1024, rule range(1024 * 1024, 1 << 50), unit "bytes";
        /// Bytes that must stay free on the data folder's disk
        min_free_bytes: u64 = 1024 * 1024 * 1024, rule range(0, 1 << 50), unit "bytes";
        /// Part of the data folder's disk that must stay free; what is more of this and `min_free_bytes` counts
        min_free_percent: u8 = 2, rule range(0, 50), unit "%";
        /// What happens when there is no more room
        when_full: WhenFull = WhenFull::Reject;
        /// Reports that failed and wait for a person, for one destination, from which on health says so
        max_failed: u64 = 10_000, rule range(1, 10_000_000), unit "reports";
    }
}

choice! {
    /// What happens when the queue is full. Nothing is ever deleted.
    pub enum WhenFull {
        /// Files stay in their folder and are tried again when nine tenths are left.
        Reject = "reject",
        /// Sources stop looking at their folders until nine tenths are left.
        Pause = "pause",
        /// The oldest waiting reports are written to the folder `evicted` to make room for the count; where bytes or the disk set the limit it is as with `reject`.
        OldestFirst = "oldest_first",
    }
}

section! {
    /// How reports are sent.
    pub struct Upload on Destinations {
        /// Reports sent to one destination at the same time
        concurrency: u32 = 5, rule range(1, 100), unit "reports";
        /// Longest time to connect
        connect_timeout_secs: u64 = 10, rule range(1, 600), unit "s";
        /// Longest time for one report, from connecting to the whole answer
        timeout_secs: u64 = 60, rule range(1, 3600), unit "s";
        /// Reports sent to one destination in a second; without it as many as it takes
        max_per_second: Option<u32> = None, rule optional_range(1, 10_000), unit "reports/s";
        /// Longest time in which nothing of a report goes to the server and nothing comes back; never longer than `timeout_secs`
        read_timeout_secs: u64 = 30, rule range(1, 3600), unit "s";
        /// Longest time for a call without a report: a test, a heartbeat, a registration
        call_timeout_secs: u64 = 15, rule range(1, 300), unit "s";
        /// Whether reports of 1 KiB and more go compressed (gzip): `auto` once the server has said that it takes them, `never`, or `always`
        gzip: Gzip = Gzip::Auto;
        /// Tries of one report before it is set aside, counted only while the destination takes others
        max_retries: u32 = 10, rule range(0, 100), unit "tries";
        /// Pause before the second try; doubled for each further one
        backoff_initial_secs: u64 = 30, rule range(1, 3600), unit "s";
        /// Longest pause between two tries
        backoff_max_secs: u64 = 3600, rule range(1, 86_400), unit "s";
        /// Failures one after the other before a destination is left alone for a while
        breaker_failures: u32 = 3, rule range(1, 100), unit "failures";
        /// How long it is left alone at first; half as long again after each further failure
        breaker_cooldown_secs: u64 = 30, rule range(1, 3600), unit "s";
        /// Longest time it is left alone
        breaker_max_cooldown_secs: u64 = 300, rule range(1, 86_400), unit "s";
        /// Longest time until a paused destination is asked again; shorter by chance, up to a quarter
        paused_probe_secs: u64 = 300, rule range(1, 86_400), unit "s";
    }
}

choice! {
    /// Whether reports go compressed. A server that refuses one gets it plain at once, and no other compressed one until the next start.
    pub enum Gzip {
        /// Once an answer of the server has said that it takes them (`Accept-Encoding`).
        Auto = "auto",
        /// Never.
        Never = "never",
        /// Without asking.
        Always = "always",
    }
}

section! {
    /// The way to servers. The password is a secret: `waybill-agent secret set proxy.password`.
    pub struct Proxy on Destinations {
        /// Which proxy: `system` is what the environment of the agent, or Windows, says
        mode: ProxyMode = ProxyMode::System;
        /// Address of the proxy, for `mode = "manual"`
        url: Option<String> = None, rule http_url();
        /// Who logs in at the proxy; without it nobody does
        user: Option<String> = None, rule optional_text(200);
        /// Hosts that are reached without the proxy: names, `.domain`, addresses, networks as `10.0.0.0/8`
        bypass: Vec<String> = Vec::new(), rule hosts();
    }
}

choice! {
    /// Which proxy is used.
    pub enum ProxyMode {
        /// None, whatever the environment says.
        None = "none",
        /// That of the system.
        System = "system",
        /// The one given.
        Manual = "manual",
    }
}

section! {
    /// How servers prove who they are.
    pub struct Tls on Destinations {
        /// File with certificates (PEM) of authorities that are trusted besides those of the system
        ca_file: Option<PathBuf> = None, rule optional_path();
        /// Oldest version of TLS that is accepted
        min_version: TlsVersion = TlsVersion::Tls12;
    }
}

choice! {
    /// A version of TLS.
    pub enum TlsVersion {
        /// TLS 1.2
        Tls12 = "1.2",
        /// TLS 1.3
        Tls13 = "1.3",
    }
}

section! {
    /// How long things are kept. What was not sent is kept for ever.
    pub struct Retention on Settings {
        /// How long a sent report is kept for looking at
        sent_days: u64 = 7, rule range(0, 3650), unit "days";
        /// How long a report that a person gave up is kept, to be looked at or taken up again
        discarded_days: u64 = 90, rule range(0, 3650), unit "days";
        /// How long taken files stay in the done folders; without it for ever
        done_days: Option<u64> = None, rule some_days(), unit "days";
        /// How long broken files stay in the error folders; without it for ever
        error_days: Option<u64> = None, rule some_days(), unit "days";
    }
}

section! {
    /// Copies of the files that were taken, so that they can be sent again after a mapping changed: `waybill-agent reconvert`.
    pub struct Archive on Settings {
        /// Whether a compressed copy of each taken file is kept, whatever becomes of the file itself
        enabled: bool = false;
        /// Folder of the copies; without it `archive` in the data folder; a relative path starts at the configuration's folder
        folder: Option<PathBuf> = None, rule optional_path();
        /// How long copies are kept
        keep_days: u64 = 90, rule range(1, 36_500), unit "days";
        /// Space that all copies together may take; the oldest go first
        max_bytes: u64 = 10 * 1024 * 1024 * 1024, rule range(1024 * 1024, 1 << 50), unit "bytes";
    }
}

section! {
    /// The conversation with windows and command lines.
    pub struct Ipc on Settings {
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
        /// Changes that one connection may ask for in a minute
        changes_per_minute: u32 = 100, rule range(1, 10_000), unit "requests";
        /// How many of them may come at once
        changes_burst: u32 = 20, rule range(1, 10_000), unit "requests";
    }
}

section! {
    /// Who may do what. An engineer may change the configuration, an operator may act on reports, a viewer may look.
    pub struct Access on Settings {
        /// What the agent's own user may do without the PIN, once one is set
        without_pin: DefaultRole = DefaultRole::Operator;
        /// What members of the group `waybill` may do without the PIN (an agent of the machine only)
        group: DefaultRole = DefaultRole::Operator;
        /// How long the PIN opens the engineer's role, counted from the last use
        pin_minutes: u64 = 15, rule range(1, 1440), unit "min";
    }
}

choice! {
    /// What somebody may do without the PIN.
    pub enum DefaultRole {
        /// Look.
        Viewer = "viewer",
        /// Look, and act on reports and destinations.
        Operator = "operator",
    }
}

section! {
    /// How the agent watches itself.
    pub struct Health on Settings {
        /// How often the checks run
        interval_secs: u64 = 30, rule range(1, 3600), unit "s";
        /// Longest time for one check
        timeout_secs: u64 = 5, rule range(1, 60), unit "s";
        /// How often it is looked whether a task or thread of the agent has work to do and gets no further
        task_check_secs: u64 = 30, rule range(1, 300), unit "s";
        /// How long a piece of work may take without a sign of getting further; then a task is cancelled and started again, a thread is named, and after twice the time the agent ends to be started again if it cannot do without it
        task_stall_secs: u64 = 120, rule range(5, 3600), unit "s";
        /// Free space on the data folder's disk below which health is degraded
        disk_warn_bytes: u64 = 2 * 1024 * 1024 * 1024, rule range(0, 1 << 50), unit "bytes";
        /// Part of the data folder's disk below which health is degraded; what is more of this and `disk_warn_bytes` counts
        disk_warn_percent: u8 = 5, rule range(0, 50), unit "%";
        /// How long the oldest report may wait before its destination counts as degraded
        oldest_pending_minutes: u64 = 15, rule range(1, 10_080), unit "min";
    }
}

section! {
    /// The agent's log.
    pub struct Log on Settings {
        /// Least important lines that are written
        level: LogLevel = LogLevel::Info;
        /// Size at which a new log file is begun
        max_bytes: u64 = 10 * 1024 * 1024, rule range(64 * 1024, 1024 * 1024 * 1024), unit "bytes", restart "the log is opened first of all";
        /// Older log files that are kept
        max_files: u32 = 5, rule range(1, 100), unit "files", restart "the log is opened first of all";
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
    pub struct Shutdown on Settings {
        /// Longest time for work that has begun to end by itself
        drain_secs: u64 = 60, rule range(0, 300), unit "s";
        /// Longest time for cancelled work to let go
        cancel_secs: u64 = 60, rule range(1, 300), unit "s";
        /// Longest time for all of it; the other two are cut so that the queue can still be closed
        total_secs: u64 = 120, rule range(5, 600), unit "s";
    }
}

section! {
    /// The operator's window, for everybody who uses this station.
    pub struct Window on Settings {
        /// Light or dark
        theme: WindowTheme = WindowTheme::System;
        /// Size of everything
        zoom_percent: u32 = 100, rule range(50, 300), unit "%";
    }
}

choice! {
    /// Light or dark.
    pub enum WindowTheme {
        /// As the desktop has it.
        System = "system",
        /// Light.
        Light = "light",
        /// Dark.
        Dark = "dark",
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
all_default!(Config, Station, Convert, Queue, Upload, Proxy, Tls, Retention, Archive, Ipc, Access, Health, Log, Shutdown, Window);

impl Convert {
    /// Files read at the same time.
    #[must_use]
    pub fn worker_count(&self) -> u32 {
        self.workers.unwrap_or_else(|| {
            let processors = std::thread::available_parallelism().map_or(2, usize::from);
            u32::try_from(processors).unwrap_or(10).clamp(2, 10)
        })
    }
}
