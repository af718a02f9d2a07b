//! Prefixes of units as equipment writes them, and exact arithmetic on the digits of a number.
//!
//! One letter means different things in different files (FORMATS.md section 2), so every reading names its [`Dialect`]. Numbers are shifted and
//! multiplied by their decimal digits, never as binary fractions: 4.70 kOhm is 4700 Ohm and not 4700.000000000001.

use waybill_shared::report::Num;

/// Most digits of a number that is calculated with; what has more is left as it is.
const DIGITS: usize = 400;
/// Longest number that is written without an exponent, zeros included.
const PLAIN: i64 = 30;

/// How a kind of equipment writes prefixes.
#[allow(dead_code, reason = "each format names its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::convert) enum Dialect {
    /// The International System, as it is typed: `M` and `MEG` mega, `m` milli, `k` and `K` kilo, `u`, `U` and `µ` micro; `P` peta, `p` pico.
    Si,
    /// Takaya (samples/takaya): letters in either case (`UH`, `uH`, `PF`, `pF`), but `M` is mega and `m` milli (`MO` beside `mO` in one file).
    Takaya,
    /// Teradyne GR228x: letters in either case, `M` is milli and only `MEG` mega.
    Gr228x,
}

/// A unit of measure: a power of ten and what it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::convert) struct Scaled {
    /// Power of ten of the prefix; 3 is kilo.
    pub(in crate::convert) exponent: i32,
    /// The unit without a prefix, as [`BASES`] spells it.
    pub(in crate::convert) base: &'static str,
}

/// Units and their spellings. Letters that stand alone keep their case: `s` is a second, `S` a siemens.
const BASES: [(&str, &[&str]); 12] = [
    ("Ohm", &["O", "R", "\u{3a9}", "\u{2126}", "ohm", "ohms"]),
    ("F", &["F", "farad"]),
    ("H", &["H", "henry"]),
    ("V", &["V", "volt", "volts"]),
    ("A", &["A", "amp", "amps", "ampere"]),
    ("W", &["W", "watt", "watts"]),
    ("Hz", &["Hz"]),
    ("s", &["s", "sec"]),
    ("S", &["S"]),
    ("%", &["%"]),
    ("dB", &["dB"]),
    ("C", &["\u{b0}C"]),
];

impl Dialect {
    /// The power of ten of a prefix alone; an empty one is 0.
    pub(in crate::convert) fn exponent(self, prefix: &str) -> Option<i32> {
        let any_case = self != Self::Si;
        Some(match prefix {
            "" => 0,
            "K" | "k" => 3,
            "u" | "U" | "\u{b5}" | "\u{3bc}" => -6,
            "M" if self == Self::Gr228x => -3,
            "M" => 6,
            "m" => -3,
            "n" => -9,
            "p" => -12,
            "f" => -15,
            "G" => 9,
            "T" => 12,
            "N" if any_case => -9,
            "P" if any_case => -12,
            "P" => 15,
            "g" if any_case => 9,
            meg if meg.eq_ignore_ascii_case("meg") => 6,
            _ => return None,
        })
    }

    /// A unit with its prefix; none if it is not known, as it then stays a text.
    pub(in crate::convert) fn unit(self, text: &str) -> Option<Scaled> {
        let text = text.trim();
        let splits = text.char_indices().map(|(at, _)| text.split_at(at));
        // The shortest prefix first: `F` is a farad and no femto-nothing, `MEGO` has no other reading.
        splits.filter_map(|(prefix, base)| Some(Scaled { exponent: self.exponent(prefix)?, base: base_of(base)? })).next()
    }
}

fn base_of(text: &str) -> Option<&'static str> {
    let is =
        |spelling: &&str| if spelling.chars().count() > 1 { spelling.eq_ignore_ascii_case(text) } else { **spelling == *text };
    BASES.iter().find(|(_, spellings)| spellings.iter().any(is)).map(|(base, _)| *base)
}

impl Scaled {
    /// As everybody reads it: `kOhm`, `uF`, `MOhm`.
    pub(in crate::convert) fn text(self) -> String {
        let prefix = match self.exponent {
            -15 => "f",
            -12 => "p",
            -9 => "n",
            -6 => "u",
            -3 => "m",
            0 => "",
            3 => "k",
            6 => "M",
            9 => "G",
            12 => "T",
            15 => "P",
            other => return format!("1e{other} {}", self.base),
        };
        format!("{prefix}{}", self.base)
    }
}

/// A number times a power of ten: the point moves, the digits stay. None for what has too many digits; what is no finite number stays what it is.
pub(in crate::convert) fn shift(number: &Num, by: i32) -> Option<Num> {
    if by == 0 || !matches!(number, Num::Finite(_)) {
        return Some(number.clone());
    }
    let decimal = Decimal::of(number)?;
    let exponent = decimal.exponent.checked_add(i64::from(by))?;
    Decimal { exponent, ..decimal }.number()
}

/// The exact product, without zeros at the end of its fraction; none for what is no finite number, or has too many digits.
pub(in crate::convert) fn product(a: &Num, b: &Num) -> Option<Num> {
    let (a, b) = (Decimal::of(a)?, Decimal::of(b)?);
    let mut digits = vec![0_u32; a.digits.len() + b.digits.len()];
    for (i, &x) in a.digits.iter().rev().enumerate() {
        let mut carry = 0;
        for (j, &y) in b.digits.iter().rev().enumerate() {
            let sum = digits[i + j] + u32::from(x) * u32::from(y) + carry;
            digits[i + j] = sum % 10;
            carry = sum / 10;
        }
        digits[i + b.digits.len()] += carry;
    }
    let digits = digits.into_iter().rev().map(|digit| u8::try_from(digit).unwrap_or_default()).collect();
    Decimal { negative: a.negative != b.negative, digits, exponent: a.exponent.checked_add(b.exponent)? }.shortest().number()
}

/// The exact value of `number` plus so many per cent of it; `percent` may be negative.
pub(in crate::convert) fn plus_percent(number: &Num, percent: &Num) -> Option<Num> {
    let factor = Decimal::of(percent)?.plus_hundred()?.number()?;
    product(number, &shift(&factor, -2)?)
}

/// Digits times a power of ten.
struct Decimal {
    negative: bool,
    /// Each 0 to 9, the highest first.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn of(number: &Num) -> Option<Self> {
        let Num::Finite(number) = number else { return None };
        let text = number.to_string();
        let (negative, text) = text.strip_prefix('-').map_or((false, text.as_str()), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.len() + fraction.len() > DIGITS {
            return None;
        }
        let digits = whole.bytes().chain(fraction.bytes()).map(|byte| byte.is_ascii_digit().then(|| byte - b'0'));
        let exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        Some(Self { negative, digits: digits.collect::<Option<_>>()?, exponent })
    }

    /// Without zeros at the end of a fraction.
    fn shortest(mut self) -> Self {
        while self.exponent < 0 && self.digits.len() > 1 && self.digits.last() == Some(&0) {
            self.digits.pop();
            self.exponent += 1;
        }
        self
    }

    fn plus_hundred(&self) -> Option<Self> {
        let shift = u32::try_from(self.exponent.checked_neg().filter(|places| *places >= 0)?).ok()?;
        let digits = self.digits.iter().try_fold(0_i128, |sum, &digit| sum.checked_mul(10)?.checked_add(i128::from(digit)))?;
        let sum = 10_i128.checked_pow(shift)?.checked_mul(100)?.checked_add(if self.negative { -digits } else { digits })?;
        let digits = sum.unsigned_abs().to_string().bytes().map(|byte| byte - b'0').collect();
        Some(Self { negative: sum < 0, digits, exponent: self.exponent })
    }

    fn number(&self) -> Option<Num> {
        let first = self.digits.iter().position(|&digit| digit != 0).unwrap_or(self.digits.len().saturating_sub(1));
        let digits: String = self.digits[first..].iter().map(|digit| char::from(b'0' + digit)).collect();
        let sign = if self.negative { "-" } else { "" };
        let length = i64::try_from(digits.len()).ok()?;
        let point = length.checked_add(self.exponent)?;
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or_default());
        let text = if self.exponent > PLAIN - length || point < length - PLAIN - 1 {
            format!("{sign}{digits}e{}", self.exponent)
        } else if self.exponent >= 0 {
            let zeros = if digits == "0" { String::new() } else { zeros(self.exponent) };
            format!("{sign}{digits}{zeros}")
        } else if point > 0 {
            let (whole, fraction) = digits.split_at(usize::try_from(point).ok()?);
            format!("{sign}{whole}.{fraction}")
        } else {
            format!("{sign}0.{}{digits}", zeros(-point))
        };
        Num::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Num {
        Num::parse(text).unwrap()
    }

    #[test]
    fn one_letter_means_what_its_dialect_says() {
        use Dialect::{Gr228x, Si, Takaya};
        for (prefix, si, takaya, gr228x) in [
            ("", Some(0), Some(0), Some(0)),
            ("M", Some(6), Some(6), Some(-3)),
            ("m", Some(-3), Some(-3), Some(-3)),
            ("MEG", Some(6), Some(6), Some(6)),
            ("K", Some(3), Some(3), Some(3)),
            ("k", Some(3), Some(3), Some(3)),
            ("U", Some(-6), Some(-6), Some(-6)),
            ("u", Some(-6), Some(-6), Some(-6)),
            ("\u{b5}", Some(-6), Some(-6), Some(-6)),
            ("\u{3bc}", Some(-6), Some(-6), Some(-6)),
            ("N", None, Some(-9), Some(-9)),
            ("P", Some(15), Some(-12), Some(-12)),
            ("p", Some(-12), Some(-12), Some(-12)),
            ("G", Some(9), Some(9), Some(9)),
            ("x", None, None, None),
        ] {
            assert_eq!([Si, Takaya, Gr228x].map(|dialect| dialect.exponent(prefix)), [si, takaya, gr228x], "{prefix}");
        }
    }

    #[test]
    fn units_are_read_in_every_spelling_and_written_in_one() {
        for (dialect, text, expected) in [
            (Dialect::Takaya, "O", "Ohm"),
            (Dialect::Takaya, "KO", "kOhm"),
            (Dialect::Takaya, "MO", "MOhm"),
            (Dialect::Takaya, "mO", "mOhm"),
            (Dialect::Takaya, "UH", "uH"),
            (Dialect::Takaya, "nF", "nF"),
            (Dialect::Takaya, "PF", "pF"),
            (Dialect::Takaya, " mV ", "mV"),
            (Dialect::Gr228x, "MV", "mV"),
            (Dialect::Gr228x, "MEGO", "MOhm"),
            (Dialect::Si, "M\u{3a9}", "MOhm"),
            (Dialect::Si, "k\u{2126}", "kOhm"),
            (Dialect::Si, "kohm", "kOhm"),
            (Dialect::Si, "R", "Ohm"),
            (Dialect::Si, "\u{b5}F", "uF"),
            (Dialect::Si, "\u{3bc}s", "us"),
            (Dialect::Si, "F", "F"),
            (Dialect::Si, "MHz", "MHz"),
            (Dialect::Si, "S", "S"),
        ] {
            assert_eq!(dialect.unit(text).map(Scaled::text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "m", "xyz", "Kel.", "NF", "v"] {
            assert_eq!(Dialect::Si.unit(text), None, "{text}");
        }
    }

    #[test]
    fn a_windows_micro_sign_is_one() {
        let (text, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(b"\xb5F");
        assert_eq!(Dialect::Si.unit(&text).map(|unit| unit.exponent), Some(-6));
    }

    #[test]
    fn a_shifted_number_keeps_its_digits() {
        for (text, by, expected) in [
            ("9.97", 3, "9970"),
            ("10.00", 3, "10000"),
            ("10.00", 1, "100.0"),
            ("9970", -3, "9.970"),
            ("4.70", -3, "0.00470"),
            ("-0.5", 3, "-500"),
            ("0.000", 3, "0"),
            ("0.00", 1, "0.0"),
            ("5.52E-6", 6, "5.52"),
            ("-5.52E-6", 3, "-0.00552"),
            ("0.1", 0, "0.1"),
            ("123456789012345678901234567890.5", -3, "123456789012345678901234567.8905"),
            ("1e300", 6, "1e+306"),
            ("5", -40, "5e-40"),
            ("NaN", 3, "NaN"),
            ("Infinity", 3, "Infinity"),
        ] {
            assert_eq!(shift(&number(text), by).unwrap().to_string(), expected, "{text} by {by}");
        }
        let long = number(&format!("1.{}", "3".repeat(2 * DIGITS)));
        assert_eq!((shift(&long, 1), shift(&number("1e9223372036854775807"), 3)), (None, None));
    }

    #[test]
    fn products_and_percentages_are_exact() {
        for (a, b, expected) in [
            ("10.00", "0.99", "9.9"),
            ("4.7", "-1.05", "-4.935"),
            ("0", "5.5", "0"),
            ("1.1", "1.1", "1.21"),
            ("99", "99", "9801"),
        ] {
            assert_eq!(product(&number(a), &number(b)).unwrap().to_string(), expected, "{a} x {b}");
        }
        for (value, percent, expected) in [
            ("10.00", "1", "10.1"),
            ("10.00", "-1", "9.9"),
            ("0.674", "10", "0.7414"),
            ("400.0", "-50", "200"),
            ("111.0", "0", "111"),
            ("0.359", "-12.5", "0.314125"),
            ("1", "-100", "0"),
            ("1", "-150", "-0.5"),
            ("-5", "10", "-5.5"),
            ("5.52e-6", "30", "0.000007176"),
        ] {
            assert_eq!(plus_percent(&number(value), &number(percent)).unwrap().to_string(), expected, "{value} {percent} %");
        }
        assert_eq!(plus_percent(&number("1"), &number("NaN")), None);
        assert_eq!(plus_percent(&number("1"), &number("1e-400000000")), None);
        assert_eq!(product(&number("Infinity"), &number("1")), None);
    }
}
