//! What a converter says of itself, and the values that a source can give it.

use jiff::tz::TimeZone;
use waybill_shared::schema::{Fault, FaultKind, Map, Value};
use waybill_shared::text::unknown_key;

use super::common::COMMON;

/// A converter's own description: what people read, and what decides how its files are taken.
#[derive(Debug)]
pub struct About {
    /// Its name in the configuration. Part of every derived id: it never changes.
    pub name: &'static str,
    /// Raised when the same file gives another report than before.
    pub version: u32,
    /// What it reads, one line.
    pub help: &'static str,
    /// Names that such files usually have.
    pub patterns: &'static [&'static str],
    /// True if a file that was cut anywhere is recognised as [`super::ConvertError::Incomplete`]; such a file may be read early.
    pub has_end_mark: bool,
    /// What a source can give it besides [`COMMON`].
    pub arguments: &'static [Argument],
}

/// A value that a source can give its converter.
#[derive(Debug)]
pub struct Argument {
    /// Key under `[source.arguments]`.
    pub name: &'static str,
    /// What it is for, one line.
    pub help: &'static str,
    /// What it takes, and what stands for it if it is not given.
    pub kind: Kind,
}

/// What an argument takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A text; without one, what [`Argument::help`] says.
    Text,
    /// A whole number, with its default.
    Whole(Option<i64>),
    /// Yes or no, with its default.
    Flag(bool),
    /// One of these; the first is the default.
    OneOf(&'static [&'static str]),
    /// Name of a time zone (IANA); the machine's, if none is given.
    Zone,
    /// Label of an encoding (WHATWG); windows-1252, if none is given.
    Encoding,
    /// A pattern for file names with named groups of these.
    FileName(&'static [&'static str]),
}

impl Kind {
    /// What it takes, in words.
    #[must_use]
    pub fn takes(self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Whole(_) => "a whole number".to_owned(),
            Self::Flag(_) => "true or false".to_owned(),
            Self::OneOf(texts) => format!("one of {}", texts.join(", ")),
            Self::Zone => "a time zone as Europe/Berlin".to_owned(),
            Self::Encoding => "an encoding as shift_jis".to_owned(),
            Self::FileName(groups) => format!("a regular expression with at least one of the groups {}", groups.join(", ")),
        }
    }

    /// What counts if it is not given; none if then nothing does.
    #[must_use]
    pub fn default_text(self) -> Option<String> {
        match self {
            Self::Text | Self::FileName(_) | Self::Whole(None) => None,
            Self::Whole(Some(number)) => Some(number.to_string()),
            Self::Flag(flag) => Some(flag.to_string()),
            Self::OneOf(texts) => texts.first().map(|&text| text.to_owned()),
            Self::Zone => Some("that of the machine".to_owned()),
            Self::Encoding => Some("windows-1252".to_owned()),
        }
    }

    /// From what a person types, as `convert --argument` takes it.
    #[must_use]
    pub fn value(self, text: &str) -> Value {
        match (self, text.parse::<i64>(), text.parse::<bool>()) {
            (Self::Whole(_), Ok(number), _) => Value::from(number),
            (Self::Flag(_), _, Ok(flag)) => Value::from(flag),
            _ => Value::from(text),
        }
    }

    fn takes_value(self, value: &Value) -> Result<(), (FaultKind, String)> {
        let wrong_type =
            |fits: bool| if fits { Ok(()) } else { Err((FaultKind::WrongType, format!("expected {}", self.takes()))) };
        let out_of_range = |reason: String| Err((FaultKind::OutOfRange, reason));
        let (Some(text), Self::OneOf(_) | Self::Zone | Self::Encoding | Self::FileName(_)) = (value.as_str(), self) else {
            return wrong_type(match self {
                Self::Text => value.is_string(),
                Self::Whole(_) => value.is_i64(),
                Self::Flag(_) => value.is_boolean(),
                Self::OneOf(_) | Self::Zone | Self::Encoding | Self::FileName(_) => false,
            });
        };
        match self {
            Self::OneOf(texts) if !texts.contains(&text) => out_of_range(format!("{text:?} is not {}", self.takes())),
            Self::Zone => match TimeZone::get(text) {
                Ok(_) => Ok(()),
                Err(_) => out_of_range(format!("{text:?} is no known time zone; expected {}", self.takes())),
            },
            Self::Encoding if encoding_rs::Encoding::for_label(text.as_bytes()).is_none() => {
                out_of_range(format!("{text:?} is no known encoding; expected {}", self.takes()))
            }
            Self::FileName(groups) => super::common::file_name_pattern(text, groups).map(|_| ()).or_else(out_of_range),
            _ => Ok(()),
        }
    }
}

/// The values that a source gives, checked by [`faults`].
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a>(&'a Map<String, Value>);

impl<'a> Arguments<'a> {
    /// Values as they stand in the configuration.
    #[must_use]
    pub fn new(given: &'a Map<String, Value>) -> Self {
        Self(given)
    }

    /// A text, if it is given and not blank; of [`Kind::OneOf`] the default.
    #[must_use]
    pub fn text(self, argument: &Argument) -> Option<&'a str> {
        let given = self.0.get(argument.name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        match argument.kind {
            Kind::OneOf(texts) => given.or(texts.first().copied()),
            _ => given,
        }
    }

    /// A whole number, if it is given or has a default.
    #[must_use]
    pub fn whole(self, argument: &Argument) -> Option<i64> {
        let default = if let Kind::Whole(default) = argument.kind { default } else { None };
        self.0.get(argument.name).and_then(Value::as_i64).or(default)
    }

    /// Yes or no.
    #[must_use]
    pub fn flag(self, argument: &Argument) -> bool {
        self.0.get(argument.name).and_then(Value::as_bool).unwrap_or(matches!(argument.kind, Kind::Flag(true)))
    }

    /// True if the source gives it.
    #[must_use]
    pub fn gives(self, argument: &Argument) -> bool {
        self.0.contains_key(argument.name)
    }
}

/// What is wrong with values for a converter that takes `own` and [`COMMON`]; `place` is where they stand.
#[must_use]
pub fn faults(given: &Map<String, Value>, own: &[&'static [Argument]], place: &str) -> Vec<Fault> {
    let allowed: Vec<&Argument> = own.iter().copied().flatten().chain(COMMON).collect();
    let names: Vec<_> = allowed.iter().map(|argument| argument.name).collect();
    let check = |(key, value): (&String, &Value)| {
        let path = format!("{place}.{key}");
        let named: Vec<_> = allowed.iter().filter(|argument| argument.name == key).collect();
        // Several converters may use one name (`auto`); one of them is enough.
        match named.iter().map(|argument| (argument, argument.kind.takes_value(value))).find(|(_, taken)| taken.is_ok()) {
            Some(_) => None,
            None => Some(match named.first() {
                None => Fault { path, kind: FaultKind::UnknownKey, message: unknown_key(key, &names) },
                Some(argument) => {
                    let (kind, reason) = argument.kind.takes_value(value).err()?;
                    Fault { path, kind, message: format!("{reason}: {}", argument.help) }
                }
            }),
        }
    };
    given.iter().filter_map(check).collect()
}
