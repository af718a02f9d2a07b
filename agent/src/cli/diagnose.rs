//! `diagnose`: a bundle for whoever looks for a fault, and what looks wrong, in words; also if the agent does not run or hangs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, timeout};
use waybill_ipc::Endpoint;
use waybill_ipc::client::{Client, Deadlines};
use waybill_ipc::protocol::{ClientKind, Diagnosis, Reply, Request};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::atomic;
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::door::Door;
use super::pin::Pin;
use super::status::unexpected;
use super::{client_error, output};
use crate::diagnose::{self, LONGEST};

/// An agent that has not greeted by then hangs.
const GREETING: Duration = Duration::from_secs(5);
/// An agent that takes longer to greet is slow.
const SLOW: Duration = Duration::from_secs(1);
/// What the agent needs besides writing: its health checks.
const BESIDES: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 nothing looks wrong, 11 something does; others if no bundle could be written.

Secrets are taken out of the bundle. Without --output it lies in the data folder's `diagnostics`, where the five newest are kept.")]
pub(super) struct DiagnoseArgs {
    /// Where to write the bundle, a zip file that is not there yet
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, args: DiagnoseArgs) -> Result<Exit, ErrorReport> {
    let target = match &args.output {
        Some(path) => Some(free(path)?),
        None => None,
    };
    let mut diagnosis = match ask(instance, pin).await {
        Ok(found) => found,
        Err(error) if can_do_without_agent(&error, target.is_some()) => {
            diagnose::write_without_agent(instance, &error, target.as_deref())?
        }
        Err(error) => return Err(error),
    };
    if let Some(target) = &target
        && Path::new(&diagnosis.bundle) != target
    {
        copy(Path::new(&diagnosis.bundle), target)?;
        diagnosis.bundle = target.to_string_lossy().into_owned();
    }
    if args.json {
        output::json(&diagnosis);
    } else {
        show(&diagnosis);
    }
    Ok(if diagnosis.findings.is_empty() { Exit::Ok } else { Exit::Unwell })
}

/// What the agent finds; what is found without one, if none runs.
async fn ask(instance: &Instance, pin: &Pin) -> Result<Diagnosis, ErrorReport> {
    let begun = Instant::now();
    let deadlines = Deadlines { connect: GREETING, ..Deadlines::default() };
    let running = match Client::connect(&Endpoint::of(instance), ClientKind::Cli, deadlines).await {
        Ok(_greeted) => true,
        Err(error) => match client_error(instance, &error) {
            error if error.code == Code::AgentNotRunning => false,
            error => return Err(error),
        },
    };
    let took = begun.elapsed();
    let limit = LONGEST + BESIDES;
    let asked = async { Door::open(instance, pin).await?.request(Request::Diagnose).await };
    let late = || ErrorReport::new(Code::PeerTimeout, format!("the agent did not answer within {} s", limit.as_secs()));
    let mut diagnosis = match timeout(limit, asked).await.map_err(|_| late())?? {
        Reply::Diagnosis(diagnosis) => diagnosis,
        other => return Err(unexpected(&other)),
    };
    if running && took > SLOW {
        diagnosis.findings.insert(0, format!("the agent answers slowly: it took {} ms to greet", took.as_millis()));
    }
    Ok(diagnosis)
}

/// True if the agent is what is wrong, or its folder, and there is another one: then the files have to do.
fn can_do_without_agent(error: &ErrorReport, elsewhere: bool) -> bool {
    match error.code {
        Code::AgentNotRunning
        | Code::ProtocolMismatch
        | Code::PeerRefused
        | Code::PeerTimeout
        | Code::PeerBroken
        | Code::PeerCrowded => true,
        Code::DataFolderUnavailable => elsewhere,
        _ => false,
    }
}

/// The path in full, if nothing is there yet.
fn free(path: &Path) -> Result<PathBuf, ErrorReport> {
    let wrong = |why: &str| {
        ErrorReport::new(Code::RequestInvalid, format!("the bundle cannot be written to {}: {why}", text::path(path)))
            .with_fix("Give --output a file that is not there yet, in a folder that is")
    };
    let path = std::path::absolute(path).map_err(|error| wrong(&error.to_string()))?;
    match path.symlink_metadata() {
        Ok(_) => Err(wrong("there is something of this name already")),
        Err(_) if !atomic::folder_of(&path).is_dir() => Err(wrong("its folder is not there")),
        Err(_) => Ok(path),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), ErrorReport> {
    std::fs::read(from).and_then(|bytes| atomic::create_private(to, &bytes)).map_err(|error| {
        let message = format!("the bundle {} cannot be copied to {}: {error}", text::path(from), text::path(to));
        ErrorReport::new(Code::DataFolderUnavailable, message).with_fix("Take the bundle from where it is")
    })
}

fn show(diagnosis: &Diagnosis) {
    if diagnosis.findings.is_empty() {
        output::line("Nothing looks wrong.");
    } else {
        output::line("What looks wrong:");
        for finding in &diagnosis.findings {
            output::line(&format!("- {finding}"));
        }
    }
    output::line(&format!("The bundle: {}", text::printable(&diagnosis.bundle, 4096)));
    output::line("Secrets are taken out of it; it names folders, files, users, servers and units.");
}
