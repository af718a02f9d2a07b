//! Arithmetic on numbers digit by digit: limits that a file says in parts come out as a person would write them, not as binary fractions.

use waybill_shared::report::Num;

/// Most places that numbers are apart or are shifted: far more than anything measured has.
const PLACES: u32 = 30;

/// A decimal number: its digits and the power of ten that they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::convert) struct Exact {
    digits: i128,
    exponent: i32,
}

impl Exact {
    /// From a finite number that is not larger or finer than an exact one can be.
    pub(in crate::convert) fn of(number: &Num) -> Option<Self> {
        let Num::Finite(_) = number else { return None };
        let text = number.to_string();
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text.as_str(), 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let exact = Self { digits: format!("{whole}{fraction}").parse().ok()?, exponent };
        (exponent.unsigned_abs() <= PLACES).then_some(exact)
    }

    /// The sum.
    pub(in crate::convert) fn plus(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        let digits = self.digits_at(exponent)?.checked_add(other.digits_at(exponent)?)?;
        Some(Self { digits, exponent })
    }

    /// The difference.
    pub(in crate::convert) fn minus(self, other: Self) -> Option<Self> {
        self.plus(Self { digits: other.digits.checked_neg()?, ..other })
    }

    /// The product.
    pub(in crate::convert) fn times(self, other: Self) -> Option<Self> {
        Some(Self { digits: self.digits.checked_mul(other.digits)?, exponent: self.exponent.checked_add(other.exponent)? })
    }

    /// With the point so many places further right.
    pub(in crate::convert) fn shifted(self, places: i32) -> Option<Self> {
        Some(Self { exponent: self.exponent.checked_add(places)?, ..self })
    }

    /// Without its sign.
    pub(in crate::convert) fn abs(self) -> Option<Self> {
        Some(Self { digits: self.digits.checked_abs()?, ..self })
    }

    /// As a number without zeros behind its last digit.
    pub(in crate::convert) fn num(self) -> Option<Num> {
        if self.exponent >= 0 {
            return Num::parse(&self.digits_at(0)?.to_string());
        }
        let places = usize::try_from(self.exponent.unsigned_abs()).ok().filter(|places| *places <= 2 * PLACES as usize)?;
        let sign = if self.digits < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", self.digits.unsigned_abs(), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        Num::parse(&format!("{sign}{whole}{point}{fraction}"))
    }

    fn digits_at(self, exponent: i32) -> Option<i128> {
        let places = u32::try_from(self.exponent.checked_sub(exponent)?).ok().filter(|places| *places <= 2 * PLACES)?;
        self.digits.checked_mul(10_i128.checked_pow(places)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Exact {
        Exact::of(&Num::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn sums_and_products_have_the_digits_that_a_person_would_write() {
        let num = |exact: Option<Exact>| exact.unwrap().num().unwrap().to_string();
        assert_eq!(num(exact("0.1").plus(exact("0.2"))), "0.3");
        assert_eq!(num(exact("5").minus(exact("5").times(exact("10")).unwrap().shifted(-2).unwrap())), "4.5");
        assert_eq!(num(exact("-3.30").minus(exact("0.033"))), "-3.333");
        assert_eq!(num(exact("-0.5").abs()), "0.5");
        assert_eq!(num(exact("1.5e3").plus(exact("2E-3"))), "1500.002");
        assert_eq!(num(exact("1e3").shifted(0)), "1000");
        assert_eq!(num(exact("0").times(exact("-7.5"))), "0");
    }

    #[test]
    fn what_is_too_large_or_too_fine_is_none() {
        assert_eq!(Exact::of(&Num::NaN), None);
        assert_eq!(Exact::of(&Num::parse("1e300").unwrap()), None);
        let large = exact("99999999999999999999999999999999999999");
        assert_eq!(large.times(large), None);
        assert_eq!(large.plus(exact("1e-20")), None);
    }
}
