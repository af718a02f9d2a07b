//! The command line: parses, calls, prints.

mod access;
mod ask;
mod autostart;
mod config;
mod convert;
mod converters;
mod demo;
mod destinations;
mod diagnose;
mod door;
mod errors;
mod explain;
mod fsck;
mod health;
mod history;
mod init;
mod logs;
mod mapping;
mod output;
mod pace;
mod pin;
mod queue;
mod reconvert;
mod run;
mod secret;
mod service;
mod status;
mod stop;
mod tasks;
mod watchdog;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use pin::Pin;
use tokio::time::Instant;
use waybill_ipc::Endpoint;
use waybill_ipc::client::{Client, ClientError, Deadlines};
use waybill_ipc::protocol::ClientKind;
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::lock;
use waybill_shared::paths::{Instance, InstanceOptions, Scope};

use crate::watchdog::record;

/// How long an agent that holds its lock and has no door is taken for one that starts or stops.
const STARTING: Duration = Duration::from_secs(3);
/// Longest time for a greeting: an agent that is well needs a thousandth of it.
const GREETING: Duration = Duration::from_secs(10);
/// How often its door is tried.
const STARTING_LOOK: Duration = Duration::from_millis(50);

/// Takes the result files of test equipment, turns each into a test report and delivers it to your server. No report is ever lost.
#[derive(Debug, Parser)]
#[command(name = "waybill-agent", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    instance: InstanceArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct InstanceArgs {
    /// Which agent, if several run side by side
    #[arg(long, global = true, value_name = "NAME")]
    instance: Option<String>,
    /// Whom the agent belongs to; without it the machine if it has one, else you
    #[arg(long, global = true, value_enum)]
    scope: Option<ScopeArg>,
    /// Configuration to read instead of the instance's own
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder that holds everything of this agent: queue, spool, logs, secrets, and config.toml
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Private file with the PIN, if one is set; else WAYBILL_PIN, or you are asked
    #[arg(long, global = true, value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeArg {
    Machine,
    User,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent in the foreground; prints one line `ready` when it serves
    Run(run::RunArgs),
    /// Let the agent start by itself when you log in; needs no administrator
    #[command(subcommand)]
    Autostart(autostart::AutostartCommand),
    /// Let the OS run the agent as a service: install, start, stop, look at, take away
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Set this station up: asks what it needs to know, tests the destination, writes the configuration
    Init(Box<init::InitArgs>),
    /// Show what came, what waits, what went, what failed
    Status(status::StatusArgs),
    /// Look into the queue, and act on what lies in it
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Compare the queue with itself: counts, checksums, files; nothing is changed
    Fsck(fsck::FsckArgs),
    /// Look at destinations, test them, register this station
    #[command(subcommand)]
    Destinations(destinations::DestinationsCommand),
    /// Convert a file without sending anything: shows the report, or exactly what is wrong
    Convert(convert::ConvertArgs),
    /// What files can be read, and with which arguments; try files against it
    #[command(subcommand)]
    Converters(converters::ConvertersCommand),
    /// Files that could not be converted: why, and how they are taken again
    #[command(subcommand)]
    Errors(errors::ErrorsCommand),
    /// Mappings in the making: layouts of one's own, checked against a file, or guessed from one
    #[command(subcommand)]
    Mapping(mapping::MappingCommand),
    /// Send archived files again with the configuration that their source has now; the reports keep their ids
    Reconvert(Box<reconvert::ReconvertArgs>),
    /// Show, check and change the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Show how well the agent is; for a container: `health --live`
    Health(health::HealthArgs),
    /// Say what runs in the agent, and what became of what failed
    Tasks(tasks::TasksArgs),
    /// Show who changed, tried or forced what
    #[command(subcommand)]
    History(HistoryCommand),
    /// Roles, and the PIN of the engineer role
    #[command(subcommand)]
    Access(access::AccessCommand),
    /// Tokens and passwords; they are never shown
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// Write a bundle for whoever looks for a fault, and say what looks wrong; also if the agent hangs or is stopped
    Diagnose(diagnose::DiagnoseArgs),
    /// Read the log, also while the agent is stopped or hangs
    Logs(logs::LogsArgs),
    /// Explain an error code: what happened, what to check, whether anything is lost
    Explain(explain::ExplainArgs),
    /// Stop the running agent and wait until it has ended
    Stop(stop::StopArgs),
    /// Start the agent and look after it: what hangs or crashes is started again
    Watchdog(watchdog::WatchdogArgs),
    /// Show it at work: a sample station in a temporary folder, with the real agent on it
    Demo(demo::DemoArgs),
}

#[derive(Debug, Subcommand)]
enum HistoryCommand {
    /// List entries, the newest first
    List(history::ListArgs),
}

/// Parses the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let pin = Pin::new(cli.instance.pin_file);
    let options = InstanceOptions {
        instance: cli.instance.instance,
        scope: cli.instance.scope.map(|scope| match scope {
            ScopeArg::Machine => Scope::Machine,
            ScopeArg::User => Scope::User,
        }),
        config: cli.instance.config,
        data_dir: cli.instance.data_dir,
    };
    let answers = !matches!(cli.command, Command::Run(_) | Command::Watchdog(_));
    let exit = match Instance::locate(&options) {
        // As every other fault of the command line.
        Err(reason) => Cli::command().error(clap::error::ErrorKind::ValueValidation, reason).exit(),
        Ok(instance) => match cli.command {
            Command::Run(args) => run::main(instance, &args),
            Command::Autostart(command) => with_runtime(autostart::main(&instance, &pin, command)),
            Command::Service(command) => service::main(&instance, command).unwrap_or_else(|error| output::fail(&error)),
            Command::Status(args) => with_runtime(status::main(&instance, args)),
            Command::Queue(command) => with_runtime(queue::main(&instance, &pin, command)),
            Command::Fsck(args) => with_runtime(fsck::main(&instance, &pin, args)),
            Command::Destinations(command) => with_runtime(destinations::main(&instance, &pin, command)),
            Command::Convert(args) => convert::main(&instance, &args),
            Command::Converters(command) => with_runtime(converters::main(&instance, &pin, command)),
            Command::Errors(command) => with_runtime(errors::main(&instance, &pin, command)),
            Command::Mapping(command) => mapping::main(&command).unwrap_or_else(|error| output::fail(&error)),
            Command::Reconvert(args) => with_runtime(reconvert::main(&instance, &pin, *args)),
            Command::Init(args) => with_runtime(init::main(&instance, &pin, *args)),
            Command::Config(command) => with_runtime(config::main(&instance, &pin, command)),
            Command::Health(args) => with_runtime(health::main(&instance, args)),
            Command::Tasks(args) => with_runtime(tasks::main(&instance, &pin, args)),
            Command::History(HistoryCommand::List(args)) => with_runtime(history::main(&instance, &pin, args)),
            Command::Access(command) => with_runtime(access::main(&instance, &pin, command)),
            Command::Secret(command) => with_runtime(secret::main(&instance, &pin, command)),
            Command::Diagnose(args) => with_runtime(diagnose::main(&instance, &pin, args)),
            Command::Logs(args) => logs::main(&instance, &args).unwrap_or_else(|error| output::fail(&error)),
            Command::Explain(args) => explain::main(&args).unwrap_or_else(|error| output::fail(&error)),
            Command::Stop(args) => with_runtime(stop::main(&instance, &pin, args)),
            Command::Watchdog(args) => with_runtime(watchdog::main(&instance, args)),
            Command::Demo(args) => with_runtime(demo::main(args)),
        },
    };
    // What an agent does is not what it says: one that stopped in order has done so, whoever reads.
    let exit = if answers && output::was_lost() && exit == Exit::Ok { Exit::Store } else { exit };
    ExitCode::from(exit as u8)
}

/// Runs one command on a small runtime of its own.
fn with_runtime(command: impl Future<Output = Result<Exit, ErrorReport>>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(&ErrorReport::new(Code::Internal, format!("no runtime: {error}"))),
    };
    runtime.block_on(command).unwrap_or_else(|error| output::fail(&error))
}

/// Connects to the instance's agent. One that starts or stops just now holds its lock and has no door: it is given a moment.
async fn connect(instance: &Instance) -> Result<Client, ErrorReport> {
    let give_up = Instant::now() + STARTING;
    loop {
        let deadlines = Deadlines { connect: GREETING, ..Deadlines::default() };
        match Client::connect(&Endpoint::of(instance), ClientKind::Cli, deadlines).await {
            Ok(client) => return Ok(client),
            Err(ClientError::NotRunning(_)) if Instant::now() < give_up && lock::holder(&instance.lock()).is_some() => {
                tokio::time::sleep(STARTING_LOOK).await;
            }
            Err(error) => return Err(client_error(instance, &error)),
        }
    }
}

fn client_error(instance: &Instance, error: &ClientError) -> ErrorReport {
    let mut report = bare_error(instance, error);
    // While the agent is away, its watchdog knows more.
    let away = matches!(report.code, Code::AgentNotRunning | Code::PeerTimeout);
    // Its connection breaks in the moment in which it crashes.
    if (away || report.code == Code::PeerBroken || matches!(error, ClientError::NotRunning(_)))
        && let Some(said) = record::said(instance)
    {
        report.message = format!("{}; {said}", report.message);
        if away {
            report.fix =
                "See `waybill-agent explain watchdog`, and the last lines of logs/watchdog.log in the data folder".to_owned();
        }
    }
    report
}

fn bare_error(instance: &Instance, error: &ClientError) -> ErrorReport {
    match error {
        ClientError::NotRunning(endpoint) => {
            if let Some(holder) = lock::holder(&instance.lock()) {
                let message = format!("an agent runs here ({holder}), but it cannot be reached at {endpoint}");
                return ErrorReport::new(Code::PeerRefused, message).with_fix(
                    "Connect as the user that the agent runs as; if that is you, its socket was removed: it makes a new one within seconds, so try again",
                );
            }
            ErrorReport::new(Code::AgentNotRunning, format!("no agent of instance {:?} is running", instance.name))
        }
        other => other.report(),
    }
}
