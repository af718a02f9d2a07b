//! The archive does not grow for ever: copies go when they are old enough, and the oldest ones when all together are too large.
//!
//! Only files of ours are removed, a bounded number at a time. No report depends on them: all were durable before the copy was made.

use std::io;
use std::path::Path;

use jiff::civil::Date;

use super::walk::{self, Copy, Day};

/// Files that are removed in one step.
const STEP: u64 = 1000;

/// What a step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Copies.
    pub files: u64,
    /// Bytes that they had.
    pub bytes: u64,
    /// What could not be removed.
    pub failed: u64,
    /// True if there is more to remove: it is the next step's.
    pub more: bool,
}

/// Removes copies of days that are more than `keep_days` before `today` (UTC), then the oldest ones until all together have at most
/// `max_bytes`; at most a thousand of them.
///
/// # Errors
/// A folder cannot be read.
pub fn step(folder: &Path, keep_days: u64, max_bytes: u64, today: Date) -> io::Result<Removed> {
    let (old, kept): (Vec<Day>, Vec<Day>) = walk::days(folder)?.into_iter().partition(|day| is_over(day.date, keep_days, today));
    let mut removed = Removed::default();
    for day in &old {
        for (copy, bytes) in files(day)? {
            if !remove(&copy, bytes, &mut removed) {
                return Ok(removed);
            }
        }
        remove_empty(day);
    }
    let mut total = 0_u64;
    for day in &kept {
        total = files(day)?.iter().fold(total, |sum, (_, bytes)| sum.saturating_add(*bytes));
    }
    for day in &kept {
        if total <= max_bytes {
            break;
        }
        for (copy, bytes) in files(day)? {
            if total <= max_bytes {
                break;
            }
            let before = removed.files;
            if !remove(&copy, bytes, &mut removed) {
                return Ok(removed);
            }
            if removed.files > before {
                total = total.saturating_sub(bytes);
            }
        }
        remove_empty(day);
    }
    Ok(removed)
}

fn is_over(day: Date, keep_days: u64, today: Date) -> bool {
    let age = today.since(day).map_or(0, |span| i64::from(span.get_days()));
    u64::try_from(age).unwrap_or(0) > keep_days
}

/// The files of a day with their sizes, those of all sources, the oldest first.
fn files(day: &Day) -> io::Result<Vec<(Copy, u64)>> {
    let mut files = Vec::new();
    for (source, path) in walk::sources(day)? {
        for copy in walk::copies(&source, &path, true)? {
            // What is gone by now takes no space.
            let bytes = std::fs::symlink_metadata(&copy.path).map_or(0, |metadata| metadata.len());
            files.push((copy, bytes));
        }
    }
    files.sort_by(|(a, _), (b, _)| (&a.name, &a.source).cmp(&(&b.name, &b.source)));
    Ok(files)
}

/// Removes a file; false if this step has removed enough.
fn remove(copy: &Copy, bytes: u64, removed: &mut Removed) -> bool {
    if removed.files >= STEP {
        removed.more = true;
        return false;
    }
    match std::fs::remove_file(&copy.path) {
        Ok(()) => {
            removed.files += 1;
            removed.bytes += bytes;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => removed.failed += 1,
    }
    true
}

/// Folders in which something is left stay.
fn remove_empty(day: &Day) {
    for (_, source) in walk::sources(day).unwrap_or_default() {
        let _something_is_left = std::fs::remove_dir(source);
    }
    let _something_is_left = std::fs::remove_dir(&day.path);
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test's own files")]
mod tests {
    use waybill_shared::id::CorrelationId;

    use super::*;

    fn put(folder: &Path, name: &str, bytes: usize) -> std::path::PathBuf {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, vec![b'x'; bytes]).unwrap();
        path
    }

    fn copy(day: &str, source: &str, time: &str) -> String {
        format!("{day}/{source}/{time}_{}_a.json.zst", CorrelationId::from_bytes([9; 16]))
    }

    fn today() -> Date {
        "2026-03-01".parse().unwrap()
    }

    #[test]
    fn copies_that_are_old_enough_go_and_what_others_put_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| put(folder.path(), name, 1);
        let gone = [
            put(&copy("2026-02-19", "a", "120000.000")),
            put(&copy("2026-02-19", "b", "120000.000")),
            put("2026-02-18/a/.waybill-tmp-x"),
        ];
        let stay = [
            put(&copy("2026-02-20", "a", "120000.000")),
            put("2026-02-19/b/letter.txt"),
            put("2026-02-17/letter.txt"),
            put("letters/x.zst"),
        ];
        let removed = step(folder.path(), 9, u64::MAX, today()).unwrap();
        assert_eq!(removed, Removed { files: 3, bytes: 3, failed: 0, more: false });
        assert!(gone.iter().all(|path| !path.exists()) && stay.iter().all(|path| path.exists()));
        assert!(!folder.path().join("2026-02-19/a").exists() && !folder.path().join("2026-02-18").exists());
        assert_eq!(step(&folder.path().join("not there"), 9, 0, today()).unwrap(), Removed::default());
    }

    #[test]
    fn the_oldest_of_all_sources_go_until_the_rest_fits() {
        let folder = tempfile::tempdir().unwrap();
        let put = |day: &str, source: &str, time: &str| put(folder.path(), &copy(day, source, time), 100);
        let gone =
            [put("2026-02-27", "b", "230000.000"), put("2026-02-28", "b", "080000.000"), put("2026-02-28", "a", "090000.000")];
        let stay = [put("2026-02-28", "b", "100000.000"), put("2026-03-01", "a", "000000.000")];
        assert_eq!(step(folder.path(), 90, 250, today()).unwrap(), Removed { files: 3, bytes: 300, failed: 0, more: false });
        assert!(gone.iter().all(|path| !path.exists()) && stay.iter().all(|path| path.exists()));
        assert_eq!(step(folder.path(), 90, 250, today()).unwrap(), Removed::default());
    }

    #[test]
    fn a_step_removes_so_many_and_says_that_there_is_more() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..STEP + 1 {
            put(folder.path(), &copy("2026-01-01", "a", &format!("{n:06}.000")), 1);
        }
        assert_eq!(
            step(folder.path(), 9, u64::MAX, today()).unwrap(),
            Removed { files: STEP, bytes: STEP, failed: 0, more: true }
        );
        assert_eq!(step(folder.path(), 9, u64::MAX, today()).unwrap(), Removed { files: 1, bytes: 1, failed: 0, more: false });
    }
}
