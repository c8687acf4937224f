//! [`copy`].

use std::future::poll_fn;
use std::task::Poll;

use futures_io::{AsyncRead, AsyncWrite};
use punctual_reactor::WaitGuard;

use crate::error::{Error, Phase};
use crate::io::copy::options::BUFFER;
use crate::io::copy::pipe::Pipe;
use crate::io::scoped::Scoped;

/// Copies everything from `reader` to `writer`, until `reader` ends; then flushes `writer`, and leaves it open.
/// Returns how many bytes that were. It holds at most 64 KiB, and only what `writer` does not take.
///
/// Lend what is still needed afterwards: `copy(&from, &mut to)`. Bounds come with the streams, as by
/// [`TcpStream`](crate::TcpStream); it ends with the [scope](punctual_reactor::scope) it waits in.
///
/// # Errors
/// What the streams say, in `Phase::Read` or `Phase::Write`, or the scope, in `Phase::Copy`; [`Error::transferred`] is how many bytes `writer` had
/// taken. What was read and not written is lost: see
/// [`copy_bidirectional`](crate::io::copy_bidirectional) for a copy that gives it back.
///
/// Not cancel-safe: dropped midway, it does not say how much was written, and up to 64 KiB that were read are lost.
pub async fn copy<R, W>(mut reader: R, mut writer: W) -> Result<u64, Error>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    Scoped::check().map_err(|failure| Error::failed(Phase::Copy, failure).tell())?;
    let (mut pipe, mut scoped) = (Pipe::new(BUFFER, false), Scoped::default());
    let guard = WaitGuard::new();
    let copied = poll_fn(|cx| match guard.poll(|| pipe.poll(cx, &mut reader, &mut writer)) {
        Poll::Pending => {
            scoped.poll(cx, "copy", guard).map(|failure| Err(Error::failed(Phase::Copy, failure).tell()))
        }
        ended => ended,
    })
    .await;
    match copied {
        Ok(()) => Ok(pipe.bytes()),
        Err(error) => Err(error.with_transferred(pipe.bytes() as usize)),
    }
}
