//! `queue show`: all of one report.

use clap::Args;
use waybill_ipc::protocol::{DeliveryFilter, DeliveryRow, EntryDetails, Reply, ReportPart, Request, Search, SearchBy};
use waybill_shared::error::{Code, ErrorReport, Exit};

use super::{list, rows};
use crate::cli::door::Door;
use crate::cli::output;
use crate::cli::status::unexpected;

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// Its number in `queue list`, or its report id
    #[arg(value_name = "ENTRY|REPORT-ID")]
    which: String,
    /// The report itself (WSJF), and nothing else
    #[arg(long, conflicts_with = "json")]
    report: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(door: &Door<'_>, args: ShowArgs) -> Result<Exit, ErrorReport> {
    let entry = entry(door, &args.which).await?;
    if args.report {
        let mut text = report(door, entry).await?;
        text.push(b'\n');
        output::bytes(&text);
        return Ok(Exit::Ok);
    }
    let details = match door.request(Request::Delivery { entry }).await? {
        Reply::Delivery(details) => details,
        other => return Err(unexpected(&other)),
    };
    if args.json {
        output::json(&details);
    } else {
        show(entry, &details);
    }
    Ok(Exit::Ok)
}

/// The number of a report: as it was given, or the newest one with that id.
pub(super) async fn entry(door: &Door<'_>, which: &str) -> Result<i64, ErrorReport> {
    if let Ok(entry) = which.trim().parse() {
        return Ok(entry);
    }
    let search = Some(Search { by: SearchBy::Report, text: which.to_owned() });
    let (found, _) = rows(door, &DeliveryFilter { search, ..DeliveryFilter::default() }, 10_000).await?;
    found.iter().map(|row| row.entry).max().ok_or_else(|| {
        ErrorReport::new(Code::NotFound, format!("there is no report {which:?} in the queue")).with_fix(
            "Give the number of `queue list`, or the whole id of the report; what was sent is kept for retention.sent_days",
        )
    })
}

/// The whole of a report, part by part.
pub(super) async fn report(door: &Door<'_>, entry: i64) -> Result<Vec<u8>, ErrorReport> {
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        match door.request(Request::ReportText { entry, offset: bytes.len() as u64 }).await? {
            Reply::ReportText(ReportPart { total, bytes: part }) => {
                let ended = part.is_empty();
                bytes.extend(part);
                if ended || bytes.len() as u64 >= total {
                    return Ok(bytes);
                }
            }
            other => return Err(unexpected(&other)),
        }
    }
}

fn show(entry: i64, details: &EntryDetails) {
    let Some(first) = details.deliveries.first() else {
        output::line(&format!("report {entry} goes nowhere: no destination was configured when it was queued"));
        return;
    };
    let lines = [
        ("report", first.report_id.clone()),
        ("serial number", first.serial.clone()),
        ("part number", first.part.clone()),
        ("result", first.result.clone()),
        ("lane", first.priority.to_string()),
        ("queued", output::moment(first.queued_at_ms)),
        ("size", format!("{} bytes, {} in the queue", details.size, details.stored)),
        ("source", first.source.clone()),
        ("file", details.path.clone()),
        ("taken", format!("{}, with {} reports in it", output::moment(details.taken_at_ms), details.reports_of_file)),
        ("the file is now", details.place.clone().unwrap_or_else(|| "where it was, or gone".to_owned())),
        ("correlation id", first.correlation_id.clone()),
        ("older revision", details.older.map_or_else(|| "none".to_owned(), |older| format!("report {older}"))),
    ];
    for (name, value) in lines {
        output::line(&format!("{name:<16} {value}"));
    }
    details.deliveries.iter().for_each(show_delivery);
}

fn show_delivery(row: &DeliveryRow) {
    output::line("");
    output::line(&format!("to {}: {}", row.destination, list::state(row)));
    let since = row.finished_at_ms.map(|at| format!("  since {}", output::moment(at)));
    // The first try of a report that arrives by it is not written down.
    let tries = (row.tries > 0).then(|| format!("  {} tries failed, of which {} count", row.tries, row.attempts));
    let code = row.error_code.as_deref().map_or_else(String::new, |code| format!(" ({code}; waybill-agent explain {code})"));
    let error = row.last_error.as_deref().map(|error| format!("  {error}{code}"));
    let receipt = row.receipt.as_deref().map(|receipt| format!("  {receipt}"));
    for line in [since, tries, error, receipt].into_iter().flatten() {
        output::line(&line);
    }
}
