//! `service`: the agent as a service of the OS.

use clap::{Args, Subcommand};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::{output, run};
use crate::agent::longest_stop;
use crate::platform::service::{self, Done, ServiceState, ServiceStatus};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A service belongs to the machine (`--scope machine`, needs root or an administrator) or, on Linux and macOS, to you
(`--scope user`). `waybill-agent explain service` says more.")]
pub(super) enum ServiceCommand {
    /// Make the agent a service that starts by itself, and start it; doing it again puts right what is not as it should be
    Install(InstallArgs),
    /// Stop the service and take it away; what waits stays in the queue
    Uninstall(HowArgs),
    /// Start the service and wait until it serves
    Start(HowArgs),
    /// Stop the service and wait until it has stopped
    Stop(HowArgs),
    /// Ask the service manager how it is
    #[command(after_help = "Exit codes: 0 it runs, 3 it does not, 11 it has failed.")]
    Status(HowArgs),
    /// Run as the service that the service manager of Windows has started
    #[command(hide = true)]
    Run,
}

#[derive(Debug, Args)]
pub(super) struct HowArgs {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// Do not start it now
    #[arg(long)]
    no_start: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) fn main(instance: &Instance, command: ServiceCommand) -> Result<Exit, ErrorReport> {
    match command {
        ServiceCommand::Install(args) => tell(service::install(instance, !args.no_start, longest_stop(instance))?, args.json),
        ServiceCommand::Uninstall(args) => tell(service::uninstall(instance, longest_stop(instance))?, args.json),
        ServiceCommand::Start(args) => tell(service::start(instance)?, args.json),
        ServiceCommand::Stop(args) => tell(service::stop(instance, longest_stop(instance))?, args.json),
        ServiceCommand::Status(args) => Ok(status(&service::status(instance)?, args.json)),
        ServiceCommand::Run => {
            let own = instance.clone();
            service::run(instance, move |session| run::serve(own, session.stop, session.asked, false, session.ready))
        }
    }
}

/// What was done, and, if a step failed, how things stand and what to do.
fn tell(done: Done, json: bool) -> Result<Exit, ErrorReport> {
    if json {
        output::json(&done);
    } else {
        for step in &done.steps {
            let detail = text::printable(&step.detail, 4096);
            output::line(format!("{:<10} {}  {detail}", step.outcome.as_str(), step.step).trim_end());
        }
        for note in &done.notes {
            output::line(&text::printable(note, 4096));
        }
    }
    let Some(error) = done.error else { return Ok(Exit::Ok) };
    if done.steps.iter().any(|step| step.outcome != service::Outcome::NotTried && step.outcome != service::Outcome::Failed)
        && !json
    {
        output::line("What is done stays as it is: `waybill-agent service status` says how things stand");
    }
    Err(error)
}

fn status(status: &ServiceStatus, json: bool) -> Exit {
    if json {
        output::json(status);
    } else {
        let since = status.since_ms.map_or_else(String::new, |at| format!(" since {}", output::moment(at)));
        let pid = status.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
        output::line(&format!("{}: {}{since}{pid}", status.service, status.state.as_str()));
        match status.starts_by_itself {
            Some(true) => output::line("  starts by itself"),
            Some(false) => output::line("  does not start by itself"),
            None => {}
        }
        output::line(&format!("  manager  {}", status.manager));
        if let Some(place) = &status.place {
            output::line(&format!("  where    {}", text::printable(place, 4096)));
        }
        for note in &status.notes {
            output::line(&format!("  {}", text::printable(note, 4096)));
        }
    }
    match status.state {
        ServiceState::Running => Exit::Ok,
        ServiceState::Failed => Exit::Unwell,
        ServiceState::Starting | ServiceState::Stopping | ServiceState::Stopped | ServiceState::NotInstalled => Exit::NotRunning,
    }
}
