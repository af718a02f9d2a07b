//! Files as they are read for a conversion, new ones and those that come from the archive.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text;

use super::input::unreadable;
use super::limits::IN_MEMORY;
use super::pool::{Conversion, SourceContext};
use super::unit::Finisher;
use super::{Arguments, Content, ConvertError, Converter, Input, Streams, Unit};
use crate::archive;
use crate::platform::{self, FileStat};
use crate::queue::Fingerprint;

/// A file as it was read.
pub(crate) struct FileRead {
    held: Held,
    pub(crate) fingerprint: Fingerprint,
    /// What its report ids are derived from, if it was taken before and is sent again.
    pub(crate) again: Option<TakenBy>,
}

/// Its content: in memory, or where it can be read again.
#[derive(Debug)]
enum Held {
    Bytes(Vec<u8>),
    /// Open, as it was when it was read for its hash.
    File(File, FileStat),
    Copy(archive::file::Copy),
}

/// Bytes that are read at once.
const BLOCK: usize = 256 * 1024;

impl Streams for Held {
    fn stream(&self) -> io::Result<Box<dyn BufRead + '_>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(bytes.as_slice())),
            Self::File(file, _) => from_the_beginning(file).map(|file| Box::new(file) as Box<dyn BufRead>),
            Self::Copy(copy) => copy.open(),
        }
    }
}

impl FileRead {
    /// Bytes that somebody sent, under a name.
    pub(crate) fn of_bytes(name: &str, bytes: Vec<u8>) -> Self {
        let (size, hash) = (bytes.len() as u64, *blake3::hash(&bytes).as_bytes());
        let modified_ns = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let path = name.into();
        let fingerprint = Fingerprint { source: String::new(), path, file_id: [0; 16], size, modified_ns, hash };
        Self { held: Held::Bytes(bytes), fingerprint, again: None }
    }

    /// Its first bytes.
    pub(crate) fn head(&self) -> Result<Cow<'_, [u8]>, ConvertError> {
        self.content().head().map_err(unreadable)
    }

    /// The converter that its source has for it.
    pub(crate) fn choose(&self, source: &SourceContext) -> Result<Arc<dyn Converter>, ConvertError> {
        source.converter.of(&self.head()?)
    }

    fn content(&self) -> Content<'_> {
        match &self.held {
            Held::Bytes(bytes) => Content::Bytes(bytes),
            held => Content::Stream(held),
        }
    }

    /// False if somebody wrote to it since it was hashed.
    fn is_as_it_was(&self) -> io::Result<bool> {
        match &self.held {
            Held::File(file, before) => Ok(platform::stat(file)? == *before),
            Held::Bytes(_) | Held::Copy(_) => Ok(true),
        }
    }
}

fn from_the_beginning(mut file: &File) -> io::Result<BufReader<&File>> {
    file.rewind()?;
    Ok(BufReader::with_capacity(BLOCK, file))
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
    let (label, copy) = archive::file::Copy::check(path, source.max_file_bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Conversion::Vanished,
        std::io::ErrorKind::FileTooLarge => {
            let error = ErrorReport::new(Code::FileTooLarge, format!("{shown}: {error}"));
            Conversion::Broken { error, fingerprint: None }
        }
        _ => unreadable(&error),
    })?;
    let fingerprint = label.fingerprint().ok_or_else(|| unreadable(&"its label is not complete"))?;
    let fingerprint = Fingerprint { source: source.name.clone(), ..fingerprint };
    let held = if label.size > IN_MEMORY {
        Held::Copy(copy)
    } else {
        let mut bytes = Vec::new();
        copy.open().and_then(|mut content| content.read_to_end(&mut bytes)).map_err(|error| unreadable(&error))?;
        Held::Bytes(bytes)
    };
    Ok(FileRead { held, fingerprint, again: Some(TakenBy { source: label.source, converter: label.converter }) })
}

/// The whole file as it is now, or why not.
pub(crate) fn read_file(path: &Path, source: &SourceContext, last_try: bool) -> Result<FileRead, Conversion> {
    let shown = text::path(path);
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Conversion::Vanished,
        _ => Conversion::Unreadable { error: ErrorReport::new(Code::FileUnreadable, format!("{shown} cannot be read: {error}")) },
    };
    let file = File::open(path).map_err(unreadable)?;
    let before = platform::stat(&file).map_err(unreadable)?;
    let limit = source.max_file_bytes;
    if before.size > limit {
        let message = format!("{shown} has {} bytes, at most {limit} are read", before.size);
        return Err(Conversion::Broken { error: ErrorReport::new(Code::FileTooLarge, message), fingerprint: None });
    }
    let in_memory = before.size <= IN_MEMORY;
    let mut bytes = Vec::with_capacity(if in_memory { usize::try_from(before.size).unwrap_or(0) } else { 0 });
    let (length, hash) = if in_memory {
        (&file).take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        (bytes.len() as u64, *blake3::hash(&bytes).as_bytes())
    } else {
        hash(&mut from_the_beginning(&file).map_err(unreadable)?.take(limit + 1)).map_err(unreadable)?
    };
    let after = platform::stat(&file).map_err(unreadable)?;
    if after != before || length != before.size {
        return Err(Conversion::Changed);
    }
    let FileStat { file_id, size, modified_ns } = before;
    let fingerprint = Fingerprint { source: source.name.clone(), path: path.to_owned(), file_id, size, modified_ns, hash };
    if size == 0 {
        let error = ErrorReport::new(Code::FileEmpty, format!("{shown} has 0 bytes"));
        return Err(if last_try {
            Conversion::Broken { error, fingerprint: Some(fingerprint) }
        } else {
            Conversion::Incomplete { error }
        });
    }
    let held = if in_memory { Held::Bytes(bytes) } else { Held::File(file, before) };
    Ok(FileRead { held, fingerprint, again: None })
}

/// Length and blake3 of a stream.
///
/// # Errors
/// Any I/O error.
pub(crate) fn hash(stream: &mut dyn BufRead) -> io::Result<(u64, [u8; 32])> {
    let (mut hasher, mut length) = (blake3::Hasher::new(), 0);
    loop {
        let block = stream.fill_buf()?;
        if block.is_empty() {
            return Ok((length, *hasher.finalize().as_bytes()));
        }
        hasher.update(block);
        let read = block.len();
        length += read as u64;
        stream.consume(read);
    }
}

/// Shows each unit of a file, with what makes a report of it, until it is enough.
pub(crate) fn each_unit(
    read: &FileRead,
    converter: &dyn Converter,
    source: &SourceContext,
    mut each: impl FnMut(Result<Unit, ConvertError>, &mut Finisher<'_>) -> ControlFlow<()>,
) -> Result<(), ConvertError> {
    let FileRead { fingerprint, again, .. } = read;
    let content = read.content();
    let modified = Timestamp::from_nanosecond(i128::from(fingerprint.modified_ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    let file_name = fingerprint.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let input = Input { content, file_name: &file_name, modified, arguments: Arguments::new(&source.arguments) };
    let name = again.as_ref().and_then(|taken| taken.converter.as_deref()).unwrap_or(converter.name());
    let taken_by = again.as_ref().map_or(fingerprint.source.as_str(), |taken| taken.source.as_str());
    let mut finisher = Finisher::new(name, taken_by, &source.station, input).of(converter);
    let result = converter.convert(&input, &mut |unit| each(unit, &mut finisher));
    // Whatever came of it, it may have come of two files.
    if !read.is_as_it_was().map_err(unreadable)? {
        return Err(ConvertError::Changed);
    }
    result
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test's own files")]
mod tests {
    use std::io::Write as _;

    use waybill_shared::config;

    use super::super::registry::Registry;
    use super::*;
    use crate::agent::source_context;
    use crate::archive::tests::{committed, keep};

    const REPORT: &str = r#"<Report type="UUT" SN="s" PN="p" Rev="1" Result="Passed" Start="2026-01-30T12:00:00+01:00"><UUT/><Process Code="10"/>
        <Step Name="root" StepType="SequenceCall" Status="Passed"><SequenceCall Name="x"/></Step></Report>"#;

    fn context() -> SourceContext {
        let text = "[[source]]\nname = \"a\"\nfolder = \"x\"\nconverter = \"wsxf\"\n";
        let config = config::parse(text).unwrap();
        source_context(&Registry::built_in(), &config.source[0], &config.identity(&[]), 1 << 30).unwrap()
    }

    /// More than is held in memory.
    fn large() -> Vec<u8> {
        let mut bytes = b"<Reports xmlns=\"http://wats.virinco.com/schemas/WATS/Report/wsxf\">".to_vec();
        let padding = " ".repeat(100_000);
        while bytes.len() as u64 <= IN_MEMORY {
            bytes.extend_from_slice(REPORT.as_bytes());
            bytes.extend_from_slice(padding.as_bytes());
        }
        bytes.extend_from_slice(b"</Reports>");
        bytes
    }

    fn units(read: &FileRead, mut at_first: impl FnMut()) -> (usize, Result<(), ConvertError>) {
        let mut count = 0;
        let context = context();
        let result = each_unit(read, read.choose(&context).unwrap().as_ref(), &context, |unit, finisher| {
            if count == 0 {
                at_first();
            }
            finisher.finish(unit.unwrap()).unwrap();
            count += 1;
            ControlFlow::Continue(())
        });
        (count, result)
    }

    #[test]
    fn a_large_file_is_read_as_a_stream_and_one_that_changes_meanwhile_is_told_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.xml");
        let bytes = large();
        std::fs::write(&path, &bytes).unwrap();
        let read = read_file(&path, &context(), false).unwrap_or_else(|_| panic!("it is there"));
        assert!(matches!(read.held, Held::File(..)) && read.fingerprint.hash == *blake3::hash(&bytes).as_bytes());
        let expected = bytes.windows(7).filter(|window| *window == b"<Report".as_slice()).count() - 1;
        assert_eq!(units(&read, || ()), (expected, Ok(())));
        assert_eq!(units(&read, || ()), (expected, Ok(())), "once more from its beginning");
        let grows = || std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b" ").unwrap();
        assert_eq!(units(&read, grows), (expected, Err(ConvertError::Changed)));
    }

    #[test]
    fn a_large_copy_is_read_as_a_stream() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = large();
        let (archive, fingerprint) = committed(folder.path(), "a.xml", &bytes);
        let copy = keep(&archive, &fingerprint, "2026-01-31T12:00:00Z").unwrap();
        let read = read_archived(&copy, &context()).unwrap_or_else(|_| panic!("it is there"));
        assert!(matches!(read.held, Held::Copy(_)));
        let (count, result) = units(&read, || ());
        assert!(count > 100 && result == Ok(()));
    }
}
