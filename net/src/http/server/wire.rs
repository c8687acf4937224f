//! [`Wire`], the stream of a connection in the clear or not; [`Line`], the same while HTTP is spoken on it.

use std::any::Any;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::hyper::rt::{Read, ReadBufCursor, Write};
use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};

use super::progress::Progress;
use crate::error::Error;
use crate::io::scratch::{SIZE, Scratch};
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;
use crate::tcp::TcpStream;
#[cfg(feature = "tls")]
use crate::tls::TlsStream;

pub(super) enum Wire<T: StreamTransport> {
    Plain(Socket<T>),
    #[cfg(feature = "tls")]
    Tls(TlsStream<T>),
}

macro_rules! on_stream {
    ($wire:expr, $stream:ident => $do:expr) => {
        match $wire {
            Wire::Plain($stream) => $do,
            #[cfg(feature = "tls")]
            Wire::Tls($stream) => $do,
        }
    };
}

impl<T: StreamTransport> Wire<T> {
    /// Reads what has come, up to the length of `room`.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, stream => AsyncRead::poll_read(Pin::new(stream), cx, room))
    }

    fn socket(&self) -> &Socket<T> {
        match self {
            Wire::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Wire::Tls(stream) => stream.get_ref(),
        }
    }

    /// Says of an error all that the kernel knows of the connection.
    pub(super) fn explain(&self, error: Error) -> Error {
        T::explain(self.socket(), error)
    }

    /// Writes `words` and closes, for at most `within`.
    pub(super) async fn send_away(&mut self, words: &[u8], within: Duration) {
        // One that is closed has ended.
        if self.socket().set_write_timeout(Some(within)).is_err() {
            return;
        }
        let mut left = words;
        while !left.is_empty() {
            let wrote = poll_fn(
                |cx| on_stream!(&mut *self, stream => AsyncWrite::poll_write(Pin::new(stream), cx, left)),
            );
            match wrote.await {
                Ok(taken) if taken > 0 => left = &left[taken..],
                _ => return,
            }
        }
        // Over TLS the end is said as well.
        let _ =
            poll_fn(|cx| on_stream!(&mut *self, stream => AsyncWrite::poll_close(Pin::new(stream), cx)))
                .await;
        self.linger(within).await;
    }

    /// Has the close reset the connection, and throw away what the client has not taken: it takes too little, and the kernel
    /// would keep that for minutes.
    pub(super) fn reset_on_close(&self) {
        if let Some(stream) = (self.socket() as &dyn Any).downcast_ref::<TcpStream>() {
            // One that is closed has nothing left.
            let _ = stream.set_linger(Some(Duration::ZERO));
        }
    }

    /// Closes, once the client has read what it was sent, or after `within`. What it still sends would have the kernel
    /// throw that away (RFC 9112, section 9.6).
    pub(super) async fn linger(&mut self, within: Duration) {
        let _ = self.socket().close_in_order(within).await;
    }
}

/// The stream of a connection as hyper and the connection's task have it in common: what was read before comes first.
pub(super) struct Line<T: StreamTransport> {
    pub(super) wire: Wire<T>,
    prefix: Bytes,
    /// hyper waits for something to read.
    is_read: bool,
    /// For which request, by number, the end of what the client sends was kept back until its handler had been polled.
    kept_back: u64,
}

impl<T: StreamTransport> Line<T> {
    pub(super) fn new(wire: Wire<T>, prefix: Bytes) -> Rc<RefCell<Line<T>>> {
        // The connection's task ends with its scope, and takes them along.
        wire.socket().io().leave_scopes();
        Rc::new(RefCell::new(Line { wire, prefix, is_read: false, kept_back: 0 }))
    }

    /// While hyper reads nothing because a request is being answered: whether the client is gone. What it sends meanwhile is
    /// kept, but not more than this.
    pub(super) fn poll_gone(&mut self, progress: &Progress, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.is_read || !self.prefix.is_empty() || progress.ended.get() {
            return Poll::Pending;
        }
        let mut scratch = Scratch::take(AHEAD);
        let read = ready!(self.wire.poll_read(cx, scratch.room()));
        match read.and_then(|read| scratch.filled(read)) {
            Ok([]) => progress.ended.set(true),
            Ok(bytes) => self.prefix = Bytes::copy_from_slice(bytes),
            Err(error) => return Poll::Ready(error),
        }
        Poll::Pending
    }

    #[inline]
    fn poll_read(
        &mut self,
        progress: &Progress,
        cx: &mut Context<'_>,
        cursor: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = cursor.remaining().min(SIZE);
        let fine = match &mut self.wire {
            Wire::Plain(stream) if self.prefix.is_empty() => {
                let mut on = (cursor, true);
                let take = |(cursor, fine): &mut (&mut ReadBufCursor<'_>, bool), bytes: &[u8]| {
                    *fine = hand_on(bytes, progress, cursor);
                };
                ready!(stream.poll_lent(cx, room, &mut on, take))?;
                on.1
            }
            _ => ready!(self.poll_read_otherwise(progress, cx, cursor))?,
        };
        if !fine {
            return Poll::Ready(Err(nonsense()));
        }
        if progress.ended.get() { self.poll_ended(progress, cx) } else { Poll::Ready(Ok(())) }
    }

    /// The same of what was read before, and over TLS. Whether what has come may be (the beginning of) a request.
    #[inline(never)]
    fn poll_read_otherwise(
        &mut self,
        progress: &Progress,
        cx: &mut Context<'_>,
        cursor: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<bool>> {
        let room = cursor.remaining().min(SIZE);
        if !self.prefix.is_empty() {
            let some = self.prefix.len().min(room);
            let fine = hand_on(&self.prefix[..some], progress, cursor);
            self.prefix.advance(some);
            return Poll::Ready(Ok(fine));
        }
        let mut scratch = Scratch::take(room);
        let read = ready!(self.wire.poll_read(cx, scratch.room()))?;
        Poll::Ready(Ok(hand_on(scratch.filled(read)?, progress, cursor)))
    }

    /// The client has ended its side, and hyper is about to hear of it.
    #[cold]
    fn poll_ended(&mut self, progress: &Progress, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if progress.is_awaited() {
            // To hyper the client would be gone. When it is answered, that is found to be over.
            return Poll::Pending;
        }
        if progress.reads_a_body() && self.kept_back != progress.requests.get() {
            // hyper may have all of the body, and the handler not yet its end: it is polled after this.
            self.kept_back = progress.requests.get();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

/// Takes note of what has come, and hands it to hyper if it may be (the beginning of) a request.
#[inline]
fn hand_on(bytes: &[u8], progress: &Progress, cursor: &mut ReadBufCursor<'_>) -> bool {
    let fine = progress.received(bytes);
    if fine {
        cursor.put_slice(bytes);
    }
    fine
}

/// How much of what a client sends before it is answered is read, in bytes.
const AHEAD: usize = 8 * 1024;

/// The stream as hyper has it.
pub(super) struct Watched<T: StreamTransport> {
    line: Rc<RefCell<Line<T>>>,
    progress: Rc<Progress>,
}

impl<T: StreamTransport> Watched<T> {
    pub(super) fn new(line: &Rc<RefCell<Line<T>>>, progress: &Rc<Progress>) -> Watched<T> {
        Watched { line: line.clone(), progress: progress.clone() }
    }
}

impl<T: StreamTransport> Read for Watched<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut line = self.line.borrow_mut();
        let poll = line.poll_read(&self.progress, cx, &mut cursor);
        line.is_read = poll.is_pending();
        poll
    }
}

/// hyper only learns that it is over; the client is told by whoever looks for it.
fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a line of the head ends in a bare LF")
}

impl<T: StreamTransport> Watched<T> {
    /// Notes whether the client has taken something.
    fn noted<V>(&self, poll: Poll<io::Result<V>>) -> Poll<io::Result<V>> {
        self.progress.wrote(poll.is_ready());
        poll
    }
}

impl<T: StreamTransport> Write for Watched<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &mut self.line.borrow_mut().wire;
        self.noted(on_stream!(wire, stream => AsyncWrite::poll_write(Pin::new(stream), cx, buffer)))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut self.line.borrow_mut().wire;
        let poll = on_stream!(wire, stream => AsyncWrite::poll_flush(Pin::new(stream), cx));
        if poll.is_ready() {
            self.progress.flushed();
        } else {
            self.progress.wrote(false);
        }
        poll
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.progress.refused.get() {
            // The client is to be told.
            return Poll::Ready(Ok(()));
        }
        let wire = &mut self.line.borrow_mut().wire;
        self.noted(on_stream!(wire, stream => AsyncWrite::poll_close(Pin::new(stream), cx)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = &mut self.line.borrow_mut().wire;
        let poll =
            on_stream!(wire, stream => AsyncWrite::poll_write_vectored(Pin::new(stream), cx, buffers));
        self.noted(poll)
    }
}
