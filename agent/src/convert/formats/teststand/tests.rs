use serde_json::json;
use waybill_shared::report::{Num, NumericMeas, Report, Status, Step};

use super::TestStand;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};
use crate::convert::{ConvertError, Converter as _};

const PLAIN: &str = "TsWithoutWats.xml";
const WATS: &str = "TSWithWats.xml";

fn numbers(step: &Step) -> Vec<String> {
    let text = |number: &Option<Num>| number.as_ref().map_or("-".to_owned(), ToString::to_string);
    let of = |one: &NumericMeas| {
        let (comparator, unit) = (one.comp_op.as_deref().unwrap(), one.unit.as_deref().unwrap_or("-"));
        let (value, low, high) = (text(&one.value), text(&one.low_limit), text(&one.high_limit));
        format!("{comparator} {value} {low} {high} {unit} {}", one.status.unwrap().letter())
    };
    step.numeric_meas.iter().flatten().map(of).collect()
}

fn named<'a>(report: &'a Report, name: &str) -> &'a Step {
    report.steps().find(|step| step.name.as_deref() == Some(name)).unwrap_or_else(|| panic!("no step {name}"))
}

#[test]
fn the_plain_sample_arrives_as_it_is() {
    let report = golden(&TestStand, &format!("teststand/{PLAIN}"), &json!({})).only();
    assert_eq!((report.sn.as_deref(), report.pn.as_deref()), (Some("2342343"), Some("PN")), "the file names no part number");
    assert_eq!((report.result, report.machine_name.as_deref()), (Some(Status::Passed), Some("TS-2021-BETA")));
    assert_eq!(report.start.as_deref(), Some("2022-07-01T15:47:48.927+02:00"));
    let uut = report.uut.as_ref().unwrap();
    assert_eq!((uut.user.as_deref(), uut.test_socket_index, uut.batch_sn.as_deref()), (Some("administrator"), None, None));
    assert_eq!(uut.exec_time.as_ref().unwrap().to_string(), "6.0831833");
    assert_eq!(report.steps().count(), 18);
    let of = |status: Status| report.steps().filter(|step| step.status == Some(status)).count();
    assert_eq!((of(Status::Passed), of(Status::Done)), (11, 7));
    let verdicts = report.steps().filter(|step| step.step_type.as_deref() == Some("ET_PFT")).count();
    assert_eq!((verdicts, report.measurement_count()), (7, 9));
    assert_eq!(numbers(named(&report, "Video Test")), ["GTLT 5 0 10 microseconds P"]);
    assert_eq!(numbers(named(&report, "Keyboard Test")), ["GT 6 5 - - P"]);
    let root = report.root.as_ref().unwrap();
    let call = root.seq_call.as_ref().unwrap();
    assert_eq!((root.name.as_deref(), call.name.as_deref()), (Some("MainSequence Callback"), Some("MainSequence")));
    assert!(call.path.as_deref().unwrap().ends_with(r"LabVIEW\Computer Motherboard Test Sequence.seq"));
    assert_eq!((call.version.as_deref(), root.id), (Some("21.0.0.49156"), Some(5)));
    let inner = named(&report, "CPU Test");
    assert_eq!((inner.steps.as_ref().unwrap().len(), inner.tot_time.as_ref().unwrap().to_string().as_str()), (4, "0.0315635"));
    let condition = named(&report, "If");
    assert_eq!((condition.step_type.as_deref(), condition.report_text.as_deref()), (Some("NI_Flow_If"), Some("{True}")));
    assert_eq!(named(&report, "Turn Vacuum Table Off").group.as_deref(), Some("C"));
    assert_eq!(named(&report, "ROM Test").ts_guid.as_deref(), Some("ID#:gsZLdWPO6BG1UABQVsAACA"));
}

#[test]
fn steps_that_steer_can_be_left_out() {
    let report = convert(&TestStand, PLAIN, &data(&format!("teststand/{PLAIN}")), &json!({"flow_steps": false})).only();
    assert_eq!(report.steps().count(), 14);
}

#[test]
fn the_sample_of_the_wats_client_arrives_as_it_is() {
    let report = golden(&TestStand, &format!("teststand/{WATS}"), &json!({"part_number": "unused"})).only();
    assert_eq!(report.id.as_deref(), Some("f4fb0a29-93b1-4f7f-ada7-672b382774ab"));
    assert_eq!((report.sn.as_deref(), report.pn.as_deref(), report.rev.as_deref()), (Some("12345"), Some("PN1"), Some("1.0")));
    assert_eq!((report.process_code, report.result), (Some(60), Some(Status::Passed)));
    assert_eq!(report.start.as_deref(), Some("2022-06-23T10:55:04.37+02:00"));
    assert_eq!(
        (report.machine_name.as_deref(), report.location.as_deref(), report.purpose.as_deref()),
        (Some("VIC-PCBA-003"), Some("Norautron Horten"), Some("PCBA Test"))
    );
    assert_eq!((report.steps().count(), report.measurement_count()), (2, 1));
    let step = named(&report, "Pass/Fail Test");
    assert_eq!((step.step_type.as_deref(), step.tot_time.as_ref().unwrap().as_f64()), (Some("ET_PFT"), 5.41e-05));
}

#[test]
fn wherever_a_sample_is_cut_or_spoilt_it_ends_in_an_answer() {
    for name in [PLAIN, WATS] {
        let bytes = data(&format!("teststand/{name}"));
        cut_anywhere(&TestStand, name, &bytes, &json!({}));
        flip_anywhere(&TestStand, name, &bytes, &json!({}));
    }
}

fn prop(name: &str, kind: &str, value: &str) -> String {
    format!("<Prop Name='{name}' Type='{kind}' Flags='0x0'><Value>{value}</Value></Prop>")
}

fn container(name: &str, inner: &str) -> String {
    format!("<Prop Name='{name}' Type='Obj' Flags='0x0'>{inner}</Prop>")
}

fn list(name: &str, results: &[String]) -> String {
    let items: String = results.iter().enumerate().map(|(n, result)| format!("<Value ID='[{n}]'>{result}</Value>")).collect();
    format!(
        "<Prop Name='{name}' Type='Array' ElementType='Obj'><ArrayElementPrototype Type='TEResult'></ArrayElementPrototype>{items}</Prop>"
    )
}

/// A result; `ts` is what `TS` has besides its name and kind.
fn result(name: &str, kind: &str, status: &str, ts: &str, own: &str) -> String {
    let ts = container("TS", &format!("{ts}{}{}", prop("StepName", "String", name), prop("StepType", "String", kind)));
    format!("<Prop Type='TEResult'>{own}{}{ts}</Prop>", prop("Status", "String", status))
}

fn call(results: &[String]) -> String {
    container("SequenceCall", &format!("{}{}", list("ResultList", results), prop("Sequence", "String", "Main")))
}

fn report(attributes: &str, header: &str, results: &[String]) -> String {
    let root = result("Root", "SequenceCall", "Passed", &call(results), "");
    let header = if header.contains("SerialNumber") {
        header.to_owned()
    } else {
        format!("{}{header}", container("UUT", &prop("SerialNumber", "String", " S1\n")))
    };
    format!("<?xml version='1.0'?><Reports><Report Type='UUT' {attributes}>{header}{root}</Report></Reports>")
}

fn read(text: &str) -> Converted {
    convert(&TestStand, "x.xml", text.as_bytes(), &json!({}))
}

fn steps(results: &[String]) -> (Vec<Step>, Vec<String>) {
    let found = read(&report("UUTResult='Passed'", "", results));
    let notes = found.notes.first().cloned().unwrap_or_default();
    (found.only().root.unwrap().steps.unwrap(), notes)
}

fn number(comparator: &str, value: &str, limits: &str) -> String {
    format!(
        "{}{}{}{}",
        prop("Numeric", "Number", value),
        prop("Comp", "String", comparator),
        container("Limits", limits),
        prop("Units", "String", "V")
    )
}

#[test]
fn numbers_have_the_limits_of_their_comparator() {
    let limits = |low: &str, high: &str| format!("{}{}", prop("Low", "Number", low), prop("High", "Number", high));
    let around =
        |kind: &str| format!("{}{}{}", limits("10", "20"), prop("Nominal", "Number", "5"), prop("ThresholdType", "String", kind));
    for (comparator, value, limits, expected) in [
        ("GELE", "4.70", limits("1", "5.0"), "GELE 4.70 1 5.0 V P"),
        ("LTGT", "9", limits("1", "5"), "LTGT 9 1 5 V P"),
        ("LT", "0", prop("Low", "Number", "1"), "LT 0 1 - V P"),
        ("EQ", "0x1F", prop("Low", "Number", "0x1F"), "EQ 31 31 - V P"),
        ("LOG", "NAN", String::new(), "LOG NaN - - V P"),
        ("GE", "INF", prop("Low", "Number", "1"), "GE Infinity 1 - V P"),
        ("EQT", "5", around("PERCENTAGE"), "GELE 5 4.5 6 V P"),
        ("EQT", "5", around("PPM"), "GELE 5 4.99995 5.0001 V P"),
        ("EQT", "5", around("DELTA"), "GELE 5 -5 25 V P"),
        ("GELE", "15", around("PERCENTAGE"), "GELE 15 10 20 V P"),
    ] {
        let (found, _) = steps(&[result("n", "NumericLimitTest", "Passed", "", &number(comparator, value, &limits))]);
        assert_eq!((numbers(&found[0]), found[0].step_type.as_deref()), (vec![expected.to_owned()], Some("ET_NLT")));
    }
    let more = format!("{}{}", prop("Low", "Number", "1"), prop("LowExpr", "String", "Locals.x"));
    let (found, _) = steps(&[result("n", "NumericLimitTest", "Passed", "", &number("GE", "5", &more))]);
    assert_eq!(found[0].report_text.as_deref(), Some("Limits.LowExpr: Locals.x"));
    let (found, notes) = steps(&[result("n", "NumericLimitTest", "Passed", "", &number("EQT", "5", &limits("1", "2")))]);
    assert_eq!((numbers(&found[0]), notes.iter().any(|note| note.contains("EQT"))), (vec!["LOG 5 - - V P".to_owned()], true));
    assert!(found[0].report_text.as_deref().unwrap().contains("Low 1, High 2"));
}

#[test]
fn a_comma_is_decimal_where_the_report_says_so() {
    let step = result("n", "NumericLimitTest", "Passed", "", &number("GE", "4,70", &prop("Low", "Number", "1,5")));
    let options = container("ReportOptions", &prop("UseLocalizedDecimalPoint", "Boolean", "True"));
    let found = read(&report("UUTResult='Passed'", &options, std::slice::from_ref(&step))).only();
    assert_eq!(numbers(named(&found, "n")), ["GE 4.70 1.5 - V P"]);
    let (plain, notes) = steps(&[step]);
    assert_eq!((plain[0].string_meas.as_ref().unwrap()[0].value.as_deref(), notes.is_empty()), (Some("4,70"), false));
}

#[test]
fn several_measurements_texts_and_verdicts_have_their_names() {
    let one = |name: &str, value: &str, status: &str| {
        let limits = container("Limits", &format!("{}{}", prop("Low", "Number", "1"), prop("High", "Number", "2")));
        let inner = [prop("Data", "Number", value), prop("Comp", "String", "GELE"), prop("Status", "String", status), limits];
        format!("<Prop Name='{name}' Type='Obj' TypeName='NI_LimitMeasurement'>{}</Prop>", inner.concat())
    };
    let own = list("Measurement", &[one("3V3", "1.5", "Passed"), one("", "2.5", "Failed")]);
    let (found, _) = steps(&[result("m", "NI_MultipleNumericLimitTest", "Failed", "", &own)]);
    assert_eq!(
        (numbers(&found[0]), found[0].step_type.as_deref()),
        (vec!["GELE 1.5 1 2 - P".to_owned(), "GELE 2.5 1 2 - F".to_owned()], Some("ET_MNLT"))
    );
    let names: Vec<_> = found[0].numeric_meas.iter().flatten().map(|one| one.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["3V3", "2"]);
    let texts = |members: &[String]| format!("<Prop Type='Obj'>{}</Prop>", members.concat());
    let text = texts(&[
        prop("MeasName", "String", "fw"),
        prop("StringData", "String", "a"),
        prop("StringLimit", "String", "A"),
        prop("Comp", "String", "IgnoreCase"),
        prop("Status", "String", "Passed"),
    ]);
    let (found, _) = steps(&[result("s", "ET_MSVT", "Passed", "", &list("Measurement", &[text]))]);
    let one = &found[0].string_meas.as_ref().unwrap()[0];
    assert_eq!(
        (found[0].step_type.as_deref(), one.name.as_deref(), one.comp_op.as_deref(), one.limit.as_deref()),
        (Some("ET_MSVT"), Some("fw"), Some("IGNORECASE"), Some("A"))
    );
    let flag =
        texts(&[prop("MeasName", "String", "led"), prop("PassFail", "Boolean", "False"), prop("Status", "String", "Failed")]);
    let (found, _) = steps(&[result("p", "ET_MPFT", "Failed", "", &list("Measurement", &[flag]))]);
    assert_eq!(
        (found[0].step_type.as_deref(), found[0].boolean_meas.as_ref().unwrap()[0].status),
        (Some("ET_MPFT"), Some(Status::Failed))
    );
}

#[test]
fn texts_are_compared_as_they_say() {
    for (comparator, expected) in
        [("CaseSensitive", "CASESENSIT"), ("IgnoreCase", "IGNORECASE"), ("RegularExpression", "RegularExpression")]
    {
        let own = format!(
            "{}{}{}",
            container("Limits", &prop("String", "String", " X")),
            prop("String", "String", " x"),
            prop("Comp", "String", comparator)
        );
        let (found, _) = steps(&[result("s", "StringValueTest", "Failed", "", &own)]);
        let one = &found[0].string_meas.as_ref().unwrap()[0];
        assert_eq!(
            (one.comp_op.as_deref(), one.value.as_deref(), one.limit.as_deref()),
            (Some(expected), Some(" x"), Some(" X"))
        );
    }
}

#[test]
fn loops_and_nested_sequences_keep_their_order() {
    let index = |n: usize| prop("LoopIndex", "Number", &n.to_string());
    let once = |n: usize| result("l", "PassFailTest", "Passed", &index(n), &prop("PassFail", "Boolean", "True"));
    let totals = format!(
        "{}{}{}",
        prop("NumLoops", "Number", "2"),
        prop("NumPassed", "Number", "2"),
        prop("EndingLoopIndex", "Number", "2.0")
    );
    for nested in [false, true] {
        let iterations = [once(0), once(1)];
        let results = if nested {
            container("LoopResults", &format!("{}{}", prop("Kind", "String", "Fixed"), list("ResultList", &iterations)))
        } else {
            list("LoopResults", &iterations)
        };
        let looped = result("l", "PassFailTest", "Passed", &format!("{results}{totals}"), &prop("PassFail", "Boolean", "True"));
        let inner = result("inner", "SequenceCall", "Passed", &call(&[looped]), "");
        let (found, _) = steps(&[inner, once(7)]);
        assert_eq!(found.iter().map(|step| step.name.as_deref().unwrap()).collect::<Vec<_>>(), ["inner", "l"]);
        let totals_text = found[0].steps.as_ref().unwrap()[0].report_text.as_deref();
        assert_eq!(totals_text, nested.then_some("Kind: Fixed"));
        let loops: Vec<_> = found[0].steps.iter().flatten().map(|step| step.loop_info.clone().unwrap()).collect();
        assert_eq!(
            loops.iter().map(|info| (info.num, info.ending_index, info.idx)).collect::<Vec<_>>(),
            [(Some(2), Some(2), None), (None, None, Some(0)), (None, None, Some(1))]
        );
    }
}

#[test]
fn statuses_errors_and_other_results_have_their_places() {
    let error = format!(
        "{}{}{}",
        prop("Code", "Number", "-17500"),
        prop("Msg", "String", "no signal"),
        prop("Occurred", "Boolean", "True")
    );
    let popup = format!("{}{}", prop("ButtonHit", "Number", "2"), prop("Response", "String", "yes"));
    let wave = "<Prop Name='Wave' Type='Array' ElementType='Number'><Value ID='[0]'>1.5</Value><Value ID='[1]'>2</Value></Prop>";
    let (found, _) = steps(&[
        result("e", "NumericLimitTest", "Error", "", &container("Error", &error)),
        result("t", "Action", "Running", "", ""),
        result("u", "MyStep", "Tommy", "", &prop("Extra", "String", "x: y")),
        result("m", "MessagePopup", "Done", "", &popup),
        result("x", "CallExecutable", "Done", "", &prop("ExitCode", "Number", "3")),
        result("w", "WATS_XYGMNLT", "Passed", "", &format!("{wave}{}", number("LOG", "1", ""))),
        result("s", "SequenceCall", "Skipped", "", ""),
    ]);
    let [e, t, u, m, x, w, s] = found.as_slice() else { panic!("{}", found.len()) };
    assert_eq!((e.error_code, e.error_message.as_deref(), e.status), (Some(-17500), Some("no signal"), Some(Status::Error)));
    assert_eq!((t.status, t.step_type.as_deref()), (Some(Status::Terminated), Some("Action")));
    assert_eq!((u.status, u.report_text.as_deref()), (Some(Status::Done), Some("Status: Tommy\nExtra: x: y\nStepType: MyStep")));
    assert_eq!(m.message_popup.as_ref().unwrap().button, Some(2));
    assert_eq!(x.call_exe.as_ref().unwrap().exit_code.as_ref().unwrap().to_string(), "3");
    assert_eq!(
        (w.step_type.as_deref(), w.chart.as_ref().unwrap().series.as_ref().unwrap()[0].ydata.as_deref()),
        (Some("WATS_XYGMNLT"), Some("1.5;2"))
    );
    assert_eq!((s.step_type.as_deref(), s.status), (Some("SequenceCall"), Some(Status::Skipped)));
}

#[test]
fn the_unit_says_what_it_is_and_the_link_when_it_began() {
    let part = [("Part_Type", "PCBA"), ("Part_Number", "P2"), ("Part_Serial_Number", "9"), ("Part_Revision_Number", "C")];
    let part = format!("<Prop Type='Obj'>{}</Prop>", part.map(|(name, text)| prop(name, "String", text)).concat());
    let info = format!("<Prop Type='Obj'>{}{}</Prop>", prop("Description", "String", "Oven"), prop("Data_String", "String", "2"));
    let misc = container("MiscUUTResult", &format!("{}{}", list("UUT_Part_Info", &[part]), list("Misc_UUT_Info", &[info])));
    let entry = format!("<Prop Type='Obj'>{}{}</Prop>", prop("StepName", "String", "n"), prop("ResultId", "Number", "42"));
    let unit = [
        prop("SerialNumber", "String", "S 1"),
        prop("PartNumber", "String", "TS"),
        prop("UUTPartNumber", "String", "P1"),
        prop("UUTPartRevisionNumber", "String", "B"),
        prop("UUTOperationType", "Number", "20"),
        prop("TestSocketIndex", "Number", "3"),
        prop("BatchSerialNumber", "String", "B7"),
        misc,
        list("CriticalFailureStack", &[entry]),
    ];
    let date = [("Year", "2565"), ("Month", "7"), ("MonthDay", "1")].map(|(name, text)| prop(name, "Number", text)).concat();
    let date = format!("{}{}", container("StartDate", &date), container("StartTime", &prop("Hours", "Number", "15")));
    let header = format!("{}{date}", container("UUT", &unit.concat()));
    let step = result("n", "PassFailTest", "Failed", &prop("Id", "Number", "42"), &prop("PassFail", "Boolean", "False"));
    let found = read(&report("UUTResult='Failed' Link='2-2022-7-1-15-0-0-0'", &header, &[step]));
    assert!(found.notes[0].iter().any(|note| note.contains("Link")), "{:?}", found.notes);
    let report_found = found.only();
    assert_eq!(
        (report_found.sn.as_deref(), report_found.pn.as_deref(), report_found.rev.as_deref()),
        (Some("S 1"), Some("P1"), Some("B"))
    );
    assert_eq!((report_found.process_code, report_found.result), (Some(20), Some(Status::Failed)));
    assert!(report_found.start.as_deref().unwrap().starts_with("2565-07-01T15:00:00"), "its own parts count");
    let uut = report_found.uut.as_ref().unwrap();
    assert_eq!((uut.test_socket_index, uut.batch_sn.as_deref(), uut.step_id_caused_uut_failure), (Some(3), Some("B7"), Some(42)));
    assert_eq!(report_found.sub_units.as_ref().unwrap()[0].sn.as_deref(), Some("9"));
    let infos: Vec<_> = report_found.misc_infos.iter().flatten().map(|info| info.description.as_deref().unwrap()).collect();
    assert_eq!(infos, ["PartNumber", "Oven", "Critical failure"]);
    let linked = read(&report("UUTResult='Passed' Link='-1-2022-7-1-15-47-48-927'", "", &[])).only();
    assert_eq!(linked.start.as_deref(), Some("2022-07-01T15:47:48.927+02:00"), "its own parts are missing");
}

#[test]
fn an_id_that_is_none_is_not_taken() {
    let bytes = String::from_utf8(data(&format!("teststand/{WATS}"))).unwrap();
    for none in ["00000000-0000-0000-0000-000000000000", "f4fb0a29-93b1-4f7f-ada7-672b3827zzzz", "7"] {
        let found = read(&bytes.replace("f4fb0a29-93b1-4f7f-ada7-672b382774ab", none)).only();
        assert!(found.id.as_deref() != Some(none));
        let infos: Vec<_> = found.misc_infos.iter().flatten().filter_map(|info| info.text.as_deref()).collect();
        assert!(infos.contains(&none), "{infos:?}");
    }
}

#[test]
fn several_reports_are_several_units_and_a_bad_one_loses_none() {
    let one = |attributes: &str| {
        report(attributes, "", &[result("n", "Action", "Done", "", "")])
            .replace("<?xml version='1.0'?><Reports>", "")
            .replace("</Reports>", "")
    };
    let batch =
        "<Report Type='Batch' UUTResult='Failed'><Prop Name='UUT' Type='Obj'><Prop Type='TEResult'></Prop></Prop></Report>";
    let text = format!(
        "<Reports>{}{batch}{}{}</Reports>",
        one("UUTResult='Passed'"),
        one("UUTResult='Splendid'"),
        one("UUTResult='Terminated'")
    );
    let found = read(&text);
    assert_eq!(
        found.reports.iter().map(|report| report.result.unwrap()).collect::<Vec<_>>(),
        [Status::Passed, Status::Terminated]
    );
    assert_eq!((found.errors.len(), &found.end), (1, &Ok(())));
    assert_ne!(found.reports[0].id, found.reports[1].id);
    assert!(matches!(read(&format!("<Reports>{batch}</Reports>")).end, Err(ConvertError::Malformed { .. })));
    assert!(matches!(read("<?xml version='1.0'?>").end, Err(ConvertError::Incomplete { .. })));
    let without = read(
        "<Reports><Report Type='UUT' UUTResult='Passed'><Prop Name='UUT' Type='Obj'><Prop Name='SerialNumber' Type='String'><Value>1</Value></Prop></Prop></Report></Reports>",
    );
    assert_eq!(
        (without.notes[0].iter().any(|note| note.contains("no result")), without.only().result),
        (true, Some(Status::Passed))
    );
}

#[test]
fn deep_nesting_and_bombs_end_in_an_answer() {
    let nested = |depth: usize| {
        let mut inner = result("last", "Action", "Done", "", "");
        for _ in 0..depth {
            inner = result("s", "SequenceCall", "Passed", &call(&[inner]), "");
        }
        report("UUTResult='Passed'", "", &[inner])
    };
    assert_eq!(read(&nested(40)).only().steps().count(), 42);
    assert!(matches!(read(&nested(300)).end, Err(ConvertError::Malformed { .. })));
    let deep = format!("<Reports><Report Type='UUT'>{}", "<Prop Name='a' Type='Obj'>".repeat(10_000));
    assert!(matches!(read(&deep).end, Err(ConvertError::Malformed { .. })));
    let bomb = "<!DOCTYPE x [<!ENTITY a 'aa'><!ENTITY b '&a;&a;'>]><Reports><Report Type='UUT'><Prop Name='UUT' Type='Obj'>&b;</Prop></Report></Reports>";
    assert!(matches!(read(bomb).end, Err(ConvertError::Malformed { .. })));
}

/// Writes a report of so many results without holding it.
struct Long {
    left: usize,
    one: Vec<u8>,
    part: std::io::Cursor<Vec<u8>>,
    tail: Option<Vec<u8>>,
}

impl std::io::Read for Long {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let read = std::io::Read::read(&mut self.part, into)?;
            if read > 0 {
                return Ok(read);
            }
            self.part = if self.left > 0 {
                self.left -= 1;
                std::io::Cursor::new(self.one.clone())
            } else if let Some(tail) = self.tail.take() {
                std::io::Cursor::new(tail)
            } else {
                return Ok(0);
            };
        }
    }
}

#[test]
fn of_a_long_report_only_one_result_is_held() {
    use super::{Reading, what};
    use crate::convert::ground::xml::{Node, Xml};
    let whole = report("UUTResult='Passed'", "", &["@".to_owned()]);
    let (head, tail) = whole.split_once("<Value ID='[0]'>@</Value>").unwrap();
    let own = format!(
        "{}<Prop Name='Filler' Type='Array' ElementType='String'>{}</Prop>",
        prop("PassFail", "Boolean", "True"),
        "<Value ID='[0]'></Value>".repeat(50)
    );
    let one = format!("<Value ID='[0]'>{}</Value>", result("n", "PassFailTest", "Passed", "", &own));
    let long = Long {
        left: 2_000,
        one: one.into_bytes(),
        part: std::io::Cursor::new(head.as_bytes().to_vec()),
        tail: Some(tail.as_bytes().to_vec()),
    };
    let mut xml = Xml::new(std::io::BufReader::new(long));
    let mut reading = Reading { open: Vec::new(), keeps_flow: true, found: false };
    let (mut most, mut done) = (0, None);
    loop {
        let open = reading.open.last();
        match xml.node_by(|path, start| what(open, path, start).0).unwrap() {
            None => break,
            Some(Node::Begin(start)) => reading.begin(start),
            Some(Node::Whole(element)) => {
                most = most.max(element.children().count());
                reading.whole(element);
            }
            Some(Node::End) => done = reading.end().or(done),
        }
    }
    assert!(most <= 60, "{most} elements at once");
    assert_eq!(done.unwrap().roots[0].steps.as_ref().unwrap().len(), 2_000);
}

#[test]
fn it_is_told_from_other_xml() {
    assert_eq!(TestStand.sniff(&crate::convert::Head::new(&data(&format!("teststand/{PLAIN}")))), 95);
    assert_eq!(
        TestStand.sniff(&crate::convert::Head::new(b"<Reports xmlns='http://wats.virinco.com/schemas/WATS/Report/wsxf'><Report type='UUT'><Step>")),
        0
    );
    assert_eq!(TestStand.sniff(&crate::convert::Head::new(b"<testsuites><testsuite><testcase>")), 0);
}
