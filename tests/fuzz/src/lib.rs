//! What is fuzzed, as plain functions: each takes any bytes and panics if something that must always hold does not.
//!
//! The same functions run on stable over the committed corpora (`agent/tests/fuzz_corpus.rs`, which includes this file) and under
//! libFuzzer (`fuzz_targets/`). A format that gets a converter gets a function here, a target and a corpus.

mod config_reader;
mod converters;
mod frame_decoder;

pub use config_reader::config_reader;
pub use frame_decoder::frame_decoder;

/// The converter `wsjf`.
pub fn wsjf(bytes: &[u8]) {
    converters::convert("wsjf", bytes);
}

/// The converter `wsxf`.
pub fn wsxf(bytes: &[u8]) {
    converters::convert("wsxf", bytes);
}

/// The converter `openhtf`.
pub fn openhtf(bytes: &[u8]) {
    converters::convert("openhtf", bytes);
}

/// The choice by content, and what it chooses.
pub fn auto(bytes: &[u8]) {
    converters::convert("auto", bytes);
}
