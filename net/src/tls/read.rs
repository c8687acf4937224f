//! Reading over TLS.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use punctual_reactor::{Beside, Direction, Done, Failure, Readiness};

use super::stream::TlsStream;
use crate::error::{Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

/// Reading.
impl<T: StreamTransport> TlsStream<T> {
    /// Reads what has come, up to the length of `buffer`, or waits for it. `Ok(0)` is the end that the peer has announced, or
    /// an empty `buffer`.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`Socket::read`](crate::Socket::read); `Tls` if the peer broke the protocol or ended it with an alert;
    /// `UnexpectedEof` if the stream ended without being ended by the peer.
    pub async fn read(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.ready_if_known(buffer.is_empty());
        let done = self.reading(|io| {
            if buffer.is_empty() {
                return Ok(Done::new(0));
            }
            let mut filled = 0;
            self.session
                .try_read(&self.socket, io, &mut |plaintext| fill(buffer, &mut filled, plaintext))
        });
        done.await.map_err(|failure| self.socket.read_failed(failure).tell())
    }

    /// Fills `buffer`. It is one operation: the read timeout bounds the whole of it, however the bytes drip.
    ///
    /// # Errors
    /// As [`read`](TlsStream::read), and `UnexpectedEof`. The front of `buffer` then holds the
    /// [`transferred`](Error::transferred) bytes: go on from there, and no byte is lost.
    ///
    /// Not cancel-safe: dropped midway, it leaves the bytes in `buffer` without saying how many.
    pub async fn read_exact(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let asked = buffer.len();
        self.ready_if_known(asked == 0);
        let mut filled = 0;
        let done = self.reading(|io| {
            if filled == asked {
                return Ok(Done::new(()));
            }
            let before = filled;
            let done = self
                .session
                .try_read(&self.socket, io, &mut |plaintext| fill(buffer, &mut filled, plaintext))?;
            // The end of a step is not that of the whole.
            match done.into_value() {
                Some(0) if filled == before => Err(ErrorKind::UnexpectedEof.into()),
                Some(_) if filled == asked => {
                    Ok(Done::step(filled - before, filled - before).ends_with(()))
                }
                _ => Ok(Done::step(filled - before, filled - before)),
            }
        });
        let done = done.await;
        done.map_err(|failure| self.socket.failed(Phase::Read, failure).with_transferred(filled).tell())
    }

    /// An operation of the read side. While it waits, what there is to send is sent: records that reading brought about
    /// (RFC 8446, section 4.6.3), and what a write has left behind.
    pub(super) async fn reading<V>(
        &self,
        attempt: impl FnMut(&T::Io) -> io::Result<Done<V>> + Unpin,
    ) -> Result<V, Failure> {
        let mut read = self.socket.io.operate(Direction::Read, attempt);
        let sending = Sending { stream: self, room: Beside::default() };
        poll_fn(|cx| {
            let polled = Pin::new(&mut read).poll(cx);
            if polled.is_pending() {
                self.poll_sending(&sending.room, cx);
            }
            polled
        })
        .await
    }

    /// Sends what there is to send, as far as that goes without keeping a read waiting; has the task woken when it goes on.
    /// The read's own bounds hold: a timeout of writes begins anew, and what fails here is for the next write to say.
    pub(super) fn poll_sending(&self, room: &Beside, cx: &mut Context<'_>) {
        let Socket { io, .. } = &self.socket;
        while self.session.wants_write() {
            let sent = io
                .poll_beside(room, cx, Direction::Write, |io| self.session.try_flush(&self.socket, io));
            match sent {
                Poll::Ready(Err(Failure::Elapsed(elapsed))) if !elapsed.before_it_began => {}
                _ => return,
            }
        }
        io.give_up(room);
    }

    /// A read that needs nothing from the transport does not wait for it.
    pub(super) fn ready_if_known(&self, nothing: bool) {
        if nothing || self.session.has_result() {
            let _ = self.socket.io.assume(Readiness::READABLE);
        }
    }
}

/// What a read has to send, which is given up with it.
struct Sending<'a, T: StreamTransport> {
    stream: &'a TlsStream<T>,
    room: Beside,
}

impl<T: StreamTransport> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        self.stream.socket.io.give_up(&self.room);
    }
}

/// Copies of `plaintext` what there is room for behind what is `filled`.
pub(super) fn fill(buffer: &mut [u8], filled: &mut usize, plaintext: &[u8]) -> usize {
    let room = &mut buffer[*filled..];
    let some = room.len().min(plaintext.len());
    room[..some].copy_from_slice(&plaintext[..some]);
    *filled += some;
    some
}
