//! `queue export`: reports into files of a folder, by whoever asks, with his rights.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::atomic;
use waybill_shared::text;

use super::{FilterArgs, rows, show};
use crate::cli::door::Door;
use crate::cli::output;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    /// Folder that they are written to; files of the same names are not replaced
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    #[command(flatten)]
    filter: FilterArgs,
    /// At most so many
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    limit: usize,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(door: &Door<'_>, args: ExportArgs) -> Result<Exit, ErrorReport> {
    let (found, more) = rows(door, &args.filter.filter(), args.limit).await?;
    std::fs::create_dir_all(&args.to).map_err(|error| unwritten(&args.to, &error))?;
    let (mut seen, mut written, mut there) = (HashSet::new(), 0_u64, 0_u64);
    let mut damaged: Vec<ErrorReport> = Vec::new();
    for row in found {
        // One report goes to several destinations, and is the same for all.
        if !seen.insert(row.entry) {
            continue;
        }
        let name = format!("{}_{}_{}.json", text::file_name_component(&row.serial, 100), row.report_id, row.entry);
        let path = args.to.join(name);
        if path.exists() {
            there += 1;
            continue;
        }
        match show::report(door, row.entry).await {
            Ok(bytes) => {
                atomic::replace(&path, &bytes).map_err(|error| unwritten(&path, &error))?;
                written += 1;
            }
            // One that is damaged keeps nobody from having the others.
            Err(error) if error.code == Code::PayloadDamaged => damaged.push(error),
            Err(error) => return Err(error),
        }
    }
    if args.json {
        output::json(&json!({ "written": written, "already_there": there, "damaged": damaged.len(), "more": more }));
    } else {
        let noun = if written == 1 { "report" } else { "reports" };
        output::line(&format!("{written} {noun} written to {}, {there} were there already", text::path(&args.to)));
        if more {
            output::line("(there may be more: --limit)");
        }
    }
    damaged.iter().for_each(output::trouble);
    Ok(if damaged.is_empty() { Exit::Ok } else { Exit::Store })
}

fn unwritten(path: &Path, error: &std::io::Error) -> ErrorReport {
    ErrorReport::new(Code::DataFolderUnavailable, format!("{} cannot be written: {error}", text::path(path)))
        .with_fix("Give a folder with --to that you may write to")
}
