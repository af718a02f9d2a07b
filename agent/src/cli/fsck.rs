//! `fsck`: compares the queue with itself, while the agent runs or while it is stopped. Nothing is changed.

use clap::Args;
use waybill_ipc::protocol::{Reply, Request};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;

use super::door::Door;
use super::output;
use super::pin::Pin;
use super::status::unexpected;

#[derive(Debug, Args)]
pub(super) struct FsckArgs {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, args: FsckArgs) -> Result<Exit, ErrorReport> {
    let door = Door::open(instance, pin).await?;
    let report = match door.request(Request::Fsck).await? {
        Reply::Fsck(report) => report,
        other => return Err(unexpected(&other)),
    };
    let exit = if report.faults.is_empty() && report.complete { Exit::Ok } else { Exit::Store };
    if args.json {
        output::json(&report);
        return Ok(exit);
    }
    for fault in &report.faults {
        output::line(&format!("{}: {}", fault.place, fault.error.message));
    }
    let looked = format!(
        "{} files, {} reports with {} deliveries, {} reports read and compared with their checksums, in {} ms",
        report.files, report.entries, report.deliveries, report.payloads, report.took_ms
    );
    output::line(&looked);
    output::line(match (report.faults.is_empty(), report.complete) {
        (true, true) => "nothing is wrong",
        (true, false) => "nothing wrong was found; the time did not suffice for all of it: stop the agent and run fsck again",
        (false, _) => {
            "the queue is damaged: keep a copy (waybill-agent queue backup), and restart the agent, which saves what can be read"
        }
    });
    Ok(exit)
}
