//! The I/O traits of the `futures` ecosystem.
//!
//! Errors travel inside `io::Error`; [`Error::from_io`] has them out. A timeout of a side counts here
//! from the first poll since the last operation that completed, as nobody says when one is given up.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use punctual_reactor::{Direction, Done};

use super::calls::SLICES_MAX;
use super::split::{OwnedReadHalf, OwnedWriteHalf};
use crate::error::Phase;
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

impl<T: StreamTransport> Socket<T> {
    #[inline]
    pub(crate) fn poll_io(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        nothing: bool,
        mut attempt: impl FnMut(&T::Io) -> io::Result<Done<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.trivial_if(nothing, direction);
        let poll = self
            .io()
            .poll_operate(cx, direction, |io| if nothing { Ok(Done::new(0)) } else { attempt(io) });
        poll.map_err(|failure| match direction {
            Direction::Read => self.read_failed(failure).tell().into(),
            Direction::Write => self.failed(Phase::Write, failure).tell().into(),
        })
    }
}

impl<T: StreamTransport> AsyncRead for &Socket<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let room = buffer.len();
        self.poll_io(cx, Direction::Read, room == 0, |io| {
            Ok(Done::bytes(self.received(T::read(io, buffer))?, room))
        })
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let room = buffers.iter().take(SLICES_MAX).map(|buffer| buffer.len()).sum();
        self.poll_io(cx, Direction::Read, room == 0, |io| {
            Ok(Done::bytes(self.received(T::read_vectored(io, buffers))?, room))
        })
    }
}

impl<T: StreamTransport> AsyncWrite for &Socket<T> {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Write, buffer.is_empty(), |io| self.try_send(io, buffer))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let nothing = buffers.iter().all(|buffer| buffer.is_empty());
        self.poll_io(cx, Direction::Write, nothing, |io| self.try_send_vectored(io, buffers))
    }

    /// There is no buffer here: what was written is the kernel's.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the writing side.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(Shutdown::Write).map_err(io::Error::from))
    }
}

/// The owned forms do what the borrowed one does.
macro_rules! through_a_reference {
    (read: $($owned:ty),*) => {$(
        impl<T: StreamTransport> AsyncRead for $owned {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let mut stream: &Socket<T> = &self;
                Pin::new(&mut stream).poll_read(cx, buffer)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let mut stream: &Socket<T> = &self;
                Pin::new(&mut stream).poll_read_vectored(cx, buffers)
            }
        }
    )*};
    (write: $($owned:ty),*) => {$(
        impl<T: StreamTransport> AsyncWrite for $owned {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &[u8],
            ) -> Poll<io::Result<usize>> {
                let mut stream: &Socket<T> = &self;
                Pin::new(&mut stream).poll_write(cx, buffer)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let mut stream: &Socket<T> = &self;
                Pin::new(&mut stream).poll_write_vectored(cx, buffers)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let mut stream: &Socket<T> = &self;
                Pin::new(&mut stream).poll_flush(cx)
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let mut stream: &Socket<T> = &self;
                Pin::new(&mut stream).poll_close(cx)
            }
        }
    )*};
}

through_a_reference!(read: Socket<T>, OwnedReadHalf<T>);
through_a_reference!(write: Socket<T>, OwnedWriteHalf<T>);
