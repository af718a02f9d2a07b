//! A group, in whatever dialect, as a report.

use waybill_shared::report::{MiscInfo, Report, SeqCall, Status, Step, Uut};
use waybill_shared::text::printable;

use super::row::Row;
use crate::convert::common::{FILE_NAME, PART_NUMBER};
use crate::convert::ground::fit::fit;
use crate::convert::ground::names;
use crate::convert::ground::number;
use crate::convert::ground::steps;
use crate::convert::ground::time::Moment;
use crate::convert::ground::verdict::contradictions;
use crate::convert::ground::walk::Walk;
use crate::convert::{ConvertError, Input, Unit};

/// What stands above the groups of a block.
#[derive(Debug, Default, Clone)]
pub(super) struct Header {
    pub(super) model: String,
    pub(super) date: String,
    pub(super) seconds: String,
    pub(super) tester: String,
    /// Of all groups of the block; in `.atdx` of the one serial number.
    pub(super) serial: String,
    /// Everything else, under its name.
    pub(super) infos: Vec<(String, String)>,
    /// All of its lines.
    pub(super) text: String,
}

/// One board.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) header: Header,
    pub(super) number: String,
    pub(super) serial: String,
    pub(super) verdict: String,
    pub(super) infos: Vec<(String, String)>,
    steps: Vec<Step>,
    pub(super) notes: Vec<String>,
    hash: blake3::Hasher,
    /// What the serial line of the APT-94xx may hold besides.
    pub(super) combined: bool,
    /// The path of the model's program, where a row names it.
    pub(super) program: Option<String>,
}

/// Parts of `batch - SN (station - operator)`.
struct Serial<'a> {
    batch: Option<&'a str>,
    sn: &'a str,
    station: Option<&'a str>,
    operator: Option<&'a str>,
}

impl Group {
    pub(super) fn new(header: &Header) -> Self {
        let mut group = Self { header: header.clone(), ..Self::default() };
        group.hash.update(&(header.text.len() as u64).to_le_bytes()).update(header.text.as_bytes());
        group
    }

    /// Takes a line into what the group is known by.
    pub(super) fn hash(&mut self, line: &str) {
        self.hash.update(line.as_bytes()).update(b"\n");
    }

    /// What its attempts have in common.
    pub(super) fn identity(&self) -> (Option<String>, String, String) {
        (Some(self.serial.clone()), self.number.clone(), self.header.date.clone())
    }

    pub(super) fn row(&mut self, row: &Row) {
        let (step, note) = row.step();
        self.steps.push(step);
        self.notes.extend(note);
    }

    /// A row that cannot be read: it is kept as it is.
    pub(super) fn odd_row(&mut self, line: &str, number: u64, reason: &str) {
        let mut step = steps::action(&format!("line {number}"), Status::Error);
        step.error_message = Some(reason.to_owned());
        step.report_text = Some(line.to_owned());
        self.steps.push(step);
        self.notes.push(format!("line {number}: {reason}; the row is kept as a text"));
    }

    pub(super) fn has_rows(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Its report.
    pub(super) fn unit(self, input: &Input<'_>) -> Result<Unit, ConvertError> {
        let Self { header, number, serial, verdict, infos, steps, notes, hash, combined, program } = self;
        let mut walk = Walk::default();
        walk.notes(notes);
        let serial =
            if combined { combination(&serial) } else { Serial { batch: None, sn: &serial, station: None, operator: None } };
        let result = result(&verdict, &steps, &mut walk);
        let text = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let mut misc: Vec<MiscInfo> = Vec::new();
        let station = match serial.station {
            Some(station) => {
                steps::misc(&mut misc, "Tester", &header.tester);
                text(station)
            }
            None => text(&header.tester),
        };
        header.infos.iter().chain(&infos).for_each(|(name, text)| steps::misc(&mut misc, name, text));
        let socket = number.trim().parse().ok();
        if socket.is_none() {
            steps::misc(&mut misc, "Group", &number);
        }
        let seconds = header.seconds.trim().strip_suffix('s').unwrap_or(&header.seconds).trim();
        let exec_time = number::plain(seconds).filter(|number| number.as_f64() >= 0.0 && number.as_f64().is_finite());
        if exec_time.is_none() {
            steps::misc(&mut misc, "Test time", &header.seconds);
        }
        let name = text(&header.model).unwrap_or_else(|| "Takaya".to_owned());
        let mut root = steps::sequence(&name, result, steps);
        root.seq_call = Some(SeqCall { name: Some(name), path: program, ..SeqCall::default() });
        let mut report = Report {
            kind: Some("T".to_owned()),
            sn: names::serial_number(serial.sn.trim(), &mut walk),
            pn: part(&header.model, input, &mut walk),
            result: Some(result),
            machine_name: station,
            uut: Some(Uut {
                user: serial.operator.and_then(text),
                batch_sn: serial.batch.and_then(text),
                test_socket_index: socket,
                exec_time,
                ..Uut::default()
            }),
            root: Some(root),
            ..Report::default()
        };
        match moment(&header.date) {
            Some(start) => start.start(&mut report, &input.zone(), &mut walk),
            None if header.date.trim().is_empty() => {}
            None => {
                walk.note(format!("its date {:?} is no day, month, year and time", printable(&header.date, 40)));
                steps::misc(&mut misc, "Date", &header.date);
            }
        }
        report.misc_infos = (!misc.is_empty()).then_some(misc);
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        notes.extend(contradictions(&report));
        fit(&mut report, &mut notes);
        Ok(Unit { report, own_hash: *hash.finalize().as_bytes(), notes })
    }
}

/// The model stands for the part, unless the source says what does.
fn part(model: &str, input: &Input<'_>, walk: &mut Walk) -> Option<String> {
    let by_name = input.arguments.text(&FILE_NAME).is_some_and(|pattern| pattern.contains("<pn>"));
    if by_name || input.arguments.gives(&PART_NUMBER) || model.trim().is_empty() {
        return None;
    }
    let model = model.trim();
    let stem =
        model.rsplit_once('.').filter(|(_, end)| end.to_ascii_uppercase().starts_with("SW")).map_or(model, |(stem, _)| stem);
    walk.note(format!("it names no part number: the model {:?} stands for it", printable(stem, 60)));
    Some(stem.to_owned())
}

/// All four parts, or the whole as the serial number.
fn combination(text: &str) -> Serial<'_> {
    let parts = || {
        let (before, inside) = text.trim().strip_suffix(')')?.rsplit_once(" (")?;
        let (station, operator) = inside.split_once(" - ")?;
        let (batch, sn) = before.split_once(" - ")?;
        let all = [batch, sn, station, operator];
        all.iter().all(|part| !part.trim().is_empty()).then_some(Serial {
            batch: Some(batch),
            sn,
            station: Some(station),
            operator: Some(operator),
        })
    };
    parts().unwrap_or(Serial { batch: None, sn: text, station: None, operator: None })
}

/// Day, month, year of two digits or four, and time.
fn moment(text: &str) -> Option<Moment> {
    let year = text.trim().split('/').nth(2)?;
    match year.bytes().take_while(u8::is_ascii_digit).count() {
        2 => Moment::by(text, &["%d/%m/%y %H:%M:%S"]),
        4 => Moment::by(text, &["%d/%m/%Y %H:%M:%S"]),
        _ => None,
    }
}

/// The verdict on the group: its own, else that of its rows.
fn result(verdict: &str, steps: &[Step], walk: &mut Walk) -> Status {
    if let Some(status) = Status::parse(verdict) {
        return status;
    }
    if !verdict.trim().is_empty() {
        walk.note(format!("the verdict {:?} is not known", printable(verdict, 40)));
        return Status::Error;
    }
    walk.note("the group has no verdict of its own: that of its rows stands for it");
    let has = |status| steps.iter().any(|step| step.status == Some(status));
    [Status::Error, Status::Failed, Status::Passed].into_iter().find(|&status| has(status)).unwrap_or(Status::Done)
}
