//! `convert`: a dry run. Shows the report, or exactly what is wrong.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use waybill_shared::config::Config;
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::report::{Num, Report, Step};
use waybill_shared::schema::{Map, Value};
use waybill_shared::text;

use super::output;
use crate::convert::common::Origin;
use crate::convert::dry_run::{self, DryRun};
use crate::convert::pool::SourceContext;
use crate::convert::registry::Registry;
use crate::convert::unit::Finished;
use crate::convert::{ConvertError, Kind};

/// Most units that are shown of one file.
const UNITS: usize = 1_000_000;

#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    /// The file
    file: PathBuf,
    #[command(flatten)]
    with: Tried,
    /// Also show who recognises the file, and where each value of the report's head comes from
    #[arg(long)]
    explain: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// With what a file is converted.
#[derive(Debug, Args)]
pub(super) struct Tried {
    /// Converter: auto, or a name of `converters list`
    #[arg(long = "as", default_value = "auto", value_name = "CONVERTER")]
    converter: String,
    /// A value for the converter, as under [source.arguments]; may be given several times
    #[arg(long = "argument", value_name = "KEY=VALUE")]
    arguments: Vec<String>,
}

pub(super) fn main(instance: &Instance, args: &ConvertArgs) -> Exit {
    let run = match dry_run(instance, &args.file, &args.with, UNITS) {
        Ok(run) => run,
        Err(error) => {
            if args.json {
                output::json(&json!({ "units": [], "error": error }));
            }
            return output::fail(&error);
        }
    };
    if args.json {
        show_json(&run, args);
    } else {
        show_text(&run, args);
    }
    match &run.error {
        Some(error) => output::fail(error),
        None if run.units.iter().any(Result::is_err) => Exit::Input,
        None => Exit::Ok,
    }
}

/// Converts a file as a source with these arguments would.
///
/// # Errors
/// There is no such converter, it does not take these arguments, or the file cannot be read.
pub(super) fn dry_run(instance: &Instance, file: &Path, with: &Tried, most: usize) -> Result<DryRun, ErrorReport> {
    let registry = Registry::of(instance);
    let converter = registry.choose(&with.converter).ok_or_else(|| registry.unknown(&with.converter))?;
    let shown = text::path(file);
    match std::fs::metadata(file) {
        Ok(metadata) if !metadata.is_file() => return Err(ErrorReport::new(Code::NotAFile, format!("{shown} is not a file"))),
        Ok(_) => {}
        Err(error) => {
            let error = ErrorReport::new(Code::FileUnreadable, format!("{shown} cannot be read: {error}"));
            return Err(error.with_fix("Check that the file exists and that you may read it"));
        }
    }
    let (station, max_file_bytes) = match crate::agent::look_at_config(instance) {
        Ok(active) => (active.identity, active.effective.config.convert.max_file_bytes),
        // A dry run needs no configuration; a broken one is not this command's business.
        Err(_) => {
            let config = Config::default();
            (config.identity(&[]), config.convert.max_file_bytes)
        }
    };
    let arguments = arguments(&with.arguments, &registry, &with.converter)?;
    let name = "dry-run".to_owned();
    dry_run::file(file, &SourceContext { name, converter, arguments, priority: 5, station, max_file_bytes }, &registry, most)
}

fn arguments(pairs: &[String], registry: &Registry, converter: &str) -> Result<Map<String, Value>, ErrorReport> {
    let arguments = pairs
        .iter()
        .map(|pair| {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| ErrorReport::new(Code::RequestInvalid, format!("{pair:?} is not of the form KEY=VALUE")))?;
            let kind = registry.argument(converter, key).map_or(Kind::Text, |argument| argument.kind);
            Ok((key.to_owned(), kind.value(value)))
        })
        .collect::<Result<Map<_, _>, ErrorReport>>()?;
    let faults = registry.argument_faults(converter, &arguments, "--argument");
    if faults.is_empty() {
        return Ok(arguments);
    }
    Err(ErrorReport::new(Code::ConfigInvalid, "the converter does not take these arguments").with_details(faults))
}

fn file_name(args: &ConvertArgs) -> String {
    args.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn unit_error(error: &ConvertError, args: &ConvertArgs, number: usize) -> ErrorReport {
    error.report(&format!("{}, unit {}", file_name(args), number + 1))
}

fn show_json(run: &DryRun, args: &ConvertArgs) {
    let unit = |(number, unit): (usize, &Result<Finished, ConvertError>)| match unit {
        Ok(Finished { report, notes, filled, .. }) if args.explain => {
            let filled: Map<String, Value> =
                filled.iter().map(|(key, from)| ((*key).to_owned(), from.to_string().into())).collect();
            json!({ "report": report, "notes": notes, "not_from_the_file": filled })
        }
        Ok(Finished { report, notes, .. }) => json!({ "report": report, "notes": notes }),
        Err(error) => json!({ "error": unit_error(error, args, number) }),
    };
    let units: Vec<_> = run.units.iter().enumerate().map(unit).collect();
    let mut shown = json!({ "units": units });
    if args.explain {
        shown["converter"] = run.converter.clone().into();
        shown["recognised_by"] =
            run.judged.iter().map(|(name, sure)| json!({ "converter": name, "sure_percent": sure })).collect::<Vec<_>>().into();
    }
    if let Some(error) = &run.error {
        shown["error"] = json!(error);
    }
    output::json(&shown);
}

fn show_text(run: &DryRun, args: &ConvertArgs) {
    if args.explain {
        let sure: Vec<_> = run.judged.iter().map(|(name, sure)| format!("{name} {sure} %")).collect();
        output::line(&format!("recognised by: {}", if sure.is_empty() { "nobody".to_owned() } else { sure.join(", ") }));
        output::line(&format!("converted by: {}", run.converter.as_deref().unwrap_or("nobody")));
        output::line("");
    }
    for (number, unit) in run.units.iter().enumerate() {
        if number > 0 {
            output::line("");
        }
        match unit {
            Ok(Finished { report, notes, filled, .. }) => {
                show_report(report, notes);
                if args.explain {
                    show_origins(filled);
                }
            }
            Err(error) => {
                output::fail(&unit_error(error, args, number));
            }
        }
    }
}

fn show_origins(filled: &[(&'static str, Origin)]) {
    if filled.is_empty() {
        output::line("everything in its head is from the file");
    }
    for (key, origin) in filled {
        output::line(&format!("{key}: from {origin}"));
    }
}

fn show_report(report: &Report, notes: &[String]) {
    let text = |value: &Option<String>| value.as_deref().unwrap_or("-").to_owned();
    let kind = if report.kind.as_deref() == Some("R") { "repair" } else { "test" };
    let result = report.result.map_or_else(String::new, |result| result.to_string());
    output::line(&format!(
        "{} {} rev {}   {kind} {}   {result}   {}",
        text(&report.sn),
        text(&report.pn),
        text(&report.rev),
        report.process_code.map_or_else(String::new, |code| code.to_string()),
        text(&report.start)
    ));
    output::line(&format!(
        "{} · {} · {}   id {}",
        text(&report.machine_name),
        text(&report.location),
        text(&report.purpose),
        text(&report.id)
    ));
    if let Some(root) = &report.root {
        show_step(root, 0);
    }
    for failure in report.sub_units.iter().flatten().flat_map(|part| part.failures.iter().flatten()) {
        output::line(&format!("  {} {} {}", text(&failure.com_ref), text(&failure.code), text(&failure.comment)));
    }
    output::line(&format!("{} steps, {} measurements", report.steps().count(), report.measurement_count()));
    for note in notes {
        output::line(&format!("note: {}", text::printable(note, 500)));
    }
}

fn show_step(step: &Step, depth: usize) {
    let indent = "  ".repeat(depth + 1);
    let status = step.status.map_or("", waybill_shared::report::Status::letter);
    output::line(&format!("{indent}{status:1} {}", text::printable(step.name.as_deref().unwrap_or("-"), 100)));
    let number = |value: &Option<Num>| value.as_ref().map_or_else(String::new, ToString::to_string);
    for meas in step.numeric_meas.iter().flatten() {
        let name = meas.name.as_deref().map_or_else(String::new, |name| format!("{name} "));
        let unit = meas.unit.as_deref().unwrap_or("");
        let limits = [number(&meas.low_limit), number(&meas.high_limit)].join(" ");
        output::line(&format!(
            "{indent}    {name}{} {unit}   {} {}",
            number(&meas.value),
            meas.comp_op.as_deref().unwrap_or(""),
            limits.trim()
        ));
    }
    for meas in step.string_meas.iter().flatten() {
        let (value, limit) = (meas.value.as_deref().unwrap_or(""), meas.limit.as_deref().unwrap_or(""));
        output::line(&format!("{indent}    {value:?}   {} {limit:?}", meas.comp_op.as_deref().unwrap_or("")));
    }
    for meas in step.boolean_meas.iter().flatten() {
        if let Some(name) = &meas.name {
            output::line(&format!("{indent}    {} {name}", meas.status.map_or("", waybill_shared::report::Status::letter)));
        }
    }
    for child in step.steps.iter().flatten() {
        show_step(child, depth + 1);
    }
}
