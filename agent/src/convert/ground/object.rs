//! Reading JSON objects: a value is taken out of its object, and what is left at the end is what nothing has read.

use waybill_shared::schema::{FaultKind, Map, Value};
use waybill_shared::text::printable;

use super::walk::{Lines, Walk};

/// An object of the file. What is read is taken out of it: what is left at the end is what nothing has read.
pub(in crate::convert) type Object = Map<String, Value>;

impl Walk {
    fn wrong_type(&mut self, expected: &str, found: &Value) {
        self.fault(FaultKind::WrongType, format!("expected {expected}, found {}", printable(&found.to_string(), 60)));
    }

    /// Takes a text; a number is one too, with the digits of the file. Blank and `null` read as absent.
    pub(in crate::convert) fn text(&mut self, object: &mut Object, key: &str) -> Option<String> {
        match object.shift_remove(key)? {
            Value::Null => None,
            Value::String(text) => (!text.trim().is_empty()).then_some(text),
            Value::Number(number) => Some(number.to_string()),
            other => {
                self.in_key(key, |walk| walk.wrong_type("a text", &other));
                None
            }
        }
    }

    /// Takes an object; `null` reads as absent.
    pub(in crate::convert) fn object(&mut self, object: &mut Object, key: &str) -> Option<Object> {
        let value = object.shift_remove(key)?;
        self.in_key(key, |walk| walk.as_object(value))
    }

    /// The value as an object; `null` reads as absent.
    pub(in crate::convert) fn as_object(&mut self, value: Value) -> Option<Object> {
        match value {
            Value::Null => None,
            Value::Object(object) => Some(object),
            other => {
                self.wrong_type("an object", &other);
                None
            }
        }
    }

    /// Takes a list; `null` reads as absent.
    pub(in crate::convert) fn list(&mut self, object: &mut Object, key: &str) -> Option<Vec<Value>> {
        match object.shift_remove(key)? {
            Value::Null => None,
            Value::Array(items) => Some(items),
            other => {
                self.in_key(key, |walk| walk.wrong_type("a list", &other));
                None
            }
        }
    }
}

impl Lines {
    /// One value under its key, an object as its values, unless it says nothing.
    pub(in crate::convert) fn add_value(&mut self, key: &str, value: &Value) {
        match value {
            Value::Object(object) => {
                for (inner, value) in object.iter().filter(|(_, value)| !says_nothing(value)) {
                    self.add(&format!("{key}.{inner}"), &plain(value));
                }
            }
            value if says_nothing(value) => {}
            value => self.add(key, &plain(value)),
        }
    }

    /// Everything that is left of an object.
    pub(in crate::convert) fn add_rest(&mut self, rest: &Object) {
        for (key, value) in rest {
            self.add_value(key, value);
        }
    }
}

/// `null`, empty, or made of nothing else.
pub(in crate::convert) fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(says_nothing),
        Value::Object(object) => object.values().all(says_nothing),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Takes a flag out of an object if it is not set: that is its default, and says nothing.
pub(in crate::convert) fn drop_unset_flag(object: &mut Object, key: &str) {
    if object.get(key) == Some(&Value::Bool(false)) {
        object.shift_remove(key);
    }
}

/// A text as it is, any other value as JSON.
pub(in crate::convert) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
