//! A source: its folder as it is now, and what its thread says of it.
//!
//! Whether files can be moved away is asked of the OS as a right ([`may_add_files`]) and not tried with a file: equipment and other programs
//! watch these folders too, and every new name there is an event for them, however it is called. The right is a hint (a disk can be full, a
//! file can be locked); what really fails at a file tells the source itself.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waybill_ipc::protocol::{FullBy, Snapshot, SourceState, SourceStatus};
use waybill_shared::config::After;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::may_add_files;
use waybill_shared::text;

use super::blocking::Threads;
use crate::health::{Check, Finding};

/// The check `source NAME`. `snapshot` gives where everything stands at this moment.
///
/// # Errors
/// The OS gives no thread.
pub fn check(
    name: &str,
    folder: PathBuf,
    after: After,
    threads: &Threads,
    snapshot: impl Fn() -> Snapshot + Send + Sync + 'static,
) -> io::Result<Check> {
    let thread = threads.of("source", &text::path(&folder))?;
    let snapshot = Arc::new(snapshot);
    let source = name.to_owned();
    let run = move || {
        let (thread, folder, snapshot, source) = (Arc::clone(&thread), folder.clone(), Arc::clone(&snapshot), source.clone());
        async move {
            let looked = thread.run(move || look(&folder, after, may_add_files)).await?;
            let snapshot = snapshot();
            let status = snapshot.sources.iter().find(|status| status.name == source);
            let full = snapshot.queue.full.then(|| snapshot.queue.full_by.unwrap_or(FullBy::Entries));
            Ok(judge(looked, status, full))
        }
    };
    Ok(Check::new(format!("source {name}"), run).cheap().code(Code::FolderUnavailable))
}

/// The folder is there, can be listed, and lets files go if they are to go.
fn look(folder: &Path, after: After, may_change: impl Fn(&Path) -> io::Result<()>) -> Result<(), ErrorReport> {
    let place = text::path(folder);
    let trouble = |what: String| ErrorReport::new(Code::FolderUnavailable, what);
    let metadata = std::fs::metadata(folder).map_err(|error| trouble(format!("the folder {place} cannot be used: {error}")))?;
    if !metadata.is_dir() {
        return Err(trouble(format!("{place} is not a folder")));
    }
    // One entry is enough: a folder may hold a hundred thousand.
    let first = std::fs::read_dir(folder).and_then(|mut entries| entries.next().transpose());
    first.map_err(|error| trouble(format!("the folder {place} cannot be read: {error}")))?;
    if after != After::Keep {
        may_change(folder).map_err(|error| {
            let what = format!("files cannot be put away (after = \"{}\"): {place} may not be changed: {error}", after.as_str());
            ErrorReport::new(Code::FolderUnavailable, what)
                .with_fix("Give the agent's user the right to change this folder, or set after = \"keep\"")
        })?;
    }
    Ok(())
}

fn judge(looked: Result<(), ErrorReport>, status: Option<&SourceStatus>, queue_full: Option<FullBy>) -> Finding {
    let Some(status) = status else {
        return Finding::unknown("the agent does not know this source");
    };
    let counted = |finding: Finding| finding.with("files_waiting", status.waiting).with("files_in_error", status.errors);
    if let Err(error) = looked {
        return counted(Finding::unhealthy(error));
    }
    counted(match (status.state, &status.error) {
        (SourceState::Unavailable, Some(error)) => Finding::unhealthy(error.clone()),
        (SourceState::Unavailable, None) => {
            let message = format!("the source could not use {} when it last tried", status.folder);
            Finding::unhealthy(ErrorReport::new(Code::FolderUnavailable, message))
        }
        (SourceState::Stopped, _) => Finding::degraded("not looked at any more, because the agent stops"),
        (SourceState::Disabled, _) => Finding::healthy("switched off in the configuration"),
        (SourceState::Paused, _) => full("not looked at while the queue is full", queue_full),
        (_, _) if queue_full.is_some() => full("files stay in their folder while the queue is full", queue_full),
        (_, Some(error)) => Finding::degraded(error.message.clone()).because(error.clone()),
        (SourceState::Starting, None) => Finding::unknown(format!("{} was not looked at yet", status.folder)),
        (SourceState::Watching, None) => Finding::healthy(format!("{} is watched", status.folder)),
    })
}

fn full(message: &str, by: Option<FullBy>) -> Finding {
    let error = ErrorReport::new(Code::QueueFull, message);
    Finding::degraded(message).because(match by {
        Some(FullBy::Disk) => {
            error.with_fix("Nothing is lost: files stay in their folder. Make room on the disk of the data folder")
        }
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use waybill_ipc::protocol::HealthState::{Degraded, Healthy, Unhealthy, Unknown};

    use super::*;
    use crate::health::tests::{snapshot, source_status};

    #[test]
    fn what_the_source_says_decides_when_its_folder_is_good() {
        let error = || Some(ErrorReport::new(Code::FolderClaimed, "already watched by another"));
        let cases = [
            (SourceState::Watching, None, false, Healthy, None),
            (SourceState::Watching, error(), false, Degraded, Some(Code::FolderClaimed)),
            (SourceState::Watching, None, true, Degraded, Some(Code::QueueFull)),
            (SourceState::Paused, None, true, Degraded, Some(Code::QueueFull)),
            (SourceState::Unavailable, error(), false, Unhealthy, Some(Code::FolderClaimed)),
            (SourceState::Unavailable, None, false, Unhealthy, Some(Code::FolderUnavailable)),
            (SourceState::Starting, None, false, Unknown, None),
            (SourceState::Stopped, None, false, Degraded, None),
        ];
        for (state, error, queue_full, expected, code) in cases {
            let status = SourceStatus { state, error, ..source_status("ict") };
            let finding = judge(Ok(()), Some(&status), queue_full.then_some(FullBy::Entries));
            assert_eq!((finding.state, finding.error.map(|e| e.code)), (expected, code), "{state:?}: {}", finding.message);
        }
        let broken = Err(ErrorReport::new(Code::FolderUnavailable, "gone"));
        assert_eq!(judge(broken, Some(&source_status("ict")), None).state, Unhealthy);
        assert_eq!(judge(Ok(()), None, None).state, Unknown);
        let by_the_disk = judge(Ok(()), Some(&source_status("ict")), Some(FullBy::Disk)).error.unwrap();
        assert!(by_the_disk.fix.contains("room on the disk"), "{}", by_the_disk.fix);
    }

    #[test]
    fn a_folder_that_may_not_be_changed_is_good_only_for_files_that_stay() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |_: &Path| Err(io::Error::from(io::ErrorKind::PermissionDenied));
        for after in [After::Move, After::Delete, After::Zip] {
            let error = look(folder.path(), after, refused).unwrap_err();
            assert!(error.message.contains("cannot be put away") && error.fix.contains("keep"), "{error}");
        }
        look(folder.path(), After::Keep, refused).unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_is_missing_or_is_none_is_unhealthy_and_a_good_one_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        waybill_shared::fs::atomic::replace(&file, b"x").unwrap();
        let ask = async |path: &Path| {
            let status = || snapshot(vec![source_status("ict")], Vec::new());
            let check = check("ict", path.to_owned(), After::Move, &Threads::default(), status).unwrap();
            assert_eq!(check.name(), "source ict");
            (check.run)().await.unwrap()
        };
        assert_eq!(ask(folder.path()).await.state, Healthy);
        let (missing, no_folder) = (ask(&folder.path().join("missing")).await, ask(&file).await);
        assert_eq!((missing.state, no_folder.state), (Unhealthy, Unhealthy));
        assert!(no_folder.message.contains("is not a folder"), "{}", no_folder.message);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
