//! `access`: what this command line may do, and the PIN of the engineer role; with a running agent or without.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use waybill_ipc::protocol::{AccessStatus, Reply, Request, Role};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::private;
use waybill_shared::paths::Instance;
use waybill_shared::secret::Secret;
use waybill_shared::text;

use super::door::Door;
use super::output;
use super::pin::{self, Pin};
use super::status::unexpected;
use crate::serve::answers::secret_text;

#[derive(Debug, Subcommand)]
pub(super) enum AccessCommand {
    /// Show what you may do, whether a PIN is set, and whether it is locked
    Status(StatusArgs),
    /// Set or change the PIN that guards the engineer role; everybody has to give it from then on
    SetPin(SetPinArgs),
    /// Take the PIN away: the agent's own user is engineer without one
    ClearPin,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SetPinArgs {
    /// Private file with the new PIN on its one line, instead of asking for it twice
    #[arg(long, value_name = "FILE")]
    new_pin_file: Option<PathBuf>,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, command: AccessCommand) -> Result<Exit, ErrorReport> {
    let door = Door::open(instance, pin).await?;
    let now = status(door.request(Request::Access).await?)?;
    match command {
        AccessCommand::Status(args) if args.json => output::json(&now),
        AccessCommand::Status(_) => show(&now, door.is_running()),
        AccessCommand::SetPin(args) => {
            let old = if now.pin_set { pin.get()? } else { None };
            let new = new_pin(args.new_pin_file.as_deref())?;
            let request = Request::SetPin { old: old.as_ref().map(secret_text), new: secret_text(&new) };
            status(door.request(request).await?)?;
            output::line(if now.pin_set { "the PIN is changed" } else { "the PIN is set: engineers give it from now on" });
        }
        AccessCommand::ClearPin if !now.pin_set => output::line("no PIN is set"),
        AccessCommand::ClearPin => {
            let Some(old) = pin.get()? else {
                return Err(ErrorReport::new(Code::PinWrong, "a PIN is set: to take it away, give it"));
            };
            status(door.request(Request::ClearPin { old: secret_text(&old) }).await?)?;
            output::line("the PIN is taken away");
        }
    }
    Ok(Exit::Ok)
}

fn status(reply: Reply) -> Result<AccessStatus, ErrorReport> {
    match reply {
        Reply::Access(status) => Ok(status),
        other => Err(unexpected(&other)),
    }
}

fn show(status: &AccessStatus, running: bool) {
    let role = match status.role {
        Role::Viewer => "viewer: you may see everything and change nothing",
        Role::Operator => "operator: you may keep the work going; the configuration needs an engineer",
        Role::Engineer => "engineer: you may change everything",
    };
    output::line(&format!("Role    {role}"));
    output::line(&match status.pin_set {
        true => format!("PIN     set; without it the agent's own user is {}", status.without_pin),
        false => "PIN     not set".to_owned(),
    });
    if let Some(until) = status.locked_until_ms {
        output::line(&format!("Locked  no PIN is accepted until {}", output::moment(until)));
    } else if running {
        output::line("Locked  no");
    }
}

/// The new PIN: from a private file, or asked for twice.
fn new_pin(file: Option<&Path>) -> Result<Secret, ErrorReport> {
    let unreadable = |file: &Path, error: std::io::Error| {
        ErrorReport::new(Code::FileUnreadable, format!("the new PIN cannot be read from {}: {error}", text::path(file)))
            .with_fix("Give --new-pin-file a file that only you may read, with the PIN on its one line")
    };
    if let Some(file) = file {
        return private::read_secret(file).map_err(|error| unreadable(file, error));
    }
    let nobody = || {
        ErrorReport::new(Code::RequestInvalid, "the new PIN is asked for at a terminal, and this is none")
            .with_fix("Use a terminal, or --new-pin-file with a private file")
    };
    let first = pin::ask("New PIN: ")?.ok_or_else(nobody)?;
    let second = pin::ask("The new PIN again: ")?.ok_or_else(nobody)?;
    if first == second {
        return Ok(first);
    }
    Err(ErrorReport::new(Code::PinInvalid, "the two are not the same; nothing was changed").with_fix("Try again"))
}
