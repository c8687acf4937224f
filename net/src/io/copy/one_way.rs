//! [`copy`].

use std::future::poll_fn;

use futures_io::{AsyncRead, AsyncWrite};

use crate::error::Error;
use crate::io::copy::options::BUFFER;
use crate::io::copy::pipe::Pipe;

/// Copies everything from `reader` to `writer`, until `reader` ends; then flushes `writer`, and leaves it open.
/// Returns how many bytes that were. It holds at most 64 KiB, and only what `writer` does not take.
///
/// Lend what is still needed afterwards: `copy(&from, &mut to)`. Bounds come with the streams, as by
/// [`TcpStream`](crate::TcpStream).
///
/// # Errors
/// What the streams say, in `Phase::Read` or `Phase::Write`; [`Error::transferred`] is how many bytes `writer` had
/// taken. What was read and not written is lost: see
/// [`copy_bidirectional`](crate::io::copy_bidirectional) for a copy that gives it back.
///
/// Not cancel-safe: dropped midway, it does not say how much was written, and up to 64 KiB that were read are lost.
pub async fn copy<R, W>(mut reader: R, mut writer: W) -> Result<u64, Error>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut pipe = Pipe::new(BUFFER, false);
    let copied = poll_fn(|cx| pipe.poll(cx, &mut reader, &mut writer)).await;
    match copied {
        Ok(()) => Ok(pipe.bytes()),
        Err(error) => Err(error.with_transferred(pipe.bytes() as usize)),
    }
}
