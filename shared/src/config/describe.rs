//! The table of fields as others need it: the reference page, a JSON Schema, a sample file.

use std::fmt::Write as _;

use super::Config;
use crate::schema::{FieldInfo, Map, Shape, Value};

/// A field and where it is: `queue.max_entries`, `source[].folder`.
#[derive(Debug, Clone)]
pub struct Described {
    /// Where it is; `[]` stands for each element of a list.
    pub path: String,
    /// The field.
    pub info: FieldInfo,
}

/// All fields that hold a value, in the order of the reference page.
#[must_use]
pub fn fields() -> Vec<Described> {
    let mut all = Vec::new();
    walk(&Config::fields(), "", &mut all);
    all
}

fn walk(fields: &[FieldInfo], prefix: &str, all: &mut Vec<Described>) {
    for info in fields {
        let path = format!("{prefix}{}", info.key);
        match &info.shape {
            Shape::Table(inner) => walk(&inner(), &format!("{path}."), all),
            Shape::List(inner) => match &**inner {
                Shape::Table(inner) => walk(&inner(), &format!("{path}[]."), all),
                _ => all.push(Described { path, info: info.clone() }),
            },
            _ => all.push(Described { path, info: info.clone() }),
        }
    }
}

/// A section: its key as it stands in the file, what it is for, whether there may be several, its fields.
struct Section {
    path: String,
    help: &'static str,
    many: bool,
    fields: Vec<FieldInfo>,
}

fn sections() -> Vec<Section> {
    let mut all = Vec::new();
    collect(&Config::fields(), "", &mut all);
    all
}

fn collect(fields: &[FieldInfo], prefix: &str, all: &mut Vec<Section>) {
    for info in fields {
        let path = format!("{prefix}{}", info.key);
        let (inner, many) = match &info.shape {
            Shape::Table(inner) => (*inner, false),
            Shape::List(inner) => match &**inner {
                Shape::Table(inner) => (*inner, true),
                _ => continue,
            },
            _ => continue,
        };
        all.push(Section { path: path.clone(), help: info.help, many, fields: inner() });
        collect(&inner(), &format!("{path}."), all);
    }
}

fn is_single(info: &FieldInfo) -> bool {
    match &info.shape {
        Shape::Table(_) => false,
        Shape::List(inner) => !matches!(**inner, Shape::Table(_)),
        _ => true,
    }
}

impl FieldInfo {
    /// Its default as written in the file; absent: it must be given, or is not set.
    #[must_use]
    pub fn default_text(&self) -> Option<String> {
        let value: Value = serde_json::from_str(self.default.as_deref()?).ok()?;
        (!value.is_null()).then(|| super::tree::value_to_text(&value))
    }

    /// True if the key must be given.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.default.is_none()
    }
}

/// The reference page, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         Every field of `config.toml`. This page is made by `waybill-agent config docs` from the table that the agent itself reads by; a test \
         compares the two.\n\n\
         A value counts in this order: what the administrator has pinned (`managed.toml`), the environment (`WAYBILL_CONFIG_…`), the file, the \
         default. *At once* means that a change applies while the agent runs.\n",
    );
    for section in sections() {
        let (open, close) = if section.many { ("[[", "]]") } else { ("[", "]") };
        let _infallible = write!(page, "\n## `{open}{}{close}`\n\n{}.\n\n", section.path, section.help);
        page.push_str("| field | type | default | allowed | at once | what it is for |\n|---|---|---|---|---|---|\n");
        for info in section.fields.iter().filter(|info| is_single(info)) {
            let default = match info.default_text() {
                Some(text) => format!("`{text}`"),
                None if info.is_required() => "required".to_owned(),
                None => "not set".to_owned(),
            };
            let allowed = match (&info.rule, info.unit) {
                (Some(rule), Some(unit)) => format!("{rule} {unit}"),
                (Some(rule), None) => rule.clone(),
                (None, Some(unit)) => unit.to_owned(),
                (None, None) => String::new(),
            };
            let live = info.restart.map_or_else(|| "yes".to_owned(), |why| format!("no: {why}"));
            let kind = info.type_name.replace('|', "\\|");
            let _infallible = writeln!(
                page,
                "| `{}` | {kind} | {default} | {} | {live} | {} |",
                info.key,
                allowed.replace('|', "\\|"),
                info.help
            );
        }
    }
    page.push_str(
        "\n## Names in the environment and on the command line\n\n\
         `waybill-agent config set` and the window name a field by its place: `queue.max_entries`, and `source.NAME.folder` for the source of that \
         name. The environment says the same in capitals: `WAYBILL_CONFIG_QUEUE_MAX_ENTRIES`, `WAYBILL_CONFIG_SOURCE_NAME_FOLDER`; what is \
         neither a letter nor a digit becomes `_`.\n",
    );
    page
}

/// The whole configuration with every default, as comments, and its explanation.
#[must_use]
pub fn sample() -> String {
    let mut text = String::from("# Every field with its default. Made by `waybill-agent config schema --sample`.\n");
    for section in sections() {
        let header = if section.many { format!("[[{}]]", section.path) } else { format!("[{}]", section.path) };
        let comment = if section.many { "# " } else { "" };
        let _infallible = write!(text, "\n# {}.\n{comment}{header}\n", section.help);
        for info in section.fields.iter().filter(|info| is_single(info)) {
            let value = info.default_text().unwrap_or_else(|| example(info));
            let rule = info.rule.as_ref().map_or_else(String::new, |rule| format!("; {rule}"));
            let unit = info.unit.map_or_else(String::new, |unit| format!(" ({unit})"));
            let _infallible = write!(text, "# {}{unit}{rule}\n# {} = {value}\n", info.help, info.key);
        }
    }
    text
}

/// A value that shows what is meant, for a field without default.
fn example(info: &FieldInfo) -> String {
    match (&info.shape, info.bounds) {
        (Shape::Integer, Some((low, _))) => low.to_string(),
        (Shape::Integer, None) => "1".to_owned(),
        (Shape::Choice(words), _) => format!("{:?}", words.first().copied().unwrap_or_default()),
        (Shape::Flag, _) => "true".to_owned(),
        (Shape::Path, _) => "\"path/of/a/file-or-folder\"".to_owned(),
        _ if info.key.ends_with("url") => "\"https://example.com\"".to_owned(),
        _ if info.key.ends_with("variable") => "\"STATION_NAME\"".to_owned(),
        _ => format!("\"{}\"", info.key.replace('_', "-")),
    }
}

/// A JSON Schema (draft 2020-12) of `config.toml`, for editors.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".into(), "Waybill configuration".into());
    if let Value::Object(body) = object(&Config::fields()) {
        schema.extend(body);
    }
    Value::Object(schema)
}

fn object(fields: &[FieldInfo]) -> Value {
    let mut properties = Map::new();
    for info in fields {
        let mut property = match shape(&info.shape) {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let mut words = info.help.to_owned();
        if let Some(unit) = info.unit {
            let _infallible = write!(words, " ({unit})");
        }
        if let Some(rule) = &info.rule {
            let _infallible = write!(words, "; {rule}");
        }
        property.insert("description".into(), words.into());
        if let Some((low, high)) = info.bounds {
            property.insert("minimum".into(), low.into());
            property.insert("maximum".into(), high.into());
        }
        let default =
            info.default.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()).filter(|value| !value.is_null());
        if let Some(default) = default.filter(|_| is_single(info)) {
            property.insert("default".into(), default);
        }
        properties.insert(info.key.into(), Value::Object(property));
    }
    let required: Vec<Value> = fields.iter().filter(|info| info.is_required()).map(|info| info.key.into()).collect();
    let mut object = Map::new();
    object.insert("type".into(), "object".into());
    object.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        object.insert("required".into(), required.into());
    }
    object.insert("properties".into(), Value::Object(properties));
    Value::Object(object)
}

fn shape(of: &Shape) -> Value {
    let typed = |name: &str| serde_json::json!({ "type": name });
    match of {
        Shape::Text | Shape::Path => typed("string"),
        Shape::Flag => typed("boolean"),
        Shape::Integer => typed("integer"),
        Shape::Choice(words) => serde_json::json!({ "type": "string", "enum": words }),
        Shape::List(inner) => serde_json::json!({ "type": "array", "items": shape(inner) }),
        Shape::Table(fields) => object(&fields()),
        Shape::OpenTable => typed("object"),
        Shape::Any => serde_json::json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_says_what_it_is() {
        let all = fields();
        assert!(all.len() > 60, "{}", all.len());
        for Described { path, info } in all {
            assert!(info.help.len() > 3 && !info.help.ends_with('.'), "{path}: {:?}", info.help);
            let number = matches!(info.shape, Shape::Integer);
            assert!(!number || info.rule.is_some(), "{path} is a number without a range");
            assert!(!number || info.bounds.is_some(), "{path} is a number without bounds");
            assert!(!number || info.unit.is_some() || info.key == "priority", "{path} is a number without a unit");
        }
    }

    #[test]
    fn the_sample_is_a_configuration_and_so_is_each_of_its_lines() {
        super::super::parse(&sample()).unwrap_or_else(|error| panic!("{error}"));
        let uncommented: String = sample()
            .lines()
            .filter_map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.starts_with("[[") || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => {
                    Some(rest)
                }
                Some(_) => None,
                None => Some(line),
            })
            .map(|line| format!("{line}\n"))
            .collect();
        match super::super::parse(&uncommented) {
            Ok(_) => {}
            Err(super::super::ConfigError::Faults(faults)) => {
                // Together they contradict each other (a folder for a server); each by itself is right.
                assert!(
                    faults
                        .iter()
                        .all(|f| matches!(f.kind, crate::schema::FaultKind::Conflict | crate::schema::FaultKind::Missing)),
                    "{}",
                    crate::schema::list(&faults)
                );
            }
            Err(other) => panic!("{other}\n{uncommented}"),
        }
    }

    #[test]
    fn the_schema_names_ranges_choices_and_what_is_required() {
        let schema = json_schema();
        assert_eq!(schema["properties"]["queue"]["properties"]["max_entries"]["maximum"], 10_000_000);
        assert_eq!(schema["properties"]["source"]["items"]["required"], serde_json::json!(["name", "folder"]));
        assert_eq!(schema["properties"]["queue"]["properties"]["when_full"]["enum"][1], "pause");
        assert_eq!(schema["additionalProperties"], false);
    }
}
