//! Reports of pytest-json-report, a plugin of pytest: one JSON object a file, one run, one unit.
//!
//! A test is a sequence: its verdict, a pass/fail step of the test's name; `setup`, `call` and `teardown`, with what they took and what they wrote; and
//! each `user_properties` value (`record_property`), which nobody judged, as a measurement. Tests stand in sequences by module and class, as
//! `nodeid` says.
//!
//! What the format fixes (FORMATS.md section 11, tests/data/pytest, pytest's exit codes):
//!
//! - `exitcode` is the verdict on the run: 0 passed, 1 failed, 2 interrupted (`Terminated`, even if every test that is listed has passed), 3 and 4 an error of
//!   pytest or of its use; with 5 nothing was collected: no unit. With 1 the run has an error if a test has one. A plugin's own code, or none, leaves
//!   the verdict to the tests. Where code and tests disagree, the code counts and that is noted.
//! - `xfailed` and `xpassed` are what the arguments of these names say: skipped and passed, if nothing. `rerun` is a try that another one followed: done.
//! - `created` is the end, in seconds since 1970: the start is `created` less `duration`.
//! - What the run says of the unit stands under free names in `environment` (`--metadata`), at the top level, or in the properties and the metadata of
//!   tests; there it counts if all that name it agree.
//!
//! Everything else stands in a report text. Left out, because it is said elsewhere: `collectors` that passed (tests in them without a result
//! are noted), `summary` where it agrees with the tests.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use waybill_shared::report::json::{self, JsonError};
use waybill_shared::report::{Num, Report, SeqCall, Status, Step, Uut};
use waybill_shared::schema::{FaultKind, Value};
use waybill_shared::text::printable;

use crate::convert::ground::fit::fit;
use crate::convert::ground::names::{self, Names, Pairs};
use crate::convert::ground::number;
use crate::convert::ground::object::{Object, plain, says_nothing};
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::time::Moment;
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::{About, Argument, Arguments, ConvertError, Converter, Head, Input, Kind, Sink, Unit};

const XFAILED: Argument = Argument {
    name: "xfailed",
    help: "what a test is that failed as it was expected to",
    kind: Kind::OneOf(&["skipped", "done", "passed", "failed"]),
};
const XPASSED: Argument = Argument {
    name: "xpassed",
    help: "what a test is that passed and was expected to fail",
    kind: Kind::OneOf(&["passed", "done", "skipped", "failed"]),
};

const ABOUT: About = About {
    name: "pytest",
    version: 1,
    help: "JSON of pytest-json-report, one unit a file",
    patterns: &["*.json"],
    has_end_mark: true,
    arguments: &[XFAILED, XPASSED],
};

/// The converter `pytest`.
#[derive(Debug)]
pub struct Pytest;

impl Converter for Pytest {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let of_a_run =
            head.count(&["\"created\"", "\"duration\"", "\"root\"", "\"environment\"", "\"summary\"", "\"collectors\""]);
        match (head.contains("\"exitcode\""), head.contains("\"nodeid\""), of_a_run) {
            (true, true, 2..) => 97,
            (true, false, 4..) => 85,
            (true, _, 2..) => 60,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let bytes = input.bytes()?;
        let text = json::decode(&bytes).map_err(convert_error)?;
        let quoted = json::with_quoted_tokens(&text);
        let (documents, rest) = json::documents(quoted.as_deref().unwrap_or(&text));
        if documents.is_empty() && rest.is_none() {
            let reason = "there is no JSON object in it".to_owned();
            return Err(ConvertError::Incomplete { place: "line 1, column 1".to_owned(), reason });
        }
        for document in documents {
            if sink(unit(document, input)).is_break() {
                return Err(ConvertError::Stopped);
            }
        }
        rest.map_or(Ok(()), |error| Err(convert_error(error)))
    }
}

fn convert_error(error: JsonError) -> ConvertError {
    let place = |line: usize, column: usize| format!("line {line}, column {column}");
    match error {
        JsonError::Incomplete { line, column } => {
            ConvertError::Incomplete { place: place(line, column), reason: "the JSON document is not closed".to_owned() }
        }
        JsonError::NotText { offset, .. } => {
            ConvertError::Malformed { place: format!("byte {offset}"), reason: error.to_string() }
        }
        JsonError::Malformed { line, column, reason } => {
            ConvertError::Malformed { place: place(line, column), reason: format!("not valid JSON: {reason}") }
        }
    }
}

/// Outcomes in the order of `summary`, as they are counted.
const OUTCOMES: [&str; 7] = ["passed", "failed", "xfailed", "xpassed", "error", "skipped", "rerun"];

/// What a run says of its tests, beside the report in the making.
struct Run<'a> {
    arguments: Arguments<'a>,
    walk: Walk,
    lines: Lines,
    /// Names and values at the run, and those at its tests.
    pairs: Pairs,
    of_tests: Vec<(String, String)>,
    counts: [u64; OUTCOMES.len()],
    groups: Groups,
    /// Names of the tests that have a result.
    seen: HashSet<String>,
}

/// Modules or classes, in the order in which they first come.
#[derive(Default)]
struct Groups {
    groups: Vec<Group>,
    by_name: HashMap<String, usize>,
}

/// A module or a class.
#[derive(Default)]
struct Group {
    name: String,
    steps: Vec<Step>,
    inner: Groups,
}

fn unit(document: &str, input: &Input<'_>) -> Result<Unit, ConvertError> {
    let malformed = |reason: String| ConvertError::Malformed { place: "the document".to_owned(), reason };
    let value = serde_json::from_str::<Value>(document).map_err(|error| malformed(format!("not valid JSON: {error}")))?;
    let Value::Object(mut top) = value else {
        return Err(malformed("it is no JSON object".to_owned()));
    };
    let mut run = Run {
        arguments: input.arguments,
        walk: Walk::default(),
        lines: Lines::default(),
        pairs: Pairs::default(),
        of_tests: Vec::new(),
        counts: [0; OUTCOMES.len()],
        groups: Groups::default(),
        seen: HashSet::new(),
    };
    let exit_code = run.exit_code(&mut top);
    let created = run.number(&mut top, "created");
    let duration = run.number(&mut top, "duration");
    let root = run.walk.text(&mut top, "root");
    let environment = run.walk.object(&mut top, "environment").unwrap_or_default();
    run.environment("", &environment);
    let tests = run.walk.list(&mut top, "tests");
    let are_listed = tests.is_some();
    for (index, test) in tests.into_iter().flatten().enumerate() {
        run.at_test(index, test);
    }
    let collectors = run.walk.list(&mut top, "collectors").unwrap_or_default();
    let collecting = run.collectors(collectors);
    let summary = run.walk.object(&mut top, "summary").unwrap_or_default();
    let total = run.summary(summary, are_listed);
    for (index, warning) in run.walk.list(&mut top, "warnings").into_iter().flatten().enumerate() {
        run.lines.add_value(&format!("warning {}", index + 1), &warning);
    }
    for (key, value) in &top {
        match value {
            Value::Object(_) | Value::Array(_) => run.lines.add_value(key, value),
            value if says_nothing(value) => {}
            value => run.pairs.add(key, &plain(value)),
        }
    }
    let Run { walk: mut notes_of_run, lines, mut pairs, of_tests, groups, .. } = run;
    let notes = notes_of_run.finish().map_err(ConvertError::Faults)?;
    notes_of_run = Walk::default();
    notes_of_run.notes(notes);
    let mut children = collecting;
    children.extend(groups.steps());
    let tested = if are_listed { !children.is_empty() } else { total > 0 || !children.is_empty() };
    if exit_code == Some(5) || (!tested && matches!(exit_code, None | Some(0 | 1))) {
        return Err(malformed("no test was collected: nothing was tested".to_owned()));
    }
    let result = verdict(exit_code, &children, are_listed, &mut notes_of_run);
    let mut report = Report {
        kind: Some("T".to_owned()),
        result: Some(result),
        uut: Some(Uut { exec_time: duration.clone(), ..Uut::default() }),
        ..Report::default()
    };
    let call = SeqCall { name: Some("pytest".to_owned()), path: root, ..SeqCall::default() };
    report.root = Some(Step {
        seq_call: Some(call),
        tot_time: duration.clone(),
        report_text: lines.into_text(),
        ..steps::sequence("pytest", result, children)
    });
    say_once(&of_tests, &mut pairs, &mut notes_of_run);
    pairs.fill(&mut report, &mut notes_of_run);
    if let Some(start) = created.and_then(|created| start(&created, duration.as_ref())) {
        Moment::Instant(start).start(&mut report, &input.zone(), &mut notes_of_run);
    }
    let mut notes = notes_of_run.finish().map_err(ConvertError::Faults)?;
    fit(&mut report, &mut notes);
    Ok(Unit { report, own_hash: *blake3::hash(document.as_bytes()).as_bytes(), notes })
}

impl Run<'_> {
    fn exit_code(&mut self, top: &mut Object) -> Option<i64> {
        let value = top.shift_remove("exitcode").filter(|value| !value.is_null())?;
        let code = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
        if code.is_none() {
            let found = printable(&plain(&value), 40);
            self.walk.in_key("exitcode", |walk| walk.fault(FaultKind::WrongType, format!("{found} is no exit code")));
        }
        if code.is_some_and(|code| !matches!(code, 0 | 1)) {
            self.lines.add("exitcode", &plain(&value));
        }
        code
    }

    /// A number of seconds.
    fn number(&mut self, object: &mut Object, key: &str) -> Option<Num> {
        let value = object.shift_remove(key).filter(|value| !value.is_null())?;
        let found = number::plain(&plain(&value)).filter(|number| number.as_f64().is_finite() && number.as_f64() >= 0.0);
        if found.is_none() {
            let text = printable(&plain(&value), 40);
            self.walk.in_key(key, |walk| walk.note(format!("{text:?} are no seconds and were left out")));
        }
        found
    }

    /// Names and values, those in others as `Packages.pytest`.
    fn environment(&mut self, before: &str, object: &Object) {
        for (key, value) in object {
            let name = if before.is_empty() { key.clone() } else { format!("{before}.{key}") };
            match value {
                Value::Object(inner) => self.environment(&name, inner),
                value if says_nothing(value) => {}
                value => self.pairs.add(&name, &plain(value)),
            }
        }
    }

    fn at_test(&mut self, index: usize, value: Value) {
        let mut walk = std::mem::take(&mut self.walk);
        walk.in_key("tests", |walk| {
            walk.in_index(index, |walk| {
                if let Some(test) = walk.as_object(value) {
                    self.test(test, walk);
                }
            });
        });
        self.walk = walk;
    }

    fn test(&mut self, mut test: Object, walk: &mut Walk) {
        let node = walk.text(&mut test, "nodeid").unwrap_or_default();
        let outcome = walk.text(&mut test, "outcome").unwrap_or_default();
        let Some(status) = self.status(&outcome) else {
            let outcome = printable(&outcome, 40);
            walk.in_key("outcome", |walk| walk.fault(FaultKind::OutOfRange, format!("{outcome:?} is no outcome of a test")));
            return;
        };
        if let Some(at) = OUTCOMES.iter().position(|known| *known == outcome) {
            self.counts[at] += 1;
        }
        let (groups, name) = split(&node);
        let mut lines = Lines::default();
        if !matches!(outcome.as_str(), "passed" | "failed" | "error" | "skipped") {
            lines.add("outcome", &outcome);
        }
        let mut stages = Vec::new();
        for (stage, group) in [("setup", "S"), ("call", "M"), ("teardown", "C")] {
            if let Some(object) = walk.object(&mut test, stage) {
                stages.push(self.stage(stage, group, object, walk));
            }
        }
        let why = stages.iter().find_map(|step| step.error_message.clone());
        let values = properties(test.shift_remove("user_properties"), &mut lines);
        for (name, value) in values.iter().filter(|(_, value)| !matches!(value, Value::Object(_) | Value::Array(_))) {
            self.of_tests.push((name.clone(), plain(value)));
        }
        if let Some(Value::Object(metadata)) = test.get("metadata") {
            let texts = metadata.iter().filter(|(_, value)| matches!(value, Value::String(_) | Value::Number(_)));
            self.of_tests.extend(texts.map(|(name, value)| (name.clone(), plain(value))));
        }
        if let Some(Value::Array(keywords)) = test.get("keywords") {
            lines.add("keywords", &keywords.iter().map(plain).collect::<Vec<_>>().join(", "));
            test.shift_remove("keywords");
        }
        lines.add_rest(&test);
        let failed = matches!(status, Status::Failed | Status::Error);
        let mut verdict = steps::measuring(&name, status, vec![Measured::Verdict(steps::verdict(None, status))]);
        verdict.error_message = why.filter(|_| failed);
        let error_message = verdict.error_message.clone();
        let mut children = vec![verdict];
        children.extend(stages);
        children.extend(values.into_iter().map(measured));
        let step = Step { error_message, report_text: lines.into_text(), ..steps::sequence(&name, status, children) };
        self.groups.put(&groups, step);
        self.seen.insert(node);
    }

    fn status(&self, outcome: &str) -> Option<Status> {
        let by = |argument| self.arguments.text(argument).and_then(Status::parse);
        match outcome {
            "passed" => Some(Status::Passed),
            "failed" => Some(Status::Failed),
            "error" => Some(Status::Error),
            "skipped" => Some(Status::Skipped),
            "xfailed" => by(&XFAILED),
            "xpassed" => by(&XPASSED),
            "rerun" => Some(Status::Done),
            _ => None,
        }
    }

    fn stage(&mut self, name: &str, group: &str, mut object: Object, walk: &mut Walk) -> Step {
        let outcome = walk.text(&mut object, "outcome").unwrap_or_default();
        let duration = object.shift_remove("duration").filter(|value| !value.is_null());
        let time = duration.as_ref().and_then(|value| number::plain(&plain(value)));
        let mut lines = Lines::default();
        if let (None, Some(duration)) = (&time, &duration) {
            lines.add_value("duration", duration);
        }
        let status = Status::parse(&outcome).unwrap_or_else(|| {
            lines.add("outcome", &outcome);
            Status::Done
        });
        let long = walk.text(&mut object, "longrepr");
        let crash = match object.get("crash") {
            Some(Value::Object(crash)) => crash.get("message").and_then(Value::as_str).map(str::to_owned),
            _ => None,
        };
        for (key, value) in &object {
            match value {
                Value::Array(items) => {
                    items.iter().enumerate().for_each(|(number, item)| lines.add_value(&format!("{key}[{number}]"), item));
                }
                value => lines.add_value(key, value),
            }
        }
        let first = long.as_deref().and_then(|text| text.lines().find(|line| !line.trim().is_empty())).map(str::to_owned);
        if let Some(long) = long {
            lines.add_text(format!("longrepr:\n{long}"));
        }
        let failed = matches!(status, Status::Failed | Status::Error);
        Step {
            group: Some(group.to_owned()),
            tot_time: time,
            error_message: crash.or(first).filter(|_| failed).map(|text| text.trim().to_owned()),
            report_text: lines.into_text(),
            ..steps::action(name, status)
        }
    }

    /// Collectors that did not pass, as steps; what was collected and has no result is noted.
    fn collectors(&mut self, collectors: Vec<Value>) -> Vec<Step> {
        let (mut found, mut without) = (Vec::new(), Vec::new());
        for collector in collectors {
            let Value::Object(mut collector) = collector else { continue };
            let outcome = self.walk.text(&mut collector, "outcome").unwrap_or_default();
            for item in collector.get("result").and_then(Value::as_array).into_iter().flatten() {
                let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
                let is_test = item.get("lineno").is_some() && item.get("deselected") != Some(&Value::Bool(true));
                if is_test && text("type") != "Class" && !self.seen.contains(text("nodeid")) {
                    without.push(text("nodeid").to_owned());
                }
            }
            if outcome == "passed" {
                continue;
            }
            let status = if outcome == "skipped" { Status::Skipped } else { Status::Error };
            let name = self.walk.text(&mut collector, "nodeid").unwrap_or_else(|| "collection".to_owned());
            let long = self.walk.text(&mut collector, "longrepr");
            collector.shift_remove("result");
            let mut lines = Lines::default();
            lines.add("collecting", &outcome);
            lines.add_rest(&collector);
            let last = long.as_deref().and_then(|text| text.lines().rfind(|line| !line.trim().is_empty()));
            let error_message = last.filter(|_| status == Status::Error).map(|line| line.trim().to_owned());
            if let Some(long) = &long {
                lines.add_text(format!("longrepr:\n{long}"));
            }
            let step = steps::measuring(&name, status, vec![Measured::Verdict(steps::verdict(None, status))]);
            found.push(Step { error_message, report_text: lines.into_text(), ..step });
        }
        if let (Some(first), false) = (without.first(), self.seen.is_empty()) {
            let first = printable(first, 80);
            self.walk.note(format!("{} tests were collected and have no result, the first: {first}", without.len()));
        }
        found
    }

    /// What the summary says besides what the tests do; the number of tests in it.
    fn summary(&mut self, mut summary: Object, are_listed: bool) -> u64 {
        let mut total = 0;
        for (outcome, counted) in OUTCOMES.iter().zip(self.counts) {
            let Some(value) = summary.get(*outcome) else { continue };
            let announced = value.as_u64();
            total += announced.unwrap_or_default();
            if are_listed && announced == Some(counted) {
                summary.shift_remove(*outcome);
            } else if are_listed {
                self.walk.note(format!("its summary says {} {outcome}, and there are {counted}", plain(value)));
            }
        }
        let all = self.counts.iter().sum::<u64>();
        for key in ["total", "collected"] {
            if summary.get(key).and_then(Value::as_u64) == Some(all) {
                summary.shift_remove(key);
            }
        }
        for (key, value) in &summary {
            self.lines.add_value(&format!("summary.{key}"), value);
        }
        if !are_listed {
            self.walk.note("it lists no tests, only their summary");
        }
        total
    }
}

/// Exit codes of pytest.
fn verdict(exit_code: Option<i64>, children: &[Step], are_listed: bool, walk: &mut Walk) -> Status {
    let worst = steps::worst(children).unwrap_or(Status::Skipped);
    let by_tests = if worst == Status::Skipped { Status::Done } else { worst };
    let differs = |walk: &mut Walk, says: Status| {
        if are_listed {
            walk.note(format!("its exit code says {says}, and its tests {by_tests}: the exit code counts"));
        }
        says
    };
    match exit_code {
        Some(0) if matches!(by_tests, Status::Failed | Status::Error) || !are_listed => differs(walk, Status::Passed),
        Some(0) => by_tests,
        Some(1) if matches!(by_tests, Status::Failed | Status::Error) => by_tests,
        Some(1) => differs(walk, Status::Failed),
        Some(2) => {
            walk.note("the run was interrupted");
            Status::Terminated
        }
        Some(3 | 4) => Status::Error,
        other => {
            let code = other
                .map_or_else(|| "no exit code".to_owned(), |code| format!("the exit code {code}, which is none of pytest's"));
            walk.note(format!("it has {code}: its tests decide"));
            by_tests
        }
    }
}

impl Groups {
    /// Puts a test where it belongs.
    fn put(&mut self, path: &[&str], step: Step) {
        let (name, rest) = path.split_first().unwrap_or((&"", &[]));
        let at = *self.by_name.entry((*name).to_owned()).or_insert(self.groups.len());
        if at == self.groups.len() {
            self.groups.push(Group { name: (*name).to_owned(), ..Group::default() });
        }
        match rest {
            [] => self.groups[at].steps.push(step),
            rest => self.groups[at].inner.put(rest, step),
        }
    }

    fn steps(self) -> Vec<Step> {
        let step = |group: Group| {
            let mut steps = group.steps;
            steps.extend(group.inner.steps());
            steps::sequence(&group.name, steps::worst(&steps).unwrap_or(Status::Skipped), steps)
        };
        self.groups.into_iter().map(step).collect()
    }
}

/// Module and class of a test, at most so many; its own name with its parameters, in which anything may stand.
fn split(node: &str) -> (Vec<&str>, String) {
    let (before, parameters) = node.find('[').map_or((node, ""), |at| node.split_at(at));
    let mut parts: Vec<&str> = before.splitn(8, "::").collect();
    let last = if parts.len() > 1 { parts.pop().unwrap_or_default() } else { "" };
    match (parts.as_slice(), last) {
        ([one], "") => (vec!["pytest"], format!("{one}{parameters}")),
        _ => (parts, format!("{last}{parameters}")),
    }
}

/// Names and values: a list of objects or of pairs, or an object. What is none of that stands in the lines.
fn properties(value: Option<Value>, lines: &mut Lines) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let items = match value {
        None => return found,
        Some(Value::Array(items)) => items,
        Some(other) => vec![other],
    };
    for item in items {
        match item {
            Value::Object(object) => found.extend(object),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(name), value] => found.push((name.clone(), value.clone())),
                _ => lines.add_value("user_properties", &Value::Array(pair)),
            },
            other => lines.add_value("user_properties", &other),
        }
    }
    found
}

/// A value that a test recorded: nobody judged it. Only bare tokens that JSON has no number for are numbers as a text.
fn measured((name, value): (String, Value)) -> Step {
    let text = plain(&value);
    let is_number = value.is_number() || matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity");
    let measured = match number::plain(&text).filter(|_| is_number) {
        Some(number) => Measured::Numeric(steps::numeric(None, number, None, None, Status::Passed)),
        None => Measured::Text(steps::string(None, text, None, Status::Passed)),
    };
    let name = if name.trim().is_empty() { "user_properties" } else { &name };
    steps::measuring(name, Status::Passed, vec![measured])
}

/// What the tests say of the unit, where they agree.
fn say_once(of_tests: &[(String, String)], pairs: &mut Pairs, walk: &mut Walk) {
    const UNIT: [(&str, Names); 4] = [
        ("serial number", names::SERIAL_NUMBER),
        ("part number", names::PART_NUMBER),
        ("revision", names::REVISION),
        ("batch", names::BATCH),
    ];
    for (what, known) in UNIT {
        let is_one =
            |(name, value): &&(String, String)| known.contains(&names::normalised(name).as_str()) && !value.trim().is_empty();
        let values: BTreeSet<&str> = of_tests.iter().filter(is_one).map(|(_, value)| value.trim()).collect();
        match values.len() {
            0 => {}
            1 => values.iter().for_each(|value| pairs.add(known[0], value)),
            several => walk.note(format!("its tests name {several} different values as {what}: none is taken")),
        }
    }
}

/// The end less what it took, exact to the microsecond.
fn start(created: &Num, duration: Option<&Num>) -> Option<Timestamp> {
    let micros = |number: &Num| {
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and what it saturates to is no time")]
        let micros = (number.as_f64() * 1e6).round() as i64;
        micros
    };
    let end = micros(created);
    Timestamp::from_microsecond(end.checked_sub(duration.map_or(0, micros))?).ok()
}
