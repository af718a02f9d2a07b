//! Waiting for new lines of the log. No line is missed or given twice when files are rotated: the open file is read to its end before the next one.

use std::collections::VecDeque;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use waybill_ipc::protocol::{LogFilter, LogLine};

use super::lines::Wanted;
use super::read::{self, BLOCK, MAX_LINE, Opened};

/// Files that are remembered as read; more than the configuration lets exist.
const REMEMBERED: usize = 256;

/// A place in the log from which it goes on. Holds one file open.
#[derive(Debug)]
pub struct Follow {
    folder: PathBuf,
    wanted: Wanted,
    /// `None` until there is a line.
    file: Option<Opened>,
    /// Begin of a line whose end is not there yet.
    half: Vec<u8>,
    /// What was read, or was there before.
    read: VecDeque<u64>,
}

/// What came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The lines that match, the oldest first.
    pub lines: Vec<LogLine>,
    /// There may be more at once; otherwise it is time to wait.
    pub more: bool,
    /// Lines before these are missing: files were removed faster than they were read.
    pub gap: bool,
}

impl Follow {
    /// The newest lines that match, at most `limit`, and the place right after them.
    ///
    /// # Errors
    /// `NotFound` if there is no log; any other I/O error.
    pub fn start(folder: &Path, filter: &LogFilter, limit: usize) -> io::Result<(Vec<LogLine>, Self)> {
        let wanted = Wanted::new(filter);
        let mut files = read::snapshot(folder)?;
        let read = files.iter().map(|file| file.name).collect();
        let file = match files.first_mut() {
            Some(newest) => {
                // It is given when its end is there.
                newest.without_half_a_line()?;
                Some(Opened { file: newest.file.try_clone()?, ..*newest })
            }
            None => None,
        };
        let lines = if limit == 0 { Vec::new() } else { read::search(files, &wanted, limit, u64::MAX)?.lines };
        Ok((lines, Self { folder: folder.to_owned(), wanted, file, half: Vec::new(), read }))
    }

    /// What came since the last call; never waits.
    ///
    /// # Errors
    /// Any I/O error; the place stays where it is.
    pub fn news(&mut self) -> io::Result<News> {
        let mut news = News::default();
        if self.read_on(&mut news)? || !self.is_rotated()? {
            return Ok(news);
        }
        // What was written between the last look and the rotation.
        if !self.read_on(&mut news)? {
            self.next_file(&mut news)?;
        }
        Ok(news)
    }

    /// Reads a block of the open file; false at its end.
    fn read_on(&mut self, news: &mut News) -> io::Result<bool> {
        let Some(open) = &mut self.file else { return Ok(false) };
        if open.file.metadata()?.len() < open.len {
            // Somebody emptied it: what is in it now is another file.
            self.half.clear();
            self.file = None;
            return Ok(false);
        }
        let mut block = vec![0; BLOCK];
        open.file.seek(SeekFrom::Start(open.len))?;
        let count = open.file.read(&mut block)?;
        let mut rest = &block[..count];
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            add(&mut self.half, &rest[..end]);
            let line = std::mem::take(&mut self.half);
            open.len += end as u64 + 1;
            news.lines.extend(self.wanted.take(&line, open.key((open.len - 1).saturating_sub(line.len() as u64))));
            rest = &rest[end + 1..];
        }
        add(&mut self.half, rest);
        open.len += rest.len() as u64;
        news.more = count > 0;
        Ok(count > 0)
    }

    /// True if lines go to another file now.
    fn is_rotated(&self) -> io::Result<bool> {
        Ok(read::current_name(&self.folder)?.is_some_and(|now| !self.read.contains(&now)))
    }

    /// Goes on with the oldest file that was not read.
    fn next_file(&mut self, news: &mut News) -> io::Result<()> {
        let mut files = read::snapshot(&self.folder)?;
        news.gap = self.file.as_ref().is_some_and(|open| files.iter().all(|file| file.name != open.name));
        while files.last().is_some_and(|file| self.read.contains(&file.name)) {
            files.pop();
        }
        let Some(next) = files.pop() else { return Ok(()) };
        if let Some(open) = &self.file {
            let half = std::mem::take(&mut self.half);
            news.lines.extend(self.wanted.take(&half, open.key(open.len.saturating_sub(half.len() as u64))));
        }
        self.read.push_back(next.name);
        if self.read.len() > REMEMBERED {
            self.read.pop_front();
        }
        self.file = Some(Opened { len: 0, ..next });
        news.more = true;
        Ok(())
    }
}

/// Adds to a line, which is cut where it is too long to be one.
fn add(line: &mut Vec<u8>, more: &[u8]) {
    let room = MAX_LINE.saturating_sub(line.len());
    line.extend_from_slice(&more[..more.len().min(room)]);
}

#[cfg(test)]
mod tests {
    use super::super::files::Files;
    use super::*;
    use crate::platform::wine_cannot_show;

    fn numbers(lines: &[LogLine]) -> Vec<u64> {
        lines.iter().map(|line| line.message.parse().unwrap()).collect()
    }

    fn write(files: &mut Files, numbers: std::ops::Range<u64>) {
        for n in numbers {
            files.append(format!("{{\"level\":\"INFO\",\"message\":\"{n}\"}}\n").as_bytes()).unwrap();
        }
    }

    fn all(follow: &mut Follow) -> (Vec<u64>, bool) {
        let (mut got, mut gap) = (Vec::new(), false);
        loop {
            let news = follow.news().unwrap();
            gap |= news.gap;
            got.extend(numbers(&news.lines));
            if !news.more {
                return (got, gap);
            }
        }
    }

    #[test]
    fn rotations_between_two_looks_lose_and_repeat_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::open(folder.path(), 100, 50).unwrap();
        write(&mut files, 0..10);
        let (lines, mut follow) = Follow::start(folder.path(), &LogFilter::default(), 4).unwrap();
        assert_eq!(numbers(&lines), [6, 7, 8, 9]);
        let mut next = 10;
        for count in [0, 1, 2, 3, 30, 1, 0, 7, 90] {
            write(&mut files, next..next + count);
            assert_eq!(all(&mut follow), ((next..next + count).collect(), false));
            next += count;
        }
    }

    #[test]
    fn a_reader_beside_a_busy_writer_gets_each_line_once() {
        const LINES: u64 = 20_000;
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::open(folder.path(), 16 * 1024, 100).unwrap();
        let (_, mut follow) = Follow::start(folder.path(), &LogFilter::default(), 0).unwrap();
        let mut got = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || write(&mut files, 0..LINES));
            let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
            while (got.len() as u64) < LINES && std::time::Instant::now() < end {
                got.extend(numbers(&follow.news().unwrap().lines));
            }
        });
        assert_eq!(got, (0..LINES).collect::<Vec<_>>());
    }

    #[test]
    fn files_that_were_removed_too_early_are_a_gap_that_is_told() {
        if wine_cannot_show("a file that is open goes when it is removed") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::open(folder.path(), 100, 2).unwrap();
        write(&mut files, 0..1);
        let (_, mut follow) = Follow::start(folder.path(), &LogFilter::default(), 1).unwrap();
        write(&mut files, 1..40);
        let (got, gap) = all(&mut follow);
        let (begin, end) = got.split_at(3);
        assert!(gap && begin == [1, 2, 3], "{got:?}");
        assert!(end[0] > 4 && end.iter().copied().eq(end[0]..40), "{got:?}");
    }

    #[test]
    fn a_removed_log_is_followed_without_repeating_the_older_ones() {
        if wine_cannot_show("a file that is open goes when it is removed") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::open(folder.path(), 100, 5).unwrap();
        write(&mut files, 0..10);
        let (_, mut follow) = Follow::start(folder.path(), &LogFilter::default(), 0).unwrap();
        std::fs::remove_file(folder.path().join("agent.log")).unwrap();
        files.look();
        write(&mut files, 10..12);
        assert_eq!(all(&mut follow), (vec![10, 11], true));
    }

    #[test]
    fn an_emptied_log_is_followed_from_its_new_begin() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::open(folder.path(), 1000, 5).unwrap();
        write(&mut files, 0..10);
        let (_, mut follow) = Follow::start(folder.path(), &LogFilter::default(), 0).unwrap();
        drop(files);
        std::fs::OpenOptions::new().write(true).open(folder.path().join("agent.log")).unwrap().set_len(0).unwrap();
        assert_eq!(all(&mut follow).0, Vec::<u64>::new());
        write(&mut Files::open(folder.path(), 1000, 5).unwrap(), 10..12);
        assert_eq!(all(&mut follow).0, [10, 11]);
    }

    #[test]
    fn half_a_line_is_given_once_when_its_end_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::open(folder.path(), 100, 5).unwrap();
        write(&mut files, 0..1);
        files.append(b"{\"level\":\"INFO\",").unwrap();
        let (lines, mut follow) = Follow::start(folder.path(), &LogFilter::default(), 10).unwrap();
        assert_eq!((numbers(&lines), all(&mut follow)), (vec![0], (vec![], false)));
        let mut file = std::fs::OpenOptions::new().append(true).open(folder.path().join("agent.log")).unwrap();
        std::io::Write::write_all(&mut file, b"\"message\":\"1\"}\n").unwrap();
        assert_eq!(all(&mut follow), (vec![1], false));
    }
}
