//! What is about the queue itself: looking into it, and acting on what lies in it.

use waybill_ipc::protocol::{
    Changed, DeliveryFilter, DeliveryState, EntryDetails, Event, Fault, FsckReport, FullBy, LaneRow, LossRow, Reply, ReportPart,
    Request, Search, SearchBy, Which,
};

use super::{Family, Message, ask, error, family, news, row};

/// Samples that differ in one enumeration only.
pub(super) fn families() -> Vec<Family> {
    vec![
        family("request.deliveries.search", SEARCHES, |by| {
            let filter = DeliveryFilter { search: Some(Search { by, text: "SN".into() }), ..DeliveryFilter::default() };
            ask(Request::RetryDeliveries { which: Which::All { filter, after: None } })
        }),
        family("request.which", [report(), Which::All { filter: filter(), after: Some(70_000) }], |which| {
            ask(Request::DiscardDeliveries { which, why: "a retest".into() })
        }),
        family("event.queue_full.by", [FullBy::Entries, FullBy::Bytes, FullBy::Disk], |by| {
            Message::Server(news(Event::QueueFull { full: true, by: Some(by) }))
        }),
    ]
}

const SEARCHES: [SearchBy; 5] = [SearchBy::Serial, SearchBy::Part, SearchBy::File, SearchBy::Report, SearchBy::Correlation];

fn report() -> Which {
    Which::Report { entry: 300, destination: Some("main".into()) }
}

/// Everything that a filter can say.
pub(super) fn filter() -> DeliveryFilter {
    DeliveryFilter {
        destination: Some("main".into()),
        state: Some(DeliveryState::Failed),
        priority: Some(9),
        search: Some(Search { by: SearchBy::Serial, text: "SN-1".into() }),
        newest_first: true,
    }
}

pub(super) fn requests() -> Vec<Request> {
    vec![
        Request::Delivery { entry: 300 },
        Request::ReportText { entry: 300, offset: 1_048_576 },
        Request::Lanes,
        Request::Losses,
        Request::RetryDeliveries { which: report() },
        Request::DiscardDeliveries { which: report(), why: "a retest".into() },
        Request::HoldLane { priority: 9, held: true },
        Request::HoldDestination { name: "main".into(), held: false },
        Request::ResetBreaker { name: "main".into() },
        Request::LossesSeen,
        Request::Fsck,
        Request::BackupQueue,
    ]
}

pub(super) fn replies() -> Vec<Reply> {
    vec![
        Reply::Delivery(Box::new(EntryDetails {
            deliveries: vec![row()],
            path: "/in/a.json".into(),
            place: Some("/in/done/a.json".into()),
            taken_at_ms: 1_700_000_000_000,
            reports_of_file: 3,
            size: 70_000,
            stored: 7_000,
            hash: "00ff".into(),
            older: Some(299),
        })),
        Reply::ReportText(ReportPart { total: 300, bytes: b"{}".to_vec() }),
        Reply::Lanes(vec![LaneRow {
            destination: "main".into(),
            priority: 9,
            held: true,
            pending: 3,
            pending_bytes: 70_000,
            failed: 1,
            sent: 5_000_000_000,
        }]),
        Reply::Losses(vec![LossRow {
            key: 1,
            at_ms: 1_700_000_000_000,
            what: "a page was not what was written".into(),
            reports: Some(3),
            deliveries: None,
            kept_at: Some("/data/queue.corrupt-1.db".into()),
            seen_at_ms: Some(5),
        }]),
        Reply::Changed(Changed { count: 500, skipped: 1, damaged: 2, removed: 3, more: true, last: Some(70_000) }),
        Reply::Fsck(FsckReport {
            faults: vec![Fault { place: "counter".into(), error: error() }],
            files: 1,
            entries: 2,
            deliveries: 4,
            payloads: 2,
            complete: true,
            took_ms: 300,
        }),
        Reply::BackupQueue("/data/backups/queue-1.db".into()),
    ]
}

pub(super) fn events() -> Vec<Event> {
    vec![
        Event::QueueFull { full: false, by: None },
        Event::Changed { destination: "main".into(), from: DeliveryState::Failed, to: DeliveryState::Pending, count: 300 },
        Event::LaneHeld { priority: 9, held: true },
        Event::LossesSeen,
    ]
}
