//! Reading from a stream.

use std::cell::Cell;
use std::io::{ErrorKind, IoSliceMut};

use punctual_reactor::{Direction, Done};

use super::calls::SLICES_MAX;
use crate::error::{Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

/// Reading from a stream.
impl<T: StreamTransport> Socket<T> {
    /// Reads what has come, up to the length of `buffer`, or waits for it. `Ok(0)` is the end of what the
    /// peer sends, or an empty `buffer`.
    ///
    /// # Errors
    /// A deadline or timeout of the read side, a cancel, a close, or what the kernel says, as
    /// `Kernel(ECONNRESET)`.
    pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, Error>> {
        let trivial = buffer.is_empty();
        let attempt = |io: &T::Io| {
            if buffer.is_empty() {
                return Ok(Done::new(0));
            }
            let asked = buffer.len();
            self.received(T::read(io, buffer)).map(|bytes| Done::bytes(bytes, asked))
        };
        let failed = |failure| self.read_failed(failure).tell();
        self.io.operate_or(Direction::Read, attempt, failed).trivial(trivial)
    }

    /// As [`read`](Socket::read), into several buffers in turn (readv(2)).
    ///
    /// # Errors
    /// As [`read`](Socket::read).
    pub async fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        let asked = buffers.iter().take(SLICES_MAX).map(|buffer| buffer.len()).sum();
        self.trivial_if(asked == 0, Direction::Read);
        let attempt = |io: &T::Io| {
            if asked == 0 {
                return Ok(Done::new(0));
            }
            self.received(T::read_vectored(io, buffers)).map(|bytes| Done::bytes(bytes, asked))
        };
        self.io.operate_or(Direction::Read, attempt, |failure| self.read_failed(failure).tell()).await
    }

    /// As [`read`](Socket::read), but leaves the bytes to be read again.
    ///
    /// # Errors
    /// As [`read`](Socket::read).
    pub async fn peek(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.trivial_if(buffer.is_empty(), Direction::Read);
        let done = self.io.operate(Direction::Read, |io| {
            if buffer.is_empty() {
                return Ok(Done::new(0));
            }
            self.received(T::peek(io, buffer)).map(Done::new)
        });
        done.await.map_err(|failure| self.read_failed(failure).tell())
    }

    /// Fills `buffer`. It is one operation: the read timeout bounds the whole of it, however the bytes drip.
    ///
    /// # Errors
    /// As [`read`](Socket::read), and `UnexpectedEof`. The front of `buffer` then holds the
    /// [`transferred`](Error::transferred) bytes: go on from there, and no byte is lost.
    ///
    /// Not cancel-safe: dropped midway, it leaves the bytes in `buffer` without saying how many.
    pub async fn read_exact(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let asked = buffer.len();
        self.trivial_if(asked == 0, Direction::Read);
        let filled = Cell::new(0);
        let attempt = |io: &T::Io| {
            let before = filled.get();
            if before == asked {
                return Ok(Done::new(()));
            }
            let rest = &mut buffer[before..];
            let room = rest.len();
            match self.received(T::read(io, rest))? {
                0 => Err(ErrorKind::UnexpectedEof.into()),
                bytes => {
                    filled.set(before + bytes);
                    let step = Done::step(bytes, room);
                    Ok(if before + bytes == asked { step.ends_with(()) } else { step })
                }
            }
        };
        let failed = |failure| self.failed(Phase::Read, failure).with_transferred(filled.get()).tell();
        self.io.operate_or(Direction::Read, attempt, failed).await
    }
}
