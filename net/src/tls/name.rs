//! Names of servers, as certificates have them.

use std::net::IpAddr;

use rustls::pki_types::ServerName;

use crate::error::{Error, Phase};
use crate::target::{self, Target};

/// A host as a URL or a caller writes it: a DNS name, an IP address, an IPv6 address in brackets.
pub(super) fn parse(host: &str) -> Result<ServerName<'static>, Error> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(host).parse::<IpAddr>() {
        return Ok(ServerName::from(ip));
    }
    // The dot of the root is not part of a name in SNI (RFC 6066, section 3), nor in a certificate.
    let name = host.strip_suffix('.').unwrap_or(host);
    ServerName::try_from(name.to_owned()).map_err(|_| {
        let shown: String = host.chars().take(80).collect();
        Error::invalid(
            Phase::Tls,
            format!("{shown:?} is neither a DNS name nor an IP address to verify"),
        )
    })
}

/// The name by which a target is known: that of its host; an address by itself, if there is only one.
pub(super) fn of_target(target: &Target) -> Result<ServerName<'static>, Error> {
    match &target.0 {
        target::Kind::Name { host, .. } => parse(host),
        target::Kind::Addresses(addresses) => match addresses.as_slice() {
            [first, rest @ ..] if rest.iter().all(|other| other.ip() == first.ip()) => {
                Ok(ServerName::from(first.ip()))
            }
            _ => Err(Error::invalid(
                Phase::Tls,
                "which name to verify is not known of several addresses: say it by `server_name`",
            )),
        },
        target::Kind::Invalid { why, .. } => {
            Err(Error::invalid(Phase::Connect, *why).with_target(target.to_string()))
        }
    }
}
