//! `init`: sets a station up. It asks for what was not given, tests the destination by a real call, shows what will be written, and
//! writes it as one change. Until then nothing is written, and whoever interrupts it leaves nothing half done.
//!
//! [`answers`] is what it needs to know, and from whom it has that.

mod answers;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use waybill_ipc::protocol::{ConfigChange, Reply, Request, Unsent};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::{Instance, Scope};
use waybill_shared::secret::Secret;
use waybill_shared::text;

use self::answers::{Answers, There};
use super::config::{request, show_changed, state};
use super::door::Door;
use super::pin::Pin;
use super::status::unexpected;
use super::{ask, output};
use crate::config::store;
use crate::serve::answers::secret_text;

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Name of the station; without it the host's name
    #[arg(long, value_name = "NAME", conflicts_with = "add")]
    station: Option<String>,
    /// Where the station stands
    #[arg(long, value_name = "TEXT", conflicts_with = "add")]
    location: Option<String>,
    /// What the station is for
    #[arg(long, value_name = "TEXT", conflicts_with = "add")]
    purpose: Option<String>,
    /// Folder that the equipment writes its result files to
    #[arg(long, value_name = "DIR")]
    source_folder: Option<PathBuf>,
    /// Name of the source; without it that of its folder
    #[arg(long, value_name = "NAME")]
    source_name: Option<String>,
    /// Which files, by glob on the file name; several times for several
    #[arg(long = "pattern", value_name = "GLOB")]
    patterns: Vec<String>,
    /// Converter by name, or `auto` to choose by content
    #[arg(long, value_name = "NAME")]
    converter: Option<String>,
    /// Where reports go
    #[arg(long, value_enum, value_name = "KIND")]
    destination_kind: Option<KindArg>,
    /// Name of the destination; without it `main`
    #[arg(long, value_name = "NAME")]
    destination_name: Option<String>,
    /// Kind `wats`: address of the server
    #[arg(long, value_name = "URL", conflicts_with = "destination_folder")]
    destination_url: Option<String>,
    /// Kind `folder`: folder that receives the reports
    #[arg(long, value_name = "DIR")]
    destination_folder: Option<PathBuf>,
    /// Kind `wats`: private file with the token, which is read once and kept as the agent's secret
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Add the source, the destination or both to a configuration that is there already
    #[arg(long)]
    add: bool,
    /// Do not ask the destination whether it would take reports
    #[arg(long)]
    no_test: bool,
    /// Without asking whether this is meant
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindArg {
    Folder,
    Wats,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, args: InitArgs) -> Result<Exit, ErrorReport> {
    let door = Door::open(instance, pin).await?;
    let there = there(&door, args.add).await?;
    let (test, sure) = (!args.no_test, args.yes);
    if !sure && !ask::somebody() {
        let message = "nobody can be asked here whether this is meant; nothing was changed";
        return Err(
            ErrorReport::new(Code::RequestInvalid, message).with_fix("Give everything as options, and --yes (--help lists them)")
        );
    }
    let answers = answers::gather(args, &there)?;
    let change = |dry_run: bool| ConfigChange {
        base: Some(there.revision.clone()),
        edits: answers.edits(),
        unsent: Unsent::Refuse,
        dry_run,
    };
    // All faults before anything else happens.
    let planned = request(&door, change(true)).await?;
    if test && let Some(name) = &answers.destination_name {
        tested(&door, name, &answers, sure).await?;
    }
    if !sure {
        output::line("\nThis will be written:\n");
        planned.differences.iter().for_each(|difference| output::line(&format!("  {difference}")));
        if let Some(secret) = answers.secret_name() {
            output::line(&format!("  {secret}: kept as a secret of the agent"));
        }
        if !ask::yes(&format!("\nWrite it to {}?", text::path(&instance.config)), true)? {
            output::line("nothing was changed");
            return Ok(Exit::Ok);
        }
    }
    let changed = request(&door, change(false)).await?;
    show_changed(&door, &changed, false);
    if let (Some(name), Some(token)) = (answers.secret_name(), &answers.token) {
        keep(&door, name, token).await?;
    }
    what_next(instance, &door, &answers);
    Ok(Exit::Ok)
}

/// What is there already.
async fn there(door: &Door<'_>, add: bool) -> Result<There, ErrorReport> {
    let nothing = || There { revision: store::revision(b""), configured: false, sources: Vec::new(), destinations: Vec::new() };
    let state = match state(door).await {
        Ok(state) => state,
        Err(error) if error.code == Code::ConfigMissing => return Ok(nothing()),
        Err(error) => return Err(error),
    };
    if let Some(problem) = state.problem {
        return Err(problem);
    }
    if state.configured && !add {
        let message = format!("this station is set up already, by {}; nothing was changed", state.path);
        return Err(ErrorReport::new(Code::RequestInvalid, message)
            .with_fix("Add a source and a destination to it with --add, or change it with `waybill-agent config edit`"));
    }
    let named = |list: &str| {
        let name = |place: &str| place.strip_prefix(list)?.strip_suffix(".name").map(str::to_owned);
        state.values.iter().filter_map(|value| name(&value.place)).collect()
    };
    let (sources, destinations) = (named("source."), named("destination."));
    Ok(There { revision: state.revision, configured: state.configured, sources, destinations })
}

/// Asks the destination by a real call; on one that would take nothing somebody decides.
async fn tested(door: &Door<'_>, name: &str, answers: &Answers, sure: bool) -> Result<(), ErrorReport> {
    let request = Request::TestDestination {
        name: name.to_owned(),
        edits: answers.edits(),
        token: answers.token.as_ref().map(secret_text),
    };
    let error = match door.request(request).await {
        Ok(Reply::DestinationTest(found)) if found.ok => {
            output::line(&format!("destination {name}: {}", found.message));
            return Ok(());
        }
        Ok(Reply::DestinationTest(found)) => {
            ErrorReport::new(Code::DestinationUnreachable, format!("destination {name}: {}", found.message))
        }
        Ok(other) => return Err(unexpected(&other)),
        Err(error) => error,
    };
    if !sure {
        output::trouble(&error);
        if ask::yes("Go on all the same?", false)? {
            return Ok(());
        }
    }
    let message = format!("{}; nothing was changed", error.message);
    Err(ErrorReport { message, ..error }.with_fix("Mend what the message names, or go on without the test: --no-test"))
}

async fn keep(door: &Door<'_>, name: String, token: &Secret) -> Result<(), ErrorReport> {
    let set = Request::SetSecret { name: name.clone(), value: secret_text(token) };
    match door.request(set).await {
        Ok(Reply::Secrets(rows)) => {
            let place = rows.first().map_or("the agent's secrets", |row| row.place.as_str());
            output::line(&format!("{name}: kept in {place}"));
            Ok(())
        }
        Ok(other) => Err(unexpected(&other)),
        Err(error) => {
            let message = format!("the configuration is written, but the token is not kept: {}", error.message);
            Err(ErrorReport { message, ..error }.with_fix(format!("Set it again: `waybill-agent secret set {name}`")))
        }
    }
}

fn what_next(instance: &Instance, door: &Door<'_>, answers: &Answers) {
    if let Some(folder) = answers.source_folder.as_deref().filter(|folder| !folder.is_dir()) {
        output::warn(&format!("{} is not there yet; the agent waits for it", text::path(folder)));
    }
    let options = options(instance);
    output::line("\nHow to go on");
    if door.is_running() {
        output::line(&format!("  The agent is at work with it    waybill-agent{options} status"));
    } else {
        output::line(&format!("  Start the agent                 waybill-agent{options} run"));
        output::line(&format!("  See what it does                waybill-agent{options} status"));
    }
    let by_itself = match instance.scope {
        Scope::Machine => "service install",
        Scope::User => "autostart enable",
    };
    output::line(&format!("  Let it start by itself          waybill-agent{options} {by_itself}"));
    output::line(&format!("  The window                      waybill{options}"));
    output::line(&format!("  Change something                waybill-agent{options} config edit"));
}

/// The options that name this instance again.
fn options(instance: &Instance) -> String {
    let quoted = |path: &Path| match text::path(path) {
        path if path.contains(' ') => format!("\"{path}\""),
        path => path,
    };
    let mut options = String::new();
    if instance.name != "default" {
        options.push_str(&format!(" --instance {}", instance.name));
    }
    if instance.explicit_data {
        options.push_str(&format!(" --data-dir {}", quoted(&instance.data)));
    }
    if instance.explicit_config {
        options.push_str(&format!(" --config {}", quoted(&instance.config)));
    }
    options
}
