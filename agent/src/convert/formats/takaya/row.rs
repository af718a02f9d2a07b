//! One row, in whatever dialect, as a step.

use waybill_shared::report::{Num, Status, Step};

use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::number;
use crate::convert::ground::si::{self, Dialect, Scaled};
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::walk::Lines;

/// What the instrument shows of a resistance that is too large for it.
const OVER_RANGE: &str = "409.5";

/// What a row says.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) judgement: String,
    pub(super) reference: Reading,
    /// The first value and the one that replaces it.
    pub(super) values: [Reading; 2],
    /// Tolerances in per cent, with or without a sign.
    pub(super) plus: String,
    pub(super) minus: String,
    /// What a reference without tolerances means; only in `.atdx`.
    pub(super) function: Option<String>,
    /// All cells under their names.
    pub(super) cells: Vec<(String, String)>,
}

/// A number, or what stands for none, and its unit.
#[derive(Debug, Default, Clone)]
pub(super) struct Reading {
    pub(super) text: String,
    pub(super) unit: String,
}

/// A reading that is a number.
struct Value {
    number: Num,
    unit: String,
    scaled: Option<Scaled>,
    /// Of an impedance.
    phase: Option<Num>,
}

impl Reading {
    pub(super) fn new(text: &str, unit: &str) -> Self {
        Self { text: text.trim().to_owned(), unit: unit.trim().to_owned() }
    }

    fn value(&self) -> Option<Value> {
        let (text, unit, phase) = impedance(&self.text).unwrap_or((&self.text, &self.unit, None));
        let number = number::plain(text)?;
        let scaled = Dialect::Takaya.unit(unit);
        Some(Value { number, unit: unit.to_owned(), scaled, phase })
    }
}

/// The number, unit and phase of `18.280[KO]|-7.8` and `33.000[O]<|-32.8`.
fn impedance(text: &str) -> Option<(&str, &str, Option<Num>)> {
    let (number, rest) = text.split_once('[')?;
    let (unit, rest) = rest.split_once(']')?;
    let (mark, phase) = rest.split_once('|')?;
    if !matches!(mark.trim(), "" | "<" | ">") {
        return None;
    }
    Some((number, unit, Some(number::plain(phase)?)))
}

/// True of a cell that says nothing.
pub(super) fn is_none(text: &str) -> bool {
    let text = text.trim();
    text.is_empty()
        || text == "*"
        || text.bytes().all(|byte| byte == b'.')
        || text.len() > 1 && text.bytes().all(|byte| byte == b'-')
}

/// What a judgement says; none for a word that is not known.
fn judged(text: &str) -> Option<Judged> {
    let upper = text.to_ascii_uppercase();
    Some(match upper.as_str() {
        "PASS" => Judged::As(Status::Passed),
        "SKIP" | "UNTESTED" | "JUMP" => Judged::As(Status::Skipped),
        "LOWER" | "UPPER" | "OPEN" | "SHORT" | "UNMEASURED" | "FAIL" => Judged::As(Status::Failed),
        _ if upper.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "NG") => Judged::As(Status::Failed),
        _ if is_none(text) => Judged::Not,
        _ => return None,
    })
}

enum Judged {
    As(Status),
    Not,
}

impl Row {
    /// The step, and what a person should know of it.
    pub(super) fn step(&self) -> (Step, Option<String>) {
        let mut lines = Lines::default();
        let mut note = None;
        let used = self.values.iter().rev().find(|value| !is_none(&value.text));
        let status = match judged(&self.judgement) {
            Some(Judged::As(status)) => status,
            Some(Judged::Not) if used.is_some() => Status::Done,
            Some(Judged::Not) => Status::Skipped,
            None => {
                note = Some(format!("{}: the judgement {:?} is not known", self.name, self.judgement));
                Status::Error
            }
        };
        let mut measured = Vec::new();
        match used.map(|reading| (reading, reading.value())) {
            Some((_, Some(value))) => {
                if value.number.to_string() == OVER_RANGE && value.scaled.is_some_and(|unit| unit.base == "Ohm") {
                    lines.add_text(format!("over-range: the instrument shows no more than {OVER_RANGE}"));
                }
                let limits = self.limits(&value).unwrap_or_else(|reason| {
                    lines.add_text(format!("limits are not told: {reason}"));
                    None
                });
                let unit = value.scaled.map(Scaled::text).or_else(|| (!value.unit.is_empty()).then(|| value.unit.clone()));
                let name = value.phase.as_ref().map(|_| "Z".to_owned());
                measured.push(Measured::Numeric(steps::numeric(name, value.number, limits, unit, status)));
                if let Some(phase) = value.phase {
                    measured.push(Measured::Numeric(steps::numeric(Some("phase".to_owned()), phase, None, None, status)));
                }
            }
            Some((reading, None)) => {
                let text = format!("{} {}", reading.text, reading.unit).trim().to_owned();
                measured.push(Measured::Text(steps::string(None, text, None, status)));
            }
            None if status == Status::Skipped => {}
            None => measured.push(Measured::Verdict(steps::verdict(None, status))),
        }
        self.cells.iter().filter(|(_, text)| !is_none(text)).for_each(|(name, text)| lines.add(name, text.trim()));
        let step = steps::measuring(&self.name, status, measured);
        let error_message = matches!(status, Status::Failed | Status::Error).then(|| self.judgement.clone());
        (Step { error_message, report_text: lines.into_text(), ..step }, note)
    }

    /// Limits in the unit of the value; an error says why there are none although the row has what they are made of.
    fn limits(&self, value: &Value) -> Result<Option<Limits>, String> {
        if is_none(&self.reference.text) {
            return Ok(None);
        }
        let (plus, minus) = (tolerance(&self.plus), tolerance(&self.minus));
        let function = self.function.as_deref().unwrap_or_default();
        let is_threshold = matches!(function, "OP" | "GE" | "SH" | "LE");
        if plus.is_none() && minus.is_none() && !is_threshold {
            return Ok(None);
        }
        let reference = self.reference.value().ok_or_else(|| format!("the reference {:?} is no number", self.reference.text))?;
        let shift = match (reference.scaled, value.scaled) {
            (Some(of), Some(to)) if of.base == to.base => of.exponent - to.exponent,
            _ if reference.unit == value.unit => 0,
            _ => return Err(format!("the reference is in {:?} and the value in {:?}", reference.unit, value.unit)),
        };
        let too_long = || "the reference has too many digits".to_owned();
        let reference = si::shift(&reference.number, shift).ok_or_else(too_long)?;
        let bound = |limit: Num| Bound { limit, inclusive: true };
        if plus.is_none() && minus.is_none() {
            let is_low = matches!(function, "OP" | "GE");
            let limit = bound(reference);
            let (low, high) = if is_low { (Some(limit), None) } else { (None, Some(limit)) };
            return Ok(Some(Limits::Range { low, high }));
        }
        let of =
            |percent: Option<Num>| percent.map(|percent| si::plus_percent(&reference, &percent).ok_or_else(too_long)).transpose();
        let negative = |percent: Num| si::product(&percent, &Num::from(-1_i64));
        let (mut high, mut low) = (of(plus)?, of(minus.and_then(negative))?);
        // Of a negative reference the part that is added lies below it.
        if reference.as_f64() < 0.0 {
            std::mem::swap(&mut high, &mut low);
        }
        Ok(Some(Limits::Range { low: low.map(bound), high: high.map(bound) }))
    }
}

/// Per cent as `+5%`, `-5%` or `5.0`, without its sign.
fn tolerance(text: &str) -> Option<Num> {
    let text = text.trim();
    let text = text.strip_suffix('%').unwrap_or(text);
    let found = number::plain(text.strip_prefix(['+', '-']).unwrap_or(text))?;
    (found.as_f64().is_finite() && found.as_f64() >= 0.0).then_some(found)
}
