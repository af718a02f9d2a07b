//! `watchdog`: a process that starts the agent, asks it how it is, and starts it anew when it hangs or crashes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser as _};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::Instance;

use super::{Cli, Command, InstanceArgs, output};
use crate::agent::longest_stop;
use crate::watchdog::machine::Limits;
use crate::watchdog::{self, Options};

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 the agent was told to stop, or the watchdog was, and all ended in order; 10 so it was, and not everything ended in time: nothing
is lost; 13 it gave up (`waybill-agent explain watchdog`); 4 a watchdog of this instance runs already; 7 the watchdog cannot use the data
folder; 5 the agent's configuration has faults; 2 the arguments have, the watchdog's or the agent's.")]
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
    /// Longest time for an agent to stop; then it is killed [default: its shutdown.total_secs, and 10 more]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    stop_within: Option<u64>,
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
    /// What the agent is told to do, instead of `run`: `run` with options of its own. Which agent it is, the watchdog's options say
    #[arg(last = true, value_name = "ARGUMENTS OF THE AGENT")]
    arguments: Vec<OsString>,
}

pub(super) async fn main(instance: &Instance, args: WatchdogArgs) -> Result<Exit, ErrorReport> {
    let arguments = if args.arguments.is_empty() { vec!["run".into()] } else { args.arguments };
    refuse_all_but_run(&arguments)?;
    let program = match args.program {
        Some(program) => program,
        // Where it lay when the watchdog was started: after an update, the new one lies there.
        None => std::env::current_exe()
            .map_err(|error| ErrorReport::new(Code::Internal, format!("the agent's own program: {error}")))?,
    };
    let stopping = args.stop_within.map(Duration::from_secs);
    let options = Options {
        limits: Limits {
            interval: Duration::from_secs(args.interval),
            failures: args.failures,
            starting: Duration::from_secs(args.start_within),
            stopping: stopping.unwrap_or_else(|| longest_stop(instance)),
            restarts: 5,
            window: Duration::from_secs(300),
            pause: Duration::from_millis(args.pause_ms),
            longest_pause: Duration::from_secs(60),
        },
        stopping,
        timeout: Duration::from_secs(args.timeout),
        write_every: Duration::from_secs(args.write_every),
        program,
        arguments,
        tell: output::warn,
    };
    watchdog::run(instance, options).await
}

/// Anything but `run` ends by itself and would be started again and again; an agent of another instance would not be the one that is asked.
fn refuse_all_but_run(arguments: &[OsString]) -> Result<(), ErrorReport> {
    let said = || arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let refuse = |why: &str| {
        Err(ErrorReport::new(Code::RequestInvalid, format!("the watchdog cannot start an agent with `{}`: {why}", said()))
            .with_fix("Behind `--` stands `run` with options of `run` alone (`waybill-agent run --help`), or nothing; options that say which agent it is stand before `watchdog`"))
    };
    // As the agent itself would understand them.
    let words = std::iter::once(OsString::from("waybill-agent")).chain(arguments.iter().cloned());
    match Cli::try_parse_from(words) {
        Ok(Cli {
            command: Command::Run(_),
            instance: InstanceArgs { instance: None, scope: None, config: None, data_dir: None, pin_file: None },
        }) => Ok(()),
        Ok(Cli { command: Command::Run(_), .. }) => {
            refuse("an option names an instance or its PIN, and the agent belongs to the same instance as its watchdog")
        }
        Ok(_) => refuse("it is another command than `run`"),
        Err(error) if error.use_stderr() => {
            let text = error.to_string();
            refuse(text.lines().next().unwrap_or_default().trim_start_matches("error: "))
        }
        Err(_) => refuse("it only shows something and ends"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_run_with_options_of_its_own_may_be_started() {
        let checked = |line: &str| refuse_all_but_run(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in ["run", "run --headless"] {
            assert_eq!(checked(line), Ok(()), "{line}");
        }
        for line in [
            "run --data-dir x",
            "run --data-dir=x",
            "--data-dir x run",
            "--data-dir=x run",
            "run --instance=x",
            "run --instance x",
            "run --scope user",
            "run --scope=machine",
            "run --config x",
            "run --config=x",
            "run --pin-file=x",
            "run --nonsense",
            "run run",
            "run --help",
            "run -- x",
            "status",
            "stop",
            "watchdog",
            "watchdog -- run",
            "service run",
            "--version",
            "--help",
            "help",
            "-h",
            "",
            "nonsense",
        ] {
            let error = checked(line).expect_err(line);
            assert!(error.code.exit() == Exit::Usage && error.message.contains("the watchdog cannot start"), "{line}: {error}");
        }
    }
}
