//! Pipes: [`PipeReader`] and [`PipeWriter`], whose reads and writes are under deadlines.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use mio::Interest;

use crate::failure::Failure;
use crate::instant::Instant;
use crate::opening::opening;
use crate::operation::Done;
use crate::readiness::Direction;
use crate::sys;
use crate::system::fd::AsyncFd;
use crate::token::Token;

/// A new pipe, both ends with the runtime of this thread.
///
/// # Errors
/// What the kernel says of it, as that there are too many descriptors.
///
/// # Panics
/// Outside of a runtime.
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe().map_err(opening("a pipe"))?;
    Ok((PipeReader::new(reader)?, PipeWriter::new(writer)?))
}

/// The end of a pipe that is read from: also of a FIFO, a terminal, or what a child process writes.
///
/// ```
/// use std::time::Duration;
/// use punctual_reactor::{Failure, Runtime, pipe};
///
/// Runtime::new()?.block_on(async {
///     let (reader, writer) = pipe()?;
///     reader.set_timeout(Some(Duration::from_millis(2))).expect("open");
///     assert!(matches!(reader.read(&mut [0; 8]).await, Err(Failure::Elapsed(_))), "nobody wrote");
///     writer.write_all(b"done").await.expect("room");
///     drop(writer);
///     let mut all = Vec::new();
///     assert_eq!(reader.read_to_end(&mut all, 1024).await.expect("an end"), 4);
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub struct PipeReader {
    fd: AsyncFd<std::fs::File>,
}

/// The end of a pipe that is written to.
///
/// With nobody left to read, a write fails with `EPIPE` (`ErrorKind::BrokenPipe`), and the kernel raises `SIGPIPE`. A
/// Rust program ignores that signal from its start; one in another language that embeds this must do so too.
pub struct PipeWriter {
    fd: AsyncFd<std::fs::File>,
}

/// What both ends have.
macro_rules! an_end {
    ($end:ident, $interest:expr, $direction:expr) => {
        impl $end {
            /// Takes over this end, and makes it non-blocking. The other end is another description and keeps its own
            /// flags, but a terminal is shared with everyone who has it open.
            ///
            /// # Errors
            /// As [`AsyncFd::new`]; the descriptor is then closed.
            ///
            /// # Panics
            /// Outside of a runtime.
            #[track_caller]
            pub fn new(end: impl Into<OwnedFd>) -> io::Result<$end> {
                let end = std::fs::File::from(end.into());
                sys::set_nonblocking(std::os::fd::AsFd::as_fd(&end))?;
                Ok($end { fd: AsyncFd::as_it_is(end, $interest)? })
            }

            /// Its name, with which a [`Handle`](crate::Handle) reaches it from other threads.
            #[must_use]
            pub fn token(&self) -> Token {
                self.fd.token()
            }

            /// Sets or clears its absolute deadline; an operation that waits observes it.
            ///
            /// # Errors
            /// [`Failure::Closed`].
            #[track_caller]
            pub fn set_deadline(&self, deadline: Option<Instant>) -> Result<(), Failure> {
                self.fd.set_deadline($direction, deadline)
            }

            /// Gives each operation that begins from now on at most `timeout`.
            ///
            /// # Errors
            /// [`Failure::Closed`].
            #[track_caller]
            pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), Failure> {
                self.fd.set_timeout($direction, timeout)
            }

            /// Closes it; an operation that waits ends with [`Failure::Closed`].
            pub fn close(&self) {
                self.fd.close();
            }

            /// Deregisters it and gives the descriptor back, unless it was closed. It stays non-blocking.
            #[must_use]
            pub fn into_inner(self) -> Option<OwnedFd> {
                self.fd.into_inner().map(OwnedFd::from)
            }
        }

        impl fmt::Debug for $end {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($end)).field("token", &self.token()).finish_non_exhaustive()
            }
        }
    };
}

an_end!(PipeReader, Interest::READABLE, Direction::Read);
an_end!(PipeWriter, Interest::WRITABLE, Direction::Write);

impl PipeReader {
    /// Reads what there is, at most `buffer`; 0 when every writer is gone and all was read. Cancel-safe.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn read(&self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let asked = buffer.len();
        let read = |mut end: &std::fs::File| Ok(Done::bytes(end.read(buffer)?, asked));
        self.fd.operate(Direction::Read, read).await
    }

    /// Appends everything up to the end to `to`, at most `limit` bytes; returns how many those were. A `limit`
    /// that was reached is no error: ask for one byte more than is wanted to tell.
    ///
    /// Each read is under the side's bounds. Cancel-safe: what was read is in `to`.
    ///
    /// # Errors
    /// [`Failure`]; what was read before is in `to`.
    pub async fn read_to_end(&self, to: &mut Vec<u8>, limit: usize) -> Result<usize, Failure> {
        let mut total = 0;
        let mut chunk = [0; 8 * 1024];
        while total < limit {
            let room = chunk.len().min(limit - total);
            match self.read(&mut chunk[..room]).await? {
                0 => break,
                read => {
                    to.extend_from_slice(&chunk[..read]);
                    total += read;
                }
            }
        }
        Ok(total)
    }
}

impl PipeWriter {
    /// Writes some of `bytes`, at least one; returns how many. Cancel-safe: a write that was given up has written
    /// nothing.
    ///
    /// # Errors
    /// [`Failure`]; `EPIPE` with nobody left to read.
    pub async fn write(&self, bytes: &[u8]) -> Result<usize, Failure> {
        let write = |end: &std::fs::File| write_some(end, bytes);
        self.fd.operate(Direction::Write, write).await
    }

    /// Writes all of `bytes`; each part of it is under the side's bounds. Not cancel-safe: some may have been
    /// written.
    ///
    /// # Errors
    /// [`Failure`]; some may have been written.
    pub async fn write_all(&self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let written = self.write(bytes).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }
}

/// A short write to a pipe has filled it only if it was longer than `PIPE_BUF`, and then the kernel says so at the
/// next: nothing is concluded.
fn write_some(mut end: &std::fs::File, bytes: &[u8]) -> io::Result<Done<usize>> {
    let written = end.write(bytes)?;
    Ok(Done::bytes(written, written))
}

impl AsyncRead for &PipeReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let asked = to.len();
        let read = |mut end: &std::fs::File| Ok(Done::bytes(end.read(to)?, asked));
        self.fd.poll_operate(cx, Direction::Read, read).map_err(io::Error::from)
    }
}

impl AsyncRead for PipeReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read(cx, to)
    }
}

impl AsyncWrite for &PipeWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = |end: &std::fs::File| write_some(end, bytes);
        self.fd.poll_operate(cx, Direction::Write, write).map_err(io::Error::from)
    }

    /// There is no buffer here: what was written is the kernel's.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Closes this end, which tells the reader.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_close(cx)
    }
}
