//! The agent's endpoint as a boundary between users, on Unix: who is another user gets nothing, who sits in the agent's place is not
//! believed, and the socket comes back when somebody takes it away.
//!
//! Only root can be another user. Where this runs as somebody else, the tests say so; the check itself is then proved by the unit tests of
//! `waybill_ipc::peer` and `waybill_ipc::transport`.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a fault of a test is told where it stands"
)]

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use waybill_ipc::codec;
use waybill_ipc::protocol::{ClientKind, ClientMessage, Frozen, Hello, PROTOCOL, Request};
use waybill_shared::error::Exit;
use waybill_tests::stranger::{Met, STRANGER, Squatter, knock};
use waybill_tests::{Agent, Receiver, Station, cli, ipc_client, wait_until};

/// The variable by which a session names its runtime folder.
const RUNTIME: &str = "XDG_RUNTIME_DIR";

fn station() -> (Receiver, Station) {
    let receiver = Receiver::start();
    let station = Station::simple(&receiver);
    (receiver, station)
}

/// Where the agent answers now.
fn socket(station: &Station) -> PathBuf {
    let places = station.endpoint().places().to_vec();
    let there = places.iter().map(PathBuf::from).find(|place| place.exists());
    there.unwrap_or_else(|| panic!("no socket at any of {places:?}"))
}

/// The agent's socket in a runtime folder.
fn socket_in(runtime: &Path, station: &Station) -> PathBuf {
    let endpoint = station.endpoint();
    runtime.join("waybill").join(Path::new(endpoint.name()).file_name().unwrap())
}

/// A runtime folder of this user, short enough for a socket.
fn runtime_folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("wb-run-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
}

fn log(station: &Station) -> String {
    station.log_tail(500)
}

#[test]
fn another_user_gets_no_word_out_of_the_agent_even_if_the_os_lets_him_through() {
    let (_receiver, station) = station();
    let mut agent = Agent::start(&station);
    let socket = socket(&station);
    let folder = socket.parent().unwrap();
    assert_eq!((mode(&socket), mode(folder)), (0o600, 0o700));
    // A greeting, the oldest request, the frozen ones: everything that anybody could be answered.
    let hello = Hello { protocol: PROTOCOL, kind: ClientKind::Cli, pid: 1, version: "0.1.0".to_owned() };
    let mut said = frame(&Frozen::Hello(hello).encode());
    for frozen in [Frozen::Ping(1), Frozen::BriefRequest, Frozen::Stop] {
        said.extend(frame(&frozen.encode()));
    }
    said.extend(frame(&codec::encode_client(&ClientMessage { id: 1, request: Request::Status }).unwrap()));

    let Some(met) = knock(&socket, &said) else {
        println!("not root: nobody else can knock here; the unit tests of waybill_ipc prove the check");
        return;
    };
    assert_eq!(met, Met::NoWay, "the modes alone keep a stranger out");
    // Somebody opened the folder and the socket to all: the agent itself looks who it is. (All agents of this user share the folder:
    // another name in a folder of its own leads to the same socket.)
    let open = runtime_folder();
    let way = open.path().join("way.sock");
    std::fs::hard_link(&socket, &way).unwrap();
    set_mode(&way, 0o666);
    assert_eq!(knock(&way, &said), Some(Met::Closed));
    wait_until("the refusal is in the log", || log(&station).contains("\"ipc_refused\""));
    assert!(log(&station).contains("is at the other end, only"), "{}", log(&station));
    // It goes on, for those who may; nobody stopped it.
    assert!(agent.is_running());
    assert!(cli(&station, &["status"]).success());
    assert_eq!(knock(&way, &said), Some(Met::Closed), "again");
    drop(ipc_client(&station).status());
}

#[test]
fn a_client_that_finds_a_stranger_in_the_agents_place_says_so_and_tells_him_nothing() {
    let (_receiver, station) = station();
    let runtime = runtime_folder();
    station.set_environment(RUNTIME, runtime.path().to_str().unwrap());
    let (folder, socket) = (runtime.path().join("waybill"), socket_in(runtime.path(), &station));
    std::fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o777);
    let Some(_squatter) = Squatter::at(&socket) else {
        println!("not root: nobody else can sit there; the unit tests of waybill_ipc prove the check");
        return;
    };
    chown(&folder, Some(STRANGER), Some(STRANGER)).unwrap();
    set_mode(&folder, 0o755);
    for command in [["status"].as_slice(), &["stop"], &["queue", "list"]] {
        let output = cli(&station, command);
        assert_eq!(output.code(), Some(Exit::Refused as i32), "{output}");
        assert!(output.stderr.contains("WB6003"), "{output}");
        let told = format!("answers at {}, where only an agent of user", socket.display());
        assert!(output.stderr.contains(&told), "{output}");
    }
}

#[test]
fn a_link_in_the_agents_place_is_refused_whoever_answers_behind_it() {
    let (_receiver, station) = station();
    let (runtime, elsewhere) = (runtime_folder(), runtime_folder());
    station.set_environment(RUNTIME, runtime.path().to_str().unwrap());
    let socket = socket_in(runtime.path(), &station);
    let real = elsewhere.path().join(socket.file_name().unwrap());
    let _answers = UnixListener::bind(&real).unwrap();
    symlink(elsewhere.path(), runtime.path().join("waybill")).unwrap();
    let output = cli(&station, &["status"]);
    assert_eq!(output.code(), Some(Exit::Refused as i32), "{output}");
    assert!(output.stderr.contains("is a link") && output.stderr.contains("WB6003"), "{output}");
}

#[test]
fn an_agent_passes_over_a_place_that_is_not_its_own_and_is_found_all_the_same() {
    let (_receiver, station) = station();
    let (runtime, elsewhere) = (runtime_folder(), runtime_folder());
    station.set_environment(RUNTIME, runtime.path().to_str().unwrap());
    symlink(elsewhere.path(), runtime.path().join("waybill")).unwrap();
    let _agent = Agent::start(&station);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing was put behind the link");
    let output = cli(&station, &["status"]);
    assert!(output.success(), "{output}");
}

#[test]
fn a_socket_that_somebody_removed_comes_back() {
    let (_receiver, station) = station();
    let mut agent = Agent::start(&station);
    // One that is connected stays so.
    let before = ipc_client(&station);
    for round in 1..=2 {
        let socket = socket(&station);
        std::fs::remove_file(&socket).unwrap();
        wait_until("the socket is there again", || socket.exists());
        assert_eq!(mode(&socket), 0o600, "round {round}");
        let output = cli(&station, &["status"]);
        assert!(output.success(), "round {round}: {output}");
        drop(before.status());
    }
    wait_until("the log tells", || log(&station).matches("\"endpoint_restored\"").count() == 2);
    let socket = socket(&station);
    assert!(agent.stop().success());
    assert!(!socket.exists(), "an agent that ends leaves no socket");
}

#[test]
fn an_agent_of_a_bare_session_is_found_from_a_login_session() {
    let (_receiver, station) = station();
    let session = runtime_folder();
    station.unset_environment(RUNTIME);
    let _agent = Agent::try_start(&station, |command| {
        command.env_remove(RUNTIME);
    })
    .unwrap();
    for seen in ["", session.path().to_str().unwrap(), "/nowhere/at/all", "relative"] {
        station.set_environment(RUNTIME, seen);
        let output = cli(&station, &["status"]);
        assert!(output.success(), "{RUNTIME}={seen:?}: {output}");
    }
    assert_eq!(std::fs::read_dir(session.path()).unwrap().count(), 0, "a client makes no folders");
}

#[test]
fn an_agent_of_a_login_session_is_found_from_a_bare_one() {
    let (_receiver, station) = station();
    let user = std::fs::metadata(station.folder()).unwrap().uid();
    let usual = PathBuf::from(format!("/run/user/{user}"));
    if !std::fs::metadata(&usual).is_ok_and(|found| found.uid() == user) {
        println!("{} is no folder of this user; the unit tests of waybill_ipc prove it with other folders", usual.display());
        return;
    }
    station.set_environment(RUNTIME, usual.to_str().unwrap());
    let _agent = Agent::start(&station);
    station.set_environment(RUNTIME, "");
    let output = cli(&station, &["status"]);
    assert!(output.success(), "{output}");
}
