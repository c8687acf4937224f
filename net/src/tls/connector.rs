//! [`Connector`]: TLS as a client speaks it.

use std::fmt;
use std::panic::Location;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, Connection, RootCertStore, WantsVerifier};

use super::connect::ConnectTls;
use super::handshake::{Begin, Handshake};
use super::pem::{self, Identity};
use super::{failure, name, roots};
use crate::connect::Connect;
use crate::error::{Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

/// TLS as a client speaks it: whom to trust, what to offer, and who we are.
///
/// It verifies the server's certificate and name against its roots: those of the system unless others are given. It
/// resumes earlier sessions; clones share them, also across threads.
#[derive(Clone)]
pub struct Connector {
    roots: Roots,
    alpn: Vec<Vec<u8>>,
    identity: Option<Arc<Identity>>,
    /// Made of the above at the first handshake: the system's roots are loaded then, by a helper thread.
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

#[derive(Clone)]
enum Roots {
    System,
    Given(Arc<RootCertStore>),
    /// The configuration is given, and has its own.
    Config(Arc<ClientConfig>),
}

impl Connector {
    /// Trusts the authorities that the system trusts, loaded once in the life of the process, at the first handshake. That there are
    /// none is an error of the handshake.
    #[must_use]
    pub fn new() -> Connector {
        Connector::of(Roots::System)
    }

    /// Trusts these authorities and no other. That there are none is an error of the handshake.
    #[must_use]
    pub fn with_roots(roots: RootCertStore) -> Connector {
        Connector::of(Roots::Given(Arc::new(roots)))
    }

    /// Trusts the authorities of a file of certificates in PEM, and no other. It reads the file at once, and blocks for that
    /// long.
    ///
    /// # Errors
    /// `Tls` in phase `Configure`: the file cannot be read, is not valid, or holds no certificate.
    pub fn with_roots_from_pem_file(path: impl AsRef<Path>) -> Result<Connector, Error> {
        Ok(Connector::with_roots(pem::roots(path.as_ref())?))
    }

    /// With a configuration of rustls'. What it says of ALPN and client certificates is kept unless
    /// [`alpn`](Connector::alpn) says otherwise.
    #[must_use]
    pub fn with_config(config: Arc<ClientConfig>) -> Connector {
        Connector::of(Roots::Config(config))
    }

    fn of(roots: Roots) -> Connector {
        Connector { roots, alpn: Vec::new(), identity: None, config: Arc::default() }
    }

    /// Offers these application protocols, the best first (ALPN, RFC 7301), as `["h2", "http/1.1"]`. Which one was
    /// chosen says [`TlsStream::alpn_protocol`](super::TlsStream::alpn_protocol); one that was not offered is an error.
    #[must_use]
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Connector {
        self.alpn = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        self.config = Arc::default();
        if let Roots::Config(config) = &mut self.roots {
            Arc::make_mut(config).alpn_protocols = self.alpn.clone();
        }
        self
    }

    /// Shows this chain of certificates, our own first, to servers that ask for one. A key that does not fit is an error of
    /// the handshake. Of no effect [with a configuration](Connector::with_config), which has its own.
    #[must_use]
    pub fn client_certificate(
        mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Connector {
        self.identity = Some(Arc::new(Identity { chain, key }));
        self.config = Arc::default();
        self
    }

    /// As [`client_certificate`](Connector::client_certificate), from two files in PEM. It reads them at once, and blocks
    /// for that long.
    ///
    /// # Errors
    /// `Tls` in phase `Configure`: a file cannot be read, is not valid, or does not hold what it should.
    pub fn client_certificate_from_pem_files(
        self,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Connector, Error> {
        let Identity { chain, key } = Identity::from_files(chain.as_ref(), key.as_ref())?;
        Ok(self.client_certificate(chain, key))
    }

    /// Shakes hands over `stream` with the server called `name`, which is sent to it and verified: a DNS name or an IP
    /// address. Within 10 s, unless the [`Handshake`] is told otherwise.
    #[track_caller]
    pub fn connect<T: StreamTransport>(&self, stream: Socket<T>, name: impl AsRef<str>) -> Handshake<T> {
        let begin = match name::parse(name.as_ref()) {
            Ok(name) => Begin::Client { connector: self.clone(), name },
            Err(error) => Begin::Failed(error),
        };
        Handshake::new(stream, begin, Some(name.as_ref().to_owned()), Location::caller())
    }

    /// Resolves, connects and shakes hands within the one budget of `connect`. The name of its target is the one that is
    /// verified, unless [`ConnectTls::server_name`] says otherwise.
    #[track_caller]
    pub fn connect_to(&self, connect: Connect) -> ConnectTls {
        ConnectTls::new(self.clone(), connect)
    }

    /// A connection that is to begin.
    pub(super) async fn begin(
        &self,
        name: rustls::pki_types::ServerName<'static>,
    ) -> Result<Connection, Error> {
        let config = match self.config.get() {
            Some(config) => config.clone(),
            None => {
                let made = self.configuration().await?;
                self.config.get_or_init(|| made).clone()
            }
        };
        let connection = ClientConnection::new(config, name);
        connection.map(Connection::from).map_err(|error| failure::error(Phase::Tls, error))
    }

    async fn configuration(&self) -> Result<Arc<ClientConfig>, Error> {
        let roots = match &self.roots {
            Roots::Config(config) => return Ok(config.clone()),
            Roots::Given(roots) => roots.clone(),
            Roots::System => roots::system().await?,
        };
        if roots.is_empty() {
            return Err(failure::configuration("there is no root certificate to verify with")
                .in_phase(Phase::Tls));
        }
        let builder = Connector::versions(provider()).with_root_certificates(roots);
        let mut config = identified(builder, self.identity.as_deref())?;
        config.alpn_protocols = self.alpn.clone();
        Ok(Arc::new(config))
    }

    /// TLS 1.2 and 1.3, which ring always has.
    pub(super) fn versions(provider: Arc<CryptoProvider>) -> ConfigBuilder<ClientConfig, WantsVerifier> {
        match ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions() {
            Ok(builder) => builder,
            Err(error) => unreachable!("ring has suites for both versions: {error}"),
        }
    }
}

fn identified(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, Error> {
    let Some(Identity { chain, key }) = identity else { return Ok(builder.with_no_client_auth()) };
    builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|error| {
        failure::configuration(format!("our client certificate and its key: {error}"))
            .in_phase(Phase::Tls)
    })
}

/// The cryptography: ring's, whatever else is in the program.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Default for Connector {
    fn default() -> Connector {
        Connector::new()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = match &self.roots {
            Roots::System => "of the system",
            Roots::Given(_) => "given",
            Roots::Config(_) => "of a configuration",
        };
        let alpn: Vec<_> = self.alpn.iter().map(|protocol| String::from_utf8_lossy(protocol)).collect();
        f.debug_struct("Connector").field("roots", &roots).field("alpn", &alpn).finish_non_exhaustive()
    }
}
