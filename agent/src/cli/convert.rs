//! `convert`: a dry run. Shows the report, or exactly what is wrong.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use waybill_shared::config::Identity;
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::report::{Num, Report, Step};
use waybill_shared::schema::{Map, Value};
use waybill_shared::text;

use super::output;
use crate::convert::registry::{Choice, Registry};
use crate::convert::unit::{Finished, Finisher};
use crate::convert::{Arguments, Content, Input, Kind, input};

#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    /// The file
    file: PathBuf,
    /// Converter: auto, wsjf, wsxf, openhtf
    #[arg(long = "as", default_value = "auto", value_name = "CONVERTER")]
    converter: String,
    /// A value for the converter, as under [source.arguments]; may be given several times
    #[arg(long = "argument", value_name = "KEY=VALUE")]
    arguments: Vec<String>,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// What came of one unit.
enum Shown {
    Report(Box<Report>, Vec<String>),
    Error(ErrorReport),
}

pub(super) fn main(instance: &Instance, args: &ConvertArgs) -> Exit {
    match convert(instance, args) {
        Ok(units) => {
            let broken = units.iter().any(|unit| matches!(unit, Shown::Error(_)));
            if args.json {
                show_json(&units)
            } else {
                show_text(&units)
            }
            if broken { Exit::Input } else { Exit::Ok }
        }
        Err(error) => {
            if args.json {
                output::json(&json!({ "units": [], "error": error }));
            }
            output::fail(&error)
        }
    }
}

fn convert(instance: &Instance, args: &ConvertArgs) -> Result<Vec<Shown>, ErrorReport> {
    let registry = Registry::built_in();
    let choice = registry.choose(&args.converter).ok_or_else(|| {
        let names = registry.names().join(", ");
        ErrorReport::new(Code::ConverterUnknown, format!("there is no converter {:?}; there are: auto, {names}", args.converter))
    })?;
    let shown = text::path(&args.file);
    let unreadable = |error: std::io::Error| {
        ErrorReport::new(Code::FileUnreadable, format!("{shown} cannot be read: {error}"))
            .with_fix("Check that the file exists and that you may read it")
    };
    let metadata = std::fs::metadata(&args.file).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(ErrorReport::new(Code::NotAFile, format!("{shown} is not a file")));
    }
    let (station, limit) = match crate::agent::look_at_config(instance) {
        Ok(active) => (active.identity, active.effective.config.convert.max_file_bytes),
        // A dry run needs no configuration; a broken one is not this command's business.
        Err(_) => {
            let config = waybill_shared::config::Config::default();
            (config.identity(&[]), config.convert.max_file_bytes)
        }
    };
    if metadata.len() > limit {
        let message = format!("{shown} has {} bytes, at most {limit} are read", metadata.len());
        return Err(ErrorReport::new(Code::FileTooLarge, message));
    }
    let bytes = std::fs::read(&args.file).map_err(unreadable)?;
    if bytes.is_empty() {
        return Err(ErrorReport::new(Code::FileEmpty, format!("{shown} has 0 bytes")));
    }
    let arguments = arguments(&args.arguments, &registry, &args.converter)?;
    let modified = metadata.modified().ok().and_then(|at| Timestamp::try_from(at).ok()).unwrap_or_else(Timestamp::now);
    units(&choice, &args.file, &bytes, modified, &arguments, &station).map_err(|error| error.report(&shown))
}

fn units(
    choice: &Choice,
    file: &std::path::Path,
    bytes: &[u8],
    modified: Timestamp,
    arguments: &Map<String, Value>,
    station: &Identity,
) -> Result<Vec<Shown>, crate::convert::ConvertError> {
    let content = Content::Bytes(bytes);
    let converter = choice.of(&content.head().map_err(input::unreadable)?)?;
    let file_name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let input = Input { content, file_name: &file_name, modified, arguments: Arguments::new(arguments) };
    let mut finisher = Finisher::new(converter.name(), "dry-run", station, input);
    let mut shown = Vec::new();
    converter.convert(&input, &mut |unit| {
        let finished = unit.and_then(|unit| finisher.finish(unit));
        let finished = finished.map(|Finished { report, notes, .. }| Shown::Report(Box::new(report), notes));
        let number = shown.len() + 1;
        shown.push(finished.unwrap_or_else(|error| Shown::Error(error.report(&format!("{file_name}, unit {number}")))));
        ControlFlow::Continue(())
    })?;
    Ok(shown)
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

fn show_json(units: &[Shown]) {
    let units: Vec<Value> = units
        .iter()
        .map(|unit| match unit {
            Shown::Report(report, notes) => json!({ "report": report, "notes": notes }),
            Shown::Error(error) => json!({ "error": error }),
        })
        .collect();
    output::json(&json!({ "units": units }));
}

fn show_text(units: &[Shown]) {
    for (number, unit) in units.iter().enumerate() {
        if number > 0 {
            output::line("");
        }
        match unit {
            Shown::Report(report, notes) => show_report(report, notes),
            Shown::Error(error) => {
                output::fail(error);
            }
        }
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
