//! [`Wire`]: the stream of a connection, as hyper reads and writes it.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use punctual_reactor::Instant;

use super::{Connection, Stream};

/// The stream as hyper has it. Dropped, it closes the connection.
pub(in crate::http::client) struct Wire(pub(in crate::http::client) Rc<Connection>);

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection was closed on this side")
}

impl Wire {
    fn io<R>(
        &self,
        waker: &RefCell<Option<Waker>>,
        cx: &mut Context<'_>,
        io: impl FnOnce(&mut Stream, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let polled = match &mut *self.0.stream.borrow_mut() {
            Some(stream) => io(stream, cx),
            None => Poll::Ready(Err(ended())),
        };
        if matches!(polled, Poll::Ready(Err(_))) {
            self.0.broken.set(true);
        }
        if polled.is_pending() {
            let mut kept = waker.borrow_mut();
            if !kept.as_ref().is_some_and(|kept| kept.will_wake(cx.waker())) {
                *kept = Some(cx.waker().clone());
            }
        }
        polled
    }
}

/// The same call on whichever stream it is.
macro_rules! on {
    ($stream:expr, $pinned:ident => $call:expr) => {
        match $stream {
            Stream::Plain(stream) => {
                let $pinned = Pin::new(stream);
                $call
            }
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => {
                let $pinned = Pin::new(stream);
                $call
            }
        }
    };
}

impl Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = cursor.remaining();
        // A cursor cannot be lent twice, so what is left of it says how much there was.
        ready!(self.io(&self.0.reader, cx, |stream, cx| {
            let before = &mut cursor;
            on!(stream, stream => read_into(stream, cx, before))
        }))?;
        let read = room - cursor.remaining();
        if read == 0 {
            self.0.broken.set(true);
        }
        self.0.read.set(self.0.read.get() + read as u64);
        self.0.heard.set(Instant::now());
        Poll::Ready(Ok(()))
    }
}

/// Reads into the room that the thread has: a cursor given away is not there to be counted afterwards.
fn read_into(
    stream: Pin<&mut impl futures_io::AsyncRead>,
    cx: &mut Context<'_>,
    cursor: &mut ReadBufCursor<'_>,
) -> Poll<io::Result<()>> {
    use crate::io::scratch::{SIZE, Scratch};
    let mut scratch = Scratch::take(cursor.remaining().min(SIZE));
    let read = ready!(stream.poll_read(cx, scratch.room()))?;
    cursor.put_slice(scratch.filled(read)?);
    Poll::Ready(Ok(()))
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.io(&self.0.writer, cx, |stream, cx| {
            on!(stream, stream => Write::poll_write(stream, cx, bytes))
        }))?;
        self.0.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.io(&self.0.writer, cx, |stream, cx| {
            on!(stream, stream => Write::poll_write_vectored(stream, cx, bytes))
        }))?;
        self.0.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &*self.0.stream.borrow() {
            Some(Stream::Plain(stream)) => Write::is_write_vectored(stream),
            _ => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.io(&self.0.writer, cx, |stream, cx| {
            on!(stream, stream => Write::poll_flush(stream, cx))
        }))?;
        self.0.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io(&self.0.writer, cx, |stream, cx| on!(stream, stream => Write::poll_shutdown(stream, cx)))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let unharmed = !self.0.closed.get() && !self.0.broken.get();
        self.0.given_up.set(unharmed.then(Instant::now));
        self.0.close();
    }
}
