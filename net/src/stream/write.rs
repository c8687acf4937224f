//! Writing to a stream.

use std::cell::Cell;
use std::io::IoSlice;

use punctual_reactor::{Direction, Done};

use crate::error::{Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

/// Writing to a stream.
impl<T: StreamTransport> Socket<T> {
    /// Writes what the kernel takes of `buffer`, or waits until it takes some. `Ok(0)` only for an empty one.
    ///
    /// # Errors
    /// A deadline or timeout of the write side, a cancel, a close, or what the kernel says, as
    /// `Kernel(EPIPE)`.
    pub async fn write(&self, buffer: &[u8]) -> Result<usize, Error> {
        self.trivial_if(buffer.is_empty(), Direction::Write);
        let attempt = |io: &T::Io| self.try_send(io, buffer);
        let failed = |failure| self.failed(Phase::Write, failure).tell();
        self.io.operate_or(Direction::Write, attempt, failed).await
    }

    /// As [`write`](Socket::write), from several buffers in turn (sendmsg(2)).
    ///
    /// # Errors
    /// As [`write`](Socket::write).
    pub async fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> Result<usize, Error> {
        self.trivial_if(buffers.iter().all(|buffer| buffer.is_empty()), Direction::Write);
        let attempt = |io: &T::Io| self.try_send_vectored(io, buffers);
        let failed = |failure| self.failed(Phase::Write, failure).tell();
        self.io.operate_or(Direction::Write, attempt, failed).await
    }

    /// Writes all of `buffer`. It is one operation: the write timeout bounds the whole of it.
    ///
    /// # Errors
    /// As [`write`](Socket::write). The kernel has then taken the first
    /// [`transferred`](Error::transferred) bytes: do not send them again.
    ///
    /// Not cancel-safe: dropped midway, some may have been sent, without saying how many.
    pub async fn write_all(&self, buffer: &[u8]) -> Result<(), Error> {
        self.trivial_if(buffer.is_empty(), Direction::Write);
        let sent = Cell::new(0);
        let failed = |failure| self.failed(Phase::Write, failure).with_transferred(sent.get()).tell();
        match self.io.operate_at_once(Direction::Write, |io| self.try_send(io, buffer)) {
            Some(Ok(bytes)) if bytes == buffer.len() => return Ok(()),
            Some(Ok(bytes)) => sent.set(bytes),
            Some(Err(failure)) => return Err(failed(failure)),
            None => {}
        }
        let attempt = |io: &T::Io| {
            let rest = &buffer[sent.get()..];
            if rest.is_empty() {
                return Ok(Done::new(()));
            }
            let bytes = self.try_send_some(io, rest)?;
            sent.set(sent.get() + bytes);
            let step = Done::step(bytes, rest.len());
            Ok(if bytes == rest.len() { step.ends_with(()) } else { step })
        };
        self.io.operate_or(Direction::Write, attempt, failed).await
    }
}
