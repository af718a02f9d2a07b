//! Invalid configurations, made from the table of fields: a valid one with faults put into it, and what has to be said of them.

use waybill_shared::config::describe::{self, Described};
use waybill_shared::config::tree::value_to_text;
use waybill_shared::schema::{FaultKind, Map, Shape, Value};

use serde_json::json;

/// The names of the elements of lists of tables, in their order.
pub const ELEMENTS: [(&str, &[&str]); 3] =
    [("station.preset", &["audit"]), ("source", &["ict", "fct"]), ("destination", &["main", "copy"])];

/// A configuration without a fault, with some of everything.
pub fn valid() -> Value {
    json!({
        "station": { "name": "ST-07", "location": "Line 1", "purpose": "Production", "preset": [{ "name": "audit", "purpose": "Audit" }] },
        "source": [
            { "name": "ict", "folder": "/data/ict", "patterns": ["*.json"], "converter": "wsjf", "after": "move", "priority": 5 },
            { "name": "fct", "folder": "/data/fct", "arguments": { "process_code": 10 } },
        ],
        "destination": [
            { "name": "main", "kind": "wats", "url": "https://example.com" },
            { "name": "copy", "kind": "folder", "folder": "/data/out", "enabled": false },
        ],
        "queue": { "max_entries": 10_000, "when_full": "reject" },
        "upload": { "concurrency": 5, "max_retries": 10 },
        "log": { "level": "info" },
    })
}

/// The elements of [`valid`] by their names only: what something that lies over it needs to name them.
pub fn names_only() -> Value {
    let mut tree = json!({ "station": { "preset": [] }, "source": [], "destination": [] });
    for (list, names) in ELEMENTS {
        let elements = names.iter().map(|name| json!({ "name": name })).collect();
        *tree.pointer_mut(&format!("/{}", list.replace('.', "/"))).unwrap() = Value::Array(elements);
    }
    tree
}

/// A fault that was put into a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Planted {
    /// Where it has to be named.
    pub path: String,
    /// As what.
    pub kind: FaultKind,
    /// The value that is put at `place`, as a JSON pointer.
    pub place: String,
    pub value: Value,
    /// The environment variable that sets the same, if one can, and what it holds.
    pub variable: Option<(String, String)>,
}

impl Planted {
    /// Two faults that would be one, or one inside of the other.
    pub fn collides(&self, other: &Self) -> bool {
        let below = |a: &str, b: &str| a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
        below(&self.place, &other.place) || below(&other.place, &self.place)
    }

    /// Puts it into a document, over whatever is there.
    pub fn plant(&self, tree: &mut Value) {
        let segments: Vec<String> = self.place[1..].split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
        let (last, way) = segments.split_last().unwrap();
        let table = way.iter().fold(tree, |at, key| match key.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => at.as_object_mut().unwrap().entry(key.clone()).or_insert_with(|| json!({})),
        });
        match last.parse::<usize>() {
            Ok(index) => table[index] = self.value.clone(),
            Err(_) => drop(table.as_object_mut().unwrap().insert(last.clone(), self.value.clone())),
        }
    }
}

/// Every fault of the three kinds that can stand at any place of [`valid`].
pub fn all() -> Vec<Planted> {
    let fields = describe::fields();
    let mut all: Vec<Planted> =
        fields.iter().flat_map(|field| places(&field.path).into_iter().flat_map(|at| of_field(field, &at))).collect();
    let mut tables: Vec<Place> = fields.iter().flat_map(|field| places(field.path.rsplit_once('.').unwrap().0)).collect();
    tables.push(Place { path: String::new(), pointer: String::new(), variable: Some(String::new()) });
    tables.sort_by(|a, b| a.path.cmp(&b.path));
    tables.dedup_by(|a, b| a.path == b.path);
    all.extend(tables.iter().flat_map(unknown_keys));
    // A table that is none, and a list of tables that is none.
    for table in tables.iter().filter(|table| !table.path.is_empty()) {
        all.extend([json!(5), json!("x"), json!([1])].map(|value| table.fault(FaultKind::WrongType, value)).into_iter().take(2));
    }
    for (list, _) in ELEMENTS {
        let [place] = <[Place; 1]>::try_from(places(list)).ok().unwrap();
        all.push(place.fault(FaultKind::WrongType, json!({ "name": "x" })));
    }
    all
}

/// One place of [`valid`].
#[derive(Debug, Clone)]
struct Place {
    path: String,
    pointer: String,
    variable: Option<String>,
}

impl Place {
    fn fault(&self, kind: FaultKind, value: Value) -> Planted {
        Planted { path: self.path.clone(), kind, place: self.pointer.clone(), value, variable: None }
    }
}

/// The places that a path of the table stands for: `source[].folder` is two of them.
fn places(path: &str) -> Vec<Place> {
    let mut places = vec![Place { path: String::new(), pointer: String::new(), variable: Some("WAYBILL_CONFIG".to_owned()) }];
    let mut walked = String::new();
    for part in path.split('.') {
        let (key, each) = part.strip_suffix("[]").map_or((part, false), |key| (key, true));
        walked = if walked.is_empty() { key.to_owned() } else { format!("{walked}.{key}") };
        for place in &mut places {
            place.path = if place.path.is_empty() { key.to_owned() } else { format!("{}.{key}", place.path) };
            place.pointer = format!("{}/{key}", place.pointer);
            // What names an element is not changed from outside.
            place.variable = place.variable.take().filter(|_| key != "name" || walked == "station.name");
            place.variable = place.variable.take().map(|variable| format!("{variable}_{}", key.to_ascii_uppercase()));
        }
        if each {
            let names = ELEMENTS.iter().find(|(list, _)| *list == walked).map(|(_, names)| *names);
            let names = names.unwrap_or_else(|| panic!("{walked} is a list of tables that this test has no element of"));
            places = places
                .iter()
                .flat_map(|place| {
                    names.iter().enumerate().map(|(index, name)| Place {
                        path: format!("{}[{index}]", place.path),
                        pointer: format!("{}/{index}", place.pointer),
                        variable: place.variable.as_ref().map(|variable| format!("{variable}_{}", name.to_ascii_uppercase())),
                    })
                })
                .collect();
        }
    }
    places
}

fn of_field(field: &Described, at: &Place) -> Vec<Planted> {
    let info = &field.info;
    let wrong = |values: Vec<Value>| values.into_iter().map(|value| at.fault(FaultKind::WrongType, value)).collect::<Vec<_>>();
    let out = |values: Vec<Value>| values.into_iter().map(|value| at.fault(FaultKind::OutOfRange, value)).collect::<Vec<_>>();
    let mut faults = match &info.shape {
        Shape::Text | Shape::Path => {
            let mut faults = wrong(vec![json!(7), json!(true), json!(1.5), json!(["a"]), json!({ "a": 1 })]);
            faults.extend(out(if info.rule.is_some() { vec![json!("")] } else { Vec::new() }));
            faults
        }
        Shape::Choice(words) => {
            let mut faults = wrong(vec![json!(7), json!(false), json!(["a"])]);
            faults.extend(out(vec![json!(""), json!("burn"), json!(words[0].to_ascii_uppercase() + "!")]));
            faults
        }
        Shape::Flag => wrong(vec![json!("yes"), json!(1), json!([])]),
        Shape::Integer => {
            let (low, high) = info.bounds.unwrap_or_else(|| panic!("{} is a number without bounds", field.path));
            let mut faults = wrong(vec![json!("soon"), json!(true), json!(1.5), json!([1]), json!({})]);
            let below = i64::try_from(low).unwrap() - 1;
            faults.extend(out(vec![json!(high + 1), json!(i64::MAX), json!(below), json!(i64::MIN)]));
            faults
        }
        Shape::List(_) => {
            let mut faults = wrong(vec![json!("*"), json!(7), json!({ "a": 1 })]);
            // One element of the list.
            let inside = at.fault(FaultKind::WrongType, json!(["a", 5]));
            faults.push(Planted { path: format!("{}[1]", at.path), ..inside });
            faults.extend(out(if info.rule.is_some() { vec![json!([""])] } else { Vec::new() }));
            faults
        }
        Shape::OpenTable => wrong(vec![json!("x"), json!(7), json!([1])]),
        Shape::Table(_) | Shape::Any => panic!("{} holds no value of its own", field.path),
    };
    for fault in &mut faults {
        fault.variable = at.variable.clone().zip(as_text(&info.shape, fault));
    }
    faults
}

/// What a variable has to hold to mean the same. Whatever it holds, it is a text where a text is asked for.
fn as_text(shape: &Shape, fault: &Planted) -> Option<String> {
    match (shape, &fault.value) {
        (Shape::Text | Shape::Path | Shape::Choice(_), Value::String(text)) => Some(text.clone()),
        (Shape::Text | Shape::Path | Shape::Choice(_), _) => None,
        (_, value) => Some(value_to_text(value)),
    }
}

/// Keys that no table has: like a known one, and none that could stand bare.
fn unknown_keys(table: &Place) -> Vec<Planted> {
    let keys = [("max_entires", "max_entires"), ("Name", "Name"), ("zz_9", "zz_9"), ("a b", "\"a b\""), ("a.b", "\"a.b\"")];
    keys.into_iter()
        .zip([json!(1), json!("x"), json!({ "name": "x" }), json!([]), json!(false)])
        .map(|((key, shown), value)| Planted {
            path: if table.path.is_empty() { shown.to_owned() } else { format!("{}.{shown}", table.path) },
            kind: FaultKind::UnknownKey,
            place: format!("{}/{key}", table.pointer),
            value,
            variable: None,
        })
        .collect()
}

/// A document as a person writes it: sections and elements of lists with heads, what is below them in one line.
pub fn text(tree: &Value) -> String {
    let Value::Object(sections) = tree else { panic!("no document: {tree}") };
    let key = |key: &str| if key.contains([' ', '.']) { format!("{key:?}") } else { key.to_owned() };
    let lines = |table: &Map<String, Value>| -> String {
        table.iter().map(|(name, value)| format!("{} = {}\n", key(name), value_to_text(value))).collect()
    };
    let tables = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_object));
    let (headed, plain): (Map<_, _>, Map<_, _>) =
        sections.clone().into_iter().partition(|(_, value)| value.is_object() || tables(value));
    let mut text = lines(&plain);
    for (name, section) in &headed {
        match section {
            Value::Object(table) => text.push_str(&format!("\n[{}]\n{}", key(name), lines(table))),
            Value::Array(elements) => {
                for element in elements.iter().filter_map(Value::as_object) {
                    text.push_str(&format!("\n[[{}]]\n{}", key(name), lines(element)));
                }
            }
            _ => {}
        }
    }
    text
}
