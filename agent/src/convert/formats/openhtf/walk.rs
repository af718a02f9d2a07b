//! Where the reading of a record stands, its faults and notes, and how single values are read.

use waybill_shared::report::Num;
use waybill_shared::schema::{Fault, FaultKind, Map, Reader, Value};
use waybill_shared::text::printable;

/// An object of the file. What is read is taken out of it: what is left at the end is what nothing has read.
pub(super) type Object = Map<String, Value>;

/// Microseconds since 1970 UTC: OpenHTF writes milliseconds, and they may have a fraction.
pub(super) type Micros = i64;

/// Collects faults and notes, each with its place, while a record is walked.
#[derive(Debug, Default)]
pub(super) struct Walk {
    path: String,
    faults: Vec<Fault>,
    notes: Vec<String>,
}

impl Walk {
    /// Runs `f` one key deeper.
    pub(super) fn in_key<T>(&mut self, key: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        let dot = if self.path.is_empty() { "" } else { "." };
        let segment = Reader::new().in_key(key, |reader| reader.path());
        self.deeper(&format!("{dot}{segment}"), f)
    }

    /// Runs `f` one list element deeper.
    pub(super) fn in_index<T>(&mut self, index: usize, f: impl FnOnce(&mut Self) -> T) -> T {
        self.deeper(&format!("[{index}]"), f)
    }

    fn deeper<T>(&mut self, segment: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(segment);
        let result = f(self);
        self.path.truncate(length);
        result
    }

    /// The record cannot be a unit, because of what stands here.
    pub(super) fn fault(&mut self, kind: FaultKind, message: impl Into<String>) {
        let path = if self.path.is_empty() { ".".to_owned() } else { self.path.clone() };
        self.faults.push(Fault { path, kind, message: message.into() });
    }

    fn wrong_type(&mut self, expected: &str, found: &Value) {
        self.fault(FaultKind::WrongType, format!("expected {expected}, found {}", printable(&found.to_string(), 60)));
    }

    /// What a person should know of how this place was read.
    pub(super) fn note(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref();
        self.notes.push(if self.path.is_empty() { text.to_owned() } else { format!("{}: {text}", self.path) });
    }

    /// The notes, or the faults if there are any.
    pub(super) fn finish(self) -> Result<Vec<String>, Vec<Fault>> {
        if self.faults.is_empty() { Ok(self.notes) } else { Err(self.faults) }
    }

    /// Takes a text; a number is one too, with the digits of the file. Blank and `null` read as absent.
    pub(super) fn text(&mut self, object: &mut Object, key: &str) -> Option<String> {
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
    pub(super) fn object(&mut self, object: &mut Object, key: &str) -> Option<Object> {
        let value = object.shift_remove(key)?;
        self.in_key(key, |walk| walk.as_object(value))
    }

    /// The value as an object; `null` reads as absent.
    pub(super) fn as_object(&mut self, value: Value) -> Option<Object> {
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
    pub(super) fn list(&mut self, object: &mut Object, key: &str) -> Option<Vec<Value>> {
        match object.shift_remove(key)? {
            Value::Null => None,
            Value::Array(items) => Some(items),
            other => {
                self.in_key(key, |walk| walk.wrong_type("a list", &other));
                None
            }
        }
    }

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

    /// `text` cut to what a report takes, with a note; the whole of it then stands in `lines`.
    pub(super) fn cut(&mut self, what: &str, text: String, max: usize, lines: &mut Lines) -> String {
        let Some((cut, _)) = text.char_indices().nth(max) else { return text };
        let length = text.chars().count();
        self.note(format!("the {what} has {length} characters and was cut to {max}; the whole of it is in the report text"));
        lines.add(what, &text);
        text[..cut].to_owned()
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

/// What no field of a report takes, as lines of a report text.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<String>);

impl Lines {
    /// One value under its key.
    pub(super) fn add(&mut self, key: &str, text: &str) {
        self.0.push(format!("{key}: {text}"));
    }

    /// A text that explains itself.
    pub(super) fn add_text(&mut self, text: String) {
        self.0.push(text);
    }

    /// One value under its key, an object as its values, unless it says nothing.
    pub(super) fn add_value(&mut self, key: &str, value: &Value) {
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
    pub(super) fn add_rest(&mut self, rest: &Object) {
        for (key, value) in rest {
            self.add_value(key, value);
        }
    }

    /// The report text; `None` if there is nothing to say.
    pub(super) fn into_text(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join("\n"))
    }
}

/// `null`, empty, or made of nothing else.
pub(super) fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(says_nothing),
        Value::Object(object) => object.values().all(says_nothing),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Takes a flag out of an object if it is not set: that is its default, and says nothing.
pub(super) fn drop_unset_flag(object: &mut Object, key: &str) {
    if object.get(key) == Some(&Value::Bool(false)) {
        object.shift_remove(key);
    }
}

/// A text as it is, any other value as JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
