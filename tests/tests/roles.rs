//! Who may ask for what: every request of the protocol, by everybody who could ask, against a table that was written by hand.
//!
//! A request that is added to the protocol does not compile here before it has its row. (What another user of the OS gets is proved in
//! `boundary`: not one byte.)

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a fault of a test is told where it stands"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use waybill_ipc::ClientError;
use waybill_ipc::codec;
use waybill_ipc::protocol::{
    AccessStatus, ArchiveFilter, ArchivePage, ClientMessage, ConfigChange, ConfigState, ConfigVersion, DeliveryFilter,
    ErrorFilter, Frozen, HistoryFilter, HistoryOutcome, HistoryRow, LogFilter, Page, Reply, Request, Role, Search, SearchBy,
    SecretRow, SecretText, Unsent, Via, Which,
};
use waybill_shared::config::Edit;
use waybill_shared::error::{Code, ErrorReport};
use waybill_tests::ipc::Ipc;
use waybill_tests::server::REGISTER_TOKEN;
use waybill_tests::station::StationBuilder;
use waybill_tests::{Agent, Receiver, Station, cli, ipc_client, raw_stream, wait_until};

const PIN: &str = "271828";
const SECRET: &str = "destination.spare.token";
const PAGE: Page = Page { after: None, limit: 1000 };
/// What a file next to the agent's folder says; nobody may get to see it.
const CANARY: &str = "name = \"canary-that-nobody-may-read\"";

/// Makes the table, and a match without which a new request does not compile.
macro_rules! table {
    ($($pattern:pat => $needs:ident, $history:expr, $sample:expr;)+) => {
        /// Every request, the role that it needs, and its action in the history if it changes something.
        fn table(backup: &str) -> Vec<Row> {
            let backup = || backup.to_owned();
            vec![$({
                let request = $sample(&backup);
                assert!(matches!(request, $pattern), "{request:?} stands in the wrong row");
                Row { request, needs: Role::$needs, history: $history }
            }),+]
        }

        /// Never called: it is here to be compiled.
        #[allow(dead_code, reason = "it compiles only if every request has a row")]
        fn every_request_has_a_row(request: &Request) {
            match request {
                $($pattern => {})+
            }
        }
    };
}

struct Row {
    request: Request,
    needs: Role,
    history: Option<&'static str>,
}

/// All reports that failed.
fn every() -> Which {
    Which::All { filter: DeliveryFilter::default(), after: None }
}

/// A sample that needs to know nothing.
fn plain(request: Request) -> impl Fn(&dyn Fn() -> String) -> Request {
    move |_| request.clone()
}

table! {
    Request::Status => Viewer, None, plain(Request::Status);
    Request::Deliveries { .. } => Viewer, None, plain(Request::Deliveries { filter: DeliveryFilter::default(), page: PAGE });
    Request::Delivery { .. } => Viewer, None, plain(Request::Delivery { entry: 1 });
    Request::ReportText { .. } => Viewer, None, plain(Request::ReportText { entry: 1, offset: 0 });
    Request::Lanes => Viewer, None, plain(Request::Lanes);
    Request::Losses => Viewer, None, plain(Request::Losses);
    Request::RetryDeliveries { .. } => Operator, Some("queue.retry"), plain(Request::RetryDeliveries { which: every() });
    Request::DiscardDeliveries { .. } => Operator, Some("queue.discard"), plain(Request::DiscardDeliveries { which: every(), why: "a test".into() });
    Request::HoldLane { .. } => Operator, Some("lane.pause"), plain(Request::HoldLane { priority: 9, held: true });
    Request::HoldDestination { .. } => Operator, Some("destination.resume"), plain(Request::HoldDestination { name: "main".into(), held: false });
    Request::ResetBreaker { .. } => Operator, Some("destination.reset_breaker"), plain(Request::ResetBreaker { name: "main".into() });
    Request::LossesSeen => Operator, Some("queue.losses_seen"), plain(Request::LossesSeen);
    Request::Fsck => Operator, Some("fsck"), plain(Request::Fsck);
    Request::BackupQueue => Operator, Some("queue.backup"), plain(Request::BackupQueue);
    Request::ConversionErrors { .. } => Viewer, None, plain(Request::ConversionErrors { page: PAGE });
    Request::Subscribe => Viewer, None, plain(Request::Subscribe);
    Request::Unsubscribe => Viewer, None, plain(Request::Unsubscribe);
    Request::Tasks => Viewer, None, plain(Request::Tasks);
    Request::Health { .. } => Viewer, None, plain(Request::Health { fresh: false });
    Request::History { .. } => Viewer, None, plain(Request::History { filter: HistoryFilter::default(), page: PAGE });
    Request::Logs { .. } => Viewer, None, plain(Request::Logs { filter: LogFilter::default(), limit: 10 });
    Request::Config => Viewer, None, plain(Request::Config);
    Request::ConfigBackups => Viewer, None, plain(Request::ConfigBackups);
    Request::ConfigText { .. } => Viewer, None, plain(Request::ConfigText { version: ConfigVersion::Current });
    Request::ConfigDiff { .. } => Viewer, None, |backup: &dyn Fn() -> String| {
        Request::ConfigDiff { from: ConfigVersion::Backup(backup()), to: ConfigVersion::Current }
    };
    Request::ConfigChange(_) => Engineer, Some("config.set"), plain(Request::ConfigChange(location("Line 2")));
    Request::ConfigRestore { .. } => Engineer, Some("config."), |backup: &dyn Fn() -> String| {
        Request::ConfigRestore { id: backup(), base: None }
    };
    Request::Secrets => Viewer, None, plain(Request::Secrets);
    Request::SetSecret { .. } => Engineer, Some("secret.set"), plain(Request::SetSecret { name: SECRET.into(), value: text("s3cr3t") });
    Request::ClearSecret { .. } => Engineer, Some("secret.clear"), plain(Request::ClearSecret { name: SECRET.into() });
    Request::TestDestination { token: None, .. } => Operator, Some("destination.test"),
        plain(Request::TestDestination { name: "main".into(), edits: Vec::new(), token: None });
    Request::TestDestination { token: Some(_), .. } => Engineer, Some("destination.test"),
        plain(Request::TestDestination { name: "main".into(), edits: Vec::new(), token: Some(text("another")) });
    Request::TestDestinations { .. } => Operator, Some("destination.test"),
        plain(Request::TestDestinations { names: vec!["main".into()] });
    Request::RegisterDestination { .. } => Engineer, Some("destination.register"),
        plain(Request::RegisterDestination { name: "spare".into(), token: text(REGISTER_TOKEN) });
    Request::Processes { .. } => Operator, Some("destination.processes"), plain(Request::Processes { destination: "main".into() });
    Request::Access => Viewer, None, plain(Request::Access);
    Request::Elevate { .. } => Viewer, Some("access.elevate"), plain(Request::Elevate { pin: text(PIN) });
    Request::DropRole => Viewer, Some("access.drop_role"), plain(Request::DropRole);
    Request::Reconvert { .. } => Operator, Some("archive.reconvert"),
        plain(Request::Reconvert { filter: ArchiveFilter::default(), dry_run: false, page: ArchivePage::default() });
    Request::RetryConversions { .. } => Operator, Some("errors.retry"),
        plain(Request::RetryConversions { filter: ErrorFilter::default(), before: None });
    Request::Converters => Viewer, None, plain(Request::Converters);
    Request::TryConversion { .. } => Viewer, None, plain(Request::TryConversion {
        converter: "auto".into(), file_name: "a.json".into(), bytes: b"{}".to_vec(), arguments: Vec::new(),
    });
    Request::Diagnose => Operator, Some("diagnose"), plain(Request::Diagnose);
    Request::Autostart { enable: None } => Operator, None, plain(Request::Autostart { enable: None });
    // What is not there is taken away: nothing outside of the test changes.
    Request::Autostart { enable: Some(_) } => Engineer, Some("autostart."), plain(Request::Autostart { enable: Some(false) });
    Request::SetPin { .. } => Engineer, Some("access.set_pin"), plain(Request::SetPin { old: Some(text(PIN)), new: text(PIN) });
    // The last one: without a PIN everybody of this user is engineer.
    Request::ClearPin { .. } => Engineer, Some("access.clear_pin"), plain(Request::ClearPin { old: text(PIN) });
}

/// All rows, with the one that differs by more than its kind: a test with changed values needs more than one as configured.
fn rows(backup: &str) -> Vec<Row> {
    let edits = vec![set("destination.main.url", "https://elsewhere.example")];
    let elsewhere = Request::TestDestination { name: "main".into(), edits, token: None };
    let mut rows = table(backup);
    let last = rows.len() - 1;
    rows.insert(last, Row { request: elsewhere, needs: Role::Engineer, history: Some("destination.test") });
    rows
}

fn text(text: &str) -> SecretText {
    SecretText::new(text)
}

fn set(place: &str, value: &str) -> Edit {
    Edit::Set { place: place.to_owned(), value: value.to_owned() }
}

fn location(value: &str) -> ConfigChange {
    ConfigChange { base: None, edits: vec![set("station.location", value)], unsent: Unsent::Refuse, dry_run: false }
}

/// A station whose destination `spare` waits for a token that can be set.
fn builder(receiver: &Receiver) -> StationBuilder {
    Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(receiver)
        .wats_at("spare", &receiver.url(), None)
        .quick()
}

fn ask(ipc: &Ipc, request: Request) -> Result<Reply, ErrorReport> {
    match ipc.request(request) {
        Ok(reply) => Ok(reply),
        Err(ClientError::Agent(error)) => Err(error),
        Err(other) => panic!("the conversation ended: {other}"),
    }
}

fn access(ipc: &Ipc) -> AccessStatus {
    match ask(ipc, Request::Access) {
        Ok(Reply::Access(status)) => status,
        other => panic!("the access: {other:?}"),
    }
}

fn config(ipc: &Ipc) -> ConfigState {
    match ask(ipc, Request::Config) {
        Ok(Reply::Config(state)) => *state,
        other => panic!("the configuration: {other:?}"),
    }
}

fn secrets(ipc: &Ipc) -> Vec<SecretRow> {
    match ask(ipc, Request::Secrets) {
        Ok(Reply::Secrets(rows)) => rows,
        other => panic!("the secrets: {other:?}"),
    }
}

fn history(ipc: &Ipc, filter: HistoryFilter) -> Vec<HistoryRow> {
    match ask(ipc, Request::History { filter, page: PAGE }) {
        Ok(Reply::History(rows)) => rows,
        other => panic!("the history: {other:?}"),
    }
}

fn of_action(action: &str, outcome: HistoryOutcome) -> HistoryFilter {
    HistoryFilter { action: Some(action.to_owned()), outcome: Some(outcome), ..HistoryFilter::default() }
}

fn newest_backup(ipc: &Ipc) -> String {
    match ask(ipc, Request::ConfigBackups) {
        Ok(Reply::ConfigBackups(rows)) => rows.first().expect("a backup").id.clone(),
        other => panic!("the backups: {other:?}"),
    }
}

fn set_pin(station: &Station) {
    let engineer = ipc_client(station);
    ask(&engineer, Request::SetPin { old: None, new: text(PIN) }).unwrap();
}

/// The agent of this station with a PIN, and what its user may do without giving it.
fn guarded(receiver: &Receiver, without_pin: &str) -> (Station, Agent) {
    let station = builder(receiver).setting("access", "without_pin", without_pin).setting("ipc", "changes_burst", 1000).build();
    let agent = Agent::start(&station);
    set_pin(&station);
    (station, agent)
}

/// What is in a folder and below, as bytes by path, without what `skip` names.
fn content(folder: &Path, skip: &[&Path]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if skip.contains(&path.as_path()) {
                continue;
            }
            let kept = if path.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
            found.insert(path.display().to_string(), kept);
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// What no refused request may change.
fn everything(station: &Station, ipc: &Ipc) -> impl PartialEq + std::fmt::Debug + use<> {
    let folders = ["secrets", "backups", "diagnostics"].map(|folder| content(&station.data().join(folder), &[]));
    let state = config(ipc);
    (state.revision, state.text, station.config_text(), secrets(ipc), access(ipc).pin_set, folders)
}

/// What a role may not: refused alike, in the history with who and what, and nothing has changed. What it may: it is done, and what changes
/// something is in the history. `session` opens a connection of that role.
fn is_as_the_table_says(station: &Station, agent: &mut Agent, role: Role, session: impl Fn() -> Ipc) {
    let watcher = ipc_client(station);
    // There is one report to look at.
    if agent.snapshot().destinations[0].issued() == 0 {
        station.drop_reports("ict", [1]);
        agent.wait_for("a report is there", |s| s.destinations[0].issued() == 1);
    }
    let (refused, allowed): (Vec<Row>, Vec<Row>) = rows(&newest_backup(&watcher)).into_iter().partition(|row| row.needs > role);
    let before = everything(station, &watcher);
    for row in &refused {
        let client = session();
        assert_eq!(access(&client).role, role);
        let error = ask(&client, row.request.clone()).expect_err(&format!("{role}: {:?}", row.request));
        assert_eq!(error.code, Code::RoleMissing, "{role}: {:?}: {error}", row.request);
        assert_eq!(error.message, format!("this needs the role {}, and this session is {role}", row.needs));
        assert_eq!(error.fix, Code::RoleMissing.fix());
        assert_eq!(access(&client).role, role, "a refusal lifts nobody");
    }
    assert_eq!(everything(station, &watcher), before, "a refused request changed something");
    assert!(agent.is_running());
    // One entry each, no more and no less.
    let of = |action: &str| refused.iter().filter(|row| action_of(&row.request) == action).count();
    for row in &refused {
        let action = action_of(&row.request);
        let found = || history(&watcher, of_action(action, HistoryOutcome::Refused));
        wait_until("the refusals are in the history", || found().len() >= of(action));
        let found = found();
        assert_eq!(found.len(), of(action), "{found:?}");
        for entry in found {
            assert_eq!((entry.via, entry.code), (Via::Ipc, Some(Code::RoleMissing)), "{entry:?}");
            assert!(entry.who.contains(&format!("command line (process {})", std::process::id())), "{entry:?}");
            assert_eq!(entry.target, target_of(&row.request), "{entry:?}");
            assert_eq!(entry.after, None, "{entry:?}");
            assert!(entry.message.unwrap().contains(&format!("this session is {role}")));
        }
    }
    for row in &allowed {
        let client = session();
        let done = row.history.map(|action| (action, history(&watcher, of_action(action, HistoryOutcome::Done)).len()));
        let reply = ask(&client, row.request.clone());
        assert!(reply.is_ok(), "{role}: {:?}: {reply:?}", row.request);
        if let Some((action, before)) = done {
            let found = || history(&watcher, of_action(action, HistoryOutcome::Done));
            wait_until("the change is in the history", || found().len() > before);
            assert!(found()[0].who.contains(&format!("(process {})", std::process::id())), "{:?}", found()[0]);
        }
    }
    // Who only looks leaves no trace, and no secret ever gets there.
    let known: Vec<&str> = allowed.iter().chain(&refused).filter_map(|row| row.history).collect();
    let all = history(&watcher, HistoryFilter::default());
    for entry in &all {
        assert!(entry.via != Via::Ipc || known.iter().any(|action| entry.action.starts_with(action)), "{entry:?}");
        assert!(!format!("{entry:?}").contains("s3cr3t") && !format!("{entry:?}").contains(PIN), "{entry:?}");
    }
}

/// The action of a refused request in the history.
fn action_of(request: &Request) -> &'static str {
    match request {
        Request::ConfigRestore { .. } => "config.restore",
        Request::Autostart { enable: None } => "autostart.status",
        Request::Autostart { enable: Some(_) } => "autostart.disable",
        other => rows("-").into_iter().find(|row| row.request == *other).and_then(|row| row.history).expect("a change"),
    }
}

/// What a refused request was about, as the history names it.
fn target_of(request: &Request) -> String {
    match request {
        Request::ConfigChange(_) => "station.location".to_owned(),
        Request::ConfigRestore { id, .. } => id.clone(),
        Request::SetSecret { name, .. }
        | Request::ClearSecret { name }
        | Request::TestDestination { name, .. }
        | Request::HoldDestination { name, .. }
        | Request::ResetBreaker { name } => name.clone(),
        Request::RetryDeliveries { .. } | Request::DiscardDeliveries { .. } => "all that are failed".to_owned(),
        Request::HoldLane { .. } => "lane 9".to_owned(),
        Request::TestDestinations { names } => names.join(", "),
        Request::RegisterDestination { name, .. } | Request::Processes { destination: name } => name.clone(),
        Request::Reconvert { .. } => "everything".to_owned(),
        Request::RetryConversions { .. } => "all files".to_owned(),
        _ => String::new(),
    }
}

#[test]
fn a_viewer_sees_everything_and_changes_nothing() {
    let receiver = Receiver::start();
    let (station, mut agent) = guarded(&receiver, "viewer");
    is_as_the_table_says(&station, &mut agent, Role::Viewer, || ipc_client(&station));
}

#[test]
fn an_operator_tests_and_diagnoses_and_configures_nothing() {
    let receiver = Receiver::start();
    let (station, mut agent) = guarded(&receiver, "operator");
    is_as_the_table_says(&station, &mut agent, Role::Operator, || ipc_client(&station));
}

#[test]
fn whoever_was_engineer_before_there_was_a_pin_is_one_no_more_until_the_pin_is_given() {
    let receiver = Receiver::start();
    let station = builder(&receiver).setting("ipc", "changes_burst", 1000).build();
    let mut agent = Agent::start(&station);
    let early: Vec<Ipc> = (0..rows("-").len()).map(|_| ipc_client(&station)).collect();
    assert!(early.iter().all(|ipc| access(ipc).role == Role::Engineer));
    set_pin(&station);
    let early = std::cell::RefCell::new(early);
    is_as_the_table_says(&station, &mut agent, Role::Operator, || early.borrow_mut().pop().expect("a connection for each row"));
}

#[test]
fn an_engineer_by_the_pin_may_everything() {
    let receiver = Receiver::start();
    let (station, mut agent) = guarded(&receiver, "viewer");
    is_as_the_table_says(&station, &mut agent, Role::Engineer, || {
        let client = ipc_client(&station);
        ask(&client, Request::Elevate { pin: text(PIN) }).unwrap();
        client
    });
    assert!(!access(&ipc_client(&station)).pin_set, "the last row took it away");
}

#[test]
fn without_a_pin_the_agents_own_user_may_everything() {
    let receiver = Receiver::start();
    let station = builder(&receiver).setting("ipc", "changes_burst", 1000).build();
    let mut agent = Agent::start(&station);
    is_as_the_table_says(&station, &mut agent, Role::Engineer, || {
        let client = ipc_client(&station);
        if access(&client).pin_set {
            // The row before set it.
            ask(&client, Request::Elevate { pin: text(PIN) }).unwrap();
        }
        client
    });
}

#[test]
fn without_a_greeting_nothing_is_answered_and_nothing_changes() {
    let receiver = Receiver::start();
    let station = builder(&receiver).build();
    let mut agent = Agent::start(&station);
    let watcher = ipc_client(&station);
    let before = everything(&station, &watcher);
    let mut said: Vec<Vec<u8>> = rows(&newest_backup(&watcher))
        .into_iter()
        .map(|row| codec::encode_client(&ClientMessage { id: 1, request: row.request }).unwrap())
        .collect();
    said.extend([Frozen::Ping(1), Frozen::BriefRequest, Frozen::Stop].map(|frozen| frozen.encode()));
    for body in said {
        let mut stream = raw_stream(&station);
        stream.send_frame(&body).unwrap();
        let answer = stream.read_frame(Duration::from_secs(30)).unwrap().and_then(|body| Frozen::decode(&body));
        assert!(matches!(&answer, Some(Frozen::Refused(why)) if why.contains("begins with a greeting")), "{answer:?}");
        assert!(stream.closed_within(Duration::from_secs(30)));
    }
    assert_eq!(everything(&station, &watcher), before);
    assert!(agent.is_running());
    assert!(history(&watcher, HistoryFilter::default()).iter().all(|entry| entry.via != Via::Ipc));
}

#[test]
fn a_viewer_does_not_stop_the_agent_and_an_operator_does() {
    let receiver = Receiver::start();
    let (station, mut agent) = guarded(&receiver, "viewer");
    let viewer = ipc_client(&station);
    let refused = viewer.stop().expect_err("a viewer stops nothing");
    assert!(
        matches!(&refused, ClientError::Agent(error) if error.code == Code::RoleMissing && error.message.contains("needs the role operator")),
        "{refused:?}"
    );
    let output = cli(&station, &["stop"]);
    assert!(!output.success() && output.stderr.contains("needs the role operator"), "{output}");
    assert!(agent.is_running());
    let stops = || history(&viewer, of_action("agent.stop", HistoryOutcome::Refused));
    wait_until("both are in the history", || stops().len() == 2);
    assert!(stops().iter().all(|entry| entry.code == Some(Code::RoleMissing)), "{:?}", stops());
    // The same connection, with the PIN, may.
    ask(&viewer, Request::Elevate { pin: text(PIN) }).unwrap();
    viewer.stop().unwrap();
    assert!(agent.exit_within(Duration::from_secs(130)).expect("it stops").success());
}

#[test]
fn after_twenty_changes_at_once_the_next_is_refused_and_looking_goes_on() {
    let receiver = Receiver::start();
    // One a minute: the bucket does not fill while this runs.
    let station = builder(&receiver).setting("ipc", "changes_per_minute", 1).build();
    let _agent = Agent::start(&station);
    let client = ipc_client(&station);
    for number in 0..20 {
        let result = ask(&client, Request::ConfigChange(ConfigChange { dry_run: true, ..location(&format!("Line {number}")) }));
        assert!(result.is_ok(), "{number}: {result:?}");
    }
    let before = everything(&station, &client);
    let error = ask(&client, Request::ConfigChange(location("Line 21"))).expect_err("the 21st");
    assert_eq!(error.code, Code::TooManyRequests, "{error}");
    assert!(error.message.contains("20 of them at once"), "{error}");
    assert_eq!(everything(&station, &client), before, "looking goes on, and nothing changed");
    drop(client.status());
    let found = || history(&client, of_action("config.set", HistoryOutcome::Refused));
    wait_until("it is in the history", || found().len() == 1);
    assert_eq!((found()[0].code, found()[0].target.as_str()), (Some(Code::TooManyRequests), "station.location"));
    // It was this connection that asked for too much, and no other.
    assert!(ask(&ipc_client(&station), Request::ConfigChange(location("Line 3"))).is_ok());
}

#[test]
fn hostile_names_and_values_are_errors_and_lead_to_nothing_outside_of_the_agents_folder() {
    let receiver = Receiver::start();
    let station = builder(&receiver).setting("ipc", "changes_burst", 1000).build();
    let _agent = Agent::start(&station);
    let client = ipc_client(&station);
    let canary = station.folder().join("canary.toml");
    std::fs::write(&canary, CANARY).unwrap();
    let data = station.data();
    let watched =
        || (content(station.folder(), &[&data]), content(&data.join("secrets"), &[]), content(&data.join("backups"), &[]));
    let before = watched();
    let hostile: Vec<String> = vec![
        "../../canary.toml".into(),
        "../../canary".into(),
        canary.display().to_string(),
        "..\\..\\canary.toml".into(),
        "\\\\server\\share\\canary.toml".into(),
        "//server/share/canary.toml".into(),
        "a\0b".into(),
        "x".repeat(4096),
        "\u{1b}[2J\r\n\u{7}".into(),
        "\u{202e}nekot".into(),
        "=cmd|' /C calc'!A0".into(),
        "destination.../../../canary.token".into(),
        String::new(),
        ".".into(),
    ];
    for name in &hostile {
        let (name, secret) = (name.clone(), || text("s3cr3t"));
        let backup = || ConfigVersion::Backup(name.clone());
        let edit = |edit: Edit| Request::ConfigChange(ConfigChange { edits: vec![edit], ..location("") });
        let add = |list: &str| Edit::Add { list: list.to_owned(), name: name.clone() };
        let refused = [
            Request::SetSecret { name: name.clone(), value: secret() },
            Request::ClearSecret { name: name.clone() },
            Request::ConfigRestore { id: name.clone(), base: None },
            Request::ConfigText { version: backup() },
            Request::ConfigDiff { from: backup(), to: ConfigVersion::Current },
            Request::TestDestination { name: name.clone(), edits: Vec::new(), token: Some(secret()) },
            Request::RegisterDestination { name: name.clone(), token: secret() },
            Request::Processes { destination: name.clone() },
            Request::TryConversion {
                converter: name.clone(),
                file_name: name.clone(),
                bytes: b"{}".to_vec(),
                arguments: vec![(name.clone(), name.clone())],
            },
            Request::Reconvert {
                filter: ArchiveFilter { file: Some(format!("[{name}")), ..ArchiveFilter::default() },
                dry_run: false,
                page: ArchivePage::default(),
            },
            edit(add("source")),
            edit(add("destination")),
            edit(add(&name)),
            edit(set(&name, "1")),
            edit(Edit::Unset { place: name.clone() }),
            Request::Deliveries {
                filter: DeliveryFilter { destination: Some(name.clone()), ..DeliveryFilter::default() },
                page: PAGE,
            },
            Request::HoldDestination { name: name.clone(), held: true },
            Request::ResetBreaker { name: name.clone() },
        ];
        for request in refused {
            let shown = format!("{request:?}");
            let error = ask(&client, request).expect_err(&shown);
            let said = format!("{} {}", error.message, error.fix);
            assert!(!matches!(error.code, Code::Internal | Code::PeerTimeout), "{shown}: {error}");
            assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{shown}: {said:?}");
            assert!(!said.contains("canary-that") && !said.contains("s3cr3t"), "{shown}: {said:?}");
        }
        // What only filters finds nothing, or what the agent itself wrote.
        let filters = [
            HistoryFilter { who: Some(name.clone()), ..HistoryFilter::default() },
            HistoryFilter { action: Some(name.clone()), ..HistoryFilter::default() },
            HistoryFilter { target: Some(name.clone()), ..HistoryFilter::default() },
            HistoryFilter { correlation_id: Some(name.clone()), ..HistoryFilter::default() },
        ];
        for filter in filters {
            let shown = format!("{filter:?}");
            for entry in history(&client, filter) {
                assert!(!format!("{entry:?}").contains("canary-that"), "{shown}: {entry:?}");
            }
        }
        let search = |by| DeliveryFilter { search: Some(Search { by, text: name.clone() }), ..DeliveryFilter::default() };
        let looks = [
            Request::Deliveries { filter: search(SearchBy::Serial), page: PAGE },
            Request::Deliveries { filter: search(SearchBy::Report), page: PAGE },
            Request::Logs { filter: LogFilter { text: Some(name.clone()), ..LogFilter::default() }, limit: 1000 },
            Request::Logs { filter: LogFilter { correlation_id: Some(name.clone()), ..LogFilter::default() }, limit: 1000 },
        ];
        for look in looks {
            let shown = format!("{look:?}");
            let reply = ask(&client, look).unwrap_or_else(|error| panic!("{shown}: {error}"));
            assert!(!format!("{reply:?}").contains("canary-that"), "{shown}");
        }
    }
    assert_eq!(watched(), before, "something was written that should not be");
    // What was tried stands in the history, each as it was written or cut.
    let tried = || history(&client, of_action("secret.set", HistoryOutcome::Refused)).len();
    wait_until("all of it is in the history", || tried() == hostile.len());
    let log = station.log_tail(2000);
    assert!(!log.contains('\u{1b}') && !log.contains("s3cr3t"), "{log}");
}
