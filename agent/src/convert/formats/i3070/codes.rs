//! What the numbers and names of a log stand for (FORMATS.md section 7).

use waybill_shared::report::{Num, Status};

use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::number;

/// From here on a number says that there is none: `9.999999E+99`.
const NONE: f64 = 9.99e99;

/// A status of a board or a block.
pub(super) fn status(text: &str) -> Option<(Status, i64, &'static str)> {
    let code = code(text)?;
    Some(match code {
        0 => (Status::Passed, code, "passed"),
        2 => (Status::Failed, code, "failed in the test of the pins"),
        4 => (Status::Failed, code, "failed in the test for shorts"),
        6 => (Status::Failed, code, "failed in the analog test"),
        7 => (Status::Failed, code, "failed in the test of the power supplies"),
        8 => (Status::Failed, code, "failed in the digital or boundary-scan test"),
        9 => (Status::Failed, code, "failed in the functional test"),
        10 => (Status::Failed, code, "failed in the test before that for shorts"),
        12 => (Status::Failed, code, "failed at its barcode"),
        14 => (Status::Failed, code, "failed in TestJet"),
        15 => (Status::Failed, code, "failed in the test of polarity"),
        80 => (Status::Error, code, "runtime error"),
        81 | 82 => (Status::Terminated, code, "aborted"),
        90..=99 => (Status::Failed, code, "failed by a status of the user"),
        _ => (Status::Failed, code, "failed"),
    })
}

/// A status of one test in a block.
pub(super) fn test_status(text: &str) -> Option<(Status, i64, &'static str)> {
    let code = code(text)?;
    Some(match code {
        0 => (Status::Passed, code, "passed"),
        2 => (Status::Failed, code, "compliance limit"),
        3 => (Status::Error, code, "detector timeout"),
        11 => (Status::Terminated, code, "aborted by the operator"),
        _ => (Status::Failed, code, "failed"),
    })
}

fn code(text: &str) -> Option<i64> {
    Some(text).filter(|text| (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// The unit that an analog record implies. The log never names it; of `A-MEA` it is only the customary one.
pub(super) fn unit(name: &str) -> Option<&'static str> {
    Some(match name {
        "A-RES" | "A-JUM" | "A-FUS" | "A-POT" | "A-SWI" => "Ohm",
        "A-CAP" => "F",
        "A-IND" => "H",
        "A-DIO" | "A-ZEN" | "A-MEA" | "A-NFE" | "A-PFE" | "A-NPN" | "A-PNP" => "V",
        _ => return None,
    })
}

/// Names of the counts in a record that gives a verdict alone, with the places of its designator and its status.
pub(super) struct Shape {
    pub(super) designator: usize,
    pub(super) status: usize,
    pub(super) others: &'static [(usize, &'static str)],
    /// What it is called if it has no designator.
    pub(super) kind: &'static str,
}

/// Records that give a verdict alone.
pub(super) fn shape(name: &str) -> Option<Shape> {
    Some(match name {
        "PF" => Shape { designator: 0, status: 1, others: &[(2, "pins")], kind: "pins" },
        "TS" => Shape { designator: 4, status: 0, others: &[(1, "shorts"), (2, "opens"), (3, "phantoms")], kind: "shorts" },
        "D-T" => {
            Shape { designator: 4, status: 0, others: &[(1, "substatus"), (2, "failing vector"), (3, "pins")], kind: "digital" }
        }
        "TJET" => Shape { designator: 2, status: 0, others: &[(1, "pins")], kind: "TestJet" },
        // Its fields are not published; a designator and a status begin it.
        "BS-CON" => Shape { designator: 0, status: 1, others: &[(2, "field 3"), (3, "field 4")], kind: "boundary scan" },
        _ => return None,
    })
}

/// A limit or a value; none if it stands for none.
pub(super) fn limit(text: &str) -> Result<Option<Num>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = number::plain(text).ok_or(())?;
    Ok((number.as_f64().abs() < NONE).then_some(number))
}

/// Limits; the high one comes first in the log.
pub(super) fn limits(high: Option<Num>, low: Option<Num>) -> Option<Limits> {
    let bound = |limit: Num| Bound { limit, inclusive: true };
    (high.is_some() || low.is_some()).then(|| Limits::Range { low: low.map(bound), high: high.map(bound) })
}

/// A designator without the number of its board (`2%r698`), and that number.
pub(super) fn designator(text: &str) -> (&str, Option<&str>) {
    match text.split_once('%') {
        Some((board, name)) if !board.is_empty() && !name.is_empty() && board.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, Some(board))
        }
        _ => (text, None),
    }
}
