//! What somebody who had never seen it stumbled over.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a fault of this test is told where it stands"
)]

use std::fs;

use waybill_tests::{Agent, Receiver, Station, cli, sample_report};

#[cfg(unix)]
#[test]
fn an_agent_that_runs_and_cannot_be_reached_is_not_called_absent() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    fs::remove_file(station.endpoint().name()).unwrap();
    fs::create_dir(station.endpoint().name()).unwrap();
    let status = cli(&station, &["status"]);
    assert_eq!(status.code(), Some(9), "{}", status.stderr);
    assert!(status.stderr.contains(&format!("process {}", agent.pid())), "{}", status.stderr);
}

#[test]
fn what_is_no_file_is_told_once_and_not_again_at_every_start() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    fs::create_dir(station.watch("ict").join("folder.json")).unwrap();
    let mut agent = Agent::start(&station);
    agent.wait_for("it is told", |snapshot| snapshot.sources[0].errors == 1);
    agent.stop();
    let agent = Agent::start(&station);
    // What comes after the first reading of the folder.
    let (id, bytes) = sample_report(1);
    station.drop_file("ict", "good.json", &bytes);
    receiver.wait(|state| state.has(&id));
    assert_eq!(agent.snapshot().sources[0].errors, 1);
    assert_eq!(station.sidecars("ict").len(), 1);
}

#[test]
fn a_dry_run_refuses_arguments_that_the_converter_does_not_take() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let path = station.folder().join("unit.json");
    fs::write(&path, sample_report(1).1).unwrap();
    let path = path.to_str().unwrap();
    let refused =
        cli(&station, &["convert", path, "--as", "openhtf", "--argument", "process_code=abc", "--argument", "part_numbr=1"]);
    assert_eq!(refused.code(), Some(5), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("process_code") && refused.stderr.contains("did you mean `part_number`"),
        "{}",
        refused.stderr
    );
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_is_lost_is_not_success() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let path = station.folder().join("unit.json");
    fs::write(&path, sample_report(1).1).unwrap();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let status =
        std::process::Command::new(waybill_tests::agent::binary()).arg("convert").arg(path).stdout(full).output().unwrap();
    assert_eq!(status.status.code(), Some(7), "{}", String::from_utf8_lossy(&status.stderr));
}

#[test]
fn a_start_says_what_is_hardly_meant() {
    let station = Station::builder().source("ict", |source| source.converter("wsjf").missing()).build();
    let mut agent = Agent::start(&station);
    agent.stop();
    let said = agent.stderr();
    assert!(said.contains("no destination is configured") && said.contains("is not there"), "{said}");
}
