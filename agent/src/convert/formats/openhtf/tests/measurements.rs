//! Measurements: values, limits, units, charts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use waybill_shared::report::{Num, NumericMeas, Status, Step};
use waybill_shared::schema::Value;

use super::{changed, num, phases, record, row, text, unit};

/// The step of a measurement `m`, and the notes.
fn measured(measurement: &Value) -> (Step, Vec<String>) {
    let unit = unit(record(&json!({"m": measurement})).to_string().as_bytes());
    let step = phases(&unit.report)[0].steps.as_ref().unwrap()[0].clone();
    let ours = |note: &String| note.starts_with("phases");
    (step, unit.notes.into_iter().filter(ours).collect())
}

fn numeric(measurement: &Value) -> NumericMeas {
    measured(measurement).0.numeric_meas.unwrap().remove(0)
}

#[test]
fn a_verdict_is_never_changed_and_a_contradiction_is_noted() {
    for (outcome, value, validators, noted) in [
        ("PASS", json!(6), json!(["4 <= x <= 5"]), true),
        ("FAIL", json!(4.5), json!(["4 <= x <= 5"]), true),
        ("FAIL", json!(4.5), json!(["4 <= x <= 5", "is even"]), false),
        ("PASS", json!(4.5), json!(["4 <= x <= 5"]), false),
        ("FAIL", json!(6), json!(["4 <= x <= 5"]), false),
        ("FAIL", json!(6), json!([]), false),
        ("PASS", json!(false), json!(["x == True"]), true),
        ("PASS", json!(false), json!(["x == False"]), false),
        ("FAIL", json!(true), json!(["x == True"]), true),
        ("PASS", json!("a"), json!(["'x' is equal to 'b'"]), true),
        ("FAIL", json!("b"), json!(["'x' matches /^b$/"]), true),
        ("FAIL", json!("b"), json!(["'x' matches /b/"]), false),
    ] {
        let (step, notes) = measured(&json!({"outcome": outcome, "measured_value": value, "validators": validators}));
        assert_eq!(step.status, Status::parse(outcome));
        assert_eq!(notes.iter().any(|note| note.contains("although")), noted, "{outcome} {value} {validators}: {notes:?}");
    }
    let conditional = json!({"outcome": "FAIL", "measured_value": 4, "validators": ["x == 4"],
        "conditional_validators": [{"result": "HOT", "validator": "x == 5"}]});
    let (step, notes) = measured(&conditional);
    assert!(
        notes.is_empty() && text(&step).contains(r#"conditional_validators: [{"result":"HOT","validator":"x == 5"}]"#),
        "{notes:?}"
    );
}

#[test]
fn several_validators_become_one_comparator_where_one_can_say_it() {
    let meas = numeric(&json!({"outcome": "PASS", "measured_value": 4, "validators": ["x < 5", "is even", "3 <= x"]}));
    assert_eq!((meas.comp_op.as_deref(), meas.low_limit, meas.high_limit), (Some("GELT"), num("3"), num("5")));
    let (step, notes) = measured(&json!({"outcome": "PASS", "measured_value": 4, "validators": ["x < 5", "x < 6", "is even"]}));
    let meas = &step.numeric_meas.as_ref().unwrap()[0];
    assert_eq!((meas.comp_op.as_deref(), meas.low_limit.clone(), meas.high_limit.clone()), (Some("LT"), num("5"), None));
    assert_eq!(text(&step), "validator: x < 5\nvalidator: x < 6\nvalidator: is even");
    assert!(notes[0].contains("more limits than one comparator can say"), "{notes:?}");
}

#[test]
fn units_of_measure_are_found_under_every_key() {
    for (units, expected, lines) in [
        (json!({"units": {"name": "volt", "code": "VLT", "suffix": "V"}}), Some("V"), "unit: volt (VLT)"),
        (json!({"units": {"name": "lift", "code": "05", "suffix": ""}}), Some("05"), "unit: lift"),
        (json!({"units": {"name": "widget", "code": null, "suffix": null}}), Some("widget"), "unit: widget"),
        (json!({"units": {"name": "No dimension", "code": "NDL", "suffix": null}}), None, ""),
        (json!({"units": {"uom_code": "VLT"}}), Some("VLT"), ""),
        (json!({"uom_code": "VLT"}), Some("VLT"), ""),
        (json!({"units": null, "uom_code": "VLT"}), Some("VLT"), ""),
        (json!({"units": "mV"}), Some("mV"), ""),
        (json!({"units": null}), None, ""),
    ] {
        let mut measurement = json!({"outcome": "PASS", "measured_value": 1});
        measurement.as_object_mut().unwrap().extend(units.as_object().unwrap().clone());
        let (step, _) = measured(&measurement);
        assert_eq!(step.numeric_meas.as_ref().unwrap()[0].unit.as_deref(), expected, "{units}");
        assert_eq!(text(&step), lines, "{units}");
    }
}

#[test]
fn nan_and_infinity_arrive_as_numbers() {
    let file = record(&json!({"m": {"outcome": "FAIL", "measured_value": "VALUE", "validators": ["x <= 5"]}})).to_string();
    for (written, expected) in [
        ("NaN", Num::NaN),
        ("Infinity", Num::Infinity),
        ("-Infinity", Num::NegInfinity),
        ("\"nan\"", Num::NaN),
        ("\"inf\"", Num::Infinity),
        ("\"-inf\"", Num::NegInfinity),
    ] {
        let unit = unit(file.replace("\"VALUE\"", written).as_bytes());
        let step = &phases(&unit.report)[0].steps.as_ref().unwrap()[0];
        assert_eq!(step.numeric_meas.as_ref().unwrap()[0].value, Some(expected), "{written}");
    }
    let (step, _) = measured(&json!({"outcome": "PASS", "measured_value": "nan"}));
    assert_eq!(row(&step), "m ET_SVT P LOG nan", "a text of a measurement that is not numeric stays a text");
}

#[test]
fn numbers_keep_their_digits() {
    let file = record(&json!({"m": {"outcome": "PASS", "measured_value": "VALUE"}})).to_string();
    for digits in ["5.50", "0.10000000000000000001", "123456789012345678901234567890", "-0.0"] {
        let unit = unit(file.replace("\"VALUE\"", digits).as_bytes());
        let step = &phases(&unit.report)[0].steps.as_ref().unwrap()[0];
        assert_eq!(step.numeric_meas.as_ref().unwrap()[0].value.as_ref().unwrap().to_string(), digits);
    }
}

#[test]
fn other_values_arrive_as_their_json() {
    for (value, text) in [(json!([1, "a"]), "[1,\"a\"]"), (json!({"a": 1}), "{\"a\":1}"), (json!(null), "null"), (json!(""), "")]
    {
        let (step, _) = measured(&json!({"outcome": "PASS", "measured_value": value}));
        assert_eq!(step.step_type.as_deref(), Some("ET_SVT"));
        assert_eq!(step.string_meas.unwrap()[0].value.as_deref(), Some(text));
    }
}

#[test]
fn one_dimension_is_a_chart_and_more_are_an_attachment() {
    let dimension = json!({"code": "HTZ", "description": "Frequency", "name": "Frequency", "suffix": "Hz"});
    let level = json!({"name": "decibel", "code": "2N", "suffix": "dB"});
    let (step, _) = measured(&json!({"outcome": "PASS", "dimensions": [dimension], "units": level,
        "validators": ["All values pass: -3 <= x <= 1"], "measured_value": [[10, 0.50], [100, -1], ["inf", "nan"]]}));
    assert_eq!((step.step_type.as_deref(), step.status), (Some("WATS_XYGMNLT"), Some(Status::Passed)));
    let chart = step.chart.as_ref().unwrap();
    assert_eq!(
        (chart.x_label.as_deref(), chart.x_unit.as_deref(), chart.y_unit.as_deref()),
        (Some("Frequency"), Some("Hz"), Some("dB"))
    );
    let series = &chart.series.as_ref().unwrap()[0];
    assert_eq!(series.data_type.as_deref(), Some("XYG"));
    assert_eq!((series.xdata.as_deref(), series.ydata.as_deref()), (Some("10;100;Infinity"), Some("0.5;-1;NaN")));
    assert!(text(&step).contains("validator: All values pass: -3 <= x <= 1"));

    let points: Vec<_> = (0..10_001).map(|x| json!([x, x])).collect();
    for (dimensions, rows) in [
        (json!([dimension, {"suffix": "V", "code": "VLT"}]), json!([[1, 2, 3.5], [1, 3, 4]])),
        (json!([dimension]), json!([["a", 1]])),
        (json!([dimension]), json!([[1, true]])),
        (json!([dimension]), json!([[1, 2], [3]])),
        (json!([dimension]), json!([])),
        (json!([dimension]), Value::Array(points)),
    ] {
        let (step, _) = measured(&json!({"outcome": "FAIL", "dimensions": dimensions, "measured_value": rows}));
        assert_eq!((step.step_type.as_deref(), step.status), (Some("ET_A"), Some(Status::Failed)));
        let attachment = step.attachment.as_ref().unwrap();
        assert_eq!((attachment.name.as_deref(), attachment.content_type.as_deref()), (Some("m.json"), Some("application/json")));
        let document: Value = serde_json::from_slice(&BASE64.decode(attachment.data.as_ref().unwrap()).unwrap()).unwrap();
        assert_eq!((&document["measured_value"], &document["dimensions"]), (&rows, &dimensions));
    }
}

#[test]
fn an_unset_measurement_is_skipped_or_failed_and_keeps_its_limits() {
    let (step, _) = measured(&json!({"outcome": "UNSET", "validators": ["1 <= x <= 2"], "units": "V"}));
    assert_eq!(row(&step), "m ET_NLT S GELE NaN V 1 2");
    assert!(text(&step).contains("no value was measured") && text(&step).contains("outcome: UNSET"));
    let (step, _) = measured(&json!({"outcome": "SKIPPED", "measured_value": null, "validators": ["x == True"]}));
    assert_eq!(row(&step), "m ET_PFT S");
    let (step, _) = measured(&json!({"outcome": "UNSET", "validators": ["'x' is equal to 'a'"]}));
    assert_eq!(row(&step), "m ET_SVT S CASESENSIT a");
    let (step, _) = measured(&json!({"outcome": "FAIL"}));
    assert_eq!(row(&step), "m ET_SVT F LOG");

    let statuses = |result: &str, other: &str| {
        let unit = changed(|record| {
            record["phases"][0]["outcome"] = json!("FAIL");
            record["phases"][0]["result"]["phase_result"] = json!(result);
            record["phases"][0]["measurements"] =
                json!({"a": {"outcome": "UNSET"}, "b": {"outcome": other, "measured_value": 1}});
        });
        phases(&unit.report)[0].steps.iter().flatten().map(|step| step.status.unwrap().letter()).collect::<String>()
    };
    assert_eq!(statuses("CONTINUE", "PASS"), "FP", "the phase failed, and only the unset measurement can be why");
    assert_eq!(statuses("CONTINUE", "FAIL"), "SF", "another one is why");
    assert_eq!(statuses("FAIL_AND_CONTINUE", "PASS"), "SP", "the phase said so itself");
}

#[test]
fn a_string_has_the_limit_of_the_first_validator_that_compares() {
    let (step, _) =
        measured(&json!({"outcome": "PASS", "measured_value": "a", "validators": ["is short", "'x' is equal to 'a'"]}));
    assert_eq!(row(&step), "m ET_SVT P CASESENSIT a a");
    assert_eq!(text(&step), "validator: is short\nvalidator: 'x' is equal to 'a'");
    let (step, _) = measured(&json!({"outcome": "PASS", "measured_value": "a", "validators": ["is short"]}));
    assert_eq!(row(&step), "m ET_SVT P LOG a is short");
}

#[test]
fn dimensions_of_what_is_no_list_are_kept() {
    let (step, _) = measured(&json!({"outcome": "UNSET", "dimensions": [{"suffix": "Hz"}], "units": "V"}));
    assert!(row(&step).starts_with("m ET_NLT S LOG NaN V") && text(&step).contains("dimensions: [{\"suffix\":\"Hz\"}]"));
}
