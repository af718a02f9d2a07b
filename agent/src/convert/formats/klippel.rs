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

use std::collections::{BTreeMap, HashMap};

use jiff::civil;
use jiff::tz::Offset;
use waybill_shared::report::{Num, Report, Status, Step, Uut};
use waybill_shared::text::printable;

use crate::convert::ground::curve::{Axis, Curve, chart};
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
            let chart = chart(title, Axis { label: "frq", unit: "Hz" }, Axis { label: title, unit: "" }, curves, &mut notes);
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waybill_shared::schema::Map;

    use super::*;
    use crate::convert::testing::data;
    use crate::convert::{Arguments, Content};

    const NAME: &str = "DUT xyz116 2020-05-14 10-02-51-3 UTC+0200";
    const FILES: [&str; 6] = [
        "Sound Pressure-values.txt",
        "Impedance-imp.txt",
        "Impedance-values.txt",
        "Sound Pressure-rbz.txt",
        "Sound Pressure-resp.txt",
        "Sound Pressure-thd.txt",
    ];

    fn read(master: &[u8], folder: &[(String, Vec<u8>)]) -> Result<Unit, ConvertError> {
        let given: Map<_, _> = json!({"time_zone": "Asia/Tokyo"}).as_object().cloned().unwrap();
        let input = Input {
            content: Content::Bytes(master),
            file_name: "DUT.txt",
            modified: jiff::Timestamp::UNIX_EPOCH,
            arguments: Arguments::new(&given),
        };
        unit(&input, folder)
    }

    fn folder() -> Vec<(String, Vec<u8>)> {
        FILES.iter().map(|name| ((*name).to_owned(), data(&format!("klippel/{NAME}/{name}")))).collect()
    }

    fn master() -> Vec<u8> {
        data(&format!("klippel/{NAME}.txt"))
    }

    fn changed(from: &str, to: &str) -> Result<Unit, ConvertError> {
        let text = String::from_utf8(master()).unwrap();
        assert!(text.contains(from));
        read(text.replace(from, to).as_bytes(), &folder())
    }

    fn step<'a>(report: &'a Report, name: &str) -> &'a Step {
        report.steps().find(|step| step.name.as_deref() == Some(name)).unwrap()
    }

    #[test]
    fn the_sample_arrives_as_it_is() {
        let Unit { report, notes, .. } = read(&master(), &folder()).unwrap();
        assert_eq!((report.sn.as_deref(), report.result, notes), (Some("xyz116"), Some(Status::Passed), Vec::<String>::new()));
        assert_eq!(report.start.as_deref(), Some("2020-05-14T10:02:51.303+02:00"), "the offset of the file");
        assert_eq!(report.start_utc.as_deref(), Some("2020-05-14T08:02:51.303Z"));
        assert_eq!(report.uut.as_ref().unwrap().user.as_deref(), Some("win:m.liebig"));
        let root = report.root.as_ref().unwrap().steps.as_ref().unwrap();
        assert_eq!(
            root.iter().map(|step| step.name.as_deref().unwrap()).collect::<Vec<_>>(),
            ["Impedance", "Sound Pressure", "fs", "pol"]
        );
        for (name, value, low, high, comparator) in [
            ("re", "3.2088", Some("2.8764"), Some("3.5156"), "GELE"),
            ("level", "94.372", Some("91.337"), Some("97.337"), "GELE"),
            ("qts", "1.1325", None, None, "LOG"),
        ] {
            let one = &step(&report, name).numeric_meas.as_ref().unwrap()[0];
            let num = |text: Option<&str>| text.and_then(Num::parse);
            assert_eq!((&one.value, &one.low_limit, &one.high_limit), (&num(Some(value)), &num(low), &num(high)), "{name}");
            assert_eq!(one.comp_op.as_deref(), Some(comparator), "{name}");
        }
        assert_eq!(step(&report, "qts").status, Some(Status::Done), "nobody judged it");
        for (name, curves, points) in [("imp", 3, 129), ("resp", 3, 161), ("rbz", 2, 0), ("thd", 2, 0)] {
            let series = step(&report, name).chart.as_ref().unwrap().series.as_ref().unwrap();
            assert_eq!((series.len(), step(&report, name).status), (curves, Some(Status::Passed)), "{name}");
            if points > 0 {
                assert!(series.iter().all(|one| one.xdata.as_ref().unwrap().split(';').count() == points), "{name}");
            }
        }
        let imp = step(&report, "imp").chart.as_ref().unwrap();
        let first =
            |index: usize| imp.series.as_ref().unwrap()[index].ydata.as_ref().unwrap().split(';').next().unwrap().to_owned();
        assert_eq!([first(0), first(1), first(2)], ["3.2410", "3.4030", "3.0445"]);
        let rbz = step(&report, "rbz").chart.as_ref().unwrap().series.as_ref().unwrap()[0].clone();
        assert!(rbz.xdata.unwrap().starts_with("206.00;") && rbz.ydata.unwrap().starts_with("59.824;"), "`-` is no point");
        let infos: Vec<_> = report.misc_infos.iter().flatten().filter_map(|info| info.description.clone()).collect();
        assert!(infos.contains(&"Cfg_Speaker".to_owned()) && !infos.iter().any(|name| name.starts_with("Results_")), "{infos:?}");
    }

    #[test]
    fn the_order_of_the_files_changes_nothing_and_their_content_does() {
        let mut turned = folder();
        turned.reverse();
        let unit = read(&master(), &folder()).unwrap();
        assert_eq!(read(&master(), &turned).unwrap(), unit);
        turned[0].1.extend_from_slice(b"20500\t-\t-\n");
        assert_ne!(read(&master(), &turned).unwrap().own_hash, unit.own_hash);
    }

    #[test]
    fn only_1_is_passed() {
        for (code, status) in
            [("0", Status::Failed), ("2", Status::Failed), ("-1", Status::Error), ("3", Status::Error), ("4", Status::Error)]
        {
            let unit = changed("Ctrl_OverallVerdict=1", &format!("Ctrl_OverallVerdict={code}")).unwrap();
            assert_eq!((unit.report.result, unit.notes.is_empty()), (Some(status), code == "0"), "{code}");
        }
        assert!(matches!(changed("Ctrl_OverallVerdict=1", "Ctrl_OverallVerdict=7"), Err(ConvertError::Malformed { .. })));
        let failed = changed("Results_Fail=\n", "Results_Fail=re\n").unwrap().report;
        assert_eq!(step(&failed, "re").status, Some(Status::Failed), "the later list counts");
        let warned = changed("Results_Warning=\n", "Results_Warning=qts\tf9\n").unwrap().report;
        assert_eq!(step(&warned, "qts").report_text.as_deref(), Some("Results: Warning"));
        assert_eq!(step(&warned, "f9").boolean_meas.as_ref().unwrap()[0].status, Some(Status::Failed));
    }

    #[test]
    fn times_east_and_west_are_read_and_wrong_ones_refused() {
        let west = changed("-303-120-", "-303--300-").unwrap().report;
        assert_eq!(west.start.as_deref(), Some("2020-05-14T10:02:51.303-05:00"));
        assert!(matches!(changed("2020-5-20-135", "2020-13-20-135"), Err(ConvertError::Malformed { .. })));
        assert!(matches!(changed("-303-120-1.589E+09", ""), Err(ConvertError::Malformed { .. })));
    }

    #[test]
    fn points_beyond_the_limits_of_a_curve_that_passed_are_noted() {
        let mut files = folder();
        files[1].1 = b"frq\timp\tmax\tmin\n100\t5\t4\t3\n200\t3,5\t4\t3\n".to_vec();
        let unit = read(&master(), &files).unwrap();
        assert!(unit.notes.iter().any(|note| note.contains("1 of its 2 points are beyond")), "{:?}", unit.notes);
        files[1].1 = b"frq\tother\tmax\n100\t5\t4\n".to_vec();
        assert_eq!(
            step(&read(&master(), &files).unwrap().report, "other").status,
            Some(Status::Failed),
            "where nobody judged it"
        );
        files[1].1 = b"frq\timp\n100\thigh\n".to_vec();
        assert!(read(&master(), &files).unwrap_err().to_string().contains("Impedance-imp.txt, line 2"));
    }

    #[test]
    fn what_is_not_there_yet_is_waited_for() {
        let is_incomplete = |found: Result<Unit, ConvertError>| matches!(found, Err(ConvertError::Incomplete { .. }));
        assert!(is_incomplete(read(&master(), &[])), "its folder");
        let (whole, files) = (master(), folder());
        let unit = read(&whole, &files).unwrap();
        for cut in 0..whole.len() {
            let found = read(&whole[..cut], &files);
            let ends_a_line = cut > 0 && whole[cut - 1] == b'\n';
            assert!(
                is_incomplete(found.clone())
                    || ends_a_line && found.as_ref().is_ok_and(|found| found.report.sn == unit.report.sn),
                "{cut}: {found:?}"
            );
        }
        for file in 0..files.len() {
            let mut cut = files.clone();
            cut[file].1.pop();
            assert!(is_incomplete(read(&whole, &cut)), "{}", files[file].0);
        }
        assert_eq!((sniff(&whole), sniff(b"Cfg_Something=1\n")), (95, 0));
    }
}
