//! What somebody who had never seen it stumbled over.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a fault of this test is told where it stands"
)]

use std::fs;

use waybill_tests::edit::set;
use waybill_tests::{Agent, Behaviour, Receiver, Station, cli, ipc_client, sample_report, wait_until};

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

/// What an agent does is not what it says: a watchdog would start it again.
#[cfg(target_os = "linux")]
#[test]
fn an_agent_that_was_stopped_in_order_has_been_whoever_reads_what_it_says() {
    let station = Station::builder().build();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut agent = waybill_tests::agent::command(&station).arg("run").stdout(full).spawn().unwrap();
    wait_until("it answers", || cli(&station, &["status"]).success());
    assert!(cli(&station, &["stop"]).success());
    assert_eq!(agent.wait().unwrap().code(), Some(0));
}

#[test]
fn a_start_says_what_is_hardly_meant() {
    let station = Station::builder().source("ict", |source| source.converter("wsjf").missing()).build();
    let mut agent = Agent::start(&station);
    agent.stop();
    let said = agent.stderr();
    assert!(said.contains("no destination is configured") && said.contains("is not there"), "{said}");
}

/// The station goes on with what was accepted last, however its file was broken meanwhile.
fn breaks_and_starts_again(station: &Station, mut agent: Agent) -> Agent {
    let text = station.config_text();
    agent.kill();
    station.write_config(&format!("{text}\nx[["));
    let agent = Agent::start(station);
    assert!(agent.snapshot().agent.config_problem.is_some());
    agent
}

#[test]
fn what_was_set_last_is_what_stands_in_for_a_file_that_breaks() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    ipc_client(&station).change(&[set("station.location", "Line 9"), set("queue.max_entries", 77)]).unwrap();
    let agent = breaks_and_starts_again(&station, agent);
    let snapshot = agent.snapshot();
    assert_eq!((snapshot.agent.identity.location.as_str(), snapshot.queue.max_entries), ("Line 9", 77));
}

#[test]
fn a_station_that_was_set_up_while_its_agent_ran_starts_with_a_broken_file() {
    let station = Station::builder().build();
    let mut agent = Agent::start(&station);
    let (watch, out) = (station.folder().join("in"), station.folder().join("out"));
    fs::create_dir_all(&watch).unwrap();
    let arguments = ["init", "--yes", "--add", "--source-name", "ict", "--source-folder", watch.to_str().unwrap()];
    let destination = ["--destination-kind", "folder", "--destination-folder", out.to_str().unwrap()];
    let init = cli(&station, &[&arguments[..], &destination[..]].concat());
    assert!(init.success(), "{init}");
    assert!(agent.is_running());
    let agent = breaks_and_starts_again(&station, agent);
    assert_eq!(agent.snapshot().sources.len(), 1);
}

#[test]
fn reports_whose_destination_went_while_no_agent_ran_are_told_and_can_be_moved() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::status(503));
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .folder_destination("archive")
        .wats(&receiver)
        .build();
    let mut agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..4);
    agent.wait_for("they wait", |s| s.destinations.iter().any(|d| d.name == "main" && d.pending + d.sending == 4));
    agent.wait_for("the others are there", |s| s.destinations.iter().any(|d| d.name == "archive" && d.sent == 4));
    agent.kill();
    let text = station.config_text();
    let (before, rest) = text.split_once("[[destination]]\nname = \"main\"").expect("the destination's lines");
    let after = rest.find("\n[").map_or("", |at| &rest[at..]);
    station.write_config(&format!("{before}{after}"));
    let agent = Agent::start(&station);
    let health = cli(&station, &["health", "--fresh"]);
    assert_eq!(health.code(), Some(11), "{health}");
    assert!(health.stdout.contains("destination main") && health.stdout.contains("--move-to"), "{health}");
    let unset = |how: &[&str]| cli(&station, &[&["config", "unset", "destination.main"], how].concat());
    let refused = unset(&[]);
    assert!(!refused.success() && refused.stderr.contains("WB1011"), "{refused}");
    let moved = unset(&["--move-to", "archive"]);
    assert!(moved.success(), "{moved}");
    agent.wait_for("nothing waits", |s| s.queue.waiting == 0 && !s.destinations.iter().any(|d| d.name == "main"));
    assert_eq!(station.delivered("archive").len(), ids.len());
    let history = cli(&station, &["history", "list", "--action", "destination.release"]).stdout;
    assert!(history.contains("4 report(s)") && history.contains("moved to archive"), "{history}");
    wait_until("it is well", || cli(&station, &["health"]).success());
}

#[test]
fn a_fault_of_pinned_values_is_theirs_and_no_backup_is_blamed() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut agent = Agent::start(&station);
    agent.stop();
    for text in ["[nonsense", "[queue]\nmax_entries = 'abc'\n", "nonsense = 1\n"] {
        fs::write(station.instance().managed(), text).unwrap();
        let run = cli(&station, &["run"]);
        assert_eq!(run.code(), Some(5), "{run}");
        assert!(run.stderr.contains("managed.toml") && !run.stderr.contains("backup"), "{run}");
    }
}

#[test]
fn a_password_in_an_address_is_refused_and_written_nowhere() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let _agent = Agent::start(&station);
    let url = "destination.main.url=http://user:PASSSECRET@127.0.0.1:1";
    let refused = cli(&station, &["config", "set", url]);
    assert!(!refused.success() && refused.stderr.contains("destination[0].url"), "{refused}");
    for said in [refused, cli(&station, &["history", "list", "--json"])] {
        assert!(!said.to_string().contains("PASSSECRET"), "{said}");
    }
    for query in ["destination.main.url=http://127.0.0.1:1/?token=QSECRET", "tls.ca_file=/not/there.pem"] {
        let refused = cli(&station, &["config", "set", query]);
        assert!(!refused.success(), "{refused}");
    }
}
