//! The queue's store: a real write transaction, committed by the thread that commits reports.

use std::future::Future;

use waybill_shared::error::Code;

use crate::health::{Check, Finding, Role};
use crate::queue::QueueError;

/// The check `store`. `probe` commits something that changes nothing and comes back after the commit.
pub fn check<F>(probe: impl Fn() -> F + Send + Sync + 'static) -> Check
where
    F: Future<Output = Result<(), QueueError>> + Send + 'static,
{
    let run = move || {
        let committed = probe();
        async move {
            Ok(match committed.await {
                Ok(()) => Finding::healthy("the queue commits"),
                Err(error) => Finding::unhealthy(error.report()),
            })
        }
    };
    Check::new("store", run).critical().cheap().role(Role::Store).code(Code::QueueUnavailable)
}

#[cfg(test)]
mod tests {
    use waybill_ipc::protocol::HealthState;

    use super::*;

    #[tokio::test]
    async fn a_commit_that_fails_is_unhealthy_with_the_queues_own_reason() {
        let good = (check(|| async { Ok(()) }).run)().await.unwrap();
        assert_eq!((good.state, good.usable), (HealthState::Healthy, true));
        let broken = (check(|| async { Err(QueueError::Write("disk full".into())) }).run)().await.unwrap();
        assert_eq!((broken.state, broken.usable), (HealthState::Unhealthy, false));
        assert_eq!(broken.error.unwrap().code, Code::QueueWriteFailed);
        assert!(broken.message.contains("disk full"), "{}", broken.message);
    }
}
