//! The converter against the real files and against what OpenHTF and its users write: here the file as a whole, in `records` and
//! `measurements` their parts.

mod measurements;
mod records;

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use waybill_shared::report::{Num, Report, Status, Step, validate};
use waybill_shared::schema::{Map, Value};

use super::OpenHtf;
use crate::convert::common;
use crate::convert::formats::wsjf::Wsjf;
use crate::convert::{Arguments, Content, ConvertError, Converter as _, Input, Unit};

/// Real files (origin and licence: tests/data/README.md).
const BATTERY: &[u8] = include_bytes!("../../../../../tests/data/openhtf/PCB01A69658.openhtf_test.2025-01-20_15-32-06-058.json");
const HELLO: &[u8] = include_bytes!("../../../../../tests/data/openhtf/1.hello_world.json");
const DIGITAL: &[u8] = include_bytes!("../../../../../tests/data/openhtf/1.json");

type Units = Vec<Result<Unit, ConvertError>>;

fn convert_with(bytes: &[u8], arguments: &Value) -> (Units, Result<(), ConvertError>) {
    let arguments: Map<String, Value> = arguments.as_object().unwrap().clone();
    let modified = "2026-01-30T12:00:00Z".parse().unwrap();
    let input = Input { content: Content::Bytes(bytes), file_name: "x.json", modified, arguments: Arguments::new(&arguments) };
    let mut units = Vec::new();
    let result = OpenHtf.convert(&input, &mut |unit| {
        // What the file lacks is filled in as for every format.
        units.push(unit.and_then(|mut unit| {
            let filled = common::fill(&mut unit.report, &mut unit.notes, &input, &unit.own_hash, true);
            if filled.faults.is_empty() { Ok(unit) } else { Err(ConvertError::Faults(filled.faults)) }
        }));
        ControlFlow::Continue(())
    });
    (units, result)
}

/// Converts a file of one good unit.
fn unit(bytes: &[u8]) -> Unit {
    let (mut units, result) = convert_with(bytes, &json!({"part_number": "PN", "revision": "A", "process_code": 20}));
    assert_eq!((units.len(), result), (1, Ok(())));
    let mut unit = units.remove(0).unwrap();
    unit.report.fill_station("ST", "Line", "Test");
    assert_eq!(validate::validate(&unit.report), []);
    unit
}

/// A record with one phase of these measurements.
fn record(measurements: &Value) -> Value {
    json!({"dut_id": "SN1", "start_time_millis": 1_000, "end_time_millis": 3_500, "outcome": "PASS", "outcome_details": [],
        "metadata": {"test_name": "t"}, "station_id": "S",
        "phases": [{"name": "p", "outcome": "PASS", "result": {"phase_result": "CONTINUE"}, "measurements": measurements}]})
}

/// The unit of a record, changed.
fn changed(change: impl FnOnce(&mut Value)) -> Unit {
    let mut record = record(&json!({}));
    change(&mut record);
    unit(record.to_string().as_bytes())
}

fn root(report: &Report) -> &Step {
    report.root.as_ref().unwrap()
}

fn phases(report: &Report) -> &[Step] {
    root(report).steps.as_deref().unwrap()
}

fn text(step: &Step) -> &str {
    step.report_text.as_deref().unwrap_or_default()
}

fn num(text: &str) -> Option<Num> {
    Num::parse(text)
}

fn log(report: &Report) -> String {
    let log = &report.binary_data.as_ref().unwrap()[0];
    String::from_utf8(BASE64.decode(log.data.as_deref().unwrap()).unwrap()).unwrap()
}

#[test]
fn the_battery_record_arrives_whole() {
    let (mut units, result) = convert_with(BATTERY, &json!({}));
    assert_eq!((units.len(), result), (1, Ok(())));
    let Unit { mut report, own_hash, notes } = units.remove(0).unwrap();
    let raw = std::str::from_utf8(BATTERY).unwrap().trim();
    assert_eq!(own_hash, *blake3::hash(raw.as_bytes()).as_bytes());
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("it has no number of an operation: 10 is used"), "{notes:?}");

    assert_eq!(report.kind.as_deref(), Some("T"));
    assert_eq!(report.sn.as_deref(), Some("PCB01A69658"));
    assert_eq!(report.pn.as_deref(), Some("BAT1"));
    assert_eq!(report.rev.as_deref(), Some("3.2"));
    assert_eq!(report.process_code, Some(10));
    assert_eq!(report.result, Some(Status::Passed));
    assert_eq!(report.machine_name.as_deref(), Some("Station1.local"));
    assert_eq!(report.start.as_deref(), Some("2025-01-20T14:32:06.058+00:00"));
    assert_eq!(report.start_utc.as_deref(), Some("2025-01-20T14:32:06.058Z"));
    let uut = report.uut.as_ref().unwrap();
    assert_eq!((uut.batch_sn.as_deref(), uut.exec_time.clone()), (Some("11-24"), num("14.048")));
    let misc: Vec<_> =
        report.misc_infos.iter().flatten().map(|m| (m.description.as_deref().unwrap(), m.text.as_deref().unwrap())).collect();
    assert_eq!(misc, [("procedure_id", "FVT4"), ("procedure_name", "Battery Assembly Testing"), ("part_name", "Battery")]);
    let call = root(&report).seq_call.as_ref().unwrap();
    assert_eq!((call.name.as_deref(), call.version.as_deref()), (Some("openhtf_test"), None));
    assert!(text(root(&report)).contains("metadata.config.station_id: Station1.local"));
    assert_eq!(log(&report).lines().count(), 58);
    assert!(log(&report).starts_with("2025-01-20T14:32:06.057Z DEBUG openhtf."), "{}", log(&report));

    report.fill_station("ST", "Line", "Test");
    assert_eq!(report.machine_name.as_deref(), Some("Station1.local"));
    assert_eq!(validate::validate(&report), []);
    assert_eq!((report.steps().count(), report.measurement_count()), (1 + 11 + 11, 11));
    compare_with_json(&report, &serde_json::from_slice(BATTERY).unwrap());
}

#[test]
fn the_battery_measurements_are_those_of_the_file() {
    let report = unit(BATTERY).report;
    let found: Vec<_> = report.steps().filter(|step| step.measurement_count() > 0).map(row).collect();
    let expected = [
        "firmware_version ET_SVT P CASESENSIT 1.4.3 1.4.3",
        "led_status ET_PFT P",
        "input_voltage ET_NLT P GELE 4.83 V 4.5 5",
        "output_voltage ET_NLT P GELE 3.35 V 3.2 3.4",
        "current_protection_triggered ET_NLT P LE 1.352 A 1.5",
        "efficiency ET_NLT P GELE 92.0 % 85 98",
        "power_mode_functional ET_SVT P CASESENSIT on on",
        "bool ET_PFT P",
        "text ET_SVT P CASESENSIT 1.2.7 1.2.7",
        "numeric ET_NLT P GELE 22.88 °C 20 25",
        "numeric2 ET_NLT P GE 97.3 % 95",
    ];
    assert_eq!(found, expected);
}

/// Name, type, verdicts, comparator, value, unit, limits of a step with one measurement.
fn row(step: &Step) -> String {
    let status = step.status.unwrap();
    let mut parts = vec![step.name.clone(), step.step_type.clone(), Some(status.letter().to_owned())];
    for meas in step.numeric_meas.iter().flatten() {
        assert_eq!(meas.status, Some(status));
        let number = |num: &Option<Num>| num.as_ref().map(ToString::to_string);
        parts.extend([
            meas.comp_op.clone(),
            number(&meas.value),
            meas.unit.clone(),
            number(&meas.low_limit),
            number(&meas.high_limit),
        ]);
    }
    for meas in step.string_meas.iter().flatten() {
        assert_eq!(meas.status, Some(status));
        parts.extend([meas.comp_op.clone(), meas.value.clone(), meas.limit.clone()]);
    }
    for meas in step.boolean_meas.iter().flatten() {
        assert_eq!(meas.status, Some(status));
    }
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_other_real_records_arrive_whole() {
    let arguments = json!({"part_number": "PN", "process_code": 42});
    for (bytes, name, version, station, logged) in [
        (HELLO, "openhtf_test", None, "jonas-asus", 17),
        (DIGITAL, "FileTransferAPILogTest", Some("1.0.0"), "LT2_5CG9322NW2", 14),
    ] {
        let (mut units, result) = convert_with(bytes, &arguments);
        assert_eq!((units.len(), result), (1, Ok(())));
        let Unit { mut report, notes, .. } = units.remove(0).unwrap();
        assert_eq!(notes.len(), 1, "only the revision is missing: {notes:?}");
        assert_eq!((report.sn.as_deref(), report.pn.as_deref(), report.rev.as_deref()), (Some("1"), Some("PN"), Some("1")));
        assert_eq!((report.process_code, report.result), (Some(42), Some(Status::Passed)));
        assert_eq!(report.machine_name.as_deref(), Some(station));
        let call = root(&report).seq_call.as_ref().unwrap();
        assert_eq!((call.name.as_deref(), call.version.as_deref()), (Some(name), version));
        assert_eq!((report.steps().count(), report.measurement_count()), (1 + 2 + 1, 1));
        assert_eq!(log(&report).lines().count(), logged);
        report.fill_station("ST", "Line", "Test");
        assert_eq!(validate::validate(&report), []);
        compare_with_json(&report, &serde_json::from_slice(bytes).unwrap());
    }
    let hello = unit(HELLO).report;
    assert_eq!(row(&phases(&hello)[1].steps.as_ref().unwrap()[0]), "hello_world_measurement ET_SVT P LOG Hello Again!");
    assert_eq!(text(&phases(&hello)[0]), "options.timeout_s: 86400");
    let digital = unit(DIGITAL).report;
    let step = &phases(&digital)[1].steps.as_ref().unwrap()[0];
    assert_eq!(row(step), "DIGITAL_TEST_1 ET_PFT P");
    assert_eq!(text(step), "measured_value: True\nvalidator: 'x' is equal to 'True'");
}

/// Every phase, measurement, value, limit, unit, time and log line of the file, read a second way, is in the report.
fn compare_with_json(report: &Report, file: &Value) {
    let phases = phases(report);
    assert_eq!(phases.len(), file["phases"].as_array().unwrap().len());
    for (step, phase) in phases.iter().zip(file["phases"].as_array().unwrap()) {
        assert_eq!(step.name.as_deref(), phase["name"].as_str());
        assert_eq!(step.status, Status::parse(phase["outcome"].as_str().unwrap()));
        let millis = |key: &str| phase[key].as_i64().unwrap();
        let took = millis("end_time_millis") - millis("start_time_millis");
        assert_eq!((step.tot_time.as_ref().unwrap().as_f64() * 1000.0).round(), took as f64);
        let start: jiff::Timestamp = step.start.as_deref().unwrap().parse().unwrap();
        assert_eq!(start.as_millisecond(), millis("start_time_millis"));
        let measurements = phase["measurements"].as_object().unwrap();
        assert_eq!(step.steps.as_ref().unwrap().len(), measurements.len());
        for (step, (name, measurement)) in step.steps.iter().flatten().zip(measurements) {
            assert_eq!(step.name.as_ref(), Some(name));
            compare_measurement(step, measurement);
        }
    }
    let log = log(report);
    for line in file["log_records"].as_array().unwrap() {
        assert!(log.contains(line["message"].as_str().unwrap()) && log.contains(line["logger_name"].as_str().unwrap()));
    }
}

fn compare_measurement(step: &Step, measurement: &Value) {
    assert_eq!(step.status, Status::parse(measurement["outcome"].as_str().unwrap()));
    let validator = measurement["validators"][0].as_str();
    match &measurement["measured_value"] {
        Value::Number(number) => {
            let meas = &step.numeric_meas.as_ref().unwrap()[0];
            assert_eq!(meas.value.as_ref().unwrap().to_string(), number.to_string());
            assert_eq!(meas.unit.as_deref(), measurement["units"]["suffix"].as_str());
            let limits: Vec<_> = [&meas.low_limit, &meas.high_limit].into_iter().flatten().map(ToString::to_string).collect();
            let said: Vec<_> = validator.unwrap().split(" <= ").filter(|operand| *operand != "x").collect();
            assert_eq!(limits, said);
        }
        Value::Bool(value) => {
            assert_eq!(step.boolean_meas.as_ref().unwrap().len(), 1);
            assert!(text(step).to_lowercase().contains(&format!("measured_value: {value}")));
            assert!(text(step).contains(validator.unwrap()));
        }
        Value::String(value) => {
            assert_eq!(step.string_meas.as_ref().unwrap()[0].value.as_ref(), Some(value));
            assert!(validator.is_none_or(|validator| text(step).contains(validator)));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_cut_file_is_incomplete_wherever_it_is_cut() {
    for bytes in [BATTERY, HELLO, DIGITAL] {
        let whole = bytes.trim_ascii_end().len();
        for cut in (0..whole).step_by(13).chain([whole - 1]) {
            let (units, result) = convert_with(&bytes[..cut], &json!({"part_number": "PN"}));
            assert!(units.is_empty(), "cut at {cut}");
            let Err(ConvertError::Incomplete { place, .. }) = result else { panic!("cut at {cut}: {result:?}") };
            assert!(place.starts_with("line ") && place.contains(", column "), "{place}");
        }
    }
    let numbers = br#"{"dut_id": "a", "phases": [], "v": [-1.5e-3, NaN, -Infinity]}"#;
    for cut in 0..numbers.len() {
        let (_, result) = convert_with(&numbers[..cut], &json!({}));
        assert!(matches!(result, Err(ConvertError::Incomplete { .. })), "cut at {cut}: {result:?}");
    }
}

#[test]
fn garbage_is_malformed_and_says_where() {
    let place = |bytes: &[u8]| match convert_with(bytes, &json!({})) {
        (units, Err(ConvertError::Malformed { place, .. })) if units.is_empty() => place,
        (mut units, Ok(())) if units.len() == 1 => match units.remove(0) {
            Err(ConvertError::Malformed { place, .. }) => place,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(place(b"sn,value\n1,2\n"), "line 1, column 1");
    assert_eq!(place(b"{\"dut_id\":\n \"a\",, }"), "line 2, column 6");
    assert_eq!(place(b"{\"dut_id\": \"\xe9\"}"), "byte 12");
    assert_eq!(place(b" \n {\"sn\": 1}"), "line 2, column 2");
    assert_eq!(place(b"5"), "line 1, column 1");
    assert_eq!(place(b"\n{\"dut_id\": \"\\ud800\"}"), "line 2, column 19");
    let deep = format!("{{\"dut_id\": {}{}}}", "[".repeat(5000), "]".repeat(5000));
    assert!(place(deep.as_bytes()).starts_with("line 1, column "));
}

#[test]
fn every_encoding_gives_the_same_unit() {
    let battery = std::str::from_utf8(BATTERY).unwrap();
    let plain = unit(BATTERY);
    let utf8 = [&[0xef, 0xbb, 0xbf], BATTERY].concat();
    let little: Vec<u8> = [0xff, 0xfe].into_iter().chain(battery.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(battery.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    for bytes in [utf8, little, big] {
        assert!(OpenHtf.sniff(&crate::convert::Head::new(&bytes)) > Wsjf.sniff(&crate::convert::Head::new(&bytes)) && OpenHtf.sniff(&crate::convert::Head::new(&bytes)) > 90);
        assert_eq!(unit(&bytes), plain);
    }
}

#[test]
fn several_records_of_a_file_are_several_units_and_a_bad_one_loses_none() {
    let numbered = |sn: Value| {
        let mut record = record(&json!({}));
        record["dut_id"] = sn;
        record
    };
    let (a, bad, b) = (numbered(json!("A")), numbered(json!(null)), numbered(json!("B")));
    let pretty = |record: &Value| serde_json::to_string_pretty(record).unwrap();
    for file in [
        format!("{a}{bad}{b}"),
        format!("{a}\n{bad}\n{b}\n"),
        format!("{}\r\n\r\n{}\r\n{}", pretty(&a), pretty(&bad), pretty(&b)),
        format!("[{a}, {bad}, {b}]"),
    ] {
        let (units, result) = convert_with(file.as_bytes(), &json!({"part_number": "P"}));
        assert_eq!((units.len(), result), (3, Ok(())));
        let sn = |index: usize| units[index].as_ref().unwrap().report.sn.clone().unwrap();
        assert_eq!((sn(0), sn(2)), ("A".to_owned(), "B".to_owned()));
        assert_ne!(units[0].as_ref().unwrap().own_hash, units[2].as_ref().unwrap().own_hash);
        let Err(ConvertError::Faults(faults)) = &units[1] else { panic!() };
        assert_eq!(faults[0].path, "sn");
    }
    for (rest, incomplete) in [("{\"dut_id\": \"C", true), ("garbage", false)] {
        let (units, result) = convert_with(format!("{a}\n{rest}").as_bytes(), &json!({"part_number": "P"}));
        assert!(units.len() == 1 && units[0].is_ok(), "what is whole is handed over before the rest is refused");
        assert_eq!(matches!(result, Err(ConvertError::Incomplete { .. })), incomplete);
        assert_eq!(matches!(result, Err(ConvertError::Malformed { .. })), !incomplete);
    }
}

#[test]
fn a_unit_has_the_same_hash_alone_and_among_others() {
    let hash = |bytes: &[u8]| convert_with(bytes, &json!({"part_number": "P"})).0[0].as_ref().unwrap().own_hash;
    let (one, other) = (record(&json!({})), record(&json!({"m": {"outcome": "PASS", "measured_value": 1}})));
    let nan = other.to_string().replace("\"measured_value\":1", "\"measured_value\":NaN");
    assert_eq!(hash(one.to_string().as_bytes()), hash(format!("{one}\n{other}\n{nan}").as_bytes()));
    assert_ne!(hash(one.to_string().as_bytes()), hash(other.to_string().as_bytes()));
}

#[test]
fn a_sink_that_has_enough_stops_the_conversion() {
    let arguments = Map::new();
    let modified = "2026-01-30T12:00:00Z".parse().unwrap();
    let input = Input { content: Content::Bytes(BATTERY), file_name: "x.json", modified, arguments: Arguments::new(&arguments) };
    assert_eq!(OpenHtf.convert(&input, &mut |_| ControlFlow::Break(())), Err(ConvertError::Stopped));
}

#[test]
fn long_texts_are_cut_with_a_note_and_stand_whole_in_the_report_text() {
    let long = |letter: &str| letter.repeat(600);
    let unit = changed(|record| {
        record["metadata"] = json!({"test_name": long("t"), "test_version": long("v"), "info": long("i"), "operator": long("o")});
        record["station_id"] = json!(long("s"));
        record["phases"][0]["name"] = json!(long("p"));
        record["phases"][0]["measurements"] = json!({long("m"): {"outcome": "PASS", "measured_value": long("w")}});
    });
    let root = root(&unit.report);
    for letter in ["t", "v", "i", "o", "s"] {
        assert!(text(root).contains(&long(letter)), "{letter}");
    }
    let phase = &phases(&unit.report)[0];
    let step = &phase.steps.as_ref().unwrap()[0];
    assert!(text(phase).contains(&long("p")) && text(step).contains(&long("m")));
    assert_eq!(step.string_meas.as_ref().unwrap()[0].value.as_deref(), Some(long("w").as_str()), "a value is never cut");
    assert!(
        unit.notes.iter().any(
            |note| note == "phases[0]: the name has 600 characters and was cut to 100; the whole of it is in the report text"
        )
    );

    let mut record = record(&json!({}));
    record["dut_id"] = json!(long("s"));
    let (units, _) = convert_with(record.to_string().as_bytes(), &json!({"part_number": long("p")}));
    let report = &units[0].as_ref().unwrap().report;
    assert_eq!(
        (report.sn.as_ref(), report.pn.as_ref()),
        (Some(&long("s")), Some(&long("p"))),
        "the identity is never cut: it is refused"
    );
}

/// A record with every key, known and unknown; each `@` is a text of its own.
const EVERY_KEY: &str = r#"{
    "dut_id": @, "start_time_millis": 1000, "end_time_millis": 2000, "outcome": "FAIL", "marginal": true, "station_id": @,
    "outcome_details": [{"code": @, "description": @}, {"code": 1, "description": @, "new": @}, @],
    "metadata": {"test_name": @, "test_version": @, "part_number": @, "pn": @, "revision": @, "batch": @,
        "operator": @, "user": @, "procedure_id": @, "other": @, "list": [@], "config": {"a": @, "b": {"c": @}}},
    "phases": [{
        "name": @, "outcome": "FAIL", "start_time_millis": 1000, "end_time_millis": 2000, "marginal": true, "subtest_name": @,
        "result": {"phase_result": @, "new": @}, "options": {"timeout_s": @, "new": @}, "diagnosers": [{"name": @}],
        "diagnosis_results": [@], "failure_diagnosis_results": [@], "codeinfo": {"name": @, "docstring": @, "sourcecode": @},
        "new": @, "attachments": {"att": {"mimetype": @, "data": "aGk=", "sha1": @, "new": @}},
        "measurements": {
            "n": {"name": @, "outcome": "FAIL", "measured_value": 123456, "validators": ["x <= 654321", @], "docstring": @,
                "units": {"name": @, "code": @, "suffix": @, "new": @}, "conditional_validators": [{"validator": @}], "new": @},
            "s": {"outcome": "PASS", "measured_value": @, "validators": [@, @], "units": @},
            "b": {"outcome": "PASS", "measured_value": true, "validators": [@], "units": @},
            "c": {"outcome": "PASS", "measured_value": [[777777, 888888]], "units": {"suffix": @, "name": @}, "validators": [@],
                "dimensions": [{"description": @, "name": @, "code": @, "suffix": @, "new": @}]},
            "u": {"outcome": "UNSET", "validators": [@], "units": @}
        }
    }],
    "subtests": [{"name": @}], "branches": [{"name": @}], "checkpoints": [@], "diagnosers": [@],
    "diagnoses": [{"result": @, "description": @}], "code_info": {"name": @, "docstring": @, "sourcecode": @},
    "log_records": [{"level": 20, "logger_name": @, "source": @, "lineno": 5, "timestamp_millis": 5000, "message": @, "new": @}, @],
    "new": @, "new_object": {"a": [@]}
}"#;

/// [`EVERY_KEY`] with its texts, and the number of the last one.
fn marked() -> (String, usize) {
    let mut count = 9000;
    let marks = |part: &str| {
        count += 1;
        format!("{part}\"mark{count}\"")
    };
    let (parts, last) = EVERY_KEY.rsplit_once('@').unwrap();
    let record = parts.split('@').map(marks).chain([last.to_owned()]).collect();
    (record, count)
}

/// Every text and number of a record that uses every key, known and unknown, is found in the report.
#[test]
fn nothing_of_a_record_is_dropped_silently() {
    let (record, count) = marked();
    let unit = unit(record.as_bytes());
    let written = serde_json::to_string(&unit.report).unwrap() + &log(&unit.report);
    for mark in 9001..=count {
        assert!(written.contains(&format!("mark{mark}")), "mark{mark} of {record}");
    }
    for number in ["123456", "654321", "777777", "888888", "marginal: true"] {
        assert!(written.contains(number), "{number}");
    }
}

#[test]
fn its_files_are_recognised_and_others_are_not() {
    for bytes in [BATTERY, HELLO, DIGITAL] {
        assert_eq!((OpenHtf.sniff(&crate::convert::Head::new(bytes)), Wsjf.sniff(&crate::convert::Head::new(bytes))), (97, 0));
    }
    assert_eq!(OpenHtf.sniff(&crate::convert::Head::new(&BATTERY[..60])), 70);
    let wsjf = include_bytes!("../../../../../tests/data/wsjf/full.json");
    assert!(OpenHtf.sniff(&crate::convert::Head::new(wsjf)) < Wsjf.sniff(&crate::convert::Head::new(wsjf)));
    assert_eq!((OpenHtf.sniff(&crate::convert::Head::new(b"")), OpenHtf.sniff(&crate::convert::Head::new(b"sn;pn\n1;2"))), (0, 0));
}

/// Every place of a record in turn holds a value of every type: what comes out is a valid report or a list of faults.
#[test]
fn a_value_of_any_type_in_any_place_is_a_report_or_a_fault() {
    let record: Value = serde_json::from_str(&marked().0).unwrap();
    let mut pointers = Vec::new();
    collect_pointers(&record, String::new(), &mut pointers);
    assert!(pointers.len() > 120);
    let (mut reports, mut refused) = (0, 0);
    for pointer in pointers {
        for value in
            [json!(null), json!(true), json!(-1.5), json!(""), json!("x"), json!([]), json!([[1, 2]]), json!({}), json!({"a": 1})]
        {
            let mut record = record.clone();
            *record.pointer_mut(&pointer).unwrap() = value.clone();
            let (units, _) = convert_with(record.to_string().as_bytes(), &json!({"part_number": "P"}));
            for unit in units {
                match unit {
                    Ok(mut unit) => {
                        unit.report.fill_station("ST", "Line", "Test");
                        assert_eq!(validate::validate(&unit.report), [], "{pointer} = {value}");
                        reports += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(reports > 500 && refused > 100, "{reports} reports, {refused} refused");
}

fn collect_pointers(value: &Value, at: String, pointers: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in inner {
        collect_pointers(value, format!("{at}/{key}"), pointers);
    }
    pointers.push(at);
}
