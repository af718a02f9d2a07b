//! OpenHTF, Google's test framework in Python: the JSON that its output callbacks write, one object a unit.
//!
//! - `record`: one object to one unit: header, metadata, log
//! - `phase`: a phase to a sequence call, its attachments to steps
//! - `measurement`: a measurement to a step; `validator`: the texts of its validators to comparators and limits
//! - `time`: times in milliseconds
//!
//! Sources: openhtf 1.6.3 (`core/test_record.py`, `core/measurements.py`, `core/phase_executor.py`, `util/validators.py`,
//! `util/data.py`, `output/callbacks/json_factory.py`) and the files in tests/data/openhtf. What those fix:
//!
//! - A file holds one object, or several, one after the other or one a line. Python's bare `NaN` and `Infinity` occur, and so do
//!   the texts `nan`, `inf` and `-inf`, which `json_safe` writes in their place.
//! - The names under `metadata` are free: part number, revision, batch, operator and operation are looked for under the names
//!   that are seen; what the file does not say is filled in as for every format ([`crate::convert::common`]).
//! - `start_time_millis` is 0 if a run was aborted at the prompt; `dut_id` is then null or a placeholder, which is no serial
//!   number. A run whose only phase is the prompt (`trigger_phase`) tested nothing and is no unit.
//! - A validator is only a text, and a verdict is never recomputed: one that contradicts its limits is noted, and a record
//!   without a verdict on its unit is refused.
//! - A phase that was repeated stands there once for each time, and comes out as often.
//!
//! Every key that a report has no field for stands in the report text of its step, the root's for those of the whole run. Left out
//! because they say nothing of the unit: `descriptor_id` (an address in the writer's memory), `options` at their defaults,
//! `marginal` false, and whatever is null or empty. The protobuf output (`.pb`) is not read.

mod measurement;
mod phase;
mod record;
#[cfg(test)]
mod tests;
mod time;
mod validator;

use std::borrow::Cow;

use waybill_shared::report::json::{self, JsonError};

use crate::convert::{About, ConvertError, Converter, Head, Input, Sink};

const ABOUT: About = About {
    name: "openhtf",
    version: 1,
    help: "OpenHTF test records as JSON, one object per unit",
    patterns: &["*.json"],
    has_end_mark: true,
    arguments: &[],
};

/// The converter `openhtf`.
#[derive(Debug)]
pub struct OpenHtf;

impl Converter for OpenHtf {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let contains = |text: &str| head.contains(text);
        let beside =
            ["\"phases\"", "\"start_time_millis\"", "\"outcome\"", "\"measurements\"", "\"log_records\"", "\"code_info\""];
        match (contains("\"dut_id\""), beside.into_iter().filter(|key| contains(key)).count()) {
            (true, 2..) => 97,
            (true, 1) => 70,
            (false, 4..) => 55,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let bytes = input.bytes()?;
        let text = json::decode(&bytes).map_err(convert_error)?;
        let text = json::with_quoted_tokens(&text).map_or(text, Cow::Owned);
        let (records, rest) = records(&text);
        if records.is_empty() && rest.is_none() {
            return Err(empty());
        }
        for raw in records {
            if sink(record::unit(raw, &text, input)).is_break() {
                return Err(ConvertError::Stopped);
            }
        }
        // What cannot be read comes after what can: a cut or spoilt record loses none of those before it.
        rest.map_or(Ok(()), |error| Err(convert_error(error)))
    }
}

/// The records of a text; an array of them counts as its elements.
fn records(text: &str) -> (Vec<&str>, Option<JsonError>) {
    let (documents, rest) = json::documents(text);
    let mut records = Vec::with_capacity(documents.len());
    for document in documents {
        match serde_json::from_str::<Vec<&serde_json::value::RawValue>>(document) {
            Ok(elements) => records.extend(elements.into_iter().map(serde_json::value::RawValue::get)),
            Err(_) => records.push(document),
        }
    }
    (records, rest)
}

fn empty() -> ConvertError {
    ConvertError::Incomplete { place: "line 1, column 1".to_owned(), reason: "there is no JSON object in it".to_owned() }
}

fn convert_error(error: JsonError) -> ConvertError {
    match error {
        JsonError::Incomplete { line, column } => ConvertError::Incomplete {
            place: format!("line {line}, column {column}"),
            reason: "the JSON document is not closed".to_owned(),
        },
        JsonError::NotText { offset, .. } => {
            ConvertError::Malformed { place: format!("byte {offset}"), reason: error.to_string() }
        }
        JsonError::Malformed { line, column, reason } => ConvertError::Malformed {
            place: format!("line {line}, column {column}"),
            reason: format!("not valid JSON: {reason}"),
        },
    }
}
