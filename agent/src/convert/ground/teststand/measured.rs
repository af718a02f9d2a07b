//! From properties to measurements, and the step that holds them.

use waybill_shared::report::{CallExe, LoopInfo, MessagePopup, Num, Status, Step};
use waybill_shared::text::printable;

use super::prop::{self, Kind, Prop};
use super::{Asked, Said, status, text_comparator};
use crate::convert::ground::chart::{self, Curve};
use crate::convert::ground::number::Decimal;
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::walk::{Lines, Walk};

/// One value that a step found.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::convert) struct Found {
    /// The value.
    pub(in crate::convert) measured: Measured,
    /// Something was asked of it; else it is one more result, which no verdict rests on.
    pub(in crate::convert) judged: bool,
    /// Its name and its value, in words.
    pub(in crate::convert) words: (String, String),
}

/// What is known of a step besides what it measured.
#[derive(Debug, Default)]
pub(in crate::convert) struct About<'a> {
    /// TestStand's name of its kind.
    pub(in crate::convert) kind: &'a str,
    /// Its name.
    pub(in crate::convert) name: &'a str,
    /// Its verdict.
    pub(in crate::convert) status: Option<Status>,
    /// It was there to judge something.
    pub(in crate::convert) is_test: bool,
}

/// Numbers, texts or verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Category {
    Numeric,
    Text,
    Verdict,
}

/// What a kind of step judges, if it is one of TestStand's or of its WATS add-on; and whether it may have several.
fn category(kind: &str) -> Option<(Category, bool)> {
    Some(match kind {
        "NumericLimitTest" | "ET_NLT" => (Category::Numeric, false),
        "NI_MultipleNumericLimitTest" | "MultiNumericLimitTest" | "ET_MNLT" | "WATS_XYGMNLT" => (Category::Numeric, true),
        "StringValueTest" | "ET_SVT" => (Category::Text, false),
        "MultiStringTest" | "ET_MSVT" => (Category::Text, true),
        "PassFailTest" | "ET_PFT" => (Category::Verdict, false),
        "MultiBooleanTest" | "ET_MPFT" => (Category::Verdict, true),
        _ => return None,
    })
}

/// True for the kinds that the report model has without measurements.
fn is_generic(kind: &str) -> bool {
    matches!(kind, "Action" | "ET_A" | "Label" | "Goto" | "Statement" | "MessagePopup" | "CallExecutable" | "NONE")
        || kind.starts_with("NI_") && category(kind).is_none()
}

/// True for the steps that steer a sequence.
pub(in crate::convert) fn is_flow(kind: &str) -> bool {
    kind.starts_with("NI_Flow_")
}

/// True for the steps that run a sequence.
pub(in crate::convert) fn is_sequence(kind: &str) -> bool {
    matches!(kind, "SequenceCall" | "WATS_SeqCall")
}

/// A step with what it found. Values that no verdict rests on, of another kind than the step's, are lines of its text.
pub(in crate::convert) fn step(about: &About<'_>, found: Vec<Found>, lines: &mut Lines) -> Step {
    let About { kind, name, is_test, .. } = *about;
    let status = about.status.unwrap_or(Status::Done);
    let known = category(kind);
    if known.is_none() && !is_generic(kind) && !is_sequence(kind) && !kind.is_empty() {
        lines.add("StepType", kind);
    }
    let mut measured = chosen(known.map(|(category, _)| category), found, lines);
    if !measured.is_empty() {
        let several = known.is_some_and(|(_, several)| several);
        if let ([one], false) = (measured.as_mut_slice(), several) {
            // The name of the property, which every such step has.
            if let Measured::Numeric(one) = one {
                one.name = one.name.take().filter(|name| name != "Numeric");
            } else if let Measured::Text(one) = one {
                one.name = one.name.take().filter(|name| name != "String");
            }
        }
        let mut step = steps::measuring(name, status, measured);
        if several {
            as_several(&mut step);
        }
        return step;
    }
    let bare = |step_type: &str| Step { step_type: Some(step_type.to_owned()), ..steps::action(name, status) };
    let was_judged = matches!(status, Status::Passed | Status::Failed);
    match (known, was_judged) {
        (None, _) if is_generic(kind) => bare(kind),
        (None, false) => bare("ET_A"),
        (None, true) if !is_test => bare("ET_A"),
        // Also of a step whose values were not written.
        (_, true) => steps::measuring(name, status, vec![Measured::Verdict(steps::verdict(None, status))]),
        (Some(_), false) if status == Status::Done => bare("ET_A"),
        (Some((Category::Numeric, several)), false) => bare(if several { "ET_MNLT" } else { "ET_NLT" }),
        (Some((Category::Text, several)), false) => bare(if several { "ET_MSVT" } else { "ET_SVT" }),
        (Some((Category::Verdict, several)), false) => bare(if several { "ET_MPFT" } else { "ET_PFT" }),
    }
}

/// Of what a sequence found itself, what is worth a step of its own: numbers, and what was judged. The rest are lines of its text.
pub(in crate::convert) fn of_sequence(found: Vec<Found>, lines: &mut Lines) -> Vec<Found> {
    let is_own = |one: &Found| one.judged || matches!(one.measured, Measured::Numeric(_));
    let (own, told): (Vec<_>, Vec<_>) = found.into_iter().partition(is_own);
    told.iter().for_each(|one| lines.add(&one.words.0, &one.words.1));
    own
}

/// A kind of step that may have several measurements keeps it with one.
fn as_several(step: &mut Step) {
    let name = |name: &mut Option<String>| {
        name.get_or_insert_with(|| "1".to_owned());
    };
    let several = match step.step_type.as_deref() {
        Some("ET_NLT") => "ET_MNLT",
        Some("ET_SVT") => "ET_MSVT",
        Some("ET_PFT") => "ET_MPFT",
        _ => return,
    };
    step.numeric_meas.iter_mut().flatten().for_each(|one| name(&mut one.name));
    step.string_meas.iter_mut().flatten().for_each(|one| name(&mut one.name));
    step.boolean_meas.iter_mut().flatten().for_each(|one| name(&mut one.name));
    step.step_type = Some(several.to_owned());
}

fn chosen(known: Option<Category>, found: Vec<Found>, lines: &mut Lines) -> Vec<Measured> {
    let of = |found: &Found| match found.measured {
        Measured::Numeric(_) => Category::Numeric,
        Measured::Text(_) => Category::Text,
        Measured::Verdict(_) => Category::Verdict,
    };
    let has = |category: &Category| found.iter().any(|one| of(one) == *category);
    let main = known.filter(has).or_else(|| found.iter().find(|one| one.judged).map(of));
    let main = main.or_else(|| [Category::Numeric].into_iter().find(has)).or_else(|| {
        // A text alone is what a step without a verdict of its own found; beside a verdict it explains that.
        (known != Some(Category::Verdict)).then(|| found.first().map(of)).flatten()
    });
    let mut measured = Vec::new();
    for one in found {
        if one.judged || Some(of(&one)) == main {
            measured.push(one.measured);
        } else {
            lines.add(&one.words.0, &one.words.1);
        }
    }
    measured
}

/// The value that a container holds, with what was asked of it: a result of a step, or one of several in it.
pub(in crate::convert) fn value(
    holder: &Prop,
    name: Option<&str>,
    verdict: Status,
    decimal: Decimal,
    lines: &mut Lines,
    walk: &mut Walk,
) -> Option<Found> {
    let any = |names: &[&str]| names.iter().find_map(|name| holder.said(name));
    let own = any(&["MeasName"]).or(name);
    let shown = own.unwrap_or_default();
    let verdict = match holder.said("Status").map(|text| (text, status(text))) {
        Some((_, Some(status))) => status,
        Some((text, None)) => {
            lines.add(&format!("{shown} Status"), text);
            verdict
        }
        None => verdict,
    };
    let comparator = any(&["Comp"]).unwrap_or_default();
    let limits = holder.get("Limits");
    let limit = |name: &str| limits.and_then(|limits| limits.said(name)).or_else(|| holder.said(name));
    let is_limit = |name: &str| matches!(name, "Low" | "High" | "Nominal" | "ThresholdType" | "String" | "StringLimit");
    for other in limits.iter().flat_map(|limits| &limits.members).filter(|member| !is_limit(&member.name)) {
        Prop { name: format!("Limits.{}", other.name), ..other.clone() }.lines(lines);
    }
    let name = || own.map(str::to_owned);
    if let Some((key, text)) = ["Numeric", "Data", "NumericData"].iter().find_map(|key| Some((*key, holder.said(key)?))) {
        let Some(number) = super::number(text, decimal) else {
            walk.note(format!("{:?} is no number and was taken as a text", printable(text, 40)));
            return Some(text_value(name(), key, text, &[], verdict));
        };
        if let Some(written) = &number.written {
            lines.add(&format!("{} as written", own.unwrap_or(key)), written);
        }
        let mut read = |name: &str| {
            let text = limit(name)?;
            let found = super::number(text, decimal);
            if let Some(super::Number { written: Some(written), .. }) = &found {
                lines.add(&format!("{name} as written"), written);
            } else if found.is_none() {
                walk.note(format!("the limit {name} {:?} is no number", printable(text, 40)));
                lines.add(name, text);
            }
            found.map(|number| number.value)
        };
        let said = Said {
            low: read("Low"),
            high: read("High"),
            nominal: read("Nominal"),
            threshold: limit("ThresholdType").map(str::to_owned),
        };
        let unit = any(&["Units", "Unit"]).map(str::to_owned);
        let asked = said.by(comparator);
        return Some(numeric(name(), (number.value, key), (&said, comparator, asked), unit, verdict, lines, walk));
    }
    for key in ["String", "StringData"] {
        if let Some(text) = holder.get(key) {
            let expected = limits.and_then(|limits| limits.get("String").or_else(|| limits.get("StringLimit")));
            let expected = expected.or_else(|| holder.get("StringLimit")).map(|limit| limit.text.clone());
            let comparator = text_comparator(comparator);
            let mut limit = Vec::new();
            match expected {
                Some(expected) if comparator != "LOG" => limit.push((comparator, expected)),
                Some(expected) if !expected.is_empty() => lines.add("Limit without a comparator", &expected),
                _ => {}
            }
            return Some(text_value(name(), key, &text.text, &limit, verdict));
        }
    }
    let flag = holder.said("PassFail")?;
    let says = match flag.to_ascii_lowercase().as_str() {
        "true" | "1" => Status::Passed,
        "false" | "0" => Status::Failed,
        _ => verdict,
    };
    if matches!(verdict, Status::Passed | Status::Failed) && says != verdict {
        walk.note(format!("{}: the file says {verdict}, and its value is {flag}", printable(shown, 60)));
    }
    let words = (shown.to_owned(), flag.to_owned());
    Some(Found { measured: Measured::Verdict(steps::verdict(name(), verdict)), judged: true, words })
}

/// A number with what was asked of it; what cannot be said by a comparator is told in the lines.
pub(in crate::convert) fn numeric(
    name: Option<String>,
    (value, key): (Num, &str),
    (said, comparator, asked): (&Said, &str, Asked),
    unit: Option<String>,
    verdict: Status,
    lines: &mut Lines,
    walk: &mut Walk,
) -> Found {
    let shown = name.clone().unwrap_or_else(|| key.to_owned());
    let limits = match asked {
        Asked::Keep(limits) => {
            if comparator.trim().eq_ignore_ascii_case("EQT") {
                lines.add("EQT", &said.words());
            }
            Some(limits)
        }
        Asked::Log => {
            // Without a comparator they ask nothing.
            if *said != Said::default() {
                lines.add(&format!("Limits of {shown}, without a comparator"), &said.words());
            }
            None
        }
        Asked::Unclear => {
            walk.note(format!(
                "{}: {:?} with its limits is not understood; they are in the report text",
                printable(&shown, 60),
                printable(comparator, 40)
            ));
            lines.add(&format!("Limits of {shown}"), &format!("{comparator} {}", said.words()));
            None
        }
    };
    let words = (shown, unit.as_ref().map_or_else(|| value.to_string(), |unit| format!("{value} {unit}")));
    let judged = limits.is_some();
    Found { measured: Measured::Numeric(steps::numeric(name, value, limits, unit, verdict)), judged, words }
}

/// A text, with its comparator and its limit if it has them.
pub(in crate::convert) fn text_value(
    name: Option<String>,
    key: &str,
    text: &str,
    limit: &[(String, String)],
    verdict: Status,
) -> Found {
    let words = (name.clone().unwrap_or_else(|| key.to_owned()), text.to_owned());
    let asked = limit.first().map(|(comparator, limit)| (comparator.as_str(), limit.clone()));
    let judged = asked.is_some();
    Found { measured: Measured::Text(steps::string(name, text.to_owned(), asked, verdict)), judged, words }
}

/// The measurements of a step that has several: containers, each with its name.
pub(in crate::convert) fn several(
    array: &Prop,
    verdict: Status,
    decimal: Decimal,
    lines: &mut Lines,
    walk: &mut Walk,
) -> Vec<Found> {
    let mut found = Vec::new();
    for (number, member) in array.members.iter().enumerate() {
        let numbered = member.name.starts_with('[') || member.name.ends_with(']') && member.name.starts_with(&array.name);
        let name = if numbered { (number + 1).to_string() } else { member.name.clone() };
        match value(member, Some(&name), verdict, decimal, lines, walk) {
            Some(one) => {
                found.push(one);
                for other in member.members.iter().filter(|other| !is_of_value(&other.name)) {
                    other.lines(lines);
                }
            }
            None => member.lines(lines),
        }
    }
    found
}

/// Properties that say a value or what is asked of it; `RawLimits` are the limits before an expression changed them.
pub(in crate::convert) fn is_of_value(name: &str) -> bool {
    matches!(
        name,
        "Numeric"
            | "Data"
            | "NumericData"
            | "String"
            | "StringData"
            | "StringLimit"
            | "PassFail"
            | "MeasName"
            | "Comp"
            | "Status"
            | "Limits"
            | "Low"
            | "High"
            | "Nominal"
            | "ThresholdType"
            | "Units"
            | "Unit"
            | "RawLimits"
    )
}

/// What a property says that has no other place: an operator's answer, how a program ended, curves; else lines.
#[derive(Debug, Default)]
pub(in crate::convert) struct Others {
    popup: MessagePopup,
    exit_code: Option<Num>,
    curves: Vec<Curve>,
}

impl Others {
    /// One more property.
    pub(in crate::convert) fn add(&mut self, prop: &Prop, decimal: Decimal, lines: &mut Lines) {
        match prop.name.as_str() {
            "Response" if prop.members.is_empty() => self.popup.response = Some(prop.text.clone()),
            "ButtonHit" if prop::whole(&prop.text).is_some() => self.popup.button = prop::whole(&prop.text),
            "ExitCode" if super::number(&prop.text, decimal).is_some() => {
                self.exit_code = super::number(&prop.text, decimal).map(|number| number.value);
            }
            _ => match prop.curves(decimal) {
                Some(curves) => self.curves.extend(curves),
                None if prop.members.iter().any(|member| member.kind == Kind::Array) => {
                    for member in &prop.members {
                        let named = Prop { name: format!("{}.{}", prop.name, member.name), ..member.clone() };
                        match named.curves(decimal) {
                            Some(curves) => self.curves.extend(curves),
                            None => named.lines(lines),
                        }
                    }
                }
                None => prop.lines(lines),
            },
        }
    }

    /// All of them, on their step.
    pub(in crate::convert) fn put(self, step: &mut Step, walk: &mut Walk) {
        if self.popup != MessagePopup::default() {
            step.message_popup = Some(self.popup);
        }
        if let Some(exit_code) = self.exit_code {
            step.call_exe = Some(CallExe { exit_code: Some(exit_code), ..CallExe::default() });
        }
        step.chart = chart::chart(step.name.as_deref().unwrap_or_default(), self.curves, walk);
    }
}

/// Place in a loop, or the totals of one.
pub(in crate::convert) fn loop_info(said: impl Fn(&str) -> Option<i64>) -> Option<LoopInfo> {
    let info = LoopInfo {
        idx: said("LoopIndex"),
        num: said("NumLoops"),
        ending_index: said("EndingLoopIndex"),
        passed: said("NumPassed"),
        failed: said("NumFailed"),
        ..LoopInfo::default()
    };
    (info != LoopInfo::default()).then_some(info)
}
