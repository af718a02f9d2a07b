//! Which value of a file came from where, unit by unit: for a person who writes a mapping.

use std::ops::ControlFlow;

use jiff::Timestamp;
use waybill_shared::schema::Map;

use super::Mapping;
pub use super::unit::Tell;
use crate::convert::{Arguments, Content, ConvertError, Input, Unit};

/// One unit of a file and how it was read.
#[derive(Debug)]
pub struct Explained {
    /// What was found, in the order in which it was looked for.
    pub fields: Vec<Tell>,
    /// The unit, or why there is none.
    pub unit: Result<Unit, ConvertError>,
}

/// All units of a file, each with where its values stand, and how the file as a whole ended. The source's arguments, which fill in what neither
/// the file nor the mapping says, are left out.
pub fn explain(mapping: &Mapping, file_name: &str, bytes: &[u8]) -> (Vec<Explained>, Result<(), ConvertError>) {
    let none = Map::new();
    let input =
        Input { content: Content::Bytes(bytes), file_name, modified: Timestamp::UNIX_EPOCH, arguments: Arguments::new(&none) };
    let mut units = Vec::new();
    let end = mapping.read(&input, true, &mut |made| {
        units.push(Explained { fields: made.told, unit: made.unit });
        ControlFlow::Continue(())
    });
    (units, end)
}

/// The same as a text, one line a value.
#[must_use]
pub fn text(units: &[Explained]) -> String {
    let mut lines = Vec::new();
    for (index, unit) in units.iter().enumerate() {
        lines.push(format!("unit {}", index + 1));
        for Tell { field, value, place } in &unit.fields {
            lines.push(format!("  {field} = {:?}  ({place})", waybill_shared::text::printable(value, 100)));
        }
        match &unit.unit {
            Ok(unit) => lines.extend(unit.notes.iter().map(|note| format!("  note: {note}"))),
            Err(error) => lines.push(format!("  error: {error}")),
        }
    }
    lines.join("\n")
}
