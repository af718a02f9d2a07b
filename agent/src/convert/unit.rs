//! From a converter's unit to what the queue stores: the station's values, an identity, the rules.

use std::collections::HashMap;
use std::path::Path;

use waybill_shared::config::Identity;
use waybill_shared::id::{ReportId, UnitIdentity};
use waybill_shared::report::{Report, Status, validate, wsjf};

use super::common::{self, LOCATION, Origin, PURPOSE, STATION_NAME};
use super::{Argument, ConvertError, Converter, Input, Unit};
use crate::queue::{NewEntry, Payload};

/// Makes the units of one file ready. It counts equal units, so it lives as long as the file is read.
pub struct Finisher<'a> {
    converter: &'a str,
    source: &'a str,
    station: &'a Identity,
    input: Input<'a>,
    customary: bool,
    seen: HashMap<([u8; 32], String), u64>,
}

/// A unit that is ready.
#[derive(Debug)]
pub struct Finished {
    /// What it goes by.
    pub id: ReportId,
    /// As it will be sent.
    pub report: Report,
    /// What a person should know of it.
    pub notes: Vec<String>,
    /// What of its head is not from the file, and from where instead.
    pub filled: Vec<(&'static str, Origin)>,
}

impl<'a> Finisher<'a> {
    /// For one file. Ids are derived from the names of the converter and the source.
    #[must_use]
    pub fn new(converter: &'a str, source: &'a str, station: &'a Identity, input: Input<'a>) -> Self {
        Self { converter, source, station, input, customary: true, seen: HashMap::new() }
    }

    /// With nothing customary for what a unit lacks, if its files are reports already.
    #[must_use]
    pub fn of(mut self, converter: &dyn Converter) -> Self {
        self.customary = !converter.is_of_reports();
        self
    }

    /// The report as it will be sent.
    ///
    /// # Errors
    /// All rules that it breaks.
    pub fn finish(&mut self, unit: Unit) -> Result<Finished, ConvertError> {
        let Unit { mut report, own_hash, mut notes } = unit;
        let filled = common::fill(&mut report, &mut notes, &self.input, &own_hash, self.customary);
        let (mut filled, mut faults) = (filled.origins, filled.faults);
        let Input { arguments, file_name, .. } = self.input;
        for (key, field, argument) in [
            ("machineName", &report.machine_name, &STATION_NAME),
            ("location", &report.location, &LOCATION),
            ("purpose", &report.purpose, &PURPOSE),
        ] {
            if field.as_deref().is_none_or(str::is_empty) {
                let given = arguments.text(argument).is_some();
                filled.push((key, if given { Origin::Argument(argument.name) } else { Origin::Station }));
            }
        }
        let said = |argument: &Argument, station| arguments.text(argument).map_or_else(|| String::clone(station), str::to_owned);
        report.fill_station(
            &said(&STATION_NAME, &self.station.name),
            &said(&LOCATION, &self.station.location),
            &said(&PURPOSE, &self.station.purpose),
        );
        // What is missing is told once, and with what can supply it.
        let told: Vec<_> = faults.iter().map(|fault| fault.path.clone()).collect();
        faults.extend(validate::validate(&report).into_iter().filter(|fault| !told.contains(&fault.path)));
        if !faults.is_empty() {
            return Err(ConvertError::Faults(faults));
        }
        // What its file is called is a part of what it is, if it says who it is: two units may have measured the same.
        let by_its_name = filled.iter().any(|(_, origin)| *origin == Origin::FileName);
        let own_hash = if by_its_name {
            *blake3::Hasher::new().update(&own_hash).update(file_name.as_bytes()).finalize().as_bytes()
        } else {
            own_hash
        };
        let id = report.report_id().unwrap_or_else(|| self.derive(&report, own_hash));
        report.id = Some(id.to_string());
        Ok(Finished { id, report, notes, filled })
    }

    fn derive(&mut self, report: &Report, own_hash: [u8; 32]) -> ReportId {
        let start = report.start.clone().or_else(|| report.start_utc.clone()).unwrap_or_else(|| self.input.modified.to_string());
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
    use jiff::Timestamp;
    use serde_json::json;
    use waybill_shared::schema::{Map, Value};

    use super::*;
    use crate::convert::{Arguments, Content};

    const TEXT: &[u8] = br#"{"type":"T","pn":"a","sn":"b","rev":"1","processCode":10,"result":"P","machineName":"OWN",
        "start":"2026-01-30T12:00:00Z","root":{"stepType":"SequenceCall","name":"r"}}"#;

    fn unit() -> Unit {
        Unit { report: wsjf::read_one(TEXT).unwrap(), own_hash: *blake3::hash(TEXT).as_bytes(), notes: Vec::new() }
    }

    fn station() -> Identity {
        Identity { name: "ST".into(), location: "L".into(), purpose: "P".into(), name_source: "a test".into() }
    }

    fn input(arguments: &Map<String, Value>) -> Input<'_> {
        let arguments = Arguments::new(arguments);
        Input { content: Content::Bytes(TEXT), file_name: "SN-7_board.json", modified: Timestamp::UNIX_EPOCH, arguments }
    }

    #[test]
    fn the_file_wins_over_the_arguments_and_these_over_the_station() {
        let station = station();
        let arguments = Map::from_iter([("station_name".into(), "ARG".into()), ("purpose".into(), "Audit".into())]);
        let report = Finisher::new("wsjf", "s", &station, input(&arguments)).finish(unit()).unwrap().report;
        assert_eq!(report.machine_name.as_deref(), Some("OWN"));
        assert_eq!((report.location.as_deref(), report.purpose.as_deref()), (Some("L"), Some("Audit")));
    }

    #[test]
    fn what_the_file_lacks_comes_from_its_name_then_from_the_arguments_and_nothing_is_made_up_unasked() {
        let station = station();
        let bare = || {
            let mut unit = unit();
            let report = &mut unit.report;
            (report.sn, report.pn, report.rev, report.process_code) = (None, Some(" ".to_owned()), None, None);
            unit
        };
        let finish = |arguments: serde_json::Value| {
            let arguments = arguments.as_object().unwrap().clone();
            Finisher::new("wsjf", "s", &station, input(&arguments)).finish(bare())
        };
        let by_name = r"(?<sn>[^_]+)_(?<pn>\w+)[.]json";
        let finished = finish(json!({"file_name": by_name, "part_number": "ARG", "process_code": 20})).unwrap();
        let report = &finished.report;
        assert_eq!((report.sn.as_deref(), report.pn.as_deref()), (Some("SN-7"), Some("board")));
        assert_eq!((report.rev.as_deref(), report.process_code, finished.notes.len()), (Some("1"), Some(20), 1));
        let Err(ConvertError::Faults(faults)) = finish(json!({"file_name": "(?<batch>X+)"})) else { panic!() };
        assert_eq!(faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), ["pn", "sn"]);
        let serial = |policy: &str| {
            finish(json!({"part_number": "P", "no_serial_number": policy})).map(|finished| finished.report.sn.unwrap())
        };
        assert_eq!(serial("file name").unwrap(), "SN-7_board");
        assert!(serial("generate").unwrap().starts_with("NOSN-") && serial("refuse").is_err());
        assert_eq!(serial("generate").unwrap(), serial("generate").unwrap());
    }

    #[test]
    fn units_that_measured_the_same_and_are_told_apart_by_the_names_of_their_files_are_two() {
        let station = station();
        let arguments = Map::from_iter([("file_name".into(), "(?<sn>[^_]+)_.*".into()), ("part_number".into(), "P".into())]);
        let id = |file_name: &'static str| {
            let mut unit = unit();
            unit.report.sn = None;
            Finisher::new("wsjf", "s", &station, Input { file_name, ..input(&arguments) }).finish(unit).unwrap().id
        };
        assert_ne!(id("A1_x.json"), id("A2_x.json"));
        assert_eq!(id("A1_x.json"), id("A1_x.json"));
    }

    #[test]
    fn a_second_reading_gives_the_same_ids_and_equal_retests_differ() {
        let station = station();
        let none = Map::new();
        let ids = || {
            let mut finisher = Finisher::new("wsjf", "s", &station, input(&none));
            [finisher.finish(unit()).unwrap().id, finisher.finish(unit()).unwrap().id]
        };
        assert_eq!(ids(), ids());
        assert_ne!(ids()[0], ids()[1]);
    }
}
