//! The overview as a screen reader finds it, without a window.

use eframe::egui::Vec2;
use eframe::egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use waybill_ipc::ClientError;
use waybill_ipc::protocol::{
    Activity, ActivityKind, AutostartState, AutostartStatus, ClientKind, Connection, Event, Hello, Snapshot, SourceState, Update,
};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::schema::{Fault, FaultKind};

use super::Dashboard;
use crate::command::Command;
use crate::model::{Model, sample};
use crate::pages::Page as _;
use crate::theme;

const WIDE: Vec2 = Vec2::new(1280.0, 2000.0);
const SMALL: Vec2 = Vec2::new(640.0, 420.0);

fn connected(snapshot: Snapshot) -> Model {
    let mut model = Model::new(0);
    model.connected(&Hello { protocol: 1, kind: ClientKind::Agent, pid: 1, version: "0.1.0".to_owned() }, 1);
    model.updated(Update::Snapshot { seq: 1, missed: 0, snapshot: Box::new(snapshot) });
    model
}

fn absent(mut model: Model) -> Model {
    model.disconnected(&ClientError::NotRunning("x".to_owned()), 1_760_000_000_000);
    model
}

/// The page on a screen of this size; its state is what a person asked for.
fn page(model: Model, size: Vec2) -> Harness<'static, Vec<Command>> {
    let mut dashboard = Dashboard::default();
    let mut harness = Harness::builder().with_size(size).build_ui_state(
        move |ui, asked: &mut Vec<Command>| {
            theme::apply(ui.ctx());
            asked.extend(dashboard.ui(ui, &model));
        },
        Vec::new(),
    );
    // Panics if the page keeps asking for frames.
    harness.run();
    harness
}

#[test]
fn sources_and_destinations_are_found_by_name_with_their_numbers() {
    let page = page(connected(sample::snapshot()), WIDE);
    let main = page.get_by_label("Destination main");
    for text in ["Paused", "Waiting 12", "Sending 0", "Delivered 32", "Failed 3"] {
        main.get_by_label(text);
    }
    main.get_by_label("wats · https://example.wats.com");
    page.get_by_label("Destination archive").get_by_label("Online");
    let source = page.get_by_label("Source ict");
    for text in ["Watching", "Found 43", "Converting 1", "Queued 40", "Reports 44", "Errors 2"] {
        source.get_by_label(text);
    }
    page.get_by_label("Queue 12 of 10\u{a0}000");
}

#[test]
fn an_error_shows_its_code_and_what_to_do_and_can_be_copied() {
    let mut page = page(connected(sample::snapshot()), WIDE);
    let main = page.get_by_label("Destination main");
    main.get_by_label("WB5002");
    main.get_by_label("the server refused the token (401)");
    main.get_by_label(Code::DestinationUnauthorised.fix());
    main.get_by_label("Copy").click();
    page.step();
    let copied = page.output().platform_output.commands.iter().any(|command| {
        matches!(command, eframe::egui::OutputCommand::CopyText(text) if text.contains("WB5002") && text.contains("401"))
    });
    assert!(copied);
}

#[test]
fn last_known_values_are_marked_stale_and_the_agent_can_be_started() {
    let mut page = page(absent(connected(sample::snapshot())), WIDE);
    page.get_by_label_contains("What you see was last known at");
    page.get_by_label("Destination main");
    page.get_by_label("Start agent").click();
    page.run();
    assert_eq!(page.state(), &[Command::StartAgent]);
    page.get_by_label("Try again").click();
    page.run();
    assert_eq!(page.state(), &[Command::StartAgent, Command::Reconnect]);
}

#[test]
fn without_any_values_the_agent_can_be_started() {
    let mut page = page(absent(Model::new(0)), SMALL);
    page.get_by_label("Start agent").click();
    page.run();
    assert_eq!(page.state(), &[Command::StartAgent]);
}

#[test]
fn while_the_agent_starts_it_cannot_be_started_again() {
    let mut model = absent(connected(sample::snapshot()));
    model.begun(&Command::StartAgent, 1);
    let page = page(model, WIDE);
    assert!(page.query_by_label("Start agent").is_none());
    assert!(page.get_by_label("Starting the agent").accesskit_node().is_disabled());
}

#[test]
fn another_version_is_told_and_nothing_is_started() {
    let mut model = Model::new(0);
    model.disconnected(&ClientError::Version { agent: "9.0.0".to_owned(), theirs: 9, older: "this program" }, 1);
    let page = page(model, SMALL);
    page.get_by_label("WB6002");
    page.get_by_label(Code::ProtocolMismatch.fix());
    assert!(page.query_by_label("Start agent").is_none());
}

#[test]
fn a_happening_shows_its_error_and_what_to_do() {
    let mut snapshot = sample::snapshot();
    snapshot.recent.push_back(Activity {
        at_ms: 1_760_000_000_000,
        kind: ActivityKind::Broken,
        place: "ict".to_owned(),
        subject: "a.json".to_owned(),
        correlation_id: None,
        error: Some(ErrorReport::new(Code::FileEmpty, "a.json holds nothing")),
    });
    let page = page(connected(snapshot), WIDE);
    let row = page.get_by_label("File error ict a.json");
    row.get_by_label("WB3001 a.json holds nothing");
    row.get_by_label(Code::FileEmpty.fix());
}

#[test]
fn a_station_without_sources_and_destinations_says_what_is_missing() {
    let snapshot = Snapshot { sources: Vec::new(), destinations: Vec::new(), ..sample::snapshot() };
    let page = page(connected(snapshot), WIDE);
    page.get_by_label("No sources");
    page.get_by_label("No destinations");
    page.get_by_label("Nothing has happened yet");
    page.get_by_label("No deliveries in the last 2 minutes");
}

/// A configuration with so many faults.
fn faulty(count: usize) -> ErrorReport {
    let fault = |n| Fault { path: format!("source.ict{n}.folder"), kind: FaultKind::Missing, message: "is required".to_owned() };
    let details = (0..count).map(fault).collect();
    ErrorReport { details, ..ErrorReport::new(Code::ConfigInvalid, "config.toml has faults").with_fix("mend the fields") }
}

#[test]
fn what_is_switched_off_says_so() {
    let mut snapshot = sample::snapshot();
    snapshot.sources[0].state = SourceState::Disabled;
    snapshot.destinations[0].state = Connection::Disabled;
    let page = page(connected(snapshot), WIDE);
    page.get_by_label("Source ict").get_by_label("Off");
    page.get_by_label("Destination archive").get_by_label("Off");
    assert!(page.get_by_label("Destination main").query_by_label("Off").is_none());
}

#[test]
fn a_faulty_configuration_file_shows_every_fault_and_what_to_do_until_it_is_mended() {
    let mut model = connected(sample::snapshot());
    assert!(page(model.clone(), WIDE).query_by_label("Something is wrong with the configuration").is_none());
    let error = Some(faulty(8));
    model.updated(Update::Event { seq: 2, at_ms: 1, event: Event::ConfigProblem { error } });
    let mut shown = page(model.clone(), WIDE);
    let banner = shown.get_by_role_and_label(Role::Group, "Something is wrong with the configuration");
    banner.get_by_label("Configuration file /etc/waybill/config.toml");
    for text in ["config.toml has faults", "mend the fields", "WB1001"] {
        banner.get_by_label(text);
    }
    for n in 0..8 {
        banner.get_by_label(&format!("source.ict{n}.folder is required"));
    }
    banner.get_by_label("Copy").click();
    shown.step();
    let copied = shown.output().platform_output.commands.iter().any(|command| {
        matches!(command, eframe::egui::OutputCommand::CopyText(text) if text.contains("WB1001") && text.contains("source.ict7.folder"))
    });
    assert!(copied);
    model.updated(Update::Event { seq: 3, at_ms: 2, event: Event::ConfigProblem { error: None } });
    assert!(page(model, WIDE).query_by_label("Something is wrong with the configuration").is_none());
}

#[test]
fn an_agent_in_error_shows_why_and_what_to_do_until_it_is_not() {
    let mut model = connected(sample::snapshot());
    assert!(page(model.clone(), WIDE).query_by_label("The agent is in error").is_none());
    let error = Some(ErrorReport::new(Code::TaskFailed, "queue writer has failed too often (no room)"));
    model.updated(Update::Event { seq: 2, at_ms: 1, event: Event::AgentError { error } });
    let shown = page(model.clone(), WIDE);
    let banner = shown.get_by_role_and_label(Role::Group, "The agent is in error");
    for text in ["queue writer has failed too often (no room)", Code::TaskFailed.fix(), "WB7004"] {
        banner.get_by_label(text);
    }
    model.updated(Update::Event { seq: 3, at_ms: 2, event: Event::AgentError { error: None } });
    assert!(page(model, WIDE).query_by_label("The agent is in error").is_none());
}

#[test]
fn faults_that_are_not_listed_are_counted() {
    let mut snapshot = sample::snapshot();
    snapshot.destinations[1].error = Some(faulty(8));
    let page = page(connected(snapshot), WIDE);
    let main = page.get_by_label("Destination main");
    main.get_by_label("source.ict4.folder is required");
    assert!(main.query_by_label("source.ict5.folder is required").is_none());
    main.get_by_label("3 more; a copy of the error has all of them");
}

#[test]
fn a_station_that_nobody_has_set_up_says_how_to() {
    const SENTENCE: &str = "This station is not set up yet: run `waybill-agent init`";
    let mut snapshot = sample::snapshot();
    assert!(page(connected(snapshot.clone()), WIDE).query_by_label(SENTENCE).is_none());
    snapshot.agent.identity.configured = false;
    let page = page(connected(snapshot), WIDE);
    page.get_by_role_and_label(Role::Group, SENTENCE).get_by_label("There is no configuration file /etc/waybill/config.toml");
}

#[test]
fn nothing_reaches_over_the_edge_of_a_small_window() {
    let mut snapshot = sample::snapshot();
    snapshot.destinations[1].name = "a-very-long-name-of-a-destination-that-nobody-should-give".to_owned();
    snapshot.destinations[1].sent = 1_234_567_890;
    snapshot.sources[0].folder = "/a/very/long/path/".repeat(20);
    snapshot.sources[0].error = Some(ErrorReport::new(Code::FolderUnavailable, "/a/very/long/path/".repeat(20)));
    snapshot.agent.config = "/a/very/long/path/".repeat(20);
    snapshot.agent.config_problem = Some(faulty(8));
    snapshot.agent.identity.configured = false;
    for size in [SMALL, Vec2::new(800.0, 600.0), Vec2::new(1060.0, 600.0), WIDE] {
        let mut model = connected(snapshot.clone());
        let long = || "/a/very/long/path/".repeat(20);
        let autostart =
            AutostartStatus { state: AutostartState::Moved, place: long(), starts: Some(long()), notes: vec![long()] };
        model.autostart_told(&Command::LookAtAutostart, Ok(autostart));
        let page = page(absent(model), size);
        for node in page.root().children_recursive() {
            let node = node.accesskit_node();
            let Some(bounds) = node.raw_bounds() else { continue };
            let inside = bounds.x0 >= 0.0 && bounds.x1 <= f64::from(size.x);
            assert!(inside, "{:?} {:?} at {bounds:?} in {size:?}", node.role(), node.label().or(node.value()));
        }
    }
}

#[test]
fn deliveries_are_drawn_and_the_page_still_rests() {
    let mut model = connected(sample::snapshot());
    for second in 1..=20 {
        let mut snapshot = sample::snapshot();
        snapshot.destinations[0].sent += second * 3;
        snapshot.destinations[1].sent += second;
        model.updated(Update::Snapshot { seq: second, missed: 0, snapshot: Box::new(snapshot) });
        model.second(second);
    }
    let page = page(model, WIDE);
    page.get_by_label("All destinations");
    assert!(page.query_by_label("No deliveries in the last 2 minutes").is_none());
}

/// A connected page whose agent has said this about its autostart.
fn with_autostart(told: Result<AutostartState, ErrorReport>) -> Model {
    let mut model = connected(sample::snapshot());
    let status = |state| AutostartStatus {
        state,
        place: "/home/anna/.config/autostart/waybill.desktop".to_owned(),
        starts: Some("/old/waybill --start-agent".to_owned()),
        notes: vec!["a note of the agent".to_owned()],
    };
    model.autostart_told(&Command::LookAtAutostart, told.map(status));
    model
}

const SWITCH: &str = "Start the agent when I log in";

#[test]
fn autostart_is_shown_in_words_and_set_by_its_switch() {
    assert!(page(connected(sample::snapshot()), WIDE).query_by_label(SWITCH).is_none(), "nothing is known yet");
    let mut off = page(with_autostart(Ok(AutostartState::Absent)), WIDE);
    let card = off.get_by_role_and_label(Role::Group, "Autostart");
    card.get_by_label("The agent does not start by itself");
    card.get_by_label("a note of the agent");
    card.get_by_label(SWITCH).click();
    off.run();
    assert_eq!(off.state(), &[Command::SetAutostart(true)]);
    let mut on = page(with_autostart(Ok(AutostartState::Enabled)), WIDE);
    on.get_by_label("The agent starts when its user logs in");
    on.get_by_label(SWITCH).click();
    on.run();
    assert_eq!(on.state(), &[Command::SetAutostart(false)]);
}

#[test]
fn an_autostart_that_was_moved_is_put_right_and_one_of_the_machine_cannot_be_set_here() {
    let mut moved = page(with_autostart(Ok(AutostartState::Moved)), WIDE);
    moved.get_by_label("It starts /old/waybill --start-agent");
    moved.get_by_label("Put right").click();
    moved.run();
    assert_eq!(moved.state(), &[Command::SetAutostart(true)]);
    let machine = page(with_autostart(Ok(AutostartState::ByService)), WIDE);
    machine.get_by_label("The agent belongs to the machine: the service manager starts it");
    assert!(machine.query_by_label(SWITCH).is_none());
}

#[test]
fn a_wish_about_autostart_that_fails_is_told_where_it_was_made() {
    let mut model = with_autostart(Ok(AutostartState::Absent));
    let wish = Command::SetAutostart(true);
    model.begun(&wish, 1);
    assert!(page(model.clone(), WIDE).get_by_label(SWITCH).accesskit_node().is_disabled(), "one wish at a time");
    model.autostart_told(&wish, Err(ErrorReport::new(Code::AutostartFailed, "the folder is write-protected")));
    let mut page = page(model, WIDE);
    let card = page.get_by_role_and_label(Role::Group, "Autostart");
    card.get_by_label("the folder is write-protected");
    card.get_by_label("WB7011");
    card.get_by_label(Code::AutostartFailed.fix());
    card.get_by_label("Look again").click();
    page.run();
    assert_eq!(page.state(), &[Command::LookAtAutostart]);
}

#[test]
fn without_an_agent_the_autostart_that_is_shown_cannot_be_set() {
    let page = page(absent(with_autostart(Ok(AutostartState::Enabled))), WIDE);
    assert!(page.get_by_label(SWITCH).accesskit_node().is_disabled());
}
