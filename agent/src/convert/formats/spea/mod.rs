//! SPEA 3030 and 4060 in-circuit testers: lines of fields between semicolons, one test run after the other in one file.
//!
//! A run is `FORMAT` (the order of day and month), `START` (programme, test plan, version, product, operator, date, time), `LOT`, one line a test, and after
//! them `SN`, `BOARDRESULT` and `END` (FORMATS.md sections 10 and 16, tests/data/spea). A run with several boards has the lines of a board up to its
//! `BOARDRESULT`. Lines of a test: kind (`ANL`, `FUNC`), site, task, its number, number in it, name, part, verdict, value, lower limit, upper limit, unit,
//! pins, number. Consecutive tests of one task are a sequence.
//!
//! - Value and limits all zero, or `Automatic`: a verdict alone. A limit of zero beside one that is not is none; ±1e10 is none, and a zero beside it is one.
//! - `-NAN` is a value that is not a number. A value that is no number at all is a text.
//! - Quotes do not occur; a name with a semicolon is told by the number of fields.
//! - The verdict on a board is that of `BOARDRESULT`, else that of `END`; tests of a board that passed may have failed (they are repeated).
//! - A run without `END` whose successor has begun is refused: its verdict was never written.
//!
//! Kinds of lines that are not known are information on the unit; if they have the fields of a test, they are one.

use std::borrow::Cow;

use waybill_shared::report::{MiscInfo, Num, Report, SeqCall, Status, Step, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use crate::convert::ground::fit::fit;
use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::lines::{Line, LineReader};
use crate::convert::ground::names;
use crate::convert::ground::number::{self, Decimal};
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::time::{self, Moment};
use crate::convert::ground::verdict::{contradictions, passed_with_failures};
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::{About, Argument, ConvertError, Converter, Head, Input, Kind, Sink, Unit};

const DATE_ORDER: Argument = Argument {
    name: "date_order",
    help: "order of day and month, where no line FORMAT says it",
    kind: Kind::OneOf(&["month first", "day first"]),
};
const NUMBER_IS: Argument = Argument {
    name: "number_is",
    help: "what the field after the test plan in a line START is: the version of the test plan, or the name of the station",
    kind: Kind::OneOf(&["version", "station"]),
};

const ABOUT: About = About {
    name: "spea",
    version: 1,
    help: "SPEA 3030 and 4060 result files (CSV), one unit a board",
    patterns: &["*.csv", "*.txt"],
    has_end_mark: false,
    arguments: &[DATE_ORDER, NUMBER_IS],
};

/// A limit that is none.
const NO_LIMIT: f64 = 1e10;
/// Most serial numbers of one board that are told; one is right.
const SERIALS_TOLD: usize = 5;
/// Fields of a test, and the place of its verdict.
const FIELDS: usize = 14;
const VERDICT: usize = 7;

/// The converter `spea`.
#[derive(Debug)]
pub struct Spea;

impl Converter for Spea {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let mut lines = head.raw().split(|&byte| byte == b'\n').map(|line| line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line));
        let begins = |line: &[u8], tag: &str| line.starts_with(tag.as_bytes());
        let format = lines.clone().next().is_some_and(|line| begins(line, "FORMAT;"));
        let start = lines.clone().any(|line| begins(line, "START;") && line.iter().filter(|&&byte| byte == b';').count() >= 6);
        let test = lines.any(|line| {
            (begins(line, "ANL;") || begins(line, "FUNC;")) && line.iter().filter(|&&byte| byte == b';').count() >= 8
        });
        match (format, start, test) {
            (_, true, true) => 95,
            (true, true, false) => 85,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut lines = LineReader::new(input.open_text()?);
        let mut log = Log::default();
        while let Some(line) = lines.next()? {
            let done = log.line(line);
            let note = lines.note();
            if let Some(run) = done {
                for unit in run.units(input, note.as_ref()) {
                    if sink(unit).is_break() {
                        return Err(ConvertError::Stopped);
                    }
                }
            }
        }
        log.finish()
    }
}

/// Where the reading of a file stands.
#[derive(Default)]
struct Log {
    /// The text of the last line FORMAT.
    format: Option<String>,
    /// Lines before the next run that belong to it.
    before: Vec<(String, String)>,
    run: Option<Run>,
    /// Number of the last line that is not blank, and whether its end was written.
    last: u64,
    cut: bool,
    runs: u64,
}

/// A test run.
#[derive(Default)]
struct Run {
    line: u64,
    start: Vec<String>,
    format: Option<String>,
    lot: Option<String>,
    infos: Vec<(String, String)>,
    boards: Vec<Board>,
    /// The fields of END; none if it never came.
    end: Option<Vec<String>>,
    hash: blake3::Hasher,
}

/// A board of a run.
#[derive(Default)]
struct Board {
    /// Its tests: number of the line, and its text.
    tests: Vec<(u64, String)>,
    serials: Vec<String>,
    result: Option<String>,
    hash: blake3::Hasher,
}

fn fields(text: &str) -> Vec<String> {
    text.split(';').map(|field| field.trim().to_owned()).collect()
}

impl Log {
    /// Takes a line; gives the runs that it ends.
    fn line(&mut self, line: Line<'_>) -> Option<Run> {
        if line.text.trim().is_empty() {
            return None;
        }
        (self.last, self.cut) = (line.number, !line.ended);
        let (tag, rest) = line.text.split_once(';').unwrap_or((line.text, ""));
        match tag.trim() {
            "FORMAT" => self.format = Some(rest.trim().to_owned()),
            "START" => {
                let mut run = Run { line: line.number, start: fields(rest), format: self.format.clone(), ..Run::default() };
                run.infos = std::mem::take(&mut self.before);
                run.hash_line(line.text);
                run.hash.update(self.format.as_deref().unwrap_or_default().as_bytes());
                self.runs += 1;
                return self.run.replace(run);
            }
            tag => match &mut self.run {
                None => self.before.push((tag.to_owned(), rest.to_owned())),
                // The time in it has a fixed form: without it, a line without an end may be cut.
                Some(run) if tag == "END" && (line.ended || fields(rest).get(2).is_some_and(|time| is_whole_time(time))) => {
                    run.hash_line(line.text);
                    run.end = Some(fields(rest));
                    return self.run.take();
                }
                Some(run) => run.line(tag, rest, line),
            },
        }
        None
    }

    fn finish(self) -> Result<(), ConvertError> {
        let incomplete =
            |line: u64, reason: &str| Err(ConvertError::Incomplete { place: format!("line {line}"), reason: reason.to_owned() });
        match self.run {
            Some(run) => incomplete(self.last, &format!("the run that begins in line {} has no line END", run.line)),
            None if self.cut && !self.before.is_empty() => incomplete(self.last, "the last line has no end"),
            None if self.runs == 0 => Err(ConvertError::Malformed {
                place: "the file as a whole".to_owned(),
                reason: "it has no line START: no test run".to_owned(),
            }),
            None => Ok(()),
        }
    }
}

fn is_whole_time(text: &str) -> bool {
    text.len() >= 8
        && text
            .bytes()
            .enumerate()
            .take(8)
            .all(|(at, byte)| if at == 2 || at == 5 { byte == b':' } else { byte.is_ascii_digit() })
}

impl Run {
    fn hash_line(&mut self, text: &str) {
        self.hash.update(text.as_bytes()).update(b"\n");
    }

    fn line(&mut self, tag: &str, rest: &str, line: Line<'_>) {
        match tag {
            "LOT" => {
                self.hash_line(line.text);
                let lot = rest.trim();
                match &self.lot {
                    _ if lot.is_empty() => {}
                    None => self.lot = Some(lot.to_owned()),
                    Some(known) if known == lot => {}
                    Some(_) => self.infos.push(("LOT".to_owned(), lot.to_owned())),
                }
            }
            "SN" => {
                let board = self.board(false);
                board.hash.update(line.text.as_bytes());
                let mut of_line = fields(rest).into_iter();
                let serial = of_line.next().unwrap_or_default();
                if board.serials.len() < SERIALS_TOLD && !board.serials.contains(&serial) {
                    board.serials.push(serial);
                }
                self.infos.extend(of_line.filter(|field| !field.is_empty()).map(|field| ("SN".to_owned(), field)));
            }
            "BOARDRESULT" => {
                let board = self.board(false);
                board.hash.update(line.text.as_bytes());
                let before = board.result.replace(rest.trim().to_owned());
                if let Some(before) = before.filter(|before| before != rest.trim()) {
                    self.infos.push(("BOARDRESULT".to_owned(), before));
                }
            }
            tag if matches!(tag, "ANL" | "FUNC") || Test::of(line.text).is_some() => {
                let board = self.board(true);
                board.hash.update(line.text.as_bytes()).update(b"\n");
                board.tests.push((line.number, line.text.to_owned()));
            }
            tag => {
                self.hash_line(line.text);
                self.infos.push((tag.to_owned(), rest.to_owned()));
            }
        }
    }

    /// The board whose lines come now; a test after the verdict on one is of the next.
    fn board(&mut self, is_test: bool) -> &mut Board {
        let is_next = self.boards.last().is_none_or(|board| is_test && board.result.is_some());
        if is_next {
            self.boards.push(Board::default());
        }
        let last = self.boards.len().saturating_sub(1);
        &mut self.boards[last]
    }

    fn units(mut self, input: &Input<'_>, note: Option<&String>) -> Vec<Result<Unit, ConvertError>> {
        if self.end.is_none() {
            let reason = "the run that begins here has no line END, and the next one begins".to_owned();
            return vec![Err(ConvertError::Malformed { place: format!("line {}", self.line), reason })];
        }
        let mut boards = std::mem::take(&mut self.boards);
        // Tests after the last verdict, of which no line says that they are of another board.
        if let [.., before, last] = boards.as_mut_slice()
            && last.serials.is_empty()
            && last.result.is_none()
        {
            before.tests.append(&mut last.tests);
            before.hash.update(last.hash.finalize().as_bytes());
            boards.pop();
        }
        if boards.is_empty() {
            let reason = "the run that begins here has no test".to_owned();
            return vec![Err(ConvertError::Malformed { place: format!("line {}", self.line), reason })];
        }
        boards.into_iter().map(|board| self.unit(board, input, note)).collect()
    }

    fn unit(&self, board: Board, input: &Input<'_>, note: Option<&String>) -> Result<Unit, ConvertError> {
        let mut walk = Walk::default();
        walk.notes(note.cloned());
        let field = |number: usize| self.start.get(number).map(String::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let (folder, plan, number) = (field(0), field(1), field(2));
        let mut infos: Vec<MiscInfo> = Vec::new();
        self.infos.iter().for_each(|(tag, text)| steps::misc(&mut infos, tag, text));
        self.start.iter().skip(7).for_each(|text| steps::misc(&mut infos, "START", text));
        let mut report = Report { kind: Some("T".to_owned()), pn: field(3), ..Report::default() };
        let (mut version, is_station) = (None, input.arguments.text(&NUMBER_IS) == Some("station"));
        if is_station {
            report.machine_name = number
        } else {
            version = number
        };
        let mut uut = Uut { user: field(4), batch_sn: self.lot.clone(), ..Uut::default() };
        let end = self.end.as_deref().unwrap_or_default();
        self.times(end, &mut report, &mut uut, &mut infos, input, &mut walk);
        match board.serials.as_slice() {
            [] => {}
            [serial] => report.sn = names::serial_number(serial, &mut walk),
            several => walk
                .fault(FaultKind::OutOfRange, format!("it has several serial numbers: {}", printable(&several.join(", "), 200))),
        }
        report.result = verdict_on_the_board(board.result.as_deref(), end.first().map(String::as_str), &mut walk);
        let tests = tests(&board.tests, &mut uut, &mut walk);
        let name = [folder, plan].into_iter().flatten().collect::<Vec<_>>().join("/");
        let name = if name.is_empty() { "SPEA" } else { &name };
        let mut root = steps::sequence(name, report.result.unwrap_or(Status::Error), tests);
        root.seq_call = Some(SeqCall { path: Some(name.to_owned()), name: Some(name.to_owned()), version, ..SeqCall::default() });
        root.tot_time = uut.exec_time.clone();
        (report.uut, report.root) = (Some(uut), Some(root));
        report.misc_infos = Some(infos).filter(|infos| !infos.is_empty());
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        notes.extend(contradictions(&report).into_iter().chain(passed_with_failures(&report)));
        fit(&mut report, &mut notes);
        let mut hash = self.hash.clone();
        hash.update(board.hash.finalize().as_bytes());
        Ok(Unit { report, own_hash: *hash.finalize().as_bytes(), notes })
    }

    /// When it began and how long it took.
    fn times(
        &self,
        end: &[String],
        report: &mut Report,
        uut: &mut Uut,
        infos: &mut Vec<MiscInfo>,
        input: &Input<'_>,
        walk: &mut Walk,
    ) {
        let is_month_first = match self.format.as_deref().map(str::to_ascii_lowercase) {
            Some(format) => match (format.find('m'), format.find('d')) {
                (Some(month), Some(day)) => Some(month < day),
                _ => None,
            },
            None => Some(input.arguments.text(&DATE_ORDER) != Some("day first")),
        };
        let text = |fields: &[String], at: usize| {
            fields.get(at..at + 2).map(|pair| pair.join(" ")).filter(|text| !text.trim().is_empty())
        };
        let read = |text: &str| moment(text, is_month_first?);
        let Some(began) = text(&self.start, 5) else { return };
        let Some(start) = read(&began) else {
            let format =
                self.format.as_deref().map_or_else(String::new, |format| format!(" of the order {:?}", printable(format, 20)));
            let message = format!("line {}: {:?} is no date and time{format}", self.line, printable(&began, 40));
            return walk.in_key("START", |walk| walk.fault(FaultKind::OutOfRange, message));
        };
        start.start(report, &input.zone(), walk);
        let Some(ended) = text(end, 1) else { return };
        let mut quiet = Walk::default();
        match (start.zoned(&input.zone(), &mut quiet), read(&ended).and_then(|end| end.zoned(&input.zone(), &mut quiet))) {
            (Some(start), Some(end)) => uut.exec_time = time::seconds(&start, &end, walk),
            _ => {
                walk.note(format!("END: {:?} is no date and time: how long it took is not known", printable(&ended, 40)));
                steps::misc(infos, "END", &ended);
            }
        }
    }
}

/// A date and a time of day. A year of four digits shows its place; day and month are in the order that is given.
fn moment(text: &str, is_month_first: bool) -> Option<Moment> {
    let (date, time) = text.split_once(' ')?;
    let parts: Vec<&str> = date.split(['/', '.', '-']).collect();
    let [first, second, third] = parts.as_slice() else { return None };
    let (year, one, other) = if first.len() == 4 { (first, second, third) } else { (third, first, second) };
    let (month, day) = if is_month_first { (one, other) } else { (other, one) };
    let year = if year.len() == 2 { format!("20{year}") } else { (*year).to_owned() };
    let hour = if time.find(':') == Some(1) { "0" } else { "" };
    Moment::iso(&format!("{year}-{month:0>2}-{day:0>2}T{hour}{time}"))
}

/// That of the board, else that of the run.
fn verdict_on_the_board(board: Option<&str>, run: Option<&str>, walk: &mut Walk) -> Option<Status> {
    let said = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(|text| (text.to_owned(), board_status(text)));
    let (board, run) = (said(board), said(run));
    if let (Some((board, one)), Some((run, other))) = (&board, &run)
        && one != other
    {
        walk.note(format!("BOARDRESULT says {:?} and END {:?}: the first counts", printable(board, 20), printable(run, 20)));
    }
    match board.or(run) {
        Some((_, Some(status))) => Some(status),
        Some((text, None)) => {
            let message = format!("{:?} is no verdict: PASS, FAIL or NONE", printable(&text, 20));
            walk.in_key("BOARDRESULT", |walk| walk.fault(FaultKind::OutOfRange, message));
            None
        }
        None => {
            walk.in_key("BOARDRESULT", |walk| walk.fault(FaultKind::Missing, "neither it nor END has a verdict"));
            None
        }
    }
}

fn board_status(text: &str) -> Option<Status> {
    match status(text) {
        // No verdict was reached (FORMATS.md section 16).
        Some(Status::Done) => Some(Status::Error),
        Some(Status::Skipped) => None,
        other => other,
    }
}

/// `PASS`, `FAIL`, `FAIL(+)`, `FAIL(-)`, `FAIL(+/-)`; `NONE` is no verdict.
fn status(text: &str) -> Option<Status> {
    let upper = text.to_ascii_uppercase();
    let word = upper.split('(').next().unwrap_or_default().trim();
    match word {
        "" | "NONE" => Some(Status::Done),
        word => Status::parse(word),
    }
}

/// A line of a test.
struct Test<'a> {
    kind: &'a str,
    site: &'a str,
    task: &'a str,
    number: &'a str,
    sub: &'a str,
    name: Cow<'a, str>,
    part: &'a str,
    verdict: &'a str,
    status: Status,
    value: &'a str,
    low: &'a str,
    high: &'a str,
    unit: &'a str,
    pins: &'a str,
    id: &'a str,
    more: Vec<&'a str>,
}

impl<'a> Test<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let fields: Vec<&str> = text.split(';').map(str::trim).collect();
        let is_verdict = |at: usize| fields.get(at).is_some_and(|text| !text.is_empty() && status(text).is_some());
        // A semicolon in the name moves what follows.
        let moved = fields.len().saturating_sub(FIELDS);
        let at = [VERDICT, VERDICT + moved].into_iter().find(|&at| is_verdict(at));
        let at = at.or_else(|| (fields.len() == FIELDS && fields[VERDICT].is_empty()).then_some(VERDICT))?;
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        let name = if at == VERDICT { Cow::Borrowed(field(5)) } else { Cow::Owned(fields.get(5..at - 1)?.join(";")) };
        Some(Self {
            kind: field(0),
            site: field(1),
            task: field(2),
            number: field(3),
            sub: field(4),
            name,
            part: field(at - 1),
            verdict: field(at),
            status: status(field(at))?,
            value: field(at + 1),
            low: field(at + 2),
            high: field(at + 3),
            unit: field(at + 4),
            pins: field(at + 5),
            id: field(at + 6),
            more: fields.iter().skip(at + 7).copied().filter(|text| !text.is_empty()).collect(),
        })
    }

    fn step(&self, decimal: Decimal, has_sites: bool, walk: &mut Walk) -> Step {
        let mut lines = Lines::default();
        let mut told = |key: &str, text: &str| {
            if !text.is_empty() {
                lines.add(key, text);
            }
        };
        if self.kind != "ANL" {
            told("kind", self.kind);
        }
        if has_sites {
            told("site", self.site);
        }
        told("test", self.sub);
        told("part", self.part);
        if self.status != Status::Passed {
            told("verdict", self.verdict);
        }
        let name = if self.name.is_empty() { self.task } else { &self.name };
        let measured = self.measured(decimal, &mut told, walk);
        told("pins", self.pins);
        told("number", self.id);
        self.more.iter().for_each(|text| told("more", text));
        let step = steps::measuring(name, self.status, measured.into_iter().collect());
        Step { report_text: lines.into_text(), ..step }
    }

    fn measured(&self, decimal: Decimal, told: &mut impl FnMut(&str, &str), walk: &mut Walk) -> Option<Measured> {
        let read = |text: &str| number::read(text, decimal);
        let is_zero = |text: &str| read(text).is_some_and(|number| number.as_f64() == 0.0);
        let all_zero = [self.value, self.low, self.high].into_iter().all(is_zero);
        if all_zero || self.value.is_empty() || self.value.eq_ignore_ascii_case("automatic") {
            if !all_zero {
                told("value", self.value);
                told("lower limit", self.low);
                told("upper limit", self.high);
            }
            told("unit", self.unit);
            return (self.status != Status::Done).then(|| Measured::Verdict(steps::verdict(None, self.status)));
        }
        let Some(value) = read(self.value) else {
            told("lower limit", self.low);
            told("upper limit", self.high);
            told("unit", self.unit);
            return Some(Measured::Text(steps::string(None, self.value.to_owned(), None, self.status)));
        };
        let (low, high) = (read(self.low), read(self.high));
        for (key, text, limit) in [("lower limit", self.low, &low), ("upper limit", self.high, &high)] {
            if !text.is_empty() && limit.as_ref().is_none_or(|limit| limit.as_f64().is_nan()) {
                walk.note(format!("{}: the {key} {:?} is no number", printable(&self.name, 60), printable(text, 40)));
                told(key, text);
            }
        }
        if is_zero(self.low) && is_zero(self.high) {
            told("lower limit", self.low);
            told("upper limit", self.high);
        }
        let unit = Some(self.unit).filter(|unit| !unit.is_empty()).map(str::to_owned);
        Some(Measured::Numeric(steps::numeric(None, value, limits(low, high), unit, self.status)))
    }
}

/// The limits that count: ±1e10 is none, and neither is zero unless the other one is said to be none.
fn limits(low: Option<Num>, high: Option<Num>) -> Option<Limits> {
    let set = |limit: Option<Num>| limit.filter(|limit| limit.as_f64().abs() < NO_LIMIT);
    let is_zero = |limit: &Option<Num>| limit.as_ref().is_some_and(|limit| limit.as_f64() == 0.0);
    let (mut low, mut high) = (set(low), set(high));
    match (is_zero(&low), is_zero(&high)) {
        (true, true) => (low, high) = (None, None),
        (true, false) if high.is_some() => low = None,
        (false, true) if low.is_some() => high = None,
        _ => {}
    }
    let bound = |limit: Option<Num>| limit.map(|limit| Bound { limit, inclusive: true });
    (low.is_some() || high.is_some()).then(|| Limits::Range { low: bound(low), high: bound(high) })
}

/// The tests of a board, those of one task in one sequence.
fn tests(lines: &[(u64, String)], uut: &mut Uut, walk: &mut Walk) -> Vec<Step> {
    let mut tests = Vec::with_capacity(lines.len());
    for (number, text) in lines {
        match Test::of(text) {
            Some(test) => tests.push(test),
            None => {
                let message = format!("line {number}: it has no verdict in its eighth field: {:?}", printable(text, 120));
                walk.in_key("ANL", |walk| walk.fault(FaultKind::OutOfRange, message));
            }
        }
    }
    let decimal = Decimal::by_evidence(tests.iter().flat_map(|test| [test.value, test.low, test.high]));
    let has_sites = tests.windows(2).any(|pair| pair[0].site != pair[1].site);
    if !has_sites {
        uut.test_socket_index = tests.first().and_then(|test| test.site.parse().ok());
    }
    let is_same_task = |a: &Test<'_>, b: &Test<'_>| (a.kind, a.site, a.task, a.number) == (b.kind, b.site, b.task, b.number);
    let task = |tests: &[Test<'_>]| {
        let first = tests.first()?;
        let own: Vec<Step> = tests.iter().map(|test| test.step(decimal, has_sites, walk)).collect();
        let has = |status| own.iter().any(|step| step.status == Some(status));
        let worst = [Status::Error, Status::Failed, Status::Terminated, Status::Passed, Status::Done];
        let status = worst.into_iter().find(|&status| has(status)).unwrap_or(Status::Skipped);
        let name = if first.task.is_empty() { &first.name } else { first.task };
        let mut step = steps::sequence(name, status, own);
        step.report_text = (!first.number.is_empty()).then(|| format!("task: {}", first.number));
        Some(step)
    };
    tests.chunk_by(is_same_task).filter_map(task).collect()
}

#[cfg(test)]
mod tests;
