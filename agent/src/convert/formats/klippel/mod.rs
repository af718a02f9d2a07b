//! Klippel QC, tests of loudspeakers: a master file and a folder of the same name with a file for each measurement. One master, one unit.
//!
//! Sources: FORMATS.md sections 13 and 16, and the files in tests/data/klippel. What those fix:
//!
//! - The master has lines `//comment` and `Key=value`. `Cfg_SerialNumber`, `Cfg_DutStartTime` and `Ctrl_OverallVerdict` must be there.
//! - `Cfg_DutStartTime` is year-month-week-day of the year-weekday-day-hour-minute-second-millisecond-offset-seconds since 1970; the offset is in minutes
//!   east of UTC, and may be negative. The seconds since 1970 are rounded and not read.
//! - `Ctrl_OverallVerdict`: 1 is passed, and nothing else is. 0 (failed) and 2 (warning) are a failed unit, -1 (void), 3 (noise) and 4 (invalid)
//!   one that could not be judged. `Results_Pass` and its like list the results of each verdict, with tabs between them.
//! - Files of the folder are tables with tabs. Under `name` stand single values, under `frq` a curve; columns `max` and `min` are its limits and stand in
//!   this order, which their names say. `-` is no value. What stands in a file's name before its last `-` names the sequence.
//! - A result without a file (`fs`, `pol`) has its verdict only.
//!
//! A curve is a chart of it and its limits, with its verdict; of points beyond the limits that the verdict does not show, a note tells. Everything else
//! in the master is information on the unit; what is blank there says nothing.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use jiff::civil;
use jiff::tz::Offset;
use waybill_shared::report::{Num, Report, Status, Step, Uut};
use waybill_shared::text::printable;

use crate::convert::ground::chart::{Axis, Curve, with_axes};
use crate::convert::ground::fit::fit;
use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::number::{self, Decimal};
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::time::Moment;
use crate::convert::ground::walk::Walk;
use crate::convert::ground::{names, text, verdict};
use crate::convert::{About, ConvertError, Input, Unit, common};

/// What the converter says of itself.
pub const ABOUT: About = About {
    name: "klippel",
    version: 1,
    help: "Klippel QC: a master file and the folder of the same name",
    patterns: &["DUT *.txt"],
    has_end_mark: false,
    arguments: &[],
};

/// The lists of results in a master, each with the verdict that it stands for.
const LISTS: [(&str, Status); 6] = [
    ("Results_Pass", Status::Passed),
    ("Results_Fail", Status::Failed),
    ("Results_Warning", Status::Failed),
    ("Results_Void", Status::Skipped),
    ("Results_Noise", Status::Error),
    ("Results_Invalid", Status::Error),
];

/// How sure it is, 0 to 100, that a file that begins so is a master.
#[must_use]
pub fn sniff(head: &[u8]) -> u8 {
    // Without its zero bytes, UTF-16 reads like ASCII here.
    let head: Vec<u8> = head.iter().copied().filter(|&byte| byte != 0).collect();
    let contains = |text: &str| head.windows(text.len()).any(|window| window == text.as_bytes());
    match (contains("Cfg_DutStartTime="), contains("Ctrl_OverallVerdict="), contains("Cfg_SerialNumber=")) {
        (true, true, true) => 95,
        (true, _, true) => 60,
        _ => 0,
    }
}

/// The unit of a master and of the files in its folder, each with its name and what is in it. `input` is the master.
///
/// # Errors
/// [`ConvertError::Incomplete`] while the folder or a part of a file is not there, else what is wrong.
pub fn unit(input: &Input<'_>, folder: &[(String, Vec<u8>)]) -> Result<Unit, ConvertError> {
    let mut walk = Walk::default();
    let decoded = input.text()?;
    walk.notes(decoded.note.clone());
    let mut master = Master::read(&decoded.text)?;
    let mut hash = blake3::Hasher::new();
    hash.update(&(decoded.text.len() as u64).to_le_bytes()).update(decoded.text.as_bytes());
    // In the order of their names, however the folder lists them.
    let files: BTreeMap<&str, &[u8]> = folder.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let results = master.results();
    if files.is_empty() && !results.is_empty() {
        let reason = "the folder of the same name, in which its measurements are, is not there or empty".to_owned();
        return Err(ConvertError::Incomplete { place: input.file_name.to_owned(), reason });
    }
    let mut sequences: Vec<(String, Vec<Step>)> = Vec::new();
    let mut shown = Vec::new();
    for (&name, &bytes) in &files {
        hash.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hash.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        let stem = name.strip_suffix(".txt").or_else(|| name.strip_suffix(".TXT"));
        let Some(stem) = stem else {
            walk.note(format!("the file {:?} of its folder is no table and was left out", printable(name, 100)));
            continue;
        };
        let file = text::decode(bytes, common::encoding(input.arguments));
        walk.notes(file.note);
        let steps = table(name, &file.text, &results, &mut walk)?;
        shown.extend(steps.iter().filter_map(|step| step.name.clone()));
        let part = stem.rsplit_once('-').map_or(stem, |(part, _)| part).trim();
        match sequences.iter_mut().find(|(known, _)| known == part) {
            Some((_, inner)) => inner.extend(steps),
            None => sequences.push((part.to_owned(), steps)),
        }
    }
    let worst = |steps: &[Step]| {
        let has = |status| steps.iter().any(|step| step.status == Some(status));
        let ranked = [Status::Error, Status::Failed, Status::Passed].into_iter().find(|&status| has(status));
        ranked.unwrap_or(Status::Done)
    };
    let mut all: Vec<_> = sequences.into_iter().map(|(name, inner)| steps::sequence(&name, worst(&inner), inner)).collect();
    for (name, (status, list)) in results.in_order().filter(|(name, _)| !shown.iter().any(|shown| shown == name)) {
        let step = steps::measuring(name, status, vec![Measured::Verdict(steps::verdict(None, status))]);
        all.push(with_reason(step, list));
    }
    let mut report = master.report(input, all, &mut walk)?;
    let mut notes = walk.finish().map_err(ConvertError::Faults)?;
    notes.extend(verdict::contradictions(&report));
    fit(&mut report, &mut notes);
    Ok(Unit { report, own_hash: *hash.finalize().as_bytes(), notes })
}

/// A master file: its values by their keys, in their order.
struct Master(Vec<(String, String)>);

/// The verdict of each result and the list that says it.
#[derive(Default)]
struct Results<'a> {
    order: Vec<&'a str>,
    by_name: HashMap<&'a str, (Status, &'static str)>,
}

impl Master {
    fn read(text: &str) -> Result<Self, ConvertError> {
        let mut values = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with("//")) {
            let Some((key, value)) = line.split_once('=') else {
                if text.ends_with('\n') {
                    return Err(ConvertError::Malformed {
                        place: format!("line {}", index + 1),
                        reason: "it is neither a comment nor a key with a value".to_owned(),
                    });
                }
                break;
            };
            values.push((key.trim().to_owned(), value.to_owned()));
        }
        if !text.ends_with('\n') {
            let place = format!("line {}", text.lines().count().max(1));
            return Err(ConvertError::Incomplete { place, reason: "its last line has no line end".to_owned() });
        }
        let master = Self(values);
        for key in ["Cfg_SerialNumber", "Cfg_DutStartTime", "Ctrl_OverallVerdict"] {
            if !master.0.iter().any(|(known, _)| known == key) {
                let place = format!("line {}", text.lines().count());
                return Err(ConvertError::Incomplete { place, reason: format!("there is no {key} in it") });
            }
        }
        Ok(master)
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        let value = self.0.remove(at).1.trim().to_owned();
        (!value.is_empty()).then_some(value)
    }

    fn results(&self) -> Results<'_> {
        let mut results = Results::default();
        for (list, status) in LISTS {
            let listed = self.0.iter().filter(|(key, _)| key == list).flat_map(|(_, names)| names.split('\t'));
            for name in listed.map(str::trim).filter(|name| !name.is_empty()) {
                if results.by_name.insert(name, (status, list)).is_none() {
                    results.order.push(name);
                }
            }
        }
        results
    }

    fn report(&mut self, input: &Input<'_>, all: Vec<Step>, walk: &mut Walk) -> Result<Report, ConvertError> {
        let verdict = self.take("Ctrl_OverallVerdict").unwrap_or_default();
        let (result, said) = match verdict.as_str() {
            "1" => (Status::Passed, ""),
            "0" => (Status::Failed, ""),
            "2" => (Status::Failed, "warning"),
            "-1" => (Status::Error, "void: no result"),
            "3" => (Status::Error, "noise"),
            "4" => (Status::Error, "invalid"),
            other => {
                return Err(ConvertError::Malformed {
                    place: "Ctrl_OverallVerdict".to_owned(),
                    reason: format!("{:?} is no verdict: -1 to 4", printable(other, 40)),
                });
            }
        };
        let mut infos = Vec::new();
        if !said.is_empty() {
            walk.note(format!("the verdict is {verdict} ({said}), which is not passed"));
            steps::misc(&mut infos, "Ctrl_OverallVerdict", &format!("{verdict} ({said})"));
        }
        let serial = self.take("Cfg_SerialNumber");
        let start = self.take("Cfg_DutStartTime");
        let error = self.take("Ctrl_ErrorGeneral").or_else(|| (!said.is_empty()).then(|| said.to_owned()));
        let mut report = Report {
            kind: Some("T".to_owned()),
            sn: serial.and_then(|text| names::serial_number(&text, walk)),
            result: Some(result),
            machine_name: self.take("Cfg_PCName"),
            uut: Some(Uut { user: self.take("Cfg_UserName"), error_message: error, ..Uut::default() }),
            root: Some(steps::sequence("Klippel QC", result, all)),
            ..Report::default()
        };
        match start.as_deref().map(|text| (text, moment(text))) {
            Some((_, Some(moment))) => moment.start(&mut report, &input.zone(), walk),
            Some((text, None)) => {
                return Err(ConvertError::Malformed {
                    place: "Cfg_DutStartTime".to_owned(),
                    reason: format!("{:?} is no time as getDate() writes it", printable(text, 80)),
                });
            }
            None => {}
        }
        for (key, value) in self.0.iter().filter(|(key, _)| !LISTS.iter().any(|(list, _)| list == key)) {
            steps::misc(&mut infos, key, value);
        }
        report.misc_infos = (!infos.is_empty()).then_some(infos);
        Ok(report)
    }
}

impl Results<'_> {
    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn of(&self, name: &str) -> Option<(Status, &'static str)> {
        self.by_name.get(name).copied()
    }

    fn in_order(&self) -> impl Iterator<Item = (&str, (Status, &'static str))> {
        self.order.iter().filter_map(|name| Some((*name, self.of(name)?)))
    }
}

/// `2020-5-20-135-5-14-10-2-51-303-120-1.589E+09`: two signs one after the other are a negative offset.
fn moment(text: &str) -> Option<Moment> {
    let mut parts: Vec<String> = Vec::new();
    let mut sign = "";
    for part in text.trim().split('-') {
        if part.is_empty() {
            sign = "-";
            continue;
        }
        parts.push(format!("{sign}{part}"));
        sign = "";
    }
    let [year, month, _week, _day_of_year, _weekday, day, hour, minute, second, milli, offset, ..] = parts.as_slice() else {
        return None;
    };
    let milli: i32 = milli.parse().ok().filter(|milli| (0..1000).contains(milli))?;
    let (hour, minute, second) = (hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?);
    let date = civil::Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    let time = civil::Time::new(hour, minute, second, milli * 1_000_000).ok()?;
    let offset = Offset::from_seconds(offset.parse::<i32>().ok()?.checked_mul(60)?).ok()?;
    Some(Moment::Offset(date.to_datetime(time), offset))
}

/// A file of the folder: single values or a curve.
fn table(name: &str, text: &str, results: &Results<'_>, walk: &mut Walk) -> Result<Vec<Step>, ConvertError> {
    let shown = printable(name, 100);
    if !text.ends_with('\n') {
        let place = format!("{shown}, line {}", text.lines().count().max(1));
        return Err(ConvertError::Incomplete { place, reason: "its last line has no line end".to_owned() });
    }
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let wrong = |line: usize, reason: &str| ConvertError::Malformed {
        place: format!("{shown}, line {}", line + 1),
        reason: reason.to_owned(),
    };
    let Some((_, header)) = lines.next() else { return Err(wrong(0, "it is empty")) };
    let header: Vec<&str> = header.split('\t').map(str::trim).collect();
    let column = |wanted: &str| header.iter().position(|cell| cell.eq_ignore_ascii_case(wanted));
    let rows: Vec<(usize, Vec<&str>)> = lines.map(|(index, line)| (index, line.split('\t').map(str::trim).collect())).collect();
    let (max, min) = (column("max"), column("min"));
    let decimal = Decimal::by_evidence(rows.iter().flat_map(|(_, cells)| cells.iter().skip(1)).copied());
    let read = |line: usize, cells: &[&str], at: Option<usize>| {
        let cell = at.and_then(|at| cells.get(at)).copied().unwrap_or_default();
        if matches!(cell, "" | "-") {
            return Ok(None);
        }
        number::read(cell, decimal).map(Some).ok_or_else(|| wrong(line, &format!("{:?} is no number", printable(cell, 40))))
    };
    match header.first().map(|cell| cell.to_ascii_lowercase()).as_deref() {
        Some("name") => {
            let value_at = column("value").or(Some(1));
            let mut found = Vec::new();
            for (line, cells) in &rows {
                let (low, high) = (read(*line, cells, min)?, read(*line, cells, max)?);
                let name = cells.first().copied().unwrap_or_default();
                let value = read(*line, cells, value_at)?;
                found.push(single(name, value, limits(low, high), results));
                let others = cells.iter().enumerate().skip(1).filter(|(at, _)| ![value_at, max, min].contains(&Some(*at)));
                for (at, cell) in others.filter(|(_, cell)| !cell.is_empty()) {
                    let of = header.get(at).copied().unwrap_or_default();
                    walk.note(format!("{shown}, line {}: {of:?} of {name:?} is {cell:?}; it has no place in a report", line + 1));
                }
            }
            Ok(found)
        }
        Some("frq") => {
            let mut curves: Vec<Curve> =
                header[1..].iter().map(|name| Curve { name: (*name).to_owned(), points: Vec::new() }).collect();
            let (mut points, mut beyond) = (0_usize, 0_usize);
            for (line, cells) in &rows {
                let Some(x) = read(*line, cells, Some(0))? else { continue };
                if cells.len() > header.len() {
                    return Err(wrong(*line, "it has more cells than its header"));
                }
                for (index, curve) in curves.iter_mut().enumerate() {
                    if let Some(y) = read(*line, cells, Some(index + 1))? {
                        curve.points.push((x.clone(), y));
                    }
                }
                let (low, high) = (read(*line, cells, min)?, read(*line, cells, max)?);
                if let Some(y) = read(*line, cells, Some(1))? {
                    points += 1;
                    beyond += usize::from(limits(low, high).is_some_and(|limits| !limits.hold(y.as_f64())));
                }
            }
            let title = header.get(1).copied().filter(|name| !name.is_empty()).unwrap_or("curve");
            let (made, list) = results.of(title).map_or((None, ""), |(status, list)| (Some(status), list));
            let has_limits = max.is_some() || min.is_some();
            let status = made.unwrap_or(match (has_limits && points > 0, beyond) {
                (true, 0) => Status::Passed,
                (true, _) => Status::Failed,
                (false, _) => Status::Done,
            });
            if made == Some(Status::Passed) && beyond > 0 {
                walk.note(format!("{title}: the file says Passed, and {beyond} of its {points} points are beyond their limits"));
            }
            let mut notes = Vec::new();
            let chart = with_axes(title, Axis { label: "frq", unit: "Hz" }, Axis { label: title, unit: "" }, curves, &mut notes);
            walk.notes(notes);
            let step = steps::measuring(title, status, vec![Measured::Verdict(steps::verdict(None, status))]);
            Ok(vec![with_reason(Step { chart: Some(chart), ..step }, list)])
        }
        _ => Err(wrong(0, "its first column is neither `name` nor `frq`")),
    }
}

fn limits(low: Option<Num>, high: Option<Num>) -> Option<Limits> {
    if low.is_none() && high.is_none() {
        return None;
    }
    let bound = |limit: Num| Bound { limit, inclusive: true };
    Some(Limits::Range { low: low.map(bound), high: high.map(bound) })
}

/// A single value; without one its verdict alone.
fn single(name: &str, value: Option<Num>, limits: Option<Limits>, results: &Results<'_>) -> Step {
    let (made, list) = results.of(name).map_or((None, ""), |(status, list)| (Some(status), list));
    let status = made.unwrap_or(match (&value, &limits) {
        (Some(value), Some(limits)) if limits.hold(value.as_f64()) => Status::Passed,
        (Some(_), Some(_)) => Status::Failed,
        _ => Status::Done,
    });
    let name = if name.is_empty() { "no name" } else { name };
    let measured = match value {
        Some(value) => Measured::Numeric(steps::numeric(None, value, limits, None, status)),
        None => Measured::Verdict(steps::verdict(None, status)),
    };
    with_reason(steps::measuring(name, status, vec![measured]), list)
}

/// What a verdict that is neither passed nor failed is called in the master.
fn with_reason(step: Step, list: &str) -> Step {
    let reason = list.strip_prefix("Results_").filter(|reason| !matches!(*reason, "Pass" | "Fail"));
    Step { report_text: reason.map(|reason| format!("Results: {reason}")), ..step }
}
