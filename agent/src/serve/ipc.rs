//! What the agent answers over IPC.

use waybill_ipc::peer::Peer;
use waybill_ipc::protocol::{AgentState, Reply, Request, StatusBrief};
use waybill_ipc::server;
use waybill_shared::error::{Code, ErrorReport};

use super::hub::{Hub, Subscription};
use crate::queue::{ListFilter, Reader};
use crate::shutdown::StopRequests;

/// The agent as its clients see it.
pub struct Service {
    /// State and events.
    pub hub: Hub,
    /// Lists.
    pub reader: Reader,
    /// Where a client's wish to stop goes.
    pub stop: StopRequests,
}

impl server::Service for Service {
    type Updates = Subscription;

    fn brief(&self) -> StatusBrief {
        self.hub.with_snapshot(|snapshot| StatusBrief {
            state: snapshot.agent.state,
            waiting: snapshot.queue.waiting,
            sent: snapshot.destinations.iter().map(|d| d.sent).sum(),
            failed: snapshot.destinations.iter().map(|d| d.failed).sum(),
        })
    }

    async fn request(&self, _peer: &Peer, request: Request) -> Result<Reply, ErrorReport> {
        match request {
            Request::Status => Ok(Reply::Status(Box::new(self.hub.snapshot()))),
            Request::Deliveries { destination, state, page } => self
                .reader
                .deliveries(ListFilter { destination, state }, page)
                .await
                .map(Reply::Deliveries)
                .map_err(|error| error.report()),
            Request::ConversionErrors { page } => {
                self.reader.conversion_errors(page).await.map(Reply::ConversionErrors).map_err(|error| error.report())
            }
            Request::Subscribe | Request::Unsubscribe => {
                Err(ErrorReport::new(Code::Internal, "subscriptions are answered by the server itself"))
            }
        }
    }

    fn subscribe(&self) -> Subscription {
        self.hub.subscribe()
    }

    fn stop(&self, peer: &Peer) {
        let already = self.hub.with_snapshot(|snapshot| snapshot.agent.state == AgentState::Stopping);
        let by = peer.pid.map_or_else(|| "a client".to_owned(), |pid| format!("process {pid}"));
        tracing::info!(event = "stop_asked", by, already, "asked to stop over IPC");
        self.stop.ask(&by);
    }
}
