//! `config` on the command line: the same whether an agent runs or not.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test: a fault is told where it stands, and equipment writes carelessly"
)]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use waybill_shared::fs::atomic;
use waybill_tests::agent::CliOutput;
use waybill_tests::{Agent, Behaviour, Receiver, Station, cli, cli_with, sample_id, wait_until};

const BY_HAND: &str = "# our station\n[station]\nname = \"ST-1\" # as on the label\n\n[queue]\nmax_entries = 10 # few\n";

/// A station with a file that somebody wrote by hand.
fn station() -> Station {
    let station = Station::builder().build();
    station.write_config(BY_HAND);
    station
}

/// Runs a test without an agent and with one.
fn both(test: impl Fn(&Station, bool)) {
    test(&station(), false);
    let station = station();
    let mut agent = Agent::start(&station);
    test(&station, true);
    assert!(agent.stop().success());
}

#[track_caller]
fn config(station: &Station, arguments: &[&str]) -> CliOutput {
    let mut all = vec!["config"];
    all.extend(arguments);
    cli(station, &all)
}

#[track_caller]
fn done(station: &Station, arguments: &[&str]) -> CliOutput {
    let output = config(station, arguments);
    assert!(output.success(), "config {arguments:?}: {output}");
    output
}

#[track_caller]
fn refused(station: &Station, arguments: &[&str], code: &str) -> CliOutput {
    let before = fs::read(station.config()).unwrap();
    let output = config(station, arguments);
    assert!(!output.success() && output.stderr.contains(code), "config {arguments:?}: {output}");
    assert_eq!(fs::read(station.config()).unwrap(), before, "what is refused changes no byte");
    output
}

fn get(station: &Station, place: &str) -> Value {
    done(station, &["get", "--json", place]).json()[place].clone()
}

// ---- changes

#[test]
fn values_are_set_added_and_taken_away_and_comments_stay() {
    both(|station, running| {
        let said = done(station, &["set", "queue.max_entries=20", "upload.timeout_secs=7"]).stdout;
        assert!(said.contains("queue.max_entries: 10 -> 20") && said.contains("upload.timeout_secs: (not set) -> 7"), "{said}");
        assert_eq!(said.contains("No agent runs"), !running, "{said}");
        assert_eq!(station.config_text(), format!("{}\n[upload]\ntimeout_secs = 7\n", BY_HAND.replace("10 #", "20 #")));
        assert_eq!((get(station, "queue.max_entries"), get(station, "upload.timeout_secs")), (20.into(), 7.into()));

        done(station, &["add", "source", "ict", "folder=ict", "patterns=[\"*.json\"]", "converter=wsjf"]);
        done(station, &["add", "destination", "out", "kind=folder", "folder=out/out"]);
        done(station, &["add", "station.preset", "audit", "purpose=Audit"]);
        assert_eq!(get(station, "source.ict.patterns"), serde_json::json!(["*.json"]));
        assert_eq!(get(station, "source.ict.priority"), 5, "a default counts as well");
        assert_eq!(done(station, &["get", "station.preset.audit.purpose"]).stdout, "Audit\n");

        done(station, &["unset", "upload.timeout_secs", "source.ict", "destination.out", "station.preset.audit"]);
        let text = station.config_text();
        assert!(text.starts_with(&BY_HAND.replace("10 #", "20 #")), "{text}");
        assert!(!text.contains("ict") && !text.contains("timeout"), "{text}");
        assert_eq!(get(station, "upload.timeout_secs"), 60);
    });
}

#[test]
fn all_faults_are_told_at_once_and_no_byte_is_changed() {
    both(|station, _| {
        let said = refused(
            station,
            &["set", "queue.max_entries=0", "queue.max_entires=5", "log.level=loud", "source.x.folder=/a"],
            "WB1001",
        );
        for fault in [
            "queue.max_entries: out of range",
            "queue.max_entires: unknown key",
            "log.level: out of range",
            "source.x.folder: unknown key",
        ] {
            assert!(said.stderr.contains(fault), "{fault}: {said}");
        }
        assert_eq!(said.code(), Some(5));
        refused(station, &["add", "source", "a.b", "folder=/a"], "source.name: out of range");
        refused(station, &["add", "destination", "d", "kind=wats"], "destination[0].url: missing");
    });
}

#[test]
fn a_change_of_what_somebody_else_changed_is_refused_with_what_differs() {
    both(|station, running| {
        let base = done(station, &["show", "--json"]).json()["revision"].as_str().unwrap().to_owned();
        done(station, &["set", "queue.max_entries=30"]);
        let said = refused(station, &["set", "log.level=debug", "--base", &base], "WB1007");
        assert!(said.stderr.contains("queue.max_entries") && said.stderr.contains("30"), "{running}: {said}");
        let now = done(station, &["show", "--json"]).json()["revision"].as_str().unwrap().to_owned();
        done(station, &["set", "log.level=debug", "--base", &now]);
    });
}

#[test]
fn a_dry_run_changes_nothing_and_says_the_same() {
    both(|station, _| {
        let before = station.config_text();
        let said = done(station, &["set", "queue.max_entries=40", "--dry-run", "--json"]).json();
        assert_eq!(said["differences"], serde_json::json!([{"place": "queue.max_entries", "before": "10", "after": "40"}]));
        assert_eq!(said["dry_run"], true);
        assert_eq!((station.config_text(), get(station, "queue.max_entries")), (before, 10.into()));
        refused(station, &["set", "queue.max_entries=0", "--dry-run"], "WB1001");
    });
}

#[test]
fn what_the_environment_or_the_administrator_sets_is_not_changed_and_it_is_said_who_does() {
    let pinned = |station: &Station| {
        let said = refused(station, &["set", "queue.max_entries=50"], "WB1009");
        assert!(said.stderr.contains("WAYBILL_CONFIG_QUEUE_MAX_ENTRIES") && said.code() == Some(9), "{said}");
        let said = refused(station, &["set", "log.level=warn"], "WB1009");
        assert!(said.stderr.contains("managed.toml"), "{said}");
        let rows = done(station, &["show", "--json"]).json()["values"].clone();
        let from = |place: &str| rows.as_array().unwrap().iter().find(|row| row["place"] == place).unwrap()["from"].clone();
        assert_eq!(from("queue.max_entries")["environment"], "WAYBILL_CONFIG_QUEUE_MAX_ENTRIES");
        assert!(from("log.level")["administrator"].as_str().unwrap().ends_with("managed.toml"));
        assert_eq!(from("station.name"), "file");
        assert_eq!((get(station, "queue.max_entries"), get(station, "log.level")), (77.into(), "debug".into()));
        done(station, &["set", "station.location=Line 2"]);
    };
    let prepared = || {
        let station = station();
        station.set_environment("WAYBILL_CONFIG_QUEUE_MAX_ENTRIES", "77");
        fs::write(station.folder().join("managed.toml"), "[log]\nlevel = \"debug\"\n").unwrap();
        station
    };
    pinned(&prepared());
    let station = prepared();
    let _agent = Agent::start(&station);
    pinned(&station);
}

#[test]
fn what_waits_for_a_restart_is_marked_until_then() {
    let station = station();
    let mut agent = Agent::start(&station);
    let said = done(&station, &["set", "log.max_files=9", "log.level=debug"]).stdout;
    assert!(said.lines().any(|line| line.starts_with("log.max_files") && line.contains("next start")), "{said}");
    assert!(said.lines().any(|line| line.starts_with("log.level") && !line.contains("next start")), "{said}");
    assert!(done(&station, &["show"]).stdout.contains("next start"));
    assert!(agent.stop().success());
    let _agent = Agent::start(&station);
    assert!(!done(&station, &["show"]).stdout.contains("next start"));
}

#[test]
fn a_destination_with_unsent_reports_is_removed_only_by_who_says_what_becomes_of_them() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::status(503));
    let station = Station::simple(&receiver);
    let mut agent = Agent::start(&station);
    station.drop_reports("ict", 1..3);
    agent.wait_for("two wait", |snapshot| snapshot.destinations[0].pending == 2);
    done(&station, &["add", "destination", "spare", "kind=folder", "folder=out/spare"]);
    refused(&station, &["unset", "destination.main"], "WB1011");
    assert!(agent.stop().success());

    // Without an agent nobody could move them or give them up.
    for more in [&[][..], &["--discard"], &["--move-to", "spare"]] {
        let mut arguments = vec!["unset", "destination.main"];
        arguments.extend(more);
        refused(&station, &arguments, "WB1011");
    }
    done(&station, &["set", "destination.spare.enabled=true"]);

    let agent = Agent::start(&station);
    done(&station, &["unset", "destination.main", "--move-to", "spare"]);
    agent.wait_for("both went to the other one", |snapshot| {
        snapshot.destinations.iter().any(|destination| destination.name == "spare" && destination.sent == 2)
    });
    let ids: Vec<String> = fs::read_dir(station.folder().join("out/spare"))
        .unwrap()
        .flat_map(|day| fs::read_dir(day.unwrap().path()).unwrap())
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!((1..3).all(|n| ids.iter().any(|name| name.contains(&sample_id(n)))), "{ids:?}");
}

#[test]
fn what_is_done_without_an_agent_is_in_the_history_and_needs_the_pin_once_there_is_one() {
    let station = station();
    done(&station, &["set", "queue.max_entries=60"]);
    let pin = station.folder().join("pin");
    atomic::create_private(&pin, b"2468\n").unwrap();
    let wrong = station.folder().join("wrong");
    atomic::create_private(&wrong, b"1357\n").unwrap();
    let set = |name: &str| cli(&station, &["access", "set-pin", "--new-pin-file", name]);
    let said = set(pin.to_str().unwrap());
    assert!(said.success(), "{said}");
    let guarded = |station: &Station| {
        refused(station, &["set", "queue.max_entries=61"], "WB6010");
        refused(station, &["--pin-file", wrong.to_str().unwrap(), "set", "queue.max_entries=62"], "WB6011");
        assert_eq!(get(station, "queue.max_entries"), 60, "whoever only looks needs none");
        done(station, &["--pin-file", pin.to_str().unwrap(), "set", "queue.max_entries=63"]);
        station.set_environment("WAYBILL_PIN", "2468");
        done(station, &["set", "queue.max_entries=60"]);
        station.unset_environment("WAYBILL_PIN");
    };
    guarded(&station);
    let _agent = Agent::start(&station);
    guarded(&station);
    let rows = cli(&station, &["history", "list", "--json"]).json();
    let found = |via: &str, outcome: &str, action: &str| {
        rows.as_array().unwrap().iter().any(|row| {
            row["via"] == via
                && row["outcome"] == outcome
                && row["action"] == action
                && row["who"].as_str().unwrap().contains("command line (process ")
        })
    };
    for (via, outcome, action) in [
        ("cli", "done", "config.set"),
        ("cli", "refused", "config.set"),
        ("cli", "done", "access.set_pin"),
        ("cli", "refused", "access.elevate"),
        ("ipc", "done", "config.set"),
    ] {
        assert!(found(via, outcome, action), "{via} {outcome} {action}: {rows:#}");
    }
}

// ---- looking

#[test]
fn a_file_with_faults_is_told_of_and_can_be_mended() {
    let station = station();
    station.write_config("[queue]\nmax_entries = 0\nmax_entires = 3\n");
    let said = config(&station, &["show"]);
    assert!(said.code() == Some(5) && said.stderr.contains("queue.max_entires"), "{said}");
    // One of two faults is not enough.
    refused(&station, &["set", "queue.max_entries=5"], "queue.max_entires: unknown key");
    station.write_config("# ours\n[queue]\nmax_entries = 0\n");
    done(&station, &["set", "queue.max_entries=5"]);
    assert_eq!(station.config_text(), "# ours\n[queue]\nmax_entries = 5\n");
}

#[test]
fn a_running_agent_tells_that_the_file_is_broken_and_what_is_in_use() {
    let station = station();
    let _agent = Agent::start(&station);
    station.write_config("[queue]\nmax_entries = 0\n");
    wait_until("the agent has seen it", || config(&station, &["show"]).stderr.contains("queue.max_entries"));
    let shown = done(&station, &["show", "--json"]).json();
    assert_eq!(shown["problem"]["code"], "WB1001");
    assert_eq!(get(&station, "queue.max_entries"), 10);
    let status = cli(&station, &["status"]).stdout;
    assert!(status.contains("NOT IN USE") && status.contains("queue.max_entries"), "{status}");
    let health = cli(&station, &["health"]).stdout;
    assert!(health.contains("that lies there is not in use"), "at once: {health}");
    // Whoever goes on from what is in use is told what became of the other.
    let set = config(&station, &["set", "queue.max_entries=20"]);
    assert!(set.success() && set.stderr.contains("kept as a backup"), "{set}");
    let backups = std::fs::read_dir(station.instance().backups()).unwrap().flatten();
    let texts: Vec<String> = backups.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect();
    assert!(texts.iter().any(|text| text.contains("max_entries = 0")), "{texts:?}");
    assert!(!cli(&station, &["status"]).stdout.contains("NOT IN USE"));
}

#[test]
fn a_configuration_is_checked_wherever_it_comes_from() {
    let station = station();
    done(&station, &["validate"]);
    let broken = b"[queue]\nmax_entries = 0\n[log]\nlevel = 'loud'\nsize = 1\n";
    let said = cli_with(&station, &["config", "validate", "-", "--json"], Some(broken), std::time::Duration::from_secs(60));
    assert_eq!(said.code(), Some(5), "{said}");
    let faults =
        said.json()["faults"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(faults, ["queue.max_entries", "log.level", "log.size"]);
    let said = config(&station, &["validate", "no-such-file.toml"]);
    assert!(said.code() == Some(5) && said.stderr.contains("no-such-file.toml"), "{said}");
    // Single faults of syntax as well, with their place.
    let said = cli_with(&station, &["config", "validate", "-"], Some(b"[queue\n"), std::time::Duration::from_secs(60));
    assert!(said.code() == Some(5) && said.stderr.contains("line 1"), "{said}");
    // With the environment of this station, unless told otherwise.
    station.set_environment("WAYBILL_CONFIG_QUEUE_MAX_ENTRIES", "many");
    assert_eq!(config(&station, &["validate"]).code(), Some(5));
    done(&station, &["validate", "--alone"]);
}

#[test]
fn everything_that_counts_is_shown() {
    both(|station, _| {
        let set = done(station, &["show"]).stdout;
        assert!(set.contains("queue.max_entries") && !set.contains("upload.timeout_secs"), "{set}");
        let all = done(station, &["show", "--effective"]).stdout;
        assert!(all.contains("upload.timeout_secs") && all.contains("default"), "{all}");
        assert_eq!(done(station, &["show", "--file"]).stdout, BY_HAND);
        assert_eq!(done(station, &["show", "--defaults", "--json"]).json()["queue.max_entries"], 10_000);
        let said = refused(station, &["get", "queue.max_entires"], "did you mean");
        assert_eq!(said.code(), Some(5));
    });
}

// ---- the past

#[test]
fn a_configuration_of_the_past_is_compared_and_restored() {
    both(|station, _| {
        done(station, &["set", "queue.max_entries=20"]);
        done(station, &["set", "queue.max_entries=30", "log.level=debug"]);
        let said = done(station, &["diff"]).stdout;
        assert!(said.contains("queue.max_entries: 20 -> 30") && said.contains("log.level: (not set) -> \"debug\""), "{said}");
        let rows = done(station, &["history", "--json"]).json();
        let first = rows.as_array().unwrap().iter().rfind(|row| row["current"] == false).unwrap();
        let id = first["id"].as_str().unwrap();
        assert_eq!(first["intact"], true);
        let file = station.folder().join("file.toml");
        fs::write(&file, "[queue]\nmax_entries = 1\n").unwrap();
        let said = done(station, &["diff", id, file.to_str().unwrap()]).stdout;
        assert!(said.contains("queue.max_entries: 10 -> 1"), "{said}");
        assert_eq!(done(station, &["diff", "current", "current", "--json"]).json(), serde_json::json!([]));

        let said = refused(station, &["restore", id], "--yes");
        assert_eq!(said.code(), Some(2));
        refused(station, &["restore", "nothing", "--yes"], "neither a backup nor a file");
        done(station, &["restore", id, "--yes"]);
        assert_eq!(station.config_text(), BY_HAND, "byte for byte");
        assert_eq!(get(station, "queue.max_entries"), 10);
        assert!(done(station, &["diff"]).stdout.contains("queue.max_entries: 30 -> 10"));
    });
}

// ---- the reference

#[test]
fn the_reference_page_that_ships_is_the_one_that_the_agent_prints() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../assets/help/configuration.md");
    let printed = done(&station(), &["docs"]).stdout;
    let ships = fs::read_to_string(page).unwrap().replace("\r\n", "\n");
    assert_eq!(ships, printed, "make it anew: waybill-agent config docs > assets/help/configuration.md");
}

#[test]
fn the_schema_is_json_and_the_sample_is_a_valid_configuration() {
    let station = station();
    let schema = done(&station, &["schema"]).json();
    assert_eq!(schema["properties"]["queue"]["properties"]["max_entries"]["type"], "integer");
    let sample = done(&station, &["schema", "--sample"]).stdout;
    let checked = cli_with(&station, &["config", "validate", "-"], Some(sample.as_bytes()), std::time::Duration::from_secs(60));
    assert!(checked.success(), "{checked}");
}

// ---- the editor

#[cfg(unix)]
mod editor {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// An editor that does what a line of shell says with the file `$1`.
    fn editor(station: &Station, script: &str) {
        let path = station.folder().join("editor.sh");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        station.set_environment("EDITOR", path.to_str().unwrap());
        station.set_environment("VISUAL", "");
        let temp = station.folder().join("temp");
        fs::create_dir_all(&temp).unwrap();
        station.set_environment("TMPDIR", temp.to_str().unwrap());
    }

    fn copies(station: &Station) -> Vec<PathBuf> {
        fs::read_dir(station.folder().join("temp")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_is_typed_counts_and_the_copy_goes() {
        both(|station, _| {
            editor(station, "sed -i 's/= 10 #/= 25 #/' \"$1\"");
            let said = done(station, &["edit"]).stdout;
            assert!(said.contains("queue.max_entries: 10 -> 25"), "{said}");
            assert_eq!(station.config_text(), BY_HAND.replace("10 #", "25 #"));
            editor(station, "exit 0");
            assert!(done(station, &["edit"]).stdout.contains("nothing was changed"));
            assert!(copies(station).is_empty());
        });
    }

    #[test]
    fn what_is_typed_wrong_is_told_and_kept() {
        both(|station, _| {
            editor(station, "sed -i 's/= 10 #/= 0 # hours of work/' \"$1\"");
            let said = refused(station, &["edit"], "queue.max_entries: out of range");
            let kept = copies(station);
            assert_eq!(kept.len(), 1, "{said}");
            assert!(said.stderr.contains(kept[0].to_str().unwrap()), "{said}");
            assert!(fs::read_to_string(&kept[0]).unwrap().contains("hours of work"));

            // An editor that fails after something was typed, and one that is not there.
            editor(station, "echo '# typed' >> \"$1\"; exit 3");
            refused(station, &["edit"], "kept in");
            assert_eq!(copies(station).len(), 2);
            station.set_environment("EDITOR", "/no/such/editor");
            refused(station, &["edit"], "cannot be started");
            assert_eq!(copies(station).len(), 2, "nothing was typed");
        });
    }

    #[test]
    fn a_change_by_somebody_else_meanwhile_is_not_overwritten() {
        both(|station, running| {
            let other = format!(
                "WB=\"{}\"; \"$WB\" --data-dir {:?} --config {:?} config set log.level=debug >&2 && sed -i 's/ST-1/ST-2/' \"$1\"",
                waybill_tests::agent::binary().display(),
                station.data(),
                station.config()
            );
            editor(station, &other);
            let said = config(station, &["edit"]);
            assert!(said.stderr.contains("WB1007") && said.stderr.contains("kept in"), "{running}: {said}");
            let text = station.config_text();
            assert!(text.contains("debug") && text.contains("ST-1"), "{text}");
        });
    }

    #[test]
    fn a_file_with_faults_is_what_is_edited() {
        let mend = |station: &Station| {
            editor(station, "sed -i 's/= 0/= 15/' \"$1\"");
            done(station, &["edit"]);
            assert_eq!(station.config_text(), "[queue]\nmax_entries = 15 # mine\n");
            assert_eq!(get(station, "queue.max_entries"), 15);
        };
        let broken = "[queue]\nmax_entries = 0 # mine\n";
        let offline = station();
        offline.write_config(broken);
        mend(&offline);
        let station = station();
        let _agent = Agent::start(&station);
        station.write_config(broken);
        wait_until("the agent has seen it", || config(&station, &["show"]).stderr.contains("queue.max_entries"));
        mend(&station);
    }
}
