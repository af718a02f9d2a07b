//! The archive's files in their order: by day, then by source, then by time. Links and what is not ours are passed by.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use waybill_shared::fs::atomic;

use super::is_copy;

/// A folder of a day.
pub(super) struct Day {
    pub(super) date: Date,
    pub(super) path: PathBuf,
}

/// A file of ours.
pub(super) struct Copy {
    /// Folder of its source.
    pub(super) source: String,
    /// Its own name.
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// The folders of days, the oldest first; none if there is no archive yet.
pub(super) fn days(folder: &Path) -> io::Result<Vec<Day>> {
    let mut days = Vec::new();
    for (name, path) in folders(folder)? {
        if let Some(date) = Some(&name).filter(|name| name.len() == 10).and_then(|name| name.parse().ok()) {
            days.push(Day { date, path });
        }
    }
    days.sort_by_key(|day| day.date);
    Ok(days)
}

/// The sources of a day with their folders, sorted.
pub(super) fn sources(day: &Day) -> io::Result<Vec<(String, PathBuf)>> {
    let mut sources = folders(&day.path)?;
    sources.sort();
    Ok(sources)
}

/// The copies of a source on one day, sorted; with what crashes left half-written, if that is wanted.
pub(super) fn copies(source: &str, folder: &Path, leftovers: bool) -> io::Result<Vec<Copy>> {
    let mut copies = Vec::new();
    for entry in read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let wanted = is_copy(&name) || (leftovers && name.starts_with(atomic::TEMPORARY_PREFIX));
        if wanted && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            copies.push(Copy { source: source.to_owned(), path: entry.path(), name });
        }
    }
    copies.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(copies)
}

/// A place in the order: day, folder of the source, name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(pub(super) String, pub(super) String, pub(super) String);

impl Position {
    /// As people and requests write it.
    pub(super) fn text(&self) -> String {
        format!("{}/{}/{}", self.0, self.1, self.2)
    }

    /// From what somebody wrote. It is only compared, never opened.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        Some(Self(parts.next()?, parts.next()?, parts.next()?))
    }
}

/// Which part of the archive is looked at.
pub(super) struct Part<'a> {
    /// Behind this place.
    pub(super) after: Option<&'a Position>,
    /// From this day on.
    pub(super) from: Option<Date>,
    /// Up to this day.
    pub(super) to: Option<Date>,
    /// Only the folder of this source.
    pub(super) source: Option<&'a str>,
}

/// Shows the copies of a part, one after the other, until it is enough.
pub(super) fn visit(
    folder: &Path,
    part: &Part<'_>,
    mut each: impl FnMut(Position, &Path) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    for day in days(folder)? {
        let date = day.date.to_string();
        let wanted = part.from.is_none_or(|from| day.date >= from) && part.to.is_none_or(|to| day.date <= to);
        if !wanted || part.after.is_some_and(|after| date < after.0) {
            continue;
        }
        for (source, path) in sources(&day)? {
            let passed = part.after.is_some_and(|after| (&date, &source) < (&after.0, &after.1));
            if passed || part.source.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(&source)) {
                continue;
            }
            for copy in copies(&source, &path, false)? {
                let position = Position(date.clone(), copy.source, copy.name);
                if part.after.is_none_or(|after| position > *after) && each(position, &copy.path).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn folders(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in read_dir(folder)? {
        let entry = entry?;
        if let (Ok(name), true) = (entry.file_name().into_string(), entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

/// What a folder holds; nothing, if it is not there (any more).
fn read_dir(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<std::fs::DirEntry>>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test's own files")]
mod tests {
    use waybill_shared::id::CorrelationId;

    use super::*;

    #[test]
    fn each_copy_is_shown_once_in_order_wherever_one_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let id = CorrelationId::from_bytes([9; 16]);
        let names = [
            format!("2026-01-31/a/120000.000_{id}_x.zst"),
            format!("2026-01-31/a/130000.000_{id}_x.zst"),
            // A dash comes before a slash, and the folder behind the other one all the same.
            format!("2026-01-31/a-b/110000.000_{id}_x.zst"),
            format!("2026-02-01/a/000000.000_{id}_x.zst"),
        ];
        for name in names.iter().map(String::as_str).chain(["2026-01-31/a/other.zst", "notes/a/x.zst", "2026-13-01/a/x.zst"]) {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let shown = |after: Option<&str>, from: Option<&str>, to: Option<&str>, source| {
            let after = after.map(|after| Position::parse(after).unwrap());
            let day = |text: Option<&str>| text.map(|text| text.parse().unwrap());
            let (mut shown, part) = (Vec::new(), Part { after: after.as_ref(), from: day(from), to: day(to), source });
            let end = visit(folder.path(), &part, |position, _| {
                shown.push(position.text());
                ControlFlow::Continue(())
            });
            assert_eq!(end.unwrap(), ControlFlow::Continue(()));
            shown
        };
        assert_eq!(shown(None, None, None, None), names);
        for at in 0..names.len() {
            assert_eq!(shown(Some(&names[at]), None, None, None), names[at + 1..]);
        }
        assert_eq!(shown(None, Some("2026-02-01"), None, None), names[3..]);
        assert_eq!(shown(None, None, Some("2026-01-31"), None), names[..3]);
        assert_eq!(shown(None, None, None, Some("A-B")), names[2..3]);
        assert_eq!(days(&folder.path().join("not there")).unwrap().len(), 0);
    }
}
