use serde_json::json;

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const SAMPLE: &str = "spea/DERIVED-first2units-testdata_SN9871234012.csv";

fn leaves(report: &Report) -> Vec<&Step> {
    report.steps().filter(|step| !step.is_sequence_call()).collect()
}

fn run(tests: &str) -> String {
    format!(
        "FORMAT;mmdd\nSTART;Folder;Plan;1.2;PN-7;Jörg;10/12/2024;16:15:03\nLOT;L1\n{tests}SN;S1\nBOARDRESULT;PASS\nEND;PASS;10/12/2024;16:15:22\n"
    )
}

fn read(text: &str) -> Converted {
    convert(&Spea, "x.csv", text.as_bytes(), &json!({}))
}

/// The only step of a unit with this test, and the notes of the unit.
fn test(line: &str) -> (Step, Vec<String>) {
    let converted = read(&run(&format!("{line}\n")));
    let notes = converted.notes.first().cloned().unwrap_or_default();
    let report = converted.only();
    (leaves(&report)[0].clone(), notes)
}

#[test]
fn the_sample_arrives_as_it_is() {
    let reports = golden(&Spea, SAMPLE, &json!({})).all();
    assert_eq!(reports.len(), 2);
    for (report, start, seconds) in [(&reports[0], "16:15:03", "19.0"), (&reports[1], "16:15:29", "20.0")] {
        assert_eq!((report.sn.as_deref(), report.pn.as_deref()), (Some("SN9871234012"), Some("23462-TS")));
        assert_eq!((report.result, report.start.clone()), (Some(Status::Failed), Some(format!("2024-10-12T{start}+02:00"))));
        let uut = report.uut.as_ref().unwrap();
        assert_eq!(uut.user.as_deref(), Some("Test Operator op1"));
        assert_eq!(uut.exec_time.as_ref().unwrap().to_string(), seconds);
        assert_eq!((&uut.batch_sn, uut.test_socket_index), (&None, Some(1)));
        let call = report.root.as_ref().unwrap().seq_call.as_ref().unwrap();
        assert_eq!((call.name.as_deref(), call.version.as_deref()), (Some("Programme/23462-TS"), Some("1.0.2")));
        let leaves = leaves(report);
        assert_eq!(leaves.len(), 1198);
        assert_eq!(leaves.iter().filter(|step| step.status == Some(Status::Failed)).count(), 4);
        assert_eq!(leaves.iter().filter(|step| step.numeric_meas.is_some()).count(), (1198 - 370 / 2));
        let of = |name: &str| leaves.iter().find(|step| step.name.as_deref() == Some(name)).copied().unwrap();
        let failed = &of("CAPC332 1nF 10% -10%").numeric_meas.as_ref().unwrap()[0];
        assert_eq!((failed.value.as_ref(), failed.status), (Some(&Num::NaN), Some(Status::Failed)));
        assert_eq!(failed.comp_op.as_deref(), Some("GELE"));
        assert_eq!(failed.low_limit.as_ref().unwrap().as_f64(), 8.5e-10);
        assert_eq!((failed.high_limit.as_ref().unwrap().as_f64(), failed.unit.as_deref()), (1.15e-9, Some("F")));
        assert!(
            of("CAPC332 1nF 10% -10%").report_text.as_ref().unwrap().contains("verdict: FAIL(+/-)\npins: 30 250\nnumber: 972")
        );
        let shorts = of("SHO CHN DGND");
        assert_eq!((shorts.step_type.as_deref(), shorts.status), (Some("ET_PFT"), Some(Status::Passed)));
        assert!(shorts.report_text.as_ref().unwrap().contains("value: Automatic\nupper limit: 413"));
        let linked = &of("LNKR223 Mounted!").numeric_meas.as_ref().unwrap()[0];
        assert_eq!((linked.comp_op.as_deref(), &linked.high_limit), (Some("GE"), &None), "1e10 is none");
    }
    let first = leaves(&reports[0]);
    let position = &first[2].numeric_meas.as_ref().unwrap()[0];
    assert_eq!(position.value.as_ref().unwrap().as_f64(), 9.046_875);
    assert_eq!(position.unit.as_deref(), Some("V"));
}

#[test]
fn wherever_it_is_cut_or_spoilt_nothing_wrong_comes_of_it() {
    let bytes = data(SAMPLE);
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let short = [&lines[..10], &lines[766..768], &lines[1198..1210], &lines[2396..]].concat().concat();
    assert_eq!(convert(&Spea, "x.csv", &short, &json!({})).all().len(), 2);
    cut_anywhere(&Spea, "x.csv", &short, &json!({}));
    flip_anywhere(&Spea, "x.csv", &short, &json!({}));
    cut_anywhere(&Spea, "x.csv", run("ANL;1;R1;1;1;R1;;PASS;1;0;2;V;;1\n").as_bytes(), &json!({}));
}

#[test]
fn limits_count_as_they_are_meant() {
    for (limits, comparator, low, high) in [
        ("1.5;2.5", "GELE", Some("1.5"), Some("2.5")),
        ("-2.5;-1.5", "GELE", Some("-2.5"), Some("-1.5")),
        ("0.0;2.50", "LE", Some("2.50"), None),
        ("-2.5;0", "GE", Some("-2.5"), None),
        ("-1e10;2.5", "LE", Some("2.5"), None),
        ("1.5;1.000000e+10", "GE", Some("1.5"), None),
        ("0;1e10", "GE", Some("0"), None),
        ("-1e10;0", "LE", Some("0"), None),
        ("-1e10;1e10", "LOG", None, None),
        ("0;0", "LOG", None, None),
        (";", "LOG", None, None),
        ("1.5;", "GE", Some("1.5"), None),
    ] {
        let (step, _) = test(&format!("ANL;1;R1;1;1;RES R1;;PASS;2.0;{limits};ohm;1 2;7"));
        let found = &step.numeric_meas.as_ref().unwrap()[0];
        let text = |limit: &Option<Num>| limit.as_ref().map(Num::to_string);
        let found = (found.comp_op.clone().unwrap(), text(&found.low_limit), text(&found.high_limit));
        assert_eq!(found, (comparator.to_owned(), low.map(str::to_owned), high.map(str::to_owned)), "{limits}");
    }
}

#[test]
fn values_that_are_no_numbers_and_verdicts_alone() {
    let kind = |line: &str| test(line).0.step_type.unwrap();
    assert_eq!(kind("ANL;1;A;1;1;n;;PASS;0.0e+00;0.0e+00;0.0e+00;;;1"), "ET_PFT");
    assert_eq!(kind("ANL;1;A;1;1;n;;FAIL(-);AUTOMATIC;;;;;1"), "ET_PFT");
    assert_eq!(kind("FUNC;1;A;1;1;n;;PASS;;;;;;1"), "ET_PFT");
    assert_eq!(kind("ANL;1;A;1;1;n;;NONE;0;0;0;;;1"), "ET_A");
    let (step, _) = test("FUNC;1;A;1;1;n;U7;FAIL(+);0x1F;1;2;V;;1");
    let text = step.report_text.unwrap();
    for part in ["kind: FUNC", "part: U7", "verdict: FAIL(+)", "lower limit: 1", "upper limit: 2", "unit: V"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(step.string_meas.unwrap()[0].value.as_deref(), Some("0x1F"));
    let (step, notes) = test("ANL;1;A;1;1;n;;PASS;1;low;2;V;;1");
    assert!(
        step.report_text.unwrap().contains("lower limit: low") && notes.iter().any(|note| note.contains("no number")),
        "{notes:?}"
    );
    let (step, _) = test("ANL;1;A;1;1;n;;PASS;1,50;1,0;2,0;V;;1");
    assert_eq!(step.numeric_meas.unwrap()[0].value.as_ref().unwrap().to_string(), "1.50", "a decimal comma by evidence");
}

#[test]
fn a_name_with_a_semicolon_a_short_line_and_an_unknown_kind() {
    let (step, _) = test("ANL;1;A;1;1;one; two;U7;PASS;1.5;1;2;V;3 4;9");
    assert_eq!(step.name.as_deref(), Some("one;two"));
    assert_eq!(step.numeric_meas.unwrap()[0].value.as_ref().unwrap().to_string(), "1.5");
    let (step, _) = test("ANL;1;A;1;1;n;;PASS;1.5");
    assert_eq!(step.numeric_meas.unwrap()[0].comp_op.as_deref(), Some("LOG"));
    let (step, _) = test("OBP;1;A;1;1;n;;FAIL(+);1.5;1;2;V;3 4;9;extra");
    let text = step.report_text.unwrap();
    assert!(step.status == Some(Status::Failed) && text.contains("kind: OBP") && text.contains("more: extra"), "{text}");
    let converted = read(&run("ANL;1;A;1;1;n;;MAYBE;1.5;1;2;V;3 4;9\nANL;1\n"));
    let [ConvertError::Faults(faults)] = converted.errors.as_slice() else { panic!("{converted:?}") };
    assert_eq!(faults.len(), 2);
    assert!(faults[0].message.contains("line 4"), "{faults:?}");
}

#[test]
fn what_stands_around_the_tests_arrives() {
    let text = format!(
        "REMARK;before\n{}",
        run(
            "ANL;1;R1;1;1;a;;PASS;1;0;2;V;;1\nANL;1;R1;1;2;b;;FAIL(+);3;0;2;V;;2\nROOM;warm;dry\nANL;1;R2;2;1;c;;PASS;1;0;2;V;;3\n"
        )
    );
    let converted = read(&text);
    let notes = converted.notes[0].join("\n");
    let report = converted.only();
    assert!(notes.contains("passed although 1 of its tests failed"), "{notes}");
    assert_eq!((report.sn.as_deref(), report.pn.as_deref()), (Some("S1"), Some("PN-7")));
    let uut = report.uut.unwrap();
    assert_eq!((uut.batch_sn.as_deref(), uut.user.as_deref()), (Some("L1"), Some("Jörg")));
    let infos: Vec<_> =
        report.misc_infos.unwrap().into_iter().map(|info| (info.description.unwrap(), info.text.unwrap())).collect();
    assert_eq!(infos, [("REMARK".into(), "before".into()), ("ROOM".into(), "warm;dry".into())] as [(String, String); 2]);
    let tasks: Vec<_> = report.root.unwrap().steps.unwrap();
    let shown: Vec<_> = tasks
        .iter()
        .map(|task| (task.name.as_deref().unwrap(), task.status.unwrap(), task.steps.as_ref().unwrap().len()))
        .collect();
    assert_eq!(shown, [("R1", Status::Failed, 2), ("R2", Status::Passed, 1)]);
    let station =
        convert(&Spea, "x.csv", run("ANL;1;R1;1;1;a;;PASS;1;0;2;V;;1\n").as_bytes(), &json!({"number_is": "station"})).only();
    assert_eq!((station.machine_name.as_deref(), station.root.unwrap().seq_call.unwrap().version), (Some("1.2"), None));
}

#[test]
fn the_date_is_in_the_order_that_the_file_says() {
    let start = |format: &str, date: &str, arguments: serde_json::Value| {
        let text = run("ANL;1;R1;1;1;a;;PASS;1;0;2;V;;1\n").replace("FORMAT;mmdd\n", format).replace("10/12/2024", date);
        let mut converted = convert(&Spea, "x.csv", text.as_bytes(), &arguments);
        if converted.reports.is_empty() {
            Err(converted.errors.remove(0))
        } else {
            Ok(converted.reports.remove(0).start.unwrap()[..10].to_owned())
        }
    };
    let none = || json!({});
    assert_eq!(start("FORMAT;mmdd\n", "10/12/2024", none()).unwrap(), "2024-10-12");
    assert_eq!(start("FORMAT;ddmm\n", "10/12/2024", none()).unwrap(), "2024-12-10");
    assert_eq!(start("FORMAT;DDMM\n", "10.12.24", none()).unwrap(), "2024-12-10");
    assert_eq!(start("", "10/12/2024", none()).unwrap(), "2024-10-12");
    assert_eq!(start("", "10/12/2024", json!({"date_order": "day first"})).unwrap(), "2024-12-10");
    assert_eq!(start("FORMAT;mmdd\n", "2024/10/12", none()).unwrap(), "2024-10-12");
    for (format, date) in [("FORMAT;mmdd\n", "13/12/2024"), ("FORMAT;???\n", "10/12/2024"), ("FORMAT;mmdd\n", "soon")] {
        assert!(matches!(start(format, date, none()), Err(ConvertError::Faults(_))), "{format} {date}");
    }
}

#[test]
fn the_boards_verdict_counts_and_a_contradiction_is_told() {
    let result = |board: &str, end: &str| {
        let text = run("ANL;1;R1;1;1;a;;PASS;1;0;2;V;;1\n").replace("BOARDRESULT;PASS\n", board).replace("END;PASS", end);
        let converted = read(&text);
        (
            converted.reports.first().and_then(|report| report.result),
            converted.notes.concat().join("\n").contains("BOARDRESULT says"),
        )
    };
    assert_eq!(result("BOARDRESULT;FAIL\n", "END;FAIL"), (Some(Status::Failed), false));
    assert_eq!(result("BOARDRESULT;FAIL\n", "END;PASS"), (Some(Status::Failed), true));
    assert_eq!(result("BOARDRESULT;NONE\n", "END;NONE"), (Some(Status::Error), false));
    assert_eq!(result("", "END;FAIL"), (Some(Status::Failed), false));
    assert_eq!(result("", "END;"), (None, false));
    assert_eq!(result("BOARDRESULT;GOOD\n", "END;PASS").0, None);
}

#[test]
fn a_run_of_several_boards_gives_each_and_one_without_an_end_does_not_lose_the_next() {
    let two = run("ANL;1;R1;1;1;a;;PASS;1;0;2;V;;1\nSN;S0\nBOARDRESULT;FAIL\nANL;2;R1;1;1;a;;PASS;1;0;2;V;;1\n");
    let reports = read(&two).all();
    let shown: Vec<_> =
        reports.iter().map(|report| (report.sn.as_deref().unwrap(), report.result.unwrap(), leaves(report).len())).collect();
    assert_eq!(shown, [("S0", Status::Failed, 1), ("S1", Status::Passed, 1)]);
    assert_eq!(reports[1].uut.as_ref().unwrap().test_socket_index, Some(2));
    let whole = run("ANL;1;R1;1;1;a;;PASS;1;0;2;V;;1\n");
    let cut = whole.replace("END;PASS;10/12/2024;16:15:22\n", "");
    let converted = read(&format!("{cut}{whole}"));
    assert_eq!((converted.reports.len(), converted.errors.len(), &converted.end), (1, 1, &Ok(())));
    let converted = read(&format!("{whole}{cut}"));
    assert!(converted.reports.len() == 1 && matches!(converted.end, Err(ConvertError::Incomplete { .. })), "{:?}", converted.end);
    let converted = read(&whole.replace("SN;S1\n", "SN;S1\nSN;S2\n"));
    assert!(converted.reports.is_empty() && converted.errors[0].to_string().contains("S1, S2"), "{:?}", converted.errors);
    let same = read(&format!("{whole}{whole}")).all();
    assert_ne!(same[0].id, same[1].id, "equal retests are two");
}

#[test]
fn it_is_told_from_other_text() {
    assert_eq!(Spea.sniff(&crate::convert::Head::new(b"FORMAT;mmdd\r\nSTART;a;b;c;d;e;f;g\r\nANL;1;2;3;4;5;6;PASS;8\r\n")), 95);
    assert_eq!(Spea.sniff(&crate::convert::Head::new(b"START;a\nANL;b\n")), 0);
    assert_eq!(Spea.sniff(&crate::convert::Head::new(b"FORMAT;SN;PN\n1;2;3\n")), 0);
}
