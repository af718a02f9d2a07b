use super::*;
use crate::{Receiver, sample_report};
use std::time::Duration;
use waybill_shared::config::{After, DestinationKind, parse};

#[test]
fn the_configuration_says_what_the_builder_was_told() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |s| {
            s.patterns(["*.json", "*.wsjf"]).converter("wsjf").after("delete").priority(1).argument("process_code", 10)
        })
        .source("fct", |s| s.recursive().set("settle_ms", 100).missing())
        .wats(&receiver)
        .folder_destination("archive")
        .upload("backoff_initial_secs", 1)
        .queue("when_full", "pause")
        .raw_config("[log]\nlevel = \"debug\"")
        .build();
    let config = parse(&station.config_text()).unwrap();
    assert_eq!((config.source[0].after, config.source[0].priority), (After::Delete, 1));
    assert_eq!(config.source[0].patterns, ["*.json", "*.wsjf"]);
    assert_eq!(config.source[0].arguments["process_code"], 10);
    assert_eq!(config.source[0].folder, station.watch("ict"));
    assert_eq!((config.source[1].recursive, config.source[1].settle_ms), (true, Some(100)));
    assert_eq!(config.destination[0].url, Some(receiver.url()));
    assert_eq!(config.destination[1].kind, DestinationKind::Folder);
    assert_eq!(config.destination[1].folder, Some(station.output("archive")));
    assert_eq!(config.upload.backoff_initial_secs, 1);
    assert_eq!(station.environment()["WAYBILL_SECRET_DESTINATION_MAIN_TOKEN"], receiver.token());
    assert!(station.watch("ict").is_dir() && !station.watch("fct").exists());
    assert_eq!(station.instance().data, station.data());
}

#[test]
#[should_panic(expected = "this test's configuration")]
fn a_mistake_in_a_test_is_told_before_an_agent_starts() {
    let _station = Station::builder().upload("bakoff", 1).build();
}

#[test]
fn each_way_of_writing_ends_with_the_same_bytes() {
    let station = Station::builder().source("a", |s| s).build();
    let bytes = sample_report(1).1;
    let pause = Duration::from_millis(2);
    for written in [
        station.drop_file("a", "1.json", &bytes),
        station.drop_file("a", "inner/2.json", &bytes),
        station.write_in_place("a", "3.json", &bytes),
        station.write_slowly("a", "4.json", &bytes, 7, pause),
        station.write_reopening("a", "5.json", &bytes, 7, pause),
        station.write_reopening("a", "6.json", &bytes, 1, pause),
        station.append("a", "7.json", &bytes),
    ] {
        assert_eq!(std::fs::read(&written).unwrap(), bytes, "{}", written.display());
    }
    assert_eq!(station.watched_files("a").len(), 7);
    assert_eq!(std::fs::read_dir(station.folder().join("staging")).unwrap().count(), 0);
}

#[test]
fn listings_tell_taken_broken_and_waiting_apart() {
    let station = Station::builder().source("a", |s| s).folder_destination("out").build();
    for name in ["new.json", "done/2026-01-30/old.json", "error/2026-01-30/bad.json", "error/2026-01-30/bad.json.error.json"] {
        station.drop_file("a", name, b"{}");
    }
    let names = |paths: Vec<PathBuf>| paths.iter().map(|path| listing::file_name(path).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(station.watched_files("a")), ["new.json"]);
    assert_eq!(names(station.done_files("a")), ["old.json"]);
    assert_eq!(names(station.error_files("a")), ["bad.json"]);
    assert_eq!(station.sidecar_values("a").keys().collect::<Vec<_>>(), ["bad.json"]);
    assert!(station.delivered("out").is_empty());
    let (id, bytes) = sample_report(1);
    let day = station.output("out").join("2026-01-30");
    std::fs::create_dir_all(&day).unwrap();
    std::fs::write(day.join("x.json"), bytes).unwrap();
    assert!(station.delivered("out").contains_key(&id));
}

#[test]
fn a_station_is_gone_with_its_last_clone() {
    let station = Station::builder().build();
    let (folder, clone) = (station.folder().to_owned(), station.clone());
    drop(station);
    assert!(folder.is_dir());
    drop(clone);
    assert!(!folder.exists());
}
