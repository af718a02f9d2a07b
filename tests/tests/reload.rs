//! The configuration is changed while the agent works: nothing is lost, nothing is there twice, and everybody is told.

#![allow(clippy::disallowed_methods, reason = "a test equipment's way of writing files")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use waybill_ipc::protocol::{
    ConfigState, Connection, HistoryFilter, HistoryOutcome, HistoryRow, Page, Reply, Request, SourceState, Unsent, Via,
};
use waybill_shared::error::Code;
use waybill_tests::edit::{add, set, unset};
use waybill_tests::{Agent, Behaviour, Ipc, Receiver, Station, ipc_client, wait_until};

fn config(ipc: &Ipc) -> ConfigState {
    match ipc.request(Request::Config) {
        Ok(Reply::Config(state)) => *state,
        other => panic!("the configuration: {other:?}"),
    }
}

fn history(ipc: &Ipc, action: &str) -> Vec<HistoryRow> {
    let filter = HistoryFilter { action: Some(action.to_owned()), ..HistoryFilter::default() };
    match ipc.request(Request::History { filter, page: Page { after: None, limit: 1000 } }) {
        Ok(Reply::History(rows)) => rows,
        other => panic!("the history: {other:?}"),
    }
}

#[test]
fn a_source_is_added_changed_and_removed_while_files_come() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let mut ids = station.drop_reports("ict", 0..50);

    // Added: its folder holds files already.
    let folder = station.folder().join("watch").join("fct");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, file) in [("a.json", 100), ("b.json", 101)] {
        let (id, bytes) = waybill_tests::sample_report(file);
        std::fs::write(folder.join(name), bytes).unwrap();
        ids.push(id);
    }
    ipc.change(&[add("source", "fct"), set("source.fct.folder", folder.display()), set("source.fct.converter", "wsjf")]).unwrap();
    agent
        .wait_for("the new source is watched", |s| s.sources.iter().any(|s| s.name == "fct" && s.state == SourceState::Watching));
    receiver.wait_for_reports(52);

    // Changed: what lies there is left alone from now on.
    ipc.change(&[set("source.fct.after", "keep"), set("source.fct.patterns", "['*.wsjf']")]).unwrap();
    let (_, bytes) = waybill_tests::sample_report(102);
    std::fs::write(folder.join("not mine any more.json"), bytes).unwrap();
    let (id, bytes) = waybill_tests::sample_report(103);
    std::fs::write(folder.join("kept.wsjf"), bytes).unwrap();
    ids.push(id);
    receiver.wait_for_reports(53);
    assert!(folder.join("kept.wsjf").exists() && folder.join("not mine any more.json").exists());

    // Removed: its folder is not looked at, the others go on.
    ipc.change(&[unset("source.fct")]).unwrap();
    assert!(!ipc.status().sources.iter().any(|s| s.name == "fct"));
    let (_, bytes) = waybill_tests::sample_report(104);
    std::fs::write(folder.join("after.wsjf"), bytes).unwrap();
    ids.extend(station.drop_reports("ict", 50..60));
    receiver.wait_for_reports(63);
    receiver.assert_has_exactly(&ids);
    assert!(folder.join("after.wsjf").exists());

    // Back again: its numbers go on.
    ipc.change(&[
        add("source", "fct"),
        set("source.fct.folder", folder.display()),
        set("source.fct.after", "keep"),
        set("source.fct.patterns", "['*.wsjf']"),
    ])
    .unwrap();
    receiver.wait_for_reports(64);
    let fct = ipc.status().sources.into_iter().find(|s| s.name == "fct").unwrap();
    assert_eq!((fct.queued, fct.errors), (4, 0), "two, the kept one, and the one that came after");
    agent.counts().assert_issued(64);
}

#[test]
fn a_source_can_be_switched_off_and_on() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    ipc.change(&[set("source.ict.enabled", false)]).unwrap();
    assert_eq!(ipc.status().sources[0].state, SourceState::Disabled);
    let ids = station.drop_reports("ict", 0..3);
    ipc.change(&[set("source.ict.enabled", true)]).unwrap();
    receiver.wait_for_reports(3);
    receiver.assert_has_exactly(&ids);
    assert_eq!(receiver.posts().len(), 3);
    drop(agent);
}

#[test]
fn a_destination_is_added_and_gets_what_comes_from_then_on() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    station.drop_reports("ict", 0..5);
    receiver.wait_for_reports(5);
    let out = station.folder().join("out").join("second");
    ipc.change(&[
        add("destination", "second"),
        set("destination.second.kind", "folder"),
        set("destination.second.folder", out.display()),
    ])
    .unwrap();
    station.drop_reports("ict", 5..10);
    let status = agent.wait_for("both have theirs", |s| {
        s.destinations.iter().map(|d| (d.sent, d.pending)).collect::<Vec<_>>() == [(10, 0), (5, 0)]
    });
    assert_eq!(status.destinations[1].name, "second");
}

#[test]
fn a_destination_that_hangs_delays_no_change_of_others_and_many_who_change_at_once_are_all_right() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .setting("ipc", "changes_per_minute", 10_000)
        .setting("ipc", "changes_burst", 10_000)
        .build();
    receiver.set(Behaviour::Hang);
    let agent = Agent::start(&station);
    station.drop_reports("ict", 0..5);
    receiver.wait(|state| state.hanging >= 5);
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for person in 0..6 {
            let station = &station;
            scope.spawn(move || {
                let ipc = ipc_client(station);
                let (name, place) = (format!("d{person}"), format!("destination.d{person}"));
                for round in 0..5 {
                    let out = station.folder().join("out").join(format!("{name}-{round}"));
                    let edits = [
                        add("destination", &name),
                        set(&format!("{place}.kind"), "folder"),
                        set(&format!("{place}.folder"), out.display()),
                    ];
                    ipc.change(&edits).unwrap();
                    assert!(ipc.status().destinations.iter().any(|d| d.name == name && d.state != Connection::Removed));
                    if round < 4 {
                        ipc.change(&[unset(&place)]).unwrap();
                    }
                }
            });
        }
    });
    println!("54 changes of destinations beside one that hangs: {:?}", begun.elapsed());
    // A health check may hang there as well.
    assert!(receiver.look(|state| state.hanging) >= 5, "it does not hang any more");
    let mut names: Vec<_> = agent.snapshot().destinations.into_iter().map(|d| d.name).collect();
    names.sort();
    assert_eq!(names, ["d0", "d1", "d2", "d3", "d4", "d5", "main"]);
    receiver.set(Behaviour::Accept);
    receiver.release();
    agent.wait_for("what hung is sent", |s| s.destinations.iter().any(|d| d.name == "main" && d.sent == 5));
}

#[test]
fn a_destination_with_unsent_reports_is_removed_only_if_it_is_said_what_becomes_of_them() {
    let (receiver, other) = (Receiver::start(), Receiver::start());
    receiver.set(Behaviour::Status { code: 503, body: String::new(), headers: Vec::new() });
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .wats_named("other", &other)
        .quick()
        .build();
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let ids = station.drop_reports("ict", 0..10);
    other.wait_for_reports(10);

    let before = station.config_text();
    let refused = ipc.change(&[unset("destination.main")]).unwrap_err();
    assert_eq!(refused.code, Code::DestinationHasUnsent, "{refused}");
    assert!(refused.message.contains("10"), "{refused}");
    assert_eq!(station.config_text(), before);
    assert_eq!(agent.counts().destination("main").pending + agent.counts().destination("main").sending, 10);

    // Whatever is asked for: while the file cannot be written, nothing is given up.
    let lock = station.config().with_file_name(".config.toml.lock");
    let _none_yet = std::fs::remove_file(&lock);
    std::fs::create_dir(&lock).unwrap();
    let failed = ipc.change_with(&[unset("destination.main")], Unsent::Discard).unwrap_err();
    assert_eq!(failed.code, Code::ConfigNotSaved, "{failed}");
    assert_eq!(station.config_text(), before);
    assert_eq!(agent.counts().destination("main").pending + agent.counts().destination("main").sending, 10);
    std::fs::remove_dir(&lock).unwrap();

    // To one that has them all already: nothing is sent again, and nothing stays behind.
    ipc.change_with(&[unset("destination.main")], Unsent::MoveTo("other".to_owned())).unwrap();
    let status = ipc.status();
    assert_eq!(status.destinations.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["other"]);
    assert_eq!(status.queue.waiting, 0);
    other.assert_has_exactly(&ids);
    assert_eq!(other.posts().len(), 10);

    // To one that has not: they arrive there.
    ipc.change(&[
        add("destination", "third"),
        set("destination.third.kind", "wats"),
        set("destination.third.url", receiver.url()),
    ])
    .unwrap();
    let more = station.drop_reports("ict", 10..20);
    other.wait_for_reports(20);
    agent.wait_for("ten wait for the third", |s| s.destinations.iter().any(|d| d.name == "third" && d.pending + d.sending == 10));
    let late = Receiver::start();
    station.set_token("late", &late.token());
    let folder = station.folder().join("out").join("late");
    ipc.change(&[
        add("destination", "late"),
        set("destination.late.kind", "folder"),
        set("destination.late.folder", folder.display()),
    ])
    .unwrap();
    ipc.change_with(&[unset("destination.third")], Unsent::MoveTo("late".to_owned())).unwrap();
    agent.wait_for("the ten are in the folder", |s| s.destinations.iter().any(|d| d.name == "late" && d.sent == 10));
    assert_eq!(ipc.status().queue.waiting, 0);
    drop(more);
    let rows = history(&ipc, "config.");
    assert!(
        rows.iter().any(|row| row.outcome == HistoryOutcome::Refused && row.code == Some(Code::DestinationHasUnsent)),
        "{rows:#?}"
    );
}

#[test]
fn a_file_that_is_edited_while_the_agent_runs_goes_the_same_way() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let good = station.config_text();

    // Valid: in use, and in the history.
    station.write_config(&format!("# by hand\n{}", good.replace("\"Line 1\"", "\"Line 2\"")));
    agent.wait_for("the other line is in use", |s| s.agent.identity.location == "Line 2");
    let edit = || history(&ipc, "config.set").into_iter().find(|row| row.target == "station.location");
    wait_until("the edit is in the history", || edit().is_some());
    let row = edit().unwrap();
    assert_eq!((row.before.as_deref(), row.after.as_deref(), row.via), (Some("\"Line 1\""), Some("\"Line 2\""), Via::File));

    // Broken: the one before stays, everybody is told, and the file is left as it was written.
    let broken = "[station]\nlocaton = 'x'\n[queue]\nmax_entries = 0\n";
    station.write_config(broken);
    let status = agent.wait_for("the problem is told", |s| s.agent.config_problem.is_some());
    let problem = status.agent.config_problem.unwrap();
    let paths: Vec<&str> = problem.details.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["station.locaton", "queue.max_entries"], "{problem}");
    assert_eq!(status.agent.identity.location, "Line 2");
    assert_eq!(station.config_text(), broken);
    let ids = station.drop_reports("ict", 0..3);
    receiver.wait_for_reports(3);
    receiver.assert_has_exactly(&ids);

    // Empty, as an editor leaves it for a moment: the same.
    station.write_config("");
    agent.wait_for("emptiness is told", |s| s.agent.config_problem.as_ref().is_some_and(|p| p.message.contains("is empty")));

    // Mended: the problem is gone.
    station.write_config(&good);
    let status =
        agent.wait_for("the problem is gone", |s| s.agent.config_problem.is_none() && s.agent.identity.location == "Line 1");
    assert!(status.destinations.iter().all(|d| d.state != Connection::Removed));
}

#[test]
fn a_hundred_changes_under_load_lose_nothing_and_no_reader_ever_sees_half_of_one() {
    let receiver = Receiver::start();
    // The rate is another test's subject.
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .quick()
        .setting("ipc", "changes_per_minute", 10_000)
        .setting("ipc", "changes_burst", 1000)
        .build();
    let agent = Agent::start(&station);
    let (done, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    let ids = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut ids = Vec::new();
            for batch in 0..60 {
                ids.extend(station.drop_reports("ict", batch * 5..(batch + 1) * 5));
                std::thread::sleep(Duration::from_millis(10));
            }
            ids
        });
        for _ in 0..3 {
            scope.spawn(|| {
                let ipc = ipc_client(&station);
                while !done.load(Ordering::Relaxed) {
                    let state = config(&ipc);
                    let value = |place: &str| state.values.iter().find(|v| v.place == place).map(|v| v.value.clone());
                    // Set together, always equal; and the text is that of the values.
                    assert_eq!(
                        value("upload.connect_timeout_secs"),
                        value("upload.breaker_cooldown_secs").filter(|_| value("upload.connect_timeout_secs").is_some())
                    );
                    let text: toml::Table = toml::from_str(&state.text).unwrap();
                    let in_text =
                        text["upload"].get("connect_timeout_secs").and_then(toml::Value::as_integer).map(|n| n.to_string());
                    assert_eq!(in_text, value("upload.connect_timeout_secs"));
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let ipc = ipc_client(&station);
        for number in 1..=100_u32 {
            let n = 1 + number % 2;
            let mut edits = vec![set("upload.connect_timeout_secs", n), set("upload.breaker_cooldown_secs", n)];
            match number % 10 {
                3 => edits.push(set("source.ict.priority", n)),
                5 => edits.extend([
                    add("destination", "extra"),
                    set("destination.extra.kind", "folder"),
                    set("destination.extra.folder", station.folder().join("out/extra").display()),
                ]),
                9 => {
                    wait_until("nothing waits for the one that goes", || {
                        ipc.status().destinations.iter().any(|d| d.name == "extra" && d.pending + d.sending == 0)
                    });
                    edits.push(unset("destination.extra"));
                }
                _ => {}
            }
            loop {
                match ipc.change(&edits) {
                    Ok(_) => break,
                    // A report came for it in the meantime.
                    Err(error) if error.code == Code::DestinationHasUnsent => {}
                    Err(error) => panic!("{number}: {error}"),
                }
            }
        }
        let ids = load.join().unwrap();
        done.store(true, Ordering::Relaxed);
        ids
    });
    receiver.wait_for_reports(300);
    receiver.assert_has_exactly(&ids);
    println!(
        "{} readings while 100 changes were made; {} posts for 300 reports",
        seen.load(Ordering::Relaxed),
        receiver.posts().len()
    );
    agent.wait_for("nothing waits", |s| s.queue.waiting == 0 && s.sources[0].waiting == 0);
    let counts = agent.counts();
    assert_eq!((counts.source("ict").queued, counts.source("ict").errors), (300, 0));
    assert_eq!(counts.destination("main").sent, 300);
}

#[test]
fn a_new_token_and_a_new_address_count_at_once() {
    let (first, second) = (Receiver::start(), Receiver::start());
    first.set(Behaviour::Status { code: 503, body: String::new(), headers: Vec::new() });
    let station = Station::simple(&first);
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let ids = station.drop_reports("ict", 0..4);
    agent.wait_for("they wait", |s| s.destinations[0].pending + s.destinations[0].sending == 4);
    second.set_token(&first.token());
    ipc.change(&[set("destination.main.url", second.url())]).unwrap();
    second.wait_for_reports(4);
    second.assert_has_exactly(&ids);
    assert_eq!(ipc.status().destinations[0].address, second.url());
    assert_eq!(history(&ipc, "config.set").len(), 1);
}
