//! A folder on this machine: the embedded default, which needs no server.
//!
//! `<start date of the test, UTC>/<serial>_<report id>.json`; the same report again replaces its file. File and folder are fsynced before a
//! report counts as sent. The disk's work is done by threads of its own, never by the tasks that wait for it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::oneshot;
use uuid::Uuid;
use waybill_ipc::protocol::DestinationTest;
use waybill_shared::config::Upload;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::atomic::{self, Access};
use waybill_shared::fs::{folder, sync_folder};
use waybill_shared::text::{self, file_name_component};

use super::{Delivered, Delivery, Depth, Destination, Parcel, Testing, call_limit, millis};
use crate::supervisor;
use crate::upload::verdict::Verdict;

/// Threads that write; more only wait for the same disk.
const THREADS: u32 = 4;

enum Job {
    Write(Parcel, oneshot::Sender<Delivered>),
    Probe(oneshot::Sender<std::io::Result<()>>),
}

/// A destination of kind `folder`.
pub struct Folder {
    name: String,
    folder: PathBuf,
    test_limit: Duration,
    // A test that hangs on a dead disk goes on after its caller has gone: no second one may take the room of a delivery.
    testing: Arc<AtomicBool>,
    jobs: Option<crossbeam_channel::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Folder {
    /// Starts its threads.
    ///
    /// # Errors
    /// The OS gives no thread.
    pub fn start(name: &str, folder: PathBuf, upload: &Upload) -> Result<Self, ErrorReport> {
        // As many deliveries as may be under way, and one test.
        let (jobs, waiting) = crossbeam_channel::bounded::<Job>(upload.concurrency as usize + 1);
        let testing = Arc::new(AtomicBool::new(false));
        let threads = (1..=upload.concurrency.min(THREADS))
            .map(|number| {
                let (waiting, folder, testing) = (waiting.clone(), folder.clone(), Arc::clone(&testing));
                supervisor::spawn(&format!("folder-{name}-{number}"), move || {
                    for job in waiting {
                        match job {
                            Job::Write(parcel, told) => {
                                let _nobody_waits = told.send(write(&folder, &parcel));
                            }
                            Job::Probe(told) => {
                                let found = probe(&folder);
                                testing.store(false, Ordering::Release);
                                let _nobody_waits = told.send(found);
                            }
                        }
                    }
                })
            })
            .collect::<std::io::Result<_>>()
            .map_err(|error| ErrorReport::new(Code::Internal, format!("no thread for the folder: {error}")))?;
        Ok(Self { name: name.to_owned(), folder, test_limit: call_limit(upload), testing, jobs: Some(jobs), threads })
    }

    fn send(&self, job: Job) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok())
    }

    /// Probes the folder on one of its threads: whether it is well, and a sentence.
    async fn look(&self) -> (bool, String) {
        let place = text::path(&self.folder);
        if self.testing.swap(true, Ordering::AcqRel) {
            return (false, format!("The last test of {place} has not ended yet: its disk or share does not answer."));
        }
        let (told, answer) = oneshot::channel();
        if !self.send(Job::Probe(told)) {
            self.testing.store(false, Ordering::Release);
            return (false, format!("{place} cannot be tested now: its writers are busy."));
        }
        match tokio::time::timeout(self.test_limit, answer).await {
            Ok(Ok(Ok(()))) => (true, format!("Reports can be written to {place}.")),
            Ok(Ok(Err(error))) => {
                (false, format!("{place} cannot be written: {error}. {}.", Code::DestinationFolderFailed.fix()))
            }
            Ok(Err(_)) => (false, format!("{place} could not be tested: its writer ended.")),
            Err(_) => {
                (false, format!("{place} does not answer within {} s. Check its disk or share.", self.test_limit.as_secs()))
            }
        }
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
            if !self.send(Job::Write(parcel, told)) {
                return Err(down("its writers are busy"));
            }
            answer.await.unwrap_or_else(|_| Err(down("its writer ended")))
        })
    }
    fn test(&self, _depth: Depth) -> Testing<'_> {
        Box::pin(async move {
            let started = Instant::now();
            let (ok, message) = self.look().await;
            Ok(DestinationTest {
                destination: self.name.clone(),
                ok,
                status: None,
                latency_ms: millis(started.elapsed()),
                server: None,
                message: text::printable(&message, 4000),
                clock_skew_secs: None,
                certificate: None,
            })
        })
    }
}

/// Makes the folder if it is not there, and writes, secures and removes a file in it.
fn probe(place: &Path) -> std::io::Result<()> {
    folder::create(place)?;
    let path = place.join(format!(".waybill-test-{}", Uuid::new_v4()));
    let written = std::fs::File::create_new(&path).and_then(|mut file| {
        file.write_all(b"Waybill tests whether it may write here.\n")?;
        file.sync_all()
    });
    match written {
        Ok(()) => std::fs::remove_file(&path).and_then(|()| sync_folder(place)),
        Err(error) => {
            // It may not even be there.
            let _removed = std::fs::remove_file(&path);
            Err(error)
        }
    }
}

fn write(folder: &Path, parcel: &Parcel) -> Delivered {
    let day = folder.join(start_date(parcel));
    let path = day.join(format!("{}_{}.json", file_name_component(&parcel.serial, 100), parcel.report_id));
    if std::fs::read(&path).is_ok_and(|known| *known != *parcel.body) {
        tracing::warn!(event = "report_replaced", correlation_id = %parcel.correlation_id, report_id = %parcel.report_id, path = %path.display(),
            "a report of the same id with another content is replaced");
    }
    // What a power cut leaves of it is removed when it is sent again.
    let mark = format!("{}-{}", parcel.correlation_id, parcel.report_id);
    let written = folder::create(&day).and_then(|()| atomic::replace_by(&path, &parcel.body, Access::Usual, &mark));
    match written {
        Ok(()) => Ok(waybill_shared::text::path(&path)),
        Err(error) => {
            let message = format!("{} cannot be written: {error}", path.display());
            Err(Verdict::DestinationDown { error: ErrorReport::new(Code::DestinationFolderFailed, message) })
        }
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
            body: body.as_bytes().to_vec().into(),
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
