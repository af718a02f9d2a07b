//! TOML texts as trees of values, and places in them.
//!
//! A place is written `queue.max_entries`, `source.ict.folder` (an element of a list by its name) or `source[0].folder` (by its number).

use std::fmt;

use toml_edit::{Document, Item, TableLike};

use super::{Config, ConfigError};
use crate::schema::{Fault, FaultKind, FieldInfo, Map, Shape, Value};
use crate::text;

/// Longest path and longest key that is looked at.
const PATH_CHARS: usize = 1000;

/// Reads a TOML text.
///
/// # Errors
/// Where it is no TOML.
pub fn parse(text: &str) -> Result<Value, ConfigError> {
    let document = Document::parse(text).map_err(|error| syntax(text, &error))?;
    Ok(table(document.as_table()))
}

fn syntax(text: &str, error: &toml_edit::TomlError) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before = &text.as_bytes()[..at];
    let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|&&b| b != b'\n').count();
    ConfigError::Syntax { line, column, reason: error.message().to_owned() }
}

fn table(table: &dyn TableLike) -> Value {
    Value::Object(table.iter().filter_map(|(key, item)| Some((key.to_owned(), item_value(item)?))).collect::<Map<_, _>>())
}

fn item_value(item: &Item) -> Option<Value> {
    match item {
        Item::None => None,
        Item::Value(value) => Some(plain(value)),
        Item::Table(inner) => Some(table(inner)),
        Item::ArrayOfTables(tables) => Some(Value::Array(tables.iter().map(|inner| table(inner)).collect())),
    }
}

/// A TOML value as JSON; times become text.
fn plain(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::String(text.value().clone()),
        toml_edit::Value::Integer(n) => Value::from(*n.value()),
        toml_edit::Value::Float(n) => {
            serde_json::Number::from_f64(*n.value()).map_or_else(|| Value::String(n.value().to_string()), Value::Number)
        }
        toml_edit::Value::Boolean(b) => Value::Bool(*b.value()),
        toml_edit::Value::Datetime(time) => Value::String(time.value().to_string()),
        toml_edit::Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        toml_edit::Value::InlineTable(inner) => table(inner),
    }
}

/// JSON as a TOML value; nulls, which TOML has not, are left out of tables and lists.
pub(super) fn to_toml(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => toml_edit::Value::Array(items.iter().filter_map(to_toml).collect()),
        Value::Object(map) => {
            let mut table = toml_edit::InlineTable::new();
            for (key, value) in map {
                if let Some(value) = to_toml(value) {
                    table.insert(key, value);
                }
            }
            toml_edit::Value::InlineTable(table)
        }
    })
}

/// What a person, or the environment, wrote for a value of this shape. What does not fit the shape stays text: reading it then names the fault.
#[must_use]
pub fn value_from_text(shape: &Shape, written: &str) -> Value {
    let as_toml = || written.trim().parse::<toml_edit::Value>().ok().map(|value| plain(&value));
    match shape {
        Shape::Text | Shape::Path | Shape::Choice(_) => match as_toml() {
            Some(Value::String(quoted)) if written.trim_start().starts_with(['"', '\'']) => Value::String(quoted),
            _ => Value::String(written.to_owned()),
        },
        _ => as_toml().unwrap_or_else(|| Value::String(written.to_owned())),
    }
}

/// A value as a person writes it into the file.
#[must_use]
pub fn value_to_text(value: &Value) -> String {
    to_toml(value).map_or_else(String::new, |value| value.to_string().trim().to_owned())
}

/// One step from a table to a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// A key of a table, or the name of an element of a list.
    Key(String),
    /// The number of an element of a list, from 0.
    Index(usize),
}

/// A place in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place(pub Vec<Segment>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        for (number, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if number == 0 => write!(f, "{}", crate::schema::quoted(key))?,
                Segment::Key(key) => write!(f, ".{}", crate::schema::quoted(key))?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl std::str::FromStr for Place {
    type Err = Fault;

    fn from_str(written: &str) -> Result<Self, Fault> {
        let wrong = |why: &str| Fault {
            path: text::printable(written, 200),
            kind: FaultKind::UnknownKey,
            message: format!(
                "this is no place in a configuration: {why}; they look like queue.max_entries or source.NAME.folder"
            ),
        };
        if written.is_empty() || written.len() > PATH_CHARS {
            return Err(wrong("it is empty or too long"));
        }
        let mut segments = Vec::new();
        let mut rest = written;
        loop {
            let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
            let (key, after) = rest.split_at(end);
            let key = key.trim_matches('"');
            if key.is_empty() {
                return Err(wrong("a name is missing"));
            }
            segments.push(Segment::Key(key.to_owned()));
            rest = after;
            while let Some(inside) = rest.strip_prefix('[') {
                let (number, after) = inside.split_once(']').ok_or_else(|| wrong("`]` is missing"))?;
                segments.push(Segment::Index(number.parse().map_err(|_| wrong("between `[` and `]` stands no number"))?));
                rest = after;
            }
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None if rest.is_empty() => return Ok(Self(segments)),
                None => return Err(wrong("`.` is missing")),
            }
        }
    }
}

/// A place that exists in the schema, and, as far as it goes through lists, in a tree.
#[derive(Debug, Clone)]
pub struct Located {
    /// The place with elements of lists by number.
    pub place: Place,
    /// The same with elements by name, where they have one: how people and programs should keep it.
    pub name: String,
    /// What belongs there.
    pub shape: Shape,
    /// The field, if it is one of the table.
    pub field: Option<FieldInfo>,
    /// True if it is an element of a list of tables.
    pub is_element: bool,
}

/// Finds a place.
///
/// # Errors
/// Which part of it is unknown, and what is known there.
pub fn locate(place: &Place, tree: &Value) -> Result<Located, Fault> {
    let mut at = Place::default();
    let mut by_name = Place::default();
    let mut shape = Shape::Table(Config::fields);
    let mut value = Some(tree);
    let mut field = None;
    let mut is_element = false;
    for segment in &place.0 {
        let here = by_name.to_string();
        let unknown = |message: String| Fault { path: place.to_string(), kind: FaultKind::UnknownKey, message };
        let (index, next, named) = match (&shape, segment) {
            (Shape::Table(fields), Segment::Key(key)) => {
                let all = fields();
                let known: Vec<&str> = all.iter().map(|field| field.key).collect();
                let Some(info) = all.iter().find(|field| field.key == key) else {
                    return Err(unknown(text::unknown_key(key, &known)));
                };
                value = value.and_then(|value| value.get(key));
                field = Some(info.clone());
                is_element = false;
                (segment.clone(), info.shape.clone(), segment.clone())
            }
            (Shape::List(inner), wanted) => {
                let tables = matches!(**inner, Shape::Table(_));
                let items = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let index = match wanted {
                    Segment::Index(index) => (*index < items.len()).then_some(*index),
                    Segment::Key(name) if tables => items.iter().position(|item| element_is(item, name)),
                    Segment::Key(_) => None,
                };
                let Some(index) = index else {
                    return Err(unknown(no_element(&here, items)));
                };
                value = items.get(index);
                field = None;
                is_element = tables;
                let named = match element_name(&items[index]) {
                    Some(name) if tables => Segment::Key(name.to_owned()),
                    _ => Segment::Index(index),
                };
                (Segment::Index(index), (**inner).clone(), named)
            }
            (Shape::OpenTable | Shape::Any, Segment::Key(key)) => {
                value = value.and_then(|value| value.get(key));
                field = None;
                is_element = false;
                (segment.clone(), Shape::Any, segment.clone())
            }
            _ => return Err(unknown(format!("{here} is a single value: nothing is below it"))),
        };
        at.0.push(index);
        by_name.0.push(named);
        shape = next;
    }
    Ok(Located { place: at, name: by_name.to_string(), shape, field, is_element })
}

fn no_element(list: &str, items: &[Value]) -> String {
    let names: Vec<&str> = items.iter().filter_map(element_name).collect();
    if names.is_empty() {
        format!("there is no {list} yet")
    } else {
        format!("there is no such {list}; there are: {}", names.join(", "))
    }
}

/// The name of an element of a list of tables.
#[must_use]
pub fn element_name(element: &Value) -> Option<&str> {
    element.get("name").and_then(Value::as_str)
}

fn element_is(element: &Value, name: &str) -> bool {
    element_name(element).is_some_and(|own| own.eq_ignore_ascii_case(name))
}

/// The value at a place that is written with numbers.
#[must_use]
pub fn get<'a>(tree: &'a Value, place: &Place) -> Option<&'a Value> {
    place.0.iter().try_fold(tree, |value, segment| match segment {
        Segment::Key(key) => value.get(key),
        Segment::Index(index) => value.get(*index),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written_alike() {
        for text in ["queue.max_entries", "source.ict.folder", "source[0].arguments.process_code", "station.preset[1]"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for bad in ["", ".", "a..b", "a.", "[0]", "a[", "a[x]", "a[0]b", "a]"] {
            assert!(bad.parse::<Place>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn elements_are_found_by_name_and_by_number() {
        let tree = parse("[[source]]\nname='ict'\nfolder='/a'\n[[source]]\nname='fct'\nfolder='/b'").unwrap();
        let found = |place: &str| locate(&place.parse().unwrap(), &tree);
        assert_eq!(found("source.FCT.folder").unwrap().place.to_string(), "source[1].folder");
        assert_eq!(found("source[0].folder").unwrap().name, "source.ict.folder");
        assert!(found("source.ict").unwrap().is_element);
        assert!(found("source.nope").unwrap_err().message.contains("ict, fct"));
        assert!(found("source[2]").is_err());
        assert!(found("queue.max_entires").unwrap_err().message.contains("max_entries"));
        assert!(found("queue.max_entries.more").is_err());
    }

    #[test]
    fn what_is_written_is_taken_as_the_field_wants_it() {
        assert_eq!(value_from_text(&Shape::Text, "5"), Value::from("5"));
        assert_eq!(value_from_text(&Shape::Text, "\"a b\""), Value::from("a b"));
        assert_eq!(value_from_text(&Shape::Integer, "5"), Value::from(5));
        assert_eq!(value_from_text(&Shape::Integer, "five"), Value::from("five"));
        assert_eq!(value_from_text(&Shape::List(Box::new(Shape::Text)), "['*.a', '*.b']"), serde_json::json!(["*.a", "*.b"]));
        assert_eq!(value_from_text(&Shape::OpenTable, "{ process_code = 10 }"), serde_json::json!({"process_code": 10}));
        assert_eq!(value_to_text(&serde_json::json!(["a", 1])), "[\"a\", 1]");
    }
}
