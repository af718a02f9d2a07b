//! `secret`: tokens and passwords; with a running agent or without. A value is never an argument, and never shown.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use waybill_ipc::protocol::{Reply, Request, SecretRow};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::private;
use waybill_shared::paths::Instance;
use waybill_shared::secret::Secret;
use waybill_shared::text;

use super::door::Door;
use super::output;
use super::pin::{self, Pin};
use super::status::unexpected;
use crate::serve::answers::secret_text;

/// Most bytes that are read for a secret; what is longer is none.
const LONGEST: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum SecretCommand {
    /// Set a secret: asked for without showing it, or from a file
    Set(SetArgs),
    /// Forget a secret
    Clear(NameArgs),
    /// Show which secrets the configuration needs, whether they are set, and where they are
    Status(StatusArgs),
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Which: destination.NAME.token, proxy.password
    name: String,
    /// Read it from this file, or from standard input with `-`
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// Which: destination.NAME.token, proxy.password
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, command: SecretCommand) -> Result<Exit, ErrorReport> {
    let door = Door::open(instance, pin).await?;
    match command {
        SecretCommand::Status(args) => {
            let rows = rows(door.request(Request::Secrets).await?)?;
            if args.json { output::json(&rows) } else { show(&rows) }
        }
        SecretCommand::Set(SetArgs { name, file }) => {
            let value = secret_text(&value(&name, file.as_deref())?);
            let changed = rows(door.request(Request::SetSecret { name: name.clone(), value }).await?)?;
            let place = changed.first().map_or("", |row| row.place.as_str());
            output::line(&format!("{name} is set ({})", text::printable(place, 4096)));
        }
        SecretCommand::Clear(NameArgs { name }) => {
            rows(door.request(Request::ClearSecret { name: name.clone() }).await?)?;
            output::line(&format!("{name} is forgotten"));
        }
    }
    Ok(Exit::Ok)
}

fn rows(reply: Reply) -> Result<Vec<SecretRow>, ErrorReport> {
    match reply {
        Reply::Secrets(rows) => Ok(rows),
        other => Err(unexpected(&other)),
    }
}

fn show(rows: &[SecretRow]) {
    if rows.is_empty() {
        return output::line("the configuration needs no secrets");
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let set = if row.set { "set" } else { "NOT SET" };
            let changeable = if row.changeable { "yes" } else { "no" };
            vec![row.name.clone(), set.to_owned(), changeable.to_owned(), text::printable(&row.place, 1000)]
        })
        .collect();
    output::table(&["SECRET", "STATE", "CHANGEABLE", "PLACE"], &cells);
}

/// The value: from a file, from standard input, or from whoever sits at the terminal.
pub(super) fn value(name: &str, file: Option<&Path>) -> Result<Secret, ErrorReport> {
    let Some(file) = file else {
        return pin::ask(&format!("{name}: "))?.ok_or_else(|| {
            ErrorReport::new(Code::RequestInvalid, format!("{name} is asked for at a terminal, and this is none"))
                .with_fix("Use a terminal, or --file FILE, or --file - for standard input")
        });
    };
    let (place, read) = if file == Path::new("-") {
        ("standard input".to_owned(), bounded(std::io::stdin().lock()))
    } else {
        if matches!(private::is_private(file), Ok(false)) {
            output::warn(&format!("{} can be read by other users: remove it, or make it private", text::path(file)));
        }
        (text::path(file), std::fs::File::open(file).and_then(bounded))
    };
    let bytes = read.map_err(|error| {
        ErrorReport::new(Code::FileUnreadable, format!("{name} cannot be read from {place}: {error}"))
            .with_fix("Check that the file exists and that you may read it")
    })?;
    let wrong = |why: &str| {
        ErrorReport::new(Code::RequestInvalid, format!("what {place} holds cannot be {name}: {why}"))
            .with_fix("Give the secret as one line of text")
    };
    if bytes.len() as u64 > LONGEST {
        return Err(wrong("it is too long"));
    }
    if bytes.trim_ascii().is_empty() {
        return Err(wrong("it is empty"));
    }
    String::from_utf8(bytes).map(|text| Secret::new(&text)).map_err(|_| wrong("it is no text in UTF-8"))
}

fn bounded(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LONGEST + 1).read_to_end(&mut bytes).map(|_| bytes)
}
