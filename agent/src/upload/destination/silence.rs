//! How long a server may be silent while it is sent something.
//!
//! Silence is that nothing moves, neither way: a large report on a slow line is not cut off as long as pieces of it go. What comes back
//! counts from the answer's head on, which is short. Time that is spent on connecting does not count; it has a limit of its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// Bytes of one piece.
const PIECE: usize = 64 * 1024;

/// When something moved last; nothing as long as nothing has.
#[derive(Debug, Clone, Default)]
pub struct Moved(Arc<Mutex<Option<Instant>>>);

impl Moved {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn last(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an answer. Nothing, if for as long as `limit` nothing of what is sent has moved.
    pub async fn unless_silent<T>(&self, limit: Duration, answer: impl Future<Output = T>) -> Option<T> {
        let silent = async {
            loop {
                let until = self.last().map_or_else(|| Instant::now() + limit, |last| last + limit);
                tokio::time::sleep_until(until).await;
                if self.last().is_some_and(|last| last + limit <= Instant::now()) {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            answered = answer => Some(answered),
            () = silent => None,
        }
    }
}

/// A body that goes piece by piece, and notes when each goes.
#[derive(Debug)]
pub struct Watched {
    left: Bytes,
    moved: Moved,
}

impl Watched {
    /// A body of these bytes.
    #[must_use]
    pub fn new(bytes: Bytes, moved: Moved) -> Self {
        Self { left: bytes, moved }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.moved.now();
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.left.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_moves_in_time_is_waited_for_and_what_does_not_is_given_up() {
        let (moved, limit) = (Moved::default(), Duration::from_millis(300));
        let mut body = Watched::new(vec![0; 10 * PIECE].into(), moved.clone());
        let mut went = 0;
        let sending = async {
            // Connecting takes longer than a silence may.
            tokio::time::sleep(limit + limit / 2).await;
            while !body.is_end_stream() {
                std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.unwrap().unwrap();
                went += 1;
                tokio::time::sleep(limit / 6).await;
            }
            std::future::pending::<()>().await;
        };
        let started = Instant::now();
        assert_eq!(moved.unless_silent(limit, sending).await, None);
        assert_eq!(went, 10, "all of it went, which takes longer than a silence may");
        assert!(started.elapsed() >= limit * 4, "counted from the last piece: {:?}", started.elapsed());
        assert_eq!(moved.unless_silent(limit, async { 7 }).await, Some(7));
    }
}
