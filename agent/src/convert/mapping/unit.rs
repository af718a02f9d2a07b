//! One unit in the making: what was found, what is wrong, and its report at the end.

use std::collections::HashSet;

use jiff::tz::TimeZone;
use waybill_shared::report::{Report, SeqCall, Status, Step, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use super::kinds::Pick;
use super::model::{Model, UnitFields};
use super::tree::Spot;
use super::values;
use super::view::{Found, View};
use crate::convert::ground::fit::fit;
use crate::convert::ground::number::Decimal;
use crate::convert::ground::time::{Moment, seconds};
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::{names, steps, verdict};
use crate::convert::{ConvertError, Input, Unit, common};

/// A unit, and where its values stand if that was asked for.
pub(super) struct Made {
    pub(super) unit: Result<Unit, ConvertError>,
    pub(super) told: Vec<Tell>,
}

/// A value that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Tell {
    /// Key of the mapping.
    pub field: String,
    /// What was found.
    pub value: String,
    /// Where it stands.
    pub place: String,
}

/// What is told of every unit of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// True if places are told.
    pub(super) places: bool,
    /// Notes of the file.
    pub(super) notes: Vec<String>,
}

impl Told {
    pub(super) fn new(places: bool, note: Option<String>) -> Self {
        Self { places, notes: note.into_iter().collect() }
    }
}

/// A unit in the making.
pub(super) struct Making<'a> {
    pub(super) model: &'a Model,
    pub(super) decimal: Decimal,
    pub(super) walk: Walk,
    /// Values of a tree that were found: what is left is kept elsewhere.
    pub(super) used: HashSet<Spot>,
    /// Where a value stands, if that is asked for.
    told: Option<Vec<Tell>>,
    file_name: &'a str,
    zone: TimeZone,
}

impl<'a> Making<'a> {
    pub(super) fn new(model: &'a Model, input: &Input<'a>, decimal: Decimal, told: &Told) -> Self {
        let zone = match &model.time.zone {
            Some(named) if !input.arguments.gives(&common::TIME_ZONE) => named.0.clone(),
            _ => input.zone(),
        };
        let mut walk = Walk::default();
        walk.notes(told.notes.iter().cloned());
        let (used, told) = (HashSet::new(), told.places.then(Vec::new));
        Self { model, decimal, walk, used, told, file_name: input.file_name, zone }
    }

    /// The value of a field.
    pub(super) fn pick(&mut self, view: View<'_>, table: &str, field: &str, pick: Option<&Pick>) -> Option<Found> {
        match view.find(pick?, self.file_name, &self.model.text.empty) {
            Ok(found) => {
                let found = found?;
                self.used.extend(found.spot);
                self.tell(&format!("{table}.{field}"), &found.text, &found.place);
                Some(found)
            }
            Err(message) => {
                self.walk.in_key(table, |walk| walk.in_key(field, |walk| walk.fault(FaultKind::Missing, message)));
                None
            }
        }
    }

    pub(super) fn tell(&mut self, field: &str, value: &str, place: &str) {
        if let Some(told) = &mut self.told {
            told.push(Tell { field: field.to_owned(), value: value.to_owned(), place: place.to_owned() });
        }
    }

    pub(super) fn fault(&mut self, field: &str, kind: FaultKind, message: String) {
        self.walk.in_key(field, |walk| walk.fault(kind, message));
    }

    /// The unit, with what its view says of it as a whole.
    pub(super) fn unit(
        mut self,
        view: View<'_>,
        steps_of_it: Vec<Step>,
        infos: Vec<(String, String)>,
        lines: Lines,
        own_hash: [u8; 32],
    ) -> Made {
        let report = self.report(view, steps_of_it, &infos, lines);
        let Self { walk, told, .. } = self;
        let unit = walk.finish().map_err(ConvertError::Faults).map(|mut notes| {
            let mut report = report;
            notes.extend(verdict::contradictions(&report));
            fit(&mut report, &mut notes);
            Unit { report, own_hash, notes }
        });
        Made { unit, told: told.unwrap_or_default() }
    }

    fn report(&mut self, view: View<'_>, steps_of_it: Vec<Step>, left: &[(String, String)], lines: Lines) -> Report {
        let model = self.model;
        let fields = &model.unit;
        let mut infos = Vec::new();
        let text = |making: &mut Self, field: &str, pick: &Option<Pick>| {
            making.pick(view, "unit", field, pick.as_ref()).map(|found| found.text)
        };
        let sn = text(self, "sn", &fields.sn).and_then(|text| names::serial_number(&text, &mut self.walk));
        let pn = text(self, "pn", &fields.pn);
        let rev = text(self, "rev", &fields.rev);
        let station = text(self, "station", &fields.station);
        let location = text(self, "location", &fields.location);
        let purpose = text(self, "purpose", &fields.purpose);
        let mut uut = Uut {
            user: text(self, "operator", &fields.operator),
            batch_sn: text(self, "batch", &fields.batch),
            fixture_id: text(self, "fixture", &fields.fixture),
            error_message: text(self, "error_message", &fields.error_message),
            comment: text(self, "comment", &fields.comment),
            ..Uut::default()
        };
        let whole = |text: Option<String>| text.map(|text| (text.trim().parse::<i64>(), text));
        let process_code = match whole(text(self, "process_code", &fields.process_code)) {
            Some((Err(_), text)) => {
                let message = format!("{:?} is no number of an operation", printable(&text, 40));
                self.walk.in_key("unit", |walk| walk.in_key("process_code", |walk| walk.fault(FaultKind::OutOfRange, message)));
                None
            }
            found => found.and_then(|(code, _)| code.ok()),
        };
        for (name, pick, field) in
            [("socket", &fields.socket, &mut uut.test_socket_index), ("error_code", &fields.error_code, &mut uut.error_code)]
        {
            match whole(text(self, name, pick)) {
                Some((Ok(number), _)) => *field = Some(number),
                Some((Err(_), text)) => steps::misc(&mut infos, name, &text),
                None => {}
            }
        }
        let sequence = text(self, "sequence", &fields.sequence);
        let path = text(self, "sequence_path", &fields.sequence_path);
        let version = text(self, "sequence_version", &fields.sequence_version);
        if let Some(took) = text(self, "exec_time", &fields.exec_time) {
            uut.exec_time = values::seconds(&took, fields.exec_time_unit, self.decimal);
            if uut.exec_time.is_none() {
                self.walk.note(format!("the time that it took, {:?}, is none that can be read", printable(&took, 40)));
                steps::misc(&mut infos, "exec_time", &took);
            }
        }
        let start = self.moment(view, "start", fields);
        let end = self.moment(view, "end", fields);
        let result = self.result(view, fields, &steps_of_it);
        for (name, value) in left {
            steps::misc(&mut infos, name, value);
        }
        let name = sequence.unwrap_or_else(|| model.name.clone());
        let root = steps::sequence(&name, result, steps_of_it);
        let call = SeqCall { name: Some(name), path, version, ..SeqCall::default() };
        let mut report = Report {
            kind: Some("T".to_owned()),
            sn,
            pn,
            rev,
            process_code,
            result: Some(result),
            machine_name: station,
            location,
            purpose,
            ..Report::default()
        };
        if let Some(start) = start {
            start.start(&mut report, &self.zone, &mut self.walk);
        }
        if let (Some(start), Some(end), None) = (start, end, &uut.exec_time) {
            let mut again = Walk::default();
            let both = (start.zoned(&self.zone, &mut again), end.zoned(&self.zone, &mut again));
            if let (Some(from), Some(to)) = both {
                uut.exec_time = seconds(&from, &to, &mut self.walk);
            }
        }
        report.root =
            Some(Step { seq_call: Some(call), tot_time: uut.exec_time.clone(), report_text: lines.into_text(), ..root });
        report.uut = Some(uut);
        report.misc_infos = (!infos.is_empty()).then_some(infos);
        report
    }

    fn moment(&mut self, view: View<'_>, field: &str, fields: &UnitFields) -> Option<Moment> {
        let (date, time) = if field == "start" { (&fields.start, &fields.start_time) } else { (&fields.end, &fields.end_time) };
        let date = self.pick(view, "unit", field, date.as_ref())?.text;
        let time = self.pick(view, "unit", &format!("{field}_time"), time.as_ref()).map(|found| found.text);
        let text = time.map_or_else(|| date.clone(), |time| format!("{date} {time}"));
        let found = values::moment(self.model, &text);
        if found.is_none() {
            let known = self.model.time.formats.join(", ");
            let known = if known.is_empty() { "ISO 8601".to_owned() } else { known };
            let message = format!("{:?} is no time as time.formats says ({known})", printable(&text, 60));
            self.walk.in_key("unit", |walk| walk.in_key(field, |walk| walk.fault(FaultKind::OutOfRange, message)));
        }
        found
    }

    /// The verdict of the file, else the worst of the steps.
    fn result(&mut self, view: View<'_>, fields: &UnitFields, steps_of_it: &[Step]) -> Status {
        let made = worst(steps_of_it);
        let Some(found) = self.pick(view, "unit", "result", fields.result.as_ref()) else { return made };
        let Some(said) = values::status(&self.model.status, &found.text) else {
            let message = format!("the verdict {:?} is not known; [status] can say it", printable(&found.text, 40));
            self.walk.in_key("unit", |walk| walk.in_key("result", |walk| walk.fault(FaultKind::OutOfRange, message)));
            return made;
        };
        if said == Status::Passed && matches!(made, Status::Failed | Status::Error) {
            let count = steps_of_it.iter().filter(|step| matches!(step.status, Some(Status::Failed | Status::Error))).count();
            self.walk.note(format!("the file says that the unit has passed; {count} of its steps have not"));
        }
        if said == Status::Skipped { Status::Done } else { said }
    }
}

/// The worst verdict of steps.
pub(super) fn worst(steps: &[Step]) -> Status {
    let has = |status| steps.iter().any(|step| step.status == Some(status));
    let ranked = [Status::Error, Status::Terminated, Status::Failed, Status::Passed];
    ranked.into_iter().find(|&status| has(status)).unwrap_or(Status::Done)
}
