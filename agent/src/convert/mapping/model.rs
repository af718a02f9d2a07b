//! What a mapping file can say, once: keys, their meaning, their defaults. The help page `mapping` explains them with examples.

use waybill_shared::schema::{Map, Value};
use waybill_shared::{choice, section};

use super::kinds::{Char, Delimiter, Digits, EncodingName, Pattern, Pick, ZoneName};

section! {
    /// A mapping file.
    pub struct Model on Converters {
        /// Name of the converter in the configuration; part of every derived id: it never changes
        name: String;
        /// What files it reads, one line
        help: String = String::new();
        /// Raised when the same file gives another report than before
        version: u32 = 1;
        /// Names that such files usually have
        patterns: Vec<String> = Vec::new();
        /// How such a file is built
        format: Format = Format::Delimited;
        /// By what `auto` knows such a file; without it only a source that names the mapping uses it
        recognise: Option<Recognise> = None;
        /// How a text is cut into lines and cells
        text: TextLayout = blank();
        /// Where a unit begins and ends in a file of several
        section: SectionMarks = blank();
        /// Lines of a name and a value before the table, and after it
        header: Option<HeaderBlock> = None;
        /// The table
        table: Table = blank();
        /// Where units stand in XML and JSON
        tree: TreeLayout = blank();
        /// What is said of the unit as a whole
        unit: UnitFields = blank();
        /// Words for verdicts
        status: StatusWords = blank();
        /// Words for comparators, each with a comparator as GELE
        comparators: Map<String, Value> = Map::new();
        /// How times are written
        time: Times = blank();
        /// Columns that are one measurement each, with name, unit and limits in the name of the column
        columns: Option<ColumnNames> = None;
        /// Columns that are one measurement each, one by one
        measurement: Vec<Measurement> = Vec::new();
        /// What one row of a table, or one element, says of one step
        step: Option<StepFields> = None;
        /// What elements of XML and JSON are steps
        element: Vec<ElementFields> = Vec::new();
    }
}

choice! {
    /// How a file is built.
    pub enum Format {
        /// Lines of cells with a sign between them.
        Delimited = "delimited",
        /// Lines of cells at fixed places.
        Fixed = "fixed",
        /// XML.
        Xml = "xml",
        /// JSON.
        Json = "json",
    }
}

section! {
    /// By what `auto` knows a file.
    pub struct Recognise on Converters {
        /// What is found in the first 64 KiB of such a file
        pattern: Pattern;
        /// How sure that is, 40 to 100
        sure: u32 = 80;
    }
}

section! {
    /// How a text is cut.
    pub struct TextLayout on Converters {
        /// Encoding of a text that shows none; the source's argument `encoding` wins
        encoding: Option<EncodingName> = None;
        /// What is between two cells: one character, `tab`, or `blanks` for any number of blanks
        delimiter: Delimiter = Delimiter::Char(b',');
        /// What is around a cell that holds a delimiter; empty for none
        quote: Char = Char(Some(b'"'));
        /// The decimal sign; `evidence`: what the cells show, where the delimiter is no comma
        decimal: DecimalSign = DecimalSign::Evidence;
        /// Lines before anything else that are passed by
        skip_lines: u32 = 0;
        /// Lines that begin with this are passed by
        comment: Option<String> = None;
        /// What stands in a cell that has no value
        empty: Vec<String> = Vec::new();
        /// True if the last line of a whole file has no line end
        open_end: bool = false;
        /// Cells at fixed places
        fixed: Vec<FixedCell> = Vec::new();
    }
}

section! {
    /// A cell at a fixed place.
    pub struct FixedCell on Converters {
        /// Name of its column
        name: String;
        /// Its first character, from 1
        from: u32;
        /// Its last character; without it, the last of the line
        to: Option<u32> = None;
    }
}

choice! {
    /// The decimal sign.
    pub enum DecimalSign {
        /// What the cells show.
        Evidence = "evidence",
        /// 4.7
        Point = "point",
        /// 4,7
        Comma = "comma",
    }
}

section! {
    /// Where units begin and end in a file of several.
    pub struct SectionMarks on Converters {
        /// The first line of a unit; without it the file has one section
        start: Option<Pattern> = None;
        /// The last line of a unit: what has none is not whole
        end: Option<Pattern> = None;
    }
}

section! {
    /// Lines of a name and a value.
    pub struct HeaderBlock on Converters {
        /// What is between a name and its value; without it the delimiter
        separator: Option<String> = None;
        /// The first line that belongs to it no more; without it a blank line, or the first line of the table
        end: Option<Pattern> = None;
    }
}

section! {
    /// A table.
    pub struct Table on Converters {
        /// Its first line: that of its header rows, if it has any
        start: Option<Pattern> = None;
        /// Rows with the names of the columns
        header_rows: u32 = 1;
        /// Names of the columns where no row has them
        columns: Vec<String> = Vec::new();
        /// The first line that belongs to it no more
        end: Option<Pattern> = None;
        /// What is one unit: a row, rows with the same key, or all rows of a section
        unit: Per = Per::Row;
        /// Columns that tell one unit from the other, for `unit = "key"`
        key: Vec<String> = Vec::new();
        /// Columns and names of the header block that are left out
        ignore: Vec<String> = Vec::new();
    }
}

choice! {
    /// What is one unit.
    pub enum Per {
        /// A row.
        Row = "row",
        /// Rows with the same key.
        Key = "key",
        /// All rows of a section.
        Section = "section",
    }
}

section! {
    /// Where units stand in XML and JSON.
    pub struct TreeLayout on Converters {
        /// Path of a unit from the root, `.` for the root itself; the items of a list that is the root of JSON are `item`
        unit: String = ".".to_owned();
        /// Paths that are left out
        ignore: Vec<String> = Vec::new();
    }
}

section! {
    /// What is said of the unit as a whole.
    pub struct UnitFields on Converters {
        /// Serial number
        sn: Option<Pick> = None;
        /// Part number
        pn: Option<Pick> = None;
        /// Revision of the part
        rev: Option<Pick> = None;
        /// Number of the operation
        process_code: Option<Pick> = None;
        /// Station
        station: Option<Pick> = None;
        /// Where it stands
        location: Option<Pick> = None;
        /// What it is for
        purpose: Option<Pick> = None;
        /// Operator
        operator: Option<Pick> = None;
        /// Batch
        batch: Option<Pick> = None;
        /// Fixture
        fixture: Option<Pick> = None;
        /// Socket
        socket: Option<Pick> = None;
        /// When it began: date and time, or the date alone
        start: Option<Pick> = None;
        /// The time, where the date stands elsewhere
        start_time: Option<Pick> = None;
        /// When it ended
        end: Option<Pick> = None;
        /// The time that it ended, where the date stands elsewhere
        end_time: Option<Pick> = None;
        /// How long it took
        exec_time: Option<Pick> = None;
        /// In what `exec_time` is
        exec_time_unit: TimeUnit = TimeUnit::S;
        /// Verdict; without it the worst of the steps
        result: Option<Pick> = None;
        /// Error number
        error_code: Option<Pick> = None;
        /// Error text
        error_message: Option<Pick> = None;
        /// Comment
        comment: Option<Pick> = None;
        /// Name of the sequence
        sequence: Option<Pick> = None;
        /// File of the sequence
        sequence_path: Option<Pick> = None;
        /// Version of the sequence
        sequence_version: Option<Pick> = None;
    }
}

choice! {
    /// Units of a time.
    pub enum TimeUnit {
        /// Seconds.
        S = "s",
        /// Milliseconds.
        Ms = "ms",
        /// Microseconds.
        Us = "us",
    }
}

section! {
    /// Words for verdicts, whatever their case. They win over those that are known anyway.
    pub struct StatusWords on Converters {
        /// Within its limits
        passed: Vec<String> = Vec::new();
        /// Outside of its limits
        failed: Vec<String> = Vec::new();
        /// Ran and has no verdict
        done: Vec<String> = Vec::new();
        /// Not run
        skipped: Vec<String> = Vec::new();
        /// Something went wrong
        error: Vec<String> = Vec::new();
        /// Stopped
        terminated: Vec<String> = Vec::new();
    }
}

section! {
    /// How times are written.
    pub struct Times on Converters {
        /// Patterns as strftime has them (%Y-%m-%d %H:%M:%S), tried in their order; without any ISO 8601
        formats: Vec<String> = Vec::new();
        /// Zone of times that name none; the source's argument `time_zone` wins
        zone: Option<ZoneName> = None;
    }
}

section! {
    /// Columns that are one measurement each.
    pub struct ColumnNames on Converters {
        /// What such a name looks like, with the groups name, unit, low, low_op, high, high_op, equal, limit, op, loop
        pattern: Pattern;
        /// Units that stand for none
        no_unit: Vec<String> = vec!["None".to_owned()];
    }
}

section! {
    /// A column that is a measurement.
    pub struct Measurement on Converters {
        /// Where its value stands
        value: Pick;
        /// Name of the step; without it that of the column
        name: Option<String> = None;
        /// Unit of measure
        unit: Option<String> = None;
        /// Lower limit
        low: Option<Digits> = None;
        /// Upper limit
        high: Option<Digits> = None;
        /// Where the lower limit stands
        low_from: Option<Pick> = None;
        /// Where the upper limit stands
        high_from: Option<Pick> = None;
        /// Comparator; without it GELE, GE or LE, as there are limits
        comparator: Option<String> = None;
        /// The text that is expected
        expected: Option<String> = None;
        /// Where its verdict stands; without it the limits say it
        status: Option<Pick> = None;
        /// What kind of step it is
        kind: StepKind = StepKind::Auto;
    }
}

choice! {
    /// What kind of step something is.
    pub enum StepKind {
        /// A number if it is one, a text if it is none, a verdict if there is no value.
        Auto = "auto",
        /// A number with limits.
        Numeric = "numeric",
        /// A text.
        String = "string",
        /// A verdict: its value is one, if it has no other.
        Verdict = "verdict",
        /// Nothing that is measured.
        Action = "action",
    }
}

section! {
    /// What one row says of one step.
    pub struct StepFields on Converters {
        /// Its name
        name: Pick;
        /// Its value
        value: Option<Pick> = None;
        /// Unit of measure
        unit: Option<Pick> = None;
        /// Lower limit
        low: Option<Pick> = None;
        /// Upper limit
        high: Option<Pick> = None;
        /// Comparator; without it GELE, GE or LE, as there are limits
        comparator: Option<Pick> = None;
        /// What the value is expected to be
        expected: Option<Pick> = None;
        /// Its verdict; without it the limits say it
        status: Option<Pick> = None;
        /// Seconds that it took
        time: Option<Pick> = None;
        /// In what `time` is
        time_unit: TimeUnit = TimeUnit::S;
        /// Error number
        error_code: Option<Pick> = None;
        /// Error text
        error_message: Option<Pick> = None;
        /// Sequence that it belongs to: one for rows of the same that follow each other
        sequence: Option<Pick> = None;
        /// What kind of step it is
        kind: StepKind = StepKind::Auto;
    }
}

choice! {
    /// What an element is.
    pub enum ElementKind {
        /// A number if it is one, a text if it is none, a verdict if there is no value.
        Auto = "auto",
        /// A number with limits.
        Numeric = "numeric",
        /// A text.
        String = "string",
        /// A verdict: its value is one, if it has no other.
        Verdict = "verdict",
        /// Nothing that is measured.
        Action = "action",
        /// A sequence of those in it.
        Sequence = "sequence",
    }
}

section! {
    /// What one element says of one step. Paths are its own.
    pub struct ElementFields on Converters {
        /// Name of the element
        element: String;
        /// What it is
        kind: ElementKind = ElementKind::Auto;
        /// Its name
        name: Option<Pick> = None;
        /// Its value
        value: Option<Pick> = None;
        /// Unit of measure
        unit: Option<Pick> = None;
        /// Lower limit
        low: Option<Pick> = None;
        /// Upper limit
        high: Option<Pick> = None;
        /// Comparator; without it GELE, GE or LE, as there are limits
        comparator: Option<Pick> = None;
        /// What the value is expected to be
        expected: Option<Pick> = None;
        /// Its verdict; without it the limits, or the worst of those in it
        status: Option<Pick> = None;
        /// Seconds that it took
        time: Option<Pick> = None;
        /// In what `time` is
        time_unit: TimeUnit = TimeUnit::S;
        /// Error number
        error_code: Option<Pick> = None;
        /// Error text
        error_message: Option<Pick> = None;
    }
}

/// A section of which nothing is said.
#[allow(clippy::expect_used, reason = "each field of these sections has a default; a test reads them all")]
fn blank<T: waybill_shared::schema::Field>() -> T {
    let mut reader = waybill_shared::schema::Reader::new();
    T::read(Value::Object(Map::new()), &mut reader).expect("a section whose fields all have defaults")
}
