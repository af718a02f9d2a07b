//! What destinations are asked beside their reports, and how reports go to them: compressed, shortened, within their time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a fault of a test is told where it stands"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waybill_ipc::ClientError;
use waybill_ipc::protocol::{
    Connection, DeliveryState, DestinationTrial, HistoryFilter, HistoryRow, Page, Reply, Request, SecretText,
};
use waybill_shared::error::Code;
use waybill_shared::fs::atomic;
use waybill_tests::agent::CliOutput;
use waybill_tests::edit::set;
use waybill_tests::ipc::Ipc;
use waybill_tests::server::{Gzip, REGISTER_TOKEN};
use waybill_tests::station::StationBuilder;
use waybill_tests::wait::bound;
use waybill_tests::{Agent, Behaviour, Receiver, Station, cli, ipc_client, sample_value, wait_until};

fn builder() -> StationBuilder {
    Station::builder().source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
}

/// Drops a report with these values in it, and gives its id.
fn drop_with(station: &Station, n: u64, change: impl FnOnce(&mut Value)) -> String {
    let mut report = sample_value(n);
    change(&mut report);
    station.drop_file("ict", &format!("changed-{n}.json"), report.to_string().as_bytes());
    report["id"].as_str().unwrap().to_owned()
}

/// The reports in a folder destination, by id.
fn kept(station: &Station, destination: &str) -> BTreeMap<String, Value> {
    let days = std::fs::read_dir(station.output(destination)).unwrap().map(|day| day.unwrap().path());
    let files = days.flat_map(|day| std::fs::read_dir(day).unwrap()).map(|file| file.unwrap().path());
    let report = |path: PathBuf| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    files.map(report).map(|report| (report["id"].as_str().unwrap().to_owned(), report)).collect()
}

/// The lines of the agent's log that tell of this.
fn log_of(station: &Station, event: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(station.instance().logs().join("agent.log")).unwrap();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"] == event).collect()
}

fn history(ipc: &Ipc, action: &str) -> Vec<HistoryRow> {
    let filter = HistoryFilter { action: Some(action.to_owned()), ..HistoryFilter::default() };
    match ipc.request(Request::History { filter, page: Page { after: None, limit: 100 } }) {
        Ok(Reply::History(rows)) => rows,
        other => panic!("{other:?}"),
    }
}

// How reports go.

#[test]
fn whether_reports_go_compressed_is_what_is_said() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).upload("gzip", "auto").upload("concurrency", 1).quick().build();
    let agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let mut ids = Vec::new();
    let mut send = |n: u64| {
        let before = receiver.posts().len();
        ids.extend(station.drop_reports("ict", [n]));
        agent.wait_for("it is sent", |s| s.destinations[0].sent == n + 1);
        let posts = receiver.posts();
        posts[before..].iter().map(|post| post.is_compressed()).collect::<Vec<_>>()
    };
    assert_eq!(send(0), [false], "nothing is known of the server");
    receiver.set_gzip(Gzip::Offered);
    assert_eq!(send(1), [false], "it says so only in the answer to this one");
    assert_eq!(send(2), [true]);
    ipc.change(&[set("upload.gzip", "never")]).unwrap();
    assert_eq!((send(3), send(4)), (vec![false], vec![false]));
    receiver.set_gzip(Gzip::Taken);
    ipc.change(&[set("upload.gzip", "always")]).unwrap();
    assert_eq!(send(5), [true], "without being asked");
    let posts = receiver.posts();
    assert!(posts[5].bytes < posts[4].bytes * 2 / 3, "{} of {} bytes", posts[5].bytes, posts[4].bytes);
    receiver.assert_has_exactly(&ids);
}

#[test]
fn a_server_that_does_not_take_compressed_reports_gets_each_plain_at_once_and_none_fails() {
    for refusal in [Gzip::Unknown, Gzip::Refused] {
        let receiver = Receiver::start();
        receiver.set_gzip(refusal);
        let station = builder().wats(&receiver).upload("gzip", "always").upload("concurrency", 1).build();
        let agent = Agent::start(&station);
        let ids = station.drop_reports("ict", 0..5);
        let status = agent.wait_for("all are sent", |s| s.destinations[0].sent == 5);
        assert_eq!(status.destinations[0].failed, 0);
        receiver.assert_has_exactly(&ids);
        let compressed: Vec<bool> = receiver.posts().iter().map(|post| post.is_compressed()).collect();
        assert_eq!(compressed, [true, false, false, false, false, false], "{refusal:?}: once, and never again");
        assert_eq!(log_of(&station, "gzip_refused").len(), 1);
    }
}

#[test]
fn texts_that_are_too_long_for_the_server_are_cut_there_only_and_told() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).folder_destination("archive").build();
    let agent = Agent::start(&station);
    let long = |length: usize| "ä".repeat(length);
    let whole = drop_with(&station, 1, |_| {});
    let cut = drop_with(&station, 2, |report| {
        report["rev"] = long(60).into();
        report["uut"]["comment"] = long(1500).into();
    });
    agent.wait_for("both are everywhere", |s| s.destinations.iter().all(|d| d.sent == 2));
    let (reports, kept) = (receiver.reports(), kept(&station, "archive"));
    assert_eq!(reports[&cut]["rev"], long(50));
    assert_eq!(reports[&cut]["uut"]["comment"], long(1000));
    assert_eq!(reports[&cut]["root"], sample_value(2)["root"], "nothing else is touched");
    assert_eq!(kept[&cut]["rev"], long(60), "another destination gets it whole");
    assert_eq!(reports[&whole], kept[&whole]);
    let told = log_of(&station, "report_shortened");
    assert_eq!(told.len(), 1, "{told:?}");
    let text = told[0].to_string();
    assert!(text.contains("rev: 60 characters, at most 50") && text.contains("uut.comment: 1500 characters"), "{text}");
    assert_eq!(told[0]["correlation_id"], receiver.posts().iter().find(|post| post.id == cut).unwrap().correlation_id().unwrap());
}

#[test]
fn a_serial_number_that_is_too_long_for_the_server_fails_before_it_is_sent() {
    let receiver = Receiver::start();
    receiver.stop_listening();
    let station = builder().wats(&receiver).folder_destination("archive").build();
    let agent = Agent::start(&station);
    drop_with(&station, 1, |report| report["sn"] = "S".repeat(51).into());
    let status =
        agent.wait_for("it is failed there, and kept here", |s| s.destinations[0].failed == 1 && s.destinations[1].sent == 1);
    let rows = ipc_client(&station).deliveries(Some("main"), Some(DeliveryState::Failed));
    assert!(rows[0].last_error.as_ref().unwrap().contains("sn: 51 characters, at most 50"), "{rows:?}");
    assert_eq!(log_of(&station, "report_failed")[0]["code"], Code::ReportDoesNotFit.as_str());
    assert_ne!(status.destinations[0].state, Connection::Online, "nothing was sent, so nothing good is known of the server");
    assert!(receiver.posts().is_empty());
}

// Time.

#[test]
fn a_server_that_falls_silent_is_given_up_and_one_that_trickles_is_not() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::Hang);
    let station = builder().wats(&receiver).upload("timeout_secs", 600).upload("read_timeout_secs", 1).quick().build();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", [0]);
    let status = agent.wait_for("it is given up", |s| s.destinations[0].error.is_some());
    let error = status.destinations[0].error.clone().unwrap();
    assert!(error.message.contains("upload.read_timeout_secs"), "{error}");
    receiver.wait(|state| state.hanging == 0);
    // Longer than a silence may be, and never silent for so long: an answer has 46 bytes.
    let begun = Instant::now();
    receiver.set(Behaviour::Trickle(Duration::from_millis(50)));
    agent.wait_for("it is sent", |s| s.destinations[0].sent == 1);
    assert!(begun.elapsed() > Duration::from_secs(2), "it trickled: {:?}", begun.elapsed());
    receiver.assert_has_exactly(&ids);
}

#[test]
fn a_server_that_trickles_for_ever_is_given_up_when_the_time_of_a_report_is_over() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::Trickle(Duration::from_millis(500)));
    let station = builder().wats(&receiver).upload("timeout_secs", 2).upload("read_timeout_secs", 600).quick().build();
    let agent = Agent::start(&station);
    let ids = station.drop_reports("ict", [0]);
    let status = agent.wait_for("it is given up", |s| s.destinations[0].error.is_some());
    let error = status.destinations[0].error.clone().unwrap();
    assert!(error.message.contains("no complete answer in time"), "{error}");
    receiver.set(Behaviour::Accept);
    agent.wait_for("it is sent", |s| s.destinations[0].sent == 1);
    receiver.assert_has_exactly(&ids);
}

fn trials(ipc: &Ipc, names: &[&str]) -> Vec<DestinationTrial> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    match ipc.request(Request::TestDestinations { names }) {
        Ok(Reply::DestinationTrials(trials)) => trials,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_test_is_given_up_when_the_time_of_a_call_is_over() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::Hang);
    let station = builder().wats(&receiver).upload("call_timeout_secs", 1).build();
    let _agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let begun = Instant::now();
    let test = trials(&ipc, &["main"]).remove(0).result.unwrap();
    assert!(begun.elapsed() < bound(Duration::from_secs(12)), "{:?}", begun.elapsed());
    assert!(!test.ok && test.message.contains("no complete answer within 1 s (upload.call_timeout_secs)"), "{test:?}");
    let processes = ipc.request(Request::Processes { destination: "main".into() });
    assert!(matches!(&processes, Err(ClientError::Agent(error)) if error.code == Code::DestinationUnreachable), "{processes:?}");
    receiver.wait(|state| state.hanging == 0);
}

// Several at once.

#[test]
fn all_destinations_are_tested_at_once_and_each_has_its_result() {
    let (well, hangs, refuses) = (Receiver::start(), Receiver::start(), Receiver::start());
    hangs.set(Behaviour::Hang);
    refuses.set_token("another one");
    let station = builder()
        .wats_named("hangs", &hangs)
        .wats_named("well", &well)
        .wats_at("refuses", &refuses.url(), Some("dG9rZW46MQ=="))
        .wats_at("no-token", &well.url(), None)
        .folder_destination("archive")
        .folder_destination("off")
        .destination_setting("enabled", false)
        .upload("call_timeout_secs", 2)
        .build();
    let _agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let found = trials(&ipc, &[]);
    let names: Vec<&str> = found.iter().map(|trial| trial.destination.as_str()).collect();
    assert_eq!(names, ["hangs", "well", "refuses", "no-token", "archive"], "those that are switched on, in their order");
    let ok: Vec<Option<bool>> = found.iter().map(|trial| trial.result.as_ref().ok().map(|test| test.ok)).collect();
    assert_eq!(ok, [Some(false), Some(true), Some(false), None, Some(true)], "{found:?}");
    assert_eq!(found[3].result.as_ref().unwrap_err().code, Code::SecretMissing);
    // Those after it did not wait for the one that hangs.
    assert!(found[1].result.as_ref().unwrap().latency_ms < 2000 && found[0].result.as_ref().unwrap().latency_ms >= 1990);
    hangs.wait(|state| state.hanging == 0);
    let named = trials(&ipc, &["OFF", "well", "nowhere", "Well"]);
    assert_eq!(named.len(), 3, "each once");
    assert!(named[0].result.as_ref().unwrap().ok && named[1].result.as_ref().unwrap().ok);
    assert_eq!(named[2].result.as_ref().unwrap_err().code, Code::NotFound);
    wait_until("both are in the history", || history(&ipc, "destination.test").len() == 2);
    let many: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    let refused = ipc.request(Request::TestDestinations { names: many });
    assert!(matches!(&refused, Err(ClientError::Agent(error)) if error.code == Code::RequestInvalid), "{refused:?}");
}

#[test]
fn the_command_line_lists_and_tests_destinations_and_its_exit_code_says_whether_all_are_well() {
    let (main, other) = (Receiver::start(), Receiver::start());
    let station = builder().wats(&main).wats_named("other", &other).quick().build();
    let whole = |output: CliOutput, exit: i32| {
        assert_eq!(output.code(), Some(exit), "{output}");
        output
    };
    assert_eq!(cli(&station, &["destinations", "list"]).code(), Some(3), "only a running agent knows");
    // The agent of the station need not run for a test.
    assert!(whole(cli(&station, &["destinations", "test"]), 0).stdout.contains("main: well, 200"));
    let agent = Agent::start(&station);
    other.set(Behaviour::status(503));
    station.drop_reports("ict", 0..2);
    agent.wait_for("one has them", |s| s.destinations[0].sent == 2 && s.destinations[1].error.is_some());
    let list = whole(cli(&station, &["destinations", "list"]), 0).stdout;
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..6], ["DESTINATION", "KIND", "STATE", "WAIT", "FAILED", "SENT"]);
    assert_eq!(rows[1][..6], ["main", "wats", "online", "0", "0", "2"]);
    assert_eq!((rows[2][0], rows[2][3], rows[2][5]), ("other", "2", "0"));
    assert!(list.contains(&other.url()) && list.contains("told to answer 503"), "{list}");
    let list = whole(cli(&station, &["destinations", "list", "--json"]), 0).json();
    assert_eq!((&list[1]["name"], &list[1]["pending"], &list[0]["sent"]), (&json!("other"), &json!(2), &json!(2)), "{list}");
    assert!(list[1]["error"]["code"].is_string() && list[0]["error"].is_null(), "{list}");

    let said = whole(cli(&station, &["destinations", "test"]), 11).stdout;
    assert!(said.contains("main: well, 200") && said.contains("other: NOT WELL, 503"), "{said}");
    let tests = whole(cli(&station, &["destinations", "test", "--json"]), 11).json();
    assert_eq!((&tests[0]["ok"], &tests[0]["status"], &tests[1]["ok"]), (&json!(true), &json!(200), &json!(false)), "{tests}");
    assert!(tests[0]["latency_ms"].is_u64() && tests[0]["clock_skew_secs"].is_i64() && tests[0]["error"].is_null(), "{tests}");
    whole(cli(&station, &["destinations", "test", "main"]), 0);
    let unknown = whole(cli(&station, &["destinations", "test", "nowhere", "--json"]), 11).json();
    assert_eq!(unknown[0]["error"]["code"], Code::NotFound.as_str());
}

// Registration and operations.

fn token_file(station: &Station, token: &str) -> PathBuf {
    let path = station.folder().join("register-token.txt");
    atomic::replace(&path, format!("{token}\n").as_bytes()).unwrap();
    path
}

fn register(station: &Station, name: &str, token: &str) -> CliOutput {
    cli(station, &["destinations", "register", name, "--file", token_file(station, token).to_str().unwrap()])
}

#[test]
fn a_register_token_becomes_the_stations_own_which_is_kept_used_and_never_shown() {
    let receiver = Receiver::start();
    let station = builder().wats_at("main", &receiver.url(), None).setting("log", "level", "trace").quick().build();
    let mut agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    let ids = station.drop_reports("ict", 0..2);
    agent.wait_for("it lacks a token", |s| s.destinations[0].error.as_ref().is_some_and(|e| e.code == Code::SecretMissing));
    let wrong = register(&station, "main", "d3Jvbmc6b25l");
    assert!(!wrong.success() && wrong.stderr.contains(Code::DestinationUnauthorised.as_str()), "{wrong}");
    let done = register(&station, "main", REGISTER_TOKEN);
    assert!(done.success() && done.stdout.contains("destination.main.token is set"), "{done}");
    agent.wait_for("all are sent with it", |s| s.destinations[0].sent == 2);
    receiver.assert_has_exactly(&ids);
    let registration = receiver.registrations().pop().unwrap();
    let of = |key: &str| registration.parameters[key].as_str();
    assert_eq!((of("type"), of("name"), of("location"), of("purpose")), ("Client", "ST-07", "Line 1", "Production"));
    // The same station again, with another name: another passcode, and the same id.
    ipc.change(&[set("station.name", "ST-08")]).unwrap();
    assert!(register(&station, "main", REGISTER_TOKEN).success());
    let again = receiver.registrations().pop().unwrap();
    assert_eq!((&again.parameters["id"], again.parameters["name"].as_str()), (&registration.parameters["id"], "ST-08"));
    assert_ne!(again.passcode, registration.passcode);
    station.drop_reports("ict", [2]);
    agent.wait_for("the newest token counts", |s| s.destinations[0].sent == 3);
    wait_until("both are in the history", || history(&ipc, "secret.set").len() == 2);
    let entries = history(&ipc, "destination.register");
    assert_eq!(entries.len(), 3, "the refused one as well: {entries:?}");
    assert!(agent.stop().success());
    let log = std::fs::read_to_string(station.instance().logs().join("agent.log")).unwrap();
    let shown = format!("{entries:?}{done}{wrong}{log}{}{}", agent.stdout(), agent.stderr());
    for registered in receiver.registrations() {
        for secret in [registered.passcode.clone(), registered.token(), REGISTER_TOKEN.to_owned()] {
            assert!(!shown.contains(&secret), "a secret is shown");
        }
    }
}

#[test]
fn a_station_can_register_before_its_agent_runs_for_the_first_time() {
    let receiver = Receiver::start();
    let station = builder().wats_at("main", &receiver.url(), None).build();
    let done = register(&station, "main", REGISTER_TOKEN);
    assert!(done.success(), "{done}");
    let _agent = Agent::start(&station);
    let ids = station.drop_reports("ict", [0]);
    receiver.wait_for_reports(1);
    receiver.assert_has_exactly(&ids);
    let ipc = ipc_client(&station);
    assert_eq!((history(&ipc, "destination.register").len(), history(&ipc, "secret.set").len()), (1, 1));
}

#[test]
fn nothing_is_registered_where_the_new_token_could_not_be_kept_or_no_server_is() {
    let receiver = Receiver::start();
    // Its token comes from the environment, which the agent does not write.
    let station = builder().wats(&receiver).folder_destination("archive").build();
    let _agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    for (name, code) in [("main", Code::RequestInvalid), ("archive", Code::RequestInvalid), ("nowhere", Code::NotFound)] {
        let request = Request::RegisterDestination { name: name.into(), token: SecretText::new(REGISTER_TOKEN) };
        let refused = ipc.request(request);
        assert!(matches!(&refused, Err(ClientError::Agent(error)) if error.code == code), "{name}: {refused:?}");
    }
    assert!(receiver.registrations().is_empty());
    let processes = cli(&station, &["destinations", "processes", "archive"]);
    assert!(!processes.success() && processes.stderr.contains("is no server that knows operations"), "{processes}");
}

#[test]
fn the_operations_of_a_server_are_listed_for_people_and_for_scripts() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).build();
    let _agent = Agent::start(&station);
    let output = cli(&station, &["destinations", "processes", "main"]);
    let rows: Vec<Vec<&str>> = output.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [vec!["CODE", "KINDS", "NAME"], vec!["10", "test", "Functional", "test"], vec!["500", "repair", "Repair"]]);
    receiver.set_processes(
        json!({ "Processes": [{ "Code": "20", "Name": "ICT", "IsTestOperation": true, "IsWipOperation": true }] }),
    );
    let listed = cli(&station, &["destinations", "processes", "main", "--json"]).json();
    assert_eq!(listed, json!([{ "code": 20, "name": "ICT", "kinds": ["test", "wip"] }]));
    receiver.set(Behaviour::Html200);
    let page = cli(&station, &["destinations", "processes", "main"]);
    assert!(!page.success() && page.stderr.contains(Code::NotOurServer.as_str()), "{page}");
}
