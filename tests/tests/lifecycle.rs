//! Starting, stopping, asking: what scripts, service managers and people at a terminal rely on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a fault of this test is told where it stands")]

use std::collections::BTreeSet;
use std::io::BufReader;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver as Channel, sync_channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use waybill_ipc::protocol::{AgentState, Event, Update};
use waybill_shared::fs::lock::Lock;
use waybill_shared::paths::{Instance, InstanceOptions};
use waybill_tests::agent::binary;
use waybill_tests::sample::{data_file, sample_serial, several_reports};
use waybill_tests::wait::{USUAL, bound, holds_within};
use waybill_tests::{
    Agent, Behaviour, Receiver, Station, cli, cli_with, ipc_client, sample_id, sample_report, sample_value, wait_until,
};

// ---- starting

#[test]
fn it_says_ready_once_when_it_serves_and_nothing_else() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut agent = Agent::start(&station);
    assert_eq!(agent.status()["agent"]["pid"], agent.pid());
    assert!(agent.stop().success());
    assert_eq!(agent.stdout(), "ready\n");
}

#[test]
fn a_second_agent_on_the_same_data_is_refused_and_told_who_has_it() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut agent = Agent::start(&station);
    let refused = Agent::try_start(&station, |_| {}).err().expect("a second agent");
    assert_eq!(refused.code(), Some(4), "{refused}");
    assert!(refused.stderr.contains(&agent.pid().to_string()) && refused.stderr.contains("WB7001"), "{refused}");
    let ids = station.drop_reports("ict", 0..3);
    agent.wait_for("the first one works on", |s| s.destinations[0].sent == 3);
    receiver.assert_has_exactly(&ids);
    // Not even a crash leaves the data locked.
    agent.kill();
    let mut next = Agent::start(&station);
    assert_eq!(next.counts().destination("main").sent, 3);
    assert!(next.stop().success());
}

#[test]
fn a_broken_configuration_is_refused_with_every_fault_and_its_path() {
    let station = Station::builder().build();
    let before = files(&station.data());
    station.write_config(
        r#"
        [station]
        nam = "ST-07"
        [[source]]
        name = "a b"
        folder = "watch/a"
        priority = 11
        patterns = []
        [[source]]
        name = "b"
        [[destination]]
        name = "main"
        kind = "watts"
        [queue]
        max_entries = "many"
        [uplaod]
        concurrency = 1
        "#,
    );
    let refused = Agent::try_start(&station, |_| {}).err().expect("a broken configuration");
    assert_eq!(refused.code(), Some(5), "{refused}");
    for path in [
        "station.nam",
        "source[0].name",
        "source[0].priority",
        "source[0].patterns",
        "source[1].folder",
        "destination[0].kind",
        "queue.max_entries",
        "uplaod",
    ] {
        assert!(refused.stderr.contains(&format!("{path}:")), "{path} is not named\n{refused}");
    }
    assert!(refused.stderr.contains("WB1001") && refused.stderr.contains("config.toml"), "{refused}");
    let left: Vec<_> = files(&station.data())
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| !before.iter().any(|(was, _)| was == path))
        .collect();
    let trace = [station.data().join("agent.lock"), station.data().join("logs").join("agent.log")];
    assert_eq!(left, trace, "nothing was begun; why stands in the log");
}

/// What contradicts something else is told together with what is wrong by itself: mending is one round, not three.
#[test]
fn contradictions_are_told_together_with_faults_of_single_fields() {
    let station = Station::builder().build();
    station.write_config(
        r#"
        [[source]]
        name = "ict"
        folder = "watch/ict"
        priority = 11
        [[source]]
        name = "fct"
        folder = "watch/fct"
        converter = "nonsense"
        [[destination]]
        name = "main"
        kind = "wats"
        "#,
    );
    let refused = Agent::try_start(&station, |_| {}).err().expect("a broken configuration");
    assert_eq!(refused.code(), Some(5), "{refused}");
    for path in ["source[0].priority", "source[1].converter", "destination[0].url"] {
        assert!(refused.stderr.contains(&format!("{path}:")), "{path} is not named\n{refused}");
    }
}

#[test]
fn a_missing_or_unreadable_configuration_is_a_sentence_and_not_a_crash() {
    let station = Station::builder().build();
    std::fs::remove_file(station.config()).unwrap();
    let missing = Agent::try_start(&station, |_| {}).err().expect("no configuration");
    assert_eq!(missing.code(), Some(5), "{missing}");
    assert!(missing.stderr.contains("WB1003") && missing.stderr.contains("config.toml"), "{missing}");
    station.write_config("[station\nname = 7");
    let no_toml = Agent::try_start(&station, |_| {}).err().expect("no TOML");
    assert_eq!(no_toml.code(), Some(5), "{no_toml}");
    assert!(no_toml.stderr.contains("line 1"), "the place is named: {no_toml}");
    std::fs::remove_file(station.config()).unwrap();
    std::fs::create_dir(station.config()).unwrap();
    let folder = Agent::try_start(&station, |_| {}).err().expect("a folder is no configuration");
    assert_eq!(folder.code(), Some(5), "{folder}");
}

#[test]
fn a_queue_of_a_newer_version_is_refused_and_left_as_it_is() {
    newer_queue(|_| {});
}

/// A newer version may keep its journal in another way; even that is not changed.
#[test]
fn a_queue_of_a_newer_version_with_another_journal_is_left_as_it_is() {
    newer_queue(|header| header[18..20].copy_from_slice(&[1, 1]));
}

fn newer_queue(change: impl FnOnce(&mut [u8])) {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut agent = Agent::start(&station);
    station.drop_reports("ict", 0..3);
    agent.wait_for("three are sent", |s| s.destinations[0].sent == 3);
    assert!(agent.stop().success());
    let database = station.instance().queue_database();
    let ours = std::fs::read(&database).unwrap();
    let mut newer = ours.clone();
    // `user_version` in the header of every SQLite file.
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    change(&mut newer);
    waybill_shared::fs::atomic::replace(&database, &newer).unwrap();
    let refused = Agent::try_start(&station, |_| {}).err().expect("a newer queue");
    assert_eq!(refused.code(), Some(7), "{refused}");
    assert!(refused.stderr.contains("WB4003") && refused.stderr.contains("99"), "{refused}");
    assert!(std::fs::read(&database).unwrap() == newer, "the newer version's file was changed");
    waybill_shared::fs::atomic::replace(&database, &ours).unwrap();
    let agent = Agent::start(&station);
    assert_eq!(agent.counts().destination("main").sent, 3);
}

// ---- stopping

#[test]
fn an_idle_agent_stops_at_once_by_the_command_line() {
    idle_stop("stop", |agent| {
        agent.stop();
    });
}

#[cfg(unix)]
#[test]
fn an_idle_agent_stops_at_once_by_a_service_manager() {
    idle_stop("SIGTERM", |agent| agent.terminate().unwrap());
}

#[cfg(unix)]
#[test]
fn an_idle_agent_stops_at_once_by_a_person_at_its_terminal() {
    idle_stop("SIGINT", |agent| agent.interrupt().unwrap());
}

fn idle_stop(how: &str, stop: impl FnOnce(&mut Agent)) {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut agent = Agent::start(&station);
    station.drop_reports("ict", 0..3);
    agent.wait_for("three are sent", |s| s.destinations[0].sent == 3);
    wait_until("it is idle", || station.done_files("ict").len() == 3);
    let begun = Instant::now();
    stop(&mut agent);
    let status = agent.wait_exit(Duration::from_secs(20));
    let took = begun.elapsed();
    eprintln!("idle, {how}: {took:?}");
    assert_eq!(status.code(), Some(0));
    assert!(took < bound(Duration::from_secs(10)), "{how} took {took:?}; the aim is 2 s");
    assert_eq!(cli(&station, &["status"]).code(), Some(3));
    assert_eq!(cli(&station, &["stop"]).code(), Some(3), "there is nothing to stop any more");
}

#[test]
fn a_stop_in_the_middle_of_work_loses_nothing() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut ids = Vec::new();
    for round in 0..4 {
        let mut agent = Agent::start(&station);
        ids.extend(station.drop_reports("ict", round * 50..(round + 1) * 50));
        receiver.wait(|state| state.accepted_ids as u64 > round * 50);
        assert_eq!(agent.stop().code(), Some(0));
        let watched = station.watched_files("ict").len() + station.done_files("ict").len();
        assert_eq!(watched, ids.len(), "each source is where it was put or in done");
    }
    let agent = Agent::start(&station);
    agent.wait_for("200 are sent", |s| s.destinations[0].sent == 200);
    receiver.assert_has_exactly(&ids);
    wait_until("all sources are in done", || station.done_files("ict").len() == 200);
    agent.counts().assert_issued(200);
}

/// The moment after a delivery is the one at which a stop is most easily overlooked.
#[test]
fn a_stop_right_after_the_last_delivery_is_as_quick() {
    let station = Station::builder()
        .source("ict", |s| s.patterns(["*.json"]).converter("wsjf"))
        .folder_destination("archive")
        .quick()
        .build();
    for round in 0..15 {
        let mut agent = Agent::start(&station);
        let mut client = ipc_client(&station);
        client.subscribe().unwrap();
        // What happens before the snapshot is taken is in it, and is no event.
        assert!(matches!(client.next_update(USUAL), Some(Update::Snapshot { .. })));
        station.drop_reports("ict", round * 3..(round + 1) * 3);
        for _ in 0..3 {
            while !matches!(client.next_update(USUAL).expect("news"), Update::Event { event: Event::Sent { .. }, .. }) {}
        }
        let begun = Instant::now();
        client.stop().unwrap();
        assert_eq!(agent.wait_exit(Duration::from_secs(10)).code(), Some(0), "round {round}, {:?}", begun.elapsed());
    }
    assert_eq!(station.delivered("archive").len(), 45);
}

#[test]
fn a_stop_while_the_server_hangs_is_bounded_and_loses_nothing() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |s| s.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .quick()
        .setting("shutdown", "drain_secs", 1)
        .setting("shutdown", "cancel_secs", 1)
        .build();
    receiver.set(Behaviour::Hang);
    let mut agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..20);
    receiver.wait(|state| state.hanging >= 5);
    agent.wait_for("all are queued", |s| s.sources[0].queued == 20);
    let begun = Instant::now();
    let status = agent.stop();
    eprintln!("the server hangs, 1 s to drain, 1 s to cancel: {:?}", begun.elapsed());
    assert!(begun.elapsed() < bound(Duration::from_secs(10)));
    assert_eq!(status.code(), Some(10), "it was cut off: {status}");
    receiver.set(Behaviour::Accept);
    let agent = Agent::start(&station);
    agent.wait_for("20 are sent", |s| s.destinations[0].sent == 20);
    receiver.assert_has_exactly(&ids);
    agent.counts().assert_issued(20);
}

#[cfg(unix)]
#[test]
fn a_second_signal_does_not_wait_for_what_is_on_its_way() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    receiver.set(Behaviour::Hang);
    let mut agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..5);
    receiver.wait(|state| state.hanging == 5);
    agent.terminate().unwrap();
    agent.wait_for("it is stopping, and still tells so", |s| s.agent.state == AgentState::Stopping);
    assert!(agent.is_running(), "what is on its way may end by itself for a minute");
    let begun = Instant::now();
    agent.terminate().unwrap();
    agent.wait_exit(Duration::from_secs(30));
    eprintln!("second signal: {:?}", begun.elapsed());
    receiver.set(Behaviour::Accept);
    let agent = Agent::start(&station);
    agent.wait_for("five are sent", |s| s.destinations[0].sent == 5);
    receiver.assert_has_exactly(&ids);
}

/// Nobody may look at what it says: at a start by the session, nobody does.
#[test]
fn an_agent_that_cannot_start_leaves_in_its_log_why() {
    let station = Station::builder().build();
    station.write_config("garbage =\n");
    match Agent::try_start(&station, |_| ()) {
        Ok(_) => panic!("it has no configuration"),
        Err(failed) => assert_eq!(failed.code(), Some(5), "{failed:?}"),
    }
    let log = station.log_tail(10);
    assert!(log.contains("\"agent_not_started\"") && log.contains("line 1, column 10"), "{log}");
}

#[test]
fn an_instance_that_cannot_be_is_a_fault_of_the_command_line() {
    let station = Station::builder().build();
    for name in ["a b", "con", "a."] {
        let output = cli(&station, &["--instance", name, "status"]);
        assert_eq!(output.code(), Some(2), "{output}");
        assert!(output.stderr.contains("is no instance name"), "{output}");
    }
}

// ---- asking

#[test]
fn without_an_agent_questions_say_so_and_end_with_3() {
    let station = Station::builder().build();
    for arguments in [&["status"][..], &["status", "--json"], &["status", "--watch"], &["queue", "list"], &["stop"]] {
        let output = cli(&station, arguments);
        assert_eq!(output.code(), Some(3), "{arguments:?}: {output}");
        assert!(output.stderr.contains("WB6001") && output.stdout.is_empty(), "{arguments:?}: {output}");
    }
    assert_eq!(cli(&station, &["status", "--nonsense"]).code(), Some(2));
}

#[test]
fn the_status_for_scripts_has_every_documented_key_and_stays_the_same_while_nothing_happens() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    station.drop_file("ict", "broken.json", b"{ \"type\": \"T\" }");
    station.drop_reports("ict", 0..2);
    agent.wait_for("two are sent and one is broken", |s| s.destinations[0].sent == 2 && s.sources[0].errors == 1);
    wait_until("the sources are in done", || station.done_files("ict").len() == 2);
    agent.wait_for("it is idle", |s| s.destinations[0].sending == 0 && s.sources[0].waiting == 0);
    let status = agent.status();
    let has = |value: &Value, keys: &[&str]| {
        for key in keys {
            assert!(value.get(key).is_some(), "no key {key:?} in {value:#}");
        }
    };
    has(&status, &["agent", "queue", "sources", "destinations", "recent"]);
    let agent_keys = ["state", "version", "pid", "instance", "started_at_ms", "identity", "config", "config_problem", "data"];
    has(&status["agent"], &agent_keys);
    has(&status["agent"]["identity"], &["station", "name_source", "location", "purpose", "revision", "configured"]);
    has(&status["queue"], &["waiting", "max_entries", "full"]);
    has(&status["sources"][0], &["name", "folder", "converter", "state", "error", "waiting", "queued", "errors", "reports"]);
    let counters = ["pending", "sending", "sent", "failed", "discarded", "evicted"];
    has(&status["destinations"][0], &counters);
    has(&status["destinations"][0], &["name", "kind", "address", "state", "error", "next_try_ms", "last_sent_ms"]);
    has(&status["recent"][0], &["at_ms", "kind", "place", "subject", "correlation_id", "error"]);
    assert_eq!(
        (&status["agent"]["identity"]["station"], &status["agent"]["identity"]["location"]),
        (&"ST-07".into(), &"Line 1".into())
    );
    assert_eq!((&status["agent"]["state"], &status["agent"]["pid"]), (&"running".into(), &agent.pid().into()));
    assert_eq!((&status["sources"][0]["state"], &status["sources"][0]["errors"]), (&"watching".into(), &1.into()));
    assert_eq!((&status["destinations"][0]["state"], &status["destinations"][0]["kind"]), (&"online".into(), &"wats".into()));
    let broken = status["recent"].as_array().unwrap().iter().find(|item| item["kind"] == "broken").expect("the broken file");
    assert_eq!(broken["error"]["code"], "WB3005");
    assert_eq!(agent.status(), status);
    assert_eq!(cli(&station, &["status", "--json"]).stdout, cli(&station, &["status", "--json"]).stdout);
    let text = cli(&station, &["status"]);
    for word in ["ST-07", "ict", "main", "online", "watching"] {
        assert!(text.success() && text.stdout.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_watched_status_is_printed_again_when_something_changes() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut agent = Agent::start(&station);
    let mut watcher = Watcher::start(&station);
    assert_eq!(watcher.next()["destinations"][0]["sent"], 0);
    station.drop_reports("ict", 0..3);
    let sent = |status: &Value| status["destinations"][0]["sent"].as_u64().unwrap();
    let mut last = 0;
    while last < 3 {
        let status = watcher.next();
        assert!(sent(&status) >= last, "it never goes back");
        last = sent(&status);
    }
    assert!(agent.stop().success());
    assert!(watcher.ends_within(Duration::from_secs(20)), "it ends with the agent");
}

#[test]
fn the_queue_is_listed_as_a_table_and_for_scripts() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |s| s.patterns(["*.json"]).converter("wsjf").priority(3))
        .wats(&receiver)
        .folder_destination("archive")
        .quick()
        .build();
    receiver.set(Behaviour::per_report(|report| {
        if report["sn"] == sample_serial(1).as_str() { Behaviour::status(422) } else { Behaviour::Accept }
    }));
    let agent = Agent::start(&station);
    assert_eq!(cli(&station, &["queue", "list", "--json"]).json(), Value::Array(Vec::new()));
    station.drop_reports("ict", 0..3);
    agent.wait_for("nothing waits", |s| s.sources[0].queued == 3 && s.queue.waiting == 0);
    let list = |arguments: &[&str]| cli(&station, &[&["queue", "list"], arguments].concat());
    let rows = |arguments: &[&str]| list(&[arguments, &["--json"]].concat()).json().as_array().expect("a list").clone();
    assert_eq!(rows(&[]).len(), 6, "three reports to two destinations");
    assert_eq!(rows(&["--destination", "archive"]).len(), 3);
    let nowhere = list(&["--destination", "nowhere"]);
    assert!(!nowhere.success() && nowhere.stderr.contains("there are: archive, main"), "{nowhere}");
    assert_eq!((rows(&["--state", "sent"]).len(), rows(&["--state", "pending"]).len()), (5, 0));
    let failed = rows(&["--state", "failed"]);
    let [row] = &failed[..] else { panic!("{failed:#?}") };
    for (key, value) in [
        ("report_id", sample_id(1)),
        ("destination", "main".to_owned()),
        ("state", "failed".to_owned()),
        ("source", "ict".to_owned()),
        ("file", format!("{}.json", sample_serial(1))),
        ("serial", sample_serial(1)),
        ("part", "PN-0101".to_owned()),
        ("result", "P".to_owned()),
    ] {
        assert_eq!(row[key], value, "{row:#}");
    }
    assert_eq!(row["priority"], 3);
    assert!(row["last_error"].as_str().unwrap().contains("422"), "{row:#}");
    assert!(row["finished_at_ms"].is_number() && row["queued_at_ms"].is_number(), "{row:#}");
    assert_eq!(rows(&["--limit", "2", "--destination", "main"]).len(), 2);
    let table = list(&["--destination", "main"]);
    let lines: Vec<_> = table.stdout.lines().collect();
    assert!(lines[0].contains("SERIAL") && lines[0].contains("STATE") && lines.len() == 4, "{table}");
    assert!((0..3).all(|n| table.stdout.contains(&sample_serial(n))) && table.stdout.contains("422"), "{table}");
}

/// Three destinations, so that a page ends between the deliveries of one report: none may be skipped there.
#[test]
fn a_long_queue_is_listed_whole() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |s| s.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .folder_destination("archive")
        .folder_destination("copy")
        .quick()
        .build();
    receiver.stop_listening();
    let agent = Agent::start(&station);
    station.drop_file("ict", "shift.json", &several_reports(0..401).1);
    agent.wait_for("all are in both folders", |s| s.destinations[1].sent == 401 && s.destinations[2].sent == 401);
    let count = |arguments: &[&str]| {
        let listed = cli(&station, &[&["queue", "list", "--json", "--limit", "5000"], arguments].concat()).json();
        let keys: BTreeSet<_> =
            listed.as_array().unwrap().iter().map(|row| format!("{} {}", row["entry"], row["destination"])).collect();
        assert_eq!(keys.len(), listed.as_array().unwrap().len(), "no row twice");
        keys.len()
    };
    assert_eq!(count(&["--destination", "main"]), 401);
    assert_eq!(count(&["--state", "sent"]), 802);
    assert_eq!(count(&[]), 1203);
    assert_eq!(ipc_client(&station).deliveries(None, None).len(), 1203);
}

// ---- converting without sending

#[test]
fn a_dry_run_shows_the_report_and_changes_nothing() {
    let station = Station::builder().build();
    let before = files(station.folder());
    let outside = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = outside.path().join(name);
        waybill_shared::fs::atomic::replace(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = at("good.json", &sample_report(4).1);
    let shown = cli(&station, &["convert", &good]);
    assert_eq!(shown.code(), Some(0), "{shown}");
    for word in ["SN-00000004", "PN-0104", "Supply 5 V", "9 measurements"] {
        assert!(shown.stdout.contains(word), "{word}: {shown}");
    }
    let json = cli(&station, &["convert", &good, "--as", "wsjf", "--json"]).json();
    assert_eq!(json["units"].as_array().map(Vec::len), Some(1), "{json:#}");
    assert_eq!(json["units"][0]["report"], sample_value(4));
    assert_eq!(json["units"][0]["notes"], Value::Array(Vec::new()));
    let many = cli(&station, &["convert", &at("many.json", &several_reports(0..3).1), "--json"]).json();
    let serials: Vec<_> = many["units"].as_array().unwrap().iter().map(|unit| unit["report"]["sn"].clone()).collect();
    assert_eq!(serials, [0, 1, 2].map(sample_serial));
    let openhtf = at("htf.json", &data_file("openhtf/1.json"));
    let json = cli(&station, &["convert", &openhtf, "--argument", "part_number=PN-9", "--json"]);
    assert_eq!((json.code(), &json.json()["units"][0]["report"]["pn"]), (Some(0), &"PN-9".into()), "{json}");
    assert_eq!(std::fs::read(&good).unwrap(), sample_report(4).1);
    assert_eq!(files(station.folder()), before, "nothing was begun");
}

#[test]
fn a_dry_run_of_a_bad_file_says_exactly_what_is_wrong_and_ends_with_6() {
    let station = Station::builder().build();
    let outside = tempfile::tempdir().unwrap();
    let whole = sample_report(1).1;
    let mut half_good = sample_value(2);
    half_good.as_object_mut().unwrap().shift_remove("sn");
    let mixed = serde_json::to_vec(&Value::Array(vec![sample_value(1), half_good])).unwrap();
    let path = |name: &str| outside.path().join(name).to_str().unwrap().to_owned();
    for (name, bytes, code) in [
        ("truncated.json", &whole[..whole.len() / 2], "WB300"),
        ("no-text.json", &[0xff, 0xfe, 0x00, 0x9f][..], "WB3003"),
        ("empty.json", b"", "WB3001"),
        ("rules.json", br#"{"type":"T","pn":"a","root":{"stepType":"SequenceCall","name":"r"}}"#, "WB3005"),
    ] {
        waybill_shared::fs::atomic::replace(&outside.path().join(name), bytes).unwrap();
        let told = cli(&station, &["convert", &path(name), "--as", "wsjf"]);
        assert_eq!(told.code(), Some(6), "{name}: {told}");
        assert!(told.stderr.contains(code) && told.stderr.contains(name), "{name}: {told}");
        let json = cli(&station, &["convert", &path(name), "--as", "wsjf", "--json"]);
        assert_eq!(json.code(), Some(6), "{name}: {json}");
        let json = json.json();
        let error = if json["error"].is_object() { &json["error"] } else { &json["units"][0]["error"] };
        assert!(error["code"].as_str().unwrap().starts_with(code), "{name}: {json:#}");
        assert!(json["units"].is_array(), "{name}: {json:#}");
    }
    let rules = cli(&station, &["convert", &path("rules.json"), "--as", "wsjf", "--json"]).json();
    let faults: Vec<_> = rules["units"][0]["error"]["details"].as_array().unwrap().iter().map(|f| f["path"].clone()).collect();
    assert!(faults.contains(&"sn".into()) && faults.contains(&"start".into()), "{rules:#}");
    waybill_shared::fs::atomic::replace(&outside.path().join("mixed.json"), &mixed).unwrap();
    let output = cli(&station, &["convert", &path("mixed.json"), "--json"]);
    assert_eq!(output.code(), Some(6), "{output}");
    let units = output.json()["units"].clone();
    assert_eq!((&units[0]["report"]["sn"], &units[1]["error"]["code"]), (&sample_serial(1).into(), &"WB3005".into()));
    assert_eq!(cli(&station, &["convert", &path("none.json")]).code(), Some(6));
    assert_eq!(cli(&station, &["convert", outside.path().to_str().unwrap()]).code(), Some(6));
    assert_eq!(cli(&station, &["convert", &path("rules.json"), "--as", "nonsense"]).code(), Some(2));
}

// ---- the demo

#[test]
fn the_demo_ends_by_itself_and_leaves_nothing_running() {
    let station = Station::builder().build();
    let folder = station.folder().join("demo");
    let at = folder.to_str().unwrap();
    let begun = Instant::now();
    let output = cli_with(&station, &["demo", "--folder", at], None, Duration::from_secs(90));
    assert_eq!(output.code(), Some(0), "{output}");
    // It would kill an agent that does not end within 20 s, and say nothing of it.
    assert!(begun.elapsed() < bound(Duration::from_secs(18)), "it took {:?}\n{output}", begun.elapsed());
    let summary = "6 files came, 5 were converted to 5 reports, 1 was broken; 5 reports were delivered, 0 wait.";
    assert!(output.stdout.contains(summary), "{output}");
    for word in ["BROKEN     broken-no-serial-number.json", "serial number", "delivered  26W03-0001", "How to go on"] {
        assert!(output.stdout.contains(word), "{word}: {output}");
    }
    assert_eq!(files(&folder.join("delivered")).len(), 5);
    let mine = |path: &Path| std::fs::read(path.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(at));
    if cfg!(target_os = "linux") {
        let left: Vec<_> = std::fs::read_dir("/proc").unwrap().flatten().map(|e| e.path()).filter(|path| mine(path)).collect();
        assert_eq!(left, Vec::<std::path::PathBuf>::new(), "a process of the demo is left");
    }
    let options = InstanceOptions { data_dir: Some(folder.join("data")), ..InstanceOptions::default() };
    let lock = Instance::locate(&options).expect("the places of an instance").lock();
    assert!(Lock::acquire(&lock, "a test").is_ok(), "nobody holds its data either");
    let again = cli(&station, &["demo", "--folder", at]);
    assert_eq!(again.code(), Some(7), "a station that is there already is not overwritten: {again}");
}

// ---- what these tests share

/// All files under a folder, with their sizes.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() { found.extend(files(&entry.path())) } else { found.push((entry.path(), metadata.len())) }
    }
    found.sort();
    found
}

/// `status --watch --json` as a process; dropping it kills it.
struct Watcher {
    child: Child,
    printed: Channel<Value>,
}

impl Watcher {
    fn start(station: &Station) -> Self {
        let mut child = Command::new(binary())
            .arg("--data-dir")
            .arg(station.data())
            .arg("--config")
            .arg(station.config())
            .args(["status", "--watch", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command line");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (tell, printed) = sync_channel(10_000);
        let read = move || {
            for value in serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().map_while(Result::ok) {
                if tell.send(value).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().name("watched-status".to_owned()).spawn(read).expect("a thread");
        Self { child, printed }
    }

    #[track_caller]
    fn next(&self) -> Value {
        self.printed.recv_timeout(bound(USUAL)).expect("another status")
    }

    fn ends_within(&mut self, limit: Duration) -> bool {
        holds_within(limit, || self.child.try_wait().expect("the state of a child").is_some())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ended_already = self.child.kill().and_then(|()| self.child.wait());
    }
}

// ---- under another supervisor

#[test]
fn headless_its_log_is_on_standard_output_too_and_ready_stays_a_line_of_its_own() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut agent = Agent::try_start(&station, |command| {
        command.arg("--headless");
    })
    .unwrap_or_else(|failure| panic!("{failure}"));
    let ids = station.drop_reports("ict", 0..3);
    agent.wait_for("the reports are there", |s| s.destinations[0].sent == 3);
    receiver.assert_has_exactly(&ids);
    assert!(agent.stop().success());
    let stdout = agent.stdout();
    let (ready, lines): (Vec<&str>, Vec<&str>) = stdout.lines().partition(|line| *line == "ready");
    assert_eq!(ready.len(), 1, "{stdout}");
    let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    for event in ["agent_starting", "agent_ready", "stop"] {
        assert!(events.iter().any(|line| line["event"] == event), "{event}: {stdout}");
    }
    // Line by line what stands in the file.
    let file = std::fs::read_to_string(station.data().join("logs/agent.log")).unwrap();
    for line in lines {
        assert!(file.lines().any(|there| there == line), "{line}");
    }
}

#[test]
fn headless_a_reader_who_has_stopped_reading_holds_nothing_up() {
    let receiver = Receiver::start();
    let source = |source: waybill_tests::station::SourceBuilder| source.patterns(["*.json"]).converter("wsjf");
    let station = Station::builder().source("ict", source).wats(&receiver).quick().setting("log", "level", "trace").build();
    let mut command = Command::new(binary());
    command.arg("--data-dir").arg(station.data()).arg("--config").arg(station.config()).args(["run", "--headless"]);
    command.envs(station.environment()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // The pipe stays open and full.
    let unread = child.stdout.take();
    let log = station.data().join("logs/agent.log");
    wait_until("it serves", || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("agent_ready")));
    let ids = station.drop_reports("ict", 0..300);
    let logged = || std::fs::metadata(&log).map_or(0, |file| file.len());
    let done = || ipc_client(&station).status().destinations[0].sent == 300 && logged() > 2 * 64 * 1024;
    let went_on = holds_within(USUAL, done);
    let bytes = logged();
    let stopped = cli(&station, &["stop"]);
    let ended = holds_within(USUAL, || child.try_wait().unwrap().is_some());
    if !ended {
        let _ended = child.kill();
    }
    assert!(went_on, "{bytes} bytes are logged");
    assert!(ended && stopped.success() && child.wait().unwrap().success(), "{stopped}");
    receiver.assert_has_exactly(&ids);
    drop(unread);
}
