use serde_json::json;

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const SAMPLE: &str = "testexec/one-unit.xml";

fn read(text: &str) -> Converted {
    convert(&TestExec, "x.xml", text.as_bytes(), &json!({}))
}

fn file(tests: &str) -> String {
    format!(
        "<TestResults><Header><ProgramName>Prog</ProgramName><StartTime>2024-02-03T08:09:10</StartTime></Header>\
         <UUT><SerialNumber>S1</SerialNumber><PartNumber>P</PartNumber><Revision>A</Revision></UUT><Tests>{tests}</Tests>\
         <Summary><Status>Passed</Status></Summary></TestResults>"
    )
}

fn one(test: &str) -> Step {
    read(&file(test)).only().root.unwrap().steps.unwrap().remove(0)
}

fn shown(step: &Step) -> Vec<String> {
    let text = |number: &Option<Num>| number.as_ref().map_or("-".to_owned(), Num::to_string);
    let all = step.numeric_meas.iter().flatten();
    all.map(|one| {
        let (unit, comparator) = (one.unit.as_deref().unwrap_or("-"), one.comp_op.as_deref().unwrap());
        format!("{} {unit} {comparator} {} {}", text(&one.value), text(&one.low_limit), text(&one.high_limit))
    })
    .collect()
}

#[test]
fn the_unit_of_a_file_arrives_as_it_is() {
    let report = golden(&TestExec, SAMPLE, &json!({})).only();
    assert_eq!((report.sn.as_deref(), report.pn.as_deref(), report.rev.as_deref()), (Some("SN-1"), Some("4711"), Some("C")));
    assert_eq!((report.result, report.start.as_deref()), (Some(Status::Failed), Some("2024-02-03T08:09:10+01:00")));
    assert_eq!((report.machine_name.as_deref(), report.location.as_deref()), (Some("TS-9"), Some("Line 2")));
    let uut = report.uut.as_ref().unwrap();
    assert_eq!(
        (uut.user.as_deref(), uut.batch_sn.as_deref(), uut.exec_time.as_ref().unwrap().to_string().as_str()),
        (Some("Ann"), Some("B7"), "12.50")
    );
    let root = report.root.as_ref().unwrap();
    let call = root.seq_call.as_ref().unwrap();
    assert_eq!((call.name.as_deref(), call.version.as_deref()), (Some("Radio final"), Some("2.1")));
    let groups: Vec<_> = root
        .steps
        .as_ref()
        .unwrap()
        .iter()
        .map(|step| (step.name.as_deref().unwrap(), step.status.unwrap(), step.steps.as_ref().map_or(0, Vec::len)))
        .collect();
    assert_eq!(groups, [("Power", Status::Failed, 3), ("Radio", Status::Passed, 2)]);
    let power = root.steps.as_ref().unwrap()[0].steps.as_ref().unwrap();
    assert_eq!(shown(&power[0]), ["5.02 V GELE 4.75 5.25"]);
    assert_eq!(shown(&power[1]), ["0.310 A LE 0.3 -"]);
    assert_eq!((power[1].status, power[1].error_message.as_deref()), (Some(Status::Failed), Some("too much")));
    assert_eq!((power[2].name.as_deref(), power[2].step_type.as_deref()), (Some("Rails"), Some("SequenceCall")));
    assert_eq!(shown(&power[2].steps.as_ref().unwrap()[0]), ["3.31 V GELE 3.2 3.4", "1.79 V LOG - -"]);
    let infos: Vec<_> = report
        .misc_infos
        .iter()
        .flatten()
        .map(|info| format!("{}={}", info.description.as_deref().unwrap(), info.text.as_deref().unwrap()))
        .collect();
    assert_eq!(infos, ["TestExecResults version=1", "Fixture type=bed of nails"]);
}

#[test]
fn wherever_it_is_cut_or_spoilt_nothing_wrong_comes_of_it() {
    let bytes = data(SAMPLE);
    cut_anywhere(&TestExec, "x.xml", &bytes, &json!({}));
    flip_anywhere(&TestExec, "x.xml", &bytes, &json!({}));
}

#[test]
fn a_measurement_is_read_in_each_of_its_forms() {
    for (test, expected) in [
        (
            "<Test name='t' status='Passed'><Measurement><Value>1.50</Value><Units>V</Units><LowLimit>1</LowLimit><HighLimit>2</HighLimit></Measurement></Test>",
            "1.50 V GELE 1 2",
        ),
        ("<Test name='t' status='Passed'><Measurement value='1.5' unit='V' low='1'/></Test>", "1.5 V GE 1 -"),
        ("<Test name='t' status='Passed'><Measurement units='V' HighLimit='2'>1.5</Measurement></Test>", "1.5 V LE 2 -"),
        ("<Test name='t' status='Passed'><Value>1.5</Value><Lower_Limit>1</Lower_Limit></Test>", "1.5 - GE 1 -"),
        (
            "<TestStep><Name>t</Name><Result>PASS</Result><Measurements><Measurement><Value>7</Value><Limits><Low>1</Low><High>9</High></Limits></Measurement></Measurements></TestStep>",
            "7 - GELE 1 9",
        ),
        ("<Test name='t' status='Passed'><Measurement value='1.5' low='1' high='2' comparator='GTLT'/></Test>", "1.5 - GTLT 1 2"),
        ("<Test name='t' status='Passed'><Measurement value='1.5' low='1' high='2' comparator='odd'/></Test>", "1.5 - GELE 1 2"),
        ("<Test name='t' status='Passed'><Measurement value='1.5' low='-INF' high='2'/></Test>", "1.5 - LE 2 -"),
        ("<Test name='t' status='Passed'><Measurement value='NaN'/></Test>", "NaN - LOG - -"),
    ] {
        let step = one(test);
        assert_eq!(
            (shown(&step), step.name.as_deref(), step.status),
            (vec![expected.to_owned()], Some("t"), Some(Status::Passed)),
            "{test}"
        );
    }
    let odd = one("<Test name='t' status='Passed'><Measurement value='1.5' low='x' comparator='odd' note='n'/></Test>");
    assert_eq!(odd.report_text.as_deref(), Some("note: n\nLowLimit: x\nComparator: odd"));
    let text = one("<Test name='t' status='Failed' duration='00:00:01.250'><Measurement value='open' low='1' units='V'/></Test>");
    assert_eq!((text.step_type.as_deref(), text.tot_time.unwrap().to_string().as_str()), (Some("ET_SVT"), "1.250"));
    assert_eq!(text.report_text.as_deref(), Some("LowLimit: 1\nUnits: V"));
    assert_eq!(one("<Test name='t' status='Passed'/>").step_type.as_deref(), Some("ET_PFT"));
    let skipped = one("<Test name='t' status='Skipped'/>");
    assert_eq!(skipped.status, Some(Status::Skipped));
}

#[test]
fn a_value_without_limits_is_what_the_source_says() {
    let text = file("<Test name='t' status='Passed'><Measurement value='1.5' units='V'/></Test>");
    let step = convert(&TestExec, "x.xml", text.as_bytes(), &json!({"without_limits": "verdict"}))
        .only()
        .root
        .unwrap()
        .steps
        .unwrap()
        .remove(0);
    assert_eq!((step.step_type.as_deref(), step.report_text.as_deref()), (Some("ET_PFT"), Some("Value: 1.5\nUnits: V")));
    assert_eq!(shown(&read(&text).only().root.unwrap().steps.unwrap()[0]), ["1.5 V LOG - -"]);
}

#[test]
fn the_verdict_of_the_file_counts_and_counters_are_checked() {
    let result = |summary: &str| {
        let text = file("<Test name='t' status='Failed'/>").replace("<Summary><Status>Passed</Status></Summary>", summary);
        let converted = read(&text);
        (converted.reports.first().and_then(|report| report.result), converted.notes.concat().join("\n"))
    };
    let (status, notes) =
        result("<Summary><Status>Passed</Status><TotalTests>3</TotalTests><FailedTests>1</FailedTests></Summary>");
    assert!(
        status == Some(Status::Passed)
            && notes.contains("although 1")
            && notes.contains("counts 3 tests in all")
            && !notes.contains("Failed, and"),
        "{notes}"
    );
    let (status, notes) = result("");
    assert!(status == Some(Status::Failed) && notes.contains("has no verdict"), "{notes}");
    assert_eq!(result("<Summary Status='Aborted'/>").0, Some(Status::Terminated));
    assert_eq!(result("<Summary Status='Odd'/>").0, None);
    let none = read(&file("").replace("<Summary><Status>Passed</Status></Summary>", ""));
    assert!(matches!(none.errors.as_slice(), [ConvertError::Faults(_)]), "{:?}", none.errors);
}

#[test]
fn times_are_read_in_the_order_that_the_source_says() {
    let start = |time: &str, order: &str| {
        let text = file("").replace("2024-02-03T08:09:10", time);
        let mut converted = convert(&TestExec, "x.xml", text.as_bytes(), &json!({"date_order": order}));
        if converted.reports.is_empty() { None } else { Some(converted.reports.remove(0).start.unwrap()) }
    };
    assert_eq!(start("02/03/2024 8:09:10 PM", "month first").as_deref(), Some("2024-02-03T20:09:10+01:00"));
    assert_eq!(start("02/03/2024 08:09:10", "day first").as_deref(), Some("2024-03-02T08:09:10+01:00"));
    assert_eq!(start("2024-02-03 08:09:10.5-05:00", "day first").as_deref(), Some("2024-02-03T08:09:10.5-05:00"));
    assert_eq!(start("13/14/2024 08:09:10", "day first"), None);
    let took = |more: &str| {
        let text = file("").replace("</Header>", &format!("{more}</Header>"));
        let converted = read(&text);
        let is_told = converted.notes[0].iter().any(|note| note.contains("duration"));
        (converted.only().uut.unwrap().exec_time.map(|time| time.to_string()), is_told)
    };
    assert_eq!(took("<EndTime>2024-02-03T08:09:22</EndTime>"), (Some("12.0".to_owned()), false));
    assert_eq!(took("<EndTime>2024-02-03T08:09:22</EndTime><Duration>12.34</Duration>"), (Some("12.34".to_owned()), false));
    assert_eq!(
        took("<EndTime>2024-02-03T08:09:22</EndTime><Duration>12340</Duration>"),
        (Some("12.0".to_owned()), true),
        "milliseconds"
    );
    assert_eq!(took("<Duration>01:02:03.40</Duration>"), (Some("3723.40".to_owned()), false));
    assert_eq!(took("<Duration>-1</Duration>"), (None, false));
}

#[test]
fn groups_nest_and_what_is_not_known_arrives() {
    let text = file("<TestGroup name='A' owner='me'><TestGroup name='B'><Test name='t' status='Passed' pin='3'><Remark>ok</Remark></Test></TestGroup></TestGroup>")
        .replace("</Header>", "<Colour>red</Colour></Header>")
        .replace("<Summary>", "<Extra a='b'><c>d</c></Extra><Summary><Mood>good</Mood>");
    let report = read(&text).only();
    let root = report.root.unwrap();
    assert_eq!(root.report_text.as_deref(), Some("Extra: a b, c d"));
    let outer = &root.steps.unwrap()[0];
    assert_eq!((outer.name.as_deref(), outer.report_text.as_deref()), (Some("A"), Some("owner: me")));
    let inner = &outer.steps.as_ref().unwrap()[0];
    assert_eq!((inner.name.as_deref(), inner.status), (Some("B"), Some(Status::Passed)));
    assert_eq!(inner.steps.as_ref().unwrap()[0].report_text.as_deref(), Some("pin: 3\nRemark: ok"));
    let infos: Vec<_> =
        report.misc_infos.unwrap().into_iter().map(|info| (info.description.unwrap(), info.text.unwrap())).collect();
    assert_eq!(infos, [("Mood", "good"), ("Colour", "red")].map(|(key, text)| (key.to_owned(), text.to_owned())));
    let twice = read(&file("").replace("<Tests>", "<UUT><SerialNumber>S2</SerialNumber></UUT><Tests>"));
    assert!(matches!(twice.errors.as_slice(), [ConvertError::Faults(_)]), "{:?}", twice.errors);
    let without = file("").replace("<SerialNumber>S1</SerialNumber>", "");
    assert!(matches!(read(&without).errors.as_slice(), [ConvertError::Faults(_)]));
    let named = convert(&TestExec, "SN5.xml", without.as_bytes(), &json!({"no_serial_number": "file name"})).only();
    assert_eq!(named.sn.as_deref(), Some("SN5"));
}

#[test]
fn it_is_told_from_other_xml() {
    assert_eq!(TestExec.sniff(&crate::convert::Head::new(&data(SAMPLE))), 92);
    assert_eq!(TestExec.sniff(&crate::convert::Head::new(file("<Test name='t'/>").as_bytes())), 75);
    assert_eq!(TestExec.sniff(&crate::convert::Head::new(b"<?xml version='1.0'?><tr:TestResults xmlns:tr='urn:IEEE-1636.1:2011:01:TestResults'><UUT/><Test /></tr:TestResults>")), 0);
    assert_eq!(
        TestExec.sniff(&crate::convert::Head::new(b"<TestResults xmlns='urn:IEEE-1636.1:2006:TestResults'><UUT></UUT><Test></Test></TestResults>")),
        0
    );
    assert!(matches!(read("<Other/>").end, Err(ConvertError::Malformed { .. })));
}
