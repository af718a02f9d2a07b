//! The model against the real files and against what equipment gets wrong.

use super::wsjf::{self, WsjfError};
use super::{Num, Status, validate};
use crate::schema::{FaultKind, Value};

/// A real export of a server: 186 steps, 146 measurements (origin and licence: tests/data/README.md).
const EXPORT: &[u8] = include_bytes!("../../../tests/data/wsjf/uut-wsjf-export.json");
/// A real repair report (origin and licence: tests/data/README.md).
const REPAIR: &[u8] = include_bytes!("../../../tests/data/wsjf/uur_example.json");
const FULL: &[u8] = include_bytes!("../../../tests/data/wsjf/full.json");

/// A document as the wire sees it: without nulls.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

fn json(bytes: &[u8]) -> Value {
    without_nulls(serde_json::from_slice(bytes).unwrap())
}

#[test]
fn real_reports_come_out_as_they_went_in() {
    for bytes in [EXPORT, REPAIR, FULL] {
        let report = wsjf::read_valid(bytes).unwrap();
        assert_eq!(json(&wsjf::write(&report)), json(bytes));
    }
}

#[test]
fn the_export_has_all_of_its_steps_and_measurements() {
    let report = wsjf::read_one(EXPORT).unwrap();
    assert_eq!(report.steps().count(), 186);
    assert_eq!(report.measurement_count(), 146);
    assert_eq!(report.result, Some(Status::Failed));
}

#[test]
fn unknown_keys_step_types_and_digits_are_carried_through() {
    let text = br#"{"type":"T","pn":"a","sn":"b","rev":"1","processCode":10,"result":"Passed","machineName":"m","location":"l",
        "purpose":"p","start":"2026-01-30T22:01:41.4707353+01:00","vendorKey":{"x":[1,null,1e400]},
        "root":{"stepType":"SequenceCall","name":"r","steps":[{"stepType":"ACME_Magic","name":"n","acme":true,
        "numericMeas":[{"value":5.500,"lowLimit":123456789012345678901234567890,"compOp":"NEAR"}]}]}}"#;
    let report = wsjf::read_valid(text).unwrap();
    let written = String::from_utf8(wsjf::write(&report)).unwrap();
    for kept in [
        "\"vendorKey\":{\"x\":[1,null,1e+400]}",
        "ACME_Magic",
        "\"acme\":true",
        "5.500",
        "123456789012345678901234567890",
        "NEAR",
        "4707353",
    ] {
        assert!(written.contains(kept) || written.contains(&kept.replace("1e+400", "1e400")), "{kept} is not in {written}");
    }
    assert!(written.contains("\"result\":\"P\""), "aliases are written as letters: {written}");
}

#[test]
fn bare_nan_and_infinity_are_read_outside_of_strings_only() {
    let text = br#"{"type":"T","sn":"NaN, -Infinity \" NaN","root":{"numericMeas":[{"value":NaN,"lowLimit":-Infinity,"highLimit":Infinity}]}}"#;
    let report = wsjf::read_one(text).unwrap();
    let meas = &report.root.as_ref().unwrap().numeric_meas.as_ref().unwrap()[0];
    assert_eq!(
        (&meas.value, &meas.low_limit, &meas.high_limit),
        (&Some(Num::NaN), &Some(Num::NegInfinity), &Some(Num::Infinity))
    );
    assert_eq!(report.sn.as_deref(), Some("NaN, -Infinity \" NaN"));
    assert!(
        String::from_utf8(wsjf::write(&report))
            .unwrap()
            .contains(r#""value":"NaN","lowLimit":"-Infinity","highLimit":"Infinity""#)
    );
}

#[test]
fn encodings_with_a_byte_order_mark_are_read() {
    let text = std::str::from_utf8(EXPORT).unwrap();
    let plain = wsjf::read_one(EXPORT).unwrap();
    let utf8 = [&[0xef, 0xbb, 0xbf], EXPORT].concat();
    let little: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    for bytes in [utf8, little, big] {
        assert_eq!(wsjf::read_one(&bytes).unwrap(), plain);
    }
}

#[test]
fn an_array_holds_several_reports_and_a_bad_one_loses_none() {
    let good = std::str::from_utf8(REPAIR).unwrap();
    let file = format!("[{good},{{\"sn\":5}},{good}]");
    let units = wsjf::read(file.as_bytes()).unwrap();
    assert_eq!(units.len(), 3);
    assert!(units[0].is_ok() && units[2].is_ok());
    match &units[1] {
        Err(WsjfError::Faults(faults)) => assert_eq!(faults[0].path, "sn"),
        other => panic!("{other:?}"),
    }
    assert_eq!(units[0].as_ref().unwrap().bytes.as_ref(), good.trim().as_bytes());
}

#[test]
fn every_truncation_is_incomplete_or_an_error_and_never_a_report() {
    for cut in (0..EXPORT.len()).step_by(31) {
        match wsjf::read(&EXPORT[..cut]) {
            Err(WsjfError::Incomplete { .. }) => {}
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn all_faults_of_a_report_are_named_with_their_paths() {
    let text =
        br#"{"type":"T","pn":"","sn":7,"result":"X","processCode":"10","root":{"steps":[{"numericMeas":[{"value":true}]}]}}"#;
    let WsjfError::Faults(faults) = wsjf::read_one(text).unwrap_err() else { panic!() };
    let found: Vec<_> = faults.iter().map(|f| (f.path.as_str(), f.kind)).collect();
    assert_eq!(
        found,
        [
            ("sn", FaultKind::WrongType),
            ("result", FaultKind::OutOfRange),
            ("processCode", FaultKind::WrongType),
            ("root.steps[0].numericMeas[0].value", FaultKind::WrongType),
        ]
    );
}

#[test]
fn a_report_without_a_serial_number_says_so_and_all_else_that_is_missing() {
    let faults = validate::validate(&wsjf::read_one(br#"{"type":"T","pn":"P","start":"2026-01-30T12:00:00"}"#).unwrap());
    let paths: Vec<_> = faults.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["sn", "rev", "machineName", "location", "purpose", "processCode", "result", "start", "root"]);
    assert!(faults[7].message.contains("no offset"), "{}", faults[7]);
}

#[test]
fn measurements_must_have_the_shape_of_their_step_type() {
    let step = |step: &str| {
        let text = format!(
            r#"{{"type":"T","pn":"a","sn":"b","rev":"1","processCode":10,"result":"P","machineName":"m","location":"l","purpose":"p",
            "start":"2026-01-30T12:00:00Z","root":{{"stepType":"SequenceCall","name":"r","steps":[{step}]}}}}"#
        );
        let faults = validate::validate(&wsjf::read_one(text.as_bytes()).unwrap());
        faults.into_iter().map(|f| f.path).collect::<Vec<_>>()
    };
    assert_eq!(step(r#"{"stepType":"ET_NLT","name":"x"}"#), ["root.steps[0].numericMeas"]);
    assert!(step(r#"{"stepType":"ET_NLT","name":"x","status":"S"}"#).is_empty(), "a skipped step measured nothing");
    assert_eq!(step(r#"{"stepType":"ET_NLT","name":"x","numericMeas":[{},{}]}"#), ["root.steps[0].numericMeas"]);
    assert_eq!(
        step(r#"{"stepType":"ET_MNLT","name":"x","numericMeas":[{"name":"a"},{}]}"#),
        ["root.steps[0].numericMeas[1].name"]
    );
    assert_eq!(
        step(r#"{"stepType":"ET_NLT","name":"x","numericMeas":[{"value":1,"compOp":"gele","lowLimit":0}]}"#),
        ["root.steps[0].numericMeas[0].highLimit"]
    );
    assert!(step(r#"{"stepType":"ACME","name":"x"}"#).is_empty(), "an unknown step type is left alone");
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let text = format!("{}{}", "{\"root\":".repeat(100_000), "1");
    assert!(matches!(wsjf::read(text.as_bytes()), Err(WsjfError::Malformed { .. })));
}

#[test]
fn bytes_that_are_no_text_are_named_by_their_place() {
    assert_eq!(wsjf::read(b"{\"sn\":\"\xe9\"}"), Err(WsjfError::NotText { offset: 7, byte: 0xe9 }));
}

proptest::proptest! {
    /// The fast reader and the one that names all faults agree on what is a report, and on the report.
    #[test]
    fn both_readers_agree(key in "sn|result|root|uut|extra", value in "[1-9][0-9]{0,2}|\"[A-Z]{1,3}\"|null|\\{\\}|\\[\\]|true|\\{\"name\":1\\}|\\{\"name\":\"x\"\\}") {
        let text = format!("{{\"type\":\"T\",\"{key}\":{value}}}");
        let fast = serde_json::from_str::<super::Report>(&text).ok();
        let mut reader = crate::schema::Reader::new();
        let slow = <super::Report as crate::schema::Field>::read(serde_json::from_str(&text).unwrap(), &mut reader);
        proptest::prop_assert_eq!(&fast, &slow);
        proptest::prop_assert_eq!(slow.is_some(), reader.is_clean());
    }
}
