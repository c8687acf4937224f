//! [`Acceptor`]: TLS as a server speaks it.

use std::fmt;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Connection, ServerConfig, ServerConnection};

use super::connector::provider;
use super::failure;
use super::handshake::{Begin, Handshake};
use super::pem::Identity;
use crate::error::{Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

/// TLS as a server speaks it. It can be cloned and sent to other threads, which then resume each other's sessions.
///
/// A handshake is begun by what [`accept`](Acceptor::accept) returns, not by the listener: whoever accepts
/// connections goes on accepting, and each handshake waits in a task of its own.
///
/// ```no_run
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// use punctual_net::{TcpListener, tls::Acceptor};
/// use punctual_reactor::spawn;
///
/// let acceptor = Acceptor::from_pem_files("chain.pem", "key.pem")?;
/// let listener = TcpListener::bind("[::]:443")?;
/// loop {
///     let (stream, _) = listener.accept().await?;
///     let handshake = acceptor.accept(stream);
///     drop(spawn(async move {
///         let stream = handshake.await?;
///         stream.write_all(b"hello\n").await?;
///         stream.shutdown().await
///     }));
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// With a configuration of rustls'.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>) -> Acceptor {
        Acceptor { config }
    }

    /// Shows this chain of certificates, the server's own first, to everybody; asks clients for none; gives out tickets, with which they
    /// resume their sessions.
    ///
    /// # Errors
    /// `Tls` in phase `Configure`: the key does not fit the certificate, or is of an unknown kind.
    pub fn with_certificate(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Acceptor, Error> {
        let unusable = |error| failure::configuration(format!("the certificate and its key: {error}"));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.ticketer = ring::Ticketer::new().map_err(unusable)?;
        Ok(Acceptor::new(Arc::new(config)))
    }

    /// As [`with_certificate`](Acceptor::with_certificate), from two files in PEM. It reads them at once, and blocks for
    /// that long.
    ///
    /// # Errors
    /// As there; a file cannot be read, is not valid, or does not hold what it should.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Acceptor, Error> {
        let Identity { chain, key } = Identity::from_files(chain.as_ref(), key.as_ref())?;
        Acceptor::with_certificate(chain, key)
    }

    /// As [`from_pem_files`](Acceptor::from_pem_files), from their text.
    ///
    /// # Errors
    /// As there.
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Acceptor, Error> {
        let Identity { chain, key } = Identity::from_pem(chain.as_ref(), key.as_ref())?;
        Acceptor::with_certificate(chain, key)
    }

    /// Speaks these application protocols, the best first (ALPN, RFC 7301). A client that offers others and none of these is
    /// refused; one that offers none is not.
    #[must_use]
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Acceptor {
        let protocols = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        Arc::make_mut(&mut self.config).alpn_protocols = protocols;
        self
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Shakes hands over `stream`, when awaited. Within 10 s from then, unless the [`Handshake`] is told otherwise.
    #[track_caller]
    pub fn accept<T: StreamTransport>(&self, stream: Socket<T>) -> Handshake<T> {
        let begin = Begin::Server(self.config.clone());
        Handshake::new(stream, begin, None, Location::caller())
    }

    /// A connection that is to begin.
    pub(super) fn begin(config: Arc<ServerConfig>) -> Result<Connection, Error> {
        let connection = ServerConnection::new(config);
        connection.map(Connection::from).map_err(|error| failure::error(Phase::Tls, error))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alpn: Vec<_> = self
            .config
            .alpn_protocols
            .iter()
            .map(|protocol| String::from_utf8_lossy(protocol))
            .collect();
        f.debug_struct("Acceptor").field("alpn", &alpn).finish_non_exhaustive()
    }
}
