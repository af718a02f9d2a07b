//! A text cut into sections, each with its pairs of name and value and its rows.

use csv::{ReaderBuilder, StringRecord};

use super::kinds::{Delimiter, Pattern};
use super::model::{Format, Model, Per};
use super::view;
use crate::convert::ConvertError;

/// Most cells of a row.
const CELLS: usize = 100_000;

/// What is in a file.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// Its sections; those that are whole, if there are marks for it.
    pub(super) sheets: Vec<Sheet>,
    /// Why there may be more to come.
    pub(super) incomplete: Option<ConvertError>,
    /// What a person should know of every unit.
    pub(super) notes: Vec<String>,
}

/// A section: lines of a name and a value, and a table.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) pairs: Vec<Pair>,
    pub(super) columns: Vec<String>,
    keys: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// Where it begins.
    pub(super) line: usize,
    /// All of it.
    pub(super) text: String,
    /// What is wrong with it.
    pub(super) error: Option<ConvertError>,
}

impl Sheet {
    /// Names of the columns as they are compared.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str)
    }
}

/// A name and a value.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: usize,
}

/// A row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) cells: Vec<String>,
}

/// A line of the text: its number from 1, where it begins, and what is on it.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    number: usize,
    begin: usize,
    end: usize,
    text: &'a str,
}

/// Cuts a text.
pub(super) fn cut(model: &Model, text: &str) -> Cut {
    let mut lines = lines(text);
    let mut cut = Cut::default();
    if lines.first().is_some_and(|line| line.text.len() < 10 && line.text.to_ascii_lowercase().starts_with("sep=")) {
        lines.remove(0);
    }
    lines.drain(..lines.len().min(usize::try_from(model.text.skip_lines).unwrap_or(usize::MAX)));
    let is_comment =
        |line: &Line<'_>| model.text.comment.as_deref().is_some_and(|mark| !mark.is_empty() && line.text.starts_with(mark));
    let ends = |line: &Line<'_>| model.section.end.as_ref().is_some_and(|end| end.0.is_match(line.text));
    let is_open = !text.is_empty() && !text.ends_with('\n') && !model.text.open_end;
    if is_open
        && let Some(last) = lines.last().copied()
        && !ends(&last)
    {
        lines.pop();
        let reason = "its last line has no line end (if that is so in whole files, say text.open_end = true)".to_owned();
        cut.incomplete = Some(ConvertError::Incomplete { place: format!("line {}", last.number), reason });
    }
    if text.is_empty() {
        cut.incomplete = Some(ConvertError::Incomplete { place: "line 1".to_owned(), reason: "it is empty".to_owned() });
    }
    let mut common = Vec::new();
    for section in sections(model, &lines, &mut cut) {
        let body: Vec<_> = section.iter().filter(|line| !is_comment(line)).copied().collect();
        match section.first() {
            // What stands before the first section is said of all of them.
            Some(first) if model.section.start.as_ref().is_some_and(|start| !start.0.is_match(first.text)) => {
                if body.iter().all(|line| line.text.trim().is_empty()) {
                    continue;
                }
                if model.header.is_some() {
                    body.iter().for_each(|line| common.extend(pair(model, line)));
                } else {
                    cut.notes.push(format!("what stands before the first section, from line {}, is left out", first.number));
                }
            }
            Some(_) => {
                let mut sheet = sheet(model, text, &body, &mut cut.notes);
                sheet.pairs.extend(common.iter().cloned());
                cut.sheets.push(sheet);
            }
            None => {}
        }
    }
    cut
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut begin = 0;
    let line = |(index, whole): (usize, &'_ str)| (index, whole.len());
    let lengths: Vec<_> = text.split_inclusive('\n').enumerate().map(line).collect();
    let mut lines = Vec::with_capacity(lengths.len());
    for (index, length) in lengths {
        let end = begin + length;
        lines.push(Line { number: index + 1, begin, end, text: text[begin..end].trim_end_matches(['\n', '\r']) });
        begin = end;
    }
    lines
}

/// The sections of a file. The first may be what stands before the first start.
fn sections<'l, 't>(model: &Model, lines: &'l [Line<'t>], cut: &mut Cut) -> Vec<&'l [Line<'t>]> {
    let (start, end) = (model.section.start.as_ref(), model.section.end.as_ref());
    let is = |pattern: Option<&Pattern>, line: &Line<'_>| pattern.is_some_and(|pattern| pattern.0.is_match(line.text));
    let mut sections = Vec::new();
    let mut begin = 0;
    // Whether a section with an end mark is open.
    let mut open = start.is_none();
    for (index, line) in lines.iter().enumerate() {
        let begins = is(start, line);
        if begins {
            if end.is_some() && open && start.is_some() {
                missing_end(&lines[begin], cut);
            } else if index > begin {
                sections.push(&lines[begin..index]);
            }
            (begin, open) = (index, true);
        }
        if open && is(end, line) && !(begins && index > begin) {
            sections.push(&lines[begin..=index]);
            (begin, open) = (index + 1, start.is_none());
        }
    }
    let rest = lines.get(begin..).unwrap_or_default();
    let says_something = rest.iter().any(|line| !line.text.trim().is_empty());
    if end.is_some() && says_something {
        if open {
            let place = format!("line {}", lines.len());
            let reason = "its last section has no end mark (section.end)".to_owned();
            cut.incomplete.get_or_insert(ConvertError::Incomplete { place, reason });
        } else {
            cut.notes.push(format!(
                "what stands after the last section, from line {}, is left out",
                rest.first().map_or(0, |line| line.number)
            ));
        }
    } else if says_something {
        sections.push(rest);
    }
    if end.is_some() && sections.is_empty() {
        let reason = "there is no end mark (section.end)".to_owned();
        cut.incomplete.get_or_insert(ConvertError::Incomplete { place: format!("line {}", lines.len().max(1)), reason });
    }
    sections
}

/// A section that another one follows before its end: what is there of it is no unit.
fn missing_end(first: &Line<'_>, cut: &mut Cut) {
    let place = format!("line {}", first.number);
    let reason = "the section that begins here has no end mark (section.end) before the next one begins".to_owned();
    let error = Some(ConvertError::Malformed { place, reason });
    cut.sheets.push(Sheet { line: first.number, error, ..Sheet::default() });
}

fn sheet(model: &Model, text: &str, lines: &[Line<'_>], notes: &mut Vec<String>) -> Sheet {
    let mut sheet = Sheet { line: lines.first().map_or(1, |line| line.number), ..Sheet::default() };
    sheet.text = lines.iter().flat_map(|line| [line.text, "\n"]).collect();
    let (pairs, rest) = match &model.header {
        None => (&lines[..0], lines),
        Some(header) => lines.split_at(header_end(model, header.end.as_ref(), lines)),
    };
    pairs.iter().for_each(|line| sheet.pairs.extend(pair(model, line)));
    let begin = match &model.table.start {
        Some(start) => rest.iter().position(|line| start.0.is_match(line.text)),
        None => rest.iter().position(|line| !line.text.trim().is_empty()),
    };
    let before = begin.map_or(rest, |begin| &rest[..begin]);
    if let Some(line) = before.iter().find(|line| !line.text.trim().is_empty()) {
        if model.header.is_some() {
            before.iter().for_each(|line| sheet.pairs.extend(pair(model, line)));
        } else {
            notes.push(format!("what stands before the table, from line {}, is left out", line.number));
        }
    }
    let rest = begin.map_or(&rest[..0], |begin| &rest[begin..]);
    let heading = usize::try_from(model.table.header_rows).unwrap_or(0);
    let is_end = |line: &Line<'_>| {
        let ends = [&model.table.end, &model.section.end];
        ends.into_iter().flatten().any(|end| end.0.is_match(line.text))
    };
    let end = rest.iter().skip(heading).position(is_end).map_or(rest.len(), |end| end + heading);
    let (table, after) = rest.split_at(end.min(rest.len()));
    let is_mark = |line: &Line<'_>| model.section.end.as_ref().is_some_and(|end| end.0.is_match(line.text));
    let footer: Vec<_> = after.iter().filter(|line| !line.text.trim().is_empty()).collect();
    if model.header.is_some() {
        footer.iter().for_each(|line| sheet.pairs.extend(pair(model, line)));
    } else if let Some(line) =
        footer.iter().find(|line| !is_mark(line) && !model.table.end.as_ref().is_some_and(|end| end.0.is_match(line.text)))
    {
        notes.push(format!("what stands after the table, from line {}, is left out", line.number));
    }
    let mut rows = match rows(model, text, table) {
        Ok(rows) => rows,
        Err(error) => {
            sheet.error = Some(error);
            return sheet;
        }
    };
    let heads: Vec<_> = rows.drain(..heading.min(rows.len())).collect();
    sheet.columns = columns(model, &heads);
    sheet.keys = sheet.columns.iter().map(|name| view::key(name)).collect();
    sheet.rows = rows;
    sheet
}

/// How many lines of a section belong to its header block.
fn header_end(model: &Model, end: Option<&Pattern>, lines: &[Line<'_>]) -> usize {
    let has_table =
        model.step.is_some() || model.columns.is_some() || model.table.unit != Per::Section || model.table.start.is_some();
    if !has_table {
        return lines.len();
    }
    let find = |is: &dyn Fn(&str) -> bool| lines.iter().position(|line| is(line.text));
    let stop = match (end, &model.table.start) {
        (Some(end), _) => find(&|text| end.0.is_match(text)),
        (None, Some(start)) => find(&|text| start.0.is_match(text)),
        (None, None) => find(&|text| text.trim_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|')).is_empty()),
    };
    stop.unwrap_or(lines.len())
}

/// A name and a value; a line that has no value is one without a name. None for a blank line.
fn pair(model: &Model, line: &Line<'_>) -> Option<Pair> {
    let text = line.text.trim();
    if text.is_empty() {
        return None;
    }
    let bare = |text: &str| {
        let text = text.trim();
        let quote = model.text.quote.0.map(char::from);
        let inner = quote.and_then(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
        inner.unwrap_or(text).trim().to_owned()
    };
    let of = |name: &str, value: &str| {
        let value = value.trim().trim_end_matches([';', '\t', '|']);
        let value = if model.text.delimiter == Delimiter::Char(b',') { value.trim_end_matches(',') } else { value };
        Pair { name: bare(name), value: bare(value), line: line.number }
    };
    let separator = model.header.as_ref().and_then(|header| header.separator.as_deref()).filter(|text| !text.is_empty());
    let parts = match (separator, model.text.delimiter) {
        (Some(separator), _) => text.split_once(separator),
        (None, Delimiter::Char(byte)) => text.split_once(char::from(byte)),
        (None, Delimiter::Blanks) => text.split_once(char::is_whitespace),
    };
    // A mark that is nothing else says nothing.
    let is_mark = [&model.section.start, &model.section.end].into_iter().flatten().any(|mark| mark.0.is_match(line.text));
    if is_mark && parts.is_none() {
        return None;
    }
    let nameless = || Pair { name: format!("line {}", line.number), value: text.to_owned(), line: line.number };
    Some(parts.map_or_else(nameless, |(name, value)| of(name, value)))
}

/// Names of the columns: those of the mapping, else what stands above each other in the header rows.
fn columns(model: &Model, heads: &[Row]) -> Vec<String> {
    if !model.table.columns.is_empty() {
        return model.table.columns.clone();
    }
    if model.format == Format::Fixed {
        return model.text.fixed.iter().map(|cell| cell.name.clone()).collect();
    }
    let count = heads.iter().map(|head| head.cells.len()).max().unwrap_or(0);
    let name = |index: usize| {
        let parts = heads.iter().filter_map(|head| head.cells.get(index)).map(|cell| cell.trim());
        parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    (0..count).map(name).collect()
}

fn rows(model: &Model, text: &str, lines: &[Line<'_>]) -> Result<Vec<Row>, ConvertError> {
    let says_something = |row: &Row| row.cells.iter().any(|cell| !cell.is_empty());
    let by_line = |cells: &dyn Fn(&str) -> Vec<String>| {
        lines.iter().map(|line| Row { line: line.number, cells: cells(line.text) }).filter(says_something).collect()
    };
    match (model.format, model.text.delimiter) {
        (Format::Fixed, _) => Ok(by_line(&|text| fixed(model, text))),
        (_, Delimiter::Blanks) => Ok(by_line(&|text| text.split_whitespace().map(str::to_owned).collect())),
        (_, Delimiter::Char(byte)) => {
            let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(Vec::new()) };
            delimited(model, byte, text.get(first.begin..last.end).unwrap_or_default(), first.number)
        }
    }
}

fn fixed(model: &Model, text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let cell = |from: u32, to: Option<u32>| {
        let end = to.map_or(chars.len(), place).min(chars.len());
        let begin = place(from).saturating_sub(1).min(end);
        chars[begin..end].iter().collect::<String>().trim().to_owned()
    };
    model.text.fixed.iter().map(|one| cell(one.from, one.to)).collect()
}

fn delimited(model: &Model, delimiter: u8, text: &str, first: usize) -> Result<Vec<Row>, ConvertError> {
    let quote = model.text.quote.0;
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(delimiter);
    builder.quoting(quote.is_some()).quote(quote.unwrap_or(b'"'));
    if let Some([mark]) = model.text.comment.as_deref().map(str::as_bytes) {
        builder.comment(Some(*mark));
    }
    let mut reader = builder.from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut width = 0;
    loop {
        let begin = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        let read = reader.read_record(&mut record);
        let end = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        let line = first + record.position().map_or(0, |place| usize::try_from(place.line()).unwrap_or(1).saturating_sub(1));
        let wrong = |reason: String| ConvertError::Malformed { place: format!("line {line}"), reason };
        match read {
            Ok(false) => return Ok(rows),
            Err(error) => return Err(wrong(error.to_string())),
            Ok(true) => {}
        }
        if record.len() > CELLS {
            return Err(wrong(format!("the row has {} cells, at most {CELLS} are read", record.len())));
        }
        let has_lines = record.iter().any(|cell| cell.contains('\n'));
        let raw = text.as_bytes().get(begin..end).unwrap_or_default();
        if has_lines && raw.iter().filter(|&&byte| Some(byte) == quote).count() % 2 == 1 {
            let reason = "a quote that opens in this row is never closed".to_owned();
            return Err(ConvertError::Incomplete { place: format!("line {line}"), reason });
        }
        if has_lines && !rows.is_empty() && record.len() > width {
            return Err(wrong(
                "a quoted cell goes over several lines and the row has more cells than the one before it".to_owned(),
            ));
        }
        width = width.max(record.len());
        if record.iter().any(|cell| !cell.trim().is_empty()) {
            rows.push(Row { line, cells: record.iter().map(|cell| cell.trim().to_owned()).collect() });
        }
    }
}
