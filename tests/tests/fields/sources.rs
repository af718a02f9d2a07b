use std::fs;

use waybill_tests::edit::set;
use waybill_tests::sample::large_report;
use waybill_tests::{Agent, Receiver, Station, ipc_client, sample_report, sample_value, wait_until};

#[test]
fn arguments_say_what_the_files_do_not() {
    let receiver = Receiver::start();
    receiver.keep_bodies(true);
    let station = Station::simple(&receiver);
    let _agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    ipc.change(&[set("source.ict.arguments.location", "Cell 4")]).unwrap();
    let mut report = sample_value(0);
    report.as_object_mut().unwrap().shift_remove("location");
    station.drop_file("ict", "0.json", report.to_string().as_bytes());
    station.drop_reports("ict", [1]);
    receiver.wait_for_reports(2);
    let mut said: Vec<_> = receiver.reports().into_values().map(|report| report["location"].clone()).collect();
    said.sort_by_key(ToString::to_string);
    assert_eq!(said, ["Cell 4", "Line 1"], "the file has the last word");
}

#[test]
fn taken_and_broken_files_go_to_the_folders_that_are_named() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let (done, broken) = (station.folder().join("taken"), station.folder().join("bad"));
    ipc.change(&[set("source.ict.done_folder", done.display()), set("source.ict.error_folder", broken.display())]).unwrap();
    station.drop_reports("ict", [0]);
    station.drop_file("ict", "broken.json", b"{\"no\": \"report\"}");
    agent.wait_for("both were looked at", |s| s.sources[0].queued == 1 && s.sources[0].errors == 1);
    let holds = |folder: &std::path::Path| {
        let days = fs::read_dir(folder).into_iter().flatten().flatten();
        days.filter(|day| day.path().is_dir()).map(|day| fs::read_dir(day.path()).into_iter().flatten().count()).sum::<usize>()
    };
    wait_until("both are where they belong", || holds(&done) == 1 && holds(&broken) >= 1);
    assert!(station.done_files("ict").is_empty() && station.error_files("ict").is_empty());
}

#[test]
fn taken_and_broken_files_are_kept_as_long_as_is_said() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .setting("retention", "done_days", 30)
        .setting("retention", "error_days", 90)
        .build();
    let day = |folder: &str, days_ago: i64| {
        let day = jiff::Zoned::now().date().checked_sub(jiff::Span::new().days(days_ago)).unwrap();
        station.watch("ict").join(folder).join(day.to_string()).join("x.json")
    };
    let files = [day("done", 20), day("done", 40), day("error", 80), day("error", 100)];
    for file in &files {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, sample_report(0).1).unwrap();
    }
    let _agent = Agent::start(&station);
    wait_until("what is old enough is gone", || !files[1].exists() && !files[3].exists());
    assert!(files[0].exists() && files[2].exists());
}

#[test]
fn files_are_taken_one_after_the_other_where_only_one_may_be_under_way() {
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .folder_destination("out")
        .setting("convert", "workers", 4)
        .build();
    let mut agent = Agent::start(&station);
    ipc_client(&station).change(&[set("source.ict.parallel", 1)]).unwrap();
    assert!(agent.stop().success());
    // A large one before each small one: side by side the small ones would be first.
    let ids: Vec<_> = (0..24)
        .map(|n| {
            let (id, bytes) = if n % 2 == 0 { large_report(n, 400_000) } else { sample_report(n) };
            station.drop_file("ict", &format!("{n:03}.json"), &bytes);
            id
        })
        .collect();
    let agent = Agent::start(&station);
    agent.wait_for("all are queued", |s| s.sources[0].queued == 24 && s.sources[0].waiting == 0);
    let rows = ipc_client(&station).deliveries(None, None);
    let taken: Vec<_> = rows.into_iter().map(|row| row.report_id).collect();
    assert_eq!(taken, ids, "in the order of their times");
}
