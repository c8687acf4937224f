//! tokio's I/O traits over TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::split::{OwnedReadHalf, OwnedWriteHalf};
use super::stream::TlsStream;
use crate::socket::transport::StreamTransport;

impl<T: StreamTransport> TlsStream<T> {
    /// What was decrypted is copied once, to where tokio wants it.
    fn poll_fill(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let nothing = buffer.remaining() == 0;
        ready!(self.poll_take(cx, nothing, &mut |plaintext| {
            let some = plaintext.len().min(buffer.remaining());
            buffer.put_slice(&plaintext[..some]);
            some
        }))?;
        Poll::Ready(Ok(()))
    }
}

macro_rules! tokio_io {
    (read: $($stream:ty),*) => {$(
        impl<T: StreamTransport> AsyncRead for $stream {
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
        impl<T: StreamTransport> AsyncWrite for $stream {
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

tokio_io!(read: TlsStream<T>, &TlsStream<T>, OwnedReadHalf<T>);
tokio_io!(write: TlsStream<T>, &TlsStream<T>, OwnedWriteHalf<T>);
