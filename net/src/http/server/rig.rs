//! One connection of a server, for fuzzers: see [`crate::rig`].

use super::connection::{Caller, Connection};
use super::drain::Drain;
use super::limits::Limits;
use super::service::HttpService;
use super::site::Site;
use super::timeouts::ServerTimeouts;
use crate::duplex::Duplex;

/// Serves `stream` as an accepted connection is served, with all deadlines and limits at their defaults, until it ends.
pub async fn serve_connection(stream: Duplex, service: impl HttpService) {
    let caller = Caller {
        stream,
        peer: None,
        #[cfg(feature = "tls")]
        acceptor: None,
    };
    let site = Site::new(ServerTimeouts::default(), Limits::default(), Drain::new(), true);
    let Some(place) = site.admit(None) else { return };
    Connection::new(caller, service, site, place).await;
}
