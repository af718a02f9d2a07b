//! The end of the session in which the agent runs: a log-off, a shutdown of the machine.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as os;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as os;

pub use os::watch;
