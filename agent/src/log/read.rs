//! Reading the log from its end, while the agent runs or not. Nothing is changed and nobody is asked: the files are read as they are.
//!
//! Files are read backwards, block by block, so that the last lines of a file of any size are there at once and memory is bounded by the lines that
//! are wanted. A file is known by its first line (lines begin with a time of microseconds): it keeps it when it gets another name.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use waybill_ipc::protocol::{LogFilter, LogLine};

use super::files::{current, older};
use super::lines::Wanted;

/// Bytes that are read at once.
pub(super) const BLOCK: usize = 64 * 1024;

/// Longest line that is read whole; what is beyond is cut.
pub(super) const MAX_LINE: usize = 1024 * 1024;

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The lines, the oldest first.
    pub lines: Vec<LogLine>,
    /// Where to go on, as `before`; `None` if there is nothing before.
    pub next: Option<u64>,
}

/// The newest lines that match, in order, however long the search takes.
///
/// # Errors
/// `NotFound` if there is no log; any other I/O error.
pub fn tail(folder: &Path, filter: &LogFilter, limit: usize) -> io::Result<Vec<LogLine>> {
    page(folder, filter, None, limit, u64::MAX).map(|found| found.lines)
}

/// The newest lines that match and are before the line with the key `before`, at most `limit`. The search ends after about
/// `max_bytes`, so that a rare line in a large log does not hold up who asks; `next` then says where to go on.
///
/// # Errors
/// `NotFound` if there is no log; any other I/O error.
pub fn page(folder: &Path, filter: &LogFilter, before: Option<u64>, limit: usize, max_bytes: u64) -> io::Result<Found> {
    let mut files = snapshot(folder)?;
    if let Some(key) = before {
        // A file that is gone took everything before it along.
        let place = files.iter().position(|file| file.key(0) >> 32 == key >> 32);
        files.drain(..place.unwrap_or(files.len()));
        if let Some(first) = files.first_mut() {
            first.len = first.len.min(key & u64::from(u32::MAX));
        }
    }
    search(files, &Wanted::new(filter), limit, max_bytes)
}

pub(super) fn search(files: Vec<Opened>, wanted: &Wanted, limit: usize, max_bytes: u64) -> io::Result<Found> {
    let mut found = Found { lines: Vec::new(), next: None };
    let mut looked_at: u64 = 0;
    'files: for file in files {
        let (len, name) = (file.len, file.name);
        let mut lines = Backwards::new(file);
        while let Some((offset, line)) = lines.next_line()? {
            let key = key(name, offset);
            found.lines.extend(wanted.take(&line, key));
            if found.lines.len() >= limit || looked_at + (len - offset) >= max_bytes {
                found.next = Some(key);
                break 'files;
            }
        }
        looked_at += len;
    }
    found.lines.reverse();
    Ok(found)
}

/// A file of the log, open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// Bytes that count.
    pub(super) len: u64,
    /// By what it is known.
    pub(super) name: u64,
}

impl Opened {
    pub(super) fn key(&self, offset: u64) -> u64 {
        key(self.name, offset)
    }

    /// Leaves out a last line that has no end yet.
    pub(super) fn without_half_a_line(&mut self) -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        let mut end = self.len;
        while end > 0 {
            let start = end.saturating_sub(BLOCK as u64);
            let block = &mut block[..(end - start) as usize];
            self.file.seek(SeekFrom::Start(start))?;
            self.file.read_exact(block)?;
            if let Some(at) = block.iter().rposition(|b| *b == b'\n') {
                self.len = start + at as u64 + 1;
                return Ok(());
            }
            end = start;
        }
        self.len = 0;
        Ok(())
    }
}

/// File and offset in one number: files are below 4 GiB.
pub(super) fn key(name: u64, offset: u64) -> u64 {
    name << 32 | offset.min(u64::from(u32::MAX))
}

/// How long rotations may go on to come between.
const MEANWHILE: Duration = Duration::from_secs(2);

/// All files with lines as they are at one moment, the newest first.
pub(super) fn snapshot(folder: &Path) -> io::Result<Vec<Opened>> {
    // A rotation meanwhile would skip a file, so it is begun again.
    let end = Instant::now() + MEANWHILE;
    while Instant::now() < end {
        // In its middle the newest file is what it was, and an older one has another name than a moment ago.
        let (before, others) = (current_name(folder)?, older(folder)?);
        let paths = std::iter::once(current(folder)).chain(others.iter().map(|(_, path)| path.clone()));
        let (mut files, mut any): (Vec<Opened>, bool) = (Vec::new(), false);
        for path in paths {
            let Some(mut file) = open(&path)? else { continue };
            any = true;
            let len = file.metadata()?.len();
            if let Some(name) = name(&mut file)? {
                files.push(Opened { file, len, name });
            }
        }
        if before == current_name(folder)? && others == older(folder)? {
            return if any { Ok(files) } else { Err(io::Error::from(io::ErrorKind::NotFound)) };
        }
    }
    Err(io::Error::other("its files change faster than they can be read"))
}

/// By what the newest file is known; `None` if it is not there or has no line yet.
pub(super) fn current_name(folder: &Path) -> io::Result<Option<u64>> {
    match open(&current(folder))? {
        Some(mut file) => name(&mut file),
        None => Ok(None),
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// By what a file is known: its first line, or the first 512 bytes of a longer one. `None` as long as there is less.
pub(super) fn name(file: &mut File) -> io::Result<Option<u64>> {
    const HEAD: u64 = 512;
    let mut head = Vec::with_capacity(HEAD as usize);
    file.seek(SeekFrom::Start(0))?;
    file.take(HEAD).read_to_end(&mut head)?;
    let end = head.iter().position(|b| *b == b'\n').or((head.len() as u64 == HEAD).then_some(head.len()));
    Ok(end.map(|end| {
        let hash = blake3::hash(&head[..end]);
        hash.as_bytes()[..8].iter().fold(0, |name, byte| name << 8 | u64::from(*byte))
    }))
}

/// The lines of a file from its end.
struct Backwards {
    file: File,
    /// Where `bytes` begins in the file.
    start: u64,
    /// What was read and not given yet.
    bytes: Vec<u8>,
}

impl Backwards {
    fn new(file: Opened) -> Self {
        Self { file: file.file, start: file.len, bytes: Vec::new() }
    }

    /// Offset and content of the line before.
    fn next_line(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            let content = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
            if let Some(end) = content.iter().rposition(|b| *b == b'\n') {
                let line = content[end + 1..].to_vec();
                self.bytes.truncate(end + 1);
                return Ok(Some((self.start + end as u64 + 1, line)));
            }
            if self.start == 0 {
                let line = content.to_vec();
                let none = self.bytes.is_empty();
                self.bytes.clear();
                return Ok((!none).then_some((0, line)));
            }
            self.read_block()?;
        }
    }

    fn read_block(&mut self) -> io::Result<()> {
        let start = self.start.saturating_sub(BLOCK as u64);
        let mut bytes = vec![0; (self.start - start) as usize];
        self.file.seek(SeekFrom::Start(start))?;
        self.file.read_exact(&mut bytes)?;
        bytes.append(&mut self.bytes);
        // Only ever of one line: whole lines were given before.
        bytes.truncate(MAX_LINE + BLOCK);
        (self.start, self.bytes) = (start, bytes);
        Ok(())
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
