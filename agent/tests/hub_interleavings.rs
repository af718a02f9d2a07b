//! The event hub under shuttle: the file `agent/src/serve/hub.rs` itself, compiled here with shuttle's lock and a wake-up made of it, run
//! through thousands of interleavings at random and by priorities (PCT). A thread that is never woken is a deadlock, and shuttle says so:
//! that every test ends says that nobody waits for a slow subscriber and no wake-up is lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    reason = "a fault of a test is told where it stands; the hub has more than is tested here"
)]

#[path = "../src/serve/hub.rs"]
mod hub;
mod sync;

use hub::{BUFFER, Hub, SUBSCRIBERS, Subscription};
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};
use waybill_ipc::protocol::{Event, Snapshot, SourceHead, SourceStatus, Update};
use waybill_ipc::server::Updates as _;

/// Interleavings of each kind, for each test; `WAYBILL_INTERLEAVINGS` asks for another number.
const INTERLEAVINGS: usize = 1000;
/// Changes of priority in one run by PCT.
const DEPTH: usize = 4;

/// Publishers by name: each event of one counts up its own source, so that a snapshot says how many events it holds.
const PUBLISHERS: [&str; 2] = ["a", "b"];

fn interleavings() -> usize {
    std::env::var("WAYBILL_INTERLEAVINGS").ok().and_then(|text| text.parse().ok()).unwrap_or(INTERLEAVINGS)
}

fn check(test: fn()) {
    check_at_random(test);
    let count = interleavings();
    assert_eq!(Runner::new(PctScheduler::new(DEPTH, count), Config::new()).run(test), count);
}

fn check_at_random(test: fn()) {
    let count = interleavings();
    assert_eq!(Runner::new(RandomScheduler::new(count), Config::new()).run(test), count);
}

fn new_hub() -> Hub {
    let source = |name: &str| {
        let (name, folder, converter) = (name.to_owned(), String::new(), "auto".to_owned());
        SourceStatus::of(&SourceHead { name, folder, converter, enabled: true }, None)
    };
    Hub::new(Snapshot { sources: PUBLISHERS.map(source).into(), ..Snapshot::default() })
}

fn event(publisher: &str) -> Event {
    Event::FileSeen { source: publisher.to_owned(), file: "f".to_owned(), correlation_id: "c".to_owned() }
}

/// How many events a snapshot holds.
fn events_in(snapshot: &Snapshot) -> u64 {
    snapshot.sources.iter().map(|source| source.waiting).sum()
}

/// What one subscriber has got.
#[derive(Default)]
struct Seen {
    seq: Option<u64>,
    events: u64,
    missed: u64,
    snapshots: u64,
}

impl Seen {
    fn take(&mut self, update: Update) {
        let before = self.seq;
        match update {
            Update::Snapshot { seq, missed, snapshot } => {
                assert_eq!(events_in(&snapshot), seq, "the snapshot is that of another moment");
                match before {
                    None => assert_eq!(missed, 0),
                    Some(before) => assert_eq!((before + missed, missed > BUFFER as u64), (seq, true)),
                }
                (self.seq, self.missed, self.snapshots) = (Some(seq), self.missed + missed, self.snapshots + 1);
            }
            Update::Event { seq, .. } => {
                assert_eq!(Some(seq), before.map(|before| before + 1), "an event is missing, or there twice, or comes first");
                (self.seq, self.events) = (Some(seq), self.events + 1);
            }
        }
    }
}

/// Follows until an event's number.
fn follow(mut subscription: Subscription, until: u64) -> Seen {
    block_on(async move {
        let mut seen = Seen::default();
        while seen.seq != Some(until) {
            seen.take(subscription.next().await.unwrap());
        }
        seen
    })
}

fn publish(hub: &Hub, events: usize) -> Vec<thread::JoinHandle<()>> {
    PUBLISHERS
        .map(|publisher| {
            let hub = hub.clone();
            thread::spawn(move || (0..events).for_each(|_| hub.publish(event(publisher))))
        })
        .into()
}

fn join<T>(threads: Vec<thread::JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn whoever_subscribes_while_others_publish_gets_a_snapshot_and_every_event_after_it() {
    check(|| {
        let hub = new_hub();
        let publishers = publish(&hub, 3);
        let total = 3 * PUBLISHERS.len() as u64;
        let followers = (0..3).map(|_| {
            let hub = hub.clone();
            thread::spawn(move || follow(hub.subscribe().unwrap(), total))
        });
        let followers = followers.collect();
        for seen in join(followers) {
            assert_eq!((seen.seq, seen.missed, seen.snapshots), (Some(total), 0, 1));
        }
        join(publishers);
        assert_eq!((hub.subscribers(), events_in(&hub.snapshot())), (0, total));
    });
}

#[test]
fn one_that_never_takes_delays_nobody_and_is_told_exactly_what_it_missed() {
    check(|| {
        let hub = new_hub();
        let mut slow = hub.subscribe().unwrap();
        let mut seen = Seen::default();
        seen.take(block_on(slow.next()).unwrap());
        let fast = hub.subscribe().unwrap();
        let batch = BUFFER / 2 + 1;
        let total = (PUBLISHERS.len() * batch) as u64;
        let publishers = PUBLISHERS.map(|publisher| {
            let hub = hub.clone();
            thread::spawn(move || hub.publish_all(vec![event(publisher); batch]))
        });
        // The others are through before the slow one takes anything.
        let fast = thread::spawn(move || follow(fast, total)).join().unwrap();
        assert_eq!(fast.seq, Some(total));
        join(publishers.into());
        seen.take(block_on(slow.next()).unwrap());
        assert_eq!((seen.seq, seen.missed, seen.snapshots), (Some(total), total, 2));
        hub.publish(event("a"));
        seen.take(block_on(slow.next()).unwrap());
        assert_eq!((seen.seq, seen.events), (Some(total + 1), 1));
    });
}

/// One that takes while more comes than it can hold: what it got and what it missed are together everything.
#[test]
fn nothing_is_missing_between_two_updates_unless_it_is_counted() {
    check(|| {
        let hub = new_hub();
        let mut subscription = hub.subscribe().unwrap();
        let mut seen = Seen::default();
        seen.take(block_on(subscription.next()).unwrap());
        let publishers: Vec<_> = PUBLISHERS
            .map(|publisher| {
                let hub = hub.clone();
                thread::spawn(move || {
                    hub.publish_all(vec![event(publisher); BUFFER - 1]);
                    hub.publish(event(publisher));
                    hub.publish(event(publisher));
                })
            })
            .into();
        let total = (PUBLISHERS.len() * (BUFFER + 1)) as u64;
        let follower = thread::spawn(move || {
            block_on(async {
                while seen.seq != Some(total) {
                    seen.take(subscription.next().await.unwrap());
                }
            });
            seen
        });
        let seen = follower.join().unwrap();
        assert_eq!(seen.events + seen.missed, total);
        join(publishers);
    });
}

#[test]
fn whoever_leaves_while_others_publish_leaves_nothing_and_disturbs_nobody() {
    check(|| {
        let hub = new_hub();
        let stays = hub.subscribe().unwrap();
        let publishers = publish(&hub, 2);
        let total = 2 * PUBLISHERS.len() as u64;
        let leaving = (0..2).map(|updates| {
            let hub = hub.clone();
            thread::spawn(move || {
                let mut subscription = hub.subscribe().unwrap();
                let mut seen = Seen::default();
                block_on(async {
                    for _ in 0..updates {
                        seen.take(subscription.next().await.unwrap());
                    }
                });
            })
        });
        let leaving = leaving.collect();
        let seen = follow(stays, total);
        assert_eq!((seen.seq, seen.missed), (Some(total), 0));
        join(leaving);
        join(publishers);
        assert_eq!(hub.subscribers(), 0);
    });
}

#[test]
fn there_are_never_more_subscribers_than_places_whoever_comes_first() {
    // Five hundred make each run long, and there is one lock to come first at: the order of four is enough.
    check_at_random(|| {
        let hub = new_hub();
        let held: Vec<_> = (0..SUBSCRIBERS - 2).map(|_| hub.subscribe().unwrap()).collect();
        let racing = (0..4).map(|_| {
            let hub = hub.clone();
            thread::spawn(move || hub.subscribe().ok())
        });
        let racing = join(racing.collect());
        assert_eq!(racing.iter().flatten().count(), 2);
        assert_eq!(hub.subscribers(), SUBSCRIBERS);
        drop(racing);
        assert!(hub.subscribe().is_ok());
        drop(held);
        assert_eq!(hub.subscribers(), 0);
    });
}
