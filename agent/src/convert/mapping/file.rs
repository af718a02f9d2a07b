//! Mapping files of an instance: `mappings/NAME.toml` beside its configuration. One in use is read again when it changes, so that the next file is read as
//! it says by then.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use waybill_shared::schema::{Fault, FaultKind};
use waybill_shared::text;

use super::Mapping;
use crate::convert::ConvertError;
use crate::platform::{self, FileStat};

/// Name of the folder.
pub const FOLDER: &str = "mappings";
/// Ending of their names.
const ENDING: &str = "toml";
/// Largest mapping that is read, bytes.
const MOST: u64 = 1024 * 1024;

/// A mapping file.
pub struct MappingFile {
    name: String,
    path: PathBuf,
    kept: Mutex<Option<(FileStat, Arc<Mapping>)>>,
}

/// Names of the mappings in a folder, in their order; none if there is no folder.
#[must_use]
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| {
        let path = entry.path();
        let is_one = path.extension().is_some_and(|ending| ending == ENDING);
        is_one.then(|| path.file_stem().map(|stem| stem.to_string_lossy().into_owned())).flatten()
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

impl fmt::Debug for MappingFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappingFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl MappingFile {
    /// The mapping of a name in a folder; none if there is no such file.
    #[must_use]
    pub fn find(folder: &Path, name: &str) -> Option<Self> {
        let path = folder.join(format!("{name}.{ENDING}"));
        path.is_file().then(|| Self { name: name.to_owned(), path, kept: Mutex::default() })
    }

    /// Its name, by which a source calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The mapping as its file says it now.
    ///
    /// # Errors
    /// It cannot be read, or all of its faults.
    pub fn read(&self) -> Result<Arc<Mapping>, Vec<Fault>> {
        let unreadable = |error: io::Error| {
            vec![Fault { path: String::new(), kind: FaultKind::Missing, message: format!("it cannot be read: {error}") }]
        };
        let stat = platform::stat_path(&self.path).map_err(unreadable)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, mapping)) = kept.as_ref()
            && *of == stat
        {
            return Ok(Arc::clone(mapping));
        }
        if stat.size > MOST {
            return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {MOST} bytes"))));
        }
        let text = std::fs::read_to_string(&self.path).map_err(unreadable)?;
        let mapping = Mapping::parse(&text)?;
        if crate::convert::Converter::name(&mapping) != self.name {
            let message = format!(
                "its name is {:?}, and its file is called {:?}: a source uses one name for both",
                mapping.model.name, self.name
            );
            return Err(vec![Fault { path: "name".to_owned(), kind: FaultKind::OutOfRange, message }]);
        }
        let mapping = Arc::new(mapping);
        *kept = Some((stat, Arc::clone(&mapping)));
        Ok(mapping)
    }

    /// The same for a conversion: while the mapping cannot be used, its files wait.
    ///
    /// # Errors
    /// [`ConvertError::Unreadable`].
    pub fn for_conversion(&self) -> Result<Arc<Mapping>, ConvertError> {
        self.read().map_err(|faults| ConvertError::Unreadable { reason: self.describe(&faults) })
    }

    /// What is wrong with it, in one text.
    #[must_use]
    pub fn describe(&self, faults: &[Fault]) -> String {
        let told: Vec<_> = faults.iter().take(5).map(ToString::to_string).collect();
        let more = faults.len().saturating_sub(told.len());
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("the mapping {} cannot be used: {}{more}", text::path(&self.path), told.join("; "))
    }
}
