//! WSJF, the JSON form of a WATS report: one report, or an array of them.

use waybill_shared::report::wsjf::{self, WsjfError};

use crate::convert::ground::verdict::contradictions;
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink, Unit};

const ABOUT: About = About {
    name: "wsjf",
    version: 1,
    help: "WATS reports as JSON (WSJF): tests and repairs, one or an array of them",
    patterns: &["*.json", "*.wsjf"],
    has_end_mark: true,
    arguments: &[],
};

/// The converter `wsjf`.
#[derive(Debug)]
pub struct Wsjf;

impl Converter for Wsjf {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn is_of_reports(&self) -> bool {
        true
    }
    fn sniff(&self, head: &Head) -> u8 {
        let typed = head.contains("\"type\"");
        let named = head.count(&["\"pn\"", "\"sn\"", "\"processCode\"", "\"machineName\"", "\"root\"", "\"uur\""]);
        match (typed, named) {
            (true, 3..) => 95,
            (true, 1..) => 60,
            (false, 3..) => 50,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        for unit in wsjf::read(&input.bytes()?).map_err(convert_error)? {
            let unit = unit.map_err(convert_error).map(|unit| Unit {
                own_hash: *blake3::hash(&unit.bytes).as_bytes(),
                notes: contradictions(&unit.report),
                report: unit.report,
            });
            if sink(unit).is_break() {
                return Err(ConvertError::Stopped);
            }
        }
        Ok(())
    }
}

fn convert_error(error: WsjfError) -> ConvertError {
    match error {
        WsjfError::Incomplete { line, column } => ConvertError::Incomplete {
            place: format!("line {line}, column {column}"),
            reason: "the JSON document is not closed".to_owned(),
        },
        WsjfError::NotText { offset, .. } => {
            ConvertError::Malformed { place: format!("byte {offset}"), reason: error.to_string() }
        }
        WsjfError::Malformed { line, column, reason } => ConvertError::Malformed {
            place: format!("line {line}, column {column}"),
            reason: format!("not valid JSON: {reason}"),
        },
        WsjfError::Faults(faults) => ConvertError::Faults(faults),
    }
}
