//! What has to be done from time to time: what was kept long enough goes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use waybill_shared::config::Config;
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::Live;
use crate::archive::{self, retention::Removed};
use crate::desk::Desk;
use crate::intake::retention;
use crate::queue::{Command, Writer};

/// How often sent reports that were kept long enough are looked for.
const QUEUE_EVERY: Duration = Duration::from_secs(10);
/// How often done and error folders are looked at.
const FOLDERS_EVERY: Duration = Duration::from_secs(3600);

/// How often the archive is looked at.
const ARCHIVE_EVERY: Duration = Duration::from_secs(600);

/// Sent reports go from the queue.
pub(super) async fn purge_queue(writer: Writer, live: Live) {
    loop {
        tokio::time::sleep(QUEUE_EVERY).await;
        let days = live.load().effective.config.retention.sent_days;
        let keep = SignedDuration::from_hours(i64::try_from(days).unwrap_or(3650) * 24);
        let Ok(before) = Timestamp::now().checked_sub(keep) else { continue };
        if writer.send(Command::Purge { before }).await.is_err() {
            return;
        }
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
