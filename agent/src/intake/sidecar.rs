//! The note beside a file that could not be converted: what is wrong, where, what to do.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use waybill_shared::error::ErrorReport;
use waybill_shared::fs::atomic;
use waybill_shared::id::CorrelationId;

use super::post_action::shortened_name;

/// Ending of sidecar names.
const ENDING: &str = ".error.json";
/// Notes of one name in one day, at most.
const MOST: u32 = 100_000;

#[derive(Serialize)]
struct Sidecar<'a> {
    /// Where the equipment put the file.
    file: String,
    source: &'a str,
    at: jiff::Timestamp,
    #[serde(flatten)]
    error: &'a ErrorReport,
}

/// Writes the note beside `place`, which is where the file is now, or where it would be; the note's path. It never takes the place of
/// another file.
///
/// # Errors
/// The OS does not let us.
pub fn write(place: &Path, original: &Path, source: &str, error: &ErrorReport) -> io::Result<PathBuf> {
    let note = Sidecar { file: waybill_shared::text::path(original), source, at: jiff::Timestamp::now(), error };
    let text = serde_json::to_vec_pretty(&note).map_err(io::Error::other)?;
    let temporary = place.with_file_name(format!("{}{:016x}", atomic::TEMPORARY_PREFIX, fastrand::u64(..)));
    atomic::create_private(&temporary, &text)?;
    for number in 1..MOST {
        let sidecar = name(place, number);
        match crate::platform::move_new(&temporary, &sidecar) {
            Ok(()) => return Ok(sidecar),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                let _already_failed = std::fs::remove_file(&temporary);
                return Err(error);
            }
        }
    }
    let _already_failed = std::fs::remove_file(&temporary);
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// Removes the note beside `place` that is of this life of the file; others and what cannot be read stay.
pub fn remove(place: &Path, correlation_id: Option<CorrelationId>) {
    /// Notes of one name that are looked at.
    const LOOKED_AT: u32 = 100;
    for number in 1..LOOKED_AT {
        let sidecar = name(place, number);
        let Ok(bytes) = std::fs::read(&sidecar) else { return };
        let note: Option<ErrorReport> = serde_json::from_slice(&bytes).ok();
        if note.is_some_and(|note| note.correlation_id.is_some() && note.correlation_id == correlation_id) {
            let _it_is_only_a_note = std::fs::remove_file(&sidecar);
            return;
        }
    }
}

/// The sidecar's name of a file: the first choice, or one with a number if that is taken.
fn name(file: &Path, number: u32) -> PathBuf {
    let name = file.file_name().unwrap_or_default();
    let ending = if number == 1 { ENDING.to_owned() } else { format!(" ({number}){ENDING}") };
    if name.len() + ending.len() <= 255 {
        let mut name = name.to_owned();
        name.push(ending);
        return file.with_file_name(name);
    }
    let text = name.to_string_lossy();
    let hash = blake3::hash(name.as_encoded_bytes()).to_hex();
    file.with_file_name(format!("{}{}{ending}", shortened_name(&text, &ending), &hash[..8]))
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
        assert_eq!(sidecar, name(&place, 1));
        let note: serde_json::Value = serde_json::from_slice(&std::fs::read(sidecar).unwrap()).unwrap();
        assert_eq!((note["code"].as_str(), note["source"].as_str()), (Some("WB3002"), Some("ict")));
        assert_eq!(note["file"].as_str(), Some("/watch/a.json"));
        assert!(note["fix"].as_str().is_some_and(|fix| !fix.is_empty()));
    }

    #[test]
    fn a_note_never_takes_the_place_of_a_file_or_of_another_note() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.json");
        let notes: Vec<_> = (0..3)
            .map(|n| write(&place, &place, "ict", &ErrorReport::new(Code::FileIncomplete, format!("{n}"))).unwrap())
            .collect();
        assert_eq!(notes[2], folder.path().join("a.json (3).error.json"));
        assert!(std::fs::read_to_string(&notes[0]).unwrap().contains("\"0\""));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn the_longest_names_have_sidecars_of_their_own() {
        let (a, b) = (format!("{}a.json", "x".repeat(249)), format!("{}b.json", "x".repeat(249)));
        let names = [name(Path::new(&a), 1), name(Path::new(&b), 1)];
        assert_ne!(names[0], names[1]);
        assert!(names.iter().all(|name| name.as_os_str().len() <= 255));
    }
}
