//! What others see of the agent: the event hub, and the IPC service on it. [`answers`] also serves the command line while no agent runs.

pub(crate) mod answers;
pub mod hub;
#[cfg(test)]
mod hub_tests;
pub mod ipc;
mod sync;
