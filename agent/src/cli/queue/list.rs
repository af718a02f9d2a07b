//! `queue list` and `queue evicted`: deliveries, page by page.

use clap::Args;
use waybill_ipc::protocol::{DeliveryRow, DeliveryState};
use waybill_shared::error::{ErrorReport, Exit};

use super::{FilterArgs, rows};
use crate::cli::door::Door;
use crate::cli::output;

/// Longest error or place in a table.
const CELL: usize = 100;

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// The newest first; not with a search
    #[arg(long)]
    newest: bool,
    /// At most so many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(door: &Door<'_>, args: ListArgs) -> Result<Exit, ErrorReport> {
    let mut filter = args.filter.filter();
    filter.newest_first = args.newest;
    let (rows, more) = rows(door, &filter, args.limit).await?;
    if args.json {
        output::json(&rows);
    } else {
        show(&rows, more);
    }
    Ok(Exit::Ok)
}

pub(super) async fn evicted(door: &Door<'_>, args: ListArgs) -> Result<Exit, ErrorReport> {
    let mut filter = args.filter.filter();
    (filter.state, filter.newest_first) = (Some(DeliveryState::Evicted), args.newest);
    let (rows, more) = rows(door, &filter, args.limit).await?;
    if args.json {
        output::json(&rows);
        return Ok(Exit::Ok);
    }
    if rows.is_empty() {
        output::line("nothing had to make room");
        return Ok(Exit::Ok);
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.entry.to_string(),
                row.finished_at_ms.map(output::moment).unwrap_or_default(),
                row.serial.clone(),
                row.destination.clone(),
                row.receipt.clone().unwrap_or_default(),
            ]
        })
        .collect();
    output::table(&["ENTRY", "WHEN", "SERIAL", "DESTINATION", "LIES IN"], &cells);
    hint(more);
    Ok(Exit::Ok)
}

fn show(rows: &[DeliveryRow], more: bool) {
    if rows.is_empty() {
        output::line("nothing");
        return;
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let wrong = row.last_error.as_deref().map(|error| match &row.error_code {
                Some(code) => format!("{code}: {error}"),
                None => error.to_owned(),
            });
            vec![
                row.entry.to_string(),
                output::moment(row.queued_at_ms),
                row.serial.clone(),
                row.part.clone(),
                row.result.clone(),
                row.destination.clone(),
                state(row),
                row.tries.to_string(),
                row.file.clone(),
                waybill_shared::text::shortened(&wrong.unwrap_or_default(), CELL),
            ]
        })
        .collect();
    output::table(
        &["ENTRY", "QUEUED", "SERIAL", "PART", "RESULT", "DESTINATION", "STATE", "TRIES", "FILE", "LAST ERROR"],
        &cells,
    );
    hint(more);
}

/// The state in a word, and when it is tried again if it waits for that.
pub(super) fn state(row: &DeliveryRow) -> String {
    let word = format!("{:?}", row.state).to_lowercase();
    row.due_at_ms.map_or(word.clone(), |due| format!("{word} until {}", output::moment(due)))
}

fn hint(more: bool) {
    if more {
        output::line("(there may be more: --limit)");
    }
}
