//! Certificates and keys in PEM (RFC 7468).

use std::fmt;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::failure;
use crate::error::Error;

/// A chain of certificates and the key of the first.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From two files.
    pub(super) fn from_files(chain: &Path, key: &Path) -> Result<Identity, Error> {
        let (chain_text, key_text) = (read(chain)?, read(key)?);
        Identity::parse(&chain_text, &chain.display(), &key_text, &key.display())
    }

    /// From the text of two.
    pub(super) fn from_pem(chain: &[u8], key: &[u8]) -> Result<Identity, Error> {
        Identity::parse(chain, &"the chain of certificates", key, &"the private key")
    }

    fn parse(
        chain: &[u8],
        chain_name: &dyn fmt::Display,
        key: &[u8],
        key_name: &dyn fmt::Display,
    ) -> Result<Identity, Error> {
        let chain = certificates(chain, chain_name)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|why| match why {
            pem::Error::NoItemsFound => failure::configuration(format!(
                "{key_name} holds no private key in PEM that is not encrypted (PKCS #8, PKCS #1 or SEC 1)"
            )),
            why => broken(key_name, &why),
        })?;
        Ok(Identity { chain, key })
    }
}

/// The certificates of one text, of which there must be one at least.
pub(super) fn certificates(
    text: &[u8],
    name: &dyn fmt::Display,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|why| broken(name, &why))?;
    match all.is_empty() {
        true => Err(failure::configuration(format!("{name} holds no certificate in PEM"))),
        false => Ok(all),
    }
}

/// The certificates of one file as roots, all of them.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates(&read(path)?, &path.display())?) {
        roots.add(certificate).map_err(|why| {
            failure::configuration(format!(
                "certificate {number} of {} is no root: {why}",
                path.display()
            ))
        })?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path)
        .map_err(|error| failure::configuration(format!("{} cannot be read: {error}", path.display())))
}

fn broken(name: &dyn fmt::Display, why: &pem::Error) -> Error {
    failure::configuration(format!("{name} is not valid PEM: {why}"))
}
