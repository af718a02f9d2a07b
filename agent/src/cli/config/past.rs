//! `config history`, `config diff` and `config restore`.

use std::path::Path;

use clap::Args;
use waybill_ipc::protocol::{BackupRow, ConfigVersion, Reply, Request};
use waybill_shared::config::compare::Difference;
use waybill_shared::error::{Code, ErrorReport, Exit};

use super::{show_changed, state, validate};
use crate::cli::door::Door;
use crate::cli::status::unexpected;
use crate::cli::{ask, output};

#[derive(Debug, Args)]
pub(in crate::cli) struct HistoryArgs {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// The older one: a backup's id, `current`, or a file; without it the newest backup that is not in use
    from: Option<String>,
    /// The newer one; without it the one in use
    to: Option<String>,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArgs {
    /// Which: an id of `config history`
    id: String,
    /// Without asking
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn history(door: &Door<'_>, args: &HistoryArgs) -> Result<Exit, ErrorReport> {
    let rows = backups(door).await?;
    if args.json {
        output::json(&rows);
    } else if rows.is_empty() {
        output::line("no configuration of the past is kept yet");
    } else {
        let cells: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                let state = match (row.current, row.intact) {
                    (_, false) => "DAMAGED",
                    (true, true) => "in use",
                    (false, true) => "",
                };
                vec![row.id.clone(), output::moment(row.at_ms), row.revision.clone(), row.bytes.to_string(), state.to_owned()]
            })
            .collect();
        output::table(&["ID", "KEPT AT", "REVISION", "BYTES", "STATE"], &cells);
    }
    Ok(Exit::Ok)
}

async fn backups(door: &Door<'_>) -> Result<Vec<BackupRow>, ErrorReport> {
    match door.request(Request::ConfigBackups).await? {
        Reply::ConfigBackups(rows) => Ok(rows),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn diff(door: &Door<'_>, args: &DiffArgs) -> Result<Exit, ErrorReport> {
    let backups = backups(door).await?;
    let from = match &args.from {
        Some(name) => version(&backups, name)?,
        None => newest_before(&backups)?,
    };
    let to = args.to.as_deref().map_or(Ok(ConfigVersion::Current), |name| version(&backups, name))?;
    let differences = differences(door, from, to).await?;
    if args.json {
        output::json(&differences);
    } else {
        show(&differences);
    }
    Ok(Exit::Ok)
}

fn show(differences: &[Difference]) {
    if differences.is_empty() {
        output::line("no value is different");
    }
    differences.iter().for_each(|difference| output::line(&difference.to_string()));
}

fn newest_before(backups: &[BackupRow]) -> Result<ConfigVersion, ErrorReport> {
    let newest = backups.iter().find(|backup| !backup.current && backup.intact);
    newest.map(|backup| ConfigVersion::Backup(backup.id.clone())).ok_or_else(|| {
        ErrorReport::new(Code::NotFound, "no other configuration than the one in use is kept yet")
            .with_fix("Say what to compare: ids of `config history`, `current`, or files")
    })
}

/// What a name on the command line means: `current`, a backup's id, else a file.
fn version(backups: &[BackupRow], name: &str) -> Result<ConfigVersion, ErrorReport> {
    if name == "current" {
        return Ok(ConfigVersion::Current);
    }
    if backups.iter().any(|backup| backup.id == name) {
        return Ok(ConfigVersion::Backup(name.to_owned()));
    }
    validate::file(Path::new(name)).map(ConfigVersion::Text).map_err(|error| match error.code {
        Code::ConfigMissing => unknown(backups, name),
        _ => error,
    })
}

fn unknown(backups: &[BackupRow], name: &str) -> ErrorReport {
    let ids: Vec<&str> = backups.iter().map(|backup| backup.id.as_str()).collect();
    let known = if ids.is_empty() { "no backup is kept yet".to_owned() } else { format!("there are: {}", ids.join(", ")) };
    ErrorReport::new(Code::NotFound, format!("{name:?} is neither a backup nor a file; {known}"))
}

async fn differences(door: &Door<'_>, from: ConfigVersion, to: ConfigVersion) -> Result<Vec<Difference>, ErrorReport> {
    match door.request(Request::ConfigDiff { from, to }).await? {
        Reply::ConfigDiff(differences) => Ok(differences),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn restore(door: &Door<'_>, args: RestoreArgs) -> Result<Exit, ErrorReport> {
    let backups = backups(door).await?;
    if !backups.iter().any(|backup| backup.id == args.id) {
        return Err(unknown(&backups, &args.id));
    }
    let mut base = None;
    if !args.yes {
        if !ask::somebody() {
            return Err(ErrorReport::new(
                Code::RequestInvalid,
                "nobody can be asked here whether this is meant; nothing was changed",
            )
            .with_fix("Say it with --yes"));
        }
        // What was looked at is what is replaced. A file that is not in use has no revision that anybody was shown.
        base = state(door).await.ok().filter(|state| state.problem.is_none()).map(|state| state.revision);
        show(&differences(door, ConfigVersion::Current, ConfigVersion::Backup(args.id.clone())).await?);
        if !ask::yes(&format!("Make the configuration {} the present one?", args.id), false)? {
            output::line("nothing was changed");
            return Ok(Exit::Ok);
        }
    }
    match door.request(Request::ConfigRestore { id: args.id, base }).await? {
        Reply::ConfigChanged(changed) => show_changed(door, &changed, false),
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Ok)
}
