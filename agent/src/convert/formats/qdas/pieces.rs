//! Parts and characteristics as their fields introduce them, and which values are of one piece.

use std::collections::{BTreeMap, HashMap, HashSet};

use waybill_shared::report::{MiscInfo, Num, Report, Status, Step, Uut};
use waybill_shared::text::printable;

use super::keys::{ATTRIBUTE, BATCH, COUNT, ERRORS, FIELDS, Key, OPERATOR, SERIAL_NUMBER, TIME, VALUE};
use crate::convert::ground::fit::fit;
use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::names;
use crate::convert::ground::number::{self, Decimal};
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::time::Moment;
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::{ConvertError, Input, Sink, Unit};

/// Most notes on the file as a whole.
const MOST_NOTES: usize = 20;
/// Fields of a part or a characteristic, by their numbers.
type Fields<'t> = BTreeMap<u16, &'t str>;

/// A file as far as it is read.
pub(super) struct File<'i, 'a, 't> {
    input: &'i Input<'a>,
    notes: Vec<String>,
    announced: Option<u64>,
    parts: Vec<Fields<'t>>,
    /// Parts by their index in the file.
    part_of: HashMap<u32, usize>,
    characteristics: BTreeMap<u32, Characteristic<'t>>,
    /// Values whose fields are being read, by characteristic.
    open: BTreeMap<u32, Value<'t>>,
    /// Fields of index 0 that came before the values that they are of.
    common: Fields<'t>,
    /// Values that are complete, and how many fields the last one of a characteristic had.
    values: Vec<Value<'t>>,
    had: HashMap<u32, HashSet<u16>>,
    /// Why the file is not whole, and whether its last part may lack something.
    cut: Option<(String, bool)>,
}

struct Characteristic<'t> {
    part: usize,
    fields: Fields<'t>,
}

/// One value of a characteristic.
struct Value<'t> {
    line: usize,
    characteristic: u32,
    /// Values of one line are of one piece.
    of_line: bool,
    fields: Fields<'t>,
}

/// What values of one piece have in common.
#[derive(PartialEq, Eq, Hash)]
enum Common<'t> {
    Line(usize),
    Serial(&'t str, Option<&'t str>),
    Time(&'t str),
    Nothing,
}

/// The values of one piece.
struct Piece<'t> {
    part: usize,
    values: Vec<Value<'t>>,
}

impl<'i, 'a, 't> File<'i, 'a, 't> {
    pub(super) fn new(input: &'i Input<'a>, note: Option<String>) -> Self {
        Self {
            input,
            notes: note.into_iter().collect(),
            announced: None,
            parts: Vec::new(),
            part_of: HashMap::new(),
            characteristics: BTreeMap::new(),
            open: BTreeMap::new(),
            common: Fields::new(),
            values: Vec::new(),
            had: HashMap::new(),
            cut: None,
        }
    }

    fn note(&mut self, text: String) {
        if self.notes.len() < MOST_NOTES {
            self.notes.push(text);
        }
    }

    /// The last line is cut.
    pub(super) fn is_cut(&mut self, line: usize, text: &str) {
        // A field of the header, or what may be one.
        let of_value = matches!(Key::of_line(text), Some(key) if (1..COUNT).contains(&key.number));
        let of_header = text.trim_start().starts_with(['K', 'k']) && !of_value;
        self.cut = Some((format!("line {line}, the last one, has no line end"), of_header));
    }

    /// A K field.
    pub(super) fn key(&mut self, line: usize, key: Key, value: &'t str) {
        match key.number {
            COUNT => self.announced = value.parse().ok(),
            0..1000 => self.value_field(line, key, value),
            1000..2000 => {
                let part = self.part(key.index.unwrap_or(1));
                let before = part.and_then(|at| self.parts.get_mut(at)).map(|fields| set(fields, key.number, value));
                self.told_twice(line, key, value, before.flatten());
            }
            2000..3000 | 8000..9000 => match key.index.unwrap_or(1) {
                0 => {
                    for one in self.characteristics.values_mut() {
                        set_if_none(&mut one.fields, key.number, value);
                    }
                }
                index => {
                    let before = self.characteristic(index).map(|one| set(&mut one.fields, key.number, value));
                    self.told_twice(line, key, value, before.flatten());
                }
            },
            // Catalogues, groups of characteristics and what is displayed.
            _ => {}
        }
    }

    fn told_twice(&mut self, line: usize, key: Key, value: &str, before: Option<&'t str>) {
        if let Some(before) = before {
            let (before, value, index) = (printable(before, 40), printable(value, 40), key.index.unwrap_or(1));
            let number = key.number;
            self.note(format!(
                "line {line}: K{number:04}/{index} stands twice, as {before:?} and as {value:?}: the first is taken"
            ));
        }
    }

    /// The part of an index; with a new one another part begins.
    fn part(&mut self, index: u32) -> Option<usize> {
        if index == 0 && !self.parts.is_empty() {
            return Some(self.parts.len() - 1);
        }
        let at = *self.part_of.entry(index).or_insert(self.parts.len());
        if at == self.parts.len() {
            self.parts.push(Fields::new());
        }
        Some(at)
    }

    /// The characteristic of an index; with a new one another characteristic begins, of the part that is told last.
    fn characteristic(&mut self, index: u32) -> Option<&mut Characteristic<'t>> {
        if !self.characteristics.contains_key(&index) {
            if self.parts.is_empty() {
                self.part(1);
            }
            let part = self.parts.len().saturating_sub(1);
            self.characteristics.insert(index, Characteristic { part, fields: Fields::new() });
        }
        self.characteristics.get_mut(&index)
    }

    fn value_field(&mut self, line: usize, key: Key, value: &'t str) {
        let only = (self.characteristics.len() == 1).then(|| self.characteristics.keys().next().copied()).flatten();
        match key.index.filter(|&index| index != 0).or(only) {
            None if matches!(key.number, VALUE | ERRORS) => {
                self.note(format!("line {line}: K{:04} does not say of which characteristic it is: it is left out", key.number));
            }
            // Of all: of those that are being read and have none, else of those that come.
            None => {
                let mut taken = false;
                for open in self.open.values_mut() {
                    taken |= set_if_none(&mut open.fields, key.number, value);
                }
                if !taken {
                    self.common.insert(key.number, value);
                }
            }
            Some(index) => {
                if !self.characteristics.contains_key(&index) {
                    self.note(format!("line {line}: characteristic {index} has a value and was never introduced"));
                    let _new = self.characteristic(index);
                }
                let is_next = |open: &Value<'_>| key.number == VALUE && open.fields.contains_key(&VALUE);
                if self.open.get(&index).is_none_or(is_next) {
                    self.close(index);
                    let fields = self.common.clone();
                    self.open.insert(index, Value { line, characteristic: index, of_line: false, fields });
                }
                let fields = self.open.get_mut(&index).map(|open| &mut open.fields);
                let before = fields.and_then(|fields| set(fields, key.number, value));
                self.told_twice(line, key, value, before);
            }
        }
    }

    /// A line of values.
    pub(super) fn values(&mut self, line: usize, values: Vec<Vec<&'t str>>) -> Result<(), ConvertError> {
        if self.characteristics.is_empty() {
            let reason = "it is no K field, and no characteristic was introduced that it could be a value of".to_owned();
            return Err(ConvertError::Malformed { place: format!("line {line}"), reason });
        }
        self.close_all();
        let indexes: Vec<_> = self.characteristics.keys().copied().collect();
        if values.len() > indexes.len() {
            let (found, known) = (values.len(), indexes.len());
            self.note(format!("line {line} has {found} values of {known} characteristics: what is too many is left out"));
        }
        for (index, texts) in indexes.into_iter().zip(values) {
            let mut fields = self.common.clone();
            if texts.len() > FIELDS.len() {
                self.note(format!("line {line}: characteristic {index} has more fields than there are: they are left out"));
            }
            fields.extend(FIELDS.into_iter().zip(texts).filter(|(_, text)| !text.is_empty()));
            if fields.contains_key(&VALUE) || fields.contains_key(&ERRORS) {
                self.open.insert(index, Value { line, characteristic: index, of_line: true, fields });
            }
        }
        Ok(())
    }

    fn close(&mut self, index: u32) {
        if let Some(value) = self.open.remove(&index) {
            self.had.insert(index, value.fields.keys().copied().collect());
            self.values.push(value);
        }
    }

    fn close_all(&mut self) {
        let open: Vec<_> = self.open.keys().copied().collect();
        open.into_iter().for_each(|index| self.close(index));
    }

    /// The file ends here.
    pub(super) fn end(mut self, lines: usize, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let found = self.characteristics.len() as u64;
        match self.announced {
            Some(announced) if announced > found => {
                self.cut = Some((format!("K0100 announces {announced} characteristics, and it has {found}"), true));
            }
            Some(announced) if announced < found => {
                self.note(format!("K0100 announces {announced} characteristics, and it has {found}"));
            }
            _ => {}
        }
        let last = self.open.values().map(|value| value.line).max().unwrap_or_default();
        let lacks = |(index, value): (&u32, &Value<'t>)| {
            let had = self.had.get(index);
            had.is_some_and(|had| had.iter().any(|key| !value.fields.contains_key(key)))
        };
        if self.cut.is_none() && self.open.iter().any(lacks) {
            self.cut = Some(("its last value lacks a field that those before it have".to_owned(), false));
        }
        self.close_all();
        // What may be cut is held back: the last piece, or all of the last part.
        let held_part = self.cut.as_ref().filter(|(_, of_header)| *of_header).map(|_| self.parts.len().saturating_sub(1));
        let is_cut = self.cut.is_some();
        let pieces = self.pieces();
        if pieces.is_empty() && !is_cut {
            let reason = "it has no value: nothing was measured".to_owned();
            return Err(ConvertError::Malformed { place: "the file as a whole".to_owned(), reason });
        }
        let decimal = self.decimal(&pieces);
        for piece in pieces {
            let is_last = piece.values.iter().any(|value| value.line >= last);
            if (is_cut && is_last) || held_part == Some(piece.part) {
                continue;
            }
            let unit = self.unit(piece, decimal);
            if sink(unit).is_break() {
                return Err(ConvertError::Stopped);
            }
        }
        match self.cut.take() {
            Some((reason, _)) => Err(ConvertError::Incomplete { place: format!("line {lines}"), reason }),
            None => Ok(()),
        }
    }

    /// Values that are of one piece, in the order of their first lines.
    fn pieces(&mut self) -> Vec<Piece<'t>> {
        let mut pieces: Vec<Piece<'t>> = Vec::new();
        let mut by_common: HashMap<(usize, Common<'t>, usize), usize> = HashMap::new();
        let mut counts: HashMap<(u32, Common<'t>), usize> = HashMap::new();
        let mut values = std::mem::take(&mut self.values);
        values.sort_by_key(|value| value.line);
        for value in values {
            let Some(part) = self.characteristics.get(&value.characteristic).map(|one| one.part) else { continue };
            let field = |number: u16| value.fields.get(&number).copied().filter(|text| !text.is_empty());
            let common = || match (field(SERIAL_NUMBER), field(TIME)) {
                _ if value.of_line => Common::Line(value.line),
                (Some(serial), time) => Common::Serial(serial, time),
                (None, Some(time)) => Common::Time(time),
                (None, None) => Common::Nothing,
            };
            // The n-th of a characteristic that has all this in common is of the n-th piece that has.
            let count = counts.entry((value.characteristic, common())).or_default();
            let at = *by_common.entry((part, common(), *count)).or_insert(pieces.len());
            *count += 1;
            match pieces.get_mut(at) {
                Some(piece) => piece.values.push(value),
                None => pieces.push(Piece { part, values: vec![value] }),
            }
        }
        pieces
    }

    fn decimal(&self, pieces: &[Piece<'_>]) -> Decimal {
        let values = pieces.iter().flat_map(|piece| &piece.values).filter_map(|value| value.fields.get(&VALUE));
        let limits = self.characteristics.values().flat_map(|one| [2101, 2110, 2111].map(|key| one.fields.get(&key)));
        Decimal::by_evidence(values.chain(limits.flatten()).copied())
    }

    fn unit(&mut self, piece: Piece<'t>, decimal: Decimal) -> Result<Unit, ConvertError> {
        let mut walk = Walk::default();
        walk.notes(self.notes.iter().cloned());
        let empty = Fields::new();
        let part = self.parts.get(piece.part).unwrap_or(&empty);
        let mut hash = Hash::default();
        hash.fields(part);
        let mut steps = Vec::new();
        let mut start: Option<Moment> = None;
        for value in &piece.values {
            let Some(characteristic) = self.characteristics.get(&value.characteristic) else { continue };
            hash.fields(&characteristic.fields);
            hash.fields(&value.fields);
            let time = value.fields.get(&TIME).filter(|text| !text.is_empty());
            match time.map(|text| (moment(text), text)) {
                Some((Some(found), _)) => start = Some(start.map_or(found, |before| earlier(before, found))),
                Some((None, text)) => walk.note(format!("K0004 {:?} is no time of this format", printable(text, 40))),
                None => {}
            }
            steps.push(step(value, &characteristic.fields, decimal, &mut walk));
        }
        let measured: HashSet<u32> = piece.values.iter().map(|value| value.characteristic).collect();
        let of_part = self.characteristics.iter().filter(|(_, one)| one.part == piece.part);
        let missing: Vec<_> =
            of_part.filter(|(index, _)| !measured.contains(index)).map(|(index, _)| index.to_string()).collect();
        let has = |status| steps.iter().any(|step: &Step| step.status == Some(status));
        let result = match () {
            () if has(Status::Failed) => Status::Failed,
            () if missing.is_empty() && has(Status::Passed) => Status::Passed,
            () => Status::Done,
        };
        if !missing.is_empty() {
            walk.note(format!("the piece has no value of the characteristics {}", missing.join(", ")));
        }
        let common = |key: u16| {
            let mut texts =
                piece.values.iter().filter_map(|value| value.fields.get(&key).copied()).filter(|text| !text.is_empty());
            texts.next().map(str::to_owned)
        };
        let of_part = |key: u16| part.get(&key).copied().filter(|text| !text.is_empty()).map(str::to_owned);
        let sn = common(SERIAL_NUMBER).and_then(|text| names::serial_number(&text, &mut walk));
        let batch = common(BATCH).map(|text| text.trim_matches('#').to_owned()).filter(|text| !text.is_empty());
        let name = of_part(1002).or_else(|| of_part(1001)).unwrap_or_else(|| "Q-DAS".to_owned());
        let mut report = Report {
            kind: Some("T".to_owned()),
            sn,
            pn: of_part(1001),
            rev: of_part(1004),
            result: Some(result),
            uut: Some(Uut {
                batch_sn: batch,
                user: common(OPERATOR).or_else(|| of_part(1222)).or_else(|| of_part(1221)),
                ..Uut::default()
            }),
            misc_infos: Some(infos(part)),
            root: Some(steps::sequence(&name, result, steps)),
            ..Report::default()
        };
        if let Some(start) = start {
            start.start(&mut report, &self.input.zone(), &mut walk);
        }
        let mut notes = walk.finish().map_err(ConvertError::Faults)?;
        fit(&mut report, &mut notes);
        Ok(Unit { report, own_hash: *hash.0.finalize().as_bytes(), notes })
    }
}

/// Sets a field that has no text yet; answers what stands there if it is something else.
fn set<'t>(fields: &mut Fields<'t>, number: u16, value: &'t str) -> Option<&'t str> {
    let before = *fields.entry(number).or_insert(value);
    (before != value).then_some(before)
}

fn set_if_none<'t>(fields: &mut Fields<'t>, number: u16, value: &'t str) -> bool {
    let is_new = !fields.contains_key(&number);
    if is_new {
        fields.insert(number, value);
    }
    is_new
}

/// What a part says beside what the header of a report takes.
fn infos(part: &Fields<'_>) -> Vec<MiscInfo> {
    let mut infos = Vec::new();
    for (number, text) in part.iter().filter(|(number, _)| !matches!(**number, 1000 | 1001 | 1004)) {
        let meaning = match number {
            1002 => " part description",
            1081 => " machine number",
            1082 => " machine description",
            1221 => " inspector number",
            1222 => " inspector name",
            _ => "",
        };
        steps::misc(&mut infos, &format!("K{number:04}{meaning}"), text);
    }
    infos
}

fn step(value: &Value<'_>, fields: &Fields<'_>, decimal: Decimal, walk: &mut Walk) -> Step {
    let of = |key: u16| fields.get(&key).copied().filter(|text| !text.is_empty());
    let name = of(2002).or_else(|| of(2001)).map_or_else(|| value.characteristic.to_string(), str::to_owned);
    let mut lines = Lines::default();
    for (number, text) in fields.iter().filter(|(_, text)| !text.is_empty()) {
        let is_name = *number == if of(2002).is_some() { 2002 } else { 2001 };
        if !is_name && !matches!(number, 2000 | 2110 | 2111 | 2142) {
            lines.add(&format!("K{number:04}"), text);
        }
    }
    let mut bound = |key: u16| {
        let text = of(key)?;
        let found = number::read(text, decimal).filter(|number| matches!(number, Num::Finite(_)));
        if found.is_none() {
            walk.note(format!("{}: K{key:04} {:?} is no limit", printable(&name, 60), printable(text, 40)));
            lines.add(&format!("K{key:04}"), text);
        }
        found.map(|limit| Bound { limit, inclusive: true })
    };
    let (low, high) = (bound(2110), bound(2111));
    let limits = (low.is_some() || high.is_some()).then_some(Limits::Range { low, high });
    let given = value.fields.get(&VALUE).or_else(|| value.fields.get(&ERRORS)).copied().unwrap_or_default();
    for (number, text) in value.fields.iter().filter(|(number, text)| **number != VALUE && !text.is_empty()) {
        lines.add(&format!("K{number:04}"), text);
    }
    let does_not_count = matches!(value.fields.get(&ATTRIBUTE).copied(), Some("255" | "256"));
    let unit = of(2142).map(str::to_owned);
    let measured = match number::read(given, decimal).or_else(|| number::plain(given)) {
        Some(found) => {
            let status = match &limits {
                _ if does_not_count => Status::Skipped,
                None => Status::Done,
                Some(limits) if limits.hold(found.as_f64()) => Status::Passed,
                Some(_) => Status::Failed,
            };
            Measured::Numeric(steps::numeric(None, found, limits, unit, status))
        }
        None => {
            walk.note(format!("{}: the value {:?} is no number", printable(&name, 60), printable(given, 40)));
            let status = if does_not_count { Status::Skipped } else { Status::Done };
            Measured::Text(steps::string(None, given.to_owned(), None, status))
        }
    };
    let status = match &measured {
        Measured::Numeric(one) => one.status,
        Measured::Text(one) => one.status,
        Measured::Verdict(one) => one.status,
    };
    Step { report_text: lines.into_text(), ..steps::measuring(&name, status.unwrap_or(Status::Done), vec![measured]) }
}

/// `dd.MM.yyyy/HH:mm:ss`, also with two digits of the year, without seconds, without a time, or with a blank between.
fn moment(text: &str) -> Option<Moment> {
    let (date, time) = text.split_once(['/', ' ']).unwrap_or((text, "0:00:00"));
    let year = date.rsplit('.').next()?;
    let text = format!("{date}/{}", time.trim());
    match year.len() {
        2 => Moment::by(&text, &["%d.%m.%y/%H:%M:%S%.f", "%d.%m.%y/%H:%M"]),
        4 => Moment::by(&text, &["%d.%m.%Y/%H:%M:%S%.f", "%d.%m.%Y/%H:%M"]),
        _ => None,
    }
}

fn earlier(a: Moment, b: Moment) -> Moment {
    match (a, b) {
        (Moment::Local(first), Moment::Local(second)) if second < first => b,
        _ => a,
    }
}

/// Of all that makes a piece.
#[derive(Default)]
struct Hash(blake3::Hasher);

impl Hash {
    fn fields(&mut self, fields: &Fields<'_>) {
        for (number, text) in fields {
            self.0.update(&number.to_le_bytes()).update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        self.0.update(&[0xff; 2]);
    }
}
