//! `.atdx`: a main header, a group header, a header row and its rows; and so on for each group and each attempt.

use std::io::BufRead;

use super::atd::labels;
use super::group::{Group, Header};
use super::row::{Reading, Row, is_none};
use super::{Lines, Units};
use crate::convert::ConvertError;

/// Where the cells of a row stand.
struct Columns {
    names: Vec<String>,
    parts: usize,
    comment: Option<usize>,
    order: Option<usize>,
    function: Option<usize>,
    reference: usize,
    values: [usize; 2],
    plus: usize,
    minus: usize,
    judgement: usize,
}

/// In what part of a block a line stands.
enum Place {
    Main(Header),
    Group(Box<Group>),
    Rows(Box<Group>, Columns),
}

/// True of the line that begins a file and each of its blocks.
pub(super) fn is_main_header(line: &str) -> bool {
    is_title(line, "Main header")
}

fn is_title(line: &str, title: &str) -> bool {
    let inside = line.trim().trim_matches('#').trim().trim_matches('"').trim();
    line.trim_start().starts_with("##") && inside.eq_ignore_ascii_case(title)
}

/// Reads a file behind its first line.
pub(super) fn read<R: BufRead>(first: &str, lines: &mut Lines<R>, units: &mut Units<'_, '_, '_>) -> Result<(), ConvertError> {
    let mut place = Place::Main(Header { text: format!("{first}\n"), ..Header::default() });
    let mut header = Header::default();
    // A last line without an end may be cut.
    let mut cut = false;
    while let Some(line) = lines.next()? {
        let (text, number) = (line.text.as_str(), line.number);
        if text.trim().is_empty() || text.trim().bytes().all(|byte| byte == b'-') {
            continue;
        }
        let is_whole = line.ends
            || matches!(&place, Place::Rows(_, columns) if text.ends_with(';') && text.split(';').count() == columns.names.len());
        if !is_whole {
            cut = true;
            break;
        }
        if is_main_header(text) {
            end(place, units, lines.note())?;
            place = Place::Main(Header { text: format!("{text}\n"), ..Header::default() });
            continue;
        }
        if is_title(text, "Group header") {
            if let Place::Main(main) = place {
                header = main;
            } else {
                end(place, units, lines.note())?;
            }
            let mut group = Group::new(&header);
            header.serial.clone_into(&mut group.serial);
            place = Place::Group(Box::new(group));
            continue;
        }
        place = match place {
            Place::Main(mut header) => {
                header_line(text, &mut header);
                Place::Main(header)
            }
            Place::Group(mut group) => {
                group.hash(text);
                match Columns::of(text) {
                    Some(columns) => Place::Rows(group, columns),
                    None => {
                        group_line(text, &mut group);
                        Place::Group(group)
                    }
                }
            }
            Place::Rows(mut group, columns) => {
                group.hash(text);
                // A header row may come again.
                match Columns::of(text) {
                    Some(again) => Place::Rows(group, again),
                    None => {
                        columns.row(text, number, &mut group);
                        Place::Rows(group, columns)
                    }
                }
            }
        };
    }
    match place {
        Place::Rows(group, _) if !cut && group.has_rows() => units.hand_over(*group, true, lines.note()),
        Place::Rows(..) if cut => Err(lines.incomplete("the last row is cut")),
        _ => Err(lines.incomplete("a header without rows")),
    }
}

/// Hands over the group of a block that another one follows.
fn end(place: Place, units: &mut Units<'_, '_, '_>, note: Option<String>) -> Result<(), ConvertError> {
    match place {
        Place::Rows(group, _) | Place::Group(group) => units.hand_over(*group, true, note),
        Place::Main(_) => Ok(()),
    }
}

fn header_line(text: &str, header: &mut Header) {
    header.text.push_str(text);
    header.text.push('\n');
    let (key, value) = text.split_once(':').map_or(("Header", text.trim()), |(key, value)| (key.trim(), value.trim()));
    match key {
        "Tester ID" => value.clone_into(&mut header.tester),
        "Model" => value.clone_into(&mut header.model),
        "Serial number" => value.clone_into(&mut header.serial),
        "Test Date" => value.clone_into(&mut header.date),
        "Test time" | "Test Time" => value.clone_into(&mut header.seconds),
        _ => header.infos.push((key.to_owned(), value.to_owned())),
    }
}

/// `Group No.: 1 Side: A FAIL`; a group header may have more lines.
fn group_line(text: &str, group: &mut Group) {
    let Some(rest) = text.trim().strip_prefix("Group No.:") else {
        let (key, value) = text.split_once(':').unwrap_or(("Group header", text));
        group.infos.push((key.trim().to_owned(), value.trim().to_owned()));
        return;
    };
    let (number, side) = rest.split_once("Side:").map_or((rest, None), |(number, side)| (number, Some(side)));
    let words: Vec<_> = side.unwrap_or(number).split_whitespace().collect();
    let (verdict, said) = match words.split_last() {
        Some((last, before)) if side.is_none() || !before.is_empty() => (*last, before.join(" ")),
        _ => ("", words.join(" ")),
    };
    match side {
        Some(_) => {
            number.trim().clone_into(&mut group.number);
            group.infos.push(("Side".to_owned(), said));
        }
        // Without a side, a number alone is no verdict.
        None if said.is_empty() => {
            verdict.clone_into(&mut group.number);
            return;
        }
        None => group.number = said,
    }
    verdict.clone_into(&mut group.verdict);
}

impl Columns {
    fn of(line: &str) -> Option<Self> {
        if !line.starts_with("Order;") {
            return None;
        }
        let given: Vec<_> = line.split(';').map(str::trim).collect();
        let names = labels(&given);
        let at = |name: &str| given.iter().position(|known| *known == name);
        let beside = |name: &str| at(name).filter(|at| at + 1 < given.len());
        Some(Self {
            parts: at("Parts")?,
            comment: at("Comment"),
            order: at("Order"),
            function: at("Func"),
            reference: beside("Reference")?,
            values: [beside("Test.Base(Test1)")?, beside("Test.Base(Test2)")?],
            plus: at("+%")?,
            minus: at("-%")?,
            judgement: at("Judge")?,
            names,
        })
    }

    fn row(&self, text: &str, number: u64, group: &mut Group) {
        let cells: Vec<_> = text.split(';').map(str::trim).collect();
        if cells.len() < self.names.len() {
            let reason = format!("it has {} cells of {}", cells.len(), self.names.len());
            return group.odd_row(text, number, &reason);
        }
        let cell = |at: usize| cells.get(at).copied().unwrap_or_default();
        let reading = |at: usize| Reading::new(cell(at), cell(at + 1));
        let label = |at: usize| self.names.get(at).cloned().unwrap_or_else(|| format!("Cell {}", at + 1));
        let name = [Some(self.parts), self.comment].into_iter().flatten().map(cell).find(|text| !is_none(text));
        let order = || format!("step {}", self.order.map_or_else(|| number.to_string(), |at| cell(at).to_owned()));
        group.row(&Row {
            name: name.map_or_else(order, str::to_owned),
            judgement: cell(self.judgement).to_owned(),
            reference: reading(self.reference),
            values: self.values.map(reading),
            plus: cell(self.plus).to_owned(),
            minus: cell(self.minus).to_owned(),
            function: self.function.map(|at| cell(at).to_ascii_uppercase()),
            cells: (0..cells.len()).map(|at| (label(at), cell(at).to_owned())).collect(),
        });
    }
}
