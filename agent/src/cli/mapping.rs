//! `mapping`: mappings in the making. Needs no agent.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::text;

use super::output;
use crate::convert::mapping::{self, Mapping, explain};

/// Largest file that is looked at.
const MOST: u64 = 64 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum MappingCommand {
    /// Check a mapping; with a file, tell what was found in it and in which line and column
    Check(CheckArgs),
    /// Write a mapping for a file as a beginning; what it says is a guess
    Guess(GuessArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The mapping
    mapping: PathBuf,
    /// A file that it describes
    file: Option<PathBuf>,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct GuessArgs {
    /// The file
    file: PathBuf,
}

pub(super) fn main(command: &MappingCommand) -> Result<Exit, ErrorReport> {
    match command {
        MappingCommand::Check(args) => check(args),
        MappingCommand::Guess(args) => {
            let bytes = read(&args.file)?;
            output::line(mapping::guess(&bytes, &name_of(&args.file)).trim_end());
            Ok(Exit::Ok)
        }
    }
}

fn check(args: &CheckArgs) -> Result<Exit, ErrorReport> {
    let shown = text::path(&args.mapping);
    let declared = String::from_utf8(read(&args.mapping)?)
        .map_err(|error| ErrorReport::new(Code::ConfigUnreadable, format!("{shown} is no UTF-8: {error}")))?;
    let mapping = Mapping::parse(&declared).map_err(|faults| {
        let message = format!("{shown}: {} fault(s)", faults.len());
        ErrorReport::new(Code::ConfigInvalid, message)
            .with_details(faults)
            .with_fix("Mend the named places: `waybill-agent explain mapping`")
    })?;
    let Some(file) = &args.file else {
        if args.json {
            output::json(&json!({ "valid": true }));
        } else {
            output::line(&format!("{shown} is valid"));
        }
        return Ok(Exit::Ok);
    };
    let (units, end) = mapping::explain(&mapping, &name_of(file), &read(file)?);
    if args.json {
        let field = |field: &explain::Tell| json!({ "field": field.field, "value": field.value, "place": field.place });
        let unit = |unit: &explain::Explained| {
            json!({
                "fields": unit.fields.iter().map(field).collect::<Vec<_>>(),
                "notes": unit.unit.as_ref().map_or(&[][..], |unit| &unit.notes),
                "error": unit.unit.as_ref().err().map(ToString::to_string),
            })
        };
        let error = end.as_ref().err().map(ToString::to_string);
        output::json(&json!({ "units": units.iter().map(unit).collect::<Vec<_>>(), "error": error }));
    } else {
        output::line(&explain::text(&units));
        let good = units.iter().filter(|unit| unit.unit.is_ok()).count();
        output::line(&format!("\n{good} of {} units are whole", units.len()));
    }
    match end {
        Err(error) => Err(error.report(&text::path(file))),
        Ok(()) if units.is_empty() || units.iter().any(|unit| unit.unit.is_err()) => Ok(Exit::Input),
        Ok(()) => Ok(Exit::Ok),
    }
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<Vec<u8>, ErrorReport> {
    let shown = text::path(path);
    let unreadable = |error: std::io::Error| {
        ErrorReport::new(Code::FileUnreadable, format!("{shown} cannot be read: {error}"))
            .with_fix("Check that the file exists and that you may read it")
    };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MOST {
        return Err(ErrorReport::new(Code::FileTooLarge, format!("{shown} has {length} bytes, at most {MOST} are looked at")));
    }
    std::fs::read(path).map_err(unreadable)
}
