//! Frames and what is in them: whatever is read can be said again, and is then read as the same.

#[path = "../../../ipc/src/frame.rs"]
#[allow(dead_code, reason = "its writer takes a deadline that is not of interest here")]
mod frame;

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use waybill_ipc::codec::{self, MAX_FRAME_BYTES, MAX_GREETING_BYTES};
use waybill_ipc::protocol::Frozen;

/// Everything is there already: a wait would be a fault.
const AT_ONCE: Duration = Duration::from_secs(60);

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime of one thread");
}

/// Reads bytes as a conversation, frame after frame, and as the inside of one frame.
pub fn frame_decoder(bytes: &[u8]) {
    RUNTIME.with(|runtime| runtime.block_on(conversation(bytes)));
    body(bytes);
}

async fn conversation(mut rest: &[u8]) {
    let mut limit = MAX_GREETING_BYTES;
    let mut taken = 0;
    let whole = rest;
    let mut bodies = Vec::new();
    let end = loop {
        match frame::read(&mut rest, limit, AT_ONCE, AT_ONCE).await {
            Ok(read) => {
                assert!(read.len() <= limit);
                taken += 4 + read.len();
                body(&read);
                bodies.push(read);
            }
            Err(end) => break end,
        }
        limit = MAX_FRAME_BYTES;
    };
    match end {
        frame::FrameError::Closed => assert_eq!(taken, whole.len(), "bytes were left over"),
        frame::FrameError::TooLarge { length, limit: told } => assert!(length > told && told == limit),
        frame::FrameError::Io(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof),
        waited @ (frame::FrameError::Silent(_) | frame::FrameError::Stalled(_)) => panic!("{waited}"),
    }
    let mut written = Vec::new();
    frame::write(&mut written, &bodies, AT_ONCE).await.expect("memory takes everything");
    assert_eq!(written, whole[..taken]);
}

fn body(bytes: &[u8]) {
    if let Some(message) = Frozen::decode(bytes) {
        let again = message.encode();
        assert!(bytes.starts_with(&again), "{message:?} is {again:?}");
        assert!(Frozen::is_tag(bytes[0]));
        assert_eq!(Frozen::decode(&again), Some(message));
    }
    match codec::decode_client(bytes) {
        Ok(message) => {
            let again = codec::encode_client(&message).expect("it came in a frame");
            assert_eq!(codec::decode_client(&again).expect("what was said is read"), message);
            assert!(codec::decode_server(bytes).is_err(), "a message of both sides");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(message) = codec::decode_server(bytes) {
        let again = codec::encode_server(&message).expect("it came in a frame");
        assert_eq!(codec::decode_server(&again).expect("what was said is read"), message);
    }
}
