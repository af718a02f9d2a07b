//! The bytes of a report as they are stored: compressed, with the hash of what they were.

use std::io;
use std::path::Path;

use waybill_shared::fs::atomic;

use super::QueueError;

/// Compressed payloads above this lie in a file of their own.
const SPOOL_ABOVE_BYTES: usize = 256 * 1024;
/// zstd's fast levels cost less time than the disk they save.
const LEVEL: i32 = 1;

/// A payload, ready to be stored.
#[derive(Debug)]
pub struct Payload {
    /// blake3 of the uncompressed bytes.
    pub(super) hash: [u8; 32],
    /// Length of the uncompressed bytes.
    pub(super) size: u64,
    pub(super) stored: Stored,
}

#[derive(Debug)]
pub(super) enum Stored {
    /// zstd-compressed, in the row.
    Inline(Vec<u8>),
    /// zstd-compressed, in a file of this name under `spool/`.
    Spool(String),
}

impl Payload {
    /// Compresses; a large one is written to the spool, durably, before its row can be committed.
    ///
    /// # Errors
    /// The spool cannot be written, or compression failed.
    pub fn new(bytes: &[u8], spool: &Path) -> io::Result<Self> {
        let compressed = zstd::bulk::compress(bytes, LEVEL)?;
        let stored = if compressed.len() <= SPOOL_ABOVE_BYTES {
            Stored::Inline(compressed)
        } else {
            let name = format!("{}.zst", uuid::Uuid::new_v4().simple());
            atomic::create_private(&spool.join(&name), &compressed)?;
            Stored::Spool(name)
        };
        Ok(Self { hash: *blake3::hash(bytes).as_bytes(), size: bytes.len() as u64, stored })
    }

    /// Bytes that wait in memory until they are committed.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        match &self.stored {
            Stored::Inline(bytes) => bytes.len(),
            Stored::Spool(_) => 0,
        }
    }

    /// Removes what lies in the spool, of a payload that will not be stored after all.
    pub fn discard(self, spool: &Path) {
        if let Stored::Spool(name) = self.stored {
            // What stays is removed at the next start: no entry names it.
            let _swept_later = std::fs::remove_file(spool.join(name));
        }
    }
}

/// The uncompressed bytes of a stored payload, proved to be what was stored.
pub(super) fn restore(compressed: &[u8], size: u64, hash: &[u8]) -> Result<Vec<u8>, QueueError> {
    let damaged = |why: String| QueueError::Damaged(why);
    let capacity = usize::try_from(size).map_err(|_| damaged(format!("its length {size} is impossible")))?;
    let bytes = zstd::bulk::decompress(compressed, capacity).map_err(|error| damaged(error.to_string()))?;
    if blake3::hash(&bytes).as_bytes()[..] == *hash { Ok(bytes) } else { Err(damaged("its checksum does not match".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_payloads_are_inline_and_large_ones_in_the_spool() {
        let spool = tempfile::tempdir().unwrap();
        let small = Payload::new(b"{}", spool.path()).unwrap();
        assert!(matches!(small.stored, Stored::Inline(_)));
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = (0..400_000).map(|_| random.u8(..)).collect();
        let large = Payload::new(&noise, spool.path()).unwrap();
        let Stored::Spool(name) = &large.stored else { panic!("{} bytes are not spooled", large.size) };
        let stored = std::fs::read(spool.path().join(name)).unwrap();
        assert_eq!(restore(&stored, large.size, &large.hash).unwrap(), noise);
        large.discard(spool.path());
        assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0);
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let payload = Payload::new(b"{\"sn\":\"1\",\"value\":5.5}", Path::new("unused")).unwrap();
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
