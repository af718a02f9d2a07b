//! One `testrun` to one report.

use std::cell::Cell;
use std::collections::HashMap;

use waybill_shared::report::{Num, Report, SeqCall, Status, Step, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use super::archive::Info;
use crate::convert::ground::fit::fit;
use crate::convert::ground::names;
use crate::convert::ground::number;
use crate::convert::ground::si;
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::text;
use crate::convert::ground::time::Moment;
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::xml::{Element, Node, Take, Xml};
use crate::convert::{ConvertError, Input, Unit, common};

/// Texts that say why a function failed, by their `output-type`. Seen are Pass, UserText, Warning, Notification and Skip.
const REASONS: [&str; 2] = ["fail", "error"];

/// Reads a run. The outer fault is one of the file, the inner one of the unit that it would be.
pub(super) fn unit(bytes: &[u8], info: &Info, input: &Input<'_>) -> Result<Result<Unit, ConvertError>, ConvertError> {
    let decoded = text::decode(bytes, common::encoding(input.arguments));
    let mut run = Run::default();
    run.walk.notes(decoded.note);
    let mut xml = Xml::new(decoded.text.as_bytes());
    let has_root = Cell::new(false);
    let take = |path: &[String]| {
        has_root.set(true);
        take(path)
    };
    while let Some(node) = xml.node(take)? {
        match node {
            Node::Begin(element) => run.begin(element),
            Node::Whole(element) => run.element(element),
            Node::End => run.end(),
        }
    }
    if !run.is_one {
        let place = format!("byte {}", bytes.len());
        return Err(match has_root.get() {
            false => ConvertError::Incomplete { place, reason: "<testrun> has not begun".to_owned() },
            true => super::malformed("the file as a whole", "its root is no <testrun>"),
        });
    }
    Ok(run.finish(info, input, *blake3::hash(bytes).as_bytes()))
}

fn take(path: &[String]) -> Take {
    let mut names = path.iter().map(String::as_str);
    match (names.next(), path.len(), path.last().map(String::as_str)) {
        (Some("testrun"), 1, _) | (Some("testrun"), _, Some("testgroup")) => Take::Enter,
        (Some("testrun"), _, Some("snippets" | "snippet")) => Take::Pass,
        (Some("testrun"), 4, Some("snippet-html")) => Take::Whole,
        (Some("testrun"), _, _) if path[1..path.len() - 1].iter().all(|name| name == "testgroup") => Take::Whole,
        _ => Take::Pass,
    }
}

/// What was read so far.
#[derive(Default)]
struct Run {
    is_one: bool,
    start: Option<String>,
    /// Groups that are open; the first stands for the run itself.
    open: Vec<Group>,
    root: Group,
    header: Header,
    /// Name, result and seconds of each function, as the summary of the viewer shows them.
    summary: Vec<(String, String, String)>,
    walk: Walk,
}

#[derive(Default)]
struct Group {
    name: String,
    lines: Lines,
    steps: Vec<Step>,
}

/// `testruninfo`.
#[derive(Default)]
struct Header {
    serial: Option<String>,
    user: Option<String>,
    station: Option<String>,
    project: Option<String>,
    result: Option<String>,
    time_ms: Option<String>,
    others: Vec<(String, String)>,
}

impl Run {
    fn begin(&mut self, element: Element<'_>) {
        let is_run = self.open.is_empty();
        let mut group = Group::default();
        for (key, value) in element.attributes() {
            match key {
                "datetime" if is_run => self.start = Some(value.to_owned()),
                "name" => value.clone_into(&mut group.name),
                "noNamespaceSchemaLocation" | "schemaLocation" => {}
                key => group.lines.add(key, value),
            }
        }
        self.is_one |= is_run;
        self.open.push(group);
    }

    fn end(&mut self) {
        let Some(group) = self.open.pop() else { return };
        match self.open.last_mut() {
            Some(outer) => outer.steps.push(group.step()),
            None => self.root = group,
        }
    }

    fn element(&mut self, element: Element<'_>) {
        let walk = &mut self.walk;
        let Some(group) = self.open.last_mut() else { return };
        match element.name() {
            "testfunction" => group.steps.push(function(element, walk)),
            "testruninfo" => self.header.read(element),
            "html-output" => {}
            "snippet-html" => self.summary.extend(summary_row(element.text())),
            "summary" => {
                let text = element.children().filter(|child| child.name() == "text-output").map(shown).collect::<String>();
                add_text(&mut group.lines, &text);
            }
            "text-output" | "header" | "plain-text" => add_text(&mut group.lines, &shown(element)),
            _ => tell(element, &mut group.lines),
        }
    }

    fn finish(self, info: &Info, input: &Input<'_>, own_hash: [u8; 32]) -> Result<Unit, ConvertError> {
        let Self { start, mut root, header, summary, mut walk, .. } = self;
        times_of_summary(&mut root.steps, &summary);
        let result = match header.result.as_deref() {
            None => {
                walk.in_key("testruninfo", |walk| walk.fault(FaultKind::Missing, "the run has no result"));
                None
            }
            Some(text) => {
                let known = Status::parse(text).map(|status| if status == Status::Skipped { Status::Done } else { status });
                if known.is_none() {
                    let reason = format!("\"{}\" is no known result", printable(text, 40));
                    walk.in_key("testruninfo", |walk| walk.in_key("result", |walk| walk.fault(FaultKind::OutOfRange, reason)));
                }
                known
            }
        };
        let took = header.time_ms.as_deref().and_then(|text| seconds(text, &mut walk));
        let mut infos = Vec::new();
        for (name, text) in &header.others {
            steps::misc(&mut infos, name, text);
        }
        for (name, text) in &info.others {
            steps::misc(&mut infos, &format!("LogFileInfo {name}"), text);
        }
        let project = header.project.unwrap_or_default();
        let name = if project.trim().is_empty() { "testrun" } else { project.trim() };
        let status = result.unwrap_or(Status::Done);
        let call = SeqCall { name: Some(name.to_owned()), path: info.project.clone(), ..SeqCall::default() };
        let root = Step {
            seq_call: Some(call),
            tot_time: took.clone(),
            report_text: root.lines.into_text(),
            ..steps::sequence(name, status, root.steps)
        };
        let mut report = Report {
            kind: Some("T".to_owned()),
            sn: header.serial.and_then(|text| names::serial_number(&text, &mut walk)),
            result: Some(status),
            machine_name: header.station,
            uut: Some(Uut { user: header.user, exec_time: took, ..Uut::default() }),
            misc_infos: (!infos.is_empty()).then_some(infos),
            root: Some(root),
            ..Report::default()
        };
        match start.as_deref().map(|text| (text, Moment::iso(text))) {
            Some((_, Some(moment))) => moment.start(&mut report, &input.zone(), &mut walk),
            Some((text, None)) => walk.note(format!("its datetime {:?} is none", printable(text, 40))),
            None => {}
        }
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        fit(&mut report, &mut notes);
        Ok(Unit { report, own_hash, notes })
    }
}

impl Header {
    fn read(&mut self, element: Element<'_>) {
        for child in element.children() {
            let text = child.text().trim();
            if text.is_empty() {
                continue;
            }
            let field = match child.name() {
                "serial" => &mut self.serial,
                "user" => &mut self.user,
                "xjlink-name" => &mut self.station,
                "project-description" => &mut self.project,
                "result" => &mut self.result,
                "time-taken" => &mut self.time_ms,
                name => {
                    self.others.push((name.to_owned(), text.to_owned()));
                    continue;
                }
            };
            *field = Some(text.to_owned());
        }
    }
}

impl Group {
    fn step(self) -> Step {
        let has = |status| self.steps.iter().any(|step| step.status == Some(status));
        let ranked = [Status::Error, Status::Terminated, Status::Failed, Status::Passed, Status::Done];
        let rest = if self.steps.is_empty() { Status::Done } else { Status::Skipped };
        let status = ranked.into_iter().find(|&status| has(status)).unwrap_or(rest);
        let name = if self.name.trim().is_empty() { "testgroup" } else { &self.name };
        Step { report_text: self.lines.into_text(), ..steps::sequence(name, status, self.steps) }
    }
}

fn function(element: Element<'_>, walk: &mut Walk) -> Step {
    let name = element.attribute("name").filter(|name| !name.trim().is_empty()).unwrap_or("testfunction");
    let mut lines = Lines::default();
    for (key, value) in element.attributes().filter(|(key, _)| *key != "name") {
        lines.add(key, value);
    }
    let (mut result, mut took, mut reason) = (None, None, None);
    let (mut plain, mut outputs) = (None, String::new());
    let mut others = Lines::default();
    for child in element.children() {
        match child.name() {
            "result" => result = child.attribute("value").or(Some(child.text().trim())).filter(|text| !text.is_empty()),
            "time-taken" => took = seconds(child.text().trim(), walk),
            "plain-text" => plain = Some(shown(child)),
            "text-output" => {
                let text = shown(child);
                let kind = child.attribute("output-type").unwrap_or_default().to_ascii_lowercase();
                if REASONS.contains(&kind.as_str()) && !text.trim().is_empty() {
                    reason = reason.or_else(|| text.trim().lines().next().map(str::to_owned));
                }
                outputs.push_str(&text);
            }
            "html-output" if child.attribute("inline") == Some("True") => outputs.push_str(&without_tags(&shown(child))),
            "html-output" => {}
            "conntest-errors" => {
                reason = errors(child, &mut others).or(reason);
            }
            _ => tell(child, &mut others),
        }
    }
    let status = match result.map(|text| (text, Status::parse(text))) {
        Some((_, Some(status))) => status,
        Some((text, None)) => {
            walk.note(format!("the function {:?} has the unknown result {:?}", printable(name, 60), printable(text, 40)));
            lines.add("result", text);
            Status::Done
        }
        None => {
            walk.note(format!("the function {:?} has no result", printable(name, 60)));
            Status::Done
        }
    };
    add_text(&mut lines, &plain.unwrap_or(outputs));
    if let Some(text) = others.into_text() {
        lines.add_text(text);
    }
    let step = steps::measuring(name, status, vec![Measured::Verdict(steps::verdict(None, status))]);
    let failed = matches!(status, Status::Failed | Status::Error);
    Step { tot_time: took, error_message: reason.filter(|_| failed), report_text: lines.into_text(), ..step }
}

/// What the connection test found; the first message.
fn errors(element: Element<'_>, lines: &mut Lines) -> Option<String> {
    let text = element.text().trim();
    if element.children().next().is_none() {
        if !text.is_empty() {
            lines.add(element.name(), text);
        }
        return None;
    }
    tell(element, lines);
    let message = |error: Element<'_>| {
        let told = error.children().find(|child| child.name() == "error-message");
        let text = told.unwrap_or(error).text().trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    element.children().find_map(message)
}

/// Everything in an element, a line for each text and each set of attributes.
fn tell(element: Element<'_>, lines: &mut Lines) {
    let mut told: Vec<_> = element.attributes().map(|(key, value)| format!("{key}={value}")).collect();
    told.extend((!element.text().trim().is_empty()).then(|| element.text().trim().to_owned()));
    if !told.is_empty() {
        lines.add(element.name(), &told.join(", "));
    }
    element.children().for_each(|child| tell(child, lines));
}

fn add_text(lines: &mut Lines, text: &str) {
    let text = text.trim_end().trim_matches('\n');
    if !text.trim().is_empty() {
        lines.add_text(text.to_owned());
    }
}

/// A text without the indentation that newer versions put around it: that of the end tag, and two blanks more before each of its lines, or
/// before its first one if it is CDATA.
fn shown(element: Element<'_>) -> String {
    let text = element.text().replace("\r\n", "\n");
    let Some((inside, end)) = text.strip_prefix('\n').and_then(|text| text.rsplit_once('\n')) else { return text };
    if !end.chars().all(|c| c == ' ') {
        return text;
    }
    let indent = format!("{end}  ");
    let all = inside.lines().all(|line| line.is_empty() || line.starts_with(&indent));
    if all && element.name() == "plain-text" {
        inside.lines().map(|line| line.strip_prefix(&indent).unwrap_or(line)).collect::<Vec<_>>().join("\n")
    } else {
        inside.strip_prefix(&indent).unwrap_or(inside).to_owned()
    }
}

/// What a reader of a page sees: its tags are left out.
fn without_tags(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        rest = tag.split_once('>').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    for (entity, meant) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&nbsp;", " "), ("&amp;", "&")] {
        text = text.replace(entity, meant);
    }
    text
}

/// A row of the viewer's summary: name, result and seconds of a function.
fn summary_row(html: &str) -> Option<(String, String, String)> {
    let cell = |from: &str| {
        let (_, after) = html.split_once(from)?;
        let (text, rest) = after.split_once("</td>")?;
        Some((without_tags(text).trim().to_owned(), rest))
    };
    let (name, rest) = cell("class=\"firstcolfunc\">")?;
    let (_, result) = rest.split_once("<td class=\"")?.1.split_once("\">")?;
    let (result, _) = result.split_once("</td>")?;
    let (seconds, _) = cell("class=\"testtime\">")?;
    Some((name, result.trim().to_owned(), seconds))
}

/// Older versions write the time of a function only there. Rows of functions that were skipped may have no function; so a time is taken only if there are
/// as many rows of a name and a result as functions.
fn times_of_summary(steps: &mut [Step], summary: &[(String, String, String)]) {
    let mut functions = Vec::new();
    collect(steps, &mut functions);
    let mut rows: HashMap<(String, Option<Status>), Vec<Option<Num>>> = HashMap::new();
    for (name, result, seconds) in summary {
        // With three digits behind a sign that is the machine's.
        let parts = seconds.split_once([',', '.']).filter(|(_, digits)| digits.len() == 3);
        let time = parts.and_then(|(whole, digits)| number::plain(&format!("{whole}.{digits}")));
        rows.entry((name.clone(), Status::parse(result))).or_default().push(time);
    }
    let mut counts: HashMap<(String, Option<Status>), usize> = HashMap::new();
    for function in &functions {
        *counts.entry((function.name.clone().unwrap_or_default(), function.status)).or_default() += 1;
    }
    let mut taken: HashMap<(String, Option<Status>), usize> = HashMap::new();
    for function in functions {
        let key = (function.name.clone().unwrap_or_default(), function.status);
        let Some(times) = rows.get(&key).filter(|times| Some(&times.len()) == counts.get(&key)) else {
            continue;
        };
        let at = taken.entry(key).or_default();
        if function.tot_time.is_none() {
            function.tot_time = times.get(*at).cloned().flatten();
        }
        *at += 1;
    }
}

fn collect<'s>(steps: &'s mut [Step], functions: &mut Vec<&'s mut Step>) {
    for step in steps {
        if step.boolean_meas.is_some() {
            functions.push(step);
        } else if let Some(inner) = &mut step.steps {
            collect(inner, functions);
        }
    }
}

/// Milliseconds as seconds.
fn seconds(text: &str, walk: &mut Walk) -> Option<Num> {
    let found = number::plain(text).filter(|number| number.as_f64() >= 0.0 && number.as_f64().is_finite());
    if found.is_none() && !text.is_empty() {
        walk.note(format!("the time {:?} is none and was left out", printable(text, 40)));
    }
    found.map(|number| si::shift(&number, -3).unwrap_or(number))
}
