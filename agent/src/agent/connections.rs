//! The door for clients: it is opened again if a fault closes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use waybill_ipc::Endpoint;
use waybill_ipc::server::{self, Limits};
use waybill_ipc::transport::Listener;

use crate::serve::ipc::Service;
use crate::supervisor::{Spec, Starts, Supervisor, Task};

/// Longest time for clients to be let go.
const CLOSE: Duration = Duration::from_secs(2);

/// Whoever is connected.
pub(super) struct Connections {
    task: Task,
    close: CancellationToken,
    closed: CancellationToken,
}

impl Connections {
    /// Serves through a listener, and through another one if that fails.
    pub(super) fn open(
        supervisor: &Supervisor,
        endpoint: &Endpoint,
        listener: Listener,
        service: Arc<Service>,
        limits: watch::Receiver<Limits>,
    ) -> Self {
        let (close, closed) = (CancellationToken::new(), CancellationToken::new());
        let (stop, over, endpoint) = (close.clone(), closed.clone(), endpoint.clone());
        let mut first = Some(listener);
        let spec = Spec::new("connections", Starts::Itself).critical();
        let task = supervisor.task(spec, move |_| {
            let bound = first.take().map_or_else(|| Listener::bind(&endpoint), Ok);
            let (service, limits, stop, over) = (Arc::clone(&service), limits.clone(), stop.clone(), over.clone());
            async move {
                let listener = bound.map_err(|error| format!("nobody can connect: {error}"))?;
                server::serve(listener, service, limits, stop.clone()).await;
                if stop.is_cancelled() {
                    over.cancel();
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
        });
        Self { task, close, closed }
    }

    /// Lets everybody go; the listener is closed afterwards.
    pub(super) async fn close(self) {
        self.close.cancel();
        // What does not go in time ends with the process, which clients notice.
        let _in_time = tokio::time::timeout(CLOSE, self.closed.cancelled()).await;
        self.task.end().await;
    }
}
