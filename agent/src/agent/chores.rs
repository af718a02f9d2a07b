//! What has to be done from time to time: what was kept long enough goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use waybill_shared::config::Config;
use waybill_shared::fs::atomic;
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::Live;
use crate::archive::{self, retention::Removed};
use crate::desk::Desk;
use crate::intake::retention;
use crate::queue::{self, Command, Damage, Old, Places, Reader, Writer};

/// How often sent reports that were kept long enough are looked for.
const QUEUE_EVERY: Duration = Duration::from_secs(10);
/// How often all pages of the queue are looked at.
const CHECK_EVERY: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long after the start: what waits goes first.
const CHECK_AFTER: Duration = Duration::from_secs(5);
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

/// Sent reports go from the queue.
pub(super) async fn purge_queue(writer: Writer, live: Live) {
    loop {
        tokio::time::sleep(QUEUE_EVERY).await;
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
pub(super) async fn check_queue(places: Places, checked: PathBuf, damage: Arc<Damage>, clean: bool, desk: Desk) {
    let mut now = !clean;
    loop {
        let last = std::fs::metadata(&checked).and_then(|file| file.modified()).ok();
        let age = last.and_then(|last| last.elapsed().ok()).unwrap_or(CHECK_EVERY);
        if now || age >= CHECK_EVERY {
            now = false;
            tokio::time::sleep(CHECK_AFTER).await;
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
pub(super) async fn forget_files(reader: Reader, writer: Writer, desk: Desk) {
    loop {
        let mut after = 0;
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
            let gone = |(file, path): (i64, String)| (!Path::new(&path).exists()).then_some(file);
            let Ok(files) = desk.run(move || old.into_iter().filter_map(gone).collect::<Vec<i64>>()).await else { break };
            if !files.is_empty() && writer.send(Command::ForgetFiles { files }).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(FINGERPRINTS_EVERY).await;
    }
}

/// Files go from done and error folders. A folder that hangs holds up nothing but this.
pub(super) async fn purge_folders(live: Live, base: PathBuf, desk: Desk) {
    loop {
        for (folder, keep_days) in folders(&live.load().effective.config, &base) {
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
        tokio::time::sleep(FOLDERS_EVERY).await;
    }
}

/// Copies go from the archive that are old enough or too many; a thousand at a time, so that a stop never waits for all of them. What an
/// archive holds that is switched off goes as well, by and by.
pub(super) async fn purge_archive(live: Live, instance: Instance, base: PathBuf, desk: Desk) {
    loop {
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
