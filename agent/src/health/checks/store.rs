//! The queue's store: a real write transaction, committed by the thread that commits reports.

use std::future::Future;

use waybill_shared::error::{Code, ErrorReport};

use crate::health::{Check, Finding, Role};
use crate::queue::QueueError;

/// The check `store`. `probe` commits something that changes nothing and comes back after the commit; `losses` is how often damage took
/// something away that nobody has said he has seen.
pub fn check<F>(probe: impl Fn() -> F + Send + Sync + 'static, losses: impl Fn() -> u32 + Send + Sync + 'static) -> Check
where
    F: Future<Output = Result<(), QueueError>> + Send + 'static,
{
    let run = move || {
        let (committed, losses) = (probe(), losses());
        async move {
            Ok(match committed.await {
                Ok(()) if losses > 0 => {
                    let message = "the queue commits; it was damaged, and something may be lost: `waybill-agent queue losses`";
                    Finding::degraded(message).because(ErrorReport::new(Code::QueueDamaged, message))
                }
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
        let good = (check(|| async { Ok(()) }, || 0).run)().await.unwrap();
        assert_eq!((good.state, good.usable), (HealthState::Healthy, true));
        let broken = (check(|| async { Err(QueueError::Write("disk full".into())) }, || 0).run)().await.unwrap();
        assert_eq!((broken.state, broken.usable), (HealthState::Unhealthy, false));
        assert_eq!(broken.error.unwrap().code, Code::QueueWriteFailed);
        assert!(broken.message.contains("disk full"), "{}", broken.message);
        let lost = (check(|| async { Ok(()) }, || 1).run)().await.unwrap();
        assert_eq!((lost.state, lost.usable, lost.error.unwrap().code), (HealthState::Degraded, true, Code::QueueDamaged));
    }
}
