//! Header rows, and what their columns mean.

use crate::convert::ground::names::{self, Names};
use crate::convert::ground::number::Decimal;

/// A line and its cells.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub(super) number: usize,
    /// All of it.
    pub(super) text: &'a str,
    /// What is between the tabs.
    pub(super) cells: Vec<&'a str>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Serial,
    Operator,
    Time,
    Date,
    Lot,
    Part,
    Name,
    Value,
    Margin,
    Unit,
    XUnit,
    YUnit,
    Result,
    Tolerance,
    Limits,
}

/// Names of columns as they are without case and punctuation (`Serial #:` is `serial`).
const COLUMNS: [(Column, Names); 15] = [
    (Column::Serial, names::SERIAL_NUMBER),
    (Column::Operator, names::OPERATOR),
    (Column::Time, &["time", "datetime", "timestamp", "testtime"]),
    (Column::Date, &["date", "testdate"]),
    (Column::Lot, names::BATCH),
    (Column::Part, names::PART_NUMBER),
    (Column::Name, &["name", "step", "stepname", "test", "testname", "measurement", "curve", "curvename"]),
    (Column::Value, &["value", "measured"]),
    (Column::Margin, &["margin"]),
    (Column::Unit, &["unit", "units"]),
    (Column::XUnit, &["xunit", "xunits"]),
    (Column::YUnit, &["yunit", "yunits"]),
    (Column::Result, &["result", "passfail", "verdict", "status"]),
    (Column::Tolerance, &["tolerance"]),
    (Column::Limits, &["limits", "limit"]),
];

/// A header row.
#[derive(Debug, Clone, Default)]
pub(super) struct Header {
    /// All of it.
    pub(super) text: String,
    /// The name of each column and what it holds.
    pub(super) columns: Vec<(String, Option<Column>)>,
}

impl<'a> Line<'a> {
    pub(super) fn new(number: usize, text: &'a str) -> Self {
        Self { number, text, cells: text.split('\t').map(str::trim).collect() }
    }

    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| cell.is_empty())
    }
}

impl Header {
    /// The header row of results: it names them, and has a column for a result or a margin.
    pub(super) fn of(line: &Line<'_>) -> Option<Self> {
        let header = Self::named(line);
        let judges = header.has(Column::Result) || header.has(Column::Margin) || header.has(Column::Limits);
        (header.has(Column::Name) && judges).then_some(header)
    }

    /// Any row read as a header.
    pub(super) fn named(line: &Line<'_>) -> Self {
        let mut taken = Vec::new();
        let mut column = |cell: &str| {
            let name = names::normalised(cell);
            let found = COLUMNS.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(column, _)| *column);
            // Of two columns of one meaning the first has it, the other is a column that is not known.
            let found = found.filter(|column| !taken.contains(column));
            taken.extend(found);
            found
        };
        let columns = line.cells.iter().map(|cell| ((*cell).to_owned(), column(cell))).collect();
        Self { text: line.text.to_owned(), columns }
    }

    pub(super) fn has(&self, column: Column) -> bool {
        self.position(column).is_some()
    }

    pub(super) fn position(&self, column: Column) -> Option<usize> {
        self.columns.iter().position(|(_, known)| *known == Some(column))
    }

    /// What a line has in a column; blank if it has nothing there.
    pub(super) fn cell<'a>(&self, line: &Line<'a>, column: Column) -> &'a str {
        self.position(column).and_then(|index| line.cells.get(index)).copied().unwrap_or_default()
    }

    /// Date and time of a line.
    pub(super) fn time(&self, line: &Line<'_>) -> String {
        let (date, time) = (self.cell(line, Column::Date), self.cell(line, Column::Time));
        [date, time].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The decimal sign, by all cells that may be numbers: not those that name the unit.
pub(super) fn decimal(lines: &[Line<'_>]) -> Decimal {
    let naming =
        [Column::Serial, Column::Operator, Column::Time, Column::Date, Column::Lot, Column::Part, Column::Name, Column::Unit];
    let mut header = Header::default();
    let mut cells = Vec::new();
    for line in lines {
        if let Some(found) = Header::of(line) {
            header = found;
            continue;
        }
        for (index, cell) in line.cells.iter().enumerate() {
            let column = header.columns.get(index).and_then(|(_, column)| *column);
            if !column.is_some_and(|column| naming.contains(&column)) {
                cells.extend(cell.split('/'));
            }
        }
    }
    Decimal::by_evidence(cells)
}
