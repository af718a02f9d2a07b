//! The conversation over a real socket: greeting, requests, answers, news, deadlines, and the end.
//!
//! `WAYBILL_LONG=1 cargo test -p waybill-ipc --test conversation` lets the request that takes long take 50 s, under the default deadlines;
//! without it the same test takes 2 s under deadlines that are all shorter but the request's.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, reason = "a fault of a test is told where it stands")]

mod house;
mod samples;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use house::{House, SOON, endpoint_of, frame, script, told, until};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use waybill_ipc::client::Deadlines;
use waybill_ipc::codec;
use waybill_ipc::protocol::{
    ClientKind, ClientMessage, Event, Frozen, PROTOCOL, Reply, Request, ServerMessage, StatusBrief, Update,
};
use waybill_ipc::transport::Listener;
use waybill_ipc::{Client, ClientError};
use waybill_shared::error::Code;

fn event(count: u32) -> Event {
    Event::Sending { destination: "main".into(), count }
}

#[tokio::test]
async fn both_sides_greet_and_requests_are_answered() {
    let house = House::open(|_| {});
    let client = house.client(ClientKind::Cli).await.unwrap();
    assert_eq!(
        (client.agent().protocol, client.agent().kind, client.agent().pid),
        (PROTOCOL, ClientKind::Agent, std::process::id())
    );
    assert_eq!(client.request(Request::Status).await.unwrap(), Reply::Status(Box::new(samples::snapshot())));
    match client.request(script("error")).await {
        Err(ClientError::Agent(error)) => assert_eq!(error, samples::error()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_listening_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    match Client::connect(&endpoint_of(&folder), ClientKind::Cli, Deadlines::default()).await.err().unwrap() {
        ClientError::NotRunning(_) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn any_version_can_ping_ask_briefly_and_stop_and_nothing_else() {
    let house = House::open(|_| {});
    for protocol in [0, PROTOCOL + 1, u16::MAX] {
        let mut raw = house.raw().await;
        match raw.greet_as(protocol, ClientKind::Window).await {
            Some(Frozen::Hello(agent)) => assert_eq!(agent.protocol, PROTOCOL),
            other => panic!("{other:?}"),
        }
        assert!(raw.lives().await);
        raw.send_frame(&Frozen::BriefRequest.encode()).await;
        let brief = Frozen::decode(&raw.frame().await.unwrap()).unwrap();
        assert!(matches!(brief, Frozen::Brief(StatusBrief { waiting: 1, sent: 2, failed: 3, .. })), "{brief:?}");
        // These bytes would be a valid request of this protocol; in another they may mean something else.
        raw.ask(1, Request::Status).await;
        let older = if protocol < PROTOCOL { "update the client" } else { "update the agent" };
        match Frozen::decode(&raw.frame().await.unwrap()) {
            Some(Frozen::Refused(why)) => {
                assert!(why.contains(older) && why.contains("9.9.9") && why.contains(&format!("protocol {protocol}")), "{why}");
            }
            other => panic!("{other:?}"),
        }
        raw.until_closed().await;
        let mut raw = house.raw().await;
        raw.greet_as(protocol, ClientKind::Cli).await.unwrap();
        raw.send_frame(&Frozen::Stop.encode()).await;
        assert_eq!(Frozen::decode(&raw.frame().await.unwrap()), Some(Frozen::Stopping));
        timeout(SOON, house.service.stopped.notified()).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_finds_another_protocol_says_which_side_to_update() {
    for (theirs, older) in [(0, "update the agent"), (PROTOCOL + 1, "update this program")] {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = endpoint_of(&folder);
        let listener = Listener::bind(&endpoint).unwrap();
        let mut agent = JoinSet::new();
        agent.spawn(async move {
            let mut raw = house::Raw(listener.accept().await.unwrap());
            raw.greet_as(theirs, ClientKind::Agent).await;
            raw.until_closed().await;
        });
        let error = Client::connect(&endpoint, ClientKind::Cli, Deadlines::default()).await.err().unwrap();
        assert!(error.to_string().contains(older) && error.to_string().contains("9.9.9"), "{error}");
        assert_eq!(error.report().code, Code::ProtocolMismatch);
    }
}

#[tokio::test]
async fn what_is_no_greeting_and_what_is_no_message_is_refused_with_a_sentence() {
    let house = House::open(|_| {});
    let status = codec::encode_client(&ClientMessage { id: 1, request: Request::Status }).unwrap();
    for body in [&b"GET / HTTP/1.1"[..], b"", b"\x01WAYX\x01\0\x01\0\0\0\0\0\0", &Frozen::Ping(1).encode(), &status] {
        let mut raw = house.raw().await;
        raw.send_frame(body).await;
        match Frozen::decode(&raw.frame().await.unwrap()) {
            Some(Frozen::Refused(why)) => assert!(why.contains("begins with a greeting"), "{why}"),
            other => panic!("{other:?}"),
        }
        raw.until_closed().await;
    }
    // Twenty times: the sentence must never lose the race against the end of the connection.
    for round in 0..20 {
        let mut raw = house.greeted(ClientKind::Cli).await;
        raw.send_frame(if round % 2 == 0 { b"" } else { b"\x10\xff\xff\xff\xff" }).await;
        match Frozen::decode(&raw.frame().await.expect("a sentence before the end")) {
            Some(Frozen::Refused(why)) => assert!(why.contains("update both programs"), "{why}"),
            other => panic!("{other:?}"),
        }
        raw.until_closed().await;
    }
    assert!(house.greeted(ClientKind::Cli).await.lives().await);
}

#[tokio::test]
async fn a_client_hears_why_the_agent_ended_the_conversation() {
    let house = House::open(|_| {});
    // What another protocol asks is refused: the reason is in the error, not only that it ended.
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint_of(&folder);
    let listener = Listener::bind(&endpoint).unwrap();
    let mut agent = JoinSet::new();
    agent.spawn(async move {
        let mut raw = house::Raw(listener.accept().await.unwrap());
        raw.greet(ClientKind::Agent).await;
        raw.frame().await;
        raw.send_frame(&Frozen::Refused("no more today".into()).encode()).await;
    });
    let client = Client::connect(&endpoint, ClientKind::Cli, Deadlines::default()).await.unwrap();
    match client.request(Request::Status).await {
        Err(ClientError::Broken(why)) => assert_eq!(why, "no more today"),
        other => panic!("{other:?}"),
    }
    drop(house);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint_of(&folder);
    let listener = Listener::bind(&endpoint).unwrap();
    let mut agent = JoinSet::new();
    agent.spawn(async move {
        let mut raw = house::Raw(listener.accept().await.unwrap());
        raw.greet(ClientKind::Agent).await;
        raw.frame().await;
        raw.send_frame(&[17, 0, 1, 0, 99]).await;
        raw.until_closed().await;
    });
    let client = Client::connect(&endpoint, ClientKind::Cli, Deadlines::default()).await.unwrap();
    match client.request(Request::Status).await {
        Err(ClientError::Broken(why)) => assert!(why.contains("update both programs"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_frame_announced_with_4_gib_closes_the_connection_at_once() {
    let house = House::open(|_| {});
    for length in [u32::MAX, 16 * 1024 * 1024 + 1] {
        let mut raw = house.greeted(ClientKind::Cli).await;
        raw.send(&length.to_le_bytes()).await;
        assert!(raw.until_closed().await < Duration::from_secs(5));
    }
    let mut raw = house.raw().await;
    raw.send(&(1024_u32 * 1024 + 1).to_le_bytes()).await;
    assert!(raw.until_closed().await < Duration::from_secs(5));
}

#[tokio::test]
async fn a_client_that_sends_one_byte_at_a_time_is_answered() {
    let house = House::open(|_| {});
    let mut raw = house.raw().await;
    let hello =
        Frozen::Hello(waybill_ipc::protocol::Hello { protocol: PROTOCOL, kind: ClientKind::Cli, pid: 1, version: "1".into() });
    let status = codec::encode_client(&ClientMessage { id: 7, request: Request::Status }).unwrap();
    for byte in [frame(&hello.encode()), frame(&status)].concat() {
        raw.send(&[byte]).await;
        sleep(Duration::from_millis(2)).await;
    }
    assert!(matches!(Frozen::decode(&raw.frame().await.unwrap()), Some(Frozen::Hello(_))));
    assert!(matches!(raw.message().await, Some(ServerMessage::Response { id: 7, result: Ok(Reply::Status(_)) })));
}

#[tokio::test]
async fn answers_may_overtake_each_other_and_each_request_gets_exactly_one() {
    let house = House::open(|_| {});
    let mut raw = house.greeted(ClientKind::Cli).await;
    // Eight requests whose answers come in the opposite order, among ones that are answered at once.
    let asked: Vec<(u64, Request)> = (0..8)
        .map(|n| (100 + n, script(&format!("crowd {n}"))))
        .chain((0..40).map(|n| (n, script(&format!("at once {n}")))))
        .collect();
    for (id, request) in &asked {
        raw.ask(*id, request.clone()).await;
    }
    let mut answers: BTreeMap<u64, u32> = BTreeMap::new();
    let mut order = Vec::new();
    for _ in &asked {
        match raw.message().await.unwrap() {
            ServerMessage::Response { id, result } => {
                let expected = if id < 100 { format!("at once {id}") } else { format!("crowd {}", id - 100) };
                assert_eq!(told(result.unwrap()), expected);
                *answers.entry(id).or_default() += 1;
                order.push(id);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answers.len(), asked.len());
    assert!(answers.values().all(|&count| count == 1));
    let crowd: Vec<u64> = order.into_iter().filter(|id| *id >= 100).collect();
    assert_eq!(crowd, (100..108).rev().collect::<Vec<u64>>());
    // Nothing comes after the last answer but the answer to a ping.
    assert!(raw.lives().await);
}

#[tokio::test]
async fn one_client_asks_many_things_at_the_same_time() {
    let house = House::open(|_| {});
    let client = house.client(ClientKind::Cli).await.unwrap();
    let slow = client.request(script("after 400"));
    let fast = async {
        let start = Instant::now();
        for n in 0..20 {
            assert_eq!(told(client.request(script(&format!("at once {n}"))).await.unwrap()), format!("at once {n}"));
        }
        start.elapsed()
    };
    let (slow, fast) = tokio::join!(slow, fast);
    assert_eq!(told(slow.unwrap()), "after 400");
    assert!(fast < Duration::from_secs(5), "{fast:?}");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_with_an_error() {
    let house = House::open(|ipc| ipc.request_timeout_secs = 1);
    let client = house.client(ClientKind::Cli).await.unwrap();
    let (never, soon) = tokio::join!(client.request(script("never")), client.request(script("at once")));
    assert_eq!(told(soon.unwrap()), "at once");
    match never {
        Err(ClientError::Agent(error)) => {
            assert_eq!(error.code, Code::PeerTimeout);
            assert!(error.message.contains("1 s"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // The work was given up as well.
    until("nothing is worked on", || house.service.working.load(Ordering::SeqCst) == 0).await;
}

/// It outlives every other deadline of either side: greeting, frame, write, silence, ping.
#[tokio::test]
async fn a_request_that_takes_long_is_answered_before_its_own_deadline() {
    let long = std::env::var_os("WAYBILL_LONG").is_some_and(|value| value == "1");
    let (house, deadlines, takes) = if long {
        (House::open(|_| {}), Deadlines::default(), Duration::from_secs(50))
    } else {
        let house = House::open(|ipc| {
            (ipc.hello_timeout_secs, ipc.frame_timeout_secs, ipc.write_timeout_secs, ipc.idle_timeout_secs) = (1, 1, 1, 1);
            assert_eq!(ipc.request_timeout_secs, 60);
        });
        let second = Duration::from_secs(1);
        let deadlines = Deadlines { connect: second, write: second, ping: second / 4, ..Deadlines::default() };
        (house, deadlines, 2 * second)
    };
    let client = Client::connect(&house.endpoint, ClientKind::Window, deadlines).await.unwrap();
    let start = Instant::now();
    let script = format!("after {}", takes.as_millis());
    assert_eq!(told(client.request(house::script(&script)).await.unwrap()), script);
    assert!(start.elapsed() >= takes, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_request_that_panics_is_answered_and_hurts_nobody() {
    let house = House::open(|_| {});
    let client = house.client(ClientKind::Cli).await.unwrap();
    let start = Instant::now();
    match client.request(script("panic")).await {
        Err(ClientError::Agent(error)) => assert_eq!(error.code, Code::Internal),
        other => panic!("{other:?}"),
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(told(client.request(script("at once")).await.unwrap()), "at once");
}

#[tokio::test]
async fn an_answer_that_fits_no_frame_becomes_an_error() {
    let house = House::open(|_| {});
    let client = house.client(ClientKind::Cli).await.unwrap();
    match client.request(script("huge")).await {
        Err(ClientError::Agent(error)) => assert!(error.message.contains("larger than"), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(told(client.request(script("at once")).await.unwrap()), "at once");
}

#[tokio::test]
async fn a_subscriber_gets_the_state_first_and_then_everything_after_it() {
    let house = House::open(|_| {});
    (0..5).for_each(|n| house.service.hub.publish(event(n)));
    let mut client = house.client(ClientKind::Window).await.unwrap();
    let mut updates = client.subscribe().await.unwrap();
    match timeout(SOON, updates.recv()).await.unwrap().unwrap() {
        Update::Snapshot { seq: 5, missed: 0, snapshot } => assert_eq!(*snapshot, samples::snapshot()),
        other => panic!("{other:?}"),
    }
    for n in 6..56 {
        house.service.hub.publish(event(n));
        match timeout(SOON, updates.recv()).await.unwrap().unwrap() {
            Update::Event { seq, event: Event::Sending { count, .. }, .. } => assert_eq!((seq, count), (u64::from(n), n)),
            other => panic!("{other:?}"),
        }
    }
    // Requests go on beside the news.
    assert_eq!(told(client.request(script("at once")).await.unwrap()), "at once");
    assert!(client.subscribe().await.is_err(), "one receiver a client");
}

#[tokio::test]
async fn unsubscribing_stops_the_news_and_subscribing_again_begins_with_the_state() {
    let house = House::open(|_| {});
    let mut raw = house.greeted(ClientKind::Window).await;
    for round in 0..3 {
        for (id, request) in [(1, Request::Subscribe), (2, Request::Subscribe)] {
            raw.ask(id, request).await;
            let answer = raw.message().await.unwrap();
            assert_eq!(answer, ServerMessage::Response { id, result: Ok(Reply::Done) });
            let state = raw.message().await.unwrap();
            assert!(matches!(state, ServerMessage::Update(Update::Snapshot { .. })), "{state:?}");
        }
        // Subscribed twice, told once.
        assert_eq!(house.service.subscribers.load(Ordering::SeqCst), 1);
        house.service.hub.publish(event(round));
        assert!(matches!(raw.message().await, Some(ServerMessage::Update(Update::Event { .. }))));
        raw.ask(3, Request::Unsubscribe).await;
        assert_eq!(raw.message().await.unwrap(), ServerMessage::Response { id: 3, result: Ok(Reply::Done) });
        assert_eq!(house.service.subscribers.load(Ordering::SeqCst), 0);
        house.service.hub.publish(event(100));
        assert!(raw.lives().await, "nothing but the answer to the ping");
    }
}

#[tokio::test]
async fn a_subscription_that_is_refused_says_why_and_the_conversation_goes_on() {
    let house = House::open(|_| {});
    house.service.no_news.store(true, Ordering::SeqCst);
    let mut raw = house.greeted(ClientKind::Window).await;
    raw.ask(1, Request::Subscribe).await;
    assert_eq!(raw.message().await.unwrap(), ServerMessage::Response { id: 1, result: Err(samples::error()) });
    house.service.hub.publish(event(1));
    assert!(raw.lives().await, "nothing but the answer to the ping");
    house.service.no_news.store(false, Ordering::SeqCst);
    raw.ask(2, Request::Subscribe).await;
    assert_eq!(raw.message().await.unwrap(), ServerMessage::Response { id: 2, result: Ok(Reply::Done) });
}

#[tokio::test]
async fn a_stop_that_is_not_allowed_is_refused_in_words_and_nothing_stops() {
    let house = House::open(|_| {});
    house.service.no_stop.store(true, Ordering::SeqCst);
    let mut raw = house.greeted(ClientKind::Cli).await;
    raw.send_frame(&Frozen::Stop.encode()).await;
    let error = samples::error();
    let refused = Frozen::StopRefused { code: error.code.to_string(), why: error.message.clone() };
    assert_eq!(Frozen::decode(&raw.frame().await.unwrap()), Some(refused));
    assert!(raw.lives().await);
    let client = house.client(ClientKind::Cli).await.unwrap();
    let refused = client.stop().await.unwrap_err();
    assert!(
        matches!(&refused, ClientError::Agent(told) if (told.code, &told.message) == (error.code, &error.message)),
        "{refused:?}"
    );
    // The conversation goes on, and a stop that is allowed stops.
    assert_eq!(told(client.request(script("at once")).await.unwrap()), "at once");
    assert!(timeout(Duration::ZERO, house.service.stopped.notified()).await.is_err(), "it was told to stop");
    house.service.no_stop.store(false, Ordering::SeqCst);
    client.stop().await.unwrap();
    timeout(SOON, house.service.stopped.notified()).await.unwrap();
}

#[tokio::test]
async fn a_subscriber_that_takes_nothing_delays_nobody_and_is_given_up() {
    let house = House::open(|ipc| ipc.write_timeout_secs = 2);
    let mut hung = Vec::new();
    for id in 0..5 {
        let mut raw = house.greeted(ClientKind::Window).await;
        raw.ask(id, Request::Subscribe).await;
        hung.push(raw);
    }
    let mut client = house.client(ClientKind::Window).await.unwrap();
    let mut updates = client.subscribe().await.unwrap();
    assert!(matches!(updates.recv().await, Some(Update::Snapshot { .. })));
    until("all are subscribed", || house.service.subscribers.load(Ordering::SeqCst) == 6).await;
    // More than any buffer takes; each is seen by the one that reads before the next is published.
    let mut slowest = Duration::ZERO;
    let (mut seq, start) = (0, Instant::now());
    while house.service.subscribers.load(Ordering::SeqCst) > 1 {
        let published = Instant::now();
        house.service.hub.publish(Event::Evicted {
            destination: "main".into(),
            report_id: "r".into(),
            serial: "s".repeat(4000),
            path: String::new(),
        });
        let update = timeout(SOON, updates.recv()).await.unwrap().unwrap();
        assert!(matches!(update, Update::Event { .. }) && update.seq() == seq + 1, "missed one after {seq}");
        seq += 1;
        slowest = slowest.max(published.elapsed());
        assert!(start.elapsed() < SOON, "the hung ones are not given up");
    }
    println!("{seq} events beside 5 subscribers that take nothing: the slowest took {} ms", slowest.as_millis());
    assert_eq!(told(client.request(script("at once")).await.unwrap()), "at once");
    for mut raw in hung {
        raw.until_closed().await;
    }
}

#[tokio::test]
async fn a_client_that_asks_and_takes_no_answer_is_given_up() {
    let house = House::open(|ipc| ipc.write_timeout_secs = 1);
    let mut raw = house.greeted(ClientKind::Window).await;
    for id in 0..16 {
        raw.ask(id, script("big")).await;
    }
    let other = house.client(ClientKind::Cli).await.unwrap();
    assert_eq!(told(other.request(script("at once")).await.unwrap()), "at once");
    // Nobody reads what it says now; on some systems the end shows only at the second word.
    let given_up = async {
        while raw.0.write_all(&[0; 64]).await.is_ok() {
            sleep(Duration::from_millis(100)).await
        }
    };
    timeout(SOON, given_up).await.expect("it is given up");
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_work_and_its_subscription() {
    let house = House::open(|_| {});
    let mut client = house.client(ClientKind::Window).await.unwrap();
    let _updates = client.subscribe().await.unwrap();
    let asking = timeout(Duration::from_millis(100), client.request(script("never"))).await;
    assert!(asking.is_err());
    assert_eq!(house.service.working.load(Ordering::SeqCst), 1);
    assert_eq!(house.service.subscribers.load(Ordering::SeqCst), 1);
    drop(client);
    until("its work has ended", || house.service.working.load(Ordering::SeqCst) == 0).await;
    until("its subscription has ended", || house.service.subscribers.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_server_that_stops_closes_every_connection_and_frees_the_name() {
    let mut house = House::open(|_| {});
    let mut client = house.client(ClientKind::Window).await.unwrap();
    let mut updates = client.subscribe().await.unwrap();
    let (mut silent, mut greeted) = (house.raw().await, house.greeted(ClientKind::Cli).await);
    let (asked, ()) = tokio::join!(client.request(script("never")), async {
        sleep(Duration::from_millis(50)).await;
        house.close().await;
    });
    assert!(matches!(asked, Err(ClientError::Broken(_))), "{asked:?}");
    timeout(SOON, client.closed()).await.unwrap();
    timeout(SOON, async { while updates.recv().await.is_some() {} }).await.expect("the news end");
    silent.until_closed().await;
    greeted.until_closed().await;
    assert_eq!(house.service.working.load(Ordering::SeqCst), 0);
    assert_eq!(house.service.subscribers.load(Ordering::SeqCst), 0);
    let error = house.client(ClientKind::Cli).await.err().unwrap();
    assert!(matches!(error, ClientError::NotRunning(_)), "{error:?}");
    Listener::bind(&house.endpoint).unwrap();
}

#[tokio::test]
async fn silence_ends_a_connection_and_a_ping_keeps_it() {
    let house = House::open(|ipc| ipc.idle_timeout_secs = 2);
    let (mut silent, mut pinging) = (house.greeted(ClientKind::Window).await, house.greeted(ClientKind::Window).await);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(500)).await;
        assert!(pinging.lives().await, "closed although it pinged");
    }
    assert!(silent.until_closed().await < Duration::from_secs(1), "closed long ago");
    let waited = pinging.until_closed().await;
    assert!(waited >= Duration::from_millis(1400), "{waited:?}");
}

#[tokio::test]
async fn a_client_with_nothing_to_say_pings_by_itself() {
    let house = House::open(|ipc| ipc.idle_timeout_secs = 1);
    let deadlines = Deadlines { ping: Duration::from_millis(200), ..Deadlines::default() };
    let client = Client::connect(&house.endpoint, ClientKind::Window, deadlines).await.unwrap();
    sleep(Duration::from_millis(3500)).await;
    assert_eq!(told(client.request(script("at once")).await.unwrap()), "at once");
    // Pongs that nobody asked for do not stand in the way of a brief status.
    assert_eq!(client.brief().await.unwrap().sent, 2);
    client.stop().await.unwrap();
}

#[tokio::test]
async fn an_agent_that_hangs_is_noticed_by_its_clients() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint_of(&folder);
    let listener = Listener::bind(&endpoint).unwrap();
    let deadlines = Deadlines {
        connect: Duration::from_millis(300),
        request: Duration::from_millis(300),
        ping: Duration::from_millis(200),
        ..Deadlines::default()
    };
    // Says nothing at all.
    let error = Client::connect(&endpoint, ClientKind::Cli, deadlines).await.err().unwrap();
    assert!(matches!(error, ClientError::Timeout(_)), "{error:?}");
    drop(listener.accept().await.unwrap());
    // Greets, and says nothing more: not to a request, not to a ping.
    let mut agent = JoinSet::new();
    agent.spawn(async move {
        let mut raw = house::Raw(listener.accept().await.unwrap());
        raw.greet(ClientKind::Agent).await;
        std::future::pending::<()>().await;
    });
    let client = Client::connect(&endpoint, ClientKind::Cli, deadlines).await.unwrap();
    let error = client.request(Request::Status).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout(_)), "{error:?}");
    timeout(SOON, client.closed()).await.expect("it gives up by itself");
}

#[tokio::test]
async fn half_a_frame_and_then_silence_ends_after_the_deadline() {
    let house = House::open(|ipc| (ipc.hello_timeout_secs, ipc.frame_timeout_secs) = (1, 1));
    let (mut raw, mut greeted) = (house.raw().await, house.greeted(ClientKind::Cli).await);
    let start = Instant::now();
    raw.send(&[40, 0, 0]).await;
    greeted.send(&[40, 0, 0, 0, 16, 1]).await;
    raw.until_closed().await;
    greeted.until_closed().await;
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(900) && waited < Duration::from_secs(10), "{waited:?}");
    // One that says a byte now and then gains nothing by it.
    let mut drip = house.greeted(ClientKind::Cli).await;
    drip.send(&[200, 0, 0, 0]).await;
    let start = Instant::now();
    while start.elapsed() < SOON && drip.0.write_all(&[16]).await.is_ok() {
        sleep(Duration::from_millis(100)).await;
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_name_at_which_somebody_answers_is_not_taken_away() {
    let house = House::open(|_| {});
    let error = Listener::bind(&house.endpoint).err().expect("the name is taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{error}");
    assert_eq!(told(house.client(ClientKind::Cli).await.unwrap().request(script("at once")).await.unwrap()), "at once");
}

/// The socket of an agent that was killed lies around; the next one takes its name.
#[cfg(unix)]
#[tokio::test]
async fn the_name_of_a_dead_agent_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint_of(&folder);
    drop(Listener::bind(&endpoint).unwrap());
    drop(std::os::unix::net::UnixListener::bind(endpoint.name()).unwrap());
    assert!(std::path::Path::new(endpoint.name()).exists());
    let listener = Listener::bind(&endpoint).unwrap();
    let (_stream, accepted) = tokio::join!(waybill_ipc::transport::connect(&endpoint), listener.accept());
    waybill_ipc::transport::check_peer(&accepted.unwrap()).unwrap();
}

/// Linux answers a full queue of connections with "try again".
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_crowd_before_the_door_is_waited_for_and_not_taken_for_a_stranger() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint_of(&folder);
    drop(Listener::bind(&endpoint).unwrap());
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(endpoint.name()).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut crowd = Vec::new();
    while let Ok(stream) = tokio::net::UnixStream::connect(endpoint.name()).await {
        crowd.push(stream);
        assert!(crowd.len() < 10, "the queue takes everybody");
    }
    let deadlines = Deadlines { connect: Duration::from_millis(300), ..Deadlines::default() };
    let error = Client::connect(&endpoint, ClientKind::Cli, deadlines).await.err().unwrap();
    assert!(matches!(error, ClientError::Timeout(_)), "{error:?}");
    let accepting = async {
        sleep(Duration::from_millis(200)).await;
        for _ in 0..=crowd.len() {
            listener.accept().await.unwrap();
        }
    };
    let (stream, ()) = tokio::join!(timeout(SOON, waybill_ipc::transport::connect(&endpoint)), accepting);
    waybill_ipc::transport::check_peer(&stream.unwrap().unwrap()).unwrap();
    drop(std::fs::remove_file(endpoint.name()));
}
