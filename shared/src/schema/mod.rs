//! Typed records read from a JSON-like tree, with every fault named by its path.
//!
//! Two families of records use this: the report model ([`record!`](crate::record), where unknown keys are carried
//! through verbatim) and the configuration ([`section!`](crate::section), where an unknown key is a fault). Reading never stops at
//! the first fault: a person who mends a file wants the whole list.

mod field;
mod record;
mod section;

use std::fmt;

use serde::{Deserialize, Serialize};
pub use serde_json::{Map, Value};

pub use field::Field;
pub use section::{FieldInfo, Page, Rule, Shape, described};

/// What is wrong with one place of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FaultKind {
    /// The key is not part of the schema.
    UnknownKey,
    /// The value has another type than the schema asks for.
    WrongType,
    /// The value has the right type and lies outside of what is allowed.
    OutOfRange,
    /// A required value is not there.
    Missing,
    /// Each value is fine by itself; together they contradict each other.
    Conflict,
}

impl FaultKind {
    /// The kind in words, as people read it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown key",
            Self::WrongType => "wrong type",
            Self::OutOfRange => "out of range",
            Self::Missing => "missing",
            Self::Conflict => "conflict",
        }
    }
}

/// One fault of a document: where, what kind, and what a person can do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Dotted path from the top of the document, indexes in brackets: `root.steps[2].numericMeas[0].value`.
    /// The document itself is `.`.
    pub path: String,
    /// The kind of fault.
    pub kind: FaultKind,
    /// What was found and what is expected.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.path, self.kind.text(), self.message)
    }
}

/// Joins faults into one text, one a line.
#[must_use]
pub fn list(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Collects faults while a tree is walked, and knows where in the tree the walk stands.
#[derive(Debug, Default)]
pub struct Reader {
    at: Vec<Segment>,
    faults: Vec<Fault>,
}

#[derive(Debug)]
enum Segment {
    Key(String),
    Index(usize),
}

impl Reader {
    /// A reader at the top of a document.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `f` one key deeper.
    pub fn in_key<T>(&mut self, key: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        self.within(Segment::Key(key.to_owned()), f)
    }

    /// Runs `f` one array element deeper.
    pub fn in_index<T>(&mut self, index: usize, f: impl FnOnce(&mut Self) -> T) -> T {
        self.within(Segment::Index(index), f)
    }

    fn within<T>(&mut self, segment: Segment, f: impl FnOnce(&mut Self) -> T) -> T {
        self.at.push(segment);
        let result = f(self);
        self.at.pop();
        result
    }

    /// Notes a fault at the place where the walk stands.
    pub fn fault(&mut self, kind: FaultKind, message: impl Into<String>) {
        let path = self.path();
        self.faults.push(Fault { path, kind, message: message.into() });
    }

    /// Notes that `found` is not what the schema expects here.
    pub fn wrong_type(&mut self, expected: &str, found: &Value) {
        self.fault(FaultKind::WrongType, format!("expected {expected}, found {}", describe(found)));
    }

    /// The path of the place where the walk stands.
    #[must_use]
    pub fn path(&self) -> String {
        use fmt::Write as _;
        let mut path = String::new();
        for segment in &self.at {
            let _infallible = match segment {
                Segment::Key(key) if path.is_empty() => write!(path, "{}", quoted(key)),
                Segment::Key(key) => write!(path, ".{}", quoted(key)),
                Segment::Index(index) => write!(path, "[{index}]"),
            };
        }
        if path.is_empty() { ".".to_owned() } else { path }
    }

    /// True if a fault was noted at or below this key of the place where the walk stands.
    #[must_use]
    pub fn has_fault_in(&mut self, key: &str) -> bool {
        let path = self.in_key(key, |reader| reader.path());
        self.faults
            .iter()
            .any(|fault| fault.path.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
    }

    /// True while nothing was wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// All faults found, in the order of the document.
    #[must_use]
    pub fn into_faults(self) -> Vec<Fault> {
        self.faults
    }
}

/// A value as it is told to people: short, safe to print, and without the password of an address.
pub(crate) fn shown(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    crate::text::printable(&crate::secret::redacted(&text, &[]), 200)
}

/// A key as it stands in a path: bare where that is unambiguous, quoted and escaped else.
pub(crate) fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '$'));
    if bare { key.to_owned() } else { format!("{:?}", crate::text::shortened(key, 60)) }
}

/// A found value in a few words, short enough for one line.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => format!("the boolean {b}"),
        Value::Number(n) => format!("the number {n}"),
        Value::String(s) => format!("the text {:?}", crate::text::shortened(s, 60)),
        Value::Array(a) => format!("an array of {}", a.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}
