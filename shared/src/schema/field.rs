//! The types a field of a record can have.

use std::path::PathBuf;

use super::{FaultKind, Reader, Shape, Value};

/// A value that can be read from one place of a document.
///
/// `read` notes a fault in the reader and answers `None` when the value does not fit. It gives the same answer as the type's
/// `serde::Deserialize`, which is faster and names only the first fault.
pub trait Field: Sized {
    /// The type in words, for messages and the reference page.
    fn type_name() -> String;
    /// What a value looks like, for programs.
    fn shape() -> Shape {
        Shape::Any
    }
    /// Reads the value found at the reader's place.
    fn read(value: Value, reader: &mut Reader) -> Option<Self>;
}

impl Field for String {
    fn type_name() -> String {
        "text".to_owned()
    }
    fn shape() -> Shape {
        Shape::Text
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match value {
            Value::String(text) => Some(text),
            other => {
                reader.wrong_type("text", &other);
                None
            }
        }
    }
}

impl Field for bool {
    fn type_name() -> String {
        "true or false".to_owned()
    }
    fn shape() -> Shape {
        Shape::Flag
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(flag),
            other => {
                reader.wrong_type("true or false", &other);
                None
            }
        }
    }
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Field for $int {
            fn type_name() -> String {
                "whole number".to_owned()
            }
            fn shape() -> Shape {
                Shape::Integer
            }
            fn read(value: Value, reader: &mut Reader) -> Option<Self> {
                let Value::Number(number) = &value else {
                    reader.wrong_type("a whole number", &value);
                    return None;
                };
                let wide = number.as_i128();
                let narrow = wide.and_then(|n| Self::try_from(n).ok());
                match (wide, narrow) {
                    (None, _) => reader.wrong_type("a whole number", &value),
                    (Some(n), None) => reader.fault(
                        FaultKind::OutOfRange,
                        format!("{n} does not fit: {} to {} is allowed", Self::MIN, Self::MAX),
                    ),
                    _ => {}
                }
                narrow
            }
        }
    )*};
}
integers!(u8, u32, u64, i64);

impl Field for PathBuf {
    fn type_name() -> String {
        "path".to_owned()
    }
    fn shape() -> Shape {
        Shape::Path
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        String::read(value, reader).map(PathBuf::from)
    }
}

impl<T: Field> Field for Option<T> {
    fn type_name() -> String {
        T::type_name()
    }
    fn shape() -> Shape {
        T::shape()
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::read(value, reader).map(Some) }
    }
}

impl<T: Field> Field for Vec<T> {
    fn type_name() -> String {
        format!("list of {}", T::type_name())
    }
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let Value::Array(items) = value else {
            reader.wrong_type("a list", &value);
            return None;
        };
        let expected = items.len();
        let read: Self = items
            .into_iter()
            .enumerate()
            .filter_map(|(index, item)| reader.in_index(index, |reader| T::read(item, reader)))
            .collect();
        (read.len() == expected).then_some(read)
    }
}

impl Field for Value {
    fn type_name() -> String {
        "any value".to_owned()
    }
    fn read(value: Value, _reader: &mut Reader) -> Option<Self> {
        Some(value)
    }
}

impl Field for super::Map<String, Value> {
    fn type_name() -> String {
        "table".to_owned()
    }
    fn shape() -> Shape {
        Shape::OpenTable
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match value {
            Value::Object(map) => Some(map),
            other => {
                reader.wrong_type("a table", &other);
                None
            }
        }
    }
}
