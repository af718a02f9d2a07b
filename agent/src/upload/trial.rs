//! Several destinations asked at once whether they would take reports. One that hangs is told as such and holds up no other.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use waybill_ipc::protocol::DestinationTrial;
use waybill_shared::config::Config;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text;

use super::batch::{self, Ended, Operation};
use super::destination::{Depth, Destination, call_limit};

/// What a test needs besides its call: the keyring may take 5 s to give the token.
const BESIDES: Duration = Duration::from_secs(5);
/// Names of one request, at most.
const MOST: usize = 256;

/// The destinations that are meant: those named, each once, or all that are switched on.
///
/// # Errors
/// More are named than any station has.
pub fn meant(config: &Config, names: Vec<String>) -> Result<Vec<String>, ErrorReport> {
    if names.is_empty() {
        return Ok(config.destination.iter().filter(|destination| destination.enabled).map(|d| d.name.clone()).collect());
    }
    if names.len() > MOST {
        let message = format!("{} destinations are named, and at most {MOST} are tested at once", names.len());
        return Err(ErrorReport::new(Code::RequestInvalid, message).with_fix("Name fewer"));
    }
    let mut each: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        if !each.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            each.push(name);
        }
    }
    Ok(each)
}

/// Tests each; `find` gives the destination of a name. Ends within the time for one call and that for a token, and in time for whoever
/// waits for the answer, with a result for each name.
pub async fn run<F>(config: &Config, names: Vec<String>, find: impl Fn(String) -> F) -> Vec<DestinationTrial>
where
    F: Future<Output = Result<Arc<dyn Destination>, ErrorReport>> + Send + 'static,
{
    let limit = call_limit(&config.upload) + BESIDES;
    let answered_within = Duration::from_secs(config.ipc.request_timeout_secs).mul_f64(0.9);
    let operations = names.iter().map(|name| {
        let found = find(name.clone());
        Operation::new(limit, async move { found.await?.test(Depth::Whole).await })
    });
    let ended = batch::run(operations.collect(), limit.min(answered_within)).await;
    let trials = names.into_iter().zip(ended).map(|(name, ended)| {
        let result = match ended {
            Ended::Done(result) => result,
            Ended::TimedOut(after) => {
                let message = format!("destination {name:?}: it is not known after {} s what came of its test", after.as_secs());
                Err(ErrorReport::new(Code::PeerTimeout, message)
                    .with_fix("Test it by itself; look at its disk, share or network"))
            }
            Ended::Panicked(said) => {
                Err(ErrorReport::new(Code::Internal, format!("the test of destination {name:?} failed unexpectedly: {said}")))
            }
        };
        DestinationTrial { destination: text::printable(&name, 200), result }
    });
    trials.collect()
}
