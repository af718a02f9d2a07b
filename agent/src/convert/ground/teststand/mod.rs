//! What NI TestStand writes, in ATML as in its own XML: statuses, numbers, comparators, thresholds and kinds of steps.
//!
//! - [`prop`]: properties as a tree, whatever the file calls them
//! - [`measured`]: from properties to measurements, and the step that holds them
//!
//! Sources: FORMATS.md sections 4, 5 and 16, and the samples in tests/data/atml and tests/data/teststand.

pub(in crate::convert) mod measured;
pub(in crate::convert) mod prop;

use waybill_shared::report::{Num, Status, Step};

use super::exact::Exact;
use super::limits::{Bound, Limits};
use super::number::{self, Decimal};
use super::steps;

/// A status of a step; `Running` is that of a step that was stopped. None for one that those who wrote the test chose.
pub(in crate::convert) fn status(text: &str) -> Option<Status> {
    match text.trim().to_ascii_lowercase().as_str() {
        "passed" => Some(Status::Passed),
        "failed" => Some(Status::Failed),
        "done" => Some(Status::Done),
        "skipped" => Some(Status::Skipped),
        "error" => Some(Status::Error),
        "terminated" | "running" | "aborted" => Some(Status::Terminated),
        _ => None,
    }
}

/// The worst of what happened in a sequence whose file says no status of its own.
pub(in crate::convert) fn worst(steps: &[Step]) -> Status {
    steps::worst(steps).unwrap_or(if steps.is_empty() { Status::Done } else { Status::Skipped })
}

/// Most notes of a unit: a report has thousands of steps, and one cause may be noted at each.
const NOTES: usize = 50;

/// The first notes, and how many more there are.
pub(in crate::convert) fn few(notes: &mut Vec<String>) {
    if let Some(more) = notes.len().checked_sub(NOTES).filter(|more| *more > 1) {
        notes.truncate(NOTES);
        notes.push(format!("{more} more notes"));
    }
}

/// Marks the step that made the unit fail, of those with these numbers the deepest, and names its number.
pub(in crate::convert) fn mark_failure(root: &mut Step, numbers: &[i64]) -> Option<i64> {
    fn deepest(step: &Step, depth: usize, numbers: &[i64]) -> Option<(usize, i64)> {
        let own = step.id.filter(|id| numbers.contains(id)).map(|id| (depth, id));
        let inner =
            step.steps.iter().flatten().filter_map(|step| deepest(step, depth + 1, numbers)).max_by_key(|(depth, _)| *depth);
        inner.or(own)
    }
    fn mark(step: &mut Step, id: i64) -> bool {
        let is_it = step.id == Some(id);
        if is_it {
            step.caused_uut_failure = Some(true);
        }
        is_it || step.steps.iter_mut().flatten().any(|step| mark(step, id))
    }
    let (_, id) = deepest(root, 0, numbers)?;
    mark(root, id);
    Some(id)
}

/// Setup, Main or Cleanup.
pub(in crate::convert) fn group(text: &str) -> Option<&'static str> {
    match text.trim() {
        "Setup" => Some("S"),
        "Main" => Some("M"),
        "Cleanup" => Some("C"),
        _ => None,
    }
}

/// A number, and how it is written if that is not decimal.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::convert) struct Number {
    /// What it is.
    pub(in crate::convert) value: Num,
    /// `0x1F`, `0b101`.
    pub(in crate::convert) written: Option<String>,
}

/// A number in whatever format a step of a test was given: decimal, hexadecimal, binary, octal.
pub(in crate::convert) fn number(text: &str, decimal: Decimal) -> Option<Number> {
    if let Some(value) = number::read(text, decimal).or_else(|| number::plain(text)) {
        return Some(Number { value, written: None });
    }
    let text = text.trim();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (mark, digits) = digits.split_at_checked(2)?;
    let radix = match mark {
        "0x" | "0X" => 16,
        "0b" | "0B" => 2,
        "0o" | "0O" => 8,
        _ => return None,
    };
    in_radix(sign, digits, radix).map(|value| Number { value, written: Some(text.to_owned()) })
}

/// A whole number by its digits.
pub(in crate::convert) fn in_radix(sign: &str, digits: &str, radix: u32) -> Option<Num> {
    let digits = digits.strip_prefix(|c: char| c == '+').map_or(digits, |_| "");
    Num::parse(&format!("{sign}{}", u128::from_str_radix(digits, radix).ok()?))
}

/// What a comparator and its limits ask of a number.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::convert) enum Asked {
    /// Nothing.
    Log,
    /// To keep them.
    Keep(Limits),
    /// What no comparator of a report says.
    Unclear,
}

/// Limits as a file says them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::convert) struct Said {
    /// Lower limit, or the only one, or the threshold below.
    pub(in crate::convert) low: Option<Num>,
    /// Upper limit, or the threshold above.
    pub(in crate::convert) high: Option<Num>,
    /// What the thresholds are around.
    pub(in crate::convert) nominal: Option<Num>,
    /// What the thresholds are: PERCENTAGE, PPM, DELTA. It also stands where there are none, and then means nothing.
    pub(in crate::convert) threshold: Option<String>,
}

impl Said {
    /// What a comparator asks with them.
    pub(in crate::convert) fn by(&self, comparator: &str) -> Asked {
        let limits = match comparator.trim().to_ascii_uppercase().as_str() {
            "" | "LOG" => return Asked::Log,
            "EQT" => self.around(),
            other => Limits::of(other, self.low.clone(), self.high.clone()),
        };
        limits.map_or(Asked::Unclear, Asked::Keep)
    }

    /// Thresholds around the nominal value: `EQT`, a range that both ends belong to.
    pub(in crate::convert) fn around(&self) -> Option<Limits> {
        let nominal = Exact::of(self.nominal.as_ref()?)?;
        let away = |threshold: &Option<Num>| {
            let threshold = Exact::of(threshold.as_ref()?)?;
            let part = |places: i32| nominal.abs()?.times(threshold)?.shifted(places);
            match self.threshold.as_deref()?.trim().to_ascii_uppercase().as_str() {
                "PERCENTAGE" | "PERCENT" => part(-2),
                "PPM" => part(-6),
                "DELTA" => Some(threshold),
                _ => None,
            }
        };
        let bound = |limit: Exact| Some(Bound { limit: limit.num()?, inclusive: true });
        let low = bound(nominal.minus(away(&self.low)?)?)?;
        let high = bound(nominal.plus(away(&self.high)?)?)?;
        Some(Limits::Range { low: Some(low), high: Some(high) })
    }

    /// In words, for a report text.
    pub(in crate::convert) fn words(&self) -> String {
        let number = |name: &str, number: &Option<Num>| number.as_ref().map(|number| format!("{name} {number}"));
        let parts = [
            number("Low", &self.low),
            number("High", &self.high),
            number("Nominal", &self.nominal),
            self.threshold.as_ref().map(|kind| format!("ThresholdType {kind}")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// A comparator of texts as a report says it; one that it does not know stays as it is.
pub(in crate::convert) fn text_comparator(text: &str) -> String {
    let upper = text.trim().to_ascii_uppercase();
    match upper.as_str() {
        "" | "LOG" => "LOG".to_owned(),
        "EQ" | "CASESENSIT" | "CASESENSITIVE" => "CASESENSIT".to_owned(),
        "CIEQ" | "IGNORECASE" | "CASEINSENSITIVE" => "IGNORECASE".to_owned(),
        "EQUAL" => "EQ".to_owned(),
        "NE" | "NOTEQUAL" => "NE".to_owned(),
        _ => text.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_every_format_that_a_step_may_have() {
        for (text, expected) in
            [("0x1F", "31"), ("-0x10", "-16"), ("0b101", "5"), ("0o17", "15"), ("0xFFFFFFFFFFFFFFFF", "18446744073709551615")]
        {
            let number = number(text, Decimal::Point).unwrap();
            assert_eq!((number.value.to_string().as_str(), number.written.as_deref()), (expected, Some(text)));
        }
        for (text, expected) in
            [("INF", Num::Infinity), ("-1.#IND", Num::NaN), ("IND", Num::NaN), ("4.50", Num::parse("4.50").unwrap())]
        {
            assert_eq!(number(text, Decimal::Point), Some(Number { value: expected, written: None }), "{text}");
        }
        assert_eq!(number("4,7", Decimal::Comma).unwrap().value.to_string(), "4.7");
        assert_eq!(number("4.7", Decimal::Comma).unwrap().value.to_string(), "4.7");
        for text in ["4,7", "0x", "0xG", "0x+1", "1F", "", "x", "é"] {
            assert_eq!(number(text, Decimal::Point), None, "{text}");
        }
    }

    #[test]
    fn of_many_notes_the_first_are_told_and_how_many_more_there_are() {
        let of = |count: usize| {
            let mut notes = vec!["n".to_owned(); count];
            few(&mut notes);
            (notes.len(), notes.pop().unwrap())
        };
        assert_eq!(of(51), (51, "n".to_owned()));
        assert_eq!(of(1_000), (51, "950 more notes".to_owned()));
    }

    #[test]
    fn thresholds_are_around_the_nominal_value_and_only_with_their_comparator() {
        let num = |text: &str| Num::parse(text);
        for (nominal, kind, low, high) in [
            ("5", "PERCENTAGE", "4.5", "5.5"),
            ("-5", "Percentage", "-5.5", "-4.5"),
            ("5", "PPM", "4.99995", "5.00005"),
            ("3.3", "DELTA", "-6.7", "13.3"),
        ] {
            let said = Said { low: num("10"), high: num("10"), nominal: num(nominal), threshold: Some(kind.to_owned()) };
            let Asked::Keep(limits) = said.by("EQT") else { panic!("{kind}") };
            assert_eq!((limits.comp_op(), limits.low_and_high()), ("GELE", (num(low), num(high))), "{kind}");
            let Asked::Keep(limits) = said.by("GELT") else { panic!() };
            assert_eq!(limits.low_and_high(), (num("10"), num("10")));
        }
        let without = Said { low: num("10"), high: num("10"), nominal: num("5"), threshold: None };
        assert_eq!((without.by("EQT"), without.by("LOG"), without.by("NEAR")), (Asked::Unclear, Asked::Log, Asked::Unclear));
        assert_eq!(Said { low: num("Infinity"), threshold: Some("DELTA".into()), ..without }.by("EQT"), Asked::Unclear);
    }
}
