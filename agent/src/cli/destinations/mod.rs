//! `destinations`: where reports go, and what these places say.

mod hold;
mod list;
mod processes;
mod register;
mod test;

use clap::Subcommand;
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;

use super::pin::Pin;

#[derive(Debug, Subcommand)]
pub(super) enum DestinationsCommand {
    /// Show each destination: how the way there is, what waits, what went, what failed
    List(list::ListArgs),
    /// Ask destinations, all at once, whether they would take reports; nothing is sent
    Test(test::TestArgs),
    /// Let nothing go there until it is resumed; everything waits, also over a restart
    Pause(hold::NameArgs),
    /// Let reports go there again
    Resume(hold::NameArgs),
    /// Try it now, however often it failed, with everything that waits for it
    ResetBreaker(hold::NameArgs),
    /// Make this station known to a server: turns a register token into the station's own, which is kept and never shown
    Register(register::RegisterArgs),
    /// Show the operations that a server knows
    Processes(processes::ProcessesArgs),
}

pub(super) async fn main(instance: &Instance, pin: &Pin, command: DestinationsCommand) -> Result<Exit, ErrorReport> {
    match command {
        DestinationsCommand::List(args) => list::main(instance, &args).await,
        DestinationsCommand::Test(args) => test::main(instance, pin, args).await,
        DestinationsCommand::Pause(args) => hold::hold(instance, pin, args, true).await,
        DestinationsCommand::Resume(args) => hold::hold(instance, pin, args, false).await,
        DestinationsCommand::ResetBreaker(args) => hold::reset_breaker(instance, pin, args).await,
        DestinationsCommand::Register(args) => register::main(instance, pin, args).await,
        DestinationsCommand::Processes(args) => processes::main(instance, pin, args).await,
    }
}
