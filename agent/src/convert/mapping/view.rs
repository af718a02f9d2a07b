//! Where the values of one unit or one step stand, and how they are found there.

use waybill_shared::text::printable;

use super::kinds::Pick;
use super::rows::{Row, Sheet};
use super::tree::{Node, Spot};

/// What a pick looks at.
#[derive(Clone, Copy)]
pub(super) enum View<'a> {
    /// A row of a section, or the section alone.
    Row {
        /// The section.
        sheet: &'a Sheet,
        /// Its row.
        row: Option<&'a Row>,
    },
    /// An element, and the root for paths that begin with a slash.
    Node {
        /// The root.
        root: &'a Node,
        /// The element.
        node: &'a Node,
    },
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// The value, without blanks around it.
    pub(super) text: String,
    /// Where it stands, for people.
    pub(super) place: String,
    /// Where it stands in a tree.
    pub(super) spot: Option<Spot>,
}

/// Two names are the same whatever their case, the blanks around them and a colon after them.
pub(super) fn key(name: &str) -> String {
    name.trim().trim_end_matches(':').trim_end().to_lowercase()
}

impl View<'_> {
    /// The value of a pick; none if it has none here.
    ///
    /// # Errors
    /// What is wrong: the place does not exist in a table, or the value is not of the pick's pattern.
    pub(super) fn find(&self, pick: &Pick, file_name: &str, empty: &[String]) -> Result<Option<Found>, String> {
        let says_something = |found: &Found| !found.text.is_empty() && !empty.iter().any(|word| word.trim() == found.text);
        let (found, is_known) = match self {
            Self::Row { sheet, row } => in_row(sheet, *row, pick, &says_something),
            Self::Node { root, node } => (in_node(root, node, pick, &says_something), true),
        };
        if let Some(found) = found {
            return match &pick.pattern {
                None => Ok(Some(found)),
                Some(pattern) => match pattern.taken(&found.text) {
                    Some(taken) => Ok(Some(Found { text: taken.trim().to_owned(), ..found }).filter(says_something)),
                    None if pick.optional => Ok(None),
                    None => Err(format!("{}: {:?} is not of its pattern", found.place, printable(&found.text, 60))),
                },
            };
        }
        let elsewhere = |text: &str, place: &str| Found { text: text.trim().to_owned(), place: place.to_owned(), spot: None };
        let by_name = pick.file_name.as_ref().and_then(|pattern| pattern.taken(file_name));
        let by_name = by_name.map(|text| elsewhere(text, "name of the file"));
        let constant = pick.constant.as_ref().map(|text| elsewhere(text, "constant of the mapping"));
        let found = by_name.or(constant).filter(says_something);
        let is_required = !pick.optional && pick.column.is_none() && !pick.names.is_empty();
        if found.is_none() && !is_known && is_required && pick.file_name.is_none() {
            let names = pick.names.iter().map(|name| format!("{:?}", printable(name, 60))).collect::<Vec<_>>().join(" or ");
            return Err(format!("there is no column and no line {names} (say optional = true if not every file has it)"));
        }
        Ok(found)
    }
}

/// The value, and whether its place exists.
fn in_row(sheet: &Sheet, row: Option<&Row>, pick: &Pick, fits: &dyn Fn(&Found) -> bool) -> (Option<Found>, bool) {
    let mut is_known = false;
    let cell = |index: usize| {
        let row = row?;
        let name = sheet.columns.get(index).map_or(String::new(), |name| format!(" ({})", printable(name, 60)));
        let place = format!("line {}, column {}{name}", row.line, index + 1);
        Some(Found { text: row.cells.get(index)?.trim().to_owned(), place, spot: None })
    };
    for name in &pick.names {
        let key = key(name);
        if let Some(index) = sheet.keys().position(|column| column == key) {
            is_known = true;
            if let Some(found) = cell(index).filter(fits) {
                return (Some(found), true);
            }
        }
        for pair in sheet.pairs.iter().filter(|pair| self::key(&pair.name) == key) {
            is_known = true;
            let place = format!("line {} ({})", pair.line, printable(&pair.name, 60));
            let found = Found { text: pair.value.trim().to_owned(), place, spot: None };
            if fits(&found) {
                return (Some(found), true);
            }
        }
    }
    let by_number = pick.column.and_then(|column| usize::try_from(column).ok()?.checked_sub(1)).and_then(cell);
    (by_number.filter(fits), is_known)
}

fn in_node(root: &Node, node: &Node, pick: &Pick, fits: &dyn Fn(&Found) -> bool) -> Option<Found> {
    pick.names.iter().find_map(|path| {
        let (from, inner) = path.strip_prefix('/').map_or((node, path.as_str()), |inner| (root, inner));
        let (text, at, spot) = from.value(inner)?;
        let place = format!("{} ({})", at.place, printable(path, 60));
        Some(Found { text: text.trim().to_owned(), place, spot: Some(spot) }).filter(fits)
    })
}
