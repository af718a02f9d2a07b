//! From the watch folder to the server, with real processes and a real receiver: everything arrives, each report once in
//! effect, and what a server answers is charged to whom it belongs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault of this test is told where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use waybill_ipc::protocol::{Connection, DestinationStatus, Event, Snapshot, SourceState, Update};
use waybill_shared::error::Code;
use waybill_tests::sample::{data_file, large_report, sample_serial, several_reports, without_nulls};
use waybill_tests::station::StationBuilder;
use waybill_tests::wait::USUAL;
use waybill_tests::{Agent, Behaviour, Receiver, Station, cli, ipc_client, sample_id, sample_report, sample_value, wait_until};

// ---- everything arrives, whole

#[test]
fn five_hundred_files_arrive_once_and_whole() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let before = station.drop_reports("ict", 0..100);
    let agent = Agent::start(&station);
    let mut ids = station.drop_reports("ict", 100..400);
    for n in 400..500 {
        let (id, bytes) = sample_report(n);
        station.write_in_place("ict", &format!("{}.json", sample_serial(n)), &bytes);
        ids.push(id);
    }
    ids.extend(before);
    let status = agent.wait_for("500 are sent", |s| main(s).sent == 500);
    receiver.assert_has_exactly(&ids);
    assert_eq!(receiver.look(|state| (state.accepted_posts, state.unauthorised)), (500, 0), "each once");
    let reports = receiver.reports();
    for n in 0..500 {
        assert_same(&reports[&sample_id(n)], &sample_value(n));
    }
    wait_until("all sources are in done", || station.done_files("ict").len() == 500);
    assert_untouched_by_errors(&station, &status);
    assert!(station.watched_files("ict").is_empty());
    let counts = agent.counts();
    counts.assert_issued(500);
    assert_eq!((counts.source("ict").queued, counts.source("ict").reports, counts.source("ict").waiting), (500, 500, 0));
    for path in station.done_files("ict") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let n: u64 = name.strip_prefix("SN-").unwrap().parse().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), sample_report(n).1, "{name} is kept byte for byte");
    }
}

#[test]
fn a_real_testers_export_keeps_every_step_and_every_measurement() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    let files = ["wsjf/uut-wsjf-export.json", "wsjf/full.json", "wsjf/uur_example.json"];
    let written: Vec<Value> = files.iter().map(|file| serde_json::from_slice(&data_file(file)).unwrap()).collect();
    for file in files {
        station.drop_file("ict", file.strip_prefix("wsjf/").unwrap(), &data_file(file));
    }
    agent.wait_for("three are sent", |s| main(s).sent == 3);
    let reports = receiver.reports();
    for (file, value) in files.iter().zip(&written) {
        let got = &reports[value["id"].as_str().unwrap()];
        assert_eq!((steps(got), measurements(got)), (steps(value), measurements(value)), "{file}");
        assert_same(got, value);
    }
    let export = &reports[written[0]["id"].as_str().unwrap()];
    assert_eq!((steps(export), measurements(export)), (186, 146));
    assert_eq!(steps(&reports[written[1]["id"].as_str().unwrap()]), 13);
    wait_until("all sources are in done", || station.done_files("ict").len() == 3);
    assert!(station.error_files("ict").is_empty());
}

#[test]
fn openhtf_records_arrive_with_what_the_arguments_add() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("fct", |s| {
            s.patterns(["*.json"]).converter("openhtf").argument("part_number", "PN-ARG").argument("process_code", 40)
        })
        .wats(&receiver)
        .quick()
        .build();
    let agent = Agent::start(&station);
    let battery = "PCB01A69658.openhtf_test.2025-01-20_15-32-06-058.json";
    for name in [battery, "1.hello_world.json", "1.json"] {
        station.drop_file("fct", name, &data_file(&format!("openhtf/{name}")));
    }
    agent.wait_for("three are sent", |s| main(s).sent == 3);
    let reports: Vec<Value> = receiver.reports().into_values().collect();
    let of = |serial: &str| reports.iter().filter(|report| report["sn"] == serial).collect::<Vec<_>>();
    let [battery] = of("PCB01A69658")[..] else { panic!("{reports:#?}") };
    assert_eq!((&battery["pn"], &battery["rev"], &battery["result"]), (&"BAT1".into(), &"3.2".into(), &"P".into()));
    assert_eq!(measurements(battery), 11);
    let small = of("1");
    assert_eq!(small.len(), 2, "two files of one serial number are two reports");
    for report in small {
        assert_eq!((&report["pn"], measurements(report)), (&"PN-ARG".into(), 1), "{report:#}");
        assert_eq!(report["processCode"], 40);
    }
    wait_until("all sources are in done", || station.done_files("fct").len() == 3);
    assert!(station.error_files("fct").is_empty());
}

#[test]
fn a_report_as_xml_arrives_as_the_same_as_json_would() {
    let receiver = Receiver::start();
    let station = Station::builder().source("ate", |s| s.patterns(["*.xml"]).converter("auto")).wats(&receiver).quick().build();
    let agent = Agent::start(&station);
    station.drop_file("ate", "uut.xml", &data_file("wsxf/uut-wsxf-export.xml"));
    agent.wait_for("it is sent", |s| main(s).sent == 1);
    let reports: Vec<Value> = receiver.reports().into_values().collect();
    let [report] = &reports[..] else { panic!("{reports:#?}") };
    assert_eq!((&report["sn"], &report["pn"], &report["result"]), (&"FATTest-325".into(), &"FATPartNo".into(), &"F".into()));
    assert_eq!(measurements(report), 146);
    wait_until("the source is in done", || station.done_files("ate").len() == 1);
}

#[test]
fn large_reports_and_files_of_many_reports_arrive_whole() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    let (large, bytes) = large_report(9000, 3 * 1024 * 1024);
    station.drop_file("ict", "large.json", &bytes);
    let (mut ids, many) = several_reports(0..400);
    station.drop_file("ict", "many.json", &many);
    agent.wait_for("all are sent", |s| main(s).sent == 401);
    let reports = receiver.reports();
    assert_same(&reports[&large], &serde_json::from_slice(&bytes).unwrap());
    for n in 0..400 {
        assert_same(&reports[&sample_id(n)], &sample_value(n));
    }
    ids.push(large);
    receiver.assert_has_exactly(&ids);
    wait_until("both files are in done", || station.done_files("ict").len() == 2);
}

// ---- the server is away

#[test]
fn an_outage_of_any_kind_fails_nothing_and_is_shown() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    receiver.stop_listening();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..50);
    let refused = agent.wait_for("the refused connection is shown", |s| main(s).pending + main(s).sending == 50 && troubled(s));
    let error = main(&refused).error.as_ref().unwrap();
    assert_eq!(error.code, Code::DestinationUnreachable);
    assert!(error.message.contains("refused"), "the reason is named: {error}");
    receiver.set(Behaviour::status(503));
    receiver.listen_again();
    receiver.wait(|state| state.posts.len() >= 4);
    let busy = agent.wait_for("503 is shown", |s| troubled(s) && main(s).error.as_ref().unwrap().message.contains("503"));
    assert_eq!((main(&busy).sent, main(&busy).failed), (0, 0));
    assert_eq!(agent.status()["destinations"][0]["error"]["code"], "WB5001");
    receiver.set(Behaviour::Accept);
    let status = agent.wait_for("50 are sent", |s| main(s).sent == 50);
    assert_eq!((main(&status).state, &main(&status).error), (Connection::Online, &None));
    receiver.assert_has_exactly(&ids);
    assert_eq!(receiver.look(|state| state.accepted_posts), 50, "nothing was accepted twice");
    assert_untouched_by_errors(&station, &status);
    wait_until("all sources are in done", || station.done_files("ict").len() == 50);
}

#[test]
fn an_outage_that_answers_500_never_makes_a_report_failed() {
    outage_of_500s(1);
}

#[test]
fn an_outage_that_answers_500_never_makes_a_report_failed_even_if_no_retry_may_count() {
    outage_of_500s(0);
}

fn outage_of_500s(max_retries: u32) {
    let receiver = Receiver::start();
    let station = quick(&receiver).upload("max_retries", max_retries).upload("backoff_max_secs", 1).build();
    receiver.set(Behaviour::status(500));
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..20);
    let lasted = receiver.happens_within(Duration::from_secs(20), |state| state.posts.len() >= 60);
    let status = agent.snapshot();
    assert_eq!((main(&status).failed, main(&status).sent), (0, 0), "an outage is nobody's fault");
    assert!(lasted, "each is tried again while the outage lasts");
    receiver.set(Behaviour::Accept);
    let status = agent.wait_for("20 are sent", |s| main(s).sent == 20);
    receiver.assert_has_exactly(&ids);
    assert_untouched_by_errors(&station, &status);
}

#[test]
fn a_wrong_token_pauses_the_destination_until_it_is_accepted() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let token = receiver.token();
    receiver.set_token("another");
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..20);
    let status = agent.wait_for("it is paused", |s| main(s).state == Connection::Paused && main(s).pending == 20);
    assert_eq!(main(&status).error.as_ref().unwrap().code, Code::DestinationUnauthorised);
    let asked = receiver.look(|state| state.unauthorised);
    receiver.wait(|state| state.unauthorised > asked);
    let status = agent.snapshot();
    assert_eq!((main(&status).failed, status.queue.waiting), (0, 20));
    receiver.set_token(&token);
    let status = agent.wait_for("20 are sent", |s| main(s).sent == 20);
    assert_eq!((main(&status).state, &main(&status).error), (Connection::Online, &None));
    receiver.assert_has_exactly(&ids);
    assert_untouched_by_errors(&station, &status);
}

#[test]
fn without_a_token_nothing_is_asked_until_there_is_one() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |s| s.patterns(["*.json"]).converter("wsjf"))
        .wats_at("main", &receiver.url(), None)
        .quick()
        .build();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..5);
    let first = agent.wait_for("it is paused", |s| main(s).state == Connection::Paused && main(s).pending == 5);
    let error = main(&first).error.as_ref().unwrap();
    assert_eq!(error.code, Code::SecretMissing);
    assert_eq!(error.code.as_str(), "WB1004");
    assert!(error.message.contains("WAYBILL_SECRET_DESTINATION_MAIN_TOKEN"), "{error}");
    agent.wait_for("it was looked for again", |s| main(s).next_try_ms != main(&first).next_try_ms);
    assert_eq!(receiver.look(|state| (state.requests, state.connections)), (0, 0));
    assert_eq!(main(&agent.snapshot()).failed, 0);
    let secrets = station.instance().secrets();
    waybill_shared::fs::private::create_folder(&secrets).unwrap();
    let file = secrets.join("destination.main.token");
    waybill_shared::fs::atomic::create_private(&file, receiver.token().as_bytes()).unwrap();
    agent.wait_for("five are sent, without a restart", |s| main(s).sent == 5);
    receiver.assert_has_exactly(&ids);
}

#[test]
fn an_unknown_address_pauses_before_the_first_success_and_fails_the_report_after_it() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    receiver.set(Behaviour::status(404));
    let agent = Agent::start(&station);
    let first = station.drop_reports("ict", 0..3);
    let status = agent.wait_for("it is paused", |s| main(s).state == Connection::Paused && main(s).pending == 3);
    assert_eq!((main(&status).error.as_ref().unwrap().code, main(&status).failed), (Code::NotOurServer, 0));
    receiver.set(Behaviour::Accept);
    agent.wait_for("three are sent", |s| main(s).sent == 3);
    receiver.set(Behaviour::status(404));
    station.drop_reports("ict", 3..4);
    agent.wait_for("the fourth is failed", |s| main(s).failed == 1);
    receiver.set(Behaviour::Accept);
    station.drop_reports("ict", 4..5);
    agent.wait_for("the fifth is sent", |s| main(s).sent == 4);
    receiver.assert_has_exactly(first.iter().chain(&[sample_id(4)]));
    agent.counts().assert_issued(5);
}

#[test]
fn a_wait_that_the_server_asks_for_is_kept() {
    for code in [429, 503] {
        let receiver = Receiver::start();
        let station = Station::simple(&receiver);
        receiver.set(Behaviour::Script(vec![Behaviour::status_with_header(code, "Retry-After", "2")]));
        let agent = Agent::start(&station);
        station.drop_reports("ict", 0..1);
        agent.wait_for("it is sent", |s| main(s).sent == 1);
        let posts = receiver.posts();
        assert_eq!(posts.len(), 2);
        let waited = posts[1].at - posts[0].at;
        assert!(waited >= Duration::from_millis(1950), "{code} asked for 2 s; the second post came after {waited:?}");
    }
}

// ---- one report is the trouble

#[test]
fn a_refused_report_is_failed_with_the_servers_words_and_the_others_go_on() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let words = "part number PN-0103 is not known on this server";
    receiver.set(poisoned(3, Behaviour::Status { code: 400, body: format!(r#"{{"Message":"{words}"}}"#), headers: Vec::new() }));
    let agent = Agent::start(&station);
    let mut events = ipc_client(&station);
    events.subscribe().unwrap();
    // What happens before the snapshot is taken is in it, and is no event.
    assert!(matches!(events.next_update(USUAL), Some(Update::Snapshot { .. })));
    let ids = station.drop_reports("ict", 0..20);
    let error = loop {
        if let Update::Event { event: Event::Failed { report_id, serial, error, correlation_id, destination }, .. } =
            events.next_update(USUAL).expect("news of the failure")
        {
            assert_eq!((report_id, serial, destination), (sample_id(3), sample_serial(3), "main".to_owned()));
            assert_eq!(error.correlation_id.map(|id| id.to_string()), Some(correlation_id));
            break error;
        }
    };
    assert_eq!(error.code, Code::ReportRefused);
    assert!(error.message.contains(words), "{error}");
    agent.wait_for("the others are sent", |s| main(s).sent == 19);
    let listed = cli(&station, &["queue", "list", "--state", "failed", "--json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed:#}");
    assert_eq!((&listed[0]["report_id"], &listed[0]["state"]), (&sample_id(3).into(), &"failed".into()));
    assert!(listed[0]["last_error"].as_str().unwrap().contains(words), "{listed:#}");
    assert_eq!(receiver.look(|state| state.posts_of(&sample_id(3))), 1, "a refused report is not sent again by itself");
    receiver.assert_has_exactly(ids.iter().filter(|id| **id != sample_id(3)));
    let status = agent.snapshot();
    assert_eq!((main(&status).failed, main(&status).state), (1, Connection::Online));
    agent.counts().assert_issued(20);
    wait_until("its source is kept in done", || station.done_files("ict").len() == 20);
    assert!(station.error_files("ict").is_empty());
}

#[test]
fn a_report_that_the_server_trips_over_ends_in_failed_and_no_other_does() {
    let receiver = Receiver::start();
    let station = quick(&receiver).upload("max_retries", 2).upload("backoff_max_secs", 1).build();
    receiver.set(poisoned(0, Behaviour::status(500)));
    let agent = Agent::start(&station);
    let mut ids = station.drop_reports("ict", 0..6);
    agent.wait_for("five are sent", |s| main(s).sent == 5);
    // A try counts only if another report was accepted since the one before.
    let mut next = 6;
    while main(&agent.snapshot()).failed == 0 {
        assert!(next < 30, "it never fails\n{}", agent.counts());
        let tried = receiver.look(|state| state.posts_of(&sample_id(0)));
        ids.extend(station.drop_reports("ict", next..=next));
        next += 1;
        agent.wait_for("the next one is sent", |s| main(s).sent == next - 1);
        agent.wait_for("it is tried again or failed", |s| {
            main(s).failed == 1 || receiver.look(|state| state.posts_of(&sample_id(0))) > tried
        });
    }
    assert!(receiver.look(|state| state.posts_of(&sample_id(0))) >= 3, "two retries");
    receiver.assert_has_exactly(ids.iter().filter(|id| **id != sample_id(0)));
    let status = agent.snapshot();
    assert_eq!((main(&status).sent, main(&status).failed, status.queue.waiting), (next - 1, 1, 0));
    let listed = cli(&station, &["queue", "list", "--state", "failed", "--json"]).json();
    assert!(listed[0]["last_error"].as_str().unwrap().contains("500"), "{listed:#}");
}

#[test]
fn a_report_that_hangs_does_not_hold_up_those_beside_it() {
    let receiver = Receiver::start();
    let station = quick(&receiver).upload("timeout_secs", 1).build();
    receiver.set(poisoned(0, Behaviour::Hang));
    let agent = Agent::start(&station);
    let mut ids = station.drop_reports("ict", 0..1);
    receiver.wait(|state| state.hanging == 1);
    ids.extend(station.drop_reports("ict", 1..30));
    agent.wait_for("29 are sent", |s| main(s).sent == 29);
    receiver.set(Behaviour::Accept);
    let status = agent.wait_for("it is sent as well", |s| main(s).sent == 30);
    receiver.assert_has_exactly(&ids);
    assert_untouched_by_errors(&station, &status);
}

/// The breaker opens because of it; whoever is asked as a probe must not always be the same one.
#[test]
fn a_report_that_hangs_again_and_again_does_not_hold_up_those_after_it() {
    does_not_hold_up_those_after_it(Behaviour::Hang);
}

#[test]
fn a_report_that_a_gateway_gives_up_on_does_not_hold_up_those_after_it() {
    does_not_hold_up_those_after_it(Behaviour::status(504));
}

#[test]
fn a_report_whose_connection_is_dropped_does_not_hold_up_those_after_it() {
    does_not_hold_up_those_after_it(Behaviour::DropConnection);
}

fn does_not_hold_up_those_after_it(trouble: Behaviour) {
    let receiver = Receiver::start();
    let station = quick(&receiver).upload("timeout_secs", 1).build();
    receiver.set(poisoned(0, trouble));
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..1);
    agent.wait_for("the breaker is open", |s| main(s).state == Connection::BreakerOpen);
    let others = station.drop_reports("ict", 1..10);
    let there = receiver.happens_within(Duration::from_secs(15), |state| others.iter().all(|id| state.has(id)));
    assert!(there, "one report keeps all others from a server that takes them\n{}", receiver.look(ToString::to_string));
    receiver.assert_has_exactly(&others);
    receiver.set(Behaviour::Accept);
    agent.wait_for("nothing waits", |s| s.queue.waiting == 0);
    agent.counts().assert_issued(10);
}

// ---- the answer is lost

#[test]
fn a_report_whose_answer_is_lost_is_sent_again_and_is_there_once() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    receiver.set(Behaviour::Script(vec![
        Behaviour::StoreThenDrop,
        Behaviour::CutAnswer(12),
        Behaviour::CutAnswer(90),
        Behaviour::StoreThenDrop,
    ]));
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..10);
    let status = agent.wait_for("ten are sent", |s| main(s).sent == 10);
    receiver.assert_has_exactly(&ids);
    assert_eq!(receiver.look(|state| (state.posts.len(), state.accepted_posts)), (14, 14), "what was unknown was sent again");
    for n in 0..10 {
        assert_same(&receiver.reports()[&sample_id(n)], &sample_value(n));
    }
    assert_untouched_by_errors(&station, &status);
    agent.counts().assert_issued(10);
}

// ---- revisions, order, identity

#[test]
fn a_changed_report_of_a_known_id_is_sent_after_the_first_one_and_wins() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    // The first revision needs several tries; the second must not overtake it meanwhile.
    let tries = Arc::new(AtomicUsize::new(0));
    receiver.set(Behaviour::per_report(move |report| {
        let first = report["id"] == sample_id(1).as_str() && report["rev"] == "B";
        let stumbles = first && tries.fetch_add(1, Ordering::Relaxed) < 3;
        if stumbles { Behaviour::status(500) } else { Behaviour::Accept }
    }));
    let agent = Agent::start(&station);
    let mut changed = sample_value(1);
    changed["rev"] = "C".into();
    changed["result"] = "F".into();
    station.drop_reports("ict", 1..2);
    agent.wait_for("the first revision is queued", |s| s.sources[0].queued == 1);
    station.drop_file("ict", "corrected.json", &serde_json::to_vec(&changed).unwrap());
    station.drop_reports("ict", 2..8);
    agent.wait_for("both revisions and the others are sent", |s| main(s).sent == 8);
    let (contents, accepted) = receiver.look(|state| {
        let record = &state.ids[&sample_id(1)];
        (record.contents.clone(), record.accepted)
    });
    assert_eq!((contents.len(), accepted), (2, 2), "both were posted and accepted, each once");
    let order: Vec<_> = receiver.posts().into_iter().filter(|post| post.id == sample_id(1)).map(|post| post.hash).collect();
    assert_eq!(order, [&contents[0], &contents[0], &contents[0], &contents[0], &contents[1]].map(Clone::clone), "in order");
    assert_same(&receiver.reports()[&sample_id(1)], &changed);
    wait_until("both sources are in done", || station.done_files("ict").len() == 8);
}

#[test]
fn one_id_names_the_whole_life_of_a_file() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let mut agent = Agent::start(&station);
    station.drop_reports("ict", 0..20);
    let (several, bytes) = several_reports(20..23);
    station.drop_file("ict", "panel.json", &bytes);
    agent.wait_for("23 are sent", |s| main(s).sent == 23);
    assert!(agent.stop().success());
    let posts = receiver.posts();
    let lives: BTreeSet<_> = posts.iter().map(|post| post.correlation_id().expect("X-Correlation-Id").to_owned()).collect();
    assert_eq!(lives.len(), 21, "one life a file");
    let lines: Vec<Value> = station.log_tail(usize::MAX).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for life in &lives {
        let events =
            |kind: &str| lines.iter().filter(|l| l["correlation_id"] == **life && l["event"] == kind).collect::<Vec<_>>();
        let ids: BTreeSet<_> = posts.iter().filter(|p| p.correlation_id() == Some(life)).map(|p| p.id.clone()).collect();
        assert_eq!((events("file_seen").len(), events("file_queued").len()), (1, 1), "{life}");
        assert_eq!(events("file_seen")[0]["file"], events("file_queued")[0]["file"]);
        let sent: BTreeSet<_> = events("report_sent").iter().map(|l| l["report_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(sent, ids, "{life}");
        if ids.contains(&several[0]) {
            assert_eq!(ids, several.iter().cloned().collect());
        }
    }
}

#[test]
fn what_is_urgent_goes_before_what_waited_longer() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("low", |s| s.converter("wsjf").priority(10))
        .source("high", |s| s.converter("wsjf").priority(1))
        .wats(&receiver)
        .quick()
        .upload("concurrency", 1)
        .build();
    receiver.stop_listening();
    let agent = Agent::start(&station);
    let low = station.drop_reports("low", 0..10);
    agent.wait_for("the others are queued", |s| main(s).pending == 10);
    let high = station.drop_reports("high", 10..20);
    agent.wait_for("the urgent ones are queued", |s| main(s).pending == 20);
    receiver.listen_again();
    agent.wait_for("20 are sent", |s| main(s).sent == 20);
    let order: Vec<_> = receiver.posts().into_iter().map(|post| post.id).collect();
    let (first, second) = order.split_at(10);
    let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!((set(first), set(second)), (set(&high), set(&low)));
}

// ---- several destinations

#[test]
fn a_destination_that_is_away_does_not_delay_another() {
    let receiver = Receiver::start();
    let station = quick(&receiver).folder_destination("archive").build();
    receiver.stop_listening();
    // A file in place of the folder: that destination is away as well, at first.
    let out = station.output("archive");
    waybill_shared::fs::atomic::replace(&out, b"in the way").unwrap();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..30);
    let both = agent.wait_for("both are in trouble", |s| s.destinations.iter().all(|d| d.pending == 30 && d.error.is_some()));
    let code = |name: &str| destination(&both, name).error.as_ref().unwrap().code;
    assert_eq!((code("main"), code("archive")), (Code::DestinationUnreachable, Code::DestinationFolderFailed));
    std::fs::remove_file(&out).unwrap();
    let status = agent.wait_for("the folder has all", |s| destination(s, "archive").sent == 30);
    assert_eq!((destination(&status, "main").sent, destination(&status, "main").failed), (0, 0));
    assert_eq!(destination(&status, "archive").state, Connection::Online);
    receiver.listen_again();
    let status = agent.wait_for("the server has all", |s| destination(s, "main").sent == 30);
    receiver.assert_has_exactly(&ids);
    let written = station.delivered("archive");
    assert_eq!(written.keys().collect::<BTreeSet<_>>(), ids.iter().collect());
    for n in 0..30 {
        assert_same(&written[&sample_id(n)], &sample_value(n));
    }
    agent.counts().assert_issued(30);
    assert_untouched_by_errors(&station, &status);
}

// ---- the queue is full

#[test]
fn a_full_queue_that_rejects_leaves_files_where_they_are_until_there_is_room() {
    let status = full_queue("reject");
    assert_eq!(status.sources[0].state, SourceState::Watching);
}

#[test]
fn a_full_queue_that_pauses_its_sources_takes_everything_later() {
    let status = full_queue("pause");
    assert_eq!(status.sources[0].state, SourceState::Paused);
}

/// Fills a queue of 10 with 40 files while the server is away; how the status was. Afterwards all must be delivered.
fn full_queue(when_full: &str) -> Snapshot {
    let receiver = Receiver::start();
    let station = quick(&receiver).queue("max_entries", 10).queue("when_full", when_full).build();
    receiver.stop_listening();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..40);
    let full = agent.wait_for("the queue is full", |s| s.queue.full && s.queue.waiting == 10 && s.sources[0].error.is_some());
    let error = full.sources[0].error.as_ref().unwrap();
    assert_eq!((error.code, error.code.as_str()), (Code::QueueFull, "WB4002"));
    wait_until("what was taken is in done", || station.done_files("ict").len() == 10);
    assert_eq!((station.watched_files("ict").len(), station.error_files("ict").len()), (30, 0));
    agent.counts().assert_issued(10);
    receiver.listen_again();
    let status = agent.wait_for("40 are sent", |s| main(s).sent == 40);
    assert_eq!((status.queue.full, main(&status).failed, main(&status).evicted), (false, 0, 0));
    agent.wait_for("the source is well", |s| s.sources[0].error.is_none() && s.sources[0].state == SourceState::Watching);
    receiver.assert_has_exactly(&ids);
    wait_until("all sources are in done", || station.done_files("ict").len() == 40);
    assert!(station.watched_files("ict").is_empty() && station.error_files("ict").is_empty());
    full
}

#[test]
fn a_full_queue_that_evicts_keeps_what_had_to_make_room_in_files() {
    let receiver = Receiver::start();
    let station = quick(&receiver).queue("max_entries", 10).queue("when_full", "oldest_first").build();
    receiver.stop_listening();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", 0..40);
    let status = agent.wait_for("30 had to make room", |s| main(s).evicted == 30 && s.queue.waiting == 10);
    assert_eq!((main(&status).failed, main(&status).issued()), (0, 40));
    receiver.listen_again();
    agent.wait_for("ten are sent", |s| main(s).sent == 10);
    let evicted = evicted(&station);
    for (id, report) in &evicted {
        let n = (0..40).find(|n| sample_id(*n) == *id).expect("a report that was issued");
        assert_same(report, &sample_value(n));
    }
    let delivered: BTreeSet<_> = receiver.report_ids().into_iter().collect();
    let all: BTreeSet<_> = delivered.iter().chain(evicted.keys()).cloned().collect();
    assert_eq!((evicted.len(), delivered.len(), all), (30, 10, ids.into_iter().collect()), "evicted + delivered = all");
    agent.counts().assert_issued(40);
    let listed = cli(&station, &["queue", "list", "--state", "evicted", "--json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(30));
    wait_until("all sources are in done", || station.done_files("ict").len() == 40);
}

#[test]
fn two_revisions_that_had_to_make_room_are_both_kept() {
    let receiver = Receiver::start();
    let station = quick(&receiver).queue("max_entries", 2).queue("when_full", "oldest_first").build();
    receiver.stop_listening();
    let agent = Agent::start(&station);
    for (n, revision) in ["A", "B"].into_iter().enumerate() {
        let mut report = sample_value(1);
        report["rev"] = revision.into();
        station.drop_file("ict", &format!("{revision}.json"), &serde_json::to_vec(&report).unwrap());
        agent.wait_for("a revision is queued", |s| s.sources[0].queued == n as u64 + 1);
    }
    station.drop_reports("ict", 2..4);
    agent.wait_for("both had to make room", |s| main(s).evicted == 2);
    let kept: BTreeSet<_> = evicted_values(&station).iter().map(|report| report["rev"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kept, ["A".to_owned(), "B".to_owned()].into());
}

#[test]
fn a_file_of_more_reports_than_may_wait_goes_alone() {
    let receiver = Receiver::start();
    let station = quick(&receiver).queue("max_entries", 50).build();
    let agent = Agent::start(&station);
    let (ids, bytes) = several_reports(0..300);
    station.drop_file("ict", "shift.json", &bytes);
    let there = receiver.happens_within(Duration::from_secs(15), |state| state.accepted_ids == 300);
    assert!(there, "it never goes\n{}\n{}", agent.counts(), station.log_tail(5));
    receiver.assert_has_exactly(&ids);
}

// ---- what these tests share

fn quick(receiver: &Receiver) -> StationBuilder {
    Station::builder().source("ict", |s| s.patterns(["*.json"]).converter("wsjf")).wats(receiver).quick()
}

fn destination<'a>(snapshot: &'a Snapshot, name: &str) -> &'a DestinationStatus {
    snapshot.destinations.iter().find(|destination| destination.name == name).expect("a destination of this name")
}

fn main(snapshot: &Snapshot) -> &DestinationStatus {
    destination(snapshot, "main")
}

fn troubled(snapshot: &Snapshot) -> bool {
    matches!(main(snapshot).state, Connection::Degraded | Connection::BreakerOpen) && main(snapshot).error.is_some()
}

/// Treats the `n`-th report so and accepts the others.
fn poisoned(n: u64, trouble: Behaviour) -> Behaviour {
    let trouble = Mutex::new(trouble);
    Behaviour::per_report(move |report| {
        if report["sn"] == sample_serial(n).as_str() { trouble.lock().unwrap().clone() } else { Behaviour::Accept }
    })
}

#[track_caller]
fn assert_untouched_by_errors(station: &Station, status: &Snapshot) {
    assert_eq!((main(status).failed, status.sources[0].errors, station.error_files("ict").len()), (0, 0, 0));
}

/// Equal in everything that was written; the station may have added what the file did not say.
#[track_caller]
fn assert_same(got: &Value, written: &Value) {
    let (mut got, written) = (without_nulls(got), without_nulls(written));
    for key in ["machineName", "location", "purpose"] {
        if written.get(key).is_none() {
            got.as_object_mut().unwrap().remove(key);
        }
    }
    assert!(got == written, "the report is not what was written\ngot {got:#}\nwritten {written:#}");
}

/// Steps, the root included.
fn steps(report: &Value) -> usize {
    usize::from(report["root"].is_object()) + entries(report, &["steps"])
}

fn measurements(report: &Value) -> usize {
    entries(report, &["numericMeas", "stringMeas", "booleanMeas"])
}

/// Entries of all lists under these keys, at any depth.
fn entries(value: &Value, keys: &[&str]) -> usize {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| {
                let here = if keys.contains(&key.as_str()) { value.as_array().map_or(0, Vec::len) } else { 0 };
                here + entries(value, keys)
            })
            .sum(),
        Value::Array(items) => items.iter().map(|item| entries(item, keys)).sum(),
        _ => 0,
    }
}

/// The reports in `data/evicted/main`.
fn evicted_values(station: &Station) -> Vec<Value> {
    let files = std::fs::read_dir(station.instance().evicted().join("main")).expect("the folder of what was evicted");
    files.map(|file| serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap()).collect()
}

fn evicted(station: &Station) -> BTreeMap<String, Value> {
    evicted_values(station).into_iter().map(|report| (report["id"].as_str().unwrap().to_owned(), report)).collect()
}

/// A web server that stands before the server, in maintenance: not a word of the server's on any report.
#[test]
fn a_page_that_says_not_found_fails_no_report_of_a_server_that_took_some() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..2);
    agent.wait_for("two are sent", |s| main(s).sent == 2);
    let page = "<!DOCTYPE html><html><body><h1>404</h1></body></html>".to_owned();
    receiver.set(Behaviour::Status { code: 404, body: page, headers: vec![("Content-Type".into(), "text/html".into())] });
    let before = receiver.posts().len();
    station.drop_reports("ict", 2..6);
    wait_until("each was tried", || receiver.posts().len() >= before + 4);
    assert_eq!(main(&agent.snapshot()).failed, 0);
    receiver.set(Behaviour::Accept);
    agent.wait_for("all are sent", |s| main(s).sent == 6);
    assert_eq!(main(&agent.snapshot()).failed, 0);
    agent.counts().assert_issued(6);
}
