//! Words for verdicts and comparators, limits, and times that something took.

use waybill_shared::report::{Num, Status};

use super::model::{Model, StatusWords, TimeUnit};
use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::number;
use crate::convert::ground::si;
use crate::convert::ground::time::Moment;

/// The comparators of a report.
pub(super) const COMPARATORS: [&str; 17] = [
    "EQ",
    "NE",
    "GT",
    "GE",
    "LT",
    "LE",
    "GTLT",
    "GTLE",
    "GELT",
    "GELE",
    "LTGT",
    "LTGE",
    "LEGT",
    "LEGE",
    "LOG",
    "CASESENSIT",
    "IGNORECASE",
];

/// Signs that everybody reads alike.
const SIGNS: [(&str, &str); 10] = [
    ("=", "EQ"),
    ("==", "EQ"),
    ("!=", "NE"),
    ("<>", "NE"),
    (">", "GT"),
    (">=", "GE"),
    ("=>", "GE"),
    ("<", "LT"),
    ("<=", "LE"),
    ("=<", "LE"),
];

/// Words for verdicts besides those of the report model.
const WORDS: [(Status, &[&str]); 4] = [
    (Status::Passed, &["1", "true", "bestanden", "i.o.", "io", "gut", "good", "in ordnung"]),
    (Status::Failed, &["0", "false", "nicht bestanden", "n.i.o.", "nio", "schlecht", "bad", "nok", "not ok"]),
    (Status::Done, &["info"]),
    (Status::Skipped, &["not run", "not tested"]),
];

/// True for a comparator of a report.
pub(super) fn is_comparator(text: &str) -> bool {
    COMPARATORS.contains(&text)
}

/// A verdict, by the words of the mapping first.
pub(super) fn status(words: &StatusWords, text: &str) -> Option<Status> {
    let text = text.trim().to_lowercase();
    let given = [
        (Status::Passed, &words.passed),
        (Status::Failed, &words.failed),
        (Status::Done, &words.done),
        (Status::Skipped, &words.skipped),
        (Status::Error, &words.error),
        (Status::Terminated, &words.terminated),
    ];
    let by_mapping = given.into_iter().find(|(_, words)| words.iter().any(|word| word.trim().to_lowercase() == text));
    by_mapping
        .map(|(status, _)| status)
        .or_else(|| Status::parse(&text))
        .or_else(|| WORDS.into_iter().find(|(_, words)| words.contains(&text.as_str())).map(|(status, _)| status))
}

/// A comparator of a report, by the words of the mapping first.
pub(super) fn comparator(model: &Model, text: &str) -> Option<&'static str> {
    let text = text.trim();
    let given =
        model.comparators.iter().find(|(word, _)| word.trim().eq_ignore_ascii_case(text)).and_then(|(_, value)| value.as_str());
    let upper = text.to_ascii_uppercase();
    let named = given.unwrap_or(&upper);
    let sign = SIGNS.iter().find(|(sign, _)| *sign == text).map(|(_, comparator)| *comparator);
    COMPARATORS.iter().find(|known| **known == named).copied().or(sign)
}

/// Limits by a comparator, and which of the two it does not use. A comparator of two limits that has one says what it says of that one.
pub(super) fn limits(comparator: Option<&str>, low: Option<Num>, high: Option<Num>) -> (Option<Limits>, Option<Num>) {
    let bound = |limit: Num, inclusive| Bound { limit, inclusive };
    match comparator {
        None if low.is_none() && high.is_none() => (None, None),
        None => {
            let (low, high) = (low.map(|limit| bound(limit, true)), high.map(|limit| bound(limit, true)));
            (Some(Limits::Range { low, high }), None)
        }
        Some("LT" | "LE") => {
            let (used, unused) = if high.is_some() { (high, low) } else { (low, None) };
            (comparator.and_then(|comparator| Limits::of(comparator, used, None)), unused)
        }
        Some("GT" | "GE" | "EQ" | "NE") => {
            let (used, unused) = if low.is_some() { (low, high) } else { (high, None) };
            let unused = unused.filter(|unused| Some(unused) != used.as_ref());
            (comparator.and_then(|comparator| Limits::of(comparator, used, None)), unused)
        }
        Some(two) if two.len() == 4 => match (low, high) {
            (Some(low), Some(high)) => (Limits::of(two, Some(low), Some(high)), None),
            (Some(low), None) => (Limits::of(&two[..2], Some(low), None), None),
            (None, high) => (Limits::of(&two[2..], high, None), None),
        },
        Some(_) => (None, low.or(high)),
    }
}

/// A moment, by the patterns of the mapping, else by ISO 8601.
pub(super) fn moment(model: &Model, text: &str) -> Option<Moment> {
    let formats: Vec<_> = model.time.formats.iter().map(String::as_str).collect();
    if formats.is_empty() { Moment::iso(text) } else { Moment::by(text, &formats) }
}

/// Seconds: a number in some unit, or hours, minutes and seconds with colons.
pub(super) fn seconds(text: &str, unit: TimeUnit, decimal: number::Decimal) -> Option<Num> {
    let text = text.trim();
    if text.contains(':') {
        return by_clock(text, decimal);
    }
    let power = match unit {
        TimeUnit::S => 0,
        TimeUnit::Ms => -3,
        TimeUnit::Us => -6,
    };
    let found = number::read(text, decimal).filter(|number| number.as_f64().is_finite() && number.as_f64() >= 0.0)?;
    Some(si::shift(&found, power).unwrap_or(found))
}

fn by_clock(text: &str, decimal: number::Decimal) -> Option<Num> {
    let sign = if decimal == number::Decimal::Comma { ',' } else { '.' };
    let (clock, fraction) = text.split_once(sign).map_or((text, ""), |(clock, fraction)| (clock, fraction));
    let parts: Vec<u64> = clock.split(':').map(|part| part.trim().parse().ok()).collect::<Option<_>>()?;
    if parts.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = parts.iter().try_fold(0_u64, |sum, part| sum.checked_mul(60)?.checked_add(*part))?;
    Num::parse(&if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn num(text: &str) -> Option<Num> {
        Num::parse(text)
    }

    #[test]
    fn limits_follow_their_comparator_and_none_is_lost() {
        for (comparator, low, high, expected, unused) in [
            (None, Some("1"), Some("2"), Some("GELE"), None),
            (None, Some("1"), None, Some("GE"), None),
            (None, None, Some("2"), Some("LE"), None),
            (None, None, None, None, None),
            (Some("GTLT"), Some("1"), Some("2"), Some("GTLT"), None),
            (Some("GTLE"), Some("1"), None, Some("GT"), None),
            (Some("GTLE"), None, Some("2"), Some("LE"), None),
            (Some("LE"), Some("1"), Some("2"), Some("LE"), Some("1")),
            (Some("LE"), Some("1"), None, Some("LE"), None),
            (Some("EQ"), Some("1"), Some("1"), Some("EQ"), None),
            (Some("GE"), Some("1"), Some("2"), Some("GE"), Some("2")),
            (Some("LOG"), Some("1"), None, None, Some("1")),
            (Some("LTGT"), Some("1"), Some("2"), Some("LTGT"), None),
        ] {
            let (found, left) = limits(comparator, low.and_then(num), high.and_then(num));
            assert_eq!(found.as_ref().map(Limits::comp_op), expected, "{comparator:?} {low:?} {high:?}");
            assert_eq!(left, unused.and_then(num), "{comparator:?} {low:?} {high:?}");
        }
        let (le, _) = limits(Some("LE"), num("1"), num("2"));
        assert_eq!(le.unwrap().low_and_high(), (num("2"), None), "the upper limit is the one of LE");
    }

    #[test]
    fn times_are_seconds_digit_for_digit() {
        use number::Decimal::{Comma, Point};
        for (text, unit, decimal, expected) in [
            ("20.50", TimeUnit::S, Point, Some("20.50")),
            ("1234", TimeUnit::Ms, Point, Some("1.234")),
            ("1,5", TimeUnit::S, Comma, Some("1.5")),
            ("01:02:03.250", TimeUnit::S, Point, Some("3723.250")),
            ("2:03", TimeUnit::S, Point, Some("123")),
            ("-1", TimeUnit::S, Point, None),
            ("1:2:3:4", TimeUnit::S, Point, None),
            ("soon", TimeUnit::S, Point, None),
        ] {
            assert_eq!(seconds(text, unit, decimal).map(|number| number.to_string()).as_deref(), expected, "{text}");
        }
    }
}
