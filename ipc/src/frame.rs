//! Frames: a length and so many bytes, with a deadline on the rest once a frame has begun.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Why no frame was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The other side closed between two frames.
    #[error("the connection was closed")]
    Closed,
    /// Nothing came for as long as a connection may be silent.
    #[error("nothing was said for {} s", .0.as_secs())]
    Silent(Duration),
    /// A frame began and did not end in time.
    #[error("a message was begun and not finished within {} s", .0.as_secs())]
    Stalled(Duration),
    /// A length that no frame has.
    #[error("a message of {length} bytes; at most {limit} are allowed")]
    TooLarge {
        /// The announced length.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads one frame: waits up to `idle` for it to begin, then up to `rest` for it to end.
pub(crate) async fn read<R: AsyncRead + Unpin>(
    reader: &mut R,
    limit: usize,
    idle: Duration,
    rest: Duration,
) -> Result<Vec<u8>, FrameError> {
    let mut length = [0; 4];
    let begun = timeout(idle, reader.read(&mut length)).await.map_err(|_| FrameError::Silent(idle))??;
    if begun == 0 {
        return Err(FrameError::Closed);
    }
    let body = async {
        reader.read_exact(&mut length[begun..]).await?;
        let length = u32::from_le_bytes(length) as usize;
        if length > limit {
            return Err(FrameError::TooLarge { length, limit });
        }
        // Memory is taken as bytes arrive, not as they are announced.
        let mut body = Vec::with_capacity(length.min(64 * 1024));
        (&mut *reader).take(length as u64).read_to_end(&mut body).await?;
        if body.len() < length { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(body) }
    };
    timeout(rest, body).await.map_err(|_| FrameError::Stalled(rest))?
}

/// Writes frames one after the other and flushes once, within `limit`.
pub(crate) async fn write<W: AsyncWrite + Unpin>(writer: &mut W, bodies: &[Vec<u8>], limit: Duration) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(bodies.iter().map(|body| 4 + body.len()).sum());
    for body in bodies {
        let length = u32::try_from(body.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(body);
    }
    let all = async {
        writer.write_all(&bytes).await?;
        writer.flush().await
    };
    timeout(limit, all).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("the other side did not take a message within {} s", limit.as_secs()))
    })?
}
