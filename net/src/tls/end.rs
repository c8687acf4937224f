//! Ending a stream over TLS.

use punctual_reactor::Direction;

use super::stream::TlsStream;
use crate::error::{Error, Phase};
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
}
