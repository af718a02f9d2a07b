//! Numbers in another scale: the decimal point moves, the digits stay.

use waybill_shared::report::Num;

/// Furthest way a point moves; scales from atto to exa need eighteen.
const FURTHEST: i32 = 30;

/// A number times ten to this power, digit for digit: 47960 ms are 47.960 s.
pub(in crate::convert) fn by_ten(number: &Num, power: i32) -> Num {
    if !matches!(number, Num::Finite(_)) || power == 0 {
        return number.clone();
    }
    moved(&number.to_string(), power.clamp(-FURTHEST, FURTHEST))
        .and_then(|text| Num::parse(&text))
        .unwrap_or_else(|| number.clone())
}

fn moved(text: &str, power: i32) -> Option<String> {
    if let Some((mantissa, exponent)) = text.split_once(['e', 'E']) {
        let exponent = exponent.parse::<i32>().ok()?.checked_add(power)?;
        return Some(format!("{mantissa}e{exponent}"));
    }
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let point = i32::try_from(whole.len()).ok()? + power;
    let digits = format!("{whole}{fraction}");
    let length = i32::try_from(digits.len()).ok()?;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let (whole, fraction) = if point <= 0 {
        ("0".to_owned(), zeros(-point) + &digits)
    } else if point >= length {
        (format!("{digits}{}", zeros(point - length)), String::new())
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(point).ok()?);
        (whole.to_owned(), fraction.to_owned())
    };
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_moves_and_the_digits_stay() {
        for (text, power, expected) in [
            ("47960", -3, "47.960"),
            ("0", -3, "0.000"),
            ("7", -3, "0.007"),
            ("-1.50", 3, "-1500"),
            ("0.00150", 3, "1.50"),
            ("12", 0, "12"),
            ("1.25E-3", 6, "1.25e+3"),
            ("123456789012345678901234567890", -6, "123456789012345678901234.567890"),
        ] {
            let found = by_ten(&Num::parse(text).unwrap(), power).to_string();
            assert_eq!(found.replace("e+", "e"), expected.replace("e+", "e"), "{text}");
        }
        assert_eq!(by_ten(&Num::NaN, 3), Num::NaN);
    }
}
