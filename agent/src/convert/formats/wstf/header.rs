//! Keys of the header and of the footer to the fields of a report.

use jiff::tz::{Offset, TimeZone};
use waybill_shared::report::{MiscInfo, Num, Report, SeqCall, Status, Step, SubUnit, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use super::rows;
use crate::convert::ground::names::{normalised, serial_number};
use crate::convert::ground::steps;
use crate::convert::ground::time::Moment;
use crate::convert::ground::walk::Walk;

/// Keys that a report has a field for, as they are without case and punctuation.
const KNOWN: [&str; 21] = [
    "serialnumber",
    "partnumber",
    "revision",
    "operationtypename",
    "operationtypecode",
    "uutstatus",
    "errorcode",
    "errormessage",
    "startdatetime",
    "utcstartdatetime",
    "executiontime",
    "stationname",
    "operatorname",
    "testsocketindex",
    "fixtureid",
    "softwarename",
    "softwareversion",
    "batchserialnumber",
    "comment",
    "batchloopindex",
    "batchfailcount",
];

/// What header and footer say. The last of several that say something counts.
#[derive(Default)]
pub(super) struct Header {
    known: Vec<(&'static str, String)>,
    infos: Vec<MiscInfo>,
    sub_units: Vec<SubUnit>,
}

impl Header {
    /// A line of key and value.
    pub(super) fn line(&mut self, text: &str, walk: &mut Walk) {
        let mut cells = text.split('\t').map(str::trim);
        let key = cells.next().unwrap_or_default();
        let values: Vec<&str> = cells.collect();
        let name = normalised(key);
        if name == "subunit" {
            let cell = |at: usize| values.get(at).filter(|text| !text.is_empty()).map(|&text| text.to_owned());
            let [part_type, pn, sn, rev] = [cell(0), cell(1), cell(2), cell(3)];
            if values.iter().skip(4).any(|text| !text.is_empty()) {
                walk.note(format!("the subunit says more than type, part number, serial number and revision: {text:?}"));
            }
            self.sub_units.push(SubUnit { part_type, pn, sn, rev, ..SubUnit::default() });
            return;
        }
        let value = values.join("; ");
        let value = value.trim_end_matches([';', ' ']);
        match KNOWN.iter().find(|known| **known == name) {
            _ if value.is_empty() => {}
            Some(known) => {
                self.known.retain(|(key, _)| key != known);
                self.known.push((known, value.to_owned()));
            }
            None => steps::misc(&mut self.infos, if key.is_empty() { "header" } else { key }, value),
        }
    }

    /// The report without its steps; `by_steps` is the verdict that they give if there is no other.
    pub(super) fn report(mut self, zone: &TimeZone, by_steps: Option<Status>, walk: &mut Walk) -> Report {
        let software = self.take("softwarename");
        let name = software.clone().unwrap_or_else(|| "MainSequence".to_owned());
        let call = SeqCall { name: Some(name.clone()), version: self.take("softwareversion"), ..SeqCall::default() };
        let result = match self.take("uutstatus") {
            Some(text) => rows::status(&text, walk),
            None => {
                walk.note("the unit has no UUTStatus: it has that of its steps");
                by_steps.map(|status| if status == Status::Skipped { Status::Done } else { status })
            }
        };
        let mut report = Report {
            kind: Some("T".to_owned()),
            sn: self.take("serialnumber").and_then(|text| serial_number(&text, walk)),
            pn: self.take("partnumber"),
            rev: self.take("revision"),
            machine_name: self.take("stationname"),
            result,
            root: Some(Step { seq_call: Some(call), ..steps::sequence(&name, result.unwrap_or(Status::Done), Vec::new()) }),
            ..Report::default()
        };
        self.process(&mut report);
        self.start(zone, &mut report, walk);
        let exec_time = self.number("executiontime", walk);
        if let Some(root) = &mut report.root {
            root.tot_time.clone_from(&exec_time);
        }
        report.uut = Some(Uut {
            user: self.take("operatorname"),
            comment: self.take("comment"),
            exec_time,
            fixture_id: self.take("fixtureid"),
            test_socket_index: self.whole("testsocketindex", walk),
            error_code: self.whole("errorcode", walk),
            error_message: self.take("errormessage"),
            batch_sn: self.take("batchserialnumber"),
            batch_fail_count: self.whole("batchfailcount", walk),
            batch_loop_index: self.whole("batchloopindex", walk),
            ..Uut::default()
        });
        report.misc_infos = Some(self.infos).filter(|infos| !infos.is_empty());
        report.sub_units = Some(self.sub_units).filter(|units| !units.is_empty());
        report
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.known.iter().position(|(known, _)| *known == key)?;
        Some(self.known.remove(at).1)
    }

    /// The number of the operation; a name alone is information.
    fn process(&mut self, report: &mut Report) {
        for key in ["operationtypecode", "operationtypename"] {
            let Some(text) = self.take(key) else { continue };
            match text.parse::<i64>() {
                Ok(code) if report.process_code.is_none() => report.process_code = Some(code),
                _ => {
                    let name = if key == "operationtypecode" { "OperationTypeCode" } else { "OperationTypeName" };
                    steps::misc(&mut self.infos, name, &text);
                }
            }
        }
    }

    /// A time that cannot be read is a fault: another one would stand in its place.
    fn start(&mut self, zone: &TimeZone, report: &mut Report, walk: &mut Walk) {
        let mut moment = |key: &str, shown: &str, walk: &mut Walk| {
            let text = self.take(key)?;
            let found = Moment::iso(&text);
            if found.is_none() {
                let text = printable(&text, 40);
                walk.in_key(shown, |walk| {
                    walk.fault(FaultKind::OutOfRange, format!("{text:?} is no time as 2026-01-30T12:26:16"))
                });
            }
            found
        };
        let local = moment("startdatetime", "StartDateTime", walk);
        let utc = match moment("utcstartdatetime", "UTCStartDateTime", walk) {
            Some(Moment::Local(civil)) => Some(Moment::Offset(civil, Offset::UTC)),
            other => other,
        };
        match (local, utc) {
            (Some(Moment::Local(local)), Some(Moment::Offset(utc, Offset::UTC))) => {
                let between = local.duration_since(utc).as_secs();
                let offset = i32::try_from(between).ok().filter(|seconds| seconds % 900 == 0 && seconds.abs() <= 14 * 3600);
                match offset.and_then(|seconds| Offset::from_seconds(seconds).ok()) {
                    Some(offset) => Moment::Offset(local, offset).start(report, zone, walk),
                    None => {
                        walk.note("StartDateTime and UTCStartDateTime are not of one moment: the latter counts");
                        Moment::Offset(utc, Offset::UTC).start(report, zone, walk);
                        steps::misc(&mut self.infos, "StartDateTime", &local.to_string());
                    }
                }
            }
            (Some(local), _) => local.start(report, zone, walk),
            (None, Some(utc)) => {
                if let Some(utc) = utc.zoned(zone, walk) {
                    Moment::Instant(utc.timestamp()).start(report, zone, walk);
                }
            }
            (None, None) => {}
        }
    }

    fn number(&mut self, key: &str, walk: &mut Walk) -> Option<Num> {
        let text = self.take(key)?;
        let found = rows::number(&text).filter(|number| number.as_f64() >= 0.0 && number.as_f64().is_finite());
        self.or_info(found, key, &text, walk)
    }

    fn whole(&mut self, key: &str, walk: &mut Walk) -> Option<i64> {
        let text = self.take(key)?;
        self.or_info(text.parse().ok(), key, &text, walk)
    }

    /// What is no number where one should be is information.
    fn or_info<T>(&mut self, found: Option<T>, key: &str, text: &str, walk: &mut Walk) -> Option<T> {
        if found.is_none() {
            walk.note(format!("{key} is no number: {:?} stands among the information on the unit", printable(text, 40)));
            steps::misc(&mut self.infos, key, text);
        }
        found
    }
}
