use serde_json::json;
use waybill_shared::report::Num;

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const SAMPLE: &str = "teradyne-gr228x/43420_BIO2.LOG";

fn leaves(report: &Report) -> Vec<&Step> {
    report.steps().filter(|step| !step.is_sequence_call()).collect()
}

fn log(body: &str) -> String {
    format!("C:\\P\\77-1_TOP.obc[01-MAR-24  07:00:00\n@05-mar-24  08:09:10 SN S1\n{body}\"05-MAR-24  08:09:12\n")
}

fn read(text: &str) -> Converted {
    convert(&Gr228x, "x.log", text.as_bytes(), &json!({}))
}

fn one(line: &str) -> Step {
    leaves(&read(&log(&format!("{line}\n"))).only())[0].clone()
}

/// Value, unit, comparator and limits of a single measurement.
fn shown(step: &Step) -> String {
    let found = &step.numeric_meas.as_ref().unwrap()[0];
    let text = |number: &Option<Num>| number.as_ref().map_or("-".to_owned(), Num::to_string);
    let (unit, comparator) = (found.unit.as_deref().unwrap_or("-"), found.comp_op.as_deref().unwrap());
    format!("{} {unit} {comparator} {} {}", text(&found.value), text(&found.low_limit), text(&found.high_limit))
}

#[test]
fn the_sample_arrives_as_it_is() {
    let reports = golden(&Gr228x, SAMPLE, &json!({})).all();
    let header: Vec<_> = reports
        .iter()
        .map(|report| {
            (report.sn.as_deref().unwrap(), report.result.unwrap(), report.start.as_deref().unwrap(), leaves(report).len())
        })
        .collect();
    assert_eq!(
        header,
        [
            ("65428553938829725787", Status::Terminated, "2012-07-31T14:18:51+02:00", 2),
            ("24422984989544535753", Status::Failed, "2012-07-31T14:19:32+02:00", 44),
            ("42842937739687688567", Status::Passed, "2012-07-31T14:25:12+02:00", 48),
        ]
    );
    let seconds = reports.iter().map(|report| report.uut.as_ref().unwrap().exec_time.as_ref().unwrap().to_string());
    assert_eq!(seconds.collect::<Vec<_>>(), ["2.0", "17.0", "16.0"]);
    for report in &reports {
        let call = report.root.as_ref().unwrap().seq_call.as_ref().unwrap();
        assert_eq!(
            (report.pn.as_deref(), call.name.as_deref()),
            (Some("43420"), Some("F:\\BOARDS\\43420_BIO2_PROGRAM\\43420_BIO2.obc"))
        );
    }
    let contact = leaves(&reports[0])[1];
    assert_eq!((contact.name.as_deref(), contact.status), (Some("Contact"), Some(Status::Failed)));
    assert!(contact.string_meas.as_ref().unwrap()[0].value.as_deref().unwrap().ends_with("254,255,256"));
    let failed = leaves(&reports[1]);
    let by_name = |name: &str| failed.iter().filter(|step| step.name.as_deref() == Some(name)).copied().collect::<Vec<_>>();
    assert_eq!(by_name("Opens")[0].string_meas.as_ref().unwrap()[0].value.as_deref(), Some("397,398,"));
    assert_eq!(shown(by_name("R508")[0]), "100.20007 kOhm GELE 92.919 105.131");
    assert_eq!(shown(by_name("R402")[0]), "45.131532 MOhm GE 0.500 -");
    assert_eq!(shown(by_name("C206")[0]), "10.212763 nF GELE 7.999999 12.000001");
    assert_eq!(shown(by_name("V230")[1]), "520.747483 mV GELE 474.999994 954.999983");
    assert_eq!(shown(by_name("K500_RLY1_NO")[4]), "62.061187 mV GELE -500 500");
    let retried = by_name("R211");
    assert_eq!((shown(retried[0]), retried[0].status), ("10.636159 Ohm LOG - -".to_owned(), Some(Status::Done)));
    assert_eq!((shown(retried[1]), retried[1].status), ("10.636159 Ohm GELE 8.049 12.855".to_owned(), Some(Status::Passed)));
    let set = by_name("SETCR");
    assert_eq!((set.len(), set[0].step_type.as_deref(), set[0].status), (2, Some("ET_A"), Some(Status::Done)));
    assert_eq!((by_name("D108")[0].step_type.as_deref(), by_name("D108")[0].status), (Some("ET_PFT"), Some(Status::Passed)));
    assert_eq!(by_name("PS_OFF")[0].report_text.as_deref(), Some("quantity: V\nlimits: (1.6,5.5)"));
}

#[test]
fn wherever_it_is_cut_or_spoilt_nothing_wrong_comes_of_it() {
    let bytes = data(SAMPLE);
    cut_anywhere(&Gr228x, "x.log", &bytes, &json!({}));
    flip_anywhere(&Gr228x, "x.log", &bytes, &json!({}));
}

#[test]
fn limits_come_with_the_prefix_of_the_value() {
    for (line, expected) in [
        ("R1=4.70K(4500,5MEG)R", "4.70 kOhm GELE 4.500 5000"),
        ("R1=1.5(500M,2)R", "1.5 Ohm GELE 0.500 2"),
        ("R1=500m(,1)R", "500 mOhm LE 1000 -"),
        ("C1=10P(1N,)CS", "10 pF GE 1000 -"),
        ("C1=2.2u(0.1U,10U)C", "2.2 uF GELE 0.1 10"),
        ("L1=1.2M(1M,2M)L", "1.2 mH GELE 1 2"),
        ("F1=1.5G(,)V", "1.5 GV LOG - -"),
        ("X1=5.20M(1M,2)ZZ", "0.00520 - GELE 0.001 2"),
        ("V1=-12.5(-13,-12)DC", "-12.5 V GELE -13 -12"),
        ("V1=1.5E-3(1M,2M)V", "1.5E-3 V GELE 0.001 0.002"),
        ("A-B_1.2/3=7", "7 - LOG - -"),
        ("U1#2=5(1,6)V", "5 V GELE 1 6"),
    ] {
        assert_eq!(shown(&one(line)).replace("e-", "E-"), expected, "{line}");
    }
}

#[test]
fn the_sign_is_the_verdict_and_what_is_no_number_is_a_text() {
    let kind = |line: &str| {
        let step = one(line);
        (step.step_type.unwrap(), step.status.unwrap())
    };
    for (line, expected, status) in [
        ("R1=4(1,5)R", "ET_NLT", Status::Passed),
        ("R1#4(1,5)R", "ET_NLT", Status::Done),
        ("R1<0(1,5)R", "ET_NLT", Status::Failed),
        ("R1>9(1,5)R", "ET_NLT", Status::Failed),
        ("R1%9(1,5)R", "ET_NLT", Status::Failed),
        ("R1%(1,5)R", "ET_PFT", Status::Failed),
        ("R1=", "ET_PFT", Status::Passed),
        ("R1#(,)R", "ET_A", Status::Done),
        ("R1=(,)VS", "ET_A", Status::Passed),
        ("R1#(,)IS", "ET_A", Status::Done),
        ("R1>OVER(1,5)R", "ET_SVT", Status::Failed),
        ("R1=4X(1,5)R", "ET_SVT", Status::Passed),
    ] {
        assert_eq!(kind(line), (expected.to_owned(), status), "{line}");
    }
    let text = one("R1>OVER(1,5)R more to say");
    assert_eq!(text.string_meas.unwrap()[0].value.as_deref(), Some("OVER"));
    assert_eq!(text.report_text.as_deref(), Some("quantity: R\nsign: >\nmore to say\nlimits: (1,5)"));
    let converted = read(&log("R1=4(low,5)R\n"));
    assert!(converted.notes[0].iter().any(|note| note.contains("low")), "{:?}", converted.notes);
    assert_eq!(shown(leaves(&converted.only())[0]), "4 Ohm LE 5 -");
}

#[test]
fn lists_of_failures_go_on_and_are_told_apart() {
    let report = read(&log("(S 1,2 +\n  3,4 +\n5\n(O A_NET\n(B b\n(C c\n(F 7 +\nR1=1(0,2)R\n(X y\n")).only();
    let shown: Vec<_> = leaves(&report)
        .iter()
        .map(|step| (step.name.clone().unwrap(), step.string_meas.as_ref().map(|all| all[0].value.clone().unwrap())))
        .collect();
    let expected = [
        ("Shorts", Some("1,2 3,4 5")),
        ("Opens", Some("A_NET")),
        ("Bus", Some("b")),
        ("Scratch probing", Some("c")),
        ("Contact", Some("7")),
        ("R1", None),
        ("Failures", Some("y")),
    ];
    assert_eq!(shown, expected.map(|(name, text)| (name.to_owned(), text.map(str::to_owned))));
    assert!(leaves(&report)[4].report_text.is_some(), "its next line is missing");
}

#[test]
fn each_end_says_what_became_of_it() {
    for (sign, result) in [
        ('"', Status::Passed),
        ('/', Status::Failed),
        ('?', Status::Terminated),
        ('!', Status::Terminated),
        ('*', Status::Error),
        ('&', Status::Error),
        (']', Status::Terminated),
    ] {
        let text = log("R1=1(0,2)R\n").replace("\"05", &format!("{sign}05"));
        assert_eq!(read(&text).only().result, Some(result), "{sign}");
    }
    let twice = log("R1=1(0,2)R\n@05-MAR-24  08:10:00 SN S2\nR2=1(0,2)R\n");
    let reports = read(&twice).all();
    let shown: Vec<_> = reports.iter().map(|report| (report.sn.as_deref().unwrap(), report.result.unwrap())).collect();
    assert_eq!(shown, [("S1", Status::Terminated), ("S2", Status::Passed)]);
    assert!(reports[0].uut.as_ref().unwrap().exec_time.is_none());
    let repeated = log("R1=1(0,2)R\nD:\\Q\\88_B.obc[05-MAR-24  08:09:30\n@05-MAR-2024  8:10:00 SN S2\n");
    let parts: Vec<_> = read(&repeated).all().into_iter().map(|report| (report.pn.unwrap(), report.result.unwrap())).collect();
    assert_eq!(parts, [("77-1".to_owned(), Status::Terminated), ("88".to_owned(), Status::Passed)]);
}

#[test]
fn what_the_site_adds_counts_and_nothing_of_a_line_is_lost() {
    let body = "WATS_PN=PN-9\nWATS_Rev=C\nWATS_SN=S9\nWATS_Operator=Ann\nWATS_Colour=red\nA line of text\n(no list\nR1>1(0,2)R\n";
    let text = log(body).replace("08:09:12\n", "08:09:12 at once\n");
    let converted = read(&text);
    let notes = converted.notes[0].join("\n");
    let report = converted.only();
    assert!(notes.contains("S9") && notes.contains("although 1"), "{notes}");
    assert_eq!((report.pn.as_deref(), report.sn.as_deref(), report.rev.as_deref()), (Some("PN-9"), Some("S9"), Some("C")));
    assert_eq!(report.uut.unwrap().user.as_deref(), Some("Ann"));
    let infos: Vec<_> =
        report.misc_infos.unwrap().into_iter().map(|info| (info.description.unwrap(), info.text.unwrap())).collect();
    assert_eq!(
        infos,
        [("Lot begun", "01-MAR-24 07:00:00"), ("End", "at once"), ("Colour", "red")]
            .map(|(key, text)| (key.to_owned(), text.to_owned()))
    );
    let root = report.root.unwrap();
    assert_eq!(root.report_text.as_deref(), Some("A line of text\n(no list"));
    assert_eq!(root.steps.unwrap()[0].name.as_deref(), Some("R"));
}

#[test]
fn without_a_serial_number_or_a_time_it_says_so() {
    let without = read(&log("").replace(" SN S1", ""));
    assert!(
        matches!(without.errors.as_slice(), [ConvertError::Faults(faults)] if faults[0].path == "sn"),
        "{:?}",
        without.errors
    );
    let odd = read(&format!("{}{}", log("").replace("05-mar-24", "35-mar-24"), log("")));
    assert!(odd.reports.len() == 1 && matches!(odd.errors.as_slice(), [ConvertError::Faults(_)]), "{:?}", odd.errors);
    assert!(matches!(read("C:\\P\\77_TOP.obc[01-MAR-24  07:00:00\n").end, Err(ConvertError::Incomplete { .. })));
    assert!(matches!(read("x\n").end, Err(ConvertError::Malformed { .. })));
    let open = log("R1=1(0,2)R\n").replace("\"05-MAR-24  08:09:12\n", "\"05-MAR-24  08:09:1");
    assert!(matches!(read(&open).end, Err(ConvertError::Incomplete { .. })));
}

#[test]
fn it_is_told_from_other_text() {
    assert_eq!(Gr228x.sniff(&crate::convert::Head::new(&data(SAMPLE))), 95);
    assert_eq!(Gr228x.sniff(&crate::convert::Head::new(b"@05-MAR-24  08:09:10\nR1=1(0,2)R\n")), 50);
    assert_eq!(Gr228x.sniff(&crate::convert::Head::new(b"@\n* PASS *\n/31-JUL\n")), 0);
}

#[test]
fn a_long_line_of_signs_takes_no_long_time() {
    let begun = std::time::Instant::now();
    assert!(Measurement::of(&format!("A{}", "=(".repeat(500_000))).is_some());
    assert!(begun.elapsed().as_secs() < 5);
}
