//! The background process of Waybill, and its command line.
//!
//! A report goes one straight way, over bounded channels with backpressure upstream:
//!
//! ```text
//! file appears ─▶ intake ─▶ convert ─▶ queue ─▶ upload ─▶ destinations
//! ```
//!
//! - [`intake`]: files are found, awaited until they are finished, and put where they belong when their reports are durable
//! - [`convert`]: bytes become reports
//! - [`queue`]: the durable heart; its module doc is the specification of the store
//! - [`archive`]: copies of taken files, which can be sent again
//! - [`upload`]: reports go to their destinations, independently
//! - [`serve`]: the event hub, and the IPC service on it
//! - [`config`]: the configuration's file, its backups, and what lies over it; [`secrets`]: tokens and passwords
//! - [`access`]: the one gate; [`history`]: who did what; [`health`]: how well everything is; [`log`]: what happened
//! - [`agent`]: the composition root; [`supervisor`]: what runs, and what becomes of what fails; [`shutdown`]: how it stops
//! - [`watchdog`]: the process that starts the agent anew when it hangs; [`service_manager`]: what systemd is told
//! - [`cli`]: the command line; thin, everything else is above
//!
//! No stage reaches around another: the converter pool holds no HTTP client, the uploader never touches a source file.

pub mod access;
pub mod agent;
pub mod archive;
pub mod cli;
pub mod config;
pub mod convert;
pub mod desk;
pub mod diagnose;
pub mod failpoint;
pub mod health;
pub mod history;
pub mod intake;
pub mod log;
pub mod platform;
pub mod queue;
pub mod secrets;
pub mod serve;
pub mod service_manager;
pub mod shutdown;
pub mod supervisor;
pub mod upload;
pub mod watchdog;
