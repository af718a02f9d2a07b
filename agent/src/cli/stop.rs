//! `stop`: asks the agent to stop, and waits until it has.

use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;
use waybill_ipc::Endpoint;
use waybill_ipc::client::{Client, Deadlines};
use waybill_ipc::protocol::{ClientKind, Event, Request, StopPhase, Update};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::lock::Lock;
use waybill_shared::paths::Instance;

use super::pin::Pin;
use super::{client_error, output};
use crate::access::is_refusal;
use crate::serve::answers::secret_text;

#[derive(Debug, Args)]
pub(super) struct StopArgs {
    /// Longest time to wait for its end
    #[arg(long, default_value_t = 125, value_name = "SECONDS")]
    timeout: u64,
}

pub(super) async fn main(instance: &Instance, pin: &Pin, args: StopArgs) -> Result<Exit, ErrorReport> {
    // Any version can be told to stop.
    let mut client = Client::connect_any(&Endpoint::of(instance), ClientKind::Cli, Deadlines::default())
        .await
        .map_err(|error| client_error(instance, &error))?;
    // An agent of another version cannot be followed; it stops all the same.
    let updates = client.subscribe().await.ok();
    ask(&client, pin).await?;
    let limit = Duration::from_secs(args.timeout);
    let ended = tokio::time::timeout(limit, async {
        tokio::select! {
            () = client.closed() => {}
            () = follow(updates) => client.closed().await,
        }
        // The lock is the last thing that an agent lets go.
        while instance.lock().exists() && Lock::acquire(&instance.lock(), "waybill-agent stop").is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    if ended.await.is_err() {
        let message = format!("the agent was told to stop and is still at it after {} s", args.timeout);
        return Err(
            ErrorReport::new(Code::PeerTimeout, message).with_fix("Wait, or stop it a second time: that skips to cancelling")
        );
    }
    output::line("stopped");
    Ok(Exit::Ok)
}

/// Says what the stop waits for, as long as it does.
async fn follow(updates: Option<mpsc::Receiver<Update>>) {
    let Some(mut updates) = updates else { return };
    while let Some(update) = updates.recv().await {
        if let Update::Event { event: Event::Stopping(stopping), .. } = update
            && !stopping.waits_for.is_empty()
        {
            let what = match stopping.phase {
                StopPhase::Drain => "waiting for",
                StopPhase::Cancel | StopPhase::Verify => "cut off",
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
