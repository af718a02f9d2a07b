//! The tests of a file as steps.

use waybill_shared::report::{Num, Status, Step};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use super::fields::{Fields, collect_but, is};
use super::{DURATION, VERDICT, seconds};
use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::names::Names;
use crate::convert::ground::number;
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::xml::Element;

const TEST: Names = &["test", "teststep", "step", "testresult", "testitem"];
const MEASUREMENT: Names = &["measurement", "measure", "measurementresult", "reading"];
const NAME: Names = &["name", "testname", "stepname", "measurementname"];
const VALUE: Names = &["value", "measuredvalue", "measvalue", "actual", "actualvalue", "data"];
const UNIT: Names = &["units", "unit", "uom", "unitofmeasure"];
const LOW: Names = &["lowlimit", "lowerlimit", "lolimit", "low", "min", "minimum", "lsl"];
const HIGH: Names = &["highlimit", "upperlimit", "hilimit", "high", "max", "maximum", "usl"];
const COMPARATOR: Names = &["comparator", "compoperator", "compop", "comparison", "comparisontype"];
const MESSAGE: Names = &["errormessage", "failuremessage", "message", "error"];

/// True if a test is in an element.
pub(super) fn holds_tests(element: Element<'_>) -> bool {
    element.children().any(|child| is(child.name(), TEST) || holds_tests(child))
}

/// How tests are read, and what became of each.
pub(super) struct Tests<'w> {
    /// A value without limits is a verdict.
    pub(super) without_limits: bool,
    /// Faults and notes.
    pub(super) walk: &'w mut Walk,
    /// Verdicts of the tests so far.
    pub(super) verdicts: Vec<Status>,
}

/// The steps in an element, in their order.
pub(super) fn steps_in(element: Element<'_>, tests: &mut Tests<'_>) -> Vec<Step> {
    let mut found = Vec::new();
    for child in element.children() {
        if holds_tests(child) {
            found.extend(group(child, tests));
        } else if is(child.name(), TEST) {
            let step = test(child, tests);
            tests.verdicts.extend(step.status);
            found.push(step);
        }
    }
    found
}

/// A holder of tests: a sequence if it has a name.
fn group(element: Element<'_>, tests: &mut Tests<'_>) -> Vec<Step> {
    let inner = steps_in(element, tests);
    let mut fields = Fields::default();
    let is_of_its_own = |child: Element<'_>| is(child.name(), TEST) || holds_tests(child);
    collect_but(element, &mut fields, &is_of_its_own);
    let Some(name) = fields.take(NAME) else { return inner };
    let own = fields.take(VERDICT).and_then(|text| status(&text, &name, tests.walk));
    let status = own.or_else(|| worst(&inner)).unwrap_or(Status::Done);
    let mut step = steps::sequence(&name, status, inner);
    let mut lines = Lines::default();
    step.tot_time = took(&mut fields, &mut lines);
    fields.rest().for_each(|(key, text)| lines.add(key, text));
    step.report_text = lines.into_text();
    vec![step]
}

fn test(element: Element<'_>, tests: &mut Tests<'_>) -> Step {
    let mut fields = Fields::default();
    let mut measurements = Vec::new();
    collect_but(element, &mut fields, &|child| is_measurement(child) || holds_measurements(child));
    measurements_in(element, &mut measurements);
    let name = fields.take(NAME).unwrap_or_else(|| element.name().to_owned());
    let own = fields.take(VERDICT).and_then(|text| status(&text, &name, tests.walk));
    let mut lines = Lines::default();
    let mut found: Vec<(Option<Status>, Fields)> = Vec::new();
    for measurement in measurements {
        let mut of_it = Fields::default();
        collect_but(measurement, &mut of_it, &is_measurement);
        of_it.add("value", measurement.text());
        found.push((of_it.take(VERDICT).and_then(|text| status(&text, &name, tests.walk)), of_it));
    }
    if found.is_empty() {
        let mut of_it = Fields::default();
        for names in [VALUE, UNIT, LOW, HIGH, COMPARATOR] {
            if let (Some(first), Some(value)) = (names.first(), fields.take(names)) {
                of_it.add(first, &value);
            }
        }
        if of_it.rest().next().is_some() {
            found.push((own, of_it));
        }
    }
    let has = |status| found.iter().any(|(own, _)| *own == Some(status));
    let by_measurements = [Status::Error, Status::Failed, Status::Passed].into_iter().find(|&status| has(status));
    let status = own.or(by_measurements).unwrap_or(Status::Done);
    let several = found.len() > 1;
    let mut measured = Vec::new();
    for (own, of_it) in found {
        let (one, told) = measurement(of_it, own.unwrap_or(status), several, &name, tests);
        measured.extend(one);
        told.into_iter().for_each(|(key, text)| lines.add(&key, &text));
    }
    if measured.is_empty() && status != Status::Done {
        measured.push(Measured::Verdict(steps::verdict(None, status)));
    }
    let message = matches!(status, Status::Failed | Status::Error).then(|| fields.take(MESSAGE)).flatten();
    let tot_time = took(&mut fields, &mut lines);
    fields.rest().for_each(|(key, text)| lines.add(key, text));
    if !element.text().trim().is_empty() {
        lines.add_text(element.text().trim().to_owned());
    }
    let step = steps::measuring(&name, status, measured);
    Step { tot_time, error_message: message, report_text: lines.into_text(), ..step }
}

fn is_measurement(element: Element<'_>) -> bool {
    is(element.name(), MEASUREMENT)
}

fn holds_measurements(element: Element<'_>) -> bool {
    element.children().any(|child| is_measurement(child) || holds_measurements(child))
}

fn measurements_in<'a>(element: Element<'a>, into: &mut Vec<Element<'a>>) {
    for child in element.children() {
        if is_measurement(child) {
            into.push(child);
        }
        measurements_in(child, into);
    }
}

/// A measurement, and what no field of it takes.
fn measurement(
    mut fields: Fields,
    status: Status,
    several: bool,
    test: &str,
    tests: &mut Tests<'_>,
) -> (Option<Measured>, Vec<(String, String)>) {
    let mut told: Vec<(String, String)> = Vec::new();
    let name = fields.take(NAME);
    let [value, unit, low, high, comparator] = [VALUE, UNIT, LOW, HIGH, COMPARATOR].map(|names| fields.take(names));
    let of = |key: &str| match (&name, several) {
        (Some(name), true) => format!("{name}: {key}"),
        _ => key.to_owned(),
    };
    if let (Some(name), false) = (&name, several)
        && name != test
    {
        told.push(("measurement".to_owned(), name.clone()));
    }
    told.extend(fields.rest().map(|(key, text)| (of(key), text.to_owned())));
    let read = |text: &Option<String>| text.as_deref().and_then(number::plain);
    let limit = |text: &Option<String>| read(text).filter(|limit| limit.as_f64().is_finite());
    let mut tell = |key: &str, text: &Option<String>| told.extend(text.iter().map(|text| (of(key), text.clone())));
    let (low_limit, high_limit) = (limit(&low), limit(&high));
    let has_limits = low_limit.is_some() || high_limit.is_some();
    for (key, text, found) in [("LowLimit", &low, &low_limit), ("HighLimit", &high, &high_limit)] {
        let is_none = read(text).is_some_and(|limit| limit.as_f64().is_infinite());
        if let (Some(text), None, false) = (text, found, is_none) {
            tests.walk.note(format!("{}: the {key} {:?} is no number", printable(test, 60), printable(text, 40)));
            tell(key, &Some(text.clone()));
        }
    }
    let Some(text) = value.clone() else {
        tell("LowLimit", &low_limit.as_ref().map(Num::to_string));
        tell("HighLimit", &high_limit.as_ref().map(Num::to_string));
        tell("Units", &unit);
        tell("Comparator", &comparator);
        let one = (status != Status::Done).then(|| Measured::Verdict(steps::verdict(name, status)));
        return (one, told);
    };
    let Some(number) = number::plain(&text) else {
        tell("LowLimit", &low_limit.as_ref().map(Num::to_string));
        tell("HighLimit", &high_limit.as_ref().map(Num::to_string));
        tell("Units", &unit);
        tell("Comparator", &comparator);
        return (Some(Measured::Text(steps::string(name, text, None, status))), told);
    };
    if tests.without_limits && !has_limits && comparator.is_none() {
        tell("Value", &value);
        tell("Units", &unit);
        return (Some(Measured::Verdict(steps::verdict(name, status))), told);
    }
    let by_name = comparator.as_deref().and_then(|comparator| Limits::of(comparator, low_limit.clone(), high_limit.clone()));
    if by_name.is_none() && comparator.as_deref().is_some_and(|text| !text.trim().eq_ignore_ascii_case("LOG")) {
        tell("Comparator", &comparator);
    }
    let bound = |limit: Option<Num>| limit.map(|limit| Bound { limit, inclusive: true });
    let range = has_limits.then(|| Limits::Range { low: bound(low_limit), high: bound(high_limit) });
    (Some(Measured::Numeric(steps::numeric(name, number, by_name.or(range), unit, status))), told)
}

fn status(text: &str, place: &str, walk: &mut Walk) -> Option<Status> {
    let found = Status::parse(text);
    if found.is_none() {
        let message = format!("{:?}: {:?} is no verdict as Passed or Failed", printable(place, 60), printable(text, 40));
        walk.in_key("Test", |walk| walk.fault(FaultKind::OutOfRange, message));
    }
    found
}

/// Seconds that a step took; what is none goes into its text.
fn took(fields: &mut Fields, lines: &mut Lines) -> Option<Num> {
    let text = fields.take(DURATION)?;
    let found = seconds(&text);
    if found.is_none() {
        lines.add("Duration", &text);
    }
    found
}

/// The worst of what happened.
pub(super) fn worst(steps: &[Step]) -> Option<Status> {
    let has = |status| steps.iter().any(|step| step.status == Some(status));
    [Status::Error, Status::Failed, Status::Terminated, Status::Passed, Status::Done, Status::Skipped]
        .into_iter()
        .find(|&status| has(status))
}
