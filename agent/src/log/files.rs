//! The files that the log is written to: `agent.log`, and the older ones `agent.log.1` (the newest of them), `agent.log.2` and so on. The
//! watchdog's are named likewise, by a name of their own.
//!
//! A file that is begun here is readable for its owner only. A line is in one file, whole: a file is changed between lines, and what a power
//! cut or a full disk left of a line is closed before the next one. If files cannot be renamed, the file that is open grows on; no line is lost
//! for that.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use waybill_shared::fs::{create_new_private, private};

use crate::platform::move_new;

pub(super) const NAME: &str = "agent.log";

/// The file that is written to now.
#[must_use]
pub(super) fn current(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Numbers and paths of the older files, the newest first.
pub(super) fn older(folder: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    older_of(folder, NAME)
}

fn older_of(folder: &Path, base: &str) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(base)?.strip_prefix('.')?.parse().ok());
        // `agent.log.007` is none of ours.
        files.extend(number.filter(|n| *name == *format!("{base}.{n}")).map(|n: u32| (n, entry.path())));
    }
    files.sort_unstable();
    Ok(files)
}

/// The files, with the newest open for writing.
pub(super) struct Files {
    folder: PathBuf,
    name: &'static str,
    max_bytes: u64,
    keep: u32,
    open: Option<Open>,
}

struct Open {
    file: File,
    size: u64,
    rotate_at: u64,
    /// The last line has no end.
    torn: bool,
}

impl Files {
    /// Opens, and goes on with the file that is there.
    #[cfg(test)]
    pub(super) fn open(folder: &Path, max_bytes: u64, keep: u32) -> io::Result<Self> {
        Self::open_as(folder, NAME, max_bytes, keep)
    }

    /// The same for files of another name.
    pub(super) fn open_as(folder: &Path, name: &'static str, max_bytes: u64, keep: u32) -> io::Result<Self> {
        let mut files = Self { folder: folder.to_owned(), name, max_bytes, keep, open: None };
        files.open = Some(files.open_current()?);
        Ok(files)
    }

    /// Adds lines (with their ends), all to the same file.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|open| open.size >= open.rotate_at) {
            self.rotate();
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open_current()?,
        };
        if open.torn {
            open.file.write_all(b"\n")?;
            open.size += 1;
        }
        // After an error the file is opened anew, which finds out how it ends.
        open.file.write_all(lines)?;
        open.size += lines.len() as u64;
        open.torn = !lines.ends_with(b"\n");
        self.open = Some(open);
        Ok(())
    }

    /// Lets go of a file that somebody has removed, so that the next line begins a new one.
    pub(super) fn look(&mut self) {
        if !self.current().exists() {
            self.open = None;
        }
    }

    fn current(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    fn open_current(&self) -> io::Result<Open> {
        private::create_folder(&self.folder)?;
        let path = self.current();
        // One that others may read (made by an older version, or by hand) gets no more lines.
        if path.exists() && !private::is_private(&path)? {
            self.shift()?;
        }
        let file = match create_new_private(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                OpenOptions::new().read(true).append(true).open(&path)?
            }
            created => return created.map(|file| Open { file, size: 0, rotate_at: self.max_bytes, torn: false }),
        };
        self.go_on_with(file)
    }

    fn go_on_with(&self, mut file: File) -> io::Result<Open> {
        let size = file.metadata()?.len();
        let mut last = [b'\n'];
        if size > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        Ok(Open { file, size, rotate_at: self.max_bytes, torn: last != [b'\n'] })
    }

    /// Begins a new file; if that cannot be, the open one is used on and it is tried again later.
    fn rotate(&mut self) {
        match self.shift().and_then(|()| self.open_current()) {
            Ok(open) => self.open = Some(open),
            Err(_) => {
                if let Some(open) = &mut self.open {
                    open.rotate_at = open.size + self.max_bytes / 4;
                }
            }
        }
    }

    /// Makes each file one older. The oldest goes.
    fn shift(&self) -> io::Result<()> {
        for (number, path) in older_of(&self.folder, self.name)?.into_iter().rev() {
            if number >= self.keep {
                std::fs::remove_file(&path)?;
            } else {
                move_new(&path, &self.folder.join(format!("{}.{}", self.name, number + 1)))?;
            }
        }
        match move_new(&self.current(), &self.folder.join(format!("{}.1", self.name))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::wine_cannot_show;

    fn texts(folder: &Path) -> Vec<String> {
        let mut paths = vec![current(folder)];
        paths.extend(older(folder).unwrap().into_iter().map(|(_, path)| path));
        paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    #[test]
    fn the_newest_files_are_kept_and_a_line_is_never_cut() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::open(folder.path(), 10, 2).unwrap();
        for n in 0..9 {
            files.append(format!("line {n}\n").as_bytes()).unwrap();
        }
        assert_eq!(texts(folder.path()), ["line 8\n", "line 6\nline 7\n", "line 4\nline 5\n"]);
        drop(files);
        // Goes on where it was; fewer files than before are kept.
        let mut files = Files::open(folder.path(), 10, 1).unwrap();
        files.append(b"line 9\n").unwrap();
        files.append(b"line 10\n").unwrap();
        assert_eq!(texts(folder.path()), ["line 10\n", "line 8\nline 9\n"]);
    }

    #[test]
    fn half_a_line_of_a_power_cut_spoils_no_other_line() {
        let folder = tempfile::tempdir().unwrap();
        Files::open(folder.path(), 1000, 2).unwrap().append(b"{\"half").unwrap();
        Files::open(folder.path(), 1000, 2).unwrap().append(b"whole\n").unwrap();
        assert_eq!(texts(folder.path()), ["{\"half\nwhole\n"]);
    }

    #[test]
    fn a_removed_file_is_begun_anew() {
        if wine_cannot_show("a file that is open goes when it is removed") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        let mut files = Files::open(&logs, 1000, 2).unwrap();
        files.append(b"one\n").unwrap();
        std::fs::remove_dir_all(&logs).unwrap();
        files.look();
        files.append(b"two\n").unwrap();
        assert_eq!(texts(&logs), ["two\n"]);
    }

    #[test]
    fn lines_go_on_while_files_cannot_be_renamed() {
        let folder = tempfile::tempdir().unwrap();
        // A folder in the way of the oldest file, which cannot be removed like a file.
        std::fs::create_dir(folder.path().join("agent.log.2")).unwrap();
        let mut files = Files::open(folder.path(), 10, 2).unwrap();
        for n in 0..9 {
            files.append(format!("line {n}\n").as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(current(folder.path())).unwrap().lines().count(), 9);
        std::fs::remove_dir(folder.path().join("agent.log.2")).unwrap();
        for n in 9..12 {
            files.append(format!("line {n}\n").as_bytes()).unwrap();
        }
        let lines: usize = texts(folder.path()).iter().map(|text| text.lines().count()).sum();
        assert_eq!((lines, texts(folder.path()).len()), (12, 3), "rotated again, and nothing is lost");
    }
}
