//! JSON as equipment really writes it.
//!
//! UTF-8 with or without a byte order mark, UTF-16 with one, the bare tokens `NaN`, `Infinity` and `-Infinity` (Python writes
//! them), one document or several one after the other. *Not finished* is told from *wrong*, because a file is often seen while
//! it is being written: a text that was cut anywhere, in a token or in a character too, is [`JsonError::Incomplete`].

use std::borrow::Cow;

use serde_json::value::RawValue;

/// Why bytes are no JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The document ends before it is complete: a writer may still be at work.
    #[error("the file ends at line {line}, column {column}, in the middle of the JSON document")]
    Incomplete {
        /// 1-based.
        line: usize,
        /// 1-based, in bytes.
        column: usize,
    },
    /// The bytes are no text in a known encoding.
    #[error("byte {offset} (0x{byte:02x}) is not UTF-8; a JSON file is UTF-8, or UTF-16 with a byte order mark")]
    NotText {
        /// 0-based offset of the first bad byte.
        offset: usize,
        /// The bad byte.
        byte: u8,
    },
    /// The text is no JSON.
    #[error("not valid JSON at line {line}, column {column}: {reason}")]
    Malformed {
        /// 1-based.
        line: usize,
        /// 1-based, in bytes.
        column: usize,
        /// What the parser says.
        reason: String,
    },
}

impl JsonError {
    /// What the parser says of `text`.
    #[must_use]
    pub fn of(error: &serde_json::Error, text: &str) -> Self {
        let (line, column) = (error.line().max(1), error.column());
        if error.is_eof() {
            return Self::Incomplete { line, column };
        }
        if cut_token(text).is_some_and(|start| offset(text, line, column) >= start) {
            return end_of(text.as_bytes());
        }
        let mut reason = error.to_string();
        if let Some(at) = reason.rfind(" at line ") {
            reason.truncate(at);
        }
        Self::Malformed { line, column, reason }
    }
}

/// The text of a file, by its byte order mark, else as UTF-8.
///
/// # Errors
/// [`JsonError`] for bytes that are no text, or that end inside of a character.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, JsonError> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest, 3),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xff | 0xfe] => Err(end_of(bytes)),
        _ => utf8(bytes, 0),
    }
}

/// The documents of a text, one after the other, each as it stands there, and what ends the text if it is not a document.
#[must_use]
pub fn documents(text: &str) -> (Vec<&str>, Option<JsonError>) {
    let mut found = Vec::new();
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        match document {
            Ok(document) => found.push(document.get()),
            Err(error) => return (found, Some(JsonError::of(&error, text))),
        }
    }
    (found, None)
}

/// The text with bare `NaN`, `Infinity` and `-Infinity` outside of strings put in quotes; `None` if there is none.
#[must_use]
pub fn with_quoted_tokens(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut quoted = String::new();
    let (mut copied, mut at, mut in_string) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'N' | b'I' | b'-' if !in_string => {
                let token = BARE_TOKENS.into_iter().find(|token| text[at..].starts_with(token));
                if let Some(token) = token {
                    quoted.push_str(&text[copied..at]);
                    quoted.extend(["\"", token, "\""]);
                    at += token.len();
                    copied = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if quoted.is_empty() {
        return None;
    }
    quoted.push_str(&text[copied..]);
    Some(quoted)
}

const BARE_TOKENS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];

fn utf8(bytes: &[u8], skipped: usize) -> Result<Cow<'_, str>, JsonError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        // A character cut by the end of the file: the file is cut.
        Err(error) if error.error_len().is_none() => Err(end_of(bytes)),
        Err(error) => {
            let at = error.valid_up_to();
            Err(JsonError::NotText { offset: skipped + at, byte: bytes[at] })
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, str>, JsonError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    // The first half of a surrogate pair at the end: the second one is not written yet.
    let half_pair = pairs.last().is_some_and(|&pair| (0xd800..0xdc00).contains(&unit(pair)));
    if !rest.is_empty() || half_pair {
        return Err(end_of(bytes));
    }
    let mut text = String::with_capacity(bytes.len() / 2);
    for (index, decoded) in char::decode_utf16(pairs.iter().map(|&pair| unit(pair))).enumerate() {
        text.push(decoded.map_err(|_| JsonError::NotText { offset: 2 + index * 2, byte: pairs[index.min(pairs.len() - 1)][0] })?);
    }
    Ok(Cow::Owned(text))
}

fn end_of(bytes: &[u8]) -> JsonError {
    let line = 1 + bytes.iter().filter(|&&b| b == b'\n').count();
    let column = bytes.iter().rev().take_while(|&&b| b != b'\n').count();
    JsonError::Incomplete { line, column }
}

/// Where the number or bare token starts that the end of the text cuts (`-`, `1.`, `2e`, `Na`); the parser calls these wrong.
fn cut_token(text: &str) -> Option<usize> {
    let head = text.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'));
    let tail = &text[head.len()..];
    let is_number = |text: &str| serde_json::from_str::<serde_json::Number>(text).is_ok();
    let cut_number = !is_number(tail) && is_number(&format!("{tail}0"));
    let cut_word = BARE_TOKENS.into_iter().any(|token| token.starts_with(tail));
    (!tail.is_empty() && (cut_number || cut_word)).then_some(head.len())
}

/// Offset of a place that the parser names.
fn offset(text: &str, line: usize, column: usize) -> usize {
    text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>() + column
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\"v\": [-1.5e-3, NaN, -Infinity,\n Infinity, true, null, 0, \"\u{1F50B}é\\n\", {}]}";

    /// What is wrong with bytes as a whole, bare tokens accepted.
    fn read(bytes: &[u8]) -> Result<usize, JsonError> {
        let text = decode(bytes)?;
        let text = with_quoted_tokens(&text).map_or(text, Cow::Owned);
        match documents(&text) {
            (found, None) => Ok(found.len()),
            (_, Some(error)) => Err(error),
        }
    }

    #[test]
    fn every_cut_of_a_document_is_incomplete_in_every_encoding() {
        let encoded = |to: fn(u16) -> [u8; 2]| "\u{feff}".encode_utf16().chain(TEXT.encode_utf16()).flat_map(to).collect();
        let utf8 = [b"\xef\xbb\xbf", TEXT.as_bytes()].concat();
        for (bytes, mark) in [(utf8, 3), (encoded(u16::to_le_bytes), 2), (encoded(u16::to_be_bytes), 2)] {
            assert_eq!(read(&bytes), Ok(1));
            for cut in 1..bytes.len() {
                match read(&bytes[..cut]) {
                    Err(JsonError::Incomplete { line, .. }) => assert!(line <= 2),
                    Ok(0) if cut == mark => {}
                    other => panic!("cut at {cut}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_before_the_end_is_malformed() {
        for text in ["{\"a\":]", "{\"a\":] -", "{\"a\" 12", "[1 2]", "nope", "[nan]"] {
            assert!(
                matches!(read(text.as_bytes()), Err(JsonError::Malformed { line: 1, .. })),
                "{text}: {:?}",
                read(text.as_bytes())
            );
        }
    }

    #[test]
    fn documents_stand_one_after_the_other_with_or_without_space() {
        let (found, error) = documents(" {\"a\":1}{\"b\":2}\n[3]\n\n{\"c\": ");
        assert_eq!(found, ["{\"a\":1}", "{\"b\":2}", "[3]"]);
        assert!(matches!(error, Some(JsonError::Incomplete { line: 4, .. })));
        assert_eq!(documents(" \n"), (vec![], None));
    }
}
