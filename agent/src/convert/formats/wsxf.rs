//! WSXF, the XML form of a WATS report: one report a file or several in `Reports`.
//!
//! Each element is an object of WSJF under other names: tables say which, and the model's own reader does the rest, with all faults named by their
//! place in the report. Attributes and elements that no table knows are carried through in their object, as keys that WSJF does not know are.
//! Left out because the order says the same: `StepIndex`, `MeasIndex`, `MeasOrderNumber`, `idx`, `order_no`.
//!
//! Sources: WIRE.md section 7, FORMATS.md section 6, and tests/data/wsxf, which is the same report as the one in tests/data/wsjf. Of repairs
//! (`type="UUR"`) no file is known: they are refused, not guessed.

use waybill_shared::report::{Num, Report, Status};
use waybill_shared::schema::{Fault, FaultKind, Field as _, Map, Reader, Value};
use waybill_shared::text::printable;

use crate::convert::ground::number;
use crate::convert::ground::verdict::contradictions;
use crate::convert::ground::xml::{Element, Xml};
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink, Unit};

const ABOUT: About = About {
    name: "wsxf",
    version: 1,
    help: "WATS reports as XML (WSXF): tests, one or several",
    patterns: &["*.xml", "*.wsxf"],
    has_end_mark: true,
    arguments: &[],
};

/// The converter `wsxf`.
#[derive(Debug)]
pub struct Wsxf;

impl Converter for Wsxf {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn is_of_reports(&self) -> bool {
        true
    }
    fn sniff(&self, head: &Head) -> u8 {
        let contains = |text: &str| head.contains(text);
        match (contains("/schemas/WATS/Report/w"), contains("Reports") || contains("Report")) {
            (true, true) => 98,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut xml = Xml::new(input.open_text()?);
        let wanted = |path: &[String]| {
            matches!(path, [one] if one == "Report") || matches!(path, [one, two] if one == "Reports" && two == "Report")
        };
        while let Some(report) = xml.next(wanted)? {
            let mut unit = unit(report);
            if let Ok(unit) = &mut unit {
                unit.notes.extend(xml.note());
                unit.notes.extend(contradictions(&unit.report));
            }
            if sink(unit).is_break() {
                return Err(ConvertError::Stopped);
            }
        }
        Ok(())
    }
}

fn unit(element: Element<'_>) -> Result<Unit, ConvertError> {
    let mut reading = Reading::default();
    let value = reading.report(element);
    let own_hash = *blake3::hash(value.to_string().as_bytes()).as_bytes();
    let mut reader = Reader::new();
    let report = Report::read(value, &mut reader);
    reading.faults.extend(reader.into_faults());
    match report {
        Some(report) if reading.faults.is_empty() => Ok(Unit { report, own_hash, notes: reading.notes }),
        _ => Err(ConvertError::Faults(reading.faults)),
    }
}

/// What an attribute holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// A text that may be empty.
    Measured,
    Number,
    Whole,
    Flag,
    Verdict,
    /// Setup, Main or Cleanup.
    Group,
    /// Says what the order says.
    LeftOut,
}
use Kind::{Flag, Group, LeftOut, Measured, Number, Text, Verdict, Whole};

/// Attribute, key of the report, kind.
type Table = &'static [(&'static str, &'static str, Kind)];

const REPORT: Table = &[
    ("ID", "id", Text),
    ("PN", "pn", Text),
    ("SN", "sn", Text),
    ("Rev", "rev", Text),
    ("Result", "result", Verdict),
    ("MachineName", "machineName", Text),
    ("Location", "location", Text),
    ("Purpose", "purpose", Text),
    ("Start", "start", Text),
    ("Start_utc", "startUTC", Text),
    ("origin", "origin", Text),
    ("ProductName", "productName", Text),
];
const UUT: Table = &[
    ("UserLoginName", "user", Text),
    ("ExecutionTime", "execTime", Number),
    ("FixtureId", "fixtureId", Text),
    ("TestSocketIndex", "testSocketIndex", Whole),
    ("ErrorCode", "errorCode", Whole),
    ("ErrorMessage", "errorMessage", Text),
    ("BatchSN", "batchSN", Text),
    ("BatchFailCount", "batchFailCount", Whole),
    ("BatchLoopIndex", "batchLoopIndex", Whole),
    ("StepIdCausedUUTFailure", "stepIdCausedUUTFailure", Whole),
];
const PROCESS: Table = &[("Code", "processCode", Whole), ("Name", "processName", Text)];
const MISC_INFO: Table = &[
    ("Description", "description", Text),
    ("Numeric", "numeric", Number),
    ("Typedef", "typedef", Text),
    ("idx", "", LeftOut),
    ("order_no", "", LeftOut),
];
const SUB_UNIT: Table = &[
    ("PartType", "partType", Text),
    ("PN", "pn", Text),
    ("SN", "sn", Text),
    ("Rev", "rev", Text),
    ("Position", "position", Whole),
];
const STEP: Table = &[
    ("Id", "id", Whole),
    ("StepType", "stepType", Text),
    ("Name", "name", Text),
    ("Group", "group", Group),
    ("Status", "status", Verdict),
    ("Start", "start", Text),
    ("total_time", "totTime", Number),
    ("StepErrorCode", "errorCode", Whole),
    ("StepErrorMessage", "errorMessage", Text),
    ("StepCausedSequenceFailure", "causedSeqFailure", Flag),
    ("StepCausedUUTFailure", "causedUUTFailure", Flag),
    ("StepIndex", "", LeftOut),
];
const SEQUENCE_CALL: Table = &[
    ("Name", "name", Text),
    ("Version", "version", Text),
    ("Filepath", "path", Text),
    ("Filename", "fileName", Text),
    ("MeasIndex", "", LeftOut),
];
const NUMERIC: Table = &[
    ("Name", "name", Text),
    ("CompOperator", "compOp", Text),
    ("Status", "status", Verdict),
    ("Units", "unit", Text),
    ("NumericValue", "value", Number),
    ("LowLimit", "lowLimit", Number),
    ("HighLimit", "highLimit", Number),
    ("MeasIndex", "", LeftOut),
    ("MeasOrderNumber", "", LeftOut),
];
const STRING: Table = &[
    ("Name", "name", Text),
    ("CompOperator", "compOp", Text),
    ("Status", "status", Verdict),
    ("StringValue", "value", Measured),
    ("StringLimit", "limit", Measured),
    ("MeasIndex", "", LeftOut),
    ("MeasOrderNumber", "", LeftOut),
];
const PASS_FAIL: Table =
    &[("Name", "name", Text), ("Status", "status", Verdict), ("MeasIndex", "", LeftOut), ("MeasOrderNumber", "", LeftOut)];
const LOOP: Table = &[
    ("index", "idx", Whole),
    ("num", "num", Whole),
    ("ending_index", "endingIndex", Whole),
    ("passed", "passed", Whole),
    ("failed", "failed", Whole),
];
const MESSAGE_POPUP: Table = &[("Response", "response", Text), ("Button", "button", Whole), ("MeasIndex", "", LeftOut)];
const CALL_EXE: Table = &[("ExitCode", "exitCode", Number), ("MeasIndex", "", LeftOut)];
const CHART: Table = &[
    ("ChartType", "chartType", Text),
    ("Label", "label", Text),
    ("XLabel", "xLabel", Text),
    ("XUnit", "xUnit", Text),
    ("YLabel", "yLabel", Text),
    ("YUnit", "yUnit", Text),
    ("idx", "", LeftOut),
];
const SERIES: Table = &[("DataType", "dataType", Text), ("Name", "name", Text)];
const ATTACHMENT: Table = &[("Name", "name", Text), ("ContentType", "contentType", Text), ("Description", "description", Text)];

type Object = Map<String, Value>;

/// Faults and notes while a report is read.
#[derive(Default)]
struct Reading {
    faults: Vec<Fault>,
    notes: Vec<String>,
}

impl Reading {
    fn report(&mut self, element: Element<'_>) -> Value {
        let mut report = self.object(element, REPORT, &["type"]);
        match element.attribute("type") {
            Some("UUT") | None => report.insert("type".to_owned(), "T".into()),
            Some(other) => {
                self.fault(
                    element,
                    FaultKind::OutOfRange,
                    format!("\"{}\" is no test (UUT): repairs as XML are not read", printable(other, 20)),
                );
                None
            }
        };
        for child in element.children() {
            match child.name() {
                "UUT" => {
                    let mut uut = self.object(child, UUT, &[]);
                    self.texts(child, &mut uut, &[("Comment", "comment")]);
                    report.insert("uut".to_owned(), uut.into());
                }
                "Process" => report.extend(self.object(child, PROCESS, &[])),
                "MiscInfo" => {
                    let mut info = self.object(child, MISC_INFO, &[]);
                    if !child.text().is_empty() {
                        info.insert("text".to_owned(), child.text().into());
                    }
                    append(&mut report, "miscInfos", info);
                }
                "ReportUnitHierarchy" => append(&mut report, "subUnits", self.object(child, SUB_UNIT, &[])),
                "Step" => {
                    let step = self.step(child);
                    if report.insert("root".to_owned(), step.into()).is_some() {
                        self.fault(child, FaultKind::OutOfRange, "a second root step".to_owned());
                    }
                }
                _ => self.unknown(child, &mut report),
            }
        }
        report.into()
    }

    fn step(&mut self, element: Element<'_>) -> Object {
        let mut step = self.object(element, STEP, &[]);
        for child in element.children() {
            match child.name() {
                "Step" => append(&mut step, "steps", self.step(child)),
                "SequenceCall" => {
                    let mut call = self.object(child, SEQUENCE_CALL, &[]);
                    one_path(&mut call);
                    step.insert("seqCall".to_owned(), call.into());
                }
                "NumericLimit" => append(&mut step, "numericMeas", self.object(child, NUMERIC, &[])),
                "StringValue" => append(&mut step, "stringMeas", self.object(child, STRING, &[])),
                "PassFail" => append(&mut step, "booleanMeas", self.object(child, PASS_FAIL, &[])),
                "Loop" => drop(step.insert("loop".to_owned(), self.object(child, LOOP, &[]).into())),
                "MessagePopup" => drop(step.insert("messagePopup".to_owned(), self.object(child, MESSAGE_POPUP, &[]).into())),
                "Callexe" => drop(step.insert("callExe".to_owned(), self.object(child, CALL_EXE, &[]).into())),
                "ReportText" => drop(step.insert("reportText".to_owned(), child.text().into())),
                "Chart" => drop(step.insert("chart".to_owned(), self.chart(child).into())),
                "Attachment" => {
                    let mut attachment = self.object(child, ATTACHMENT, &[]);
                    attachment.insert("data".to_owned(), child.text().trim().into());
                    step.insert("attachment".to_owned(), attachment.into());
                }
                _ => self.unknown(child, &mut step),
            }
        }
        step
    }

    fn chart(&mut self, element: Element<'_>) -> Object {
        let mut chart = self.object(element, CHART, &[]);
        for child in element.children() {
            if child.name() == "Series" {
                let mut series = self.object(child, SERIES, &[]);
                self.texts(child, &mut series, &[("xdata", "xdata"), ("ydata", "ydata")]);
                append(&mut chart, "series", series);
            } else {
                self.unknown(child, &mut chart);
            }
        }
        chart
    }

    /// The attributes of an element as a table has them; those of `apart` are read elsewhere.
    fn object(&mut self, element: Element<'_>, table: Table, apart: &[&str]) -> Object {
        let mut object = Object::new();
        for (attribute, text) in element.attributes().filter(|(attribute, _)| !apart.contains(attribute)) {
            let (key, value) = match table.iter().find(|(known, ..)| *known == attribute) {
                Some((_, _, LeftOut)) => continue,
                // An empty one says nothing, as one that is not there; but a text that was measured may be empty.
                Some((_, _, kind)) if text.is_empty() && !matches!(kind, Measured) => continue,
                Some((_, key, kind)) => (*key, self.value(element, attribute, text, *kind)),
                None => (attribute, Some(text.into())),
            };
            if let Some(value) = value {
                object.insert(key.to_owned(), value);
            }
        }
        object
    }

    fn value(&mut self, element: Element<'_>, attribute: &str, text: &str, kind: Kind) -> Option<Value> {
        let value = match kind {
            Text | Measured | LeftOut => Some(text.into()),
            Number => number::plain(text).map(|number| match number {
                Num::Finite(number) => Value::Number(number),
                named => named.to_string().into(),
            }),
            Whole => text.trim().parse::<i64>().ok().map(Value::from),
            Flag => match text.trim() {
                "true" | "1" => Some(true.into()),
                "false" | "0" => Some(false.into()),
                _ => None,
            },
            Verdict => Status::parse(text).map(|status| status.letter().into()),
            Group => match text.trim() {
                "Setup" | "S" => Some("S".into()),
                "Main" | "M" => Some("M".into()),
                "Cleanup" | "C" => Some("C".into()),
                _ => None,
            },
        };
        if value.is_none() {
            let expected = match kind {
                Number => "a number",
                Whole => "a whole number",
                Flag => "true or false",
                Verdict => "Passed, Failed, Done, Skipped, Error or Terminated",
                Group => "Setup, Main or Cleanup",
                Text | Measured | LeftOut => "a text",
            };
            self.fault(element, FaultKind::OutOfRange, format!("{attribute} is \"{}\", not {expected}", printable(text, 40)));
        }
        value
    }

    /// Children that are texts of their parent.
    fn texts(&mut self, element: Element<'_>, object: &mut Object, table: &[(&str, &str)]) {
        for child in element.children() {
            match table.iter().find(|(known, _)| *known == child.name()) {
                Some((_, key)) => drop(object.insert((*key).to_owned(), child.text().into())),
                None => self.unknown(child, object),
            }
        }
    }

    /// An element that no table knows is carried through with its attributes and its text.
    fn unknown(&mut self, element: Element<'_>, object: &mut Object) {
        self.notes.push(format!("{}: it has no place in a report and is carried through", element.place()));
        append(object, element.name(), carried(element));
    }

    fn fault(&mut self, element: Element<'_>, kind: FaultKind, message: String) {
        self.faults.push(Fault { path: element.place(), kind, message });
    }
}

fn append(object: &mut Object, key: &str, item: Object) {
    if let Value::Array(items) = object.entry(key.to_owned()).or_insert_with(|| Value::Array(Vec::new())) {
        items.push(item.into());
    }
}

fn carried(element: Element<'_>) -> Object {
    let mut object: Object = element.attributes().map(|(name, value)| (name.to_owned(), value.into())).collect();
    if !element.text().trim().is_empty() {
        object.insert("text".to_owned(), element.text().into());
    }
    for child in element.children() {
        append(&mut object, child.name(), carried(child));
    }
    object
}

/// A report has one path for the file of a sequence; exports write it as folder and name, or the same twice.
fn one_path(call: &mut Object) {
    let text = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (path, name) = (text("path"), text("fileName"));
    if path.is_empty() && !name.is_empty() {
        call.insert("path".to_owned(), name.clone().into());
    }
    if path.is_empty() || path.ends_with(&name) {
        call.shift_remove("fileName");
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use waybill_shared::report::{validate::validate, wsjf};

    use super::*;
    use crate::convert::{Arguments, Content};

    const SAMPLE: &[u8] = include_bytes!("../../../../tests/data/wsxf/uut-wsxf-export.xml");
    const SAME: &[u8] = include_bytes!("../../../../tests/data/wsjf/uut-wsjf-export.json");

    fn units(bytes: &[u8]) -> (Vec<Result<Unit, ConvertError>>, Result<(), ConvertError>) {
        let mut units = Vec::new();
        let (content, none) = (Content::Bytes(bytes), Map::new());
        let arguments = Arguments::new(&none);
        let input = Input { content, file_name: "x.xml", modified: Timestamp::UNIX_EPOCH, arguments };
        let result = Wsxf.convert(&input, &mut |unit| {
            units.push(unit);
            std::ops::ControlFlow::Continue(())
        });
        (units, result)
    }

    #[test]
    fn the_same_report_in_both_forms_is_the_same() {
        let (mut found, result) = units(SAMPLE);
        result.unwrap();
        assert_eq!(found.len(), 1);
        let unit = found.pop().unwrap().unwrap();
        assert_eq!(unit.notes, Vec::<String>::new());
        let mut same = wsjf::read_one(SAME).unwrap();
        same.id = same.id.map(|id| id.to_uppercase());
        // WSJF writes empty lists, XML leaves them out.
        (same.assets, same.asset_stats, same.additional_data) = (None, None, None);
        assert_eq!((unit.report.steps().count(), unit.report.measurement_count()), (186, 146));
        assert_eq!(validate(&unit.report), []);
        assert_same(&unit.report, &same);
    }

    fn report(steps: &str) -> String {
        format!(
            "<Reports xmlns='http://wats.virinco.com/schemas/WATS/Report/wsxf'><Report type='UUT' SN='1' PN='p' Rev='1' Result='Passed' \
             Start='2026-01-30T22:01:41+01:00'><Process Code='10'/><Step Name='r' StepType='SequenceCall'>{steps}</Step></Report></Reports>"
        )
    }

    fn only(text: &str) -> Result<Unit, ConvertError> {
        let (mut found, result) = units(text.as_bytes());
        result.unwrap();
        assert_eq!(found.len(), 1);
        found.pop().unwrap()
    }

    #[test]
    fn what_no_table_knows_is_carried_through_and_told() {
        let step = "<Step Name='s' StepType='ET_A' Colour='red'><Odd x='1'>text<y/></Odd></Step>";
        let unit = only(&report(step)).unwrap();
        let step = &unit.report.root.unwrap().steps.unwrap()[0];
        assert_eq!(step.extra["Colour"], "red");
        assert_eq!(step.extra["Odd"], serde_json::json!([{"x": "1", "text": "text", "y": [{}]}]));
        assert!(unit.notes.len() == 1 && unit.notes[0].contains("<Odd>"), "{:?}", unit.notes);
    }

    #[test]
    fn all_faults_of_a_report_are_named_and_the_next_one_is_not_lost() {
        let bad =
            report("<Step Name='s' StepType='ET_NLT' Status='Good' total_time='soon'><NumericLimit NumericValue='4,7'/></Step>");
        let both = bad
            .replace("</Reports>", &report("").replace("<Reports xmlns='http://wats.virinco.com/schemas/WATS/Report/wsxf'>", ""));
        let (found, result) = units(both.as_bytes());
        result.unwrap();
        let [Err(ConvertError::Faults(faults)), Ok(_)] = found.as_slice() else { panic!("{found:?}") };
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        for (text, place) in told.iter().zip(["<Step>", "<Step>", "<NumericLimit>"]) {
            assert!(text.contains(place), "{text}");
        }
        assert!(told[0].contains("Good") && told[1].contains("soon") && told[2].contains("4,7"), "{told:?}");
        let repair = report("").replace("UUT", "UUR");
        assert!(matches!(only(&repair), Err(ConvertError::Faults(_))));
    }

    #[test]
    fn a_verdict_that_contradicts_its_limits_stays_and_is_told() {
        let limit = "<NumericLimit NumericValue='3' CompOperator='GELE' LowLimit='1' HighLimit='2' Status='Passed'/>";
        let unit = only(&report(&format!("<Step Name='s' StepType='ET_NLT' Status='Passed'>{limit}</Step>"))).unwrap();
        assert_eq!(unit.report.root.as_ref().unwrap().steps.as_ref().unwrap()[0].status, Some(Status::Passed));
        assert!(unit.notes[0].contains("the file says Passed"), "{:?}", unit.notes);
    }

    #[test]
    fn wherever_it_is_cut_it_is_incomplete_and_never_a_whole_report() {
        let root = 60;
        for cut in (root..SAMPLE.len() - 1).step_by(997).chain(SAMPLE.len() - 20..SAMPLE.len() - 1) {
            let (found, result) = units(&SAMPLE[..cut]);
            assert!(matches!(result, Err(ConvertError::Incomplete { .. })), "{cut}: {result:?}");
            assert!(found.is_empty() || cut > SAMPLE.len() - 20, "{cut}");
        }
    }

    #[test]
    fn a_byte_that_is_flipped_ends_in_an_answer() {
        for at in (0..SAMPLE.len()).step_by(501) {
            for flip in [0x01, 0x20, 0x80] {
                let mut bytes = SAMPLE.to_vec();
                bytes[at] ^= flip;
                let (found, _either) = units(&bytes);
                assert!(found.len() <= 1, "{at}");
            }
        }
    }

    #[test]
    fn it_is_told_from_other_xml() {
        assert!(Wsxf.sniff(&crate::convert::Head::new(&SAMPLE[..SAMPLE.len().min(4096)])) > 90);
        assert_eq!(Wsxf.sniff(&crate::convert::Head::new(b"<?xml version='1.0'?><Reports><Report Type='UUT' Title='UUT Report'>")), 0, "TestStand's own");
    }

    fn assert_same(left: &Report, right: &Report) {
        let (left, right) = (serde_json::to_value(left).unwrap(), serde_json::to_value(right).unwrap());
        let mut differences = Vec::new();
        compare(&left, &right, "", &mut differences);
        assert!(
            differences.is_empty(),
            "{} differences:\n{}",
            differences.len(),
            differences[..differences.len().min(30)].join("\n")
        );
    }

    fn compare(left: &Value, right: &Value, place: &str, differences: &mut Vec<String>) {
        match (left, right) {
            (Value::Object(a), Value::Object(b)) => {
                for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                    compare(
                        a.get(key).unwrap_or(&Value::Null),
                        b.get(key).unwrap_or(&Value::Null),
                        &format!("{place}.{key}"),
                        differences,
                    );
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    compare(a, b, &format!("{place}[{index}]"), differences);
                }
            }
            (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
            (a, b) if a == b => {}
            (a, b) => differences.push(format!("{place}: {a} is not {b}")),
        }
    }
}
