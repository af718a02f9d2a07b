//! `errors`: files that could not be converted, why, and how they are taken again.

use clap::{Args, Subcommand};
use serde_json::json;
use waybill_ipc::protocol::{ConversionErrorRow, ErrorFilter, Page, Reply, Request, RetriedError, RetriedErrors};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::door::Door;
use super::output;
use super::pace::Paced;
use super::pin::Pin;
use super::status::unexpected;

/// Rows asked for at once.
const PAGE: u32 = 500;
/// Rows of a table for people.
const SHOWN: usize = 100;
/// Longest text in one cell of it.
const CELL: usize = 160;

#[derive(Debug, Subcommand)]
pub(super) enum ErrorsCommand {
    /// List files that could not be converted, the newest first
    List(ListArgs),
    /// Show all of one: where it is, what is wrong with it and where, what to do
    Show(ShowArgs),
    /// Move files back to their watch folders, to be converted again: after a converter, its arguments or a mapping was mended
    Retry(RetryArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// At most so many; without it 100, and all with --json
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its number in the list
    error: i64,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// Numbers in the list
    #[arg(required_unless_present_any = ["source", "all"], conflicts_with_all = ["all"])]
    errors: Vec<i64>,
    /// All of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// All there are
    #[arg(long)]
    all: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, command: ErrorsCommand) -> Result<Exit, ErrorReport> {
    let door = Door::open(instance, pin).await?;
    match command {
        ErrorsCommand::List(args) => list(&door, args).await,
        ErrorsCommand::Show(args) => show(&door, &args).await,
        ErrorsCommand::Retry(args) => retry(&door, args).await,
    }
}

async fn page(door: &Door<'_>, page: Page) -> Result<Vec<ConversionErrorRow>, ErrorReport> {
    match door.request(Request::ConversionErrors { page }).await? {
        Reply::ConversionErrors(rows) => Ok(rows),
        other => Err(unexpected(&other)),
    }
}

async fn list(door: &Door<'_>, args: ListArgs) -> Result<Exit, ErrorReport> {
    let limit = args.limit.unwrap_or(if args.json { usize::MAX } else { SHOWN });
    let (mut rows, mut after, mut more) = (Vec::new(), None, false);
    'pages: loop {
        let part = page(door, Page { after, limit: PAGE }).await?;
        let Some(last) = part.last() else { break };
        after = Some(last.key);
        for row in part {
            if args.source.as_ref().is_some_and(|source| !source.eq_ignore_ascii_case(&row.source)) {
                continue;
            }
            if rows.len() == limit {
                more = true;
                break 'pages;
            }
            rows.push(row);
        }
    }
    if args.json {
        output::json(&rows);
        return Ok(Exit::Ok);
    }
    let cells = |row: &ConversionErrorRow| {
        let place = text::printable(row.moved_to.as_deref().unwrap_or(&row.path), CELL);
        let why = text::printable(&row.error.message, CELL);
        vec![row.key.to_string(), output::moment(row.at_ms), row.source.clone(), row.error.code.to_string(), place, why]
    };
    output::table(&["NO", "AT", "SOURCE", "CODE", "FILE", "WHY"], &rows.iter().map(cells).collect::<Vec<_>>());
    if more {
        output::line("there are more: --limit N");
    }
    Ok(Exit::Ok)
}

async fn show(door: &Door<'_>, args: &ShowArgs) -> Result<Exit, ErrorReport> {
    let rows = page(door, Page { after: args.error.checked_add(1), limit: 1 }).await?;
    let row = rows.into_iter().find(|row| row.key == args.error).ok_or_else(|| {
        ErrorReport::new(Code::NotFound, format!("there is no conversion error {}", args.error))
            .with_fix("`waybill-agent errors list` has the numbers; one that was taken again is gone")
    })?;
    if args.json {
        output::json(&row);
        return Ok(Exit::Ok);
    }
    output::line(&format!("{}   source {}   {}", output::moment(row.at_ms), row.source, row.error.code));
    output::line(&format!("from {}", text::printable(&row.path, 4096)));
    match &row.moved_to {
        Some(place) => output::line(&format!("now  {}", text::printable(place, 4096))),
        None => output::line("it was left there"),
    }
    output::line(&format!("\n{}", text::printable(&row.error.message, 4000)));
    for fault in &row.error.details {
        output::line(&format!("  {}: {}", text::printable(&fault.path, 200), text::printable(&fault.message, 1000)));
    }
    output::line(&format!("\n{}", text::printable(&row.error.fix, 1000)));
    if let Some(id) = row.error.correlation_id {
        output::line(&format!("log: waybill-agent logs --correlation {id}"));
    }
    Ok(Exit::Ok)
}

async fn retry(door: &Door<'_>, args: RetryArgs) -> Result<Exit, ErrorReport> {
    let mut paced = Paced::new(door);
    let filter = ErrorFilter { keys: args.errors.clone(), source: args.source };
    let (mut files, mut before): (Vec<RetriedError>, Option<i64>) = (Vec::new(), None);
    loop {
        let request = Request::RetryConversions { filter: filter.clone(), before };
        let RetriedErrors { files: part, next } = match paced.ask(request).await? {
            Reply::RetriedErrors(part) => part,
            other => return Err(unexpected(&other)),
        };
        if !args.json {
            part.iter().for_each(show_retried);
        }
        files.extend(part);
        before = next;
        if before.is_none() {
            break;
        }
    }
    let unknown: Vec<_> = args.errors.iter().filter(|&&key| files.iter().all(|file| file.key != key)).collect();
    let failed = files.iter().filter(|file| file.came_to.is_err()).count();
    if args.json {
        output::json(&json!({ "files": files, "unknown": unknown }));
    } else {
        output::line(&format!("{} given back, {failed} not", files.len() - failed));
        for key in &unknown {
            output::warn(&format!("there is no conversion error {key}"));
        }
    }
    Ok(if failed == 0 && unknown.is_empty() { Exit::Ok } else { Exit::Input })
}

fn show_retried(file: &RetriedError) {
    match &file.came_to {
        Ok(place) => output::line(&format!("{} is back in {}", file.key, text::printable(place, 4096))),
        Err(error) => output::trouble(error),
    }
}
