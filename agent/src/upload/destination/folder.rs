//! A folder on this machine: the embedded default, which needs no server.
//!
//! `<start date of the test, UTC>/<serial>_<report id>.json`; the same report again replaces its file. File and folder are fsynced before a
//! report counts as sent. The disk's work is done by threads of its own, never by the tasks that wait for it.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::oneshot;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::{atomic, sync_folder};
use waybill_shared::text::file_name_component;

use super::{Delivered, Delivery, Destination, Parcel};
use crate::upload::verdict::Verdict;

/// Threads that write; more only wait for the same disk.
const THREADS: u32 = 4;

type Job = (Parcel, oneshot::Sender<Delivered>);

/// A destination of kind `folder`.
pub struct Folder {
    folder: PathBuf,
    jobs: Option<crossbeam_channel::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Folder {
    /// Starts its threads.
    ///
    /// # Errors
    /// The OS gives no thread.
    pub fn start(name: &str, folder: PathBuf, concurrency: u32) -> Result<Self, ErrorReport> {
        let (jobs, waiting) = crossbeam_channel::bounded::<Job>(concurrency as usize);
        let threads = (1..=concurrency.min(THREADS))
            .map(|number| {
                let (waiting, folder) = (waiting.clone(), folder.clone());
                std::thread::Builder::new().name(format!("folder-{name}-{number}")).spawn(move || {
                    for (parcel, told) in waiting {
                        let _nobody_waits = told.send(write(&folder, &parcel));
                    }
                })
            })
            .collect::<std::io::Result<_>>()
            .map_err(|error| ErrorReport::new(Code::Internal, format!("no thread for the folder: {error}")))?;
        Ok(Self { folder, jobs: Some(jobs), threads })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(event = "folder_thread_died", "a thread of a folder destination ended with a panic");
            }
        }
    }
}

impl Destination for Folder {
    fn address(&self) -> String {
        waybill_shared::text::path(&self.folder)
    }
    fn accepted_before(&self) {}
    fn deliver(&self, parcel: Parcel) -> Delivery<'_> {
        Box::pin(async move {
            let down = |why: &str| Verdict::DestinationDown { error: ErrorReport::new(Code::DestinationFolderFailed, why) };
            let (told, answer) = oneshot::channel();
            let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.try_send((parcel, told)).is_ok());
            if !sent {
                return Err(down("its writers are busy"));
            }
            answer.await.unwrap_or_else(|_| Err(down("its writer ended")))
        })
    }
}

fn write(folder: &Path, parcel: &Parcel) -> Delivered {
    let day = folder.join(start_date(parcel));
    let path = day.join(format!("{}_{}.json", file_name_component(&parcel.serial, 100), parcel.report_id));
    if std::fs::read(&path).is_ok_and(|known| *known != *parcel.body) {
        tracing::warn!(event = "report_replaced", correlation_id = %parcel.correlation_id, report_id = %parcel.report_id, path = %path.display(),
            "a report of the same id with another content is replaced");
    }
    let written = make_folder(&day).and_then(|()| atomic::replace(&path, &parcel.body));
    match written {
        Ok(()) => Ok(waybill_shared::text::path(&path)),
        Err(error) => {
            let message = format!("{} cannot be written: {error}", path.display());
            Err(Verdict::DestinationDown { error: ErrorReport::new(Code::DestinationFolderFailed, message) })
        }
    }
}

/// Makes a folder with its parents, durably.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = atomic::folder_of(folder);
    make_folder(&parent)?;
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(&parent),
    }
}

/// The day on which the test began, in UTC; the day it was queued if the report does not say.
fn start_date(parcel: &Parcel) -> String {
    #[derive(Deserialize)]
    struct Times {
        start: Option<String>,
        #[serde(rename = "startUTC")]
        start_utc: Option<String>,
    }
    let start = serde_json::from_slice::<Times>(&parcel.body)
        .ok()
        .and_then(|times| times.start.or(times.start_utc))
        .and_then(|start| start.parse::<Timestamp>().ok())
        .or_else(|| Timestamp::from_millisecond(parcel.queued_at_ms).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH);
    start.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_shared::id::{CorrelationId, ReportId};

    fn parcel(serial: &str, body: &str) -> Parcel {
        Parcel {
            report_id: ReportId::from_bytes([1; 16]),
            correlation_id: CorrelationId::new(),
            serial: serial.to_owned(),
            queued_at_ms: 0,
            body: body.as_bytes().into(),
        }
    }

    #[test]
    fn the_same_report_replaces_its_file_and_a_serial_number_is_no_path() {
        let folder = tempfile::tempdir().unwrap();
        let body = r#"{"start":"2026-01-30T00:30:00+01:00"}"#;
        let first = write(folder.path(), &parcel("../SN/1", body)).unwrap();
        let second = write(folder.path(), &parcel("../SN/1", body)).unwrap();
        assert_eq!(first, second);
        let path = Path::new(&first);
        assert!(path.ends_with("2026-01-29/_._SN_1_01010101-0101-0101-0101-010101010101.json"), "{first}");
        assert_eq!(std::fs::read_to_string(path).unwrap(), body);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_the_destinations_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        atomic::replace(&file, b"x").unwrap();
        assert!(matches!(write(&file, &parcel("1", "{}")), Err(Verdict::DestinationDown { .. })));
    }
}
