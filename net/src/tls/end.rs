//! Ending a stream over TLS.

use std::future::Future;
use std::io::ErrorKind;
use std::panic::Location;
use std::time::Duration;

use punctual_reactor::{Direction, Done, Failure, Instant};

use super::stream::TlsStream;
use crate::error::{Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

/// Ending.
impl<T: StreamTransport> TlsStream<T> {
    /// Ends what we send: what was written goes first, then `close_notify` (RFC 8446, section 6.1), then the
    /// transport's own end. The peer knows from it that nothing is missing, and may go on sending, which can be read. It may
    /// be repeated. All of it is one operation under the write deadline and timeout.
    ///
    /// A peer that speaks TLS 1.2 may answer by ending at once (RFC 5246, section 7.2.1).
    ///
    /// Cancel-safe: called again, it goes on.
    ///
    /// # Errors
    /// As [`Socket::write`](crate::Socket::write); the phase is `Shutdown`.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.ready_if_sent();
        let done = self.socket.io.operate(Direction::Write, |io| self.session.try_end(&self.socket, io));
        done.await.map_err(|failure| self.socket.failed(Phase::Shutdown, failure).tell())
    }

    /// Ends what we send as [`shutdown`](TlsStream::shutdown) does, reads and discards what the peer still sends until it has
    /// ended too, with or without `close_notify`, then closes; all of it within `within` from this call on, whatever
    /// deadlines and timeouts the stream had. Returns how many bytes were discarded. The stream is closed in any case, also
    /// if this is dropped midway.
    ///
    /// # Errors
    /// `Timeout` if the peer has not ended by then, or what the transport says; the phase is `Shutdown`.
    #[track_caller]
    pub fn close_in_order(&self, within: Duration) -> impl Future<Output = Result<u64, Error>> + '_ {
        let began = Instant::now();
        let deadline = began + within;
        let set_at = Location::caller();
        async move {
            let _closes = Closes(self);
            self.discard(deadline).await.map_err(|failure| {
                let error = self.socket.failed(Phase::Shutdown, failure).with_deadline(|info| {
                    // Another thread may have moved it meanwhile.
                    if info.deadline == deadline {
                        (info.began, info.budget) = (Some(began), Some(within));
                        info.set_at = Some(set_at);
                        info.before_it_began = false;
                    }
                });
                error.in_phase(Phase::Shutdown).tell()
            })
        }
    }

    async fn discard(&self, deadline: Instant) -> Result<u64, Failure> {
        let Socket { io, .. } = &self.socket;
        for direction in [Direction::Read, Direction::Write] {
            io.set_timeout(direction, None)?;
            io.set_deadline(direction, Some(deadline))?;
        }
        self.ready_if_sent();
        io.operate(Direction::Write, |io| self.session.try_end(&self.socket, io)).await?;
        self.ready_if_known(false);
        let mut discarded = 0;
        let done = self.reading(|io| {
            let done = self.session.try_read(&self.socket, io, &mut |plaintext| {
                discarded += plaintext.len() as u64;
                plaintext.len()
            });
            match done.map(Done::into_value) {
                Ok(Some(0)) => Ok(Done::new(discarded)),
                Ok(_) => Ok(Done::step(1, 1)),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Done::new(discarded)),
                Err(error) => Err(error),
            }
        });
        done.await
    }
}

/// Closes the stream when dropped.
struct Closes<'a, T: StreamTransport>(&'a TlsStream<T>);

impl<T: StreamTransport> Drop for Closes<'_, T> {
    fn drop(&mut self) {
        self.0.close();
    }
}
