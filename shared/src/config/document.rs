//! A TOML text read against the model.

use super::{Config, Layers, layers};
use crate::error::{Code, ErrorReport};
use crate::schema::Fault;

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
    /// Not the file itself, but another one that belongs to it.
    #[error("{place}: {error}")]
    In {
        /// Which file.
        place: String,
        /// What is wrong with it.
        error: Box<ConfigError>,
    },
}

impl ConfigError {
    /// As a person reads it; `place` is the file it came from.
    #[must_use]
    pub fn report(&self, place: &str) -> ErrorReport {
        match self {
            Self::In { place, error } => error.report(place),
            Self::Syntax { .. } => ErrorReport::new(Code::ConfigInvalid, format!("{place}: {self}")),
            Self::Faults(faults) => ErrorReport::new(Code::ConfigInvalid, format!("{place} has {} fault(s)", faults.len()))
                .with_details(faults.clone()),
        }
    }
}

/// Reads a configuration without anything over it. There is none unless everything in it is valid.
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
    layers::resolve(text, &Layers::default(), more).map(|effective| effective.config)
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
        assert_eq!(config.station.name.as_deref(), Some("ST-07"));
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
