//! Result files: found, finished, taken, and put where they belong.
//!
//! Each source has one thread ([`source`]) that alone touches its folder: it finds files by change events ([`watch`]) and by reading
//! the folder ([`rescan`]), waits until each is finished ([`settle`]), gives it to the converter pool, and does its post-action
//! ([`post_action`]) when its reports are durable. A broken file goes to the error folder with a sidecar ([`sidecar`]). What lies in
//! these folders long enough is removed, if that is wanted ([`retention`]).
//!
//! A source first claims its folder ([`claim`]), so that two agents of a machine never take the same files.
//!
//! # Invariants
//! - A file is moved, packed or deleted only after its fingerprint is committed, and only if it still is what was committed.
//! - No name is ever overwritten.
//! - A missing folder, a permission, a vanished share are troubles of the source that are tried again, never conversion errors.
//! - At most [`source::CANDIDATES`] files are held in memory; the rest stay in the folder and are found by the next reading.
//!
//! # What survives a crash
//! The files themselves. A file between commit and post-action is recognised by its fingerprint; one under a claim name as well.

mod candidate;
mod claim;
pub mod post_action;
pub mod rescan;
pub mod retention;
pub mod retry;
pub mod settle;
pub mod sidecar;
pub mod source;
pub mod watch;

pub use claim::Claims;
pub use source::{Neighbour, Source, SourceSetup, Told, WORKING, supervised};
