//! Many requests for one order: not sooner than the agent takes them, and patient if it takes one later.

use std::time::Duration;

use tokio::time::Instant;
use waybill_ipc::protocol::{Reply, Request};
use waybill_shared::error::{Code, ErrorReport};

use super::door::Door;

/// Requests that may come one after the other; the agent allows 20 at once and then 100 a minute, unless told otherwise.
const AT_ONCE: u32 = 15;
/// Between two requests after that.
const PACE: Duration = Duration::from_millis(700);
/// Pause after a request that came too early all the same, and how often it is tried again.
const TOO_EARLY: (Duration, u32) = (Duration::from_secs(5), 24);

/// One order of many requests.
pub(super) struct Paced<'a> {
    door: &'a Door<'a>,
    begun: Instant,
    asked: u32,
}

impl<'a> Paced<'a> {
    pub(super) fn new(door: &'a Door<'a>) -> Self {
        Self { door, begun: Instant::now(), asked: 0 }
    }

    /// Asks, in its time.
    ///
    /// # Errors
    /// What the agent answers; that it had too many requests only after two minutes of trying.
    pub(super) async fn ask(&mut self, request: Request) -> Result<Reply, ErrorReport> {
        self.asked += 1;
        tokio::time::sleep_until(self.begun + PACE * self.asked.saturating_sub(AT_ONCE)).await;
        let (pause, mut tries) = TOO_EARLY;
        loop {
            match self.door.request(request.clone()).await {
                Err(error) if error.code == Code::TooManyRequests && tries > 0 => {
                    tries -= 1;
                    tokio::time::sleep(pause).await;
                }
                answer => return answer,
            }
        }
    }
}
