//! Certificates for the tests, made anew in each process by rcgen.
//!
//! ```no_run
//! use punctual_tests_http::certificates::Authority;
//!
//! let authority = Authority::new();
//! let acceptor = authority.localhost().acceptor().alpn(["h2", "http/1.1"]);
//! let connector = authority.connector().alpn(["h2", "http/1.1"]);
//! # let _ = (acceptor, connector);
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use punctual::tls::{Acceptor, Connector};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;

/// An authority that issues certificates; what trusts it is made by [`connector`](Authority::connector).
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Issued {
    /// The certificate, DER.
    pub certificate: CertificateDer<'static>,
    /// The key, PKCS #8.
    pub key: PrivateKeyDer<'static>,
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// The key in PEM.
    pub key_pem: String,
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

impl Authority {
    /// A new one, which nobody knows.
    #[must_use]
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        // Of two with the same name the one would be taken for the other.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("punctual's tests {number} of {}", std::process::id());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }

    /// A certificate that is changed by `change` before it is issued: for `localhost`, `127.0.0.1` and `::1`, for servers.
    #[must_use]
    pub fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let (params, key) = request(change);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued::new(&certificate, &key)
    }

    /// That of a server on this host.
    #[must_use]
    pub fn localhost(&self) -> Issued {
        self.issue(|_| {})
    }

    /// That of a client.
    #[must_use]
    pub fn client(&self) -> Issued {
        self.issue(|params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.distinguished_name.push(DnType::CommonName, "a client of punctual's tests");
        })
    }

    /// That of a server whose time is over since 2001.
    #[must_use]
    pub fn expired(&self) -> Issued {
        self.issue(|params| {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        })
    }

    /// That of a server whose time begins in 2200.
    #[must_use]
    pub fn not_yet_valid(&self) -> Issued {
        self.issue(|params| {
            params.not_before = date_time_ymd(2200, 1, 1);
            params.not_after = date_time_ymd(2201, 1, 1);
        })
    }

    /// That of a server called `name`, and nothing else.
    #[must_use]
    pub fn named(&self, name: &str) -> Issued {
        self.issue(|params| {
            params.subject_alt_names =
                CertificateParams::new(vec![name.to_owned()]).expect("a name").subject_alt_names;
        })
    }

    /// Its own certificate in PEM, for `curl --cacert` and its kin.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A store that trusts it and nobody else.
    #[must_use]
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        roots
    }

    /// A client that trusts it and nobody else.
    #[must_use]
    pub fn connector(&self) -> Connector {
        Connector::with_roots(self.roots())
    }

    /// A server like [`Issued::acceptor`] of `server` that also asks its clients for a certificate of this authority.
    #[must_use]
    pub fn acceptor_with_client_certificates(&self, server: &Issued) -> Acceptor {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(self.roots());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.expect("a verifier"))
            .with_single_cert(vec![server.certificate.clone()], server.key.clone_key())
            .expect("the key fits");
        Acceptor::new(Arc::new(config))
    }
}

/// That of a server which nobody has signed but itself.
#[must_use]
pub fn self_signed() -> Issued {
    let (params, key) = request(|_| {});
    let certificate = params.self_signed(&key).expect("a certificate");
    Issued::new(&certificate, &key)
}

fn request(change: impl FnOnce(&mut CertificateParams)) -> (CertificateParams, KeyPair) {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).expect("names");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    (params, KeyPair::generate().expect("a key"))
}

impl Issued {
    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Issued {
        Issued {
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// A server that shows it, with all that is on by default.
    #[must_use]
    pub fn acceptor(&self) -> Acceptor {
        Acceptor::with_certificate(vec![self.certificate.clone()], self.key.clone_key())
            .expect("the key fits")
    }
}

/// A directory of its own under /tmp, gone when dropped: for programs that want their certificates in files.
pub struct Files {
    directory: PathBuf,
}

impl Default for Files {
    fn default() -> Files {
        Files::new()
    }
}

impl Files {
    /// An empty one.
    #[must_use]
    pub fn new() -> Files {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("punctual-tests-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        Files { directory }
    }

    /// Writes a file, and says where it is.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.join(name);
        std::fs::write(&path, contents).expect("a file");
        path
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
