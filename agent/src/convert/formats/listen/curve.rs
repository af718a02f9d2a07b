//! A curve, three rows, to a chart.

use waybill_shared::report::{Num, Status, Step};

use super::table::{Column, Header, Line};
use crate::convert::ConvertError;
use crate::convert::ground::chart::{Axis, Curve, with_axes};
use crate::convert::ground::number::{self, Decimal};
use crate::convert::ground::steps;
use crate::convert::ground::walk::Lines;

/// Numbers that a row of a curve has at least.
const LEAST: usize = 2;

/// True if two rows of numbers come next.
pub(super) fn is_pair(lines: &[Line<'_>], decimal: Decimal) -> bool {
    let is_row = |line: &Line<'_>| numbers(line, decimal).1.len() >= LEAST;
    matches!(lines, [x, y, ..] if is_row(x) && is_row(y))
}

/// A step with the chart of a curve.
pub(super) fn step(
    header: &Header,
    line: &Line<'_>,
    x: &Line<'_>,
    y: &Line<'_>,
    decimal: Decimal,
    notes: &mut Vec<String>,
) -> Result<Step, ConvertError> {
    let ((x_begin, xs), (y_begin, ys)) = (numbers(x, decimal), numbers(y, decimal));
    if xs.len() != ys.len() {
        return Err(ConvertError::Malformed {
            place: format!("line {}", y.number),
            reason: format!("the curve has {} numbers, and {} in the row of its X values", ys.len(), xs.len()),
        });
    }
    // What stands before the numbers: by its column, or, alone and with no such column, a unit.
    let lead = |line: &Line<'_>, begin: usize| line.cells.get(..begin).unwrap_or_default().join("\t");
    let (x_lead, y_lead) = (lead(x, x_begin), lead(y, y_begin));
    let (x_cells, y_cells) = (Line::new(x.number, &x_lead), Line::new(y.number, &y_lead));
    let unit = |cells: &Line<'_>, own: Column| {
        let named = [own, Column::Unit].into_iter().map(|column| header.cell(cells, column)).find(|text| !text.is_empty());
        let known = header.columns.first().is_some_and(|(_, column)| column.is_some());
        let alone = (cells.cells.len() == 1 && !known).then(|| cells.cells.first().copied().unwrap_or_default());
        named.or(alone).unwrap_or_default().to_owned()
    };
    let (x_unit, y_unit) = (unit(&x_cells, Column::XUnit), unit(&y_cells, Column::YUnit));
    let named = [&y_cells, &x_cells].into_iter().map(|cells| header.cell(cells, Column::Name)).find(|text| !text.is_empty());
    let own = || header.columns.iter().find(|(text, column)| column.is_none() && !text.is_empty()).map(|(text, _)| text.as_str());
    let name = named.map(str::to_owned).or_else(|| own().map(str::to_owned)).unwrap_or_else(|| "Curve".to_owned());
    let mut lines = Lines::default();
    for (axis, cells) in [("X", &x_cells), ("Y", &y_cells)] {
        for (index, text) in cells.cells.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            let column = header.columns.get(index);
            if column.is_none_or(|(_, column)| column.is_none()) && ![&x_unit, &y_unit].contains(&&(*text).to_owned()) {
                let title = column.map_or("", |(title, _)| title.as_str());
                lines.add(format!("{axis} {title}").trim(), text);
            }
        }
    }
    if header.columns.iter().filter(|(text, _)| !text.is_empty()).count() > 1 {
        lines.add("header row", line.text);
    }
    let curve = Curve { name: name.clone(), points: xs.into_iter().zip(ys).collect() };
    let chart = with_axes(&name, Axis { label: "", unit: &x_unit }, Axis { label: "", unit: &y_unit }, vec![curve], notes);
    let step = steps::action(&name, Status::Done);
    Ok(Step { step_type: Some("Chart".to_owned()), chart: Some(chart), report_text: lines.into_text(), ..step })
}

/// The numbers at the end of a line and where they begin.
fn numbers(line: &Line<'_>, decimal: Decimal) -> (usize, Vec<Num>) {
    let end = line.cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
    let mut found: Vec<_> =
        line.cells.get(..end).unwrap_or_default().iter().rev().map_while(|cell| number::read(cell, decimal)).collect();
    found.reverse();
    (end - found.len(), found)
}
