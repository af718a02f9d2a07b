//! STDF version 4, the binary format of semiconductor testers: one part, one unit (FORMATS.md section 8).
//!
//! - [`source`]: records out of a file, packed or not; [`fields`], [`records`]: what is in a record
//! - [`catalog`]: tests with what their first record says of them; [`part`]: results of a part, and steps of them
//! - [`lot`]: from records to units
//!
//! Rules of this converter, beside those of the specification:
//! - A part is a unit when its PRR comes. Files without MRR are not at their end, but the parts in them are whole.
//! - Serial number: PART_ID, else `lot-wafer-x-y`, else `lot-site-n`, where n counts the parts of that site; the argument `serial_number` can
//!   prefer another. Part number PART_TYP, revision DSGN_REV, batch LOT_ID, station NODE_NAM, sequence JOB_NAM with JOB_REV, socket SITE_NUM.
//!   What else MIR, SDR, WIR and PRR say is information on the unit, under the names of the specification.
//! - Start: START_T of the lot and the TEST_T of all earlier parts of the same head and site: when a part began is not in the file.
//! - A result stays in its base unit: the scales only say how it is displayed. A number has the shortest digits that read back as it.
//! - A test goes by TEST_TXT, else by what TSR or VECT_NAM call it, else by its number. An invalid result is NaN. The verdict of an MPR is that
//!   of its values; where it failed, those that keep their limits passed.
//! - Program sections (BPS, EPS) are sequences of all parts that are tested meanwhile.
//!
//! Left out: RES_SCAL, LLM_SCAL, HLM_SCAL and the formats (display only); summaries that no part has (PCR, counts of TSR, HBR and SBR, WRR,
//! MRR); WCR (the wafer map's geometry); PGR and PLR (how pins are grouped and displayed). Records that are not of version 4 are noted.

mod catalog;
mod fields;
mod lot;
mod part;
mod records;
mod source;
#[cfg(test)]
mod tests;

use std::io::Read as _;

use encoding_rs::Encoding;

use self::lot::Lot;
use self::source::{Packing, Records};
use crate::convert::{About, Argument, Arguments, ConvertError, Converter, Head, Input, Kind, Sink, common};

const SERIAL_NUMBER: Argument = Argument {
    name: "serial_number",
    help: "what a part's serial number is made of, where the file has it",
    kind: Kind::OneOf(&["part id", "lot-wafer-part id", "lot-wafer-x-y", "lot-site-n"]),
};
const PARTS: Argument =
    Argument { name: "parts", help: "which parts are reported", kind: Kind::OneOf(&["all", "failed", "failed and every nth"]) };
const NTH: Argument =
    Argument { name: "nth", help: "with parts = \"failed and every nth\": the number of it", kind: Kind::Whole(Some(10)) };
const CLOCK: Argument = Argument {
    name: "clock",
    help: "what times in the file are: seconds since 1970 in UTC, or by the local clock, as the specification has it",
    kind: Kind::OneOf(&["utc", "local"]),
};

const ABOUT: About = About {
    name: "stdf",
    version: 1,
    help: "STDF version 4 of semiconductor testers, plain or packed, one unit a part",
    patterns: &["*.stdf", "*.std", "*.stdf.gz", "*.std.gz", "*.stdf.bz2", "*.std.bz2"],
    has_end_mark: true,
    arguments: &[SERIAL_NUMBER, PARTS, NTH, CLOCK],
};

/// The converter `stdf`.
#[derive(Debug)]
pub struct Stdf;

impl Converter for Stdf {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let head = head.raw();
        let mut unpacked = Vec::with_capacity(6);
        // An error is a head that ends within a block: what came before it is judged.
        let _ended = match Packing::of(head) {
            Packing::None => head.take(6).read_to_end(&mut unpacked),
            Packing::Gzip => flate2::bufread::GzDecoder::new(head).take(6).read_to_end(&mut unpacked),
            Packing::Bzip2 => bzip2::bufread::BzDecoder::new(head).take(6).read_to_end(&mut unpacked),
        };
        match (Packing::of(head), unpacked.as_slice()) {
            (_, [2, 0, 0, 10, _, 4] | [0, 2, 0, 10, _, 4]) => 95,
            (_, [2, 0, 0, 10, ..] | [0, 2, 0, 10, ..]) => 80,
            // A block of bzip2 is larger than the head: what it holds is not known yet.
            (Packing::Bzip2, []) if head.get(4..10) == Some(&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59]) => 50,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut records = Records::new(input.open()?)?;
        let mut lot = Lot::new(input, records.order());
        let mut end = 0;
        while let Some(record) = records.next()? {
            end = record.at + 4 + record.data.len() as u64;
            lot.record(record, sink)?;
        }
        lot.end(end, sink)
    }
}

/// How texts are written: ASCII, or by a configured encoding.
#[derive(Clone, Copy)]
struct Words(&'static Encoding);

impl Words {
    fn new(arguments: Arguments<'_>) -> Self {
        Self(common::encoding(arguments))
    }

    /// A text without the blanks and zeros that pad it.
    fn text(self, bytes: &[u8]) -> String {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => self.0.decode_without_bom_handling(bytes).0,
        };
        text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()
    }
}
