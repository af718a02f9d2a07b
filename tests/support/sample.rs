//! Reports of the shape that real test programs write, each with values of its own.
//!
//! The same number gives the same bytes in every run: a test can issue reports in one process and look for them in another.

use base64::Engine as _;
use fastrand::Rng;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Number, Value, json};
use uuid::Uuid;

/// The id of the `n`-th report, as the file and the server write it.
#[must_use]
pub fn sample_id(n: u64) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("waybill sample {n}").as_bytes()).to_string()
}

/// The serial number of the `n`-th report.
#[must_use]
pub fn sample_serial(n: u64) -> String {
    format!("SN-{n:08}")
}

/// The `n`-th report: its id and a WSJF file of about 1.8 KB. Every tenth unit fails.
#[must_use]
pub fn sample_report(n: u64) -> (String, Vec<u8>) {
    (sample_id(n), bytes(&sample_value(n)))
}

/// The `n`-th report without an id, so that Waybill has to derive one.
#[must_use]
pub fn report_without_id(n: u64) -> Vec<u8> {
    let mut report = sample_value(n);
    report.as_object_mut().expect("an object").shift_remove("id");
    bytes(&report)
}

/// One file that holds several reports: their ids, and a JSON array of them.
#[must_use]
pub fn several_reports(numbers: impl IntoIterator<Item = u64>) -> (Vec<String>, Vec<u8>) {
    let (ids, values): (Vec<_>, Vec<_>) = numbers.into_iter().map(|n| (sample_id(n), sample_value(n))).unzip();
    (ids, bytes(&Value::Array(values)))
}

/// The `n`-th report with an attachment that makes it at least `size` bytes long and that no compression makes small.
#[must_use]
pub fn large_report(n: u64, size: usize) -> (String, Vec<u8>) {
    let mut random = Rng::with_seed(n);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(size * 3 / 4 + 1).collect();
    let mut report = sample_value(n);
    report["binaryData"] = json!([{
        "name": "capture.bin",
        "contentType": "application/octet-stream",
        "data": base64::engine::general_purpose::STANDARD.encode(noise),
    }]);
    (sample_id(n), bytes(&report))
}

/// A value without what is null in it: a report that came may say so of what was never said.
#[must_use]
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            object.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// A file of `tests/data`, for example `wsjf/full.json`.
#[must_use]
#[track_caller]
pub fn data_file(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The `n`-th report as a value, for a test that wants to change it before it writes it.
#[must_use]
pub fn sample_value(n: u64) -> Value {
    let verdict = if fails(n) { "F" } else { "P" };
    let mut measured = measurements(n);
    json!({
        "type": "T",
        "id": sample_id(n),
        "pn": format!("PN-{:04}", 100 + n % 7),
        "sn": sample_serial(n),
        "rev": "B",
        "processCode": 10,
        "result": verdict,
        "machineName": "ICT-01",
        "location": "Line 1",
        "purpose": "Production",
        "start": start(n),
        "uut": {
            "user": "op1",
            "execTime": measured(12.5, 4.0, 3),
            "fixtureId": format!("FX{}", n % 4),
            "testSocketIndex": n % 4,
            "batchSN": format!("B{}", n / 100),
        },
        "miscInfos": [{ "description": "Firmware", "text": format!("1.{}.{}", n % 10, n / 10) }],
        "subUnits": [{ "pn": "PCB-1", "sn": format!("PCB-{n:08}"), "rev": "A", "partType": "PCBA" }],
        "root": {
            "id": 1, "stepType": "SequenceCall", "name": "MainSequence Callback", "group": "M", "status": verdict,
            "totTime": measured(12.0, 3.0, 3),
            "seqCall": { "path": "C:/tests/main.seq", "name": "main.seq", "version": "1.4.2" },
            "steps": steps(n, verdict, &mut measured),
        },
    })
}

/// One step of each common kind: numeric with limits, several numeric, pass/fail, several of them, text, action.
fn steps(n: u64, verdict: &str, measured: &mut impl FnMut(f64, f64, usize) -> Number) -> Value {
    let supply = if fails(n) { number(4.1, 4) } else { measured(5.0, 0.2, 4) };
    let mac = format!("00:1A:{:02X}:{:02X}", n / 256 % 256, n % 256);
    json!([
        { "id": 2, "stepType": "ET_NLT", "name": "Supply 5 V", "group": "S", "status": verdict,
          "totTime": measured(0.2, 0.1, 4),
          "numericMeas": [{ "compOp": "GELE", "status": verdict, "unit": "V", "value": supply,
                            "lowLimit": number(4.5, 1), "highLimit": number(5.5, 1) }] },
        { "id": 3, "stepType": "ET_MNLT", "name": "Rails", "group": "M", "status": "P", "numericMeas": [
          { "name": "3V3", "compOp": "GELE", "status": "P", "unit": "V", "value": measured(3.3, 0.1, 4),
            "lowLimit": number(3.2, 2), "highLimit": number(3.4, 2) },
          { "name": "1V8", "compOp": "LOG", "status": "P", "unit": "V", "value": measured(1.8, 0.05, 4) }] },
        { "id": 4, "stepType": "ET_PFT", "name": "LED", "group": "M", "status": "P", "booleanMeas": [{ "status": "P" }] },
        { "id": 5, "stepType": "ET_MPFT", "name": "Pins", "group": "M", "status": "P",
          "booleanMeas": [{ "name": "pin1", "status": "P" }, { "name": "pin2", "status": "P" }] },
        { "id": 6, "stepType": "ET_SVT", "name": "MAC", "group": "M", "status": "P",
          "stringMeas": [{ "compOp": "LOG", "status": "P", "value": mac }] },
        { "id": 7, "stepType": "ET_MSVT", "name": "Labels", "group": "M", "status": "P", "stringMeas": [
          { "name": "order", "compOp": "IGNORECASE", "status": "P", "value": "PO-4711", "limit": "po-4711" },
          { "name": "lot", "compOp": "LOG", "status": "P", "value": format!("L{}", n / 50) }] },
        { "id": 8, "stepType": "ET_A", "name": "Power down", "group": "C", "status": "D", "reportText": "fixture released" },
    ])
}

fn fails(n: u64) -> bool {
    n % 10 == 9
}

/// Gives values about a middle, within a spread, with so many digits; the same ones for the same report.
fn measurements(n: u64) -> impl FnMut(f64, f64, usize) -> Number {
    let mut random = Rng::with_seed(n);
    move |middle, spread, digits| number(middle + spread * (random.f64() - 0.5), digits)
}

/// One second a unit, in the zone of a station east of Greenwich.
fn start(n: u64) -> String {
    let first: Timestamp = "2026-01-30T11:26:16.977Z".parse().expect("a time");
    let seconds = i64::try_from(n % 10_000_000).expect("fits");
    let zone = TimeZone::fixed(Offset::constant(1));
    (first + SignedDuration::from_secs(seconds)).to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

/// A number with as many digits as an instrument would write, zeros at the end included.
fn number(value: f64, digits: usize) -> Number {
    format!("{value:.digits$}").parse().expect("a number")
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a value is serialisable")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use waybill_shared::report::{validate::validate, wsjf};

    #[test]
    fn samples_are_valid_reports_of_real_size() {
        for n in [0, 1, 9, 10, 12_345, 99_999_999, u64::MAX] {
            let (id, bytes) = sample_report(n);
            let report = wsjf::read_one(&bytes).unwrap();
            assert_eq!(validate(&report), [], "report {n}");
            assert_eq!(report.report_id().unwrap().to_string(), id);
            assert!((1700..2100).contains(&bytes.len()), "report {n} has {} bytes", bytes.len());
            assert_eq!(report.measurement_count(), 9);
        }
    }

    #[test]
    fn samples_differ_from_each_other_and_not_from_run_to_run() {
        let reports: Vec<_> = (0..500).map(sample_report).collect();
        assert_eq!(reports.iter().map(|(id, _)| id).collect::<HashSet<_>>().len(), 500);
        assert_eq!(reports.iter().map(|(_, bytes)| bytes).collect::<HashSet<_>>().len(), 500);
        assert_eq!(reports, (0..500).map(sample_report).collect::<Vec<_>>());
        // Pinned: another run, another machine.
        assert_eq!(sample_id(0), "40e5d3a6-4c2b-5f7d-9606-3be0d779ecc0");
    }

    #[test]
    fn the_waybill_writer_gives_the_same_values_back() {
        let (_, bytes) = sample_report(9);
        let written = wsjf::write(&wsjf::read_one(&bytes).unwrap());
        let (before, after): (Value, Value) =
            (serde_json::from_slice(&bytes).unwrap(), serde_json::from_slice(&written).unwrap());
        assert_eq!(before, after);
    }

    #[test]
    fn variants_are_what_they_say() {
        let (ids, bytes) = several_reports(0..3);
        assert_eq!(ids.len(), 3);
        assert_eq!(wsjf::read(&bytes).unwrap().len(), 3);
        assert!(wsjf::read_valid(&report_without_id(1)).unwrap().id.is_none());
        assert!(wsjf::read_valid(&data_file("wsjf/full.json")).is_ok());
        let (id, bytes) = large_report(4, 300 * 1024);
        assert!(bytes.len() >= 300 * 1024);
        assert_eq!(wsjf::read_valid(&bytes).unwrap().id, Some(id));
    }
}
