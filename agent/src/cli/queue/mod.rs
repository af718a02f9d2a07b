//! `queue …`: looking into the queue, and acting on what lies in it.

mod act;
mod export;
mod lanes;
mod list;
mod losses;
mod show;

use clap::{Args, Subcommand, ValueEnum};
use waybill_ipc::protocol::{DeliveryFilter, DeliveryRow, DeliveryState, Page, Reply, Request, Search, SearchBy};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;

use super::door::Door;
use super::pin::Pin;
use super::status::unexpected;

/// Rows asked for at once.
const PAGE: u32 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// List deliveries, the oldest first
    List(list::ListArgs),
    /// Show all of one report: where it came from, where it goes, what went wrong; or the report itself
    Show(show::ShowArgs),
    /// Send again what failed, was given up or had to make room; what waits for its time goes now
    Retry(act::RetryArgs),
    /// Give reports up; they are kept for a while and can be taken up again
    Discard(act::DiscardArgs),
    /// Write reports into files of a folder, as they are or would be sent
    Export(export::ExportArgs),
    /// List reports that had to make room, with the files that they lie in; `queue retry --state evicted` takes them up again
    Evicted(list::ListArgs),
    /// Show the lanes, and hold one or let it go again
    Lanes(lanes::LanesArgs),
    /// Show what damage of the queue's file took away
    Losses(losses::LossesArgs),
    /// Copy the whole queue, as it is now, into the folder with the backups
    Backup(losses::BackupArgs),
}

pub(super) async fn main(instance: &Instance, pin: &Pin, command: QueueCommand) -> Result<Exit, ErrorReport> {
    let door = Door::open(instance, pin).await?;
    match command {
        QueueCommand::List(args) => list::main(&door, args).await,
        QueueCommand::Evicted(args) => list::evicted(&door, args).await,
        QueueCommand::Show(args) => show::main(&door, args).await,
        QueueCommand::Retry(args) => act::retry(&door, args).await,
        QueueCommand::Discard(args) => act::discard(&door, args).await,
        QueueCommand::Export(args) => export::main(&door, args).await,
        QueueCommand::Lanes(args) => lanes::main(&door, args).await,
        QueueCommand::Losses(args) => losses::main(&door, args).await,
        QueueCommand::Backup(args) => losses::backup(&door, args).await,
    }
}

/// Which deliveries.
#[derive(Debug, Clone, Args)]
pub(super) struct FilterArgs {
    /// Only to this destination
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Only in this state
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// Only of this lane: 1 goes first, 10 last
    #[arg(long, value_name = "PRIORITY", value_parser = clap::value_parser!(u8).range(1..=10))]
    lane: Option<u8>,
    #[command(flatten)]
    search: SearchArgs,
}

#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
struct SearchArgs {
    /// Only of units whose serial number begins so
    #[arg(long, value_name = "TEXT")]
    serial: Option<String>,
    /// Only of units whose part number begins so
    #[arg(long, value_name = "TEXT")]
    part: Option<String>,
    /// Only from files whose name begins so
    #[arg(long, value_name = "TEXT")]
    file: Option<String>,
    /// Only the report with this id
    #[arg(long, value_name = "ID")]
    report: Option<String>,
    /// Only from the file with this correlation id, as it stands in the log
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
}

impl FilterArgs {
    fn filter(&self) -> DeliveryFilter {
        let search = &self.search;
        let by = [
            (SearchBy::Serial, &search.serial),
            (SearchBy::Part, &search.part),
            (SearchBy::File, &search.file),
            (SearchBy::Report, &search.report),
            (SearchBy::Correlation, &search.correlation),
        ];
        DeliveryFilter {
            destination: self.destination.clone(),
            state: self.state.map(StateArg::state),
            priority: self.lane,
            search: by.into_iter().find_map(|(by, text)| text.clone().map(|text| Search { by, text })),
            newest_first: false,
        }
    }

    /// True if it names anything.
    fn is_any(&self) -> bool {
        self.filter() != DeliveryFilter::default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum StateArg {
    Pending,
    Sent,
    Failed,
    Discarded,
    Evicted,
}

impl StateArg {
    fn state(self) -> DeliveryState {
        match self {
            Self::Pending => DeliveryState::Pending,
            Self::Sent => DeliveryState::Sent,
            Self::Failed => DeliveryState::Failed,
            Self::Discarded => DeliveryState::Discarded,
            Self::Evicted => DeliveryState::Evicted,
        }
    }
}

/// Deliveries page by page, at most so many; whether there may be more.
async fn rows(door: &Door<'_>, filter: &DeliveryFilter, limit: usize) -> Result<(Vec<DeliveryRow>, bool), ErrorReport> {
    let mut rows: Vec<DeliveryRow> = Vec::new();
    let mut more = true;
    while more && rows.len() < limit {
        let after = rows.last().map(|row| row.key);
        let page = PAGE.min(u32::try_from(limit - rows.len()).unwrap_or(PAGE));
        let request = Request::Deliveries { filter: filter.clone(), page: Page { after, limit: page } };
        match door.request(request).await? {
            Reply::Deliveries(found) => {
                more = found.len() == page as usize;
                rows.extend(found);
            }
            other => return Err(unexpected(&other)),
        }
    }
    Ok((rows, more))
}
