//! What is fuzzed, as plain functions: each takes any bytes and panics if something that must always hold does not.
//!
//! The same functions run on stable over the committed corpora (`agent/tests/fuzz_corpus.rs`, which includes this file) and under
//! libFuzzer (`fuzz_targets/`). A format that gets a converter gets inputs in the corpus of `converter`.

mod config_reader;
mod converters;
mod frame_decoder;

pub use config_reader::config_reader;
pub use frame_decoder::frame_decoder;

/// A converter: its name is the first line, the file is the rest.
pub fn converter(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let Ok(name) = std::str::from_utf8(&bytes[..end]) else { return };
    if name != "auto" {
        converters::convert(name, bytes.get(end + 1..).unwrap_or_default());
    }
}

/// The choice by content, and what it chooses.
pub fn auto(bytes: &[u8]) {
    converters::convert("auto", bytes);
}
