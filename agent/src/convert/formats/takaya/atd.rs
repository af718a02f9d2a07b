//! `.ATD`: `@`, what is said of the run, `@`, the groups of the run, `@`; and the next run, if there is one.
//!
//! A row is of cells between tabs under a header row, or (APT-94xx) of quoted cells and bare ones between blanks.

use std::collections::HashMap;
use std::io::BufRead;

use super::group::{Group, Header};
use super::row::{Reading, Row, is_none};
use super::{Lines, Units};
use crate::convert::ConvertError;

/// Columns that say the same in each row of a group: they are information on the unit.
const OF_THE_UNIT: [&str; 12] = [
    "Group_No.",
    "Date_of_test",
    "Time_of_test",
    "Total_PASS_No.",
    "Total_NG_No.",
    "Daily_PASS_No.",
    "Daily_NG_No.",
    "Model",
    "Testing_time",
    "Serial_No.1",
    "Tester_ID",
    "Index",
];
/// Cells of an APT-94xx row before its reference, and behind its judgement.
const QUOTED: ([&str; 6], [&str; 7]) = (
    ["Step_number", "Parts", "Value", "Comment", "H-pin", "L-pin"],
    ["Measuring_mode", "Measuring_range", "Measuring_time", "Access_probe", "G-P1", "G-P2", "Function"],
);

/// What is read so far.
#[derive(Default)]
struct State {
    header: Header,
    /// No line of a header came since the last `@`.
    between: bool,
    /// A header without a group.
    announced: bool,
    group: Option<Group>,
    columns: Option<Columns>,
}

/// Where the cells of a row with tabs stand.
struct Columns {
    names: Vec<String>,
    parts: usize,
    comment: Option<usize>,
    step: Option<usize>,
    judgement: usize,
    reference: usize,
    values: [usize; 2],
    plus: usize,
    minus: usize,
    /// What the first row of the group says in the columns that are of the unit.
    unit: Option<Vec<String>>,
}

/// Reads a file behind its first `@`.
pub(super) fn read<R: BufRead>(lines: &mut Lines<R>, units: &mut Units<'_, '_, '_>) -> Result<(), ConvertError> {
    let mut state = State { between: true, ..State::default() };
    while let Some(line) = lines.next()? {
        let (text, number) = (line.text.as_str(), line.number);
        let trimmed = text.trim();
        // A last line that is cut says something else than it would; only the mark itself cannot be cut.
        if trimmed.is_empty() || (!line.ends && trimmed != "@") {
            continue;
        }
        let starred = trimmed.strip_prefix('*').and_then(|text| text.strip_suffix('*')).map(str::trim);
        if trimmed == "@" {
            state.end_group(units, lines.note())?;
            state.between = true;
        } else if let Some(group) = starred.and_then(|text| text.strip_prefix("GROUP No.")) {
            state.end_group(units, lines.note())?;
            let mut new = Group::new(&state.header);
            new.number = group.trim().to_owned();
            new.hash(text);
            state.group = Some(new);
            state.announced = false;
        } else if let Some(group) = &mut state.group {
            group.hash(text);
            match starred {
                Some(verdict) if group.verdict.is_empty() => verdict.clone_into(&mut group.verdict),
                _ => line_of_group(text, number, group, &mut state.columns),
            }
        } else {
            state.header_line(text, starred);
        }
    }
    match (state.group.is_some(), state.announced, units.count) {
        (true, ..) => Err(lines.incomplete("the last group does not end with @")),
        (false, true, _) | (false, false, 0) => Err(lines.incomplete("no group follows")),
        (false, false, _) => Ok(()),
    }
}

impl State {
    fn end_group(&mut self, units: &mut Units<'_, '_, '_>, note: Option<String>) -> Result<(), ConvertError> {
        self.columns = None;
        self.group.take().map_or(Ok(()), |group| units.hand_over(group, false, note))
    }

    fn header_line(&mut self, text: &str, starred: Option<&str>) {
        if std::mem::take(&mut self.between) {
            self.header = Header::default();
            self.announced = true;
        }
        let header = &mut self.header;
        header.text.push_str(text);
        header.text.push('\n');
        let trimmed = text.trim();
        if let Some(verdict) = starred {
            header.infos.push(("Verdict on the panel".to_owned(), verdict.to_owned()));
        } else if let Some(date) = trimmed.strip_prefix("DATE ") {
            date.trim().clone_into(&mut header.date);
        } else if trimmed.starts_with("D.T:") {
            header.infos.push(("Counters of the panel".to_owned(), squeezed(trimmed)));
        } else {
            match trimmed.split_once(':').map(|(key, value)| (key.trim(), value.trim())) {
                Some(("Model", value)) => value.clone_into(&mut header.model),
                Some(("Test time", value)) => value.clone_into(&mut header.seconds),
                Some(("Test ID", value)) => value.clone_into(&mut header.tester),
                Some((key, value)) => header.infos.push((key.to_owned(), value.to_owned())),
                None => header.infos.push(("Header".to_owned(), trimmed.to_owned())),
            }
        }
    }
}

fn line_of_group(text: &str, number: u64, group: &mut Group, columns: &mut Option<Columns>) {
    let trimmed = text.trim();
    if trimmed.starts_with("Group_No.\t") {
        *columns = Columns::of(text);
        if columns.is_none() {
            group.notes.push(format!("line {number}: the header row lacks columns that are needed"));
        }
    } else if text.contains('\t') {
        match columns {
            Some(columns) => columns.row(text, number, group),
            None => group.odd_row(text, number, "there is no header row for it"),
        }
    } else if trimmed.starts_with(|c: char| c.is_ascii_digit()) && trimmed.contains('"') {
        group.combined = true;
        match quoted(trimmed) {
            Some(row) => group.row(&row),
            None => group.odd_row(text, number, "it is no row of an APT-94xx"),
        }
    } else if trimmed.starts_with("D.T:") {
        group.infos.push(("Counters".to_owned(), squeezed(trimmed)));
    } else {
        match trimmed.split_once(':').map_or(("Group line", trimmed), |(key, value)| (key.trim(), value.trim())) {
            ("Serial No.", serial) => serial.clone_into(&mut group.serial),
            (key, value) => group.infos.push((key.to_owned(), value.to_owned())),
        }
    }
}

impl Columns {
    fn of(header: &str) -> Option<Self> {
        let names = labels(&header.split('\t').map(str::trim).collect::<Vec<_>>());
        let at = |name: &str| names.iter().position(|known| known == name);
        // The unit of a value stands behind it.
        let beside = |name: &str| at(name).filter(|at| at + 1 < names.len());
        Some(Self {
            parts: at("Parts")?,
            comment: at("Comment"),
            step: at("Step_number"),
            judgement: at("Judgement")?,
            reference: beside("Ref._Value_(Char)")?,
            values: [beside("Test_Value_1_(Char)")?, beside("Test_Value_2_(Char)")?],
            plus: at("Tolerance_(+)%")?,
            minus: at("Tolerance_(-)%")?,
            unit: None,
            names,
        })
    }

    fn row(&mut self, text: &str, number: u64, group: &mut Group) {
        let cells: Vec<_> = text.split('\t').collect();
        if cells.len() < self.names.len() {
            let reason = format!("it has {} cells of {}", cells.len(), self.names.len());
            return group.odd_row(text, number, &reason);
        }
        let cell = |at: usize| cells.get(at).map_or("", |cell| cell.trim());
        let is_of_unit = |at: usize| self.names.get(at).is_some_and(|name| OF_THE_UNIT.contains(&name.as_str()));
        if self.unit.is_none() {
            for at in (0..cells.len()).filter(|&at| is_of_unit(at)) {
                let name = self.names[at].as_str();
                match name {
                    "Model" => group.program = Some(cell(at).to_owned()).filter(|text| !text.is_empty()),
                    // These say what the head of the group or of the run says.
                    "Serial_No.1" if cell(at) == group.serial => {}
                    "Tester_ID" if cell(at) == group.header.tester => {}
                    "Group_No." => {}
                    _ if !is_none(cell(at)) => group.infos.push((name.to_owned(), cell(at).to_owned())),
                    _ => {}
                }
            }
        }
        let first = self.unit.get_or_insert_with(|| cells.iter().map(|cell| cell.trim().to_owned()).collect());
        let mut told = Vec::new();
        for at in 0..cells.len() {
            let name = self.names.get(at).cloned().unwrap_or_else(|| format!("Cell {}", at + 1));
            let is_said = OF_THE_UNIT.contains(&name.as_str()) && first.get(at).is_some_and(|first| first == cell(at));
            if !is_said && !name.ends_with("(Fig)") {
                told.push((name, cell(at).to_owned()));
            }
        }
        let reading = |at: usize| Reading::new(cell(at), cell(at + 1));
        let names = [Some(self.parts), self.comment].into_iter().flatten().map(cell).find(|text| !is_none(text));
        let step = || format!("step {}", self.step.map_or_else(|| number.to_string(), |at| cell(at).to_owned()));
        group.row(&Row {
            name: names.map_or_else(step, str::to_owned),
            judgement: cell(self.judgement).to_owned(),
            reference: reading(self.reference),
            values: self.values.map(reading),
            plus: cell(self.plus).to_owned(),
            minus: cell(self.minus).to_owned(),
            function: None,
            cells: told,
        });
    }
}

/// Names of columns; one that comes again has the name of the column before it in front.
pub(super) fn labels(names: &[&str]) -> Vec<String> {
    let mut times: HashMap<&str, usize> = HashMap::new();
    names.iter().for_each(|name| *times.entry(name).or_default() += 1);
    let before = std::iter::once(&"").chain(names);
    let label = |(name, before): (&&str, &&str)| {
        let again = times.get(name).is_some_and(|times| *times > 1);
        if again { format!("{before} {name}") } else { (*name).to_owned() }
    };
    names.iter().zip(before).map(label).collect()
}

/// A row of the APT-94xx: the tolerances tell where the others stand.
fn quoted(line: &str) -> Option<Row> {
    let cells = tokens(line)?;
    let is_tolerance = |at: usize| cells.get(at).is_some_and(|(text, quoted)| !quoted && text.ends_with('%'));
    let plus = (0..cells.len()).find(|&at| is_tolerance(at) && is_tolerance(at + 1))?;
    let reference = plus.checked_sub(3)?;
    let cell = |at: usize| cells.get(at).map_or("", |(text, _)| text.trim());
    let judgement = cells.get(plus + 2).map(|(text, _)| text.trim())?;
    let reading = |at: usize| {
        let end = cell(at).find(|c: char| c == ' ' || c.is_alphabetic()).filter(|end| *end > 0);
        let (text, unit) = cell(at).split_at(end.unwrap_or(cell(at).len()));
        Reading::new(text, unit)
    };
    let label = |at: usize| {
        let name = match at {
            _ if at < reference => QUOTED.0.get(at).copied(),
            _ if at == reference => Some("Ref._Value"),
            _ if at < plus => ["Test_Value_1", "Test_Value_2"].get(at - reference - 1).copied(),
            _ if at < plus + 3 => ["Tolerance_(+)%", "Tolerance_(-)%", "Judgement"].get(at - plus).copied(),
            _ => QUOTED.1.get(at - plus - 3).copied(),
        };
        name.map_or_else(|| format!("Cell {}", at + 1), str::to_owned)
    };
    // The judgement is the last cell that is needed; what is behind it is told as it is.
    let known = [1, 3].into_iter().filter(|&at| at < reference).map(cell).find(|text| !is_none(text));
    Some(Row {
        name: known.map_or_else(|| format!("step {}", cell(0)), str::to_owned),
        judgement: judgement.to_owned(),
        reference: reading(reference),
        values: [reading(reference + 1), reading(reference + 2)],
        plus: cell(plus).to_owned(),
        minus: cell(plus + 1).to_owned(),
        function: None,
        cells: (0..cells.len()).map(|at| (label(at), cell(at).to_owned())).collect(),
    })
}

/// Cells, and whether they are quoted; what stands right behind a quote belongs to the cell. None if a quote is not closed.
fn tokens(line: &str) -> Option<Vec<(String, bool)>> {
    let mut cells = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('"') {
            let (text, after) = inside.split_once('"')?;
            let end = after.find(char::is_whitespace).unwrap_or(after.len());
            cells.push((format!("{text}{}", &after[..end]), true));
            rest = after[end..].trim_start();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            cells.push((rest[..end].to_owned(), false));
            rest = rest[end..].trim_start();
        }
    }
    Some(cells)
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
