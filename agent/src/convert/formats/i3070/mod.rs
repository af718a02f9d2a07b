//! Log records of the Keysight (Agilent) i3070 in-circuit test: one report a board.
//!
//! A file holds the boards of a panel or of a shift: `@BATCH` says what is tested and where, each `@BTEST` in it is one board, each `@BLOCK` in
//! that one a step. Parts: [`record`] reads nested records, [`board`] makes a report of them, [`codes`] tells what their numbers stand for.
//!
//! What real files fix (FORMATS.md section 7, tests/data/i3070): braces close on the same line, on later ones or never; the next `@BATCH` may
//! stand right behind the last brace; a line may be cut within a record and the log goes on, so that a board, a block or a measurement that begins
//! inside of one of its own kind ends that one. The status of the board is its own and counts, also where a block failed. A board whose record is
//! never closed is handed over marked as incomplete.
//!
//! - Every value of `@BATCH` and `@BTEST` has its key in the report or stands in its information; the end is told beside the duration.
//! - Units are implied by the record. `A-MEA` measures anything: `V` is the customary unit of it, and the step says so.
//! - `9.999999E+99` is no limit, and as a value no value: the step then has its verdict alone, and its text the rest.
//! - Names of blocks lose the number of their board (`2%r698`).
//! - Records that nobody knows, also those that are made at home, are kept as texts: of their block, or of the board.
//!
//! The flat dialect of an older converter (FORMATS.md section 7, at its end) is not read: no file of it is known, and neither its separators nor the
//! words of its columns are published.

mod board;
mod codes;
mod record;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use self::board::Board;
use self::record::{Event, Parser, Record};
use crate::convert::ground::text::Decoded;
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink};

/// Deepest nesting of records. Real ones have five levels.
const DEEPEST: usize = 64;

const ABOUT: About = About {
    name: "i3070",
    version: 1,
    help: "Keysight (Agilent) i3070 log records, one unit a board",
    patterns: &["*.log", "*.ict", "*"],
    // A file of several boards that ends between two of them is whole.
    has_end_mark: false,
    arguments: &[],
};

/// The converter `i3070`.
#[derive(Debug)]
pub struct I3070;

impl Converter for I3070 {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let text = head.text().to_ascii_uppercase();
        let begins = |name: &str| text.match_indices(name).any(|(at, _)| text[..at].trim_end_matches([' ', '\t']).ends_with('{'));
        let first = text.trim_start_matches('\u{feff}').trim_start().starts_with('{');
        match (begins("@BATCH|") || begins("@BTEST|"), first) {
            (true, true) => 95,
            (true, false) => 70,
            (false, _) => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut log = Log { input, sink, open: Vec::new(), batch: Record::default(), before: Vec::new(), held: None, boards: 0 };
        let mut parser = Parser::new(input.open_text()?);
        loop {
            match parser.next()? {
                Event::Open(record) => log.begin(record, &parser)?,
                Event::Close => {
                    if let Some(mut record) = log.open.pop() {
                        record.closed = true;
                        log.ended(record);
                    }
                }
                Event::Text(text) => log.text(text),
                Event::End => return log.end(&parser),
            }
        }
    }
}

/// A log that is read.
struct Log<'a, 'i, 's> {
    input: &'a Input<'i>,
    sink: &'a mut Sink<'s>,
    /// Records that are open, the outermost first.
    open: Vec<Record>,
    /// Head of the batch that was begun last.
    batch: Record,
    /// What stands before the first board.
    before: Vec<Record>,
    /// The last board: what stands behind it may still belong to it.
    held: Option<Board>,
    boards: u64,
}

impl Log<'_, '_, '_> {
    fn begin<R: BufRead>(&mut self, record: Record, parser: &Parser<Decoded<R>>) -> Result<(), ConvertError> {
        match record.name.as_str() {
            "BATCH" => {
                self.end_down_to(0);
                self.hand_over(parser)?;
                self.batch = Record { fields: record.fields.clone(), name: record.name.clone(), ..Record::default() };
            }
            "BTEST" => {
                let batches = self.open.iter().take_while(|open| open.name == "BATCH").count();
                self.end_down_to(batches);
                self.hand_over(parser)?;
            }
            // None of these is within its own kind: the one before was cut.
            name => {
                let same = |open: &Record| if name.starts_with("A-") { open.name.starts_with("A-") } else { open.name == name };
                if (name == "BLOCK" || name.starts_with("A-"))
                    && let Some(at) = self.open.iter().position(same)
                {
                    self.end_down_to(at);
                }
            }
        }
        if self.open.len() >= DEEPEST {
            self.hand_over(parser)?;
            let reason = format!("records are nested deeper than {DEEPEST}");
            return Err(ConvertError::Malformed { place: format!("line {}", record.line), reason });
        }
        self.open.push(record);
        Ok(())
    }

    /// Ends records that have no brace of their own.
    fn end_down_to(&mut self, depth: usize) {
        while self.open.len() > depth {
            if let Some(record) = self.open.pop() {
                self.ended(record);
            }
        }
    }

    fn ended(&mut self, record: Record) {
        match (record.name.as_str(), self.open.last_mut()) {
            ("BATCH", _) => {}
            ("BTEST", _) => {
                let beside = std::mem::take(&mut self.before);
                self.held = Some(Board { batch: self.batch.clone(), test: record, beside });
            }
            (_, Some(outer)) if outer.name != "BATCH" => outer.children.push(record),
            _ => self.beside(record),
        }
    }

    fn text(&mut self, text: String) {
        match self.open.last_mut() {
            Some(outer) if outer.name != "BATCH" => outer.lines.push(text),
            _ => self.beside(Record::of_text(text)),
        }
    }

    fn beside(&mut self, record: Record) {
        match &mut self.held {
            Some(board) => board.beside.push(record),
            None => self.before.push(record),
        }
    }

    /// Gives the last board away.
    fn hand_over<R: BufRead>(&mut self, parser: &Parser<Decoded<R>>) -> Result<(), ConvertError> {
        let Some(board) = self.held.take() else { return Ok(()) };
        self.boards += 1;
        // Half a head is half a serial number: there is no report of it.
        if board.test.cut {
            return Ok(());
        }
        let mut unit = board.unit(self.input);
        if let Ok(unit) = &mut unit {
            unit.notes.extend(parser.reader().note());
        }
        if (self.sink)(unit).is_break() { Err(ConvertError::Stopped) } else { Ok(()) }
    }

    fn end<R: BufRead>(mut self, parser: &Parser<Decoded<R>>) -> Result<(), ConvertError> {
        let unclosed = self.open.last().map(|record| (record.name.clone(), record.line));
        self.end_down_to(0);
        self.hand_over(parser)?;
        match unclosed {
            Some((name, line)) => {
                let reason = format!("@{name}, begun on line {line}, is not closed");
                Err(ConvertError::Incomplete { place: format!("line {}", parser.line()), reason })
            }
            None if self.boards == 0 => {
                let reason = "it has no @BTEST: no board was tested".to_owned();
                Err(ConvertError::Malformed { place: "the file as a whole".to_owned(), reason })
            }
            None => Ok(()),
        }
    }
}
