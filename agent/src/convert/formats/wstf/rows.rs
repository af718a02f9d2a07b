//! The rows of steps to steps.
//!
//! | StepType | what the row is |
//! |---|---|
//! | `SequenceCall` … `EndSequenceCall` | a sequence and its end; they nest |
//! | `NumericLimitTest`, `PassFailTest`, `StringValueTest` | a step with one measurement; rows below it without StepName are more of them |
//! | `Multiple…Test` … `EndMultiple…Test` | a step with all measurements between |
//! | `ActionStep` | a step without a measurement |
//! | `Chart` (type, label, Y unit, Y label, X unit, X label), `Series` (name, XYG, y;y;y, x;x;x) | a graph of the step above, or a step of its own |
//!
//! A row of another type is a step without a measurement; what stands in its cells stands in its report text. Nothing in a cell that a report has no
//! field for is lost: it stands in the report text under the name of its column.

use waybill_shared::report::{Chart, Num, Series, Status, Step};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use crate::convert::ground::steps::worst;
use crate::convert::ground::limits::Limits;
use crate::convert::ground::names::normalised;
use crate::convert::ground::number::{self, Decimal};
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::walk::{Lines, Walk};

/// Columns, in their order.
const COLUMNS: [&str; 14] = [
    "StepType",
    "StepName",
    "MeasureName",
    "Value",
    "LowLimit",
    "HighLimit",
    "CompOperator",
    "Unit",
    "Status",
    "StepExecutionTime",
    "StepReportText",
    "StepErrorCode",
    "StepErrorMessage",
    "CausedSequenceFailure",
];
/// Deepest nesting of sequences: readers of JSON take some sixty steps in each other.
const DEEPEST: usize = 50;

/// The steps that were read so far.
#[derive(Default)]
pub(super) struct Rows {
    columns: Option<Vec<String>>,
    /// Sequences that are open.
    open: Vec<Step>,
    /// Steps of the root.
    steps: Vec<Step>,
    test: Option<Test>,
    computed: u64,
}

/// The step that measurements belong to.
#[derive(Default)]
struct Test {
    step: Step,
    name: String,
    /// Until its end row, every row is one of its measurements.
    is_block: bool,
    status: Option<Status>,
    measured: Vec<Measured>,
    lines: Lines,
}

/// Cells of a row, by column. What is taken is gone; the rest goes into a text.
struct Row<'a>(Vec<(&'a str, &'a str)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Numeric,
    PassFail,
    Text,
}

enum Type {
    Sequence,
    EndOfSequence,
    Test(Kind),
    Block,
    EndOfBlock,
    /// No type: it goes on with the step above.
    More,
    Action,
    Chart,
    Series,
    Other,
}

fn type_of(text: &str) -> Type {
    match normalised(text).as_str() {
        "" => Type::More,
        "sequencecall" => Type::Sequence,
        "endsequencecall" => Type::EndOfSequence,
        "numericlimittest" | "numericlimitstep" | "etnlt" => Type::Test(Kind::Numeric),
        "passfailtest" | "passfailstep" | "etpft" => Type::Test(Kind::PassFail),
        "stringvaluetest" | "stringvaluestep" | "etsvt" => Type::Test(Kind::Text),
        "actionstep" | "action" | "eta" => Type::Action,
        "chart" => Type::Chart,
        "series" => Type::Series,
        name if name.starts_with("endmulti") => Type::EndOfBlock,
        name if name.starts_with("multi") => Type::Block,
        _ => Type::Other,
    }
}

fn block_kind(text: &str) -> Kind {
    match normalised(text) {
        name if name.contains("numeric") => Kind::Numeric,
        name if name.contains("string") => Kind::Text,
        _ => Kind::PassFail,
    }
}

impl Rows {
    pub(super) fn row(&mut self, line: &str, walk: &mut Walk) {
        let cells: Vec<&str> = line.split('\t').collect();
        if cells.first().is_some_and(|cell| normalised(cell) == "steptype") {
            self.columns = Some(cells.iter().map(|cell| column(cell)).collect());
            return;
        }
        let of_type = cells.first().copied().unwrap_or_default().trim().to_owned();
        match type_of(&of_type) {
            Type::Chart => return self.chart(&cells),
            Type::Series => return self.series(&cells, walk),
            _ => {}
        }
        let columns = self.columns.take();
        let name = |at: usize| match &columns {
            Some(columns) => columns.get(at).map_or("more", String::as_str),
            None => COLUMNS.get(at).copied().unwrap_or("more"),
        };
        let mut row = Row(cells.iter().enumerate().map(|(at, cell)| (name(at), *cell)).collect());
        let of_type = row.take("StepType").unwrap_or(&of_type);
        match type_of(of_type) {
            Type::Sequence => self.begin_sequence(row, walk),
            Type::EndOfSequence => self.end_sequence(row, walk),
            Type::Test(kind) => self.measurement(kind, row, walk),
            Type::Block => {
                let kind = block_kind(of_type);
                self.end_test(walk);
                let step_name = row.take("StepName").unwrap_or_default().trim().to_owned();
                let mut test = Test { is_block: true, name: step_name, ..Test::default() };
                // Its own row may hold the first measurement.
                if row.has("MeasureName") || row.has("Value") {
                    test.measure(kind, row, &mut self.computed, walk);
                } else {
                    test.status = row.status(walk);
                    test.common(row, walk);
                }
                self.test = Some(test);
            }
            Type::EndOfBlock => {
                if let Some(test) = &mut self.test {
                    row.take("StepName");
                    if let Some(status) = row.status(walk) {
                        test.status = Some(status);
                    }
                    test.common(row, walk);
                } else {
                    walk.note("it ends a step that has not begun");
                }
                self.close_test();
            }
            Type::More => {
                let kind = self.test.as_ref().and_then(Test::kind);
                self.measurement(kind.unwrap_or_else(|| row.kind()), row, walk);
            }
            Type::Action | Type::Other | Type::Chart | Type::Series => {
                self.end_test(walk);
                let mut test = Test { name: row.take("StepName").unwrap_or_default().trim().to_owned(), ..Test::default() };
                if matches!(type_of(of_type), Type::Other) {
                    test.lines.add("StepType", of_type);
                    walk.note(format!(
                        "the step type {:?} is not known: it is a step without a measurement",
                        printable(of_type, 40)
                    ));
                }
                test.status = row.status(walk).or(Some(Status::Done));
                test.common(row, walk);
                self.test = Some(test);
            }
        }
        self.columns = columns;
    }

    fn measurement(&mut self, kind: Kind, mut row: Row<'_>, walk: &mut Walk) {
        let goes_on = self.test.as_ref().is_some_and(|test| test.is_block || (!row.has("StepName") && !test.measured.is_empty()));
        if !goes_on {
            self.end_test(walk);
            let name = row.take("StepName").or_else(|| row.get("MeasureName")).unwrap_or_default().trim().to_owned();
            self.test = Some(Test { name, ..Test::default() });
        }
        if let Some(test) = &mut self.test {
            test.measure(kind, row, &mut self.computed, walk);
        }
    }

    fn begin_sequence(&mut self, mut row: Row<'_>, walk: &mut Walk) {
        self.end_test(walk);
        if self.open.len() >= DEEPEST {
            walk.fault(FaultKind::OutOfRange, format!("sequences are nested deeper than {DEEPEST}"));
            return;
        }
        let name = row.take("StepName").unwrap_or_default().trim().to_owned();
        let status = row.status(walk);
        let mut test = Test::default();
        test.common(row, walk);
        let mut step = Step { report_text: test.lines.into_text(), ..test.step };
        let of = steps::sequence(&name, Status::Done, Vec::new());
        (step.step_type, step.name, step.group, step.seq_call, step.steps) =
            (of.step_type, of.name, of.group, of.seq_call, of.steps);
        step.status = status;
        self.open.push(step);
    }

    fn end_sequence(&mut self, mut row: Row<'_>, walk: &mut Walk) {
        self.end_test(walk);
        row.take("StepName");
        let status = row.status(walk);
        let mut test = Test::default();
        test.common(row, walk);
        let Some(step) = self.open.last_mut() else {
            walk.note("it ends a sequence that has not begun");
            return;
        };
        step.status = step.status.or(status);
        let Test { step: end, lines, .. } = test;
        step.tot_time = step.tot_time.take().or(end.tot_time);
        step.error_code = step.error_code.or(end.error_code);
        step.error_message = step.error_message.take().or(end.error_message);
        let texts: Vec<_> = step.report_text.take().into_iter().chain(lines.into_text()).collect();
        step.report_text = (!texts.is_empty()).then(|| texts.join("\n"));
        self.close_sequence();
    }

    fn close_sequence(&mut self) {
        let Some(mut step) = self.open.pop() else { return };
        if step.status.is_none() {
            step.status = worst(step.steps.as_deref().unwrap_or_default()).or(Some(Status::Done));
        }
        self.push(step);
    }

    fn push(&mut self, step: Step) {
        match self.open.last_mut() {
            Some(outer) => outer.steps.get_or_insert_default().push(step),
            None => self.steps.push(step),
        }
    }

    /// Another step begins.
    fn end_test(&mut self, walk: &mut Walk) {
        if let Some(Test { is_block: true, name, .. }) = &self.test {
            walk.note(format!("the step {:?} has no row that ends it", printable(name, 60)));
        }
        self.close_test();
    }

    fn close_test(&mut self) {
        if let Some(test) = self.test.take() {
            let step = test.step();
            self.push(step);
        }
    }

    /// All steps, and what they give as a verdict.
    pub(super) fn finish(mut self, walk: &mut Walk) -> (Vec<Step>, Option<Status>) {
        self.end_test(walk);
        if !self.open.is_empty() {
            walk.note(format!("{} sequences have no EndSequenceCall", self.open.len()));
        }
        while !self.open.is_empty() {
            self.close_sequence();
        }
        if self.computed > 0 {
            walk.note(format!("{} measurements have no status: it was computed from their limits", self.computed));
        }
        let verdict = worst(&self.steps);
        (self.steps, verdict)
    }

    /// A graph of the step above, or of its own if that one has one or there is none.
    fn chart(&mut self, cells: &[&str]) {
        let cell = |at: usize| cells.get(at).map(|cell| cell.trim()).filter(|cell| !cell.is_empty()).map(str::to_owned);
        let chart = Chart {
            chart_type: cell(1),
            label: cell(2),
            y_unit: cell(3),
            y_label: cell(4),
            x_unit: cell(5),
            x_label: cell(6),
            series: Some(Vec::new()),
            ..Chart::default()
        };
        let more: Vec<_> = cells.iter().skip(7).filter(|cell| !cell.trim().is_empty()).copied().collect();
        if self.test.as_ref().is_none_or(|test| test.step.chart.is_some()) {
            self.close_test();
            let name = cell(2).unwrap_or_else(|| "Chart".to_owned());
            let mut test = Test { name, status: Some(Status::Done), ..Test::default() };
            test.step.step_type = Some("Chart".to_owned());
            self.test = Some(test);
        }
        if let Some(test) = &mut self.test {
            more.iter().for_each(|text| test.lines.add("Chart", text));
            test.step.chart = Some(chart);
        }
    }

    fn series(&mut self, cells: &[&str], walk: &mut Walk) {
        let Some(Test { step: Step { chart: Some(chart), .. }, lines, .. }) = &mut self.test else {
            walk.note("a series without a chart was left out");
            return;
        };
        let cell = |at: usize| cells.get(at).map(|cell| cell.trim()).filter(|cell| !cell.is_empty());
        let (y, x) = (cell(3).map(values), cell(4).map(values));
        let count = |values: &Option<String>| values.as_ref().map_or(0, |values| values.split(';').count());
        if x.is_some() && count(&x) != count(&y) {
            walk.note(format!("the series has {} values of Y and {} of X", count(&y), count(&x)));
        }
        for text in cells.iter().skip(5).filter(|cell| !cell.trim().is_empty()) {
            lines.add("Series", text);
        }
        let series = Series {
            data_type: cell(2).map(str::to_owned),
            name: cell(1).map(str::to_owned),
            xdata: x,
            ydata: y,
            ..Series::default()
        };
        chart.series.get_or_insert_default().push(series);
    }
}

impl Test {
    fn kind(&self) -> Option<Kind> {
        self.measured.last().map(|one| match one {
            Measured::Numeric(_) => Kind::Numeric,
            Measured::Text(_) => Kind::Text,
            Measured::Verdict(_) => Kind::PassFail,
        })
    }

    fn measure(&mut self, kind: Kind, mut row: Row<'_>, computed: &mut u64, walk: &mut Walk) {
        let step_name = row.take("StepName");
        let name = row.take("MeasureName").or(step_name).map(|text| text.trim().to_owned());
        let status = row.status(walk);
        let mut compute = |found: Status| {
            *computed += 1;
            found
        };
        let measured = match kind {
            Kind::Numeric => row.numeric(name, status, &mut compute, walk),
            Kind::Text => Some(row.text(name, status, &mut compute)),
            Kind::PassFail => {
                let by_value = row.get("Value").and_then(truth);
                let status = status.or_else(|| by_value.map(&mut compute));
                if status.is_none() {
                    walk.fault(FaultKind::Missing, "a pass/fail test has neither a status nor a value that is one");
                }
                if by_value.is_some() && by_value == status {
                    row.take("Value");
                }
                Some(Measured::Verdict(steps::verdict(name, status.unwrap_or(Status::Error))))
            }
        };
        // Of a step with one measurement, this is its status, too.
        match measured {
            Some(measured) => self.measured.push(measured),
            None => self.status = status,
        }
        self.common(row, walk);
    }

    /// What each row has of its step, and everything else in it.
    fn common(&mut self, mut row: Row<'_>, walk: &mut Walk) {
        let step = &mut self.step;
        if step.tot_time.is_none() {
            step.tot_time = row.take_if("StepExecutionTime", |text| number(text).filter(|time| time.as_f64().is_finite()));
        }
        if step.error_code.is_none() {
            step.error_code = row.take_if("StepErrorCode", |text| text.parse().ok());
        }
        if step.error_message.is_none() {
            step.error_message = row.take("StepErrorMessage").map(str::to_owned);
        }
        if let Some(caused) = row.take_if("CausedSequenceFailure", flag) {
            step.caused_seq_failure = Some(caused || step.caused_seq_failure == Some(true));
        }
        if let Some(text) = row.take("StepReportText") {
            self.lines.add_text(text.to_owned());
        }
        let several = !self.measured.is_empty() && (self.is_block || self.measured.len() > 1);
        let of = self.measured.last().filter(|_| several).and_then(|one| match one {
            Measured::Numeric(one) => one.name.clone(),
            Measured::Text(one) => one.name.clone(),
            Measured::Verdict(one) => one.name.clone(),
        });
        for (column, cell) in row.0 {
            if cell.trim().is_empty() {
                continue;
            }
            if column == "more" {
                walk.note(format!("a cell beyond the columns stands in the report text: {:?}", printable(cell, 40)));
            }
            let key = of.as_ref().map_or_else(|| column.to_owned(), |of| format!("{of}: {column}"));
            self.lines.add(&key, cell.trim());
        }
    }

    fn step(self) -> Step {
        let Self { step: said, name, status, measured, lines, .. } = self;
        let statuses = measured.iter().filter_map(|one| match one {
            Measured::Numeric(one) => one.status,
            Measured::Text(one) => one.status,
            Measured::Verdict(one) => one.status,
        });
        let inner: Vec<Step> = statuses.map(|status| Step { status: Some(status), ..Step::default() }).collect();
        let status = status.or_else(|| worst(&inner)).unwrap_or(Status::Done);
        let mut measured = measured;
        if let [Measured::Numeric(one)] = measured.as_mut_slice()
            && one.name.as_deref() == Some(name.as_str())
        {
            one.name = None;
        }
        let mut step = steps::measuring(&name, status, measured);
        if let Some(chart_step) = said.step_type {
            step.step_type = Some(chart_step);
        }
        Step {
            tot_time: said.tot_time,
            error_code: said.error_code,
            error_message: said.error_message,
            caused_seq_failure: said.caused_seq_failure,
            chart: said.chart,
            report_text: lines.into_text(),
            ..step
        }
    }
}

impl<'a> Row<'a> {
    fn get(&self, column: &str) -> Option<&'a str> {
        self.0.iter().find(|(name, cell)| *name == column && !cell.trim().is_empty()).map(|(_, cell)| *cell)
    }

    fn has(&self, column: &str) -> bool {
        self.get(column).is_some()
    }

    /// Takes a cell, if there is something in it.
    fn take(&mut self, column: &str) -> Option<&'a str> {
        let found = self.get(column);
        self.0.retain(|(name, _)| *name != column);
        found
    }

    /// Takes a cell, if it is what it should be.
    fn take_if<T>(&mut self, column: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = read(self.get(column)?.trim())?;
        self.take(column);
        Some(found)
    }

    fn status(&mut self, walk: &mut Walk) -> Option<Status> {
        self.take("Status").and_then(|text| status(text, walk))
    }

    /// What a row is that does not say it.
    fn kind(&self) -> Kind {
        match self.get("Value") {
            None => Kind::PassFail,
            Some(value) if number(value).is_some() => Kind::Numeric,
            Some(_) => Kind::Text,
        }
    }

    fn numeric(
        &mut self,
        name: Option<String>,
        status: Option<Status>,
        compute: &mut dyn FnMut(Status) -> Status,
        walk: &mut Walk,
    ) -> Option<Measured> {
        let value = match (self.get("Value").map(str::trim), status) {
            (None, Some(Status::Skipped | Status::Error | Status::Terminated)) => return None,
            (None, _) => {
                walk.note("a numeric test has no value: it is not a number");
                Num::NaN
            }
            (Some(text), _) => match number(text) {
                Some(number) => number,
                None => {
                    walk.note(format!("the value {:?} is no number: it is a text", printable(text, 40)));
                    let text = self.take("Value").unwrap_or_default().to_owned();
                    let status = status.unwrap_or(Status::Done);
                    return Some(Measured::Text(steps::string(name, text, None, status)));
                }
            },
        };
        self.take("Value");
        let limits = self.limits(walk);
        let status = status.unwrap_or_else(|| {
            let holds = limits.as_ref().is_none_or(|limits| limits.hold(value.as_f64()));
            compute(if holds { Status::Passed } else { Status::Failed })
        });
        let unit = self.take("Unit").map(|unit| unit.trim().to_owned());
        Some(Measured::Numeric(steps::numeric(name, value, limits, unit, status)))
    }

    /// The limits, by their comparator; without one those that there are belong to what is allowed.
    fn limits(&mut self, walk: &mut Walk) -> Option<Limits> {
        let (low, high) = (self.limit("LowLimit"), self.limit("HighLimit"));
        let comparator = self.get("CompOperator").map(|text| text.trim().to_ascii_uppercase());
        let by_what_there_is = || match (&low, &high) {
            (Some(_), Some(_)) => Limits::of("GELE", low.clone(), high.clone()),
            (Some(_), None) => Limits::of("GE", low.clone(), None),
            (None, Some(_)) => Limits::of("LE", None, high.clone()),
            (None, None) => None,
        };
        let found = match comparator.as_deref() {
            // Limits that do not count stand in the text.
            Some("LOG" | "NONE") => {
                self.take("CompOperator");
                return None;
            }
            None => by_what_there_is(),
            Some(comparator) => match Limits::of(comparator, low.clone(), high.clone()) {
                Some(limits) => {
                    self.take("CompOperator");
                    Some(limits)
                }
                None => {
                    let limits = by_what_there_is();
                    let as_what = limits.as_ref().map_or("LOG", Limits::comp_op);
                    let comparator = printable(comparator, 20);
                    walk.note(format!("the comparator {comparator:?} is not known or lacks a limit: it is read as {as_what}"));
                    limits
                }
            },
        };
        // A limit that is in use is said; another one stays for the text.
        if let Some(limits) = &found {
            let (used_low, used_high) = limits.clone().low_and_high();
            for (column, limit) in [("LowLimit", low), ("HighLimit", high)] {
                if limit.is_some() && (limit == used_low || limit == used_high) {
                    self.take(column);
                }
            }
        }
        found
    }

    fn limit(&self, column: &str) -> Option<Num> {
        self.get(column).and_then(number)
    }

    fn text(&mut self, name: Option<String>, status: Option<Status>, compute: &mut dyn FnMut(Status) -> Status) -> Measured {
        let value = self.take("Value").unwrap_or_default().to_owned();
        let limit = self.take("StringLimit").or_else(|| self.take("LowLimit")).map(str::to_owned);
        let comparator = self.get("CompOperator").map(|text| text.trim().to_ascii_uppercase());
        let comparator = comparator.unwrap_or_else(|| "CASESENSIT".to_owned());
        // Without a limit there is nothing to compare with: another comparator stays for the text.
        if limit.is_some() || comparator == "LOG" {
            self.take("CompOperator");
        }
        let status = status.unwrap_or_else(|| {
            let holds = match (&limit, comparator.as_str()) {
                (None, _) | (_, "LOG") => true,
                (Some(limit), "IGNORECASE") => limit.to_lowercase() == value.to_lowercase(),
                (Some(limit), "NE") => *limit != value,
                (Some(limit), _) => *limit == value,
            };
            compute(if holds { Status::Passed } else { Status::Failed })
        });
        Measured::Text(steps::string(name, value, limit.map(|limit| (comparator.as_str(), limit)), status))
    }
}

/// The column that a name in the first row means; one that is not known keeps its name.
fn column(text: &str) -> String {
    let name = normalised(text);
    let known = COLUMNS.iter().find(|known| normalised(known) == name).map(|&known| known.to_owned());
    known.unwrap_or_else(|| match name.as_str() {
        "stringlimit" => "StringLimit".to_owned(),
        "lowlimitstringlimit" => "LowLimit".to_owned(),
        "comparator" | "compop" => "CompOperator".to_owned(),
        "units" => "Unit".to_owned(),
        _ => text.trim().to_owned(),
    })
}

/// A number with a point or a comma.
pub(super) fn number(text: &str) -> Option<Num> {
    number::plain(text).or_else(|| number::read(text, Decimal::Comma))
}

/// A status; one that is not known is a fault.
pub(super) fn status(text: &str, walk: &mut Walk) -> Option<Status> {
    let found = Status::parse(text);
    if found.is_none() {
        walk.fault(FaultKind::OutOfRange, format!("{:?} is no status", printable(text, 40)));
    }
    found
}

fn truth(text: &str) -> Option<Status> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(Status::Passed),
        "false" | "0" | "no" => Some(Status::Failed),
        other => Status::parse(other),
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

/// Values of a series, with decimal points.
fn values(text: &str) -> String {
    let value = |text: &str| number(text).map_or_else(|| text.trim().to_owned(), |number| number.to_string());
    text.trim_end_matches(';').split(';').map(value).collect::<Vec<_>>().join(";")
}
