//! What a report says of its unit, of the station and of its time.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use waybill_shared::report::{MiscInfo, Report, Status, Step, SubUnit, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use crate::convert::ground::fit::fit;
use crate::convert::ground::names;
use crate::convert::ground::steps;
use crate::convert::ground::teststand::prop::{Prop, whole};
use crate::convert::ground::teststand::{few, mark_failure, status, worst};
use crate::convert::ground::time::Moment;
use crate::convert::ground::verdict::contradictions;
use crate::convert::ground::walk::Walk;
use crate::convert::ground::xml::Element;
use crate::convert::{ConvertError, Unit};

/// What stands around the results.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// `UUTResult` and `Link` of `Report`.
    result: Option<String>,
    link: Option<String>,
    /// `ReportInfo` of the WATS client.
    infos: Vec<(String, String)>,
    props: Vec<Prop>,
    others: Vec<(String, String)>,
}

impl Header {
    /// The report begins.
    pub(super) fn begin(&mut self, report: Element<'_>) {
        for (name, value) in report.attributes() {
            match name {
                "UUTResult" => self.result = Some(value.to_owned()),
                "Link" => self.link = Some(value.to_owned()),
                "Type" | "Title" | "StepCount" => {}
                _ => self.others.push((name.to_owned(), value.to_owned())),
            }
        }
    }

    /// An element beside the results; true if it says that numbers have a comma.
    pub(super) fn element(&mut self, element: Element<'_>) -> bool {
        match (element.name(), element.attribute("Name")) {
            ("ReportInfo", _) => {
                let text = |name: &str| element.attribute(name).unwrap_or_default().to_owned();
                self.infos.push((text("key"), text("value")));
                false
            }
            ("Prop", Some("ReportOptions")) => {
                let options = Prop::of(element);
                options.said("UseLocalizedDecimalPoint").is_some_and(|text| text.eq_ignore_ascii_case("true"))
            }
            ("Prop", _) => {
                self.props.push(Prop::of(element));
                false
            }
            (name, _) => {
                if !element.text().trim().is_empty() {
                    self.others.push((name.to_owned(), element.text().trim().to_owned()));
                }
                false
            }
        }
    }

    fn prop(&self, name: &str) -> Option<&Prop> {
        self.props.iter().find(|prop| prop.name == name)
    }

    fn info(&self, key: &str) -> Option<&str> {
        self.infos.iter().find(|(known, _)| known == key).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// The unit, with its results.
    pub(super) fn unit(
        self,
        mut roots: Vec<Step>,
        zone: &TimeZone,
        own_hash: [u8; 32],
        mut walk: Walk,
    ) -> Result<Unit, ConvertError> {
        let mut report = Report { kind: Some("T".to_owned()), ..Report::default() };
        let mut infos = Vec::new();
        let mut uut = Uut::default();
        self.unit_under_test(&mut report, &mut uut, &mut infos, &mut walk);
        self.station(&mut report, &mut uut, &mut infos);
        self.wats(&mut report, &mut infos, &mut walk);
        self.start(&mut report, zone, &mut walk);
        for (name, value) in &self.others {
            steps::misc(&mut infos, name, value);
        }
        let known = ["UUT", "StationInfo", "StartTime", "StartDate"];
        self.props.iter().filter(|prop| !known.contains(&prop.name.as_str())).for_each(|prop| rest(prop, &mut infos));
        let mut root = match (roots.pop(), roots.is_empty()) {
            (Some(only), true) if only.is_sequence_call() => only,
            (Some(last), _) => {
                roots.push(last);
                steps::sequence("MainSequence", worst(&roots), roots)
            }
            (None, _) => {
                walk.note("it has no result of a step");
                let verdict = self.result.as_deref().and_then(status).unwrap_or(Status::Done);
                steps::sequence("MainSequence", verdict, Vec::new())
            }
        };
        report.result = self.verdict(&root, &mut walk);
        uut.exec_time = root.tot_time.clone();
        (uut.error_code, uut.error_message) = (root.error_code, root.error_message.clone());
        self.failure(&mut root, &mut uut, &mut infos);
        report.uut = Some(uut);
        report.root = Some(root);
        report.misc_infos = Some(infos).filter(|infos| !infos.is_empty());
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        notes.extend(contradictions(&report));
        fit(&mut report, &mut notes);
        few(&mut notes);
        Ok(Unit { report, own_hash, notes })
    }

    /// `UUTResult`, else the status of the root.
    fn verdict(&self, root: &Step, walk: &mut Walk) -> Option<Status> {
        let text = self.result.as_deref().or_else(|| self.info("Result")).map(str::trim).filter(|text| !text.is_empty());
        let found = match text {
            None => root.status,
            Some(text) => {
                let found = status(text);
                if found.is_none() {
                    walk.fault(FaultKind::OutOfRange, format!("the result {:?} is no verdict", printable(text, 40)));
                }
                found
            }
        };
        if found == Some(Status::Skipped) {
            walk.note("the unit was not tested: it is Terminated");
            return Some(Status::Terminated);
        }
        found
    }

    fn unit_under_test(&self, report: &mut Report, uut: &mut Uut, infos: &mut Vec<MiscInfo>, walk: &mut Walk) {
        let Some(of) = self.prop("UUT") else { return };
        let text = |name: &str| of.said(name).map(str::to_owned);
        report.sn = of.said("SerialNumber").and_then(|text| names::serial_number(text, walk));
        report.pn = text("UUTPartNumber").or_else(|| text("PartNumber"));
        if let (Some(other), true) = (of.said("PartNumber"), of.said("PartNumber") != report.pn.as_deref()) {
            steps::misc(infos, "PartNumber", other);
        }
        report.rev = text("UUTPartRevisionNumber");
        report.process_code = of.whole("UUTOperationType").filter(|&code| code > 0);
        uut.batch_sn = text("BatchSerialNumber");
        uut.test_socket_index = of.whole("TestSocketIndex").filter(|&socket| socket >= 0);
        uut.batch_fail_count = of.whole("BatchFailCount");
        uut.batch_loop_index = of.whole("BatchLoopIndex");
        uut.comment = text("Comment");
        uut.fixture_id = text("UUT_Fixture_ID");
        for prop in &of.members {
            match prop.name.as_str() {
                "SerialNumber"
                | "UUTPartNumber"
                | "PartNumber"
                | "UUTPartRevisionNumber"
                | "BatchSerialNumber"
                | "Comment"
                | "UUT_Fixture_ID"
                | "CriticalFailureStack" => {}
                "UUTOperationType" if report.process_code.is_some() || of.whole("UUTOperationType") == Some(0) => {}
                "TestSocketIndex" | "BatchFailCount" | "BatchLoopIndex" if whole(&prop.text).is_some() => {}
                // That there is none.
                "UnitRef" if prop.text.trim() == "Nothing" => {}
                "MiscUUTResult" => self::results(prop, report, infos),
                "UUTOperationTypeDetails" => {
                    let mut detail = prop.clone();
                    detail.members.retain(|member| !matches!(member.text.trim(), "" | "0"));
                    rest(&detail, infos);
                }
                _ => rest(prop, infos),
            }
        }
    }

    fn station(&self, report: &mut Report, uut: &mut Uut, infos: &mut Vec<MiscInfo>) {
        let Some(station) = self.prop("StationInfo") else { return };
        for prop in &station.members {
            let text = Some(prop.text.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
            match prop.name.as_str() {
                "StationID" => report.machine_name = text,
                "LoginName" => uut.user = text,
                "Location" => report.location = text,
                "Purpose" => report.purpose = text,
                _ => rest(prop, infos),
            }
        }
    }

    /// What the WATS client says of the report wins over what TestStand had.
    fn wats(&self, report: &mut Report, infos: &mut Vec<MiscInfo>, walk: &mut Walk) {
        let text = |key: &str| self.info(key).map(str::to_owned);
        report.id = text("ID");
        // The report of another unit would be overwritten by one whose id is none.
        let is_one = report.report_id().is_some_and(|id| id.to_string().chars().any(|c| !matches!(c, '0' | '-')));
        report.id = report.id.take().filter(|_| is_one);
        if let Some(sn) = self.info("SN") {
            report.sn = names::serial_number(sn, walk);
        }
        report.pn = text("PN").or(report.pn.take());
        report.rev = text("Rev").or(report.rev.take());
        if let Some(code) = self.info("PCode") {
            match whole(code) {
                Some(code) => report.process_code = Some(code),
                None => steps::misc(infos, "PCode", code),
            }
        }
        for (key, value) in &self.infos {
            let is_known = match key.as_str() {
                "SN" | "PN" | "Rev" | "PCode" | "Start" | "Result" => true,
                "ID" => report.id.is_some(),
                _ => false,
            };
            if !is_known {
                steps::misc(infos, key, value);
            }
        }
    }

    fn start(&self, report: &mut Report, zone: &TimeZone, walk: &mut Walk) {
        if let Some(text) = self.info("Start") {
            match Moment::iso(text) {
                Some(moment) => return moment.start(report, zone, walk),
                None => walk.note(format!("Start {:?} is no time", printable(text, 40))),
            }
        }
        let linked = self.link.as_deref().and_then(linked);
        let said = self.said();
        match (said, linked) {
            (Some(said), Some(linked)) if said != linked => {
                walk.note(format!("it says that it began {said}, and its Link {linked}: the former is taken"));
            }
            (None, Some(linked)) => walk.note(format!("it does not say when it began; its Link says {linked}")),
            _ => {}
        }
        if let Some(moment) = said.or(linked) {
            Moment::Local(moment).start(report, zone, walk);
        }
    }

    /// The numeric parts of `StartDate` and `StartTime`.
    fn said(&self) -> Option<DateTime> {
        let (date, time) = (self.prop("StartDate")?, self.prop("StartTime"));
        let of = |name: &str| time.and_then(|time| time.whole(name)).unwrap_or(0);
        civil([
            date.whole("Year")?,
            date.whole("Month")?,
            date.whole("MonthDay")?,
            of("Hours"),
            of("Minutes"),
            of("Seconds"),
            of("Milliseconds"),
        ])
    }

    /// The step that made the unit fail: the deepest of `CriticalFailureStack`, by the numbers of the results.
    fn failure(&self, root: &mut Step, uut: &mut Uut, infos: &mut Vec<MiscInfo>) {
        let Some(stack) = self.prop("UUT").and_then(|uut| uut.get("CriticalFailureStack")) else { return };
        for entry in &stack.members {
            let text = |name: &str| entry.said(name).unwrap_or_default();
            let words = format!("{} in {} ({})", text("StepName"), text("SequenceName"), text("SequenceFileName"));
            steps::misc(infos, "Critical failure", &words);
        }
        let numbers: Vec<_> = stack.members.iter().filter_map(|entry| entry.whole("ResultId")).collect();
        uut.step_id_caused_uut_failure = mark_failure(root, &numbers);
    }
}

/// Parts of the unit, and free names and values, as the WATS client has them.
fn results(results: &Prop, report: &mut Report, infos: &mut Vec<MiscInfo>) {
    for prop in &results.members {
        match prop.name.as_str() {
            "UUT_Part_Info" => {
                for part in &prop.members {
                    let text = |name: &str| part.said(name).map(str::to_owned);
                    let unit = SubUnit {
                        part_type: text("Part_Type"),
                        pn: text("Part_Number"),
                        sn: text("Part_Serial_Number"),
                        rev: text("Part_Revision_Number"),
                        ..SubUnit::default()
                    };
                    if unit != SubUnit::default() {
                        report.sub_units.get_or_insert_default().push(unit);
                    }
                }
            }
            "Misc_UUT_Info" => {
                for info in &prop.members {
                    let name = info.said("Description").unwrap_or("Misc_UUT_Info");
                    let text = info.said("Data_String");
                    steps::misc(infos, name, text.or_else(|| info.said("Data_Numeric")).unwrap_or_default());
                    if let (Some(_), Some(number)) = (text, info.said("Data_Numeric").filter(|number| whole(number) != Some(0))) {
                        steps::misc(infos, &format!("{name} (number)"), number);
                    }
                }
            }
            _ => rest(prop, infos),
        }
    }
}

/// Each value of a property, as information on the unit.
fn rest(prop: &Prop, infos: &mut Vec<MiscInfo>) {
    prop.pairs().iter().for_each(|(name, text)| steps::misc(infos, name, text));
}

/// `-1-2022-7-1-15-47-48-927`: a socket, then the date and the time to the millisecond.
fn linked(link: &str) -> Option<DateTime> {
    let mut parts: Vec<i64> = link.rsplitn(8, '-').take(7).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    parts.reverse();
    civil(parts.try_into().ok()?)
}

fn civil([year, month, day, hour, minute, second, millisecond]: [i64; 7]) -> Option<DateTime> {
    let small = |number: i64| i8::try_from(number).ok();
    let subsecond = i32::try_from(millisecond).ok().filter(|ms| (0..1000).contains(ms))? * 1_000_000;
    let year = i16::try_from(year).ok()?;
    DateTime::new(year, small(month)?, small(day)?, small(hour)?, small(minute)?, small(second)?, subsecond).ok()
}
