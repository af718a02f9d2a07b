//! Where the reading of a file stands, its faults and notes, and what no field of a report takes.

use waybill_shared::schema::{Fault, FaultKind, Reader};

/// Collects faults and notes, each with its place, while a record is walked.
#[derive(Debug, Default)]
pub(in crate::convert) struct Walk {
    path: String,
    faults: Vec<Fault>,
    notes: Vec<String>,
}

impl Walk {
    /// Runs `f` one key deeper.
    pub(in crate::convert) fn in_key<T>(&mut self, key: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        let dot = if self.path.is_empty() { "" } else { "." };
        let segment = Reader::new().in_key(key, |reader| reader.path());
        self.deeper(&format!("{dot}{segment}"), f)
    }

    /// Runs `f` one list element deeper.
    pub(in crate::convert) fn in_index<T>(&mut self, index: usize, f: impl FnOnce(&mut Self) -> T) -> T {
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
    pub(in crate::convert) fn fault(&mut self, kind: FaultKind, message: impl Into<String>) {
        let path = if self.path.is_empty() { ".".to_owned() } else { self.path.clone() };
        self.faults.push(Fault { path, kind, message: message.into() });
    }

    /// What a person should know of how this place was read.
    pub(in crate::convert) fn note(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref();
        self.notes.push(if self.path.is_empty() { text.to_owned() } else { format!("{}: {text}", self.path) });
    }

    /// Notes of what was read elsewhere.
    pub(in crate::convert) fn notes(&mut self, notes: impl IntoIterator<Item = String>) {
        self.notes.extend(notes);
    }

    /// The notes, or the faults if there are any.
    pub(in crate::convert) fn finish(self) -> Result<Vec<String>, Vec<Fault>> {
        if self.faults.is_empty() { Ok(self.notes) } else { Err(self.faults) }
    }

    /// `text` cut to what a report takes, with a note; the whole of it then stands in `lines`.
    pub(in crate::convert) fn cut(&mut self, what: &str, text: String, max: usize, lines: &mut Lines) -> String {
        let Some((cut, _)) = text.char_indices().nth(max) else { return text };
        let length = text.chars().count();
        self.note(format!("the {what} has {length} characters and was cut to {max}; the whole of it is in the report text"));
        lines.add(what, &text);
        text[..cut].to_owned()
    }
}

/// What no field of a report takes, as lines of a report text.
#[derive(Debug, Default)]
pub(in crate::convert) struct Lines(Vec<String>);

impl Lines {
    /// One value under its key.
    pub(in crate::convert) fn add(&mut self, key: &str, text: &str) {
        self.0.push(format!("{key}: {text}"));
    }

    /// A text that explains itself.
    pub(in crate::convert) fn add_text(&mut self, text: String) {
        self.0.push(text);
    }

    /// The report text; `None` if there is nothing to say.
    pub(in crate::convert) fn into_text(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join("\n"))
    }
}
