//! The lines of a log: what each says by itself.

use waybill_shared::report::{Num, Status};

use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::number;
use crate::convert::ground::si::{self, Dialect, Scaled};
use crate::convert::ground::time::Moment;

/// Signs of events: a start, the ends of a test, the end of a lot.
const SIGNS: &str = "@\"/?*&!]";
/// Signs between a measurement's name and its value.
const VERDICTS: &str = "=<>#%";
/// Most signs that are tried as the one between name and value.
const SIGNS_IN_A_NAME: usize = 8;
/// Units by quantity (FORMATS.md section 16, tests/data/teradyne-gr228x).
const UNITS: &[(&str, &[&str])] =
    &[("Ohm", &["R", "AR"]), ("F", &["C", "CP", "CS"]), ("H", &["L", "LP", "LS"]), ("V", &["V", "DC", "AC"])];
/// Lists of failures by their letter (FORMATS.md section 16).
const LISTS: &[(char, &str)] = &[('S', "Shorts"), ('O', "Opens"), ('B', "Bus"), ('C', "Scratch probing"), ('F', "Contact")];

/// What a test has, in its order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    /// A measurement.
    Measurement(Measurement),
    /// A list of what failed.
    Failures(Failures),
}

/// Something that happened at a time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    /// Its sign; `[` is the program.
    pub(super) sign: char,
    /// What stands before it: the path of the program.
    pub(super) before: String,
    /// The time; none if there is no such time.
    pub(super) moment: Option<Moment>,
    /// The time as it stands there.
    pub(super) text: String,
    /// What follows the time.
    pub(super) after: String,
}

/// An event, if the line has the form of one. The form is fixed, so a time that is cut has it not.
pub(super) fn event(line: &str) -> Option<Event> {
    let line = line.trim();
    let first = line.chars().next()?;
    let (before, sign, rest) = match line.rsplit_once('[') {
        Some((path, rest)) if !path.trim().is_empty() => (path.trim(), '[', rest),
        _ if SIGNS.contains(first) => ("", first, line.strip_prefix(first)?),
        _ => return None,
    };
    let (date, rest) = rest.trim_start().split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (time, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if !(is_of(date, &["9-A-99", "99-A-99", "9-A-9999", "99-A-9999"]) && is_of(time, &["9:99:99", "99:99:99"])) {
        return None;
    }
    let text = format!("{date} {time}");
    let moment = Moment::by(&text, &["%d-%b-%y %H:%M:%S", "%d-%b-%Y %H:%M:%S"]);
    Some(Event { sign, before: before.to_owned(), moment, text, after: after.trim().to_owned() })
}

/// True if a text has one of these forms: `9` is a digit, `A` three letters.
fn is_of(text: &str, forms: &[&str]) -> bool {
    let is = |form: &&str| {
        let mut rest = text.chars();
        let fits = form.chars().all(|sign| match sign {
            '9' => rest.next().is_some_and(|c| c.is_ascii_digit()),
            'A' => rest.by_ref().take(3).filter(|c| c.is_alphabetic()).count() == 3,
            sign => rest.next() == Some(sign),
        });
        fits && rest.next().is_none()
    };
    forms.iter().any(is)
}

/// A list of what failed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failures {
    letter: char,
    /// What it lists.
    pub(super) text: String,
    /// It says that the next line belongs to it.
    pub(super) goes_on: bool,
}

impl Failures {
    /// A list, if the line is one.
    pub(super) fn of(line: &str) -> Option<Self> {
        let mut rest = line.trim().strip_prefix('(')?.chars();
        let letter = rest.next().filter(char::is_ascii_alphabetic)?;
        let text = rest.as_str();
        if !text.is_empty() && !text.starts_with(char::is_whitespace) {
            return None;
        }
        let mut list = Self { letter, text: String::new(), goes_on: false };
        list.goes_on = list.add(text);
        Some(list)
    }

    /// Adds a line to it; true if it goes on.
    pub(super) fn add(&mut self, line: &str) -> bool {
        let line = line.trim();
        let bare = line.strip_suffix('+').filter(|bare| bare.is_empty() || bare.ends_with(char::is_whitespace));
        let text = bare.unwrap_or(line).trim();
        if !self.text.is_empty() && !text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(text);
        self.goes_on = bare.is_some();
        self.goes_on
    }

    /// What it is a list of.
    pub(super) fn name(&self) -> &'static str {
        let upper = self.letter.to_ascii_uppercase();
        LISTS.iter().find(|(letter, _)| *letter == upper).map_or("Failures", |(_, name)| name)
    }
}

/// A measurement as it stands there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measurement {
    /// What was measured.
    pub(super) name: String,
    /// The sign of its verdict.
    pub(super) sign: char,
    /// What the sign says.
    pub(super) status: Status,
    /// Its value; may be empty.
    pub(super) value: String,
    /// Its limits; may be empty.
    pub(super) low: String,
    /// Its limits; may be empty.
    pub(super) high: String,
    /// The letters of its quantity; may be empty.
    pub(super) quantity: String,
    /// What follows them.
    pub(super) after: String,
}

/// Value and limits in one unit.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scale {
    pub(super) value: Option<Num>,
    pub(super) unit: Option<String>,
    pub(super) limits: Option<Limits>,
    /// Limits that are no numbers.
    pub(super) unread: Vec<String>,
}

impl Measurement {
    /// A measurement, if the line is one: a name without blanks, a sign, and what belongs to it.
    pub(super) fn of(line: &str) -> Option<Self> {
        let line = line.trim();
        let signs = || line.char_indices().filter(|(at, sign)| *at > 0 && VERDICTS.contains(*sign));
        let at = |(at, sign): (usize, char)| {
            let (name, rest) = line.split_at(at);
            let fits = !name.contains(|c: char| c.is_whitespace() || c == '(');
            fits.then(|| Self::with(name, sign, &rest[sign.len_utf8()..]))
        };
        // A name may hold such a sign, too, but not many.
        let well_formed = |found: &Self| found.value.is_empty() || scaled(&found.value).is_some();
        signs().take(SIGNS_IN_A_NAME).map_while(at).find(well_formed).or_else(|| at(signs().next()?))
    }

    fn with(name: &str, sign: char, rest: &str) -> Self {
        let (value, rest) = match rest.find('(') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (limits, rest) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).unwrap_or((rest, ""));
        let (low, high) = limits.split_once(',').unwrap_or((limits, ""));
        let rest = rest.trim();
        let (quantity, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let status = match sign {
            '=' => Status::Passed,
            '#' => Status::Done,
            _ => Status::Failed,
        };
        let text = |text: &str| text.trim().to_owned();
        Self {
            name: text(name),
            sign,
            status,
            value: text(value),
            low: text(low),
            high: text(high),
            quantity: quantity.to_owned(),
            after: text(after),
        }
    }

    /// True if it has a limit.
    pub(super) fn has_limits(&self) -> bool {
        !self.low.is_empty() || !self.high.is_empty()
    }

    /// Value and limits in the unit of the value, with its prefix; without a unit none has a prefix.
    pub(super) fn limits(&self) -> Scale {
        let mut found = Scale::default();
        let base = UNITS.iter().find(|(_, quantities)| quantities.contains(&self.quantity.as_str())).map(|(unit, _)| *unit);
        let Some((value, own)) = scaled(&self.value) else { return found };
        let exponent = if base.is_some() { own } else { 0 };
        let Some(value) = si::shift(&value, own - exponent) else { return found };
        let mut limit = |text: &str| {
            let read = scaled(text).and_then(|(limit, own)| si::shift(&limit, own - exponent));
            if read.is_none() && !text.is_empty() {
                found.unread.push(text.to_owned());
            }
            read.map(|limit| Bound { limit, inclusive: true })
        };
        let (low, high) = (limit(&self.low), limit(&self.high));
        found.limits = (low.is_some() || high.is_some()).then_some(Limits::Range { low, high });
        found.unit = base.map(|base| Scaled { exponent, base }.text());
        found.value = Some(value);
        found
    }
}

/// A number and the power of ten of its prefix.
fn scaled(text: &str) -> Option<(Num, i32)> {
    if let Some(number) = number::plain(text) {
        return Some((number, 0));
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let exponent = Dialect::Gr228x.exponent(text.get(digits.len()..)?)?;
    Some((number::plain(digits)?, exponent))
}
