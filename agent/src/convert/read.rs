//! Files as they are read for a conversion, new ones and those that come from the archive.

use std::fs::File;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text;

use super::input::unreadable;
use super::pool::{Conversion, SourceContext};
use super::unit::Finisher;
use super::{Arguments, Content, ConvertError, Input, Unit};
use crate::archive;
use crate::platform::{self, FileStat};
use crate::queue::Fingerprint;

/// A file as it was read.
pub(crate) struct FileRead {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fingerprint: Fingerprint,
    /// What its report ids are derived from, if it was taken before and is sent again.
    pub(crate) again: Option<TakenBy>,
}

/// By what an archived file was taken: its ids come from these, also if its source is written otherwise by now or has another converter.
pub(crate) struct TakenBy {
    pub(crate) source: String,
    pub(crate) converter: Option<String>,
}

/// A copy in the archive, or why not.
pub(crate) fn read_archived(path: &Path, source: &SourceContext) -> Result<FileRead, Conversion> {
    let shown = text::path(path);
    let unreadable = |why: &dyn std::fmt::Display| Conversion::Unreadable {
        error: ErrorReport::new(Code::FileUnreadable, format!("the copy {shown} cannot be read: {why}"))
            .with_fix("Check the archive's disk; if the file still lies in a done folder, copy it into the watch folder instead"),
    };
    let (label, bytes) = archive::file::read(path, source.max_file_bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Conversion::Vanished,
        std::io::ErrorKind::FileTooLarge => {
            let error = ErrorReport::new(Code::FileTooLarge, format!("{shown}: {error}"));
            Conversion::Broken { error, fingerprint: None }
        }
        _ => unreadable(&error),
    })?;
    let fingerprint = label.fingerprint().ok_or_else(|| unreadable(&"its label is not complete"))?;
    let fingerprint = Fingerprint { source: source.name.clone(), ..fingerprint };
    Ok(FileRead { bytes, fingerprint, again: Some(TakenBy { source: label.source, converter: label.converter }) })
}

/// The whole file as it is now, or why not.
pub(crate) fn read_file(path: &Path, source: &SourceContext, last_try: bool) -> Result<FileRead, Conversion> {
    let shown = text::path(path);
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Conversion::Vanished,
        _ => Conversion::Unreadable { error: ErrorReport::new(Code::FileUnreadable, format!("{shown} cannot be read: {error}")) },
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let before = platform::stat(&file).map_err(unreadable)?;
    let limit = source.max_file_bytes;
    if before.size > limit {
        let message = format!("{shown} has {} bytes, at most {limit} are read", before.size);
        return Err(Conversion::Broken { error: ErrorReport::new(Code::FileTooLarge, message), fingerprint: None });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.size).unwrap_or(0));
    (&mut file).take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let after = platform::stat(&file).map_err(unreadable)?;
    if after != before || bytes.len() as u64 != before.size {
        return Err(Conversion::Changed);
    }
    let FileStat { file_id, size, modified_ns } = before;
    let hash = *blake3::hash(&bytes).as_bytes();
    let fingerprint = Fingerprint { source: source.name.clone(), path: path.to_owned(), file_id, size, modified_ns, hash };
    if bytes.is_empty() {
        let error = ErrorReport::new(Code::FileEmpty, format!("{shown} has 0 bytes"));
        return Err(if last_try {
            Conversion::Broken { error, fingerprint: Some(fingerprint) }
        } else {
            Conversion::Incomplete { error }
        });
    }
    Ok(FileRead { bytes, fingerprint, again: None })
}

/// Shows each unit of a file, with what makes a report of it, until it is enough.
pub(crate) fn each_unit(
    read: &FileRead,
    source: &SourceContext,
    mut each: impl FnMut(Result<Unit, ConvertError>, &mut Finisher<'_>) -> ControlFlow<()>,
) -> Result<(), ConvertError> {
    let FileRead { bytes, fingerprint, again } = read;
    let content = Content::Bytes(bytes);
    let converter = source.converter.of(&content.head().map_err(unreadable)?)?;
    let modified = Timestamp::from_nanosecond(i128::from(fingerprint.modified_ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    let file_name = fingerprint.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let input = Input { content, file_name: &file_name, modified, arguments: Arguments::new(&source.arguments) };
    let name = again.as_ref().and_then(|taken| taken.converter.as_deref()).unwrap_or(converter.name());
    let taken_by = again.as_ref().map_or(fingerprint.source.as_str(), |taken| taken.source.as_str());
    let mut finisher = Finisher::new(name, taken_by, &source.station, input);
    converter.convert(&input, &mut |unit| each(unit, &mut finisher))
}
