//! The certificate authorities that the system trusts.

use std::io;
use std::sync::{Arc, OnceLock};

use punctual_reactor::blocking;
use rustls::RootCertStore;

use super::failure;
use crate::error::{Error, Phase};

/// Loaded once in the life of the process.
static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// Those of the system, loaded by a helper thread at first use: files are read and parsed, which takes milliseconds.
pub(super) async fn system() -> Result<Arc<RootCertStore>, Error> {
    if let Some(roots) = SYSTEM.get() {
        return Ok(roots.clone());
    }
    let loaded =
        blocking(load).await.map_err(|error| Error::kernel(Phase::Tls, io::Error::other(error)))?;
    let loaded = loaded.map_err(|why| failure::configuration(why).in_phase(Phase::Tls))?;
    Ok(SYSTEM.get_or_init(|| loaded).clone())
}

/// A store without a single certificate would refuse everybody, and say that it is the peer's fault.
fn load() -> Result<Arc<RootCertStore>, String> {
    let found = rustls_native_certs::load_native_certs();
    let count = found.certs.len();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable > 0 {
        return Ok(Arc::new(roots));
    }
    let mut why = match count {
        0 => "this system has no root certificates".to_owned(),
        _ => format!("none of the {count} root certificates of this system can be used"),
    };
    why += " (SSL_CERT_FILE, SSL_CERT_DIR, or the package ca-certificates)";
    if let Some(error) = found.errors.first() {
        why = format!("{why}: {error}");
    }
    Err(why)
}
