//! A TOML text read against the model.

use super::{Config, validate};
use crate::error::{Code, ErrorReport};
use crate::schema::{Fault, Field as _, Map, Reader, Value};

/// Why a text is no configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// The text is no TOML.
    #[error("not valid TOML at line {line}, column {column}: {reason}")]
    Syntax {
        /// 1-based.
        line: usize,
        /// 1-based.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// TOML, but not a configuration.
    #[error("{} fault(s):\n{}", .0.len(), crate::schema::list(.0))]
    Faults(Vec<Fault>),
}

impl ConfigError {
    /// As a person reads it; `place` is the file it came from.
    #[must_use]
    pub fn report(&self, place: &str) -> ErrorReport {
        match self {
            Self::Syntax { .. } => ErrorReport::new(Code::ConfigInvalid, format!("{place}: {self}")),
            Self::Faults(faults) => ErrorReport::new(Code::ConfigInvalid, format!("{place} has {} fault(s)", faults.len()))
                .with_details(faults.clone()),
        }
    }
}

/// Reads a configuration. There is none unless everything in it is valid.
///
/// # Errors
/// All faults at once, each with its path.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    parse_with(text, |_| Vec::new())
}

/// The same, with rules that only the caller knows (which converters there are).
///
/// # Errors
/// All faults at once, each with its path.
pub fn parse_with(text: &str, more: impl FnOnce(&Config) -> Vec<Fault>) -> Result<Config, ConfigError> {
    let table: toml::Table = toml::from_str(text).map_err(|error| syntax(text, &error))?;
    let mut reader = Reader::new();
    let config = Config::read(Value::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect()), &mut reader);
    let mut faults = reader.into_faults();
    if let Some(config) = &config {
        let told = |fault: &Fault| faults.iter().any(|known| known.path == fault.path);
        let contradictions: Vec<_> =
            validate::conflicts(config).into_iter().chain(more(config)).filter(|fault| !told(fault)).collect();
        faults.extend(contradictions);
    }
    match config {
        Some(config) if faults.is_empty() => Ok(config),
        _ => Err(ConfigError::Faults(faults)),
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before = &text.as_bytes()[..at];
    let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|&&b| b != b'\n').count();
    ConfigError::Syntax { line, column, reason: error.message().to_owned() }
}

fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(n) => Value::from(n),
        toml::Value::Float(n) => Value::from(n),
        toml::Value::Boolean(b) => Value::Bool(b),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(json).collect()),
        toml::Value::Table(table) => Value::Object(table.into_iter().map(|(k, v)| (k, json(v))).collect::<Map<_, _>>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{After, DestinationKind, WhenFull};
    use crate::schema::FaultKind;

    const SAMPLE: &str = r#"
[station]
name = "ST-07"
location = "Line 1"
purpose = "Production"

[[source]]
name = "ict"
folder = "/data/ict"
patterns = ["*.json"]
converter = "wsjf"
after = "move"
priority = 5

[[destination]]
name = "main"
kind = "wats"
url = "https://example.wats.com"

[queue]
max_entries = 10000
when_full = "reject"
"#;

    #[test]
    fn the_contract_of_the_design_reads() {
        let config = parse(SAMPLE).unwrap();
        assert_eq!(config.station.name, "ST-07");
        assert_eq!(config.source[0].after, After::Move);
        assert_eq!(config.destination[0].kind, DestinationKind::Wats);
        assert_eq!(config.queue.when_full, WhenFull::Reject);
        assert_eq!(config.upload.max_retries, 10);
    }

    #[test]
    fn the_empty_file_is_all_defaults() {
        assert_eq!(parse("").unwrap(), Config::default());
    }

    fn faults(text: &str) -> Vec<(String, FaultKind)> {
        match parse(text) {
            Err(ConfigError::Faults(faults)) => faults.into_iter().map(|f| (f.path, f.kind)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn three_kinds_of_faults_are_told_apart_and_all_are_named() {
        let text = r#"
            [station]
            name = 7
            locaton = "x"
            [[source]]
            folder = "/a"
            priority = 11
            after = "burn"
            [queue]
            max_entries = 0
        "#;
        assert_eq!(
            faults(text),
            vec![
                ("station.name".into(), FaultKind::WrongType),
                ("station.locaton".into(), FaultKind::UnknownKey),
                ("source[0].priority".into(), FaultKind::OutOfRange),
                ("source[0].after".into(), FaultKind::OutOfRange),
                ("source[0].name".into(), FaultKind::Missing),
                ("queue.max_entries".into(), FaultKind::OutOfRange),
            ]
        );
    }

    #[test]
    fn an_address_is_an_address() {
        for bad in ["", "example.com", "ftp://x", "http://", "https://user:pw@x", "http://x:0"] {
            let text = format!("[[destination]]\nname='d'\nkind='wats'\nurl={bad:?}");
            assert_eq!(faults(&text), vec![("destination[0].url".into(), FaultKind::OutOfRange)], "{bad}");
        }
    }

    #[test]
    fn a_syntax_error_names_its_place() {
        match parse("[station]\nname = \n") {
            Err(ConfigError::Syntax { line: 2, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}
