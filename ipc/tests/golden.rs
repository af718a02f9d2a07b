//! The bytes of every message, pinned in `golden/protocol-<PROTOCOL>.txt`: `name hex` a line.
//!
//! Programs of two versions stand side by side while a station is updated. If a message's bytes change, raise
//! [`PROTOCOL`](waybill_ipc::protocol::PROTOCOL) and write the file of the new number:
//!
//! ```text
//! WAYBILL_BLESS=1 cargo test -p waybill-ipc --test golden
//! ```
//!
//! That writes a file that is not there, and never changes one that is: the bytes of a number that was released are what they are.
//! (Before a release, delete the file first.) The frozen messages have no number: `golden/frozen.txt` never changes.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, reason = "a fault of a test is told where it stands")]

mod samples;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use samples::{Family, Message};
use waybill_ipc::protocol::{AgentState, ClientKind, Frozen, Hello, PROTOCOL, StatusBrief};

#[test]
fn the_bytes_of_every_message_are_those_of_this_protocol() {
    let lines = samples::all().into_iter().map(|(name, message)| (name, message.encode())).collect();
    compare(
        &format!("protocol-{PROTOCOL}.txt"),
        lines,
        "raise PROTOCOL in ipc/src/protocol/mod.rs and see the head of ipc/tests/golden.rs",
    );
}

#[test]
fn the_frozen_messages_never_change() {
    let lines = frozen().into_iter().map(|(name, message)| (name, message.encode())).collect();
    compare("frozen.txt", lines, "the change is wrong: agents in the field read these bytes");
}

#[test]
fn every_message_reads_back_as_it_was() {
    for (name, message) in samples::all() {
        let read = message.decode_as(&message.encode());
        assert_eq!(read.unwrap_or_else(|error| panic!("{name}: {error}")), message, "{name}");
    }
    for (name, message) in frozen() {
        assert_eq!(Frozen::decode(&message.encode()), Some(message), "{name}");
    }
}

/// The decoder itself says how many values an enumeration has: a new one without a sample is found here.
#[test]
fn no_variant_is_missing_from_the_samples() {
    for family in samples::families() {
        assert_eq!(variants(&family), family.samples.len(), "{}: ipc/tests/samples/mod.rs lacks a sample", family.name);
    }
}

#[test]
fn a_message_of_one_side_is_none_of_the_other() {
    for (name, message) in samples::all() {
        let other = match message {
            Message::Client(_) => waybill_ipc::codec::decode_server(&message.encode()).is_ok(),
            Message::Server(_) => waybill_ipc::codec::decode_client(&message.encode()).is_ok(),
        };
        assert!(!other && Frozen::decode(&message.encode()).is_none(), "{name}");
    }
}

/// How many values the enumeration has in which the samples of a family differ: their first difference is its number, and a
/// number that is too large is refused with the range.
fn variants(family: &Family) -> usize {
    let bytes: Vec<Vec<u8>> = family.samples.iter().map(|(_, message)| message.encode()).collect();
    let place = (0..).find(|&place| bytes.iter().any(|other| other[place] != bytes[0][place])).unwrap();
    for (number, sample) in bytes.iter().enumerate() {
        assert_eq!(usize::from(sample[place]), number, "{}: not in the order of the declaration", family.name);
    }
    let mut wrong = bytes[0].clone();
    wrong[place] = 250;
    let refusal = family.samples[0].1.decode_as(&wrong).expect_err(family.name).to_string();
    if refusal.contains("`Ok` or `Err`") {
        return 2;
    }
    let range = refusal.split_once("0 <= i < ").unwrap_or_else(|| panic!("{}: {refusal}", family.name)).1;
    range.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

fn frozen() -> Vec<(String, Frozen)> {
    let mut all = Vec::new();
    for kind in [ClientKind::Window, ClientKind::Cli, ClientKind::Watchdog, ClientKind::Agent] {
        let hello = Hello { protocol: 0x0201, kind, pid: 0x0403_0201, version: "1.2.3-β".into() };
        all.push((format!("hello/{kind:?}"), Frozen::Hello(hello)));
    }
    for state in [AgentState::Starting, AgentState::Running, AgentState::Stopping] {
        let brief = StatusBrief { state, waiting: 1, sent: u64::MAX, failed: 0x0102_0304_0506_0708 };
        all.push((format!("brief/{state:?}"), Frozen::Brief(brief)));
    }
    all.push(("refused".into(), Frozen::Refused("all 64 places are taken".into())));
    all.push(("ping".into(), Frozen::Ping(7)));
    all.push(("pong".into(), Frozen::Pong(u64::MAX)));
    all.push(("brief request".into(), Frozen::BriefRequest));
    all.push(("stop".into(), Frozen::Stop));
    all.push(("stopping".into(), Frozen::Stopping));
    let (code, why) = ("WB6009".into(), "stopping the agent needs the role operator".into());
    all.push(("stop refused".into(), Frozen::StopRefused { code, why }));
    all
}

fn compare(file: &str, lines: Vec<(String, Vec<u8>)>, what_to_do: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let count = lines.len();
    let found: BTreeMap<String, String> = lines.into_iter().map(|(name, bytes)| (name, hex(&bytes))).collect();
    assert_eq!(found.len(), count, "two samples have one name");
    if std::env::var_os("WAYBILL_BLESS").is_some() && !path.exists() {
        let text: String = found.iter().map(|(name, hex)| format!("{name}\t{hex}\n")).collect();
        std::fs::File::create_new(&path).unwrap().write_all(text.as_bytes()).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; {what_to_do}", path.display()));
    let pinned: BTreeMap<String, String> =
        text.lines().filter_map(|line| line.split_once('\t')).map(|(name, hex)| (name.to_owned(), hex.to_owned())).collect();
    let mut changes = String::new();
    for name in pinned.keys().chain(found.keys().filter(|name| !pinned.contains_key(*name))) {
        let (old, new) = (pinned.get(name), found.get(name));
        if old != new {
            let shown = |hex: Option<&String>| hex.map_or("nothing", String::as_str).to_owned();
            writeln!(changes, "{name}\n  pinned {}\n  now    {}", shown(old), shown(new)).unwrap();
        }
    }
    assert!(changes.is_empty(), "messages changed: {what_to_do}\n{changes}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
