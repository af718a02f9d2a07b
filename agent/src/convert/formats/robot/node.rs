//! A suite, a test or a keyword as it is read, and the step that it becomes.

use waybill_shared::report::{LoopInfo, Num, Status, Step};

use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::walk::Lines;
use crate::convert::ground::xml::Element;

/// Bytes of messages that one step keeps; what a keyword logs in a long loop has no end.
const MESSAGES: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Suite,
    Test,
    Keyword,
}

/// Which part of its suite or test a keyword is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Setup,
    Body,
    Teardown,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) role: Role,
    pub(super) name: String,
    /// Of a suite: the file or folder that it is.
    pub(super) source: Option<String>,
    pub(super) status: Option<Status>,
    /// The text of its status.
    pub(super) message: Option<String>,
    pub(super) start: Option<String>,
    pub(super) time: Option<Num>,
    pub(super) lines: Lines,
    pub(super) children: Vec<Node>,
    /// Of an iteration: which one.
    iteration: Option<i64>,
    /// The last message of the level FAIL.
    failure: Option<String>,
    /// Bytes of messages in `lines`.
    messages: usize,
    /// Keywords below it that are no steps.
    pub(super) deeper: u64,
    /// Messages that are not in `lines`.
    pub(super) left_out: u64,
}

impl Node {
    /// From its start tag; `before` are those beside it.
    pub(super) fn begin(kind: Kind, element: Element<'_>, before: &[Node]) -> Self {
        let attribute = |name: &str| element.attribute(name).map(str::trim).filter(|text| !text.is_empty());
        let of_type = attribute("type").unwrap_or_default();
        let role = match of_type.to_ascii_lowercase().as_str() {
            "setup" => Role::Setup,
            "teardown" => Role::Teardown,
            _ => Role::Body,
        };
        let mut lines = Lines::default();
        for (key, value) in element.attributes() {
            let is_said = matches!((kind, key), (_, "name") | (Kind::Suite, "source"))
                || (key == "type" && (role != Role::Body || matches!(of_type, "kw" | "KEYWORD") || element.name() == "branch"));
            if !is_said && !value.trim().is_empty() {
                lines.add(key, value);
            }
        }
        let keyword = || match element.name() {
            "branch" if !of_type.is_empty() => of_type.to_owned(),
            "if" => "IF/ELSE".to_owned(),
            "try" => "TRY/EXCEPT".to_owned(),
            "iter" => "iteration".to_owned(),
            "variable" => "VAR".to_owned(),
            "kw" => "keyword".to_owned(),
            name => name.to_ascii_uppercase(),
        };
        let iteration = (element.name() == "iter").then(|| i64::try_from(before.len()).unwrap_or(i64::MAX));
        Self {
            kind,
            role,
            name: attribute("name").map_or_else(keyword, str::to_owned),
            source: (kind == Kind::Suite).then(|| attribute("source").map(str::to_owned)).flatten(),
            status: None,
            message: None,
            start: None,
            time: None,
            lines,
            children: Vec::new(),
            iteration,
            failure: None,
            messages: 0,
            deeper: 0,
            left_out: 0,
        }
    }

    /// A message that was logged here, or in the keywords `inside` of it that are no steps.
    pub(super) fn log(&mut self, element: Element<'_>, inside: &[String]) {
        let level = element.attribute("level").unwrap_or("INFO");
        let text = element.text();
        let is_loud = matches!(level, "FAIL" | "ERROR" | "WARN");
        if level == "FAIL" {
            self.failure = Some(text.trim().to_owned());
        }
        if (!inside.is_empty() && !is_loud) || self.messages + text.len() > MESSAGES {
            self.left_out += 1;
            return;
        }
        self.messages += text.len();
        let html = if element.attribute("html").is_some_and(|text| matches!(text, "yes" | "true")) { " (HTML)" } else { "" };
        let time = element.attribute("time").or_else(|| element.attribute("timestamp")).unwrap_or_default();
        let place = if inside.is_empty() { String::new() } else { format!("{}: ", inside.join(" > ")) };
        self.lines.add_text(format!("{time} {level}{html} {place}{text}").trim_start().to_owned());
    }

    /// What the text of its status says, else its last failure.
    pub(super) fn why(&self) -> Option<&str> {
        self.message.as_deref().or(self.failure.as_deref())
    }

    /// Number of tests with each status, as [passed, failed, skipped].
    pub(super) fn tests(&self) -> [u64; 3] {
        let mut found = match (self.kind, self.status) {
            (Kind::Test, Some(Status::Passed)) => [1, 0, 0],
            (Kind::Test, Some(Status::Failed)) => [0, 1, 0],
            (Kind::Test, Some(Status::Skipped)) => [0, 0, 1],
            _ => [0; 3],
        };
        for child in self.children.iter().filter(|child| child.kind != Kind::Keyword) {
            found.iter_mut().zip(child.tests()).for_each(|(sum, more)| *sum += more);
        }
        found
    }

    /// The status that its tests give a suite, as Robot Framework counts it.
    pub(super) fn by_its_tests(&self) -> Status {
        match self.tests() {
            [0, 0, _] => Status::Skipped,
            [_, 0, _] => Status::Passed,
            _ => Status::Failed,
        }
    }

    /// Its step, with those below it.
    pub(super) fn step(self, depth: usize) -> Step {
        let Self { kind, role, name, source, message, start, time, mut lines, children, iteration, failure, .. } = self;
        let status = self.status.unwrap_or(if kind == Kind::Keyword { Status::Done } else { Status::Skipped });
        if self.deeper > 0 || self.left_out > 0 {
            lines.add_text(format!("not shown: {} keywords further down, {} messages", self.deeper, self.left_out));
        }
        let mut error = None;
        match message {
            Some(message) if matches!(status, Status::Failed) => error = Some(message),
            Some(message) => lines.add("message", &message),
            None if matches!(status, Status::Failed) && kind == Kind::Keyword => error = failure,
            None => {}
        }
        let verdict = || {
            let mut step = steps::measuring(&name, status, vec![Measured::Verdict(steps::verdict(None, status))]);
            step.error_message.clone_from(&error);
            step
        };
        let mut below: Vec<Step> = Vec::with_capacity(children.len() + 1);
        if kind == Kind::Test {
            below.push(verdict());
        }
        below.extend(children.into_iter().map(|child| child.step(depth)));
        let mut step = match kind {
            Kind::Test if depth == 0 => verdict(),
            Kind::Keyword if below.is_empty() => steps::action(&name, status),
            _ => steps::sequence(&name, status, below),
        };
        if let (Some(call), Some(source)) = (&mut step.seq_call, source) {
            call.path = Some(source);
        }
        let group = match role {
            Role::Setup => "S",
            Role::Body => "M",
            Role::Teardown => "C",
        };
        Step {
            group: Some(group.to_owned()),
            start,
            tot_time: time,
            error_message: error,
            report_text: lines.into_text(),
            loop_info: iteration.map(|number| LoopInfo { idx: Some(number), ..LoopInfo::default() }),
            ..step
        }
    }
}
