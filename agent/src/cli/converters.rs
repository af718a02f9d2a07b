//! `converters`: what files can be read, by whom and with which arguments; and files tried against them. Needs no agent.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use waybill_ipc::protocol::{ConverterRow, Reply, Request};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::report::Status;
use waybill_shared::text;

use super::convert::{Tried, dry_run};
use super::door::Door;
use super::output;
use super::pin::Pin;
use super::status::unexpected;
use crate::convert::common::COMMON;
use crate::convert::dry_run::DryRun;
use crate::convert::mapping::MappingFile;
use crate::convert::registry::Registry;
use crate::convert::{About, Argument, Converter};

/// Most units that are kept of one file; the others are counted.
const UNITS: usize = 10_000;

const ARGUMENTS: [&str; 4] = ["ARGUMENT", "TAKES", "DEFAULT", "FOR"];

#[derive(Debug, Subcommand)]
pub(super) enum ConvertersCommand {
    /// List them: names, files, what they read
    List(ListArgs),
    /// Show one: what it reads, the names of its files, its arguments with their defaults
    Show(ShowArgs),
    /// What each did since the agent started: files, reports, errors, time
    Stats(ListArgs),
    /// Try files: who recognises them, what came of each; nothing is queued or moved
    Test(TestArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its name
    name: String,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    with: Tried,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, command: ConvertersCommand) -> Result<Exit, ErrorReport> {
    match command {
        ConvertersCommand::List(args) => {
            list(instance, args.json);
            Ok(Exit::Ok)
        }
        ConvertersCommand::Show(args) => show(instance, &args),
        ConvertersCommand::Stats(args) => stats(&Door::open(instance, pin).await?, args.json).await,
        ConvertersCommand::Test(args) => test(instance, &args),
    }
}

fn list(instance: &Instance, as_json: bool) {
    let registry = Registry::of(instance);
    let mappings = registry.mappings();
    if as_json {
        let built_in = registry.all().map(described);
        let mappings = mappings.iter().map(|mapping| match mapping.read() {
            Ok(read) => {
                json!({ "name": mapping.name(), "version": read.version(), "help": read.help(), "patterns": read.patterns() })
            }
            Err(faults) => json!({ "name": mapping.name(), "error": mapping.describe(&faults) }),
        });
        return output::json(&built_in.chain(mappings).collect::<Vec<_>>());
    }
    let row = |converter: &dyn Converter| {
        let About { help, patterns, .. } = converter.about();
        vec![converter.name().to_owned(), patterns.join(" "), (*help).to_owned()]
    };
    let of_mapping = |mapping: &Arc<MappingFile>| match mapping.read() {
        Ok(read) => vec![mapping.name().to_owned(), read.patterns().join(" "), format!("{} (mapping)", read.help())],
        Err(faults) => vec![mapping.name().to_owned(), String::new(), mapping.describe(&faults)],
    };
    let rows: Vec<_> = registry.all().map(row).chain(mappings.iter().map(of_mapping)).collect();
    output::table(&["NAME", "FILES", "READS"], &rows);
    output::line("\nA source with `converter = \"auto\"` takes the one that is surest of each file.");
}

async fn stats(door: &Door<'_>, as_json: bool) -> Result<Exit, ErrorReport> {
    let rows = match door.request(Request::Converters).await? {
        Reply::Converters(rows) => rows,
        other => return Err(unexpected(&other)),
    };
    if as_json {
        let row = |row: &ConverterRow| json!({ "name": row.name, "done": row.done });
        output::json(&rows.iter().map(row).collect::<Vec<_>>());
        return Ok(Exit::Ok);
    }
    let row = |row: &ConverterRow| {
        let done = &row.done;
        let mean = done.took_us.checked_div(done.files).unwrap_or(0);
        let counts = [done.files, done.reports, done.broken_units, done.broken_files].map(|count| count.to_string());
        let mut cells = vec![row.name.clone()];
        cells.extend(counts);
        cells.extend([milliseconds(mean), milliseconds(done.slowest_us)]);
        cells
    };
    let used: Vec<_> = rows.iter().filter(|row| row.done.files > 0).map(row).collect();
    if used.is_empty() {
        output::line("nothing was converted since the agent started");
    } else {
        output::table(&["CONVERTER", "FILES", "REPORTS", "BROKEN UNITS", "BROKEN FILES", "MEAN", "SLOWEST"], &used);
    }
    Ok(Exit::Ok)
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

fn show(instance: &Instance, args: &ShowArgs) -> Result<Exit, ErrorReport> {
    let registry = Registry::of(instance);
    if let Some(mapping) = registry.mappings().iter().find(|mapping| mapping.name() == args.name) {
        return show_mapping(mapping, args.json);
    }
    let converter = registry.all().find(|converter| converter.name() == args.name).ok_or_else(|| registry.unknown(&args.name))?;
    if args.json {
        output::json(&described(converter));
        return Ok(Exit::Ok);
    }
    let About { help, version, patterns, has_end_mark, arguments, .. } = converter.about();
    output::line(&format!("{} (version {version}): {help}", converter.name()));
    output::line(&format!("Usual names of its files: {}", patterns.join(", ")));
    output::line(if *has_end_mark {
        "A file that was cut is always recognised."
    } else {
        "A file that was cut may read like a whole one: it is left alone until it is quiet."
    });
    if !arguments.is_empty() {
        output::line("");
        output::table(&ARGUMENTS, &argument_rows(arguments));
    }
    output::line("\nEvery converter takes these:");
    output::table(&ARGUMENTS, &argument_rows(COMMON));
    Ok(Exit::Ok)
}

fn show_mapping(mapping: &MappingFile, as_json: bool) -> Result<Exit, ErrorReport> {
    let read = mapping.read().map_err(|faults| ErrorReport::new(Code::ConfigInvalid, mapping.describe(&faults)))?;
    let (help, patterns, version) = (read.help(), read.patterns(), read.version());
    if as_json {
        output::json(&json!({ "name": mapping.name(), "version": version, "help": help, "patterns": patterns }));
        return Ok(Exit::Ok);
    }
    output::line(&format!("{} (mapping, version {version}): {help}", mapping.name()));
    output::line(&format!("Usual names of its files: {}", patterns.join(", ")));
    output::line("\nEvery converter takes these:");
    output::table(&ARGUMENTS, &argument_rows(COMMON));
    Ok(Exit::Ok)
}

fn argument_rows(arguments: &[Argument]) -> Vec<Vec<String>> {
    let row = |argument: &Argument| {
        let default = argument.kind.default_text().unwrap_or_else(|| "-".to_owned());
        vec![argument.name.to_owned(), argument.kind.takes(), default, argument.help.to_owned()]
    };
    arguments.iter().map(row).collect()
}

fn described(converter: &dyn Converter) -> Value {
    let About { version, help, patterns, has_end_mark, arguments, .. } = converter.about();
    let argument = |argument: &Argument| json!({ "name": argument.name, "help": argument.help, "takes": argument.kind.takes(), "default": argument.kind.default_text() });
    let all: Vec<_> = arguments.iter().chain(COMMON).map(argument).collect();
    json!({
        "name": converter.name(), "version": version, "help": help, "patterns": patterns, "has_end_mark": has_end_mark, "arguments": all,
    })
}

fn test(instance: &Instance, args: &TestArgs) -> Result<Exit, ErrorReport> {
    let mut rows = Vec::new();
    let mut as_json = Vec::new();
    let mut broken = false;
    for file in &args.files {
        let shown = text::path(file);
        match dry_run(instance, file, &args.with, UNITS) {
            Ok(run) => {
                let counted = Counted::of(&run);
                broken |= counted.broken > 0 || run.error.is_some();
                as_json.push(counted.json(&shown, &run));
                rows.push(counted.row(&shown, &run));
                let of_units = run.units.iter().filter_map(|unit| unit.as_ref().err()).map(|error| error.report(&shown));
                for error in of_units.chain(run.error).take(if args.json { 0 } else { 5 }) {
                    output::trouble(&error);
                }
            }
            Err(error) if error.code == Code::ConfigInvalid || error.code == Code::ConverterUnknown => return Err(error),
            Err(error) => {
                broken = true;
                as_json.push(json!({ "file": shown, "error": error }));
                rows.push(vec![
                    shown,
                    "-".to_owned(),
                    "-".to_owned(),
                    "-".to_owned(),
                    "-".to_owned(),
                    "-".to_owned(),
                    "-".to_owned(),
                ]);
                if !args.json {
                    output::trouble(&error);
                }
            }
        }
    }
    if args.json {
        output::json(&as_json);
    } else {
        output::table(&["FILE", "CONVERTER", "PASSED", "FAILED", "OTHER", "BROKEN", "MEASUREMENTS"], &rows);
    }
    Ok(if broken { Exit::Input } else { Exit::Ok })
}

/// Units of a file by their verdict.
#[derive(Default)]
struct Counted {
    passed: usize,
    failed: usize,
    other: usize,
    broken: usize,
    steps: usize,
    measurements: usize,
    notes: usize,
}

impl Counted {
    fn of(run: &DryRun) -> Self {
        let mut counted = Self { broken: 0, ..Self::default() };
        for unit in &run.units {
            let Ok(finished) = unit else {
                counted.broken += 1;
                continue;
            };
            *match finished.report.result {
                Some(Status::Passed) => &mut counted.passed,
                Some(Status::Failed) => &mut counted.failed,
                _ => &mut counted.other,
            } += 1;
            counted.steps += finished.report.steps().count();
            counted.measurements += finished.report.measurement_count();
            counted.notes += finished.notes.len();
        }
        counted
    }

    fn row(&self, file: &str, run: &DryRun) -> Vec<String> {
        let numbers = [self.passed, self.failed, self.other, self.broken, self.measurements];
        let names = [file.to_owned(), run.converter.clone().unwrap_or_else(|| "-".to_owned())];
        names.into_iter().chain(numbers.map(|number| number.to_string())).collect()
    }

    fn json(&self, file: &str, run: &DryRun) -> Value {
        let judged: Vec<_> = run.judged.iter().map(|(name, sure)| json!({ "converter": name, "sure_percent": sure })).collect();
        json!({
            "file": file, "converter": run.converter, "recognised_by": judged, "passed": self.passed, "failed": self.failed,
            "other": self.other, "broken": self.broken, "not_looked_at": run.more, "steps": self.steps,
            "measurements": self.measurements, "notes": self.notes, "error": run.error, "bytes": run.bytes,
            "took_ms": u64::try_from(run.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}
