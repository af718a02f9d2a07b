//! How a source finds its files, when it takes them, and what becomes of them: through real processes and a real receiver.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault of this test is told where it stands")]
#![allow(clippy::disallowed_methods, reason = "imitates equipment, which writes files carelessly")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use waybill_ipc::protocol::{Page, Reply, Request, Snapshot, SourceState, SourceStatus};
use waybill_shared::error::Code;
use waybill_tests::sample::sample_serial;
use waybill_tests::station::SourceBuilder;
use waybill_tests::{Agent, Receiver, Station, ipc_client, sample_id, sample_report, sample_value, wait_until, wine_cannot_show};

/// How long equipment pauses in the middle of a file.
const PAUSE: Duration = Duration::from_millis(2500);
/// Well under the 60 s after which a folder is read as a whole: what comes within it came by an event.
const SOON: Duration = Duration::from_secs(20);

// ---- a file is read when it is finished

#[test]
fn a_writer_that_pauses_with_the_file_open_is_read_once_and_whole() {
    let (receiver, station, agent) = running(|source| source);
    let (id, bytes) = sample_report(1);
    let (first, second) = bytes.split_at(bytes.len() / 2);

    let mut file = File::create(station.watch("ict").join("slow.json")).unwrap();
    file.write_all(first).unwrap();
    sleep(PAUSE);
    file.write_all(second).unwrap();
    drop(file);

    receiver.wait_for_reports(1);
    assert_read_once_and_whole(&receiver, &station, &agent, &id, &bytes);
}

#[test]
fn a_writer_that_closes_the_file_and_goes_on_later_is_read_once_and_whole() {
    let (receiver, station, agent) = running(|source| source);
    let (id, bytes) = sample_report(1);

    station.write_reopening("ict", "slow.json", &bytes, 2, PAUSE);

    receiver.wait_for_reports(1);
    assert_read_once_and_whole(&receiver, &station, &agent, &id, &bytes);
}

#[test]
fn a_writer_that_pauses_inside_of_a_character_is_read_once_and_whole() {
    let (receiver, station, agent) = running(|source| source);
    let mut report = sample_value(1);
    report["miscInfos"][0]["text"] = "10 µF".into();
    let bytes = serde_json::to_vec(&report).unwrap();
    let inside = bytes.windows(2).position(|pair| pair == "µ".as_bytes()).unwrap() + 1;

    station.append("ict", "slow.json", &bytes[..inside]);
    sleep(PAUSE);
    station.append("ict", "slow.json", &bytes[inside..]);

    receiver.wait_for_reports(1);
    assert_read_once_and_whole(&receiver, &station, &agent, &sample_id(1), &bytes);
}

#[test]
fn a_file_whose_end_comes_byte_by_byte_is_read_once_and_whole() {
    let (receiver, station, agent) = running(|source| source);
    let (id, bytes) = sample_report(1);
    let (first, end) = bytes.split_at(bytes.len() - 15);

    station.append("ict", "slow.json", first);
    for byte in end {
        sleep(Duration::from_millis(100));
        station.append("ict", "slow.json", &[*byte]);
    }

    receiver.wait_for_reports(1);
    assert_read_once_and_whole(&receiver, &station, &agent, &id, &bytes);
}

// ---- which file was taken already

#[test]
fn the_same_name_three_times_is_three_reports_and_three_kept_files() {
    let (receiver, station, _agent) = running(|source| source);
    let reports: Vec<_> = (1..=3).map(sample_report).collect();
    for (number, (_, bytes)) in reports.iter().enumerate() {
        station.drop_file("ict", "result.json", bytes);
        wait_for_done(&station, number + 1);
    }
    receiver.wait_for_reports(3);
    receiver.assert_has_exactly(reports.iter().map(|(id, _)| id));
    assert_eq!(contents(&station.done_files("ict")), sorted(reports.into_iter().map(|(_, bytes)| bytes)));
}

#[test]
fn the_same_name_and_content_with_a_new_time_is_taken_again() {
    let (receiver, station, agent) = running(|source| source);
    let (id, bytes) = sample_report(1);
    for (number, minutes) in [20, 10].into_iter().enumerate() {
        let staged = station.folder().join("staging").join("same.json");
        fs::write(&staged, &bytes).unwrap();
        age(&staged, minutes);
        fs::rename(&staged, station.watch("ict").join("same.json")).unwrap();
        wait_for_done(&station, number + 1);
    }
    receiver.wait(|state| state.posts_of(&id) == 2);
    receiver.assert_has_exactly([&id]);
    assert_eq!(contents(&station.done_files("ict")), [bytes.clone(), bytes]);
    assert_eq!(agent.counts().source("ict").queued, 2);
}

// ---- what becomes of a file

#[test]
fn move_puts_the_file_under_its_name_into_the_folder_of_the_day() {
    let (receiver, station, _agent) = running(|source| source.after("move"));
    let (id, bytes) = sample_report(1);
    station.drop_file("ict", "a.json", &bytes);
    wait_for_done(&station, 1);
    let done = station.done_files("ict").remove(0);
    assert_eq!((file_name(&done), fs::read(&done).unwrap()), ("a.json", bytes));
    let day = done.parent().unwrap();
    assert!(file_name(day).parse::<jiff::civil::Date>().is_ok(), "{}", day.display());
    assert_eq!(day.parent(), Some(&*station.watch("ict").join("done")));
    assert_eq!(names_in(&station.watch("ict")), ["done"]);
    receiver.wait(|state| state.has(&id));
}

#[test]
fn delete_leaves_nothing_behind() {
    let (receiver, station, _agent) = running(|source| source.after("delete"));
    let ids = station.drop_reports("ict", 0..5);
    receiver.wait_for_reports(5);
    wait_until("the folder is empty", || names_in(&station.watch("ict")).is_empty());
    receiver.assert_has_exactly(&ids);
}

#[test]
fn zip_packs_each_file_into_a_zip_of_its_own() {
    let (receiver, station, _agent) = running(|source| source.after("zip"));
    let reports: Vec<_> = (1..=3).map(sample_report).collect();
    for (number, (_, bytes)) in reports.iter().enumerate() {
        station.drop_file("ict", "result.json", bytes);
        wait_until("it is packed and gone", || {
            station.done_files("ict").len() == number + 1 && names_in(&station.watch("ict")) == ["done"]
        });
    }
    receiver.wait_for_reports(3);
    let packed: BTreeSet<_> = station.done_files("ict").iter().map(|zip| only_entry_of_zip(zip)).collect();
    let wanted = reports.iter().map(|(_, bytes)| ("result.json".to_owned(), crc32(bytes), bytes.len()));
    assert_eq!(packed, wanted.collect());
    assert!(station.done_files("ict").iter().all(|zip| zip.extension().is_some_and(|end| end == "zip")));
}

#[test]
fn keep_leaves_the_file_and_a_restart_sends_nothing_again() {
    let (receiver, station, mut agent) = running(|source| source.after("keep"));
    let ids = station.drop_reports("ict", 0..5);
    agent.wait_for("all is sent", |snapshot| snapshot.destinations[0].sent == 5);
    agent.stop();
    let agent = Agent::start(&station);
    // What comes after the files that are there already is taken after them.
    let last = station.drop_reports("ict", 9..10);
    agent.wait_for("the new one is sent", |snapshot| snapshot.destinations[0].sent == 6);
    receiver.assert_has_exactly(ids.iter().chain(&last));
    assert_eq!(receiver.posts().len(), 6, "nothing is sent twice");
    assert_eq!(names_in(&station.watch("ict")).len(), 6, "all stay, and there is no done folder");
    assert_eq!(agent.counts().source("ict").seen(), 6);
}

#[test]
fn a_kept_file_that_changes_is_taken_again() {
    let (receiver, station, mut agent) = running(|source| source.after("keep"));
    let reports: Vec<_> = (1..=3).map(sample_report).collect();
    station.drop_file("ict", "log.json", &reports[0].1);
    agent.wait_for("the first content is sent", |snapshot| snapshot.destinations[0].sent == 1);
    station.write_in_place("ict", "log.json", &reports[1].1);
    agent.wait_for("the second content is sent", |snapshot| snapshot.destinations[0].sent == 2);
    agent.stop();
    station.drop_file("ict", "log.json", &reports[2].1);
    let agent = Agent::start(&station);
    agent.wait_for("the third content is sent", |snapshot| snapshot.destinations[0].sent == 3);
    receiver.assert_has_exactly(reports.iter().map(|(id, _)| id));
    assert_eq!(fs::read(station.watch("ict").join("log.json")).unwrap(), reports[2].1);
}

#[test]
fn a_kept_file_that_changes_while_it_is_being_taken_is_taken_again() {
    const FILES: u64 = 60;
    let (receiver, station, agent) = running(|source| source.after("keep"));
    // From no pause at all to longer than a file takes: some of the second contents come while the first is read and stored. A first one
    // that is replaced before it is read is the equipment's own affair; the second stays.
    for file in 0..FILES {
        station.drop_file("ict", &format!("{file}.json"), &sample_report(file).1);
        sleep(Duration::from_micros(file * 200));
        station.drop_file("ict", &format!("{file}.json"), &sample_report(FILES + file).1);
    }
    let last: Vec<_> = (FILES..2 * FILES).map(sample_id).collect();
    let all_last = receiver.happens_within(SOON, |state| last.iter().all(|id| state.has(id)));
    let missing: Vec<_> = last.iter().filter(|id| !receiver.look(|state| state.has(id))).collect();
    assert!(all_last, "the last contents of {} of {FILES} files never came\n{}", missing.len(), agent.counts());
}

// ---- start, crash, and what the folder does

#[test]
fn files_that_are_there_before_the_start_are_taken_oldest_first() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .quick()
        .upload("concurrency", 1)
        .setting("convert", "workers", 1)
        .build();
    // Neither by name nor by creation: 7 and 20 have no common divisor.
    let minutes = |n: u64| 1 + n * 7 % 20;
    for n in 0..20 {
        let file = station.drop_file("ict", &format!("{n:02}.json"), &sample_report(n).1);
        age(&file, minutes(n));
    }
    let _agent = Agent::start(&station);
    receiver.wait_for_reports(20);
    let mut oldest_first: Vec<_> = (0..20).collect();
    oldest_first.sort_by_key(|&n| std::cmp::Reverse(minutes(n)));
    let posted: Vec<_> = receiver.posts().into_iter().map(|post| post.id).collect();
    assert_eq!(posted, oldest_first.into_iter().map(sample_id).collect::<Vec<_>>());
}

#[test]
fn a_crash_between_commit_and_move_sends_nothing_twice_and_ends_with_the_files_in_done() {
    let (receiver, station, mut agent, ids) = stuck_between_commit_and_move();
    let status = agent.status();
    let error = &status["sources"][0]["error"];
    assert_eq!((error["code"].as_str(), error["category"].as_str()), (Some("WB2005"), Some("station")), "{error:#}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&station.watch("ict").join("done").display().to_string()), "{message}");
    assert_eq!(station.watched_files("ict").iter().filter(|path| path.extension().is_some()).count(), ids.len());

    agent.kill();
    fs::remove_file(station.watch("ict").join("done")).unwrap();
    let agent = Agent::start(&station);
    wait_for_done(&station, ids.len());
    assert_nothing_twice(&receiver, &station, &agent, &ids);
}

#[test]
fn a_done_folder_that_can_be_used_again_needs_no_restart() {
    let (receiver, station, agent, ids) = stuck_between_commit_and_move();
    fs::remove_file(station.watch("ict").join("done")).unwrap();
    wait_for_done(&station, ids.len());
    assert_nothing_twice(&receiver, &station, &agent, &ids);
}

#[test]
fn a_committed_file_under_a_claim_name_is_finished_at_the_next_start() {
    let (receiver, station, mut agent, ids) = stuck_between_commit_and_move();
    agent.kill();
    let watch = station.watch("ict");
    for (number, name) in names_in(&watch).iter().filter(|name| name.ends_with(".json")).enumerate() {
        fs::rename(watch.join(name), watch.join(claim(number, name))).unwrap();
    }
    fs::remove_file(watch.join("done")).unwrap();

    let agent = Agent::start(&station);
    wait_for_done(&station, ids.len());
    let names: Vec<_> = station.done_files("ict").iter().map(|path| file_name(path).to_owned()).collect();
    assert_eq!(names, (0..ids.len() as u64).map(|n| format!("{}.json", sample_serial(n))).collect::<Vec<_>>());
    assert_nothing_twice(&receiver, &station, &agent, &ids);
}

#[test]
fn a_file_under_a_claim_name_that_was_never_committed_gets_its_name_back_and_is_taken() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let reports: Vec<_> = (0..3).map(sample_report).collect();
    station.drop_file("ict", &claim(0, "alone.json"), &reports[0].1);
    // A new file of the same name came meanwhile.
    station.drop_file("ict", &claim(1, "twice.json"), &reports[1].1);
    station.drop_file("ict", "twice.json", &reports[2].1);

    let _agent = Agent::start(&station);
    receiver.wait_for_reports(3);
    wait_for_done(&station, 3);
    receiver.assert_has_exactly(reports.iter().map(|(id, _)| id));
    assert_eq!(contents(&station.done_files("ict")), sorted(reports.into_iter().map(|(_, bytes)| bytes)));
    assert!(station.done_files("ict").iter().any(|path| file_name(path) == "alone.json"));
}

#[test]
fn a_file_under_a_claim_name_that_has_no_room_for_its_own_stays_in_the_folder_and_is_taken() {
    let receiver = Receiver::start();
    let station = Station::builder().source("ict", |source| source.converter("wsjf")).wats(&receiver).quick().build();
    let (id, bytes) = sample_report(1);
    // What the claim of a name of 255 bytes is; and something that keeps the file where it is put.
    station.drop_file("ict", &claim(0, ""), &bytes);
    fs::write(station.watch("ict").join("done"), "in the way").unwrap();

    let agent = Agent::start(&station);
    receiver.wait(|state| state.has(&id));
    agent.wait_for("it waits for its done folder", |snapshot| ict(snapshot).error.is_some());
    let beside = names_in(station.watch("ict").parent().unwrap());
    assert_eq!(beside, ["ict"], "a file of the watch folder was put beside it");
    fs::remove_file(station.watch("ict").join("done")).unwrap();
    wait_for_done(&station, 1);
    assert_eq!(contents(&station.done_files("ict")), [bytes]);
    assert_eq!(names_in(&station.watch("ict")), ["done"]);
}

#[test]
fn a_missing_folder_is_shown_and_comes_back_by_itself() {
    let (receiver, station, agent) = running(SourceBuilder::missing);
    let watch = station.watch("ict");
    let snapshot = agent.wait_for("the folder is missed", is_unavailable);
    let error = ict(&snapshot).error.clone().unwrap();
    assert_eq!(error.code, Code::FolderUnavailable);
    assert!(error.message.contains(&watch.display().to_string()), "{error}");
    assert_eq!(agent.status()["sources"][0]["error"]["code"], "WB2001");

    fs::create_dir_all(&watch).unwrap();
    let ids = station.drop_reports("ict", 0..3);
    receiver.wait_for_reports(3);
    receiver.assert_has_exactly(&ids);
    assert_source_is_well(&station, &agent, 3);
}

#[test]
fn a_folder_that_vanishes_is_shown_and_watched_again_when_it_is_back() {
    if wine_cannot_show("a folder that is watched goes when it is removed") {
        return;
    }
    let (receiver, station, agent) = running(|source| source.set("rescan_secs", 1));
    let watch = station.watch("ict");
    station.drop_reports("ict", 0..1);
    wait_for_done(&station, 1);
    fs::remove_dir_all(&watch).unwrap();
    let snapshot = agent.wait_for("the folder is missed", is_unavailable);
    assert_eq!(ict(&snapshot).error.as_ref().map(|error| error.code), Some(Code::FolderUnavailable));

    fs::create_dir_all(&watch).unwrap();
    station.drop_reports("ict", 1..2);
    receiver.wait_for_reports(2);
    assert_source_is_well(&station, &agent, 2);
}

#[test]
fn a_folder_that_is_replaced_by_a_new_one_is_watched_on() {
    let (receiver, station, agent) = running(|source| source);
    let watch = station.watch("ict");
    station.drop_reports("ict", 0..1);
    wait_for_done(&station, 1);
    fs::remove_dir_all(&watch).unwrap();
    fs::create_dir_all(&watch).unwrap();

    let ids = station.drop_reports("ict", 1..2);
    let soon = receiver.happens_within(SOON, |state| state.has(&ids[0]));
    assert!(soon, "the new folder is not watched: its files wait for the next reading\n{}", agent.counts());
    assert_source_is_well(&station, &agent, 2);
}

#[test]
fn what_no_event_told_of_is_found_by_reading_the_folder() {
    let (receiver, station, mut agent) = running(|source| source.set("rescan_secs", 1));
    let watch = station.watch("ict");
    agent.kill();
    station.drop_reports("ict", 0..3);
    let agent = Agent::start(&station);
    receiver.wait_for_reports(3);

    // Whoever watched the old folder hears nothing of the new one.
    wait_for_done(&station, 3);
    fs::rename(&watch, station.folder().join("staging").join("old")).unwrap();
    fs::create_dir(&watch).unwrap();
    station.drop_reports("ict", 3..6);
    receiver.wait_for_reports(6);
    wait_for_done(&station, 3);
    assert_source_is_well(&station, &agent, 6);
}

#[test]
fn a_recursive_source_takes_files_from_folders_inside_and_never_from_its_own_done_and_error_folders() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf").recursive().set("rescan_secs", 1))
        .wats(&receiver)
        .quick()
        .build();
    let foreign = [("done/2026-01-01/old.json", 80), ("error/2026-01-01/old.json", 81)];
    for (name, n) in foreign {
        station.drop_file("ict", name, &sample_report(n).1);
    }
    station.drop_file("ict", "line 1/a/early.json", &sample_report(0).1);
    let mut agent = Agent::start(&station);
    receiver.wait_for_reports(1);
    station.drop_file("ict", "line 1/a/late.json", &sample_report(1).1);
    station.drop_file("ict", "line 2/b/c/new.json", &sample_report(2).1);
    station.drop_file("ict", "top.json", &sample_report(3).1);
    // Its sidecar ends in .json as well.
    station.drop_file("ict", "line 1/bad.json", b"{]");
    station.drop_file("ict", "done/put here by hand.json", &sample_report(82).1);
    station.drop_file("ict", "error/put here by hand.json", &sample_report(83).1);
    receiver.wait_for_reports(4);
    agent.wait_for("the bad one is set aside", |snapshot| ict(snapshot).errors == 1);

    // A start reads the whole folder again.
    agent.stop();
    let agent = Agent::start(&station);
    station.drop_file("ict", "line 1/last.json", &sample_report(4).1);
    receiver.wait_for_reports(5);
    receiver.assert_has_exactly(&(0..5).map(sample_id).collect::<Vec<_>>());
    assert_eq!(agent.counts().source("ict").errors, 1);
    let watch = station.watch("ict");
    for (name, n) in [foreign[0], foreign[1], ("done/put here by hand.json", 82), ("error/put here by hand.json", 83)] {
        assert_eq!(fs::read(watch.join(name)).unwrap(), sample_report(n).1, "{name}");
    }
}

#[test]
fn a_recursive_source_takes_a_file_at_once_whose_folder_was_made_a_moment_before() {
    let (receiver, station, agent) = running(SourceBuilder::recursive);
    for n in 0..10 {
        station.drop_file("ict", &format!("lot {n}/unit/result.json"), &sample_report(n).1);
    }
    let soon = receiver.happens_within(SOON, |state| state.accepted_ids == 10);
    let came = receiver.report_ids().len();
    assert!(soon, "{came} of 10 files came; the others wait for the next reading\n{}", agent.counts());
}

#[test]
fn a_folder_inside_a_recursive_source_is_no_broken_file_whatever_its_name() {
    let (receiver, station, agent) = running(SourceBuilder::recursive);
    fs::create_dir(station.watch("ict").join("lot.json")).unwrap();
    station.drop_file("ict", "good.json", &sample_report(1).1);
    receiver.wait_for_reports(1);
    assert_source_is_well(&station, &agent, 1);
}

/// Longer than what Windows takes without being asked for more (260 characters).
#[test]
fn a_watch_folder_whose_path_is_very_long_is_watched_as_any_other() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let long = (0..8).fold(folder.path().to_owned(), |path, part| path.join(format!("{part}{}", "x".repeat(45))));
    assert!(long.as_os_str().len() > 360);
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf").folder(&long))
        .wats(&receiver)
        .quick()
        .build();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..3);
    receiver.wait_for_reports(3);
    receiver.assert_has_exactly(&ids);
    wait_for_done(&station, 3);
    drop(agent);
}

// ---- equipment that is quicker than we are

#[test]
fn a_name_that_is_used_again_the_moment_it_is_free_loses_nothing() {
    if wine_cannot_show("a file that is open goes when it is removed") {
        return;
    }
    const FILES: u64 = 30;
    let (receiver, station, agent) = running(|source| source);
    let target = station.watch("ict").join("result.json");
    for n in 0..FILES {
        let staged = station.folder().join("staging").join("next.json");
        fs::write(&staged, sample_report(n).1).unwrap();
        // A second name for a file is never given over another file.
        wait_until("the name is free", || fs::hard_link(&staged, &target).is_ok());
        fs::remove_file(&staged).unwrap();
    }
    receiver.wait_for_reports(30);
    wait_for_done(&station, 30);
    receiver.assert_has_exactly(&(0..FILES).map(sample_id).collect::<Vec<_>>());
    assert_eq!(receiver.posts().len(), 30);
    assert_eq!(contents(&station.done_files("ict")), sorted((0..FILES).map(|n| sample_report(n).1)));
    assert_eq!(station.watched_files("ict"), Vec::<PathBuf>::new());
    assert_source_is_well(&station, &agent, FILES);
}

#[test]
fn a_file_that_is_replaced_again_and_again_arrives_as_it_was_last_and_no_taken_one_is_lost() {
    const FILES: u64 = 30;
    let (receiver, station, agent) = running(|source| source);
    for n in 0..FILES {
        station.drop_file("ict", "result.json", &sample_report(n).1);
        // From no pause at all to about as long as a file takes.
        sleep(Duration::from_millis(n % 10 * 2));
    }
    receiver.wait(|state| state.has(&sample_id(FILES - 1)));
    wait_until("nothing is left to take", || station.watched_files("ict").is_empty());
    agent.wait_for("all is sent", |snapshot| snapshot.destinations[0].pending + snapshot.destinations[0].sending == 0);

    // What was replaced before it was read is gone by the equipment's own hand. All else: each report that came is one that was
    // written, and each source file that we laid hand on is in done, once, and its report came.
    let written: BTreeSet<_> = (0..FILES).map(sample_id).collect();
    let came: BTreeSet<_> = receiver.report_ids().into_iter().collect();
    assert!(came.is_subset(&written), "{came:?}");
    receiver.assert_has_exactly(&came);
    let done: Vec<_> = station.done_files("ict").iter().map(|path| id_of(&fs::read(path).unwrap())).collect();
    let kept: BTreeSet<_> = done.iter().cloned().collect();
    assert_eq!(kept.len(), done.len(), "no file is there twice");
    assert!(kept.is_subset(&came) && kept.contains(&sample_id(FILES - 1)), "kept {kept:?}\ncame {came:?}");
    assert_eq!(receiver.posts().len(), came.len(), "nothing is sent twice");
    assert_source_is_well(&station, &agent, came.len() as u64);
}

// ---- helpers

/// A receiver, a station with one source `ict` of WSJF files, and its agent at work.
fn running(describe: impl FnOnce(SourceBuilder) -> SourceBuilder) -> (Receiver, Station, Agent) {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |source| describe(source.patterns(["*.json"]).converter("wsjf")))
        .wats(&receiver)
        .quick()
        .build();
    let agent = Agent::start(&station);
    agent.wait_for("the folder was looked at", |snapshot| ict(snapshot).state != SourceState::Starting);
    (receiver, station, agent)
}

/// Five files whose reports are sent while a file stands where the done folder should be.
fn stuck_between_commit_and_move() -> (Receiver, Station, Agent, Vec<String>) {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    fs::write(station.watch("ict").join("done"), "in the way").unwrap();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..5);
    let snapshot = agent.wait_for("all is sent and the trouble is shown", |snapshot| {
        let code = ict(snapshot).error.as_ref().map(|error| error.code);
        snapshot.destinations[0].sent == 5 && code == Some(Code::PostActionFailed)
    });
    let source = ict(&snapshot);
    assert_eq!((source.queued, source.errors), (5, 0), "a file that is stuck is no broken file");
    (receiver, station, agent, ids)
}

#[track_caller]
fn assert_nothing_twice(receiver: &Receiver, station: &Station, agent: &Agent, ids: &[String]) {
    // What comes later is sent later.
    let last = station.drop_reports("ict", 99..100);
    let sent = ids.len() as u64 + 1;
    agent.wait_for("the last one is sent", |snapshot| snapshot.destinations[0].sent == sent);
    receiver.assert_has_exactly(ids.iter().chain(&last));
    assert_eq!(receiver.posts().len(), ids.len() + 1, "nothing is sent twice");
    wait_for_done(station, ids.len() + 1);
    assert_eq!(names_in(&station.watch("ict")), ["done"]);
    assert_source_is_well(station, agent, sent);
}

#[track_caller]
fn assert_read_once_and_whole(receiver: &Receiver, station: &Station, agent: &Agent, id: &String, bytes: &[u8]) {
    wait_for_done(station, 1);
    receiver.assert_has_exactly([id]);
    assert_eq!(receiver.look(|state| state.posts_of(id)), 1);
    assert_eq!(receiver.reports()[id], serde_json::from_slice::<Value>(bytes).unwrap());
    assert_eq!(contents(&station.done_files("ict")), [bytes]);
    assert_source_is_well(station, agent, 1);
}

/// The source works, `queued` files were taken, and none was called broken.
#[track_caller]
fn assert_source_is_well(station: &Station, agent: &Agent, queued: u64) {
    let well = |snapshot: &Snapshot| ict(snapshot).state == SourceState::Watching && ict(snapshot).error.is_none();
    let snapshot = agent.wait_for("the source is well", |snapshot| well(snapshot) && ict(snapshot).waiting == 0);
    assert_eq!((ict(&snapshot).queued, ict(&snapshot).errors), (queued, 0));
    let errors = ipc_client(station).request(Request::ConversionErrors { page: Page { after: None, limit: 10 } }).unwrap();
    assert_eq!(errors, Reply::ConversionErrors(Vec::new()));
    assert!(station.error_files("ict").is_empty() && station.sidecars("ict").is_empty());
}

fn ict(snapshot: &Snapshot) -> &SourceStatus {
    &snapshot.sources[0]
}

fn is_unavailable(snapshot: &Snapshot) -> bool {
    ict(snapshot).state == SourceState::Unavailable
}

#[track_caller]
fn wait_for_done(station: &Station, count: usize) {
    wait_until(&format!("{count} files are in done"), || station.done_files("ict").len() == count);
}

/// A name that a file has between commit and move.
fn claim(number: usize, name: &str) -> String {
    format!(".waybill-claim-{number:016x}~{name}")
}

/// Makes a file as old as if it had been written so many minutes ago.
fn age(path: &Path, minutes: u64) {
    let at = SystemTime::now() - Duration::from_secs(minutes * 60);
    File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}

fn id_of(report: &[u8]) -> String {
    serde_json::from_slice::<Value>(report).unwrap()["id"].as_str().unwrap().to_owned()
}

fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn contents(paths: &[PathBuf]) -> Vec<Vec<u8>> {
    sorted(paths.iter().map(|path| fs::read(path).unwrap()))
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut all: Vec<_> = items.into_iter().collect();
    all.sort();
    all
}

fn names_in(folder: &Path) -> Vec<String> {
    sorted(fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()))
}

/// Name, checksum and length of the only file in a zip, from its directory.
fn only_entry_of_zip(path: &Path) -> (String, u32, usize) {
    let bytes = fs::read(path).unwrap();
    let signatures: Vec<_> = bytes.windows(4).enumerate().filter(|(_, four)| *four == b"PK\x01\x02").map(|(at, _)| at).collect();
    let &[at] = signatures.as_slice() else { panic!("{} holds {} files", path.display(), signatures.len()) };
    let number = |offset: usize| u32::from_le_bytes(bytes[at + offset..at + offset + 4].try_into().unwrap());
    let name_bytes = usize::from(u16::from_le_bytes(bytes[at + 28..at + 30].try_into().unwrap()));
    let name = String::from_utf8(bytes[at + 46..at + 46 + name_bytes].to_vec()).unwrap();
    (name, number(16), number(24) as usize)
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}
