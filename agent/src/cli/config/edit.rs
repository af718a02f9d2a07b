//! `config edit`: an editor on a copy; what comes out is checked, and applied as one change.
//!
//! What was typed is never lost: the copy goes only when its text is in use, or nothing was typed. Else it stays, and it is said where.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use waybill_ipc::protocol::{ConfigChange, ConfigChanged};
use waybill_shared::config::{Edit, describe};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::atomic;
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::change::{UnsentArgs, request, show_changed};
use super::{state, validate};
use crate::cli::door::Door;
use crate::cli::{ask, output};
use crate::config::{Store, store};

#[derive(Debug, Args)]
pub(in crate::cli) struct EditArgs {
    #[command(flatten)]
    unsent: UnsentArgs,
}

pub(super) async fn main(instance: &Instance, door: &Door<'_>, args: EditArgs) -> Result<Exit, ErrorReport> {
    let before = start(instance, door).await?;
    let copy = std::env::temp_dir().join(format!("waybill-config-{}.toml", uuid::Uuid::new_v4().simple()));
    atomic::create_private(&copy, before.text.as_bytes()).map_err(|error| {
        ErrorReport::new(Code::ConfigNotSaved, format!("no copy can be made in {}: {error}", text::path(&copy)))
    })?;
    let unsent = args.unsent.chosen();
    let changed = loop {
        let typed = edited(&copy, &before.text)?;
        let Some(text) = typed else {
            discard(&copy);
            output::line("nothing was changed");
            return Ok(Exit::Ok);
        };
        let edits = vec![Edit::Replace { text }];
        let change = ConfigChange { base: Some(before.revision.clone()), edits, unsent: unsent.clone(), dry_run: false };
        match request(door, change).await {
            Ok(changed) => break changed,
            Err(error) if error.code == Code::ConfigInvalid && ask::somebody() => {
                output::trouble(&error);
                if !ask::yes("Edit it again?", true).map_err(|error| kept(error, &copy))? {
                    return Err(kept(error, &copy));
                }
            }
            Err(error) => return Err(kept(error, &copy)),
        }
    };
    finish(door, &changed, &copy);
    Ok(Exit::Ok)
}

fn finish(door: &Door<'_>, changed: &ConfigChanged, copy: &Path) {
    discard(copy);
    show_changed(door, changed, false);
}

/// What is edited.
struct Before {
    text: String,
    /// The version of the file that it is.
    revision: String,
}

/// The text in use; the file itself if it has faults, for that is what is to be mended; the sample where nothing is.
async fn start(instance: &Instance, door: &Door<'_>) -> Result<Before, ErrorReport> {
    let there = || Store::of(instance).read();
    let from_file = |error: ErrorReport| match there()? {
        Some(document) => {
            output::trouble(&error);
            Ok(Before { text: document.text, revision: document.revision })
        }
        None if error.code == Code::ConfigMissing => Ok(Before { text: describe::sample(), revision: store::revision(b"") }),
        None => Err(error),
    };
    match state(door).await {
        Ok(state) => match state.problem {
            // A backup stands in for a file that is gone: it is what is put back.
            Some(problem) if problem.code == Code::ConfigMissing => {
                output::trouble(&problem);
                Ok(Before { text: state.text, revision: store::revision(b"") })
            }
            Some(problem) if problem.code == Code::ConfigInvalid => from_file(problem),
            _ if !state.configured => Ok(Before { text: describe::sample(), revision: state.revision }),
            _ => Ok(Before { text: state.text, revision: state.revision }),
        },
        Err(error) if matches!(error.code, Code::ConfigInvalid | Code::ConfigMissing) => from_file(error),
        Err(error) => Err(error),
    }
}

/// Opens the editor and waits for its end; what was typed, if it is another text.
fn edited(copy: &Path, before: &str) -> Result<Option<String>, ErrorReport> {
    let (program, arguments) = editor();
    let ended = Command::new(&program).args(&arguments).arg(copy).status();
    let typed = validate::file(copy)?;
    let failure = match ended {
        Ok(status) if status.success() => return Ok((typed != before).then_some(typed)),
        Ok(status) => format!("ended with {status}"),
        Err(error) => format!("cannot be started: {error}"),
    };
    let message = format!("the editor {} {failure}; nothing was changed", Path::new(&program).display());
    let error = ErrorReport::new(Code::RequestInvalid, message).with_fix("Name an editor that works in the variable EDITOR");
    if typed == before {
        discard(copy);
        return Err(error);
    }
    Err(kept(error, copy))
}

/// `VISUAL`, else `EDITOR`, else the one that is always there. Arguments may follow its name.
fn editor() -> (OsString, Vec<String>) {
    let usual = if cfg!(windows) { "notepad" } else { "vi" };
    let named = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()));
    let named = named.unwrap_or_else(|| usual.into());
    // A path with spaces in it is one word.
    if PathBuf::from(&named).is_file() {
        return (named, Vec::new());
    }
    match named.to_str().map(|words| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>()) {
        Some(words) if words.len() > 1 => (words[0].clone().into(), words[1..].to_vec()),
        _ => (named, Vec::new()),
    }
}

fn kept(mut error: ErrorReport, copy: &Path) -> ErrorReport {
    error.message = format!("{}; what you typed is kept in {}", error.message, text::path(copy));
    error
}

fn discard(copy: &Path) {
    if let Err(error) = std::fs::remove_file(copy) {
        output::warn(&format!("the copy {} was left behind: {error}", text::path(copy)));
    }
}
