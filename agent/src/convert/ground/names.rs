//! Names under which programs write what a report says of the unit as a whole, where the format leaves them to those who use it, and what they write
//! where they know nothing.

use waybill_shared::report::{MiscInfo, Report, Uut};

use super::steps;
use super::walk::Walk;

/// Names of one thing, most telling first, as they are without case and punctuation.
pub(in crate::convert) type Names = &'static [&'static str];

/// Serial number.
pub(in crate::convert) const SERIAL_NUMBER: Names = &[
    "serialnumber",
    "sn",
    "serialno",
    "serialnum",
    "serial",
    "dutserialnumber",
    "dutserial",
    "dutsn",
    "dutid",
    "uutserialnumber",
    "uutserial",
    "uutsn",
    "uutid",
];
/// Part number.
pub(in crate::convert) const PART_NUMBER: Names =
    &["partnumber", "pn", "partno", "partnum", "dutpartnumber", "dutpn", "dutpart", "uutpartnumber", "uutpn"];
/// Revision of the part.
pub(in crate::convert) const REVISION: Names =
    &["revision", "rev", "partrevision", "partrev", "dutrevision", "dutrev", "uutrevision", "uutrev"];
/// Batch.
pub(in crate::convert) const BATCH: Names =
    &["batchnumber", "batch", "batchsn", "batchno", "batchid", "lotnumber", "lot", "lotno", "lotid"];
/// Operator.
pub(in crate::convert) const OPERATOR: Names = &["operator", "operatorname", "operatorid", "user", "username", "userid"];
/// Number of the operation.
pub(in crate::convert) const PROCESS_CODE: Names =
    &["processcode", "operationcode", "operationtypecode", "processid", "procedurecode", "procedureid"];
/// Station.
pub(in crate::convert) const STATION: Names =
    &["stationname", "stationid", "station", "teststation", "machinename", "machine", "hostname", "host"];
/// Fixture.
pub(in crate::convert) const FIXTURE: Names = &["fixtureid", "fixture", "fixturename"];

/// What stands in the place of a serial number where none is known: empty, openhtf's default and its older ones, TestStand's, Python's `None`.
const PLACEHOLDERS: &[&str] = &["", "NONE", "N/A", "NA", "NULL", "UNKNOWN", "UNKNOWN_DUT", "UNKNOWN_DUT_ID"];

/// A name without case and punctuation.
pub(in crate::convert) fn normalised(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// A serial number; none, with a note, if what stands there says that it is not known.
pub(in crate::convert) fn serial_number(text: &str, walk: &mut Walk) -> Option<String> {
    if !PLACEHOLDERS.contains(&text.trim().to_ascii_uppercase().as_str()) {
        return Some(text.to_owned());
    }
    if !text.trim().is_empty() {
        walk.note(format!("the serial number \"{}\" stands for none", text.trim()));
    }
    None
}

/// Names and values of a file whose meaning is in the names.
#[derive(Debug, Default)]
pub(in crate::convert) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// One more.
    pub(in crate::convert) fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.trim().to_owned(), value.to_owned()));
    }

    /// Takes the first of several names that has a value.
    pub(in crate::convert) fn take(&mut self, names: Names) -> Option<String> {
        let is = |name: &&str, (key, value): &(String, String)| normalised(key) == **name && !value.trim().is_empty();
        let at = names.iter().find_map(|name| self.0.iter().position(|pair| is(name, pair)))?;
        Some(self.0.remove(at).1.trim().to_owned())
    }

    /// Drops all of a name.
    pub(in crate::convert) fn drop_named(&mut self, name: &str) {
        self.0.retain(|(key, _)| normalised(key) != name);
    }

    /// Gives a report what it lacks; what is left is information on the unit.
    pub(in crate::convert) fn fill(mut self, report: &mut Report, walk: &mut Walk) {
        if report.sn.is_none() {
            report.sn = self.take(SERIAL_NUMBER).and_then(|text| serial_number(&text, walk));
        }
        let mut or = |field: &mut Option<String>, names| *field = field.take().or_else(|| self.take(names));
        or(&mut report.pn, PART_NUMBER);
        or(&mut report.rev, REVISION);
        or(&mut report.machine_name, STATION);
        let uut = report.uut.get_or_insert_with(Uut::default);
        or(&mut uut.batch_sn, BATCH);
        or(&mut uut.user, OPERATOR);
        or(&mut uut.fixture_id, FIXTURE);
        if report.process_code.is_none() {
            let number = |(key, value): &(String, String)| {
                PROCESS_CODE.contains(&normalised(key).as_str()).then(|| value.trim().parse::<i64>().ok()).flatten()
            };
            report.process_code = self.0.iter().find_map(number);
        }
        let infos: &mut Vec<MiscInfo> = report.misc_infos.get_or_insert_default();
        self.0.iter().for_each(|(name, value)| steps::misc(infos, name, value));
        report.misc_infos = report.misc_infos.take().filter(|infos| !infos.is_empty());
    }
}
