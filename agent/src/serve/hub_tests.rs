//! The hub step by step, against a model of what each subscriber has to get; `agent/tests/hub_interleavings.rs` has the threads.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use waybill_ipc::protocol::{Event, Update};
use waybill_ipc::server::Updates as _;
use waybill_shared::error::Code;

use super::hub::{BUFFER, Hub, SUBSCRIBERS, Subscription};
use crate::agent::tests::empty_snapshot;

fn event(n: u32) -> Event {
    Event::Sending { destination: "d".into(), count: n }
}

/// What is there at this moment.
fn take(subscription: &mut Subscription) -> Option<Update> {
    match pin!(subscription.next()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(update) => Some(update.unwrap()),
        Poll::Pending => None,
    }
}

async fn seqs(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for _ in 0..count {
        seqs.push(subscription.next().await.unwrap().seq());
    }
    seqs
}

#[tokio::test]
async fn the_snapshot_comes_first_and_every_later_event_after_it() {
    let hub = Hub::new(empty_snapshot());
    hub.publish(event(1));
    let mut subscription = hub.subscribe().unwrap();
    hub.publish(event(2)); // before the snapshot is taken: it is in it
    assert_eq!(seqs(&mut subscription, 1).await, [2]);
    hub.publish_all([event(3), event(4)]);
    assert_eq!(seqs(&mut subscription, 2).await, [3, 4]);
}

#[tokio::test]
async fn a_slow_subscriber_is_told_how_much_it_missed_and_where_things_stand() {
    let hub = Hub::new(empty_snapshot());
    let mut slow = hub.subscribe().unwrap();
    slow.next().await.unwrap();
    let total = BUFFER as u64 + 50;
    (0..total).for_each(|n| hub.publish(event(u32::try_from(n).unwrap())));
    match slow.next().await.unwrap() {
        Update::Snapshot { seq, missed, .. } => assert_eq!((seq, missed), (total, total)),
        other => panic!("{other:?}"),
    }
    hub.publish(event(0));
    assert_eq!(slow.next().await.unwrap().seq(), total + 1);
}

#[tokio::test]
async fn five_hundred_subscribers_see_everything_in_order_and_leave_nothing() {
    let hub = Hub::new(empty_snapshot());
    let mut subscribers: Vec<_> = (0..SUBSCRIBERS).map(|_| hub.subscribe().unwrap()).collect();
    for subscriber in &mut subscribers {
        subscriber.next().await.unwrap();
    }
    assert_eq!(hub.subscribe().err().map(|error| error.code), Some(Code::PeerCrowded));
    (0..100).for_each(|n| hub.publish(event(n)));
    for subscriber in &mut subscribers {
        assert_eq!(seqs(subscriber, 100).await, (1..=100).collect::<Vec<u64>>());
    }
    drop(subscribers);
    assert_eq!(hub.subscribers(), 0);
}

/// What happens to the hub; subscribers by number, as far as there are any.
#[derive(Debug, Clone)]
enum Step {
    Join,
    Leave(prop::sample::Index),
    Publish(u32),
    Take(prop::sample::Index, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::Join),
        1 => any::<prop::sample::Index>().prop_map(Step::Leave),
        4 => (1_u32..8).prop_map(Step::Publish),
        // About as many as a buffer holds, one more, one less.
        2 => (BUFFER as u32 - 8..BUFFER as u32 + 8).prop_map(Step::Publish),
        6 => (any::<prop::sample::Index>(), 1_u32..20).prop_map(|(who, times)| Step::Take(who, times)),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What one subscriber has got, and whether more came than its buffer holds.
struct Follower {
    subscription: Subscription,
    seen: Option<u64>,
    lagged: bool,
}

impl Follower {
    fn take(&mut self, events: &[Event]) -> Result<(), TestCaseError> {
        let now = events.len() as u64;
        match (take(&mut self.subscription), self.seen) {
            (Some(Update::Snapshot { seq, missed, snapshot: _ }), None) => prop_assert_eq!((seq, missed), (now, 0)),
            (Some(Update::Snapshot { seq, missed, snapshot: _ }), Some(seen)) => {
                prop_assert!(self.lagged, "a snapshot at {} for one that had not missed anything since {}", seq, seen);
                prop_assert_eq!((seq, missed), (now, now - seen));
            }
            (Some(Update::Event { seq, event, .. }), Some(seen)) => {
                prop_assert!(!self.lagged && seq == seen + 1, "event {} after {}", seq, seen);
                prop_assert_eq!(&event, &events[usize::try_from(seen).unwrap()]);
                self.seen = Some(seq);
                return Ok(());
            }
            (None, Some(seen)) => {
                prop_assert!(seen == now && !self.lagged, "nothing, and {} of {} was seen", seen, now);
                return Ok(());
            }
            (update, None) => return Err(TestCaseError::fail(format!("{update:?} before the first snapshot"))),
        }
        (self.seen, self.lagged) = (Some(now), false);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000.max(ProptestConfig::default().cases), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_whatever_order_they_join_leave_publish_and_take_each_gets_every_event_once_or_the_count_of_what_it_missed(steps in steps()) {
        let hub = Hub::new(empty_snapshot());
        let mut events: Vec<Event> = Vec::new();
        let mut followers: Vec<Follower> = Vec::new();
        for step in steps {
            match step {
                Step::Join => followers.push(Follower { subscription: hub.subscribe().unwrap(), seen: None, lagged: false }),
                Step::Leave(who) if !followers.is_empty() => drop(followers.swap_remove(who.index(followers.len()))),
                Step::Publish(count) => {
                    let from = u32::try_from(events.len()).unwrap();
                    let new: Vec<_> = (from..from + count).map(event).collect();
                    hub.publish_all(new.iter().cloned());
                    events.extend(new);
                    for follower in &mut followers {
                        follower.lagged |= follower.seen.is_some_and(|seen| events.len() as u64 - seen > BUFFER as u64);
                    }
                }
                Step::Take(who, times) if !followers.is_empty() => {
                    let who = who.index(followers.len());
                    for _ in 0..times {
                        followers[who].take(&events)?;
                    }
                }
                Step::Leave(_) | Step::Take(..) => {}
            }
            prop_assert_eq!(hub.subscribers(), followers.len());
        }
        // Whoever stays gets up to date, and then nothing more.
        for follower in &mut followers {
            while follower.seen != Some(events.len() as u64) {
                follower.take(&events)?;
            }
            prop_assert!(take(&mut follower.subscription).is_none());
        }
        drop(followers);
        prop_assert_eq!(hub.subscribers(), 0);
    }
}
