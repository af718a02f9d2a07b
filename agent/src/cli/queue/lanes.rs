//! `queue lanes`: what waits in which lane, and holding one.

use clap::Args;
use waybill_ipc::protocol::{LaneRow, Reply, Request};
use waybill_shared::error::{ErrorReport, Exit};

use crate::cli::door::Door;
use crate::cli::output;
use crate::cli::status::unexpected;

#[derive(Debug, Args)]
pub(in crate::cli) struct LanesArgs {
    /// Let nothing go from this lane, until it is resumed
    #[arg(long, value_name = "PRIORITY", conflicts_with = "resume", value_parser = clap::value_parser!(u8).range(1..=10))]
    pause: Option<u8>,
    /// Let it go again
    #[arg(long, value_name = "PRIORITY", value_parser = clap::value_parser!(u8).range(1..=10))]
    resume: Option<u8>,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(door: &Door<'_>, args: LanesArgs) -> Result<Exit, ErrorReport> {
    let change = args.pause.map(|priority| (priority, true)).or(args.resume.map(|priority| (priority, false)));
    if let Some((priority, held)) = change {
        match door.request(Request::HoldLane { priority, held }).await? {
            Reply::Done => {}
            other => return Err(unexpected(&other)),
        }
        if !args.json {
            output::line(&format!("lane {priority} {}", if held { "is held" } else { "goes on" }));
        }
    }
    let rows = match door.request(Request::Lanes).await? {
        Reply::Lanes(rows) => rows,
        other => return Err(unexpected(&other)),
    };
    if args.json {
        output::json(&rows);
    } else {
        show(&rows);
    }
    Ok(Exit::Ok)
}

fn show(rows: &[LaneRow]) {
    if rows.is_empty() {
        output::line("nothing was ever queued");
        return;
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                if row.destination.is_empty() { "(all)".to_owned() } else { row.destination.clone() },
                row.priority.to_string(),
                if row.held { "HELD".to_owned() } else { String::new() },
                row.pending.to_string(),
                row.pending_bytes.to_string(),
                row.failed.to_string(),
                row.sent.to_string(),
            ]
        })
        .collect();
    output::table(&["DESTINATION", "LANE", "", "WAIT", "BYTES", "FAILED", "SENT"], &cells);
}
