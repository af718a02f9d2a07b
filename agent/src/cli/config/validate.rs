//! `config validate`: all faults of a configuration, without using it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use waybill_shared::config::{Effective, Layers};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use crate::cli::output;
use crate::config::{self, store};
use crate::convert::registry::Registry;

#[derive(Debug, Args)]
pub(in crate::cli) struct ValidateArgs {
    /// The file, or `-` for the standard input; without it the instance's own
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Without the environment and what the administrator has pinned on this machine
    #[arg(long)]
    alone: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) fn main(instance: &Instance, args: &ValidateArgs) -> Result<Exit, ErrorReport> {
    let (place, read) = match args.file.as_deref() {
        Some(path) if path == Path::new("-") => ("the standard input".to_owned(), standard_input()?),
        Some(path) => (text::path(path), file(path)?),
        None => (text::path(&instance.config), file(&instance.config)?),
    };
    let result = checked(instance, &place, &read, args.alone);
    if args.json {
        let error = result.as_ref().err();
        output::json(&json!({
            "valid": error.is_none(),
            "message": error.map(|error| &error.message),
            "faults": error.map_or(&[][..], |error| &error.details[..]),
        }));
        return Ok(error.map_or(Exit::Ok, |error| error.code.exit()));
    }
    let config = result?.config;
    output::line(&format!("{place} is valid: {} source(s), {} destination(s)", config.source.len(), config.destination.len()));
    Ok(Exit::Ok)
}

fn checked(instance: &Instance, place: &str, text: &str, alone: bool) -> Result<Effective, ErrorReport> {
    let layers = if alone { Layers::default() } else { config::sources::layers(instance)? };
    let registry = Registry::of(instance);
    config::candidate(&layers, text, &|config| registry.faults(config)).map_err(|mut error| {
        error.message = error.message.replace("the new configuration", place);
        error.with_fix("Mend the named fields; nothing was changed")
    })
}

/// A file of at most the size that a configuration may have.
///
/// # Errors
/// There is none, or it cannot be read.
pub(super) fn file(path: &Path) -> Result<String, ErrorReport> {
    let place = text::path(path);
    match store::read_text(path) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(ErrorReport::new(Code::ConfigMissing, format!("there is no {place}"))),
        Err(why) => Err(ErrorReport::new(Code::ConfigUnreadable, format!("{place} cannot be read: {why}"))),
    }
}

fn standard_input() -> Result<String, ErrorReport> {
    let unreadable = |why: &str| ErrorReport::new(Code::ConfigUnreadable, format!("the standard input cannot be read: {why}"));
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(store::MOST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(&error.to_string()))?;
    if text.len() as u64 > store::MOST_BYTES {
        return Err(unreadable(&format!("it is larger than {} bytes", store::MOST_BYTES)));
    }
    Ok(text)
}
