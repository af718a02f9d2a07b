//! Mappings: layouts of one's own as a text of declarations, for files of lines and cells, XML and JSON (FORMATS.md section 3).
//!
//! - `model`: what a mapping can say; `kinds`: its kinds of values; `parse`: from its text, all faults at once
//! - `rows`: a text cut into sections, pairs of name and value, and rows; `tree`: XML and JSON as a tree
//! - `view`: where a value stands; `values`: words for verdicts and comparators, numbers, times
//! - `unit`: one unit; `step`: one step; `table`, `elements`: the units of a text and of a tree
//! - [`mod@file`]: the files that mappings stand in
//! - `explain`: which value came from where; `guess`: a mapping for a file that nobody has described yet
//!
//! The layouts that it reads: one unit a row, with the limits in the names of the columns or in the mapping (A, D); one measurement a row, with key columns
//! (B); lines of name and value, then a table of steps (C); several of these in a file (E); XML and JSON of elements.
//!
//! What a mapping does not mention is kept: a column or an attribute of a step in its report text, one of the unit among its information. What it mentions and
//! a table does not have is a fault, unless it is `optional`. A verdict that the file does not give is made from the limits, and of the unit from its steps.

mod elements;
pub mod explain;
pub mod file;
pub mod guess;
mod kinds;
mod model;
mod parse;
mod rows;
mod step;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod unit;
mod values;
mod view;

use std::ops::ControlFlow;

use waybill_shared::schema::Fault;

use self::model::{Format, Model};
use self::unit::{Made, Told};
use super::ground::text::{self, Text};
use super::{About, ConvertError, Converter, Head, Input, Sink, common};

pub use self::explain::explain;
pub use self::file::MappingFile;
pub use self::guess::guess;

const HELP: &str = "files of a layout that a mapping file describes";
const WITH_END: About = About { name: "mapping", version: 1, help: HELP, patterns: &["*"], has_end_mark: true, arguments: &[] };
const WITHOUT_END: About =
    About { name: "mapping", version: 1, help: HELP, patterns: &["*"], has_end_mark: false, arguments: &[] };

/// A mapping: a converter of one's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    model: Model,
}

impl Mapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// All faults, each with its path, and its line where it has one.
    pub fn parse(toml_text: &str) -> Result<Self, Vec<Fault>> {
        parse::parse(toml_text)
    }

    /// What files it reads, one line.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.model.help
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.model.version
    }

    /// Names that such files usually have.
    #[must_use]
    pub fn patterns(&self) -> &[String] {
        &self.model.patterns
    }

    /// Every unit of a file, with where its values stand.
    fn read(&self, input: &Input<'_>, tells: bool, sink: &mut dyn FnMut(Made) -> ControlFlow<()>) -> Result<(), ConvertError> {
        let bytes = input.bytes()?;
        let fallback = match self.model.text.encoding {
            Some(named) if !input.arguments.gives(&common::ENCODING) => named.0,
            _ => common::encoding(input.arguments),
        };
        let Text { text, note } = text::decode(&bytes, fallback);
        match self.model.format {
            Format::Delimited | Format::Fixed => table::read(&self.model, input, &text, Told::new(tells, note), sink),
            Format::Xml | Format::Json => elements::read(&self.model, input, &text, Told::new(tells, note), sink),
        }
    }
}

impl Converter for Mapping {
    fn about(&self) -> &About {
        match self.model.format {
            Format::Xml | Format::Json => &WITH_END,
            // Behind the end mark of a section another one may come.
            Format::Delimited | Format::Fixed => &WITHOUT_END,
        }
    }
    fn name(&self) -> &str {
        &self.model.name
    }
    fn sniff(&self, head: &Head) -> u8 {
        let Some(recognise) = &self.model.recognise else { return 0 };
        let fallback = self.model.text.encoding.map_or(encoding_rs::WINDOWS_1252, |named| named.0);
        let found = recognise.pattern.0.is_match(&text::decode(head.raw(), fallback).text);
        if found { u8::try_from(recognise.sure).unwrap_or(100) } else { 0 }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        self.read(input, false, &mut |made| sink(made.unit))
    }
}
