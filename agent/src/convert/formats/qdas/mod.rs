//! Q-DAS ASCII transfer format (DFQ): parts, their characteristics, and values; each measured piece is a unit (FORMATS.md section 13).
//!
//! - [`keys`]: lines of K fields and of values; [`pieces`]: which values are of one piece
//!
//! Rules of this converter, beside those of the format:
//! - A characteristic is of the part whose K1 fields stand before it; its own index runs on over all parts (tests/data/qdas).
//! - A piece is a line of values; where values stand one a line, those of one part with the same K0014 and K0004, else the n-th of each
//!   characteristic.
//! - The file has no verdict. A value passes between K2110 and K2111, the limits included; without a limit on a side that side is open, without
//!   both it has none. The piece failed if one of its values did, and passed if each of its characteristics has a value; else it has no verdict
//!   (Done).
//! - K0002 255 (deleted) and 256 (none) are values that do not count: skipped. A characteristic without K0001 has K0021, its number of errors.
//! - Serial number K0014, part number K1001, revision K1004, batch K0006, operator K0008 or else K1222, K1221; start K0004, the earliest of the
//!   piece. All other K1 fields are information on the unit, all others of a characteristic or value are text of its step, under their keys.
//! - What stands twice with different texts, or has an index that was never introduced, is noted and not guessed: the first one counts.
//! - K0100 says how many characteristics there are; a file with fewer is not at its end. Otherwise an end does not show: a last line without
//!   line end is taken as cut, and so is a last value that lacks a field which those before it have.
//!
//! Files that were split in two (`.dfd` with the fields, `.dfx` with the values) are refused: neither says which the other is.

mod keys;
mod pieces;
#[cfg(test)]
mod tests;

use self::keys::{Key, Line};
use self::pieces::File;
use crate::convert::{About, ConvertError, Converter, Head, Input, Sink};

const ABOUT: About = About {
    name: "qdas",
    version: 1,
    help: "Q-DAS ASCII transfer format (DFQ), one unit a measured piece",
    patterns: &["*.dfq"],
    has_end_mark: false,
    arguments: &[],
};

/// The converter `qdas`.
#[derive(Debug)]
pub struct Qdas;

impl Converter for Qdas {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let text: String = head.raw().iter().filter(|&&byte| byte != 0).take(4096).map(|&byte| char::from(byte)).collect();
        let text = text.trim_start_matches(['\u{ef}', '\u{bb}', '\u{bf}', '\u{ff}', '\u{fe}']);
        let mut keys = text.lines().filter(|line| !line.trim().is_empty()).map_while(Key::of_line);
        let of_file = keys.next().is_some_and(|key| matches!(key.number, 100 | 1000..=2999));
        match (of_file, keys.take(3).count()) {
            (true, 3) => 92,
            (true, 1 | 2) => 60,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        refuse_halves(input)?;
        let text = input.text()?;
        let mut file = File::new(input, text.note);
        let whole = text.text.ends_with(['\n', '\r']);
        let count = text.text.lines().count();
        for (at, line) in text.text.lines().enumerate() {
            let number = at + 1;
            if number == count && !whole && !line.trim().is_empty() {
                file.is_cut(number, line);
                break;
            }
            match Line::of(line) {
                Line::Blank => {}
                Line::Key(key, value) => file.key(number, key, value),
                Line::Values(values) => file.values(number, values)?,
            }
        }
        file.end(count, sink)
    }
}

fn refuse_halves(input: &Input<'_>) -> Result<(), ConvertError> {
    let name = input.file_name.to_ascii_lowercase();
    let half = match name.rsplit_once('.') {
        Some((_, "dfd")) => "the fields without their values, which stand in the .dfx file",
        Some((_, "dfx")) => "values without their fields, which stand in the .dfd file",
        _ => return Ok(()),
    };
    Err(ConvertError::Malformed {
        place: "the file as a whole".to_owned(),
        reason: format!("it is one half of a split file: {half}; let the equipment write one .dfq file"),
    })
}
