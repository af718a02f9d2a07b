//! What ships beside the binaries: the help pages and the sample station.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::path::PathBuf;

use waybill_shared::config;
use waybill_shared::error::Code;
use waybill_shared::report::{validate, wsjf};

fn assets() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("assets")
}

#[test]
fn every_error_code_has_its_help_page_and_no_page_is_left_over() {
    let folder = assets().join("help/errors");
    for code in Code::ALL {
        let path = folder.join(format!("{code}.md"));
        let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(page.lines().next(), Some(format!("# {code}: {}", code.meaning()).as_str()), "{}", path.display());
        for section in ["## What happened", "## What to check", "## What happens by itself", "## Is anything lost?"] {
            assert!(page.contains(section), "{} has no section {section:?}", path.display());
        }
    }
    let pages = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(pages, Code::ALL.len(), "a page without a code");
}

/// What a code says to machines is a contract: scripts look at the exit code, programs at the category and the status.
#[test]
fn the_catalogue_of_errors_is_the_one_that_was_agreed_on() {
    let line = |code: &Code| {
        let (category, exit) = (format!("{:?}", code.category()), code.exit() as u8);
        format!("{code}  {category:<13} exit {exit:<2} HTTP {}  {}\n", code.http_status(), code.meaning())
    };
    let mut lines: Vec<String> = Code::ALL.iter().map(line).collect();
    lines.sort();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/error_codes.txt");
    if std::env::var_os("WAYBILL_BLESS").is_some() {
        std::fs::write(&path, lines.concat()).unwrap();
    }
    let agreed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(agreed, lines.concat(), "a new code: WAYBILL_BLESS=1 writes {}; one that changed breaks scripts", path.display());
}

/// A code that nothing tells is a page that nobody needs, or a failure that nobody is told of.
#[test]
fn every_error_code_is_told_by_some_part_of_the_product() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let mut product = String::new();
    for name in ["agent/src", "gui/src", "ipc/src", "shared/src"] {
        sources(&root.join(name), &mut product);
    }
    let words: std::collections::HashSet<&str> = product.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let silent: Vec<_> = Code::ALL.iter().filter(|code| !words.contains(format!("{code:?}").as_str())).collect();
    assert!(silent.is_empty(), "told by nothing: {silent:?}");
}

/// The text of all sources below a folder, without tests, without the catalogue, and without the list of its pages.
fn sources(folder: &std::path::Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.contains("tests") || (folder.ends_with("shared/src") && ["error.rs", "help.rs"].contains(&name.as_str())) {
            continue;
        }
        if path.is_dir() {
            sources(&path, text);
        } else if name.ends_with(".rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            text.push_str(source.split("#[cfg(test)]\nmod tests {").next().unwrap());
        }
    }
}

#[test]
fn the_sample_station_is_valid_and_only_its_broken_file_is_broken() {
    let station = assets().join("station");
    let config = config::parse(&std::fs::read_to_string(station.join("config.toml")).unwrap()).unwrap();
    assert_eq!(config.source.len(), 2);
    for file in std::fs::read_dir(station.join("files/ict")).unwrap() {
        let path = file.unwrap().path();
        let mut report = wsjf::read_one(&std::fs::read(&path).unwrap()).unwrap();
        let station = config.identity(&[]);
        report.fill_station(&station.name, &station.location, &station.purpose);
        let faults: Vec<String> = validate::validate(&report).into_iter().map(|fault| fault.path).collect();
        if path.file_name().unwrap().to_string_lossy().starts_with("broken") {
            assert_eq!(faults, ["sn", "root.steps[1].numericMeas[0].highLimit"]);
        } else {
            assert!(faults.is_empty(), "{}: {faults:?}", path.display());
        }
    }
}
