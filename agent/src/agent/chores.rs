//! What has to be done from time to time: what was kept long enough goes.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use waybill_ipc::protocol::Event;
use waybill_shared::config::Config;
use waybill_shared::error::ErrorReport;
use waybill_shared::fs::atomic;
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::Live;
use crate::archive::{self, retention::Removed};
use crate::desk::Desk;
use crate::intake::retention;
use crate::queue::{self, Command, Damage, Old, Places, Reader, Writer};
use crate::serve::hub::Hub;
use crate::supervisor::{Progress, Spec, Starts, Supervisor, Task};

/// How often sent reports that were kept long enough are looked for.
const QUEUE_EVERY: Duration = Duration::from_secs(10);
/// How often all pages of the queue are looked at.
const CHECK_EVERY: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long after the start: what waits goes first.
const CHECK_AFTER: Duration = Duration::from_secs(5);
/// How long that may take.
const CHECK_LONGEST: Duration = Duration::from_secs(3600);
/// How often it is asked whether it is time.
const CHECK_LOOK: Duration = Duration::from_secs(24 * 3600);
/// How often fingerprints are looked for that nobody needs any more.
const FINGERPRINTS_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How long the fingerprint of a file is kept at least.
const FINGERPRINT_DAYS: u64 = 400;
/// Fingerprints that are looked at together.
const FINGERPRINTS: u32 = 200;
/// How often done and error folders are looked at.
const FOLDERS_EVERY: Duration = Duration::from_secs(3600);

/// How often the archive is looked at.
const ARCHIVE_EVERY: Duration = Duration::from_secs(600);

/// When all pages of the queue were last looked at: a file in the data folder.
const CHECKED: &str = "queue.checked";

/// What the chores are done with.
pub(super) struct Parts {
    pub(super) instance: Instance,
    pub(super) live: Live,
    pub(super) hub: Hub,
    /// Where relative paths begin.
    pub(super) base: PathBuf,
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) damage: Arc<Damage>,
    /// False if the queue was not closed before.
    pub(super) clean: bool,
}

/// Starts all of them.
///
/// # Errors
/// The OS gives no thread.
pub(super) fn start(supervisor: &Supervisor, parts: Parts) -> Result<Vec<Task>, ErrorReport> {
    let Parts { instance, live, hub, base, reader, writer, damage, clean } = parts;
    let (retention, check, archive) = (Desk::open("retention")?, Desk::open("queue-check")?, Desk::open("archive")?);
    let chore = |name: &str| Spec::new(name, Starts::Itself);
    let checked = instance.data.join(CHECKED);
    let places = Places::of(&instance);
    let watched = supervisor.clone();
    Ok(vec![
        supervisor.task(Spec::new("supervisor", Starts::Itself).critical(), move |progress| {
            let watched = watched.clone();
            async move {
                watched.watch(&progress).await;
                Ok(())
            }
        }),
        supervisor.task(chore("state of the agent"), {
            let supervisor = supervisor.clone();
            move |_| done(tell_state(supervisor.clone(), hub.clone()))
        }),
        supervisor.task(chore("retention of the queue"), {
            let (writer, live) = (writer.clone(), Arc::clone(&live));
            move |progress| done(purge_queue(writer.clone(), Arc::clone(&live), progress))
        }),
        supervisor.task(chore("check of the queue").may_take(CHECK_LONGEST), move |progress| {
            done(check_queue(places.clone(), checked.clone(), Arc::clone(&damage), clean, check.clone(), progress))
        }),
        supervisor.task(chore("retention of fingerprints"), {
            let desk = retention.clone();
            move |progress| done(forget_files(reader.clone(), writer.clone(), desk.clone(), progress))
        }),
        supervisor.task(chore("retention of folders"), {
            let (live, base) = (Arc::clone(&live), base.clone());
            move |progress| done(purge_folders(Arc::clone(&live), base.clone(), retention.clone(), progress))
        }),
        supervisor.task(chore("retention of the archive"), move |progress| {
            done(purge_archive(Arc::clone(&live), instance.clone(), base.clone(), archive.clone(), progress))
        }),
    ])
}

/// A chore never ends: if it does, that is an early end.
async fn done(chore: impl Future<Output = ()>) -> Result<(), String> {
    chore.await;
    Ok(())
}

/// What is wrong with the agent as a whole goes to whoever looks at it.
async fn tell_state(supervisor: Supervisor, hub: Hub) {
    let mut error = supervisor.error();
    loop {
        let now = error.borrow_and_update().clone();
        if hub.with_snapshot(|snapshot| snapshot.agent.error != now) {
            hub.publish(Event::AgentError { error: now });
        }
        tokio::select! {
            changed = error.changed() => if changed.is_err() { return },
            // Who looks for stalls may be stalled.
            () = tokio::time::sleep(supervisor.check_every() * 2) => supervisor.look(),
        }
    }
}

/// Sent reports go from the queue.
async fn purge_queue(writer: Writer, live: Live, progress: Progress) {
    loop {
        tokio::time::sleep(QUEUE_EVERY).await;
        let _working = progress.work();
        let retention = live.load().effective.config.retention.clone();
        let now = Timestamp::now();
        let (Some(sent), Some(discarded)) = (before(now, retention.sent_days), before(now, retention.discarded_days)) else {
            continue;
        };
        if writer.send(Command::Purge { old: Old { sent, discarded } }).await.is_err() {
            return;
        }
    }
}

/// Looks at all pages of the queue: soon after a start that follows a kill or a power cut, and once a week.
async fn check_queue(places: Places, checked: PathBuf, damage: Arc<Damage>, clean: bool, desk: Desk, progress: Progress) {
    let mut now = !clean;
    loop {
        let last = std::fs::metadata(&checked).and_then(|file| file.modified()).ok();
        let age = last.and_then(|last| last.elapsed().ok()).unwrap_or(CHECK_EVERY);
        if now || age >= CHECK_EVERY {
            now = false;
            tokio::time::sleep(CHECK_AFTER).await;
            let _working = progress.work();
            let (places, damage, checked) = (places.clone(), Arc::clone(&damage), checked.clone());
            let looked = desk.run(move || {
                match queue::quick_check(&places) {
                    Ok(None) => tracing::info!(event = "queue_checked", "all pages of the queue are whole"),
                    Ok(Some(fault)) => damage.tell(&fault),
                    Err(error) => return tracing::warn!(event = "queue_not_checked", %error, "tried again tomorrow"),
                }
                if let Err(error) = atomic::replace_by(&checked, b"", atomic::Access::Private, "queue.checked") {
                    tracing::debug!(%error, "it is looked at again tomorrow");
                }
            });
            if let Err(error) = looked.await {
                tracing::warn!(event = "queue_not_checked", reason = error.message, "tried again tomorrow");
            }
        }
        tokio::time::sleep(CHECK_LOOK).await;
    }
}

fn before(now: Timestamp, days: u64) -> Option<Timestamp> {
    now.checked_sub(SignedDuration::from_hours(i64::try_from(days).unwrap_or(3650) * 24)).ok()
}

/// Fingerprints go of files that were taken long ago and are no more: they can answer nothing. Of files that are still there they stay.
async fn forget_files(reader: Reader, writer: Writer, desk: Desk, progress: Progress) {
    loop {
        let mut after = 0;
        let working = progress.work();
        while let Some(old) = before(Timestamp::now(), FINGERPRINT_DAYS) {
            let old = match reader.old_files(old.as_millisecond(), after, FINGERPRINTS).await {
                Ok(old) => old,
                Err(error) => {
                    tracing::debug!(%error, "old fingerprints are looked for again tomorrow");
                    break;
                }
            };
            let Some((last, _)) = old.last() else { break };
            after = *last;
            progress.beat();
            let gone = |(file, path): (i64, String)| (!Path::new(&path).exists()).then_some(file);
            let Ok(files) = desk.run(move || old.into_iter().filter_map(gone).collect::<Vec<i64>>()).await else { break };
            if !files.is_empty() && writer.send(Command::ForgetFiles { files }).await.is_err() {
                return;
            }
        }
        drop(working);
        tokio::time::sleep(FINGERPRINTS_EVERY).await;
    }
}

/// Files go from done and error folders. A folder that hangs holds up nothing but this.
async fn purge_folders(live: Live, base: PathBuf, desk: Desk, progress: Progress) {
    loop {
        let working = progress.work();
        for (folder, keep_days) in folders(&live.load().effective.config, &base) {
            progress.beat();
            let (looked, today) = (folder.clone(), Zoned::now().date());
            let purged = desk.run(move || retention::purge(&looked, keep_days, today).map_err(|error| error.to_string())).await;
            match purged.map_err(|error| error.message).and_then(|purged| purged) {
                Ok(removed) if removed == retention::Removed::default() => {}
                Ok(removed) => {
                    tracing::info!(event = "files_purged", folder = %folder.display(), files = removed.files, days = removed.days,
                    failed = removed.failed, keep_days, "files that were kept long enough were removed")
                }
                Err(error) => {
                    tracing::warn!(event = "files_not_purged", folder = %folder.display(), error, "tried again in an hour")
                }
            }
        }
        drop(working);
        tokio::time::sleep(FOLDERS_EVERY).await;
    }
}

/// Copies go from the archive that are old enough or too many; a thousand at a time, so that a stop never waits for all of them. What an
/// archive holds that is switched off goes as well, by and by.
async fn purge_archive(live: Live, instance: Instance, base: PathBuf, desk: Desk, progress: Progress) {
    loop {
        let working = progress.work();
        let config = live.load().effective.config.clone();
        let folder = archive::folder(&config, &instance, &base);
        let (keep_days, max_bytes) = (config.archive.keep_days, config.archive.max_bytes);
        let (looked, today) = (folder.clone(), Timestamp::now().to_zoned(TimeZone::UTC).date());
        let step =
            desk.run(move || archive::retention::step(&looked, keep_days, max_bytes, today).map_err(|error| error.to_string()));
        match step.await.map_err(|error| error.message).and_then(|removed| removed) {
            Ok(removed) => {
                if removed != Removed::default() {
                    tracing::info!(
                        event = "archive_purged",
                        folder = text::path(&folder),
                        files = removed.files,
                        bytes = removed.bytes,
                        failed = removed.failed,
                        keep_days,
                        max_bytes,
                        "copies that are too old or too many were removed"
                    );
                }
                if removed.more {
                    continue;
                }
            }
            Err(error) => {
                tracing::warn!(event = "archive_not_purged", folder = text::path(&folder), error, "tried again in some minutes");
            }
        }
        drop(working);
        tokio::time::sleep(ARCHIVE_EVERY).await;
    }
}

fn folders(config: &Config, base: &Path) -> Vec<(PathBuf, u64)> {
    let retention = &config.retention;
    let of = |source: &waybill_shared::config::Source| {
        let folder = base.join(&source.folder);
        let inside = |configured: &Option<PathBuf>, name: &str| {
            configured.as_ref().map_or_else(|| folder.join(name), |configured| base.join(configured))
        };
        let done = retention.done_days.map(|days| (inside(&source.done_folder, "done"), days));
        let error = retention.error_days.map(|days| (inside(&source.error_folder, "error"), days));
        [done, error]
    };
    config.source.iter().flat_map(of).flatten().collect()
}
