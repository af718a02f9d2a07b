//! A disk that fails on request, and that loses what was not synced when the power goes (Linux).
//!
//! The agent runs as it is shipped; a small library (`disk.c`, built with the C compiler) stands between it and the kernel and counts each call that
//! changes a file of the station. Such a call is a *point*. A test lets the power go before any point, or makes calls fail with an error of
//! its choice and lets them work again.

mod mounted;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Station;
pub use mounted::Mounted;

/// What a power cut takes of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lose {
    /// Nothing: the process is killed, the machine goes on.
    Nothing,
    /// All of it.
    All,
    /// For each file and each folder by chance: nothing, all, or what came after some moment.
    ByChance(u64),
}

const LIBRARY: &str = "disk.so";

/// A point of a run: the number among those whose call and path begin so, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// `sync data/queue.db-wal`, `create data/spool/`.
    pub begins: String,
    /// 1 is the first of them.
    pub number: usize,
}

impl Point {
    /// One that no run reaches.
    #[must_use]
    pub fn never() -> Self {
        Self { begins: "never".to_owned(), number: 1 }
    }

    /// The points of a log.
    #[must_use]
    pub fn all_of(log: &[String]) -> Vec<Self> {
        let of = |(at, line): (usize, &String)| {
            let begins = same_in_each_run(line).to_owned();
            Self { number: log[..=at].iter().filter(|other| other.starts_with(&begins)).count(), begins }
        };
        log.iter().enumerate().map(of).collect()
    }
}

/// The part of a call and its path before the first name that is made up anew in each run.
fn same_in_each_run(line: &str) -> &str {
    let mut at = 0;
    for part in line.split_inclusive('/') {
        if part.contains(|c: char| c.is_ascii_digit()) {
            // `.waybill-tmp-` is worth being told from other names.
            let kind = part.starts_with(".waybill-").then(|| part.match_indices('-').nth(1)).flatten();
            return &line[..at + kind.map_or(0, |(dash, _)| dash + 1)];
        }
        at += part.len();
    }
    line
}

/// The disk under one station.
pub struct Disk {
    station: PathBuf,
    // Beside the station, on its file system.
    own: TempDir,
}

impl Disk {
    /// Of this station. What runs without [`Disk::under`] works on the disk as it is.
    #[must_use]
    pub fn of(station: &Station) -> Self {
        let beside = station.folder().parent().expect("a station lies in a folder");
        let own = tempfile::Builder::new().prefix("waybill-disk-").tempdir_in(beside).expect("a temporary folder");
        std::fs::create_dir(own.path().join("grave")).expect("a folder");
        build(own.path());
        Self { station: station.folder().to_owned(), own }
    }

    /// Lets a command work on this disk.
    pub fn under(&self, command: &mut Command) {
        let mut folder = OsString::from(&self.station);
        folder.push("/");
        command
            .env("LD_PRELOAD", self.own.path().join(LIBRARY))
            .env("DISK_FOLDER", folder)
            .env("DISK_GRAVE", self.own.path().join("grave"))
            .env("DISK_LOG", self.log())
            .env("DISK_FAULT", self.fault());
    }

    /// Lets a command work on this disk until the power goes before a point.
    pub fn cut(&self, command: &mut Command, point: &Point, lose: Lose) {
        let _none_yet = std::fs::remove_file(self.log());
        self.under(command);
        let lose = match lose {
            Lose::Nothing => "none".to_owned(),
            Lose::All => "all".to_owned(),
            Lose::ByChance(seed) => seed.to_string(),
        };
        command.env("DISK_CUT", format!("{} {}", point.number, point.begins)).env("DISK_LOSE", lose);
    }

    /// The points so far since the last [`Disk::cut`]: the call and the path below the station.
    #[must_use]
    pub fn points(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Calls on paths that hold `part` fail from now on with an error of the OS. The calls are letters: c create, w write, s sync,
    /// t truncate, m mkdir, n rename, u unlink, r read, o open for writing.
    pub fn fail(&self, errors: &[(i32, &str, &str)]) {
        let lines: String = errors.iter().map(|(code, calls, part)| format!("{code} {calls} {part}\n")).collect();
        let new = self.own.path().join("fault.new");
        std::fs::write(&new, lines).expect("the faults");
        std::fs::rename(new, self.fault()).expect("the faults");
    }

    /// Everything works again.
    pub fn heal(&self) {
        std::fs::remove_file(self.fault()).expect("it failed until now");
    }

    fn log(&self) -> PathBuf {
        self.own.path().join("points")
    }

    fn fault(&self) -> PathBuf {
        self.own.path().join("fault")
    }
}

/// Builds the library in a folder.
fn build(folder: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/disk/disk.c");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(folder.join(LIBRARY))
        .arg(&source)
        .arg("-lpthread")
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", compiler.display()));
    assert!(output.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
}
