//! `destinations processes`: the operations that a server knows, as it says now.

use clap::Args;
use waybill_ipc::protocol::{ProcessRow, Reply, Request};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;

use crate::cli::door::Door;
use crate::cli::output;
use crate::cli::pin::Pin;
use crate::cli::status::unexpected;

#[derive(Debug, Args)]
pub(in crate::cli) struct ProcessesArgs {
    /// Which destination
    name: String,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, args: ProcessesArgs) -> Result<Exit, ErrorReport> {
    let door = Door::open(instance, pin).await?;
    let rows = match door.request(Request::Processes { destination: args.name }).await? {
        Reply::Processes(rows) => rows,
        other => return Err(unexpected(&other)),
    };
    if args.json {
        output::json(&rows)
    } else {
        show(&rows)
    }
    Ok(Exit::Ok)
}

fn show(rows: &[ProcessRow]) {
    if rows.is_empty() {
        return output::line("the server knows no operations");
    }
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| vec![row.code.to_string(), row.kinds.join(", "), row.name.clone()]).collect();
    output::table(&["CODE", "KINDS", "NAME"], &cells);
}
