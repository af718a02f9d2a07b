//! Done and error folders do not grow for ever, if the configuration says so.
//!
//! Only what this program made is removed: files in folders that are named by a day. Their reports are durable, or, in an error
//! folder, a person had so many days to look. Nothing that waits for a destination depends on these files.

use std::io;
use std::path::Path;

use jiff::civil::Date;

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files.
    pub files: u64,
    /// Folders of a day, empty then.
    pub days: u64,
    /// What could not be removed.
    pub failed: u64,
}

/// Removes the files of days that are more than `keep_days` before `today`. Links and folders inside are left alone.
///
/// # Errors
/// The folder cannot be read.
pub fn purge(folder: &Path, keep_days: u64, today: Date) -> io::Result<Removed> {
    let mut removed = Removed::default();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(removed),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let day: Option<Date> = entry.file_name().to_str().filter(|name| name.len() == 10).and_then(|name| name.parse().ok());
        let Some(day) = day.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) else { continue };
        let age = today.since(day).map_or(0, |span| i64::from(span.get_days()));
        if u64::try_from(age).unwrap_or(0) > keep_days {
            purge_day(&entry.path(), &mut removed);
        }
    }
    Ok(removed)
}

fn purge_day(day: &Path, removed: &mut Removed) {
    let Ok(files) = std::fs::read_dir(day) else {
        removed.failed += 1;
        return;
    };
    for file in files.flatten() {
        if !file.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        match std::fs::remove_file(file.path()) {
            Ok(()) => removed.files += 1,
            Err(_) => removed.failed += 1,
        }
    }
    // Fails while something is left in it, which then stays.
    if std::fs::remove_dir(day).is_ok() {
        removed.days += 1;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test's own files")]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_old_enough_go_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        };
        for name in [
            "2026-01-01/a.json",
            "2026-01-01/b.json",
            "2026-01-02/kept in/inside.json",
            "2026-01-02/c.json",
            "2026-03-01/today.json",
            "2026-02-20/edge.json",
            "2026-02-19/over the edge.json",
            "2026-13-01/no day.json",
            "notes/2026-01-01.txt",
            "2026-01-03",
        ] {
            put(name);
        }
        let removed = purge(folder.path(), 9, "2026-03-01".parse().unwrap()).unwrap();
        assert_eq!(removed, Removed { files: 4, days: 2, failed: 0 });
        for name in [
            "2026-01-02/kept in/inside.json",
            "2026-03-01/today.json",
            "2026-02-20/edge.json",
            "2026-13-01/no day.json",
            "notes/2026-01-01.txt",
            "2026-01-03",
        ] {
            assert!(folder.path().join(name).exists(), "{name}");
        }
        assert_eq!(purge(&folder.path().join("not there"), 1, "2026-03-01".parse().unwrap()).unwrap(), Removed::default());
    }
}
