//! Validators: what their texts say in comparators and limits.
//!
//! OpenHTF writes `str(validator)`. Its own (openhtf 1.6.3, `util/validators.py`) read `4.5 <= x <= 5`, `x <= 1.5`, `95 <= x`,
//! `x == 5`, `1 <= Marginal:2 <= x <= Marginal:8 <= 9` (marginal limits warn and do not fail), `'x' is equal to 'True'`,
//! `'x' matches /re/`, `'x' is within 5% of 10.` (with ` Marginal: 2% of 10` after it); an older one `Within 5% of 10`. A test's
//! own validator may read anything: what is not understood here in full stays a text.

use waybill_shared::report::Num;

use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::number;

/// Limits read from a validator.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parsed<T> {
    /// The limits.
    pub(super) limits: T,
    /// Whether they say all that the text says.
    pub(super) whole: bool,
}

/// What a text has to keep: comparator and limit of a string measurement.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TextLimit {
    /// CASESENSIT, IGNORECASE; LOG where only OpenHTF can judge.
    pub(super) comp_op: &'static str,
    /// The limit.
    pub(super) limit: String,
}

/// Limits of a numeric measurement.
pub(super) fn numeric(text: &str) -> Option<Parsed<Limits>> {
    if let Some(equal) = equal_to(text) {
        return Some(Parsed { limits: Limits::Equal(number::plain(equal)?), whole: true });
    }
    comparison(text).or_else(|| within_percent(text))
}

/// Limit of a text measurement.
pub(super) fn textual(text: &str) -> Parsed<TextLimit> {
    let parsed = |comp_op, limit: &str, whole| Parsed { limits: TextLimit { comp_op, limit: limit.to_owned() }, whole };
    if let Some(equal) = equal_to(text).or_else(|| quoted_comparison(text)) {
        return parsed("CASESENSIT", equal, true);
    }
    let Some(pattern) = pattern(text) else { return parsed("LOG", text, false) };
    // `equals("1.4.3")` becomes the pattern of exactly this text.
    match (literal(pattern), pattern.strip_prefix("(?i)").and_then(literal)) {
        (Some(literal), _) => parsed("CASESENSIT", &literal, false),
        (None, Some(literal)) => parsed("IGNORECASE", &literal, false),
        (None, None) => parsed("LOG", pattern, false),
    }
}

/// What a true-or-false measurement has to be.
pub(super) fn flag(text: &str) -> Option<bool> {
    let expected = equal_to(text).or_else(|| {
        let (left, right) = text.split_once("==")?;
        is_value(left).then(|| right.trim())
    })?;
    match expected {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    }
}

/// `a <= x <= b` and all its shorter and strict forms, in both directions.
fn comparison(text: &str) -> Option<Parsed<Limits>> {
    let (mut operands, mut operators) = (Vec::new(), Vec::new());
    let mut rest = text;
    while let Some((at, operator)) = next_operator(rest) {
        operands.push(&rest[..at]);
        operators.push(operator);
        rest = &rest[at + operator.len()..];
    }
    operands.push(rest);
    let x = operands.iter().position(|operand| is_value(operand))?;
    if operators.len() == 1 && matches!(operators[0], "==" | "!=") {
        let limit = number::plain(operands[1 - x])?;
        let limits = if operators[0] == "==" { Limits::Equal(limit) } else { Limits::NotEqual(limit) };
        return Some(Parsed { limits, whole: true });
    }
    let (mut low, mut high) = (None, None);
    for (index, operand) in operands.iter().enumerate().filter(|&(index, _)| index != x) {
        // A marginal limit warns, it does not fail: it stays in the text.
        if operand.trim().strip_prefix("Marginal:").is_some_and(|marginal| number::plain(marginal).is_some()) {
            continue;
        }
        // Left of x the operator is the one that follows the operand, right of x the one before it.
        let operator = if index < x { operators[index] } else { operators[index - 1] };
        let lower = (index < x) == operator.starts_with('<');
        let bound = Bound { limit: number::plain(operand)?, inclusive: operator.ends_with('=') };
        let end = if lower { &mut low } else { &mut high };
        if matches!(operator, "==" | "!=") || end.replace(bound).is_some() {
            return None;
        }
    }
    let marginals = operators.len() - usize::from(low.is_some()) - usize::from(high.is_some());
    (low.is_some() || high.is_some()).then_some(Parsed { limits: Limits::Range { low, high }, whole: marginals == 0 })
}

/// The first operator of a text, and where it stands.
fn next_operator(text: &str) -> Option<(usize, &'static str)> {
    let at = text.find(['<', '>', '=', '!'])?;
    ["<=", ">=", "==", "!=", "<", ">"]
        .into_iter()
        .find(|operator| text[at..].starts_with(operator))
        .map(|operator| (at, operator))
}

/// True for `x` and `'x'`, the names a validator gives to what is measured.
fn is_value(operand: &str) -> bool {
    matches!(operand.trim(), "x" | "'x'")
}

/// `'x' is within 5% of 10.`: limits as OpenHTF computes them, in the same steps and so with the same rounding.
fn within_percent(text: &str) -> Option<Parsed<Limits>> {
    let text = text.trim();
    let rest = text.strip_prefix("'x' is within ").or_else(|| text.strip_prefix("Within "))?;
    let rest = rest.split_once(". Marginal:").map_or(rest, |(limits, _)| limits);
    let (percent, expected) = rest.split_once("% of ")?;
    let (percent, expected) = (number::plain(percent)?.as_f64(), number::plain(expected)?.as_f64());
    let applied = (expected * percent / 100.0).abs();
    let bound = |limit: f64| limit.is_finite().then(|| Bound { limit: Num::from(limit), inclusive: true });
    let (low, high) = (Some(bound(expected - applied)?), Some(bound(expected + applied)?));
    Some(Parsed { limits: Limits::Range { low, high }, whole: false })
}

/// The value in `'x' is equal to 'value'`.
fn equal_to(text: &str) -> Option<&str> {
    text.trim().strip_prefix("'x' is equal to '")?.strip_suffix('\'')
}

/// The value in `x == 'value'`.
fn quoted_comparison(text: &str) -> Option<&str> {
    let (left, right) = text.split_once("==")?;
    let right = right.trim();
    let inner = |quote: char| right.strip_prefix(quote)?.strip_suffix(quote).filter(|inner| !inner.contains(quote));
    is_value(left).then(|| inner('\'').or_else(|| inner('"'))).flatten()
}

/// The regular expression in `'x' matches /re/`.
fn pattern(text: &str) -> Option<&str> {
    text.trim().strip_prefix("'x' matches /")?.strip_suffix('/')
}

/// The one text that a regular expression matches, if it is of the form that `re.escape` makes: `^1\.4\.3$`.
fn literal(pattern: &str) -> Option<String> {
    let mut literal = String::new();
    let mut chars = pattern.strip_prefix('^')?.strip_suffix('$')?.chars();
    while let Some(c) = chars.next() {
        match c {
            // An escaped letter or digit is a class, a group or a control character.
            '\\' => literal.push(chars.next().filter(|c| !c.is_alphanumeric())?),
            '.' | '^' | '$' | '*' | '+' | '?' | '{' | '}' | '[' | ']' | '|' | '(' | ')' => return None,
            c => literal.push(c),
        }
    }
    Some(literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Comparator and limits of a validator, `whole` as `!` where they do not say all of it.
    fn limits(text: &str) -> Option<String> {
        let Parsed { limits, whole } = numeric(text)?;
        let comp_op = limits.comp_op();
        let (low, high) = limits.low_and_high();
        let numbers = [low, high].into_iter().flatten().map(|num| format!(" {num}")).collect::<String>();
        Some(format!("{comp_op}{numbers}{}", if whole { "" } else { " !" }))
    }

    #[test]
    fn numeric_validators_become_comparators_and_limits() {
        for (text, expected) in [
            ("4.5 <= x <= 5", "GELE 4.5 5"),
            ("4.50 <= x <= 5.00", "GELE 4.50 5.00"),
            ("x <= 1.5", "LE 1.5"),
            ("95 <= x", "GE 95"),
            ("x >= 95", "GE 95"),
            ("1.5 >= x", "LE 1.5"),
            ("x < 3", "LT 3"),
            ("3 < x", "GT 3"),
            ("4.5 < x < 5", "GTLT 4.5 5"),
            ("4.5 <= x < 5", "GELT 4.5 5"),
            ("4.5 < x <= 5", "GTLE 4.5 5"),
            ("5 >= x >= 4.5", "GELE 4.5 5"),
            ("5 > x >= -4.5", "GELT -4.5 5"),
            ("-1e-05 <= x <= 1e-05", "GELE -1e-05 1e-05"),
            ("x == 5", "EQ 5"),
            ("5.0 == x", "EQ 5.0"),
            ("x != 5", "NE 5"),
            ("'x' is equal to '5'", "EQ 5"),
            (" 4.5<=x<=5 ", "GELE 4.5 5"),
            ("-inf <= x <= 5", "GELE -Infinity 5"),
            (".5 <= x <= +5.", "GELE 0.5 5"),
            ("Within 5% of 10", "GELE 9.5 10.5 !"),
            ("'x' is within 5% of 10.", "GELE 9.5 10.5 !"),
            ("'x' is within 2.5% of -10.0. Marginal: 1% of -10.0", "GELE -10.25 -9.75 !"),
            ("1 <= Marginal:2 <= x <= Marginal:8 <= 9", "GELE 1 9 !"),
            ("x <= Marginal:8 <= 9", "LE 9 !"),
            ("123456789012345678901 <= x", "GE 123456789012345678901"),
        ] {
            let found = limits(text).map(|found| found.replace("e+", "e"));
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        }
        for text in [
            "x == True",
            "'x' is equal to 'True'",
            "'x' matches /^1$/",
            "x in [1, 2]",
            "All values pass: 4 <= x <= 5",
            "x",
            "",
            "<=",
            "x <=",
            "4 <= y <= 5",
            "{low} <= x",
            "1 <= x or x <= 5",
            "1 <= 2 <= x",
            "1 == x <= 3",
            "x = 5",
            "4 <= x <= 5 V",
            "Within 5% of it",
            "x < x",
            "Marginal:2 <= x",
        ] {
            assert_eq!(limits(text), None, "{text}");
        }
    }

    #[test]
    fn text_validators_become_string_limits() {
        for (text, comp_op, limit) in [
            ("'x' is equal to 'abc'", "CASESENSIT", "abc"),
            ("x == 'it'", "CASESENSIT", "it"),
            ("x == \"it's\"", "CASESENSIT", "it's"),
            ("'x' matches /^1\\.4\\.3$/", "CASESENSIT", "1.4.3"),
            ("'x' matches /^on$/", "CASESENSIT", "on"),
            ("'x' matches /^a\\/b\\ c\\-d$/", "CASESENSIT", "a/b c-d"),
            ("'x' matches /(?i)^on$/", "IGNORECASE", "on"),
            ("'x' matches /on/", "LOG", "on"),
            ("'x' matches /^v\\d+$/", "LOG", "^v\\d+$"),
            ("'x' matches /^1.4$/", "LOG", "^1.4$"),
            ("'x' matches /^a|b$/", "LOG", "^a|b$"),
            ("x in ['a', 'b']", "LOG", "x in ['a', 'b']"),
            ("is a palindrome", "LOG", "is a palindrome"),
        ] {
            let found = textual(text).limits;
            assert_eq!((found.comp_op, found.limit.as_str()), (comp_op, limit), "{text}");
        }
        for (text, expected) in [
            ("x == True", Some(true)),
            ("x == False", Some(false)),
            ("'x' is equal to 'True'", Some(true)),
            ("'x' is equal to 'False'", Some(false)),
            ("x == 1", None),
            ("truthy", None),
        ] {
            assert_eq!(flag(text), expected, "{text}");
        }
    }

    #[test]
    fn limits_hold_as_python_compares() {
        let holds = |text: &str, value: f64| Limits::hold(&numeric(text).unwrap().limits, value);
        assert!(holds("4.5 <= x <= 5", 5.0) && holds("4.5 <= x <= 5", 4.5) && !holds("4.5 <= x <= 5", 5.1));
        assert!(!holds("4.5 < x < 5", 5.0) && !holds("4.5 < x < 5", 4.5) && holds("4.5 < x < 5", 4.6));
        assert!(holds("x != 5", 4.0) && !holds("x != 5", 5.0) && holds("x == 5", 5.0) && !holds("x == 5", f64::NAN));
        assert!(!holds("x <= 5", f64::NAN) && holds("x >= 5", f64::INFINITY));
    }
}
