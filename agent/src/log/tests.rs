use std::collections::BTreeSet;

use crate::platform::wine_cannot_show;
use serde_json::Value;

use super::*;

fn settings(level: LogLevel, max_bytes: u64, max_files: u32) -> Log {
    Log { level, max_bytes, max_files }
}

/// Every line of every file, the oldest first; each must be whole JSON.
fn all_lines(folder: &Path) -> Vec<Value> {
    let mut paths: Vec<_> = files::older(folder).unwrap().into_iter().rev().map(|(_, path)| path).collect();
    paths.push(files::current(folder));
    let texts = paths.iter().map(|path| std::fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(|line| serde_json::from_str(line).expect(line)).collect::<Vec<_>>()).collect()
}

#[test]
fn rotation_under_load_loses_no_line_that_was_accepted() {
    const THREADS: u64 = 8;
    const EACH: u64 = 4000;
    let folder = tempfile::tempdir().unwrap();
    let (subscriber, guard) = build(folder.path(), &settings(LogLevel::Info, 64 * 1024, 100)).unwrap();
    let dispatch = tracing::Dispatch::new(subscriber);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let dispatch = dispatch.clone();
            scope.spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    for n in 0..EACH {
                        tracing::info!(event = "load", number = thread * EACH + n, "a line as long as lines usually are");
                    }
                });
            });
        }
    });
    let state = Arc::clone(&guard.state);
    drop(guard);
    let lines = all_lines(folder.path());
    assert!(files::older(folder.path()).unwrap().len() > 10, "several rotations");
    let numbers: Vec<u64> = lines.iter().filter_map(|line| line["number"].as_u64()).collect();
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len(), "no line is there twice");
    assert_eq!(numbers.len() as u64 + state.dropped(), THREADS * EACH, "each line is there, or counted as dropped");
    let told: u64 = lines.iter().filter_map(|line| line["dropped"].as_u64()).sum();
    assert_eq!(told, state.dropped(), "the log says how many are missing");
}

#[test]
fn the_level_changes_while_it_runs_and_others_stay_at_warn() {
    let folder = tempfile::tempdir().unwrap();
    let (subscriber, guard) = build(folder.path(), &settings(LogLevel::Warn, 1 << 20, 5)).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!("not yet");
        guard.set_level(LogLevel::Debug);
        tracing::debug!("now");
        tracing::trace!("too much");
        tracing::info!(target: "hyper", "another crate");
        tracing::warn!(target: "hyper", "a warning of another crate");
        guard.set_level(LogLevel::Error);
        tracing::warn!("no more");
        tracing::warn!(target: "hyper", "nor this");
    });
    assert_eq!(guard.dropped(), 0);
    drop(guard);
    let messages: Vec<Value> = all_lines(folder.path()).into_iter().map(|mut line| line["message"].take()).collect();
    assert_eq!(messages, ["now", "a warning of another crate"]);
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_told_when_lines_go_again() {
    if wine_cannot_show("a file that is open goes when it is removed") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    let state = Arc::<State>::default();
    let files = Files::open(&logs, 1 << 20, 5).unwrap();
    let mut writer = Writer::new(files, Arc::clone(&state));
    // A file where the folder was: nothing can be written there.
    std::fs::remove_dir_all(&logs).unwrap();
    std::fs::File::create_new(&logs).unwrap();
    writer.flush().unwrap();
    for _ in 0..3 {
        writer.write_all(b"{}\n").unwrap();
    }
    writer.flush().unwrap();
    assert_eq!(state.dropped(), 3);
    std::fs::remove_file(&logs).unwrap();
    writer.write_all(b"{\"message\":\"again\"}\n").unwrap();
    writer.flush().unwrap();
    let lines = all_lines(&logs);
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[1]["event"], &lines[1]["dropped"]), (&Value::from("log_lines_dropped"), &Value::from(3)));
}

#[test]
fn dropped_lines_are_told_at_once_then_once_a_minute_and_at_the_end() {
    let begin = Instant::now();
    let mut tally = Tally::default();
    assert_eq!(tally.due(0, begin, true), None);
    assert_eq!(tally.due(5, begin, false), Some(5));
    tally.told(5, begin);
    let later = begin + Duration::from_secs(59);
    assert_eq!((tally.due(5, later, false), tally.due(7, later, false), tally.due(7, later, true)), (None, None, Some(2)));
    assert_eq!(tally.due(7, begin + TELL_EVERY, false), Some(2));
}

#[test]
fn nobody_else_may_read_the_log_whatever_was_there_before() {
    use waybill_shared::fs::private::is_private;
    let folder = tempfile::tempdir().unwrap();
    // Made as other programs make files.
    let mut open_for_all = std::fs::File::create_new(files::current(folder.path())).unwrap();
    open_for_all.write_all(b"{\"message\":\"old\"}\n").unwrap();
    let mut log = Files::open(folder.path(), 10, 5).unwrap();
    for _ in 0..3 {
        log.append(b"{\"message\":\"new\"}\n").unwrap();
    }
    let older = files::older(folder.path()).unwrap();
    assert!(is_private(&files::current(folder.path())).unwrap() && is_private(&older[0].1).unwrap());
    let lines: Vec<Value> = all_lines(folder.path()).into_iter().map(|mut line| line["message"].take()).collect();
    assert_eq!(lines, ["old", "new", "new", "new"]);
}
