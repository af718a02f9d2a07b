//! Limits of a measurement, the comparator that says them, and whether a value keeps them.
//!
//! The verdict of a file is never changed (FORMATS.md section 2): whether a value keeps its limits is only asked to note a contradiction, or
//! where a file has no verdict at all.

use waybill_shared::report::Num;

/// What a number has to keep.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::convert) enum Limits {
    /// One value.
    Equal(Num),
    /// Any other value.
    NotEqual(Num),
    /// Between them, or on one side of the only one.
    Range {
        /// Lower bound.
        low: Option<Bound>,
        /// Upper bound.
        high: Option<Bound>,
    },
    /// Below the one or above the other.
    Outside {
        /// What lies below it is allowed.
        low: Bound,
        /// What lies above it is allowed.
        high: Bound,
    },
}

/// One end of a range.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::convert) struct Bound {
    /// The limit itself.
    pub(in crate::convert) limit: Num,
    /// Whether it belongs to what is allowed.
    pub(in crate::convert) inclusive: bool,
}

impl Limits {
    /// The comparator of the report model.
    pub(in crate::convert) fn comp_op(&self) -> &'static str {
        match self {
            Self::Equal(_) => "EQ",
            Self::NotEqual(_) => "NE",
            Self::Range { low, high } => match (low.as_ref().map(|b| b.inclusive), high.as_ref().map(|b| b.inclusive)) {
                (Some(true), Some(true)) => "GELE",
                (Some(true), Some(false)) => "GELT",
                (Some(false), Some(true)) => "GTLE",
                (Some(false), Some(false)) => "GTLT",
                (Some(true), None) => "GE",
                (Some(false), None) => "GT",
                (None, Some(true)) => "LE",
                (None, Some(false)) => "LT",
                (None, None) => "LOG",
            },
            Self::Outside { low, high } => match (low.inclusive, high.inclusive) {
                (true, true) => "LEGE",
                (true, false) => "LEGT",
                (false, true) => "LTGE",
                (false, false) => "LTGT",
            },
        }
    }

    /// From a comparator of the report model and its limits, as many formats write them. `None` for one that is unknown, or lacks a limit: a
    /// single limit may stand on either side.
    pub(in crate::convert) fn of(comparator: &str, low: Option<Num>, high: Option<Num>) -> Option<Self> {
        let bound = |limit: Option<Num>, inclusive: bool| limit.map(|limit| Bound { limit, inclusive });
        let single = || low.clone().or(high.clone());
        let upper = comparator.trim().to_ascii_uppercase();
        Some(match upper.as_str() {
            "EQ" | "EQT" => Self::Equal(single()?),
            "NE" => Self::NotEqual(single()?),
            "GT" | "GE" => Self::Range { low: Some(bound(single(), upper == "GE")?), high: None },
            "LT" | "LE" => Self::Range { low: None, high: Some(bound(single(), upper == "LE")?) },
            "GTLT" | "GTLE" | "GELT" | "GELE" => {
                Self::Range { low: Some(bound(low, upper.starts_with("GE"))?), high: Some(bound(high, upper.ends_with("LE"))?) }
            }
            "LTGT" | "LTGE" | "LEGT" | "LEGE" => {
                Self::Outside { low: bound(low, upper.starts_with("LE"))?, high: bound(high, upper.ends_with("GE"))? }
            }
            _ => return None,
        })
    }

    /// The limits as a report carries them: a single one, of whatever kind, is the low one.
    pub(in crate::convert) fn low_and_high(self) -> (Option<Num>, Option<Num>) {
        match self {
            Self::Equal(limit) | Self::NotEqual(limit) => (Some(limit), None),
            Self::Range { low: None, high } => (high.map(|bound| bound.limit), None),
            Self::Range { low, high } => (low.map(|bound| bound.limit), high.map(|bound| bound.limit)),
            Self::Outside { low, high } => (Some(low.limit), Some(high.limit)),
        }
    }

    /// Whether a value keeps them.
    pub(in crate::convert) fn hold(&self, value: f64) -> bool {
        #[expect(clippy::float_cmp, reason = "those who judged compare so, too")]
        let is = |limit: &Num| value == limit.as_f64();
        let above = |b: &Bound| value > b.limit.as_f64() || (b.inclusive && is(&b.limit));
        let below = |b: &Bound| value < b.limit.as_f64() || (b.inclusive && is(&b.limit));
        match self {
            Self::Equal(limit) => is(limit),
            Self::NotEqual(limit) => !is(limit),
            Self::Range { low, high } => !value.is_nan() && low.as_ref().is_none_or(above) && high.as_ref().is_none_or(below),
            Self::Outside { low, high } => below(low) || above(high),
        }
    }

    /// Both limits in one, where one comparator can say it: a lower bound and an upper one.
    pub(in crate::convert) fn and(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Range { low: Some(low), high: None }, Self::Range { low: None, high: Some(high) })
            | (Self::Range { low: None, high: Some(high) }, Self::Range { low: Some(low), high: None }) => {
                Some(Self::Range { low: Some(low.clone()), high: Some(high.clone()) })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(comparator: &str, low: f64, high: f64) -> Limits {
        Limits::of(comparator, Some(Num::from(low)), Some(Num::from(high))).unwrap()
    }

    #[test]
    fn a_comparator_and_its_limits_come_out_as_they_went_in() {
        for comparator in ["EQ", "NE", "GT", "GE", "LT", "LE", "GTLT", "GTLE", "GELT", "GELE", "LTGT", "LTGE", "LEGT", "LEGE"] {
            let found = limits(comparator, 5.0, 355.0);
            assert_eq!(found.comp_op(), comparator);
            let two = comparator.len() == 4;
            assert_eq!(found.low_and_high(), (Some(Num::from(5.0)), two.then(|| Num::from(355.0))), "{comparator}");
        }
        assert_eq!(Limits::of("GELE", Some(Num::from(1.0)), None), None);
        assert_eq!(Limits::of("CASESENSIT", Some(Num::from(1.0)), None), None);
    }

    #[test]
    fn values_are_compared_as_the_comparator_says() {
        for (comparator, at_low, inside, at_high, outside) in [
            ("GELE", true, true, true, false),
            ("GTLT", false, true, false, false),
            ("GELT", true, true, false, false),
            ("GTLE", false, true, true, false),
            ("LEGE", true, false, true, true),
            ("LTGT", false, false, false, true),
            ("LEGT", true, false, false, true),
            ("LTGE", false, false, true, true),
        ] {
            let limits = limits(comparator, 5.0, 355.0);
            let found = [5.0, 100.0, 355.0, 0.0, 400.0].map(|value| limits.hold(value));
            assert_eq!(found, [at_low, inside, at_high, outside, outside], "{comparator}");
            assert!(!limits.hold(f64::NAN), "{comparator}");
        }
    }
}
