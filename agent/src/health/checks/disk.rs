//! The disk of the data folder: room for what comes, and a file that is really written.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waybill_shared::config::Config;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::atomic::TEMPORARY_PREFIX;
use waybill_shared::fs::{free_space, retry_sharing};
use waybill_shared::text;

use super::blocking::Threads;
use crate::health::{Check, Finding};

/// Room on a disk: so many bytes, and so many percent of the whole; what is more counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes.
    pub bytes: u64,
    /// Percent of the disk.
    pub percent: u8,
}

/// Room that should be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Degraded with less.
    pub degraded: Room,
    /// Unhealthy with less.
    pub unhealthy: Room,
}

const GIB: u64 = 1024 * 1024 * 1024;

impl Limits {
    /// Those of a configuration: with less than the queue leaves free nothing is taken, which is no health.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let (health, queue) = (&config.health, &config.queue);
        Self {
            degraded: Room { bytes: health.disk_warn_bytes, percent: health.disk_warn_percent },
            unhealthy: Room { bytes: queue.min_free_bytes, percent: queue.min_free_percent },
        }
    }
}

impl Room {
    /// Bytes of a disk that has `total`.
    #[must_use]
    pub fn of(self, total: u64) -> u64 {
        self.bytes.max(total / 100 * u64::from(self.percent))
    }
}

/// The check `disk` of the data folder.
///
/// # Errors
/// The OS gives no thread.
pub fn check(folder: PathBuf, limits: Limits, threads: &Threads) -> io::Result<Check> {
    let thread = threads.of("disk", &text::path(&folder))?;
    let run = move || {
        let (thread, folder) = (Arc::clone(&thread), folder.clone());
        async move { thread.run(move || look(&folder, &limits)).await }
    };
    Ok(Check::new("disk", run).critical().cheap().code(Code::DataFolderUnavailable))
}

fn look(folder: &Path, limits: &Limits) -> Finding {
    if let Err(error) = write_probe(folder) {
        let message = format!("nothing can be written to {}: {error}", text::path(folder));
        return Finding::unhealthy(ErrorReport::new(Code::DataFolderUnavailable, message));
    }
    match free_space(folder) {
        Ok((_, 0)) => Finding::healthy(format!("{} can be written; its disk does not tell its size", text::path(folder))),
        Ok((free, total)) => judge(free, total, limits, &text::path(folder)).with("free_bytes", free).with("total_bytes", total),
        Err(error) => {
            let message = format!("{} can be written; how much room it has cannot be read: {error}", text::path(folder));
            Finding::degraded(&message).because(ErrorReport::new(Code::DataFolderUnavailable, message))
        }
    }
}

/// A file is made, written through to the disk and removed. Its name is always the same, so that a crash leaves one at most.
fn write_probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!("{TEMPORARY_PREFIX}health"));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = (|| {
        let mut file = File::create_new(&path)?;
        file.write_all(&[0x57; 512])?;
        file.sync_all()
    })();
    let removed = retry_sharing(|| std::fs::remove_file(&path));
    written.and(removed)
}

fn judge(free: u64, total: u64, limits: &Limits, folder: &str) -> Finding {
    let message = format!("{} of {} are free on the disk of {folder}", size(free), size(total));
    let low = |room: Room| {
        let message = format!("{message}; {} should be", size(room.of(total)));
        ErrorReport::new(Code::DataFolderUnavailable, message)
            .with_fix("Free space on this disk; files stay in their folders when it is full, and nothing is lost")
    };
    if free < limits.unhealthy.of(total) {
        return Finding::unhealthy(low(limits.unhealthy));
    }
    if free < limits.degraded.of(total) {
        let error = low(limits.degraded);
        return Finding::degraded(error.message.clone()).because(error);
    }
    Finding::healthy(message)
}

#[allow(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
fn size(bytes: u64) -> String {
    match bytes {
        ..GIB => format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0)),
        _ => format!("{:.1} GiB", bytes as f64 / GIB as f64),
    }
}

#[cfg(test)]
mod tests {
    use waybill_ipc::protocol::HealthState::{Degraded, Healthy, Unhealthy};

    use super::*;

    #[test]
    fn the_larger_of_bytes_and_percent_counts() {
        let cases = [
            (3 * GIB, 20 * GIB, Healthy),
            (2 * GIB - 1, 20 * GIB, Degraded),
            (GIB - 1, 20 * GIB, Unhealthy),
            (60 * GIB, 1000 * GIB, Healthy),
            (49 * GIB, 1000 * GIB, Degraded),
            (19 * GIB, 1000 * GIB, Unhealthy),
        ];
        for (free, total, state) in cases {
            let finding = judge(free, total, &Limits::of(&Config::default()), "/data");
            assert_eq!(
                (finding.state, finding.error.is_some()),
                (state, state != Healthy),
                "{free} of {total}: {}",
                finding.message
            );
        }
    }

    #[tokio::test]
    async fn a_good_disk_is_measured_and_nothing_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let none = Room { bytes: 0, percent: 0 };
        let check = check(folder.path().to_owned(), Limits { degraded: none, unhealthy: none }, &Threads::default()).unwrap();
        // As a crash in the middle of the probe.
        std::mem::drop(File::create_new(folder.path().join(format!("{TEMPORARY_PREFIX}health"))).unwrap());
        let finding = (check.run)().await.unwrap();
        assert_eq!(finding.state, Healthy, "{}", finding.message);
        assert!(finding.values.iter().any(|(name, value)| name == "free_bytes" && value.parse::<u64>().is_ok()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_unhealthy_and_tells_no_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let check = check(folder.path().join("gone"), Limits::of(&Config::default()), &Threads::default()).unwrap();
        let finding = (check.run)().await.unwrap();
        assert_eq!((finding.state, finding.usable), (Unhealthy, false));
        assert_eq!(finding.error.unwrap().code, Code::DataFolderUnavailable);
        assert!(finding.values.is_empty());
    }
}
