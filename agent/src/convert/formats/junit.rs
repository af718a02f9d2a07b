//! JUnit XML, as test runners of every language write it: one file, one unit.
//!
//! A suite is a sequence, a test case a step of pass or fail; a case with properties (pytest's `record_property`) is a sequence of its verdict and its
//! values. What the file says of the unit stands in the properties of its suites, under names that those who wrote them chose (`ground::names`); what no
//! name tells is information on the unit.
//!
//! There is no schema that all writers keep. What real files fix (tests/data/junit, FORMATS.md section 11): the root is `testsuites` or
//! `testsuite`, and suites hold suites; a failure may stand in a suite itself; counters are wrong, so nothing is counted by them and a difference is
//! noted; times have a thousands comma, are negative or absent; of several outcomes of a case the worst counts.

use waybill_shared::report::{Num, Report, Status, Step, Uut};
use waybill_shared::text::printable;

use crate::convert::ground::fit::fit;
use crate::convert::ground::names::Pairs;
use crate::convert::ground::number;
use crate::convert::ground::own_hash;
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::time::Moment;
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::xml::{Element, Node, Take, Xml};
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink, Unit};

const ABOUT: About = About {
    name: "junit",
    version: 1,
    help: "JUnit XML as test runners write it, one unit a file",
    patterns: &["*.xml"],
    has_end_mark: true,
    arguments: &[],
};

/// The converter `junit`.
#[derive(Debug)]
pub struct JUnit;

impl Converter for JUnit {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let contains = |text: &str| head.contains(text);
        match (contains("<testsuites") || contains("<testsuite"), contains("<testcase")) {
            (true, true) => 90,
            (true, false) => 60,
            (false, _) => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut xml = Xml::new(input.open_text()?);
        let mut run = Run::default();
        while let Some(node) = xml.node(take)? {
            match node {
                Node::Begin(suite) => run.begin(suite),
                Node::Whole(element) => run.element(element),
                Node::End => run.end(),
            }
        }
        run.walk.notes(xml.note());
        let unit = run.unit(input);
        if sink(unit).is_break() { Err(ConvertError::Stopped) } else { Ok(()) }
    }
}

fn take(path: &[String]) -> Take {
    let in_suites = path[..path.len() - 1].iter().all(|name| is_suite(name));
    match path.last().map(String::as_str) {
        Some(name) if is_suite(name) => Take::Enter,
        Some("testcase" | "properties" | "error" | "failure" | "system-out" | "system-err") if in_suites => Take::Whole,
        _ => Take::Pass,
    }
}

fn is_suite(name: &str) -> bool {
    matches!(name, "testsuites" | "testsuite")
}

/// What was read so far.
#[derive(Default)]
struct Run {
    /// Suites that are open, the root first.
    open: Vec<Suite>,
    root: Option<Suite>,
    pairs: Pairs,
    start: Option<Moment>,
    hash: blake3::Hasher,
    walk: Walk,
}

/// A suite.
#[derive(Default)]
struct Suite {
    name: String,
    time: Option<Num>,
    lines: Lines,
    steps: Vec<Step>,
    /// Test cases in it and in those that it holds.
    cases: u64,
    announced: Option<u64>,
}

impl Run {
    fn begin(&mut self, element: Element<'_>) {
        own_hash::attributes(&mut self.hash, element);
        let name = element.attribute("name").unwrap_or_default().to_owned();
        let time = seconds(element, &mut self.walk);
        let announced = element.attribute("tests").and_then(|text| text.trim().parse().ok());
        let mut suite = Suite { name, time, announced, ..Suite::default() };
        for (key, value) in element.attributes() {
            match key {
                "timestamp" => match Moment::iso(value) {
                    Some(moment) => self.start = self.start.or(Some(moment)),
                    None => suite.lines.add(key, value),
                },
                // Of the same machine in each suite: the first names the station.
                "hostname" => self.pairs.add(key, value),
                "name"
                | "time"
                | "tests"
                | "errors"
                | "failures"
                | "skipped"
                | "disabled"
                | "assertions"
                | "ignored"
                | "noNamespaceSchemaLocation"
                | "schemaLocation" => {}
                _ => suite.lines.add(key, value),
            }
        }
        self.open.push(suite);
    }

    fn end(&mut self) {
        let Some(suite) = self.open.pop() else { return };
        if let Some(announced) = suite.announced.filter(|&announced| announced != suite.cases) {
            let name = printable(&suite.name, 60);
            self.walk.note(format!("the suite {name:?} announces {announced} test cases and has {}", suite.cases));
        }
        let Some(outer) = self.open.last_mut() else {
            self.root = Some(suite);
            return;
        };
        outer.cases += suite.cases;
        outer.steps.push(suite.step());
    }

    fn element(&mut self, element: Element<'_>) {
        element.hash(&mut self.hash);
        let Some(suite) = self.open.last_mut() else { return };
        match element.name() {
            "testcase" => {
                suite.cases += 1;
                suite.steps.push(case(element, &mut self.walk));
            }
            "properties" => {
                for (name, value) in properties(element) {
                    self.pairs.add(&name, &value);
                }
            }
            name @ ("error" | "failure") => {
                let status = if name == "error" { Status::Error } else { Status::Failed };
                let mut step = steps::measuring(name, status, vec![Measured::Verdict(steps::verdict(None, status))]);
                let mut lines = Lines::default();
                step.error_message = outcome(element, &mut lines);
                step.report_text = lines.into_text();
                suite.steps.push(step);
            }
            name => add_text(&mut suite.lines, name, element.text()),
        }
    }

    fn unit(self, input: &Input<'_>) -> Result<Unit, ConvertError> {
        let Self { root, mut pairs, start, hash, mut walk, .. } = self;
        let Some(root) = root.filter(|root| !root.steps.is_empty()) else {
            return Err(ConvertError::Malformed {
                place: "the file as a whole".to_owned(),
                reason: "it has no test case: nothing was tested".to_owned(),
            });
        };
        let took = root.time.clone();
        let root = Step { tot_time: took.clone(), ..root.step() };
        let result = match root.status {
            // Everything was left out: there is no verdict.
            Some(Status::Skipped) | None => Status::Done,
            Some(status) => status,
        };
        let mut report = Report {
            kind: Some("T".to_owned()),
            result: Some(result),
            uut: Some(Uut { exec_time: took, ..Uut::default() }),
            root: Some(Step { status: Some(result), ..root }),
            ..Report::default()
        };
        report.machine_name = pairs.take(&["hostname"]);
        pairs.drop_named("hostname");
        pairs.fill(&mut report, &mut walk);
        if let Some(start) = start {
            start.start(&mut report, &input.zone(), &mut walk);
        }
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        fit(&mut report, &mut notes);
        Ok(Unit { report, own_hash: *hash.finalize().as_bytes(), notes })
    }
}

impl Suite {
    fn step(self) -> Step {
        let status = steps::worst(&self.steps).unwrap_or(Status::Skipped);
        let name = if self.name.trim().is_empty() { "testsuite" } else { &self.name };
        let step = steps::sequence(name, status, self.steps);
        Step { tot_time: self.time, report_text: self.lines.into_text(), ..step }
    }
}

fn case(element: Element<'_>, walk: &mut Walk) -> Step {
    let name = element.attribute("name").unwrap_or_default();
    let mut lines = Lines::default();
    for (key, value) in element.attributes().filter(|(key, value)| !matches!(*key, "name" | "time") && !value.trim().is_empty()) {
        lines.add(key, value);
    }
    let (mut status, mut message, mut values) = (Status::Passed, None, Vec::new());
    for child in element.children() {
        let found = match child.name() {
            "error" => Status::Error,
            "failure" => Status::Failed,
            "skipped" => Status::Skipped,
            "properties" => {
                values.extend(properties(child));
                continue;
            }
            // Also runs that failed before one that did not: flakyFailure, rerunFailure and their like.
            name => {
                if child.attributes().next().is_some() {
                    lines.add_text(format!("{name}:"));
                    let _told_in_the_lines = outcome(child, &mut lines);
                } else {
                    add_text(&mut lines, name, child.text());
                }
                continue;
            }
        };
        let text = outcome(child, &mut lines);
        if rank(found) > rank(status) {
            (status, message) = (found, text.filter(|_| found != Status::Skipped));
        }
    }
    let verdict = Measured::Verdict(steps::verdict(None, status));
    let mut step = steps::measuring(name, status, vec![verdict]);
    if !values.is_empty() {
        let measured = values.into_iter().map(|(name, value)| measured(name, value)).collect::<Vec<_>>();
        let mut inner = vec![step];
        inner.extend(measured.into_iter().map(|(name, one)| steps::measuring(&name, Status::Passed, vec![one])));
        step = steps::sequence(name, status, inner);
    }
    Step { tot_time: seconds(element, walk), error_message: message, report_text: lines.into_text(), ..step }
}

/// A value that a test recorded: nobody judged it.
fn measured(name: String, value: String) -> (String, Measured) {
    let measured = match number::plain(&value) {
        Some(number) => Measured::Numeric(steps::numeric(None, number, None, None, Status::Passed)),
        None => Measured::Text(steps::string(None, value, None, Status::Passed)),
    };
    (name, measured)
}

fn rank(status: Status) -> u8 {
    match status {
        Status::Error => 3,
        Status::Failed => 2,
        Status::Skipped => 1,
        _ => 0,
    }
}

/// What went wrong: the message, and everything else in the lines.
fn outcome(element: Element<'_>, lines: &mut Lines) -> Option<String> {
    let message = element.attribute("message").filter(|text| !text.trim().is_empty());
    for (key, value) in element.attributes().filter(|(_, value)| !value.trim().is_empty()) {
        lines.add(key, value);
    }
    let text = element.text().trim();
    if !text.is_empty() && Some(text) != message.map(str::trim) {
        lines.add_text(text.to_owned());
    }
    for child in element.children() {
        add_text(lines, child.name(), child.text());
    }
    message.or_else(|| text.lines().next()).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn add_text(lines: &mut Lines, name: &str, text: &str) {
    if !text.trim().is_empty() {
        lines.add_text(format!("{name}:\n{}", text.trim_matches('\n')));
    }
}

/// Names and values: the value is an attribute or the text.
fn properties(element: Element<'_>) -> Vec<(String, String)> {
    let of = |property: Element<'_>| {
        let value = property.attribute("value").unwrap_or_else(|| property.text().trim());
        (property.attribute("name").unwrap_or_default().to_owned(), value.to_owned())
    };
    element.children().filter(|child| child.name() == "property").map(of).collect()
}

/// Seconds, perhaps with commas between thousands before a point (Surefire).
fn seconds(element: Element<'_>, walk: &mut Walk) -> Option<Num> {
    let text = element.attribute("time").map(str::trim).filter(|text| !text.is_empty())?;
    let text_without = if text.contains('.') { text.replace(',', "") } else { text.to_owned() };
    let found = number::plain(&text_without).filter(|number| number.as_f64() >= 0.0 && number.as_f64().is_finite());
    if found.is_none() {
        walk.note(format!("{}: the time {:?} is none and was left out", element.place(), printable(text, 40)));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::convert::testing::{self, convert, cut_anywhere, data, flip_anywhere, golden};

    const SAMPLES: [&str; 6] = [
        "jest-junit.xml",
        "junit-report-nested-testsuites.xml",
        "junit-report-with-properties.xml",
        "junit.fail.xml",
        "python-xunit-pytest.xml",
        "testsuite-root.xml",
    ];

    fn sample(name: &str) -> Report {
        golden(&JUnit, &format!("junit/{name}"), &json!({"no_serial_number": "file name"})).only()
    }

    /// Leaves with a verdict, as [passed, failed, skipped, error].
    fn counts(report: &Report) -> [usize; 4] {
        let leaves: Vec<_> = report.steps().filter(|step| step.boolean_meas.is_some()).collect();
        [Status::Passed, Status::Failed, Status::Skipped, Status::Error]
            .map(|status| leaves.iter().filter(|step| step.status == Some(status)).count())
    }

    #[test]
    fn the_samples_arrive_as_they_are() {
        for (name, expected, result) in [
            ("jest-junit.xml", [1, 4, 1, 0], Status::Failed),
            ("junit-report-nested-testsuites.xml", [2, 0, 0, 1], Status::Error),
            ("junit-report-with-properties.xml", [1, 1, 0, 0], Status::Failed),
            ("junit.fail.xml", [3, 1, 1, 0], Status::Failed),
            ("python-xunit-pytest.xml", [6, 2, 2, 0], Status::Failed),
        ] {
            let report = sample(name);
            assert_eq!((counts(&report), report.result), (expected, Some(result)), "{name}");
        }
        assert_eq!(counts(&sample("testsuite-root.xml")).iter().sum::<usize>(), 5);
        let pytest = sample("python-xunit-pytest.xml");
        assert_eq!(pytest.start.as_deref(), Some("2025-11-15T11:51:49.548396-05:00"));
        assert_eq!(pytest.machine_name.as_deref(), Some("Mac.hsd1.va.comcast.net"));
        let info = &pytest.misc_infos.as_ref().unwrap()[0];
        assert_eq!((info.description.as_deref(), info.text.as_deref()), (Some("custom_prop"), Some("custom_val")));
        let recorded = pytest.steps().find(|step| step.name.as_deref() == Some("example_key")).unwrap();
        assert_eq!(recorded.numeric_meas.as_ref().unwrap()[0].value, Some(Num::from(1_i64)));
        let wrong = convert(&JUnit, "x.xml", &data("junit/python-xunit-pytest.xml"), &json!({"no_serial_number": "generate"}));
        assert!(wrong.notes[0].iter().any(|note| note.contains("announces 15 test cases and has 10")), "{:?}", wrong.notes);
    }

    #[test]
    fn a_cut_or_spoilt_sample_is_never_a_clean_report() {
        for name in SAMPLES {
            let arguments = json!({"no_serial_number": "generate"});
            let bytes = data(&format!("junit/{name}"));
            cut_anywhere(&JUnit, name, &bytes, &arguments);
            flip_anywhere(&JUnit, name, &bytes, &arguments);
        }
    }

    fn one(cases: &str) -> testing::Converted {
        let text = format!(
            "<testsuite name='s' timestamp='2024-01-03T 12:40:13'><properties><property name='Serial Number' value='A1'/><property name='PN' value='P2'/></properties>{cases}</testsuite>"
        );
        convert(&JUnit, "x.xml", text.as_bytes(), &json!({}))
    }

    #[test]
    fn the_worst_outcome_of_a_case_counts_and_nothing_that_it_says_is_lost() {
        let report = one("<testcase name='c' classname='k' file='f.py' line='3' time='1,234.5'><system-out>[[ATTACHMENT|a.png]]</system-out><skipped message='why'/><failure message='m' type='t'>trace</failure><rerunFailure message='first'>before</rerunFailure></testcase>").only();
        assert_eq!((report.sn.as_deref(), report.pn.as_deref()), (Some("A1"), Some("P2")));
        assert_eq!(report.start_utc.as_deref(), Some("2024-01-03T11:40:13Z"));
        let step = &report.root.as_ref().unwrap().steps.as_ref().unwrap()[0];
        assert_eq!((step.status, step.error_message.as_deref()), (Some(Status::Failed), Some("m")));
        assert_eq!(step.tot_time.as_ref().unwrap().to_string(), "1234.5");
        let text = step.report_text.as_deref().unwrap();
        for part in
            ["classname: k", "file: f.py", "line: 3", "a.png", "why", "type: t", "trace", "rerunFailure", "first", "before"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn what_tested_nothing_is_no_unit_and_what_only_skipped_has_no_verdict() {
        assert!(matches!(one("").errors[..], [ConvertError::Malformed { .. }]));
        assert_eq!(one("<testcase name='c'><skipped/></testcase>").only().result, Some(Status::Done));
        let odd = one("<testcase name='c' time='-1'/><testcase name='c' time='soon'/>");
        assert_eq!(odd.notes[0].iter().filter(|note| note.contains("was left out")).count(), 2, "{:?}", odd.notes);
    }
}
