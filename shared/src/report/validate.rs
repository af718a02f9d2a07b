//! The rules a report must keep before it is queued: all faults at once, each with its path.
//!
//! Structure and types are the reader's business; here is what the server asks for: required keys, lengths, and the shape
//! of each step's measurements. What the rules do not know (other step types, other keys) they leave alone.

use super::{Report, Status, Step};
use crate::schema::{Fault, FaultKind, Reader};

/// Comparators that use two limits.
const TWO_LIMITS: [&str; 8] = ["GTLT", "GTLE", "GELT", "GELE", "LTGT", "LTGE", "LEGT", "LEGE"];
/// Comparators that use one limit, which stands in `lowLimit`.
const ONE_LIMIT: [&str; 7] = ["EQ", "EQT", "NE", "LT", "LE", "GT", "GE"];

/// All faults of a report; empty if it may be sent. Station name, location and purpose must have been filled in before.
#[must_use]
pub fn validate(report: &Report) -> Vec<Fault> {
    let mut reader = Reader::new();
    header(report, &mut reader);
    match report.kind.as_deref() {
        Some("T") => test(report, &mut reader),
        Some("R") => repair(report, &mut reader),
        Some(other) => reader.in_key("type", |reader| {
            let other = crate::text::printable(other, 20);
            reader.fault(FaultKind::OutOfRange, format!("\"{other}\" is neither \"T\" (test) nor \"R\" (repair)"));
        }),
        None => missing(&mut reader, "type", "\"T\" (test) or \"R\" (repair)"),
    }
    reader.into_faults()
}

fn header(report: &Report, reader: &mut Reader) {
    if let Some(id) = &report.id
        && report.report_id().is_none()
    {
        let id = crate::text::printable(id, 60);
        reader.in_key("id", |reader| reader.fault(FaultKind::OutOfRange, format!("\"{id}\" is no GUID")));
    }
    required(reader, "pn", report.pn.as_ref(), "a part number of 1 to 100 characters");
    required(reader, "sn", report.sn.as_ref(), "a serial number of 1 to 100 characters");
    required(reader, "rev", report.rev.as_ref(), "a revision of 1 to 100 characters");
    required(reader, "machineName", report.machine_name.as_ref(), "the station's name");
    required(reader, "location", report.location.as_ref(), "the station's location");
    required(reader, "purpose", report.purpose.as_ref(), "the station's purpose");
    if report.process_code.is_none() {
        missing(reader, "processCode", "the number of the operation");
    }
    match report.result {
        None => missing(reader, "result", "the verdict on the unit: P, F, D, E or T"),
        Some(Status::Skipped) => reader.in_key("result", |reader| {
            reader.fault(FaultKind::OutOfRange, "a unit cannot be skipped; allowed are P, F, D, E, T");
        }),
        Some(_) => {}
    }
    if report.start.is_none() && report.start_utc.is_none() {
        missing(reader, "start", "the start of the test, ISO 8601 with offset");
    }
    for (key, time) in [("start", &report.start), ("startUTC", &report.start_utc)] {
        if let Some(time) = time {
            reader.in_key(key, |reader| check_time(time, reader));
        }
    }
    report.check_lengths(reader);
    for_each(reader, "miscInfos", report.misc_infos.as_deref(), |item, reader| item.check_lengths(reader));
    for_each(reader, "assets", report.assets.as_deref(), |item, reader| item.check_lengths(reader));
    for_each(reader, "binaryData", report.binary_data.as_deref(), |item, reader| item.check_lengths(reader));
    for_each(reader, "subUnits", report.sub_units.as_deref(), |item, reader| item.check_lengths(reader));
}

fn test(report: &Report, reader: &mut Reader) {
    if let Some(uut) = &report.uut {
        reader.in_key("uut", |reader| uut.check_lengths(reader));
    }
    let Some(root) = &report.root else {
        missing(reader, "root", "the root sequence call");
        return;
    };
    reader.in_key("root", |reader| {
        if !root.is_sequence_call() {
            reader.in_key("stepType", |reader| {
                reader.fault(FaultKind::OutOfRange, "the root must be a SequenceCall or WATS_SeqCall");
            });
        }
        check_step(root, reader);
    });
}

fn repair(report: &Report, reader: &mut Reader) {
    match &report.uur {
        None => missing(reader, "uur", "what was repaired"),
        Some(uur) => reader.in_key("uur", |reader| uur.check_lengths(reader)),
    }
}

fn check_step(step: &Step, reader: &mut Reader) {
    required(reader, "stepType", step.step_type.as_ref(), "the kind of step");
    if step.name.is_none() {
        missing(reader, "name", "the name of the step");
    }
    if let Some(group) = &step.group
        && !matches!(group.as_str(), "S" | "M" | "C")
    {
        let group = crate::text::printable(group, 20);
        reader.in_key("group", |reader| {
            reader.fault(FaultKind::OutOfRange, format!("\"{group}\" is none of S (setup), M (main), C (cleanup)"));
        });
    }
    step.check_lengths(reader);
    if let Some(call) = &step.seq_call {
        reader.in_key("seqCall", |reader| call.check_lengths(reader));
    }
    if let Some(attachment) = &step.attachment {
        reader.in_key("attachment", |reader| attachment.check_lengths(reader));
    }
    check_measurements(step, reader);
    for_each(reader, "steps", step.steps.as_deref(), check_step);
}

fn check_measurements(step: &Step, reader: &mut Reader) {
    let kind = step.step_type.as_deref().unwrap_or_default();
    let count = |reader: &mut Reader, key: &str, found: Option<usize>, several: bool| match (found, several) {
        (None | Some(0), _) => missing(reader, key, &format!("a step of type {kind} has measurements")),
        (Some(n), false) if n > 1 => reader.in_key(key, |reader| {
            reader.fault(FaultKind::OutOfRange, format!("{n} measurements; a step of type {kind} has exactly one"));
        }),
        _ => {}
    };
    let numeric = step.numeric_meas.as_ref().map(Vec::len);
    let boolean = step.boolean_meas.as_ref().map(Vec::len);
    let string = step.string_meas.as_ref().map(Vec::len);
    // A skipped step and the totals of a loop have measured nothing, and a step that ended in an error may not have.
    let loop_totals = step.loop_info.as_ref().is_some_and(|info| info.idx.is_none());
    let measured = !loop_totals && !matches!(step.status, Some(Status::Skipped | Status::Error | Status::Terminated));
    let several = match kind {
        "ET_NLT" | "NumericLimitTest" if measured || numeric > Some(1) => {
            count(reader, "numericMeas", numeric, false);
            false
        }
        "ET_PFT" | "PassFailTest" if measured || boolean > Some(1) => {
            count(reader, "booleanMeas", boolean, false);
            false
        }
        "ET_SVT" | "StringValueTest" if measured || string > Some(1) => {
            count(reader, "stringMeas", string, false);
            false
        }
        "ET_MNLT" | "MultiNumericLimitTest" => {
            if measured {
                count(reader, "numericMeas", numeric, true);
            }
            true
        }
        "ET_MPFT" | "MultiBooleanTest" => {
            if measured {
                count(reader, "booleanMeas", boolean, true);
            }
            true
        }
        "ET_MSVT" | "MultiStringTest" => {
            if measured {
                count(reader, "stringMeas", string, true);
            }
            true
        }
        _ => false,
    };
    for_each(reader, "numericMeas", step.numeric_meas.as_deref(), |meas, reader| {
        meas.check_lengths(reader);
        if several {
            required(reader, "name", meas.name.as_ref(), "each of several measurements has a name");
        }
        if let Some(comparator) = &meas.comp_op {
            check_comparator(comparator, meas.low_limit.is_some(), meas.high_limit.is_some(), reader);
        }
    });
    for_each(reader, "booleanMeas", step.boolean_meas.as_deref(), |meas, reader| {
        meas.check_lengths(reader);
        if several {
            required(reader, "name", meas.name.as_ref(), "each of several measurements has a name");
        }
    });
    for_each(reader, "stringMeas", step.string_meas.as_deref(), |meas, reader| {
        meas.check_lengths(reader);
        if several {
            required(reader, "name", meas.name.as_ref(), "each of several measurements has a name");
        }
    });
}

/// A known comparator without its limits cannot be judged by anyone who reads the report; an unknown one is kept as it is.
fn check_comparator(comparator: &str, low: bool, high: bool, reader: &mut Reader) {
    let upper = comparator.to_ascii_uppercase();
    let needs_low = ONE_LIMIT.contains(&upper.as_str()) || TWO_LIMITS.contains(&upper.as_str());
    let needs_high = TWO_LIMITS.contains(&upper.as_str());
    if needs_low && !low {
        missing(reader, "lowLimit", &format!("the comparator {upper} needs it"));
    }
    if needs_high && !high {
        missing(reader, "highLimit", &format!("the comparator {upper} needs it"));
    }
}

fn check_time(time: &str, reader: &mut Reader) {
    if time.parse::<jiff::Timestamp>().is_err() {
        let shown = crate::text::printable(time, 40);
        let why = match time.parse::<jiff::civil::DateTime>() {
            Ok(_) => "has no offset from UTC; write it like 2026-01-30T12:26:16.977+01:00",
            Err(_) => "is no ISO 8601 time like 2026-01-30T12:26:16.977+01:00",
        };
        reader.fault(FaultKind::OutOfRange, format!("\"{shown}\" {why}"));
    }
}

fn required(reader: &mut Reader, key: &str, value: Option<&String>, what: &str) {
    if value.is_none_or(|text| text.trim().is_empty()) {
        missing(reader, key, what);
    }
}

fn missing(reader: &mut Reader, key: &str, what: &str) {
    reader.in_key(key, |reader| reader.fault(FaultKind::Missing, what));
}

fn for_each<T>(reader: &mut Reader, key: &str, items: Option<&[T]>, mut check: impl FnMut(&T, &mut Reader)) {
    let Some(items) = items else { return };
    reader.in_key(key, |reader| {
        for (index, item) in items.iter().enumerate() {
            reader.in_index(index, |reader| check(item, reader));
        }
    });
}
