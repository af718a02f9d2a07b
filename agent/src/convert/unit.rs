//! From a converter's unit to what the queue stores: the station's values, an identity, the rules.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use waybill_shared::config::Identity;
use waybill_shared::id::{ReportId, UnitIdentity};
use waybill_shared::report::{Report, Status, validate, wsjf};
use waybill_shared::schema::{Map, Value};

use super::{Argument, ConvertError, Unit};
use crate::queue::{NewEntry, Payload};

/// Arguments that every converter takes: what a report says of its station if the file does not.
pub const STATION_ARGUMENTS: [Argument; 3] = [
    Argument { name: "station_name", help: "name of the station, where the file has none", number: false },
    Argument { name: "location", help: "where the station stands, where the file does not say it", number: false },
    Argument { name: "purpose", help: "what the station is for, where the file does not say it", number: false },
];

/// Makes the units of one file ready. It counts equal units, so it lives as long as the file is read.
pub struct Finisher<'a> {
    /// Name of the converter that ids are derived from.
    pub converter: &'a str,
    /// Name of the source.
    pub source: &'a str,
    /// What the source's arguments and the station add, in this order.
    station: &'a Identity,
    /// The source's arguments.
    arguments: &'a Map<String, Value>,
    /// When the file was last written.
    pub modified: Timestamp,
    seen: HashMap<([u8; 32], String), u64>,
}

impl<'a> Finisher<'a> {
    /// For one file.
    #[must_use]
    pub fn new(
        converter: &'a str,
        source: &'a str,
        station: &'a Identity,
        arguments: &'a Map<String, Value>,
        modified: Timestamp,
    ) -> Self {
        Self { converter, source, station, arguments, modified, seen: HashMap::new() }
    }

    /// The report as it will be sent.
    ///
    /// # Errors
    /// All rules that it breaks.
    pub fn finish(&mut self, unit: Unit) -> Result<(ReportId, Report), ConvertError> {
        let mut report = unit.report;
        // The file wins; then what the source says of its files; then the station.
        let said = |argument: &Argument, station| match self.arguments.get(argument.name) {
            Some(Value::String(text)) => text.clone(),
            _ => String::clone(station),
        };
        let [name, location, purpose] = &STATION_ARGUMENTS;
        report.fill_station(
            &said(name, &self.station.name),
            &said(location, &self.station.location),
            &said(purpose, &self.station.purpose),
        );
        let faults = validate::validate(&report);
        if !faults.is_empty() {
            return Err(ConvertError::Faults(faults));
        }
        let id = report.report_id().unwrap_or_else(|| self.derive(&report, unit.own_hash));
        report.id = Some(id.to_string());
        Ok((id, report))
    }

    fn derive(&mut self, report: &Report, own_hash: [u8; 32]) -> ReportId {
        let start = report.start.clone().or_else(|| report.start_utc.clone()).unwrap_or_else(|| self.modified.to_string());
        let occurrence = self.seen.entry((own_hash, start.clone())).or_default();
        let id = ReportId::derive(UnitIdentity {
            converter: self.converter,
            source: self.source,
            unit_hash: &own_hash,
            start: &start,
            occurrence: *occurrence,
        });
        *occurrence += 1;
        id
    }
}

/// A report as the queue stores it.
///
/// # Errors
/// The spool cannot be written.
pub fn entry(id: ReportId, report: &Report, spool: &Path) -> std::io::Result<NewEntry> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Ok(NewEntry {
        report_id: id,
        serial: text(&report.sn),
        part: text(&report.pn),
        result: report.result.map_or("", Status::letter).to_owned(),
        payload: Payload::new(wsjf::write(report), spool)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = br#"{"type":"T","pn":"a","sn":"b","rev":"1","processCode":10,"result":"P","machineName":"OWN",
        "start":"2026-01-30T12:00:00Z","root":{"stepType":"SequenceCall","name":"r"}}"#;

    fn unit() -> Unit {
        Unit { report: wsjf::read_one(TEXT).unwrap(), own_hash: *blake3::hash(TEXT).as_bytes(), notes: Vec::new() }
    }

    fn station() -> Identity {
        Identity { name: "ST".into(), location: "L".into(), purpose: "P".into(), name_source: "a test".into() }
    }

    #[test]
    fn the_file_wins_over_the_arguments_and_these_over_the_station() {
        let station = station();
        let arguments = Map::from_iter([("station_name".into(), "ARG".into()), ("purpose".into(), "Audit".into())]);
        let (_, report) = Finisher::new("wsjf", "s", &station, &arguments, Timestamp::UNIX_EPOCH).finish(unit()).unwrap();
        assert_eq!(report.machine_name.as_deref(), Some("OWN"));
        assert_eq!((report.location.as_deref(), report.purpose.as_deref()), (Some("L"), Some("Audit")));
    }

    #[test]
    fn a_second_reading_gives_the_same_ids_and_equal_retests_differ() {
        let station = station();
        let ids = || {
            let none = Map::new();
            let mut finisher = Finisher::new("wsjf", "s", &station, &none, Timestamp::UNIX_EPOCH);
            [finisher.finish(unit()).unwrap().0, finisher.finish(unit()).unwrap().0]
        };
        assert_eq!(ids(), ids());
        assert_ne!(ids()[0], ids()[1]);
    }
}
