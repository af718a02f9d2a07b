//! From records to units: what the file says of the lot, the parts that are tested, and the unit that each is at its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use waybill_shared::report::{MiscInfo, Num, Report, SeqCall, Status, Uut};
use waybill_shared::text::printable;

use super::catalog::{Catalog, Kind, TooMany};
use super::fields::{Fields, Order};
use super::part::{MOST, Names, Part, worst};
use super::records::{Ftr, MIR_TEXTS, Mpr, Prr, Ptr, SDR_TEXTS, generic, hexadecimal, is_set};
use super::source::Record;
use super::{CLOCK, NTH, PARTS, SERIAL_NUMBER, Words};
use crate::convert::ground::fit::fit;
use crate::convert::ground::time::Moment;
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::{names, number, steps, verdict};
use crate::convert::{ConvertError, Input, Sink, Unit};

/// Most parts that are tested at once, results that all of them hold together, and sites, names of tests and texts that a lot keeps: beyond what
/// testers do, and what a hostile file can make of memory.
const MOST_PARTS: usize = 1024;
const MOST_HELD: usize = 4 * MOST;
const MOST_SITES: usize = 4096;
const MOST_NAMES: usize = 200_000;
const MOST_LINES: usize = 200;
const MOST_SECTIONS: usize = 100;
/// Most of what is told of a lot beside MIR.
const MOST_INFOS: usize = 200;
/// Results after which the parts are weighed.
const WEIGHED_EACH: usize = 256;

/// HEAD_NUM and SITE_NUM.
type Place = (u8, u8);

/// What is known of the file so far.
pub(super) struct Lot<'i, 'a> {
    input: &'i Input<'a>,
    order: Order,
    words: Words,
    zone: TimeZone,
    catalog: Catalog,
    header: Header,
    /// SDR by head and site group.
    sites: BTreeMap<(u8, u8), Sites>,
    /// WIR by head and site group: the wafers that are not at their end.
    wafers: BTreeMap<(u8, u8), Rc<str>>,
    pins: HashMap<u16, String>,
    tests: HashMap<u32, String>,
    /// Names of bins: hard ones and soft ones.
    bins: [HashMap<u16, String>; 2],
    parts: HashMap<Place, Part>,
    since_weighed: usize,
    /// Program sections that are open; true for those that were when no part was tested.
    sections: Vec<(Rc<str>, bool)>,
    /// Texts of the tester while no part was tested, and how many more there were.
    lines: (Vec<String>, usize),
    /// Parts of each place, and milliseconds that they took.
    done: HashMap<Place, (u64, u64)>,
    ordinal: u64,
    unknown: BTreeSet<(u8, u8)>,
    /// For the next unit.
    notes: Vec<String>,
    /// The last record was MRR.
    is_ended: bool,
}

/// What MIR says.
#[derive(Default)]
struct Header {
    hash: [u8; 32],
    start: Option<u32>,
    lot: Option<String>,
    part: Option<String>,
    station: Option<String>,
    operator: Option<String>,
    job: Option<String>,
    job_revision: Option<String>,
    revision: Option<String>,
    infos: Vec<MiscInfo>,
}

/// Sites of a group and their equipment.
struct Sites {
    numbers: Vec<u8>,
    infos: Vec<MiscInfo>,
    fixture: Option<String>,
}

impl<'i, 'a> Lot<'i, 'a> {
    pub(super) fn new(input: &'i Input<'a>, order: Order) -> Self {
        Self {
            input,
            order,
            words: Words::new(input.arguments),
            zone: input.zone(),
            catalog: Catalog::default(),
            header: Header::default(),
            sites: BTreeMap::new(),
            wafers: BTreeMap::new(),
            pins: HashMap::new(),
            tests: HashMap::new(),
            bins: Default::default(),
            parts: HashMap::new(),
            since_weighed: 0,
            sections: Vec::new(),
            lines: Default::default(),
            done: HashMap::new(),
            ordinal: 0,
            unknown: BTreeSet::new(),
            notes: Vec::new(),
            is_ended: false,
        }
    }

    /// Takes one record.
    pub(super) fn record(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut fields = Fields::new(record.data, self.order);
        let fields = &mut fields;
        match record.kind {
            (15, 10) => self.ptr(record, fields)?,
            (15, 15) => self.mpr(record, fields)?,
            (15, 20) => self.ftr(record, fields)?,
            (5, 10) => self.pir(record, fields, sink)?,
            (5, 20) => self.prr(record, fields, sink)?,
            (20, 10) => self.begin_section(fields),
            (20, 20) => self.end_section(),
            (50, 30) => {
                let text = self.words.text(fields.cn().unwrap_or_default());
                self.line(record, text);
            }
            (50, 10) => {
                let words = self.words;
                let text = generic(fields, |bytes| words.text(bytes)).join("; ");
                self.line(record, text);
            }
            (1, 10) => self.mir(record, fields),
            (1, 80) => self.sdr(fields),
            (2, 10) => self.wir(fields),
            (2, 20) => {
                if let (Some(head), Some(group)) = (fields.u1(), fields.u1()) {
                    self.wafers.remove(&(head, group));
                }
            }
            (1, 40) => self.bin(fields, 0),
            (1, 50) => self.bin(fields, 1),
            (1, 60) => self.pin(fields),
            (10, 30) => self.tsr(fields),
            (0, 20) => {
                let _time = fields.u4();
                let command = self.words.text(fields.cn().unwrap_or_default());
                self.info("ATR CMD_LINE", &command);
            }
            (1, 70) => {
                let count = fields.u2().unwrap_or_default();
                let bins = fields.u2s(count).unwrap_or_default();
                let bins = bins.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
                self.info("Retested bins", if count == 0 { "all" } else { &bins });
            }
            // The file of another lot was put behind this one.
            (0, 10) if record.at > 0 => {
                self.end(record.at, sink)?;
                *self = Self { ordinal: self.ordinal, ..Self::new(self.input, self.order) };
            }
            (1, 20) => self.is_ended = true,
            // FAR, PCR, PGR, PLR, WCR, and padding.
            (0, 10) | (1, 30 | 62 | 63) | (2, 30) | (0, 0) => {}
            (kind, sub) => {
                if self.unknown.insert((kind, sub)) && self.unknown.len() <= 20 {
                    self.notes.push(format!("records of type {kind}, subtype {sub}, are not of version 4 and were passed over"));
                }
            }
        }
        if fields.is_cut() {
            let note = format!("the record of type {:?} at byte {} ends within a field", record.kind, record.at);
            if self.notes.len() < 20 {
                self.notes.push(note);
            }
        }
        Ok(())
    }

    /// The file ends here.
    pub(super) fn end(&mut self, at: u64, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let place = format!("byte {at}");
        let nothing = if self.ordinal == 0 { "; no part was tested" } else { "" };
        if !self.is_ended {
            let reason = format!("it has no MRR record, which is the last one{nothing}");
            return Err(ConvertError::Incomplete { place, reason });
        }
        let mut open: Vec<Place> = self.parts.drain().map(|(place, _)| place).collect();
        open.sort_unstable();
        for place in open {
            give(sink, Err(unfinished(place)))?;
        }
        if self.ordinal == 0 {
            return Err(ConvertError::Malformed { place, reason: "no part was tested: it has no PRR record".to_owned() });
        }
        Ok(())
    }

    fn mir(&mut self, record: Record<'_>, fields: &mut Fields<'_>) {
        let mut header = Header { hash: *blake3::hash(record.data).as_bytes(), ..Header::default() };
        let setup = fields.u4().filter(|&time| time != 0);
        header.start = fields.u4().filter(|&time| time != 0).or(setup);
        let mut numbers = Vec::new();
        numbers.push(("STAT_NUM", fields.u1().map(|number| number.to_string())));
        for name in ["MODE_COD", "RTST_COD", "PROT_COD"] {
            numbers.push((name, fields.u1().map(|code| self.words.text(&[code]))));
        }
        numbers.push(("BURN_TIM", fields.u2().filter(|&time| time != u16::MAX).map(|time| time.to_string())));
        numbers.push(("CMOD_COD", fields.u1().map(|code| self.words.text(&[code]))));
        for (name, value) in numbers {
            steps::misc(&mut header.infos, name, &value.unwrap_or_default());
        }
        for name in MIR_TEXTS {
            let text = Some(self.words.text(fields.cn().unwrap_or_default())).filter(|text| !text.is_empty());
            let field = match name {
                "LOT_ID" => &mut header.lot,
                "PART_TYP" => &mut header.part,
                "NODE_NAM" => &mut header.station,
                "OPER_NAM" => &mut header.operator,
                "JOB_NAM" => &mut header.job,
                "JOB_REV" => &mut header.job_revision,
                "DSGN_REV" => &mut header.revision,
                _ => {
                    steps::misc(&mut header.infos, name, &text.unwrap_or_default());
                    continue;
                }
            };
            *field = text;
        }
        // What came before it, an audit trail, stays.
        header.infos.append(&mut self.header.infos);
        self.header = header;
    }

    fn info(&mut self, name: &str, text: &str) {
        if self.header.infos.len() < MOST_INFOS {
            steps::misc(&mut self.header.infos, name, text);
        }
    }

    fn sdr(&mut self, fields: &mut Fields<'_>) {
        let (Some(head), Some(group)) = (fields.u1(), fields.u1()) else { return };
        let count = fields.u1().unwrap_or_default();
        let numbers = (0..count).map_while(|_| fields.u1()).collect();
        let (mut infos, mut fixture) = (Vec::new(), None);
        for name in SDR_TEXTS {
            let text = self.words.text(fields.cn().unwrap_or_default());
            steps::misc(&mut infos, name, &text);
            // The load board, else the probe card.
            if (name == "CARD_ID" || name == "DIB_ID") && !text.is_empty() {
                fixture = Some(text);
            }
        }
        if self.sites.len() < MOST_SITES {
            self.sites.insert((head, group), Sites { numbers, infos, fixture });
        }
    }

    fn wir(&mut self, fields: &mut Fields<'_>) {
        let (Some(head), Some(group)) = (fields.u1(), fields.u1()) else { return };
        let _start = fields.u4();
        let id = self.words.text(fields.cn().unwrap_or_default());
        self.wafers.insert((head, group), id.into());
    }

    fn bin(&mut self, fields: &mut Fields<'_>, kind: usize) {
        let (_place, number) = ((fields.u1(), fields.u1()), fields.u2());
        let (_count, _verdict) = (fields.u4(), fields.u1());
        let name = self.words.text(fields.cn().unwrap_or_default());
        if let (Some(number), Some(bins), false) = (number, self.bins.get_mut(kind), name.is_empty()) {
            bins.insert(number, name);
        }
    }

    fn pin(&mut self, fields: &mut Fields<'_>) {
        let (Some(index), _type) = (fields.u2(), fields.u2()) else { return };
        let [channel, physical, logical] = std::array::from_fn(|_| self.words.text(fields.cn().unwrap_or_default()));
        if let Some(name) = [logical, physical, channel].into_iter().find(|name| !name.is_empty()) {
            self.pins.entry(index).or_insert(name);
        }
    }

    fn tsr(&mut self, fields: &mut Fields<'_>) {
        let _place = (fields.u1(), fields.u1(), fields.u1());
        let number = fields.u4();
        let _counts = (fields.u4(), fields.u4(), fields.u4());
        let name = self.words.text(fields.cn().unwrap_or_default());
        if let (Some(number), false, true) = (number, name.is_empty(), self.tests.len() < MOST_NAMES) {
            self.tests.entry(number).or_insert(name);
        }
    }

    fn begin_section(&mut self, fields: &mut Fields<'_>) {
        let name: Rc<str> = self.words.text(fields.cn().unwrap_or_default()).into();
        for part in self.parts.values_mut() {
            part.begin(Rc::clone(&name));
        }
        self.weigh(self.parts.len());
        if self.sections.len() < MOST_SECTIONS {
            self.sections.push((name, self.parts.is_empty()));
        }
    }

    fn end_section(&mut self) {
        let _ended = self.sections.pop();
        self.parts.values_mut().for_each(Part::end);
        self.weigh(self.parts.len());
    }

    /// A text of the tester: of the parts that are tested, else of the lot.
    fn line(&mut self, record: Record<'_>, text: String) {
        if text.is_empty() {
            return;
        }
        for part in self.parts.values_mut() {
            hash(part, record);
            part.line(text.clone());
        }
        self.weigh(self.parts.len());
        if self.parts.is_empty() {
            let (lines, more) = &mut self.lines;
            if lines.len() < MOST_LINES { lines.push(text) } else { *more += 1 }
        }
    }

    fn pir(&mut self, record: Record<'_>, fields: &mut Fields<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let (Some(head), Some(site)) = (fields.u1(), fields.u1()) else { return Ok(()) };
        if self.parts.remove(&(head, site)).is_some() {
            give(sink, Err(unfinished((head, site))))?;
        }
        let part = self.open((head, site), record)?;
        hash(part, record);
        Ok(())
    }

    /// The part that is tested at a place; one that has no PIR begins with its first record.
    fn part(&mut self, place: Place, record: Record<'_>) -> Result<&mut Part, ConvertError> {
        if !self.parts.contains_key(&place) {
            let part = self.open(place, record)?;
            part.has_begin = false;
        }
        self.weigh(1);
        let part = self.parts.entry(place).or_insert_with(|| Part::new(None));
        hash(part, record);
        Ok(part)
    }

    /// Keeps the memory of all parts together bounded: the one with the most results goes first.
    fn weigh(&mut self, more: usize) {
        self.since_weighed += more;
        if self.since_weighed < WEIGHED_EACH {
            return;
        }
        self.since_weighed = 0;
        while self.parts.values().map(|part| part.weight).sum::<usize>() > MOST_HELD {
            let Some(heaviest) = self.parts.values_mut().max_by_key(|part| part.weight) else { return };
            heaviest.refuse();
        }
    }

    fn open(&mut self, place: Place, record: Record<'_>) -> Result<&mut Part, ConvertError> {
        if self.parts.len() >= MOST_PARTS {
            let reason = format!("more than {MOST_PARTS} parts are tested at once");
            return Err(ConvertError::Malformed { place: format!("byte {}", record.at), reason });
        }
        let mut part = Part::new(self.wafer(place));
        part.hash.update(&self.header.hash);
        part.hash.update(part.wafer.as_deref().unwrap_or_default().as_bytes());
        for (name, _) in &self.sections {
            part.begin(Rc::clone(name));
        }
        Ok(self.parts.entry(place).or_insert(part))
    }

    /// The wafer on which a place tests. Group 255 is all sites of the head; so is one that no SDR names.
    fn wafer(&self, (head, site): Place) -> Option<Rc<str>> {
        let is_of =
            |group: &u8| *group == 255 || self.sites.get(&(head, *group)).is_none_or(|sites| sites.numbers.contains(&site));
        self.wafers.range((head, 0)..=(head, 255)).rev().find(|((_, group), _)| is_of(group)).map(|(_, id)| Rc::clone(id))
    }

    fn ptr(&mut self, record: Record<'_>, fields: &mut Fields<'_>) -> Result<(), ConvertError> {
        let Some(ptr) = Ptr::read(fields) else { return Ok(()) };
        let words = self.words;
        let found = self.catalog.of(Kind::Ptr, ptr.head.number, ptr.text, &ptr.said, words);
        let (test, known) = found.map_err(|TooMany| too_many(record))?;
        self.part(ptr.head.part, record)?.ptr(&ptr, test, known, words);
        Ok(())
    }

    fn mpr(&mut self, record: Record<'_>, fields: &mut Fields<'_>) -> Result<(), ConvertError> {
        let Some(mpr) = Mpr::read(fields) else { return Ok(()) };
        let words = self.words;
        let found = self.catalog.of(Kind::Mpr, mpr.head.number, mpr.text, &mpr.said, words);
        let (test, known) = found.map_err(|TooMany| too_many(record))?;
        self.part(mpr.head.part, record)?.mpr(mpr, test, known, words);
        Ok(())
    }

    fn ftr(&mut self, record: Record<'_>, fields: &mut Fields<'_>) -> Result<(), ConvertError> {
        let Some(ftr) = Ftr::read(fields) else { return Ok(()) };
        let words = self.words;
        let found = self.catalog.of(Kind::Ftr, ftr.head.number, ftr.text, &super::records::Said::NOTHING, words);
        let (test, _) = found.map_err(|TooMany| too_many(record))?;
        let mut part = match self.parts.remove(&ftr.head.part) {
            Some(part) => part,
            None => {
                let _opened = self.part(ftr.head.part, record)?;
                self.parts.remove(&ftr.head.part).unwrap_or_else(|| Part::new(None))
            }
        };
        hash(&mut part, record);
        part.ftr(&ftr, test, &self.pins, words);
        self.parts.insert(ftr.head.part, part);
        Ok(())
    }

    fn prr(&mut self, record: Record<'_>, fields: &mut Fields<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let Some(prr) = Prr::read(fields) else { return Ok(()) };
        let mut part = match self.parts.remove(&prr.part) {
            Some(part) => part,
            None => {
                let mut part = Part::new(self.wafer(prr.part));
                part.has_begin = false;
                part.hash.update(&self.header.hash);
                part
            }
        };
        if self.parts.is_empty() {
            self.sections.retain(|(_, is_outer)| *is_outer);
        }
        hash(&mut part, record);
        self.ordinal += 1;
        let (number, elapsed) = {
            let (count, elapsed) = self.done.entry(prr.part).or_default();
            let before = *elapsed;
            *count += 1;
            *elapsed += u64::from(prr.time);
            (*count, before)
        };
        let result = result(prr.part_flg);
        if !self.is_wanted(result) {
            return Ok(());
        }
        if part.is_refused {
            let (head, site) = prr.part;
            let id = printable(&self.words.text(prr.id), 60);
            let place = format!("part {} ({id:?}, head {head}, site {site})", self.ordinal);
            let reason = format!("it has more than {MOST} results, which no report takes");
            return give(sink, Err(ConvertError::Malformed { place, reason }));
        }
        let unit = self.unit(part, &prr, result, number, elapsed);
        give(sink, unit)
    }

    fn is_wanted(&self, result: Status) -> bool {
        let arguments = self.input.arguments;
        let every = arguments.whole(&NTH).and_then(|nth| u64::try_from(nth).ok()).filter(|&nth| nth > 0);
        match arguments.text(&PARTS) {
            Some("failed") => result != Status::Passed,
            Some("failed and every nth") => {
                result != Status::Passed || every.is_some_and(|every| self.ordinal.is_multiple_of(every))
            }
            _ => true,
        }
    }

    fn unit(&mut self, mut part: Part, prr: &Prr<'_>, result: Status, number: u64, elapsed: u64) -> Result<Unit, ConvertError> {
        let mut walk = Walk::default();
        walk.notes(std::mem::take(&mut self.notes));
        walk.notes(std::mem::take(&mut part.notes));
        if !part.has_begin {
            walk.note("the part has no PIR record, with which it begins");
        }
        let (own_hash, wafer) = (*part.hash.finalize().as_bytes(), part.wafer.clone());
        let sn = self.serial_number(prr, wafer.as_deref(), number, &mut walk);
        let mut lines = Lines::default();
        let (of_lot, more) = &self.lines;
        of_lot.iter().chain(&part.lines).for_each(|line| lines.add_text(line.clone()));
        if *more > 0 {
            walk.note(format!("{more} texts of the lot (DTR, GDR) beyond the first {MOST_LINES} were left out"));
        }
        let names = Names { catalog: &self.catalog, pins: &self.pins, tests: &self.tests };
        let tested = part.into_tested(&names);
        if result == Status::Passed && tested.failed > 0 {
            walk.note(format!("the part passed although {} of its tests failed", tested.failed));
        }
        if tested.tests == 0 && prr.tests.is_some_and(|count| count > 0) {
            walk.note("the results of this part are not in the file (NUM_TEST says that it was tested)");
        }
        if result == Status::Passed && matches!(worst(&tested.steps), Status::Error | Status::Terminated) {
            walk.note("the part passed although one of its tests was not finished");
        }
        let place = self.sites_of(prr.part);
        let uut = Uut {
            user: self.header.operator.clone(),
            batch_sn: self.header.lot.clone(),
            fixture_id: place.and_then(|sites| sites.fixture.clone()),
            test_socket_index: Some(i64::from(prr.part.1)),
            exec_time: (prr.time != 0).then(|| seconds(prr.time)).flatten(),
            comment: Some(self.words.text(prr.text)).filter(|text| !text.is_empty()),
            ..Uut::default()
        };
        let name = self.header.job.as_deref().unwrap_or("STDF");
        let mut root = steps::sequence(name, result, tested.steps);
        root.seq_call =
            Some(SeqCall { name: Some(name.to_owned()), version: self.header.job_revision.clone(), ..SeqCall::default() });
        root.tot_time.clone_from(&uut.exec_time);
        root.report_text = lines.into_text();
        let mut report = Report {
            kind: Some("T".to_owned()),
            sn,
            pn: self.header.part.clone(),
            rev: self.header.revision.clone(),
            machine_name: self.header.station.clone(),
            result: Some(result),
            uut: Some(uut),
            misc_infos: Some(self.infos(prr, wafer.as_deref())),
            root: Some(root),
            ..Report::default()
        };
        if let Some(moment) = self.start(elapsed) {
            moment.start(&mut report, &self.zone, &mut walk);
        }
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        // There are many steps, and hardly ever a long name.
        let short = report.root.as_mut().filter(|_| !tested.is_long).and_then(|root| root.steps.take());
        fit(&mut report, &mut notes);
        if let (Some(steps), Some(root)) = (short, &mut report.root) {
            root.steps = Some(steps);
        }
        if tested.contradicts {
            notes.extend(verdict::contradictions(&report));
        }
        Ok(Unit { report, own_hash, notes })
    }

    /// None if not even the lot is named.
    fn serial_number(&self, prr: &Prr<'_>, wafer: Option<&str>, number: u64, walk: &mut Walk) -> Option<String> {
        let id = names::serial_number(&self.words.text(prr.id), walk);
        let Some(lot) = self.header.lot.as_deref() else { return id };
        let wafer = wafer.filter(|wafer| !wafer.is_empty());
        let with_wafer = wafer.map_or_else(|| lot.to_owned(), |wafer| format!("{lot}-{wafer}"));
        let by_place = || prr.x.zip(prr.y).map(|(x, y)| format!("{with_wafer}-{x}-{y}"));
        let by_number = || format!("{lot}-{}-{number}", prr.part.1);
        let chosen = match self.input.arguments.text(&SERIAL_NUMBER) {
            Some("lot-wafer-part id") => id.as_ref().map(|id| format!("{with_wafer}-{id}")),
            Some("lot-wafer-x-y") => by_place(),
            Some("lot-site-n") => Some(by_number()),
            _ => None,
        };
        if chosen.is_some() || id.is_some() {
            return chosen.or(id);
        }
        walk.note("the part has no PART_ID: its serial number is made of its lot and where it was tested");
        by_place().or_else(|| Some(by_number()))
    }

    fn infos(&self, prr: &Prr<'_>, wafer: Option<&str>) -> Vec<MiscInfo> {
        let mut infos = Vec::new();
        let mut add = |name: &str, value: Option<String>| steps::misc(&mut infos, name, &value.unwrap_or_default());
        let (head, site) = prr.part;
        add("Wafer", wafer.map(str::to_owned));
        add("X", prr.x.map(|place| place.to_string()));
        add("Y", prr.y.map(|place| place.to_string()));
        add("Head", Some(head.to_string()));
        add("Site", Some(site.to_string()));
        let [hard, soft] = &self.bins;
        for (name, named, bin, names) in
            [("Hard bin", "Hard bin name", prr.hard_bin, hard), ("Soft bin", "Soft bin name", prr.soft_bin, soft)]
        {
            add(name, bin.map(|bin| bin.to_string()));
            add(named, bin.and_then(|bin| names.get(&bin).cloned()));
        }
        add("NUM_TEST", prr.tests.map(|count| count.to_string()));
        let supersedes = match (is_set(prr.part_flg, 0), is_set(prr.part_flg, 1)) {
            (false, false) => None,
            (true, false) => Some("the earlier part of this PART_ID"),
            (false, true) => Some("the earlier part of this X and Y"),
            (true, true) => Some("the earlier part of this PART_ID, X and Y"),
        };
        add("Supersedes", supersedes.map(str::to_owned));
        add("Abnormal end", is_set(prr.part_flg, 2).then(|| "yes".to_owned()));
        add("PART_FIX", Some(hexadecimal(prr.fix)));
        infos.extend(self.header.infos.iter().cloned());
        infos.extend(self.sites_of(prr.part).iter().flat_map(|sites| sites.infos.iter().cloned()));
        infos
    }

    fn sites_of(&self, (head, site): Place) -> Option<&Sites> {
        let mut of_head = self.sites.range((head, 0)..=(head, 255)).map(|(_, sites)| sites);
        of_head.find(|sites| sites.numbers.contains(&site))
    }

    /// When a part began, as far as is known.
    fn start(&self, elapsed: u64) -> Option<Moment> {
        let millis = i64::from(self.header.start?) * 1000 + i64::try_from(elapsed).ok()?;
        let instant = Timestamp::from_millisecond(millis).ok()?;
        Some(match self.input.arguments.text(&CLOCK) {
            Some("local") => Moment::Local(instant.to_zoned(TimeZone::UTC).datetime()),
            _ => Moment::Instant(instant),
        })
    }
}

/// PART_FLG: bit 3 failed, unless bit 4 says that there is no verdict; bit 2 ended abnormally.
fn result(part_flg: u8) -> Status {
    let bit = |bit| is_set(part_flg, bit);
    match (bit(4), bit(3), bit(2)) {
        (false, true, _) => Status::Failed,
        (_, _, true) => Status::Terminated,
        (true, _, false) => Status::Done,
        (false, false, false) => Status::Passed,
    }
}

/// Milliseconds as seconds, digit by digit.
fn seconds(millis: u32) -> Option<Num> {
    number::plain(&format!("{}.{:03}", millis / 1000, millis % 1000))
}

fn hash(part: &mut Part, record: Record<'_>) {
    let length = u16::try_from(record.data.len()).unwrap_or(u16::MAX).to_le_bytes();
    part.hash.update(&[record.kind.0, record.kind.1, length[0], length[1]]).update(record.data);
}

fn too_many(record: Record<'_>) -> ConvertError {
    ConvertError::Malformed { place: format!("byte {}", record.at), reason: "it names more tests than can be kept".to_owned() }
}

fn unfinished((head, site): Place) -> ConvertError {
    ConvertError::Malformed {
        place: format!("a part of head {head}, site {site}"),
        reason: "it has no PRR record, which tells what it is and its verdict".to_owned(),
    }
}

fn give(sink: &mut Sink<'_>, unit: Result<Unit, ConvertError>) -> Result<(), ConvertError> {
    if sink(unit).is_break() { Err(ConvertError::Stopped) } else { Ok(()) }
}
