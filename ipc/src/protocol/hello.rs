//! The frozen messages: their layouts never change, so that any two versions can greet, refuse, ping, tell how they are, and stop.
//!
//! Numbers are little-endian; a text is a `u16` length and so many bytes of UTF-8.

use serde::{Deserialize, Serialize};

/// Who connects; it decides which place it gets when the house is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClientKind {
    /// The operator's window.
    Window,
    /// A command line.
    Cli,
    /// The watchdog.
    Watchdog,
    /// The agent itself, in its answer.
    Agent,
}

/// How the agent as a whole is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Opening its store.
    #[default]
    Starting,
    /// At work.
    Running,
    /// Ends; takes nothing new.
    Stopping,
}

/// The greeting of each side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// [`super::PROTOCOL`] of the sender.
    pub protocol: u16,
    /// Who it is.
    pub kind: ClientKind,
    /// Its process id.
    pub pid: u32,
    /// Its program's version.
    pub version: String,
}

/// How the agent is, in a form every version understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusBrief {
    /// How it is.
    pub state: AgentState,
    /// Deliveries that wait or are being sent.
    pub waiting: u64,
    /// Deliveries that were made.
    pub sent: u64,
    /// Deliveries that were refused for good.
    pub failed: u64,
}

/// A frozen message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frozen {
    /// Greeting of either side; the first frame each way.
    Hello(Hello),
    /// In place of a greeting: a sentence that says why not.
    Refused(String),
    /// Are you there?
    Ping(u64),
    /// I am; with the ping's number.
    Pong(u64),
    /// How are you?
    BriefRequest,
    /// So I am.
    Brief(StatusBrief),
    /// Stop the agent, gracefully.
    Stop,
    /// It stops.
    Stopping,
    /// It does not stop for this client.
    StopRefused {
        /// Code of the error.
        code: String,
        /// What a person reads.
        why: String,
    },
}

const MAGIC: &[u8; 4] = b"WAYB";

impl Frozen {
    /// True for a frame's tag that belongs to a frozen message.
    #[must_use]
    pub fn is_tag(tag: u8) -> bool {
        (1..=9).contains(&tag)
    }

    /// The frame's bytes, the tag first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        match self {
            Self::Hello(hello) => {
                bytes.push(1);
                bytes.extend_from_slice(MAGIC);
                bytes.extend_from_slice(&hello.protocol.to_le_bytes());
                bytes.push(match hello.kind {
                    ClientKind::Window => 0,
                    ClientKind::Cli => 1,
                    ClientKind::Watchdog => 2,
                    ClientKind::Agent => 3,
                });
                bytes.extend_from_slice(&hello.pid.to_le_bytes());
                put_text(&mut bytes, &hello.version);
            }
            Self::Refused(why) => {
                bytes.push(2);
                put_text(&mut bytes, why);
            }
            Self::Ping(number) => {
                bytes.push(3);
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            Self::Pong(number) => {
                bytes.push(4);
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            Self::BriefRequest => bytes.push(5),
            Self::Brief(brief) => {
                bytes.push(6);
                bytes.push(match brief.state {
                    AgentState::Starting => 0,
                    AgentState::Running => 1,
                    AgentState::Stopping => 2,
                });
                for number in [brief.waiting, brief.sent, brief.failed] {
                    bytes.extend_from_slice(&number.to_le_bytes());
                }
            }
            Self::Stop => bytes.push(7),
            Self::Stopping => bytes.push(8),
            Self::StopRefused { code, why } => {
                bytes.push(9);
                put_text(&mut bytes, code);
                put_text(&mut bytes, why);
            }
        }
        bytes
    }

    /// Reads a frame; `None` if it is not one of these. Bytes after the known ones are for newer versions and are ignored.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let rest = &mut rest;
        Some(match take::<1>(rest)?[0] {
            1 => {
                if take::<4>(rest)? != *MAGIC {
                    return None;
                }
                Self::Hello(Hello {
                    protocol: u16::from_le_bytes(take(rest)?),
                    kind: match take::<1>(rest)?[0] {
                        0 => ClientKind::Window,
                        1 => ClientKind::Cli,
                        2 => ClientKind::Watchdog,
                        3 => ClientKind::Agent,
                        _ => return None,
                    },
                    pid: u32::from_le_bytes(take(rest)?),
                    version: take_text(rest)?,
                })
            }
            2 => Self::Refused(take_text(rest)?),
            3 => Self::Ping(u64::from_le_bytes(take(rest)?)),
            4 => Self::Pong(u64::from_le_bytes(take(rest)?)),
            5 => Self::BriefRequest,
            6 => Self::Brief(StatusBrief {
                state: match take::<1>(rest)?[0] {
                    0 => AgentState::Starting,
                    1 => AgentState::Running,
                    2 => AgentState::Stopping,
                    _ => return None,
                },
                waiting: u64::from_le_bytes(take(rest)?),
                sent: u64::from_le_bytes(take(rest)?),
                failed: u64::from_le_bytes(take(rest)?),
            }),
            7 => Self::Stop,
            8 => Self::Stopping,
            9 => Self::StopRefused { code: take_text(rest)?, why: take_text(rest)? },
            _ => return None,
        })
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let mut length = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    #[allow(clippy::cast_possible_truncation, reason = "just limited to u16::MAX")]
    bytes.extend_from_slice(&(length as u16).to_le_bytes());
    bytes.extend_from_slice(&text.as_bytes()[..length]);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_le_bytes(take(rest)?));
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    String::from_utf8(head.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes are in the field: if one of these assertions fails, the change is wrong, not the test.
    #[test]
    fn the_frozen_layouts_are_frozen() {
        let cases: [(Frozen, &[u8]); 9] = [
            (
                Frozen::Hello(Hello { protocol: 1, kind: ClientKind::Cli, pid: 0x0102, version: "0.1.0".into() }),
                b"\x01WAYB\x01\x00\x01\x02\x01\x00\x00\x05\x000.1.0",
            ),
            (Frozen::Refused("no".into()), b"\x02\x02\x00no"),
            (Frozen::Ping(7), b"\x03\x07\0\0\0\0\0\0\0"),
            (Frozen::Pong(7), b"\x04\x07\0\0\0\0\0\0\0"),
            (Frozen::BriefRequest, b"\x05"),
            (
                Frozen::Brief(StatusBrief { state: AgentState::Running, waiting: 1, sent: 2, failed: 3 }),
                b"\x06\x01\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0",
            ),
            (Frozen::Stop, b"\x07"),
            (Frozen::Stopping, b"\x08"),
            (Frozen::StopRefused { code: "WB1".into(), why: "no".into() }, b"\x09\x03\x00WB1\x02\x00no"),
        ];
        for (message, bytes) in cases {
            assert_eq!(message.encode(), bytes);
            assert_eq!(Frozen::decode(bytes), Some(message.clone()));
            let longer = [bytes, b"newer fields"].concat();
            assert_eq!(Frozen::decode(&longer), Some(message));
            assert_eq!(Frozen::decode(&bytes[..bytes.len() - 1]), None);
        }
    }
}
