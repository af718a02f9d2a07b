//! XML and JSON as one kind of tree, and paths in it.

use serde_json::Value;

use crate::convert::ConvertError;
use crate::convert::ground::xml::{Element, Xml};

/// Most nodes of a file.
const NODES: usize = 2_000_000;

/// An element; in JSON a key with its value, or an item of a list under the list's key.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Number of the node in its file.
    pub(super) id: usize,
    pub(super) name: String,
    pub(super) text: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Node>,
    /// Where it stands, for people.
    pub(super) place: String,
}

/// A value in a tree: the node, and which attribute of it.
pub(super) type Spot = (usize, Option<usize>);

/// Reads XML.
pub(super) fn xml(text: &str) -> Result<Node, ConvertError> {
    let mut xml = Xml::new(text.as_bytes());
    let starts = line_starts(text);
    let mut count = 0;
    let Some(root) = xml.next(|path| path.len() == 1)? else {
        return Err(ConvertError::Incomplete {
            place: format!("byte {}", text.len()),
            reason: "no element has begun".to_owned(),
        });
    };
    let node = of_element(root, &starts, &mut count)?;
    // Read to the end: what is not closed, or follows, shows there.
    while xml.next(|path| path.len() == 1)?.is_some() {}
    Ok(node)
}

fn of_element(element: Element<'_>, starts: &[u64], count: &mut usize) -> Result<Node, ConvertError> {
    let mut node = Node { id: next(count)?, name: element.name().to_owned(), ..Node::default() };
    element.text().trim().clone_into(&mut node.text);
    node.attributes = element.attributes().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    node.place = format!("line {}", starts.partition_point(|&start| start < element.byte()));
    for child in element.children() {
        node.children.push(of_element(child, starts, count)?);
    }
    Ok(node)
}

fn line_starts(text: &str) -> Vec<u64> {
    let after = |(index, _): (usize, u8)| index as u64 + 1;
    std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(after)).collect()
}

fn next(count: &mut usize) -> Result<usize, ConvertError> {
    *count += 1;
    if *count > NODES {
        let reason = format!("it has more than {NODES} elements");
        return Err(ConvertError::Malformed { place: "the file as a whole".to_owned(), reason });
    }
    Ok(*count)
}

/// Reads JSON.
pub(super) fn json(text: &str) -> Result<Node, ConvertError> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let (place, reason) = (format!("line {}, column {}", error.line(), error.column()), format!("not valid JSON: {error}"));
        if error.is_eof() { ConvertError::Incomplete { place, reason } } else { ConvertError::Malformed { place, reason } }
    })?;
    let mut count = 0;
    let mut root = Node { id: next(&mut count)?, place: "the root".to_owned(), ..Node::default() };
    fill(&mut root, value, "", &mut count)?;
    Ok(root)
}

fn fill(node: &mut Node, value: Value, path: &str, count: &mut usize) -> Result<(), ConvertError> {
    match value {
        Value::Null => {}
        Value::String(text) => node.text = text,
        Value::Bool(flag) => node.text = flag.to_string(),
        Value::Number(number) => node.text = number.to_string(),
        Value::Array(items) => {
            for (index, item) in items.into_iter().enumerate() {
                add(node, "item", item, &format!("{path}[{index}]"), count)?;
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match value {
                    Value::Array(items) => {
                        for (index, item) in items.into_iter().enumerate() {
                            add(node, &key, item, &format!("{path}[{index}]"), count)?;
                        }
                    }
                    value => add(node, &key, value, &path, count)?,
                }
            }
        }
    }
    Ok(())
}

fn add(node: &mut Node, name: &str, value: Value, path: &str, count: &mut usize) -> Result<(), ConvertError> {
    let mut child = Node { id: next(count)?, name: name.to_owned(), place: path.to_owned(), ..Node::default() };
    fill(&mut child, value, path, count)?;
    node.children.push(child);
    Ok(())
}

impl Node {
    /// The value at a path from here: `Header/SerialNumber`, `@Name`, `Property[@name='SN']/@value`, `.` for its own text.
    pub(super) fn value(&self, path: &str) -> Option<(&str, &Self, Spot)> {
        let segments = segments(path);
        if let Some((last, elements)) = segments.split_last()
            && let Some(attribute) = last.strip_prefix('@')
        {
            return self.along(elements).into_iter().find_map(|node| {
                let index = node.attributes.iter().position(|(name, _)| name == attribute.trim())?;
                Some((node.attributes[index].1.as_str(), node, (node.id, Some(index))))
            });
        }
        let mut found = self.all(path).into_iter();
        let first = found.clone().next();
        let node = found.find(|node| !node.text.trim().is_empty()).or(first)?;
        Some((node.text.as_str(), node, (node.id, None)))
    }

    /// The elements at a path from here, in their order.
    pub(super) fn all(&self, path: &str) -> Vec<&Self> {
        self.along(&segments(path))
    }

    fn along(&self, segments: &[&str]) -> Vec<&Self> {
        let mut found = vec![self];
        for segment in segments {
            let (name, condition) = match segment.split_once('[') {
                Some((name, condition)) => (name, Some(condition.trim_end_matches(']'))),
                None => (*segment, None),
            };
            let fits =
                |child: &&Self| (name == "*" || child.name == name) && condition.is_none_or(|condition| child.fulfils(condition));
            found = found.into_iter().flat_map(|node| node.children.iter().filter(fits)).collect();
        }
        found
    }

    /// `@name='SN'`, or `name='SN'` for a child.
    fn fulfils(&self, condition: &str) -> bool {
        let Some((name, wanted)) = condition.split_once('=') else { return false };
        let (name, wanted) = (name.trim(), wanted.trim().trim_matches(['\'', '"']));
        match name.strip_prefix('@') {
            Some(attribute) => self.attributes.iter().any(|(key, value)| key == attribute && value == wanted),
            None => self.children.iter().any(|child| child.name == name && child.text.trim() == wanted),
        }
    }

    /// Every value in it that is not blank, with its path from here.
    pub(super) fn values(&self, path: &str, told: &mut dyn FnMut(&str, &str, Spot), enter: &dyn Fn(&Self) -> bool) {
        for (index, (name, value)) in self.attributes.iter().enumerate() {
            if !value.trim().is_empty()
                && !matches!(name.as_str(), "schemaLocation" | "noNamespaceSchemaLocation" | "xsi" | "xsd" | "xmlns")
            {
                let separator = if path.is_empty() { "" } else { "/" };
                told(&format!("{path}{separator}{name}"), value, (self.id, Some(index)));
            }
        }
        if !self.text.trim().is_empty() {
            told(if path.is_empty() { &self.name } else { path }, &self.text, (self.id, None));
        }
        for child in self.children.iter().filter(|child| enter(child)) {
            let path = if path.is_empty() { child.name.clone() } else { format!("{path}/{}", child.name) };
            child.values(&path, told, enter);
        }
    }
}

/// The parts of a path: slashes within brackets part nothing, and `.` is here.
fn segments(path: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let parts = path.split(|c| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == '/' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty() && *part != ".").collect()
}
