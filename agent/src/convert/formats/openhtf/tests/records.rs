//! Header, phases, attachments, log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use waybill_shared::report::Status;
use waybill_shared::schema::{FaultKind, Value};

use super::{changed, convert_with, log, phases, record, root, text, unit};
use crate::convert::ConvertError;
use crate::convert::formats::openhtf::measurement::ATTACHMENT_MAX;

/// The faults of a record, changed.
fn faults(change: impl FnOnce(&mut Value)) -> Vec<(String, FaultKind, String)> {
    let mut record = record(&json!({}));
    change(&mut record);
    let (units, result) = convert_with(record.to_string().as_bytes(), &json!({}));
    assert_eq!((units.len(), result), (1, Ok(())));
    match units.into_iter().next() {
        Some(Err(ConvertError::Faults(faults))) => faults.into_iter().map(|f| (f.path, f.kind, f.message)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_without_a_serial_number_is_refused() {
    for placeholder in
        [json!(null), json!(""), json!("  "), json!("UNKNOWN_DUT"), json!("UNKNOWN_DUT_ID"), json!("None"), json!("n/a")]
    {
        let faults = faults(|record| record["dut_id"] = placeholder.clone());
        let faults: Vec<_> = faults.into_iter().filter(|fault| fault.0 == "sn").collect();
        assert_eq!(faults[0].1, FaultKind::Missing);
        assert!(faults[0].2.contains("the unit has no serial number"), "{}", faults[0].2);
    }
    let no_key = faults(|record| _ = record.as_object_mut().unwrap().shift_remove("dut_id"));
    assert_eq!(no_key[1].0, "sn");
    let named = faults(|record| record["dut_id"] = json!("None"));
    assert!(named[1].2.contains("\"None\" stands for none"), "{named:?}");
    assert_eq!(changed(|record| record["dut_id"] = json!(4711)).report.sn.as_deref(), Some("4711"));
    assert_eq!(changed(|record| record["dut_id"] = json!(" UNKNOWN 1 ")).report.sn.as_deref(), Some(" UNKNOWN 1 "));
}

#[test]
fn a_run_that_only_prompted_is_no_unit() {
    let prompted = faults(|record| record["phases"][0]["name"] = json!("trigger_phase"));
    assert_eq!(prompted.len(), 1);
    assert!(prompted[0].0 == "phases" && prompted[0].2.contains("there is no unit"), "{prompted:?}");
    let tested = changed(|record| {
        record["phases"][0] =
            json!({"name": "trigger_phase", "outcome": "PASS", "measurements": {"m": {"outcome": "PASS", "measured_value": 1}}});
    });
    assert_eq!(phases(&tested.report).len(), 1);
    assert_eq!(phases(&changed(|record| record["phases"] = json!([])).report).len(), 0);
}

#[test]
fn what_the_metadata_does_not_say_comes_from_the_arguments_and_never_the_other_way() {
    let header = |metadata: Value, arguments: Value| {
        let mut record = record(&json!({}));
        record["metadata"] = metadata;
        let unit = convert_with(record.to_string().as_bytes(), &arguments).0.remove(0).unwrap();
        let report = unit.report;
        (report.pn.unwrap(), report.rev.unwrap(), report.process_code.unwrap(), unit.notes.len())
    };
    let arguments = json!({"part_number": "ARG", "revision": "ARG", "process_code": 77});
    let named = |pn: &str, rev: &str, code: i64, notes: usize| (pn.to_owned(), rev.to_owned(), code, notes);
    for (pn, rev) in
        [("part_number", "revision"), ("pn", "rev"), ("PN", "REV"), ("Part Number", "part-rev"), ("dut_part_number", "dut_rev")]
    {
        let metadata = json!({"test_name": "t", pn: "P1", rev: 3.20, "procedure_id": "12"});
        assert_eq!(header(metadata, arguments.clone()), named("P1", "3.2", 12, 0), "{pn}");
    }
    assert_eq!(header(json!({"test_name": "t", "procedure_id": "FVT"}), arguments), named("ARG", "ARG", 77, 0));
    assert_eq!(header(json!({"test_name": "t", "pn": "P", "rev": " "}), json!({})), named("P", "1", 10, 2));
    assert_eq!(
        header(json!({"test_name": "t", "pn": "P", "rev": "A", "process_code": 5, "procedure_id": 6}), json!({})),
        named("P", "A", 5, 0)
    );
    let missing = faults(|_| {});
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].0, "pn");
    assert!(missing[0].2.contains("arguments `part_number`"), "{}", missing[0].2);
}

#[test]
fn digits_of_a_revision_are_kept() {
    let text =
        record(&json!({})).to_string().replace("\"test_name\":\"t\"", "\"test_name\":\"t\",\"revision\":3.20,\"batch\":007.0e1");
    assert!(matches!(convert_with(text.as_bytes(), &json!({})).1, Err(ConvertError::Malformed { .. })), "007 is no JSON");
    let unit = unit(text.replace("007.0e1", "7.0e1").as_bytes());
    assert_eq!(unit.report.rev.as_deref(), Some("3.20"));
    assert!(unit.report.uut.unwrap().batch_sn.unwrap().starts_with("7.0e"));
}

#[test]
fn times_come_as_numbers_or_texts_and_a_missing_start_is_noted() {
    let times = |change: &dyn Fn(&mut Value)| {
        let unit = changed(change);
        let took = unit.report.uut.unwrap().exec_time.map(|took| took.to_string());
        (unit.report.start.unwrap(), took, unit.notes)
    };
    let (start, took, notes) = times(&|_| {});
    assert_eq!((start.as_str(), took.as_deref(), notes.len()), ("1970-01-01T00:00:01+00:00", Some("2.5"), 0));
    let (start, took, notes) = times(&|record| {
        record["start_time_millis"] = json!("1737383526058");
        record["end_time_millis"] = json!(" 1737383526058.5 ");
    });
    assert_eq!((start.as_str(), took.as_deref(), notes.len()), ("2025-01-20T14:32:06.058+00:00", Some("0.0005"), 0));
    for zero in [json!(0), json!("0"), json!(null), json!("")] {
        let (start, took, notes) = times(&|record| {
            record["start_time_millis"] = zero.clone();
            record["phases"][0]["start_time_millis"] = json!("2000");
        });
        assert_eq!((start.as_str(), took.as_deref()), ("1970-01-01T00:00:02+00:00", Some("1.5")));
        assert!(notes[0].contains("the start of its first phase is used"), "{notes:?}");
    }
    let (start, took, notes) = times(&|record| {
        record["start_time_millis"] = json!(0);
        record["log_records"] = json!([{"message": "a"}, {"timestamp_millis": 1_500, "message": "b"}]);
    });
    assert_eq!((start.as_str(), took.as_deref()), ("1970-01-01T00:00:01.5+00:00", Some("2.0")));
    assert!(notes[0].contains("the time of its first log record is used"), "{notes:?}");
    let (start, took, notes) = times(&|record| record["start_time_millis"] = json!(0));
    assert_eq!((start.as_str(), took), ("1970-01-01T00:00:03.5+00:00", None));
    assert!(notes[0].contains("its end is used"), "{notes:?}");
    let (start, took, notes) = times(&|record| {
        record["start_time_millis"] = json!(0);
        record["end_time_millis"] = json!(null);
    });
    assert_eq!((start.as_str(), took), ("2026-01-30T12:00:00+00:00", None));
    assert!(notes[0].contains("last written"), "{notes:?}");
    let (_, took, notes) = times(&|record| record["end_time_millis"] = json!(5));
    assert!(took.is_none() && notes[0].contains("ends before it starts"), "{notes:?}");
    for bad in [json!("yesterday"), json!(true), json!(-5), json!(1e300), json!("99999999999999999")] {
        let found = faults(|record| record["start_time_millis"] = bad.clone());
        assert!(found.iter().any(|fault| fault.0 == "start_time_millis" && fault.1 == FaultKind::OutOfRange), "{found:?}");
    }
}

#[test]
fn outcomes_become_verdicts_and_an_unknown_one_is_refused() {
    for (outcome, result) in [("PASS", "P"), ("FAIL", "F"), ("ERROR", "E"), ("TIMEOUT", "E"), ("ABORTED", "T")] {
        let unit = changed(|record| record["outcome"] = json!(outcome));
        assert_eq!(unit.report.result.unwrap().letter(), result);
        assert_eq!(root(&unit.report).status, unit.report.result);
        assert_eq!(text(root(&unit.report)).contains(outcome), matches!(outcome, "TIMEOUT" | "ABORTED"));
    }
    for (outcome, result) in [("PASS", "P"), ("FAIL", "F"), ("ERROR", "E"), ("SKIP", "S")] {
        let unit = changed(|record| record["phases"][0]["outcome"] = json!(outcome));
        assert_eq!(phases(&unit.report)[0].status.unwrap().letter(), result);
    }
    let no_verdict = changed(|record| record["phases"][0]["outcome"] = json!(null));
    assert_eq!(phases(&no_verdict.report)[0].status, Some(Status::Done));
    assert!(no_verdict.notes[0].starts_with("phases[0]: the phase has no outcome"), "{:?}", no_verdict.notes);
    assert_eq!(faults(|record| record["outcome"] = json!("GOOD"))[0].0, "outcome");
    assert_eq!(faults(|record| record["outcome"] = json!(null))[0].1, FaultKind::Missing);
    assert_eq!(faults(|record| record["phases"][0]["outcome"] = json!("GOOD")).last().unwrap().0, "phases[0].outcome");
    let bad = faults(|record| record["phases"][0]["measurements"] = json!({"a b": {"outcome": "GOOD"}, "c": 5}));
    let paths: Vec<_> = bad.iter().map(|fault| fault.0.as_str()).collect();
    assert_eq!(paths, ["phases[0].measurements.\"a b\".outcome", "phases[0].measurements.c"]);
}

#[test]
fn what_went_wrong_is_told_on_the_unit_and_on_the_phase() {
    let unit = changed(|record| {
        record["outcome"] = json!("ERROR");
        record["outcome_details"] = json!([{"code": "ValueError", "description": "no probe"}, {"code": "17", "description": ""}]);
        record["phases"][0]["outcome"] = json!("ERROR");
        let exception = json!({"exc_type": "<class 'ValueError'>", "exc_val": "x".repeat(300), "exc_tb": "Traceback\n  line"});
        record["phases"][0]["result"]["phase_result"] = exception;
        let phases = record["phases"].as_array_mut().unwrap();
        phases.push(json!({"name": "slow", "outcome": "ERROR", "result": {"phase_result": null}}));
        phases.push(json!({"name": "stop", "outcome": "FAIL", "result": {"phase_result": "FAIL_AND_CONTINUE"}}));
    });
    let uut = unit.report.uut.as_ref().unwrap();
    assert_eq!((uut.error_code, uut.error_message.as_deref()), (Some(17), Some("ValueError: no probe\n17")));
    let [raised, slow, stopped] = phases(&unit.report) else { panic!() };
    assert_eq!(raised.error_message.as_ref().unwrap().chars().count(), 200);
    assert!(raised.error_message.as_ref().unwrap().starts_with("<class 'ValueError'>: xxx"));
    assert!(text(raised).contains(&"x".repeat(300)) && text(raised).contains("exc_tb: Traceback\n  line"));
    assert!(slow.error_message.as_ref().unwrap().contains("timed out"));
    assert_eq!(text(stopped), "phase_result: FAIL_AND_CONTINUE");
}

#[test]
fn attachments_of_phases_become_steps() {
    let attached = |attachments: Value| changed(|record| record["phases"][0]["attachments"] = attachments);
    let unit = attached(
        json!({"a.txt": {"mimetype": "text/plain", "data": "aGVs\nbG8", "sha1": "abc"}, "empty": {"mimetype": "x/y", "data": ""}}),
    );
    let steps = phases(&unit.report)[0].steps.as_ref().unwrap();
    assert_eq!(steps.len(), 2);
    let attachment = steps[0].attachment.as_ref().unwrap();
    assert_eq!((attachment.name.as_deref(), attachment.content_type.as_deref()), (Some("a.txt"), Some("text/plain")));
    assert_eq!((attachment.data.as_deref(), text(&steps[0])), (Some("aGVsbG8="), "sha1: abc"));
    assert_eq!(steps[1].attachment.as_ref().unwrap().data.as_deref(), Some(""));

    let large = BASE64.encode(vec![7; ATTACHMENT_MAX + 1]);
    let unit = attached(json!({"big.bin": {"mimetype": "x/y", "data": large}, "gone": {"mimetype": "x/y", "sha1": "abc"}}));
    let steps = phases(&unit.report)[0].steps.as_ref().unwrap();
    assert!(steps.iter().all(|step| step.attachment.is_none() && text(step).contains("left out")));
    assert!(unit.notes[0].contains("big.bin has 10485761 bytes and was left out"), "{:?}", unit.notes);
    assert!(unit.notes[1].contains("no data in the file"), "{:?}", unit.notes);

    let bad = faults(|record| record["phases"][0]["attachments"] = json!({"a": {"mimetype": "x/y", "data": "%"}}));
    assert_eq!(bad.last().unwrap().0, "phases[0].attachments.a.data");
}

#[test]
fn a_log_that_is_too_long_is_cut_with_a_note() {
    let line = json!({"level": 20, "message": "m".repeat(1_000_000)});
    let unit = changed(|record| record["log_records"] = json!(vec![line; 12]));
    assert_eq!(log(&unit.report).lines().count(), 10);
    assert!(unit.notes[0].contains("the first 10 of 12 are kept"), "{:?}", unit.notes);
}

#[test]
fn setup_and_teardown_phases_are_grouped_by_their_names() {
    for (name, group) in [
        ("setup", "S"),
        ("power_setup", "S"),
        ("Setup DUT", "S"),
        ("tearDown", "C"),
        ("teardown_plugs", "C"),
        ("cleanup", "C"),
        ("main", "M"),
        ("check_setup_time", "M"),
        ("setups", "M"),
    ] {
        let unit = changed(|record| record["phases"][0]["name"] = json!(name));
        assert_eq!(phases(&unit.report)[0].group.as_deref(), Some(group), "{name}");
    }
}
