//! `config set`, `config unset` and `config add`.

use clap::{Args, ValueEnum};
use serde_json::json;
use waybill_ipc::protocol::{ConfigChange, ConfigChanged, Reply, Request, Unsent};
use waybill_shared::config::{ConfigError, Edit};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::schema::{Fault, FaultKind};

use crate::cli::door::Door;
use crate::cli::output;
use crate::cli::status::unexpected;

#[derive(Debug, Args)]
pub(in crate::cli) struct SetArgs {
    /// What to set; a list as in the file: 'source.ict.patterns=["*.json"]'
    #[arg(required = true, value_name = "PLACE=VALUE", value_parser = assignment)]
    values: Vec<(String, String)>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct UnsetArgs {
    /// Which: queue.max_entries, or destination.NAME to remove it
    #[arg(required = true, value_name = "PLACE")]
    places: Vec<String>,
    #[command(flatten)]
    unsent: UnsentArgs,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AddArgs {
    /// To which list
    #[arg(value_enum, value_name = "LIST")]
    list: List,
    /// Name of what is added: letters, digits, `-` and `_`
    #[arg(value_name = "NAME")]
    name: String,
    /// Its fields: folder=/data/ict
    #[arg(value_name = "KEY=VALUE", value_parser = assignment)]
    values: Vec<(String, String)>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum List {
    Source,
    Destination,
    #[value(name = "station.preset")]
    Preset,
}

impl List {
    fn place(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Preset => "station.preset",
        }
    }
}

#[derive(Debug, Args)]
struct How {
    /// Only if this is still the revision of the file
    #[arg(long, value_name = "REVISION")]
    base: Option<String>,
    /// Only say what would change, and what is wrong with it
    #[arg(long)]
    dry_run: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// What becomes of reports that wait for a destination which is removed.
#[derive(Debug, Args)]
pub(super) struct UnsentArgs {
    /// Give up the reports that wait for a removed destination; the history says how many
    #[arg(long, conflicts_with = "move_to")]
    discard: bool,
    /// Let them go to this destination instead
    #[arg(long, value_name = "DESTINATION")]
    move_to: Option<String>,
}

impl UnsentArgs {
    pub(super) fn chosen(self) -> Unsent {
        match (self.discard, self.move_to) {
            (true, _) => Unsent::Discard,
            (false, Some(to)) => Unsent::MoveTo(to),
            (false, None) => Unsent::Refuse,
        }
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (place, value) = text.split_once('=').ok_or("`=` is missing: it looks like PLACE=VALUE")?;
    Ok((place.trim().to_owned(), value.to_owned()))
}

pub(super) async fn set(door: &Door<'_>, args: SetArgs) -> Result<Exit, ErrorReport> {
    let edits = args.values.into_iter().map(|(place, value)| Edit::Set { place, value }).collect();
    make(door, edits, Unsent::Refuse, args.how).await
}

pub(super) async fn unset(door: &Door<'_>, args: UnsetArgs) -> Result<Exit, ErrorReport> {
    let edits = args.places.into_iter().map(|place| Edit::Unset { place }).collect();
    make(door, edits, args.unsent.chosen(), args.how).await
}

pub(super) async fn add(door: &Door<'_>, args: AddArgs) -> Result<Exit, ErrorReport> {
    let list = args.list.place();
    let edits = added(list, &args.name, &args.values)?;
    make(door, edits, Unsent::Refuse, args.how).await
}

/// The changes that add an element with these fields.
///
/// # Errors
/// The name cannot be part of a place.
fn added(list: &str, name: &str, values: &[(String, String)]) -> Result<Vec<Edit>, ErrorReport> {
    if name.is_empty() || name.contains(['.', '[', ']', '"']) {
        let message = format!("{name:?} is no name: letters, digits, `-` and `_`");
        let fault = Fault { path: format!("{list}.name"), kind: FaultKind::OutOfRange, message };
        return Err(ConfigError::Faults(vec![fault]).report("the command line"));
    }
    let field = |(key, value): &(String, String)| Edit::Set { place: format!("{list}.{name}.{key}"), value: value.clone() };
    let add = Edit::Add { list: list.to_owned(), name: name.to_owned() };
    Ok(std::iter::once(add).chain(values.iter().map(field)).collect())
}

async fn make(door: &Door<'_>, edits: Vec<Edit>, unsent: Unsent, how: How) -> Result<Exit, ErrorReport> {
    let How { base, dry_run, json: as_json } = how;
    // Without one to ask for, or with nothing that could be in use, the change itself says what is wrong.
    let problem = super::state(door).await.ok().and_then(|state| state.problem);
    let change = ConfigChange { base, edits, unsent, dry_run };
    let changed = request(door, change).await?;
    if let (Some(problem), false) = (problem, dry_run) {
        output::warn(&format!(
            "what lay there was not in use ({}) and was replaced; it is kept as a backup: `waybill-agent config history`",
            problem.message
        ));
    }
    if as_json {
        output::json(&json!({
            "revision": changed.revision,
            "differences": changed.differences,
            "waits_for_restart": changed.waits_for_restart,
            "dry_run": dry_run,
            "agent_running": door.is_running(),
        }));
    } else {
        show_changed(door, &changed, dry_run);
    }
    Ok(Exit::Ok)
}

/// Asks for a change.
pub(in crate::cli) async fn request(door: &Door<'_>, change: ConfigChange) -> Result<ConfigChanged, ErrorReport> {
    match door.request(Request::ConfigChange(change)).await? {
        Reply::ConfigChanged(changed) => Ok(changed),
        other => Err(unexpected(&other)),
    }
}

/// Says what is different now, and from when on it counts.
pub(in crate::cli) fn show_changed(door: &Door<'_>, changed: &ConfigChanged, dry_run: bool) {
    if changed.differences.is_empty() {
        output::line("no value is different");
        if dry_run {
            return;
        }
    }
    for difference in &changed.differences {
        let waits = changed.waits_for_restart.contains(&difference.place);
        output::line(&format!("{difference}{}", if waits { "   (counts from the agent's next start on)" } else { "" }));
    }
    let revision = &changed.revision;
    output::line(&match (dry_run, door.is_running()) {
        (true, _) => "this was a dry run: nothing was changed".to_owned(),
        (false, true) => format!("saved and in use: revision {revision}"),
        (false, false) => format!("saved: revision {revision}. No agent runs; it counts from the agent's next start on"),
    });
}
