//! What is in a bundle, and how it is packed.

use std::fmt::Write as _;
use std::io::{self, Cursor, Write as _};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use waybill_ipc::Endpoint;
use waybill_ipc::protocol::PROTOCOL;
use waybill_shared::config::compare::flat;
use waybill_shared::error::ErrorReport;
use waybill_shared::paths::Instance;
use waybill_shared::secret::{Secret, redacted};
use waybill_shared::text;

use super::Known;
use super::facts::{Facts, HISTORY_ROWS, LOG_BYTES, Part};
use crate::agent::Active;
use crate::history::csv;

/// Most bytes that go into a bundle, before they are packed.
pub(super) const MOST_BYTES: usize = 50 * 1024 * 1024;
/// Most bytes of one file of it; the log's redacted lines can be a little longer than they were.
const MOST_OF_ONE: usize = 6 * 1024 * 1024;

const README: &str = "\
This bundle was made by `waybill-agent diagnose`, for whoever looks for a fault.

Secrets (tokens, passwords, the PIN) are not in it: their values are left out where they are known, and what looks like one is replaced
by ***. Please look through it all the same before you give it away: it holds names of folders, files, users, servers and units.
";

/// What each file is.
const CONTENT: &[(&str, &str)] = &[
    ("findings.txt", "what looks wrong"),
    ("versions.json", "versions of the program and the system, and whose agent it is"),
    ("config.toml", "the configuration that is in use"),
    ("config-file.toml", "the configuration file that lies there, if it is another one"),
    ("config-effective.json", "all values that are set; of those that are not set by the file, who sets them"),
    ("backups.json", "configurations that were accepted before"),
    ("status.json", "where everything stood"),
    ("health.json", "what the health checks found"),
    ("queue.json", "how many reports are in the queue, by destination and state; times are milliseconds since 1970 UTC"),
    ("history.csv", "who did what, the newest first"),
    ("history.json", "the same"),
    ("agent.log", "the newest lines of the log"),
    (
        "watchdog.json",
        "what the watchdog knew, if there is one: state, last restarts with their reasons, measurements of the agent",
    ),
    ("watchdog.log", "the newest lines of its log"),
    ("folders.txt", "names, sizes and permissions of the files of the data folder; not what is in them"),
    ("secrets.json", "which secrets are needed and where they are; not what they are"),
    ("environment.txt", "names of the variables of the environment that concern Waybill; not what they hold"),
];

/// A zip in the making.
struct Bundle<'a> {
    zip: zip::ZipWriter<Cursor<Vec<u8>>>,
    secrets: &'a [Secret],
    left: usize,
    /// Files that are not there or were cut, and why.
    notes: Vec<String>,
}

/// Packs everything. In memory: it is bounded, and the disk may be what is wrong.
pub(super) fn pack(
    instance: &Instance,
    facts: &Facts,
    known: &Known,
    why: Option<&ErrorReport>,
    findings: &[String],
    secrets: &[Secret],
    at: Timestamp,
) -> io::Result<Vec<u8>> {
    let zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut bundle = Bundle { zip, secrets, left: MOST_BYTES, notes: Vec::new() };
    let none =
        why.map_or_else(|| "the agent did not give it".to_owned(), |why| format!("the agent was not asked: {}", why.message));
    bundle.text("findings.txt", &findings_text(findings))?;
    bundle.json("versions.json", &Ok(versions(instance, at)))?;
    bundle.config(facts)?;
    bundle.json("backups.json", &facts.backups)?;
    bundle.json("status.json", &known.snapshot.as_ref().ok_or_else(|| none.clone()))?;
    bundle.json("health.json", &known.health.as_ref().ok_or(none))?;
    bundle.json(
        "queue.json",
        &match &facts.queue {
            Ok(Some(queue)) => Ok(queue),
            Ok(None) => Err("there is no queue yet".to_owned()),
            Err(reason) => Err(reason.clone()),
        },
    )?;
    bundle.history(facts)?;
    bundle.part("agent.log", facts.log.as_deref())?;
    bundle.watchdog(facts)?;
    bundle.part("folders.txt", facts.folders.as_ref().map(|folders| folders.listing.as_str()))?;
    bundle.json("secrets.json", &facts.secrets)?;
    bundle.text("environment.txt", &environment())?;
    bundle.finish(at)
}

impl Bundle<'_> {
    /// A file of the bundle. It is redacted line by line, so that nothing that one line holds takes others along.
    fn text(&mut self, name: &str, content: &str) -> io::Result<()> {
        let room = MOST_OF_ONE.min(self.left);
        let mut safe = String::with_capacity(content.len().min(room));
        for line in content.split_inclusive('\n') {
            let line = redacted(line, self.secrets);
            if safe.len() + line.len() > room {
                self.notes.push(format!("{name} was cut: only its first {} bytes are here", safe.len()));
                break;
            }
            safe.push_str(&line);
        }
        self.left -= safe.len();
        self.file(name, &safe)
    }

    fn file(&mut self, name: &str, content: &str) -> io::Result<()> {
        let options =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated).unix_permissions(0o600);
        self.zip.start_file(name, options).map_err(io::Error::other)?;
        self.zip.write_all(content.as_bytes())
    }

    fn part(&mut self, name: &str, part: Result<&str, &String>) -> io::Result<()> {
        match part {
            Ok(content) => self.text(name, content),
            Err(reason) => {
                self.missing(name, reason);
                Ok(())
            }
        }
    }

    fn json<T: Serialize>(&mut self, name: &str, part: &Part<T>) -> io::Result<()> {
        match part {
            Ok(value) => self.text(name, &format!("{}\n", serde_json::to_string_pretty(value).map_err(io::Error::other)?)),
            Err(reason) => {
                self.missing(name, reason);
                Ok(())
            }
        }
    }

    fn missing(&mut self, name: &str, reason: &str) {
        self.notes.push(format!("{name} is not here: {}", text::printable(&redacted(reason, self.secrets), 1000)));
    }

    fn config(&mut self, facts: &Facts) -> io::Result<()> {
        self.part("config.toml", facts.config.as_ref().map(|active| active.text.as_str()))?;
        let in_use = facts.config.as_ref().ok().map(|active| active.text.as_str());
        match &facts.config_file {
            Ok(Some(there)) if Some(there.as_str()) != in_use => self.text("config-file.toml", there)?,
            Ok(_) => {}
            Err(reason) => self.missing("config-file.toml", reason),
        }
        let effective = facts.config.as_ref().map(effective).map_err(Clone::clone);
        self.json("config-effective.json", &effective)
    }

    /// Nothing is said of a watchdog that never was.
    fn watchdog(&mut self, facts: &Facts) -> io::Result<()> {
        match &facts.watchdog {
            Ok(watchdog) => {
                for (name, content) in [("watchdog.json", &watchdog.record), ("watchdog.log", &watchdog.log)] {
                    if let Some(content) = content {
                        self.text(name, content)?;
                    }
                }
            }
            Err(reason) => self.missing("watchdog.json", reason),
        }
        Ok(())
    }

    fn history(&mut self, facts: &Facts) -> io::Result<()> {
        match &facts.history {
            Ok(rows) => {
                let mut table = Vec::new();
                csv::write_header(&mut table)?;
                csv::write_rows(&mut table, rows)?;
                self.text("history.csv", &String::from_utf8_lossy(&table))?;
                // One entry a line: cut, it is still readable.
                let lines: Result<Vec<String>, _> = rows.iter().map(serde_json::to_string).collect();
                let list = lines.map_err(io::Error::other)?.join(",\n");
                self.text("history.json", &format!("[\n{list}\n]\n"))
            }
            Err(reason) => {
                self.missing("history.csv", reason);
                Ok(())
            }
        }
    }

    /// Last of all, because it says what is not there.
    fn finish(mut self, at: Timestamp) -> io::Result<Vec<u8>> {
        let mut readme = format!("{README}\nMade at {at:.0}.\n\n");
        for (name, what) in CONTENT {
            // A String takes everything.
            let _infallible = writeln!(readme, "{name:<22} {what}");
        }
        let _infallible = writeln!(
            readme,
            "\nOf each log, the newest {} MiB are here; of the history, the newest {HISTORY_ROWS} entries.",
            LOG_BYTES >> 20
        );
        for note in &self.notes {
            let _infallible = writeln!(readme, "NOTE: {note}");
        }
        self.file("README.txt", &readme)?;
        Ok(self.zip.finish().map_err(io::Error::other)?.into_inner())
    }
}

fn findings_text(findings: &[String]) -> String {
    match findings {
        [] => "nothing looks wrong\n".to_owned(),
        found => found.iter().map(|finding| format!("- {finding}\n")).collect(),
    }
}

fn versions(instance: &Instance, at: Timestamp) -> Value {
    let environment = match () {
        () if cfg!(target_env = "msvc") => "msvc",
        () if cfg!(target_env = "gnu") => "gnu",
        () if cfg!(target_env = "musl") => "musl",
        () => "",
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": PROTOCOL,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "target_env": environment,
        "debug_build": cfg!(debug_assertions),
        "instance": instance.name,
        "scope": instance.scope.as_str(),
        "config": text::path(&instance.config),
        "data": text::path(&instance.data),
        "endpoint": Endpoint::of(instance).name(),
        "at": format!("{at:.3}"),
    })
}

fn effective(active: &Active) -> Value {
    let effective = &active.effective;
    let origins: std::collections::BTreeMap<&String, String> =
        effective.origins.iter().map(|(place, origin)| (place, origin.to_string())).collect();
    json!({
        "revision": active.revision,
        "configured": active.configured,
        "values": flat(&effective.tree),
        "set_by_others": origins,
    })
}

/// Names, and nothing of what they hold.
fn environment() -> String {
    let mut names: Vec<String> = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| name.to_ascii_uppercase().starts_with("WAYBILL_"))
        .map(|name| text::printable(&name, 200))
        .collect();
    names.sort();
    names.iter().map(|name| format!("{name}\n")).collect()
}
