//! The note beside a file that could not be converted: what is wrong, where, what to do.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use waybill_shared::error::ErrorReport;
use waybill_shared::fs::atomic;

use super::post_action::shortened_name;

/// Ending of sidecar names.
const ENDING: &str = ".error.json";

#[derive(Serialize)]
struct Sidecar<'a> {
    /// Where the equipment put the file.
    file: String,
    source: &'a str,
    at: jiff::Timestamp,
    #[serde(flatten)]
    error: &'a ErrorReport,
}

/// Writes the note beside `place`, which is where the file is now, or where it would be; the note's path.
///
/// # Errors
/// The OS does not let us.
pub fn write(place: &Path, original: &Path, source: &str, error: &ErrorReport) -> io::Result<PathBuf> {
    let sidecar = name(place);
    let note = Sidecar { file: waybill_shared::text::path(original), source, at: jiff::Timestamp::now(), error };
    let text = serde_json::to_vec_pretty(&note).map_err(io::Error::other)?;
    atomic::replace(&sidecar, &text)?;
    Ok(sidecar)
}

/// The sidecar's name of a file.
#[must_use]
pub fn name(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default();
    if name.len() + ENDING.len() <= 255 {
        let mut name = name.to_owned();
        name.push(ENDING);
        return file.with_file_name(name);
    }
    let text = name.to_string_lossy();
    let hash = blake3::hash(name.as_encoded_bytes()).to_hex();
    file.with_file_name(format!("{}{}{ENDING}", shortened_name(&text, ENDING), &hash[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_shared::error::Code;

    #[test]
    fn the_note_says_what_where_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.json");
        let error = ErrorReport::new(Code::FileIncomplete, "cut");
        let sidecar = write(&place, Path::new("/watch/a.json"), "ict", &error).unwrap();
        assert_eq!(sidecar, name(&place));
        let note: serde_json::Value = serde_json::from_slice(&std::fs::read(sidecar).unwrap()).unwrap();
        assert_eq!((note["code"].as_str(), note["source"].as_str()), (Some("WB3002"), Some("ict")));
        assert_eq!(note["file"].as_str(), Some("/watch/a.json"));
        assert!(note["fix"].as_str().is_some_and(|fix| !fix.is_empty()));
    }

    #[test]
    fn the_longest_names_have_sidecars_of_their_own() {
        let (a, b) = (format!("{}a.json", "x".repeat(249)), format!("{}b.json", "x".repeat(249)));
        let names = [name(Path::new(&a)), name(Path::new(&b))];
        assert_ne!(names[0], names[1]);
        assert!(names.iter().all(|name| name.as_os_str().len() <= 255));
    }
}
