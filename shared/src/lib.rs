//! The vocabulary of Waybill, used by the agent and by the window alike.
//!
//! - [`report`]: the report model (UUT and UUR) and its JSON form, WSJF
//! - [`config`]: the typed configuration of one agent
//! - [`error`]: the catalogue of stable error codes
//! - [`help`]: the help page of each error code
//! - [`id`]: newtypes for the identities that travel through the system
//! - [`schema`]: how a typed record is read from a document with *all* of its faults named by path
//! - [`fs`]: the one way to replace a file, to hold a lock, to keep a file private
//! - [`paths`]: where an instance keeps its things
//!
//! This crate knows neither tokio nor egui, and performs no I/O outside [`fs`] and [`paths`].

pub mod config;
pub mod error;
pub mod fs;
pub mod help;
pub mod id;
pub mod paths;
pub mod report;
pub mod schema;
pub mod secret;
pub mod text;
