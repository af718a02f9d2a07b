//! From bytes to text, whatever the encoding.
//!
//! In this order (FORMATS.md section 2): a byte order mark; UTF-16 that shows itself by its zero bytes; what an XML declaration names; valid
//! UTF-8; the configured fallback. The bytes win over the declaration: a copy tool that changed the one and not the other is seen in the field.
//! ISO-8859-1 is read as windows-1252, as everywhere on the web.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// A file as text.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::convert) struct Text<'a> {
    /// The text, without a byte order mark.
    pub(in crate::convert) text: Cow<'a, str>,
    /// What a person should know of it: bytes that are no text in its encoding.
    pub(in crate::convert) note: Option<String>,
}

/// The encoding that is taken for what shows none of its own.
pub(in crate::convert) const FALLBACK: &Encoding = WINDOWS_1252;

/// Bytes in which an XML declaration stands, if there is one.
const DECLARATION: usize = 200;

/// Reads bytes as text. Never fails: in the fallback every byte is a character.
pub(in crate::convert) fn decode<'a>(bytes: &'a [u8], fallback: &'static Encoding) -> Text<'a> {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return read(&bytes[length..], encoding, fallback);
    }
    if let Some(encoding) = by_its_zeros(bytes) {
        return read(bytes, encoding, fallback);
    }
    match declared(bytes) {
        Some(encoding) if encoding != UTF_16LE && encoding != UTF_16BE => read(bytes, encoding, fallback),
        _ => read(bytes, UTF_8, fallback),
    }
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
    let name = encoding.name();
    let note = wrong.then(|| format!("some bytes are no text in {name}, in which it is written: they show as \u{fffd}"));
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
    use super::*;

    fn shown(bytes: &[u8]) -> (String, bool) {
        let found = decode(bytes, FALLBACK);
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
