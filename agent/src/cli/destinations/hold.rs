//! `destinations pause`, `resume` and `reset-breaker`: what a person wants of a destination.

use clap::Args;
use serde_json::json;
use waybill_ipc::protocol::{Reply, Request};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;

use crate::cli::door::Door;
use crate::cli::output;
use crate::cli::pin::Pin;
use crate::cli::status::unexpected;

#[derive(Debug, Args)]
pub(in crate::cli) struct NameArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn hold(instance: &Instance, pin: &Pin, args: NameArgs, held: bool) -> Result<Exit, ErrorReport> {
    let request = Request::HoldDestination { name: args.name.clone(), held };
    let what = if held { "is held: nothing goes there, and everything waits" } else { "goes on" };
    ask(instance, pin, &args, request, what).await
}

pub(super) async fn reset_breaker(instance: &Instance, pin: &Pin, args: NameArgs) -> Result<Exit, ErrorReport> {
    ask(
        instance,
        pin,
        &args,
        Request::ResetBreaker { name: args.name.clone() },
        "is tried now, with everything that waits for it",
    )
    .await
}

async fn ask(instance: &Instance, pin: &Pin, args: &NameArgs, request: Request, what: &str) -> Result<Exit, ErrorReport> {
    match Door::open(instance, pin).await?.request(request).await? {
        Reply::Done if args.json => output::json(&json!({ "destination": args.name, "done": true })),
        Reply::Done => output::line(&format!("{} {what}", args.name)),
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Ok)
}
