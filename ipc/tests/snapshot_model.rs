//! The one law of the books: what was issued is what waits, is on its way, arrived, failed, was given up or made room. Only a
//! queued file issues anything, and no configuration changes the books: what is removed keeps its numbers.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, reason = "a fault of a test is told where it stands")]

mod samples;

use std::collections::BTreeMap;

use proptest::prelude::*;
use waybill_ipc::protocol::{
    AgentState, Configured, Connection, DestinationHead, DestinationStatus, Event, Former, RECENT_LIMIT, Snapshot, SourceHead,
    SourceState, SourceStatus,
};

const SOURCES: [&str; 2] = ["ict", "aoi"];
const DESTINATIONS: [&str; 3] = ["main", "archive", "old"];

fn empty() -> Snapshot {
    let full = samples::snapshot();
    let source = |name: &str| SourceStatus {
        name: name.into(),
        error: None,
        waiting: 0,
        queued: 0,
        errors: 0,
        reports: 0,
        ..full.sources[0].clone()
    };
    let destination = |name: &str| DestinationStatus {
        name: name.into(),
        pending: 0,
        sending: 0,
        sent: 0,
        failed: 0,
        discarded: 0,
        evicted: 0,
        ..full.destinations[0].clone()
    };
    Snapshot {
        sources: SOURCES.map(source).into(),
        destinations: DESTINATIONS.map(destination).into(),
        recent: [].into(),
        former: Former::default(),
        ..full.clone()
    }
}

/// Any event, about these sources and destinations, or one that nobody knows.
fn any_event() -> impl Strategy<Value = Event> {
    let source = prop::sample::select(vec!["ict", "aoi", "nobody"]);
    let destination = prop::sample::select(vec!["main", "archive", "old", "nobody"]);
    (0..14_u8, source, destination, 0..5_u32, any::<bool>()).prop_map(|(kind, source, destination, count, yes)| {
        let (source, destination): (String, String) = (source.into(), destination.into());
        let [file, serial, report_id, correlation_id] = ["f", "SN", "r", "c"].map(String::from);
        let error = samples::error();
        match kind {
            0 => Event::Agent { state: AgentState::Stopping },
            1 => Event::Source { source, state: SourceState::Watching, error: yes.then_some(error) },
            2 => Event::FileSeen { source, file, correlation_id },
            3 => Event::FileForgotten { source, file, correlation_id },
            4 => {
                let destinations = DESTINATIONS[..count.min(3) as usize].iter().map(|&name| name.into()).collect();
                Event::FileQueued { source, file, correlation_id, reports: count, serial, destinations, whole: yes }
            }
            5 => Event::FileBroken { source, file, correlation_id, error, moved_to: None },
            6 => Event::Sent { destination, report_id, correlation_id, serial, receipt: String::new() },
            7 => Event::Retry { destination, report_id, correlation_id, serial, error, due_at_ms: None },
            8 => Event::Failed { destination, report_id, correlation_id, serial, error },
            9 => Event::Evicted { destination, report_id, serial, path: String::new() },
            10 => Event::Sending { destination, count },
            11 => {
                let state = if yes { Connection::Paused } else { Connection::Online };
                Event::Destination { destination, state, error: yes.then_some(error), next_try_ms: None }
            }
            12 => Event::ConfigProblem { error: yes.then_some(error) },
            _ => Event::QueueFull { full: yes, by: None },
        }
    })
}

/// What an event would end, if it ends a delivery.
fn ends(event: &Event) -> Option<&str> {
    match event {
        Event::Sent { destination, .. } | Event::Failed { destination, .. } | Event::Evicted { destination, .. } => {
            Some(destination)
        }
        _ => None,
    }
}

fn issued(snapshot: &Snapshot) -> BTreeMap<String, u64> {
    snapshot.destinations.iter().map(|there| (there.name.clone(), there.issued())).collect()
}

/// Another configuration: these sources and destinations, each switched on or off.
fn configured(sources: &[(&str, bool)], destinations: &[(&str, bool)]) -> Event {
    let source = |&(name, enabled): &(&str, bool)| SourceHead {
        name: name.into(),
        folder: format!("/in/{name}"),
        converter: "wsjf".into(),
        enabled,
    };
    let destination = |&(name, enabled): &(&str, bool)| DestinationHead {
        name: name.into(),
        kind: "wats".into(),
        address: "https://server".into(),
        enabled,
    };
    Event::Configured(Box::new(Configured {
        identity: samples::snapshot().agent.identity,
        max_entries: 7,
        sources: sources.iter().map(source).collect(),
        destinations: destinations.iter().map(destination).collect(),
    }))
}

fn let_go(destination: &str, pending: u64, failed: u64, moved: u64, to: Option<&str>) -> Event {
    Event::LetGo { destination: destination.into(), pending, failed, moved, to: to.map(Into::into) }
}

/// All destinations that the snapshot knows, in use or not: pending and sending, failed, sent and given up.
fn books(snapshot: &Snapshot) -> BTreeMap<&str, [u64; 4]> {
    let all = snapshot.destinations.iter().chain(&snapshot.former.destinations);
    let books: Vec<_> = all.map(|d| (d.name.as_str(), [d.pending + d.sending, d.failed, d.sent, d.discarded])).collect();
    let count = books.len();
    let books: BTreeMap<_, _> = books.into_iter().collect();
    assert_eq!(books.len(), count, "a destination is there twice: {snapshot:?}");
    books
}

/// All sources that the snapshot knows: queued, errors, reports.
fn files(snapshot: &Snapshot) -> BTreeMap<&str, [u64; 3]> {
    let all = snapshot.sources.iter().chain(&snapshot.former.sources);
    let files: Vec<_> = all.map(|s| (s.name.as_str(), [s.queued, s.errors, s.reports])).collect();
    let count = files.len();
    let files: BTreeMap<_, _> = files.into_iter().collect();
    assert_eq!(files.len(), count, "a source is there twice: {snapshot:?}");
    files
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is added, removed, switched off, brought back or let go in between: nobody's numbers change by it, but those that a
    /// letting go names.
    #[test]
    fn no_configuration_changes_the_books(
        steps in proptest::collection::vec((any::<u8>(), any::<u8>(), any_event(), any::<bool>(), 0..3_usize), 1..60),
    ) {
        let mut snapshot = empty();
        for (at, (which, on, event, give_up, to)) in (0..).zip(steps) {
            snapshot.apply(at, &event);
            let chosen = |names: &[&'static str], shift: u32| -> Vec<(&'static str, bool)> {
                let bit = |byte: u8, n: usize| byte.rotate_right(shift) >> n & 1 == 1;
                (0..).zip(names).filter(|(n, _)| bit(which, *n)).map(|(n, name)| (*name, bit(on, n))).collect()
            };
            let (sources, destinations) = (chosen(&SOURCES, 0), chosen(&DESTINATIONS, 3));
            let before = snapshot.clone();
            snapshot.apply(at, &configured(&sources, &destinations));
            prop_assert_eq!(books(&snapshot), books(&before));
            prop_assert_eq!(files(&snapshot), files(&before));
            let names = |all: &[DestinationStatus]| all.iter().map(|d| d.name.clone()).collect::<Vec<_>>();
            let wanted: Vec<_> = destinations.iter().map(|(name, _)| (*name).to_owned()).collect();
            prop_assert_eq!(&names(&snapshot.destinations)[..wanted.len()], &wanted[..], "in the order of the configuration");
            for (index, there) in snapshot.destinations.iter().enumerate() {
                let removed = there.state == Connection::Removed;
                prop_assert_eq!(removed, index >= wanted.len());
                prop_assert!(!removed || there.pending + there.sending + there.failed > 0);
            }
            for gone in &snapshot.former.destinations {
                prop_assert_eq!((gone.state, gone.pending + gone.sending + gone.failed), (Connection::Removed, 0));
            }
            // One that is removed with reports is let go.
            let removed = snapshot.destinations.iter().find(|d| d.state == Connection::Removed).cloned();
            if let (true, Some(old)) = (give_up, removed) {
                let (pending, failed) = (old.pending + old.sending, old.failed);
                let to = destinations.get(to).map(|(name, _)| *name);
                let moved = if to.is_some() { pending + failed } else { 0 };
                let mut expected: BTreeMap<_, _> = books(&snapshot).into_iter().map(|(name, book)| (name.to_owned(), book)).collect();
                let book = expected.get_mut(&old.name).unwrap();
                (book[0], book[1], book[3]) = (0, 0, book[3] + pending + failed - moved);
                if let Some(to) = to {
                    expected.get_mut(to).unwrap()[0] += moved;
                }
                snapshot.apply(at, &let_go(&old.name, pending, failed, moved, to));
                let found: BTreeMap<_, _> = books(&snapshot).into_iter().map(|(name, book)| (name.to_owned(), book)).collect();
                prop_assert_eq!(found, expected);
                prop_assert!(snapshot.destinations.iter().all(|d| d.name != old.name), "it has nothing left to do");
            }
            let waiting: u64 = snapshot.destinations.iter().map(|d| d.pending + d.sending).sum();
            prop_assert_eq!(snapshot.queue.waiting, waiting);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// The agent says only what can happen: no delivery ends that was not bound before. Then only a queued file issues.
    #[test]
    fn only_a_queued_file_issues(events in proptest::collection::vec(any_event(), 0..200)) {
        let mut snapshot = empty();
        for (at, event) in (0..).zip(&events) {
            let waits = |name: &str| snapshot.destinations.iter().any(|there| there.name == name && there.pending + there.sending > 0);
            if ends(event).is_some_and(|name| !waits(name)) {
                continue;
            }
            let mut expected = issued(&snapshot);
            if let Event::FileQueued { destinations, reports, .. } = event {
                for name in destinations {
                    *expected.get_mut(name).unwrap() += u64::from(*reports);
                }
            }
            snapshot.apply(at, event);
            prop_assert_eq!(issued(&snapshot), expected, "after {:?}", event);
        }
    }

    /// Whatever is said, possible or not.
    #[test]
    fn the_books_fit_together_after_any_event(events in proptest::collection::vec(any_event(), 0..300)) {
        let mut snapshot = empty();
        for (at, event) in (0..).zip(&events) {
            let before = snapshot.clone();
            snapshot.apply(at, event);
            let waiting: u64 = snapshot.destinations.iter().map(|there| there.pending + there.sending).sum();
            prop_assert_eq!(snapshot.queue.waiting, waiting);
            let fullest = snapshot.destinations.iter().map(|there| there.pending + there.sending).max();
            prop_assert_eq!(Some(snapshot.queue.fullest), fullest);
            prop_assert!(snapshot.recent.len() <= RECENT_LIMIT);
            // What has ended stays ended.
            for (old, new) in before.destinations.iter().zip(&snapshot.destinations) {
                prop_assert!(new.sent >= old.sent && new.failed >= old.failed && new.evicted >= old.evicted);
            }
            for (old, new) in before.sources.iter().zip(&snapshot.sources) {
                prop_assert!(new.queued >= old.queued && new.errors >= old.errors && new.reports >= old.reports);
            }
        }
    }

    /// A file that is seen ends in one of three ways: queued, broken, forgotten. Meanwhile it waits.
    #[test]
    fn a_file_is_counted_once(ways in proptest::collection::vec(0..4_u8, 0..100)) {
        let mut snapshot = empty();
        let (source, file, correlation_id) = ("ict".to_owned(), "f".to_owned(), "c".to_owned());
        let queued = |whole| Event::FileQueued {
            source: source.clone(),
            file: file.clone(),
            correlation_id: correlation_id.clone(),
            reports: 2,
            serial: "SN".into(),
            destinations: vec!["main".into()],
            whole,
        };
        let broken = Event::FileBroken {
            source: source.clone(),
            file: file.clone(),
            correlation_id: correlation_id.clone(),
            error: samples::error(),
            moved_to: None,
        };
        let mut counted = 0;
        for way in ways {
            snapshot.apply(0, &Event::FileSeen { source: source.clone(), file: file.clone(), correlation_id: correlation_id.clone() });
            prop_assert_eq!(snapshot.sources[0].waiting, 1);
            let end = match way {
                0 => vec![queued(true)],
                1 => vec![queued(false), broken.clone()],
                2 => vec![broken.clone()],
                _ => vec![Event::FileForgotten { source: source.clone(), file: file.clone(), correlation_id: correlation_id.clone() }],
            };
            end.iter().for_each(|event| snapshot.apply(0, event));
            counted += u64::from(way < 3);
            prop_assert_eq!(snapshot.sources[0].waiting, 0);
            prop_assert_eq!(snapshot.sources[0].seen(), counted);
        }
    }
}

#[test]
fn what_is_on_its_way_is_what_waited() {
    let mut snapshot = empty();
    snapshot.destinations[0].pending = 5;
    let sending = |count| Event::Sending { destination: "main".into(), count };
    for (count, expected) in [(3, (2, 3)), (9, (0, 5)), (0, (5, 0))] {
        snapshot.apply(0, &sending(count));
        let main = &snapshot.destinations[0];
        assert_eq!((main.pending, main.sending), expected, "{count} on their way");
    }
}

#[test]
fn the_newest_happenings_are_kept() {
    let mut snapshot = empty();
    for at in 0..1000 {
        let event = Event::Sent {
            destination: "main".into(),
            report_id: "r".into(),
            correlation_id: "c".into(),
            serial: format!("SN{at}"),
            receipt: String::new(),
        };
        snapshot.apply(at, &event);
    }
    let kept: Vec<_> = snapshot.recent.iter().map(|activity| activity.at_ms).collect();
    assert_eq!(kept, (950..1000).collect::<Vec<i64>>());
    assert_eq!(snapshot.recent.back().unwrap().subject, "SN999");
}

/// Both sources and all destinations as they were at first, with numbers.
fn with_numbers() -> Snapshot {
    let mut snapshot = empty();
    for (n, source) in (1..).zip(&mut snapshot.sources) {
        (source.queued, source.errors, source.reports, source.state, source.error) =
            (10 * n, n, 20 * n, SourceState::Watching, None);
        source.folder = format!("/in/{}", source.name);
    }
    for (n, there) in (1..).zip(&mut snapshot.destinations) {
        (there.sent, there.state, there.error, there.next_try_ms) = (100 * n, Connection::Online, None, None);
    }
    snapshot
}

#[test]
fn a_new_configuration_goes_on_with_the_numbers_of_what_it_keeps() {
    let mut snapshot = with_numbers();
    snapshot.destinations[0].pending = 3;
    snapshot.apply(
        1,
        &configured(&[("fct", true), ("ict", true)], &[("fast", true), ("main", true), ("archive", true), ("old", true)]),
    );
    assert_eq!(snapshot.queue.max_entries, 7);
    let names: Vec<_> = snapshot.sources.iter().map(|s| (s.name.as_str(), s.queued, s.errors, s.state)).collect();
    assert_eq!(names, [("fct", 0, 0, SourceState::Starting), ("ict", 10, 1, SourceState::Watching)]);
    let kept: Vec<_> = snapshot.destinations.iter().map(|d| (d.name.as_str(), d.sent, d.pending, d.state)).collect();
    let online = Connection::Online;
    assert_eq!(
        kept,
        [("fast", 0, 0, Connection::Idle), ("main", 100, 3, online), ("archive", 200, 0, online), ("old", 300, 0, online)]
    );
    assert_eq!(snapshot.former.sources.iter().map(|s| (s.name.as_str(), s.queued)).collect::<Vec<_>>(), [("aoi", 20)]);
}

#[test]
fn another_identity_is_told_with_the_configuration() {
    let mut snapshot = with_numbers();
    let Event::Configured(mut new) = configured(&[], &[]) else { unreachable!() };
    new.identity.station = "ST-08".into();
    new.identity.window_theme = "light".into();
    let identity = new.identity.clone();
    assert_ne!(snapshot.agent.identity, identity);
    snapshot.apply(1, &Event::Configured(new));
    assert_eq!(snapshot.agent.identity, identity);
}

#[test]
fn a_removed_destination_stays_while_reports_wait_and_comes_back_with_its_numbers() {
    let mut snapshot = with_numbers();
    snapshot.destinations[0].failed = 2;
    snapshot.destinations[1].error = Some(samples::error());
    snapshot.apply(1, &configured(&[], &[("old", true)]));
    let there: Vec<_> = snapshot.destinations.iter().map(|d| (d.name.as_str(), d.state, d.failed, d.sent)).collect();
    assert_eq!(there, [("old", Connection::Online, 0, 300), ("main", Connection::Removed, 2, 100)]);
    let former = &snapshot.former.destinations;
    assert_eq!(former.iter().map(|d| (d.name.as_str(), d.sent, d.error.is_none())).collect::<Vec<_>>(), [("archive", 200, true)]);
    // Both are back: numbers as before, the way is found out anew. Capitals are no difference.
    snapshot.apply(2, &configured(&[("ict", true)], &[("Main", true), ("archive", true)]));
    let back: Vec<_> = snapshot.destinations.iter().map(|d| (d.name.as_str(), d.state, d.failed, d.sent)).collect();
    assert_eq!(back, [("Main", Connection::Idle, 2, 100), ("archive", Connection::Idle, 0, 200)]);
    assert_eq!(snapshot.former.destinations.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["old"]);
    assert_eq!((snapshot.sources[0].queued, snapshot.sources[0].reports), (10, 20));
}

#[test]
fn what_is_switched_off_is_off_and_begins_anew_when_it_is_switched_on() {
    let mut snapshot = with_numbers();
    snapshot.destinations[0].error = Some(samples::error());
    snapshot.sources[0].error = Some(samples::error());
    snapshot.apply(1, &configured(&[("ict", false)], &[("main", false)]));
    let (ict, main) = (&snapshot.sources[0], &snapshot.destinations[0]);
    assert_eq!((ict.state, &ict.error, ict.queued), (SourceState::Disabled, &None, 10));
    assert_eq!((main.state, &main.error, main.sent), (Connection::Disabled, &None, 100));
    snapshot.apply(2, &configured(&[("ict", true)], &[("main", true)]));
    let (ict, main) = (&snapshot.sources[0], &snapshot.destinations[0]);
    assert_eq!((ict.state, ict.queued), (SourceState::Starting, 10));
    assert_eq!((main.state, main.sent), (Connection::Idle, 100));
}

#[test]
fn another_address_is_another_way() {
    let mut snapshot = with_numbers();
    let Event::Configured(mut new) = configured(&[], &[("main", true)]) else { unreachable!() };
    new.destinations[0].address = "https://other".into();
    snapshot.destinations[0].error = Some(samples::error());
    snapshot.apply(1, &Event::Configured(new));
    let main = &snapshot.destinations[0];
    assert_eq!((main.state, &main.error, main.address.as_str(), main.sent), (Connection::Idle, &None, "https://other", 100));
}

#[test]
fn reports_that_are_let_go_are_moved_or_given_up_and_the_destination_leaves() {
    let mut snapshot = with_numbers();
    (snapshot.destinations[2].pending, snapshot.destinations[2].sending, snapshot.destinations[2].failed) = (4, 1, 2);
    let before = issued(&snapshot).values().sum::<u64>();
    // It is told before the configuration without it, or after: it comes to the same.
    let mut other = snapshot.clone();
    let (new, go) = (configured(&[], &[("main", true), ("archive", true)]), let_go("old", 5, 2, 6, Some("archive")));
    [&new, &go].iter().for_each(|event| snapshot.apply(1, event));
    [&go, &new].iter().for_each(|event| other.apply(1, event));
    assert_eq!(snapshot, other);
    let there: Vec<_> = snapshot.destinations.iter().map(|d| (d.name.as_str(), d.pending)).collect();
    assert_eq!(there, [("main", 0), ("archive", 6)]);
    let old = &snapshot.former.destinations[0];
    assert_eq!((old.name.as_str(), old.discarded, old.sent, old.pending + old.sending + old.failed), ("old", 1, 300, 0));
    assert_eq!((snapshot.queue.waiting, snapshot.queue.fullest), (6, 6));
    // Nothing is lost from the books: what was moved counts where it is now.
    let now = snapshot.destinations.iter().chain(&snapshot.former.destinations).map(DestinationStatus::issued).sum::<u64>();
    assert_eq!(now, before);
}

#[test]
fn a_problem_of_the_configuration_is_there_until_it_is_gone() {
    let mut snapshot = empty();
    for error in [Some(samples::error()), None] {
        snapshot.apply(1, &Event::ConfigProblem { error: error.clone() });
        assert_eq!(snapshot.agent.config_problem, error);
    }
}
