//! When a file is finished.
//!
//! Taken at once: nobody has it open for writing any more, as the OS itself says. Otherwise: unchanged for the quiet time. A format without
//! an end mark, and a network folder (where the OS of the writer is another one) always wait for the quiet time.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::platform::{self, FileStat, Writers};

/// Quiet time on a local folder.
const LOCAL: Duration = Duration::from_millis(500);
/// Quiet time on a network folder, and for formats that do not show where they end.
const CAREFUL: Duration = Duration::from_secs(5);

/// How a source tells that a file is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long a file must be unchanged where nothing else tells.
    pub quiet: Duration,
    /// Whether the OS's word that nobody writes is enough.
    pub trust_os: bool,
}

impl Rules {
    /// From what is configured (milliseconds), the folder and the format.
    #[must_use]
    pub fn new(settle_ms: Option<u64>, network: bool, has_end_mark: bool) -> Self {
        let careful = network || !has_end_mark;
        let quiet = settle_ms.map_or(if careful { CAREFUL } else { LOCAL }, Duration::from_millis);
        Self { quiet, trust_os: !careful }
    }

    /// What is known of a file that was last seen to change at `changed`.
    #[must_use]
    pub fn judge(&self, path: &Path, changed: Instant, now: Instant) -> Verdict {
        let quiet_at = changed + self.quiet;
        let writers = platform::writers(path);
        match writers {
            Writers::None if self.trust_os => Verdict::Finished,
            // Somebody holds it open: it is asked again, also without an event.
            Writers::Some => Verdict::LookAgain(now + self.quiet.min(LOCAL)),
            _ if now >= quiet_at => Verdict::Finished,
            _ => Verdict::LookAgain(quiet_at),
        }
    }
}

/// Whether a file may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Finished,
    /// Not yet; look again then, or when it changes.
    LookAgain(Instant),
}

/// The state of a file by its path, without following a link.
///
/// # Errors
/// Any I/O error.
pub fn look(path: &Path) -> std::io::Result<Seen> {
    let metadata = std::fs::symlink_metadata(path)?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() {
            "a folder"
        } else if metadata.is_symlink() {
            "a link"
        } else {
            "a device or pipe"
        };
        return Ok(Seen::Other(what));
    }
    Ok(Seen::File { size: metadata.len(), modified_ns: platform::modified_ns(&metadata) })
}

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Last change, nanoseconds since 1970 UTC.
        modified_ns: i64,
    },
    /// Something that is never read.
    Other(&'static str),
}

impl From<FileStat> for Seen {
    fn from(stat: FileStat) -> Self {
        Self::File { size: stat.size, modified_ns: stat.modified_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_follow_the_folder_and_the_format() {
        assert_eq!(Rules::new(None, false, true), Rules { quiet: LOCAL, trust_os: true });
        assert_eq!(Rules::new(None, true, true), Rules { quiet: CAREFUL, trust_os: false });
        assert_eq!(Rules::new(None, false, false), Rules { quiet: CAREFUL, trust_os: false });
        assert_eq!(Rules::new(Some(100), true, true).quiet, Duration::from_millis(100));
    }

    #[test]
    fn a_quiet_file_is_finished_and_an_open_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let writing = std::fs::File::create_new(&path).unwrap();
        let now = Instant::now();
        let rules = Rules::new(None, false, true);
        if platform::writers(&path) == Writers::Some {
            let long_ago = now.checked_sub(Duration::from_secs(60)).unwrap_or(now);
            assert!(matches!(rules.judge(&path, long_ago, now), Verdict::LookAgain(_)), "quiet, but open for writing");
        }
        drop(writing);
        assert_eq!(rules.judge(&path, now, now + LOCAL), Verdict::Finished);
    }
}
