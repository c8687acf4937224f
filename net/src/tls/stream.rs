//! [`TlsStream`].

use std::fmt;
use std::time::Duration;

use punctual_reactor::{Cause, Instant, Token};
use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, SupportedCipherSuite};

use super::session::Session;
use crate::error::Error;
use crate::phase::Probe;
use crate::socket::Socket;
use crate::socket::transport::{StreamTransport, Tcp};

/// A stream over TLS, whose handshake is done: made by [`Connector::connect`](super::Connector::connect) and
/// [`Acceptor::accept`](super::Acceptor::accept).
///
/// It has the shape of the [`Socket`] beneath, which says what holds for every operation: every method takes `&self`, each
/// operation ends once, deadlines are sticky. A side's deadline and timeout bound whatever an operation on that side
/// has to wait for, records that it has to send included.
///
/// What is different:
/// - What was written is encrypted here before it goes. [`write`](TlsStream::write) returns when it is taken, and up to
///   64 KiB may wait in memory for the transport; every later operation sends of it what it can.
///   [`write_all`](TlsStream::write_all), [`flush`](TlsStream::flush) and [`shutdown`](TlsStream::shutdown) wait until
///   the transport has it.
/// - The end of what the peer sends is clean only if it said so (`close_notify`). A stream that just ends may have been
///   cut by anybody: `UnexpectedEof`.
/// - Reads take from the transport only what is asked for, a record at a time; a peer that sends more than is read is held up.
pub struct TlsStream<T: StreamTransport = Tcp> {
    pub(super) socket: Socket<T>,
    pub(super) session: Box<Session>,
}

/// What was agreed on.
impl<T: StreamTransport> TlsStream<T> {
    /// The protocol that both sides chose (ALPN, RFC 7301), as `b"h2"`; `None` if none was offered or the peer ignored
    /// the offer.
    #[must_use]
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session.alpn.get().map(AsRef::as_ref)
    }

    /// The certificates that the peer has shown, its own first: of a server always, of a client only if it was asked.
    #[must_use]
    pub fn peer_certificates(&self) -> Option<Vec<CertificateDer<'static>>> {
        self.session.look(|connection| connection.peer_certificates().map(<[_]>::to_vec))
    }

    /// The version of TLS.
    #[must_use]
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.session.look(|connection| connection.protocol_version())
    }

    /// The suite of ciphers.
    #[must_use]
    pub fn cipher_suite(&self) -> Option<SupportedCipherSuite> {
        self.session.look(|connection| connection.negotiated_cipher_suite())
    }

    /// Whether the handshake was a full one, or went on with an earlier session.
    #[must_use]
    pub fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.session.look(|connection| connection.handshake_kind())
    }

    /// On the server's side: the name that the client asked for (SNI), if it said one.
    #[must_use]
    pub fn server_name(&self) -> Option<String> {
        self.session.look(|connection| match connection {
            rustls::Connection::Server(server) => server.server_name().map(str::to_owned),
            rustls::Connection::Client(_) => None,
        })
    }

    /// The stream beneath, for its addresses, options and deadlines. What is read from it or written to it by hand breaks
    /// the connection.
    #[must_use]
    pub fn get_ref(&self) -> &Socket<T> {
        &self.socket
    }

    /// As [`Socket::probe`].
    #[must_use]
    pub fn probe(&self) -> Probe {
        self.socket.probe()
    }
}

/// Deadlines and timeouts: those of the [`Socket`] beneath.
impl<T: StreamTransport> TlsStream<T> {
    /// As [`Socket::set_deadline`].
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.socket.set_deadline(deadline)
    }

    /// As [`Socket::set_read_deadline`].
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_read_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.socket.set_read_deadline(deadline)
    }

    /// As [`Socket::set_write_deadline`].
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_write_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.socket.set_write_deadline(deadline)
    }

    /// As [`Socket::set_timeout`].
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.socket.set_timeout(timeout)
    }

    /// As [`Socket::set_read_timeout`].
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.socket.set_read_timeout(timeout)
    }

    /// As [`Socket::set_write_timeout`].
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.socket.set_write_timeout(timeout)
    }

    /// As [`Socket::token`].
    #[must_use]
    pub fn token(&self) -> Token {
        self.socket.token()
    }

    /// As [`Socket::cancel`].
    pub fn cancel(&self, cause: impl Into<Cause>) {
        self.socket.cancel(cause);
    }

    /// Closes it at once, as [`Socket::close`]: without a word to the peer, which takes what it has for cut short. See
    /// [`shutdown`](TlsStream::shutdown).
    pub fn close(&self) {
        self.socket.close();
    }
}

impl<T: StreamTransport> Drop for TlsStream<T> {
    fn drop(&mut self) {
        self.socket.io.give_up(&self.session.sending);
    }
}

impl<T: StreamTransport> fmt::Debug for TlsStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("socket", &self.socket)
            .field("version", &self.protocol_version())
            .field("alpn", &self.alpn_protocol().map(String::from_utf8_lossy))
            .finish_non_exhaustive()
    }
}
