//! Rows to steps.

use jiff::Zoned;
use jiff::tz::TimeZone;
use waybill_shared::report::{LoopInfo, Num, NumericMeas, Status, Step};
use waybill_shared::text::printable;

use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::number;
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::time::{self, Moment};
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::xml::Element;

/// One row: names and texts of its fields that say something, in their order.
type Row = Vec<(String, String)>;

/// The rows of a unit, as they are read.
#[derive(Default)]
pub(super) struct Rows {
    /// Rows of one run of one step.
    together: Vec<Row>,
    runs: Vec<Vec<Row>>,
}

/// What the rows of a unit say.
pub(super) struct Found {
    pub(super) steps: Vec<Step>,
    pub(super) worst: Option<Status>,
    pub(super) start: Option<Zoned>,
    pub(super) time: Option<Num>,
    pub(super) operator: Option<String>,
}

/// What rows of one run of a step have in common.
const OF_A_RUN: [&str; 5] = ["stepIndex", "stepID", "stepName", "stepResultID", "iteration"];

fn get<'a>(row: &'a Row, field: &str) -> Option<&'a str> {
    row.iter().find(|(name, _)| name == field).map(|(_, text)| text.as_str())
}

impl Rows {
    pub(super) fn row(&mut self, element: Element<'_>, walk: &mut Walk) {
        let mut row = Row::new();
        for child in element.children() {
            let text = child.text().trim();
            if !text.is_empty() {
                row.push((child.name().to_owned(), text.to_owned()));
            }
            for inner in child.children().filter(|inner| !inner.text().trim().is_empty()) {
                row.push((format!("{}.{}", child.name(), inner.name()), inner.text().trim().to_owned()));
            }
        }
        if row.is_empty() {
            walk.note(format!("{}: a row says nothing", element.place()));
            return;
        }
        let goes_on = |before: &Row| OF_A_RUN.iter().all(|field| get(before, field) == get(&row, field));
        if !self.together.first().is_none_or(goes_on) {
            self.runs.push(std::mem::take(&mut self.together));
        }
        self.together.push(row);
    }

    pub(super) fn finish(mut self, zone: &TimeZone, walk: &mut Walk) -> Found {
        if !self.together.is_empty() {
            self.runs.push(self.together);
        }
        let all = || self.runs.iter().flatten();
        let first = all().next().and_then(|row| get(row, "operator"));
        let operator = first.filter(|first| all().all(|row| get(row, "operator") == Some(first))).map(str::to_owned);
        let mut times = |field: &str| {
            let zoned = |text: &str| Moment::iso(text).and_then(|moment| moment.zoned(zone, &mut Walk::default()));
            let (mut found, mut wrong) = (Vec::new(), None);
            for text in all().filter_map(|row| get(row, field)) {
                match zoned(text) {
                    Some(zoned) => found.push(zoned),
                    None => wrong = wrong.or(Some(text)),
                }
            }
            if let Some(wrong) = wrong {
                walk.note(format!("the {field} {:?} is no time", printable(wrong, 40)));
            }
            found
        };
        let start = times("startDateTime").into_iter().min();
        let end = times("endDateTime").into_iter().max();
        if let Some(Moment::Local(civil)) = start.as_ref().map(|start| Moment::Local(start.datetime())) {
            // Says so if the clock of the station is not clear there.
            let _told = Moment::Local(civil).zoned(zone, walk);
        }
        let time = start.as_ref().zip(end.as_ref()).and_then(|(from, to)| time::seconds(from, to, walk));
        // A step is looped if it ran in another iteration, too.
        let key = |row: &Row| [get(row, "stepIndex"), get(row, "stepID")].map(|text| text.unwrap_or_default().to_owned());
        let mut iterations = std::collections::HashMap::new();
        for row in self.runs.iter().filter_map(|run| run.first()) {
            let iteration = get(row, "iteration").unwrap_or_default();
            let known: &mut std::collections::HashSet<String> = iterations.entry(key(row)).or_default();
            known.insert(iteration.to_owned());
        }
        let mut steps = Vec::with_capacity(self.runs.len());
        for run in self.runs {
            let is_looped = run.first().is_some_and(|row| iterations.get(&key(row)).is_some_and(|known| known.len() > 1));
            steps.push(step(run, is_looped, operator.as_deref(), zone, walk));
        }
        let has = |status| steps.iter().any(|step: &Step| step.status == Some(status));
        let ranked = [Status::Error, Status::Terminated, Status::Failed, Status::Passed, Status::Done];
        let worst = ranked.into_iter().find(|&status| has(status));
        Found { steps, worst, start, time, operator }
    }
}

/// One run of a step.
fn step(mut rows: Vec<Row>, is_looped: bool, operator: Option<&str>, zone: &TimeZone, walk: &mut Walk) -> Step {
    let first = rows.first().cloned().unwrap_or_default();
    let name = get(&first, "stepName").unwrap_or("step").to_owned();
    let mut lines = Lines::default();
    let outcome = get(&first, "stepOutcome").map(str::to_owned);
    let step_status = outcome.as_deref().and_then(|text| outcome_of(text, walk));
    let iteration = get(&first, "iteration").and_then(|text| text.parse::<i64>().ok());
    let mut said = vec!["stepName"];
    said.extend(step_status.and(Some("stepOutcome")));
    said.extend((is_looped && iteration.is_some()).then_some("iteration"));
    said.extend(operator.and(Some("operator")));
    let start = get(&first, "startDateTime").and_then(Moment::iso).and_then(|start| start.zoned(zone, &mut Walk::default()));
    said.extend(start.is_some().then_some("startDateTime"));
    let time = get(&first, "totalTime").and_then(number::plain).filter(|time| time.as_f64() >= 0.0 && time.as_f64().is_finite());
    said.extend(time.is_some().then_some("totalTime"));
    // What is said is said for all rows, where they agree.
    let agree = |field: &str, rows: &[Row]| rows.iter().all(|row| get(row, field) == get(&first, field));
    said.retain(|field| agree(field, &rows));
    for row in &mut rows {
        row.retain(|(field, _)| !said.contains(&field.as_str()));
    }
    let shared: Vec<String> =
        first.iter().map(|(field, _)| field.clone()).filter(|field| !said.contains(&field.as_str())).collect();
    let mut measured = Vec::new();
    let count = rows.len();
    let mut own = Vec::with_capacity(count);
    for row in rows {
        own.push(measurement(row, step_status, &mut measured, walk));
    }
    // Once for the step what all rows say and none has used.
    for field in shared.iter().filter(|_| count > 1) {
        let text = get(&first, field).unwrap_or_default();
        if own.iter().all(|(_, row)| get(row, field) == Some(text)) {
            lines.add(field, text);
            own.iter_mut().for_each(|(_, row)| row.retain(|(name, _)| name != field));
        }
    }
    for (of, row) in own {
        for (field, text) in row {
            let key = if count == 1 { field } else { format!("{of}: {field}") };
            lines.add(&key, &text);
        }
    }
    let by_measured = || {
        let statuses = measured.iter().filter_map(|one| match one {
            Measured::Numeric(one) => one.status,
            Measured::Text(one) => one.status,
            Measured::Verdict(one) => one.status,
        });
        statuses.fold(Status::Done, |worst, one| if one == Status::Failed || worst == Status::Done { one } else { worst })
    };
    let status = step_status.unwrap_or_else(by_measured);
    if measured.is_empty() {
        measured.push(Measured::Verdict(steps::verdict(None, status)));
    }
    if let [Measured::Numeric(NumericMeas { name: own, .. })] = measured.as_mut_slice()
        && own.as_deref() == Some(name.as_str())
    {
        *own = None;
    }
    Step {
        start: start.map(|start| time::local(&start)),
        tot_time: time,
        report_text: lines.into_text(),
        loop_info: iteration.filter(|_| is_looped).map(|number| LoopInfo { idx: Some(number), ..LoopInfo::default() }),
        ..steps::measuring(&name, status, measured)
    }
}

/// What a row measured goes to `measured`; its name, and the fields that are left.
fn measurement(mut row: Row, step: Option<Status>, measured: &mut Vec<Measured>, walk: &mut Walk) -> (String, Row) {
    let sub_item = get(&row, "subItemName").or_else(|| get(&row, "genus")).map(str::to_owned);
    let of = sub_item.clone().unwrap_or_else(|| "measurement".to_owned());
    let take = |row: &mut Row, field: &str| row.retain(|(name, _)| name != field);
    if get(&row, "genus") == get(&row, "subItemName") {
        take(&mut row, "genus");
    }
    let outcome = get(&row, "measurementOutcome").map(str::to_owned);
    let status = outcome.as_deref().and_then(|text| outcome_of(text, walk));
    let text = get(&row, "stringValue").map(str::to_owned);
    // These say of the step what its own fields say; the text stays where it says something else.
    if of == "Overall Outcome" && text.as_deref().and_then(Status::parse).is_some_and(|said| step.is_none_or(|step| step == said))
    {
        if step.is_some() {
            take(&mut row, "stringValue");
        }
        take(&mut row, "subItemName");
        return (of, row);
    }
    if of == "iteration" && get(&row, "iteration").is_none_or(|number| Some(number) == text.as_deref()) {
        take(&mut row, "subItemName");
        return (of, row);
    }
    let named_by = if get(&row, "subItemName").is_some() { "subItemName" } else { "genus" };
    take(&mut row, named_by);
    let is_recorded = status == Some(Status::Done);
    if status.is_some() && !is_recorded {
        take(&mut row, "measurementOutcome");
    }
    let value = get(&row, "stepValue").and_then(number::plain).filter(|_| get(&row, "dataType").is_none_or(|kind| kind == "0"));
    let Some(value) = value else {
        // A text, a truth value, a choice: what was read stands as a text.
        let field = if text.is_some() { "stringValue" } else { "boolValue" };
        let read = get(&row, field).unwrap_or_default().to_owned();
        take(&mut row, field);
        let is_text = get(&row, "dataType") == Some("2");
        let expected = get(&row, "Expected_String").filter(|_| is_text && !is_recorded).map(str::to_owned);
        let comparator = if get(&row, "Case_Sensitive") == Some("T") { "CASESENSIT" } else { "IGNORECASE" };
        if expected.is_some() {
            take(&mut row, "Expected_String");
            take(&mut row, "Case_Sensitive");
        }
        let limit = expected.map(|expected| (comparator, expected));
        let status = status.or(step).unwrap_or(Status::Done);
        measured.push(Measured::Text(steps::string(sub_item, read, limit, status)));
        return (of, row);
    };
    let limits = if is_recorded { None } else { limits(&row, &of, walk) };
    if let Some((_, used)) = &limits {
        used.iter().for_each(|field| take(&mut row, field));
        take(&mut row, "limitMode");
    }
    if let Some(prefix) = get(&row, "SI_Prefix").filter(|prefix| !prefix.starts_with("unity") && !is_recorded) {
        walk.note(format!("{of} has the prefix {:?}: value and limits stand as they are", printable(prefix, 40)));
    }
    let unit = get(&row, "units").map(str::to_owned);
    take(&mut row, "units");
    take(&mut row, "stepValue");
    let limits = limits.map(|(limits, _)| limits);
    let status = status.unwrap_or_else(|| match &limits {
        Some(limits) if limits.hold(value.as_f64()) => Status::Passed,
        Some(_) => Status::Failed,
        None => Status::Done,
    });
    measured.push(Measured::Numeric(steps::numeric(sub_item, value, limits, unit, status)));
    (of, row)
}

/// A verdict in the words of the program; one that is not known is noted, and stands in the text.
fn outcome_of(text: &str, walk: &mut Walk) -> Option<Status> {
    let lower = text.trim().to_ascii_lowercase();
    let found = Status::parse(&lower).or(match lower.as_str() {
        "not performed" | "not run" | "not tested" => Some(Status::Skipped),
        text if text.starts_with("performed") => Some(Status::Done),
        _ => None,
    });
    if found.is_none() {
        walk.note(format!("the outcome {:?} is not known: it stands in the report text", printable(text, 40)));
    }
    found
}

/// The limits that count by `limitMode`, and the fields in which they stand.
fn limits(row: &Row, of: &str, walk: &mut Walk) -> Option<(Limits, Vec<&'static str>)> {
    let mode = get(row, "limitMode")?;
    let found = by_mode(mode, row);
    if found.is_none() {
        walk.note(format!("{of}: the limits of the mode {:?} are not known: they stand in the report text", printable(mode, 60)));
    }
    found
}

fn by_mode(mode: &str, row: &Row) -> Option<(Limits, Vec<&'static str>)> {
    let words = words(mode);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let limit = |name: &str| {
        let field = match name {
            "LL" => "lowerLimit",
            "UL" => "upperLimit",
            _ => return None,
        };
        Some((number::plain(get(row, field)?)?, field))
    };
    let bound = |limit: Num, sign: &str| Bound { limit, inclusive: sign.ends_with('=') };
    // Seen from the value: `LL <= Value` is `Value >= LL`.
    let turned = |sign: &str| {
        sign.chars()
            .map(|c| {
                if c == '<' {
                    '>'
                } else if c == '>' {
                    '<'
                } else {
                    c
                }
            })
            .collect::<String>()
    };
    let one = |sign: &str, name: &str| {
        let (limit, field) = limit(name)?;
        let limits = match sign {
            ">" | ">=" => Limits::Range { low: Some(bound(limit, sign)), high: None },
            "<" | "<=" => Limits::Range { low: None, high: Some(bound(limit, sign)) },
            "=" | "==" => Limits::Equal(limit),
            "!=" | "<>" => Limits::NotEqual(limit),
            _ => return None,
        };
        Some((limits, field))
    };
    let both = |(a, first): (Limits, &'static str), (b, second): (Limits, &'static str)| Some((a.and(&b)?, vec![first, second]));
    match words.as_slice() {
        ["Value", sign, name] => one(sign, name).map(|(limits, field)| (limits, vec![field])),
        [name, sign, "Value"] => one(&turned(sign), name).map(|(limits, field)| (limits, vec![field])),
        [low, first, "Value", second, high] => both(one(&turned(first), low)?, one(second, high)?),
        ["Value", first, a, and, "Value", second, b] if and.eq_ignore_ascii_case("and") => both(one(first, a)?, one(second, b)?),
        ["Value", first, a, or, "Value", second, b] if or.eq_ignore_ascii_case("or") => match (one(first, a)?, one(second, b)?) {
            ((Limits::Range { low: None, high: Some(low) }, first), (Limits::Range { low: Some(high), high: None }, second)) => {
                Some((Limits::Outside { low, high }, vec![first, second]))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Words and signs of a mode, whatever stands between them.
fn words(mode: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for c in mode.chars() {
        let is_sign = |c: char| "<>=!".contains(c);
        match words.last_mut() {
            _ if c.is_whitespace() => {}
            Some(word) if !before.is_whitespace() && is_sign(before) == is_sign(c) => word.push(c),
            _ => words.push(c.to_string()),
        }
        before = c;
    }
    words
}
