//! Lines of a file: a K field, `Kxxxx/index value`, or values, of characteristics that are separated by 0x0F and have fields separated by 0x14.

/// Between characteristics.
const CHARACTERISTIC: char = '\u{f}';
/// Between the fields of one.
const FIELD: char = '\u{14}';
/// The fields of one, in their order.
pub(super) const FIELDS: [u16; 10] = [1, 2, 4, 5, 6, 7, 8, 10, 11, 12];
/// A value.
pub(super) const VALUE: u16 = 1;
/// Its attribute.
pub(super) const ATTRIBUTE: u16 = 2;
/// When it was measured.
pub(super) const TIME: u16 = 4;
/// The batch, marked with `#`.
pub(super) const BATCH: u16 = 6;
/// The operator.
pub(super) const OPERATOR: u16 = 8;
/// The serial number of the piece.
pub(super) const SERIAL_NUMBER: u16 = 14;
/// How many errors a characteristic that is not measured has.
pub(super) const ERRORS: u16 = 21;
/// How many characteristics there are.
pub(super) const COUNT: u16 = 100;

/// The name of a K field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) number: u16,
    /// None without one.
    pub(super) index: Option<u32>,
}

impl Key {
    /// The K field that a line is.
    pub(super) fn of_line(line: &str) -> Option<Self> {
        split(line).map(|(key, _)| key)
    }
}

/// A line.
#[derive(Debug, PartialEq)]
pub(super) enum Line<'a> {
    Blank,
    Key(Key, &'a str),
    /// Of each characteristic its fields.
    Values(Vec<Vec<&'a str>>),
}

impl<'a> Line<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        let line = line.trim_matches(|c| matches!(c, ' ' | '\t' | '\r' | '\u{1a}'));
        if line.is_empty() {
            return Self::Blank;
        }
        match split(line) {
            Some((key, value)) => Self::Key(key, value.trim()),
            None => Self::Values(line.split(CHARACTERISTIC).map(|one| one.split(FIELD).map(str::trim).collect()).collect()),
        }
    }
}

fn split(line: &str) -> Option<(Key, &str)> {
    let rest = line.trim_start().strip_prefix(['K', 'k'])?;
    let (digits, rest) = rest.split_at_checked(4)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    let (index, value) = match rest.strip_prefix('/') {
        None => (None, rest),
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (index, value) = rest.split_at_checked(end)?;
            (Some(index.parse().ok()?), value)
        }
    };
    let ends = value.is_empty() || value.starts_with([' ', '\t']);
    ends.then_some((Key { number, index }, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_field_or_values() {
        let key = |number, index| Key { number, index };
        assert_eq!(Line::of("K2110/12  1.0 \r"), Line::Key(key(2110, Some(12)), "1.0"));
        assert_eq!(Line::of("K0100 9"), Line::Key(key(100, None), "9"));
        assert_eq!(Line::of("K2142/3"), Line::Key(key(2142, Some(3)), ""));
        assert_eq!(Line::of(" \u{1a}"), Line::Blank);
        for text in ["K21/1 x", "K2110x 1", "K2110/x 1", "1.0", "K2110/99999999999 1"] {
            assert!(matches!(Line::of(text), Line::Values(_)), "{text}");
        }
        assert_eq!(
            Line::of("1.5\u{14}0\u{14}1.1.2024/1:02:03\u{f}\u{f}7"),
            Line::Values(vec![vec!["1.5", "0", "1.1.2024/1:02:03"], vec![""], vec!["7"]])
        );
    }
}
