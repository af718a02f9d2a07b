//! Converters by name, or by what a file looks like.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use waybill_shared::config::{Config, Source};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::atomic;
use waybill_shared::paths::Instance;
use waybill_shared::schema::{Fault, FaultKind, Map, Value};

use super::about::{self, Argument};
use super::common::COMMON;
use super::mapping::{MappingFile, file};
use super::{ConvertError, Converter, Head, formats};

/// How sure a converter must be.
const SURE: u8 = 40;

/// All converters there are.
#[derive(Clone)]
pub struct Registry {
    converters: Vec<Arc<dyn Converter>>,
    /// Where mappings lie.
    mappings: Option<PathBuf>,
    /// Those that were asked for, so that each is read only when it changes.
    read: Arc<Mutex<BTreeMap<String, Arc<MappingFile>>>>,
}

/// Which converter a source uses.
#[derive(Clone)]
pub enum Choice {
    /// This one.
    Fixed(Arc<dyn Converter>),
    /// The mapping of a file, as that says it when it is needed.
    Mapping(Arc<MappingFile>),
    /// The one that is surest of the file.
    Auto(Registry),
}

impl Registry {
    /// The built-in converters.
    #[must_use]
    pub fn built_in() -> Self {
        Self { converters: formats::all(), mappings: None, read: Arc::default() }
    }

    /// These, and the mappings of an instance.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self::beside(&atomic::folder_of(&instance.config))
    }

    /// These, and the mappings beside a configuration.
    #[must_use]
    pub fn beside(base: &Path) -> Self {
        Self { converters: formats::all(), mappings: Some(base.join(file::FOLDER)), read: Arc::default() }
    }

    /// Names, in the order in which they are listed; mappings last.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mappings = self.mappings().into_iter().map(|mapping| mapping.name().to_owned());
        self.converters.iter().map(|converter| converter.name().to_owned()).chain(mappings).collect()
    }

    /// The mappings there are. One with the name of a built-in converter is none.
    #[must_use]
    pub fn mappings(&self) -> Vec<Arc<MappingFile>> {
        let names = self.mappings.as_deref().map(file::names).unwrap_or_default();
        names.iter().filter_map(|name| self.mapping(name)).collect()
    }

    fn mapping(&self, name: &str) -> Option<Arc<MappingFile>> {
        if name == "auto" || self.all().any(|converter| converter.name() == name) {
            return None;
        }
        let found = MappingFile::find(self.mappings.as_deref()?, name)?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(read.entry(name.to_owned()).or_insert_with(|| Arc::new(found))))
    }

    /// All that are built in, in that order.
    pub fn all(&self) -> impl Iterator<Item = &dyn Converter> {
        self.converters.iter().map(AsRef::as_ref)
    }

    /// How sure each is of a file that begins so, the surest first; those that are not at all left out.
    #[must_use]
    pub fn judge(&self, head: &[u8]) -> Vec<(String, u8)> {
        let head = &Head::new(head);
        let built_in = self.all().map(|converter| (converter.name().to_owned(), converter.sniff(head)));
        let mappings = self.mappings();
        let read = mappings.iter().filter_map(|mapping| Some((mapping.name().to_owned(), mapping.read().ok()?.sniff(head))));
        let mut judged: Vec<_> = built_in.chain(read).collect();
        judged.retain(|(_, sure)| *sure > 0);
        judged.sort_by_key(|(_, sure)| std::cmp::Reverse(*sure));
        judged
    }

    /// There is none of this name.
    #[must_use]
    pub fn unknown(&self, name: &str) -> ErrorReport {
        let names = self.names().join(", ");
        ErrorReport::new(Code::ConverterUnknown, format!("there is no converter {name:?}; there are: auto, {names}"))
    }

    /// The converter of a name, or the choice by content for `auto`.
    #[must_use]
    pub fn choose(&self, name: &str) -> Option<Choice> {
        if name == "auto" {
            return Some(Choice::Auto(self.clone()));
        }
        let built_in = self.converters.iter().find(|converter| converter.name() == name).cloned().map(Choice::Fixed);
        built_in.or_else(|| self.mapping(name).map(Choice::Mapping))
    }

    /// What is wrong with the converters and arguments that a configuration names.
    #[must_use]
    pub fn faults(&self, config: &Config) -> Vec<Fault> {
        config.source.iter().enumerate().flat_map(|(index, source)| self.source_faults(index, source)).collect()
    }

    fn source_faults(&self, index: usize, source: &Source) -> Vec<Fault> {
        let at = |key: &str| format!("source[{index}].{key}");
        let wrong = match self.choose(&source.converter) {
            None => {
                let names = self.names().join(", ");
                Some(format!("no converter {:?}; there are: auto, {names}", source.converter))
            }
            Some(Choice::Mapping(mapping)) => mapping.read().err().map(|faults| mapping.describe(&faults)),
            Some(_) => None,
        };
        if let Some(message) = wrong {
            return vec![Fault { path: at("converter"), kind: FaultKind::OutOfRange, message }];
        }
        self.argument_faults(&source.converter, &source.arguments, &at("arguments"))
    }

    /// What is wrong with the arguments of a converter; `place` is where they stand.
    #[must_use]
    pub fn argument_faults(&self, converter: &str, arguments: &Map<String, Value>, place: &str) -> Vec<Fault> {
        let known: Vec<_> = match self.choose(converter) {
            Some(Choice::Fixed(converter)) => vec![converter],
            Some(Choice::Auto(registry)) => registry.converters,
            // It takes what all take.
            Some(Choice::Mapping(_)) | None => Vec::new(),
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
    pub fn of(&self, head: &[u8]) -> Result<Arc<dyn Converter>, ConvertError> {
        let registry = match self {
            Self::Fixed(converter) => return Ok(Arc::clone(converter)),
            Self::Mapping(mapping) => return mapping.for_conversion().map(|mapping| mapping as Arc<dyn Converter>),
            Self::Auto(registry) => registry,
        };
        let head = &Head::new(head);
        let built_in = registry.converters.iter().cloned();
        // One that cannot be used recognises nothing.
        let mappings = registry.mappings().into_iter().filter_map(|mapping| mapping.read().ok());
        let all = built_in.chain(mappings.map(|mapping| mapping as Arc<dyn Converter>));
        let mut judged: Vec<_> = all.map(|c| (c.sniff(head), c)).filter(|(sure, _)| *sure >= SURE).collect();
        judged.sort_by_key(|(sure, _)| std::cmp::Reverse(*sure));
        let malformed = |reason: String| ConvertError::Malformed { place: "the file as a whole".to_owned(), reason };
        match judged.as_slice() {
            [] => Err(malformed(format!("no converter recognises it; there are: {}", registry.names().join(", ")))),
            [(first, a), (second, b), ..] if first == second => {
                Err(malformed(format!("it may be {} as well as {}: name the converter of this source", a.name(), b.name())))
            }
            [(_, best), ..] => Ok(Arc::clone(best)),
        }
    }

    /// True if it depends on the file.
    #[must_use]
    pub fn is_by_content(&self) -> bool {
        matches!(self, Self::Auto(_))
    }

    /// True if a file that was cut is recognised as such whatever it is.
    #[must_use]
    pub fn has_end_mark(&self) -> bool {
        match self {
            Self::Fixed(converter) => converter.about().has_end_mark,
            // It may be another one by the next file.
            Self::Mapping(_) => false,
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
