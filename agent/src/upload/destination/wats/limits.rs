//! What a WATS server imports is shorter than what a report may hold: texts are cut on the way, numbers that name a unit never.
//!
//! The queue keeps the report whole, and other destinations get it whole. The same report is cut alike each time it is sent. One that
//! fits, as nearly all do, is read over once, and no tree is built of it; one without long texts is not even parsed.
//!
//! The server takes 128 characters of an operator and 255 of a sequence, which is more than a report may hold.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use waybill_shared::error::{Code, ErrorReport};

/// Characters of serial number, part number, revision, station, fixture and batch.
const NAME: usize = 50;
/// Characters of a comment and of an error message.
const TEXT: usize = 1000;

/// A text that is too long: where it stands, its length and the longest that is taken, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TooLong {
    field: String,
    has: usize,
    most: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} characters, at most {}", self.field, self.has, self.most)
    }
}

/// A report as it is sent in the place of one that is too long.
#[derive(Debug)]
pub(super) struct Shortened {
    pub(super) body: Vec<u8>,
    /// What was cut.
    pub(super) fields: Vec<TooLong>,
}

/// A text that is measured, and not kept.
#[derive(Default)]
struct Length(usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
        Ok(Self(text.map_or(0, |text| text.chars().count())))
    }
}

/// What has a limit; everything else is passed over.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Measured {
    sn: Length,
    pn: Length,
    rev: Length,
    #[serde(rename = "machineName")]
    machine_name: Length,
    uut: Option<Unit>,
    uur: Option<Unit>,
    #[serde(rename = "subUnits")]
    sub_units: Option<Vec<SubUnit>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Unit {
    #[serde(rename = "fixtureId")]
    fixture: Length,
    #[serde(rename = "batchSN")]
    batch: Length,
    comment: Length,
    #[serde(rename = "errorMessage")]
    error_message: Length,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SubUnit {
    sn: Length,
    pn: Length,
    rev: Length,
}

/// Each text that is too long: those that name a unit, and those that may be cut.
#[derive(Default)]
struct Found {
    names: Vec<TooLong>,
    texts: Vec<TooLong>,
}

impl Found {
    fn look(list: &mut Vec<TooLong>, field: impl FnOnce() -> String, has: &Length, most: usize) {
        if has.0 > most {
            list.push(TooLong { field: field(), has: has.0, most });
        }
    }

    fn of(report: &Measured) -> Self {
        let mut found = Self::default();
        for (field, has) in [("sn", &report.sn), ("pn", &report.pn)] {
            Self::look(&mut found.names, || field.to_owned(), has, NAME);
        }
        for (field, has) in [("rev", &report.rev), ("machineName", &report.machine_name)] {
            Self::look(&mut found.texts, || field.to_owned(), has, NAME);
        }
        for (key, unit) in [("uut", &report.uut), ("uur", &report.uur)] {
            let Some(unit) = unit else { continue };
            for (field, has, most) in [
                ("fixtureId", &unit.fixture, NAME),
                ("batchSN", &unit.batch, NAME),
                ("comment", &unit.comment, TEXT),
                ("errorMessage", &unit.error_message, TEXT),
            ] {
                Self::look(&mut found.texts, || format!("{key}.{field}"), has, most);
            }
        }
        for (number, unit) in report.sub_units.iter().flatten().enumerate() {
            for (field, has) in [("sn", &unit.sn), ("pn", &unit.pn)] {
                Self::look(&mut found.names, || format!("subUnits.{number}.{field}"), has, NAME);
            }
            Self::look(&mut found.texts, || format!("subUnits.{number}.rev"), &unit.rev, NAME);
        }
        found
    }
}

/// True if no text can be longer than the shortest limit: between one quotation mark and the next there are never more bytes than that, and
/// none of the marks is written with a backslash, within a text.
fn has_short_texts_only(body: &[u8]) -> bool {
    !body.contains(&b'\\') && body.split(|byte| *byte == b'"').all(|run| run.len() <= NAME)
}

/// A report with what was cut off it; nothing, if it fits as it is. What is no report of the known form goes as it is: the server judges it.
///
/// # Errors
/// A number that names a unit is too long, and which.
pub(super) fn fitted(body: &[u8]) -> Result<Option<Shortened>, ErrorReport> {
    if has_short_texts_only(body) {
        return Ok(None);
    }
    let Ok(report) = serde_json::from_slice::<Measured>(body) else { return Ok(None) };
    let Found { names, texts } = Found::of(&report);
    if !names.is_empty() {
        let message = format!("a number that names a unit is too long for this server and is never cut: {}", list(&names));
        return Err(ErrorReport::new(Code::ReportDoesNotFit, message));
    }
    if texts.is_empty() {
        return Ok(None);
    }
    let Ok(mut tree) = serde_json::from_slice::<Value>(body) else { return Ok(None) };
    for TooLong { field, most, .. } in &texts {
        if let Some(Value::String(text)) = tree.pointer_mut(&format!("/{}", field.replace('.', "/")))
            && let Some((end, _)) = text.char_indices().nth(*most)
        {
            text.truncate(end);
        }
    }
    Ok(serde_json::to_vec(&tree).ok().map(|body| Shortened { body, fields: texts }))
}

/// In words, for a message or a line of the log.
pub(super) fn list(fields: &[TooLong]) -> String {
    fields.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn long(length: usize) -> String {
        "ä".repeat(length)
    }

    fn fit(report: &Value) -> Result<Option<(Value, String)>, ErrorReport> {
        let fitted = fitted(report.to_string().as_bytes())?;
        Ok(fitted.map(|cut| (serde_json::from_slice(&cut.body).unwrap(), list(&cut.fields))))
    }

    #[test]
    fn what_fits_exactly_goes_as_it_is_with_long_texts_elsewhere() {
        let report = json!({
            "sn": long(50), "pn": long(50), "rev": long(50), "machineName": long(50),
            "uut": { "comment": long(1000), "errorMessage": long(1000), "fixtureId": long(50), "batchSN": null, "user": long(100) },
            "subUnits": [{ "sn": long(50), "pn": null }], "root": { "name": long(100), "reportText": long(5000) },
        });
        assert!(fit(&report).unwrap().is_none());
        assert!(fit(&json!({ "sn": 7 })).unwrap().is_none() && fitted(b"no json").unwrap().is_none());
    }

    #[test]
    fn texts_are_cut_by_characters_and_told_and_all_else_stays_to_the_digit() {
        let mut report = json!({
            "sn": "1", "pn": "2", "rev": long(51), "machineName": long(60),
            "uut": { "comment": long(1001), "errorMessage": long(3000), "fixtureId": long(70), "batchSN": long(99) },
            "uur": { "comment": long(5000) }, "subUnits": [{ "rev": "A" }, { "rev": long(52) }],
            "root": { "stepType": "SequenceCall", "comment": long(2000) },
        });
        let text = report.to_string().replacen("{", "{\"exact\":1.10000000000000000001,", 1);
        let Shortened { body: cut, fields } = fitted(text.as_bytes()).unwrap().unwrap();
        assert!(String::from_utf8(cut.clone()).unwrap().starts_with("{\"exact\":1.10000000000000000001,\"sn\":\"1\","));
        let mut cut: Value = serde_json::from_slice(&cut).unwrap();
        cut.as_object_mut().unwrap().remove("exact");
        for (place, length) in [
            ("/rev", 50),
            ("/machineName", 50),
            ("/uut/comment", 1000),
            ("/uut/errorMessage", 1000),
            ("/uut/fixtureId", 50),
            ("/uut/batchSN", 50),
            ("/uur/comment", 1000),
            ("/subUnits/1/rev", 50),
        ] {
            *report.pointer_mut(place).unwrap() = long(length).into();
        }
        assert_eq!(cut, report);
        assert_eq!(fields.len(), 8);
        assert!(list(&fields).starts_with("rev: 51 characters, at most 50; machineName: 60 characters"), "{}", list(&fields));
    }

    #[test]
    fn a_number_that_names_a_unit_is_never_cut() {
        for (report, place) in [
            (json!({ "sn": long(51), "rev": long(99) }), "sn: 51 characters, at most 50"),
            (json!({ "pn": long(100) }), "pn: 100 characters"),
            (json!({ "subUnits": [{ "sn": "1" }, { "sn": long(51) }] }), "subUnits.1.sn: 51 characters"),
            (json!({ "subUnits": [{ "pn": long(51) }] }), "subUnits.0.pn: 51 characters"),
        ] {
            let error = fit(&report).unwrap_err();
            assert!(error.code == Code::ReportDoesNotFit && error.message.contains(place), "{error}");
            assert!(!error.message.contains('ä') && !error.message.contains("rev"), "{error}");
        }
    }
}
