//! Kinds of values in a mapping file: patterns, zones, and where a value stands. Each is read once and is right then.

use encoding_rs::Encoding;
use jiff::tz::TimeZone;
use regex::{Regex, RegexBuilder};
use serde::{Serialize, Serializer};
use waybill_shared::schema::{FaultKind, Field, Reader, Value};
use waybill_shared::text::unknown_key;

/// Longest text of a pattern.
const PATTERN_CHARS: usize = 2000;
/// Most memory of a pattern, bytes. Its time is linear in the text, whatever it is.
const PATTERN_BYTES: usize = 1 << 20;

/// A regular expression.
#[derive(Debug, Clone)]
pub struct Pattern(pub Regex);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Why it is none, for a person.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.chars().count() > PATTERN_CHARS {
            return Err(format!("a pattern has at most {PATTERN_CHARS} characters"));
        }
        let built = RegexBuilder::new(text).size_limit(PATTERN_BYTES).build();
        built.map(Self).map_err(|error| format!("it is no pattern: {error}"))
    }

    /// What its first group captures, or all that it finds if it has none.
    #[must_use]
    pub fn taken<'t>(&self, text: &'t str) -> Option<&'t str> {
        let captures = self.0.captures(text)?;
        captures.iter().skip(1).flatten().next().or_else(|| captures.get(0)).map(|found| found.as_str())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl Field for Pattern {
    fn type_name() -> String {
        "regular expression".to_owned()
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let text = String::read(value, reader)?;
        Self::new(&text).map_err(|reason| reader.fault(FaultKind::OutOfRange, reason)).ok()
    }
}

/// What is between two cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiter {
    /// One character.
    Char(u8),
    /// Any number of blanks and tabs.
    Blanks,
}

impl Serialize for Delimiter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Char(b'\t') => serializer.serialize_str("tab"),
            Self::Char(byte) => serializer.serialize_char(char::from(*byte)),
            Self::Blanks => serializer.serialize_str("blanks"),
        }
    }
}

impl Field for Delimiter {
    fn type_name() -> String {
        "one character, tab or blanks".to_owned()
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let text = String::read(value, reader)?;
        match (text.as_str(), text.as_bytes()) {
            ("tab" | "\t", _) => Some(Self::Char(b'\t')),
            ("blanks", _) => Some(Self::Blanks),
            (_, [byte]) if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !matches!(byte, b'\n' | b'\r' | b'"') => {
                Some(Self::Char(*byte))
            }
            _ => {
                reader.fault(FaultKind::OutOfRange, "a delimiter is one ASCII character as , or ;, or `tab`, or `blanks`");
                None
            }
        }
    }
}

/// One ASCII character, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Char(pub Option<u8>);

impl Serialize for Char {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.map(|byte| char::from(byte).to_string()).unwrap_or_default())
    }
}

impl Field for Char {
    fn type_name() -> String {
        "one character, or empty".to_owned()
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let text = String::read(value, reader)?;
        match text.as_bytes() {
            [] => Some(Self(None)),
            [byte] if byte.is_ascii_graphic() => Some(Self(Some(*byte))),
            _ => {
                reader.fault(FaultKind::OutOfRange, "it is one ASCII character, or empty");
                None
            }
        }
    }
}

/// An encoding by its label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncodingName(pub &'static Encoding);

impl Serialize for EncodingName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl Field for EncodingName {
    fn type_name() -> String {
        "an encoding as windows-1252".to_owned()
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let text = String::read(value, reader)?;
        let found = Encoding::for_label(text.as_bytes());
        if found.is_none() {
            reader.fault(
                FaultKind::OutOfRange,
                format!("{text:?} is no known encoding; they are called windows-1252, shift_jis, gbk …"),
            );
        }
        found.map(Self)
    }
}

/// A time zone by its name.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneName(pub TimeZone);

impl Serialize for ZoneName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.iana_name().unwrap_or_default())
    }
}

impl Field for ZoneName {
    fn type_name() -> String {
        "a time zone as Europe/Berlin".to_owned()
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let text = String::read(value, reader)?;
        let found = TimeZone::get(&text).ok();
        if found.is_none() {
            reader.fault(FaultKind::OutOfRange, format!("{text:?} is no known time zone; they are called Europe/Berlin"));
        }
        found.map(Self)
    }
}

/// A number as it is written, as a text or as a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Digits(pub String);

impl Field for Digits {
    fn type_name() -> String {
        "number, or a text with its digits as \"4.50\"".to_owned()
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let text = match value {
            Value::Number(number) => number.to_string(),
            other => String::read(other, reader)?,
        };
        if crate::convert::ground::number::plain(&text).is_none() {
            reader.fault(FaultKind::OutOfRange, format!("{text:?} is no number"));
            return None;
        }
        Some(Self(text))
    }
}

/// Where a value stands: a name alone, or a table of these keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Pick {
    /// Names of a column, of a line in the header block, or paths of an element: the first with a value counts.
    pub names: Vec<String>,
    /// Number of a column, from 1.
    pub column: Option<u32>,
    /// What it is in every file, if it stands nowhere else.
    pub constant: Option<String>,
    /// What the name of the file says, by the first group of a pattern.
    pub file_name: Option<Pattern>,
    /// What of the value is taken, by the first group of a pattern.
    pub pattern: Option<Pattern>,
    /// True if not every file has it.
    pub optional: bool,
}

/// Keys of [`Pick`].
const PICK_KEYS: [&str; 7] = ["name", "names", "column", "constant", "file_name", "pattern", "optional"];

impl Pick {
    /// One name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { names: vec![name.to_owned()], ..Self::default() }
    }
}

impl Field for Pick {
    fn type_name() -> String {
        format!("a name, or a table of {}", PICK_KEYS.join(", "))
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let map = match value {
            Value::String(name) => return Some(Self::named(&name)),
            Value::Object(map) => map,
            other => {
                reader.wrong_type(&Self::type_name(), &other);
                return None;
            }
        };
        let mut pick = Self::default();
        for (key, value) in map {
            reader.in_key(&key, |reader| match key.as_str() {
                "name" => pick.names.extend(String::read(value, reader)),
                "names" => pick.names.extend(Vec::<String>::read(value, reader).unwrap_or_default()),
                "column" => match u32::read(value, reader) {
                    Some(0) => reader.fault(FaultKind::OutOfRange, "columns are counted from 1"),
                    column => pick.column = column,
                },
                "constant" => {
                    pick.constant = match value {
                        Value::Number(number) => Some(number.to_string()),
                        other => String::read(other, reader),
                    };
                }
                "file_name" => pick.file_name = Pattern::read(value, reader),
                "pattern" => pick.pattern = Pattern::read(value, reader),
                "optional" => pick.optional = bool::read(value, reader).unwrap_or_default(),
                _ => reader.fault(FaultKind::UnknownKey, unknown_key(&key, &PICK_KEYS)),
            });
        }
        let says_where = !pick.names.is_empty() || pick.column.is_some() || pick.constant.is_some() || pick.file_name.is_some();
        if !says_where && reader.is_clean() {
            reader
                .fault(FaultKind::Missing, "it does not say where the value stands: name, names, column, constant or file_name");
        }
        Some(pick)
    }
}
