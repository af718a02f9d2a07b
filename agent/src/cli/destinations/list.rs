//! `destinations list`: each destination as the running agent sees it.

use clap::Args;
use waybill_ipc::protocol::{DestinationStatus, Reply, Request};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use crate::cli::status::{connection, unexpected};
use crate::cli::{connect, output};

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(instance: &Instance, args: &ListArgs) -> Result<Exit, ErrorReport> {
    let client = connect(instance).await?;
    let destinations = match client.request(Request::Status).await.map_err(|error| error.report())? {
        Reply::Status(snapshot) => snapshot.destinations,
        other => return Err(unexpected(&other)),
    };
    if args.json {
        output::json(&destinations)
    } else {
        show(&destinations)
    }
    Ok(Exit::Ok)
}

fn show(destinations: &[DestinationStatus]) {
    if destinations.is_empty() {
        return output::line("there is no destination: reports are queued and wait until there is one");
    }
    let rows: Vec<Vec<String>> = destinations.iter().map(row).collect();
    output::table(&["DESTINATION", "KIND", "STATE", "WAIT", "FAILED", "SENT", "NEXT TRY", "ADDRESS", "LAST ERROR"], &rows);
}

fn row(destination: &DestinationStatus) -> Vec<String> {
    vec![
        destination.name.clone(),
        destination.kind.clone(),
        connection(destination.state).to_owned(),
        (destination.pending + destination.sending).to_string(),
        destination.failed.to_string(),
        destination.sent.to_string(),
        destination.next_try_ms.map_or_else(String::new, output::moment),
        text::printable(&destination.address, 1000),
        destination.error.as_ref().map_or_else(String::new, ToString::to_string),
    ]
}
