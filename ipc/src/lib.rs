//! What the window, the command line and the agent say to each other.
//!
//! - [`endpoint`]: the name under which an instance of the agent is reached
//! - [`transport`]: a local socket or named pipe of the OS, listened on and connected to
//! - [`peer`]: who is at the other end, checked by the OS
//! - [`protocol`]: the messages; [`codec`]: their bytes, and the only file that names the serializer
//! - [`server`] and [`client`]: the conversation, with a deadline on everything that waits
//!
//! A frame is a little-endian `u32` length and so many bytes: at most 1 MiB before the greeting, 16 MiB after. The first byte is
//! its tag. Greeting, ping, brief status and stop have hand-written layouts that never change, so that two versions can
//! always talk about stopping and updating.

pub mod client;
pub mod codec;
pub mod endpoint;
mod frame;
pub mod peer;
pub mod protocol;
pub mod server;
pub mod transport;

pub use client::{Client, ClientError};
pub use endpoint::Endpoint;
