//! SigmaQuest XML: `UnitReport`, one unit each, with nested `TestRun`s.
//!
//! A run with runs in it is a sequence; its values are measurements. What the format fixes (FORMATS.md section 13, tests/data/sigmaquest):
//!
//! - The grade of a run is its verdict, and that of the outermost runs the unit's. A value has no verdict of its own: in a run that passed it has
//!   passed, in any other its limits say. Values outside of their limits in runs that passed are real, and are noted.
//! - `lsl` = `usl` = 0 means that there are no limits. 0 with a negative `usl` is a missing lower limit, 0 with an `lsl` above it a missing upper one.
//! - Units of measure stand in names, if anywhere, and stay there.
//! - An attachment is the path of a file that is rarely in reach (UNC): it stands as a text in the report of its run.
//!
//! Start and duration are those of the `UnitReport`; its runs may have begun days before, and each has its own.

use waybill_shared::report::{Num, Report, Status, Step, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use crate::convert::ground::fit::fit;
use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::names::serial_number;
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::time::{self, Moment};
use crate::convert::ground::verdict::contradictions;
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::xml::{Element, Xml};
use crate::convert::ground::number;
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink, Unit};

const ABOUT: About = About {
    name: "sigmaquest",
    version: 1,
    help: "SigmaQuest XML (UnitReport)",
    patterns: &["*.xml"],
    has_end_mark: true,
    arguments: &[],
};

/// The converter `sigmaquest`.
#[derive(Debug)]
pub struct SigmaQuest;

impl Converter for SigmaQuest {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        match (head.contains("<UnitReport"), head.count(&["<TestRun", "<Product", "serial-no=", "<Category"])) {
            (true, 2..) => 97,
            (true, _) => 70,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut xml = Xml::new(input.open_text()?);
        let mut units = 0_u64;
        while let Some(report) = xml.next(|path| path.last().is_some_and(|name| name == "UnitReport"))? {
            let mut unit = unit(report, input);
            if let Ok(unit) = &mut unit {
                unit.notes.extend(xml.note());
            }
            units += 1;
            if sink(unit).is_break() {
                return Err(ConvertError::Stopped);
            }
        }
        if units == 0 {
            let place = "the file as a whole".to_owned();
            return Err(ConvertError::Malformed { place, reason: "it has no UnitReport".to_owned() });
        }
        Ok(())
    }
}

/// Deepest nesting of runs: readers of JSON take some sixty steps in each other.
const DEEPEST: usize = 50;

/// What the report of a unit is made of.
#[derive(Default)]
struct Reading {
    walk: Walk,
    lines: Lines,
    infos: Vec<(String, String)>,
    report: Report,
    uut: Uut,
    /// Runs that are open.
    depth: usize,
}

fn unit(element: Element<'_>, input: &Input<'_>) -> Result<Unit, ConvertError> {
    let mut reading = Reading::default();
    let zone = input.zone();
    let (start, time) = reading.times(element, &zone);
    for (key, value) in element.attributes().filter(|(key, _)| !matches!(*key, "start-time" | "end-time")) {
        reading.infos.push((key.to_owned(), value.to_owned()));
    }
    let mut runs = Vec::new();
    reading.header(element, &zone, &mut runs);
    let Reading { mut walk, lines, infos, mut report, mut uut, .. } = reading;
    if runs.is_empty() {
        walk.fault(FaultKind::Missing, "it has no TestRun: nothing was tested");
    }
    let result = match steps::worst(&runs).unwrap_or(Status::Skipped) {
        Status::Skipped => Status::Done,
        status => status,
    };
    uut.exec_time = time;
    let root = match <[Step; 1]>::try_from(runs) {
        Ok([only]) if only.is_sequence_call() => Step { status: Some(result), ..only },
        Ok([only]) => steps::sequence("UnitReport", result, vec![only]),
        Err(runs) => steps::sequence("UnitReport", result, runs),
    };
    let texts: Vec<_> = root.report_text.clone().into_iter().chain(lines.into_text()).collect();
    let report_text = (!texts.is_empty()).then(|| texts.join("\n"));
    report.kind = Some("T".to_owned());
    report.result = Some(result);
    report.root = Some(Step { report_text, ..root });
    report.uut = Some(uut);
    let mut misc = Vec::new();
    infos.iter().for_each(|(key, value)| steps::misc(&mut misc, key, value));
    report.misc_infos = Some(misc).filter(|misc| !misc.is_empty());
    if let Some(start) = start {
        start.start(&mut report, &zone, &mut walk);
    }
    let mut notes = walk.finish().map_err(ConvertError::Faults)?;
    notes.extend(contradictions(&report));
    fit(&mut report, &mut notes);
    let mut hasher = blake3::Hasher::new();
    element.hash(&mut hasher);
    Ok(Unit { report, own_hash: *hasher.finalize().as_bytes(), notes })
}

/// What stands for a station, an order or a revision that is not known.
fn is_none(text: &str) -> bool {
    matches!(text.trim(), "" | "None" | "<No Station>" | "N/A")
}

impl Reading {
    /// What stands around the runs. `Category` holds the product, in some files also its runs.
    fn header(&mut self, element: Element<'_>, zone: &jiff::tz::TimeZone, runs: &mut Vec<Step>) {
        for child in element.children() {
            let mut rest: Vec<_> = child.attributes().collect();
            let mut take = |key: &str| {
                let at = rest.iter().position(|(name, _)| *name == key)?;
                Some(rest.remove(at).1.to_owned()).filter(|text| !is_none(text))
            };
            match child.name() {
                "TestRun" => {
                    runs.push(self.run(child, zone));
                    continue;
                }
                "Station" => self.report.machine_name = take("name"),
                "Operator" => self.uut.user = take("name"),
                "Product" => {
                    self.report.pn = take("part-no");
                    self.report.sn = take("serial-no").and_then(|text| serial_number(&text, &mut self.walk));
                    self.report.rev = take("revision").or_else(|| take("part-rev"));
                }
                _ => {}
            }
            let name = child.name();
            for (key, value) in rest.into_iter().filter(|(_, value)| !is_none(value)) {
                let key = if key == "name" { name.to_owned() } else { format!("{name}.{key}") };
                self.infos.push((key, value.to_owned()));
            }
            if !child.text().trim().is_empty() {
                self.lines.add(name, child.text().trim());
            }
            if matches!(name, "Property" | "Result") {
                child.say(&mut self.lines);
            } else {
                self.header(child, zone, runs);
            }
        }
    }

    /// When an element says that it began, and how long it took.
    fn times(&mut self, element: Element<'_>, zone: &jiff::tz::TimeZone) -> (Option<Moment>, Option<Num>) {
        let mut moment = |key: &str| {
            let text = element.attribute(key).map(str::trim).filter(|text| !text.is_empty())?;
            let found = Moment::iso(text);
            if found.is_none() {
                let text = printable(text, 40);
                self.walk.note(format!("{}: the {key} {text:?} is no time and was left out", element.place()));
            }
            found
        };
        let (start, end) = (moment("start-time"), moment("end-time"));
        let zoned = |moment: Option<Moment>| moment.and_then(|moment| moment.zoned(zone, &mut Walk::default()));
        let time = zoned(start).zip(zoned(end)).and_then(|(from, to)| time::seconds(&from, &to, &mut self.walk));
        (start, time)
    }

    fn run(&mut self, element: Element<'_>, zone: &jiff::tz::TimeZone) -> Step {
        self.depth += 1;
        if self.depth > DEEPEST {
            self.walk.fault(FaultKind::OutOfRange, format!("{}: runs are nested deeper than {DEEPEST}", element.place()));
        }
        let name = element.attribute("name").unwrap_or_default();
        let (start, tot_time) = self.times(element, zone);
        let mut lines = Lines::default();
        for (key, value) in element.attributes() {
            if !matches!(key, "name" | "grade" | "start-time" | "end-time") && !value.trim().is_empty() {
                lines.add(key, value);
            }
        }
        let grade = element.attribute("grade").filter(|text| !text.trim().is_empty());
        let status = grade.and_then(Status::parse);
        if let (Some(grade), None) = (grade, status) {
            let grade = printable(grade, 40);
            self.walk.fault(FaultKind::OutOfRange, format!("{}: {grade:?} is no grade that is known", element.place()));
        }
        let (mut runs, mut values) = (Vec::new(), Vec::new());
        for child in element.children() {
            match child.name() {
                "TestRun" => runs.push(self.run(child, zone)),
                "Result" | "Property" => self.values(child, status, &mut values, &mut lines),
                _ => child.say(&mut lines),
            }
        }
        let by_values = || {
            let verdicts: Vec<_> = values.iter().map(|one| steps::measuring("", verdict_of(one), Vec::new())).collect();
            steps::worst(&verdicts).unwrap_or(Status::Skipped)
        };
        let status = status.unwrap_or_else(|| {
            self.walk.note(format!("{} has no grade: it has the worst of what is in it", element.place()));
            if runs.is_empty() { by_values() } else { steps::worst(&runs).unwrap_or(Status::Skipped) }
        });
        let step = match (runs.is_empty(), values.is_empty()) {
            (true, true) => steps::measuring(name, status, vec![Measured::Verdict(steps::verdict(None, status))]),
            (true, false) => steps::measuring(name, status, values),
            (false, true) => steps::sequence(name, status, runs),
            (false, false) => {
                let of_it = by_values();
                runs.insert(0, steps::measuring(name, of_it, values));
                steps::sequence(name, status, runs)
            }
        };
        let start = start.and_then(|start| start.zoned(zone, &mut Walk::default())).map(|zoned| time::local(&zoned));
        self.depth -= 1;
        Step { start, tot_time, report_text: lines.into_text(), ..step }
    }

    /// The values of a `Result` or a `Property`, which may hold one another.
    fn values(&mut self, element: Element<'_>, run: Option<Status>, values: &mut Vec<Measured>, lines: &mut Lines) {
        for (key, value) in element.attributes().filter(|(_, value)| !value.trim().is_empty()) {
            lines.add(&format!("{} {key}", element.name()), value);
        }
        for child in element.children() {
            match child.name() {
                "Result" | "Property" => self.values(child, run, values, lines),
                "ValueAttachment" => {
                    let said = child.attributes().filter(|(_, value)| !value.trim().is_empty());
                    let said = said.map(|(key, value)| format!("{key} {value}")).chain(Some(child.text().trim().to_owned()));
                    let said = said.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
                    lines.add("attachment", &said);
                }
                name if name.starts_with("Value") => values.push(self.value(child, run, lines)),
                _ => child.say(lines),
            }
        }
    }

    fn value(&mut self, element: Element<'_>, run: Option<Status>, lines: &mut Lines) -> Measured {
        let name = element.attribute("name").unwrap_or_default();
        for (key, value) in
            element.attributes().filter(|(key, value)| !matches!(*key, "name" | "lsl" | "usl") && !value.is_empty())
        {
            lines.add(&format!("{name}: {key}"), value);
        }
        let mut limit = |key: &str| {
            let text = element.attribute(key).filter(|text| !text.trim().is_empty())?;
            let found = number::plain(text).filter(|limit| !limit.as_f64().is_nan());
            if found.is_none() {
                lines.add(&format!("{name}: {key}"), text);
            }
            found
        };
        let (lsl, usl) = (limit("lsl"), limit("usl"));
        let text = element.text();
        let is_text = matches!(element.name(), "ValueString" | "ValueText");
        let passed = run == Some(Status::Passed);
        match number::plain(text).filter(|_| !is_text) {
            Some(value) => {
                let limits = limits(lsl, usl);
                let holds = limits.as_ref().is_none_or(|limits| limits.hold(value.as_f64()));
                let status = if passed || holds { Status::Passed } else { Status::Failed };
                Measured::Numeric(steps::numeric(Some(name.to_owned()), value, limits, None, status))
            }
            None => {
                for (key, limit) in [("lsl", lsl), ("usl", usl)] {
                    limit.into_iter().for_each(|limit| lines.add(&format!("{name}: {key}"), &limit.to_string()));
                }
                if element.name() == "ValueDouble" {
                    self.walk.note(format!("{}: {:?} is no number: it is a text", element.place(), printable(text.trim(), 40)));
                }
                let status = if passed { Status::Passed } else { Status::Done };
                Measured::Text(steps::string(Some(name.to_owned()), text.trim().to_owned(), None, status))
            }
        }
    }
}

/// Limits, of which a 0 may stand for none.
fn limits(lsl: Option<Num>, usl: Option<Num>) -> Option<Limits> {
    let is_zero = |limit: &Num| limit.as_f64() == 0.0;
    let (low, high) = match (lsl, usl) {
        (Some(low), Some(high)) if is_zero(&low) && is_zero(&high) => (None, None),
        (Some(low), Some(high)) if is_zero(&low) && high.as_f64() < 0.0 => (None, Some(high)),
        (Some(low), Some(high)) if is_zero(&high) && low.as_f64() > 0.0 => (Some(low), None),
        both => both,
    };
    let bound = |limit: Num| Bound { limit, inclusive: true };
    (low.is_some() || high.is_some()).then(|| Limits::Range { low: low.map(bound), high: high.map(bound) })
}

fn verdict_of(measured: &Measured) -> Status {
    let status = match measured {
        Measured::Numeric(one) => one.status,
        Measured::Text(one) => one.status,
        Measured::Verdict(one) => one.status,
    };
    status.unwrap_or(Status::Done)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::convert::testing::{convert, cut_anywhere, data, flip_anywhere, golden};

    const SAMPLE: &str = "sigmaquest/testdata_SN654164896.xml";

    #[test]
    fn the_sample_arrives_as_it_is() {
        let converted = golden(&SigmaQuest, SAMPLE, &json!({}));
        assert!(converted.notes[0].iter().any(|note| note.contains("the file says Passed")), "{:?}", converted.notes);
        let report = converted.only();
        assert_eq!(
            (report.sn.as_deref(), report.pn.as_deref(), report.result),
            (Some("SN654164896"), Some("98756468"), Some(Status::Passed))
        );
        assert_eq!(report.start_utc.as_deref(), Some("2024-12-09T14:26:37Z"));
        let uut = report.uut.as_ref().unwrap();
        assert_eq!((uut.user.as_deref(), uut.exec_time.as_ref().unwrap().to_string()), (Some("OP1"), "21.0".to_owned()));
        assert_eq!(report.machine_name.as_deref(), Some("ST"), "<No Station> is none");
        let numeric: Vec<_> = report.steps().flat_map(|step| step.numeric_meas.iter().flatten()).collect();
        let texts: Vec<_> = report.steps().flat_map(|step| step.string_meas.iter().flatten()).collect();
        assert_eq!((numeric.len(), texts.len(), texts[0].value.as_deref()), (344, 1, Some("null")));
        let count = |comparator: &str| numeric.iter().filter(|one| one.comp_op.as_deref() == Some(comparator)).count();
        // 137 with 0 and 0, of which one is no number; 38 with an lsl and a usl of 0.
        assert_eq!((count("LOG"), count("GE"), count("LE"), count("GELE")), (136, 38, 0, 170));
        assert_eq!(report.steps().filter(|step| step.start.is_some()).count(), 99, "one step a run, the outermost is the root");
        let links: usize =
            report.steps().filter_map(|step| step.report_text.as_deref()).map(|text| text.matches("attachment: ").count()).sum();
        assert_eq!(links, 54);
        let leak = report.steps().find(|step| step.name.as_deref() == Some("Argon Leak")).unwrap();
        let first = &leak.numeric_meas.as_ref().unwrap()[0];
        let shown =
            (first.name.as_deref(), first.value.as_ref().unwrap().to_string(), first.low_limit.as_ref().unwrap().to_string());
        assert_eq!(shown, (Some("Initial pressure (bar)"), "0.50000".to_owned(), "0.40000".to_owned()));
        assert_eq!(first.high_limit.as_ref().unwrap().to_string(), "0.60000");
        assert_eq!(leak.start.as_deref(), Some("2024-12-07T08:01:11+00:00"));
        assert_eq!(leak.tot_time.as_ref().unwrap().to_string(), "349.0");
    }

    #[test]
    fn a_cut_or_spoilt_sample_is_never_a_clean_report() {
        let bytes = data(SAMPLE);
        cut_anywhere(&SigmaQuest, "x.xml", &bytes, &json!({}));
        flip_anywhere(&SigmaQuest, "x.xml", &bytes, &json!({}));
    }

    fn one(runs: &str) -> crate::convert::testing::Converted {
        let text = format!(
            "<UnitReport start-time='2024-12-09T14:26:37+01:00' end-time='2024-12-09T14:26:38.5+01:00'><Station guid='G' name='S1'/>\
             <Product part-no='P' serial-no='A1' factory-order='FO7'/>{runs}</UnitReport>"
        );
        convert(&SigmaQuest, "x.xml", text.as_bytes(), &json!({}))
    }

    fn value(limits: &str, text: &str) -> String {
        format!("<Result><Property><ValueDouble name='v' {limits}>{text}</ValueDouble></Property></Result>")
    }

    #[test]
    fn a_zero_is_a_limit_or_stands_for_none() {
        for (limits, comparator, low, high) in [
            ("lsl='0' usl='0'", "LOG", None, None),
            ("lsl='0.000' usl='-0.0'", "LOG", None, None),
            ("lsl='0' usl='-5.0'", "LE", Some("-5.0"), None),
            ("lsl='3' usl='0'", "GE", Some("3"), None),
            ("lsl='-3' usl='0'", "GELE", Some("-3"), Some("0")),
            ("lsl='0' usl='3.50'", "GELE", Some("0"), Some("3.50")),
            ("lsl='-2' usl='-1'", "GELE", Some("-2"), Some("-1")),
            ("usl='2'", "LE", Some("2"), None),
            ("", "LOG", None, None),
        ] {
            let report = one(&format!("<TestRun name='r' grade='PASS'>{}</TestRun>", value(limits, "1"))).only();
            let step = report.steps().find(|step| step.numeric_meas.is_some()).unwrap();
            let found = &step.numeric_meas.as_ref().unwrap()[0];
            let text = |limit: &Option<Num>| limit.as_ref().map(ToString::to_string);
            let shown = (found.comp_op.as_deref(), text(&found.low_limit), text(&found.high_limit));
            assert_eq!(shown, (Some(comparator), low.map(str::to_owned), high.map(str::to_owned)), "{limits}");
        }
    }

    #[test]
    fn the_grade_is_the_verdict_and_the_limits_only_say_what_failed_in_a_run_that_failed() {
        let values = format!("{}{}", value("lsl='0' usl='2'", "1.0"), value("lsl='0' usl='2'", "3"));
        let failed = one(&format!("<TestRun name='r' grade='FAIL'>{values}</TestRun><TestRun name='p' grade='PASS'/>")).only();
        assert_eq!(failed.result, Some(Status::Failed));
        let statuses = |report: &Report| {
            let all = report.steps().flat_map(|step| step.numeric_meas.iter().flatten());
            all.map(|one| one.status.unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(statuses(&failed), [Status::Passed, Status::Failed]);
        assert_eq!(failed.machine_name.as_deref(), Some("S1"));
        assert_eq!(failed.uut.as_ref().unwrap().exec_time.as_ref().unwrap().to_string(), "1.5");
        let infos: Vec<_> =
            failed.misc_infos.unwrap().into_iter().map(|info| (info.description.unwrap(), info.text.unwrap())).collect();
        assert_eq!(infos, [("Station.guid", "G"), ("Product.factory-order", "FO7")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        let passed = one(&format!("<TestRun name='r' grade='PASS'>{values}</TestRun>"));
        assert!(passed.notes[0].iter().any(|note| note.contains("3 by its limits (GELE) has Failed")), "{:?}", passed.notes);
        assert_eq!(statuses(&passed.only()), [Status::Passed, Status::Passed]);
        let none = one(&format!("<TestRun name='r'>{values}</TestRun>"));
        assert!(none.notes[0].iter().any(|note| note.contains("has no grade")), "{:?}", none.notes);
        assert_eq!(none.only().result, Some(Status::Failed));
        assert!(matches!(one("<TestRun name='r' grade='GREEN'/>").errors[..], [ConvertError::Faults(_)]));
        assert!(matches!(one("").errors[..], [ConvertError::Faults(_)]));
    }

    #[test]
    fn other_values_and_values_beside_runs_are_kept() {
        let inside = format!(
            "<Property><ValueString name='fw' unit='x'>V 1.2</ValueString></Property>{}<TestRun name='in' grade='PASS'/><Odd a='b'>c</Odd>",
            value("lsl='1' usl='2'", "n/a")
        );
        let report = one(&format!("<TestRun name='r' grade='PASS'>{inside}</TestRun>")).only();
        let root = report.root.as_ref().unwrap();
        assert_eq!(root.name.as_deref(), Some("r"));
        let own = &root.steps.as_ref().unwrap()[0];
        let texts: Vec<_> = own.string_meas.as_ref().unwrap().iter().map(|one| one.value.as_deref().unwrap()).collect();
        assert_eq!(texts, ["V 1.2", "n/a"]);
        let text = root.report_text.as_deref().unwrap();
        for part in ["fw: unit: x", "v: lsl: 1", "v: usl: 2", "Odd a: b", "Odd: c"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn several_units_of_a_file_are_each_one_and_a_bad_one_loses_no_other() {
        let unit = |sn: &str, grade: &str| {
            format!("<UnitReport><Product part-no='P' serial-no='{sn}'/><TestRun name='r' grade='{grade}'/></UnitReport>")
        };
        let text = format!("<Reports>{}{}{}</Reports>", unit("1", "PASS"), unit("2", "?"), unit("3", "FAIL"));
        let found = convert(&SigmaQuest, "x.xml", text.as_bytes(), &json!({}));
        assert_eq!((found.reports.len(), found.errors.len()), (2, 1));
        let nested = |deep: usize| {
            let runs = format!("{}{}", "<TestRun name='r' grade='PASS'>".repeat(deep), "</TestRun>".repeat(deep));
            one(&runs).errors.len()
        };
        assert_eq!((nested(50), nested(51), nested(200)), (0, 1, 1));
        let none = convert(&SigmaQuest, "x.xml", b"<Reports/>", &json!({}));
        assert!(matches!(none.end, Err(ConvertError::Malformed { .. })));
    }
}
