//! `stop`: asks the agent to stop, and waits until it has.

use std::cell::Cell;
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;
use waybill_ipc::Endpoint;
use waybill_ipc::client::{Client, Deadlines};
use waybill_ipc::protocol::{ClientKind, Event, Request, StopPhase, Update};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::lock::{self, Lock};
use waybill_shared::paths::Instance;

use super::pin::Pin;
use super::{client_error, output};
use crate::access::is_refusal;
use crate::agent::longest_stop;
use crate::serve::answers::secret_text;

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 stopped, and everything ended by itself; 10 stopped, and what is named was cut off: it is done at the next start,
nothing is lost; 3 no agent runs; 8 it did not answer or end in time."
)]
pub(super) struct StopArgs {
    /// Longest time for all of it: to ask the agent, and to wait for its end [default: as long as its configuration lets a stop take, and 10 s]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, args: StopArgs) -> Result<Exit, ErrorReport> {
    // Everything that a stop needs is within the time, the asking as well.
    let limit = args.timeout.map_or_else(|| longest_stop(instance), Duration::from_secs);
    let told = Cell::new(false);
    let result = tokio::time::timeout(limit, stop(instance, pin, &told)).await;
    let cut_off = result.map_err(|_| too_long(instance, limit.as_secs(), told.get()))??;
    if cut_off.is_empty() {
        output::line("stopped");
        return Ok(Exit::Ok);
    }
    let message = format!("stopped; cut off: {}", cut_off.join(", "));
    Ok(output::fail(&ErrorReport::new(Code::StopForced, message)))
}

/// Asks it and waits for its end; what it has cut off. `told` is set once it has said that it will.
async fn stop(instance: &Instance, pin: &Pin, told: &Cell<bool>) -> Result<Vec<String>, ErrorReport> {
    // Any version can be told to stop.
    let mut client = Client::connect_any(&Endpoint::of(instance), ClientKind::Cli, Deadlines::default())
        .await
        .map_err(|error| client_error(instance, &error))?;
    // An agent of another version cannot be followed; it stops all the same.
    let updates = client.subscribe().await.ok();
    ask(&client, pin).await?;
    told.set(true);
    let mut cut_off = Vec::new();
    tokio::select! {
        biased;
        () = follow(updates, &mut cut_off) => client.closed().await,
        () = client.closed() => {}
    }
    // The lock is the last thing that an agent lets go.
    while instance.lock().exists() && Lock::acquire(&instance.lock(), "waybill-agent stop").is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(cut_off)
}

fn too_long(instance: &Instance, secs: u64, told: bool) -> ErrorReport {
    if told {
        let message = format!("the agent was told to stop and is still at it after {secs} s");
        return ErrorReport::new(Code::PeerTimeout, message).with_fix("Wait, or stop it a second time: that skips to cancelling");
    }
    let who = lock::holder(&instance.lock()).unwrap_or_else(|| "another process".to_owned());
    let message = format!("the agent ({who}) does not answer: it was not told to stop within {secs} s");
    ErrorReport::new(Code::PeerTimeout, message)
        .with_fix("End its process by hand (kill -9, or the task manager): nothing is lost by that, and what it was at is done at the next start")
}

/// Says what the stop waits for, as long as it does, and gathers what it has cut off.
async fn follow(updates: Option<mpsc::Receiver<Update>>, cut_off: &mut Vec<String>) {
    let Some(mut updates) = updates else { return };
    while let Some(update) = updates.recv().await {
        if let Update::Event { event: Event::Stopping(stopping), .. } = update
            && !stopping.waits_for.is_empty()
        {
            let what = match stopping.phase {
                StopPhase::Drain => "waiting for",
                StopPhase::Cancel | StopPhase::Verify => {
                    let new = stopping.waits_for.iter().filter(|name| !cut_off.contains(name)).cloned();
                    let new: Vec<String> = new.collect();
                    cut_off.extend(new);
                    "cut off"
                }
            };
            output::warn(&format!("{what} {} ({} s)", stopping.waits_for.join(", "), stopping.since_ms / 1000));
        }
    }
}

/// Tells it to stop; with the PIN, if it is not enough to be who we are and there is one to give.
async fn ask(client: &Client, pin: &Pin) -> Result<(), ErrorReport> {
    match client.stop().await.map_err(|error| error.report()) {
        Err(refused) if is_refusal(refused.code) => {
            let Some(pin) = pin.get()? else { return Err(refused) };
            let elevated = client.request(Request::Elevate { pin: secret_text(&pin) }).await;
            elevated.map_err(|error| error.report())?;
            client.stop().await.map_err(|error| error.report())
        }
        result => result,
    }
}
