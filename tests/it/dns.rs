//! Group N: names. Servers are the tests' own, on this host.

mod server;

mod answers;
mod diagnosis;
mod files;
mod hostile;
mod memory;
mod outside;
mod sharing;
mod trust;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punctual::net::{Error, Resolver, ResolverBuilder};

use crate::support::MS;
pub(crate) use server::*;

/// A resolver that asks these servers and reads no file of this system's.
pub(crate) fn asking(servers: &[&Fake]) -> ResolverBuilder {
    asking_at(servers.iter().map(|server| server.address))
}

pub(crate) fn asking_at(servers: impl IntoIterator<Item = SocketAddr>) -> ResolverBuilder {
    let none = "/nonexistent/punctual";
    let files = Resolver::builder().hosts_file(none).resolv_conf(none).nsswitch_conf(none);
    files.servers(servers).search(Vec::<String>::new()).try_timeout(PATIENCE)
}

/// No try of a test takes that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// A try that is to fail.
pub(crate) const SHORT: Duration = MS.saturating_mul(100);

/// All addresses of a name.
pub(crate) async fn all(resolver: &Resolver, name: &str) -> Result<Vec<IpAddr>, Error> {
    Ok(resolver.lookup(name).await?.all().await)
}

pub(crate) fn ips(ips: &[&str]) -> Vec<IpAddr> {
    ips.iter().map(|ip| ip.parse().expect("an address")).collect()
}

/// Why it failed, in the words of a program.
pub(crate) fn why<T: std::fmt::Debug>(
    result: &Result<T, Error>,
) -> (punctual::net::Kind, Option<punctual::net::DnsFailure>) {
    let error = result.as_ref().expect_err("no address is to be had");
    assert_eq!(error.phase(), punctual::net::Phase::Resolve, "{error}");
    (error.kind(), error.dns_failure())
}
