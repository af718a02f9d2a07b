//! What converters did since the agent started, each by its name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shared by those who convert and those who ask.
#[derive(Debug, Clone, Default)]
pub struct Statistics(Arc<Mutex<BTreeMap<String, Row>>>);

/// What one converter did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Row {
    /// Files that it read; each try counts.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Reports that it made of them.
    pub reports: u64,
    /// Units that are no valid reports.
    pub broken_units: u64,
    /// Files that it could not read to their end.
    pub broken_files: u64,
    /// Time in all.
    pub took: Duration,
    /// The longest time for one file.
    pub slowest: Duration,
}

impl Statistics {
    /// One more file.
    pub fn add(&self, converter: &str, file: Row) {
        let mut all = self.lock();
        if !all.contains_key(converter) {
            all.insert(converter.to_owned(), Row::default());
        }
        if let Some(row) = all.get_mut(converter) {
            row.files += file.files;
            row.bytes += file.bytes;
            row.reports += file.reports;
            row.broken_units += file.broken_units;
            row.broken_files += file.broken_files;
            row.took += file.took;
            row.slowest = row.slowest.max(file.took);
        }
    }

    /// What a converter did so far.
    #[must_use]
    pub fn of(&self, converter: &str) -> Row {
        self.lock().get(converter).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
