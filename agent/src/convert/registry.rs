//! Converters by name, or by what a file looks like.

use std::sync::Arc;

use waybill_shared::config::{Config, Source};
use waybill_shared::schema::{Fault, FaultKind, Map, Value};

use super::about::{self, Argument};
use super::common::COMMON;
use super::formats::{junit::JUnit, listen::Listen, openhtf::OpenHtf, wsjf::Wsjf, wsxf::Wsxf, xjtag::Xjtag};
use super::{ConvertError, Converter};

/// How sure a converter must be.
const SURE: u8 = 40;

/// All converters there are.
#[derive(Clone)]
pub struct Registry {
    converters: Vec<Arc<dyn Converter>>,
}

/// Which converter a source uses.
#[derive(Clone)]
pub enum Choice {
    /// This one.
    Fixed(Arc<dyn Converter>),
    /// The one that is surest of the file.
    Auto(Registry),
}

impl Registry {
    /// The built-in converters.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            converters: vec![
                Arc::new(Wsjf),
                Arc::new(Wsxf),
                Arc::new(OpenHtf),
                Arc::new(JUnit),
                Arc::new(Xjtag),
                Arc::new(Listen),
            ],
        }
    }

    /// Names, in the order in which they are listed.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.converters.iter().map(|converter| converter.name()).collect()
    }

    /// The converter of a name, or the choice by content for `auto`.
    #[must_use]
    pub fn choose(&self, name: &str) -> Option<Choice> {
        if name == "auto" {
            return Some(Choice::Auto(self.clone()));
        }
        self.converters.iter().find(|converter| converter.name() == name).cloned().map(Choice::Fixed)
    }

    /// What is wrong with the converters and arguments that a configuration names.
    #[must_use]
    pub fn faults(&self, config: &Config) -> Vec<Fault> {
        config.source.iter().enumerate().flat_map(|(index, source)| self.source_faults(index, source)).collect()
    }

    fn source_faults(&self, index: usize, source: &Source) -> Vec<Fault> {
        let at = |key: &str| format!("source[{index}].{key}");
        if self.choose(&source.converter).is_none() {
            let names = self.names().join(", ");
            return vec![Fault {
                path: at("converter"),
                kind: FaultKind::OutOfRange,
                message: format!("no converter {:?}; there are: auto, {names}", source.converter),
            }];
        }
        self.argument_faults(&source.converter, &source.arguments, &at("arguments"))
    }

    /// What is wrong with the arguments of a converter; `place` is where they stand.
    #[must_use]
    pub fn argument_faults(&self, converter: &str, arguments: &Map<String, Value>, place: &str) -> Vec<Fault> {
        let known: Vec<_> = match self.choose(converter) {
            Some(Choice::Fixed(converter)) => vec![converter],
            Some(Choice::Auto(registry)) => registry.converters,
            None => Vec::new(),
        };
        let own: Vec<_> = known.iter().map(|converter| converter.about().arguments).collect();
        about::faults(arguments, &own, place)
    }

    /// An argument of a converter, or one that all take.
    #[must_use]
    pub fn argument(&self, converter: &str, name: &str) -> Option<&'static Argument> {
        let of = |known: &&Arc<dyn Converter>| converter == "auto" || known.name() == converter;
        let own = self.converters.iter().filter(of).flat_map(|known| known.about().arguments);
        own.chain(COMMON).find(|argument| argument.name == name)
    }
}

impl Choice {
    /// The converter for a file that begins so.
    ///
    /// # Errors
    /// No converter knows the file, or two are equally sure.
    pub fn of(&self, head: &[u8]) -> Result<&Arc<dyn Converter>, ConvertError> {
        let registry = match self {
            Self::Fixed(converter) => return Ok(converter),
            Self::Auto(registry) => registry,
        };
        let mut judged: Vec<_> =
            registry.converters.iter().map(|c| (c.sniff(head), c)).filter(|(sure, _)| *sure >= SURE).collect();
        judged.sort_by_key(|(sure, _)| std::cmp::Reverse(*sure));
        let malformed = |reason: String| ConvertError::Malformed { place: "the file as a whole".to_owned(), reason };
        match judged.as_slice() {
            [] => Err(malformed(format!("no converter recognises it; there are: {}", registry.names().join(", ")))),
            [(first, a), (second, b), ..] if first == second => {
                Err(malformed(format!("it may be {} as well as {}: name the converter of this source", a.name(), b.name())))
            }
            [(_, best), ..] => Ok(best),
        }
    }

    /// True if a file that was cut is recognised as such whatever it is.
    #[must_use]
    pub fn has_end_mark(&self) -> bool {
        match self {
            Self::Fixed(converter) => converter.about().has_end_mark,
            Self::Auto(registry) => registry.converters.iter().all(|converter| converter.about().has_end_mark),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(arguments: &str, converter: &str) -> Vec<String> {
        let text = format!("[[source]]\nname='a'\nfolder='/x'\nconverter='{converter}'\n[source.arguments]\n{arguments}");
        let config = waybill_shared::config::parse(&text).unwrap();
        Registry::built_in().faults(&config).into_iter().map(|fault| fault.path).collect()
    }

    #[test]
    fn unknown_converters_and_arguments_are_faults() {
        assert_eq!(paths("", "wsfj"), ["source[0].converter"]);
        assert_eq!(paths("colour = 'red'", "wsjf"), ["source[0].arguments.colour"]);
        for wrong in [
            "process_code = 'ten'",
            "part_number = 7",
            "time_zone = 'Europe/Nowhere'",
            "encoding = 'klingon'",
            "no_serial_number = 'invent'",
            "file_name = '(?<sn>'",
            "file_name = '(?<colour>x)'",
            "file_name = 'no group'",
        ] {
            assert_eq!(paths(wrong, "openhtf").len(), 1, "{wrong}");
        }
        let right = "process_code = 10\ntime_zone = 'Asia/Tokyo'\nencoding = 'gbk'\nno_serial_number = 'generate'\nfile_name = '(?<sn>.+)_.*'";
        assert!(paths(right, "openhtf").is_empty() && paths(right, "auto").is_empty());
        assert!(paths("station_name = 'S'", "wsjf").is_empty(), "every converter takes what stands for the station");
    }
}
