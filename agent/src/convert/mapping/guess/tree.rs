//! A mapping for XML and JSON.

use super::super::tree::Node;
use super::super::values;
use super::Out;
use super::words::{self, STEP, UNIT};
use crate::convert::ground::names::normalised;
use crate::convert::mapping::model::StatusWords;

/// Writes it.
pub(super) fn guess(root: &Node, format: &str, out: &mut Out) {
    out.line("format", format, "");
    if format == "xml" {
        out.table("[recognise]", "How `auto` knows such a file. Without it only a source that names this mapping uses it.");
        out.line("pattern", &format!("<{}[\\s>/]", regex::escape(&root.name)), "");
    }
    let mut leaves = Vec::new();
    collect(root, "", &mut leaves);
    let serial = find(&leaves, "sn");
    let unit = serial.map_or_else(String::new, |leaf| repeated(root, &leaf.path));
    out.table("[tree]", "");
    out.line("unit", if unit.is_empty() { "." } else { &unit }, "path of a unit from the root; `.` is the root itself");
    let elements = elements(root);
    let is_in_step = |path: &str| elements.iter().any(|element| path.split('/').any(|name| name == element.name));
    out.table(
        "[unit]",
        "What is said of the unit as a whole: key of the report = path from the unit, or from the root with a slash before it.",
    );
    let mut time = None;
    for (key, _) in UNIT {
        let Some(leaf) = find_where(&leaves, key, &|leaf| !is_in_step(&leaf.path)) else { continue };
        let path = match leaf.path.strip_prefix(&unit).map(|rest| rest.trim_start_matches('/')) {
            Some(inner) if !unit.is_empty() => inner.to_owned(),
            None => format!("/{}", leaf.path),
            Some(_) => leaf.path.clone(),
        };
        out.line(key, &path, "");
        if key == "start" {
            time = words::time_pattern(&leaf.text);
        }
    }
    if let Some((pattern, why)) = time {
        out.table("[time]", why);
        out.raw(&format!("formats = [{}]", super::quoted(pattern)));
    }
    for element in &elements {
        out.table("[[element]]", "");
        out.line("element", &element.name, "");
        if element.kind != "auto" {
            out.line("kind", element.kind, "");
        }
        element.fields.iter().for_each(|(key, path)| out.line(key, path, ""));
    }
    if elements.is_empty() {
        out.table("[[element]]", "No element was found that has a name and a value: say which ones are steps.");
        out.line("element", "…", "");
        out.line("name", "@name", "");
        out.line("value", "@value", "");
    }
}

/// A value that a path leads to.
struct Leaf {
    path: String,
    name: String,
    text: String,
}

struct Element {
    name: String,
    kind: &'static str,
    fields: Vec<(&'static str, String)>,
}

fn collect(node: &Node, path: &str, leaves: &mut Vec<Leaf>) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    for (name, text) in &node.attributes {
        leaves.push(Leaf { path: join(&format!("@{name}")), name: normalised(name), text: text.clone() });
    }
    if !node.text.trim().is_empty() && !path.is_empty() {
        leaves.push(Leaf { path: path.to_owned(), name: normalised(&node.name), text: node.text.clone() });
    }
    for child in &node.children {
        collect(child, &join(&child.name), leaves);
    }
}

fn find<'l>(leaves: &'l [Leaf], key: &str) -> Option<&'l Leaf> {
    find_where(leaves, key, &|_| true)
}

fn find_where<'l>(leaves: &'l [Leaf], key: &str, fits: &dyn Fn(&Leaf) -> bool) -> Option<&'l Leaf> {
    let (_, names) = UNIT.iter().find(|(known, _)| *known == key)?;
    names.iter().find_map(|name| leaves.iter().find(|leaf| leaf.name == *name && fits(leaf)))
}

/// The first part of a path at which there are several elements.
fn repeated(root: &Node, path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.starts_with('@')).collect();
    let prefix = |count: usize| parts[..count].join("/");
    (1..=parts.len()).map(prefix).find(|prefix| root.all(prefix).len() > 1).unwrap_or_default()
}

/// Elements that have a name and a value, and those that hold them and have a name.
fn elements(root: &Node) -> Vec<Element> {
    let mut found: Vec<Element> = Vec::new();
    visit(root, true, &mut found);
    // What holds others comes first.
    found.sort_by_key(|element| element.kind != "sequence");
    found
}

/// True if the node is a step, or holds one.
fn visit(node: &Node, is_root: bool, found: &mut Vec<Element>) -> bool {
    let items: Vec<(String, String, &str)> = node
        .attributes
        .iter()
        .map(|(name, text)| (format!("@{name}"), name.clone(), text.as_str()))
        .chain(
            node.children
                .iter()
                .filter(|child| child.children.is_empty())
                .map(|child| (child.name.clone(), child.name.clone(), child.text.as_str())),
        )
        .collect();
    let names: Vec<String> = items.iter().map(|(_, name, _)| name.clone()).collect();
    let place = |key: &str| STEP.iter().find(|(known, _)| *known == key).and_then(|(_, names_of)| words::place(names_of, &names));
    let is_step = !is_root && place("name").is_some() && place("value").is_some() && place("name") != place("value");
    let mut holds = false;
    if !is_step {
        for child in &node.children {
            holds |= visit(child, false, found);
        }
    }
    let is_group = holds && !is_root && place("name").is_some();
    if is_step || is_group {
        let known = found.iter().position(|element| element.name == node.name);
        let is_verdict = place("value")
            .and_then(|place| items.get(place))
            .is_some_and(|(_, _, text)| values::status(&blank(), text).is_some() && !text.chars().all(|c| c.is_ascii_digit()));
        let kind = if is_group {
            "sequence"
        } else if is_verdict {
            "verdict"
        } else {
            "auto"
        };
        let keys: &[&'static str] =
            if is_group { &["name"] } else { &["name", "value", "unit", "low", "high", "comparator", "expected", "status"] };
        let index = known.unwrap_or(found.len());
        if known.is_none() {
            found.push(Element { name: node.name.clone(), kind, fields: Vec::new() });
        }
        if let Some(element) = found.get_mut(index) {
            if element.kind != kind {
                element.kind = if kind == "sequence" { kind } else { "auto" };
            }
            for key in keys {
                let path = place(key).and_then(|place| items.get(place)).map(|(path, ..)| path.clone());
                let is_new = !element.fields.iter().any(|(known, _)| known == key);
                element.fields.extend(path.filter(|_| is_new).map(|path| (*key, path)));
            }
        }
    }
    is_step || holds
}

fn blank() -> StatusWords {
    StatusWords {
        passed: Vec::new(),
        failed: Vec::new(),
        done: Vec::new(),
        skipped: Vec::new(),
        error: Vec::new(),
        terminated: Vec::new(),
    }
}
