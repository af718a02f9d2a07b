//! A bundle for whoever looks for a fault, and what looks wrong, in words.
//!
//! # What it owns
//! The zip files in the `diagnostics` folder, of which the five newest are kept. Everything else it only reads: the agent may run, hang or
//! be gone. It writes nothing anywhere else, except what a reader of SQLite leaves beside a database.
//!
//! # What always holds
//! - No secret is in a bundle: no file of the secrets folder is read into it, the values of variables are not, and every text passes
//!   [`waybill_shared::secret::redacted`] with all secrets that are known.
//! - It is there within [`LONGEST`], whatever hangs: each part is read on a thread of its own ([`facts`]); a part that does not answer in
//!   time is named in the bundle, and its thread ends with the process at the latest.
//! - At most [`bundle::MOST_BYTES`] go in. What was cut says so.
//! - It is private, and it is there whole or not at all. What a crash leaves is a temporary file that the next bundle removes.

mod bundle;
mod facts;
mod findings;
mod queue;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waybill_ipc::protocol::{Diagnosis, HealthReport, Snapshot};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::atomic::{Access, Staged, TEMPORARY_PREFIX, folder_of};
use waybill_shared::fs::{private, sync_folder};
use waybill_shared::paths::Instance;
use waybill_shared::secret::{Secret, redacted};
use waybill_shared::text;

use self::facts::{Facts, Job};

/// Longest time for all of it.
pub const LONGEST: Duration = Duration::from_secs(30);
/// Longest time for reading what goes in.
const GATHER: Duration = Duration::from_secs(15);
/// Longest time for packing and writing it.
const SAVE: Duration = Duration::from_secs(10);
/// So many bundles of an instance are kept.
const KEEP: usize = 5;

/// What is known already.
pub struct Known {
    /// Where everything stands, if the agent runs.
    pub snapshot: Option<Snapshot>,
    /// How well everything is, if the agent runs.
    pub health: Option<HealthReport>,
    /// What must not be in the bundle, besides what is found here.
    pub secrets: Vec<Secret>,
}

/// Writes a bundle into the instance's own folder; for the agent. Blocking, for up to [`LONGEST`].
///
/// # Errors
/// It cannot be written.
pub fn write(instance: &Instance, known: &Known) -> Result<Diagnosis, ErrorReport> {
    compose(instance, known, None, None)
}

/// Writes a bundle from the files alone, into the instance's own folder or to `target`, which must not exist; for a command line that the
/// agent does not answer, for the reason `why`. Blocking, for up to [`LONGEST`].
///
/// # Errors
/// It cannot be written.
pub fn write_without_agent(instance: &Instance, why: &ErrorReport, target: Option<&Path>) -> Result<Diagnosis, ErrorReport> {
    let nothing = Known { snapshot: None, health: None, secrets: Vec::new() };
    compose(instance, &nothing, Some(why), target)
}

fn compose(
    instance: &Instance,
    known: &Known,
    why: Option<&ErrorReport>,
    target: Option<&Path>,
) -> Result<Diagnosis, ErrorReport> {
    let at = Timestamp::now();
    let facts = Facts::gather(instance, known.health.is_none(), Instant::now() + GATHER);
    let mut secrets = known.secrets.clone();
    secrets.extend(facts.known_secrets());
    let findings: Vec<String> = findings::of(&facts, known, why, at.as_millisecond())
        .iter()
        .map(|finding| text::printable(&redacted(finding, &secrets), 2000))
        .collect();
    let path = target.map_or_else(|| instance.diagnostics().join(file_name(instance, at)), Path::to_owned);
    let packed =
        bundle::pack(instance, &facts, known, why, &findings, &secrets, at).map_err(|error| not_written(&path, &error))?;
    // A thread, because the disk that is looked at may be the one that hangs.
    let (place, own) = (path.clone(), target.is_none());
    Job::start("diagnose-save", move || save(&place, &packed, own).map_err(|error| error.to_string()))
        .by(Instant::now() + SAVE)
        .map_err(|why| not_written(&path, &why))?;
    Ok(Diagnosis { bundle: path.to_string_lossy().into_owned(), findings })
}

fn not_written(path: &Path, why: &dyn std::fmt::Display) -> ErrorReport {
    let message = format!("the bundle {} cannot be written: {why}", text::path(path));
    ErrorReport::new(Code::DataFolderUnavailable, message)
        .with_fix("Check the folder's disk and permissions, or write it elsewhere: `waybill-agent diagnose --output FILE`")
}

fn prefix(instance: &Instance) -> String {
    format!("waybill-{}-", instance.name)
}

/// The names of one instance's bundles are in the order of time.
fn file_name(instance: &Instance, at: Timestamp) -> String {
    format!("{}{}.zip", prefix(instance), at.strftime("%Y%m%dT%H%M%S%3fZ"))
}

/// Puts a bundle in its place, private and whole; `own`: into the folder of bundles, where older ones go.
fn save(path: &Path, bytes: &[u8], own: bool) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of this name already"));
    }
    let folder = folder_of(path);
    if own {
        private::create_folder(&folder)?;
    }
    let mut staged = Staged::create(path, &folder.join(format!("{TEMPORARY_PREFIX}diagnose")), Access::Private)?;
    staged.write(bytes)?;
    staged.sync()?;
    staged.rename()?;
    sync_folder(&folder)?;
    if own {
        remove_older(&folder, path);
    }
    Ok(())
}

/// Leaves the newest of the bundles that are named alike. One that cannot be removed does no harm and is tried again with the next.
fn remove_older(folder: &Path, newest: &Path) {
    let name = newest.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(at) = name.rfind('-') else { return };
    let (alike, length) = (&name[..=at], name.len());
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let is_alike = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.len() == length && name.starts_with(alike) && name.ends_with(".zip")
    };
    let mut bundles: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_alike).collect();
    bundles.sort();
    for old in bundles.iter().rev().skip(KEEP) {
        if let Err(error) = std::fs::remove_file(old) {
            tracing::warn!(event = "old_bundle_stays", path = %old.display(), %error, "an old bundle cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests;
