//! A file as its header and its segments, each with a header of its own, a row of names and rows of cells.

use crate::convert::ConvertError;
use crate::convert::ground::curve::Points;
use crate::convert::ground::number::{self, Decimal};
use crate::convert::ground::walk::Walk;

/// The end of a header.
const END_OF_HEADER: &str = "***End_of_Header***";
/// Most comments of a segment.
const MOST_COMMENTS: usize = 200;

/// Keys and what stands behind them.
type Header<'t> = Vec<(&'t str, Vec<&'t str>)>;

/// A file.
pub(super) struct Document<'t> {
    pub(super) header: Vec<(&'t str, &'t str)>,
    pub(super) segments: Vec<Segment<'t>>,
    pub(super) decimal: Decimal,
}

/// Rows under one row of names.
pub(super) struct Segment<'t> {
    /// What no channel takes.
    pub(super) header: Vec<(String, String)>,
    pub(super) channels: Vec<Channel<'t>>,
    pub(super) comments: Vec<&'t str>,
    rows: usize,
}

/// A column of values.
pub(super) struct Channel<'t> {
    pub(super) name: String,
    pub(super) unit: &'t str,
    pub(super) dimension: &'t str,
    pub(super) x0: &'t str,
    pub(super) delta: &'t str,
    pub(super) points: Points<(X<'t>, &'t str)>,
    /// Its column, and that of its X.
    column: usize,
    x_column: usize,
}

/// The X of a point.
#[derive(Debug, Clone, Copy)]
pub(super) enum X<'t> {
    /// As the file says it.
    Cell(&'t str),
    /// That of a row, from 0.
    Row(usize),
}

/// How a segment is read: its header and its row of names, of which more segments may come.
struct Plan<'t> {
    header: Header<'t>,
    names: Vec<&'t str>,
    comment: Option<usize>,
    /// Samples that are announced; 0 if none are.
    samples: usize,
}

impl<'t> Document<'t> {
    pub(super) fn read(text: &'t str, walk: &mut Walk) -> Result<Self, ConvertError> {
        let incomplete =
            |line: usize, reason: &str| ConvertError::Incomplete { place: format!("line {line}"), reason: reason.to_owned() };
        let malformed = |line: usize, reason: String| ConvertError::Malformed { place: format!("line {line}"), reason };
        let count = text.lines().count();
        if !text.ends_with('\n') {
            return Err(incomplete(count, "the last line has no line end"));
        }
        let separator =
            text.lines().find_map(|line| line.strip_prefix("Separator")).and_then(|rest| rest.chars().next()).unwrap_or('\t');
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        if !lines.next().is_some_and(|(_, line)| line.starts_with("LabVIEW Measurement")) {
            return Err(malformed(1, "it does not begin with \"LabVIEW Measurement\"".to_owned()));
        }
        let mut header = Vec::new();
        loop {
            let Some((_, line)) = lines.next() else { return Err(incomplete(count, "its header does not end")) };
            if line.starts_with(END_OF_HEADER) {
                break;
            }
            let (key, value) = line.split_once(separator).unwrap_or((line, ""));
            if !key.trim().is_empty() {
                header.push((key.trim(), value.trim_matches(|c: char| c == separator || c.is_whitespace())));
            }
        }
        let decimal = decimal(&header, lines.clone().map(|(_, line)| line), separator, walk);
        let mut segments = Vec::new();
        let (mut plan, mut begun, mut open): (Option<Plan<'t>>, Header<'t>, Option<Segment<'t>>) = (None, Vec::new(), None);
        let (mut odd, mut wide) = (0_usize, 0_usize);
        for (number, line) in lines {
            let cells: Vec<&'t str> = line.split(separator).map(str::trim).collect();
            let first = cells.first().copied().unwrap_or_default();
            if cells.iter().all(|cell| cell.is_empty()) {
                // A blank line ends a segment.
                close(&mut segments, &mut open, plan.as_ref(), walk);
            } else if first == "X_Value" {
                close(&mut segments, &mut open, plan.as_ref(), walk);
                // Without a header of its own, it has that of the one before.
                let header = if begun.is_empty() {
                    plan.take().map(|plan| plan.header).unwrap_or_default()
                } else {
                    std::mem::take(&mut begun)
                };
                plan = Some(Plan::new(header, cells));
            } else if first == END_OF_HEADER {
                // What follows is the row of names.
            } else if open.is_none() && !first.is_empty() && number::read(first, decimal).is_none() {
                let mut cells = cells.into_iter();
                let key = cells.next().unwrap_or_default();
                begun.push((key, cells.collect()));
            } else {
                let Some(plan) = plan.as_ref().filter(|_| begun.is_empty()) else {
                    return Err(malformed(
                        number,
                        "values stand before the row of their names, which begins with X_Value".to_owned(),
                    ));
                };
                if open.as_ref().is_some_and(|open| plan.samples > 0 && open.rows >= plan.samples) {
                    close(&mut segments, &mut open, Some(plan), walk);
                    let (samples, at) = (plan.samples, segments.len() + 1);
                    walk.note(format!(
                        "line {number}: values go on after the {samples} that are announced: they are segment {at}"
                    ));
                }
                wide += usize::from(cells.len() > plan.names.len());
                odd += open.get_or_insert_with(|| plan.segment()).row(&cells, plan, decimal);
            }
        }
        if !begun.is_empty() {
            return Err(incomplete(count, "a segment has a header and no values"));
        }
        close(&mut segments, &mut open, plan.as_ref(), walk);
        if segments.is_empty() {
            return Err(incomplete(count, "it has no values"));
        }
        if odd > 0 {
            walk.note(format!("{odd} cells are no numbers and were left out"));
        }
        if wide > 0 {
            walk.note(format!("{wide} rows have more cells than there are names: what is too many was left out"));
        }
        Ok(Self { header, segments, decimal })
    }
}

fn close<'t>(segments: &mut Vec<Segment<'t>>, open: &mut Option<Segment<'t>>, plan: Option<&Plan<'t>>, walk: &mut Walk) {
    let Some(segment) = open.take() else { return };
    if let Some(samples) = plan.map(|plan| plan.samples).filter(|&samples| samples > segment.rows) {
        walk.note(format!("{samples} samples are announced, and there are {}", segment.rows));
    }
    segments.push(segment);
}

/// The sign that the cells show, if they show only one; else that of the header.
fn decimal<'t>(header: &[(&str, &str)], lines: impl Iterator<Item = &'t str>, separator: char, walk: &mut Walk) -> Decimal {
    let is_number = |cell: &&str| {
        cell.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | ','))
            && cell.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b',' | b'e' | b'E'))
    };
    let (mut comma, mut point) = (false, false);
    for line in lines.filter(|line| !line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*')) {
        for cell in line.split(separator).map(str::trim).filter(is_number) {
            comma |= cell.contains(',');
            point |= cell.contains('.');
        }
    }
    let shown = match (comma, point) {
        (true, false) => Some(Decimal::Comma),
        (false, true) => Some(Decimal::Point),
        _ => None,
    };
    let said = header
        .iter()
        .find(|(key, _)| *key == "Decimal_Separator")
        .map(|(_, sign)| if *sign == "," { Decimal::Comma } else { Decimal::Point });
    if said.is_some() && shown.is_some() && said != shown {
        walk.note("Decimal_Separator is not what the values have: they are read as they are");
    }
    shown.or(said).unwrap_or(Decimal::Point)
}

impl<'t> Plan<'t> {
    fn new(header: Header<'t>, names: Vec<&'t str>) -> Self {
        let comment = names.iter().rposition(|name| *name == "Comment");
        let of = |key: &str| header.iter().find(|(name, _)| *name == key).map(|(_, cells)| cells);
        let samples = of("Samples").into_iter().flatten().filter_map(|cell| cell.parse::<usize>().ok()).max().unwrap_or(0);
        Self { header, names, comment, samples }
    }

    fn segment(&self) -> Segment<'t> {
        // Cells of the header stand behind their key as those of a row behind its X.
        let of = |key: &str, column: usize| -> &'t str {
            let cells = self.header.iter().find(|(name, _)| *name == key).map(|(_, cells)| cells);
            cells.and_then(|cells| cells.get(column.checked_sub(1)?).copied()).unwrap_or_default()
        };
        let (mut channels, mut x_column) = (Vec::new(), 0);
        for (column, name) in self.names.iter().enumerate() {
            if *name == "X_Value" {
                x_column = column;
            } else if Some(column) != self.comment && !(name.is_empty() && column + 1 == self.names.len()) {
                let name = if name.is_empty() { format!("Column {}", column + 1) } else { (*name).to_owned() };
                channels.push(Channel {
                    name,
                    unit: of("Y_Unit_Label", column),
                    dimension: of("X_Dimension", column),
                    x0: of("X0", column),
                    delta: of("Delta_X", column),
                    points: Points::default(),
                    column,
                    x_column,
                });
            }
        }
        let header = self.header.iter().filter(|(key, _)| !matches!(*key, "Y_Unit_Label" | "X_Dimension"));
        let header = header.map(|(key, cells)| ((*key).to_owned(), cells.join(" ").trim().to_owned())).collect();
        Segment { header, channels, comments: Vec::new(), rows: 0 }
    }
}

impl<'t> Segment<'t> {
    /// Takes a row; answers how many of its cells are no numbers.
    fn row(&mut self, cells: &[&'t str], plan: &Plan<'t>, decimal: Decimal) -> usize {
        let mut odd = 0;
        for channel in &mut self.channels {
            let cell = cells.get(channel.column).copied().filter(|cell| !cell.is_empty());
            let Some(cell) = cell else { continue };
            let Some(y) = number::read(cell, decimal) else {
                odd += 1;
                continue;
            };
            let x = cells.get(channel.x_column).copied().filter(|cell| number::read(cell, decimal).is_some());
            let x = x.map_or(X::Row(self.rows), X::Cell);
            channel.points.push(y.as_f64(), (x, cell));
        }
        let comment = plan.comment.and_then(|column| cells.get(column).copied()).filter(|text| !text.is_empty());
        if self.comments.len() < MOST_COMMENTS {
            self.comments.extend(comment);
        } else {
            odd += usize::from(comment.is_some());
        }
        self.rows += 1;
        odd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decimal_sign_is_what_the_values_show() {
        let mut walk = Walk::default();
        let sign = |header: &[(&str, &str)], text: &str, walk: &mut Walk| decimal(header, text.lines(), '\t', walk);
        assert_eq!(sign(&[], "1,5\t2\n", &mut walk), Decimal::Comma);
        assert_eq!(sign(&[("Decimal_Separator", ",")], "1\t2\n", &mut walk), Decimal::Comma);
        assert_eq!(sign(&[], "Time\t09:18:09,71\n1.5\t2\n", &mut walk), Decimal::Point);
        assert_eq!(walk.finish().unwrap(), Vec::<String>::new());
        let mut walk = Walk::default();
        assert_eq!(sign(&[("Decimal_Separator", ",")], "1.5\t2\n", &mut walk), Decimal::Point);
        assert_eq!(walk.finish().unwrap().len(), 1);
    }
}
