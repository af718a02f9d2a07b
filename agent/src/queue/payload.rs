//! The bytes of a report as they are stored: compressed, with the hash of what they were.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use waybill_shared::fs::atomic;
use zstd::bulk::{Compressor, Decompressor};

use super::QueueError;

/// Compressed payloads above this lie in a file of their own.
const SPOOL_ABOVE_BYTES: usize = 256 * 1024;
/// Reports up to this are handed to their destinations as they came, without being read back from the store.
const AT_HAND_BYTES: usize = 64 * 1024;
/// zstd's fast levels cost less time than the disk they save.
const LEVEL: i32 = 1;

thread_local! {
    // Making one of these costs more than what they do to a small report.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A payload, ready to be stored.
#[derive(Debug)]
pub struct Payload {
    /// blake3 of the uncompressed bytes.
    pub(super) hash: [u8; 32],
    /// Length of the uncompressed bytes.
    pub(super) size: u64,
    /// Bytes that it takes in the store.
    pub(super) kept: u64,
    pub(super) stored: Stored,
    /// The uncompressed bytes, if they are few: what is sent soon need not be read back.
    pub(super) at_hand: Option<Bytes>,
}

#[derive(Debug)]
pub(super) enum Stored {
    /// zstd-compressed, in the row.
    Inline(Vec<u8>),
    /// zstd-compressed, in a file of its own under `spool/`.
    Spool(PathBuf),
}

impl Payload {
    /// Compresses; a large one is written to the spool, durably, before its row can be committed.
    ///
    /// # Errors
    /// The spool cannot be written, or compression failed.
    pub fn new(bytes: Vec<u8>, spool: &Path) -> io::Result<Self> {
        let compressed = compress(&bytes)?;
        let (hash, size, kept) = (*blake3::hash(&bytes).as_bytes(), bytes.len() as u64, compressed.len() as u64);
        let stored = if compressed.len() <= SPOOL_ABOVE_BYTES {
            Stored::Inline(compressed)
        } else {
            let path = spool.join(format!("{}.zst", uuid::Uuid::new_v4().simple()));
            atomic::create_private(&path, &compressed)?;
            Stored::Spool(path)
        };
        let at_hand = (bytes.len() <= AT_HAND_BYTES).then(|| bytes.into());
        Ok(Self { hash, size, kept, stored, at_hand })
    }

    /// Bytes that wait in memory until they are committed.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        let stored = match &self.stored {
            Stored::Inline(bytes) => bytes.len(),
            Stored::Spool(_) => 0,
        };
        stored + self.at_hand.as_ref().map_or(0, Bytes::len)
    }

    /// Removes what lies in the spool, of a payload that will not be stored after all.
    pub fn discard(self) {
        if let Stored::Spool(path) = self.stored {
            // What stays is removed at the next start: no entry names it.
            let _swept_later = std::fs::remove_file(path);
        }
    }

    /// Where it lies in the spool, if it does.
    pub(super) fn spooled(&self) -> Option<&Path> {
        match &self.stored {
            Stored::Inline(_) => None,
            Stored::Spool(path) => Some(path),
        }
    }
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(compressor) => compressor.compress(bytes),
        None => kept.insert(Compressor::new(LEVEL)?).compress(bytes),
    })
}

/// The uncompressed bytes of a stored payload, proved to be what was stored.
pub(super) fn restore(compressed: &[u8], size: u64, hash: &[u8]) -> Result<Vec<u8>, QueueError> {
    let damaged = |why: String| QueueError::Damaged(why);
    let capacity = usize::try_from(size).map_err(|_| damaged(format!("its length {size} is impossible")))?;
    // A length that was changed must not ask for more memory than a compressed text of this length can stand for.
    if size > 1024 * 1024 && size / 20_000 > compressed.len() as u64 {
        return Err(damaged(format!("its length {size} is impossible")));
    }
    let bytes = DECOMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(decompressor) => decompressor.decompress(compressed, capacity),
        None => Decompressor::new().and_then(|made| kept.insert(made).decompress(compressed, capacity)),
    });
    let bytes = bytes.map_err(|error| damaged(error.to_string()))?;
    if blake3::hash(&bytes).as_bytes()[..] == *hash { Ok(bytes) } else { Err(damaged("its checksum does not match".to_owned())) }
}

/// The stored bytes of a payload, from its row or from the spool.
pub(super) fn read(
    inline: Option<&[u8]>,
    name: Option<&str>,
    size: u64,
    hash: &[u8],
    spool: &Path,
) -> Result<Vec<u8>, QueueError> {
    match (inline, name) {
        (Some(stored), _) => restore(stored, size, hash),
        (None, Some(name)) => {
            let file = spool.join(name);
            let stored = std::fs::read(&file).map_err(|error| {
                let said = format!("{}: {error}", file.display());
                // What cannot be read now may be read later; what is not there is lost.
                if error.kind() == io::ErrorKind::NotFound { QueueError::Damaged(said) } else { QueueError::Read(said) }
            })?;
            restore(&stored, size, hash)
        }
        (None, None) => Err(QueueError::Damaged("its bytes are gone".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_payloads_are_inline_and_large_ones_in_the_spool() {
        let spool = tempfile::tempdir().unwrap();
        let small = Payload::new(b"{}".to_vec(), spool.path()).unwrap();
        assert!(matches!(small.stored, Stored::Inline(_)));
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = (0..400_000).map(|_| random.u8(..)).collect();
        let large = Payload::new(noise.clone(), spool.path()).unwrap();
        let Stored::Spool(name) = &large.stored else { panic!("{} bytes are not spooled", large.size) };
        let stored = std::fs::read(spool.path().join(name)).unwrap();
        assert_eq!(restore(&stored, large.size, &large.hash).unwrap(), noise);
        large.discard();
        assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0);
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let payload = Payload::new(b"{\"sn\":\"1\",\"value\":5.5}".to_vec(), Path::new("unused")).unwrap();
        let Stored::Inline(stored) = payload.stored else { panic!() };
        for at in 0..stored.len() {
            let mut changed = stored.clone();
            changed[at] ^= 0x10;
            if let Ok(bytes) = restore(&changed, payload.size, &payload.hash) {
                assert_eq!(bytes, b"{\"sn\":\"1\",\"value\":5.5}", "byte {at}: a change that does not change the content");
            }
        }
    }
}
