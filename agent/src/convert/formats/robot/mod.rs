//! Robot Framework's `output.xml`, of every schema from 2.x to 7: one file, one unit.
//!
//! - `node`: a suite, a test or a keyword as it is read, and the step that it becomes
//! - `run`: the file as a stream: what is open, what a failing teardown means for the tests, the unit at its end
//!
//! A suite is a sequence. A test is a sequence of its verdict, a pass/fail step of the test's own name, and of its keywords: the verdict has one place,
//! however much of the keywords is shown. The argument `keyword_depth` says how many levels of keywords become steps; `for`, `iter`, `while`, `if`,
//! `branch`, `try`, `group` and their like count as levels. Of what lies deeper, messages of the levels WARN, ERROR and FAIL stand in the report text of the
//! step above; the rest is counted there. Without keywords (0) a test is its verdict alone.
//!
//! What the schemas fix (FORMATS.md section 11, tests/data/robot):
//!
//! - Up to 6 a status has `starttime` and `endtime` (`20110531 12:48:09.053`, or `N/A`), in 7 `start` (ISO 8601) and `elapsed` in seconds.
//! - Setup and teardown are keywords of that type, in lower case up to 3; they become group S and C.
//! - `NOT RUN` and `SKIP` are skipped. Up to 3 tests may be not `critical`: they fail and their suite does not, and its own status counts.
//! - The status of a test is written before the teardown of its suites runs. One that fails, fails all tests below it, as Robot Framework itself
//!   counts them (`statistics`); one that skips, skips them. The test then has that status, and its own stands in its report text.
//! - Metadata of suites may name the unit: serial number, part number and their like ([`names`](crate::convert::ground::names)).
//! - Counters under `statistics` are not used; where those of all tests differ from what is there, that is noted.
//!
//! Left out, because they say what is said elsewhere: `statistics` by tag and by suite, `schemaversion`. The JSON output of version 7.2 is not read.

mod node;
mod run;
#[cfg(test)]
mod tests;

use self::run::Run;
use crate::convert::ground::xml::{Node as XmlNode, Take, Xml};
use crate::convert::{About, Argument, ConvertError, Converter, Head, Input, Kind, Sink};

const KEYWORD_DEPTH: Argument = Argument {
    name: "keyword_depth",
    help: "levels of keywords that become steps below a test; 0: only the tests",
    kind: Kind::Whole(Some(3)),
};

const ABOUT: About = About {
    name: "robot",
    version: 1,
    help: "output.xml of Robot Framework 2 to 7, one unit a file",
    patterns: &["output.xml", "*.xml"],
    has_end_mark: true,
    arguments: &[KEYWORD_DEPTH],
};

/// The converter `robot`.
#[derive(Debug)]
pub struct Robot;

impl Converter for Robot {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        match (head.contains("<robot"), head.count(&["generator=", "<suite", "generated="])) {
            (true, 2..) => 97,
            (true, 1) => 70,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut xml = Xml::new(input.open_text()?);
        let depth = input.arguments.whole(&KEYWORD_DEPTH).unwrap_or_default();
        let mut run = Run::new(usize::try_from(depth).unwrap_or_default(), input.zone());
        while let Some(node) = xml.node(take)? {
            match node {
                XmlNode::Begin(element) => run.begin(element),
                XmlNode::Whole(element) => run.element(element),
                XmlNode::End => run.end(),
            }
        }
        let note = xml.note();
        let unit = run.unit().map(|mut unit| {
            unit.notes.extend(note);
            unit
        });
        if sink(unit).is_break() { Err(ConvertError::Stopped) } else { Ok(()) }
    }
}

/// Suites, tests and keywords are read as they come, what else is in them whole.
fn take(path: &[String]) -> Take {
    let Some((name, outer)) = path.split_last() else { return Take::Pass };
    if outer.is_empty() {
        return if name == "robot" { Take::Enter } else { Take::Pass };
    }
    if outer[0] != "robot" {
        return Take::Pass;
    }
    let in_suites = outer[1..].iter().all(|name| name == "suite");
    match (name.as_str(), outer.get(1).map(String::as_str)) {
        ("suite", _) if in_suites => Take::Enter,
        ("test", Some(_)) if in_suites => Take::Enter,
        (name, Some("suite")) => {
            if is_keyword(name) {
                Take::Enter
            } else {
                Take::Whole
            }
        }
        ("msg", Some("errors")) => Take::Whole,
        ("stat", Some("statistics")) if outer.get(2).is_some_and(|name| name == "total") => Take::Whole,
        _ => Take::Pass,
    }
}

/// What runs in a test and may hold more of it.
fn is_keyword(name: &str) -> bool {
    matches!(
        name,
        "kw" | "for"
            | "iter"
            | "while"
            | "if"
            | "branch"
            | "try"
            | "group"
            | "variable"
            | "return"
            | "continue"
            | "break"
            | "error"
    )
}
