//! [`Handshake`]: from a stream to a stream over TLS, within its time.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use punctual_reactor::{Direction, Failure, Instant};
use rustls::pki_types::ServerName;
use rustls::{Connection, ServerConfig};

use super::acceptor::Acceptor;
use super::connector::Connector;
use super::session::Session;
use super::stream::TlsStream;
use crate::error::{Error, Kind, Phase};
use crate::phase::Bounds;
use crate::socket::Socket;
use crate::socket::transport::{StreamTransport, Tcp};

/// A handshake that begins when it is awaited, and has 10 s from then unless it is told otherwise. It is one
/// [phase](mod@crate::phase), `tls`.
///
/// Deadlines and timeouts that the stream has hold as well.
///
/// Cancel-safe: dropped before it is ready, it closes the stream.
///
/// # Errors
/// `Timeout` in phase `Tls`, with the reason; `Tls` for a certificate that does not hold, an alert of the peer's, a broken
/// protocol, or what was set up wrongly here; `UnexpectedEof` if the peer closed the connection midway; `InvalidInput` for a
/// name that is none; and what a [read](Socket::read) or [write](Socket::write) may say. A stream that
/// comes to nothing is closed.
#[must_use = "a handshake does nothing unless it is awaited"]
pub struct Handshake<T: StreamTransport = Tcp> {
    socket: Socket<T>,
    begin: Begin,
    bounds: Bounds<'static>,
}

/// On which side, and with what.
pub(super) enum Begin {
    Client { connector: Connector, name: ServerName<'static> },
    Server(Arc<ServerConfig>),
    Failed(Error),
}

impl Begin {
    async fn connection(self) -> Result<Connection, Error> {
        match self {
            Begin::Client { connector, name } => connector.begin(name).await,
            Begin::Server(config) => Acceptor::begin(config),
            Begin::Failed(error) => Err(error),
        }
    }
}

impl<T: StreamTransport> Handshake<T> {
    pub(super) fn new(
        socket: Socket<T>,
        begin: Begin,
        endpoint: Option<String>,
        set_at: &'static Location<'static>,
    ) -> Handshake<T> {
        let mut bounds = Bounds::of(Phase::Tls).at(set_at);
        if let Some(endpoint) = endpoint {
            bounds = bounds.endpoint(endpoint);
        }
        Handshake { socket, begin, bounds }
    }

    pub(crate) fn bounded(mut self, bounds: Bounds<'static>) -> Handshake<T> {
        self.bounds = bounds;
        self
    }

    /// Within `budget`, counted from when it is awaited, instead of 10 s.
    #[track_caller]
    pub fn timeout(mut self, budget: Duration) -> Handshake<T> {
        self.bounds = self.bounds.timeout(budget);
        self
    }

    /// By `deadline`.
    #[track_caller]
    pub fn deadline(mut self, deadline: impl Into<Instant>) -> Handshake<T> {
        self.bounds = self.bounds.deadline(deadline);
        self
    }

    /// What its deadline is called in an error.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Handshake<T> {
        self.bounds = self.bounds.name(name);
        self
    }

    /// What is to be reached, as a person would call it; on the client's side it is the name of the server.
    pub fn endpoint(mut self, endpoint: impl Into<Cow<'static, str>>) -> Handshake<T> {
        self.bounds = self.bounds.endpoint(endpoint);
        self
    }

    /// The stream that it is to go over.
    #[must_use]
    pub fn get_ref(&self) -> &Socket<T> {
        &self.socket
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// See [`Handshake`].
    ///
    /// # Panics
    /// When polled outside of a runtime.
    pub async fn run(self) -> Result<TlsStream<T>, Error> {
        let Handshake { socket, begin, bounds } = self;
        let shaken = async {
            let connection = begin.connection().await?;
            // It is larger than most of what it lies beside.
            let session = Box::new(Session::new(connection));
            shake(&socket, &session).await.map_err(|failure| failed(&socket, failure))?;
            session.established();
            Ok::<_, Error>(session)
        };
        let endpoint = bounds.named();
        let session = bounds.stream(&socket).run(shaken).await.map_err(|error| match endpoint {
            Some(endpoint) if error.phase() == Phase::Tls => error.with_target(endpoint),
            _ => error,
        })?;
        Ok(TlsStream { socket, session })
    }
}

impl<T: StreamTransport> IntoFuture for Handshake<T> {
    type Output = Result<TlsStream<T>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// Sends what there is to send, reads what comes, and so on until both sides agree.
async fn shake<T: StreamTransport>(
    socket: &Socket<T>,
    session: &Session,
) -> Result<(), (Direction, Failure)> {
    loop {
        if session.has_tickets_only() {
            // They go with what comes next, if they do not now: a client that writes before it reads would hold them up.
            let _ = socket.io.get_ref().map(|io| session.try_flush(socket, &io));
            return Ok(());
        }
        if session.wants_write() {
            let sent = socket.io.operate(Direction::Write, |io| session.try_flush(socket, io)).await;
            if let Err(failure) = sent {
                return Err(heard(socket, session).unwrap_or((Direction::Write, failure)));
            }
        }
        if !session.is_handshaking() {
            return Ok(());
        }
        let come = socket.io.operate(Direction::Read, |io| session.try_shake(socket, io)).await;
        come.map_err(|failure| (Direction::Read, failure))?;
    }
}

/// Whatever the peer said before it ended the connection says more than that it cannot be written to.
fn heard<T: StreamTransport>(socket: &Socket<T>, session: &Session) -> Option<(Direction, Failure)> {
    let io = socket.io.get_ref()?;
    loop {
        match session.try_shake(socket, &io) {
            Ok(step) if step.into_value().is_none() => {}
            Err(error) if Error::from_io(&error).is_some_and(|error| error.kind() == Kind::Tls) => {
                return Some((Direction::Read, Failure::Io(error)));
            }
            _ => return None,
        }
    }
}

/// What ends a handshake is of it, but for the deadlines that the stream has by itself.
fn failed<T: StreamTransport>(socket: &Socket<T>, (direction, failure): (Direction, Failure)) -> Error {
    let error = match direction {
        Direction::Read => socket.read_failed(failure),
        Direction::Write => socket.failed(Phase::Write, failure),
    };
    if error.is_timeout() { error.tell() } else { error.in_phase(Phase::Tls) }
}

impl<T: StreamTransport> fmt::Debug for Handshake<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("socket", &self.socket)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}
