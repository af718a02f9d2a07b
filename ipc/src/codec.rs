//! The bytes of the messages after the greeting. The only file that names the serializer.
//!
//! bincode 2 in its standard configuration (little-endian, variable-width integers), limited to the largest frame. Values are plain enums and
//! structs: bincode cannot carry untagged or flattened ones, so reports and configuration documents cross as text.

use crate::protocol::{ClientMessage, ServerMessage};

/// Largest frame after the greeting.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// Largest frame before the greeting.
pub const MAX_GREETING_BYTES: usize = 1024 * 1024;

const TAG_CLIENT: u8 = 16;
const TAG_SERVER: u8 = 17;

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// They do not have the form of one.
    #[error("a message of {length} bytes cannot be read: {reason}")]
    Malformed {
        /// Length of the frame.
        length: usize,
        /// What the decoder says.
        reason: String,
    },
    /// The message is larger than a frame.
    #[error("a message is larger than {MAX_FRAME_BYTES} bytes")]
    TooLarge,
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_FRAME_BYTES>()
}

fn encode<T: serde::Serialize>(tag: u8, message: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![tag];
    bincode::serde::encode_into_std_write(message, &mut bytes, config())
        .map_err(|error| CodecError::Malformed { length: 0, reason: error.to_string() })?;
    if bytes.len() > MAX_FRAME_BYTES { Err(CodecError::TooLarge) } else { Ok(bytes) }
}

fn decode<T: serde::de::DeserializeOwned>(tag: u8, bytes: &[u8]) -> Result<T, CodecError> {
    let malformed = |reason: String| CodecError::Malformed { length: bytes.len(), reason };
    match bytes.split_first() {
        Some((&found, body)) if found == tag => {
            let (message, used) =
                bincode::serde::decode_from_slice(body, config()).map_err(|error| malformed(error.to_string()))?;
            if used == body.len() { Ok(message) } else { Err(malformed(format!("{} bytes too many", body.len() - used))) }
        }
        Some((found, _)) => Err(malformed(format!("unknown tag {found}"))),
        None => Err(malformed("it is empty".to_owned())),
    }
}

/// The bytes of a client's message.
///
/// # Errors
/// A message larger than a frame.
pub fn encode_client(message: &ClientMessage) -> Result<Vec<u8>, CodecError> {
    encode(TAG_CLIENT, message)
}

/// A client's message.
///
/// # Errors
/// Bytes that are none.
pub fn decode_client(bytes: &[u8]) -> Result<ClientMessage, CodecError> {
    decode(TAG_CLIENT, bytes)
}

/// The bytes of a server's message.
///
/// # Errors
/// A message larger than a frame.
pub fn encode_server(message: &ServerMessage) -> Result<Vec<u8>, CodecError> {
    encode(TAG_SERVER, message)
}

/// A server's message.
///
/// # Errors
/// Bytes that are none.
pub fn decode_server(bytes: &[u8]) -> Result<ServerMessage, CodecError> {
    decode(TAG_SERVER, bytes)
}
