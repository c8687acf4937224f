//! Writing over TLS.

use std::io::IoSlice;

use punctual_reactor::{Direction, Done, Readiness};

use super::stream::TlsStream;
use crate::error::{Error, Phase};
use crate::socket::transport::StreamTransport;

/// Writing.
impl<T: StreamTransport> TlsStream<T> {
    /// Takes some of `buffer`, or waits until what was taken before is gone: how much it has taken. `Ok(0)` only for an empty
    /// one. The transport may not have it yet: see [`flush`](TlsStream::flush).
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`Socket::write`](crate::Socket::write), and `Tls` if the connection has failed before.
    pub async fn write(&self, buffer: &[u8]) -> Result<usize, Error> {
        self.write_vectored(&[IoSlice::new(buffer)]).await
    }

    /// As [`write`](TlsStream::write), from several buffers in turn; they share records and system calls.
    ///
    /// # Errors
    /// As [`write`](TlsStream::write).
    pub async fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> Result<usize, Error> {
        let nothing = buffers.iter().all(|buffer| buffer.is_empty());
        self.socket.trivial_if(nothing, Direction::Write);
        let done = self.socket.io.operate(Direction::Write, |io| {
            if nothing { Ok(Done::new(0)) } else { self.session.try_write(&self.socket, io, buffers) }
        });
        done.await.map_err(|failure| self.socket.failed(Phase::Write, failure).tell())
    }

    /// Writes all of `buffer`, until the transport has it. It is one operation: the write timeout bounds the whole of it.
    ///
    /// # Errors
    /// As [`write`](TlsStream::write). The first [`transferred`](Error::transferred) bytes are on their way or will
    /// be with the next operation: do not send them again.
    ///
    /// Not cancel-safe: dropped midway, some may have been sent, without saying how many.
    pub async fn write_all(&self, buffer: &[u8]) -> Result<(), Error> {
        self.socket.trivial_if(buffer.is_empty(), Direction::Write);
        let mut taken = 0;
        let done = self.socket.io.operate(Direction::Write, |io| {
            let rest = &buffer[taken..];
            if rest.is_empty() {
                return if buffer.is_empty() {
                    Ok(Done::new(()))
                } else {
                    self.session.try_flush(&self.socket, io)
                };
            }
            let done = self.session.try_write(&self.socket, io, &[IoSlice::new(rest)])?;
            let some = done.into_value().unwrap_or_default();
            taken += some;
            let step = Done::step(some, some);
            let over = taken == buffer.len() && !self.session.wants_write();
            Ok(if over { step.ends_with(()) } else { step })
        });
        let done = done.await;
        done.map_err(|failure| self.socket.failed(Phase::Write, failure).with_transferred(taken).tell())
    }

    /// Waits until the transport has all that was written.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`Socket::write`](crate::Socket::write).
    pub async fn flush(&self) -> Result<(), Error> {
        self.ready_if_sent();
        let done =
            self.socket.io.operate(Direction::Write, |io| self.session.try_flush(&self.socket, io));
        done.await.map_err(|failure| self.socket.failed(Phase::Write, failure).tell())
    }

    /// A flush of nothing does not wait for the transport.
    pub(super) fn ready_if_sent(&self) {
        if !self.session.wants_write() {
            let _ = self.socket.io.assume(Readiness::WRITABLE);
        }
    }
}
