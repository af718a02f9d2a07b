//! Archived files go the way of any file again: through the pool, with the present configuration of their source, into the queue.
//!
//! A request is answered for a part of the archive, in order and one file after the other, on a thread of its own; so no request takes longer
//! than it may and nobody else waits for it. What comes of a file is written down by another thread ([`books`]), also if whoever asked has
//! left: a file that cannot be converted is in the list of conversion errors with its place in the archive. A full queue ends a part
//! before the file that did not fit, and the answer says where to go on.

mod books;
mod preview;
mod wanted;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use waybill_ipc::protocol::{
    ArchiveFilter, ArchivePage, Event, ReconvertOutcome, Reconverted, ReconvertedFile, ReconvertedReport,
};
use waybill_shared::config::{Config, WhenFull};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use self::books::{Books, Came, Ticket};
use self::wanted::Wanted;
use super::file::Label;
use super::walk::{self, Part, Position};
use crate::agent::{Active, Live, source_context};
use crate::convert::pool::{Job, PoolHandle, SourceContext};
use crate::convert::registry::Registry;
use crate::desk::Desk;
use crate::queue::{Gate, Writer};

/// Most files of one answer.
const FILES: usize = 100;
/// Most reports that are named in one answer, over which it ends with the file that it is at.
const REPORTS: usize = 10_000;
/// Longest time for the files of one answer.
const PAGE: Duration = Duration::from_secs(20);
/// Longest time for one of them.
const FILE: Duration = Duration::from_secs(15);
/// Pause before a full pool is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// The way into the converter pool while there is one. It is taken out when the agent stops: the pool ends with its last handle.
pub type PoolSlot = Arc<ArcSwapOption<PoolHandle>>;

/// What it works with.
pub struct Parts {
    /// The configuration in use.
    pub live: Live,
    /// Whose archive it is.
    pub instance: Instance,
    /// Where relative paths begin.
    pub base: PathBuf,
    /// The converters.
    pub pool: PoolSlot,
    /// To write to the queue.
    pub writer: Writer,
    /// Whether the queue takes more.
    pub gate: Arc<Gate>,
    /// Where events go.
    pub publish: Arc<dyn Fn(Event) + Send + Sync>,
}

/// Sends archived files again.
pub struct Reconvert {
    work: Arc<Work>,
    desk: Desk,
}

struct Work {
    parts: Parts,
    registry: Registry,
    books: Books,
}

/// Why a part ends before a file.
struct Stop(ErrorReport);

impl Reconvert {
    /// Opens its desk and its books.
    ///
    /// # Errors
    /// The OS gives no thread.
    pub fn new(parts: Parts) -> Result<Self, ErrorReport> {
        let registry = Registry::beside(&parts.base);
        let books = Books::open(parts.writer.clone(), Arc::clone(&parts.publish))?;
        Ok(Self { work: Arc::new(Work { parts, registry, books }), desk: Desk::open("reconvert")? })
    }

    /// Sends the files of a part again, or says what would be sent.
    ///
    /// # Errors
    /// The filter makes no sense, the archive cannot be read, or too many ask at once.
    pub async fn run(&self, filter: ArchiveFilter, dry_run: bool, page: ArchivePage) -> Result<Reconverted, ErrorReport> {
        let (work, asked) = (Arc::clone(&self.work), Instant::now());
        self.desk.run(move || work.page(&filter, dry_run, &page, asked)).await?
    }
}

impl Work {
    fn page(
        &self,
        filter: &ArchiveFilter,
        dry_run: bool,
        page: &ArchivePage,
        asked: Instant,
    ) -> Result<Reconverted, ErrorReport> {
        let active = self.parts.live.load_full();
        let config = &active.effective.config;
        let wanted = Wanted::of(filter)?;
        let after = page.after.as_deref().map(|text| Position::parse(text).ok_or_else(|| no_place(text))).transpose()?;
        // The request as a whole may take so long; the time for waiting at the desk is part of it.
        let request = Duration::from_secs(config.ipc.request_timeout_secs) / 4;
        let (until, longest) = (asked + PAGE.min(request), FILE.min(request));
        let folder = super::folder(config, &self.parts.instance, &self.parts.base);
        let limit = usize::try_from(page.limit).unwrap_or(FILES).clamp(1, FILES);
        let mut answer = Reconverted { next: page.after.clone(), ..Reconverted::default() };
        let (mut looked, mut named) = (false, 0);
        let source = wanted.source.as_deref().map(super::source_folder);
        let part = Part { after: after.as_ref(), from: wanted.from_day, to: wanted.to_day, source: source.as_deref() };
        let end = walk::visit(&folder, &part, |position, path| {
            // At least one is looked at, so that whoever goes on gets on.
            if std::mem::replace(&mut looked, true) && Instant::now() >= until {
                return ControlFlow::Break(());
            }
            match self.file(&active, &wanted, &position, path, dry_run, longest) {
                Ok(None) => {}
                Ok(Some(file)) => {
                    named += file.first.len();
                    answer.files.push(file);
                }
                Err(Stop(why)) => {
                    answer.stopped = Some(why);
                    return ControlFlow::Break(());
                }
            }
            answer.next = Some(position.text());
            if answer.files.len() >= limit || named > REPORTS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match end {
            Ok(ControlFlow::Continue(())) => answer.next = None,
            Ok(ControlFlow::Break(())) => {}
            Err(error) => {
                let message = format!("the archive {} cannot be read: {error}", text::path(&folder));
                return Err(ErrorReport::new(Code::FolderUnavailable, message));
            }
        }
        Ok(answer)
    }

    /// What comes of one file; nothing, if it is not wanted or was removed meanwhile.
    fn file(
        &self,
        active: &Active,
        wanted: &Wanted,
        position: &Position,
        path: &Path,
        dry_run: bool,
        longest: Duration,
    ) -> Result<Option<ReconvertedFile>, Stop> {
        let label = match Label::read(path) {
            Ok(label) if wanted.fits(&label) => label,
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Ok(Some(unreadable(position, path, &error))),
        };
        let row = row(position, &label);
        let config = &active.effective.config;
        let context = match self.context(active, config, &label.source) {
            Ok(context) => context,
            Err(error) => return Ok(Some(ReconvertedFile { error: Some(error), ..row })),
        };
        let came = if dry_run {
            preview::preview(path, &context, longest)
        } else {
            self.send(path, &label, context, config.queue.when_full, longest)?
        };
        let Came { outcome, reports, first, error } = came;
        Ok(Some(ReconvertedFile { outcome, reports, first, error, ..row }))
    }

    /// The present configuration of a source.
    fn context(&self, active: &Active, config: &Config, source: &str) -> Result<SourceContext, ErrorReport> {
        let found = config.source.iter().find(|there| there.name.eq_ignore_ascii_case(source)).ok_or_else(|| {
            ErrorReport::new(Code::NotFound, format!("the source {source:?} is configured no more")).with_fix(
                "Add a source of this name that says how its files are read (its folder may be empty), then do the same again",
            )
        })?;
        source_context(&self.registry, found, &active.identity, config.convert.max_file_bytes)
    }

    /// Gives a file to the converters and waits for what comes of it.
    fn send(
        &self,
        path: &Path,
        label: &Label,
        context: SourceContext,
        when_full: WhenFull,
        longest: Duration,
    ) -> Result<Came, Stop> {
        if when_full != WhenFull::OldestFirst && self.parts.gate.is_closed() {
            return Err(Stop(full()));
        }
        let until = Instant::now() + longest;
        let (ticket, answer) = Ticket::new(label, &context.name, path);
        let (seen, forgotten) = ticket.seen_and_forgotten();
        // In the books it is a file like any other: seen first, then queued or in error.
        (self.parts.publish)(seen);
        let job = Job {
            path: path.to_owned(),
            archived: true,
            correlation_id: label.correlation_id,
            source: Arc::new(context),
            last_try: true,
            tell: self.books.teller(ticket),
        };
        if let Err(stop) = self.give_to_pool(job, until) {
            (self.parts.publish)(forgotten);
            return Err(stop);
        }
        match answer.recv_deadline(until) {
            Ok(came) => came.map_err(Stop),
            Err(_) => Ok(Came { outcome: ReconvertOutcome::UnderWay, reports: 0, first: Vec::new(), error: None }),
        }
    }

    fn give_to_pool(&self, mut job: Job, until: Instant) -> Result<(), Stop> {
        loop {
            // Held for a moment only: a stopping agent waits until nobody can give files any more.
            let sent = match self.parts.pool.load_full() {
                Some(pool) => pool.try_send(job),
                None => {
                    job.take_back();
                    return Err(Stop(stopping()));
                }
            };
            match sent {
                Ok(()) => return Ok(()),
                Err(back) if Instant::now() < until => job = *back,
                // The pool is busy with other files; this one was not begun.
                Err(back) => {
                    back.take_back();
                    return Err(Stop(busy()));
                }
            }
            std::thread::sleep(BUSY_PAUSE);
        }
    }
}

fn full() -> ErrorReport {
    ErrorReport::new(Code::QueueFull, "the queue is full: no more archived files are sent until there is room").with_fix(
        "What was sent before this stays sent. Bring the destination back, or raise queue.max_entries, then go on where it ended",
    )
}

fn busy() -> ErrorReport {
    ErrorReport::new(Code::PeerTimeout, "the converters are busy with new files: no more archived files are sent for now")
        .with_fix("Go on where it ended once there is less to do, or raise convert.workers")
}

fn stopping() -> ErrorReport {
    ErrorReport::new(Code::AgentNotRunning, "the agent stops: no more archived files are sent")
}

fn no_place(text: &str) -> ErrorReport {
    ErrorReport::new(Code::RequestInvalid, format!("{text:?} is no place in the archive"))
        .with_fix("Give a place as an answer before named it: DAY/SOURCE/FILE")
}

fn row(position: &Position, label: &Label) -> ReconvertedFile {
    ReconvertedFile {
        place: position.text(),
        source: label.source.clone(),
        path: label.path.clone(),
        correlation_id: label.correlation_id.to_string(),
        taken_at_ms: label.taken_at.as_millisecond(),
        outcome: ReconvertOutcome::NotSent,
        reports: 0,
        first: Vec::<ReconvertedReport>::new(),
        error: None,
    }
}

fn unreadable(position: &Position, path: &Path, error: &std::io::Error) -> ReconvertedFile {
    let message = format!("the copy {} cannot be read: {error}", text::path(path));
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let taken_at = modified.and_then(|at| jiff::Timestamp::try_from(at).ok()).unwrap_or_default();
    ReconvertedFile {
        place: position.text(),
        source: position.1.clone(),
        path: String::new(),
        correlation_id: String::new(),
        taken_at_ms: taken_at.as_millisecond(),
        outcome: ReconvertOutcome::NotSent,
        reports: 0,
        first: Vec::new(),
        error: Some(
            ErrorReport::new(Code::FileUnreadable, message)
                .with_fix("Check the archive's disk; the other copies are not concerned"),
        ),
    }
}
