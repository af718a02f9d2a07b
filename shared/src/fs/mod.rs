//! The one way to replace a file, to hold a lock, to keep something private.

pub mod atomic;
pub mod lock;
pub mod private;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;

pub use platform::{create_new_private, create_shared_folder, is_network_folder, retry_sharing, sync_folder};
