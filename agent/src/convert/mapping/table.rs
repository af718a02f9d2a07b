//! The units of a text: each row, rows with the same key, or all rows of a section.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use waybill_shared::report::{Status, Step};
use waybill_shared::text::printable;

use super::kinds::{Delimiter, Pick};
use super::model::{DecimalSign, Format, Measurement, Model, Per};
use super::parse;
use super::rows::{self, Row, Sheet};
use super::step::Parts;
use super::unit::{Made, Making, Told, worst};
use super::view::{View, key};
use crate::convert::ground::number::Decimal;
use crate::convert::ground::walk::Lines;
use crate::convert::ground::{incomplete, steps};
use crate::convert::{ConvertError, Input};

/// Reads all units of a text.
pub(super) fn read(
    model: &Model,
    input: &Input<'_>,
    text: &str,
    told: Told,
    sink: &mut dyn FnMut(Made) -> ControlFlow<()>,
) -> Result<(), ConvertError> {
    let cut = rows::cut(model, text);
    let mut told = told;
    told.notes.extend(cut.notes);
    let used = used(model);
    let decimal = decimal(model, &cut.sheets, &used);
    let numbers = parse::picks(model).into_iter().filter_map(place).collect();
    let reader = Reader { model, input, decimal, told, used, numbers };
    let (mut is_empty, mut last_is_begun) = (true, None);
    let mut hand_over = |made: Made| if sink(made).is_break() { Err(ConvertError::Stopped) } else { Ok(()) };
    for sheet in cut.sheets {
        if let Some(error) = sheet.error {
            // A quote that never ends: what follows may still be written.
            if matches!(error, ConvertError::Incomplete { .. }) {
                return Err(error);
            }
            is_empty = false;
            hand_over(Made { unit: Err(error), told: Vec::new() })?;
            continue;
        }
        let specs = reader.specs(&sheet);
        match model.table.unit {
            Per::Row => {
                for row in &sheet.rows {
                    is_empty = false;
                    hand_over(reader.row(&sheet, row, &specs))?;
                }
            }
            Per::Section => {
                if sheet.rows.is_empty() && sheet.pairs.is_empty() {
                    continue;
                }
                is_empty = false;
                hand_over(reader.rows(&sheet, &sheet.rows.iter().collect::<Vec<_>>(), own_hash(&[&sheet.text])).0)?;
            }
            Per::Key => {
                let mut before: Option<Vec<String>> = None;
                let groups = reader.groups(&sheet)?;
                let count = groups.len();
                for (index, group) in groups.into_iter().enumerate() {
                    is_empty = false;
                    let cells: Vec<&str> = group.iter().flat_map(|row| row.cells.iter().map(String::as_str)).collect();
                    let hash = own_hash(&[&sheet.columns.join("\u{1f}"), &cells.join("\u{1f}")]);
                    let (made, names, status) = reader.rows(&sheet, &group, hash);
                    let is_last = index + 1 == count && group.last().map(|row| row.line) == sheet.rows.last().map(|row| row.line);
                    if is_last && before.as_ref().is_some_and(|before| incomplete::is_begun(before, &names, status)) {
                        let reason = "its last unit has fewer steps than the one before it".to_owned();
                        let place = format!("line {}", sheet.rows.last().map_or(0, |row| row.line));
                        last_is_begun = Some(ConvertError::Incomplete { place, reason });
                        continue;
                    }
                    before = Some(names);
                    hand_over(made)?;
                }
            }
        }
    }
    match (cut.incomplete.or(last_is_begun), is_empty) {
        (Some(error), _) => Err(error),
        (None, true) => Err(ConvertError::Malformed {
            place: "the file as a whole".to_owned(),
            reason: "the mapping finds no unit in it".to_owned(),
        }),
        (None, false) => Ok(()),
    }
}

/// What is the same for all units of a file.
struct Reader<'a> {
    model: &'a Model,
    input: &'a Input<'a>,
    decimal: Decimal,
    told: Told,
    /// Names of columns and lines that the mapping mentions.
    used: HashSet<String>,
    /// Places of columns that it mentions by their numbers.
    numbers: HashSet<usize>,
}

/// What the name of a column says.
struct Spec {
    name: String,
    unit: Option<String>,
    low: Option<String>,
    high: Option<String>,
    equal: Option<String>,
    comparator: Option<String>,
    loop_index: Option<i64>,
}

impl Reader<'_> {
    fn making(&self) -> Making<'_> {
        Making::new(self.model, self.input, self.decimal, &self.told)
    }

    /// What the names of columns say, by their places; none for those that are no measurement.
    fn specs(&self, sheet: &Sheet) -> Vec<Option<Spec>> {
        let Some(columns) = &self.model.columns else { return Vec::new() };
        let spec = |name: &String| {
            if self.used.contains(&key(name)) {
                return None;
            }
            let captures = columns.pattern.0.captures(name)?;
            let text = |group: &str| {
                let found = captures.name(group).map(|found| found.as_str().trim()).filter(|text| !text.is_empty());
                found.map(str::to_owned)
            };
            let inclusive = |group: &str| text(group).is_none_or(|op| op.contains(['=', '≤', '≥']));
            let (low, high) = (text("low"), text("high"));
            let comparator = match (low.is_some(), high.is_some()) {
                (true, true) => Some(format!("{}{}", ge(inclusive("low_op")), le(inclusive("high_op")))),
                (true, false) => Some(ge(inclusive("low_op")).to_owned()),
                (false, true) => Some(le(inclusive("high_op")).to_owned()),
                (false, false) => None,
            };
            let (limit, op) = (text("limit"), text("op"));
            Some(Spec {
                name: text("name")?,
                unit: text("unit").filter(|unit| !columns.no_unit.iter().any(|none| none.eq_ignore_ascii_case(unit))),
                low: low.or(limit),
                high,
                equal: text("equal"),
                comparator: op.or(comparator),
                loop_index: text("loop").and_then(|text| text.parse().ok()),
            })
        };
        let mut specs: Vec<_> = sheet.columns.iter().map(spec).collect();
        // An index says something only where a measurement was made more than once.
        let mut counts: HashMap<String, usize> = HashMap::new();
        let once = |spec: &Spec| format!("{}\u{1f}{:?}{:?}{:?}", spec.name, spec.low, spec.high, spec.equal);
        for spec in specs.iter().flatten() {
            *counts.entry(once(spec)).or_default() += 1;
        }
        for spec in specs.iter_mut().flatten() {
            let times = counts.get(&once(spec)).copied().unwrap_or(0);
            spec.loop_index = spec.loop_index.filter(|&index| times > 1 || index > 0);
        }
        specs
    }

    /// A unit of one row.
    fn row(&self, sheet: &Sheet, row: &Row, specs: &[Option<Spec>]) -> Made {
        let mut making = self.making();
        let view = View::Row { sheet, row: Some(row) };
        let mut found = self.measurements(view, row.line, &mut making);
        let (mut infos, mut lines) = (self.left_pairs(sheet), Lines::default());
        for (index, cell) in row.cells.iter().enumerate() {
            let name = sheet.columns.get(index);
            if cell.is_empty() || self.model.text.empty.iter().any(|word| word.trim() == cell) {
                continue;
            }
            let Some(name) = name else {
                lines.add(&format!("column {}", index + 1), cell);
                continue;
            };
            match specs.get(index) {
                Some(Some(spec)) => {
                    let place = format!("line {}, column {}", row.line, index + 1);
                    making.tell(&format!("columns ({})", printable(&spec.name, 60)), cell, &place);
                    let parts = Parts {
                        value: Some(cell.clone()),
                        unit: spec.unit.clone(),
                        low: spec.low.clone(),
                        high: spec.high.clone(),
                        expected: spec.equal.clone(),
                        comparator: spec.comparator.clone(),
                        loop_index: spec.loop_index,
                        ..Parts::new(spec.name.clone(), place)
                    };
                    found.push(parts.step(&mut making));
                }
                _ if self.used.contains(&key(name)) || self.by_number(index) => {}
                _ if name.is_empty() => infos.push((format!("column {}", index + 1), cell.clone())),
                _ => infos.push((name.clone(), cell.clone())),
            }
        }
        let beyond = row.cells.iter().skip(sheet.columns.len()).filter(|cell| !cell.is_empty()).count();
        if beyond > 0 {
            let (has, head) = (row.cells.len(), sheet.columns.len());
            making.walk.note(format!(
                "line {}: the row has {has} cells and its header {head}; the others are in the report text",
                row.line
            ));
        }
        let hash = own_hash(&[&sheet.columns.join("\u{1f}"), &row.cells.join("\u{1f}"), &pairs_text(sheet)]);
        making.unit(view, found, infos, lines, hash)
    }

    /// A unit of several rows, with the names of its steps and its worst verdict.
    fn rows(&self, sheet: &Sheet, rows: &[&Row], hash: [u8; 32]) -> (Made, Vec<String>, Status) {
        let mut making = self.making();
        let view = View::Row { sheet, row: rows.first().copied() };
        let mut found = Vec::new();
        if self.model.table.unit == Per::Section {
            found = self.measurements(view, sheet.line, &mut making);
        }
        let (mut names, mut status) = (Vec::new(), worst(&found));
        if self.model.step.is_some() {
            let mut group: Option<(String, Vec<Step>)> = None;
            let close = |group: Option<(String, Vec<Step>)>, found: &mut Vec<Step>| {
                let Some((name, inner)) = group else { return };
                let status = worst(&inner);
                found.push(steps::sequence(&name, status, inner));
            };
            for &row in rows {
                let Some((sequence, step)) = self.step(sheet, row, &mut making) else { continue };
                names.push(step.name.clone().unwrap_or_default());
                status = worst(&[steps::action("", status), step.clone()].map(|step| Step { steps: None, ..step }));
                match sequence {
                    None => {
                        close(group.take(), &mut found);
                        found.push(step);
                    }
                    Some(name) => match &mut group {
                        Some((open, inner)) if *open == name => inner.push(step),
                        _ => {
                            close(group.replace((name, vec![step])), &mut found);
                        }
                    },
                }
            }
            close(group, &mut found);
        }
        self.note_differences(sheet, rows, &mut making);
        (making.unit(view, found, self.left_pairs(sheet), Lines::default(), hash), names, status)
    }

    /// A step of a row, and the sequence that it belongs to.
    fn step(&self, sheet: &Sheet, row: &Row, making: &mut Making<'_>) -> Option<(Option<String>, Step)> {
        let fields = self.model.step.as_ref()?;
        let view = View::Row { sheet, row: Some(row) };
        let mut text = |field: &str, pick: Option<&Pick>| making.pick(view, "step", field, pick).map(|found| found.text);
        let name = text("name", Some(&fields.name));
        let sequence = text("sequence", fields.sequence.as_ref());
        let mut parts = Parts {
            value: text("value", fields.value.as_ref()),
            unit: text("unit", fields.unit.as_ref()),
            low: text("low", fields.low.as_ref()),
            high: text("high", fields.high.as_ref()),
            comparator: text("comparator", fields.comparator.as_ref()),
            expected: text("expected", fields.expected.as_ref()),
            status: text("status", fields.status.as_ref()),
            time: text("time", fields.time.as_ref()),
            error_code: text("error_code", fields.error_code.as_ref()),
            error_message: text("error_message", fields.error_message.as_ref()),
            time_unit: fields.time_unit,
            kind: fields.kind,
            ..Parts::new(name.unwrap_or_else(|| format!("line {}", row.line)), format!("line {}", row.line))
        };
        for (index, cell) in row.cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
            match sheet.columns.get(index) {
                Some(name) if self.used.contains(&key(name)) || self.by_number(index) => {}
                Some(name) if !name.is_empty() => parts.lines.add(name, cell),
                _ if self.by_number(index) => {}
                _ => parts.lines.add(&format!("column {}", index + 1), cell),
            }
        }
        Some((sequence, parts.step(making)))
    }

    fn measurements(&self, view: View<'_>, line: usize, making: &mut Making<'_>) -> Vec<Step> {
        self.model.measurement.iter().filter_map(|one| self.measurement(one, view, line, making)).collect()
    }

    /// A measurement of the mapping; none if its cell is empty and nothing else says that it was made.
    fn measurement(&self, one: &Measurement, view: View<'_>, line: usize, making: &mut Making<'_>) -> Option<Step> {
        let value = making.pick(view, "measurement", "value", Some(&one.value));
        let status = making.pick(view, "measurement", "status", one.status.as_ref()).map(|found| found.text);
        if value.is_none() && status.is_none() {
            return None;
        }
        let mut limit = |field: &str, own: Option<&str>, pick: Option<&Pick>| {
            making.pick(view, "measurement", field, pick).map(|found| found.text).or_else(|| {
                // What the mapping says has a point, whatever the file has.
                own.map(|text| if self.decimal == Decimal::Comma { text.replace('.', ",") } else { text.to_owned() })
            })
        };
        let low = limit("low_from", one.low.as_ref().map(|digits| digits.0.as_str()), one.low_from.as_ref());
        let high = limit("high_from", one.high.as_ref().map(|digits| digits.0.as_str()), one.high_from.as_ref());
        let name = one.name.clone().or_else(|| one.value.names.first().cloned()).unwrap_or_default();
        let parts = Parts {
            value: value.map(|found| found.text),
            unit: one.unit.clone(),
            low,
            high,
            comparator: one.comparator.clone(),
            expected: one.expected.clone(),
            status,
            kind: one.kind,
            ..Parts::new(name, format!("line {line}"))
        };
        Some(parts.step(making))
    }

    /// Rows of one unit, the units in the order in which they begin.
    fn groups<'s>(&self, sheet: &'s Sheet) -> Result<Vec<Vec<&'s Row>>, ConvertError> {
        let place = |name: &String| {
            sheet.keys().position(|column| column == key(name)).ok_or_else(|| ConvertError::Malformed {
                place: format!("line {}", sheet.line),
                reason: format!("there is no column {:?} (table.key)", printable(name, 60)),
            })
        };
        let places = self.model.table.key.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let mut groups: Vec<Vec<&Row>> = Vec::new();
        let mut known: HashMap<Vec<&str>, usize> = HashMap::new();
        for row in &sheet.rows {
            let values = places.iter().map(|&place| row.cells.get(place).map_or("", String::as_str)).collect();
            let index = *known.entry(values).or_insert(groups.len());
            match groups.get_mut(index) {
                Some(group) => group.push(row),
                None => groups.push(vec![row]),
            }
        }
        Ok(groups)
    }

    /// What is said of a unit is said in its first row; another one that says something else is noted.
    fn note_differences(&self, sheet: &Sheet, rows: &[&Row], making: &mut Making<'_>) {
        if self.model.table.unit != Per::Key {
            return;
        }
        for name in parse::unit_picks(self.model).iter().flat_map(|pick| &pick.names) {
            let key = key(name);
            let Some(index) = sheet.keys().position(|column| column == key) else { continue };
            let cell = |row: &Row| row.cells.get(index).cloned().unwrap_or_default();
            let Some(first) = rows.first().map(|row| cell(row)) else { continue };
            if let Some(other) = rows.iter().find(|row| cell(row) != first && !cell(row).is_empty()) {
                let (name, other_text) = (printable(name, 60), printable(&cell(other), 40));
                making
                    .walk
                    .note(format!("line {}: {name:?} is {other_text:?} here; the first row of the unit counts", other.line));
            }
        }
    }

    /// Lines of the header block that the mapping does not mention.
    fn left_pairs(&self, sheet: &Sheet) -> Vec<(String, String)> {
        let left = sheet.pairs.iter().filter(|pair| !self.used.contains(&key(&pair.name)));
        left.map(|pair| (pair.name.clone(), pair.value.clone())).collect()
    }

    fn by_number(&self, index: usize) -> bool {
        self.numbers.contains(&index)
    }
}

fn ge(inclusive: bool) -> &'static str {
    if inclusive { "GE" } else { "GT" }
}

fn le(inclusive: bool) -> &'static str {
    if inclusive { "LE" } else { "LT" }
}

/// Names that a mapping mentions.
fn used(model: &Model) -> HashSet<String> {
    let picked = parse::picks(model).into_iter().flat_map(|pick| &pick.names);
    picked.chain(&model.table.key).chain(&model.table.ignore).map(|name| key(name)).collect()
}

fn pairs_text(sheet: &Sheet) -> String {
    sheet.pairs.iter().map(|pair| format!("{}\u{1f}{}\u{1e}", pair.name, pair.value)).collect()
}

fn own_hash(texts: &[&str]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    for text in texts {
        // With their lengths: nothing else reads the same.
        hash.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    *hash.finalize().as_bytes()
}

/// The decimal sign of the mapping, or what the cells show where no comma separates them: those that are values or limits.
fn decimal(model: &Model, sheets: &[Sheet], used: &HashSet<String>) -> Decimal {
    match model.text.decimal {
        DecimalSign::Point => return Decimal::Point,
        DecimalSign::Comma => return Decimal::Comma,
        DecimalSign::Evidence => {}
    }
    if model.format == Format::Delimited && model.text.delimiter == Delimiter::Char(b',') {
        return Decimal::Point;
    }
    let measured = parse::measured_picks(model);
    let names: HashSet<String> = measured.iter().flat_map(|pick| &pick.names).map(|name| key(name)).collect();
    let numbers: HashSet<usize> = measured.iter().filter_map(|pick| place(pick)).collect();
    let cells = sheets.iter().flat_map(|sheet| {
        let is_measured = |(index, name): (usize, &str)| {
            let by_pattern = || {
                !used.contains(name)
                    && model.columns.as_ref().is_some_and(|columns| columns.pattern.0.is_match(&sheet.columns[index]))
            };
            names.contains(name) || numbers.contains(&index) || by_pattern()
        };
        let places: Vec<usize> = sheet.keys().enumerate().filter(|one| is_measured(*one)).map(|(index, _)| index).collect();
        let in_rows = sheet.rows.iter().flat_map(move |row| {
            let of_row: Vec<&str> = places.iter().filter_map(|&place| row.cells.get(place)).map(String::as_str).collect();
            of_row
        });
        let in_pairs = sheet.pairs.iter().filter(|pair| names.contains(&key(&pair.name))).map(|pair| pair.value.as_str());
        in_rows.chain(in_pairs)
    });
    Decimal::by_evidence(cells)
}

/// Place of a column that is picked by its number.
fn place(pick: &Pick) -> Option<usize> {
    pick.column.and_then(|column| usize::try_from(column).ok()?.checked_sub(1))
}
