//! A text file as a stream of lines, each with its number and whether its end was written.
//!
//! Memory: one line, which has a longest length; a file without line ends is none of lines.

use std::io::{BufRead, Read as _};

use super::text::Decoded;
use crate::convert::ConvertError;
use crate::convert::input::unreadable;

/// Longest line, bytes. The longest of a real log has some thousand.
const LONGEST: u64 = 4 * 1024 * 1024;

/// A stream of lines.
pub(in crate::convert) struct LineReader<R> {
    stream: R,
    buffer: Vec<u8>,
    number: u64,
}

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::convert) struct Line<'a> {
    /// Its number, the first is 1.
    pub(in crate::convert) number: u64,
    /// Its text without its end.
    pub(in crate::convert) text: &'a str,
    /// Whether a line end follows: the last one without may be cut.
    pub(in crate::convert) ended: bool,
}

impl<R: BufRead> LineReader<R> {
    /// Reads UTF-8 from its beginning.
    pub(in crate::convert) fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new(), number: 0 }
    }

    /// The next line; none at the end of the file.
    ///
    /// # Errors
    /// [`ConvertError::Unreadable`]; [`ConvertError::Malformed`] for a line that is too long or no text.
    pub(in crate::convert) fn next(&mut self) -> Result<Option<Line<'_>>, ConvertError> {
        self.buffer.clear();
        let read = self.stream.by_ref().take(LONGEST).read_until(b'\n', &mut self.buffer).map_err(unreadable)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let malformed =
            |reason: &str| ConvertError::Malformed { place: format!("line {}", self.number), reason: reason.to_owned() };
        let bare = self.buffer.strip_suffix(b"\n");
        if bare.is_none() && read as u64 == LONGEST {
            return Err(malformed("it is longer than a line of such a file can be"));
        }
        let ended = bare.is_some();
        let bare = bare.unwrap_or(&self.buffer);
        let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
        let text = std::str::from_utf8(bare).map_err(|_| malformed("it is no text"))?;
        Ok(Some(Line { number: self.number, text, ended }))
    }
}

impl<R: BufRead> LineReader<Decoded<R>> {
    /// What a person should know of its encoding, as far as it was read.
    pub(in crate::convert) fn note(&self) -> Option<String> {
        self.stream.note()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_with_their_number_and_a_last_one_without_end_is_told() {
        let mut lines = LineReader::new("a\r\n\nb\u{e4};c".as_bytes());
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push((line.number, line.text.to_owned(), line.ended));
        }
        assert_eq!(found, [(1, "a".to_owned(), true), (2, String::new(), true), (3, "bä;c".to_owned(), false)]);
    }

    #[test]
    fn a_file_without_line_ends_is_refused_before_it_fills_the_memory() {
        let mut lines = LineReader::new(std::io::BufReader::new(std::io::repeat(b'x')));
        assert!(matches!(lines.next(), Err(ConvertError::Malformed { .. })));
    }
}
