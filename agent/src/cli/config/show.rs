//! `config show` and `config get`.

use clap::Args;
use serde_json::json;
use waybill_ipc::protocol::ConfigState;
use waybill_shared::config::{describe, tree};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::schema::{Map, Value};
use waybill_shared::text;

use super::state;
use super::values::{self, From, Row};
use crate::cli::door::Door;
use crate::cli::output;

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// Every value that counts, defaults included
    #[arg(long, conflicts_with_all = ["file", "defaults"])]
    effective: bool,
    /// What stands in the file that is in use
    #[arg(long, conflicts_with = "defaults")]
    file: bool,
    /// Every field with its default
    #[arg(long)]
    defaults: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct GetArgs {
    /// Which: queue.max_entries, source.NAME.folder, or a whole section
    #[arg(required = true, value_name = "PLACE")]
    places: Vec<String>,
    /// As JSON, for scripts: an object with the values by place
    #[arg(long)]
    json: bool,
}

pub(super) async fn show(door: &Door<'_>, args: &ShowArgs) -> Result<Exit, ErrorReport> {
    if args.defaults {
        defaults(args.json);
        return Ok(Exit::Ok);
    }
    let state = state(door).await?;
    if args.file && !args.json {
        output::line(state.text.trim_start_matches('\u{feff}').replace("\r\n", "\n").trim_end());
        warn(&state);
        return Ok(Exit::Ok);
    }
    let mut rows = values::rows(&state, &values::tree_of(&state)?);
    if !args.effective {
        rows.retain(|row| row.from != From::Default || row.waits_for_restart);
    }
    if args.json {
        let mut shown = json!({
            "revision": state.revision,
            "path": state.path,
            "configured": state.configured,
            "agent_running": door.is_running(),
            "problem": state.problem,
            "waits_for_restart": state.waits_for_restart,
        });
        shown[if args.file { "text" } else { "values" }] = if args.file { json!(state.text) } else { json!(rows) };
        output::json(&shown);
        return Ok(Exit::Ok);
    }
    output::line(&format!("{}   revision {}", state.path, state.revision));
    if !state.configured {
        output::line("this station is not set up: `waybill-agent init` does it");
    }
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    if !cells.is_empty() {
        output::line("");
        output::table(&["FIELD", "VALUE", "SET BY"], &cells);
    }
    warn(&state);
    Ok(Exit::Ok)
}

fn cells(row: &Row) -> Vec<String> {
    let waits = if row.waits_for_restart { "   (counts from the agent's next start on)" } else { "" };
    vec![row.place.clone(), written(row.value.as_ref()), format!("{}{waits}", row.from)]
}

fn written(value: Option<&Value>) -> String {
    value.map_or_else(|| "(not set)".to_owned(), |value| text::printable(&tree::value_to_text(value), 500))
}

fn warn(state: &ConfigState) {
    if let Some(problem) = &state.problem {
        output::warn(&problem.message);
        for fault in &problem.details {
            output::warn(&fault.to_string());
        }
    }
}

fn defaults(as_json: bool) {
    let all = describe::fields();
    if as_json {
        let values: Map<String, Value> =
            all.iter().map(|field| (field.path.clone(), values::default_of(&field.info).unwrap_or(Value::Null))).collect();
        output::json(&values);
        return;
    }
    let cells: Vec<Vec<String>> = all
        .iter()
        .map(|field| {
            let default = match field.info.default_text() {
                Some(text) => text,
                None if field.info.is_required() => "(required)".to_owned(),
                None => "(not set)".to_owned(),
            };
            vec![field.path.clone(), default, field.info.help.to_owned()]
        })
        .collect();
    output::table(&["FIELD", "DEFAULT", "WHAT IT IS FOR"], &cells);
}

pub(super) async fn get(door: &Door<'_>, args: &GetArgs) -> Result<Exit, ErrorReport> {
    let state = state(door).await?;
    let tree = values::tree_of(&state)?;
    let all = values::rows(&state, &tree);
    let mut found: Vec<Row> = Vec::new();
    let mut faults = Vec::new();
    for place in &args.places {
        match place.parse().and_then(|place| tree::locate(&place, &tree)) {
            Ok(located) => {
                let below = format!("{}.", located.name);
                let rows: Vec<&Row> =
                    all.iter().filter(|row| row.place == located.name || row.place.starts_with(&below)).collect();
                match (rows.as_slice(), tree::get(&tree, &located.place)) {
                    // One of several values of a list, or a key that the converter would have to know.
                    ([], value) => {
                        found.push(Row { place: located.name, value: value.cloned(), from: From::File, waits_for_restart: false })
                    }
                    (rows, _) => found.extend(rows.iter().map(|row| (*row).clone())),
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return Err(waybill_shared::config::ConfigError::Faults(faults).report("the command line"));
    }
    if args.json {
        let values: Map<String, Value> = found.into_iter().map(|row| (row.place, row.value.unwrap_or(Value::Null))).collect();
        output::json(&values);
        return Ok(Exit::Ok);
    }
    match found.as_slice() {
        [Row { value: Some(Value::String(text)), .. }] => output::line(text),
        [row] => output::line(&written(row.value.as_ref())),
        rows => rows.iter().for_each(|row| output::line(&format!("{} = {}", row.place, written(row.value.as_ref())))),
    }
    Ok(Exit::Ok)
}
