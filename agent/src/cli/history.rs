//! `history list`: who changed, tried or forced what; from the agent, or from the file while none runs.

use clap::Args;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use waybill_ipc::protocol::{HistoryFilter, HistoryOutcome, HistoryRow, Page, Reply, Request};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::door::Door;
use super::output;
use super::pin::Pin;
use super::status::unexpected;
use crate::history::csv;

/// Rows asked for at once.
const PAGE: u32 = 500;
/// Rows of a table for people.
const SHOWN: usize = 100;
/// Longest text in one cell of it.
const CELL: usize = 200;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// From this moment on: 2026-01-31, 2026-01-31T14:00, with Z or an offset, or how long ago (2h, 7d)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Before this moment, written alike
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// Only what was done by whoever has this text in the name
    #[arg(long, value_name = "TEXT")]
    who: Option<String>,
    /// Only actions that begin so: config., secret.set
    #[arg(long, value_name = "TEXT")]
    action: Option<String>,
    /// Only what was done to something that begins so: destination.main
    #[arg(long, value_name = "TEXT")]
    target: Option<String>,
    /// Only what came out so
    #[arg(long, value_enum)]
    outcome: Option<OutcomeArg>,
    /// Only what belongs to this id
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// At most so many, the newest; without it 100, and all with --json and --csv
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// As JSON, for scripts
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// As CSV, for spreadsheets and auditors; times in UTC
    #[arg(long)]
    csv: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OutcomeArg {
    Done,
    Refused,
    Failed,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, args: ListArgs) -> Result<Exit, ErrorReport> {
    let door = Door::open(instance, pin).await?;
    let filter = HistoryFilter {
        since_ms: args.since,
        until_ms: args.until,
        who: args.who,
        action: args.action,
        target: args.target,
        outcome: args.outcome.map(|outcome| match outcome {
            OutcomeArg::Done => HistoryOutcome::Done,
            OutcomeArg::Refused => HistoryOutcome::Refused,
            OutcomeArg::Failed => HistoryOutcome::Failed,
        }),
        correlation_id: args.correlation,
    };
    let all = args.json || args.csv;
    let limit = args.limit.unwrap_or(if all { usize::MAX } else { SHOWN });
    if args.csv {
        write_csv(csv::write_header)?;
    }
    let (mut rows, mut count, mut after): (Vec<HistoryRow>, usize, Option<i64>) = (Vec::new(), 0, None);
    // Only an empty page is the end: one of long texts is short.
    let more = loop {
        let page = Page { after, limit: PAGE.min(u32::try_from(limit - count).unwrap_or(PAGE)) };
        if page.limit == 0 || output::reader_is_gone() {
            break true;
        }
        let found = match door.request(Request::History { filter: filter.clone(), page }).await? {
            Reply::History(found) => found,
            other => return Err(unexpected(&other)),
        };
        let Some(last) = found.last() else { break false };
        (after, count) = (Some(last.key), count + found.len());
        if args.csv {
            write_csv(|out| csv::write_rows(out, &found))?;
        } else {
            rows.extend(found);
        }
    };
    match () {
        () if args.csv => {}
        () if args.json => output::json(&rows),
        () => show(&rows),
    }
    if more && args.limit.is_none() && !all {
        output::warn("there may be more entries: --limit");
    }
    Ok(Exit::Ok)
}

fn write_csv(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Result<(), ErrorReport> {
    let mut bytes = Vec::new();
    write(&mut bytes).map_err(|error| ErrorReport::new(Code::Internal, format!("an entry cannot be written as CSV: {error}")))?;
    output::bytes(&bytes);
    Ok(())
}

fn show(rows: &[HistoryRow]) {
    if rows.is_empty() {
        return output::line("nothing");
    }
    let safe = |text: &str| text::printable(text, CELL);
    let value = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), safe);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let values = match (&row.before, &row.after) {
                (None, None) => String::new(),
                (before, after) => format!("{} → {}", value(before), value(after)),
            };
            let words = [values, row.message.as_deref().map(safe).unwrap_or_default()];
            let words: Vec<String> = words.into_iter().filter(|words| !words.is_empty()).collect();
            vec![
                output::moment(row.at_ms),
                row.outcome.as_str().to_owned(),
                safe(&row.action),
                safe(&row.target),
                safe(&row.who),
                row.via.as_str().to_owned(),
                words.join("; "),
            ]
        })
        .collect();
    output::table(&["AT", "OUTCOME", "ACTION", "TO", "WHO", "VIA", "WHAT"], &cells);
}

/// A moment as people write it, milliseconds since 1970 UTC.
pub(super) fn moment(text: &str) -> Result<i64, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    if let Ok(local) = text.parse::<DateTime>() {
        let at = local.to_zoned(TimeZone::system()).map_err(|error| error.to_string())?;
        return Ok(at.timestamp().as_millisecond());
    }
    // Days are of 24 hours here: it is about how long ago.
    let ago = match text.strip_suffix('d').and_then(|days| days.trim().parse::<i64>().ok()) {
        Some(days) => days.checked_mul(24).and_then(SignedDuration::try_from_hours),
        None => text.parse::<SignedDuration>().ok(),
    };
    let at = ago.filter(|ago| !ago.is_negative()).and_then(|ago| Timestamp::now().checked_sub(ago).ok());
    at.map(Timestamp::as_millisecond).ok_or_else(|| {
        "a moment is written as 2026-01-31, 2026-01-31T14:00 or 2026-01-31T14:00:00Z, or as how long ago: 30m, 2h, 7d".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        assert_eq!(moment("2026-01-31T14:00:00Z"), Ok(1_769_868_000_000));
        assert_eq!(moment("2026-01-31T15:00:00+01:00"), moment("2026-01-31T14:00:00Z"));
        let local = moment("2026-01-31T14:00").unwrap();
        assert_eq!(local - moment("2026-01-31").unwrap(), 14 * 3_600_000);
        let now = Timestamp::now().as_millisecond();
        for (text, ago_ms) in [("30m", 1_800_000), ("2h", 7_200_000), ("7d", 604_800_000)] {
            let found = now - moment(text).unwrap();
            assert!((ago_ms - 60_000..=ago_ms + 60_000).contains(&found), "{text} is {found} ms ago");
        }
        for bad in ["", "yesterday", "-2h", "2026-13-01", "99999999999999999999d"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
