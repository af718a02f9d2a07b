//! What a door lets through and what it only remembers.

use bytes::Bytes;

use super::super::door::MOST_BYTES;
use super::*;

fn delivery(entry: i64, bytes: usize) -> ReadyDelivery {
    let key = DeliveryKey {
        entry,
        destination: "main".into(),
        report_id: ReportId::from_bytes([1; 16]),
        correlation_id: CorrelationId::new(),
        serial: "SN".into(),
    };
    ReadyDelivery { key, rank: entry, queued_at_ms: 0, tries: 0, body: Ok(Bytes::from(vec![0; bytes])) }
}

fn entries(came: &Came) -> Vec<i64> {
    came.deliveries.iter().map(|delivery| delivery.key.entry).collect()
}

#[test]
fn a_closed_door_only_remembers() {
    let door = Door::default();
    door.put([delivery(1, 1)]);
    let came = door.take();
    assert!(came.missed && came.deliveries.is_empty());
    assert!(!door.take().missed);
}

#[test]
fn what_is_missed_is_overtaken_by_nothing() {
    let door = Door::default();
    door.open();
    door.put((0..300).map(|n| delivery(n, 1)));
    let came = door.take();
    assert_eq!(entries(&came), (0..256).collect::<Vec<_>>());
    assert!(came.missed);
    door.put([delivery(400, 1)]);
    assert_eq!(door.take().deliveries.len(), 0, "it is closed until the store was read");
    door.open();
    door.put([delivery(1, MOST_BYTES), delivery(2, 1), delivery(3, 0)]);
    let came = door.take();
    assert_eq!((entries(&came), came.missed), (vec![1], true), "the small one behind a large one waits as well");
}

#[test]
fn closing_it_forgets_nothing_but_what_is_in_the_store() {
    let door = Door::default();
    door.open();
    door.put([delivery(1, 1)]);
    door.stale();
    door.close();
    let came = door.take();
    assert!(came.deliveries.is_empty() && came.missed && came.stale);
    door.put([delivery(2, 1)]);
    assert!(door.take().deliveries.is_empty(), "it stays closed");
}

#[tokio::test]
async fn who_comes_late_is_still_woken() {
    let doors = Doors::default();
    let door = doors.hang("Main");
    doors.of("main").unwrap().miss();
    tokio::time::timeout(std::time::Duration::from_secs(10), door.came()).await.unwrap();
    let newer = doors.hang("MAIN");
    doors.remove("main", &door);
    assert!(doors.of("main").is_some_and(|hangs| Arc::ptr_eq(&hangs, &newer)));
}
