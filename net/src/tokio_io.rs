//! tokio's I/O traits over our streams, for crates that want them: the traits alone, no runtime of tokio's.
//!
//! What holds of the traits of `futures` holds of these: errors travel inside [`io::Error`], and a timeout counts from the
//! first poll since the last operation that completed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use crate::io::scratch::{SIZE, Scratch};
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;
use crate::stream::{OwnedReadHalf, OwnedWriteHalf};

impl<T: StreamTransport> Socket<T> {
    /// Reads to where tokio wants it, or, where that is not initialised, into the room that the thread has: to fill it costs
    /// more than to copy what mostly is a few hundred bytes.
    fn poll_fill(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut stream = self;
        let stream = Pin::new(&mut stream);
        if buffer.initialized().len() == buffer.capacity() {
            let read =
                ready!(futures_io::AsyncRead::poll_read(stream, cx, buffer.initialize_unfilled()))?;
            buffer.advance(read);
        } else {
            let mut scratch = Scratch::take(buffer.remaining().min(SIZE));
            let read = ready!(futures_io::AsyncRead::poll_read(stream, cx, scratch.room()))?;
            buffer.put_slice(scratch.filled(read)?);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_put(&self, cx: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut stream = self;
        let stream = Pin::new(&mut stream);
        match buffers {
            [buffer] => futures_io::AsyncWrite::poll_write(stream, cx, buffer),
            _ => futures_io::AsyncWrite::poll_write_vectored(stream, cx, buffers),
        }
    }

    fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self;
        futures_io::AsyncWrite::poll_flush(Pin::new(&mut stream), cx)
    }

    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self;
        futures_io::AsyncWrite::poll_close(Pin::new(&mut stream), cx)
    }
}

/// tokio's traits for streams that have `poll_fill`, `poll_put`, `poll_sent` and `poll_end`.
macro_rules! tokio_io {
    (read: $($stream:ty),*) => {$(
        impl<T: $crate::transport::StreamTransport> ::tokio::io::AsyncRead for $stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                self.poll_fill(cx, buffer)
            }
        }
    )*};
    (write: $($stream:ty),*) => {$(
        impl<T: $crate::transport::StreamTransport> ::tokio::io::AsyncWrite for $stream {
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

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_sent(cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_end(cx)
            }
        }
    )*};
}

#[cfg(feature = "tls")]
pub(crate) use tokio_io;

tokio_io!(read: Socket<T>, &Socket<T>, OwnedReadHalf<T>);
tokio_io!(write: Socket<T>, &Socket<T>, OwnedWriteHalf<T>);
