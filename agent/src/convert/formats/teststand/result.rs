//! From a result (`TEResult`) to a step, and to the steps of a loop after it.

use waybill_shared::report::{Status, Step};
use waybill_shared::text::printable;

use super::Within;
use crate::convert::ground::number::{self, Decimal};
use crate::convert::ground::steps;
use crate::convert::ground::teststand::measured::{self, About, Others};
use crate::convert::ground::teststand::prop::Prop;
use crate::convert::ground::teststand::{group, status, worst};
use crate::convert::ground::walk::{Lines, Walk};

/// A result as far as it was read: each property as it stands, since their order is free.
#[derive(Debug)]
pub(super) struct Found {
    /// Its own properties.
    own: Prop,
    ts: Prop,
    call: Option<Prop>,
    /// Steps of the sequence that it ran.
    pub(super) inner: Vec<Step>,
    /// Iterations of it.
    pub(super) iterations: Vec<Step>,
}

impl Found {
    pub(super) fn new(name: &str) -> Self {
        let own = Prop { name: name.to_owned(), ..Prop::default() };
        Self { own, ts: Prop::default(), call: None, inner: Vec::new(), iterations: Vec::new() }
    }

    pub(super) fn add(&mut self, prop: Prop, within: Within) {
        let to = match within {
            Within::Result => &mut self.own,
            Within::Ts => &mut self.ts,
            Within::Call => self.call.get_or_insert_default(),
        };
        to.members.push(prop);
    }

    /// Its step, and those of its loop after it.
    pub(super) fn steps(self, decimal: Decimal, keeps_flow: bool, walk: &mut Walk) -> Vec<Step> {
        let Self { own, ts, call, mut inner, iterations } = self;
        let kind = ts.said("StepType").unwrap_or_default();
        if measured::is_flow(kind) && !keeps_flow && inner.is_empty() && iterations.is_empty() {
            return Vec::new();
        }
        let name = ts.said("StepName").or_else(|| Some(own.name.trim()).filter(|name| !name.is_empty())).unwrap_or(kind);
        let mut lines = Lines::default();
        if let Some(text) = own.get("ReportText").map(|text| text.text.as_str()).filter(|text| !text.trim().is_empty()) {
            lines.add_text(text.to_owned());
        }
        let verdict = verdict(&own, call.as_ref(), name, &mut lines, walk);
        let mut others = Others::default();
        let found = measurements(&own, verdict.unwrap_or(Status::Done), decimal, &mut others, &mut lines, walk);
        let is_sequence = call.is_some() || measured::is_sequence(kind) || !inner.is_empty();
        let is_test = own.get("PassFail").is_some();
        let mut step = if is_sequence {
            let found = measured::of_sequence(found, &mut lines);
            if !found.is_empty() {
                // What it found itself comes first.
                let kind = if measured::is_sequence(kind) { "" } else { kind };
                let first = measured::step(&About { kind, name, status: verdict, is_test }, found, &mut lines);
                let group = ts.said("StepGroup").and_then(group).unwrap_or("M").to_owned();
                inner.insert(0, Step { group: Some(group), ..first });
            }
            let verdict = verdict.unwrap_or_else(|| worst(&inner));
            let mut step = steps::sequence(name, verdict, inner);
            if let (Some(call), Some(of)) = (&mut step.seq_call, &call) {
                call.path = of.said("SequenceFilePath").or_else(|| of.said("SequenceFile")).map(str::to_owned);
                call.name = Some(of.said("Sequence").unwrap_or(name).to_owned());
                call.version = of.said("SequenceFileVersion").map(str::to_owned);
            }
            step
        } else {
            measured::step(&About { kind, name, status: verdict, is_test }, found, &mut lines)
        };
        others.put(&mut step, walk);
        if kind == "WATS_XYGMNLT" && step.chart.is_some() && step.numeric_meas.is_some() {
            step.step_type = Some(kind.to_owned());
        }
        finish(&mut step, &own, &ts, call.as_ref(), &mut lines, walk);
        step.report_text = lines.into_text();
        std::iter::once(step).chain(iterations).collect()
    }
}

/// Its own status, else that of its sequence.
fn verdict(own: &Prop, call: Option<&Prop>, name: &str, lines: &mut Lines, walk: &mut Walk) -> Option<Status> {
    let text = own.said("Status").or_else(|| call.and_then(|call| call.said("Status")));
    let Some(text) = text else {
        if call.is_none() {
            walk.note(format!("the step {:?} has no status and is Done", printable(name, 60)));
        }
        return None;
    };
    let found = status(text);
    if found.is_none() {
        // Those who wrote the test chose it: no verdict that a report has.
        lines.add("Status", text);
    }
    Some(found.unwrap_or(Status::Done))
}

fn measurements(
    own: &Prop,
    verdict: Status,
    decimal: Decimal,
    others: &mut Others,
    lines: &mut Lines,
    walk: &mut Walk,
) -> Vec<measured::Found> {
    let mut found = Vec::new();
    let main = measured::value(&Prop { members: without_status(own), ..Prop::default() }, None, verdict, decimal, lines, walk);
    let has_main = main.is_some();
    found.extend(main);
    // Several kinds of value in one result: each has its place.
    for key in ["String", "PassFail"] {
        let taken = found
            .iter()
            .any(|one| one.words.0 == key || key == "PassFail" && matches!(one.measured, steps::Measured::Verdict(_)));
        if let (Some(prop), true, false) = (own.get(key), has_main, taken) {
            others.add(prop, decimal, lines);
        }
    }
    for prop in &own.members {
        match prop.name.as_str() {
            "Measurement" => found.extend(measured::several(prop, verdict, decimal, lines, walk)),
            "Status" | "ReportText" | "Error" | "RawLimits" | "TS" => {}
            // Said with the value, or of no use without one.
            "Numeric" | "Data" | "String" | "PassFail" if has_main => {}
            "Comp" | "Limits" | "Units" | "Low" | "High" | "Nominal" | "ThresholdType" if has_main => {}
            _ => others.add(prop, decimal, lines),
        }
    }
    found
}

fn without_status(own: &Prop) -> Vec<Prop> {
    let is_of = |prop: &&Prop| measured::is_of_value(&prop.name) && prop.name != "Status" && prop.name != "MeasName";
    own.members.iter().filter(is_of).cloned().collect()
}

fn finish(step: &mut Step, own: &Prop, ts: &Prop, call: Option<&Prop>, lines: &mut Lines, walk: &mut Walk) {
    step.id = ts.whole("Id");
    step.ts_guid = ts.said("StepId").map(str::to_owned);
    step.group = Some(ts.said("StepGroup").and_then(group).unwrap_or("M").to_owned());
    step.loop_info = measured::loop_info(|name| ts.whole(name));
    if ts.said("StepCausedSequenceFailure").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        step.caused_seq_failure = Some(true);
    }
    if let Some(text) = ts.said("TotalTime") {
        let time = number::plain(text).or_else(|| number::read(text, Decimal::Comma));
        step.tot_time = time.filter(|time| time.as_f64() >= 0.0 && time.as_f64().is_finite());
        if step.tot_time.is_none() {
            walk.note(format!("TotalTime {:?} is no time", printable(text, 40)));
            lines.add("TotalTime", text);
        }
    }
    let known = |name: &str| {
        matches!(
            name,
            "StepName"
                | "StepType"
                | "StepGroup"
                | "StepId"
                | "Id"
                | "Index"
                | "BlockLevel"
                | "TotalTime"
                | "ModuleTime"
                | "StartTime"
                | "InteractiveExeNum"
                | "NumLoops"
                | "NumPassed"
                | "NumFailed"
                | "EndingLoopIndex"
                | "LoopIndex"
                | "StepCausedSequenceFailure"
        )
    };
    ts.members.iter().filter(|prop| !known(&prop.name)).for_each(|prop| prop.lines(lines));
    let of_call = |name: &str| {
        matches!(name, "SequenceFile" | "SequenceFilePath" | "SequenceFileVersion" | "Sequence" | "Status" | "ThreadId")
    };
    for call in call.iter().flat_map(|call| &call.members).filter(|prop| !of_call(&prop.name)) {
        call.lines(lines);
    }
    if let Some(error) = own.get("Error") {
        let (code, message) = (error.whole("Code"), error.said("Msg"));
        let occurred = error.said("Occurred").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        if occurred || message.is_some() || code.is_some_and(|code| code != 0) {
            step.error_code = code;
            step.error_message = message.map(str::to_owned);
            if let (None, Some(code)) = (code, error.said("Code")) {
                lines.add("Error code", code);
            }
        }
    }
}
