//! All values that count: those that are set, by whomever, and the defaults of all others.

use serde::Serialize;
use waybill_ipc::protocol::ConfigState;
use waybill_shared::config::{Config, Edit, Origin, tree};
use waybill_shared::error::ErrorReport;
use waybill_shared::schema::{FieldInfo, Shape, Value};

use crate::config::store::edited;

/// A field and what it holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    /// Which: `source.ict.folder`.
    pub(super) place: String,
    /// Its value; none if it is not set and has no default.
    pub(super) value: Option<Value>,
    /// Who sets it.
    pub(super) from: From,
    /// True if it was changed and counts only from the agent's next start on.
    pub(super) waits_for_restart: bool,
}

/// Who sets a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum From {
    /// Nobody.
    Default,
    /// The file.
    File,
    /// This environment variable.
    Environment(String),
    /// The administrator, in this file.
    Administrator(String),
}

impl std::fmt::Display for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Administrator(file) => write!(f, "administrator, in {file}"),
        }
    }
}

/// What is set, as a tree: the file, with what lies over it.
///
/// # Errors
/// The state contradicts itself.
pub(super) fn tree_of(state: &ConfigState) -> Result<Value, ErrorReport> {
    let parse = |text: &str| tree::parse(text).map_err(|error| error.report(&state.path));
    let file = parse(&state.text)?;
    let over: Vec<_> = state.values.iter().filter(|value| value.origin.is_some()).collect();
    let mut edits = Vec::new();
    for value in &over {
        // An element that only lies over the file is there by its name.
        if let Some((list, name)) = value.place.strip_suffix(".name").and_then(|element| element.rsplit_once('.'))
            && is_list(list)
            && !tree::get(&file, &place_of(list)?)
                .and_then(Value::as_array)
                .is_some_and(|items| items.iter().filter_map(tree::element_name).any(|known| known.eq_ignore_ascii_case(name)))
        {
            edits.push(Edit::Add { list: list.to_owned(), name: name.to_owned() });
        }
    }
    edits.extend(over.iter().map(|value| Edit::Set { place: value.place.clone(), value: value.value.clone() }));
    parse(&edited(&state.text, &edits).map_err(|error| error.report(&state.path))?)
}

fn place_of(place: &str) -> Result<tree::Place, ErrorReport> {
    place.parse().map_err(unknown)
}

/// A place that is none.
pub(super) fn unknown(fault: waybill_shared::schema::Fault) -> ErrorReport {
    waybill_shared::config::ConfigError::Faults(vec![fault]).report("the command line")
}

fn is_list(place: &str) -> bool {
    matches!(place, "source" | "destination" | "station.preset")
}

/// Every field with what it holds, in the order of the reference page.
pub(super) fn rows(state: &ConfigState, tree: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    walk(&Config::fields(), Some(tree), "", &mut rows);
    for row in &mut rows {
        row.waits_for_restart = state.waits_for_restart.contains(&row.place);
        let set = state.values.iter().find(|set| set.place == row.place);
        row.from = match set.map(|set| &set.origin) {
            None => From::Default,
            Some(None) => From::File,
            Some(Some(Origin::Environment(variable))) => From::Environment(variable.clone()),
            Some(Some(Origin::Managed(file))) => From::Administrator(file.clone()),
        };
    }
    rows
}

fn walk(fields: &[FieldInfo], set: Option<&Value>, prefix: &str, rows: &mut Vec<Row>) {
    for info in fields {
        let place = format!("{prefix}{}", info.key);
        let value = set.and_then(|set| set.get(info.key));
        match (&info.shape, value) {
            (Shape::Table(inner), value) => walk(&inner(), value, &format!("{place}."), rows),
            (Shape::List(element), value) if matches!(**element, Shape::Table(_)) => {
                let Shape::Table(inner) = &**element else { continue };
                for item in value.and_then(Value::as_array).into_iter().flatten() {
                    let name = tree::element_name(item).unwrap_or_default();
                    walk(&inner(), Some(item), &format!("{place}.{name}."), rows);
                }
            }
            (Shape::OpenTable, Some(Value::Object(map))) if !map.is_empty() => {
                rows.extend(map.iter().map(|(key, value)| row(format!("{place}.{key}"), Some(value.clone()))));
            }
            (_, value) => rows.push(row(place, value.cloned().or_else(|| default_of(info)))),
        }
    }
}

fn row(place: String, value: Option<Value>) -> Row {
    Row { place, value, from: From::Default, waits_for_restart: false }
}

/// The default of a field, if it has one.
pub(super) fn default_of(info: &FieldInfo) -> Option<Value> {
    let value: Value = serde_json::from_str(info.default.as_deref()?).ok()?;
    (!value.is_null()).then_some(value)
}

#[cfg(test)]
mod tests {
    use waybill_ipc::protocol::ConfigValue;

    use super::*;

    fn state() -> ConfigState {
        let value =
            |place: &str, value: &str, origin: Option<Origin>| ConfigValue { place: place.into(), value: value.into(), origin };
        let pinned = || Some(Origin::Managed("managed.toml".into()));
        ConfigState {
            revision: "r".into(),
            path: "config.toml".into(),
            text: "[[source]]\nname='b'\nfolder='/b'\n[[source]]\nname='a'\nfolder='/a'\n".into(),
            values: vec![
                value("destination.out.kind", "\"folder\"", pinned()),
                value("destination.out.name", "\"out\"", pinned()),
                value("queue.max_entries", "7", Some(Origin::Environment("WAYBILL_CONFIG_QUEUE_MAX_ENTRIES".into()))),
                value("source.a.folder", "\"/a\"", None),
                value("source.a.name", "\"a\"", None),
                value("source.b.folder", "\"/b\"", None),
                value("source.b.name", "\"b\"", None),
            ],
            problem: None,
            waits_for_restart: vec!["convert.workers".into()],
            configured: true,
        }
    }

    #[test]
    fn every_field_has_its_value_and_who_sets_it() {
        let state = state();
        let tree = tree_of(&state).unwrap();
        assert_eq!(tree["source"][0]["name"], "b", "the order of the file stays");
        let rows = rows(&state, &tree);
        let found = |place: &str| rows.iter().find(|row| row.place == place).unwrap_or_else(|| panic!("{place}"));
        assert_eq!(found("queue.max_entries").value, Some(7.into()));
        assert!(matches!(&found("queue.max_entries").from, From::Environment(name) if name.ends_with("MAX_ENTRIES")));
        assert_eq!(found("destination.out.kind").from, From::Administrator("managed.toml".into()));
        assert_eq!((&found("source.a.folder").from, &found("source.a.priority").from), (&From::File, &From::Default));
        assert_eq!(found("source.a.priority").value, Some(5.into()));
        assert_eq!(found("convert.workers").value, None);
        assert!(found("convert.workers").waits_for_restart);
    }
}
