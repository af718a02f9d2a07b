//! `autostart`: whether the agent starts by itself when its user logs in.

use clap::{Args, Subcommand};
use waybill_ipc::protocol::{AutostartState, AutostartStatus, Reply, Request};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::door::Door;
use super::output;
use super::pin::Pin;
use super::status::unexpected;

#[derive(Debug, Subcommand)]
pub(super) enum AutostartCommand {
    /// Let it start when you log in; also if somebody has switched it off, or if it was moved
    Enable(HowArgs),
    /// Let it not start any more when you log in; one that runs goes on
    Disable(HowArgs),
    /// Show what is really there
    #[command(after_help = "\
Exit codes: 0 it is as it was last asked for (enabled, or not there, or the service manager starts it),
11 an entry is there and does not start this agent: moved, another program, switched off.")]
    Status(HowArgs),
}

#[derive(Debug, Args)]
pub(super) struct HowArgs {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, command: AutostartCommand) -> Result<Exit, ErrorReport> {
    let (enable, args) = match command {
        AutostartCommand::Enable(args) => (Some(true), args),
        AutostartCommand::Disable(args) => (Some(false), args),
        AutostartCommand::Status(args) => (None, args),
    };
    let status = match Door::open(instance, pin).await?.request(Request::Autostart { enable }).await? {
        Reply::Autostart(status) => status,
        other => return Err(unexpected(&other)),
    };
    if args.json {
        output::json(&status);
    } else {
        show(&status);
    }
    Ok(match status.state {
        AutostartState::Enabled | AutostartState::Absent | AutostartState::ByService => Exit::Ok,
        AutostartState::Moved | AutostartState::Other | AutostartState::SwitchedOff => Exit::Unwell,
    })
}

fn show(status: &AutostartStatus) {
    output::line(match status.state {
        AutostartState::Enabled => "enabled: the agent starts when you log in",
        AutostartState::Moved => {
            "enabled for another place: the programs were moved; `waybill-agent autostart enable` puts it right"
        }
        AutostartState::Other => "not enabled: the entry of this name starts something else",
        AutostartState::SwitchedOff => "switched off: the entry is there, and is not started",
        AutostartState::Absent => "not enabled: the agent does not start by itself when you log in",
        AutostartState::ByService => "by the service manager: this agent belongs to the machine",
    });
    output::line(&format!("  where   {}", text::printable(&status.place, 4096)));
    if let Some(starts) = &status.starts {
        output::line(&format!("  starts  {}", text::printable(starts, 4096)));
    }
    for note in &status.notes {
        output::line(&format!("  {}", text::printable(note, 4096)));
    }
}
