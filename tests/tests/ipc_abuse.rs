//! Clients that are slow, hung or mad, and a real agent that answers everybody else meanwhile and goes on delivering.
//!
//! What takes how long is printed (`--nocapture`) and never asserted tightly: the bound of ten seconds only says "meanwhile".

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a fault of a test is told where it stands")]

#[cfg(unix)]
#[path = "ipc_abuse/unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "ipc_abuse/windows.rs"]
mod platform;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use waybill_ipc::client::Deadlines;
use waybill_ipc::codec;
use waybill_ipc::protocol::{ClientKind, ClientMessage, Frozen, Hello, PROTOCOL, Reply, Request, ServerMessage, Update};
use waybill_tests::ipc::{Ipc, RawStream};
use waybill_tests::wait::{USUAL, bound, holds_within};
use waybill_tests::{Agent, Receiver, Station, cli, ipc_client, raw_stream, wait_until};

/// The longest that an answer may take while others hang.
const MEANWHILE: Duration = Duration::from_secs(10);

#[test]
fn a_client_that_sends_one_byte_at_a_time_is_answered() {
    let (_receiver, station) = station();
    let agent = Agent::start(&station);
    let mut slow = raw_stream(&station);
    let hello = Hello { protocol: PROTOCOL, kind: ClientKind::Cli, pid: std::process::id(), version: "0.1.0".into() };
    let bytes = [frame(&Frozen::Hello(hello).encode()), frame(&request(7, Request::Status))].concat();
    for (sent, byte) in bytes.iter().enumerate() {
        slow.send(&[*byte]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        if sent % 8 == 0 {
            answered("a newcomer beside a slow client", || drop(newcomer(&station)));
        }
    }
    let greeting = slow.read_frame(USUAL).unwrap().unwrap();
    assert!(matches!(Frozen::decode(&greeting), Some(Frozen::Hello(_))));
    match codec::decode_server(&slow.read_frame(USUAL).unwrap().unwrap()).unwrap() {
        ServerMessage::Response { id: 7, result: Ok(Reply::Status(snapshot)) } => assert_eq!(snapshot.agent.pid, agent.pid()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn half_a_frame_and_then_silence_ends_that_connection_and_no_other() {
    let receiver = Receiver::start();
    let station = builder(&receiver).setting("ipc", "hello_timeout_secs", 1).setting("ipc", "frame_timeout_secs", 1).build();
    let mut agent = Agent::start(&station);
    let other = ipc_client(&station);
    let mut halves = Vec::new();
    // Half a length, a length without a body, half a body: before the greeting and after it.
    for half in [&[40, 0][..], &[40, 0, 0, 0], &[40, 0, 0, 0, 16, 1]] {
        for greeted in [false, true] {
            let mut stream = raw_stream(&station);
            if greeted {
                greet(&mut stream, ClientKind::Window);
            }
            stream.send(half).unwrap();
            halves.push(stream);
        }
    }
    answered("a client beside half frames", || drop(other.status()));
    for stream in &mut halves {
        assert!(stream.closed_within(Duration::from_secs(20)), "half a frame holds a connection for ever");
    }
    assert_eq!(other.status().agent.pid, agent.pid());
    assert!(agent.is_running());
}

#[test]
fn garbage_ends_its_own_connection_only() {
    let (receiver, station) = station();
    let mut agent = Agent::start(&station);
    let other = ipc_client(&station);
    let mut random = fastrand::Rng::with_seed(1);
    let mut noise = |length: usize| std::iter::repeat_with(|| random.u8(..)).take(length).collect::<Vec<u8>>();
    for round in 0..200_u32 {
        let mut stream = raw_stream(&station);
        if round % 2 == 0 {
            greet(&mut stream, ClientKind::Window);
        }
        let bytes = match round % 5 {
            0 => noise(1000),
            1 => frame(&noise(40)),
            2 => u32::MAX.to_le_bytes().to_vec(),
            3 => frame(&[&[16][..], &noise(30)].concat()),
            _ => [frame(b""), frame(&[0]), frame(&[3]), frame(&[255; 20])].concat(),
        };
        // It may be closed before all was sent, and be waited for if the bytes announce a frame that has not come.
        let _closed = stream.send(&bytes);
        drop(stream);
    }
    let mut http = raw_stream(&station);
    http.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(http.closed_within(MEANWHILE));
    answered("a client after garbage", || drop(other.status()));
    answered("a newcomer after garbage", || drop(newcomer(&station)));
    assert!(agent.is_running());
    let ids = station.drop_reports("ict", 0..5);
    receiver.wait_for_reports(5);
    receiver.assert_has_exactly(&ids);
}

#[test]
fn a_hundred_hung_clients_delay_nobody() {
    let (receiver, station) = station();
    let agent = Agent::start(&station);
    let other = ipc_client(&station);
    drop((other.status(), newcomer(&station)));
    let baseline = agent.open_descriptors();
    print_latencies("nobody hangs", &other);

    // As many as fit the default limits: each of these keeps its place until a deadline of half a minute.
    let mut hung = Vec::new();
    for number in 0..100 {
        let kind = if number % 20 == 19 { ClientKind::Watchdog } else { ClientKind::Window };
        hung.push(hang(&station, HANGING[number % HANGING.len()], kind).expect("a place"));
    }
    println!("descriptors: {baseline:?} before, {:?} with 100 hung clients", agent.open_descriptors());

    let ids = station.drop_reports("ict", 0..50);
    for _ in 0..3 {
        answered("another client's status beside 100 hung ones", || drop(other.status()));
        answered("a newcomer's status beside 100 hung ones", || drop(newcomer(&station)));
        answered("`waybill-agent status` beside 100 hung ones", || assert!(cli(&station, &["status"]).success()));
    }
    print_latencies("100 clients hang", &other);
    receiver.wait_for_reports(50);
    receiver.assert_has_exactly(&ids);
    for (number, stream) in hung.iter_mut().enumerate() {
        assert!(!stream.closed_within(Duration::ZERO), "number {number} did not hang any more");
    }

    drop(hung);
    descriptors_return(&agent, baseline);
}

#[test]
fn a_thousand_hung_clients_delay_nobody() {
    if let Err(reason) = platform::allow_descriptors(2048) {
        println!("left out: {reason}");
        return;
    }
    let (receiver, station) = station();
    let agent = Agent::start(&station);
    let other = ipc_client(&station);
    drop((other.status(), newcomer(&station)));
    let baseline = agent.open_descriptors();

    // While they pour in, and while they hang: most of them have to make room, or find the house full.
    let pouring = AtomicBool::new(true);
    let hung: Vec<RawStream> = std::thread::scope(|scope| {
        let crowd = scope.spawn(|| {
            let kinds = [ClientKind::Window, ClientKind::Cli, ClientKind::Window, ClientKind::Watchdog, ClientKind::Cli];
            let crowd = (0..1000).filter_map(|n| hang(&station, HANGING[n % HANGING.len()], kinds[n % kinds.len()])).collect();
            pouring.store(false, Ordering::Relaxed);
            crowd
        });
        // A newcomer that is put off for the time of a few greetings may have to make room itself, and tries again.
        let (mut newcomers, mut again, mut slowest) = (0, 0, Duration::ZERO);
        while pouring.load(Ordering::Relaxed) {
            let took = timed("a newcomer's status while 1000 pour in", || {
                while !answers(&station) {
                    again += 1;
                }
            });
            slowest = slowest.max(took);
            newcomers += 1;
        }
        println!(
            "{newcomers} newcomers were answered while 1000 poured in, the slowest in {:.1} ms; tries in vain: {again}",
            millis(slowest)
        );
        crowd.join().unwrap()
    });
    let most = agent.open_descriptors();
    println!("descriptors: {baseline:?} before, {most:?} with a crowd of 1000, of which {} were let in at some time", hung.len());
    // 64 greeted ones, 4 more command lines, 64 that have not greeted.
    assert!(most.zip(baseline).is_none_or(|(most, before)| most <= before + 140), "{most:?}");

    let ids = station.drop_reports("ict", 0..50);
    // The crowd holds command lines' places too, and the other client was silent longest: it may have had to make room.
    let other = ipc_client(&station);
    for _ in 0..3 {
        answered("another client's status beside 1000 hung ones", || drop(other.status()));
        answered("a newcomer's status beside 1000 hung ones", || drop(newcomer(&station)));
        answered("`waybill-agent status` beside 1000 hung ones", || assert!(cli(&station, &["status"]).success()));
    }
    print_latencies("1000 clients hang", &other);
    receiver.wait_for_reports(50);
    receiver.assert_has_exactly(&ids);

    drop(hung);
    descriptors_return(&agent, baseline);
}

#[test]
fn command_lines_that_hang_do_not_keep_a_status_or_a_stop_out() {
    let (_receiver, station) = station();
    let mut agent = Agent::start(&station);
    let mut window = Ipc::connect(&station, ClientKind::Window, Deadlines::default()).unwrap();
    window.subscribe().unwrap();
    assert!(matches!(window.next_update(USUAL), Some(Update::Snapshot { .. })));
    // Twice as many as there are places, all of the kind that `status` is.
    let hung: Vec<_> = (0..140).filter_map(|n| hang(&station, GREETED[n % GREETED.len()], ClientKind::Cli)).collect();
    assert!(hung.len() >= 68, "{}", hung.len());
    answered("a newcomer's status beside hung command lines", || drop(newcomer(&station)));
    assert_eq!(window.status().agent.pid, agent.pid(), "the window had to make room");
    assert!(agent.stop().success());
    drop(hung);
}

#[test]
fn subscribers_that_take_nothing_cost_the_others_nothing() {
    let receiver = Receiver::start();
    let station = builder(&receiver).setting("ipc", "write_timeout_secs", 2).build();
    let mut agent = Agent::start(&station);
    let mut reading = Ipc::connect(&station, ClientKind::Window, Deadlines::default()).unwrap();
    reading.subscribe().unwrap();
    let hung: Vec<_> = (0..20).filter_map(|_| hang(&station, Hanging::Subscribed, ClientKind::Window)).collect();
    assert_eq!(hung.len(), 20);
    let ids = station.drop_reports("ict", 0..300);
    let mut snapshot = match reading.next_update(USUAL) {
        Some(Update::Snapshot { snapshot, .. }) => *snapshot,
        other => panic!("{other:?}"),
    };
    let mut last = 0;
    while snapshot.destinations[0].sent < 300 {
        let update = reading.next_update(USUAL).expect("news, as long as not all was sent");
        assert!(update.seq() > last, "{} after {last}", update.seq());
        last = update.seq();
        match update {
            Update::Snapshot { snapshot: newer, .. } => snapshot = *newer,
            Update::Event { at_ms, event, .. } => snapshot.apply(at_ms, &event),
        }
    }
    // The state that followed the events is the state.
    let settled = holds_within(USUAL, || {
        while let Some(update) = reading.next_update(Duration::from_millis(1)) {
            match update {
                Update::Snapshot { snapshot: newer, .. } => snapshot = *newer,
                Update::Event { at_ms, event, .. } => snapshot.apply(at_ms, &event),
            }
        }
        newcomer(&station) == snapshot
    });
    assert!(settled, "followed {snapshot:#?}\nasked {:#?}", newcomer(&station));
    assert_eq!(snapshot.destinations[0].issued(), 300);
    receiver.assert_has_exactly(&ids);
    assert!(agent.is_running());
    drop(hung);
}

/// Out of descriptors: nobody new is answered, nothing ends, and everything goes on when the crowd has left.
#[test]
fn an_agent_without_descriptors_goes_on_when_the_crowd_has_left() {
    let (receiver, station) = station();
    let mut limited = false;
    let mut agent = Agent::try_start(&station, |command| limited = platform::limit_descriptors(command, 64)).unwrap();
    if !limited {
        println!("left out: handles are not limited here");
        return;
    }
    let other = ipc_client(&station);
    let before = agent.open_descriptors();
    let mut crowd = Vec::new();
    for _ in 0..100 {
        // More than the queue of connections holds may be refused.
        crowd.extend(RawStream::connect(&station).ok());
    }
    wait_until("the agent has no descriptors left", || agent.open_descriptors().is_none_or(|open| open >= 64));
    answered("a client that was there before", || drop(other.status()));
    let ids = station.drop_reports("ict", 0..5);
    std::thread::sleep(Duration::from_secs(1));
    assert!(agent.is_running(), "it ended for want of descriptors");
    drop(crowd);
    answered("a newcomer when the crowd has left", || drop(newcomer(&station)));
    // A file whose event was lost for want of descriptors is found when the folder is read as a whole, once a minute.
    let start = Instant::now();
    receiver.wait_for(|state| state.accepted_ids >= ids.len(), USUAL * 2);
    receiver.assert_has_exactly(&ids);
    println!("{} files arrived {:.1} s after that", ids.len(), start.elapsed().as_secs_f64());
    println!("descriptors: {before:?} before, {:?} after, at most 64", agent.open_descriptors());
    assert!(agent.stop().success());
}

/// How a client can hang.
#[derive(Debug, Clone, Copy)]
enum Hanging {
    /// Says nothing.
    Silent,
    /// Half a greeting.
    HalfGreeting,
    /// A greeting, and nothing more.
    Greeted,
    /// A greeting and half a request.
    HalfRequest,
    /// Subscribes and takes no news.
    Subscribed,
}

const HANGING: [Hanging; 5] =
    [Hanging::Silent, Hanging::Greeted, Hanging::HalfRequest, Hanging::HalfGreeting, Hanging::Subscribed];
const GREETED: [Hanging; 3] = [Hanging::Greeted, Hanging::HalfRequest, Hanging::Subscribed];

/// A client that hangs from now on; `None` if the agent would not have it.
fn hang(station: &Station, how: Hanging, kind: ClientKind) -> Option<RawStream> {
    let mut stream = RawStream::connect(station).ok()?;
    match how {
        Hanging::Silent => {}
        Hanging::HalfGreeting => stream.send(b"\x20\0\0\0\x01WAY").ok()?,
        Hanging::Greeted | Hanging::HalfRequest | Hanging::Subscribed => {
            let Ok(Some(Frozen::Hello(_))) = stream.greet(kind) else { return None };
            match how {
                Hanging::HalfRequest => stream.send(&[200, 0, 0, 0, 16]).ok()?,
                Hanging::Subscribed => stream.send_frame(&request(1, Request::Subscribe)).ok()?,
                _ => {}
            }
        }
    }
    Some(stream)
}

fn station() -> (Receiver, Station) {
    let receiver = Receiver::start();
    let station = builder(&receiver).build();
    (receiver, station)
}

fn builder(receiver: &Receiver) -> waybill_tests::station::StationBuilder {
    Station::builder().source("ict", |source| source.patterns(["*.json"]).converter("wsjf")).wats(receiver).quick()
}

fn greet(stream: &mut RawStream, kind: ClientKind) {
    let answer = stream.greet(kind).unwrap();
    assert!(matches!(answer, Some(Frozen::Hello(_))), "{answer:?}");
}

fn request(id: u64, request: Request) -> Vec<u8> {
    codec::encode_client(&ClientMessage { id, request }).unwrap()
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
}

/// A client that comes, asks for the status and leaves.
fn newcomer(station: &Station) -> waybill_ipc::protocol::Snapshot {
    ipc_client(station).status()
}

/// True if a client that comes now gets its answer.
fn answers(station: &Station) -> bool {
    let deadlines = Deadlines { connect: MEANWHILE, request: MEANWHILE, ..Deadlines::default() };
    Ipc::connect(station, ClientKind::Cli, deadlines).is_ok_and(|client| client.request(Request::Status).is_ok())
}

/// Asserts that something is answered meanwhile, and prints how fast.
fn answered(what: &str, ask: impl FnOnce()) {
    println!("{what}: {:.1} ms", millis(timed(what, ask)));
}

fn timed(what: &str, ask: impl FnOnce()) -> Duration {
    let start = Instant::now();
    ask();
    let took = start.elapsed();
    assert!(took < bound(MEANWHILE), "{what}: {took:?}");
    took
}

fn print_latencies(when: &str, client: &Ipc) {
    let mut took: Vec<Duration> = (0..200)
        .map(|_| {
            let start = Instant::now();
            drop(client.status());
            start.elapsed()
        })
        .collect();
    took.sort();
    println!(
        "200 statuses over one connection, {when}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        millis(took[99]),
        millis(took[197]),
        millis(took[199])
    );
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Sending keeps a connection or two to the server open, which the baseline did not have.
fn descriptors_return(agent: &Agent, baseline: Option<usize>) {
    let Some(baseline) = baseline else {
        println!("descriptors are not told here");
        return;
    };
    let most = baseline + 8;
    wait_until("descriptors have returned", || agent.open_descriptors().is_some_and(|open| open <= most));
    println!("descriptors: {baseline} before, {:?} after they left", agent.open_descriptors());
}
