//! Times as OpenHTF writes them: milliseconds since 1970 UTC, which may have a fraction.

use waybill_shared::report::Num;
use waybill_shared::schema::{FaultKind, Value};
use waybill_shared::text::printable;

use crate::convert::ground::object::{Object, plain, says_nothing};
use crate::convert::ground::walk::Walk;

/// Microseconds since 1970 UTC.
pub(super) type Micros = i64;

impl Walk {
    /// Takes a time in milliseconds, a number or its text; absent, `null` and 0 (the run never got there) read as none.
    pub(super) fn time(&mut self, object: &mut Object, key: &str) -> Option<Micros> {
        let value = object.shift_remove(key).filter(|value| !says_nothing(value))?;
        let parsed = micros(&value);
        if parsed.is_none() {
            let found = printable(&plain(&value), 40);
            self.in_key(key, |walk| {
                walk.fault(FaultKind::OutOfRange, format!("\"{found}\" is no time in milliseconds since 1970"));
            });
        }
        parsed.filter(|&time| time != 0)
    }

    /// Seconds from `start` to `end`, exact; `None`, with a note, if it ends before it starts.
    pub(super) fn seconds(&mut self, start: Micros, end: Micros) -> Option<Num> {
        let Some(micros) = end.checked_sub(start).filter(|&micros| micros >= 0) else {
            self.note("it ends before it starts: the file's clock is wrong, and the time it took is left out");
            return None;
        };
        let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let short = text.trim_end_matches('0');
        Num::parse(&if short.ends_with('.') { format!("{short}0") } else { short.to_owned() })
    }
}

/// From milliseconds, a number or its text; `None` for anything else, and for a time that a report cannot carry.
pub(super) fn micros(value: &Value) -> Option<Micros> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let micros = match text.parse::<i64>() {
        Ok(millis) => millis.checked_mul(1000)?,
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and what it saturates to is no time")]
        Err(_) => (text.parse::<f64>().ok().filter(|millis| millis.is_finite())? * 1000.0).round() as i64,
    };
    (micros >= 0 && jiff::Timestamp::from_microsecond(micros).is_ok()).then_some(micros)
}

/// A time as a report carries it, in UTC.
pub(super) fn iso_8601(time: Micros) -> Option<String> {
    jiff::Timestamp::from_microsecond(time).ok().map(|time| time.to_string())
}
