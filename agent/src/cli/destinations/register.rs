//! `destinations register`: makes this station known to a server. Neither token is an argument, and neither is shown.

use std::path::PathBuf;

use clap::Args;
use waybill_ipc::protocol::{Reply, Request};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use crate::cli::door::Door;
use crate::cli::pin::Pin;
use crate::cli::status::unexpected;
use crate::cli::{output, secret};
use crate::serve::answers::secret_text;

#[derive(Debug, Args)]
pub(in crate::cli) struct RegisterArgs {
    /// Which destination
    name: String,
    /// Read the register token from this file, or from standard input with `-`; without it you are asked
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, args: RegisterArgs) -> Result<Exit, ErrorReport> {
    let RegisterArgs { name, file } = args;
    let door = Door::open(instance, pin).await?;
    let token = secret_text(&secret::value(&format!("the register token for {name}"), file.as_deref())?);
    match door.request(Request::RegisterDestination { name: name.clone(), token }).await? {
        Reply::Secrets(rows) => {
            let kept = rows.first().map_or_else(String::new, |row| format!("; {} is set ({})", row.name, row.place));
            output::line(&text::printable(&format!("this station is registered at {name}{kept}"), 4096));
            Ok(Exit::Ok)
        }
        other => Err(unexpected(&other)),
    }
}
