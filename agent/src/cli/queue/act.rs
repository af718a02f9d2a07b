//! `queue retry` and `queue discard`: one report, or all that are meant; in pieces, so that the agent never stands still for it.

use clap::Args;
use serde_json::json;
use waybill_ipc::protocol::{Changed, DeliveryState, Reply, Request, Which};
use waybill_shared::error::{Code, ErrorReport, Exit};

use super::{FilterArgs, rows, show};
use crate::cli::door::Door;
use crate::cli::pace::Paced;
use crate::cli::status::unexpected;
use crate::cli::{ask, output};

/// Deliveries that are counted before somebody is asked; what is more is "more than".
const COUNTED: usize = 10_000;

#[derive(Debug, Args)]
struct WhichArgs {
    /// Its number in `queue list`, or its report id; without it all that the options name
    #[arg(value_name = "ENTRY|REPORT-ID")]
    which: Option<String>,
    /// All that are meant by the other options; without other options all that failed
    #[arg(long, conflicts_with = "which")]
    all: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RetryArgs {
    #[command(flatten)]
    which: WhichArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DiscardArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Why; it stands in the history and with the reports
    #[arg(long, value_name = "REASON")]
    because: Option<String>,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

pub(super) async fn retry(door: &Door<'_>, args: RetryArgs) -> Result<Exit, ErrorReport> {
    let which = chosen(door, &args.which).await?;
    let changed = all(door, which, |which| Request::RetryDeliveries { which }).await?;
    told(&args.which, &changed, "go again");
    Ok(Exit::Ok)
}

pub(super) async fn discard(door: &Door<'_>, args: DiscardArgs) -> Result<Exit, ErrorReport> {
    let which = chosen(door, &args.which).await?;
    let why = match (&args.because, ask::somebody()) {
        (Some(why), _) => why.clone(),
        (None, true) => ask::needed("Why are they given up?")?,
        (None, false) => {
            return Err(ErrorReport::new(Code::RequestInvalid, "nothing was given up: a reason is missing")
                .with_fix("Give --because REASON"));
        }
    };
    if !args.yes {
        let count = counted(door, &which).await?;
        if !ask::somebody() {
            let message = format!("nothing was given up: {count} would be, and nobody can be asked");
            return Err(ErrorReport::new(Code::RequestInvalid, message).with_fix("Give --yes"));
        }
        if !ask::yes(&format!("Give up {count}? They are kept for retention.discarded_days and can be taken up again"), false)? {
            output::line("nothing was changed");
            return Ok(Exit::Ok);
        }
    }
    let changed = all(door, which, |which| Request::DiscardDeliveries { which, why: why.clone() }).await?;
    told(&args.which, &changed, "were given up");
    Ok(Exit::Ok)
}

async fn chosen(door: &Door<'_>, args: &WhichArgs) -> Result<Which, ErrorReport> {
    match &args.which {
        Some(which) => Ok(Which::Report { entry: show::entry(door, which).await?, destination: args.filter.destination.clone() }),
        None if args.all || args.filter.is_any() => Ok(Which::All { filter: args.filter.filter(), after: None }),
        None => Err(ErrorReport::new(Code::RequestInvalid, "it is not said which reports are meant")
            .with_fix("Give the number of a report, options such as --destination or --serial, or --all for all that failed")),
    }
}

/// How many are meant, in words.
async fn counted(door: &Door<'_>, which: &Which) -> Result<String, ErrorReport> {
    Ok(match which {
        Which::Report { entry, .. } => format!("report {entry}"),
        Which::All { filter, .. } => {
            let mut filter = filter.clone();
            filter.state = filter.state.or(Some(DeliveryState::Failed));
            let (found, more) = rows(door, &filter, COUNTED).await?;
            let reports = if found.len() == 1 { "delivery" } else { "deliveries" };
            format!("{}{} {reports}", if more { "more than " } else { "" }, found.len())
        }
    })
}

/// Asks again until all were reached.
async fn all(door: &Door<'_>, mut which: Which, request: impl Fn(Which) -> Request) -> Result<Changed, ErrorReport> {
    let mut sum = Changed::default();
    let mut paced = Paced::new(door);
    loop {
        let answer = paced.ask(request(which.clone())).await.inspect_err(|_| {
            if sum.count > 0 {
                output::warn(&format!("{} deliveries were done before this; the same command does the rest", sum.count));
            }
        })?;
        match answer {
            Reply::Changed(changed) => {
                sum.count += changed.count;
                sum.skipped += changed.skipped;
                sum.damaged += changed.damaged;
                sum.removed += changed.removed;
                match (&mut which, changed.more) {
                    (Which::All { after, .. }, true) => *after = changed.last,
                    _ => return Ok(sum),
                }
            }
            other => return Err(unexpected(&other)),
        }
    }
}

fn told(args: &WhichArgs, changed: &Changed, what: &str) {
    if args.json {
        output::json(&json!({
            "count": changed.count, "skipped": changed.skipped, "damaged": changed.damaged, "removed": changed.removed,
        }));
        return;
    }
    let noun = if changed.count == 1 { "delivery" } else { "deliveries" };
    output::line(&format!("{} {noun} {what}", changed.count));
    if changed.skipped > 0 {
        output::line(&format!("{} were left: a newer revision of the same report went there", changed.skipped));
    }
    if changed.damaged > 0 {
        output::warn(&format!(
            "{} cannot go again: the files that they were put into are gone or changed, see `waybill-agent queue evicted`",
            changed.damaged
        ));
    }
    if changed.removed > 0 {
        output::warn(&format!("{} were left: their destination is not in the configuration any more", changed.removed));
    }
}
