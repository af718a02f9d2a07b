//! The checks, one file each. They get what they look at as closures and handles, and know no agent.

pub mod blocking;
pub mod destination;
pub mod disk;
pub mod setup;
pub mod source;
pub mod store;
pub mod tasks;
