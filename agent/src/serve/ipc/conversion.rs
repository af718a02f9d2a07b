//! Requests about conversions: converters, files that are tried, files that could not be converted.

use std::time::Duration;

use waybill_ipc::protocol::{
    ArgumentKind, ArgumentRow, ConversionErrorRow, ConversionTrial, ConversionsDone, ConverterRow, ErrorFilter, MOST_TRIED_BYTES,
    Page, Reply, RetriedError, RetriedErrors, TriedUnit, Via,
};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::atomic;
use waybill_shared::report::{Status, wsjf};
use waybill_shared::schema::{Map, Value};

use super::{Service, Session};
use crate::access;
use crate::archive;
use crate::convert::common::COMMON;
use crate::convert::dry_run::{self, DryRun};
use crate::convert::pool::SourceContext;
use crate::convert::registry::Registry;
use crate::convert::statistics::Statistics;
use crate::convert::unit::Finished;
use crate::convert::{Argument, Converter, Kind};
use crate::history::NewEntry;
use crate::intake::retry;
use crate::queue::Command;

/// Files that are given back by one answer.
const PART: u32 = 50;
/// Rows that are looked at for one answer.
const LOOKED_AT: u32 = 1000;
/// Longest time for a file that is tried.
const TRIAL: Duration = Duration::from_secs(20);
/// Units of a file that is tried, which are shown.
const UNITS: usize = 20;
/// Bytes of all reports that are shown.
const REPORTS: usize = 4 * 1024 * 1024;

impl Service {
    /// Has files that could not be converted taken again, a part of them.
    pub(super) async fn retry_conversions(
        &self,
        session: &Session,
        filter: ErrorFilter,
        before: Option<i64>,
    ) -> Result<Reply, ErrorReport> {
        let result = self.give_back(&filter, before).await;
        let entry = NewEntry::new(&session.who, Via::Ipc, "errors.retry", access::errors(&filter));
        let entry = match &result {
            Ok(part) => {
                let back = part.files.iter().filter(|file| file.came_to.is_ok()).count();
                entry.message(format!("{back} given back to be converted again, {} not", part.files.len() - back))
            }
            Err(_) => entry,
        };
        self.parts.history.note(access::came_to(entry, result.as_ref().map(|_| ())));
        result.map(Reply::RetriedErrors)
    }

    async fn give_back(&self, filter: &ErrorFilter, before: Option<i64>) -> Result<RetriedErrors, ErrorReport> {
        let page = Page { after: before, limit: LOOKED_AT };
        let rows = self.parts.reader.conversion_errors(page).await.map_err(|error| error.report())?;
        let last = (rows.len() == LOOKED_AT as usize).then(|| rows.last().map(|row| row.key)).flatten();
        let is_wanted = |row: &ConversionErrorRow| {
            let by_key = filter.keys.is_empty() || filter.keys.contains(&row.key);
            by_key && filter.source.as_ref().is_none_or(|source| source.eq_ignore_ascii_case(&row.source))
        };
        let mut part = RetriedErrors { next: last, ..RetriedErrors::default() };
        for row in rows.into_iter().filter(is_wanted) {
            if part.files.len() == PART as usize {
                part.next = part.files.last().map(|file| file.key);
                break;
            }
            let came_to = self.give_one_back(&row).await;
            part.files.push(RetriedError { key: row.key, source: row.source, path: row.path, came_to });
        }
        Ok(part)
    }

    /// First the store lets it go, then it is moved, then it is out of the list: a crash between leaves it in the list.
    async fn give_one_back(&self, row: &ConversionErrorRow) -> Result<String, ErrorReport> {
        let instance = &self.parts.instance;
        let active = self.parts.live.load_full();
        let base = atomic::folder_of(&instance.config);
        let archive = archive::folder(&active.effective.config, instance, &base);
        let places = retry::Places { base, archive };
        let own = row.clone();
        let way = self.error_desk.run(move || retry::way_back(&own, &active.effective.config, &places)).await?;
        let (place, target) = match way {
            Ok(way) => way,
            Err(error) => {
                // Nothing is left that could be taken again.
                if error.code == Code::NotFound {
                    self.write(|ack| Command::ForgetConversionError { error: row.key, ack }).await?;
                }
                return Err(error);
            }
        };
        self.write(|ack| Command::LetFileGo { error: row.key, ack }).await?;
        let own = row.clone();
        let now = self.error_desk.run(move || retry::give_back(&own, &place, &target)).await??;
        self.write(|ack| Command::ForgetConversionError { error: row.key, ack }).await?;
        tracing::info!(
            event = "file_given_back",
            source = row.source,
            path = waybill_shared::text::path(&now),
            "it is taken again"
        );
        Ok(now.to_string_lossy().into_owned())
    }

    /// All converters, and what each did.
    pub(super) fn converters(&self) -> Vec<ConverterRow> {
        let statistics = self.parts.pool.load().as_ref().map(|pool| pool.statistics().clone()).unwrap_or_default();
        Registry::built_in().all().map(|converter| row(converter, &statistics)).collect()
    }

    /// Converts what a client sent.
    pub(super) async fn try_conversion(
        &self,
        converter: String,
        file_name: String,
        bytes: Vec<u8>,
        arguments: Vec<(String, String)>,
    ) -> Result<Reply, ErrorReport> {
        if bytes.len() > MOST_TRIED_BYTES {
            let message = format!("the file has {} bytes, at most {MOST_TRIED_BYTES} are tried", bytes.len());
            return Err(ErrorReport::new(Code::FileTooLarge, message));
        }
        let registry = Registry::of(&self.parts.instance);
        let choice = registry.choose(&converter).ok_or_else(|| registry.unknown(&converter))?;
        let mut given: Map<String, Value> = Map::new();
        for (name, value) in arguments {
            let value = serde_json::from_str(&value).map_err(|error| {
                ErrorReport::new(Code::RequestInvalid, format!("the argument {name:?} is no JSON value: {error}"))
            })?;
            given.insert(name, value);
        }
        let faults = registry.argument_faults(&converter, &given, "arguments");
        if !faults.is_empty() {
            return Err(ErrorReport::new(Code::ConfigInvalid, "the converter does not take these arguments").with_details(faults));
        }
        let station = self.parts.live.load().identity.clone();
        let context = SourceContext {
            name: "dry-run".to_owned(),
            converter: choice,
            arguments: given,
            priority: 5,
            station,
            max_file_bytes: MOST_TRIED_BYTES as u64,
        };
        let run = self.trial_desk.run(move || dry_run::bytes(&file_name, bytes, &context, &registry, UNITS, TRIAL)).await?;
        Ok(Reply::ConversionTrial(Box::new(trial(run))))
    }
}

fn trial(run: DryRun) -> ConversionTrial {
    let mut room = REPORTS;
    let mut one = |Finished { report, notes, filled, .. }: Finished| {
        let text = String::from_utf8(wsjf::write(&report)).ok().filter(|text| text.len() <= room);
        room -= text.as_ref().map_or(0, String::len);
        TriedUnit {
            serial: report.sn.clone().unwrap_or_default(),
            part: report.pn.clone().unwrap_or_default(),
            result: report.result.map_or("", Status::letter).to_owned(),
            steps: report.steps().count() as u64,
            measurements: report.measurement_count() as u64,
            report: text,
            notes,
            not_from_the_file: filled.into_iter().map(|(key, origin)| (key.to_owned(), origin.to_string())).collect(),
        }
    };
    ConversionTrial {
        converter: run.converter,
        recognised_by: run.judged,
        units: run.units.into_iter().map(|unit| unit.map(&mut one).map_err(|error| error.report("the file"))).collect(),
        more: run.more as u64,
        error: run.error,
    }
}

fn row(converter: &dyn Converter, statistics: &Statistics) -> ConverterRow {
    let done = statistics.of(converter.name());
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let about = converter.about();
    let of = |arguments: &[Argument], common: bool| -> Vec<ArgumentRow> {
        arguments.iter().map(|argument| argument_row(argument, common)).collect()
    };
    ConverterRow {
        name: converter.name().to_owned(),
        version: about.version,
        help: about.help.to_owned(),
        patterns: about.patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
        has_end_mark: about.has_end_mark,
        arguments: [of(about.arguments, false), of(COMMON, true)].concat(),
        done: ConversionsDone {
            files: done.files,
            bytes: done.bytes,
            reports: done.reports,
            broken_units: done.broken_units,
            broken_files: done.broken_files,
            took_us: micros(done.took),
            slowest_us: micros(done.slowest),
        },
    }
}

fn argument_row(argument: &Argument, common: bool) -> ArgumentRow {
    ArgumentRow {
        name: argument.name.to_owned(),
        help: argument.help.to_owned(),
        kind: match argument.kind {
            Kind::Text => ArgumentKind::Text,
            Kind::Whole(_) => ArgumentKind::Whole,
            Kind::Flag(_) => ArgumentKind::Flag,
            Kind::OneOf(texts) => ArgumentKind::OneOf(texts.iter().map(|&text| text.to_owned()).collect()),
            Kind::Zone => ArgumentKind::Zone,
            Kind::Encoding => ArgumentKind::Encoding,
            Kind::FileName(_) => ArgumentKind::FileName,
        },
        takes: argument.kind.takes(),
        default: argument.kind.default_text(),
        common,
    }
}
