//! A mapping for a text of cells.

use super::words::{self, STEP, UNIT};
use super::{Out, quoted};
use crate::convert::ground::names::{self, normalised};
use crate::convert::ground::number::{self, Decimal};

/// Lines that are looked at.
const LINES: usize = 300;
/// Names of columns with limits in them, as the TestStand database tool writes them.
const WITH_LIMITS: &str = r"^(?<name>.+) \((?<unit>[^()]*)\)\s+(?:(?<low>\S+) (?<low_op><=?) x (?<high_op><=?) (?<high>\S+)|==\s*(?<equal>\S+))(?:\s*\[(?<loop>\d+)\])?$";
/// Names of columns with a unit at most.
const WITH_UNIT: &str = r"^(?<name>.+?)(?:\s*[\[(](?<unit>[^\[\]()]*)[\])])?$";

/// Writes it.
pub(super) fn guess(text: &str, file_name: &str, out: &mut Out) {
    let lines: Vec<&str> = text.lines().take(LINES).collect();
    let is_excel = lines.first().is_some_and(|line| line.to_ascii_lowercase().starts_with("sep="));
    let lines = if is_excel { &lines[1..] } else { &lines[..] };
    let delimiter = delimiter(lines);
    let rows: Vec<Vec<String>> = lines.iter().map(|line| cells(line, delimiter)).collect();
    let header = header(&rows);
    let columns: &[String] = rows.get(header).map_or(&[], Vec::as_slice);
    let first = rows.get(header + 1);
    let name = match delimiter {
        '\t' => "tab".to_owned(),
        ' ' => "blanks".to_owned(),
        other => other.to_string(),
    };
    out.line("format", "delimited", "");
    if let Some(head) = columns.first().filter(|head| head.len() > 2) {
        out.table("[recognise]", "How `auto` knows such a file. Without it only a source that names this mapping uses it.");
        out.line("pattern", &format!("(?m)^\\W*{}", regex::escape(head)), "");
    }
    out.table("[text]", "");
    out.line("delimiter", &name, "what is between two cells");
    let numbers = rows.iter().skip(header + 1).flatten().map(String::as_str);
    let decimal = if delimiter == ',' { Decimal::Point } else { Decimal::by_evidence(numbers) };
    out.line("decimal", if decimal == Decimal::Comma { "comma" } else { "point" }, "");
    if !text.ends_with('\n') {
        out.raw("open_end = true  # the last line of a whole file has no line end");
    }
    let pairs: Vec<&Vec<String>> =
        rows[..header.min(rows.len())].iter().filter(|row| row.len() >= 2 && !row[0].is_empty()).collect();
    if !pairs.is_empty() {
        out.table("[header]", "Lines of a name and a value before the table.");
        out.line("separator", &(if delimiter == ' ' { ':' } else { delimiter }).to_string(), "");
    }
    let pair_names: Vec<String> = pairs.iter().map(|pair| pair[0].clone()).collect();
    let place_of = |key: &str| STEP.iter().find(|(known, _)| *known == key).and_then(|(_, names)| words::place(names, columns));
    let is_steps = place_of("name").is_some() && place_of("value").is_some();
    let serial = words::place(names::SERIAL_NUMBER, columns);
    out.table("[table]", "");
    if !pairs.is_empty()
        && let Some(head) = columns.first()
    {
        out.line("start", &format!("^\\W*{}", regex::escape(head)), "the row with the names of the columns");
    }
    let mut step_columns = Vec::new();
    match (is_steps, serial) {
        (false, _) => out.line("unit", "row", "each row is a unit"),
        (true, None) => out.line("unit", "section", "all rows of the file are steps of one unit"),
        (true, Some(serial)) => {
            let start = UNIT.iter().find(|(key, _)| *key == "start").and_then(|(_, names)| words::place(names, columns));
            let key: Vec<_> = [Some(serial), start].into_iter().flatten().map(|place| quoted(&columns[place])).collect();
            out.line("unit", "key", "rows with the same key are steps of one unit");
            out.raw(&format!("key = [{}]", key.join(", ")));
        }
    }
    if is_steps {
        for (key, names) in STEP {
            step_columns.extend(words::place(names, columns).map(|place| (key, place)));
        }
    }
    out.table("[unit]", "What is said of the unit as a whole: key of the report = column, or name of a line before the table.");
    let mut times = None;
    for (key, names) in UNIT {
        let in_steps = |place: &usize| step_columns.iter().any(|(_, taken)| taken == place);
        let column = words::place(names, columns).filter(|place| !in_steps(place));
        let pair = words::place(names, &pair_names);
        let (name, value) = match (pair, column) {
            (Some(pair), _) => (pair_names.get(pair), pairs.get(pair).and_then(|pair| pair.get(1))),
            (None, Some(place)) => (columns.get(place), first.and_then(|row| row.get(place))),
            (None, None) => (None, None),
        };
        match name {
            Some(name) => out.line(key, name, ""),
            None if key == "sn" || key == "pn" => {
                out.comment(&format!("{key} = \"…\"  # not found: name its column, or take it from the file's name, as below"));
            }
            None => {}
        }
        if key == "start" {
            times = value.and_then(|value| words::time_pattern(value));
        }
    }
    out.comment(&format!("pn = {{ file_name = '^([^_ .]+)' }}  # what a pattern takes out of {}", quoted(file_name)));
    if let Some((pattern, why)) = times {
        out.table("[time]", "");
        out.raw(&format!("formats = [{}]{}", quoted(pattern), if why.is_empty() { String::new() } else { format!("  # {why}") }));
    }
    if is_steps {
        out.table("[step]", "What a row says of a step: key = column.");
        step_columns.iter().for_each(|(key, place)| out.line(key, &columns[*place], ""));
        return;
    }
    let limited = regex::Regex::new(WITH_LIMITS).is_ok_and(|pattern| columns.iter().any(|column| pattern.is_match(column)));
    out.table(
        "[columns]",
        "All other columns whose name is of this form are measurements; those that are of no form are kept as information.",
    );
    let pattern = if limited { WITH_LIMITS } else { WITH_UNIT };
    out.raw(&format!("pattern = '{pattern}'"));
    if !limited {
        out.comment(
            "Limits that stand nowhere in the file can be said here, one column after the other, and [columns] left out:",
        );
        out.comment("[[measurement]]");
        out.comment("value = \"column\"");
        out.comment("unit = \"V\"");
        out.comment("low = \"4.50\"");
        out.comment("high = \"5.50\"");
    }
}

/// What separates cells: the sign that most lines have the same number of.
fn delimiter(lines: &[&str]) -> char {
    let score = |sign: char| {
        let counts: Vec<usize> = lines.iter().map(|line| line.matches(sign).count()).filter(|&count| count > 0).collect();
        let most = counts.iter().map(|count| counts.iter().filter(|other| *other == count).count() * (*count).min(20)).max();
        most.unwrap_or(0)
    };
    let best = ['\t', ';', '|', ','].into_iter().rev().max_by_key(|&sign| score(sign));
    best.filter(|&sign| score(sign) > 0).unwrap_or(' ')
}

fn cells(line: &str, delimiter: char) -> Vec<String> {
    if delimiter == ' ' {
        return line.split_whitespace().map(str::to_owned).collect();
    }
    let mut cells = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c == delimiter && !quoted => cells.push(String::new()),
            c => {
                if let Some(cell) = cells.last_mut() {
                    cell.push(c);
                }
            }
        }
    }
    while cells.len() > 1 && cells.last().is_some_and(|cell| cell.trim().is_empty()) {
        cells.pop();
    }
    cells.into_iter().map(|cell| cell.trim().to_owned()).collect()
}

/// The row with the names of the columns: the first that is wide, has no number, and knows a name; else the first wide one.
fn header(rows: &[Vec<String>]) -> usize {
    let widest = rows.iter().map(Vec::len).max().unwrap_or(0);
    let is_wide = |row: &&Vec<String>| row.len() > 2 && row.len() * 3 >= widest * 2;
    let is_name = |cell: &String| {
        let name = normalised(cell);
        UNIT.iter().map(|(_, names)| names).chain(STEP.iter().map(|(_, names)| names)).any(|names| names.contains(&name.as_str()))
    };
    let has_no_number = |row: &&Vec<String>| row.iter().all(|cell| number::plain(cell).is_none());
    let knows = rows.iter().position(|row| is_wide(&row) && has_no_number(&row) && row.iter().any(is_name));
    knows.or_else(|| rows.iter().position(|row| is_wide(&row) && has_no_number(&row))).unwrap_or(0)
}
