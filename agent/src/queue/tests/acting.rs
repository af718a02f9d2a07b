//! What people do with what lies in the queue, and what bounds it.

use waybill_ipc::protocol::{Changed, Search, SearchBy, Which};

use super::*;

const SMALL: &str = "[queue]\nmax_entries=10\nmin_free_bytes=0\nmin_free_percent=0\n";

fn all(filter: DeliveryFilter) -> Which {
    Which::All { filter, after: None }
}

fn in_state(state: DeliveryState) -> Which {
    all(DeliveryFilter { state: Some(state), ..DeliveryFilter::default() })
}

impl Store {
    async fn retry(&self, which: Which) -> Result<Changed, QueueError> {
        self.queue().writer.ask(|ack| Command::Retry { which, ack }).await
    }

    async fn discard(&self, which: Which) -> Result<Changed, QueueError> {
        let why = "a test".to_owned();
        self.queue().writer.ask(|ack| Command::Discard { which, why, ack }).await
    }

    async fn fail(&self, destination: &str) {
        for ready in self.ready(destination).await {
            self.outcome(&ready.key, Outcome::Failed { error: error() }).await;
        }
    }

    async fn list(&self, filter: DeliveryFilter, limit: u32) -> Vec<String> {
        let (mut serials, mut after) = (Vec::new(), None);
        loop {
            let rows = self.queue().reader.deliveries(filter.clone(), Page { after, limit }).await.unwrap();
            let Some(last) = rows.last() else { return serials };
            after = Some(last.key);
            serials.extend(rows.into_iter().map(|row| row.serial));
        }
    }

    async fn hold_lane(&self, priority: u8, held: bool) {
        self.queue().writer.ask(|ack| Command::HoldLane { priority, held, ack }).await.unwrap();
    }
}

#[tokio::test]
async fn what_failed_goes_again_as_new_and_all_of_it_is_counted() {
    let mut store = Store::new(TWO);
    store.add("/a", &[1, 2]).await.unwrap();
    store.fail("main").await;
    assert_eq!(store.ready("main").await.len(), 0);
    let changed =
        store.retry(all(DeliveryFilter { destination: Some("MAIN".into()), ..DeliveryFilter::default() })).await.unwrap();
    assert_eq!((changed.count, changed.skipped, changed.more), (2, 0, false));
    assert_eq!(store.ready("main").await.len(), 2);
    let counts = store.counts(TWO, "main").await;
    assert_eq!(counts, Counts { pending: 2, most: 2, ..Counts::default() });
    assert_eq!(store.retry(in_state(DeliveryState::Failed)).await.unwrap().count, 0);
}

#[tokio::test]
async fn what_was_given_up_can_be_taken_up_until_it_was_kept_long_enough() {
    let mut store = Store::new(ONE);
    store.add("/a", &[1, 2]).await.unwrap();
    let entry = store.ready("main").await[0].key.entry;
    let one = || Which::Report { entry, destination: None };
    assert_eq!(store.discard(one()).await.unwrap().count, 1);
    assert_eq!(store.discard(one()).await.unwrap().count, 0, "twice changes nothing");
    assert_eq!(store.ready("main").await.len(), 1);
    let row = store.queue().reader.entry(entry).await.unwrap().deliveries.remove(0);
    assert_eq!((row.state, row.receipt.as_deref()), (DeliveryState::Discarded, Some("a test")));
    assert_eq!(store.retry(one()).await.unwrap().count, 1);
    assert_eq!(store.ready("main").await.len(), 2);
    store.discard(one()).await.unwrap();
    let later = Timestamp::now().checked_add(SignedDuration::from_hours(1)).unwrap();
    store.queue().writer.send(Command::Purge { old: old(later) }).await.unwrap();
    assert!(matches!(store.retry(one()).await, Err(QueueError::NoEntry(_))));
    assert_eq!(store.counts(ONE, "main").await, Counts { pending: 1, discarded: 1, most: 2, ..Counts::default() });
}

#[tokio::test]
async fn an_older_revision_never_goes_after_a_newer_one() {
    let mut store = Store::new(ONE);
    store.add("/a", &[1]).await.unwrap();
    store.fail("main").await;
    store.add("/b", &[1]).await.unwrap();
    let changed = store.retry(in_state(DeliveryState::Failed)).await.unwrap();
    assert_eq!((changed.count, changed.skipped), (0, 1), "the newer one waits");
    store.send_all("main").await;
    assert_eq!(store.retry(in_state(DeliveryState::Failed)).await.unwrap().skipped, 1, "the newer one was sent");
}

#[tokio::test]
async fn what_waits_for_its_time_goes_now_if_a_person_wants_it() {
    let mut store = Store::new(ONE);
    store.add("/a", &[1]).await.unwrap();
    let key = store.ready("main").await.remove(0).key;
    store.outcome(&key, retry(1000, 10)).await;
    assert_eq!(store.ready("main").await.len(), 0);
    assert_eq!(store.retry(in_state(DeliveryState::Pending)).await.unwrap().count, 1);
    assert_eq!(store.ready("main").await.len(), 1);
}

#[tokio::test]
async fn one_command_changes_two_thousand_and_the_next_goes_on_behind_them() {
    let mut store =
        Store::new("[[destination]]\nname='main'\nkind='folder'\nfolder='x'\n[queue]\nmin_free_bytes=0\nmin_free_percent=0\n");
    let ids: Vec<u8> = (0..=255).collect();
    for n in 0..17 {
        store.add(&format!("/{n}"), &ids).await.unwrap();
    }
    let pending = || DeliveryFilter { state: Some(DeliveryState::Pending), ..DeliveryFilter::default() };
    let (mut after, mut counts) = (None, Vec::new());
    loop {
        let changed = store.discard(Which::All { filter: pending(), after }).await.unwrap();
        counts.push(changed.count);
        after = changed.last;
        if !changed.more {
            break;
        }
    }
    assert_eq!(counts, [2000, 2000, 352]);
}

#[tokio::test]
async fn a_held_lane_keeps_what_is_in_it_and_lets_others_pass() {
    let mut store = Store::new(ONE);
    let mut urgent = store.file("/urgent", &[1]);
    urgent.priority = 1;
    store.commit(urgent).await.unwrap();
    store.add("/usual", &[2]).await.unwrap();
    store.hold_lane(1, true).await;
    let serials = |ready: Vec<ReadyDelivery>| ready.into_iter().map(|r| r.key.serial).collect::<Vec<_>>();
    assert_eq!(serials(store.ready("main").await), ["SN2"]);
    store.crash_and_open(ONE).await;
    assert_eq!(store.queue().found.held_lanes, [1]);
    assert_eq!(serials(store.ready("main").await), ["SN2"], "a restart changes nothing of it");
    let lanes = store.queue().reader.lanes().await.unwrap();
    assert_eq!(lanes.iter().map(|l| (l.priority, l.held, l.pending)).collect::<Vec<_>>(), [(1, true, 1), (5, false, 1)]);
    store.hold_lane(1, false).await;
    assert_eq!(serials(store.ready("main").await), ["SN1", "SN2"]);
    let wrong = store.queue().writer.ask(|ack| Command::HoldLane { priority: 11, held: true, ack }).await;
    assert!(matches!(wrong, Err(QueueError::NoLane(11))));
}

#[tokio::test]
async fn reports_are_found_by_what_people_know_of_them_page_by_page() {
    let mut store = Store::new(TWO);
    store.add("/in/Board-7.json", &[10, 11, 12]).await.unwrap();
    store.add("/in/panel.json", &[20]).await.unwrap();
    let search = |by, text: &str| DeliveryFilter {
        destination: Some("main".into()),
        search: Some(Search { by, text: text.into() }),
        ..DeliveryFilter::default()
    };
    for limit in [1, 2, 100] {
        assert_eq!(store.list(search(SearchBy::Serial, "sn1"), limit).await, ["SN10", "SN11", "SN12"]);
        assert_eq!(store.list(search(SearchBy::File, "BOARD"), limit).await, ["SN10", "SN11", "SN12"]);
        assert_eq!(store.list(search(SearchBy::Part, "PN"), limit).await.len(), 4);
        let id = ReportId::from_bytes([20; 16]).to_string();
        assert_eq!(store.list(search(SearchBy::Report, &id), limit).await, ["SN20"]);
        let newest = DeliveryFilter { newest_first: true, ..DeliveryFilter::default() };
        let newest = store.list(newest, limit).await;
        assert_eq!(newest, ["SN20", "SN20", "SN12", "SN12", "SN11", "SN11", "SN10", "SN10"]);
    }
    let both = DeliveryFilter { destination: None, ..search(SearchBy::Serial, "SN2") };
    assert_eq!(store.list(both, 1).await, ["SN20", "SN20"]);
    assert!(store.list(search(SearchBy::Report, "no id"), 10).await.is_empty());
    let nowhere = DeliveryFilter { destination: Some("nowhere".into()), ..DeliveryFilter::default() };
    let told = store.queue().reader.deliveries(nowhere, Page { after: None, limit: 1 }).await;
    assert!(matches!(told, Err(QueueError::NoDestination { .. })));
}

#[tokio::test]
async fn bytes_bound_the_queue_as_well_as_the_count() {
    let text = format!("{ONE}[queue]\nmax_bytes=1048576\nmin_free_bytes=0\nmin_free_percent=0\n");
    let mut store = Store::new(&text);
    let spool = store.places().spool;
    let mut random = fastrand::Rng::with_seed(1);
    let mut accepted = 0;
    let refused = loop {
        let noise: Vec<u8> = (0..100_000).map(|_| random.u8(..)).collect();
        let mut file = store.file(&format!("/{accepted}"), &[1]);
        file.entries[0].payload = Payload::new(noise, &spool).unwrap();
        match store.commit(file).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(accepted, 10);
    assert!(matches!(&refused, QueueError::Full { why: Full::Bytes, .. }), "{refused}");
    assert!(store.queue().gate.is_closed());
    store.send_all("main").await;
    assert!(!store.queue().gate.is_closed(), "there is room again");
}

#[tokio::test]
async fn a_disk_without_room_takes_nothing_whatever_the_policy() {
    for policy in ["reject", "pause", "oldest_first"] {
        let text = format!("{ONE}[queue]\nmin_free_bytes={}\nwhen_full='{policy}'\n", 1_u64 << 50);
        let mut store = Store::new(&text);
        assert!(store.queue().gate.is_closed(), "{policy}");
        let refused = store.add("/a", &[1]).await.unwrap_err();
        assert!(matches!(&refused, QueueError::Full { why: Full::Disk, .. }), "{refused}");
        assert!(refused.to_string().contains("must stay free"), "{refused}");
    }
}

#[tokio::test]
async fn what_had_to_make_room_can_be_taken_up_again_from_its_file() {
    let mut store = Store::new(&format!("{ONE}{SMALL}when_full='oldest_first'\n"));
    for id in 0..12 {
        store.add(&format!("/{id}"), &[id]).await.unwrap();
    }
    let evicted = store.list(DeliveryFilter { state: Some(DeliveryState::Evicted), ..DeliveryFilter::default() }, 100).await;
    assert_eq!(evicted, ["SN0", "SN1"]);
    let folder = store.places().evicted.join("main");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
    let later = Timestamp::now().checked_add(SignedDuration::from_hours(1)).unwrap();
    store.send_all("main").await;
    store.queue().writer.send(Command::Purge { old: old(later) }).await.unwrap();
    assert_eq!(store.retry(in_state(DeliveryState::Evicted)).await.unwrap().count, 2, "they outlive what was sent");
    let ready = store.ready("main").await;
    assert_eq!(ready[0].body.clone().unwrap(), "{\"sn\":\"SN0\"}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "the file goes once its report is in the store again");
    assert_eq!(store.send_all("main").await, 2);
}

#[tokio::test]
async fn one_whose_file_is_gone_keeps_no_other_from_being_taken_up_again() {
    let mut store = Store::new(&format!("{ONE}{SMALL}when_full='oldest_first'\n"));
    for id in 0..13 {
        store.add(&format!("/{id}"), &[id]).await.unwrap();
    }
    let files = std::fs::read_dir(store.places().evicted.join("main")).unwrap().map(|file| file.unwrap().path());
    let gone = files.into_iter().find(|path| path.to_string_lossy().contains("SN1_")).unwrap();
    std::fs::remove_file(gone).unwrap();
    store.send_all("main").await;
    let changed = store.retry(in_state(DeliveryState::Evicted)).await.unwrap();
    assert_eq!((changed.count, changed.damaged, changed.removed), (2, 1, 0));
    assert_eq!(store.send_all("main").await, 2);
    let left = store.list(DeliveryFilter { state: Some(DeliveryState::Evicted), ..DeliveryFilter::default() }, 100).await;
    assert_eq!(left, ["SN1"]);
    let alone = store.retry(Which::Report { entry: 2, destination: None }).await;
    assert!(alone.unwrap_err().to_string().contains("SN1_"), "of one report it is told");
}

#[tokio::test]
async fn one_whose_bytes_are_lost_fails_and_keeps_no_other_from_coming_in() {
    let text = format!("{ONE}{SMALL}when_full='oldest_first'\n");
    let mut store = Store::new(&text);
    for id in 0..10 {
        store.add(&format!("/{id}"), &[id]).await.unwrap();
    }
    let other = rusqlite::Connection::open(&store.places().database).unwrap();
    assert_eq!(other.execute("UPDATE entry SET payload = x'00' WHERE entry = 1", []).unwrap(), 1);
    store.add("/10", &[10]).await.unwrap();
    store.add("/11", &[11]).await.unwrap();
    let counts = store.counts(&text, "main").await;
    assert_eq!((counts.pending, counts.failed, counts.evicted), (10, 1, 1));
}

#[tokio::test]
async fn nothing_is_taken_up_for_a_destination_that_was_removed() {
    let mut store = Store::new(TWO);
    store.add("/a", &[1]).await.unwrap();
    assert_eq!(store.discard(in_state(DeliveryState::Pending)).await.unwrap().count, 2);
    store.crash_and_open(ONE).await;
    let changed = store.retry(in_state(DeliveryState::Discarded)).await.unwrap();
    assert_eq!((changed.count, changed.removed), (1, 1));
    let alone = store.retry(Which::Report { entry: 1, destination: Some("second".to_owned()) }).await.unwrap_err();
    assert!(alone.to_string().contains("there are: main"), "{alone}");
}

#[tokio::test]
async fn a_destination_that_is_not_required_makes_room_before_the_others_suffer() {
    let text = format!("{ONE}[[destination]]\nname='extra'\nkind='folder'\nfolder='y'\nrequired=false\n{SMALL}");
    let mut store = Store::new(&text);
    for id in 0..10 {
        store.add(&format!("/{id}"), &[id]).await.unwrap();
        store.send_all("main").await;
    }
    let counts = store.queue().reader.lanes().await.unwrap();
    assert_eq!(counts.iter().find(|lane| lane.destination == "extra").unwrap().pending, 8);
    assert!(!store.queue().gate.is_closed());
    assert_eq!(store.counts(&text, "extra").await.evicted, 2);
}

#[tokio::test]
async fn the_most_that_ever_waited_is_remembered() {
    let mut store = Store::new(ONE);
    store.add("/a", &[1, 2, 3]).await.unwrap();
    store.send_all("main").await;
    store.add("/b", &[4]).await.unwrap();
    assert_eq!(store.counts(ONE, "main").await.most, 3);
}

#[tokio::test]
async fn holds_and_breakers_survive_a_restart() {
    let mut store = Store::new(ONE);
    let breaker = BreakerMemory { failures: 3, cooldown_ms: Some(60_000), open_until_ms: Some(5) };
    store.queue().writer.send(Command::Breaker { destination: "Main".into(), breaker }).await.unwrap();
    let destination = "main".to_owned();
    store.queue().writer.ask(|ack| Command::HoldDestination { destination, held: true, ack }).await.unwrap();
    store.crash_and_open(ONE).await;
    let remembered = store.queue().reader.remembered("main").await.unwrap();
    assert_eq!(remembered, Remembered { accepted_by: None, breaker, held: true });
}

#[tokio::test]
async fn what_comes_through_a_door_is_what_was_committed_and_nothing_comes_twice() {
    let mut store = Store::new(ONE);
    store.add("/before", &[1]).await.unwrap();
    let door = store.queue().doors.hang("main");
    door.open();
    let read = store.queue().reader.ready("main", 100, HashSet::new()).await.unwrap();
    store.add("/after", &[2]).await.unwrap();
    let came = door.take();
    let new: Vec<_> = came.deliveries.iter().filter(|d| d.key.entry > read.upto).map(|d| d.key.serial.as_str()).collect();
    assert_eq!((read.deliveries.len(), new), (1, vec!["SN2"]));
    assert_eq!(came.deliveries[0].body.clone().unwrap(), "{\"sn\":\"SN2\"}");
    // A revision of something that may still wait is for the store to judge.
    store.add("/again", &[2]).await.unwrap();
    let came = door.take();
    assert!(came.missed && came.deliveries.is_empty());
    door.open();
    store.discard(in_state(DeliveryState::Pending)).await.unwrap();
    assert!(door.take().stale, "what was read before may be gone");
}

#[tokio::test]
async fn what_is_asked_all_the_time_is_answered_by_an_index() {
    let mut store = Store::new(ONE);
    store.add("/a", &[1]).await.unwrap();
    store.close().await;
    let connection = super::super::schema::open_writer(&store.places().database).unwrap();
    for (question, index) in [
        ("SELECT 1 FROM delivery d WHERE d.state = 3 AND d.finished_at < ?1", "delivery_sent"),
        ("SELECT min(due) FROM delivery WHERE destination = ?1 AND state = 1 AND due > 0", "delivery_delayed"),
        (
            "SELECT rank FROM delivery WHERE destination = ?1 AND priority = ?2 AND state = 1 AND due = 0 ORDER BY rank, entry",
            "delivery_ready",
        ),
        (
            "SELECT entry FROM delivery WHERE destination = ?1 AND state = ?2 AND priority = ?3 AND entry >= ?4 ORDER BY entry",
            "delivery_list",
        ),
        ("SELECT file FROM file WHERE modified_ns = ?1 AND hash = ?2", "file_taken"),
        ("SELECT file FROM file WHERE state = 0", "file_staged"),
        ("SELECT file FROM file WHERE state = 1 AND source = ?1", "file_open"),
        ("SELECT entry FROM entry WHERE unbound = 1", "entry_unbound"),
        // Both ends: equipment that counts its ids up gives all the same beginning.
        (
            "SELECT entry FROM entry WHERE substr(report_id, 1, 4) = ?1 AND substr(report_id, 13, 4) = ?2",
            "entry_report (<expr>=? AND <expr>=?)",
        ),
        ("SELECT spool FROM entry WHERE spool IS NOT NULL", "entry_spool"),
    ] {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {question}")).unwrap();
        let values = vec![1; plan.parameter_count()];
        let plan: Vec<String> =
            plan.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(
            plan.iter().any(|step| step.contains(index)) && !plan.iter().any(|step| step.contains("SORT")),
            "{question}: {plan:?}"
        );
    }
}
