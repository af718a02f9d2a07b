//! Files that could not be converted, given back to their source: by hand, after a converter, its arguments or a mapping were mended.
//!
//! A file goes back to the folder that it came from, under its own name if that is free, as if the equipment had just written it; its note beside the error
//! folder's copy goes. It is never copied over anything, and a crash leaves it in the one folder or the other.

use std::path::{Path, PathBuf};

use waybill_ipc::protocol::ConversionErrorRow;
use waybill_shared::config::Config;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::atomic;
use waybill_shared::text;

use super::{post_action, sidecar};

/// Where files lie.
#[derive(Debug, Clone)]
pub struct Places {
    /// Where relative paths of the configuration begin.
    pub base: PathBuf,
    /// The archive, whose copies stay where they are.
    pub archive: PathBuf,
}

/// Where it came from, and where it would go to be taken again.
///
/// # Errors
/// Why it cannot be.
pub fn way_back(row: &ConversionErrorRow, config: &Config, places: &Places) -> Result<(PathBuf, PathBuf), ErrorReport> {
    let shown = text::printable(&row.path, 300);
    let refused = |code, why: &str, fix: &str| Err(ErrorReport::new(code, format!("{shown}: {why}")).with_fix(fix));
    let Some(place) = row.moved_to.as_deref().map(PathBuf::from) else {
        let fix = "Mend what its error says; the file lies where the equipment put it and is taken then";
        return refused(Code::RequestInvalid, "it was left where it is", fix);
    };
    if place.starts_with(&places.archive) {
        let fix = "`waybill-agent reconvert --file NAME` sends it again";
        return refused(Code::RequestInvalid, "it is a copy in the archive", fix);
    }
    let by_name = |source: &&waybill_shared::config::Source| source.name.eq_ignore_ascii_case(&row.source);
    let Some(source) = config.source.iter().find(by_name).filter(|source| source.enabled) else {
        let why = format!("its source {:?} is not configured any more, or is switched off", row.source);
        return refused(Code::RequestInvalid, &why, "Configure the source, or move the file into the folder of another one");
    };
    if !place.exists() {
        let why = format!("it is not in {} any more", text::path(&atomic::folder_of(&place)));
        return refused(Code::NotFound, &why, "Somebody took it away; nothing is left to be done");
    }
    let folder = places.base.join(&source.folder);
    let from = PathBuf::from(&row.path);
    let target = if from.starts_with(&folder) { from } else { folder.join(from.file_name().unwrap_or_default()) };
    Ok((place, target))
}

/// Moves it back; where it lies now.
///
/// # Errors
/// The OS does not let us; it is where it was.
pub fn give_back(row: &ConversionErrorRow, place: &Path, target: &Path) -> Result<PathBuf, ErrorReport> {
    let failed = |error: &dyn std::fmt::Display| {
        ErrorReport::new(Code::PostActionFailed, format!("{} cannot be moved back: {error}", text::path(place)))
    };
    let folder = atomic::folder_of(target);
    std::fs::create_dir_all(&folder).map_err(|error| failed(&error))?;
    let now = post_action::move_to(place, target).map_err(|error| failed(&error))?;
    sidecar::remove(place, row.error.correlation_id);
    Ok(now)
}
