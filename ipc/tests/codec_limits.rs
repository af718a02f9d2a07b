//! Bytes of a stranger: never a panic, never more memory than a frame may have, whatever lengths they announce.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, reason = "a fault of a test is told where it stands")]

mod platform;
mod samples;

use std::time::Duration;

use platform::{Counting, peak_of};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use waybill_ipc::client::Deadlines;
use waybill_ipc::codec::{self, MAX_FRAME_BYTES};
use waybill_ipc::protocol::{
    ClientKind, ClientMessage, DeliveryFilter, Frozen, Hello, MOST_EDITS, PROTOCOL, Reply, Request, ServerMessage,
};
use waybill_ipc::{Client, ClientError};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What reading may need beside the limit: messages of errors, the ends of vectors.
const SLACK: usize = 64 * 1024;

/// Reads bytes as everything that they could be, and gives the most memory that took.
fn read_as_everything(bytes: &[u8]) -> usize {
    let as_message = |tag: u8| {
        let tagged = [&[tag], bytes].concat();
        peak_of(|| (codec::decode_client(&tagged).is_ok(), codec::decode_server(&tagged).is_ok())).1
    };
    let frozen = |tag: u8| {
        let tagged = [&[tag], bytes].concat();
        peak_of(|| Frozen::decode(&tagged)).1
    };
    let plain = peak_of(|| (Frozen::decode(bytes), codec::decode_client(bytes).is_ok(), codec::decode_server(bytes).is_ok())).1;
    (0..=9).map(frozen).chain([as_message(16), as_message(17), plain]).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_refused_in_little_memory(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(read_as_everything(&bytes) <= MAX_FRAME_BYTES + SLACK);
    }

    /// Random bytes rarely get far: these begin as a real message does, and then lie.
    #[test]
    fn damaged_messages_are_read_or_refused_in_little_memory(
        which in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        junk in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let all = samples::all();
        let (_, message) = which.get(&all);
        let mut bytes = message.encode();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        bytes.extend(junk);
        let (read, peak) = peak_of(|| message.decode_as(&bytes));
        prop_assert!(peak <= MAX_FRAME_BYTES + SLACK, "{peak} bytes for a frame of {}", bytes.len());
        // What was read can be said again.
        if let Ok(read) = read {
            prop_assert!(read.decode_as(&read.encode()).is_ok());
        }
    }
}

/// Lengths as the serializer writes them: one byte up to 250, then a mark and 2, 4 or 8 bytes.
fn announced(length: u64) -> Vec<u8> {
    [&[253], &length.to_le_bytes()[..]].concat()
}

#[test]
fn announced_lengths_take_no_memory() {
    // Before each length: request with id 1, Deliveries, Some(text) · response 1, Deliveries(list) · response 1, ConversionErrors(list)
    // · update, event 1 at 0, FileSeen with a text.
    let places: [&[u8]; 4] = [&[16, 1, 1, 1], &[17, 0, 1, 0, 2], &[17, 0, 1, 0, 3], &[17, 1, 1, 1, 0, 2]];
    for place in places {
        for length in [251, 65_536, MAX_FRAME_BYTES as u64 - 100, MAX_FRAME_BYTES as u64 + 1, u64::from(u32::MAX), u64::MAX] {
            for tail in [0, 40, 4000] {
                let bytes = [place, &announced(length), &vec![b'a'; tail]].concat();
                let ((), peak) = peak_of(|| {
                    assert!(codec::decode_client(&bytes).is_err() && codec::decode_server(&bytes).is_err());
                });
                assert!(peak <= MAX_FRAME_BYTES + SLACK, "{place:?} announces {length}: {peak} bytes");
            }
        }
    }
}

#[test]
fn a_truncated_message_is_refused_at_every_byte_and_a_longer_one_too() {
    for (name, message) in samples::all() {
        let bytes = message.encode();
        for end in 0..bytes.len() {
            assert!(message.decode_as(&bytes[..end]).is_err(), "{name}: {end} of {} bytes were read", bytes.len());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(message.decode_as(&longer).is_err(), "{name}: a byte too many was read over");
    }
}

#[test]
fn no_depth_of_nesting_is_followed() {
    // No message contains itself; bytes that open one thing after the other end somewhere.
    for byte in 0..=u8::MAX {
        let bytes = vec![byte; 1024 * 1024];
        assert!(read_as_everything(&bytes) <= MAX_FRAME_BYTES + bytes.len() + SLACK, "{byte}");
    }
}

#[test]
fn a_message_larger_than_a_frame_is_not_sent() {
    let rows = vec![waybill_ipc::protocol::DeliveryRow { serial: "x".repeat(MAX_FRAME_BYTES), ..samples::row() }];
    let message = ServerMessage::Response { id: 1, result: Ok(Reply::Deliveries(rows)) };
    assert!(matches!(codec::encode_server(&message), Err(codec::CodecError::TooLarge)));
    let request = Request::Deliveries {
        filter: DeliveryFilter { destination: Some("x".repeat(MAX_FRAME_BYTES)), ..DeliveryFilter::default() },
        page: waybill_ipc::protocol::Page { after: None, limit: 1 },
    };
    assert!(matches!(codec::encode_client(&ClientMessage { id: 1, request }), Err(codec::CodecError::TooLarge)));
}

/// A client that is connected to these bytes, after a proper greeting.
async fn client_of(answer: &[u8]) -> (Client, DuplexStream) {
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let hello = Hello { protocol: PROTOCOL, kind: ClientKind::Agent, pid: 1, version: "0".into() };
    let hello = Frozen::Hello(hello).encode();
    let length = u32::try_from(hello.len()).unwrap().to_le_bytes();
    theirs.write_all(&[&length[..], &hello, answer].concat()).await.unwrap();
    let client = Client::over(ours, ClientKind::Cli, Deadlines::default()).await.unwrap();
    (client, theirs)
}

#[tokio::test]
async fn a_length_prefix_of_4_gib_ends_the_conversation_at_once() {
    for length in [u32::MAX, u32::try_from(MAX_FRAME_BYTES).unwrap() + 1] {
        let (client, _theirs) = client_of(&length.to_le_bytes()).await;
        match client.request(Request::Status).await {
            Err(ClientError::Broken(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn before_the_greeting_a_frame_may_have_1_mib() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    theirs.write_all(&(1024_u32 * 1024 + 1).to_le_bytes()).await.unwrap();
    let refused = Client::over(ours, ClientKind::Cli, Deadlines::default()).await.err().unwrap();
    assert!(refused.to_string().contains("at most 1048576 are allowed"), "{refused}");
}

/// One thread: what the client's task holds is counted here.
#[tokio::test]
async fn an_announced_frame_takes_memory_as_it_arrives() {
    let most = u32::try_from(MAX_FRAME_BYTES).unwrap();
    let before = platform::held();
    let (client, mut theirs) = client_of(&most.to_le_bytes()).await;
    theirs.write_all(&[17; 1000]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let held = platform::held() - before;
    assert!(held < 4 * 1024 * 1024, "{held} bytes are held for a frame of which 1000 bytes came");
    drop(client);
    // The client's end is closed.
    let mut rest = Vec::new();
    theirs.read_to_end(&mut rest).await.unwrap();
}

/// Rows in memory are larger than in a frame. Only the agent, whose user was checked, sends lists.
#[test]
fn a_frame_full_of_the_smallest_rows_takes_a_few_times_its_size() {
    let rows = MAX_FRAME_BYTES / 17 - 10;
    let mut bytes = [&[17, 0, 1, 0, 2][..], &announced(rows as u64)].concat();
    bytes.extend(std::iter::repeat_n(0, 17 * rows));
    assert!(bytes.len() <= MAX_FRAME_BYTES);
    let (_, peak) = peak_of(|| codec::decode_server(&bytes).is_ok());
    assert!(peak <= 8 * MAX_FRAME_BYTES, "{peak} bytes for a frame of {}", bytes.len());
}

/// What a client sends is read before it is known what that client may do.
#[test]
fn a_frame_full_of_the_smallest_changes_is_given_up_at_the_first_too_many() {
    // Request with id 1, ConfigChange without a base, edits: each takes nothing away from nowhere.
    let (head, element) = (&[16, 1, 25, 0][..], &[1, 0][..]);
    let changes = |count: usize| [head, &announced(count as u64), &element.repeat(count), &[0, 0]].concat();
    assert!(codec::decode_client(&changes(MOST_EDITS)).is_ok());
    for count in [MOST_EDITS + 1, (MAX_FRAME_BYTES - 100) / element.len()] {
        let bytes = changes(count);
        let (error, peak) = peak_of(|| codec::decode_client(&bytes).unwrap_err());
        assert!(error.to_string().contains("more than 10000 changes at once"), "{error}");
        assert!(peak <= 4 * 1024 * 1024, "{peak} bytes for a frame of {}", bytes.len());
    }
}

/// Only the agent, whose user was checked, sends lines of the log.
#[test]
fn a_frame_full_of_empty_lines_takes_a_few_times_its_size() {
    let (head, element) = (&[17, 0, 1, 0, 14][..], &[0; 9][..]);
    let count = (MAX_FRAME_BYTES - 100) / element.len();
    assert!(codec::decode_server(&[head, &announced(1), element].concat()).is_ok());
    let bytes = [head, &announced(count as u64), &element.repeat(count)].concat();
    let (_, peak) = peak_of(|| codec::decode_server(&bytes).is_ok());
    assert!(peak <= 13 * MAX_FRAME_BYTES, "{peak} bytes for a frame of {}", bytes.len());
}
