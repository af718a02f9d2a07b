//! The tree of steps: `TestGroup` is a sequence, `Test` a step that judges, `SessionAction` one that does.

use jiff::tz::TimeZone;
use waybill_shared::report::{LoopInfo, Num, Status, Step};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use super::result::{self, Found};
use super::{child, said};
use crate::convert::ground::number;
use crate::convert::ground::steps;
use crate::convert::ground::teststand::measured::{self, About, Others};
use crate::convert::ground::teststand::prop::{self, Prop};
use crate::convert::ground::teststand::{group, status, worst};
use crate::convert::ground::time::{self, Moment, local};
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::xml::Element;

/// Deepest nesting of steps that a report is sent with.
const DEEPEST: usize = 50;

/// The sequence that a `ResultSet` is, with what it says of the unit.
pub(super) struct Root {
    /// The sequence.
    pub(super) step: Step,
    /// The verdict on the unit.
    pub(super) verdict: Option<Status>,
    /// When it began.
    pub(super) start: Option<Moment>,
    /// How long it took, seconds.
    pub(super) time: Option<Num>,
}

/// In 2.02 a `ResultSet` holds the main sequence as its only group; later it is the main sequence.
pub(super) fn root(set: Element<'_>, zone: &TimeZone, walk: &mut Walk) -> Root {
    let nodes: Vec<_> = set.children().filter(|child| is_node(*child)).collect();
    let only = match nodes.as_slice() {
        [only] if only.name() == "TestGroup" && is_main(set, *only) => Some(*only),
        _ => None,
    };
    let mut reading = Reading { zone, walk };
    let outer = reading.facts(set);
    let (mut verdict, mut time, mut start) = (outer.verdict, outer.time.clone(), outer.start);
    let mut has_outcome = outer.has_outcome;
    let step = match only {
        None => reading.sequence(set, outer, 1),
        Some(only) => {
            let inner = reading.facts(only);
            verdict = verdict.or(inner.verdict);
            has_outcome |= inner.has_outcome;
            time = inner.total.clone().or(time).or_else(|| inner.time.clone());
            start = start.or(inner.start);
            let mut step = reading.sequence(only, inner, 1);
            // The set around has an error and words of its own.
            if let Some(text) = outer.lines.into_text() {
                step.report_text = Some(step.report_text.map_or(text.clone(), |own| format!("{text}\n{own}")));
            }
            step.error_code = step.error_code.or(outer.error.0);
            step.error_message = step.error_message.or(outer.error.1);
            step
        }
    };
    if !has_outcome {
        verdict = Some(worst(step.steps.as_deref().unwrap_or_default()));
        reading.walk.note(format!("{}: it has no Outcome; the worst of its steps is taken", set.place()));
    }
    Root { verdict, start, time, step }
}

fn is_node(element: Element<'_>) -> bool {
    matches!(element.name(), "TestGroup" | "Test" | "SessionAction")
}

fn is_main(set: Element<'_>, group: Element<'_>) -> bool {
    if set.children().any(|child| matches!(child.name(), "TestResult" | "Data")) {
        return false;
    }
    let same_number = set.attribute("ID").is_some() && set.attribute("ID") == group.attribute("ID");
    let name = set.attribute("name").unwrap_or_default();
    let rest = group.attribute("name").and_then(|inner| inner.strip_prefix(name));
    same_number || !name.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
}

/// What an element says of its step, its nested steps left aside.
#[derive(Default)]
struct Facts<'a> {
    kind: &'a str,
    verdict: Option<Status>,
    has_outcome: bool,
    group: Option<&'static str>,
    id: Option<&'a str>,
    caused_failure: bool,
    looped: Option<LoopInfo>,
    version: Option<&'a str>,
    error: (Option<i64>, Option<String>),
    start: Option<Moment>,
    /// `TotalTime`.
    total: Option<Num>,
    /// From its start to its end, or `TotalTime`.
    time: Option<Num>,
    results: Vec<Element<'a>>,
    others: Others,
    lines: Lines,
}

struct Reading<'z, 'w> {
    zone: &'z TimeZone,
    walk: &'w mut Walk,
}

impl Reading<'_, '_> {
    fn node(&mut self, node: Element<'_>, depth: usize) -> Option<Step> {
        if depth > DEEPEST {
            self.walk.fault(FaultKind::OutOfRange, format!("{}: steps are nested deeper than {DEEPEST}", node.place()));
            return None;
        }
        let facts = self.facts(node);
        let has_steps = node.children().any(is_node);
        Some(if node.name() == "TestGroup" || has_steps || measured::is_sequence(facts.kind) {
            self.sequence(node, facts, depth)
        } else {
            self.single(node, facts)
        })
    }

    fn sequence(&mut self, node: Element<'_>, mut facts: Facts<'_>, depth: usize) -> Step {
        let full = node.attribute("name").unwrap_or_default();
        let (path, sequence) = path_and_sequence(full);
        let name = caller(node).or(sequence).unwrap_or(full);
        let mut inner = Vec::new();
        let found = self.found(&mut facts);
        let found = measured::of_sequence(found, &mut facts.lines);
        let others = std::mem::take(&mut facts.others);
        if !found.is_empty() {
            let kind = if measured::is_sequence(facts.kind) { "" } else { facts.kind };
            let about = About { kind, name, status: facts.verdict, is_test: true };
            let own = measured::step(&about, found, &mut facts.lines);
            inner.push(Step { group: Some(facts.group.unwrap_or("M").to_owned()), ..own });
        }
        inner.extend(node.children().filter(|child| is_node(*child)).filter_map(|child| self.node(child, depth + 1)));
        let verdict = facts.verdict.unwrap_or_else(|| worst(&inner));
        let mut step = steps::sequence(name, verdict, inner);
        if let Some(call) = &mut step.seq_call {
            call.path = path.map(str::to_owned);
            call.name = Some(sequence.unwrap_or(name).to_owned());
            call.version = facts.version.map(str::to_owned);
        }
        others.put(&mut step, self.walk);
        finish(&mut step, node, facts, self.zone);
        step
    }

    fn single(&mut self, node: Element<'_>, mut facts: Facts<'_>) -> Step {
        let found = self.found(&mut facts);
        let name = node.attribute("name").unwrap_or(facts.kind);
        let about = About { kind: facts.kind, name, status: facts.verdict, is_test: node.name() == "Test" };
        let mut step = measured::step(&about, found, &mut facts.lines);
        std::mem::take(&mut facts.others).put(&mut step, self.walk);
        if facts.kind == "WATS_XYGMNLT" && step.chart.is_some() && step.numeric_meas.is_some() {
            step.step_type = Some(facts.kind.to_owned());
        }
        if !facts.has_outcome && node.name() == "Test" {
            self.walk.note(format!("{}: it has no Outcome and is Done", node.place()));
        }
        finish(&mut step, node, facts, self.zone);
        step
    }

    fn found(&mut self, facts: &mut Facts<'_>) -> Vec<Found> {
        let verdict = facts.verdict.unwrap_or(Status::Done);
        let results = std::mem::take(&mut facts.results);
        let mut found = Vec::new();
        for result in results {
            result::read(result, verdict, &mut found, &mut facts.others, &mut facts.lines, self.walk);
        }
        found
    }

    fn facts<'a>(&mut self, node: Element<'a>) -> Facts<'a> {
        let mut facts = Facts::default();
        for child in node.children().filter(|child| !is_node(*child)) {
            match child.name() {
                "Outcome" | "ActionOutcome" => {
                    facts.verdict = self.outcome(child, &mut facts.lines);
                    facts.has_outcome = true;
                }
                "Extension" => {
                    for extension in child.children() {
                        match extension.name() {
                            "TSStepProperties" => self.properties(extension, &mut facts),
                            "Error" => error(extension, &mut facts),
                            _ => tell(extension, &mut facts.lines),
                        }
                    }
                }
                "Error" => error(child, &mut facts),
                "Data" => data(child, &mut facts),
                "TestResult" => match (label(child), said_in(child)) {
                    ("SeqFileVersion", Some(version)) => facts.version = Some(version),
                    ("ReportText", Some(text)) => facts.lines.add_text(text.to_owned()),
                    _ => facts.results.push(child),
                },
                _ => tell(child, &mut facts.lines),
            }
        }
        for (attribute, value) in node.attributes() {
            match attribute {
                "name" | "ID" | "startDateTime" | "endDateTime" | "callerName" => {}
                "testReferenceID" => facts.id = facts.id.or(Some(value)),
                "userDefinedType" if quoted(value).is_some() => {}
                _ if value.trim().is_empty() => {}
                _ => facts.lines.add(attribute, value),
            }
        }
        let mut moment = |attribute: &str| {
            let text = node.attribute(attribute)?;
            let moment = Moment::iso(text);
            if moment.is_none() {
                self.walk.note(format!("{}: {attribute} {:?} is no time", node.place(), printable(text, 40)));
                facts.lines.add(attribute, text);
            }
            moment
        };
        let (start, end) = (moment("startDateTime"), moment("endDateTime"));
        facts.start = start;
        facts.time = facts.total.clone().or_else(|| {
            let mut told = Walk::default();
            let (start, end) = (start?.zoned(self.zone, &mut told)?, end?.zoned(self.zone, &mut told)?);
            time::seconds(&start, &end, self.walk)
        });
        facts
    }

    /// A verdict, with the word beside it: TestStand has statuses that the standard has not.
    fn outcome(&mut self, outcome: Element<'_>, lines: &mut Lines) -> Option<Status> {
        let value = outcome.attribute("value").unwrap_or_default().trim();
        let qualifier = outcome.attribute("qualifier").unwrap_or_default().trim();
        let by_qualifier = status(qualifier).filter(|status| !matches!(status, Status::Passed | Status::Failed));
        let by_value = match value {
            "NotStarted" => Some(Status::Skipped),
            "UserDefined" => Some(Status::Done),
            _ => status(value),
        };
        let is_known = by_qualifier.is_some() || qualifier.is_empty() || status(qualifier) == by_value;
        if !is_known || by_value.is_none() {
            lines.add(outcome.name(), format!("{value} {qualifier}").trim());
        }
        if by_value.is_none() && by_qualifier.is_none() {
            self.walk.note(format!("{}: {:?} is no outcome of the standard", outcome.place(), printable(value, 40)));
        }
        for inner in outcome.children() {
            tell(inner, lines);
        }
        by_qualifier.or(by_value)
    }

    fn properties<'a>(&mut self, extension: Element<'a>, facts: &mut Facts<'a>) {
        for property in extension.children() {
            let text = said(property);
            match (property.name(), text) {
                ("BlockLevel" | "Index" | "ModuleTime", _) => {}
                ("StepType", Some(text)) => facts.kind = text,
                ("StepId", Some(text)) => facts.id = Some(text),
                ("StepGroup", Some(text)) if group(text).is_some() => facts.group = group(text),
                ("StepCausedSequenceFailure", Some(text)) => facts.caused_failure = text == "true" || text == "1",
                ("TotalTime", Some(text)) => {
                    let time = number::plain(text).filter(|time| time.as_f64() >= 0.0 && time.as_f64().is_finite());
                    if time.is_none() {
                        self.walk.note(format!("{}: it is no time", property.place()));
                        facts.lines.add("TotalTime", text);
                    }
                    facts.total = time;
                }
                ("LoopingProperties", _) => {
                    let number = |name: &str| child(property, name).and_then(said).and_then(prop::whole);
                    facts.looped = measured::loop_info(number);
                    for inner in property.children() {
                        let known = ["NumLoops", "NumPassed", "NumFailed", "EndingLoopIndex", "LoopIndex"];
                        if !known.contains(&inner.name()) || said(inner).and_then(prop::whole).is_none() {
                            tell(inner, &mut facts.lines);
                        }
                    }
                }
                _ => tell(property, &mut facts.lines),
            }
        }
    }
}

fn finish(step: &mut Step, node: Element<'_>, facts: Facts<'_>, zone: &TimeZone) {
    step.id = node.attribute("ID").and_then(|id| id.trim().parse().ok());
    step.group = Some(facts.group.unwrap_or("M").to_owned());
    step.ts_guid = facts.id.map(str::to_owned);
    step.tot_time = facts.time;
    step.start = facts.start.and_then(|moment| moment.zoned(zone, &mut Walk::default())).map(|zoned| local(&zoned));
    step.loop_info = facts.looped;
    step.caused_seq_failure = facts.caused_failure.then_some(true);
    (step.error_code, step.error_message) = facts.error;
    step.report_text = facts.lines.into_text();
}

/// `C:\…\x.seq#MainSequence`: the file and the sequence.
fn path_and_sequence(name: &str) -> (Option<&str>, Option<&str>) {
    match name.rsplit_once('#') {
        Some((path, sequence)) if !sequence.contains(['\\', '/']) => (Some(path), Some(sequence)),
        _ if name.contains(['\\', '/']) => (Some(name), name.rsplit(['\\', '/']).next()),
        _ => (None, None),
    }
}

/// The step that called a sequence: `callerName`, in 2.02 `userDefinedType="SequenceCallStepName = 'x'"`.
fn caller(node: Element<'_>) -> Option<&str> {
    let by_type = || node.attribute("userDefinedType").and_then(quoted);
    node.attribute("callerName").or_else(by_type).filter(|name| !name.trim().is_empty())
}

fn quoted(text: &str) -> Option<&str> {
    let (key, rest) = text.split_once('=')?;
    let inner = rest.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    (key.trim() == "SequenceCallStepName").then_some(inner)
}

/// The name of a result: before 5.00 its number.
pub(super) fn label(result: Element<'_>) -> &str {
    let name = result.attribute("name").filter(|name| !name.trim().is_empty());
    name.or_else(|| result.attribute("ID")).unwrap_or_default()
}

/// The text that a result is, if it is one.
fn said_in(result: Element<'_>) -> Option<&str> {
    let datum = child(child(result, "TestData")?, "Datum")?;
    let text = child(datum, "Value").map_or_else(|| datum.attribute("value").unwrap_or_default(), Element::text);
    (!text.trim().is_empty()).then_some(text)
}

fn data(data: Element<'_>, facts: &mut Facts<'_>) {
    for inner in data.children() {
        if inner.name() != "Collection" {
            tell(inner, &mut facts.lines);
            continue;
        }
        for item in inner.children() {
            let item = result::prop(item);
            if item.name == "ReportText" && item.members.is_empty() {
                if !item.text.trim().is_empty() {
                    facts.lines.add_text(item.text);
                }
            } else {
                facts.others.add(&item, number::Decimal::Point, &mut facts.lines);
            }
        }
    }
}

/// A number and a text, as attributes or as elements; all that is in it also stands in the report text.
fn error(error: Element<'_>, facts: &mut Facts<'_>) {
    let inner = |names: &[&str]| {
        error.children().find(|child| names.iter().any(|name| child.name().eq_ignore_ascii_case(name))).and_then(said)
    };
    let code = error.attribute("code").map(str::trim).filter(|code| !code.is_empty()).or_else(|| inner(&["Code"]));
    let message = inner(&["Msg", "Message", "Description", "ErrorMessage", "Value", "Text"])
        .or_else(|| ["message", "description"].into_iter().find_map(|name| error.attribute(name)))
        .or_else(|| Some(error.text().trim()).filter(|text| !text.is_empty()));
    let number = code.and_then(prop::whole);
    if let (Some(code), None) = (code, number) {
        facts.lines.add("Error code", code);
    }
    if message.is_none() {
        error.children().filter(|child| child.name() != "Code").for_each(|child| tell(child, &mut facts.lines));
    }
    facts.error = (number, message.map(str::to_owned));
}

/// What no field takes, as lines.
fn tell(element: Element<'_>, lines: &mut Lines) {
    let prop: Prop = result::any(element);
    prop.lines(lines);
}
