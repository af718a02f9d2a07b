//! The typed configuration of one agent: `config.toml`.
//!
//! [`model`] is the one table of all fields with type, default, rule, unit and help; [`document`] reads a TOML text against
//! it; [`validate`] holds the rules between fields. All faults are reported at once with their paths, and a configuration
//! exists only if there are none.

pub mod document;
pub mod model;
pub mod validate;

pub use document::{ConfigError, parse, parse_with};
pub use model::{
    After, Config, Convert, Destination, DestinationKind, Ipc, Log, LogLevel, Queue, Shutdown, Source, Station, Upload, WhenFull,
};
