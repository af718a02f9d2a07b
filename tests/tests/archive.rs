//! Copies of taken files: kept whatever becomes of the file, no longer than is said, and sent again under the ids that they had.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a fault of a test is told where it stands"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::Value;
use waybill_ipc::protocol::{ArchiveFilter, ArchivePage, Page, Reply, Request};
use waybill_shared::error::Code;
use waybill_tests::agent::CliOutput;
use waybill_tests::edit::{set, unset};
use waybill_tests::sample::{data_file, report_without_id};
use waybill_tests::station::StationBuilder;
use waybill_tests::{
    Agent, Receiver, Station, cli, cli_for_a_line, conservation, ipc_client, sample_report, sample_value, wait_until,
};

fn builder(receiver: &Receiver, after: &str) -> StationBuilder {
    Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf").after(after))
        .wats(receiver)
        .quick()
        .setting("archive", "enabled", true)
}

/// All files below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { open.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    found
}

fn copies(station: &Station) -> Vec<PathBuf> {
    below(&station.data().join("archive")).into_iter().filter(|path| path.extension().is_some_and(|end| end == "zst")).collect()
}

/// What is in front of a copy: the frame that readers of zstd pass by.
fn label(copy: &Path) -> Value {
    let bytes = std::fs::read(copy).unwrap();
    assert_eq!(bytes[..4], 0x184D_2A5A_u32.to_le_bytes());
    let length = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
    serde_json::from_slice(&bytes[8..8 + length]).unwrap()
}

/// What any reader of zstd gives.
fn content(copy: &Path) -> Vec<u8> {
    zstd::stream::decode_all(std::fs::File::open(copy).unwrap()).unwrap()
}

fn reconvert(station: &Station, arguments: &[&str]) -> CliOutput {
    cli(station, &[&["reconvert", "--json"], arguments].concat())
}

/// A report whose file says neither its id nor where it comes from.
fn plain_report(n: u64) -> Vec<u8> {
    let mut report: Value = serde_json::from_slice(&report_without_id(n)).unwrap();
    report.as_object_mut().unwrap().shift_remove("location");
    serde_json::to_vec(&report).unwrap()
}

/// A station that has taken and delivered so many plain reports.
fn delivered(receiver: &Receiver, builder: StationBuilder, reports: u64) -> (Station, Agent) {
    receiver.keep_bodies(true);
    let station = builder.build();
    let agent = Agent::start(&station);
    for n in 0..reports {
        station.drop_file("ict", &format!("{n}.json"), &plain_report(n));
    }
    agent.wait_for("all are sent", |s| s.destinations[0].sent == reports && s.sources[0].queued == reports);
    wait_until("all are archived and put away", || {
        copies(&station).len() as u64 == reports && station.watched_files("ict").is_empty()
    });
    (station, agent)
}

fn posts(receiver: &Receiver) -> usize {
    receiver.look(|state| state.posts.len())
}

fn locations(receiver: &Receiver) -> BTreeMap<String, String> {
    receiver.reports().into_iter().map(|(id, report)| (id, report["location"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_copy_of_each_taken_file_is_kept_whatever_becomes_of_the_file() {
    for after in ["move", "delete", "zip", "keep"] {
        let receiver = Receiver::start();
        let station = builder(&receiver, after).build();
        let mut agent = Agent::start(&station);
        let before = Timestamp::now();
        station.drop_reports("ict", 0..3);
        station.drop_file("ict", "broken.json", b"{\"no\": \"report\"}");
        agent.wait_for("all were looked at", |s| s.destinations[0].sent == 3 && s.sources[0].errors == 1);
        wait_until("three copies are there", || copies(&station).len() == 3);
        let days = [before, Timestamp::now()].map(|at| at.to_zoned(TimeZone::UTC).date().to_string());
        let mut contents = BTreeSet::new();
        for copy in copies(&station) {
            let (label, bytes) = (label(&copy), content(&copy));
            let place = copy.strip_prefix(station.data().join("archive")).unwrap().to_string_lossy().replace('\\', "/");
            let parts: Vec<&str> = place.split('/').collect();
            assert!(parts.len() == 3 && days.contains(&parts[0].to_owned()) && parts[1] == "ict", "{after}: {place}");
            assert_eq!((&label["source"], &label["converter"]), (&"ict".into(), &"wsjf".into()));
            assert_eq!(label["blake3"], blake3::hash(&bytes).to_hex().to_string());
            assert_eq!(label["size"], bytes.len());
            let name = Path::new(label["path"].as_str().unwrap()).file_name().unwrap().to_string_lossy().into_owned();
            assert!(parts[2].ends_with(&format!("_{}_{name}.zst", label["correlation_id"].as_str().unwrap())), "{place}");
            let taken: Timestamp = label["taken_at"].as_str().unwrap().parse().unwrap();
            assert!(taken.as_millisecond() >= before.as_millisecond() && taken <= Timestamp::now());
            contents.insert(bytes);
        }
        assert_eq!(contents, (0..3).map(|n| sample_report(n).1).collect::<BTreeSet<_>>(), "{after}: byte for byte");
        let left = usize::from(after == "keep") * 3;
        wait_until("the files are where they belong", || station.watched_files("ict").len() == left);
        assert_eq!(station.done_files("ict").len(), if ["move", "zip"].contains(&after) { 3 } else { 0 }, "{after}");
        // Once more from the beginning: nothing is archived or sent twice.
        assert!(agent.stop().success());
        let agent = Agent::start(&station);
        station.drop_reports("ict", 3..4);
        agent.wait_for("the fourth is sent", |s| s.destinations[0].sent == 4);
        wait_until("the fourth is archived", || copies(&station).len() >= 4);
        assert_eq!((copies(&station).len(), posts(&receiver)), (4, 4), "{after}");
    }
}

#[test]
fn copies_are_made_while_that_is_wanted_without_a_restart() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    for (n, wanted) in [false, true, false].into_iter().enumerate() {
        ipc.change(&[set("archive.enabled", wanted)]).unwrap();
        station.drop_reports("ict", [n as u64]);
        agent.wait_for("it is sent", |s| s.destinations[0].sent == n as u64 + 1);
        wait_until("it is put away", || station.done_files("ict").len() == n + 1);
    }
    assert_eq!(copies(&station).iter().map(|copy| content(copy)).collect::<Vec<_>>(), [sample_report(1).1]);
}

#[test]
fn copies_are_kept_as_long_and_as_many_as_is_said() {
    let receiver = Receiver::start();
    let station =
        builder(&receiver, "move").setting("archive", "keep_days", 30).setting("archive", "max_bytes", 1024 * 1024).build();
    let folder = station.data().join("archive");
    let put = |days_ago: i64, name: &str, kib: usize| {
        let day = Timestamp::now().to_zoned(TimeZone::UTC).date().checked_sub(Span::new().days(days_ago)).unwrap();
        let path = folder.join(day.to_string()).join("ict").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, vec![b'x'; kib * 1024]).unwrap();
        path
    };
    let name = "120000.000_0197b1d0-0000-7000-8000-000000000001_a.json.zst";
    let (too_old, too_many) = (put(40, name, 1), put(20, name, 600));
    let stay = [put(2, name, 600), put(1, name, 300), put(40, "a letter.txt", 1)];
    let _agent = Agent::start(&station);
    wait_until("what is too old or too many is gone", || !too_old.exists() && !too_many.exists());
    assert!(stay.iter().all(|path| path.exists()), "{:?}", below(&folder));
}

#[test]
fn a_crash_between_copy_and_move_leaves_one_copy() {
    let receiver = Receiver::start();
    let done = tempfile::tempdir().unwrap();
    let done = done.path().join("done");
    std::fs::write(&done, b"a file in place of the folder").unwrap();
    let station = Station::builder()
        .source("ict", |s| s.patterns(["*.json"]).converter("wsjf").set("done_folder", done.to_str().unwrap()))
        .wats(&receiver)
        .quick()
        .setting("archive", "enabled", true)
        .build();
    station.drop_reports("ict", [0]);
    for _ in 0..2 {
        let mut agent = Agent::start(&station);
        agent.wait_for("it is sent and cannot be moved", |s| {
            let trouble = s.sources[0].error.as_ref().is_some_and(|error| error.code == Code::PostActionFailed);
            trouble && s.destinations[0].sent == 1
        });
        assert_eq!(copies(&station).len(), 1);
        agent.kill();
    }
    std::fs::remove_file(&done).unwrap();
    let _agent = Agent::start(&station);
    wait_until("it is moved", || !below(&done).is_empty() && station.watched_files("ict").is_empty());
    assert_eq!((copies(&station).len(), posts(&receiver)), (1, 1));
    assert_eq!(content(&copies(&station)[0]), sample_report(0).1);
}

#[test]
fn a_file_under_a_claim_name_gets_its_copy_at_the_next_start() {
    let receiver = Receiver::start();
    let station = builder(&receiver, "delete").build();
    let folder = station.data().join("archive");
    std::fs::write(&folder, b"a file in place of the folder").unwrap();
    let mut agent = Agent::start(&station);
    station.drop_reports("ict", [0]);
    agent.wait_for("it is sent and has no copy", |s| s.destinations[0].sent == 1 && s.sources[0].error.is_some());
    agent.kill();
    let file = station.watched_files("ict").remove(0);
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    std::fs::rename(&file, file.with_file_name(format!(".waybill-claim-00000000000000aa~{name}"))).unwrap();
    std::fs::remove_file(&folder).unwrap();
    let _agent = Agent::start(&station);
    wait_until("it is gone", || station.watched_files("ict").is_empty());
    assert_eq!(copies(&station).iter().map(|copy| content(copy)).collect::<Vec<_>>(), [sample_report(0).1]);
    assert_eq!(posts(&receiver), 1);
}

#[test]
fn while_no_copy_can_be_made_a_file_is_delivered_and_stays() {
    for after in ["move", "keep"] {
        let receiver = Receiver::start();
        let elsewhere = tempfile::tempdir().unwrap();
        let folder = elsewhere.path().join("copies");
        std::fs::write(&folder, b"a file in place of the folder").unwrap();
        let station = builder(&receiver, after).setting("archive", "folder", folder.to_str().unwrap()).build();
        let mut agent = Agent::start(&station);
        station.drop_reports("ict", [0]);
        let trouble = |agent: &Agent| {
            let status = agent.wait_for("it is sent, and its trouble is shown", |s| {
                s.destinations[0].sent == 1 && s.sources[0].error.is_some()
            });
            let error = status.sources[0].error.clone().unwrap();
            assert!(error.code == Code::PostActionFailed && error.message.contains("copy for the archive"), "{error}");
        };
        trouble(&agent);
        assert_eq!(station.watched_files("ict").len(), 1);
        // It is not forgotten by a crash either.
        agent.kill();
        let agent = Agent::start(&station);
        trouble(&agent);
        assert_eq!(station.watched_files("ict").len(), 1, "it waits for its copy");
        std::fs::remove_file(&folder).unwrap();
        wait_until("its copy is there", || below(&folder).len() == 1);
        assert_eq!(content(&below(&folder)[0]), sample_report(0).1);
        if after == "move" {
            wait_until("it is put away", || station.done_files("ict").len() == 1 && station.watched_files("ict").is_empty());
        }
        agent.wait_for("the trouble is over", |s| s.sources[0].error.is_none());
        assert_eq!(posts(&receiver), 1, "{after}: it is sent once");
    }
}

#[test]
fn a_dry_run_says_what_would_be_sent_and_changes_nothing() {
    let receiver = Receiver::start();
    let (station, agent) = delivered(&receiver, builder(&receiver, "move"), 3);
    let before = (posts(&receiver), agent.counts(), below(&station.data().join("archive")), station.done_files("ict"));
    let output = reconvert(&station, &["--dry-run"]);
    assert!(output.success(), "{output}");
    let told = output.json();
    assert_eq!(
        (&told["files"], &told["reports"], &told["not_sent"], &told["next"]),
        (&3.into(), &3.into(), &0.into(), &Value::Null)
    );
    let rows = told["rows"].as_array().unwrap();
    let would: BTreeMap<String, String> = rows
        .iter()
        .map(|row| {
            assert_eq!(row["outcome"], "would_be_sent");
            (row["first"][0]["id"].as_str().unwrap().to_owned(), row["first"][0]["serial"].as_str().unwrap().to_owned())
        })
        .collect();
    let there = receiver.reports().into_iter().map(|(id, report)| (id, report["sn"].as_str().unwrap().to_owned())).collect();
    assert_eq!(would, there, "the ids and serial numbers that were sent");
    let for_people = cli(&station, &["reconvert", "--dry-run"]);
    assert!(for_people.success() && for_people.stdout.contains("3 files: 3 reports would be sent"), "{for_people}");
    // Without either word, and nobody to ask.
    let refused = cli(&station, &["reconvert"]);
    assert!(refused.code() == Some(2) && refused.stderr.contains("--dry-run") && refused.stderr.contains("--yes"), "{refused}");
    let after = (posts(&receiver), agent.counts(), below(&station.data().join("archive")), station.done_files("ict"));
    assert_eq!(after, before);
    let history = cli(&station, &["history", "list", "--json", "--action", "archive."]).json();
    assert_eq!(history, Value::Array(Vec::new()));
}

#[test]
fn what_is_sent_again_has_the_ids_that_it_had_and_what_the_configuration_says_now() {
    let receiver = Receiver::start();
    let (station, agent) = delivered(&receiver, builder(&receiver, "move"), 3);
    let before = locations(&receiver);
    assert_eq!(before.values().collect::<BTreeSet<_>>(), [&"Line 1".to_owned()].into());
    let places = (copies(&station), station.done_files("ict"));
    ipc_client(&station).change(&[set("source.ict.arguments.location", "Cell 4"), set("source.ict.converter", "auto")]).unwrap();
    for again in 1..=2 {
        let output = reconvert(&station, &["--yes"]);
        assert!(output.success(), "{output}");
        assert_eq!((&output.json()["files"], &output.json()["reports"]), (&3.into(), &3.into()));
        agent.wait_for("all are sent again", |s| s.destinations[0].sent == 3 + 3 * again);
    }
    let after = locations(&receiver);
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "the same reports");
    assert_eq!(after.values().collect::<BTreeSet<_>>(), [&"Cell 4".to_owned()].into());
    assert_eq!((copies(&station), station.done_files("ict")), places, "nothing is archived or moved again");
    assert!(station.watched_files("ict").is_empty() && station.error_files("ict").is_empty());
    let counts = conservation(&agent.status());
    counts.assert_issued(9);
    assert_eq!((counts.source("ict").queued, counts.source("ict").reports, counts.source("ict").waiting), (9, 9, 0));
    let history = cli(&station, &["history", "list", "--json", "--action", "archive.reconvert"]).json();
    let words: Vec<_> = history.as_array().unwrap().iter().map(|row| row["message"].as_str().unwrap()).collect();
    assert_eq!(words, ["3 files, 3 reports queued"; 2]);
}

#[test]
fn what_was_sent_again_is_nothing_new_after_a_restart() {
    let receiver = Receiver::start();
    receiver.keep_bodies(true);
    let station = builder(&receiver, "keep").build();
    let mut agent = Agent::start(&station);
    station.drop_reports("ict", 0..2);
    agent.wait_for("two are sent", |s| s.destinations[0].sent == 2);
    wait_until("two are archived", || copies(&station).len() == 2);
    assert!(reconvert(&station, &["--yes"]).success());
    agent.wait_for("two are sent again", |s| s.destinations[0].sent == 4);
    agent.kill();
    let agent = Agent::start(&station);
    station.drop_reports("ict", [2]);
    let status = agent.wait_for("the third is sent", |s| s.destinations[0].sent == 5);
    wait_until("the third is archived", || copies(&station).len() >= 3);
    assert_eq!((status.sources[0].queued, posts(&receiver), copies(&station).len()), (5, 5, 3));
}

/// Stopped or killed in the middle, the agent ends in time, and the books hold: each file was sent again as a whole, or not.
#[test]
fn an_agent_that_ends_in_the_middle_of_it_loses_nothing_and_sends_nothing_by_half() {
    let receiver = Receiver::start();
    let (station, mut agent) = delivered(&receiver, builder(&receiver, "delete"), 60);
    for killed in [false, true] {
        let before = agent.counts().destination("main").issued();
        let running = {
            let station = station.clone();
            std::thread::Builder::new().name("reconvert".into()).spawn(move || reconvert(&station, &["--yes"])).unwrap()
        };
        agent.wait_for("it has begun", |s| s.destinations[0].issued() > before);
        if killed {
            agent.kill();
        } else {
            assert!(agent.stop().success());
        }
        running.join().unwrap();
        agent = Agent::start(&station);
        let counts = agent.counts();
        let (source, main) = (counts.source("ict"), counts.destination("main"));
        assert_eq!((source.reports, source.waiting, source.errors), (main.issued(), 0, 0), "{counts}");
        assert_eq!(source.queued, source.reports, "{counts}");
        assert!(main.issued() > before && main.issued() <= before + 60, "{counts}");
    }
    let issued = agent.counts().destination("main").issued();
    agent.wait_for("all is sent", |s| s.destinations[0].sent == issued);
    assert_eq!((receiver.report_ids().len(), copies(&station).len()), (60, 60));
}

#[test]
fn files_are_chosen_by_source_time_converter_name_and_number() {
    let receiver = Receiver::start();
    let station = builder(&receiver, "move")
        .source("fct", |s| {
            s.patterns(["*.json"]).converter("openhtf").argument("part_number", "PN-ARG").argument("process_code", 40)
        })
        .build();
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..3);
    station.drop_file("fct", "1.hello_world.json", &data_file("openhtf/1.hello_world.json"));
    agent.wait_for("all are sent", |s| s.destinations[0].sent == 4);
    wait_until("all are archived", || copies(&station).len() == 4);
    let names = |arguments: &[&str]| {
        let output = reconvert(&station, &[&["--dry-run"], arguments].concat());
        assert!(output.success(), "{output}");
        let rows = output.json()["rows"].as_array().unwrap().clone();
        let name = |row: &Value| Path::new(row["path"].as_str().unwrap()).file_name().unwrap().to_string_lossy().into_owned();
        rows.iter().map(name).collect::<BTreeSet<_>>()
    };
    let ict: BTreeSet<String> = (0..3).map(|n| format!("SN-{n:08}.json")).collect();
    let fct: BTreeSet<String> = ["1.hello_world.json".to_owned()].into();
    let all: BTreeSet<String> = ict.iter().chain(&fct).cloned().collect();
    let today = jiff::Zoned::now().date().to_string();
    let tomorrow = jiff::Zoned::now().date().tomorrow().unwrap().to_string();
    assert_eq!(names(&[]), all);
    assert_eq!(names(&["--source", "ICT"]), ict);
    assert_eq!(names(&["--source", "fct"]), fct);
    assert_eq!(names(&["--converter", "openhtf"]), fct);
    assert_eq!(names(&["--file", "sn-*1.json"]), ["SN-00000001.json".to_owned()].into());
    assert_eq!(names(&["--from", "1h", "--to", &tomorrow]), all);
    assert_eq!(names(&["--to", "1h"]), BTreeSet::new());
    assert_eq!(names(&["--from", &tomorrow]), BTreeSet::new());
    assert_eq!(names(&["--source", "ict", "--from", &today, "--to", &tomorrow, "--converter", "wsjf", "--file", "*"]), ict);
    let nonsense = reconvert(&station, &["--dry-run", "--file", "["]);
    assert!(nonsense.code() == Some(2) && nonsense.stderr.contains("WB6007"), "{nonsense}");
    // In parts: each file once.
    let mut after: Option<String> = None;
    let mut places = Vec::new();
    while places.is_empty() || after.is_some() {
        let mut arguments = vec!["--dry-run", "--limit", "1"];
        if let Some(after) = &after {
            arguments.extend(["--after", after]);
        }
        let told = reconvert(&station, &arguments).json();
        places.extend(told["rows"].as_array().unwrap().iter().map(|row| row["place"].as_str().unwrap().to_owned()));
        after = told["next"].as_str().map(str::to_owned);
    }
    assert_eq!((places.len(), places.iter().collect::<BTreeSet<_>>().len()), (4, 4), "{places:?}");
    assert_eq!(posts(&receiver), 4, "nothing was sent");
}

#[test]
fn files_of_a_source_that_is_gone_are_named_one_by_one_and_not_sent() {
    let receiver = Receiver::start();
    let (station, agent) = delivered(&receiver, builder(&receiver, "delete"), 2);
    ipc_client(&station).change(&[unset("source.ict")]).unwrap();
    for word in ["--dry-run", "--yes"] {
        let output = reconvert(&station, &[word]);
        assert_eq!(output.code(), Some(6), "{output}");
        let rows = output.json()["rows"].as_array().unwrap().clone();
        assert_eq!(rows.len(), 2);
        for row in rows {
            assert_eq!((&row["outcome"], &row["error"]["code"]), (&"not_sent".into(), &"WB6009".into()));
            assert!(row["error"]["message"].as_str().unwrap().contains("\"ict\" is configured no more"), "{row}");
        }
    }
    assert_eq!(agent.snapshot().destinations[0].sent, 2);
    // Back under the same name, wherever its folder is: the same ids.
    let before = receiver.report_ids();
    let folder = station.watch("ict");
    let back = format!(
        "{}\n[[source]]\nname = \"ict\"\nfolder = {:?}\nconverter = \"wsjf\"\n",
        station.config_text(),
        folder.to_str().unwrap()
    );
    station.write_config(&back);
    agent.wait_for("the source is back", |s| s.sources.len() == 1);
    assert!(reconvert(&station, &["--yes"]).success());
    agent.wait_for("both are sent again", |s| s.destinations[0].sent == 4);
    assert_eq!(receiver.report_ids(), before);
}

#[test]
fn a_file_that_cannot_be_converted_any_more_is_a_conversion_error_with_its_place_in_the_archive() {
    let receiver = Receiver::start();
    let (station, agent) = delivered(&receiver, builder(&receiver, "move"), 1);
    let ipc = ipc_client(&station);
    ipc.change(&[set("source.ict.converter", "openhtf")]).unwrap();
    assert_eq!(reconvert(&station, &["--dry-run"]).code(), Some(6));
    assert_eq!(agent.snapshot().sources[0].errors, 0, "a dry run leaves no error");
    let output = reconvert(&station, &["--yes"]);
    assert_eq!(output.code(), Some(6), "{output}");
    let row = output.json()["rows"][0].clone();
    assert_eq!((&row["outcome"], &row["reports"]), (&"not_sent".into(), &0.into()));
    let status = agent.wait_for("it is in the books", |s| s.sources[0].errors == 1);
    assert_eq!((status.sources[0].waiting, status.sources[0].queued), (0, 1));
    let Ok(Reply::ConversionErrors(errors)) = ipc.request(Request::ConversionErrors { page: Page { after: None, limit: 10 } })
    else {
        panic!("the list of conversion errors")
    };
    assert_eq!(errors[0].moved_to.as_deref(), Some(copies(&station)[0].to_str().unwrap()));
    assert_eq!(errors[0].path, station.watch("ict").join("0.json").to_str().unwrap());
    assert!(copies(&station).len() == 1 && station.error_files("ict").is_empty(), "no folder is touched");
    assert_eq!(posts(&receiver), 1);
}

#[test]
fn a_full_queue_ends_it_before_the_file_that_does_not_fit_and_it_goes_on_there() {
    let receiver = Receiver::start();
    let (station, agent) = delivered(&receiver, builder(&receiver, "delete"), 5);
    ipc_client(&station).change(&[set("queue.max_entries", 2)]).unwrap();
    receiver.stop_listening();
    let output = reconvert(&station, &["--yes"]);
    assert_eq!(output.code(), Some(7), "{output}");
    let told = output.json();
    assert_eq!((&told["files"], &told["reports"], &told["stopped"]["code"]), (&2.into(), &2.into(), &"WB4002".into()));
    assert!(output.stderr.contains("go on where it ended"), "{output}");
    let status = agent.snapshot();
    assert_eq!((status.queue.waiting, status.sources[0].queued, status.sources[0].waiting), (2, 7, 0));
    receiver.listen_again();
    let (mut sent, mut after) = (2, told["next"].as_str().unwrap().to_owned());
    while sent < 5 {
        agent.wait_for("there is room", |s| !s.queue.full && s.queue.waiting == 0);
        let told = reconvert(&station, &["--yes", "--after", &after]).json();
        sent += told["files"].as_u64().unwrap();
        after = told["next"].as_str().unwrap_or_default().to_owned();
    }
    agent.wait_for("each is sent twice", |s| s.destinations[0].sent == 10);
    assert_eq!((sent, receiver.report_ids().len()), (5, 5));
}

#[test]
fn a_damaged_copy_is_told_and_the_others_are_sent() {
    let receiver = Receiver::start();
    let (station, agent) = delivered(&receiver, builder(&receiver, "delete"), 3);
    let [first, second, _] = copies(&station).try_into().unwrap();
    let bytes = std::fs::read(&first).unwrap();
    std::fs::write(&first, &bytes[..bytes.len() - 10]).unwrap();
    std::fs::write(&second, b"not ours any more").unwrap();
    let output = reconvert(&station, &["--yes"]);
    assert_eq!(output.code(), Some(6), "{output}");
    let told = output.json();
    assert_eq!((&told["files"], &told["reports"], &told["not_sent"]), (&3.into(), &1.into(), &2.into()));
    let codes: Vec<_> = told["rows"].as_array().unwrap().iter().map(|row| row["error"]["code"].clone()).collect();
    assert_eq!(codes, [Value::from("WB2002"), Value::from("WB2002"), Value::Null]);
    let status = agent.wait_for("the whole one is sent", |s| s.destinations[0].sent == 4);
    assert_eq!((status.sources[0].waiting, status.sources[0].errors), (0, 0));
}

#[test]
fn one_answer_has_no_more_than_a_hundred_files_and_hostile_places_are_refused() {
    let receiver = Receiver::start();
    let station = builder(&receiver, "delete").build();
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..130);
    agent.wait_for("all are sent", |s| s.destinations[0].sent == 130);
    wait_until("all are archived", || copies(&station).len() == 130);
    let ipc = ipc_client(&station);
    let part = |after: Option<String>| {
        let page = ArchivePage { after, limit: u32::MAX };
        ipc.request(Request::Reconvert { filter: ArchiveFilter::default(), dry_run: true, page })
    };
    let Ok(Reply::Reconverted(first)) = part(None) else { panic!("the first part") };
    assert_eq!((first.files.len(), first.stopped), (100, None));
    let Ok(Reply::Reconverted(second)) = part(first.next) else { panic!("the second part") };
    assert_eq!((second.files.len(), second.next), (30, None));
    assert!(part(Some("no place".into())).is_err());
    let Ok(Reply::Reconverted(outside)) = part(Some("../../etc".into())) else { panic!("it is only compared") };
    assert_eq!(outside.files.len(), 100);
    // The command line puts the parts together.
    let told = reconvert(&station, &["--dry-run"]).json();
    assert_eq!((&told["files"], told["rows"].as_array().unwrap().len()), (&130.into(), 130));
}

#[test]
fn without_an_agent_it_says_to_start_one() {
    let receiver = Receiver::start();
    let station = builder(&receiver, "move").build();
    for word in ["--dry-run", "--yes"] {
        let output = cli(&station, &["reconvert", word]);
        assert_eq!(output.code(), Some(3), "{output}");
        assert!(output.stderr.contains("Start the agent") && output.stderr.contains("WB6001"), "{output}");
    }
}

#[test]
fn a_large_sample_is_compressed() {
    let receiver = Receiver::start();
    let station = builder(&receiver, "move").build();
    let agent = Agent::start(&station);
    let mut report = sample_value(0);
    report["comment"] = "measured ".repeat(10_000).into();
    let bytes = serde_json::to_vec(&report).unwrap();
    station.drop_file("ict", "0.json", &bytes);
    agent.wait_for("it is sent", |s| s.destinations[0].sent == 1);
    wait_until("it is archived", || copies(&station).len() == 1);
    let copy = copies(&station).remove(0);
    assert_eq!(content(&copy), bytes);
    assert!(std::fs::metadata(&copy).unwrap().len() < bytes.len() as u64 / 10);
}

/// Who reads along does not decide how much is sent.
#[test]
fn an_order_is_carried_out_when_its_reader_goes_away() {
    let receiver = Receiver::start();
    let (station, agent) = delivered(&receiver, builder(&receiver, "move"), 120);
    let said = cli_for_a_line(&station, &["reconvert", "--yes"]);
    assert!(said.success() && said.stdout.contains("1 report"), "{said}");
    agent.wait_for("all are sent again", |s| s.destinations[0].sent == 240);
}
