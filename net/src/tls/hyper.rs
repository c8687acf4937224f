//! hyper's view of a stream over TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::stream::TlsStream;
use crate::socket::transport::StreamTransport;

impl<T: StreamTransport> Read for TlsStream<T> {
    /// What was decrypted is copied once, to where hyper wants it.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let nothing = cursor.remaining() == 0;
        ready!(self.poll_take(cx, nothing, &mut |plaintext| {
            let some = plaintext.len().min(cursor.remaining());
            cursor.put_slice(&plaintext[..some]);
            some
        }))?;
        Poll::Ready(Ok(()))
    }
}

impl<T: StreamTransport> Write for TlsStream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_put(cx, &[IoSlice::new(buffer)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_put(cx, buffers)
    }
}
