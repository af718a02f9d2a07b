//! The fuzz targets on stable: each over its committed corpus, over the test data, and over prefixes of them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault of a test is told where it stands")]

#[path = "../../tests/fuzz/src/lib.rs"]
mod fuzz;

use std::path::{Path, PathBuf};

use waybill_agent::convert::registry::Registry;

/// Most bytes of all corpora together: they are read by everybody who clones the repository.
const MOST_BYTES: usize = 200 * 1024;
/// Inputs that are cut at every byte.
const SMALL: usize = 600;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 4] = [
    ("frame_decoder", fuzz::frame_decoder),
    ("config_reader", fuzz::config_reader),
    ("converter", fuzz::converter),
    ("auto", fuzz::auto),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files of a folder and their bytes, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    files(&root().join("tests/fuzz/corpus").join(target))
}

/// Runs a target; a panic names the input.
fn run(target: Target, name: &str, bytes: &[u8]) {
    if std::panic::catch_unwind(|| target(bytes)).is_err() {
        panic!("the input is {name} ({} bytes)", bytes.len());
    }
}

fn replay(target: &str) {
    let inputs = corpus(target);
    assert!(inputs.len() >= 10, "{target}: only {} inputs", inputs.len());
    let (_, function) = TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    for (name, bytes) in inputs {
        run(function, &name, &bytes);
        for cut in (0..bytes.len()).step_by(if bytes.len() <= SMALL { 1 } else { 97 }) {
            run(function, &format!("{name}, cut at byte {cut}"), &bytes[..cut]);
        }
    }
}

#[test]
fn the_frame_decoder_stands_its_corpus() {
    replay("frame_decoder");
}

#[test]
fn the_config_reader_stands_its_corpus() {
    replay("config_reader");
}

#[test]
fn each_converter_stands_its_corpus() {
    replay("converter");
}

#[test]
fn the_choice_of_a_converter_stands_its_corpus() {
    replay("auto");
}

#[test]
fn every_converter_stands_a_file_of_each_format() {
    let inputs = corpus("converter");
    let names = Registry::built_in().names();
    for name in &names {
        for other in &names {
            // One small file of each other format.
            let Some((path, bytes)) = inputs.iter().find(|(_, bytes)| bytes.starts_with(format!("{other}\n").as_bytes())) else {
                continue;
            };
            let renamed = [name.as_bytes(), &bytes[other.len()..]].concat();
            run(fuzz::converter, &format!("{path} as {name}"), &renamed);
        }
    }
}

/// A converter that is added needs an input; without one it is not fuzzed, and nobody would notice.
#[test]
fn every_converter_has_an_input_and_every_target_a_corpus_and_all_are_small() {
    let targets = TARGETS.map(|(name, _)| name);
    let inputs = corpus("converter");
    for converter in Registry::built_in().names() {
        let has_one = inputs.iter().any(|(_, bytes)| bytes.starts_with(format!("{converter}\n").as_bytes()));
        assert!(has_one, "no input in corpus/converter begins with the line {converter}");
    }
    let manifest = std::fs::read_to_string(root().join("tests/fuzz/Cargo.toml")).unwrap();
    let nightly = std::fs::read_to_string(root().join("tests/fuzz/nightly")).unwrap();
    for target in targets {
        assert!(manifest.contains(&format!("\"fuzz_targets/{target}.rs\"")), "{target} is not in tests/fuzz/Cargo.toml");
        assert!(nightly.contains(target), "{target} is not in tests/fuzz/nightly");
    }
    let bytes: usize = targets.iter().flat_map(|target| corpus(target)).map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes <= MOST_BYTES, "the corpora have {bytes} bytes");
}
