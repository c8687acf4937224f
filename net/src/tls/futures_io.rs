//! The I/O traits of the `futures` ecosystem over TLS.
//!
//! What holds of them over a [`Socket`](crate::Socket) holds here: a timeout counts from the first poll since the last
//! operation that completed.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use punctual_reactor::{Direction, Done};

use super::read::fill;
use super::split::{OwnedReadHalf, OwnedWriteHalf};
use super::stream::TlsStream;
use crate::error::Phase;
use crate::socket::transport::StreamTransport;

impl<T: StreamTransport> TlsStream<T> {
    /// Reads once, and hands what has come to `take`, which says how much of it it took.
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        nothing: bool,
        take: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        self.ready_if_known(nothing);
        let read = self.socket.io.poll_operate(cx, Direction::Read, |io| {
            if nothing { Ok(Done::new(0)) } else { self.session.try_read(&self.socket, io, take) }
        });
        match read.is_pending() {
            true => self.poll_sending(&self.session.sending, cx),
            false => self.socket.io.give_up(&self.session.sending),
        }
        read.map_err(|failure| self.socket.read_failed(failure).tell().into())
    }

    pub(super) fn poll_put(
        &self,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let nothing = buffers.iter().all(|buffer| buffer.is_empty());
        self.socket.trivial_if(nothing, Direction::Write);
        let written = self.socket.io.poll_operate(cx, Direction::Write, |io| {
            if nothing { Ok(Done::new(0)) } else { self.session.try_write(&self.socket, io, buffers) }
        });
        written.map_err(|failure| self.socket.failed(Phase::Write, failure).tell().into())
    }

    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Who flushes at each poll, as hyper does, may wait for a read meanwhile, and is not to be woken for this.
        if !self.session.wants_write() {
            return Poll::Ready(Ok(()));
        }
        let sent = self
            .socket
            .io
            .poll_operate(cx, Direction::Write, |io| self.session.try_flush(&self.socket, io));
        sent.map_err(|failure| self.socket.failed(Phase::Write, failure).tell().into())
    }

    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ready_if_sent();
        let ended = self
            .socket
            .io
            .poll_operate(cx, Direction::Write, |io| self.session.try_end(&self.socket, io));
        ended.map_err(|failure| self.socket.failed(Phase::Shutdown, failure).tell().into())
    }
}

impl<T: StreamTransport> AsyncRead for &TlsStream<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut filled = 0;
        self.poll_take(cx, buffer.is_empty(), &mut |plaintext| fill(buffer, &mut filled, plaintext))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        match buffers.iter_mut().find(|buffer| !buffer.is_empty()) {
            Some(buffer) => self.poll_read(cx, buffer),
            None => self.poll_read(cx, &mut []),
        }
    }
}

/// All forms do the same.
macro_rules! futures_io {
    (read: $($owned:ty),*) => {$(
        impl<T: StreamTransport> AsyncRead for $owned {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let mut stream: &TlsStream<T> = &self;
                Pin::new(&mut stream).poll_read(cx, buffer)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let mut stream: &TlsStream<T> = &self;
                Pin::new(&mut stream).poll_read_vectored(cx, buffers)
            }
        }
    )*};
    (write: $($owned:ty),*) => {$(
        impl<T: StreamTransport> AsyncWrite for $owned {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_put(cx, &[IoSlice::new(buffer)])
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_put(cx, buffers)
            }

            /// Waits until the transport has what was written.
            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_sent(cx)
            }

            /// Ends what we send, as [`TlsStream::shutdown`].
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_end(cx)
            }
        }
    )*};
}

futures_io!(read: TlsStream<T>, OwnedReadHalf<T>);
futures_io!(write: TlsStream<T>, &TlsStream<T>, OwnedWriteHalf<T>);
