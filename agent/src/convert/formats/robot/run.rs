//! The file as a stream: what is open, what a failing teardown means for the tests, the unit at its end.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use waybill_shared::report::{Num, Report, Status, Step, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use super::is_keyword;
use super::node::{Kind, Node, Role};
use crate::convert::ground::fit::fit;
use crate::convert::ground::names::Pairs;
use crate::convert::ground::time::{self, Moment};
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::xml::Element;
use crate::convert::ground::{number, own_hash};
use crate::convert::{ConvertError, Unit};

/// Deepest nesting of steps: readers of JSON take some sixty in each other.
const DEEPEST: usize = 50;
/// Most keywords that become steps: a loop in a test has no end.
const KEYWORDS: usize = 100_000;
/// Most errors of the run that are kept.
const ERRORS: usize = 1000;
/// Most tests that are named in a note.
const NAMED: usize = 5;

/// What was read so far.
pub(super) struct Run {
    depth: usize,
    zone: TimeZone,
    /// Suites, tests and keywords that are open and are shown.
    open: Vec<Node>,
    /// Keywords inside of them that are open and are not.
    hidden: Vec<String>,
    roots: Vec<Node>,
    keywords: usize,
    pairs: Pairs,
    errors: Vec<String>,
    more_errors: u64,
    announced: Option<[u64; 3]>,
    earliest: Option<DateTime>,
    /// When the suite that ended last began.
    start: Option<Moment>,
    hash: blake3::Hasher,
    walk: Walk,
}

impl Run {
    pub(super) fn new(depth: usize, zone: TimeZone) -> Self {
        Self {
            depth,
            zone,
            open: Vec::new(),
            hidden: Vec::new(),
            roots: Vec::new(),
            keywords: 0,
            pairs: Pairs::default(),
            errors: Vec::new(),
            more_errors: 0,
            announced: None,
            earliest: None,
            start: None,
            hash: blake3::Hasher::new(),
            walk: Walk::default(),
        }
    }

    pub(super) fn begin(&mut self, element: Element<'_>) {
        if element.name() == "robot" {
            for (key, value) in element.attributes().filter(|(key, _)| !matches!(*key, "schemaversion")) {
                self.pairs.add(key, value);
            }
            return;
        }
        own_hash::attributes(&mut self.hash, element);
        let kind = match element.name() {
            "suite" => Kind::Suite,
            name if is_keyword(name) => Kind::Keyword,
            _ => Kind::Test,
        };
        let level = self.open.iter().rev().take_while(|node| node.kind == Kind::Keyword).count();
        let before = self.open.last().map_or(self.roots.as_slice(), |node| &node.children);
        let node = Node::begin(kind, element, before);
        // The setup and the teardown of a suite decide on its tests: they are always shown.
        let of_suite = level == 0 && self.open.last().is_some_and(|node| node.kind == Kind::Suite);
        if kind == Kind::Keyword && !of_suite && (level >= self.depth || self.keywords >= KEYWORDS || self.open.len() >= DEEPEST)
        {
            self.hidden.push(node.name);
            if let Some(shown) = self.open.last_mut() {
                shown.deeper += 1;
            }
            return;
        }
        if self.open.len() == DEEPEST && kind == Kind::Suite {
            self.walk.fault(FaultKind::OutOfRange, format!("{}: suites are nested deeper than {DEEPEST}", element.place()));
        }
        self.keywords += usize::from(kind == Kind::Keyword);
        self.open.push(node);
    }

    pub(super) fn end(&mut self) {
        if self.hidden.pop().is_some() {
            return;
        }
        // The root element itself is not among those that are open.
        let Some(mut node) = self.open.pop() else { return };
        match node.kind {
            Kind::Suite => self.end_of_suite(&mut node),
            Kind::Test if node.status.is_none() => {
                let name = printable(&node.name, 60);
                self.walk.fault(FaultKind::Missing, format!("the test {name:?} has no status that is known"));
            }
            _ => {}
        }
        match self.open.last_mut() {
            Some(outer) => outer.children.push(node),
            None => self.roots.push(node),
        }
    }

    pub(super) fn element(&mut self, element: Element<'_>) {
        if self.open.is_empty() {
            return self.about_the_run(element);
        }
        element.hash(&mut self.hash);
        if self.hidden.is_empty() && element.name() == "status" {
            return self.status(element);
        }
        let Self { open, hidden, pairs, .. } = self;
        let Some(node) = open.last_mut() else { return };
        match element.name() {
            "msg" => node.log(element, hidden),
            _ if !hidden.is_empty() => {}
            "meta" | "metadata" => {
                let children = element.children().filter(|child| child.name() == "item");
                for item in std::iter::once(element).chain(children).filter(|item| item.attribute("name").is_some()) {
                    let name = item.attribute("name").unwrap_or_default();
                    pairs.add(name, item.text());
                    // Of the root it stands at the unit.
                    if open.len() > 1
                        && let Some(node) = open.last_mut()
                    {
                        node.lines.add(&format!("metadata {name}"), item.text().trim());
                    }
                }
            }
            _ => say(&mut node.lines, element),
        }
    }

    fn about_the_run(&mut self, element: Element<'_>) {
        match element.name() {
            "msg" if self.errors.len() < ERRORS => {
                let level = element.attribute("level").unwrap_or("ERROR");
                self.errors.push(format!("{level} {}", element.text()));
            }
            "msg" => self.more_errors += 1,
            // "Critical Tests" beside it are fewer.
            "stat" if element.text().trim() == "All Tests" => {
                let count = |key: &str| element.attribute(key).unwrap_or("0").trim().parse::<u64>().ok();
                self.announced = count("pass").zip(count("fail")).zip(count("skip")).map(|((p, f), s)| [p, f, s]);
            }
            _ => {}
        }
    }

    fn status(&mut self, element: Element<'_>) {
        let text = element.attribute("status").unwrap_or_default();
        let status = match text.trim().to_ascii_uppercase().as_str() {
            "PASS" => Some(Status::Passed),
            "FAIL" => Some(Status::Failed),
            "SKIP" | "NOT RUN" | "NOT_RUN" => Some(Status::Skipped),
            _ => None,
        };
        let (begun, time) = self.times(element);
        let Some(node) = self.open.last_mut() else { return };
        if status.is_none() || matches!(text, "NOT RUN" | "NOT_RUN") || element.attribute("critical") == Some("no") {
            say(&mut node.lines, element);
        }
        let message = element.text().trim();
        node.status = status;
        node.message = (!message.is_empty()).then(|| message.to_owned());
        node.time = time;
        // One note on the clock is enough: that of the unit.
        let zoned = begun.and_then(|begun| begun.zoned(&self.zone, &mut Walk::default()));
        node.start = zoned.map(|zoned| time::local(&zoned));
        if node.kind == Kind::Suite {
            self.start = begun;
        }
    }

    /// When it began and how long it took.
    fn times(&mut self, element: Element<'_>) -> (Option<Moment>, Option<Num>) {
        let attribute = |name: &str| element.attribute(name).map(str::trim).filter(|text| !matches!(*text, "" | "N/A"));
        let moment = |text: &str| Moment::by(text, &["%Y%m%d %H:%M:%S%.f"]).or_else(|| Moment::iso(text));
        let (start, end) = (attribute("start").or_else(|| attribute("starttime")), attribute("endtime"));
        let (begun, ended) = (start.and_then(moment), end.and_then(moment));
        if start.is_some() && begun.is_none() {
            self.walk.note(format!("{}: its time is none and was left out", element.place()));
        }
        if let Some(Moment::Local(civil)) = begun {
            self.earliest = Some(self.earliest.map_or(civil, |earliest| earliest.min(civil)));
        }
        let elapsed = attribute("elapsed").and_then(number::plain).filter(|time| time.as_f64() >= 0.0);
        let between = || {
            let zoned = |moment: Moment| moment.zoned(&self.zone, &mut Walk::default());
            let (from, to) = (zoned(begun?)?, zoned(ended?)?);
            time::seconds(&from, &to, &mut self.walk)
        };
        (begun, elapsed.or_else(between))
    }

    /// A teardown of a suite decides on all tests in it.
    fn end_of_suite(&mut self, suite: &mut Node) {
        let teardown = suite.children.iter().find(|child| child.kind == Kind::Keyword && child.role == Role::Teardown);
        let Some((status @ (Status::Failed | Status::Skipped), teardown)) =
            teardown.and_then(|teardown| Some((teardown.status?, teardown)))
        else {
            return;
        };
        // A keyword that was not run, as in a dry run, decides on nothing.
        if status == Status::Skipped && suite.status != Some(Status::Skipped) {
            return;
        }
        let said =
            suite.message.as_deref().and_then(|text| text.split_once("uite teardown failed:")).map(|(_, after)| after.trim());
        let why = said.or_else(|| teardown.why()).unwrap_or_default().to_owned();
        let mut decided = Vec::new();
        for child in &mut suite.children {
            decide(child, status, &why, &mut decided);
        }
        if !decided.is_empty() {
            let verb = if status == Status::Failed { "failed" } else { "was skipped" };
            let names = decided.iter().take(NAMED).map(|name| printable(name, 60)).collect::<Vec<_>>().join(", ");
            let more = if decided.len() > NAMED { ", …" } else { "" };
            self.walk.note(format!(
                "the teardown of the suite {:?} {verb}, and with it {} tests whose own status is another: {names}{more}",
                printable(&suite.name, 60),
                decided.len()
            ));
        }
    }

    pub(super) fn unit(self) -> Result<Unit, ConvertError> {
        let Self { depth, zone, mut roots, pairs, errors, more_errors, announced, earliest, start, hash, mut walk, .. } = self;
        let counted = roots.iter().map(Node::tests).fold([0; 3], |a, b| [a[0] + b[0], a[1] + b[1], a[2] + b[2]]);
        let notes = walk.finish().map_err(ConvertError::Faults)?;
        walk = Walk::default();
        walk.notes(notes);
        let (Some(mut root), true) = (roots.pop(), counted.iter().sum::<u64>() > 0) else {
            return Err(ConvertError::Malformed {
                place: "the file as a whole".to_owned(),
                reason: "it has no test: nothing was tested".to_owned(),
            });
        };
        if !roots.is_empty() {
            return Err(ConvertError::Malformed {
                place: "the file as a whole".to_owned(),
                reason: "it has more than one root suite".to_owned(),
            });
        }
        if let Some(announced) = announced.filter(|&announced| announced != counted) {
            let [p, f, s] = announced;
            let [passed, failed, skipped] = counted;
            walk.note(format!(
                "its statistics say {p} passed, {f} failed, {s} skipped; there are {passed} passed, {failed} failed, {skipped} skipped"
            ));
        }
        let by_its_tests = root.by_its_tests();
        if root.status == Some(Status::Passed) && by_its_tests == Status::Failed {
            walk.note("the root suite passed although tests in it failed: its own status counts");
        }
        let result = match root.status.unwrap_or(by_its_tests) {
            // Everything was left out: there is no verdict.
            Status::Skipped => Status::Done,
            status => status,
        };
        let mut lines = std::mem::take(&mut root.lines);
        for error in errors {
            lines.add("error of the run", &error);
        }
        if more_errors > 0 {
            lines.add_text(format!("not shown: {more_errors} errors of the run"));
        }
        root.lines = lines;
        let took = root.time.clone();
        let left_out = messages_left_out(&root);
        if left_out > 0 {
            walk.note(format!(
                "{left_out} messages are not shown: of keywords further down than `keyword_depth`, or of very long logs"
            ));
        }
        let root = Step { status: Some(result), ..root.step(depth) };
        let mut report = Report {
            kind: Some("T".to_owned()),
            result: Some(result),
            uut: Some(Uut { exec_time: took, ..Uut::default() }),
            root: Some(root),
            ..Report::default()
        };
        pairs.fill(&mut report, &mut walk);
        match (start, earliest) {
            (Some(start), _) => start.start(&mut report, &zone, &mut walk),
            (None, Some(earliest)) => {
                walk.note("the root suite has no start, as in combined results: the earliest in it is taken");
                Moment::Local(earliest).start(&mut report, &zone, &mut walk);
            }
            (None, None) => {}
        }
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        fit(&mut report, &mut notes);
        Ok(Unit { report, own_hash: *hash.finalize().as_bytes(), notes })
    }
}

/// What an element says, as lines: its attributes, its text, and those in it.
fn say(lines: &mut Lines, element: Element<'_>) {
    let name = element.name();
    let text = element.text().trim();
    if name == "status" {
        for key in ["status", "critical"] {
            if let Some(value) = element.attribute(key) {
                lines.add(key, value);
            }
        }
        return;
    }
    if name == "arg" || !text.is_empty() {
        // An assignment in a loop has its name beside its value.
        let of = element.attribute("name").map(|of| format!(" {of} =")).unwrap_or_default();
        lines.add_text(format!("{name}:{of} {text}").trim_end().to_owned());
    }
    for (key, value) in element.attributes().filter(|(key, value)| *key != "name" && !value.trim().is_empty()) {
        lines.add(&format!("{name} {key}"), value);
    }
    for child in element.children() {
        say(lines, child);
    }
}

/// What the teardown of a suite makes of the tests below it, as Robot Framework itself does.
fn decide(node: &mut Node, status: Status, why: &str, decided: &mut Vec<String>) {
    match node.kind {
        Kind::Keyword => return,
        Kind::Suite => node.children.iter_mut().for_each(|child| decide(child, status, why, decided)),
        Kind::Test => {}
    }
    // A test that was skipped stays so.
    if node.status == Some(Status::Skipped) || (node.kind == Kind::Suite && node.status.is_none()) {
        return;
    }
    let own = node.status.replace(if node.kind == Kind::Suite { node.by_its_tests() } else { status });
    if node.status == own {
        if node.kind == Kind::Test {
            node.lines.add("also the teardown of its suite failed", why);
        }
        return;
    }
    let own_text = own.map_or_else(String::new, |own| own.to_string());
    node.lines.add("own status", &own_text);
    let verb = if status == Status::Failed { "Parent suite teardown failed" } else { "Skipped in parent suite teardown" };
    let new = format!("{verb}: {why}");
    if let Some(own) = node.message.replace(new) {
        node.lines.add("own message", &own);
    }
    if node.kind == Kind::Test {
        decided.push(node.name.clone());
    }
}

fn messages_left_out(node: &Node) -> u64 {
    node.left_out + node.children.iter().map(messages_left_out).sum::<u64>()
}
