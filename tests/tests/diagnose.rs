//! The bundle for whoever looks for a fault: it is there whatever is wrong, says what looks wrong, and holds what it should.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "tests: told where they stand; files as people and crashes leave them"
)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use waybill_shared::fs::private;
use waybill_tests::agent::CliOutput;
use waybill_tests::station::StationBuilder;
use waybill_tests::{Agent, Receiver, Station, cli, cli_with, wine_cannot_show};

/// A bundle takes at most so long, and an agent that hangs is waited for before.
const LIMIT: Duration = Duration::from_secs(45);
const WELL: Option<i32> = Some(0);
const UNWELL: Option<i32> = Some(11);

const ALWAYS: [&str; 11] = [
    "README.txt",
    "findings.txt",
    "versions.json",
    "config.toml",
    "config-effective.json",
    "backups.json",
    "history.csv",
    "agent.log",
    "folders.txt",
    "secrets.json",
    "environment.txt",
];

fn builder() -> StationBuilder {
    Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .quick()
        .setting("health", "disk_warn_bytes", 0)
        .setting("health", "interval_secs", 1)
}

/// Stations of tests have a data folder that others may read, which would be found.
fn private_data(station: &Station) {
    std::fs::remove_dir(station.data()).unwrap();
}

fn diagnose(station: &Station, arguments: &[&str]) -> CliOutput {
    cli_with(station, &[&["diagnose"], arguments].concat(), None, LIMIT)
}

struct Found {
    code: Option<i32>,
    findings: Vec<String>,
    files: BTreeMap<String, String>,
}

impl Found {
    fn at(station: &Station) -> Self {
        let output = diagnose(station, &["--json"]);
        let value: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
        let findings = value["findings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
        let bundle = Path::new(value["bundle"].as_str().unwrap());
        assert!(private::is_private(bundle).unwrap());
        Self { code: output.code(), findings, files: unzipped(bundle) }
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.files[name]).unwrap_or_else(|error| panic!("{name}: {error}: {}", self.files[name]))
    }

    #[track_caller]
    fn says(&self, text: &str) {
        assert!(self.findings.iter().any(|finding| finding.contains(text)), "no {text:?} in {:#?}", self.findings);
        assert!(self.files["findings.txt"].contains(text), "{}", self.files["findings.txt"]);
        assert_eq!(self.code, UNWELL);
    }
}

fn unzipped(bundle: &Path) -> BTreeMap<String, String> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(bundle).unwrap()).unwrap();
    (0..zip.len())
        .map(|index| {
            let mut file = zip.by_index(index).unwrap();
            let (name, mut text) = (file.name().unwrap().into_owned(), String::new());
            file.read_to_string(&mut text).unwrap();
            (name, text)
        })
        .collect()
}

#[test]
fn a_well_station_has_no_findings_and_a_whole_bundle() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).env("WAYBILL_CONFIG_STATION_PURPOSE", "Repair").build();
    private_data(&station);
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..3);
    agent.wait_for("they are sent", |s| s.destinations[0].sent == 3);
    let found = Found::at(&station);
    assert_eq!((found.findings.as_slice(), found.code), (&[][..], WELL));
    for name in ALWAYS.iter().chain(&["status.json", "health.json", "queue.json", "history.json"]) {
        assert!(found.files.contains_key(*name), "no {name} in {:?}", found.files.keys());
    }
    assert_eq!(found.json("queue.json")["deliveries"]["main"]["sent"], 3);
    assert_eq!(found.json("status.json")["destinations"][0]["sent"], 3);
    assert_eq!(found.json("health.json")["ready"], true);
    assert_eq!(found.json("versions.json")["os"], std::env::consts::OS);
    assert_eq!(found.json("secrets.json")[0]["set"], true);
    assert!(found.json("config-effective.json")["set_by_others"].to_string().contains("WAYBILL_CONFIG_STATION_PURPOSE"));
    assert_eq!(found.files["config.toml"], station.config_text());
    assert!(found.files["agent.log"].contains("report_sent"));
    let folders = &found.files["folders.txt"];
    // Locks hold nothing; everything else is the agent's own.
    let open = |line: &&str| line.contains("other users may read it") && !line.contains("lock");
    assert!(folders.contains("queue.db") && folders.lines().find(open).is_none(), "{folders}");
    let environment = &found.files["environment.txt"];
    assert!(environment.contains("WAYBILL_SECRET_DESTINATION_MAIN_TOKEN\n") && !environment.contains('='), "{environment}");
    assert!(found.files["README.txt"].contains("Secrets"));
    assert!(found.files.values().all(|text| !text.contains(&receiver.token())));
}

#[test]
fn a_stopped_agent_is_named_and_the_files_tell_the_rest() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).build();
    private_data(&station);
    let mut agent = Agent::start(&station);
    station.drop_reports("ict", 0..3);
    agent.wait_for("they are sent", |s| s.destinations[0].sent == 3);
    assert!(agent.stop().success());
    let found = Found::at(&station);
    found.says("no agent of instance");
    assert_eq!(found.findings.len(), 1, "nothing else: {:#?}", found.findings);
    assert_eq!(found.json("queue.json")["deliveries"]["main"]["sent"], 3);
    for name in ALWAYS {
        assert!(found.files.contains_key(name), "no {name} in {:?}", found.files.keys());
    }
    assert!(found.files["README.txt"].contains("status.json is not here"), "{}", found.files["README.txt"]);
    std::fs::remove_dir_all(station.watch("ict")).unwrap();
    station.unset_environment("WAYBILL_SECRET_DESTINATION_MAIN_TOKEN");
    let found = Found::at(&station);
    found.says("the folder of source ict cannot be read");
    found.says("the secret destination.main.token is not set");
    station.write_config("[[source]]\nnam = 1\n");
    Found::at(&station).says("configuration");
}

#[test]
fn an_agent_that_hangs_is_named_and_the_bundle_is_written_all_the_same() {
    let receiver = Receiver::start();
    receiver.stop_listening();
    let station = builder().wats(&receiver).build();
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..3);
    agent.wait_for("they wait", |s| s.destinations[0].pending == 3);
    if agent.suspend().is_err() {
        return; // This OS freezes no process.
    }
    let found = Found::at(&station);
    found.says("the agent cannot be asked");
    assert_eq!(found.json("queue.json")["deliveries"]["main"]["pending"], 3, "read beside the agent that holds it");
    assert!(found.files["agent.log"].contains("agent_ready"));
    agent.resume().unwrap();
    let main = agent.snapshot().destinations.remove(0);
    assert_eq!(main.pending + main.sending, 3, "it goes on as before");
}

#[test]
fn a_watchdog_that_gave_up_is_named_with_its_reason_and_its_files_are_in_the_bundle() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).build();
    private_data(&station);
    let gave_up = cli(&station, &["watchdog", "--pause-ms", "10", "--program", "/not/there/at/all"]);
    assert_eq!(gave_up.code(), Some(13), "{gave_up}");
    let found = Found::at(&station);
    found.says("its watchdog gave up");
    found.says("/not/there/at/all");
    found.says("start the watchdog again");
    assert!(!found.findings.iter().any(|finding| finding.contains("waybill-agent run")), "{:#?}", found.findings);
    assert_eq!(found.json("watchdog.json")["state"], "gave_up");
    assert!(found.files["watchdog.log"].contains("watchdog_gave_up"), "{}", found.files["watchdog.log"]);
    // Its agent runs again: an old story.
    let _agent = Agent::start(&station);
    let found = Found::at(&station);
    assert_eq!(found.findings, Vec::<String>::new());
    assert!(found.files.contains_key("watchdog.json"));
}

#[test]
fn what_is_wrong_with_a_running_agent_is_told_in_words() {
    if wine_cannot_show("a folder that is watched goes when it is removed") {
        return;
    }
    let receiver = Receiver::start();
    let station =
        builder().wats_at("main", &receiver.url(), Some("wrong-token-1")).wats_at("second", &receiver.url(), None).build();
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..2);
    agent.wait_for("both are in trouble", |s| s.destinations.iter().all(|d| d.pending == 2 && d.error.is_some()));
    std::fs::remove_dir_all(station.watch("ict")).unwrap();
    let good = station.config_text();
    station.write_config(&format!("{good}\nnonsense = 1\n"));
    agent.wait_for("the file is refused", |s| s.agent.config_problem.is_some());
    let found = Found::at(&station);
    found.says("destination main is unhealthy");
    found.says("destination second is unhealthy");
    found.says("the secret destination.second.token is not set");
    found.says("source ict is unhealthy");
    found.says("setup is degraded");
    found.says("the error config_not_used");
    assert!(found.files["config-file.toml"].contains("nonsense"), "the file that is not used is there too");
    assert!(found.files.values().all(|text| !text.contains("wrong-token-1")));
}

#[cfg(unix)]
#[test]
fn a_data_folder_that_others_may_read_is_told() {
    let station = builder().folder_destination("archive").build();
    let _agent = Agent::start(&station);
    Found::at(&station).says("other users of this machine may read the data folder");
}

#[test]
fn a_bundle_goes_where_it_is_told_and_overwrites_nothing() {
    let station = builder().folder_destination("archive").build();
    let target = station.folder().join("for the supplier.zip");
    let path = target.to_str().unwrap();
    for running in [false, true] {
        let _agent = running.then(|| Agent::start(&station));
        let output = diagnose(&station, &["--output", path]);
        assert!([WELL, UNWELL].contains(&output.code()) && output.stdout.contains(path), "{output}");
        assert!(private::is_private(&target).unwrap() && unzipped(&target).contains_key("README.txt"));
        let again = diagnose(&station, &["--output", path]);
        assert!(again.code() == Some(2) && again.stderr.contains("already"), "{again}");
        std::fs::remove_file(&target).unwrap();
    }
    let nowhere = diagnose(&station, &["--output", station.folder().join("no").join("x.zip").to_str().unwrap()]);
    assert!(nowhere.code() == Some(2) && nowhere.stderr.contains("folder"), "{nowhere}");
}

#[test]
fn damaged_and_missing_files_cost_a_bundle_only_themselves() {
    let station = builder().folder_destination("archive").build();
    let never_ran = Found::at(&station);
    never_ran.says("no agent of instance");
    assert!(never_ran.files["README.txt"].contains("queue.json is not here: there is no queue yet"));
    let mut agent = Agent::start(&station);
    station.drop_reports("ict", 0..1);
    agent.wait_for("it is sent", |s| s.destinations[0].sent == 1);
    assert!(agent.stop().success());
    std::fs::write(station.instance().queue_database(), vec![0x5a; 8192]).unwrap();
    std::fs::remove_dir_all(station.instance().logs()).unwrap();
    std::fs::create_dir(station.instance().logs()).unwrap();
    let found = Found::at(&station);
    found.says("the queue could not be read");
    for name in ["config.toml", "history.csv", "folders.txt"] {
        assert!(found.files.contains_key(name), "{:?}", found.files.keys());
    }
}

#[test]
fn the_history_tells_who_made_a_bundle() {
    let station = builder().folder_destination("archive").build();
    let agent = Agent::start(&station);
    diagnose(&station, &[]);
    drop(agent);
    let rows = cli(&station, &["history", "list", "--action", "diagnose"]);
    assert!(rows.stdout.contains("command line") && rows.stdout.contains(".zip"), "{rows}");
}
