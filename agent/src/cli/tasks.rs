//! `tasks`: what runs in the agent, and what became of what failed.

use clap::Args;
use waybill_ipc::protocol::{Reply, Request, TaskRow, TaskState};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::door::Door;
use super::output;
use super::pin::Pin;
use super::status::unexpected;

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 all run, 11 something has failed or hangs, 3 no agent runs.")]
pub(super) struct TasksArgs {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, args: TasksArgs) -> Result<Exit, ErrorReport> {
    let door = Door::open(instance, pin).await?;
    let rows = match door.request(Request::Tasks).await? {
        Reply::Tasks(rows) => rows,
        other => return Err(unexpected(&other)),
    };
    if args.json {
        output::json(&rows);
    } else {
        show(&rows);
    }
    let well = rows.iter().all(|row| row.state == TaskState::Running);
    Ok(if well { Exit::Ok } else { Exit::Unwell })
}

fn show(rows: &[TaskRow]) {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.name.clone(),
                if row.thread { "thread" } else { "task" }.to_owned(),
                if row.critical { "yes" } else { "" }.to_owned(),
                row.state.as_str().to_owned(),
                output::moment(row.since_ms),
                row.restarts.to_string(),
                row.cause.as_deref().map(|cause| text::printable(cause, 300)).unwrap_or_default(),
            ]
        })
        .collect();
    output::table(&["NAME", "KIND", "CRITICAL", "STATE", "SINCE", "RESTARTS", "LAST CAUSE"], &cells);
}
