//! What formats have in common, in small pieces: a converter puts them together.
//!
//! - [`text`]: from bytes to text, whatever the encoding; [`number`]: numbers as equipment writes them
//! - [`limits`]: limits and comparators, and whether a value keeps them; [`verdict`]: where the file's own verdict contradicts them
//! - [`time`]: times, mostly without a zone; [`xml`]: XML as a stream of trees
//! - [`names`]: what is known by its name alone, as a serial number among properties
//! - [`steps`]: steps of each kind; [`fit`]: texts that are longer than a report takes; [`incomplete`]: units whose file ends first
//! - [`shift`]: numbers in another scale; [`curve`]: curves as charts
//! - [`walk`]: where the reading of a file stands, its faults and notes; [`object`]: JSON objects
//!
//! Sources of the rules are named where they stand. Nothing here invents a value: what is not understood is told, or stays a text.

pub(in crate::convert) mod curve;
pub(in crate::convert) mod fit;
pub(in crate::convert) mod incomplete;
pub(in crate::convert) mod limits;
pub(in crate::convert) mod names;
pub(in crate::convert) mod number;
pub(in crate::convert) mod object;
pub(in crate::convert) mod shift;
pub(in crate::convert) mod steps;
pub(in crate::convert) mod text;
pub(in crate::convert) mod time;
pub(in crate::convert) mod verdict;
pub(in crate::convert) mod walk;
pub(in crate::convert) mod xml;
