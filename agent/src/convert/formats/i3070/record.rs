//! Nested records of a log, read one after the other: `{@NAME|field|field{@SUB|…}}`.
//!
//! A field is plain up to `|`, `{`, `}` or the end of the line; or a literal `~length|text`, whose text may hold all of these; or a list
//! `\count|value|value`. The head of a record ends with its line; its records and its brace may follow on later lines. A name may stand in either
//! case, with a blank before its `@` or without one (FORMATS.md section 7).

use std::io::BufRead;

use crate::convert::ConvertError;
use crate::convert::input::unreadable;

/// What the tester writes where it cut a text (Ctrl-D).
const TRUNCATED: char = '\u{4}';

/// A record with what is in it.
#[derive(Debug, Default, Clone)]
pub(super) struct Record {
    /// Its name in capitals, without its `@`.
    pub(super) name: String,
    /// Its head as it is written, for records that nobody knows.
    pub(super) written: String,
    pub(super) fields: Vec<Field>,
    pub(super) children: Vec<Record>,
    /// Lines of text in it, outside of its fields.
    pub(super) lines: Vec<String>,
    /// Closed by a brace of its own.
    pub(super) closed: bool,
    /// The file ends within its head: its last field may be cut.
    pub(super) cut: bool,
    /// Line on which it begins.
    pub(super) line: u64,
}

/// A field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    Text(String),
    List(Vec<String>),
}

/// What comes next in a log.
#[derive(Debug)]
pub(super) enum Event {
    /// A record begins; its head is read.
    Open(Record),
    /// The record that is open ends.
    Close,
    /// Text on lines of its own.
    Text(String),
    /// The file ends.
    End,
}

impl Record {
    /// A text that stands outside of all records.
    pub(super) fn of_text(text: String) -> Self {
        Self { lines: vec![text], closed: true, ..Self::default() }
    }

    /// A field without blanks around it; empty if there is none.
    pub(super) fn field(&self, at: usize) -> &str {
        match self.fields.get(at) {
            Some(Field::Text(text)) => text.trim(),
            _ => "",
        }
    }

    /// All of its fields from one on, as a text.
    pub(super) fn rest(&self, from: usize) -> String {
        let fields: Vec<_> = self.fields.iter().skip(from).map(Field::text).collect();
        shown(&fields.join("|"))
    }

    /// Everything in it, as a text.
    pub(super) fn text(&self) -> String {
        let head = if self.name.is_empty() && self.fields.is_empty() { "" } else { self.written.as_str() };
        let fields = self.fields.iter().map(|field| format!("|{}", field.text())).collect::<String>();
        let children = self.children.iter().map(|child| format!("{{{}}}", child.text())).collect::<String>();
        let lines = self.lines.join("\n");
        let between = if lines.is_empty() || head.is_empty() { "" } else { "\n" };
        shown(&format!("{head}{fields}{children}{between}{lines}"))
    }

    /// Everything that makes it.
    pub(super) fn hash(&self, hasher: &mut blake3::Hasher) {
        // With lengths and counts: nothing else reads the same.
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        };
        text(&self.name);
        text(&self.rest(0));
        self.lines.iter().for_each(|line| text(line));
        hasher.update(&[u8::from(self.closed)]).update(&(self.children.len() as u64).to_le_bytes());
        self.children.iter().for_each(|child| child.hash(hasher));
    }
}

impl Field {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(values) => values.join(", "),
        }
    }
}

fn shown(text: &str) -> String {
    text.replace(TRUNCATED, " [truncated by the tester]")
}

/// Reads a log.
pub(super) struct Parser<R> {
    reader: R,
    line: String,
    at: usize,
    number: u64,
    ended: bool,
}

impl<R: BufRead> Parser<R> {
    /// From its beginning.
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: String::new(), at: 0, number: 0, ended: false }
    }

    /// The line that is read.
    pub(super) fn line(&self) -> u64 {
        self.number
    }

    /// What it reads from.
    pub(super) fn reader(&self) -> &R {
        &self.reader
    }

    /// What comes next.
    ///
    /// # Errors
    /// [`ConvertError::Unreadable`].
    pub(super) fn next(&mut self) -> Result<Event, ConvertError> {
        loop {
            match self.peek()? {
                None => return Ok(Event::End),
                Some('{') => {
                    self.at += 1;
                    return Ok(Event::Open(self.head()?));
                }
                Some('}') => {
                    self.at += 1;
                    return Ok(Event::Close);
                }
                Some(_) => {
                    let text = self.until(&['{', '}', '\n']);
                    if !text.trim().is_empty() {
                        return Ok(Event::Text(shown(text.trim())));
                    }
                    self.skip_line_end();
                }
            }
        }
    }

    fn head(&mut self) -> Result<Record, ConvertError> {
        let line = self.number;
        let written = self.until(&['|', '{', '}', '\n']).trim().to_owned();
        let name = written.strip_prefix('@').unwrap_or(&written).trim().to_ascii_uppercase();
        let mut fields = Vec::new();
        while self.rest().starts_with('|') {
            self.at += 1;
            fields.push(self.field()?);
        }
        // A head ends with its line, or with a brace: at the end of the file it may be cut.
        let cut = self.rest().is_empty();
        Ok(Record { name, written, fields, cut, line, ..Record::default() })
    }

    fn field(&mut self) -> Result<Field, ConvertError> {
        let Some((count, length)) = self.counted('\\') else { return Ok(Field::Text(self.value()?)) };
        self.at += length;
        let mut values = Vec::new();
        while values.len() < count && self.rest().starts_with('|') {
            self.at += 1;
            values.push(self.value()?);
        }
        Ok(Field::List(values))
    }

    /// A plain value or a literal.
    fn value(&mut self) -> Result<String, ConvertError> {
        let literal = self.counted('~').filter(|&(_, length)| self.rest()[length..].starts_with('|'));
        let mut text = String::new();
        if let Some((count, length)) = literal {
            self.at += length + 1;
            let mut missing = count;
            while missing > 0 {
                let Some(c) = self.peek()? else { break };
                text.push(c);
                self.at += c.len_utf8();
                missing -= 1;
            }
        }
        let plain = self.until(&['|', '{', '}', '\n']);
        text.push_str(plain.trim_end_matches('\r'));
        Ok(text)
    }

    /// A number behind a mark, up to the end of its field, and the length of both.
    fn counted(&self, mark: char) -> Option<(usize, usize)> {
        let digits = self.rest().strip_prefix(mark)?;
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let ends = digits[end..].chars().next().is_none_or(|c| matches!(c, '|' | '{' | '}' | '\r' | '\n'));
        let count = digits[..end].parse().ok()?;
        ends.then_some((count, end + 1))
    }

    /// What is left of the line.
    fn rest(&self) -> &str {
        self.line.get(self.at..).unwrap_or_default()
    }

    /// Takes what stands before one of these on this line.
    fn until(&mut self, ends: &[char]) -> String {
        let rest = self.rest();
        let text = rest[..rest.find(ends).unwrap_or(rest.len())].to_owned();
        self.at += text.len();
        text
    }

    fn skip_line_end(&mut self) {
        if self.rest().starts_with('\n') {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Result<Option<char>, ConvertError> {
        while self.rest().is_empty() && !self.ended {
            self.line.clear();
            self.at = 0;
            self.ended = self.reader.read_line(&mut self.line).map_err(unreadable)? == 0;
            self.number += u64::from(!self.ended);
        }
        Ok(self.rest().chars().next())
    }
}
