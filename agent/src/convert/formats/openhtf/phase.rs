//! A phase to a sequence call: its measurements and its attachments are the steps in it.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use waybill_shared::report::{SeqCall, Status, Step};
use waybill_shared::schema::{FaultKind, Value};
use waybill_shared::text::printable;

use super::measurement::{self, NAME_MAX};
use super::time::iso_8601;
use crate::convert::ground::object::{Object, drop_unset_flag, plain, says_nothing};
use crate::convert::ground::walk::{Lines, Walk};

/// Longest error text of a step, and longest name of a sequence (report model).
const ERROR_MESSAGE_MAX: usize = 200;
pub(super) const SEQUENCE_NAME_MAX: usize = 200;
/// Base64 as everyone writes it: some leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads one phase of the sequence `sequence`.
pub(super) fn step(value: Value, sequence: &SeqCall, walk: &mut Walk) -> Option<Step> {
    let mut phase = walk.as_object(value)?;
    let mut lines = Lines::default();
    let Some(name) = walk.text(&mut phase, "name") else {
        walk.in_key("name", |walk| walk.fault(FaultKind::Missing, "the phase has no name"));
        return None;
    };
    let status = status(&mut phase, walk)?;
    let (start, end) = (walk.time(&mut phase, "start_time_millis"), walk.time(&mut phase, "end_time_millis"));
    let outcome = outcome(&mut phase, &mut lines, walk);
    let measurements = walk.object(&mut phase, "measurements").unwrap_or_default();
    let unset_fails = status == Status::Failed && outcome.continued && unexplained(&phase, &measurements);
    let mut steps = Vec::with_capacity(measurements.len());
    walk.in_key("measurements", |walk| {
        for (key, value) in measurements {
            steps.extend(walk.in_key(&key, |walk| measurement::step(&key, value, unset_fails, walk)));
        }
    });
    let attachments = walk.object(&mut phase, "attachments").unwrap_or_default();
    walk.in_key("attachments", |walk| {
        for (key, value) in attachments {
            steps.extend(walk.in_key(&key, |walk| attachment(&key, value, walk)));
        }
    });
    drop_defaults(&mut phase);
    lines.add_rest(&phase);
    let sequence_name = walk.cut("name", name.clone(), SEQUENCE_NAME_MAX, &mut Lines::default());
    Some(Step {
        step_type: Some("SequenceCall".to_owned()),
        group: Some(group(&name).to_owned()),
        name: Some(walk.cut("name", name, NAME_MAX, &mut lines)),
        status: Some(status),
        start: start.and_then(iso_8601),
        tot_time: start.zip(end).and_then(|(start, end)| walk.seconds(start, end)),
        error_message: outcome.error_message,
        report_text: lines.into_text(),
        seq_call: Some(SeqCall { name: Some(sequence_name), ..sequence.clone() }),
        steps: Some(steps),
        ..Step::default()
    })
}

/// True for a record that tested nothing: it ended at the prompt for the serial number, which runs as a phase.
pub(super) fn is_prompt(phase: &Value) -> bool {
    let says_nothing = |key: &str| phase.get(key).is_none_or(says_nothing);
    phase.get("name").and_then(Value::as_str) == Some("trigger_phase")
        && says_nothing("measurements")
        && says_nothing("attachments")
}

fn status(phase: &mut Object, walk: &mut Walk) -> Option<Status> {
    let Some(text) = walk.text(phase, "outcome") else {
        walk.note("the phase has no outcome, and so no verdict");
        return Some(Status::Done);
    };
    match text.trim().to_ascii_uppercase().as_str() {
        "PASS" => Some(Status::Passed),
        "FAIL" => Some(Status::Failed),
        "SKIP" => Some(Status::Skipped),
        "ERROR" => Some(Status::Error),
        _ => {
            let text = printable(&text, 40);
            walk.in_key("outcome", |walk| {
                walk.fault(FaultKind::OutOfRange, format!("\"{text}\" is none of PASS, FAIL, SKIP, ERROR"));
            });
            None
        }
    }
}

/// How a phase ended.
struct Outcome {
    /// It ended by itself and said nothing of its own about its verdict.
    continued: bool,
    error_message: Option<String>,
}

/// Reads `result`: a word, an exception, or `null` for a phase that timed out (openhtf 1.6.3, `PhaseExecutionOutcome`).
fn outcome(phase: &mut Object, lines: &mut Lines, walk: &mut Walk) -> Outcome {
    let mut outcome = Outcome { continued: false, error_message: None };
    let mut result = match phase.shift_remove("result") {
        Some(Value::Object(result)) => result,
        other => {
            lines.add_value("result", &other.unwrap_or_default());
            return outcome;
        }
    };
    match result.shift_remove("phase_result") {
        None => {}
        Some(Value::String(word)) if word == "CONTINUE" => outcome.continued = true,
        Some(Value::Object(exception)) => {
            let part = |key: &str| exception.get(key).map(plain).unwrap_or_default();
            let message = format!("{}: {}", part("exc_type"), part("exc_val"));
            lines.add_rest(&exception);
            outcome.error_message = Some(walk.cut("error message", message, ERROR_MESSAGE_MAX, lines));
        }
        Some(Value::Null) => outcome.error_message = Some("the phase timed out (it has no phase_result)".to_owned()),
        Some(other) => lines.add_value("phase_result", &other),
    }
    lines.add_rest(&result);
    outcome
}

/// Nothing in a failed phase that continued says why: then it failed because a measurement was not set, which OpenHTF counts as a
/// failure unless `allow_unset_measurements` is on.
fn unexplained(phase: &Object, measurements: &Object) -> bool {
    let failed = |value: &Value| value.get("outcome").and_then(Value::as_str).is_some_and(|outcome| outcome == "FAIL");
    phase.get("failure_diagnosis_results").is_none_or(says_nothing) && !measurements.values().any(failed)
}

/// A file that the phase left behind.
fn attachment(key: &str, value: Value, walk: &mut Walk) -> Option<Step> {
    let mut object = walk.as_object(value)?;
    let mut lines = Lines::default();
    let content_type = walk.text(&mut object, "mimetype").unwrap_or_else(|| "application/octet-stream".to_owned());
    let attachment = match object.shift_remove("data") {
        Some(Value::String(data)) => {
            let bytes = decode(&data, walk)?;
            measurement::attach(key, &content_type, &bytes, walk)
        }
        // `inline_attachments=False`: the file was never part of the record.
        _ => {
            walk.note("the attachment has no data in the file");
            None
        }
    };
    if attachment.is_none() {
        lines.add("left out", &format!("{key} ({content_type})"));
    }
    lines.add_rest(&object);
    Some(Step {
        step_type: Some("ET_A".to_owned()),
        group: Some("M".to_owned()),
        name: Some(walk.cut("name", key.to_owned(), NAME_MAX, &mut lines)),
        status: Some(Status::Done),
        report_text: lines.into_text(),
        attachment,
        ..Step::default()
    })
}

fn decode(data: &str, walk: &mut Walk) -> Option<Vec<u8>> {
    let compact: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    match BASE64.decode(compact) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            walk.in_key("data", |walk| walk.fault(FaultKind::WrongType, format!("the attachment is not base64: {error}")));
            None
        }
    }
}

/// Setup or cleanup if the phase is called so (`setup`, `power_setup`, `teardown_plugs`), else main: OpenHTF does not record it.
fn group(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let (first, last) = (words.next(), words.next_back());
    match (first, last) {
        (Some("setup"), _) | (_, Some("setup")) => "S",
        (Some("teardown" | "cleanup"), _) | (_, Some("teardown" | "cleanup")) => "C",
        _ => "M",
    }
}

/// Takes out what says nothing of the unit (module doc).
fn drop_defaults(phase: &mut Object) {
    phase.shift_remove("descriptor_id");
    drop_unset_flag(phase, "marginal");
    if let Some(Value::Object(options)) = phase.get_mut("options") {
        options.retain(|key, value| *value != Value::Bool(false) && (key != "phase_name_case" || value != "KEEP"));
    }
}
