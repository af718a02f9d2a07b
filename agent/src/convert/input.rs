//! The file as a converter sees it: in memory, or too large for that and read as it is needed.

use std::borrow::Cow;
use std::fmt::Debug;
use std::io::{self, BufRead, Read as _};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::ConvertError;
use super::about::Arguments;
use super::common;
use super::ground::text::{self, Decoded, Text};

/// Bytes of a file that a converter sees to judge whether the file is its own.
pub const HEAD_BYTES: usize = 64 * 1024;

/// What a converter is given.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// What is in it.
    pub content: Content<'a>,
    /// Its name, without folders.
    pub file_name: &'a str,
    /// When it was last written: the time of a unit whose file names none.
    pub modified: Timestamp,
    /// The source's values for what the file does not say.
    pub arguments: Arguments<'a>,
}

/// What is in a file.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// All of it, in memory.
    Bytes(&'a [u8]),
    /// What is too large for that.
    Stream(&'a dyn Streams),
}

/// What can be read from its beginning as often as one likes.
pub trait Streams: Debug {
    /// A stream from the beginning. Only one is read at a time.
    ///
    /// # Errors
    /// Any I/O error.
    fn stream(&self) -> io::Result<Box<dyn BufRead + '_>>;
}

/// The beginning of a file, as far as it tells what the file is. It may end anywhere.
#[derive(Debug)]
pub struct Head<'a> {
    raw: &'a [u8],
    text: String,
}

impl<'a> Head<'a> {
    /// From the first bytes, at most [`HEAD_BYTES`] of them.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let raw = &bytes[..bytes.len().min(HEAD_BYTES)];
        let letters: Vec<u8> = raw.iter().copied().filter(|&byte| byte != 0).collect();
        Self { raw, text: String::from_utf8_lossy(&letters).into_owned() }
    }

    /// The bytes.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        self.raw
    }

    /// The same as a text. UTF-16 reads like ASCII here: its zero bytes are left out.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True if this stands somewhere in the text.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// How many of these stand in it.
    #[must_use]
    pub fn count(&self, texts: &[&str]) -> usize {
        texts.iter().filter(|text| self.contains(text)).count()
    }
}

impl<'a> Content<'a> {
    /// Its first bytes, at most [`HEAD_BYTES`].
    ///
    /// # Errors
    /// Any I/O error.
    pub fn head(self) -> io::Result<Cow<'a, [u8]>> {
        match self {
            Self::Bytes(bytes) => Ok(Cow::Borrowed(&bytes[..bytes.len().min(HEAD_BYTES)])),
            Self::Stream(stream) => {
                let mut head = Vec::with_capacity(HEAD_BYTES);
                stream.stream()?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
                Ok(Cow::Owned(head))
            }
        }
    }

    fn open(self) -> io::Result<Box<dyn BufRead + 'a>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(bytes)),
            Self::Stream(stream) => stream.stream(),
        }
    }
}

impl<'a> Input<'a> {
    /// The whole file. Only for formats whose files are small, or that cannot be read as a stream: it may not be in memory yet.
    ///
    /// # Errors
    /// [`ConvertError::Unreadable`].
    pub fn bytes(&self) -> Result<Cow<'a, [u8]>, ConvertError> {
        match self.content {
            Content::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Content::Stream(_) => {
                let mut bytes = Vec::new();
                self.content.open().and_then(|mut file| file.read_to_end(&mut bytes)).map_err(unreadable)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// The file from its beginning, as a stream.
    ///
    /// # Errors
    /// [`ConvertError::Unreadable`].
    pub fn open(&self) -> Result<Box<dyn BufRead + 'a>, ConvertError> {
        self.content.open().map_err(unreadable)
    }

    /// The whole file as text, in whatever encoding it is; the same warning holds as for [`Self::bytes`].
    ///
    /// # Errors
    /// [`ConvertError::Unreadable`].
    pub(in crate::convert) fn text(&self) -> Result<Text<'a>, ConvertError> {
        let fallback = common::encoding(self.arguments);
        Ok(match self.bytes()? {
            Cow::Borrowed(bytes) => text::decode(bytes, fallback),
            Cow::Owned(bytes) => text::decode(&bytes, fallback).into_owned(),
        })
    }

    /// The file from its beginning, as a stream of UTF-8, whatever its encoding is.
    ///
    /// # Errors
    /// [`ConvertError::Unreadable`].
    pub(in crate::convert) fn open_text(&self) -> Result<Decoded<Box<dyn BufRead + 'a>>, ConvertError> {
        let head = self.content.head().map_err(unreadable)?;
        let fallback = common::encoding(self.arguments);
        let encoding = text::shown(&head);
        let encoding =
            if encoding == encoding_rs::UTF_8 && !text::is_utf8(self.open()?).map_err(unreadable)? { fallback } else { encoding };
        Ok(Decoded::new(self.open()?, encoding))
    }

    /// The zone of times that name none.
    #[must_use]
    pub fn zone(&self) -> TimeZone {
        common::zone(self.arguments)
    }
}

/// A file that could be opened and could not be read to its end.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn unreadable(error: io::Error) -> ConvertError {
    ConvertError::Unreadable { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_any_encoding_of_ascii() {
        let wide: Vec<u8> = "<robot x".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [b"<robot x".as_slice(), &wide] {
            let head = Head::new(bytes);
            assert!(head.contains("<robot") && !head.contains("<Robot"));
            assert_eq!(head.count(&["robot", "x", "y"]), 2);
        }
        assert!(!Head::new(b"").contains("a"));
    }
}
