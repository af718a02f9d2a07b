//! Values of a file: numbers, texts and times, in the byte order of their segment, and how raw numbers become those that were measured.

use std::collections::HashMap;

use jiff::Timestamp;
use waybill_shared::report::Num;

use crate::convert::ground::number;

/// Seconds from 1904, where times begin, to 1970.
const FROM_1904: i64 = 2_082_844_800;
/// Most coefficients of a scale, and scales of a channel.
const MOST_SCALES: usize = 64;

/// A type of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Single,
    Double,
    Text,
    Bool,
    Time,
}

impl Type {
    pub(super) fn of(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::I8,
            2 => Self::I16,
            3 => Self::I32,
            4 => Self::I64,
            5 => Self::U8,
            6 => Self::U16,
            7 => Self::U32,
            8 => Self::U64,
            9 | 0x19 => Self::Single,
            10 | 0x1a => Self::Double,
            0x20 => Self::Text,
            0x21 => Self::Bool,
            0x44 => Self::Time,
            _ => return None,
        })
    }

    /// As DAQmx numbers its raw types.
    pub(super) fn of_daqmx(code: u32) -> Option<Self> {
        [Self::U8, Self::I8, Self::U16, Self::I16, Self::U32, Self::I32].get(usize::try_from(code).ok()?).copied()
    }

    /// Bytes of a value; a text has none of its own.
    pub(super) fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::Single => 4,
            Self::I64 | Self::U64 | Self::Double => 8,
            Self::Time => 16,
            Self::Text => 0,
        }
    }

    /// A value of so many bytes.
    pub(super) fn value(self, bytes: &[u8], is_big: bool) -> Option<Value> {
        macro_rules! read {
            ($type:ty) => {{
                let bytes = bytes.try_into().ok()?;
                if is_big { <$type>::from_be_bytes(bytes) } else { <$type>::from_le_bytes(bytes) }
            }};
        }
        Some(match self {
            Self::I8 => Value::Whole(read!(i8).into()),
            Self::I16 => Value::Whole(read!(i16).into()),
            Self::I32 => Value::Whole(read!(i32).into()),
            Self::I64 => Value::Whole(read!(i64).into()),
            Self::U8 => Value::Whole(read!(u8).into()),
            Self::U16 => Value::Whole(read!(u16).into()),
            Self::U32 => Value::Whole(read!(u32).into()),
            Self::U64 => Value::Whole(read!(u64).into()),
            Self::Single => Value::Single(read!(f32)),
            Self::Double => Value::Double(read!(f64)),
            Self::Bool => Value::Bool(read!(u8) != 0),
            Self::Time => {
                let (first, second) = bytes.split_at_checked(8)?;
                let (seconds, fraction) = if is_big {
                    (i64::from_be_bytes(first.try_into().ok()?), u64::from_be_bytes(second.try_into().ok()?))
                } else {
                    (i64::from_le_bytes(second.try_into().ok()?), u64::from_le_bytes(first.try_into().ok()?))
                };
                let nanos = i32::try_from((u128::from(fraction) * 1_000_000_000) >> 64).ok()?;
                Value::Time(Timestamp::new(seconds.checked_sub(FROM_1904)?, nanos).ok()?)
            }
            Self::Text => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        })
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Whole(i128),
    Single(f32),
    Double(f64),
    Bool(bool),
    Time(Timestamp),
    Text(String),
}

impl Value {
    /// As a number of a report; texts and times are none.
    pub(super) fn number(&self) -> Option<Num> {
        Some(match self {
            Self::Whole(whole) => Num::parse(&whole.to_string())?,
            Self::Single(single) => number::single(*single),
            Self::Double(double) => Num::from(*double),
            Self::Bool(is) => Num::from(i64::from(*is)),
            Self::Time(_) | Self::Text(_) => return None,
        })
    }

    /// For comparing and scaling.
    #[expect(clippy::cast_precision_loss, reason = "that of a double is all that a scale has")]
    pub(super) fn as_f64(&self) -> Option<f64> {
        Some(match self {
            Self::Whole(whole) => *whole as f64,
            Self::Single(single) => f64::from(*single),
            Self::Double(double) => *double,
            Self::Bool(is) => f64::from(u8::from(*is)),
            Self::Time(_) | Self::Text(_) => return None,
        })
    }

    /// As people read it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Time(time) => time.to_string(),
            Self::Bool(is) => is.to_string(),
            other => other.number().map(|number| number.to_string()).unwrap_or_default(),
        }
    }
}

/// Properties of an object, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Properties {
    list: Vec<(String, Value)>,
    by_name: HashMap<String, usize>,
}

impl Properties {
    /// Sets one; a later value takes the place of an earlier one.
    pub(super) fn set(&mut self, name: String, value: Value) {
        match self.by_name.get(&name).and_then(|&at| self.list.get_mut(at)) {
            Some((_, before)) => *before = value,
            None => {
                self.by_name.insert(name.clone(), self.list.len());
                self.list.push((name, value));
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.by_name.get(name).and_then(|&at| self.list.get(at)).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.list.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// What makes a measured value of a raw one: each scale takes the raw value or what another scale gives.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scaling(Vec<Scale>);

#[derive(Debug, Clone, PartialEq)]
enum Scale {
    /// What the file holds.
    Raw,
    /// Coefficients, the lowest first, of what a scale gives.
    Polynomial(Vec<f64>, Option<usize>),
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts, clamped")]
impl Scaling {
    /// Of a channel; none if its values are measured ones, an error for one that is not known.
    pub(super) fn of(properties: &Properties) -> Result<Option<Self>, String> {
        let count = properties.get("NI_Number_Of_Scales").and_then(Value::as_f64).unwrap_or(0.0);
        let is_scaled = matches!(properties.get("NI_Scaling_Status"), Some(Value::Text(status)) if status == "scaled");
        if count < 1.0 || is_scaled {
            return Ok(None);
        }
        let mut scales = Vec::new();
        while (scales.len() as f64) < count {
            if scales.len() >= MOST_SCALES {
                return Err("too many scales".to_owned());
            }
            let own = format!("NI_Scale[{}]_", scales.len());
            let number = |name: &str| properties.get(&format!("{own}{name}")).and_then(Value::as_f64);
            // All ones: the raw value.
            let source = |name: &str| number(name).filter(|&source| source < MOST_SCALES as f64).map(|source| source as usize);
            scales.push(match properties.get(&format!("{own}Scale_Type")).map(Value::text).as_deref() {
                None => Scale::Raw,
                Some("Linear") => {
                    let (Some(slope), Some(intercept)) = (number("Linear_Slope"), number("Linear_Y_Intercept")) else {
                        return Err("a linear scale without its numbers".to_owned());
                    };
                    Scale::Polynomial(vec![intercept, slope], source("Linear_Input_Source"))
                }
                Some("Polynomial") => {
                    let size = number("Polynomial_Coefficients_Size").unwrap_or(4.0).clamp(0.0, MOST_SCALES as f64) as usize;
                    let coefficients: Option<Vec<_>> =
                        (0..size).map(|at| number(&format!("Polynomial_Coefficients[{at}]"))).collect();
                    let coefficients = coefficients.ok_or("a polynomial scale without its numbers")?;
                    Scale::Polynomial(coefficients, source("Polynomial_Input_Source"))
                }
                Some(other) => return Err(format!("a scale of type {other:?}")),
            });
        }
        Ok(Some(Self(scales)))
    }

    /// The measured value.
    pub(super) fn apply(&self, raw: f64) -> f64 {
        self.scale(self.0.len().checked_sub(1), raw, 0)
    }

    fn scale(&self, at: Option<usize>, raw: f64, depth: usize) -> f64 {
        match at.and_then(|at| self.0.get(at)) {
            Some(Scale::Polynomial(coefficients, source)) if depth <= MOST_SCALES => {
                let input = self.scale(*source, raw, depth + 1);
                coefficients.iter().rev().fold(0.0, |sum, coefficient| sum.mul_add(input, *coefficient))
            }
            // A chain that comes back to itself has no value.
            Some(Scale::Polynomial(..)) => f64::NAN,
            Some(Scale::Raw) | None => raw,
        }
    }
}
