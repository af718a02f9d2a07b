//! What the black-box tests stand on: a real server, a station in a folder of its own, and the agent as a real process.
//!
//! - [`server`]: a WATS-compatible receiver whose answers a test chooses while it runs
//! - [`between`]: what stands between station and server: a forward proxy, TLS with an authority of its own
//! - [`station`]: a configuration, watch folders, and writers that imitate equipment; [`sample`]: reports of real shape
//! - [`agent`]: the agent's process and its command line, never without a deadline
//! - [`ipc`]: a conversation with the agent, and raw bytes for abuse; [`edit`]: changes of its configuration
//! - `disk`: a disk that fails, and a power cut at any point (Linux)
//! - [`stranger`]: another user of the OS, before the agent's door and in its place
//! - [`mod@conservation`]: the books of a status, for the one law that nothing is lost
//! - [`wait`]: conditions with a bound; [`measure`]: a load, and what it costs, for the benchmarks
//!
//! Everything here panics instead of returning errors: a fault of the support is a failed test, told where the test stands.
//! Nothing waits without a bound; `WAYBILL_TEST_PATIENCE=3` multiplies all of them for a slow machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "test support: it panics for a living, and imitates equipment, which writes files carelessly"
)]

pub mod agent;
pub mod between;
pub mod conservation;
#[cfg(target_os = "linux")]
pub mod disk;
pub mod edit;
pub mod ipc;
pub mod measure;
mod process;
pub mod sample;
pub mod server;
pub mod station;
pub mod stranger;
pub mod wait;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;

pub use agent::{Agent, cli, cli_for_a_line, cli_with};
pub use between::{Authority, ForwardProxy, TlsFront};
pub use conservation::{Counts, conservation};
pub use ipc::{Ipc, ipc_client, raw_stream};
pub use sample::{sample_id, sample_report, sample_value};
pub use server::{Behaviour, Receiver};
pub use station::Station;
pub use wait::wait_until;

/// True where a test cannot be answered, because what runs it is not Windows but Wine, which differs in this.
#[must_use]
pub fn wine_cannot_show(what: &str) -> bool {
    let is_wine = platform::is_wine();
    if is_wine {
        eprintln!("Wine cannot show this: {what}");
    }
    is_wine
}
