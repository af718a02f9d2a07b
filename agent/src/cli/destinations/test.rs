//! `destinations test`: the call that a delivery depends on, made now, to several destinations at once.

use clap::Args;
use serde::Serialize;
use waybill_ipc::protocol::{CertificateInfo, DestinationTest, DestinationTrial, Reply, Request};
use waybill_shared::error::{ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use crate::cli::door::Door;
use crate::cli::output;
use crate::cli::pin::Pin;
use crate::cli::status::unexpected;

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 all would take reports, 11 at least one would not.")]
pub(in crate::cli) struct TestArgs {
    /// Which; without a name all that are switched on
    names: Vec<String>,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// What came of one, for scripts.
#[derive(Serialize)]
struct Row<'a> {
    destination: &'a str,
    ok: bool,
    status: Option<u16>,
    latency_ms: Option<u64>,
    server: Option<&'a str>,
    clock_skew_secs: Option<i64>,
    certificate: Option<&'a CertificateInfo>,
    message: &'a str,
    error: Option<&'a ErrorReport>,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, args: TestArgs) -> Result<Exit, ErrorReport> {
    let door = Door::open(instance, pin).await?;
    let trials = match door.request(Request::TestDestinations { names: args.names }).await? {
        Reply::DestinationTrials(trials) => trials,
        other => return Err(unexpected(&other)),
    };
    let rows: Vec<Row<'_>> = trials.iter().map(row).collect();
    if args.json {
        output::json(&rows)
    } else {
        show(&rows)
    }
    Ok(if rows.iter().all(|row| row.ok) { Exit::Ok } else { Exit::Unwell })
}

fn row(trial: &DestinationTrial) -> Row<'_> {
    match &trial.result {
        Ok(DestinationTest { destination, ok, status, latency_ms, server, message, clock_skew_secs, certificate }) => Row {
            destination,
            ok: *ok,
            status: *status,
            latency_ms: Some(*latency_ms),
            server: server.as_deref(),
            clock_skew_secs: *clock_skew_secs,
            certificate: certificate.as_ref(),
            message,
            error: None,
        },
        Err(error) => Row {
            destination: &trial.destination,
            ok: false,
            status: None,
            latency_ms: None,
            server: None,
            clock_skew_secs: None,
            certificate: None,
            message: &error.message,
            error: Some(error),
        },
    }
}

fn show(rows: &[Row<'_>]) {
    if rows.is_empty() {
        return output::line("no destination is switched on");
    }
    for Row { destination, ok, status, latency_ms, server, clock_skew_secs, certificate, message, error } in rows {
        let answered = status.map_or_else(String::new, |status| format!(", {status}"));
        let took = latency_ms.map_or_else(String::new, |ms| format!(", {ms} ms"));
        output::line(&format!("{destination}: {}{answered}{took}", if *ok { "well" } else { "NOT WELL" }));
        output::line(&format!("  {}", text::printable(message, 4000)));
        if let Some(error) = error {
            output::line(&format!("  What to do: {}. ({})", error.fix.trim_end_matches('.'), error.code));
        }
        if let Some(server) = server {
            output::line(&format!("  server: {}", text::printable(server, 200)));
        }
        if let Some(certificate) = certificate {
            output::line(&format!("  {}", of_certificate(certificate)));
        }
        if let Some(skew) = clock_skew_secs {
            output::line(&format!("  the server's clock is {skew:+} s from this station's"));
        }
    }
}

fn of_certificate(certificate: &CertificateInfo) -> String {
    let subject = if certificate.subject.is_empty() { String::new() } else { format!(" of {}", certificate.subject) };
    let until = output::moment(certificate.not_after_ms);
    text::printable(&format!("certificate{subject}, issued by {}, valid until {until}", certificate.issuer), 1000)
}
