//! Reading a folder: the truth about what is there, the oldest first.

use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::post_action::is_ours;

/// Folders inside a recursive source, this deep at most.
const DEEPEST: usize = 32;

/// Which names a source takes.
#[derive(Debug, Clone)]
pub struct Patterns {
    globs: GlobSet,
    catch_all: bool,
}

impl Patterns {
    /// From the configuration's globs, which were checked there.
    ///
    /// # Errors
    /// A glob that is none.
    pub fn new(patterns: &[String]) -> Result<Self, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            set.add(glob(pattern)?);
        }
        Ok(Self { globs: set.build()?, catch_all: patterns.iter().any(|p| p == "*" || p == "*.*") })
    }

    /// True for a file name that the source takes: one of its patterns, and none of the names under which programs keep files that
    /// are not finished (hidden ones, `~…`, `*.tmp`, `*.part`, `*.crdownload`) or that are Waybill's own.
    #[must_use]
    pub fn take(&self, path: &Path) -> bool {
        let Some(name) = path.file_name() else { return false };
        let text = name.to_string_lossy();
        let lower = text.to_ascii_lowercase();
        let unfinished = text.starts_with('.')
            || text.starts_with('~')
            || [".tmp", ".part", ".crdownload"].iter().any(|ending| lower.ends_with(ending));
        !unfinished && !is_ours(path) && self.globs.is_match(Path::new(text.as_ref()))
    }

    /// True if a folder of this name stands where a file was expected: a pattern names it, and not just everything.
    #[must_use]
    pub fn expect_file(&self, path: &Path) -> bool {
        !self.catch_all && self.take(path)
    }
}

fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern).case_insensitive(true).literal_separator(true).build()
}

/// What a reading found.
#[derive(Debug, Default)]
pub struct Found {
    /// Files and other things under names that the source takes, the oldest first.
    pub paths: Vec<PathBuf>,
    /// Files under claim names: a crash left them between commit and post-action.
    pub claims: Vec<PathBuf>,
    /// True if there are more than were asked for.
    pub more: bool,
}

/// Reads a folder: the `limit` oldest files that `wanted` wants.
///
/// # Errors
/// The folder itself cannot be read. One inside it that cannot is passed over.
pub fn read(folder: &Path, recursive: bool, skip: &[PathBuf], limit: usize, wanted: impl Fn(&Path) -> bool) -> io::Result<Found> {
    let mut oldest: BinaryHeap<(i64, PathBuf)> = BinaryHeap::new();
    let mut found = Found::default();
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((current, depth)) = open.pop() {
        let entries = match std::fs::read_dir(&current) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(error),
            Err(error) => {
                tracing::warn!(event = "folder_unreadable", folder = %current.display(), %error, "a folder inside a source is passed over");
                continue;
            }
        };
        for entry in entries {
            let Ok(entry) = entry else { continue };
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && recursive {
                if depth < DEEPEST && !skip.contains(&path) {
                    open.push((path, depth + 1));
                }
                continue;
            }
            if !is_folder && is_ours(&path) {
                found.claims.push(path);
                continue;
            }
            if skip.contains(&path) || !wanted(&path) {
                continue;
            }
            let modified = entry.metadata().map_or(0, |metadata| crate::platform::modified_ns(&metadata));
            oldest.push((modified, path));
            if oldest.len() > limit {
                oldest.pop();
                found.more = true;
            }
        }
    }
    found.paths = oldest.into_sorted_vec().into_iter().map(|(_, path)| path).collect();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_ignore_case_and_unfinished_names() {
        let json = Patterns::new(&["*.json".to_owned()]).unwrap();
        assert!(json.take(Path::new("/x/A.JSON")));
        for no in ["/x/a.xml", "/x/.a.json", "/x/~a.json", "/x/a.json.tmp"] {
            assert!(!json.take(Path::new(no)), "{no}");
        }
        let all = Patterns::new(&["*".to_owned()]).unwrap();
        assert!(all.take(Path::new("/x/a")) && !all.take(Path::new("/x/a.part")));
        assert!(json.expect_file(Path::new("/x/a.json")) && !all.expect_file(Path::new("/x/a.json")));
    }

    #[test]
    fn the_oldest_come_first_and_the_rest_is_known_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..5u64 {
            let path = folder.path().join(format!("{n}.json"));
            waybill_shared::fs::atomic::replace(&path, b"{}").unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000 - n)).unwrap();
        }
        let found = read(folder.path(), false, &[], 3, |_| true).unwrap();
        let names: Vec<_> = found.paths.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["4.json", "3.json", "2.json"]);
        assert!(found.more);
    }
}
