//! What a service manager hears from the agent, by systemd's protocol: a socket that listens in its place.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a fault of this test is told where it stands")]

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use waybill_tests::agent::command;
use waybill_tests::wait::{USUAL, bound};
use waybill_tests::{Agent, Behaviour, Receiver, Station, cli};

/// A sign of life is wanted within a second: half a second apart.
const WITHIN: (&str, &str) = ("WATCHDOG_USEC", "1000000");

/// The service manager's end.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn at_a_path(folder: &Path) -> Self {
        let path = folder.join("notify");
        Self { socket: UnixDatagram::bind(&path).unwrap(), name: path.to_str().unwrap().to_owned() }
    }

    fn at_an_abstract_name() -> Self {
        let name = format!("waybill-test-{}-{}", std::process::id(), fastrand::u64(..));
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        Self { socket: UnixDatagram::bind_addr(&address).unwrap(), name: format!("@{name}") }
    }

    fn start(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", &self.name).env(WITHIN.0, WITHIN.1).env_remove("WATCHDOG_PID");
    }

    /// The next datagram, if one comes within the limit.
    fn next_within(&self, limit: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let mut buffer = [0; 512];
        let read = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..read].to_vec()).unwrap())
    }

    #[track_caller]
    fn next(&self) -> String {
        self.next_within(bound(USUAL)).expect("a datagram")
    }

    /// The next one that is no sign of life, and how many of those came before it.
    #[track_caller]
    fn next_but_life(&self) -> (String, u32) {
        let mut signs = 0;
        loop {
            match self.next() {
                sign if sign == "WATCHDOG=1" => signs += 1,
                other => return (other, signs),
            }
        }
    }

    fn forget(&self) {
        while self.next_within(Duration::from_millis(1)).is_some() {}
    }
}

#[test]
fn it_is_told_that_the_agent_serves_lives_and_stops() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    for manager in [Manager::at_a_path(station.folder()), Manager::at_an_abstract_name()] {
        let mut agent = Agent::try_start(&station, |command| manager.start(command)).unwrap();
        let ready = manager.next();
        assert!(ready.starts_with("READY=1\n") && ready.contains(&format!("MAINPID={}\n", agent.pid())), "{ready}");
        assert!(cli(&station, &["status"]).success(), "it serves");
        for _ in 0..3 {
            assert_eq!(manager.next(), "WATCHDOG=1");
        }
        // One that stands still says nothing; one that goes on says so.
        agent.suspend().unwrap();
        manager.forget();
        assert_eq!(manager.next_within(Duration::from_secs(2)), None);
        agent.resume().unwrap();
        assert_eq!(manager.next(), "WATCHDOG=1");
        agent.terminate().unwrap();
        assert!(manager.next_but_life().0.starts_with("STOPPING=1"));
        assert!(agent.wait_exit(USUAL).success());
        assert_eq!(manager.next_within(Duration::from_millis(200)), None, "nothing comes after the end");
    }
}

#[test]
fn it_is_asked_for_more_time_while_a_stop_goes_on() {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .wats(&receiver)
        .quick()
        .setting("shutdown", "drain_secs", 60)
        .build();
    receiver.set(Behaviour::Hang);
    let manager = Manager::at_a_path(station.folder());
    let mut agent = Agent::try_start(&station, |command| manager.start(command)).unwrap();
    let ids = station.drop_reports("ict", 0..1);
    agent.wait_for("it is on its way", |s| s.destinations[0].sending == 1);
    assert!(manager.next().starts_with("READY=1"));
    let begun = Instant::now();
    agent.terminate().unwrap();
    assert!(manager.next_but_life().0.starts_with("STOPPING=1"));
    assert_eq!(manager.next(), "EXTEND_TIMEOUT_USEC=20000000");
    println!("asked for more time {:?} after the signal", begun.elapsed());
    receiver.set(Behaviour::Accept);
    receiver.release();
    assert!(agent.wait_exit(USUAL).success());
    receiver.assert_has_exactly(&ids);
}

#[test]
fn a_sign_of_life_that_is_wanted_from_another_process_is_not_given() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let manager = Manager::at_a_path(station.folder());
    let start = |command: &mut Command| {
        manager.start(command);
        command.env("WATCHDOG_PID", "1");
    };
    let mut agent = Agent::try_start(&station, start).unwrap();
    assert!(manager.next().starts_with("READY=1"));
    assert_eq!(manager.next_within(Duration::from_secs(2)), None);
    assert!(agent.stop().success());
    assert!(manager.next().starts_with("STOPPING=1"));
}

#[test]
fn a_socket_that_nobody_listens_on_or_that_is_none_disturbs_nothing() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    for name in ["/nobody/is/here", "@nobody-is-here-either", "vsock:2:1234", ""] {
        let mut agent = Agent::try_start(&station, |command| {
            command.env("NOTIFY_SOCKET", name);
        })
        .unwrap();
        assert!(agent.stop().success(), "{name}");
    }
}

#[test]
fn of_a_watchdog_and_its_agent_only_the_watchdog_speaks() {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    let manager = Manager::at_a_path(station.folder());
    let mut watchdog = command(&station);
    watchdog.args(["watchdog", "--interval", "1", "--timeout", "30"]);
    manager.start(&mut watchdog);
    let mut watchdog = watchdog.spawn().unwrap();
    let main = format!("MAINPID={}\n", watchdog.id());
    let (ready, before) = manager.next_but_life();
    assert!(ready.starts_with("READY=1\n") && ready.contains(&main), "{ready} after {before} signs of life");
    assert!(cli(&station, &["status"]).success(), "the agent serves");
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
    assert!(cli(&station, &["stop"]).success());
    let end = Instant::now() + bound(USUAL);
    let status = loop {
        match watchdog.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            None => break watchdog.kill().and_then(|()| watchdog.wait()).unwrap(),
        }
    };
    assert!(status.success(), "{status}");
    while let Some(said) = manager.next_within(Duration::from_millis(100)) {
        assert!(!said.contains("READY"), "{said}");
    }
}
