//! `config schema` and `config docs`: what there is to set, from the table that the agent itself reads by.

use clap::Args;
use waybill_shared::config::describe;
use waybill_shared::error::Exit;

use crate::cli::output;

#[derive(Debug, Args)]
pub(in crate::cli) struct SchemaArgs {
    /// A sample config.toml with every field and its default, instead of the schema
    #[arg(long)]
    sample: bool,
}

pub(super) fn schema(args: &SchemaArgs) -> Exit {
    if args.sample {
        output::line(describe::sample().trim_end());
    } else {
        output::json(&describe::json_schema());
    }
    Exit::Ok
}

pub(super) fn docs() -> Exit {
    output::line(describe::reference().trim_end());
    Exit::Ok
}
