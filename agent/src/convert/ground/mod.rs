//! What formats have in common, in small pieces: a converter puts them together.
//!
//! - [`text`]: from bytes to text, whatever the encoding; [`number`]: numbers as equipment writes them
//! - [`si`]: prefixes of units by the dialect of the equipment, and exact arithmetic on digits
//! - [`limits`]: limits and comparators, and whether a value keeps them; [`verdict`]: where the file's own verdict contradicts them
//! - [`lines`]: a text as a stream of lines
//! - [`time`]: times, mostly without a zone; [`xml`]: XML as a stream of trees
//! - [`names`]: what is known by its name alone, as a serial number among properties
//! - [`exact`]: arithmetic on digits; [`chart`]: curves, as many points as a report takes; [`teststand`]: what TestStand writes, in each of its files
//! - [`steps`]: steps of each kind; [`fit`]: texts that are longer than a report takes; [`incomplete`]: units whose file ends first
//! - [`own_hash`]: what a unit goes by where its file is a stream
//! - [`chart`]: curves as a chart; [`curve`]: curves in the making, however long
//! - [`walk`]: where the reading of a file stands, its faults and notes; [`object`]: JSON objects
//!
//! Sources of the rules are named where they stand. Nothing here invents a value: what is not understood is told, or stays a text.

pub(in crate::convert) mod chart;
pub(in crate::convert) mod curve;
pub(in crate::convert) mod exact;
pub(in crate::convert) mod fit;
pub(in crate::convert) mod incomplete;
pub(in crate::convert) mod limits;
pub(in crate::convert) mod lines;
pub(in crate::convert) mod names;
pub(in crate::convert) mod number;
pub(in crate::convert) mod object;
pub(in crate::convert) mod own_hash;
pub(in crate::convert) mod si;
pub(in crate::convert) mod steps;
pub(in crate::convert) mod teststand;
pub(in crate::convert) mod text;
pub(in crate::convert) mod time;
pub(in crate::convert) mod verdict;
pub(in crate::convert) mod walk;
pub(in crate::convert) mod xml;
