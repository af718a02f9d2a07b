use serde_json::{Value, json};

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const SAMPLE: &str = "pytest/sample_report.json";

fn step<'a>(report: &'a Report, name: &str) -> &'a Step {
    report.steps().find(|step| step.name.as_deref() == Some(name)).unwrap()
}

/// Tests by their verdict, as [passed, failed, skipped, error].
fn counts(report: &Report) -> [usize; 4] {
    let verdicts: Vec<_> = report.steps().filter(|step| step.boolean_meas.is_some()).collect();
    [Status::Passed, Status::Failed, Status::Skipped, Status::Error]
        .map(|status| verdicts.iter().filter(|step| step.status == Some(status)).count())
}

#[test]
fn the_sample_arrives_as_it_is() {
    let report = golden(&Pytest, SAMPLE, &json!({"no_serial_number": "file name"})).only();
    // 2 passed and 1 xpassed; 3 failed; 1 skipped and 1 xfailed; 2 errors.
    assert_eq!((counts(&report), report.result), ([3, 3, 2, 2], Some(Status::Error)));
    assert_eq!(report.start_utc.as_deref(), Some("2019-01-22T19:25:51.215056Z"), "created less duration");
    assert_eq!(report.uut.as_ref().unwrap().exec_time.as_ref().unwrap().to_string(), "0.04589128494262695");
    let root = report.root.as_ref().unwrap();
    assert_eq!(root.seq_call.as_ref().unwrap().path.as_deref(), Some("/tmp/pytest-of-user/pytest-40/test_create_report0"));
    let module = &root.steps.as_ref().unwrap()[0];
    assert_eq!((module.name.as_deref(), module.steps.as_ref().unwrap().len()), (Some("test_create_report.py"), 10));
    let failed = step(&report, "test_fail_with_fixture");
    assert_eq!((failed.status, failed.error_message.as_deref()), (Some(Status::Failed), Some("assert False")));
    let stages: Vec<_> =
        failed.steps.iter().flatten().map(|step| (step.name.as_deref().unwrap(), step.group.as_deref().unwrap())).collect();
    assert_eq!(stages, [("test_fail_with_fixture", "M"), ("setup", "S"), ("call", "M"), ("teardown", "C")]);
    let call = &failed.steps.as_ref().unwrap()[2];
    assert_eq!(call.tot_time.as_ref().unwrap().to_string(), "0.00015997886657714844");
    let text = call.report_text.as_deref().unwrap();
    for part in [
        "stdout: call\n",
        "stderr: callerr\n",
        "crash.lineno: 32",
        "traceback[0].message: AssertionError",
        "E       assert False",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let expected = step(&report, "test_xfail");
    assert!(expected.status == Some(Status::Skipped) && expected.report_text.as_deref().unwrap().contains("outcome: xfailed"));
    let infos: Vec<_> = report
        .misc_infos
        .iter()
        .flatten()
        .map(|info| (info.description.as_deref().unwrap(), info.text.as_deref().unwrap()))
        .collect();
    assert!(infos.contains(&("Python", "3.7.1")) && infos.contains(&("Packages.pytest", "4.1.1")), "{infos:?}");
    assert!(report.steps().any(|step| step.name.as_deref() == Some("test_parametrized[2]")));
}

#[test]
fn a_cut_or_spoilt_sample_is_never_a_clean_report() {
    let bytes = data(SAMPLE);
    cut_anywhere(&Pytest, "x.json", &bytes, &json!({"no_serial_number": "generate"}));
    flip_anywhere(&Pytest, "x.json", &bytes, &json!({"no_serial_number": "generate"}));
}

fn run(exit_code: Value, tests: Value, arguments: &Value) -> Converted {
    let report = json!({"created": 1_700_000_000.5, "duration": 0.25, "exitcode": exit_code, "root": "/r",
        "environment": {"Serial Number": "A1", "part_number": "P2"}, "summary": {"collected": 1}, "tests": tests});
    convert(&Pytest, "x.json", report.to_string().as_bytes(), arguments)
}

fn test(outcome: &str) -> Value {
    json!({"nodeid": "m.py::t", "lineno": 3, "outcome": outcome, "keywords": ["t"], "call": {"duration": 0.5, "outcome": outcome}})
}

#[test]
fn the_exit_code_is_the_verdict() {
    let result = |code: Value, outcome: &str| run(code, json!([test(outcome)]), &json!({})).only().result.unwrap();
    for (code, outcome, expected) in [
        (json!(0), "passed", Status::Passed),
        (json!(0), "skipped", Status::Done),
        (json!(1), "failed", Status::Failed),
        (json!(1), "error", Status::Error),
        (json!(1), "passed", Status::Failed),
        (json!(0), "failed", Status::Passed),
        (json!(2), "passed", Status::Terminated),
        (json!(2), "failed", Status::Terminated),
        (json!(3), "passed", Status::Error),
        (json!(4), "passed", Status::Error),
        (json!("1"), "failed", Status::Failed),
        (json!(99), "failed", Status::Failed),
        (Value::Null, "passed", Status::Passed),
    ] {
        assert_eq!(result(code.clone(), outcome), expected, "{code} {outcome}");
    }
    for (code, outcome, note) in [
        (0, "failed", "the exit code counts"),
        (1, "passed", "the exit code counts"),
        (2, "passed", "interrupted"),
        (99, "passed", "its tests decide"),
    ] {
        let notes = run(json!(code), json!([test(outcome)]), &json!({})).notes;
        assert!(notes[0].iter().any(|found| found.contains(note)), "{code} {outcome}: {notes:?}");
    }
    for (code, tests) in [(5, json!([])), (0, json!([])), (5, json!([test("passed")]))] {
        let found = run(json!(code), tests, &json!({}));
        assert!(matches!(found.errors[..], [ConvertError::Malformed { .. }]) && found.reports.is_empty(), "{code}");
    }
    assert_eq!(run(json!(2), json!([]), &json!({})).only().result, Some(Status::Terminated));
    assert!(matches!(run(json!("soon"), json!([test("passed")]), &json!({})).errors[..], [ConvertError::Faults(_)]));
}

#[test]
fn expected_failures_are_what_the_arguments_say() {
    let status = |outcome: &str, arguments: Value| {
        let report = run(json!(0), json!([test(outcome), test("passed")]), &arguments).only();
        step(&report, "t").status.unwrap()
    };
    assert_eq!(status("xfailed", json!({})), Status::Skipped);
    assert_eq!(status("xfailed", json!({"xfailed": "done"})), Status::Done);
    assert_eq!(status("xpassed", json!({})), Status::Passed);
    assert_eq!(status("xpassed", json!({"xpassed": "failed"})), Status::Failed);
    assert_eq!(status("rerun", json!({})), Status::Done);
    let unknown = run(json!(0), json!([test("green")]), &json!({}));
    assert!(matches!(&unknown.errors[..], [ConvertError::Faults(faults)] if faults[0].path == "tests[0].outcome"), "{unknown:?}");
}

#[test]
fn recorded_properties_are_measurements_with_their_digits() {
    let text = r#"{"created": 1, "exitcode": 0, "tests": [{"nodeid": "a/m.py::C::t[x::y]", "outcome": "passed",
        "user_properties": [{"U": 4.70}, ["I", NaN], {"ok": true}, {"fw": "1.10"}, 7], "metadata": {"SN": "A7", "rack": 2}}]}"#;
    let report = convert(&Pytest, "x.json", text.as_bytes(), &json!({})).only();
    assert_eq!(report.sn.as_deref(), Some("A7"));
    let number = |name: &str| step(&report, name).numeric_meas.as_ref().unwrap()[0].value.as_ref().unwrap().to_string();
    assert_eq!((number("U"), number("I")), ("4.70".to_owned(), "NaN".to_owned()));
    let string = |name: &str| step(&report, name).string_meas.as_ref().unwrap()[0].value.clone().unwrap();
    assert_eq!((string("ok"), string("fw")), ("true".to_owned(), "1.10".to_owned()));
    let names: Vec<_> = report.steps().take(5).map(|step| step.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["pytest", "a/m.py", "C", "t[x::y]", "t[x::y]"]);
    let text = step(&report, "t[x::y]").report_text.as_deref().unwrap();
    assert!(text.contains("user_properties: 7") && text.contains("metadata.rack: 2"), "{text}");
}

#[test]
fn tests_that_name_different_units_name_none() {
    let of = |sn: &str| json!({"nodeid": "m.py::t", "outcome": "passed", "user_properties": [{"serial_number": sn}]});
    let convert = |tests: Value| {
        let report = json!({"created": 1, "exitcode": 0, "tests": tests});
        convert(&Pytest, "x.json", report.to_string().as_bytes(), &json!({"no_serial_number": "file name"}))
    };
    assert_eq!(convert(json!([of("1"), of("1")])).only().sn.as_deref(), Some("1"));
    let two = convert(json!([of("1"), of("2"), of("1")]));
    assert!(two.notes[0].iter().any(|note| note.contains("name 2 different values")), "{:?}", two.notes);
    assert_eq!(two.only().sn.as_deref(), Some("x"));
}

#[test]
fn collectors_that_failed_and_tests_without_a_result_are_told() {
    let report = json!({"created": 1, "exitcode": 2, "environment": {"sn": "A"}, "tests": [test("passed")], "collectors": [
        {"nodeid": "", "outcome": "passed", "result": [{"nodeid": "m.py", "type": "Module"}]},
        {"nodeid": "m.py", "outcome": "passed", "result": [
            {"nodeid": "m.py::t", "type": "Function", "lineno": 3}, {"nodeid": "m.py::later", "type": "Function", "lineno": 4},
            {"nodeid": "m.py::no", "type": "Function", "lineno": 5, "deselected": true}]},
        {"nodeid": "bad.py", "outcome": "failed", "result": [], "longrepr": "E   ImportError: x"}],
        "warnings": [{"message": "old", "lineno": 9}], "extra": {"a": 1}, "rack": "R2"});
    let converted = convert(&Pytest, "x.json", report.to_string().as_bytes(), &json!({}));
    assert!(
        converted.notes[0].iter().any(|note| note == "1 tests were collected and have no result, the first: m.py::later"),
        "{:?}",
        converted.notes
    );
    let report = converted.only();
    assert_eq!(report.result, Some(Status::Terminated));
    let bad = step(&report, "bad.py");
    assert_eq!((bad.status, bad.error_message.as_deref()), (Some(Status::Error), Some("E   ImportError: x")));
    let text = report.root.as_ref().unwrap().report_text.as_deref().unwrap();
    for part in ["exitcode: 2", "warning 1.message: old", "extra.a: 1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(report.misc_infos.unwrap()[0].text.as_deref(), Some("R2"));
}

#[test]
fn a_summary_alone_is_a_unit_and_one_that_disagrees_is_noted() {
    let summary = |value: Value| {
        let mut report = json!({"created": 1, "exitcode": 1, "environment": {"sn": "A"}});
        report.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        convert(&Pytest, "x.json", report.to_string().as_bytes(), &json!({}))
    };
    let alone = summary(json!({"summary": {"failed": 2, "total": 2}}));
    let report = alone.only();
    assert_eq!(report.result, Some(Status::Failed));
    assert!(report.root.unwrap().report_text.unwrap().contains("summary.failed: 2"));
    let wrong = summary(json!({"summary": {"failed": 2, "total": 2}, "tests": [test("failed")]}));
    assert!(wrong.notes[0].iter().any(|note| note == "its summary says 2 failed, and there are 1"), "{:?}", wrong.notes);
    assert!(matches!(summary(json!({})).errors[..], [ConvertError::Malformed { .. }]));
    assert!(matches!(convert(&Pytest, "x.json", b"[1]", &json!({})).errors[..], [ConvertError::Malformed { .. }]));
    assert!(matches!(convert(&Pytest, "x.json", b" ", &json!({})).end, Err(ConvertError::Incomplete { .. })));
}
