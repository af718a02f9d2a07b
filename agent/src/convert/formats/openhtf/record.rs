//! One record to one unit: header, metadata, log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use waybill_shared::report::json::JsonError;
use waybill_shared::report::{Attachment, MiscInfo, Num, Report, SeqCall, Status, Step, Uut};
use waybill_shared::schema::{FaultKind, Value};
use waybill_shared::text::printable;

use super::measurement::{ATTACHMENT_MAX, NAME_MAX};
use super::phase::{self, SEQUENCE_NAME_MAX};
use super::time::{Micros, iso_8601, micros};
use crate::convert::ground::names::{BATCH, Names, OPERATOR, PART_NUMBER, PROCESS_CODE, REVISION, normalised, serial_number};
use crate::convert::ground::object::{Object, drop_unset_flag, plain};
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::{ConvertError, Input, Unit};

/// Lengths of the report model.
const TEXT_MAX: usize = 100;
const SEQUENCE_PATH_MAX: usize = 500;
const SEQUENCE_VERSION_MAX: usize = 30;

/// Reads the record `raw`, a part of `file`.
pub(super) fn unit(raw: &str, file: &str, input: &Input<'_>) -> Result<Unit, ConvertError> {
    let value: Value = serde_json::from_str(raw).map_err(|error| malformed(&error, raw, file))?;
    let Value::Object(record) = value else {
        return Err(no_record(raw, file, "a JSON value that is no object"));
    };
    if !record.contains_key("dut_id") && !record.contains_key("phases") {
        return Err(no_record(raw, file, "a JSON object with neither dut_id nor phases"));
    }
    let mut walk = Walk::default();
    let report = read(record, input, &mut walk);
    let notes = walk.finish().map_err(ConvertError::Faults)?;
    Ok(Unit { report, own_hash: *blake3::hash(raw.as_bytes()).as_bytes(), notes })
}

fn read(mut record: Object, input: &Input<'_>, walk: &mut Walk) -> Report {
    let phases = walk.list(&mut record, "phases");
    let reason = match phases.as_deref() {
        None => "the record has no list of phases",
        Some([only]) if phase::is_prompt(only) => {
            "the run ended at the prompt for the serial number (trigger_phase): nothing was tested, there is no unit"
        }
        Some(_) => return report(record, phases.unwrap_or_default(), input, walk),
    };
    walk.in_key("phases", |walk| walk.fault(FaultKind::Missing, reason));
    Report::default()
}

fn report(mut record: Object, phases: Vec<Value>, input: &Input<'_>, walk: &mut Walk) -> Report {
    let mut lines = Lines::default();
    let sn = walk.text(&mut record, "dut_id").and_then(|text| serial_number(&text, walk));
    let mut metadata = walk.object(&mut record, "metadata").unwrap_or_default();
    let times = times(&mut record, &phases, input, walk);
    let result = verdict(&mut record, &mut lines, walk);
    let machine_name = station(&mut record, &metadata).map(|name| walk.cut("station_id", name, TEXT_MAX, &mut lines));
    let header = walk.in_key("metadata", |walk| Header::read(&mut metadata, &mut lines, walk));
    let sequence = walk.in_key("metadata", |walk| sequence(&mut metadata, &mut lines, walk));
    let misc_infos = walk.in_key("metadata", |walk| misc_infos(metadata, &mut lines, walk));
    let (error_code, error_message) = outcome_details(&mut record, walk);
    let log = log(&mut record, walk);
    let steps = walk.in_key("phases", |walk| steps(phases, &sequence, walk));
    let took = times.took.clone();
    let root =
        root(record, lines, sequence, Step { status: result, tot_time: took, steps: Some(steps), ..Step::default() }, walk);
    Report {
        kind: Some("T".to_owned()),
        pn: header.pn,
        sn,
        rev: header.rev,
        process_code: header.process_code,
        result,
        machine_name,
        start: Some(times.start.to_string().replace('Z', "+00:00")),
        start_utc: Some(times.start.to_string()),
        uut: Some(Uut {
            user: header.user,
            exec_time: times.took,
            error_code,
            error_message,
            batch_sn: header.batch_sn,
            ..Uut::default()
        }),
        misc_infos: Some(misc_infos).filter(|infos| !infos.is_empty()),
        binary_data: log.map(|log| vec![log]),
        root: Some(root),
        ..Report::default()
    }
}

/// The root sequence call; `rest` is what of the record nothing has read.
fn root(mut rest: Object, mut lines: Lines, sequence: SeqCall, step: Step, walk: &mut Walk) -> Step {
    drop_unset_flag(&mut rest, "marginal");
    let name = sequence.name.clone().unwrap_or_default();
    let name = walk.cut("name of the root step", name, NAME_MAX, &mut lines);
    lines.add_rest(&rest);
    Step {
        step_type: Some("SequenceCall".to_owned()),
        name: Some(name),
        group: Some("M".to_owned()),
        report_text: lines.into_text(),
        seq_call: Some(sequence),
        ..step
    }
}

/// When the run started, and what it took.
struct Times {
    start: Timestamp,
    took: Option<Num>,
}

/// The record's own start, else the earliest time it names of what it did, else the time of the file. The last is no time of the
/// unit, and it moves when the file grows and the unit's derived id with it: whatever the record says comes before it.
fn times(record: &mut Object, phases: &[Value], input: &Input<'_>, walk: &mut Walk) -> Times {
    let own = walk.time(record, "start_time_millis");
    let end = walk.time(record, "end_time_millis");
    let begun = own.or_else(|| {
        let log = record.get("log_records").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        substitute(first(phases, "start_time_millis"), "the start of its first phase", walk)
            .or_else(|| substitute(first(log, "timestamp_millis"), "the time of its first log record", walk))
    });
    let took = begun.zip(end).and_then(|(start, end)| walk.seconds(start, end));
    let start = begun.or_else(|| substitute(end, "its end", walk));
    let start = start.and_then(|start| Timestamp::from_microsecond(start).ok()).unwrap_or_else(|| {
        walk.note("the record has no start: the time when the file was last written is used");
        input.modified
    });
    Times { start, took }
}

/// The first time of a list that is one. One that is none is the fault of its place, and found when that is read.
fn first(items: &[Value], key: &str) -> Option<Micros> {
    items.iter().filter_map(|item| micros(item.get(key)?)).find(|&time| time != 0)
}

fn substitute(time: Option<Micros>, what: &str, walk: &mut Walk) -> Option<Micros> {
    if time.is_some() {
        walk.note(format!("the record has no start (start_time_millis is 0): {what} is used"));
    }
    time
}

fn verdict(record: &mut Object, lines: &mut Lines, walk: &mut Walk) -> Option<Status> {
    let text = walk.text(record, "outcome");
    let status = match text.as_deref().map(str::trim).unwrap_or_default().to_ascii_uppercase().as_str() {
        "PASS" => Status::Passed,
        "FAIL" => Status::Failed,
        "ERROR" => Status::Error,
        word @ "TIMEOUT" => {
            lines.add("outcome", word);
            Status::Error
        }
        word @ "ABORTED" => {
            lines.add("outcome", word);
            Status::Terminated
        }
        _ => {
            let (kind, found) = text.map_or((FaultKind::Missing, "nothing".to_owned()), |text| {
                (FaultKind::OutOfRange, format!("\"{}\"", printable(&text, 40)))
            });
            let message = format!("the verdict on the unit is one of PASS, FAIL, ERROR, TIMEOUT, ABORTED; the file has {found}");
            walk.in_key("outcome", |walk| walk.fault(kind, message));
            return None;
        }
    };
    Some(status)
}

fn station(record: &mut Object, metadata: &Object) -> Option<String> {
    let own = record.get("station_id").and_then(scalar);
    if own.is_some() {
        record.shift_remove("station_id");
    }
    own.or_else(|| metadata.get("config")?.get("station_id").and_then(scalar))
}

/// What the metadata says of the unit as a whole.
struct Header {
    pn: Option<String>,
    rev: Option<String>,
    process_code: Option<i64>,
    batch_sn: Option<String>,
    user: Option<String>,
}

impl Header {
    fn read(metadata: &mut Object, lines: &mut Lines, walk: &mut Walk) -> Self {
        let mut cut = |what: &str, text: String, walk: &mut Walk| walk.cut(what, text, TEXT_MAX, lines);
        Self {
            pn: named(metadata, PART_NUMBER),
            rev: named(metadata, REVISION),
            process_code: process_code(metadata),
            batch_sn: named(metadata, BATCH).map(|text| cut("batch number", text, walk)),
            user: named(metadata, OPERATOR).map(|text| cut("operator", text, walk)),
        }
    }
}

/// The number of the operation. A procedure id that is no number stays with the rest of the metadata.
fn process_code(metadata: &Object) -> Option<i64> {
    PROCESS_CODE.iter().find_map(|name| {
        let (_, value) = metadata.iter().find(|(key, _)| normalised(key) == *name)?;
        plain(value).trim().parse().ok()
    })
}

/// Takes the first of several names out of the metadata.
fn named(metadata: &mut Object, names: Names) -> Option<String> {
    let key = names.iter().find_map(|name| {
        let is_it = |(key, value): &(&String, &Value)| normalised(key) == *name && scalar(value).is_some();
        metadata.iter().find(is_it).map(|(key, _)| key.clone())
    })?;
    metadata.shift_remove(&key).as_ref().and_then(scalar)
}

/// A text or a number that is not blank.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.trim().is_empty()).then(|| text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Error number and text of the unit, from a list of codes (numbers or names) and descriptions.
fn outcome_details(record: &mut Object, walk: &mut Walk) -> (Option<i64>, Option<String>) {
    let details = walk.list(record, "outcome_details").unwrap_or_default();
    let code = details.iter().find_map(|detail| plain(detail.get("code")?).trim().parse().ok());
    let messages: Vec<String> = details.iter().map(detail).collect();
    (code, (!messages.is_empty()).then(|| messages.join("\n")))
}

fn detail(detail: &Value) -> String {
    match detail.as_object() {
        Some(object) if object.keys().all(|key| matches!(key.as_str(), "code" | "description")) => {
            let parts = ["code", "description"].into_iter().filter_map(|key| object.get(key)).map(plain);
            parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
        }
        _ => plain(detail),
    }
}

/// The log as a text file: one record a line, in the order of the file.
fn log(record: &mut Object, walk: &mut Walk) -> Option<Attachment> {
    let records = walk.list(record, "log_records").filter(|records| !records.is_empty())?;
    let mut text = String::new();
    let all = records.len();
    for (kept, record) in records.into_iter().enumerate() {
        let line = log_line(record);
        if text.len() + line.len() > ATTACHMENT_MAX {
            walk.note(format!("log_records: the first {kept} of {all} are kept; at most {ATTACHMENT_MAX} bytes are taken"));
            break;
        }
        text.push_str(&line);
    }
    Some(Attachment {
        name: Some("openhtf-log.txt".to_owned()),
        content_type: Some("text/plain".to_owned()),
        data: Some(BASE64.encode(text)),
        ..Attachment::default()
    })
}

/// `2025-01-20T14:32:06.058Z INFO logger file.py:58 message`, then whatever else the record has.
fn log_line(record: Value) -> String {
    let Value::Object(mut record) = record else { return format!("{record}\n") };
    let mut parts = Vec::new();
    if let Some(time) = record.get("timestamp_millis").and_then(micros).and_then(iso_8601) {
        record.shift_remove("timestamp_millis");
        parts.push(time);
    }
    let mut take = |key: &str| record.shift_remove(key).filter(|value| !value.is_null()).as_ref().map(plain);
    parts.extend(take("level").map(level));
    parts.extend(take("logger_name"));
    parts.extend(match (take("source"), take("lineno")) {
        (Some(source), Some(line)) => Some(format!("{source}:{line}")),
        (source, line) => source.or(line),
    });
    parts.extend(take("message"));
    if !record.is_empty() {
        parts.push(Value::Object(record).to_string());
    }
    format!("{}\n", parts.join(" "))
}

/// Python's names of its log levels.
fn level(number: String) -> String {
    match number.as_str() {
        "10" => "DEBUG".to_owned(),
        "20" => "INFO".to_owned(),
        "30" => "WARNING".to_owned(),
        "40" => "ERROR".to_owned(),
        "50" => "CRITICAL".to_owned(),
        _ => number,
    }
}

/// Name and version of the test. A test that was given no name has OpenHTF's own default, `openhtf_test`.
fn sequence(metadata: &mut Object, lines: &mut Lines, walk: &mut Walk) -> SeqCall {
    let name = named(metadata, &["testname"]).unwrap_or_else(|| {
        walk.note("it names no test (test_name): the sequence is called openhtf_test, OpenHTF's own default");
        "openhtf_test".to_owned()
    });
    let version = named(metadata, &["testversion"]);
    SeqCall {
        path: Some(walk.cut("test_name", name.clone(), SEQUENCE_PATH_MAX, lines)),
        name: Some(walk.cut("test_name", name, SEQUENCE_NAME_MAX, lines)),
        version: version.map(|version| walk.cut("test_version", version, SEQUENCE_VERSION_MAX, lines)),
        ..SeqCall::default()
    }
}

/// Every value of the metadata that no field took; lists and objects go to the report text.
fn misc_infos(metadata: Object, lines: &mut Lines, walk: &mut Walk) -> Vec<MiscInfo> {
    let mut infos = Vec::with_capacity(metadata.len());
    for (key, value) in metadata {
        let text = match &value {
            Value::Bool(flag) => Some(flag.to_string()),
            other => scalar(other),
        };
        let Some(text) = text else {
            lines.add_value(&format!("metadata.{key}"), &value);
            continue;
        };
        let text = walk.cut(&format!("value of {}", printable(&key, 60)), text, TEXT_MAX, lines);
        let description = walk.cut("name of a metadata value", key, TEXT_MAX, lines);
        infos.push(MiscInfo { description: Some(description), text: Some(text), ..MiscInfo::default() });
    }
    infos
}

fn steps(phases: Vec<Value>, sequence: &SeqCall, walk: &mut Walk) -> Vec<Step> {
    let phases = phases.into_iter().enumerate();
    phases.filter_map(|(index, value)| walk.in_index(index, |walk| phase::step(value, sequence, walk))).collect()
}

fn no_record(raw: &str, file: &str, found: &str) -> ConvertError {
    let (line, column) = start_of(raw, file);
    ConvertError::Malformed { place: format!("line {line}, column {column}"), reason: format!("{found} is no OpenHTF record") }
}

/// An error inside of a record (nested too deep, half a surrogate pair), with its place in the file.
fn malformed(error: &serde_json::Error, raw: &str, file: &str) -> ConvertError {
    let (first_line, first_column) = start_of(raw, file);
    let (line, column) = (error.line().max(1), error.column());
    let column = if line == 1 { first_column - 1 + column } else { column };
    let reason = match JsonError::of(error, raw) {
        JsonError::Malformed { reason, .. } => reason,
        other => other.to_string(),
    };
    ConvertError::Malformed {
        place: format!("line {}, column {column}", first_line + line - 1),
        reason: format!("not valid JSON: {reason}"),
    }
}

/// Line and column, both 1-based, where a part of the file starts.
fn start_of(raw: &str, file: &str) -> (usize, usize) {
    let offset = (raw.as_ptr() as usize).saturating_sub(file.as_ptr() as usize);
    let before = file.as_bytes().get(..offset).unwrap_or_default();
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    (line, 1 + before.iter().rev().take_while(|&&byte| byte != b'\n').count())
}
