//! Who has a place, who has to wait outside, and who makes room.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, reason = "a fault of a test is told where it stands")]

mod house;
mod samples;

use std::time::Duration;

use house::{House, Raw, SOON, script, told};
use tokio::time::timeout;
use waybill_ipc::ClientError;
use waybill_ipc::protocol::{ClientKind, Frozen, Request};
use waybill_shared::error::Code;

const PLACES: usize = 4;
const KEPT: usize = 4;

async fn fill(house: &House, kind: ClientKind, count: usize) -> Vec<Raw> {
    let mut inside = Vec::new();
    for _ in 0..count {
        inside.push(house.greeted(kind).await);
    }
    inside
}

fn small() -> House {
    House::open(|ipc| ipc.max_connections = u32::try_from(PLACES).unwrap())
}

#[tokio::test]
async fn a_window_finds_the_house_full_and_a_command_line_does_not() {
    let house = small();
    let mut windows = fill(&house, ClientKind::Window, PLACES).await;
    let error = house.client(ClientKind::Window).await.err().expect("a full house");
    assert!(matches!(&error, ClientError::Refused(why) if why.contains("all 4 places are taken")), "{error:?}");
    assert_eq!(error.report().code, Code::PeerCrowded);
    for kind in [ClientKind::Cli, ClientKind::Watchdog] {
        let client = house.client(kind).await.unwrap();
        assert_eq!(told(client.request(script("at once")).await.unwrap()), "at once");
    }
    for window in &mut windows {
        assert!(window.lives().await, "a window had to make room");
    }
    // A place that is given back is taken by the next.
    drop(windows.pop());
    let again = async {
        while house.client(ClientKind::Window).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, again).await.expect("the place is free");
}

#[tokio::test]
async fn a_crowd_of_silent_command_lines_keeps_no_command_line_out() {
    let house = small();
    let mut windows = fill(&house, ClientKind::Window, 2).await;
    let mut silent = fill(&house, ClientKind::Cli, PLACES + KEPT - 2).await;
    // A hundred more: each is answered, and only ones that were silent make room.
    for _ in 0..100 {
        let client = house.client(ClientKind::Cli).await.unwrap();
        assert_eq!(told(client.request(script("at once")).await.unwrap()), "at once");
        silent.push(house.greeted(ClientKind::Cli).await);
    }
    for window in &mut windows {
        assert!(window.lives().await, "a window had to make room");
    }
    silent[0].until_closed().await;
    assert!(silent.last_mut().unwrap().lives().await);
    // Windows still find it full: command lines took the rest.
    assert!(house.client(ClientKind::Window).await.is_err());
}

#[tokio::test]
async fn whoever_waits_for_an_answer_keeps_its_place_and_the_others_leave_in_the_order_of_their_silence() {
    let house = small();
    let mut windows = fill(&house, ClientKind::Window, PLACES).await;
    let mut lines = fill(&house, ClientKind::Cli, KEPT).await;
    // From the one silent longest to the one heard last: asks and waits, is subscribed, pings, pings.
    lines[0].ask(1, script("never")).await;
    lines[1].ask(1, Request::Subscribe).await;
    for _ in 0..2 {
        lines[1].frame().await.unwrap();
    }
    assert!(lines[3].lives().await && lines[2].lives().await);
    let mut newcomers = Vec::new();
    for (kind, leaves) in [(ClientKind::Cli, 1), (ClientKind::Watchdog, 3), (ClientKind::Cli, 2)] {
        let mut newcomer = house.greeted(kind).await;
        newcomer.ask(1, script("never")).await;
        assert!(newcomer.lives().await);
        newcomers.push(newcomer);
        lines[leaves].until_closed().await;
        assert!(lines[0].lives().await);
    }
    // All of them wait for answers: now it is full for command lines as well.
    let mut raw = house.raw().await;
    let answer = raw.greet(ClientKind::Cli).await;
    assert!(matches!(&answer, Some(Frozen::Refused(why)) if why.contains("places are taken")), "{answer:?}");
    for window in &mut windows {
        assert!(window.lives().await);
    }
}

#[tokio::test]
async fn in_the_hall_the_one_that_stands_there_longest_makes_room() {
    let house = small();
    let mut windows = fill(&house, ClientKind::Window, PLACES).await;
    let mut hall = Vec::new();
    for _ in 0..PLACES * 5 {
        hall.push(house.raw().await);
        // In order: the server has taken this one in when it takes the next.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (old, new) = hall.split_at_mut(PLACES * 4);
    for raw in old {
        assert!(raw.until_closed().await < Duration::from_secs(5));
    }
    // The ones that came last may still greet.
    for raw in new.iter_mut().take(KEPT) {
        assert!(matches!(raw.greet(ClientKind::Cli).await, Some(Frozen::Hello(_))));
    }
    for window in &mut windows {
        assert!(window.lives().await, "the hall pushed somebody out who had a place");
    }
}

#[tokio::test]
async fn whoever_never_greets_has_to_leave() {
    let house = House::open(|ipc| ipc.hello_timeout_secs = 1);
    let waited = house.raw().await.until_closed().await;
    assert!(waited >= Duration::from_millis(900) && waited < Duration::from_secs(10), "{waited:?}");
}

#[tokio::test]
async fn a_thousand_come_and_go_and_leave_nothing() {
    let house = small();
    for round in 0..1000 {
        let mut raw = house.raw().await;
        match round % 4 {
            0 => {}
            1 => raw.send(&[1, 2]).await,
            2 => drop(raw.greet(ClientKind::Cli).await),
            _ => {
                raw.greet(ClientKind::Cli).await;
                raw.ask(1, Request::Subscribe).await;
            }
        }
    }
    let all_gone = || house.service.subscribers.load(std::sync::atomic::Ordering::SeqCst) == 0;
    house::until("all subscriptions have ended", all_gone).await;
    // Every place is free again.
    let again = async {
        loop {
            let mut kept = Vec::new();
            for _ in 0..PLACES {
                kept.extend(house.client(ClientKind::Window).await.ok());
            }
            if kept.len() == PLACES {
                return;
            }
        }
    };
    timeout(SOON, again).await.expect("all places are free");
}
