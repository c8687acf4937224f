//! tokio's I/O traits over TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::ReadBuf;

use super::split::{OwnedReadHalf, OwnedWriteHalf};
use super::stream::TlsStream;
use crate::socket::transport::StreamTransport;
use crate::tokio_io::tokio_io;

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

tokio_io!(read: TlsStream<T>, &TlsStream<T>, OwnedReadHalf<T>);
tokio_io!(write: TlsStream<T>, &TlsStream<T>, OwnedWriteHalf<T>);
