//! `config`: the configuration is shown, checked, changed, and brought back. Through the [`Door`]: the same whether an agent runs or not.

mod change;
mod edit;
mod past;
mod reference;
mod show;
mod validate;
mod values;

use clap::Subcommand;
use waybill_ipc::protocol::{ConfigState, Reply, Request};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;

use super::door::Door;
use super::pin::Pin;
use super::status::unexpected;

pub(super) use change::{request, show_changed};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show every value that is set, and who sets it
    Show(show::ShowArgs),
    /// Show the values of fields, defaults included
    Get(show::GetArgs),
    /// Set fields: all of them, or none if anything is wrong
    Set(change::SetArgs),
    /// Let fields have their defaults again; remove a source, a destination or a preset
    Unset(change::UnsetArgs),
    /// Add a source, a destination or a preset
    Add(change::AddArgs),
    /// Open the configuration in an editor; what is typed is checked before it counts, and never lost
    Edit(edit::EditArgs),
    /// Check a configuration without using it; all its faults
    Validate(validate::ValidateArgs),
    /// List the configurations of the past, the newest first
    History(past::HistoryArgs),
    /// Show what differs between two configurations
    Diff(past::DiffArgs),
    /// Make a configuration of the past the present one
    Restore(past::RestoreArgs),
    /// Print the JSON Schema of config.toml, for editors; or a sample with every field
    Schema(reference::SchemaArgs),
    /// Print the reference page of all fields, in Markdown
    Docs,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, command: ConfigCommand) -> Result<Exit, ErrorReport> {
    let door = || Door::open(instance, pin);
    match command {
        ConfigCommand::Show(args) => show::show(&door().await?, &args).await,
        ConfigCommand::Get(args) => show::get(&door().await?, &args).await,
        ConfigCommand::Set(args) => change::set(&door().await?, args).await,
        ConfigCommand::Unset(args) => change::unset(&door().await?, args).await,
        ConfigCommand::Add(args) => change::add(&door().await?, args).await,
        ConfigCommand::Edit(args) => edit::main(instance, &door().await?, args).await,
        ConfigCommand::Validate(args) => validate::main(instance, &args),
        ConfigCommand::History(args) => past::history(&door().await?, &args).await,
        ConfigCommand::Diff(args) => past::diff(&door().await?, &args).await,
        ConfigCommand::Restore(args) => past::restore(&door().await?, args).await,
        ConfigCommand::Schema(args) => Ok(reference::schema(&args)),
        ConfigCommand::Docs => Ok(reference::docs()),
    }
}

/// The configuration as it stands.
pub(super) async fn state(door: &Door<'_>) -> Result<ConfigState, ErrorReport> {
    match door.request(Request::Config).await? {
        Reply::Config(state) => Ok(*state),
        other => Err(unexpected(&other)),
    }
}
