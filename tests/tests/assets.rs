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
