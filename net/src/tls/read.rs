//! Reading over TLS.

use std::io::ErrorKind;

use punctual_reactor::{Direction, Done, Readiness};

use super::stream::TlsStream;
use crate::error::{Error, Phase};
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
        let done = self.socket.io.operate(Direction::Read, |io| {
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
        let done = self.socket.io.operate(Direction::Read, |io| {
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

    /// A read that needs nothing from the transport does not wait for it.
    pub(super) fn ready_if_known(&self, nothing: bool) {
        if nothing || self.session.has_result() {
            let _ = self.socket.io.assume(Readiness::READABLE);
        }
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
