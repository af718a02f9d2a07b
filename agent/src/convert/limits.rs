//! What a conversion may cost.

use std::time::{Duration, Instant};

/// Longest time one file may take. Cooperative: looked at between units.
const LONGEST: Duration = Duration::from_secs(300);
/// Largest file that is held in memory while it is converted, bytes; a larger one is read twice, once for its hash and once by its converter.
pub(crate) const IN_MEMORY: u64 = 16 * 1024 * 1024;
/// Reports of one file that are staged together.
const CHUNK_REPORTS: usize = 128;
/// Payload bytes of one file that are staged together.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// The budget of one conversion.
#[derive(Debug)]
pub struct Budget {
    begun: Instant,
}

impl Budget {
    /// Begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { begun: Instant::now() }
    }

    /// True once the conversion has taken too long.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.begun.elapsed() > LONGEST
    }

    /// The longest time, for messages.
    #[must_use]
    pub fn longest_secs() -> u64 {
        LONGEST.as_secs()
    }
}

/// True if so many finished reports are staged before more are read.
#[must_use]
pub fn is_chunk(reports: usize, bytes: usize) -> bool {
    reports >= CHUNK_REPORTS || bytes >= CHUNK_BYTES
}
