//! How many changes a connection may ask for, and limits that are others from now on.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, reason = "a fault of a test is told where it stands")]

mod house;
mod samples;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use house::{House, SOON, script};
use tokio::time::{sleep, timeout};
use waybill_ipc::protocol::{ClientKind, Reply, Request, ServerMessage};
use waybill_ipc::server::Limits;
use waybill_shared::config::Ipc;
use waybill_shared::error::{Code, ErrorReport};

/// Answers by id; panics if a request has two.
async fn answers(raw: &mut house::Raw, count: usize) -> BTreeMap<u64, Result<Reply, ErrorReport>> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        match raw.message().await.unwrap() {
            ServerMessage::Response { id, result } => assert!(answers.insert(id, result).is_none(), "{id} has two answers"),
            other => panic!("{other:?}"),
        }
    }
    answers
}

fn refused_ids(answers: &BTreeMap<u64, Result<Reply, ErrorReport>>) -> Vec<u64> {
    let refused = answers.iter().filter_map(|(id, answer)| answer.as_ref().err().map(|error| (*id, error)));
    refused
        .map(|(id, error)| {
            assert_eq!(error.code, Code::TooManyRequests, "{error}");
            id
        })
        .collect()
}

#[tokio::test]
async fn twenty_changes_at_once_pass_and_the_next_is_refused_once() {
    // A burst as by default, and so slow after it that no machine is slow enough for a token more.
    let house = House::open(|ipc| {
        assert_eq!((ipc.changes_per_minute, ipc.changes_burst), (100, 20));
        ipc.changes_per_minute = 1;
    });
    let mut raw = house.greeted(ClientKind::Window).await;
    for id in 1..=21 {
        raw.ask(id, Request::ClearSecret { name: format!("s{id}") }).await;
    }
    let answered = answers(&mut raw, 21).await;
    assert_eq!(refused_ids(&answered), [21]);
    let why = answered[&21].as_ref().unwrap_err().to_string();
    assert!(why.contains("1 changes a minute, 20 of them at once"), "{why}");
    assert_eq!(house.service.asked.lock().unwrap().len(), 20, "the service never saw the refused one");
    {
        let told = house.service.refused.lock().unwrap();
        let last = Request::ClearSecret { name: "s21".into() };
        assert_eq!(*told, [(last, answered[&21].clone().unwrap_err())], "the service was told what was refused");
    }
    // Reads are not counted, before or after.
    let reads = 200;
    for id in 0..reads {
        raw.ask(id, if id % 2 == 0 { Request::Status } else { Request::Health { fresh: true } }).await;
        assert!(refused_ids(&answers(&mut raw, 1).await).is_empty());
    }
    assert!(raw.lives().await);
    // Another connection has its own count.
    let other = house.client(ClientKind::Cli).await.unwrap();
    other.request(Request::DropRole).await.unwrap();
}

#[tokio::test]
async fn by_default_no_more_than_a_burst_and_a_hundred_a_minute_pass() {
    let house = House::open(|_| {});
    let mut raw = house.greeted(ClientKind::Window).await;
    let start = Instant::now();
    for id in 1..=60 {
        raw.ask(id, Request::DropRole).await;
    }
    let answered = answers(&mut raw, 60).await;
    let refused = refused_ids(&answered);
    let passed = 60 - refused.len();
    let most = 20.0 + start.elapsed().as_secs_f64() * 100.0 / 60.0;
    assert!(passed >= 20 && passed as f64 <= most, "{passed} passed, {most} may");
    assert!(refused.iter().all(|id| *id > 20), "{refused:?}");
    assert_eq!(house.service.asked.lock().unwrap().len(), passed);
    assert_eq!(house.service.refused.lock().unwrap().len(), refused.len());
    // A token comes back with time: 0.6 s.
    let mut id = 100;
    let again = async {
        loop {
            raw.ask(id, Request::DropRole).await;
            if refused_ids(&answers(&mut raw, 1).await).is_empty() {
                return;
            }
            id += 1;
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, again).await.expect("changes pass again");
}

#[tokio::test]
async fn other_limits_count_for_connections_that_come_after_them() {
    let house = House::open(|ipc| ipc.changes_per_minute = 1);
    let mut before = house.greeted(ClientKind::Window).await;
    let tighter = Ipc { changes_per_minute: 1, changes_burst: 2, request_timeout_secs: 1, max_connections: 2, ..Ipc::default() };
    house.limits.send_replace(Limits::from(&tighter));
    let mut after = house.greeted(ClientKind::Window).await;
    for raw in [&mut before, &mut after] {
        for id in 1..=3 {
            raw.ask(id, Request::DropRole).await;
        }
        raw.ask(4, script("after 1500")).await;
    }
    assert!(answers(&mut before, 4).await.values().all(Result::is_ok), "the limits that it came with are its own");
    let after = answers(&mut after, 4).await;
    assert_eq!(after[&3].as_ref().unwrap_err().code, Code::TooManyRequests);
    assert_eq!(after[&4].as_ref().unwrap_err().code, Code::PeerTimeout);
    assert!(after[&1].is_ok() && after[&2].is_ok());
    // Two are inside, and there are only two places now.
    let error = house.client(ClientKind::Window).await.err().expect("a full house");
    assert!(error.to_string().contains("all 2 places are taken"), "{error}");
    house.limits.send_replace(Limits::from(&Ipc::default()));
    house.client(ClientKind::Window).await.unwrap();
}
