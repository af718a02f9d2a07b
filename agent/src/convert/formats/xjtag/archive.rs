//! The zip of an `.xjlog`, read with bounds: how many entries, what one may become, and all of them together.

use std::io::{Cursor, Read as _};

use waybill_shared::text::printable;
use zip::ZipArchive;

use super::malformed;
use crate::convert::ConvertError;
use crate::convert::ground::xml::Xml;

/// What an archive may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most entries. Those seen have four for each run; six runs at once are seen.
    pub(super) entries: usize,
    /// Most bytes that one entry may become. Runs seen have 50 kB.
    pub(super) entry_bytes: u64,
    /// Most bytes that all entries that are read may become.
    pub(super) all_bytes: u64,
}

/// The bounds that hold.
pub(super) const BOUNDS: Bounds = Bounds { entries: 4096, entry_bytes: 64 * 1024 * 1024, all_bytes: 256 * 1024 * 1024 };
/// What `Info.xml` may become.
const INFO_BYTES: u64 = 1024 * 1024;
/// The end of the central directory, with which a zip ends: 22 bytes and a comment, whose length is its last two.
const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;

/// The archive.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    entry_bytes: u64,
    /// Bytes that may still come out of it.
    left: u64,
}

/// What `Info.xml` says.
#[derive(Debug, Default)]
pub(super) struct Info {
    /// How many runs there are.
    pub(super) runs: Option<u64>,
    /// Path of the project.
    pub(super) project: Option<String>,
    /// Everything else, by its name.
    pub(super) others: Vec<(String, String)>,
}

/// True for the beginning of a zip.
pub(super) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(END)
}

/// How sure it is that a zip that begins so is one of XJTAG's: by the names in it.
pub(super) fn sniff(head: &[u8]) -> u8 {
    let is_run = |window: &[u8]| window.starts_with(b"Run ") && window[4].is_ascii_digit() && (window[5..].contains(&b'.'));
    let has_run = head.windows(12).any(is_run);
    let has_info = head.windows(8).any(|window| window == b"Info.xml");
    match (has_run, has_info) {
        (true, true) => 95,
        (true, false) => 80,
        (false, true) => 45,
        (false, false) => 0,
    }
}

impl<'a> Archive<'a> {
    /// Opens a zip that is whole: a directory stands at its very end.
    pub(super) fn open(bytes: &'a [u8], bounds: Bounds) -> Result<Self, ConvertError> {
        let Some(announced) = entries(bytes) else {
            return Err(ConvertError::Incomplete {
                place: format!("byte {}", bytes.len()),
                reason: "the zip has no directory at its end".to_owned(),
            });
        };
        if announced > bounds.entries {
            return Err(malformed("the archive", &format!("it has {announced} entries, at most {} are read", bounds.entries)));
        }
        let zip =
            ZipArchive::new(Cursor::new(bytes)).map_err(|error| malformed("the archive", &format!("no valid zip: {error}")))?;
        if zip.len() != announced {
            let reason = format!("its directory announces {announced} entries and names {}, each once", zip.len());
            return Err(malformed("the archive", &reason));
        }
        Ok(Self { zip, entry_bytes: bounds.entry_bytes, left: bounds.all_bytes })
    }

    /// Place and name of each run, in the order of their numbers.
    pub(super) fn runs(&self) -> Vec<(usize, String)> {
        let number = |name: &str| name.strip_prefix("Run ")?.strip_suffix(".xml")?.parse::<u32>().ok();
        let named =
            self.zip.file_names_raw().enumerate().filter_map(|(index, raw)| Some((index, std::str::from_utf8(raw).ok()?)));
        let mut runs: Vec<_> = named.filter_map(|(index, name)| Some((number(name)?, index, name.to_owned()))).collect();
        runs.sort_unstable();
        runs.into_iter().map(|(_, index, name)| (index, name)).collect()
    }

    /// What an entry becomes.
    pub(super) fn read(&mut self, index: usize) -> Result<Vec<u8>, ConvertError> {
        self.bounded(index, self.entry_bytes)
    }

    /// What `Info.xml` says; nothing if there is none.
    pub(super) fn info(&mut self) -> Result<Info, ConvertError> {
        let Some(index) = self.zip.index_for_name("Info.xml") else {
            return Err(malformed("the archive", "there is none"));
        };
        let bytes = self.bounded(index, INFO_BYTES)?;
        let mut xml = Xml::new(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes));
        let mut info = Info::default();
        while let Some(element) = xml.next(|path| path.len() == 2)? {
            let text = element.text().trim().to_owned();
            match element.name() {
                "TestRunCount" => info.runs = Some(text.parse().map_err(|_| malformed("TestRunCount", "it is no number"))?),
                "ProjectPath" => info.project = Some(text).filter(|text| !text.is_empty()),
                name => info.others.push((name.to_owned(), text)),
            }
        }
        Ok(info)
    }

    fn bounded(&mut self, index: usize, most: u64) -> Result<Vec<u8>, ConvertError> {
        let most = most.min(self.left);
        let wrong = |reason: String| malformed("its entry", &reason);
        let entry = self.zip.by_index(index).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
        let mut bytes = Vec::new();
        // What the entry says of its size is not believed.
        entry.take(most + 1).read_to_end(&mut bytes).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
        let length = bytes.len() as u64;
        if length > most {
            return Err(wrong(format!("unpacked it has more than {most} bytes, which is more than is read")));
        }
        self.left -= length;
        Ok(bytes)
    }
}

/// How many entries the directory at the end of a zip announces; none if it does not end with one.
fn entries(bytes: &[u8]) -> Option<usize> {
    let earliest = bytes.len().saturating_sub(END_BYTES + usize::from(u16::MAX));
    let tail = bytes.get(earliest..)?;
    let number = |at: &[u8]| at.first_chunk::<2>().map(|two| usize::from(u16::from_le_bytes(*two)));
    let ends = |at: usize| {
        let record = tail.get(at..)?;
        let comment = number(record.get(20..)?)?;
        (record.starts_with(END) && record.len() == END_BYTES + comment).then(|| number(record.get(10..)?))?
    };
    (0..tail.len().saturating_sub(END_BYTES - 1)).rev().find_map(ends)
}

impl std::fmt::Debug for Archive<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.zip.file_names_raw().map(|name| printable(&String::from_utf8_lossy(name), 60)).collect();
        f.debug_struct("Archive").field("names", &names).finish_non_exhaustive()
    }
}
