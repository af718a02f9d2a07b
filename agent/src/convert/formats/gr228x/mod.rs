//! Teradyne GR228x and i3070 classic in-circuit testers: a log of lines, one test after the other (FORMATS.md sections 10 and 16,
//! tests/data/teradyne-gr228x).
//!
//! - `path.obc[31-JUL-12  14:17:35` names the program: its file up to `_` is the part number. It may be repeated.
//! - `@31-JUL-12  14:18:51 SN 123` begins a test; a sign and a time end it: `"` passed, `/` failed, `?` and `!` stopped, `*` and `&` an error. `]` ends the lot.
//!   A test that another one, a program or the end of the lot follows without an end was stopped.
//! - `R402=45.1MEG(500K,)R` is a measurement: its sign is the verdict (`=` passed, `#` none, `<` `>` `%` failed), its letters are the quantity. The limits come
//!   with the prefix of the value. Without a value it is a verdict alone; `IS` and `VS` set a source.
//! - `(F 300,301 +` lists what failed: pins without contact, shorts, opens, …; ` +` says that the list goes on in the next line.
//! - `WATS_key=value` says what the log has no place for.
//!
//! Measurements stand in sequences by the first letter of what they measure, in their order. Other lines are the text of the root. The end of a lot belongs to
//! no unit and is left out.

mod line;

use waybill_shared::report::{MiscInfo, Report, SeqCall, Status, Step, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use self::line::{Entry, Event, Failures, Measurement};
use crate::convert::ground::fit::fit;
use crate::convert::ground::lines::{Line, LineReader};
use crate::convert::ground::names::{self, Pairs};
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::time;
use crate::convert::ground::verdict::{contradictions, passed_with_failures};
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink, Unit};

const ABOUT: About = About {
    name: "gr228x",
    version: 1,
    help: "Teradyne GR228x and i3070 classic logs, one unit a test",
    patterns: &["*.log", "*.txt"],
    has_end_mark: false,
    arguments: &[],
};

/// The converter `gr228x`.
#[derive(Debug)]
pub struct Gr228x;

impl Converter for Gr228x {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let text = head.text();
        let (mut program, mut start, mut end) = (false, false, false);
        for line in text.lines() {
            match line::event(line) {
                Some(Event { sign: '[', .. }) => program = true,
                Some(Event { sign: '@', .. }) => start = true,
                Some(_) => end = true,
                None => {}
            }
        }
        match (program, start, end) {
            (true, true, _) => 95,
            (false, true, true) => 75,
            (true, false, _) => 70,
            (false, true, false) => 50,
            (false, false, _) => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut lines = LineReader::new(input.open_text()?);
        let mut log = Log::default();
        while let Some(line) = lines.next()? {
            let done = log.line(line);
            let note = lines.note();
            if let Some(test) = done
                && sink(test.unit(input, note)).is_break()
            {
                return Err(ConvertError::Stopped);
            }
        }
        log.finish()
    }
}

/// Where the reading of a file stands.
#[derive(Default)]
struct Log {
    program: Option<Program>,
    /// What stands before the next test and belongs to it.
    before: Test,
    test: Option<Test>,
    last: u64,
    tests: u64,
    lots: u64,
}

/// The program that tests.
#[derive(Debug, Clone)]
struct Program {
    path: String,
    /// When the lot was begun, as it stands there.
    begun: String,
}

/// A test of a unit.
#[derive(Default)]
struct Test {
    line: u64,
    program: Option<Program>,
    start: Option<Event>,
    end: Option<Event>,
    entries: Vec<Entry>,
    pairs: Vec<(String, String)>,
    lines: Lines,
    /// A list whose line says that it goes on.
    goes_on: bool,
    hash: blake3::Hasher,
}

impl Log {
    /// Takes a line; gives the test that it ends.
    fn line(&mut self, line: Line<'_>) -> Option<Test> {
        let text = line.text.trim();
        if text.is_empty() {
            return None;
        }
        self.last = line.number;
        let Some(event) = line::event(text) else {
            self.test.as_mut().unwrap_or(&mut self.before).line(text);
            return None;
        };
        let open = self.test.take();
        match event.sign {
            '[' => self.program = Some(Program { path: event.before, begun: event.text }),
            '@' => {
                self.tests += 1;
                let before = std::mem::take(&mut self.before);
                let mut test = Test { line: line.number, program: self.program.clone(), goes_on: false, ..before };
                let path = test.program.as_ref().map_or("", |program| &program.path);
                test.hash.update(path.as_bytes()).update(b"\n").update(text.as_bytes());
                test.start = Some(event);
                self.test = Some(test);
            }
            ']' => self.lots += 1,
            _ => {
                return open.map(|mut test| {
                    test.hash.update(b"\n").update(text.as_bytes());
                    test.end = Some(event);
                    test
                });
            }
        }
        open
    }

    fn finish(self) -> Result<(), ConvertError> {
        let place = format!("line {}", self.last);
        match (self.test, self.tests) {
            (Some(test), _) => {
                Err(ConvertError::Incomplete { place, reason: format!("the test that begins in line {} has no end", test.line) })
            }
            (None, 0) if self.program.is_some() && self.lots == 0 => {
                Err(ConvertError::Incomplete { place, reason: "no test has begun".to_owned() })
            }
            (None, 0) => {
                Err(ConvertError::Malformed { place: "the file as a whole".to_owned(), reason: "it has no test".to_owned() })
            }
            (None, _) => Ok(()),
        }
    }
}

impl Test {
    fn line(&mut self, text: &str) {
        self.hash.update(b"\n").update(text.as_bytes());
        let goes_on = std::mem::take(&mut self.goes_on);
        if let Some((key, value)) = text.strip_prefix("WATS_").and_then(|pair| pair.split_once('=')) {
            self.pairs.push((key.to_owned(), value.to_owned()));
        } else if let Some(list) = Failures::of(text) {
            self.goes_on = list.goes_on;
            self.entries.push(Entry::Failures(list));
        } else if let Some(measurement) = Measurement::of(text) {
            self.entries.push(Entry::Measurement(measurement));
        } else if let (true, Some(Entry::Failures(list))) = (goes_on, self.entries.last_mut()) {
            self.goes_on = list.add(text);
        } else {
            self.lines.add_text(text.to_owned());
        }
    }

    fn unit(self, input: &Input<'_>, note: Option<String>) -> Result<Unit, ConvertError> {
        let mut walk = Walk::default();
        walk.notes(note);
        let mut infos: Vec<MiscInfo> = Vec::new();
        let mut report = Report { kind: Some("T".to_owned()), ..Report::default() };
        let mut uut = Uut::default();
        let program = self.program.as_ref();
        if let Some(program) = program {
            steps::misc(&mut infos, "Lot begun", &program.begun);
        }
        report.result = Some(self.result(&mut walk));
        self.times(&mut report, &mut uut, input, &mut walk);
        let mut serial = None;
        if let Some(start) = &self.start {
            match start.after.split_once(char::is_whitespace) {
                Some((key, text)) if key.eq_ignore_ascii_case("SN") => serial = names::serial_number(text.trim(), &mut walk),
                _ => steps::misc(&mut infos, "Start", &start.after),
            }
        }
        if let Some(end) = &self.end {
            steps::misc(&mut infos, "End", &end.after);
        }
        let (path, stem) = program.map_or(("", "GR228x"), |program| (program.path.as_str(), stem(&program.path)));
        let mut root = steps::sequence(stem, report.result.unwrap_or(Status::Error), sequences(&self.entries, &mut walk));
        if !path.is_empty() {
            root.seq_call = Some(SeqCall { path: Some(path.to_owned()), name: Some(path.to_owned()), ..SeqCall::default() });
        }
        (root.tot_time, root.report_text) = (uut.exec_time.clone(), self.lines.into_text());
        (report.uut, report.root) = (Some(uut), Some(root));
        // What the site says of the unit counts before what the tester knows of it.
        let mut pairs = Pairs::default();
        self.pairs.iter().for_each(|(key, value)| pairs.add(key, value));
        report.misc_infos = Some(infos);
        pairs.fill(&mut report, &mut walk);
        match (&report.sn, serial) {
            (None, serial) => report.sn = serial,
            (Some(said), Some(serial)) if *said != serial => {
                walk.note(format!("WATS_ says the serial number {said:?} and the tester {serial:?}: the first counts"))
            }
            _ => {}
        }
        if report.pn.is_none() && program.is_some() {
            report.pn = stem.split('_').next().map(str::to_owned).filter(|part| !part.is_empty());
        }
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        notes.extend(contradictions(&report).into_iter().chain(passed_with_failures(&report)));
        fit(&mut report, &mut notes);
        Ok(Unit { report, own_hash: *self.hash.finalize().as_bytes(), notes })
    }

    fn result(&self, walk: &mut Walk) -> Status {
        match self.end.as_ref().map(|end| end.sign) {
            Some('"') => Status::Passed,
            Some('/') => Status::Failed,
            Some('*' | '&') => Status::Error,
            Some(_) => Status::Terminated,
            None => {
                walk.note("the test has no end, and what follows in the log is not of it: it was stopped");
                Status::Terminated
            }
        }
    }

    fn times(&self, report: &mut Report, uut: &mut Uut, input: &Input<'_>, walk: &mut Walk) {
        let Some(start) = &self.start else { return };
        let Some(moment) = start.moment else {
            let message = format!("line {}: {:?} is no time as 31-JUL-12  14:18:51", self.line, printable(&start.text, 40));
            return walk.in_key("@", |walk| walk.fault(FaultKind::OutOfRange, message));
        };
        moment.start(report, &input.zone(), walk);
        let Some(end) = &self.end else { return };
        let mut quiet = Walk::default();
        match (moment.zoned(&input.zone(), &mut quiet), end.moment.and_then(|end| end.zoned(&input.zone(), &mut quiet))) {
            (Some(start), Some(end)) => uut.exec_time = time::seconds(&start, &end, walk),
            _ => walk.note(format!("its end {:?} is no time: how long it took is not known", printable(&end.text, 40))),
        }
    }
}

/// Name of a program's file, without its ending.
fn stem(path: &str) -> &str {
    let name = path.rsplit(['\\', '/']).next().unwrap_or(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    if stem.is_empty() { path } else { stem }
}

/// Measurements of one first letter that follow each other in one sequence; lists of failures by themselves.
fn sequences(entries: &[Entry], walk: &mut Walk) -> Vec<Step> {
    let letter = |entry: &Entry| match entry {
        Entry::Measurement(measurement) => measurement.name.chars().next().map(|first| first.to_uppercase().collect::<String>()),
        Entry::Failures(_) => None,
    };
    let mut found = Vec::new();
    for group in entries.chunk_by(|a, b| letter(a) == letter(b)) {
        let own: Vec<Step> = group.iter().map(|entry| step(entry, walk)).collect();
        match group.first().and_then(letter) {
            None => found.extend(own),
            Some(letter) => {
                let has = |status| own.iter().any(|step| step.status == Some(status));
                let status = [Status::Failed, Status::Passed].into_iter().find(|&status| has(status));
                found.push(steps::sequence(&letter, status.unwrap_or(Status::Done), own));
            }
        }
    }
    found
}

fn step(entry: &Entry, walk: &mut Walk) -> Step {
    match entry {
        Entry::Failures(list) => {
            let text = steps::string(None, list.text.clone(), None, Status::Failed);
            let mut step = steps::measuring(list.name(), Status::Failed, vec![Measured::Text(text)]);
            step.report_text = list.goes_on.then(|| "The list goes on, and its next line is missing.".to_owned());
            step
        }
        Entry::Measurement(measurement) => measured(measurement, walk),
    }
}

fn measured(of: &Measurement, walk: &mut Walk) -> Step {
    let mut lines = Lines::default();
    if !of.quantity.is_empty() {
        lines.add("quantity", &of.quantity);
    }
    if of.status == Status::Failed {
        lines.add("sign", &of.sign.to_string());
    }
    if !of.after.is_empty() {
        lines.add_text(of.after.clone());
    }
    let limits = of.limits();
    for text in &limits.unread {
        walk.note(format!("{}: the limit {:?} is no number", printable(&of.name, 60), printable(text, 40)));
    }
    let told = |lines: &mut Lines| {
        if of.has_limits() {
            lines.add("limits", &format!("({},{})", of.low, of.high));
        }
    };
    if !limits.unread.is_empty() {
        told(&mut lines);
    }
    let own = match (&of.value, limits.value) {
        (text, _) if text.is_empty() => {
            if limits.unread.is_empty() {
                told(&mut lines);
            }
            // A source that is set, and what nobody judged, have no verdict.
            let is_set = matches!(of.quantity.as_str(), "IS" | "VS") || of.status == Status::Done;
            (!is_set).then(|| Measured::Verdict(steps::verdict(None, of.status)))
        }
        (_, Some(value)) => Some(Measured::Numeric(steps::numeric(None, value, limits.limits, limits.unit, of.status))),
        (text, None) => {
            if limits.unread.is_empty() {
                told(&mut lines);
            }
            Some(Measured::Text(steps::string(None, text.clone(), None, of.status)))
        }
    };
    let step = steps::measuring(&of.name, of.status, own.into_iter().collect());
    Step { report_text: lines.into_text(), ..step }
}

#[cfg(test)]
mod tests;
