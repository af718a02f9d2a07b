//! The one law of the books: what was issued is what waits, is on its way, arrived, failed, was given up or made room. Only a
//! queued file issues anything.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, reason = "a fault of a test is told where it stands")]

mod samples;

use std::collections::BTreeMap;

use proptest::prelude::*;
use waybill_ipc::protocol::{
    AgentState, Connection, DestinationStatus, Event, RECENT_LIMIT, Snapshot, SourceState, SourceStatus,
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
        ..full.clone()
    }
}

/// Any event, about these sources and destinations, or one that nobody knows.
fn any_event() -> impl Strategy<Value = Event> {
    let source = prop::sample::select(vec!["ict", "aoi", "nobody"]);
    let destination = prop::sample::select(vec!["main", "archive", "old", "nobody"]);
    (0..13_u8, source, destination, 0..5_u32, any::<bool>()).prop_map(|(kind, source, destination, count, yes)| {
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
            _ => Event::QueueFull { full: yes },
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
