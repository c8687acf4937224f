//! [`Addresses`]: what a lookup finds, for who asked for no more.

use std::net::{IpAddr, SocketAddr};

use punctual_reactor::in_scope_as;

use super::found::Found;
use crate::error::Phase;

/// The addresses of a name, as [`Resolver::lookup`](crate::Resolver::lookup) finds them: those of servers IPv6 first,
/// each family in the order in which it was answered; those of a file or of the system's library as they stand there.
///
/// If one family's answer is late, the other's is given out after 50 ms (RFC 8305, section 3);
/// [`all`](Addresses::all) waits for both. Dropping it ends the query that is still under way.
#[derive(Debug)]
pub struct Addresses(pub(super) Found);

impl Addresses {
    /// The addresses there are now; at least one.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.0.addresses.iter().map(SocketAddr::ip)
    }

    /// The same with a port, and of IPv6 with the scope where there is one.
    pub fn with_port(&self, port: u16) -> impl Iterator<Item = SocketAddr> + '_ {
        self.0.addresses.iter().map(move |address| {
            let mut address = *address;
            address.set_port(port);
            address
        })
    }

    /// Whether one family's answer is still to come.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.0.rest.is_some()
    }

    /// Waits for the late family, if there is one; its failure counts as no addresses. How long that takes is
    /// bounded by the resolver's tries.
    pub async fn all(self) -> Vec<IpAddr> {
        let mut ips: Vec<IpAddr> = self.ips().collect();
        if let Some(rest) = self.0.rest {
            // A scope that has ended waits for nothing more.
            let rest = in_scope_as(Phase::Resolve.as_str(), rest).await.unwrap_or_default();
            ips.extend(rest.iter().map(SocketAddr::ip));
        }
        ips
    }
}
