//! The configuration as it counts: the file, over it the environment, over both what the administrator has pinned.
//!
//! Tables are merged key by key, lists of tables element by element by name; every other value replaces the one below. What came from
//! where is kept, so that it can be shown and is not offered for a change that would have no effect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tree::{self, Place, Segment};
use super::{Config, ConfigError, identity, validate};
use crate::schema::{Fault, FaultKind, Field as _, FieldInfo, Map, Reader, Shape, Value};

/// Environment variables that set a field begin with this; the field follows in capitals: `WAYBILL_CONFIG_QUEUE_MAX_ENTRIES`,
/// `WAYBILL_CONFIG_DESTINATION_MAIN_URL`.
pub const VARIABLE_PREFIX: &str = "WAYBILL_CONFIG_";

/// What lies over the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers {
    /// All variables of the environment; those that do not concern the configuration are ignored.
    pub environment: Vec<(String, String)>,
    /// Files with pinned values, the strongest last.
    pub managed: Vec<Managed>,
}

/// A file with pinned values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managed {
    /// Where it is.
    pub place: String,
    /// What stands in it.
    pub text: String,
}

/// Who sets a value, if it is not the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// This environment variable of the agent.
    Environment(String),
    /// The administrator, in this file.
    Managed(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Environment(variable) => write!(f, "the environment variable {variable}"),
            Self::Managed(file) => write!(f, "the administrator, in {file}"),
        }
    }
}

/// A configuration as it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The typed values.
    pub config: Config,
    /// The values that are set, in whatever layer, without defaults.
    pub tree: Value,
    /// Who sets what the file does not, by place with names ([`tree::Located::name`]).
    pub origins: BTreeMap<String, Origin>,
}

/// Reads a text with what lies over it. There is no configuration unless everything in it is valid.
///
/// # Errors
/// All faults at once, each with its path; a fault that comes from a layer says from which.
pub fn resolve(text: &str, layers: &Layers, more: impl FnOnce(&Config) -> Vec<Fault>) -> Result<Effective, ConfigError> {
    let mut merged = Merged { tree: tree::parse(text)?, origins: BTreeMap::new(), faults: Vec::new() };
    // Elements that only the administrator names must be there before the environment can change them; what is pinned is put on top at the end.
    let pinned: Vec<(&Managed, Value)> = layers
        .managed
        .iter()
        .map(|managed| match tree::parse(&managed.text) {
            Ok(tree) => Ok((managed, tree)),
            Err(error) => Err(ConfigError::In { place: managed.place.clone(), error: Box::new(error) }),
        })
        .collect::<Result<_, _>>()?;
    for (managed, pins) in &pinned {
        merged.pin(managed, pins);
    }
    merged.environment(&layers.environment);
    for (managed, pins) in &pinned {
        merged.pin(managed, pins);
    }
    merged.read(&layers.environment, more)
}

struct Merged {
    tree: Value,
    origins: BTreeMap<String, Origin>,
    faults: Vec<Fault>,
}

impl Merged {
    fn pin(&mut self, managed: &Managed, pins: &Value) {
        let mut set = Vec::new();
        merge(&mut self.tree, pins, &Shape::Table(Config::fields), &mut Vec::new(), &mut set);
        for place in set {
            self.origins.insert(self.name_of(&place), Origin::Managed(managed.place.clone()));
        }
    }

    fn environment(&mut self, variables: &[(String, String)]) {
        let mut ours: Vec<_> =
            variables.iter().filter(|(name, _)| name.to_ascii_uppercase().starts_with(VARIABLE_PREFIX)).collect();
        ours.sort();
        for (name, value) in ours {
            let rest = name[VARIABLE_PREFIX.len()..].to_ascii_uppercase();
            let mut found = Vec::new();
            named_by(&rest, &Shape::Table(Config::fields), Some(&self.tree), &mut Vec::new(), &mut found);
            match found.as_slice() {
                [(place, shape)] => {
                    let value = tree::value_from_text(shape, value);
                    put(&mut self.tree, &place.0, value);
                    self.origins.insert(self.name_of(place), Origin::Environment(name.clone()));
                }
                [] => self.faults.push(Fault {
                    path: name.clone(),
                    kind: FaultKind::UnknownKey,
                    message: "this environment variable names no field; they look like WAYBILL_CONFIG_QUEUE_MAX_ENTRIES, or \
                              WAYBILL_CONFIG_SOURCE_NAME_FOLDER for a source that the file has"
                        .to_owned(),
                }),
                several => self.faults.push(Fault {
                    path: name.clone(),
                    kind: FaultKind::Conflict,
                    message: format!(
                        "this environment variable names several fields: {}",
                        several.iter().map(|(place, _)| self.name_of(place)).collect::<Vec<_>>().join(", ")
                    ),
                }),
            }
        }
    }

    fn name_of(&self, place: &Place) -> String {
        tree::locate(place, &self.tree).map_or_else(|_| place.to_string(), |found| found.name)
    }

    fn read(self, environment: &[(String, String)], more: impl FnOnce(&Config) -> Vec<Fault>) -> Result<Effective, ConfigError> {
        let Self { tree, origins, mut faults } = self;
        let mut reader = Reader::new();
        let config = Config::read(tree.clone(), &mut reader);
        faults.extend(reader.into_faults());
        if let Some(config) = &config {
            let told = |fault: &Fault| faults.iter().any(|known| known.path == fault.path);
            let contradictions: Vec<_> = validate::conflicts(config)
                .into_iter()
                .chain(identity::fault(config, environment))
                .chain(more(config))
                .filter(|fault| !told(fault))
                .collect();
            faults.extend(contradictions);
        }
        for fault in &mut faults {
            let name = fault.path.parse().ok().and_then(|place| tree::locate(&place, &tree).ok());
            if let Some(origin) = name.and_then(|found| origins.get(&found.name)) {
                fault.message = format!("{} (set by {origin})", fault.message);
            }
        }
        match config {
            Some(config) if faults.is_empty() => Ok(Effective { config, tree, origins }),
            _ => Err(ConfigError::Faults(faults)),
        }
    }
}

/// Lays `over` on `under`; `set` gets the places of single values that came from `over`.
fn merge(under: &mut Value, over: &Value, shape: &Shape, at: &mut Vec<Segment>, set: &mut Vec<Place>) {
    match (shape, &mut *under, over) {
        (Shape::Table(fields), Value::Object(under), Value::Object(over)) => {
            let fields = fields();
            for (key, value) in over {
                let inner = shape_of(&fields, key);
                at.push(Segment::Key(key.clone()));
                merge_key(under, key, value, &inner, at, set);
                at.pop();
            }
        }
        (Shape::OpenTable, Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                at.push(Segment::Key(key.clone()));
                merge_key(under, key, value, &Shape::Any, at, set);
                at.pop();
            }
        }
        (Shape::List(inner), Value::Array(under), Value::Array(over)) if matches!(**inner, Shape::Table(_)) => {
            for element in over {
                let known = tree::element_name(element).and_then(|name| {
                    under.iter().position(|known| tree::element_name(known).is_some_and(|k| k.eq_ignore_ascii_case(name)))
                });
                let index = known.unwrap_or_else(|| {
                    under.push(Value::Object(Map::new()));
                    under.len() - 1
                });
                let mut element = element.clone();
                if known.is_some()
                    && let Value::Object(fields) = &mut element
                {
                    // What names the element in the file goes on naming it.
                    fields.remove("name");
                }
                at.push(Segment::Index(index));
                merge(&mut under[index], &element, inner, at, set);
                at.pop();
            }
        }
        _ => {
            *under = over.clone();
            set.push(Place(at.clone()));
        }
    }
}

fn merge_key(
    under: &mut Map<String, Value>,
    key: &str,
    value: &Value,
    shape: &Shape,
    at: &mut Vec<Segment>,
    set: &mut Vec<Place>,
) {
    let empty = match (shape, value) {
        (Shape::Table(_) | Shape::OpenTable, Value::Object(_)) => Value::Object(Map::new()),
        (Shape::List(inner), Value::Array(_)) if matches!(**inner, Shape::Table(_)) => Value::Array(Vec::new()),
        _ => Value::Null,
    };
    merge(under.entry(key.to_owned()).or_insert(empty), value, shape, at, set);
}

fn shape_of(fields: &[FieldInfo], key: &str) -> Shape {
    fields.iter().find(|field| field.key == key).map_or(Shape::Any, |field| field.shape.clone())
}

/// All fields that a variable's name, in capitals and without its beginning, can mean.
fn named_by(rest: &str, shape: &Shape, value: Option<&Value>, at: &mut Vec<Segment>, found: &mut Vec<(Place, Shape)>) {
    let below = |name: &str| -> Option<Option<String>> {
        let name = as_variable(name);
        match rest.strip_prefix(name.as_str()) {
            Some("") => Some(None),
            Some(below) => below.strip_prefix('_').map(|below| Some(below.to_owned())),
            None => None,
        }
    };
    match shape {
        Shape::Table(fields) => {
            for field in fields() {
                let Some(below) = below(field.key) else { continue };
                at.push(Segment::Key(field.key.to_owned()));
                match below {
                    None if !is_nested(&field.shape) => found.push((Place(at.clone()), field.shape.clone())),
                    None => {}
                    Some(below) => named_by(&below, &field.shape, value.and_then(|v| v.get(field.key)), at, found),
                }
                at.pop();
            }
        }
        Shape::List(inner) if matches!(**inner, Shape::Table(_)) => {
            for (index, element) in value.and_then(Value::as_array).into_iter().flatten().enumerate() {
                let Some(Some(below)) = tree::element_name(element).and_then(below) else { continue };
                at.push(Segment::Index(index));
                named_by(&below, inner, Some(element), at, found);
                at.pop();
            }
        }
        Shape::OpenTable => {
            at.push(Segment::Key(rest.to_ascii_lowercase()));
            found.push((Place(at.clone()), Shape::Any));
            at.pop();
        }
        _ => {}
    }
}

fn is_nested(shape: &Shape) -> bool {
    match shape {
        Shape::Table(_) => true,
        Shape::List(inner) => matches!(**inner, Shape::Table(_)),
        _ => false,
    }
}

fn as_variable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

fn put(tree: &mut Value, way: &[Segment], value: Value) {
    match way {
        [] => *tree = value,
        [Segment::Key(key), rest @ ..] => {
            if !tree.is_object() {
                *tree = Value::Object(Map::new());
            }
            if let Value::Object(map) = tree {
                put(map.entry(key.clone()).or_insert(Value::Null), rest, value);
            }
        }
        [Segment::Index(index), rest @ ..] => {
            if let Some(element) = tree.get_mut(*index) {
                put(element, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[station]\nname='A'\n[[source]]\nname='ict-1'\nfolder='/a'\n[queue]\nmax_entries=10\n";

    fn layers(environment: &[(&str, &str)], managed: &[&str]) -> Layers {
        Layers {
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            managed: managed
                .iter()
                .enumerate()
                .map(|(n, text)| Managed { place: format!("managed{n}"), text: (*text).to_owned() })
                .collect(),
        }
    }

    fn resolved(layers: &Layers) -> Effective {
        resolve(FILE, layers, |_| Vec::new()).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_environment_lies_over_the_file_and_what_is_pinned_over_both() {
        let layers = layers(
            &[("WAYBILL_CONFIG_QUEUE_MAX_ENTRIES", "20"), ("WAYBILL_CONFIG_SOURCE_ICT_1_PRIORITY", "2"), ("PATH", "x")],
            &[
                "[queue]\nmax_entries=30\nwhen_full='pause'",
                "[[source]]\nname='ICT-1'\nafter='keep'\n[[destination]]\nname='d'\nkind='folder'\nfolder='/out'",
            ],
        );
        let effective = resolved(&layers);
        assert_eq!(effective.config.queue.max_entries, 30);
        assert_eq!(effective.config.source[0].priority, 2);
        assert_eq!(effective.config.source[0].after, crate::config::After::Keep);
        assert_eq!(effective.config.destination[0].name, "d");
        assert_eq!(effective.origins["queue.max_entries"], Origin::Managed("managed0".into()));
        assert!(
            matches!(&effective.origins["source.ict-1.priority"], Origin::Environment(name) if name.ends_with("PRIORITY")),
            "{:?}",
            effective.origins
        );
        assert!(!effective.origins.contains_key("station.name"));
    }

    #[test]
    fn arguments_come_from_the_environment_too() {
        let effective = resolved(&layers(&[("WAYBILL_CONFIG_SOURCE_ICT_1_ARGUMENTS_PROCESS_CODE", "10")], &[]));
        assert_eq!(effective.config.source[0].arguments["process_code"], 10);
    }

    #[test]
    fn faults_name_the_layer_they_come_from() {
        let bad = layers(
            &[
                ("WAYBILL_CONFIG_QUEUE_MAX_ENTRIES", "0"),
                ("WAYBILL_CONFIG_QUEUE_MAX", "1"),
                ("WAYBILL_CONFIG_UPLOAD_TIMEOUT_SECS", "soon"),
            ],
            &["[log]\nlevel='loud'"],
        );
        let Err(ConfigError::Faults(faults)) = resolve(FILE, &bad, |_| Vec::new()) else { panic!() };
        let all: Vec<_> = faults.iter().map(|f| (f.path.as_str(), f.kind)).collect();
        assert_eq!(
            all,
            [
                ("WAYBILL_CONFIG_QUEUE_MAX", FaultKind::UnknownKey),
                ("queue.max_entries", FaultKind::OutOfRange),
                ("log.level", FaultKind::OutOfRange),
                ("upload.timeout_secs", FaultKind::WrongType),
            ]
        );
        assert!(faults[1].message.contains("WAYBILL_CONFIG_QUEUE_MAX_ENTRIES") && faults[2].message.contains("managed0"));
    }
}
