//! Numbers as equipment writes them, digit for digit.

use waybill_shared::report::Num;
use waybill_shared::schema::Value;

/// A number as programs write it: no leading zeros, no hexadecimal, a point. What is meant as a text (`007`) is none.
pub(in crate::convert) fn plain(text: &str) -> Option<Num> {
    let text = text.trim();
    if let Some(named) = named(text) {
        return Some(named);
    }
    let (sign, digits) = signed(text);
    finite(sign, digits)
}

/// The sign between whole and fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::convert) enum Decimal {
    /// 4.7
    #[default]
    Point,
    /// 4,7
    Comma,
}

impl Decimal {
    /// What cells of numbers show, of a file that separates them by something else than a comma: a comma between digits, and never a point there.
    pub(in crate::convert) fn by_evidence<'a>(cells: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut comma, mut point) = (false, false);
        for cell in cells {
            comma |= read(cell, Self::Comma).is_some() && cell.contains(',');
            point |= plain(cell).is_some() && cell.contains('.');
        }
        if comma && !point { Self::Comma } else { Self::Point }
    }
}

/// A number with this sign; thousands are never marked.
pub(in crate::convert) fn read(text: &str, decimal: Decimal) -> Option<Num> {
    match decimal {
        Decimal::Point => plain(text),
        Decimal::Comma if text.contains('.') => None,
        Decimal::Comma => plain(&text.replace(',', ".")),
    }
}

/// A number that a file holds as 32 bits: the shortest digits that read back as the same.
pub(in crate::convert) fn single(value: f32) -> Num {
    match Value::from(value) {
        Value::Number(number) => Num::Finite(number),
        _ => Num::from(f64::from(value)),
    }
}

fn signed(text: &str) -> (&'static str, &str) {
    match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    }
}

fn finite(sign: &str, digits: &str) -> Option<Num> {
    if !digits.strip_prefix('.').unwrap_or(digits).starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let zero = if digits.starts_with('.') { "0" } else { "" };
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => digits.split_at(at),
        None => (digits, ""),
    };
    Num::parse(&format!("{sign}{zero}{}{exponent}", mantissa.strip_suffix('.').unwrap_or(mantissa)))
}

/// What C, .NET, LabVIEW, TestStand and Python write in place of a number.
fn named(text: &str) -> Option<Num> {
    let upper = text.to_ascii_uppercase();
    let (sign, name) = signed(&upper);
    let infinity = || if sign == "-" { Num::NegInfinity } else { Num::Infinity };
    match name {
        "NAN" | "1.#QNAN" | "1.#IND" | "1.#SNAN" | "1.#NAN" | "NAN(IND)" | "IND" => Some(Num::NaN),
        "INF" | "INFINITY" | "1.#INF" => Some(infinity()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_32_bits_has_no_digits_that_it_cannot_hold() {
        for (value, expected) in
            [(0.1_f32, "0.1"), (-0.66166, "-0.66166"), (1e-30, "1e-30"), (5.0, "5.0"), (f32::MAX, "3.4028235e38")]
        {
            assert_eq!(single(value).to_string().replace("e+", "e"), expected);
        }
        assert_eq!([f32::NAN, f32::INFINITY, -f32::INFINITY].map(single), [Num::NaN, Num::Infinity, Num::NegInfinity]);
    }

    #[test]
    fn a_comma_is_one_by_choice_or_by_evidence() {
        assert_eq!(read("4,70", Decimal::Comma).unwrap().to_string(), "4.70");
        assert_eq!(read("4.70", Decimal::Comma), None, "thousands are not guessed");
        assert_eq!(read("1,234,5", Decimal::Comma), None);
        assert_eq!(read("-1,5E-3", Decimal::Comma).unwrap().as_f64(), -0.0015);
        assert_eq!(Decimal::by_evidence(["1", "4,7", "x,y"]), Decimal::Comma);
        assert_eq!(Decimal::by_evidence(["1", "4,7", "4.7"]), Decimal::Point);
        assert_eq!(Decimal::by_evidence(["1", "a,b"]), Decimal::Point);
    }

    #[test]
    fn numbers_keep_their_digits_and_what_is_meant_as_a_text_is_none() {
        for (text, expected) in [
            ("4.70", "4.70"),
            ("+4.4E-9", "4.4E-9"),
            (" -.5 ", "-0.5"),
            ("5.", "5"),
            ("5.e3", "5e3"),
            ("0.0", "0.0"),
            ("-NAN", "NaN"),
            ("-1.#IND", "NaN"),
            ("1.#QNAN", "NaN"),
            ("INF", "Infinity"),
            ("-Infinity", "-Infinity"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            let found = plain(text).map(|number| number.to_string().replace('E', "e").replace("e+", "e"));
            assert_eq!(found.as_deref(), Some(expected.replace('E', "e").as_str()), "{text}");
        }
        for text in ["", "-", "+", ".", "E010", "007", "0x1F", "1,5", "1 234", "12V", "--5", "1e", "N/A", "1.2.3"] {
            assert_eq!(plain(text), None, "{text}");
        }
    }
}
