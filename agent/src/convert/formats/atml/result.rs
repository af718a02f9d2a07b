//! What a step found: a value with its limits, an array, or a collection of these.

use waybill_shared::report::{Num, Status};
use waybill_shared::text::printable;

use super::node::label;
use super::{child, said};
use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::number::Decimal;
use crate::convert::ground::steps::Measured;
pub(super) use crate::convert::ground::teststand::measured::Found;
use crate::convert::ground::teststand::measured::{self, Others};
use crate::convert::ground::teststand::prop::{Kind, Prop};
use crate::convert::ground::teststand::{self, Asked, Said, in_radix, status, text_comparator};
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::xml::Element;

/// Reads a `TestResult`; `verdict` is that of its step.
pub(super) fn read(
    result: Element<'_>,
    verdict: Status,
    found: &mut Vec<Found>,
    others: &mut Others,
    lines: &mut Lines,
    walk: &mut Walk,
) {
    let name = label(result);
    let own = child(result, "Outcome").and_then(|outcome| {
        let (value, qualifier) = (outcome.attribute("value")?, outcome.attribute("qualifier").unwrap_or_default());
        let found = status(qualifier).filter(|_| !matches!(value, "Passed" | "Failed")).or_else(|| status(value));
        if found.is_none() || !qualifier.is_empty() && status(qualifier) != found {
            lines.add(&format!("{name} Outcome"), format!("{value} {qualifier}").trim());
        }
        found
    });
    let verdict = own.unwrap_or(verdict);
    let asked = asked(result);
    for part in result.children() {
        match part.name() {
            "TestData" => {
                for data in part.children() {
                    match data.name() {
                        // A complex number has no single value.
                        "Datum" if data.attribute("real").is_some() || data.attribute("imaginary").is_some() => {
                            Prop { name: name.to_owned(), ..any_plain(data) }.lines(lines);
                        }
                        "Datum" => found.extend(datum(data, name, verdict, &asked, lines, walk)),
                        "Collection" => {
                            let prop = Prop { name: name.to_owned(), kind: Kind::Container, ..prop(data) };
                            let is_several = prop.members.iter().any(|member| member.get("MeasName").is_some());
                            if is_several {
                                found.extend(measured::several(&prop, verdict, Decimal::Point, lines, walk));
                            } else {
                                others.add(&prop, Decimal::Point, lines);
                            }
                        }
                        _ => others.add(&Prop { name: name.to_owned(), ..any(data) }, Decimal::Point, lines),
                    }
                }
            }
            "TestLimits" | "Outcome" => {}
            "Extension" => {
                for inner in part.children().filter(|inner| inner.name() != "TSLimitProperties") {
                    any(inner).lines(lines);
                }
            }
            _ => {
                let prop = any(part);
                Prop { name: format!("{name} {}", prop.name), ..prop }.lines(lines);
            }
        }
    }
    let holds_no_datum = child(result, "TestData").and_then(|data| child(data, "Datum")).is_none();
    if holds_no_datum && let Some(limits) = child(result, "TestLimits") {
        any(limits).lines(lines);
    }
}

/// What stands in a `Datum`.
enum Datum<'a> {
    Number(teststand::Number),
    Text(&'a str),
    Flag(&'a str),
}

fn content(datum: Element<'_>) -> &str {
    let value = datum.attribute("value");
    value.unwrap_or_else(|| child(datum, "Value").map_or_else(|| datum.text(), Element::text))
}

/// `c:double`, `ts:TS_double`: without their prefixes and in small letters.
fn kind(element: Element<'_>) -> String {
    let name = element.attribute("type").unwrap_or_default();
    let local = name.rsplit_once(':').map_or(name, |(_, local)| local);
    local.strip_prefix("TS_").unwrap_or(local).to_ascii_lowercase()
}

fn value(datum: Element<'_>) -> Datum<'_> {
    let text = content(datum);
    let number = || teststand::number(text, Decimal::Point);
    let radix = |radix: u32| {
        let digits = text.trim();
        let bare = number().filter(|number| number.written.is_some());
        bare.or_else(|| Some(teststand::Number { value: in_radix("", digits, radix)?, written: Some(digits.to_owned()) }))
    };
    let number = match kind(datum).as_str() {
        "string" | "datetime" => None,
        "boolean" => return Datum::Flag(text),
        "hexadecimal" => radix(16),
        "octal" => radix(8),
        "binary" => radix(2),
        _ => number(),
    };
    number.map_or(Datum::Text(text), Datum::Number)
}

fn unit(datum: Element<'_>) -> Option<&str> {
    let of = |name: &str| datum.attribute(name).map(str::trim).filter(|unit| !unit.is_empty());
    of("nonStandardUnit").or_else(|| of("unit"))
}

/// What is asked of a value, as the file has it.
#[derive(Default)]
struct Question<'a> {
    /// Comparators with their limits, as they stand.
    pairs: Vec<(&'a str, Element<'a>)>,
    /// `AND` or `OR`.
    operator: &'a str,
    nominal: Option<Element<'a>>,
    threshold: Option<&'a str>,
    /// Low and high as they were before thresholds became limits, if they did.
    raw: (Option<&'a str>, Option<&'a str>),
    /// Kinds of limits that are none of these.
    unknown: Vec<Element<'a>>,
    /// What else is said of the limits.
    others: Vec<Element<'a>>,
}

fn asked(result: Element<'_>) -> Question<'_> {
    let mut question = Question::default();
    for part in result.children() {
        match part.name() {
            "TestLimits" => {
                for limits in part.children() {
                    if limits.name() == "Limits" {
                        limits.children().for_each(|limit| one(limit, &mut question));
                    } else {
                        one(limits, &mut question);
                    }
                }
            }
            "Extension" => part.children().for_each(|extension| properties(extension, &mut question)),
            _ => {}
        }
    }
    question
}

fn one<'a>(limit: Element<'a>, question: &mut Question<'a>) {
    let comparator = |limit: Element<'a>| limit.attribute("comparator").unwrap_or_default().trim();
    match limit.name() {
        "LimitPair" if question.pairs.is_empty() => {
            question.operator = limit.attribute("operator").unwrap_or_default().trim();
            for part in limit.children() {
                match (part.name(), child(part, "Datum")) {
                    ("Limit", Some(datum)) => question.pairs.push((comparator(part), datum)),
                    ("Nominal", Some(datum)) => question.nominal = Some(datum),
                    _ => question.unknown.push(part),
                }
            }
        }
        "SingleLimit" | "Expected" if question.pairs.is_empty() => match child(limit, "Datum") {
            Some(datum) => question.pairs.push((comparator(limit), datum)),
            None => question.unknown.push(limit),
        },
        "Extension" => limit.children().for_each(|extension| properties(extension, question)),
        _ => question.unknown.push(limit),
    }
}

fn properties<'a>(extension: Element<'a>, question: &mut Question<'a>) {
    if extension.name() != "TSLimitProperties" {
        return;
    }
    for property in extension.children() {
        match property.name() {
            "ThresholdType" => question.threshold = said(property),
            "RawLimits" => question.raw = (child(property, "Low").and_then(said), child(property, "High").and_then(said)),
            // The same as no limits.
            "IsComparisonTypeLog" => {}
            _ => question.others.push(property),
        }
    }
}

fn datum(
    datum: Element<'_>,
    name: &str,
    verdict: Status,
    question: &Question<'_>,
    lines: &mut Lines,
    walk: &mut Walk,
) -> Option<Found> {
    for unknown in &question.unknown {
        walk.note(format!("{}: such limits have no place in a report; they are in the report text", unknown.place()));
        any(*unknown).lines(lines);
    }
    question.others.iter().for_each(|other| any(*other).lines(lines));
    let own_name = Some(name.to_owned()).filter(|name| !name.trim().is_empty());
    match value(datum) {
        Datum::Flag(text) => {
            let says = match text.trim() {
                "true" | "1" => Status::Passed,
                "false" | "0" => Status::Failed,
                _ => verdict,
            };
            // A verdict only where the step has it so named; else one more result.
            if name == "PassFail" {
                let measured = Measured::Verdict(crate::convert::ground::steps::verdict(None, verdict));
                if matches!(verdict, Status::Passed | Status::Failed) && says != verdict {
                    walk.note(format!("{}: the file says {verdict}, and its value is {text}", datum.place()));
                }
                return Some(Found { measured, judged: true, words: (name.to_owned(), text.to_owned()) });
            }
            lines.add(name, text);
            None
        }
        Datum::Number(number) => {
            if let Some(written) = &number.written {
                lines.add(&format!("{name} as written"), written);
            }
            let unit = unit(datum).or_else(|| question.pairs.iter().find_map(|(_, limit)| unit(*limit)));
            let (said, comparator, asked) = numbers(question, lines);
            let unit = unit.map(str::to_owned);
            Some(measured::numeric(own_name, (number.value, name), (&said, &comparator, asked), unit, verdict, lines, walk))
        }
        Datum::Text(text) => {
            if question.pairs.iter().any(|(_, limit)| matches!(value(*limit), Datum::Number(_))) {
                walk.note(format!("{}: {:?} is no number, and its limits are", datum.place(), printable(text, 40)));
                for (comparator, limit) in &question.pairs {
                    lines.add(&format!("Limit {comparator}"), content(*limit));
                }
                return Some(measured::text_value(own_name, name, text, &[], verdict));
            }
            let limits = texts(question, lines);
            if let Some(unit) = unit(datum) {
                lines.add(&format!("Unit of {name}"), unit);
            }
            Some(measured::text_value(own_name, name, text, &limits, verdict))
        }
    }
}

/// Limits of a text: the first one; a pair of different ones has no comparator.
fn texts(question: &Question<'_>, lines: &mut Lines) -> Vec<(String, String)> {
    let all: Vec<_> =
        question.pairs.iter().map(|(comparator, limit)| (text_comparator(comparator), content(*limit).to_owned())).collect();
    match all.as_slice() {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => vec![first.clone()],
        _ => {
            for (comparator, limit) in &all {
                lines.add(&format!("Limit {} {comparator}", question.operator).replace("  ", " "), limit);
            }
            Vec::new()
        }
    }
}

/// Limits of a number.
fn numbers(question: &Question<'_>, lines: &mut Lines) -> (Said, String, Asked) {
    let mut read = |limit: Element<'_>| match value(limit) {
        Datum::Number(number) => {
            if let Some(written) = number.written {
                lines.add("Limit as written", &written);
            }
            Some(number.value)
        }
        Datum::Text(_) | Datum::Flag(_) => None,
    };
    let limits: Vec<_> =
        question.pairs.iter().map(|(comparator, limit)| (comparator.to_ascii_uppercase(), read(*limit))).collect();
    let nominal = question.nominal.and_then(&mut read);
    let words = |limits: &[(String, Option<Num>)]| {
        let one = |((comparator, _), (_, limit)): (&(String, Option<Num>), &(&str, Element<'_>))| {
            format!("{comparator} {}", content(*limit))
        };
        limits.iter().zip(&question.pairs).map(one).collect::<Vec<_>>().join(&format!(" {} ", question.operator))
    };
    match limits.as_slice() {
        [] => (Said::default(), String::new(), Asked::Log),
        [(comparator, Some(limit))] => {
            let said = Said { low: Some(limit.clone()), ..Said::default() };
            let asked = said.by(if comparator == "CIEQ" { "EQ" } else { comparator });
            (said, comparator.clone(), asked)
        }
        [(first, Some(a)), (second, Some(b))] => {
            let is_lower = |comparator: &str| matches!(comparator, "GT" | "GE");
            let is_upper = |comparator: &str| matches!(comparator, "LT" | "LE");
            let ((lower, low), (upper, high)) = match (first.as_str(), second.as_str()) {
                (one, two) if is_lower(one) && is_upper(two) => ((one, a), (two, b)),
                (one, two) if is_upper(one) && is_lower(two) => ((two, b), (one, a)),
                (one, two) if one == two && a == b => {
                    let said = Said { low: Some(a.clone()), ..Said::default() };
                    let asked = said.by(one);
                    return (said, one.to_owned(), asked);
                }
                _ => return (Said::default(), words(&limits), Asked::Unclear),
            };
            let bound = |limit: &Num, comparator: &str| Bound { limit: limit.clone(), inclusive: comparator.ends_with('E') };
            let asked = if question.operator.eq_ignore_ascii_case("OR") {
                // Below the upper limit, or above the lower one.
                Limits::Outside { low: bound(high, upper), high: bound(low, lower) }
            } else {
                Limits::Range { low: Some(bound(low, lower)), high: Some(bound(high, upper)) }
            };
            let threshold = question.threshold.map(str::to_owned);
            let said = Said { low: Some(low.clone()), high: Some(high.clone()), nominal, threshold };
            if said.nominal.is_some() && said.threshold.is_some() && is_raw(question, low, high) {
                let asked = said.by("EQT");
                return (said, "EQT".to_owned(), asked);
            }
            if let Some(nominal) = &said.nominal {
                lines.add("Nominal", &nominal.to_string());
            }
            (said, String::new(), Asked::Keep(asked))
        }
        _ => (Said::default(), words(&limits), Asked::Unclear),
    }
}

/// True if the limits are the raw ones, or nobody says what these are: with a nominal value, they are thresholds.
fn is_raw(question: &Question<'_>, low: &Num, high: &Num) -> bool {
    let same = |raw: Option<&str>, limit: &Num| {
        raw.is_none_or(|raw| {
            teststand::number(raw, Decimal::Point).is_some_and(|raw| raw.value.as_f64().total_cmp(&limit.as_f64()).is_eq())
        })
    };
    same(question.raw.0, low) && same(question.raw.1, high)
}

/// An `Item`, a `Collection`, a `Datum` or an array as a property.
pub(super) fn prop(element: Element<'_>) -> Prop {
    let name = element.attribute("name").unwrap_or_default().to_owned();
    match element.name() {
        "Datum" | "Element" | "Value" => {
            let kind = match value(element) {
                _ if element.name() != "Datum" => Kind::Number,
                Datum::Number(_) => Kind::Number,
                Datum::Text(_) => Kind::Text,
                Datum::Flag(_) => Kind::Flag,
            };
            let text = match unit(element) {
                Some(unit) => format!("{} {unit}", content(element)),
                None => content(element).to_owned(),
            };
            let name = element.attribute("position").map_or(name, str::to_owned);
            Prop { name, kind, text, members: Vec::new() }
        }
        "IndexedArray" => {
            let is_numeric = !matches!(kind(element).as_str(), "stringarray" | "booleanarray" | "datetimearray");
            let of = |inner: Element<'_>| {
                let inner = prop(inner);
                Prop { kind: if is_numeric { Kind::Number } else { Kind::Text }, ..inner }
            };
            Prop { name, kind: Kind::Array, text: String::new(), members: element.children().map(of).collect() }
        }
        _ => {
            let mut inner: Vec<_> = element.children().collect();
            if let ("Item", [only]) = (element.name(), inner.as_slice()) {
                return Prop { name, ..prop(*only) };
            }
            let members = inner.drain(..).map(prop).collect();
            Prop { name, kind: Kind::Container, text: element.text().trim().to_owned(), members }
        }
    }
}

/// Whatever it is, as a property under its own name.
pub(super) fn any(element: Element<'_>) -> Prop {
    if matches!(element.name(), "Collection" | "IndexedArray" | "Datum") {
        let found = prop(element);
        let name = if found.name.is_empty() { element.name().to_owned() } else { found.name };
        return Prop { name, ..found };
    }
    any_plain(element)
}

fn any_plain(element: Element<'_>) -> Prop {
    let is_form = |name: &str| matches!(name, "type" | "flags" | "schemaLocation");
    let attributes = element.attributes().filter(|(name, value)| !is_form(name) && !value.is_empty());
    let of = |(name, value): (&str, &str)| Prop { name: name.to_owned(), text: value.to_owned(), ..Prop::default() };
    let mut members: Vec<_> = attributes.map(of).collect();
    let mut text = element.text().trim().to_owned();
    if text.is_empty()
        && let [Prop { name, text: value, .. }] = members.as_slice()
        && name == "value"
    {
        text.clone_from(value);
        members.clear();
    }
    members.extend(element.children().map(any));
    Prop { name: element.name().to_owned(), kind: Kind::Container, text, members }
}
