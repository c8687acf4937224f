//! hyper's view of a stream.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::hyper::rt::{Read, ReadBufCursor, Write};
use futures_io::{AsyncRead, AsyncWrite};
use punctual_reactor::{Direction, Done};

use crate::io::scratch::{self, SIZE, Scratch};
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

/// Any stream of the `futures` ecosystem, as hyper wants it: one of TLS, [`Bounded`](crate::io::Bounded), of another
/// crate. A [`Socket`] needs no such wrapping.
///
/// Errors pass through as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Io<S> {
    stream: S,
    vectored: bool,
}

impl<S> Io<S> {
    /// Wraps `stream`.
    #[must_use]
    pub fn new(stream: S) -> Io<S> {
        Io { stream, vectored: false }
    }

    /// Says whether the stream takes several buffers in one write; then hyper does not copy them into one beforehand.
    /// Default `false`: a stream that takes only the first of them would make a packet of each.
    #[must_use]
    pub fn vectored(mut self, vectored: bool) -> Io<S> {
        self.vectored = vectored;
        self
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream, unwrapped.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

/// Reads into the room that the thread has, and hands on what has come: hyper's own is not initialised, and to fill
/// it costs more than to copy what mostly is a few hundred bytes.
fn poll_read_into<S: AsyncRead>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    mut cursor: ReadBufCursor<'_>,
) -> Poll<io::Result<()>> {
    let mut scratch = Scratch::take(cursor.remaining().min(SIZE));
    let read = ready!(stream.poll_read(cx, scratch.room()))?;
    cursor.put_slice(scratch.filled(read)?);
    Poll::Ready(Ok(()))
}

impl<S: AsyncRead + Unpin> Read for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        poll_read_into(Pin::new(&mut self.stream), cx, cursor)
    }
}

impl<S: AsyncWrite + Unpin> Write for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }
}

impl<T: StreamTransport> Socket<T> {
    /// Reads up to `room` bytes, and has `take` hand them `on`, from where they have come, in the room of the thread: that is
    /// needed only when there is something to read.
    #[inline]
    pub(crate) fn poll_lent<C>(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        on: &mut C,
        take: impl Fn(&mut C, &[u8]),
    ) -> Poll<io::Result<()>> {
        if room == 0 {
            return self.poll_io(cx, Direction::Read, true, |_| Ok(Done::new(0))).map_ok(drop);
        }
        let poll = self.io().poll_operate_on(
            cx,
            Direction::Read,
            on,
            |on, io| {
                let lent = scratch::lend_if_there(room, |buffer| self.read_lent(io, buffer, on, &take));
                // So it is made again, in room of its own.
                lent.unwrap_or_else(|| Err(io::ErrorKind::Interrupted.into()))
            },
            |on, io| scratch::lend(room, |buffer| self.read_lent(io, buffer, on, &take)),
        );
        poll.map_ok(drop).map_err(|failure| self.read_failed(failure).tell().into())
    }

    #[inline(always)]
    fn read_lent<C>(
        &self,
        io: &T::Io,
        buffer: &mut [u8],
        on: &mut C,
        take: &impl Fn(&mut C, &[u8]),
    ) -> io::Result<Done<usize>> {
        let room = buffer.len();
        let bytes = self.received(T::read(io, buffer))?;
        take(on, buffer.get(..bytes).ok_or_else(scratch::liar)?);
        Ok(Done::bytes(bytes, room))
    }
}

impl<T: StreamTransport> Read for Socket<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = cursor.remaining().min(SIZE);
        self.poll_lent(cx, room, &mut cursor, |cursor, bytes| cursor.put_slice(bytes))
    }
}

impl<T: StreamTransport> Write for Socket<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(self, cx, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(self, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(self, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(self, cx, buffers)
    }
}
