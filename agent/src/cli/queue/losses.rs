//! `queue losses` and `queue backup`: what damage took away, and a copy against the next one.

use clap::Args;
use serde_json::json;
use waybill_ipc::protocol::{LossRow, Reply, Request};
use waybill_shared::error::{ErrorReport, Exit};

use crate::cli::door::Door;
use crate::cli::output;
use crate::cli::status::unexpected;

#[derive(Debug, Args)]
pub(in crate::cli) struct LossesArgs {
    /// Say that they were seen: status and health warn no more
    #[arg(long)]
    seen: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BackupArgs {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(door: &Door<'_>, args: LossesArgs) -> Result<Exit, ErrorReport> {
    if args.seen {
        match door.request(Request::LossesSeen).await? {
            Reply::Done => {}
            other => return Err(unexpected(&other)),
        }
    }
    let rows = match door.request(Request::Losses).await? {
        Reply::Losses(rows) => rows,
        other => return Err(unexpected(&other)),
    };
    if args.json {
        output::json(&rows);
    } else if rows.is_empty() {
        output::line("nothing was ever lost");
    } else {
        rows.iter().for_each(show);
    }
    Ok(Exit::Ok)
}

fn show(row: &LossRow) {
    let number = |count: Option<u64>| count.map_or_else(|| "an unknown number".to_owned(), |count| count.to_string());
    let seen = row.seen_at_ms.map_or_else(String::new, |at| format!("  (seen {})", output::moment(at)));
    output::line(&format!("{}  {}{seen}", output::moment(row.at_ms), row.what));
    output::line(&format!("    reports lost: {}; of them not yet sent: {}", number(row.reports), number(row.deliveries)));
    if let Some(place) = &row.kept_at {
        output::line(&format!("    the damaged file is kept: {place}"));
    }
}

pub(super) async fn backup(door: &Door<'_>, args: BackupArgs) -> Result<Exit, ErrorReport> {
    match door.request(Request::BackupQueue).await? {
        Reply::BackupQueue(place) if args.json => output::json(&json!({ "path": place })),
        Reply::BackupQueue(place) => output::line(&format!("copied to {place}")),
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Ok)
}
