//! One archived file: a label, then the content.
//!
//! ```text
//! 5A 2A 4D 18          a skippable frame of zstd: readers of zstd pass it by
//! length               u32, little-endian
//! label                JSON, see [`Label`]
//! content              an ordinary zstd frame with its checksum
//! ```

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waybill_shared::fs::{atomic, sync_folder};
use waybill_shared::id::CorrelationId;

use crate::queue::Fingerprint;

/// A skippable frame of zstd (0x184D2A50 to 0x184D2A5F are).
const MAGIC: u32 = 0x184D_2A5A;
/// The form of the label.
const FORM: u32 = 1;
/// Longest label that is read, in bytes: a path may have 32 768 characters.
const LONGEST_LABEL: u32 = 512 * 1024;
/// Bytes that are read at once.
const BLOCK: usize = 256 * 1024;
/// Result files are texts; this is as fast as the disk and saves nine tenths of it.
const LEVEL: i32 = 3;

/// What a copy is a copy of. Its keys are a form that later versions read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The form of the label: 1.
    pub waybill: u32,
    /// Source that took the file.
    pub source: String,
    /// Where the equipment put it.
    pub path: String,
    /// When it was last changed, nanoseconds since 1970 UTC.
    pub modified_ns: i64,
    /// Bytes of the content.
    pub size: u64,
    /// blake3 of the content, hexadecimal.
    pub blake3: String,
    /// Volume and number of the file, hexadecimal.
    pub file_id: String,
    /// Converter that made its reports; none if that was not known any more.
    pub converter: Option<String>,
    /// The life of the file.
    pub correlation_id: CorrelationId,
    /// When its reports were queued.
    pub taken_at: Timestamp,
}

impl Label {
    /// The label of a file that was taken.
    #[must_use]
    pub fn of(fingerprint: &Fingerprint, converter: Option<String>, correlation_id: CorrelationId, taken_at: Timestamp) -> Self {
        Self {
            waybill: FORM,
            source: fingerprint.source.clone(),
            path: fingerprint.path.to_string_lossy().into_owned(),
            modified_ns: fingerprint.modified_ns,
            size: fingerprint.size,
            blake3: hex(&fingerprint.hash),
            file_id: hex(&fingerprint.file_id),
            converter,
            correlation_id,
            taken_at,
        }
    }

    /// Reads the label of a copy, and nothing of its content.
    ///
    /// # Errors
    /// It cannot be read, or is none of ours.
    pub fn read(path: &Path) -> io::Result<Self> {
        read_label(&mut File::open(path)?)
    }

    /// The hash of the content.
    #[must_use]
    pub fn hash(&self) -> Option<[u8; 32]> {
        unhex(&self.blake3)
    }

    /// The file as it was when it was taken; none if the label holds no such thing.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        Some(Fingerprint {
            source: self.source.clone(),
            path: PathBuf::from(&self.path),
            file_id: unhex(&self.file_id)?,
            size: self.size,
            modified_ns: self.modified_ns,
            hash: self.hash()?,
        })
    }
}

/// Writes a copy: whole and durable under its name, or not at all. The content is that of the label, by its length and its hash.
///
/// # Errors
/// Any I/O error, [`io::ErrorKind::InvalidData`] if the content is another one; nothing is left behind.
pub(super) fn write(place: &Path, label: &Label, content: &mut dyn BufRead) -> io::Result<()> {
    let text = serde_json::to_vec(label)?;
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= LONGEST_LABEL);
    let length = length.ok_or_else(|| io::Error::other("its path is too long"))?;
    let mut staged = atomic::Staged::create(place, &temporary(place, label), atomic::Access::Usual)?;
    staged.write(&MAGIC.to_le_bytes())?;
    staged.write(&length.to_le_bytes())?;
    staged.write(&text)?;
    let mut encoder = zstd::stream::Encoder::new(Sink(&mut staged), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(label.size))?;
    let mut content = content.take(label.size + 1);
    let (mut hasher, mut length) = (blake3::Hasher::new(), 0);
    loop {
        let block = content.fill_buf()?;
        if block.is_empty() {
            break;
        }
        length += block.len() as u64;
        if length > label.size {
            break;
        }
        hasher.update(block);
        encoder.write_all(block)?;
        let read = block.len();
        content.consume(read);
    }
    if length != label.size || Some(*hasher.finalize().as_bytes()) != label.hash() {
        return Err(damaged("it is not what was taken"));
    }
    encoder.finish()?;
    staged.sync()?;
    staged.rename()?;
    sync_folder(&atomic::folder_of(place))
}

/// Where a copy is written before it gets its name: always the same, so that what a crash left is overwritten.
pub(super) fn temporary(place: &Path, label: &Label) -> PathBuf {
    place.with_file_name(format!("{}{}", atomic::TEMPORARY_PREFIX, label.correlation_id))
}

struct Sink<'a>(&'a mut atomic::Staged);

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map(|()| bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The content of a copy.
#[derive(Debug)]
pub struct Copy {
    path: PathBuf,
    size: u64,
}

impl Copy {
    /// A copy whose content is that of its label, by its length and its hash.
    ///
    /// # Errors
    /// It cannot be read, is none of ours, is damaged, or holds more than `limit` bytes (`FileTooLarge`).
    pub fn check(path: &Path, limit: u64) -> io::Result<(Label, Self)> {
        let label = Label::read(path)?;
        if label.size > limit {
            let message = format!("its content has {} bytes, at most {limit} are read", label.size);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let copy = Self { path: path.to_owned(), size: label.size };
        let (length, hash) = crate::convert::read::hash(&mut copy.open()?)?;
        if length != label.size || Some(hash) != label.hash() {
            return Err(damaged("its content is not what was archived"));
        }
        Ok((label, copy))
    }

    /// Its content from the beginning, and at most a byte more than its label says.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn open(&self) -> io::Result<Box<dyn BufRead>> {
        let mut file = File::open(&self.path)?;
        read_label(&mut file)?;
        let content = zstd::stream::Decoder::new(file)?;
        Ok(Box::new(BufReader::with_capacity(BLOCK, content.take(self.size + 1))))
    }
}

fn read_label(file: &mut File) -> io::Result<Label> {
    let mut head = [0; 8];
    file.rewind()?;
    file.read_exact(&mut head)?;
    let [magic, length] = [&head[..4], &head[4..]].map(|part| part.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte)));
    if magic != MAGIC || length > LONGEST_LABEL {
        return Err(damaged("it does not begin with a label of Waybill"));
    }
    let mut text = Vec::new();
    file.take(u64::from(length)).read_to_end(&mut text)?;
    let label: Label = serde_json::from_slice(&text).map_err(|error| damaged(&format!("its label cannot be read: {error}")))?;
    if label.waybill != FORM {
        return Err(damaged(&format!("its label has form {}, this version knows {FORM}", label.waybill)));
    }
    Ok(label)
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test's own files")]
pub(super) mod tests {
    use super::super::tests::{committed, keep};
    use super::*;

    const TAKEN: &str = "2026-01-31T12:00:00Z";

    /// A copy that is whole, with its content.
    pub(in super::super) fn read(path: &Path, limit: u64) -> io::Result<(Label, Vec<u8>)> {
        let (label, copy) = Copy::check(path, limit)?;
        let mut content = Vec::new();
        copy.open()?.read_to_end(&mut content)?;
        Ok((label, content))
    }

    #[test]
    fn any_reader_of_zstd_gives_the_original() {
        let folder = tempfile::tempdir().unwrap();
        let content = b"measured ".repeat(10_000);
        let (archive, fingerprint) = committed(folder.path(), "a.json", &content);
        let place = keep(&archive, &fingerprint, TAKEN).unwrap();
        let bytes = std::fs::read(&place).unwrap();
        assert!(bytes.len() < 2000, "it is compressed: {}", bytes.len());
        let mut plain = Vec::new();
        zstd::stream::Decoder::new(bytes.as_slice()).unwrap().read_to_end(&mut plain).unwrap();
        assert_eq!(plain, content);
    }

    #[test]
    fn a_copy_that_the_disk_changed_or_cut_is_never_read_as_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (archive, fingerprint) = committed(folder.path(), "a.json", b"{\"a\": 1, \"b\": 2}");
        let place = keep(&archive, &fingerprint, TAKEN).unwrap();
        let whole = std::fs::read(&place).unwrap();
        for at in 0..whole.len() {
            std::fs::write(&place, &whole[..at]).unwrap();
            assert!(read(&place, 100).is_err(), "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            std::fs::write(&place, &changed).unwrap();
            if let Ok((_, content)) = read(&place, 100) {
                assert_eq!(content, b"{\"a\": 1, \"b\": 2}", "changed at {at}");
            }
        }
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (archive, fingerprint) = committed(folder.path(), "a.json", &[b' '; 101]);
        let place = keep(&archive, &fingerprint, TAKEN).unwrap();
        assert_eq!(read(&place, 100).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read(&place, 101).is_ok());
    }
}
