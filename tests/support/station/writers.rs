//! How equipment writes result files: rename in, write in place, slowly, with the file open or closed in between.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Station;

impl Station {
    /// Writes a file elsewhere on the same file system and renames it in, as careful equipment does. `name` may name folders
    /// inside the watch folder. A file of that name is replaced.
    pub fn drop_file(&self, source: &str, name: &str, bytes: &[u8]) -> PathBuf {
        let staged = self.folder().join("staging").join(self.0.staged.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::write(&staged, bytes).expect("a staged file");
        let target = self.target(source, name);
        // A scanner may have the target open on Windows; equipment tries again too.
        waybill_shared::fs::retry_sharing(|| std::fs::rename(&staged, &target)).expect("renaming a file in");
        target
    }

    /// Drops the reports of these numbers, each as its own file `<serial>.json`, and gives their ids.
    pub fn drop_reports(&self, source: &str, numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
        let drop = |n| {
            let (id, bytes) = crate::sample_report(n);
            self.drop_file(source, &format!("{}.json", crate::sample::sample_serial(n)), &bytes);
            id
        };
        numbers.into_iter().map(drop).collect()
    }

    /// Creates the file where it is watched, writes and closes it at once.
    pub fn write_in_place(&self, source: &str, name: &str, bytes: &[u8]) -> PathBuf {
        let target = self.target(source, name);
        std::fs::write(&target, bytes).expect("writing a file in place");
        target
    }

    /// Writes in `chunks` parts with a pause after each and keeps the file open until the end. Blocks as long as that takes.
    pub fn write_slowly(&self, source: &str, name: &str, bytes: &[u8], chunks: usize, pause: Duration) -> PathBuf {
        let target = self.target(source, name);
        let mut file = File::create(&target).expect("creating a file in place");
        for part in parts(bytes, chunks) {
            file.write_all(part).expect("writing slowly");
            std::thread::sleep(pause);
        }
        target
    }

    /// Writes in `chunks` parts and closes the file after each, as loggers do: between two parts nobody has it open. Blocks as
    /// long as that takes; after the last part there is no pause.
    pub fn write_reopening(&self, source: &str, name: &str, bytes: &[u8], chunks: usize, pause: Duration) -> PathBuf {
        let target = self.target(source, name);
        for (number, part) in parts(bytes, chunks).enumerate() {
            if number > 0 {
                std::thread::sleep(pause);
            }
            append(&target, part);
        }
        target
    }

    /// Appends to a file of a watch folder and closes it, as a log grows; creates it if it is not there.
    pub fn append(&self, source: &str, name: &str, bytes: &[u8]) -> PathBuf {
        let target = self.target(source, name);
        append(&target, bytes);
        target
    }

    fn target(&self, source: &str, name: &str) -> PathBuf {
        let target = self.folders(source).watch.join(name);
        if name.contains('/') {
            std::fs::create_dir_all(target.parent().expect("a folder")).expect("a folder inside the watch folder");
        }
        target
    }
}

fn append(target: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).create(true).open(target).expect("opening a file again");
    file.write_all(bytes).expect("appending");
}

/// `bytes` in `count` parts of about the same size, none of them empty.
fn parts(bytes: &[u8], count: usize) -> std::slice::Chunks<'_, u8> {
    bytes.chunks(bytes.len().div_ceil(count.max(1)).max(1))
}
