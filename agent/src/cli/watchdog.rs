//! `watchdog`: a process that starts the agent, asks it how it is, and starts it anew when it hangs or crashes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::Instance;

use crate::watchdog::machine::Limits;
use crate::watchdog::{self, Options};

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 the agent was told to stop, or the watchdog was; 13 it gave up (`waybill-agent explain watchdog`);
4 a watchdog of this instance runs already; else that of an agent which would end so again: 5 faults in its configuration, 2 in its arguments.")]
pub(super) struct WatchdogArgs {
    /// From one question to the next
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Longest time for an answer
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// So many questions in a row without an answer, and the agent hangs
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100))]
    failures: u32,
    /// Longest time for an agent to stop; then it is killed
    #[arg(long, default_value_t = 130, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    stop_within: u64,
    /// Longest time for an agent to be without a door: after its start, while its queue is repaired
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    start_within: u64,
    /// Another program than this one (for tests)
    #[arg(long, hide = true, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Pause before the first restart (for tests)
    #[arg(long, hide = true, default_value_t = 1000, value_name = "MILLISECONDS")]
    pause_ms: u64,
    /// How often measurements are written down while nothing happens (for tests)
    #[arg(long, hide = true, default_value_t = 300, value_name = "SECONDS")]
    write_every: u64,
    /// What the agent is told to do, instead of `run`
    #[arg(last = true, value_name = "ARGUMENTS OF THE AGENT")]
    arguments: Vec<OsString>,
}

pub(super) async fn main(instance: &Instance, args: WatchdogArgs) -> Result<Exit, ErrorReport> {
    let program = match args.program {
        Some(program) => program,
        // Where it lay when the watchdog was started: after an update, the new one lies there.
        None => std::env::current_exe()
            .map_err(|error| ErrorReport::new(Code::Internal, format!("the agent's own program: {error}")))?,
    };
    let arguments = if args.arguments.is_empty() { vec!["run".into()] } else { args.arguments };
    let options = Options {
        limits: Limits {
            interval: Duration::from_secs(args.interval),
            failures: args.failures,
            starting: Duration::from_secs(args.start_within),
            stopping: Duration::from_secs(args.stop_within),
            restarts: 5,
            window: Duration::from_secs(300),
            pause: Duration::from_millis(args.pause_ms),
            longest_pause: Duration::from_secs(60),
        },
        timeout: Duration::from_secs(args.timeout),
        write_every: Duration::from_secs(args.write_every),
        program,
        arguments,
    };
    watchdog::run(instance, options).await
}
