//! What a lookup finds: addresses now, and perhaps more of them a little later.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The addresses of a name.
#[derive(Debug)]
pub(crate) struct Found {
    /// Those of servers IPv6 first, each family in the order in which it was answered.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Those of the family whose answer was not there yet (RFC 8305, section 3).
    pub(crate) rest: Option<Rest>,
}

/// Addresses that are still being asked for; none if that fails. Dropping it ends the query.
pub(crate) struct Rest {
    query: Pin<Box<dyn Future<Output = Vec<SocketAddr>>>>,
    port: u16,
}

impl Found {
    pub(super) fn at_once(addresses: Vec<SocketAddr>) -> Found {
        Found { addresses, rest: None }
    }

    pub(crate) fn with_port(mut self, port: u16) -> Found {
        self.addresses.iter_mut().for_each(|address| address.set_port(port));
        if let Some(rest) = &mut self.rest {
            rest.port = port;
        }
        self
    }
}

impl Rest {
    #[cfg(feature = "dns")]
    pub(super) fn of(query: impl Future<Output = Vec<SocketAddr>> + 'static) -> Rest {
        Rest { query: Box::pin(query), port: 0 }
    }
}

impl Future for Rest {
    type Output = Vec<SocketAddr>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<SocketAddr>> {
        let port = self.port;
        self.query.as_mut().poll(cx).map(|mut addresses| {
            addresses.iter_mut().for_each(|address| address.set_port(port));
            addresses
        })
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rest")
    }
}
