//! One result to one step.

use waybill_shared::report::{Num, Status, Step};
use waybill_shared::text::printable;

use super::table::{Column, Header, Line};
use crate::convert::ConvertError;
use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::number::{self, Decimal};
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::walk::Lines;

/// True for a row that has what a result has: a verdict or a number where they belong.
pub(super) fn is_result(line: &Line<'_>, header: &Header, decimal: Decimal) -> bool {
    let is_number = |column| number::read(header.cell(line, column), decimal).is_some();
    Status::parse(header.cell(line, Column::Result)).is_some() || is_number(Column::Margin) || is_number(Column::Value)
}

/// The step of a result.
pub(super) fn step(line: &Line<'_>, header: &Header, decimal: Decimal, notes: &mut Vec<String>) -> Result<Step, ConvertError> {
    let cell = |column| header.cell(line, column);
    let mut lines = Lines::default();
    let (value, is_value) = if header.has(Column::Value) { (cell(Column::Value), true) } else { (cell(Column::Margin), false) };
    let (limits_text, tolerance) = (cell(Column::Limits), cell(Column::Tolerance));
    let limits = limits(limits_text, tolerance, decimal);
    let measured = number::read(value, decimal);
    let result = cell(Column::Result);
    let status = match Status::parse(result) {
        Some(status) => status,
        None if result.is_empty() => match (&limits, &measured) {
            (Some(limits), Some(value)) if limits.hold(value.as_f64()) => Status::Passed,
            (Some(_), Some(_)) => Status::Failed,
            _ => Status::Done,
        },
        None => {
            let reason = format!("the result \"{}\" is none that is known", printable(result, 40));
            return Err(ConvertError::Malformed { place: format!("line {}", line.number), reason });
        }
    };
    for (index, (name, column)) in header.columns.iter().enumerate() {
        let text = line.cells.get(index).copied().unwrap_or_default();
        let belongs = match column {
            None => true,
            Some(Column::Tolerance) => true,
            Some(Column::Limits) => limits.is_none() || measured.is_none(),
            Some(Column::Margin) => is_value,
            Some(Column::XUnit | Column::YUnit) => true,
            _ => false,
        };
        if belongs && !text.is_empty() {
            let name = name.trim_end_matches(':').trim();
            lines.add(if name.is_empty() { "no name" } else { name }, text);
        }
    }
    for (index, text) in line.cells.iter().enumerate().skip(header.columns.len()).filter(|(_, text)| !text.is_empty()) {
        lines.add(&format!("column {}", index + 1), text);
        notes.push(format!("line {}: it has more cells than its header row; they are in the report text", line.number));
    }
    let unit = Some(cell(Column::Unit)).filter(|text| !text.is_empty()).map(str::to_owned);
    let measured = match measured {
        Some(number) => Measured::Numeric(steps::numeric(None, number, limits, unit, status)),
        None if value.is_empty() => {
            unit.into_iter().for_each(|unit| lines.add("Unit", &unit));
            Measured::Verdict(steps::verdict(None, status))
        }
        None => {
            unit.into_iter().for_each(|unit| lines.add("Unit", &unit));
            Measured::Text(steps::string(None, value.to_owned(), None, status))
        }
    };
    let name = cell(Column::Name);
    if name.is_empty() {
        notes.push(format!("line {}: the result has no name", line.number));
    }
    let step = steps::measuring(if name.is_empty() { "no name" } else { name }, status, vec![measured]);
    Ok(Step { report_text: lines.into_text(), ..step })
}

/// Limits, if they are numbers: the higher and the lower one, or one of which the tolerance says what it is.
fn limits(text: &str, tolerance: &str, decimal: Decimal) -> Option<Limits> {
    let number = |text: &str| number::read(text, decimal).filter(|number| number.as_f64().is_finite());
    let bound = |limit: Num| Bound { limit, inclusive: true };
    let none = |text: &str| matches!(text.trim(), "" | "-" | "--");
    if let Some((high_text, low_text)) = text.split_once('/') {
        return match (number(high_text), number(low_text)) {
            (Some(high), Some(low)) if low.as_f64() <= high.as_f64() => {
                Some(Limits::Range { low: Some(bound(low)), high: Some(bound(high)) })
            }
            (Some(high), None) if none(low_text) => Some(Limits::Range { low: None, high: Some(bound(high)) }),
            (None, Some(low)) if none(high_text) => Some(Limits::Range { low: Some(bound(low)), high: None }),
            _ => None,
        };
    }
    let tolerance = tolerance.to_ascii_lowercase();
    match (tolerance.contains("max"), tolerance.contains("min")) {
        (true, false) => Some(Limits::Range { low: None, high: Some(bound(number(text)?)) }),
        (false, true) => Some(Limits::Range { low: Some(bound(number(text)?)), high: None }),
        _ => None,
    }
}
