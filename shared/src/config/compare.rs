//! What differs between two configurations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tree::{self, Place, Segment};
use crate::schema::Value;

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Which, elements of lists by name: `source.ict.folder`.
    pub place: String,
    /// As it was, as written in the file; absent: it was not set.
    pub before: Option<String>,
    /// As it is; absent: it is not set any more.
    pub after: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not set)".to_owned());
        write!(f, "{}: {} -> {}", self.place, shown(&self.before), shown(&self.after))
    }
}

/// All single values that differ between two trees, by place. Elements of lists are the same if their names are; their order does not count.
#[must_use]
pub fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let (before, after) = (flat(before), flat(after));
    let mut places: Vec<&String> = before.keys().chain(after.keys()).collect();
    places.sort();
    places.dedup();
    places
        .into_iter()
        .filter(|place| before.get(*place) != after.get(*place))
        .map(|place| Difference { place: place.clone(), before: before.get(place).cloned(), after: after.get(place).cloned() })
        .collect()
}

/// All single values of a tree, as written in the file, by place.
#[must_use]
pub fn flat(tree: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    walk(tree, &mut Place::default(), &mut all);
    all
}

fn walk(value: &Value, at: &mut Place, all: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                at.0.push(Segment::Key(key.clone()));
                walk(value, at, all);
                at.0.pop();
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                at.0.push(tree::element_name(item).map_or(Segment::Index(index), |name| Segment::Key(name.to_owned())));
                walk(item, at, all);
                at.0.pop();
            }
        }
        single => {
            all.insert(at.to_string(), tree::value_to_text(single));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_compared_by_name_and_not_by_order() {
        let before =
            tree::parse("[[source]]\nname='a'\nfolder='/a'\n[[source]]\nname='b'\nfolder='/b'\n[queue]\nmax_entries=1").unwrap();
        let after =
            tree::parse("[[source]]\nname='b'\nfolder='/c'\n[[source]]\nname='a'\nfolder='/a'\n[log]\nlevel='debug'").unwrap();
        let told: Vec<String> = differences(&before, &after).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["log.level: (not set) -> \"debug\"", "queue.max_entries: 1 -> (not set)", "source.b.folder: \"/b\" -> \"/c\"",]
        );
    }
}
