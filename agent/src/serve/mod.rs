//! What others see of the agent: the event hub, and the IPC service on it.

pub mod hub;
pub mod ipc;
