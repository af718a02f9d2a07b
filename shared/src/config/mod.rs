//! The typed configuration of one agent: `config.toml`.
//!
//! [`model`] is the one table of all fields with type, default, rule, unit, help, and whether a change applies at once; [`validate`] holds the
//! rules between fields. From the table come the reader ([`document`]), the reference page, the JSON Schema and the sample file
//! ([`describe`]). [`layers`] lays the environment and pinned values over the file, [`edit`] changes single values of a text and leaves its
//! comments alone, [`compare`] tells what differs. All faults are reported at once with their paths, and a configuration exists only if there
//! are none.

pub mod compare;
pub mod describe;
pub mod document;
pub mod edit;
pub mod identity;
pub mod layers;
pub mod model;
pub mod tree;
pub mod validate;

pub use document::{ConfigError, parse, parse_with};
pub use edit::Edit;
pub use identity::{Identity, host_name};
pub use layers::{Effective, Layers, Managed, Origin};
pub use model::{
    Access, After, Archive, Config, Convert, DefaultRole, Destination, DestinationKind, Gzip, Health, Ipc, Log, LogLevel,
    NameFrom, Preset, Proxy, ProxyMode, Queue, Retention, Shutdown, Source, Station, Tls, TlsVersion, Upload, WhenFull, Window,
    WindowTheme,
};
