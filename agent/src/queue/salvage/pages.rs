//! Rows of a store whose tree is broken, straight from its pages.
//!
//! A page that is damaged takes with it the way to all pages below. These are whole, and each row on them tells by its shape which table it
//! belongs to. What is read here may be old: a page that is not used any more still holds what was on it. It only fills the gaps that
//! reading by the tree leaves.
//!
//! The format is SQLite's, as its documentation states it (`fileformat2.html`): pages, cells, overflow chains, records, frames of the log.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use rusqlite::types::Value;

/// Size of a page if the header does not tell.
const USUAL_PAGE: usize = 4096;
/// Largest row that is put together from a chain of pages, bytes.
const LARGEST_ROW: u64 = 64 * 1024 * 1024;

/// The pages of a store, as they are after its log.
pub(super) struct Pages {
    file: File,
    log: Option<File>,
    /// Where the newest version of a page begins in the log.
    in_log: HashMap<u32, u64>,
    size: usize,
    count: u32,
    unused: HashSet<u32>,
}

/// A row, and the number by which its table knows it, if it is one of those tables.
pub(super) struct Row {
    pub(super) number: Option<i64>,
    pub(super) values: Vec<Value>,
}

impl Pages {
    /// Opens a store and what belongs to it; nothing is changed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut header = [0; 100];
        let read = file.read(&mut header)?;
        let size = page_size(header.get(..read).unwrap_or_default());
        let mut log = File::open(super::beside(path, "-wal")).ok();
        let in_log = match &mut log {
            Some(log) => frames(log, size).unwrap_or_default(),
            None => HashMap::new(),
        };
        let length = file.metadata()?.len();
        let in_file = u32::try_from(length.div_ceil(size as u64)).unwrap_or(u32::MAX);
        let count = in_log.keys().copied().max().unwrap_or(0).max(in_file);
        let mut pages = Self { file, log, in_log, size, count, unused: HashSet::new() };
        pages.unused = pages.freelist();
        Ok(pages)
    }

    /// Every row on every page that is in use, page by page.
    pub(super) fn rows(&mut self, mut take: impl FnMut(Row)) {
        for number in 1..=self.count {
            if self.unused.contains(&number) {
                continue;
            }
            let Ok(page) = self.page(number) else { continue };
            self.rows_of(number, &page, &mut take);
        }
    }

    fn page(&mut self, number: u32) -> io::Result<Vec<u8>> {
        let mut page = vec![0; self.size];
        let (from, at) = match (self.in_log.get(&number), &mut self.log) {
            (Some(at), Some(log)) => (log, *at),
            _ => (&mut self.file, u64::from(number - 1) * self.size as u64),
        };
        from.seek(SeekFrom::Start(at))?;
        let mut filled = 0;
        while let Some(rest) = page.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match from.read(rest)? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(page)
    }

    /// Pages that are on the list of unused ones, as far as it can be followed.
    fn freelist(&mut self) -> HashSet<u32> {
        let mut unused = HashSet::new();
        let Ok(first) = self.page(1) else { return unused };
        if !first.starts_with(b"SQLite format 3\0") {
            return unused;
        }
        let mut trunk = number_at(&first, 32).unwrap_or(0);
        while trunk != 0 && trunk <= self.count && unused.insert(trunk) {
            let Ok(page) = self.page(trunk) else { break };
            let leaves = number_at(&page, 4).unwrap_or(0).min(u32::try_from(self.size / 4).unwrap_or(0));
            for leaf in 0..leaves as usize {
                unused.extend(number_at(&page, 8 + 4 * leaf).filter(|leaf| (1..=self.count).contains(leaf)));
            }
            trunk = number_at(&page, 0).unwrap_or(0);
        }
        unused
    }

    fn rows_of(&mut self, page_number: u32, page: &[u8], take: &mut impl FnMut(Row)) {
        let start = if page_number == 1 { 100 } else { 0 };
        let (of_table, head, child) = match page.get(start) {
            Some(0x0d) => (true, 8, 0),
            Some(0x0a) => (false, 8, 0),
            Some(0x02) => (false, 12, 4),
            _ => return,
        };
        let Some(cells) = short(page, start + 3) else { return };
        for cell in 0..usize::from(cells) {
            let Some(at) = short(page, start + head + 2 * cell).map(usize::from) else { return };
            if at < start + head {
                continue;
            }
            if let Some(row) = self.row(page, at + child, of_table) {
                take(row);
            }
        }
    }

    fn row(&mut self, page: &[u8], at: usize, of_table: bool) -> Option<Row> {
        let mut cursor = at;
        let length = varint(page, &mut cursor)?;
        let length = u64::try_from(length).ok().filter(|length| *length <= LARGEST_ROW)?;
        let number = if of_table { Some(varint(page, &mut cursor)?) } else { None };
        let payload = self.payload(page, cursor, length, of_table)?;
        Some(Row { number, values: record(&payload)? })
    }

    /// The bytes of a row: those on its page, and those on the pages of its chain as far as they can be followed.
    fn payload(&mut self, page: &[u8], at: usize, length: u64, of_table: bool) -> Option<Vec<u8>> {
        let usable = self.size as u64;
        let most = if of_table { usable - 35 } else { (usable - 12) * 64 / 255 - 23 };
        if length <= most {
            return page.get(at..at + usize::try_from(length).ok()?).map(<[u8]>::to_vec);
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let here = least + (length - least) % (usable - 4);
        let here = usize::try_from(if here <= most { here } else { least }).ok()?;
        let mut payload = page.get(at..at + here)?.to_vec();
        let mut next = number_at(page, at + here)?;
        let mut seen = HashSet::new();
        while (payload.len() as u64) < length && next != 0 && next <= self.count && seen.insert(next) {
            let page = self.page(next).ok()?;
            let left = usize::try_from(length).ok()? - payload.len();
            payload.extend_from_slice(page.get(4..)?.get(..left.min(self.size - 4))?);
            next = number_at(&page, 0)?;
        }
        Some(payload)
    }
}

fn page_size(header: &[u8]) -> usize {
    match short(header, 16) {
        Some(1) => 65_536,
        Some(size) if size >= 512 && size.is_power_of_two() => usize::from(size),
        _ => USUAL_PAGE,
    }
}

/// Where the newest committed version of each page begins in the log.
fn frames(log: &mut File, size: usize) -> io::Result<HashMap<u32, u64>> {
    let mut header = [0; 32];
    log.read_exact(&mut header)?;
    let big = match number_at(&header, 0) {
        Some(0x377f_0683) => true,
        Some(0x377f_0682) => false,
        _ => return Ok(HashMap::new()),
    };
    let salts = (number_at(&header, 16), number_at(&header, 20));
    let mut sum = checksum(big, (0, 0), header.get(..24).unwrap_or_default());
    let (mut committed, mut pending) = (HashMap::new(), HashMap::new());
    let mut at = 32_u64;
    let mut frame = vec![0; 24 + size];
    while log.read_exact(&mut frame).is_ok() {
        let told = (number_at(&frame, 16), number_at(&frame, 20));
        sum = checksum(big, sum, frame.get(..8).unwrap_or_default());
        sum = checksum(big, sum, frame.get(24..).unwrap_or_default());
        // The first frame that does not fit ends the log, as it does for SQLite.
        if (number_at(&frame, 8), number_at(&frame, 12)) != salts || told != (Some(sum.0), Some(sum.1)) {
            break;
        }
        pending.insert(number_at(&frame, 0).unwrap_or(0), at + 24);
        if number_at(&frame, 4).is_some_and(|pages| pages > 0) {
            committed.extend(pending.drain());
        }
        at += frame.len() as u64;
    }
    Ok(committed)
}

fn checksum(big: bool, mut sum: (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let word = |bytes: &[u8]| {
        let bytes = <[u8; 4]>::try_from(bytes).unwrap_or_default();
        if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    for pair in bytes.chunks_exact(8) {
        let (first, second) = pair.split_at(4);
        sum.0 = sum.0.wrapping_add(word(first)).wrapping_add(sum.1);
        sum.1 = sum.1.wrapping_add(word(second)).wrapping_add(sum.0);
    }
    sum
}

/// The values of a record; those whose bytes are missing are null.
fn record(bytes: &[u8]) -> Option<Vec<Value>> {
    let mut cursor = 0;
    let header = usize::try_from(varint(bytes, &mut cursor)?).ok().filter(|header| *header <= bytes.len())?;
    let mut at = header;
    let mut values = Vec::new();
    while cursor < header {
        let kind = varint(bytes, &mut cursor)?;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            12.. => usize::try_from((kind - 12) / 2).ok()?,
            _ => return None,
        };
        let value = at.checked_add(length).and_then(|end| bytes.get(at..end));
        values.push(match (kind, value) {
            (8, _) => Value::Integer(0),
            (9, _) => Value::Integer(1),
            (0, _) | (_, None) => Value::Null,
            (1..=6, Some(value)) => Value::Integer(integer(value)),
            (7, Some(value)) => Value::Real(f64::from_be_bytes(<[u8; 8]>::try_from(value).unwrap_or_default())),
            (kind, Some(value)) if kind % 2 == 0 => Value::Blob(value.to_vec()),
            (_, Some(value)) => Value::Text(String::from_utf8_lossy(value).into_owned()),
        });
        at = at.saturating_add(length);
    }
    Some(values)
}

fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |value, byte| (value << 8) | i64::from(*byte))
}

fn varint(bytes: &[u8], cursor: &mut usize) -> Option<i64> {
    let mut value: u64 = 0;
    for index in 0..9 {
        let byte = *bytes.get(*cursor)?;
        *cursor += 1;
        if index == 8 {
            value = (value << 8) | u64::from(byte);
            break;
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value.cast_signed())
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes)
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
}
