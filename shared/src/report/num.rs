//! A number of a report, digit for digit as its file writes it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::schema::{Field, Reader, Value};

/// A JSON number with its original digits, or one of the three values JSON has no number for.
///
/// On the wire the three are the texts `"NaN"`, `"Infinity"` and `"-Infinity"`, never bare tokens.
#[derive(Debug, Clone, PartialEq)]
pub enum Num {
    /// A finite number; keeps the digits of the file (`5.50` stays `5.50`).
    Finite(serde_json::Number),
    /// Not a number: nothing was measured, or the instrument said so.
    NaN,
    /// Over-range.
    Infinity,
    /// Under-range.
    NegInfinity,
}

impl Num {
    /// The value for arithmetic and display.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        match self {
            Self::Finite(number) => number.as_f64().unwrap_or(f64::NAN),
            Self::NaN => f64::NAN,
            Self::Infinity => f64::INFINITY,
            Self::NegInfinity => f64::NEG_INFINITY,
        }
    }

    /// From the text of a number; decimal point, no separators.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "NaN" => Some(Self::NaN),
            "Infinity" => Some(Self::Infinity),
            "-Infinity" => Some(Self::NegInfinity),
            finite => serde_json::from_str(finite).ok().map(Self::Finite),
        }
    }

    fn from_value(value: Value) -> Result<Self, Value> {
        match value {
            Value::Number(number) => Ok(Self::Finite(number)),
            Value::String(text) => match text.as_str() {
                "NaN" => Ok(Self::NaN),
                "Infinity" => Ok(Self::Infinity),
                "-Infinity" => Ok(Self::NegInfinity),
                _ => Err(Value::String(text)),
            },
            other => Err(other),
        }
    }
}

impl From<f64> for Num {
    fn from(value: f64) -> Self {
        match serde_json::Number::from_f64(value) {
            Some(number) => Self::Finite(number),
            None if value.is_nan() => Self::NaN,
            None if value > 0.0 => Self::Infinity,
            None => Self::NegInfinity,
        }
    }
}

impl From<i64> for Num {
    fn from(value: i64) -> Self {
        Self::Finite(value.into())
    }
}

impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finite(number) => number.fmt(f),
            Self::NaN => f.write_str("NaN"),
            Self::Infinity => f.write_str("Infinity"),
            Self::NegInfinity => f.write_str("-Infinity"),
        }
    }
}

const EXPECTED: &str = "a number, or the text \"NaN\", \"Infinity\" or \"-Infinity\"";

impl Field for Num {
    fn type_name() -> String {
        "number".to_owned()
    }
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        Self::from_value(value).map_err(|other| reader.wrong_type(EXPECTED, &other)).ok()
    }
}

impl Serialize for Num {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Finite(number) => number.serialize(serializer),
            other => serializer.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for Num {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_value(Value::deserialize(deserializer)?)
            .map_err(|_| serde::de::Error::custom(format_args!("expected {EXPECTED}")))
    }
}
