use serde_json::json;
use waybill_shared::report::{Report, Status, Step};

use super::Atml;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};
use crate::convert::{ConvertError, Converter as _};

const V2: &str = "ATML 2.02 [123456789][2 30 27 PM][5 15 2019].XML";
const V5: &str = "ATML 5.00 [2 31 11 PM][5 15 2019].xml";
const V6: &str = "ATML 6.01 [2 31 52 PM][5 15 2019].xml";
const FAT: &str = "TS2017_ATML2.02 - FATv1.XML";

fn sample(name: &str) -> Report {
    golden(&Atml, &format!("atml/{name}"), &json!({})).only()
}

fn named<'a>(report: &'a Report, name: &str) -> &'a Step {
    report.steps().find(|step| step.name.as_deref() == Some(name)).unwrap_or_else(|| panic!("no step {name}"))
}

/// Steps of these types.
fn count(report: &Report, types: &[&str]) -> usize {
    report.steps().filter(|step| types.contains(&step.step_type.as_deref().unwrap())).count()
}

/// Comparator, value, low, high, unit, verdict.
fn numbers(step: &Step) -> Vec<String> {
    let of = |one: &waybill_shared::report::NumericMeas| {
        let text = |number: &Option<waybill_shared::report::Num>| number.as_ref().map_or("-".to_owned(), ToString::to_string);
        let unit = one.unit.as_deref().unwrap_or("-");
        let comparator = one.comp_op.as_deref().unwrap();
        format!(
            "{comparator} {} {} {} {unit} {}",
            text(&one.value),
            text(&one.low_limit),
            text(&one.high_limit),
            one.status.unwrap().letter()
        )
    };
    step.numeric_meas.iter().flatten().map(of).collect()
}

fn texts(step: &Step) -> Vec<String> {
    let of = |one: &waybill_shared::report::StringMeas| {
        let (value, limit) = (one.value.as_deref().unwrap(), one.limit.as_deref().unwrap_or("-"));
        format!("{} {value} / {limit} {}", one.comp_op.as_deref().unwrap(), one.status.unwrap().letter())
    };
    step.string_meas.iter().flatten().map(of).collect()
}

#[test]
fn the_same_test_in_three_versions_is_the_same() {
    for (name, start, time) in [
        (V2, "2019-05-15T14:30:27.058+02:00", "2.17"),
        (V5, "2019-05-15T14:31:11.452+02:00", "2.6958"),
        (V6, "2019-05-15T14:31:52.851+02:00", "2.12798"),
    ] {
        let report = sample(name);
        assert_eq!((report.sn.as_deref(), report.pn.as_deref()), (Some("123456789"), Some("Ragnar123")), "{name}");
        assert_eq!((report.result, report.machine_name.as_deref()), (Some(Status::Failed), Some("TS-2016-BETA")), "{name}");
        let uut = report.uut.as_ref().unwrap();
        assert_eq!(uut.user.as_deref(), Some("administrator"));
        assert_eq!(
            (report.start.as_deref(), uut.exec_time.as_ref().unwrap().to_string().as_str()),
            (Some(start), time),
            "{name}"
        );
        // 14 tests, 8 actions, the main sequence and one in it; a skipped test is a call of a sequence.
        assert_eq!((report.steps().count(), report.measurement_count()), (24, 10), "{name}");
        assert_eq!(count(&report, &["SequenceCall"]), 3, "{name}");
        let skipped = report.steps().filter(|step| step.status == Some(Status::Skipped)).count();
        assert_eq!(skipped, 4, "{name}");
        let video = named(&report, "Video Test");
        assert_eq!(numbers(video), ["GTLT 5 0 10 microseconds P"], "{name}");
        assert_eq!(video.numeric_meas.as_ref().unwrap()[0].name, None, "every such step has this one");
        let keyboard = named(&report, "Keyboard Test");
        assert_eq!((numbers(keyboard), keyboard.caused_seq_failure), (vec!["GT 4 5 - - F".to_owned()], Some(true)), "{name}");
        let call = named(&report, "CPU Test");
        assert_eq!((call.steps.as_ref().unwrap().len(), call.group.as_deref()), (4, Some("M")), "{name}");
        let seq_call = call.seq_call.as_ref().unwrap();
        assert_eq!(seq_call.name.as_deref(), Some("CPU Test"));
        assert!(seq_call.path.as_deref().unwrap().ends_with(r"LabVIEW\Computer Motherboard Test Sequence VIC.seq"));
        assert_eq!(report.root.as_ref().unwrap().seq_call.as_ref().unwrap().name.as_deref(), Some("MainSequence"), "{name}");
        let condition = named(&report, "If");
        assert_eq!(
            (condition.step_type.as_deref(), condition.report_text.as_deref(), condition.status),
            (Some("NI_Flow_If"), Some("{True}"), Some(Status::Done))
        );
        assert_eq!(named(&report, "Simulation Dialog").group.as_deref(), Some("S"));
        assert_eq!(named(&report, "Turn Vacuum Table Off").group.as_deref(), Some("C"));
        assert!(named(&report, "Powerup Test").ts_guid.as_deref().unwrap().starts_with("ID#:"), "{name}");
        let failed = uut.step_id_caused_uut_failure;
        assert_eq!(failed, keyboard.id.filter(|_| name != V2), "only 2.02 does not name it");
    }
}

#[test]
fn the_large_sample_has_all_that_it_tests() {
    let report = sample(FAT);
    assert_eq!((report.sn.as_deref(), report.result), (Some("19008.8905787"), Some(Status::Failed)));
    // 128 tests, 37 actions, 19 groups, and a measurement that a group has itself, twice.
    assert_eq!(report.steps().count(), 128 + 37 + 19 + 2);
    assert_eq!(report.steps().filter(|step| step.status == Some(Status::Skipped)).count(), 52);
    for (name, expected) in [
        ("EQ", "EQ 0 9 - Volt F"),
        ("EQT - PERCENTAGE", "GELE 0 4.5 5.5 Volt F"),
        ("EQT - PPM", "GELE 0 4.99995 5.00005 Volt F"),
        ("EQT - DELTA", "GELE 0 -5 15 Volt P"),
        ("NE", "NE 0 9 - Volt P"),
        ("GT", "GT 0 9 - Volt F"),
        ("LT", "LT 0 9 - Volt P"),
        ("GE", "GE 0 9 - Volt F"),
        ("LE", "LE 0 9 - Volt P"),
        ("GTLT", "GTLT 0 9 11 Volt F"),
        ("GELE", "GELE 0 9 11 Volt F"),
        ("GELT", "GELT 0 9 11 Volt F"),
        ("GTLE", "GTLE 0 9 11 Volt F"),
        ("LTGT", "LTGT 0 9 11 Volt P"),
        ("LEGE", "LEGE 0 9 11 Volt P"),
        ("LEGT", "LEGT 0 9 11 Volt P"),
        ("LTGE", "LTGE 0 9 11 Volt P"),
        ("LOG", "LOG 0 - - Volt P"),
        ("NLT with NAN", "LOG NaN - - - F"),
        ("NLT with INF", "LOG Infinity - - - F"),
        ("My Custome Numeric Limit Test", "GELE 0 9 11 - F"),
    ] {
        assert_eq!(numbers(named(&report, name)), [expected], "{name}");
    }
    let all = named(&report, "All Comp Operators");
    assert_eq!((numbers(all).len(), all.step_type.as_deref()), (18, Some("ET_MNLT")));
    assert_eq!(all.numeric_meas.as_ref().unwrap()[1].name.as_deref(), Some("Measurement EQT - PRECENTAGE"));
    assert_eq!(texts(named(&report, "String Value Test")), ["CASESENSIT this is a string result / this is a string limit F"]);
    assert_eq!(
        texts(named(&report, "Multiple String value test")),
        ["EQ Response 0 / limit 0 F", "LOG Response 1 / - P", "EQ Response 2 / limit 2 F"]
    );
    let several = named(&report, "Multiple Pass/Fail test");
    let verdicts: Vec<_> = several.boolean_meas.iter().flatten().map(|one| (one.name.as_deref(), one.status.unwrap())).collect();
    assert_eq!(
        verdicts,
        [(Some("Meas TRUE"), Status::Passed), (Some("Meas FALSE"), Status::Failed), (Some("Meas TRUE"), Status::Passed)]
    );
    let looped = named(&report, "NLT loop with all results").loop_info.as_ref().unwrap();
    assert_eq!(
        (looped.num, looped.passed, looped.failed, looped.ending_index, looped.idx),
        (Some(3), Some(3), Some(0), Some(3), None)
    );
    let second = named(&report, "NLT loop with all results (Loop Index:1)").loop_info.as_ref().unwrap();
    assert_eq!((second.idx, second.num), (Some(1), None));
    let popup = named(&report, "Message Popup").message_popup.as_ref().unwrap();
    assert_eq!((popup.response.as_deref(), popup.button), (Some("Response text"), Some(2)));
    assert_eq!(named(&report, "Call Executable").call_exe.as_ref().unwrap().exit_code.as_ref().unwrap().to_string(), "0");
    let user = named(&report, "NLT with unvalid step status");
    assert_eq!((user.status, user.report_text.as_deref()), (Some(Status::Terminated), Some("Outcome: Aborted Tommy")));
    let array = named(&report, "ET_NLT - AdditionalResults");
    let series: Vec<_> = array.chart.as_ref().unwrap().series.iter().flatten().map(|one| one.ydata.as_deref().unwrap()).collect();
    assert_eq!((series, numbers(array).len()), (vec!["1;2;3", "4;5;6"], 1));
    let text = array.report_text.as_deref().unwrap();
    assert!(text.contains("Limits.Low: 9") && text.contains("Limits.ThresholdType: PERCENTAGE"), "{text}");
    let extra = named(&report, "NLT - AdditionalResults").report_text.as_deref().unwrap();
    assert!(extra.contains("NLT_AdditionalResults.Number: 65") && extra.contains("Step Comment: Dette er"), "{extra}");
    let version = named(&report, "WATS steps (WATS seq call)").seq_call.as_ref().unwrap();
    assert_eq!((version.version.as_deref(), version.name.as_deref()), (Some("1.1.0.64"), Some("WATS steps")));
    let calling = report.steps().find(|step| step.name.as_deref() == Some("NLT - Call sub seq from test step")).unwrap();
    let inner = calling.steps.as_ref().unwrap();
    assert_eq!((numbers(&inner[0]), inner[1].steps.as_ref().unwrap().len()), (vec!["GELE 0 9 11 - F".to_owned()], 3));
}

#[test]
fn wherever_a_sample_is_cut_or_spoilt_it_ends_in_an_answer() {
    for name in [V2, V5, V6, FAT] {
        let bytes = data(&format!("atml/{name}"));
        cut_anywhere(&Atml, name, &bytes, &json!({}));
        flip_anywhere(&Atml, name, &bytes, &json!({}));
    }
}

fn file(steps: &str) -> String {
    results(&format!("<Outcome value='Passed'/>{steps}"), "<SerialNumber>1</SerialNumber>")
}

fn results(set: &str, unit: &str) -> String {
    format!(
        "<?xml version='1.0'?><?xml:stylesheet href='x'?><t:TestResults xmlns:t='urn:any' xmlns:xsi='urn:x' uuid='u'>\
         <t:ResultSet ID='1' name='C:\\C#\\a.seq#Main' startDateTime='2020-01-02T03:04:05.500' endDateTime='2020-01-02T03:04:07.750'>{set}\
         </t:ResultSet><t:UUT>{unit}</t:UUT></t:TestResults>"
    )
}

fn read(text: &str) -> Converted {
    convert(&Atml, "x.xml", text.as_bytes(), &json!({}))
}

/// The only step of a test, with the notes.
fn step(inner: &str) -> (Step, Vec<String>) {
    let converted = read(&file(inner));
    let notes = converted.notes.first().cloned().unwrap_or_default();
    let mut steps = converted.only().root.unwrap().steps.unwrap();
    assert_eq!(steps.len(), 1);
    (steps.remove(0), notes)
}

fn test(outcome: &str, kind: &str, results: &str) -> String {
    let kind = if kind.is_empty() {
        String::new()
    } else {
        format!("<Extension><TSStepProperties><StepType>{kind}</StepType></TSStepProperties></Extension>")
    };
    format!("<Test ID='2' name='t'>{kind}<Outcome {outcome}/>{results}</Test>")
}

fn result(datum: &str, limits: &str) -> String {
    format!(
        "<TestResult ID='g' name='m'><TestData>{datum}</TestData><TestLimits><Limits>{limits}</Limits></TestLimits></TestResult>"
    )
}

#[test]
fn a_unit_says_who_tested_what_and_when() {
    let unit = "<SerialNumber>\n  SN 7\t</SerialNumber><Definition version='B'><Identification><ModelName>M1</ModelName>\
        <IdentificationNumbers><IdentificationNumber number='C9' type='Customer'/><IdentificationNumber number=' P1 ' type='Part'/>\
        </IdentificationNumbers></Identification></Definition>";
    let text = results("<Outcome value='Passed'/>", unit).replace(
        "</t:TestResults>",
        "<Personnel><SystemOperator ID='7' name='Ann'/></Personnel><TestStation><SerialNumber> ST 9\n</SerialNumber></TestStation>\
         <TestProgram><SerialNumber>ST 9</SerialNumber><Definition version='3.1'/><Configuration><Collection/></Configuration></TestProgram>\
         <Extension><ts:TSResultSetProperties xmlns:ts='urn:t'><TestSocketIndex value='2'/><BatchSerialNumber>B4</BatchSerialNumber>\
         <NumOfResults value='1'/><Colour value='red'/></ts:TSResultSetProperties></Extension></t:TestResults>",
    );
    let report = read(&text).only();
    assert_eq!((report.sn.as_deref(), report.pn.as_deref(), report.rev.as_deref()), (Some("SN 7"), Some("P1"), Some("B")));
    let uut = report.uut.as_ref().unwrap();
    assert_eq!((uut.user.as_deref(), uut.test_socket_index, uut.batch_sn.as_deref()), (Some("Ann"), Some(2), Some("B4")));
    assert_eq!((report.machine_name.as_deref(), uut.exec_time.as_ref().unwrap().to_string().as_str()), (Some("ST 9"), "2.25"));
    assert_eq!(report.start.as_deref(), Some("2020-01-02T03:04:05.5+01:00"));
    let infos: Vec<_> = report
        .misc_infos
        .iter()
        .flatten()
        .map(|info| format!("{}={}", info.description.as_deref().unwrap(), info.text.as_deref().unwrap()))
        .collect();
    assert_eq!(
        infos,
        ["ATML uuid=u", "ModelName=M1", "Customer=C9", "Operator ID=7", "TestProgram.Definition.version=3.1", "Colour=red"]
    );
    let call = report.root.unwrap().seq_call.unwrap();
    assert_eq!((call.path.as_deref(), call.name.as_deref()), (Some("C:\\C#\\a.seq"), Some("Main")));
}

#[test]
fn every_version_says_its_outcomes_in_its_own_way() {
    use Status::{Done, Error, Failed, Passed, Skipped, Terminated};
    for (outcome, status, text) in [
        ("value='Passed'", Passed, None),
        ("value='Failed'", Failed, None),
        ("value='Passed' qualifier='Done'", Done, None),
        ("value='Aborted' qualifier='Skipped'", Skipped, None),
        ("value='UserDefined' qualifier='Skipped'", Skipped, None),
        ("value='NotStarted'", Skipped, None),
        ("value='Aborted' qualifier='Error'", Error, None),
        ("value='Aborted' qualifier='Terminated'", Terminated, None),
        ("value='Aborted'", Terminated, None),
        ("value='UserDefined' qualifier='Running'", Terminated, None),
        ("value='UserDefined' qualifier='Tommy'", Done, Some("Outcome: UserDefined Tommy")),
        ("value='Failed' qualifier='Tommy'", Failed, Some("Outcome: Failed Tommy")),
        ("value='Inconclusive'", Done, Some("Outcome: Inconclusive")),
    ] {
        let (found, _) = step(&test(outcome, "PassFailTest", ""));
        assert_eq!((found.status, found.report_text.as_deref()), (Some(status), text), "{outcome}");
    }
    let unit = |outcome: &str| read(&results(&format!("<Outcome {outcome}/>"), "<SerialNumber>1</SerialNumber>"));
    assert_eq!(unit("value='Aborted' qualifier='Error'").only().result, Some(Error));
    assert_eq!(unit("value='NotStarted'").only().result, Some(Terminated));
    assert!(matches!(unit("value='Inconclusive'").errors[0], ConvertError::Faults(_)), "no verdict is made up");
    let without = read(&results(&test("value='Failed'", "PassFailTest", ""), "<SerialNumber>1</SerialNumber>"));
    assert_eq!(
        (without.reports[0].result, without.notes[0].iter().any(|note| note.contains("no Outcome"))),
        (Some(Failed), true)
    );
}

fn pair(operator: &str, first: (&str, &str), second: (&str, &str)) -> String {
    let limit = |(comparator, value): (&str, &str)| format!("<Limit comparator='{comparator}'><Datum value='{value}'/></Limit>");
    format!("<LimitPair {operator}>{}{}</LimitPair>", limit(first), limit(second))
}

#[test]
fn limits_of_numbers_are_read_whatever_says_them() {
    let datum = "<Datum xsi:type='ts:TS_double' value='4.50' nonStandardUnit='V' flags='0x1'/>";
    let single = |comparator: &str| format!("<SingleLimit comparator='{comparator}'><Datum value='1.0'/></SingleLimit>");
    for (limits, expected) in [
        (pair("operator='AND'", ("GE", "1"), ("LE", "5")), "GELE 4.50 1 5 V P"),
        (pair("operator='AND'", ("LE", "5"), ("GE", "1")), "GELE 4.50 1 5 V P"),
        (pair("", ("GT", "1"), ("LT", "5")), "GTLT 4.50 1 5 V P"),
        (pair("operator='OR'", ("GE", "4"), ("LT", "1")), "LTGE 4.50 1 4 V P"),
        (pair("operator='OR'", ("LE", "1"), ("GT", "4")), "LEGT 4.50 1 4 V P"),
        (pair("operator='AND'", ("EQ", "4.5"), ("EQ", "4.5")), "EQ 4.50 4.5 - V P"),
        (single("LT"), "LT 4.50 1.0 - V P"),
        (single("EQ").replace("SingleLimit", "Expected"), "EQ 4.50 1.0 - V P"),
        (single("NE").replace("SingleLimit", "Expected"), "NE 4.50 1.0 - V P"),
        (pair("operator='AND'", ("GE", "-INF"), ("LE", "0x10")), "GELE 4.50 -Infinity 16 V P"),
        (String::new(), "LOG 4.50 - - V P"),
    ] {
        let (found, _) = step(&test("value='Passed'", "NumericLimitTest", &result(datum, &limits)));
        assert_eq!((numbers(&found), found.step_type.as_deref()), (vec![expected.to_owned()], Some("ET_NLT")), "{limits}");
    }
    for limits in [pair("operator='AND'", ("GE", "1"), ("GE", "2")), single("NEAR"), "<Mask><x a='1'/></Mask>".to_owned()] {
        let (found, notes) = step(&test("value='Passed'", "NumericLimitTest", &result(datum, &limits)));
        assert_eq!(
            (numbers(&found), notes.iter().any(|note| note.contains("in the report text"))),
            (vec!["LOG 4.50 - - V P".to_owned()], true)
        );
        assert!(found.report_text.is_some(), "{limits}");
    }
}

#[test]
fn thresholds_count_only_around_a_nominal_value() {
    let with = |nominal: &str, raw: &str, kind: &str| {
        let limits =
            pair("operator='AND'", ("GE", "10"), ("LE", "10")).replace("</LimitPair>", &format!("{nominal}</LimitPair>"));
        let properties = format!(
            "<Extension><TSLimitProperties>{kind}<RawLimits><Low value='{raw}'/><High value='{raw}'/></RawLimits></TSLimitProperties></Extension>"
        );
        let datum = "<Datum type='c:double' value='5'/>";
        let (found, _) = step(&test("value='Passed'", "NumericLimitTest", &result(datum, &format!("{limits}{properties}"))));
        numbers(&found).remove(0)
    };
    let (nominal, percent) = ("<Nominal><Datum value='5'/></Nominal>", "<ThresholdType>PERCENTAGE</ThresholdType>");
    assert_eq!(with(nominal, "10", percent), "GELE 5 4.5 5.5 - P");
    assert_eq!(with(nominal, "10.0", "<ThresholdType value='DELTA'/>"), "GELE 5 -5 15 - P");
    assert_eq!(with("", "10", percent), "GELE 5 10 10 - P", "a threshold alone means nothing");
    assert_eq!(with(nominal, "1", percent), "GELE 5 10 10 - P", "limits that were worked out already");
    assert_eq!(with(nominal, "10", ""), "GELE 5 10 10 - P");
    let log =
        "<Extension><TSLimitProperties><IsComparisonTypeLog value='true'/><Colour>red</Colour></TSLimitProperties></Extension>";
    let (logged, _) = step(&test("value='Passed'", "NumericLimitTest", &result("<Datum value='5'/>", log)));
    assert_eq!((numbers(&logged), logged.report_text.as_deref()), (vec!["LOG 5 - - - P".to_owned()], Some("Colour: red")));
}

#[test]
fn limits_of_texts_keep_their_comparator() {
    let datum = "<Datum type='c:string'><Value>a  b</Value></Datum>";
    let limit = |text: &str| format!("<Datum type='c:string'><Value>{text}</Value></Datum>");
    let expected = |comparator: &str| format!("<Expected comparator='{comparator}'>{}</Expected>", limit("A"));
    let both = |comparator: &str, second: &str| {
        let of = |text: &str| format!("<Limit comparator='{comparator}'>{}</Limit>", limit(text));
        format!("<LimitPair operator='AND'>{}{}</LimitPair>", of("A"), of(second))
    };
    for (limits, found) in [
        (expected("EQ"), "CASESENSIT a  b / A F"),
        (expected("CIEQ"), "IGNORECASE a  b / A F"),
        (expected("NE"), "NE a  b / A F"),
        (expected("RegularExpression"), "RegularExpression a  b / A F"),
        (both("CIEQ", "A"), "IGNORECASE a  b / A F"),
        (String::new(), "LOG a  b / - F"),
    ] {
        let (step, _) = step(&test("value='Failed'", "StringValueTest", &result(datum, &limits)));
        assert_eq!((texts(&step), step.step_type.as_deref()), (vec![found.to_owned()], Some("ET_SVT")), "{limits}");
    }
    let (two, _) = step(&test("value='Failed'", "StringValueTest", &result(datum, &both("CIEQ", "C"))));
    assert!(two.report_text.unwrap().contains("IGNORECASE: C"));
    let number = "<SingleLimit comparator='GT'><Datum value='5'/></SingleLimit>";
    let (no_number, notes) =
        step(&test("value='Failed'", "NumericLimitTest", &result("<Datum type='c:double' value='N/A'/>", number)));
    assert_eq!((texts(&no_number), notes.is_empty()), (vec!["LOG N/A / - F".to_owned()], false));
    assert_eq!(no_number.report_text.as_deref(), Some("Limit GT: 5"));
}

#[test]
fn values_are_read_by_their_type() {
    for (datum, expected) in [
        ("<Datum type='c:integer' value='0x1F'/>", "LOG 31 - - - P"),
        ("<Datum type='c:hexadecimal' value='1F'/>", "LOG 31 - - - P"),
        ("<Datum type='c:binary' value='101'/>", "LOG 5 - - - P"),
        ("<Datum type='c:double' value='-1.#IND' unit='A'/>", "LOG NaN - - A P"),
        ("<Datum><Value>1.50</Value></Datum>", "LOG 1.50 - - - P"),
    ] {
        let (found, _) = step(&test("value='Passed'", "", &result(datum, "")));
        assert_eq!(numbers(&found), [expected], "{datum}");
    }
    let (written, _) = step(&test("value='Passed'", "NumericLimitTest", &result("<Datum value='0x1F'/>", "")));
    assert_eq!(written.report_text.as_deref(), Some("m as written: 0x1F"));
    let (text, _) =
        step(&test("value='Passed'", "StringValueTest", &result("<Datum type='c:string'><Value>007</Value></Datum>", "")));
    assert_eq!(texts(&text), ["LOG 007 / - P"]);
    let (complex, _) = step(&test("value='Passed'", "", &result("<Datum type='c:complex' real='1' imaginary='2'/>", "")));
    assert_eq!(complex.report_text.as_deref(), Some("m.real: 1\nm.imaginary: 2"));
}

#[test]
fn results_beside_the_measurement_are_told_and_make_no_verdict() {
    let number = "<TestResult ID='N'><TestData><Datum value='1'/></TestData></TestResult>";
    let text = "<TestResult ID='T'><TestData><Datum type='c:string'><Value>hello</Value></Datum></TestData></TestResult>";
    let flag = "<TestResult ID='F'><TestData><Datum type='c:boolean' value='false'/></TestData></TestResult>";
    let (two, _) = step(&test("value='Passed'", "NumericLimitTest", &format!("{number}{text}{number}{flag}")));
    assert_eq!((two.step_type.as_deref(), numbers(&two).len()), (Some("ET_MNLT"), 2));
    assert_eq!(two.report_text.as_deref(), Some("F: false\nT: hello"));
    let (verdict, _) = step(&test("value='Failed'", "PassFailTest", &format!("{text}{flag}")));
    assert_eq!((verdict.step_type.as_deref(), verdict.boolean_meas.unwrap()[0].status), (Some("ET_PFT"), Some(Status::Failed)));
    assert_eq!(verdict.report_text.as_deref(), Some("F: false\nT: hello"));
    let (none, _) = step(&test("value='Failed'", "NumericLimitTest", ""));
    assert_eq!((none.step_type.as_deref(), none.boolean_meas.unwrap().len()), (Some("ET_PFT"), 1), "measurements left out");
    let (custom, _) = step(&test("value='Passed'", "NumericLimitTestWithOffset", number));
    assert_eq!((numbers(&custom).len(), custom.report_text.as_deref()), (1, Some("StepType: NumericLimitTestWithOffset")));
}

#[test]
fn errors_arrays_and_loops_have_their_places() {
    let error = "<Error code='-17500'><Description>no signal</Description></Error>";
    let (found, _) = step(&test("value='Aborted' qualifier='Error'", "NumericLimitTest", error));
    assert_eq!((found.error_code, found.error_message.as_deref()), (Some(-17500), Some("no signal")));
    assert_eq!((found.status, found.step_type.as_deref()), (Some(Status::Error), Some("ET_NLT")));
    let elements: String = (0..3).map(|n| format!("<Element position='[{n}]' value='{n}.5'/>")).collect();
    let array = format!("<IndexedArray type='c:doubleArray' dimensions='[4000000000]'>{elements}</IndexedArray>");
    let (curve, _) = step(&test("value='Passed'", "PassFailTest", &result(&array, "")));
    let series = &curve.chart.as_ref().unwrap().series.as_ref().unwrap()[0];
    assert_eq!((series.xdata.as_deref(), series.ydata.as_deref()), (Some("0;1;2"), Some("0.5;1.5;2.5")));
    assert_eq!((series.name.as_deref(), curve.step_type.as_deref()), (Some("m"), Some("ET_PFT")));
    let strings = "<IndexedArray type='ts:TS_stringArray' dimensions='[1]'><Element position='[0]'><Value>s</Value></Element></IndexedArray>";
    assert_eq!(step(&test("value='Passed'", "PassFailTest", &result(strings, ""))).0.report_text.as_deref(), Some("m[0]: s"));
    let cube = "<IndexedArray type='c:doubleArray'><Element position='[0,0,0]' value='1'/></IndexedArray>";
    assert_eq!(step(&test("value='Passed'", "PassFailTest", &result(cube, ""))).0.report_text.as_deref(), Some("m[0,0,0]: 1"));
    let looped = |inner: &str| {
        format!("<Extension><TSStepProperties><LoopingProperties>{inner}</LoopingProperties></TSStepProperties></Extension>")
    };
    let group = format!(
        "<TestGroup name='n'>{}<Outcome value='Passed'/><Test name='n'>{}<Outcome value='Passed'/></Test></TestGroup>",
        looped("<NumLoops value='1.0'/><NumPassed value='1'/>"),
        looped("<LoopIndex value='0'/>")
    );
    let text = "<TestResult ID='T'><TestData><Datum type='c:string'><Value>hello</Value></Datum></TestData></TestResult>";
    let own = format!("<TestGroup name='g'><Outcome value='Passed'/>{text}{}</TestGroup>", result("<Datum value='1'/>", ""));
    let found = read(&file(&format!("{own}{}", test("value='Passed'", "", "")))).only();
    let owner = &found.root.as_ref().unwrap().steps.as_ref().unwrap()[0];
    assert_eq!((numbers(&owner.steps.as_ref().unwrap()[0]).len(), owner.report_text.as_deref()), (1, Some("T: hello")));
    // Beside another step: alone in its set it would be the main sequence.
    let report = read(&file(&format!("{group}{}", test("value='Passed'", "", "")))).only();
    let [group, _] = report.root.as_ref().unwrap().steps.as_deref().unwrap() else { panic!() };
    let totals = group.loop_info.as_ref().unwrap();
    assert_eq!((totals.num, totals.passed, totals.idx), (Some(1), Some(1), None));
    assert_eq!(group.steps.as_ref().unwrap()[0].loop_info.as_ref().unwrap().idx, Some(0));
}

#[test]
fn a_collection_holds_units_and_a_bad_one_loses_none() {
    let one =
        |sn: &str| file("").replace("<?xml version='1.0'?><?xml:stylesheet href='x'?>", "").replace(">1<", &format!(">{sn}<"));
    let bad = one("2").replace("<Outcome value='Passed'/>", "<Outcome value='?'/>");
    let empty = "<t:TestResults xmlns:t='urn:any'/>";
    let table = "<Extension><TSBatchTable><Row><SerialNumber>9</SerialNumber></Row></TSBatchTable></Extension>";
    let text = format!(
        "<c:TestResultsCollection xmlns:c='urn:any'>{}{bad}{empty}{}{table}{}</c:TestResultsCollection>",
        one("1"),
        one("3"),
        one("NONE")
    );
    let found = read(&text);
    assert_eq!(found.reports.iter().map(|report| report.sn.as_deref().unwrap()).collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!((found.errors.len(), found.end), (3, Ok(())));
    assert!(found.errors[2].to_string().contains("NONE"), "{}", found.errors[2]);
    let generated = convert(&Atml, "x.xml", text.as_bytes(), &json!({"no_serial_number": "generate"}));
    assert_eq!(generated.reports.len(), 3);
    // The same unit twice is two tests.
    let twice = read(&format!("<TestResultsCollection>{}{}</TestResultsCollection>", one("1"), one("1"))).all();
    assert_ne!(twice[0].id, twice[1].id);
    let cut = read(&text[..text.len() - 40]);
    assert_eq!((cut.reports.len(), matches!(cut.end, Err(ConvertError::Incomplete { .. }))), (2, true));
}

#[test]
fn what_is_no_test_result_is_refused_with_a_reason() {
    for text in ["<a/>", "<TestResultsCollection/>"] {
        assert!(matches!(read(text).end, Err(ConvertError::Malformed { .. })), "{text}");
    }
    assert!(matches!(read("<?xml version='1.0'?>\n").end, Err(ConvertError::Incomplete { .. })));
    assert!(matches!(read("<TestResults><Other/></TestResults>").errors[0], ConvertError::Malformed { .. }));
    let deep = |depth: usize| file(&format!("{}{}", "<TestGroup name='g'>".repeat(depth), "</TestGroup>".repeat(depth)));
    assert_eq!(read(&deep(45)).only().steps().count(), 46);
    assert!(matches!(read(&deep(100)).errors[0], ConvertError::Faults(_)), "deeper than a report is sent with");
    assert!(matches!(read(&deep(10_000)).end, Err(ConvertError::Malformed { .. })));
    let bomb = format!(
        "<!DOCTYPE x [<!ENTITY a 'aaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>{}",
        file("<Test name='t'><Outcome value='Passed'/>&b;</Test>").replace("<?xml version='1.0'?>", "")
    );
    assert!(matches!(read(&bomb).end, Err(ConvertError::Malformed { .. })));
    assert_eq!(Atml.sniff(&crate::convert::Head::new(b"<Reports><Report Type='UUT'><Prop Name='TestResults'>")), 0);
    let utf16: Vec<u8> = file("").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!((Atml.sniff(&crate::convert::Head::new(&utf16)), convert(&Atml, "x.xml", &utf16, &json!({})).reports.len()), (70, 1));
}
