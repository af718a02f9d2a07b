//! Connections that can be cut in the middle of an answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;

use super::state::Shared;

/// Takes connections and counts them.
pub(super) struct Wires {
    pub(super) listener: TcpListener,
    pub(super) shared: Arc<Shared>,
}

impl Listener for Wires {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // Only slower without it.
                    let _unsupported = stream.set_nodelay(true);
                    self.shared.change(|state| state.connections += 1);
                    return (Wire { stream, scissors: Scissors::default(), pause: None }, address);
                }
                // Out of descriptors, or a connection that is gone already.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection.
pub(super) struct Wire {
    stream: TcpStream,
    scissors: Scissors,
    pause: Option<Pin<Box<Sleep>>>,
}

/// How a request's handler cuts or slows down the connection it came on.
#[derive(Clone)]
pub(super) struct Scissors(Arc<Cuts>);

struct Cuts {
    left: AtomicUsize,
    /// Milliseconds before each byte.
    pause: AtomicU64,
}

impl Default for Scissors {
    fn default() -> Self {
        Self(Arc::new(Cuts { left: AtomicUsize::new(usize::MAX), pause: AtomicU64::new(0) }))
    }
}

impl Scissors {
    /// Lets so many more bytes pass to the client; the next one closes the connection.
    pub(super) fn cut_after(&self, bytes: usize) {
        self.0.left.store(bytes, Ordering::Relaxed);
    }

    /// Lets the bytes after the answer's head pass one by one from now on, with a pause before each.
    pub(super) fn trickle(&self, pause: Duration) {
        self.0.pause.store(u64::try_from(pause.as_millis()).expect("a short pause"), Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, Wires>> for Scissors {
    fn connect_info(stream: IncomingStream<'_, Wires>) -> Self {
        stream.io().scissors.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let pause = self.scissors.0.pause.load(Ordering::Relaxed);
        if pause > 0 && !bytes.is_empty() {
            if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
                // The head goes as a whole.
                return Pin::new(&mut self.stream).poll_write(context, &bytes[..end + 4]);
            }
            let sleep = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(pause))));
            std::task::ready!(sleep.as_mut().poll(context));
            self.pause = None;
            return Pin::new(&mut self.stream).poll_write(context, &bytes[..1]);
        }
        let left = self.scissors.0.left.load(Ordering::Relaxed);
        if left == usize::MAX {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        if left == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(context, &bytes[..bytes.len().min(left)]))?;
        self.scissors.cut_after(left - written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
