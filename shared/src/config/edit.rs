//! Single values of a configuration's text changed, with its comments and its order left as they are.

use serde::{Deserialize, Serialize};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TableLike};

use super::ConfigError;
use super::tree::{self, Located, Place, Segment};
use crate::schema::{Fault, FaultKind, Shape, Value};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// Give a field a value, written as in the file; quotes around a text may be left out.
    Set {
        /// Which field.
        place: String,
        /// Its value.
        value: String,
    },
    /// Let a field have its default again; remove an element of a list.
    Unset {
        /// Which field or element.
        place: String,
    },
    /// Add an element to a list of tables (`source`, `destination`, `station.preset`).
    Add {
        /// Which list.
        list: String,
        /// The element's name.
        name: String,
    },
    /// Put a whole document in the place of what is there.
    Replace {
        /// The document.
        text: String,
    },
}

impl Edit {
    /// What is changed: a field, an element, a list, or the whole.
    #[must_use]
    pub fn place(&self) -> &str {
        match self {
            Self::Set { place, .. } | Self::Unset { place } => place,
            Self::Add { list, .. } => list,
            Self::Replace { .. } => "the whole file",
        }
    }
}

/// Applies changes one after the other. The result is valid TOML, not necessarily a valid configuration.
///
/// # Errors
/// The text is no TOML, or all places that are unknown.
pub fn apply(text: &str, edits: &[Edit]) -> Result<String, ConfigError> {
    let mut text = text.to_owned();
    let mut faults = Vec::new();
    for edit in edits {
        match one(&text, edit)? {
            Ok(changed) => text = changed,
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(text) } else { Err(ConfigError::Faults(faults)) }
}

fn one(text: &str, edit: &Edit) -> Result<Result<String, Fault>, ConfigError> {
    if let Edit::Replace { text } = edit {
        tree::parse(text)?;
        return Ok(Ok(text.clone()));
    }
    let tree = tree::parse(text)?;
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| ConfigError::Syntax {
        line: 1,
        column: 1,
        reason: error.message().to_owned(),
    })?;
    let done = match edit {
        Edit::Set { place, value } => set(&mut document, &tree, place, value),
        Edit::Unset { place } => unset(&mut document, &tree, place),
        Edit::Add { list, name } => add(&mut document, &tree, list, name),
        Edit::Replace { .. } => Ok(()),
    };
    Ok(done.map(|()| document.to_string()))
}

fn find(place: &str, tree: &Value) -> Result<Located, Fault> {
    tree::locate(&place.parse()?, tree)
}

fn fault(place: &str, kind: FaultKind, message: impl Into<String>) -> Fault {
    Fault { path: place.to_owned(), kind, message: message.into() }
}

fn set(document: &mut DocumentMut, tree: &Value, place: &str, value: &str) -> Result<(), Fault> {
    let found = find(place, tree)?;
    if found.is_element || matches!(found.shape, Shape::Table(_)) {
        return Err(fault(place, FaultKind::WrongType, "this is a table: set its fields one by one"));
    }
    if matches!(&found.shape, Shape::List(inner) if matches!(**inner, Shape::Table(_))) {
        return Err(fault(place, FaultKind::WrongType, "this is a list of tables: add and remove its elements by name"));
    }
    let value = tree::value_from_text(&found.shape, value);
    let new = tree::to_toml(&value).ok_or_else(|| fault(place, FaultKind::WrongType, "there is no value"))?;
    let (table, key) = table_of(document, &found.place).ok_or_else(|| no_way(place))?;
    match table.get_mut(&key) {
        Some(Item::Value(old)) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        Some(other) => *other = Item::Value(new),
        None => {
            table.insert(&key, Item::Value(new));
        }
    }
    Ok(())
}

fn no_way(place: &str) -> Fault {
    fault(place, FaultKind::Conflict, "the file holds something else on the way there")
}

fn unset(document: &mut DocumentMut, tree: &Value, place: &str) -> Result<(), Fault> {
    let found = find(place, tree)?;
    let Some((Segment::Index(index), list)) = found.place.0.split_last() else {
        if let Some((table, key)) = table_of(document, &found.place) {
            table.remove(&key);
        }
        return Ok(());
    };
    match item_at(document, list) {
        Some(Item::ArrayOfTables(tables)) => {
            tables.remove(*index);
        }
        Some(Item::Value(toml_edit::Value::Array(items))) => {
            items.remove(*index);
        }
        _ => return Err(no_way(place)),
    }
    Ok(())
}

fn add(document: &mut DocumentMut, tree: &Value, list: &str, name: &str) -> Result<(), Fault> {
    let found = find(list, tree)?;
    if !matches!(&found.shape, Shape::List(inner) if matches!(**inner, Shape::Table(_))) {
        return Err(fault(list, FaultKind::WrongType, "this is no list of tables"));
    }
    let known = tree::get(tree, &found.place).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if known.iter().filter_map(tree::element_name).any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(fault(list, FaultKind::Conflict, format!("there is a {list} with the name {name:?} already")));
    }
    let (table, key) = table_of(document, &found.place).ok_or_else(|| no_way(list))?;
    let mut element = Table::new();
    element.insert("name", toml_edit::value(name));
    match table.get_mut(&key) {
        Some(Item::ArrayOfTables(tables)) => tables.push(element),
        Some(Item::Value(toml_edit::Value::Array(items))) => {
            items.push(toml_edit::Value::InlineTable(element.into_inline_table()))
        }
        _ => {
            let mut tables = ArrayOfTables::new();
            element.decor_mut().set_prefix("\n");
            tables.push(element);
            table.insert(&key, Item::ArrayOfTables(tables));
        }
    }
    Ok(())
}

/// The table that a place lies in, made if it is not there, and the place's key in it.
fn table_of<'a>(document: &'a mut DocumentMut, place: &Place) -> Option<(&'a mut dyn TableLike, String)> {
    let (Segment::Key(key), way) = place.0.split_last()? else { return None };
    let mut item = document.as_item_mut();
    for (number, segment) in way.iter().enumerate() {
        item = match segment {
            Segment::Key(name) => {
                let table = item.as_table_like_mut()?;
                if table.get(name).is_none() {
                    let mut new = Table::new();
                    // A table that only leads to lists of tables needs no header of its own.
                    new.set_implicit(number + 1 < way.len());
                    if number == 0 {
                        new.decor_mut().set_prefix("\n");
                    }
                    table.insert(name, Item::Table(new));
                }
                table.get_mut(name)?
            }
            Segment::Index(index) => step_into(item, *index)?,
        };
    }
    Some((item.as_table_like_mut()?, key.clone()))
}

fn item_at<'a>(document: &'a mut DocumentMut, way: &[Segment]) -> Option<&'a mut Item> {
    way.iter().try_fold(document.as_item_mut(), |item, segment| match segment {
        Segment::Key(key) => item.as_table_like_mut()?.get_mut(key),
        Segment::Index(index) => step_into(item, *index),
    })
}

/// The element of a list, as an item that holds its table.
fn step_into(item: &mut Item, index: usize) -> Option<&mut Item> {
    item.get_mut(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(place: &str, value: &str) -> Edit {
        Edit::Set { place: place.into(), value: value.into() }
    }

    const HAND_WRITTEN: &str = "# our station\n[queue] # the queue\nmax_entries = 10 # few\n\n# first\n[[source]]\nname = 'a'\nfolder = '/a'\n# second\n[[source]]\nname = 'b'\nfolder = '/b'\n";

    #[test]
    fn comments_and_order_stay() {
        let text = apply(HAND_WRITTEN, &[set("queue.max_entries", "20"), set("source.b.folder", "/c")]).unwrap();
        assert_eq!(text, HAND_WRITTEN.replace("10 #", "20 #").replace("'/b'", "\"/c\""));
    }

    #[test]
    fn an_element_is_added_and_removed_by_name() {
        let add = Edit::Add { list: "source".into(), name: "c".into() };
        let text = apply(HAND_WRITTEN, &[add.clone(), set("source.c.folder", "/c"), set("source.c.priority", "3")]).unwrap();
        assert!(text.ends_with("[[source]]\nname = \"c\"\nfolder = \"/c\"\npriority = 3\n"), "{text}");
        let text = apply(&text, &[Edit::Unset { place: "source.a".into() }]).unwrap();
        let names: Vec<_> = super::super::parse(&text).unwrap().source.into_iter().map(|s| s.name).collect();
        assert_eq!(names, ["b", "c"]);
        assert!(apply(HAND_WRITTEN, &[Edit::Add { list: "source".into(), name: "A".into() }]).is_err());
    }

    #[test]
    fn an_empty_file_grows() {
        let edits = [
            set("station.name", "ST-1"),
            Edit::Add { list: "destination".into(), name: "main".into() },
            set("destination.main.kind", "folder"),
            set("destination.main.folder", "/out"),
            Edit::Add { list: "station.preset".into(), name: "audit".into() },
            set("station.preset.audit.purpose", "Audit"),
            set("station.active", "audit"),
            Edit::Add { list: "source".into(), name: "s".into() },
            set("source.s.folder", "/in"),
            set("source.s.arguments.process_code", "10"),
        ];
        let text = apply("", &edits).unwrap();
        let config = super::super::parse(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        assert_eq!(config.station.preset[0].purpose.as_deref(), Some("Audit"));
        assert_eq!(config.source[0].arguments["process_code"], 10);
        let back =
            apply(&text, &[Edit::Unset { place: "station.active".into() }, Edit::Unset { place: "station.preset.audit".into() }])
                .unwrap();
        assert!(super::super::parse(&back).unwrap().station.preset.is_empty());
    }

    #[test]
    fn all_unknown_places_are_named() {
        let edits = [
            set("queue.max", "1"),
            set("nope", "1"),
            Edit::Unset { place: "source.z".into() },
            set("queue", "1"),
            set("source", "[]"),
        ];
        match apply(HAND_WRITTEN, &edits) {
            Err(ConfigError::Faults(faults)) => assert_eq!(faults.len(), 5),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn inline_lists_of_tables_are_changed_as_well() {
        let text = "source = [{ name = 'a', folder = '/a' }]\n";
        let text = apply(
            text,
            &[set("source.a.folder", "/x"), Edit::Add { list: "source".into(), name: "b".into() }, set("source.b.folder", "/y")],
        )
        .unwrap();
        let config = super::super::parse(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        assert_eq!((config.source[0].folder.to_str(), config.source[1].folder.to_str()), (Some("/x"), Some("/y")));
    }
}
