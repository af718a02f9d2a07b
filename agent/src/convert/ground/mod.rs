//! What formats have in common, in small pieces: a converter puts them together.
//!
//! - [`text`]: from bytes to text, whatever the encoding; [`number`]: numbers as equipment writes them
//! - [`limits`]: limits and comparators, and whether a value keeps them; [`verdict`]: where the file's own verdict contradicts them
//! - [`xml`]: XML as a stream of trees
//! - [`walk`]: where the reading of a file stands, its faults and notes; [`object`]: JSON objects
//!
//! Sources of the rules are named where they stand. Nothing here invents a value: what is not understood is told, or stays a text.

pub(in crate::convert) mod limits;
pub(in crate::convert) mod number;
pub(in crate::convert) mod object;
pub(in crate::convert) mod text;
pub(in crate::convert) mod verdict;
pub(in crate::convert) mod walk;
pub(in crate::convert) mod xml;
