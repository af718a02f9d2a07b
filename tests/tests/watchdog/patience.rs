//! What the watchdog waits for, how long, and what it says meanwhile.

use std::time::Instant;

use waybill_tests::Behaviour;
use waybill_tests::wait::bound;

use super::unix::{lives, signal};
use super::*;

#[test]
fn a_second_signal_lets_the_agent_cancel_what_it_waits_for() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    receiver.set(Behaviour::Hang);
    let mut watchdog = Watchdog::start(&station, PATIENT, &[]);
    let agent = watchdog.agent();
    let ids = station.drop_reports("ict", 0..3);
    receiver.wait(|state| state.hanging == 3);
    signal("INT", watchdog.child.id());
    wait_until("the agent was told once", || watchdog.log().contains("\"hurry\":false"));
    // As shipped it would wait for a minute for what is on its way.
    wait_until("it stops", || cli(&station, &["status"]).stdout.contains("Stopping"));
    assert!(lives(agent) && watchdog.child.try_wait().unwrap().is_none());
    let begun = Instant::now();
    signal("INT", watchdog.child.id());
    assert_eq!(watchdog.exit().code(), Some(10), "{}\n{}", watchdog.said(), watchdog.log());
    println!("cancelled {:?} after the second signal", begun.elapsed());
    assert!(begun.elapsed() < bound(Duration::from_secs(20)), "{:?}", begun.elapsed());
    assert!(watchdog.log().contains("\"hurry\":true") && !watchdog.log().contains("agent_killed"), "{}", watchdog.log());
    assert!(watchdog.said().contains("WB7003") && !lives(agent), "{}", watchdog.said());
    receiver.set(Behaviour::Accept);
    let next = Agent::start(&station);
    next.wait_for("all are sent", |s| s.destinations[0].sent == 3);
    receiver.assert_has_exactly(&ids);
}

#[test]
fn a_store_that_cannot_be_opened_is_tried_until_it_can_and_everybody_is_told() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let in_the_way = station.data().join("queue.db");
    std::fs::create_dir_all(&in_the_way).unwrap();
    let ids = station.drop_reports("ict", 0..3);
    let mut watchdog = Watchdog::start(&station, PATIENT, &[]);
    // A crash loop is given up after six.
    wait_until("it was tried more often than a crash is", || {
        watchdog.record()["message"].as_str().is_some_and(|m| m.contains("7 starts in vain"))
    });
    assert!(watchdog.child.try_wait().unwrap().is_none());
    for arguments in [&["status"][..], &["health"], &["health", "--live"]] {
        let output = cli(&station, arguments);
        assert_eq!(output.code(), Some(3), "{output}");
        assert!(
            output.stderr.contains("its watchdog looks after it") && output.stderr.contains("cannot use its disk"),
            "{output}"
        );
        assert!(output.stderr.contains("exit code 7") && output.stderr.contains("MiB are free"), "{output}");
    }
    assert!(watchdog.said().contains("for as long as it takes"), "{}", watchdog.said());
    assert!(watchdog.log().contains("agent_without_store"), "{}", watchdog.log());
    let diagnosed = cli(&station, &["diagnose"]).stdout;
    assert!(diagnosed.contains("its watchdog looks after it") && diagnosed.contains("cannot use its disk"), "{diagnosed}");
    std::fs::remove_dir(&in_the_way).unwrap();
    watchdog.agent();
    receiver.wait_for_reports(3);
    receiver.assert_has_exactly(&ids);
    assert!(watchdog.said().contains("can use its disk and its store again"), "{}", watchdog.said());
    assert_eq!(watchdog.record()["restarts"], Value::Array(Vec::new()), "{}", watchdog.record());
    assert!(cli(&station, &["stop"]).success());
    assert_eq!(watchdog.exit().code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_at_the_start_is_waited_for() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .queue("min_free_bytes", 0)
        .queue("min_free_percent", 0)
        .quick()
        .build();
    std::fs::create_dir_all(station.data()).unwrap();
    let Some(_mounted) = waybill_tests::disk::Mounted::small(station.data()) else {
        println!("skipped: no file system may be mounted here");
        return;
    };
    let ballast = station.data().join("ballast");
    let filled = std::fs::write(&ballast, vec![0; 7 << 20]).unwrap_err();
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    let ids = station.drop_reports("ict", 0..3);
    let mut watchdog = Watchdog::start(&station, PATIENT, &[]);
    wait_until("it says what is wrong", || {
        watchdog.said().contains("for as long as it takes") || watchdog.said().contains("waits until there is room")
    });
    println!("{}", watchdog.said());
    // Nothing can be written down, and whoever asks is told all the same that somebody looks after it.
    let output = cli(&station, &["status"]);
    assert!(output.code() == Some(3) && output.stderr.contains("its watchdog"), "{output}");
    // Long enough for a crash loop to be given up.
    let tries = || watchdog.said().matches("What to do").count();
    wait_until("it was tried more often than a crash is", || tries() > 6);
    assert!(watchdog.child.try_wait().unwrap().is_none(), "{}", watchdog.said());
    // Somebody makes room, and touches nothing else.
    std::fs::remove_file(&ballast).unwrap();
    watchdog.agent();
    receiver.wait_for_reports(3);
    receiver.assert_has_exactly(&ids);
    assert!(cli(&station, &["stop"]).success());
    assert_eq!(watchdog.exit().code(), Some(0));
}

#[test]
fn beside_a_frozen_agent_that_it_never_met_it_says_at_once_what_it_waits_for() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let agent = Agent::start(&station);
    agent.suspend().unwrap();
    let begun = Instant::now();
    let watchdog = Watchdog::start(&station, &["--timeout", "60"], &[]);
    wait_until("it says so", || watchdog.said().contains("has not answered yet"));
    println!("it said so after {:?}", begun.elapsed());
    assert!(begun.elapsed() < bound(Duration::from_secs(10)), "long before its question is over: {:?}", begun.elapsed());
    assert!(watchdog.said().contains(&agent.pid().to_string()), "{}", watchdog.said());
    let message = watchdog.record()["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("runs already") && message.contains(&agent.pid().to_string()), "{message}");
    assert_eq!(watchdog.record()["restarts"], Value::Array(Vec::new()), "{}", watchdog.record());
    // It comes back by itself, and is looked after from then on.
    agent.resume().unwrap();
    assert_eq!(watchdog.agent(), agent.pid());
}

#[test]
fn an_agent_that_hangs_has_as_long_to_stop_as_its_configuration_says() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .setting("shutdown", "total_secs", 5)
        .build();
    let options = ["--interval", "1", "--timeout", "1", "--failures", "2", "--pause-ms", "100"];
    let watchdog = Watchdog::start(&station, &options, &[]);
    let frozen = watchdog.agent();
    // Raised while both run.
    station.write_config(&station.config_text().replace("total_secs = 5", "total_secs = 8"));
    assert!(station.config_text().contains("total_secs = 8"));
    let begun = Instant::now();
    signal("STOP", frozen);
    wait_until("it is seen to hang", || watchdog.log().contains("agent_hangs"));
    watchdog.agent_other_than(Some(frozen));
    println!("killed and started again after {:?}", begun.elapsed());
    assert!(begun.elapsed() >= Duration::from_secs(18), "not before its time: {:?}", begun.elapsed());
    assert!(watchdog.log().contains("agent_killed") && !lives(frozen), "{}", watchdog.log());
}

#[test]
fn in_the_moment_after_a_crash_status_names_the_watchdog_already() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let watchdog = Watchdog::start(&station, &["--pause-ms", "60000"], &[]);
    let agent = watchdog.agent();
    signal("KILL", agent);
    wait_until("it is gone", || !lives(agent));
    // Before the watchdog has noticed, and after.
    loop {
        let output = cli(&station, &["status"]);
        // 1: its door closes while it is knocked at.
        assert!([Some(3), Some(1)].contains(&output.code()) && output.stderr.contains("its watchdog"), "{output}");
        if output.stderr.contains("looks after it (since") {
            break;
        }
    }
}
