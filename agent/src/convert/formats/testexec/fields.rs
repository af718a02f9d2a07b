//! Names and values of an element, whether they are attributes or elements.

use crate::convert::ground::names::{Names, normalised};
use crate::convert::ground::xml::Element;

/// True if a name is one of these, without case and punctuation.
pub(super) fn is(name: &str, known: Names) -> bool {
    known.contains(&normalised(name).as_str())
}

/// Names and values, in their order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// One more, unless it is blank.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        if !value.trim().is_empty() {
            self.0.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Takes the first of several names that is there, the most telling name first.
    pub(super) fn take(&mut self, names: Names) -> Option<String> {
        let at = names.iter().find_map(|name| self.0.iter().position(|(key, _)| normalised(key) == *name))?;
        Some(self.0.remove(at).1)
    }

    /// What was not taken.
    pub(super) fn rest(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// All of an element: its attributes, and elements with a text. One with a name and a value as attributes is a field of that name.
pub(super) fn collect(element: Element<'_>, into: &mut Fields) {
    collect_but(element, into, &|_| false);
}

/// All of an element without some of those in it.
pub(super) fn collect_but(element: Element<'_>, into: &mut Fields, without: &dyn Fn(Element<'_>) -> bool) {
    for (key, value) in element.attributes() {
        into.add(key, value);
    }
    for child in element.children().filter(|child| !without(*child)) {
        match property(child) {
            Some((name, value)) => into.add(name, value),
            None => {
                into.add(child.name(), child.text());
                collect_but(child, into, without);
            }
        }
    }
}

/// A name and a value as attributes, or as an attribute and a text.
fn property(element: Element<'_>) -> Option<(&str, &str)> {
    let find = |names: Names| element.attributes().find(|(key, _)| is(key, names)).map(|(_, value)| value);
    let name = find(&["name", "key"]).filter(|_| element.children().next().is_none())?;
    Some((name, find(&["value"]).unwrap_or_else(|| element.text())))
}

/// All of an element in one line.
pub(super) fn flat(element: Element<'_>) -> String {
    let own = Some(element.text().trim().to_owned()).filter(|text| !text.is_empty());
    let attributes = element.attributes().map(|(key, value)| format!("{key} {value}"));
    let inner = element.children().map(|child| format!("{} {}", child.name(), flat(child)));
    own.into_iter().chain(attributes).chain(inner).collect::<Vec<_>>().join(", ")
}
