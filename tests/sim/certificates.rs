//! One certificate for all runs. Its key is Ed25519, whose signatures have one length: what a run does is not to depend on them.

use std::sync::{Arc, LazyLock};

use punctual::tls::{Acceptor, Connector};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ED25519};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Both ends of a handshake.
pub struct Ends {
    /// The server's.
    pub acceptor: Acceptor,
    /// That of clients who trust it, for the name `localhost`.
    pub connector: Connector,
}

static CONFIGURATIONS: LazyLock<(Arc<rustls::ServerConfig>, RootCertStore)> = LazyLock::new(|| {
    let key = || KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, key()).expect("a certificate");
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    let key = key();
    let issued = params.signed_by(&key, &issuer).expect("a certificate");
    let secret = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![issued.der().clone()], secret)
        .expect("a configuration");
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).expect("a root");
    (Arc::new(config), roots)
});

/// Makes the certificate now, while the thread is in no simulation.
pub fn prepare() {
    LazyLock::force(&CONFIGURATIONS);
}

/// Ends that nobody has used: no session is resumed.
#[must_use]
pub fn ends() -> Ends {
    let (server, roots) = &*CONFIGURATIONS;
    let server = Arc::new(rustls::ServerConfig::clone(server));
    Ends { acceptor: Acceptor::new(server), connector: Connector::with_roots(roots.clone()) }
}
