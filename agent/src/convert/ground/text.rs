//! From bytes to text, whatever the encoding.
//!
//! In this order (FORMATS.md section 2): a byte order mark; UTF-16 that shows itself by its zero bytes; what an XML declaration names; valid
//! UTF-8; the configured fallback. The bytes win over the declaration: a copy tool that changed the one and not the other is seen in the field.
//! ISO-8859-1 is read as windows-1252, as everywhere on the web.

use std::borrow::Cow;
use std::io::{self, BufRead};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// A file as text.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::convert) struct Text<'a> {
    /// The text, without a byte order mark.
    pub(in crate::convert) text: Cow<'a, str>,
    /// What a person should know of it: bytes that are no text in its encoding.
    pub(in crate::convert) note: Option<String>,
}

/// Bytes in which an XML declaration stands, if there is one.
const DECLARATION: usize = 200;

/// Reads bytes as text. Never fails: in the fallback every byte is a character.
pub(in crate::convert) fn decode<'a>(bytes: &'a [u8], fallback: &'static Encoding) -> Text<'a> {
    let mark = Encoding::for_bom(bytes).map_or(0, |(_, length)| length);
    read(&bytes[mark..], shown(bytes), fallback)
}

/// The encoding that the beginning of a file shows; UTF-8 if it shows none.
pub(in crate::convert) fn shown(head: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(head) {
        return encoding;
    }
    by_its_zeros(head).or_else(|| declared(head).filter(|&named| named != UTF_16LE && named != UTF_16BE)).unwrap_or(UTF_8)
}

/// True if a stream is UTF-8 to its end; a last character that is cut is one.
///
/// # Errors
/// Any I/O error.
pub(in crate::convert) fn is_utf8(mut stream: impl BufRead) -> io::Result<bool> {
    // A character that stands in two blocks, at most three bytes of it.
    let mut begun: Vec<u8> = Vec::new();
    loop {
        let block = stream.fill_buf()?;
        if block.is_empty() {
            return Ok(true);
        }
        let length = block.len();
        let mut rest = block;
        while let (false, Some((&next, after))) = (begun.is_empty(), rest.split_first()) {
            begun.push(next);
            rest = after;
            match std::str::from_utf8(&begun) {
                Ok(_) => begun.clear(),
                Err(error) if error.error_len().is_some() => return Ok(false),
                Err(_) => {}
            }
        }
        if let Err(error) = std::str::from_utf8(rest) {
            if error.error_len().is_some() {
                return Ok(false);
            }
            begun.extend_from_slice(&rest[error.valid_up_to()..]);
        }
        stream.consume(length);
    }
}

/// A stream of any encoding, read as UTF-8 and without a byte order mark. What is no text in the encoding reads as U+FFFD.
pub(in crate::convert) struct Decoded<R> {
    stream: R,
    decoder: Decoder,
    /// Decoded and not yet taken: from `at` on.
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
    wrong: bool,
}

impl<R: BufRead> Decoded<R> {
    /// Reads from the beginning of a file.
    pub(in crate::convert) fn new(stream: R, encoding: &'static Encoding) -> Self {
        let decoder = encoding.new_decoder_with_bom_removal();
        Self { stream, decoder, buffer: Vec::new(), at: 0, ended: false, wrong: false }
    }

    /// What a person should know of it, after it was read.
    pub(in crate::convert) fn note(&self) -> Option<String> {
        self.wrong.then(|| not_all_text(self.decoder.encoding()))
    }
}

impl<R: BufRead> BufRead for Decoded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.buffer.len() && !self.ended {
            let block = self.stream.fill_buf()?;
            let (length, last) = (block.len(), block.is_empty());
            self.buffer.resize(self.decoder.max_utf8_buffer_length(length).unwrap_or(usize::MAX), 0);
            let (_, read, written, wrong) = self.decoder.decode_to_utf8(block, &mut self.buffer, last);
            self.buffer.truncate(written);
            self.stream.consume(read);
            self.at = 0;
            self.wrong |= wrong;
            self.ended = last;
        }
        Ok(&self.buffer[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at = (self.at + amount).min(self.buffer.len());
    }
}

impl<R: BufRead> io::Read for Decoded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl Text<'_> {
    /// The same, on its own.
    pub(in crate::convert) fn into_owned(self) -> Text<'static> {
        Text { text: Cow::Owned(self.text.into_owned()), note: self.note }
    }
}

fn not_all_text(encoding: &'static Encoding) -> String {
    format!("some bytes are no text in {}, in which it is written: they show as \u{fffd}", encoding.name())
}

fn read<'a>(bytes: &'a [u8], encoding: &'static Encoding, fallback: &'static Encoding) -> Text<'a> {
    if encoding == UTF_8 {
        return match std::str::from_utf8(bytes) {
            Ok(text) => Text { text: Cow::Borrowed(text), note: None },
            // Cut in the middle of a character: what follows is missing anyway.
            Err(error) if error.error_len().is_none() => {
                let whole = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
                Text { text: Cow::Borrowed(whole), note: Some("it ends in the middle of a character".to_owned()) }
            }
            Err(_) => read(bytes, fallback, fallback),
        };
    }
    let (text, wrong) = encoding.decode_without_bom_handling(bytes);
    let note = wrong.then(|| not_all_text(encoding));
    Text { text, note }
}

/// UTF-16 of mostly Latin letters has a zero in every other byte, from its first character on.
fn by_its_zeros(bytes: &[u8]) -> Option<&'static Encoding> {
    match bytes {
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => Some(UTF_16LE),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => Some(UTF_16BE),
        _ => None,
    }
}

/// What an XML declaration at the very beginning names.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(DECLARATION)];
    let head = head.strip_prefix(b"<?xml")?;
    let end = head.windows(2).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(&head[..end]).ok()?;
    let (_, rest) = declaration.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let label = rest[1..].split(quote).next()?;
    Encoding::for_label(label.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use encoding_rs::WINDOWS_1252;

    use super::*;

    fn shown(bytes: &[u8]) -> (String, bool) {
        let found = decode(bytes, WINDOWS_1252);
        // As a stream, in blocks of every size, it is the same.
        for size in [1, 2, 3, 5, 1000] {
            let blocks = || io::BufReader::with_capacity(size, bytes);
            let encoding = super::shown(bytes);
            let is_not = encoding == UTF_8 && !is_utf8(blocks()).unwrap();
            let mut stream = Decoded::new(blocks(), if is_not { WINDOWS_1252 } else { encoding });
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            // A character that is cut at the end is left out of what is in memory.
            let text = if found.note.is_some() && text.ends_with('\u{fffd}') { text.trim_end_matches('\u{fffd}') } else { &text };
            let expected = if found.note.is_some() { found.text.trim_end_matches('\u{fffd}') } else { &found.text };
            assert_eq!(text, expected, "in blocks of {size}");
        }
        (found.text.into_owned(), found.note.is_some())
    }

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    #[test]
    fn each_encoding_is_recognised_by_what_shows_it() {
        let text = "<a>25 °C, 4,7 kΩ</a>";
        let plain = "<a>25 \u{b0}C</a>";
        let latin: Vec<u8> = plain.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        assert_eq!(shown(text.as_bytes()), (text.to_owned(), false));
        assert_eq!(shown(&[b"\xef\xbb\xbf", text.as_bytes()].concat()), (text.to_owned(), false));
        assert_eq!(shown(&[b"\xff\xfe".to_vec(), utf16(text, false)].concat()), (text.to_owned(), false));
        assert_eq!(shown(&[b"\xfe\xff".to_vec(), utf16(text, true)].concat()), (text.to_owned(), false));
        assert_eq!(shown(&utf16(text, false)), (text.to_owned(), false), "UTF-16 without a mark");
        assert_eq!(shown(&utf16(text, true)), (text.to_owned(), false));
        assert_eq!(shown(&latin), (plain.to_owned(), false), "windows-1252");
    }

    #[test]
    fn the_bytes_win_over_the_declaration() {
        let iso = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\x80\xb0</a>";
        assert!(shown(iso).0.ends_with("<a>€°</a>"), "read as windows-1252");
        let transcoded = "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a>°</a>";
        assert_eq!(shown(transcoded.as_bytes()), (transcoded.to_owned(), false));
        let wrong = b"<?xml version=\"1.0\" encoding=\"utf-8\"?><a>\xb0C</a>";
        assert!(shown(wrong).0.ends_with("<a>°C</a>"), "what is no UTF-8 is none, whatever it says");
        let japanese = b"<?xml version=\"1.0\" encoding=\"Shift_JIS\"?><a>\x83e</a>";
        assert!(shown(japanese).0.ends_with("<a>テ</a>"));
        let broken = b"<?xml version=\"1.0\" encoding=\"Shift_JIS\"?><a>\xff</a>";
        assert!(shown(broken).1, "told");
    }

    #[test]
    fn what_ends_within_a_character_is_cut_before_it() {
        assert_eq!(shown(b"25 \xc2"), ("25 ".to_owned(), true));
        assert_eq!(shown(b""), (String::new(), false));
        assert_eq!(shown(b"a"), ("a".to_owned(), false));
    }
}
