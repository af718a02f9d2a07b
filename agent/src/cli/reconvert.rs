//! `reconvert`: archived files are sent again, with the configuration that their source has now. A part at a time, until all are done.

use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use waybill_ipc::protocol::{ArchiveFilter, ArchivePage, ReconvertOutcome, Reconverted, ReconvertedFile, Reply, Request};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::door::Door;
use super::history::moment;
use super::pace::Paced;
use super::pin::Pin;
use super::status::unexpected;
use super::{ask, output};

/// Files asked for at once.
const PAGE: u32 = 100;
/// Reports of one file that people are shown.
const SHOWN: usize = 5;

#[derive(Debug, Args)]
pub(super) struct ReconvertArgs {
    /// Only files of this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only files taken from this day or moment on: 2026-01-31, 2026-01-31T14:00, or how long ago (2h, 7d)
    #[arg(long, value_name = "DATE", value_parser = moment)]
    from: Option<i64>,
    /// Only files taken up to this day (and on it), or before this moment, written alike
    #[arg(long, value_name = "DATE", value_parser = end)]
    to: Option<i64>,
    /// Only files whose reports this converter made: wsjf, wsxf, openhtf
    #[arg(long, value_name = "CONVERTER")]
    converter: Option<String>,
    /// Only files whose name fits: 'SN-42*.json'
    #[arg(long, value_name = "GLOB")]
    file: Option<String>,
    /// At most so many, the oldest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Go on behind this place, as an earlier run said
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    /// Only say what would be sent
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Send them, without asking
    #[arg(long)]
    yes: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// What came of all parts together, as `--json` shows it.
#[derive(Debug, Default, Serialize)]
struct Told {
    dry_run: bool,
    files: u64,
    reports: u64,
    under_way: u64,
    not_sent: u64,
    /// Where to go on, if there is more.
    next: Option<String>,
    /// What is in the way.
    stopped: Option<ErrorReport>,
    rows: Vec<ReconvertedFile>,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, args: ReconvertArgs) -> Result<Exit, ErrorReport> {
    let asks = !args.dry_run && !args.yes;
    if asks && (args.json || !ask::somebody()) {
        return Err(ErrorReport::new(Code::RequestInvalid, "nothing was sent: there is nobody to ask whether it may be")
            .with_fix("Say --dry-run to see what would be sent, then --yes to send it"));
    }
    // What comes into the archive from now on is read by the present configuration already.
    let now = Timestamp::now().as_millisecond();
    let filter = ArchiveFilter {
        source: args.source.clone(),
        since_ms: args.from,
        until_ms: Some(args.to.map_or(now, |to| to.min(now))),
        converter: args.converter.clone(),
        file: args.file.clone(),
    };
    let door = Door::open(instance, pin).await?;
    let mut conversation = Conversation { paced: Paced::new(&door) };
    if asks {
        let would = conversation.all(&filter, true, &args).await?;
        show_end(&would);
        if would.files == would.not_sent || !ask::yes("Send them again?", false)? {
            output::line("nothing was sent");
            return Ok(Exit::Ok);
        }
    }
    let told = conversation.all(&filter, args.dry_run, &args).await?;
    if args.json {
        output::json(&told);
    } else {
        show_end(&told);
    }
    Ok(match &told.stopped {
        Some(error) => output::fail(error),
        None if told.not_sent > 0 => Exit::Input,
        None => Exit::Ok,
    })
}

struct Conversation<'a> {
    paced: Paced<'a>,
}

impl Conversation<'_> {
    /// All parts, one after the other; each is shown as it comes.
    async fn all(&mut self, filter: &ArchiveFilter, dry_run: bool, args: &ReconvertArgs) -> Result<Told, ErrorReport> {
        let mut told = Told { dry_run, next: args.after.clone(), ..Told::default() };
        loop {
            let left = args.limit.map_or(u64::MAX, |limit| limit - told.files);
            // Who only wanted to see some has seen them; an order is carried out whoever reads of it.
            if left == 0 || (dry_run && output::reader_is_gone()) {
                return Ok(told);
            }
            let page = ArchivePage { after: told.next.clone(), limit: PAGE.min(u32::try_from(left).unwrap_or(PAGE)) };
            let part = self.part(Request::Reconvert { filter: filter.clone(), dry_run, page }).await;
            let Reconverted { files, next, stopped } = part.inspect_err(|_| {
                if let Some(place) = &told.next {
                    output::warn(&format!("what comes before {place} is done: go on with --after '{place}'"));
                }
            })?;
            for file in files {
                told.count(&file);
                if args.json {
                    told.rows.push(file);
                } else {
                    show(&file);
                }
            }
            let ended = next.is_none();
            (told.next, told.stopped) = (next, stopped);
            if ended || told.stopped.is_some() {
                return Ok(told);
            }
        }
    }

    async fn part(&mut self, request: Request) -> Result<Reconverted, ErrorReport> {
        match self.paced.ask(request).await? {
            Reply::Reconverted(part) => Ok(part),
            other => Err(unexpected(&other)),
        }
    }
}

impl Told {
    fn count(&mut self, file: &ReconvertedFile) {
        self.files += 1;
        self.reports += u64::from(file.reports);
        match file.outcome {
            ReconvertOutcome::WouldBeSent | ReconvertOutcome::Queued => {}
            ReconvertOutcome::UnderWay => self.under_way += 1,
            ReconvertOutcome::NotSent => self.not_sent += 1,
        }
    }
}

fn reports(count: u64) -> String {
    if count == 1 { "1 report".to_owned() } else { format!("{count} reports") }
}

fn show(file: &ReconvertedFile) {
    let shown = if file.path.is_empty() { &file.place } else { &file.path };
    let many = if file.reports > 0 { format!(": {}", reports(file.reports.into())) } else { String::new() };
    output::line(&format!(
        "{}  {}  {}  {}{many}",
        output::moment(file.taken_at_ms),
        text::printable(&file.source, 64),
        text::printable(shown, 1000),
        file.outcome.as_str()
    ));
    for report in file.first.iter().take(SHOWN) {
        output::line(&format!("    {}  {}", report.id, text::printable(&report.serial, 200)));
    }
    if file.first.len() > SHOWN {
        output::line(&format!("    and {} more", u64::from(file.reports) - SHOWN as u64));
    }
    if let Some(error) = &file.error {
        output::line(&format!("    {} ({})", text::printable(&error.message, 1000), error.code));
    }
}

fn show_end(told: &Told) {
    let files = if told.files == 1 { "1 file".to_owned() } else { format!("{} files", told.files) };
    let (reports, verb) = (reports(told.reports), if told.dry_run { "would be sent" } else { "in the queue" });
    let mut line = if told.files == 0 { "no archived file fits".to_owned() } else { format!("{files}: {reports} {verb}") };
    if told.not_sent > 0 {
        line.push_str(&format!("; {} not sent", told.not_sent));
    }
    if told.under_way > 0 {
        line.push_str(&format!("; {} under way, see `queue list` and the log", told.under_way));
    }
    output::line(&line);
    if let Some(place) = &told.next {
        output::line(&format!("go on with --after '{}'", text::printable(place, 1000)));
    }
}

/// The end of a day, or a moment, milliseconds since 1970 UTC.
fn end(text: &str) -> Result<i64, String> {
    let Ok(day) = text.parse::<Date>() else { return moment(text) };
    // A moment is read as a day too, without its time.
    if text.contains(['T', 't', ' ', ':']) {
        return moment(text);
    }
    let next = day.tomorrow().and_then(|next| next.to_zoned(TimeZone::system())).map_err(|error| error.to_string())?;
    Ok(next.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_is_part_of_what_is_meant() {
        assert_eq!(end("2026-01-31"), moment("2026-02-01"));
        assert_eq!(end("2026-01-31T14:00:00Z"), moment("2026-01-31T14:00:00Z"));
        assert_eq!(end("2026-01-31T14:00"), moment("2026-01-31T14:00"));
        assert!(end("yesterday").is_err());
    }
}
