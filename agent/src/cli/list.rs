//! `queue list`: deliveries, page by page.

use clap::Args;
use waybill_ipc::protocol::{DeliveryRow, DeliveryState, Page, Reply, Request};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;

use super::status::unexpected;
use super::{connect, output};

/// Rows asked for at once.
const PAGE: u32 = 500;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only to this destination
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Only in this state
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum StateArg {
    Pending,
    Sent,
    Failed,
    Discarded,
    Evicted,
}

pub(super) async fn main(instance: &Instance, args: ListArgs) -> Result<Exit, ErrorReport> {
    let client = connect(instance).await?;
    let state = args.state.map(|state| match state {
        StateArg::Pending => DeliveryState::Pending,
        StateArg::Sent => DeliveryState::Sent,
        StateArg::Failed => DeliveryState::Failed,
        StateArg::Discarded => DeliveryState::Discarded,
        StateArg::Evicted => DeliveryState::Evicted,
    });
    let mut rows: Vec<DeliveryRow> = Vec::new();
    let mut more = true;
    while more && rows.len() < args.limit {
        let after = rows.last().map(|row| row.key);
        let limit = PAGE.min(u32::try_from(args.limit - rows.len()).unwrap_or(PAGE));
        let request = Request::Deliveries { destination: args.destination.clone(), state, page: Page { after, limit } };
        match client.request(request).await.map_err(|error| error.report())? {
            Reply::Deliveries(page) => {
                more = page.len() == limit as usize;
                rows.extend(page);
            }
            other => return Err(unexpected(&other)),
        }
    }
    if args.json {
        output::json(&rows)
    } else {
        show(&rows, more)
    }
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
            vec![
                output::moment(row.queued_at_ms),
                row.serial.clone(),
                row.part.clone(),
                row.result.clone(),
                row.destination.clone(),
                format!("{:?}", row.state).to_lowercase(),
                row.attempts.to_string(),
                row.file.clone(),
                row.last_error.clone().unwrap_or_default(),
            ]
        })
        .collect();
    output::table(&["QUEUED", "SERIAL", "PART", "RESULT", "DESTINATION", "STATE", "TRIES", "FILE", "LAST ERROR"], &cells);
    if more {
        output::line("(there may be more: --limit)");
    }
}
